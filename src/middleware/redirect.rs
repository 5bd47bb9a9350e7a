//! Sending clients elsewhere: the route needs no upstream.

use std::rc::Rc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Answer, Flow, Incoming, Middleware, Request, Scope, Settings};
use crate::clock::Instant;
use crate::config::Wrong;
use crate::http::write_line;

/// Settings of `redirect`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Redirect {
    /// Where to: `https://{host}{path}`, `/new{path}`, `https://example.com/`. `{host}` is the Host that was asked for, without its
    /// port; `{path}` the path, with its first slash.
    pub to: String,
    /// 301 and 308 are remembered, 302 and 307 are not; 307 and 308 keep the method.
    pub status: u16,
    /// Whether the query goes along.
    pub keep_query: bool,
}

impl Default for Redirect {
    fn default() -> Self {
        Redirect { to: String::new(), status: 308, keep_query: true }
    }
}

impl Settings for Redirect {
    fn problems(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        if let Err((message, hint)) = parts(&self.to) {
            wrong.push(Wrong { value: Some(self.to.clone()), ..Wrong::new("to", message, hint) });
        }
        if !matches!(self.status, 301 | 302 | 303 | 307 | 308) {
            wrong.push(Wrong::new("status", "must be 301, 302, 303, 307 or 308", ""));
        }
        wrong
    }

    fn answers(&self) -> bool {
        true
    }

    fn build(&self, _: &Scope<'_>) -> Option<Rc<dyn Middleware>> {
        let parts = parts(&self.to).ok()?;
        Some(Rc::new(Elsewhere { parts, status: self.status, keep_query: self.keep_query }))
    }
}

/// A piece of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Host,
    Path,
}

/// Takes a target apart; what is wrong with it, and what to do.
fn parts(to: &str) -> Result<Vec<Part>, (&'static str, &'static str)> {
    if !["http://", "https://"].iter().any(|scheme| to.starts_with(scheme)) && (!to.starts_with('/') || to.starts_with("//")) {
        return Err(("must begin with \"/\", \"http://\" or \"https://\"", "as in \"https://{host}{path}\""));
    }
    if !to.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(("must be visible ASCII without spaces", "write other characters as in \"%20\""));
    }
    let mut parts = Vec::new();
    let mut rest = to;
    while let Some((before, behind)) = rest.split_once('{') {
        let (name, after) = behind.split_once('}').ok_or(("has a \"{\" that is never closed", "there are: {host}, {path}"))?;
        if !before.is_empty() {
            parts.push(Part::Text(before.to_owned()));
        }
        parts.push(match name {
            "host" => Part::Host,
            "path" => Part::Path,
            _ => return Err(("has a part that isn't known", "there are: {host}, {path}")),
        });
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Ok(parts)
}

struct Elsewhere {
    parts: Vec<Part>,
    status: u16,
    keep_query: bool,
}

impl Middleware for Elsewhere {
    fn on_request(&self, request: &mut Request<'_>, _: Instant) -> Flow {
        let (head, bytes) = (request.incoming.head, request.incoming.bytes);
        let mut target = Vec::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => target.extend_from_slice(text.as_bytes()),
                Part::Host => target.extend_from_slice(without_port(head.host.of(bytes))),
                Part::Path => target.extend_from_slice(request.path),
            }
        }
        // A browser takes what begins with two slashes for a host.
        if target.starts_with(b"/") {
            let slashes = target.iter().take_while(|&&byte| byte == b'/' || byte == b'\\').count();
            target.drain(1..slashes);
        }
        if self.keep_query && head.has_query {
            target.push(if target.contains(&b'?') { b'&' } else { b'?' });
            target.extend_from_slice(head.query.of(bytes));
        }
        let mut lines = Vec::new();
        write_line(&mut lines, b"Location", &target);
        Flow::Answer(Box::new(Answer { status: self.status, lines, body: Vec::new() }))
    }
}

/// Sends a request to the same place by `https://`; `None` if it doesn't say which host it is for.
pub fn to_https(incoming: &Incoming<'_>, port: u16) -> Option<Answer> {
    let Incoming { head, bytes, .. } = *incoming;
    let host = without_port(head.host.of(bytes));
    if host.is_empty() {
        return None;
    }
    let mut target = [b"https://", host].concat();
    if port != 443 {
        target.extend_from_slice(format!(":{port}").as_bytes());
    }
    target.extend_from_slice(head.path.of(bytes));
    if head.has_query {
        target.push(b'?');
        target.extend_from_slice(head.query.of(bytes));
    }
    let mut lines = Vec::new();
    write_line(&mut lines, b"Location", &target);
    Some(Answer { status: 308, lines, body: Vec::new() })
}

fn without_port(host: &[u8]) -> &[u8] {
    let port = host.iter().rposition(|&byte| byte == b':').filter(|&colon| host[colon + 1..].iter().all(u8::is_ascii_digit));
    &host[..port.unwrap_or(host.len())]
}
