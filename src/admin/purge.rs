//! `POST /purge`: what is to go from the caches of all workers, as JSON or in the query, and what came of it.

use serde::Deserialize;
use serde_json::json;

use super::listener::Desk;
use super::pages::Response;
use crate::cache::Purge;
use crate::http::{Framing, RequestHead};
use crate::net::{Link, Stream};

/// How it is used.
pub(super) const USE: &str = "use POST with JSON, each a text or a list of texts: {\"url\": \"http://example.com/a?b=c\"}, \
    {\"prefix\": \"http://example.com/img/\"}, {\"tag\": \"news\"}, or {\"all\": true}; or in the query: /purge?tag=news\n";

/// Bytes of JSON that are taken.
const BODY_MAX: u64 = 64 << 10;

/// What an operator wants gone.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Order {
    url: Texts,
    prefix: Texts,
    tag: Texts,
    all: bool,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Many(Vec<String>),
}

impl Default for Texts {
    fn default() -> Self {
        Texts::Many(Vec::new())
    }
}

impl Texts {
    fn list(self) -> Vec<String> {
        match self {
            Texts::One(text) => vec![text],
            Texts::Many(texts) => texts,
        }
    }
}

/// Serves one order; `bytes` is what has come of the request.
pub(super) async fn serve(link: &Link, head: &RequestHead, mut bytes: Vec<u8>, desk: &Desk) -> Response {
    let length = match head.framing {
        Framing::None => 0,
        Framing::Length(length) if length <= BODY_MAX => length as usize,
        _ => return Response::text(413, format!("the JSON must have a Content-Length of at most {BODY_MAX}\n")),
    };
    while bytes.len() < head.length + length {
        let (received, back) = link.recv(bytes).await;
        bytes = back;
        if !received.is_ok_and(|received| received > 0) {
            return Response::text(400, "the request broke off\n");
        }
    }
    let query = if head.has_query { head.query.of(&bytes) } else { b"" };
    match read(query, &bytes[head.length..head.length + length]) {
        Ok(purges) => {
            let answers = (desk.purge)(purges);
            let (mut responses, mut complete) = (0, true);
            let workers = answers
                .gather(desk.clock, |purged| {
                    responses += purged.responses;
                    complete &= purged.complete;
                })
                .await;
            let (asked, all) = (answers.asked, workers == answers.asked);
            let page = json!({ "workers": workers, "asked": asked, "responses": responses, "complete": complete && all });
            Response::json(if all { 200 } else { 503 }, &page)
        }
        Err(problem) => Response::text(400, format!("{problem}\n{USE}")),
    }
}

/// Reads an order.
fn read(query: &[u8], body: &[u8]) -> Result<Vec<Purge>, String> {
    let mut order = if body.is_empty() { Order::default() } else { serde_json::from_slice(body).map_err(|error| error.to_string())? };
    let mut purges = Vec::new();
    for pair in query.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_at(pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len()));
        let value = decoded(value.get(1..).unwrap_or_default()).ok_or("the query has an escape that is none")?;
        purges.push(match name {
            b"url" => url(&value)?,
            b"prefix" => Purge::Prefix(prefix(&value)?),
            b"tag" => tag(&value)?,
            b"all" => {
                order.all = true;
                continue;
            }
            _ => return Err(format!("there is no {:?} in a purge", String::from_utf8_lossy(name))),
        });
    }
    for text in order.url.list() {
        purges.push(url(&text)?);
    }
    for text in order.prefix.list() {
        purges.push(Purge::Prefix(prefix(&text)?));
    }
    for text in order.tag.list() {
        purges.push(tag(&text)?);
    }
    if order.all {
        purges.push(Purge::Everything);
    }
    if purges.is_empty() { Err("what is to be purged isn't said".into()) } else { Ok(purges) }
}

fn url(text: &str) -> Result<Purge, String> {
    let url = prefix(text)?;
    let path = url.iter().filter(|&&byte| byte == b'/').count() >= 3;
    if path { Ok(Purge::Url(url)) } else { Err(format!("{text:?} has no path: write \"/\" for the root")) }
}

fn tag(text: &str) -> Result<Purge, String> {
    if text.is_empty() { Err("a tag must not be empty".into()) } else { Ok(Purge::Tag(text.as_bytes().into())) }
}

/// A URL or the beginning of one, with scheme and host as they are stored: in lower case, the port left out that goes without saying.
fn prefix(text: &str) -> Result<Box<[u8]>, String> {
    let (scheme, rest) = text.split_once("://").ok_or_else(|| format!("{text:?} is no URL: it begins with \"http://\" or \"https://\""))?;
    let scheme = scheme.to_ascii_lowercase();
    let port = match scheme.as_str() {
        "http" => ":80",
        "https" => ":443",
        _ => return Err(format!("{text:?} is no URL: it begins with \"http://\" or \"https://\"")),
    };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = host.to_ascii_lowercase();
    let host = if path.is_empty() { &host } else { host.strip_suffix(port).unwrap_or(&host) };
    Ok(format!("{scheme}://{host}{path}").into_bytes().into())
}

/// A value of a query with its escapes undone; `None` if one is none, or if it is no UTF-8.
fn decoded(value: &[u8]) -> Option<String> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value.iter();
    while let Some(&byte) = rest.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(*rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Box<[u8]> {
        text.as_bytes().into()
    }

    #[test]
    fn orders_are_read_from_json_and_query() {
        let json = br#"{"url": ["HTTP://Example.COM:80/A?b=C", "https://example.com/"], "prefix": "http://example.com", "tag": "news"}"#;
        let expected = vec![
            Purge::Url(bytes("http://example.com/A?b=C")),
            Purge::Url(bytes("https://example.com/")),
            Purge::Prefix(bytes("http://example.com")),
            Purge::Tag(bytes("news")),
        ];
        assert_eq!(read(b"", json), Ok(expected));
        assert_eq!(read(b"url=http%3a%2F%2Fa%2f%3fb=c+d", b""), Ok(vec![Purge::Url(bytes("http://a/?b=c d"))]));
        assert_eq!(read(b"all", b""), Ok(vec![Purge::Everything]));
        assert_eq!(read(b"tag=a&tag=b", b""), Ok(vec![Purge::Tag(bytes("a")), Purge::Tag(bytes("b"))]));
    }

    #[test]
    fn what_is_no_order_purges_nothing() {
        for (query, body) in [
            ("", ""),
            ("", "{}"),
            ("", "{\"all\": false}"),
            ("", "{\"urls\": \"http://a/\"}"),
            ("", "[]"),
            ("url=/a", ""),
            ("url=http://a", ""),
            ("url=ftp://a/", ""),
            ("tag=", ""),
            ("tag=%4", ""),
            ("tag=%ff", ""),
            ("everything", ""),
        ] {
            assert!(read(query.as_bytes(), body.as_bytes()).is_err(), "{query:?} {body:?}");
        }
    }
}
