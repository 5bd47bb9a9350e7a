//! Texts with variables in them: `{client_ip}`, `{query.NAME}`. What a client sent can't end a line or leave its place in a URL.

use std::net::IpAddr;

use super::Request;
use crate::config::meant;
use crate::http::{Decode, Span, escaped, kept_request_id, pair_of};

/// A text with variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Box<[Part]>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    /// What a group of the expression took.
    Group(usize),
    ClientIp,
    Host,
    Path,
    RequestId,
    Route,
    Query(Box<str>),
    Header(Box<str>),
    Parameter(Box<str>),
}

/// Where a text goes, which says what has to be escaped in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing is: whoever sets the header looks at its value.
    Header,
    Path,
    Query,
}

/// What the groups of an expression took of a text, by number.
#[derive(Clone, Copy, Default)]
pub(super) struct Groups<'a> {
    pub text: &'a [u8],
    pub spans: &'a [Span],
}

impl Template {
    /// Takes a text apart; `groups` are the names of an expression's groups. What is wrong with it, and what to do.
    pub fn parse(text: &str, groups: &[Option<String>]) -> Result<Template, (String, String)> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let (brace, behind) = rest[at..].split_at(1);
            if let Some(behind) = behind.strip_prefix(brace) {
                literal.push_str(brace);
                rest = behind;
                continue;
            }
            let name = (brace == "{").then(|| behind.split_once('}')).flatten();
            let (name, after) =
                name.ok_or_else(|| (format!("has a {brace:?} that stands alone"), format!("write \"{brace}{brace}\" for one")))?;
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal).into()));
            }
            parts.push(variable(name, groups)?);
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal.into()));
        }
        Ok(Template(parts.into()))
    }

    /// Appends the text with its variables' values; what isn't there is empty.
    pub fn write(&self, request: &Request<'_>, groups: Groups<'_>, place: Place, out: &mut Vec<u8>) {
        let (head, bytes) = (request.incoming.head, request.incoming.bytes);
        for part in &self.0 {
            let value = match part {
                Part::Text(text) => text.as_bytes(),
                Part::Group(index) => groups.spans.get(*index).map_or(&b""[..], |span| span.of(groups.text)),
                Part::ClientIp => {
                    write_ip(request.client(), place, out);
                    continue;
                }
                Part::Host => head.host.of(bytes),
                Part::Path => request.path,
                Part::RequestId => kept_request_id(head, bytes, request.trusts_peer()).unwrap_or(request.request_id),
                Part::Route => request.route.as_bytes(),
                Part::Query(name) => parameter(head.query.of(bytes), name).unwrap_or_default(),
                Part::Header(name) => head.header(bytes, name).unwrap_or_default(),
                Part::Parameter(name) => request.parameter(name).unwrap_or_default(),
            };
            write(value, place, out);
        }
    }

    /// Whether it makes a path, as far as its text tells.
    pub fn is_path(&self) -> bool {
        let fits = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?' && byte != b'#');
        matches!(self.0.first(), Some(Part::Text(text)) if text.starts_with('/'))
            && self.0.iter().all(|part| !matches!(part, Part::Text(text) if !fits(text)))
    }

    /// The route's parameters that it names.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| if let Part::Parameter(name) = part { Some(&**name) } else { None })
    }

    /// A variable that isn't a part of the URL asked for, if it has one: the cache doesn't tell answers apart by it.
    pub fn beyond_url(&self) -> Option<String> {
        self.0.iter().find_map(|part| match part {
            Part::ClientIp => Some("client_ip".into()),
            Part::RequestId => Some("request_id".into()),
            Part::Query(name) => Some(format!("query.{name}")),
            Part::Header(name) => Some(format!("header.{name}")),
            Part::Text(_) | Part::Group(_) | Part::Host | Part::Path | Part::Route | Part::Parameter(_) => None,
        })
    }
}

/// A variable by its name.
fn variable(name: &str, groups: &[Option<String>]) -> Result<Part, (String, String)> {
    if let Some(index) = groups.iter().position(|group| group.as_deref() == Some(name)) {
        return Ok(Part::Group(index));
    }
    if let Ok(number) = name.parse::<usize>() {
        let there = match groups.len() {
            0 => "there are no groups here".to_owned(),
            count => format!("the expression has {count}, counted from 1"),
        };
        return if (1..=groups.len()).contains(&number) {
            Ok(Part::Group(number - 1))
        } else {
            Err((format!("takes group {number}"), there))
        };
    }
    let named = |of: &str| name.strip_prefix(of).filter(|rest| !rest.is_empty()).map(Box::from);
    Ok(match name {
        "client_ip" => Part::ClientIp,
        "host" => Part::Host,
        "path" => Part::Path,
        "request_id" => Part::RequestId,
        "route" => Part::Route,
        _ => {
            let parts = [named("query.").map(Part::Query), named("header.").map(Part::Header), named("param.").map(Part::Parameter)];
            return parts.into_iter().flatten().next().ok_or_else(|| unknown(name, groups));
        }
    })
}

fn unknown(name: &str, groups: &[Option<String>]) -> (String, String) {
    let (kind, rest) = name.split_once('.').unwrap_or((name, ""));
    let known = VARIABLES.iter().copied().chain(groups.iter().flatten().map(String::as_str));
    let likely = meant(kind, ["query", "header", "param"].into_iter()).filter(|_| name.contains('.'));
    let all: Vec<String> = known.clone().map(|name| format!("{{{name}}}")).collect();
    let there_are = format!("there are: {}", all.join(", "));
    let likely = match likely {
        Some(likely) => Some(format!("{likely}.{}", if rest.is_empty() { "NAME" } else { rest })),
        None => meant(name, known).map(str::to_owned),
    };
    let hint = likely.map_or(there_are.clone(), |likely| format!("did you mean {{{likely}}}? {there_are}"));
    (format!("has no variable {{{name}}}"), hint)
}

/// The first parameter of this name, as it was sent.
fn parameter<'a>(query: &'a [u8], name: &str) -> Option<&'a [u8]> {
    query.split(|&byte| byte == b'&').find_map(|pair| {
        let (found, value) = pair_of(pair);
        is_named(found, name).then_some(value)
    })
}

/// Whether a parameter's name is this one, once its escapes are undone as its reader does.
pub(super) fn is_named(sent: &[u8], name: &str) -> bool {
    Decode(sent).eq(name.bytes())
}

/// Appends a value as it may stand there. Escapes that it has stay; all else that has a meaning there, or none, is escaped.
pub(super) fn write(value: &[u8], place: Place, out: &mut Vec<u8>) {
    if place == Place::Header {
        return out.extend_from_slice(value);
    }
    for (index, &byte) in value.iter().enumerate() {
        let stays = match byte {
            b'%' => escaped(&value[index..]).is_some(),
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'\'' | b'(' | b')' | b'*' | b',' | b':' | b'@' | b'/' => true,
            // RFC 3986 section 3.3 has these in paths; in queries they part pairs, or mean a space.
            b'&' | b'+' | b'=' | b';' => place == Place::Path,
            b'?' => place == Place::Query,
            _ => byte.is_ascii_alphanumeric(),
        };
        if stays {
            out.push(byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
}

fn write_ip(ip: IpAddr, place: Place, out: &mut Vec<u8>) {
    write(ip.to_string().as_bytes(), place, out);
}

/// All variables, as a hint lists them.
const VARIABLES: [&str; 8] = ["client_ip", "host", "path", "request_id", "route", "query.NAME", "header.NAME", "param.NAME"];

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, groups: &[Option<String>]) -> (String, String) {
        Template::parse(text, groups).expect_err(text)
    }

    #[test]
    fn what_is_not_known_is_told_with_what_was_meant() {
        assert_eq!(told("{client_id}", &[]).0, "has no variable {client_id}");
        assert!(told("{client_id}", &[]).1.starts_with("did you mean {client_ip}? there are: {client_ip}, {host}, "));
        assert!(told("{heder.X-A}", &[]).1.starts_with("did you mean {header.X-A}?"));
        assert!(told("{query.}", &[]).1.starts_with("did you mean {query.NAME}? "));
        assert!(told("{zzzzzz}", &[]).1.starts_with("there are: "));
        assert_eq!(told("a{b", &[]), ("has a \"{\" that stands alone".into(), "write \"{{\" for one".into()));
        assert_eq!(told("a}b", &[]).0, "has a \"}\" that stands alone");
        assert_eq!(told("{2}", &[None]), ("takes group 2".into(), "the expression has 1, counted from 1".into()));
        assert_eq!(told("{1}", &[]).1, "there are no groups here");
    }

    #[test]
    fn braces_groups_and_variables_are_taken_apart() {
        let groups = [None, Some("id".to_owned())];
        let parts = Template::parse("{{x}} {1}/{id}-{query.a b}", &groups).expect("a template").0;
        let expected = [
            Part::Text("{x} ".into()),
            Part::Group(0),
            Part::Text("/".into()),
            Part::Group(1),
            Part::Text("-".into()),
            Part::Query("a b".into()),
        ];
        assert_eq!(*parts, expected);
    }

    #[test]
    fn values_stay_in_their_place() {
        let written = |value: &str, place| {
            let mut out = Vec::new();
            write(value.as_bytes(), place, &mut out);
            String::from_utf8(out).expect("ASCII")
        };
        assert_eq!(written("a b?c#d&e=f+g;%2f%zz%\r\n\u{e9}", Place::Path), "a%20b%3Fc%23d&e=f+g;%2f%25zz%25%0D%0A%C3%A9");
        assert_eq!(written("a b?c#d&e=f+g;%2f%zz%\r\n", Place::Query), "a%20b?c%23d%26e%3Df%2Bg%3B%2f%25zz%25%0D%0A");
        assert_eq!(written("/x/../y", Place::Path), "/x/../y", "dot segments are settled once the path is whole");
    }

    #[test]
    fn names_are_compared_as_their_reader_sees_them() {
        for (sent, name, is) in [
            ("a", "a", true),
            ("%61", "a", true),
            ("a+b", "a b", true),
            ("a%20b", "a b", true),
            ("ab", "a", false),
            ("a", "ab", false),
            ("%6", "%6", true),
        ] {
            assert_eq!(is_named(sent.as_bytes(), name), is, "{sent} {name}");
        }
        assert_eq!(parameter(b"x=1&%61=2&a=3&b", "a"), Some(&b"2"[..]));
        assert_eq!((parameter(b"b", "b"), parameter(b"", "b")), (Some(&b""[..]), None));
    }
}
