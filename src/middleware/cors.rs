//! Cross-origin requests (Fetch standard, section 3.2, "CORS protocol"): preflights are answered here, and answers say who may read
//! them. The endpoint's own `Access-Control-*` headers never pass: two of them would contradict each other.

use std::rc::Rc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Answer, Flow, Incoming, Middleware, Request, Response, Scope, Settings};
use crate::clock::Instant;
use crate::config::{Time, Wrong};
use crate::error::Reason;
use crate::http::{Edits, Known, Method, is_token, write_line};

/// Settings of `cors`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cors {
    /// Origins whose pages may read answers: `https://app.example.com`, `https://*.example.com` (any name below), or `*` for all.
    pub origins: Vec<String>,
    /// Methods that they may use, besides GET, HEAD and POST, which need no leave.
    pub methods: Vec<String>,
    /// Headers that they may send; `*` is whatever they ask for.
    pub headers: Vec<String>,
    /// Headers of answers that they may read, besides those that need no leave.
    pub exposed_headers: Vec<String>,
    /// Whether cookies and credentials go along. Only for origins that are listed.
    pub credentials: bool,
    /// How long a browser may remember a preflight's answer.
    pub max_age: Time,
}

impl Default for Cors {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Cors {
            origins: words(&["*"]),
            methods: words(&["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]),
            headers: words(&["*"]),
            exposed_headers: Vec::new(),
            credentials: false,
            max_age: Time::from_secs(600),
        }
    }
}

impl Cors {
    fn any_origin(&self) -> bool {
        self.origins.iter().any(|origin| origin == "*")
    }
}

impl Settings for Cors {
    fn problems(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        if self.origins.is_empty() {
            wrong.push(Wrong::new("origins", "is empty", "list origins, or leave the entry out: without it no other origin may read"));
        }
        for (index, origin) in self.origins.iter().enumerate().filter(|(_, origin)| *origin != "*" && *origin != "null") {
            if !is_origin(origin) {
                let told =
                    Wrong::new(&format!("origins[{index}]"), "is not an origin", "scheme and host, as in \"https://app.example.com\"");
                wrong.push(Wrong { value: Some(origin.clone()), ..told });
            }
        }
        if self.any_origin() && self.credentials {
            let hint = "with both, every web site could act in the name of whoever visits it: list the origins";
            wrong.push(Wrong::new("credentials", "can't be had with the origin \"*\"", hint));
        }
        for (list, words) in [("methods", &self.methods), ("headers", &self.headers), ("exposed_headers", &self.exposed_headers)] {
            for (index, word) in words.iter().enumerate().filter(|(_, word)| !is_token(word)) {
                wrong.push(Wrong { value: Some(word.clone()), ..Wrong::new(&format!("{list}[{index}]"), "is not a name", "") });
            }
        }
        wrong
    }

    fn edits(&self, _: &mut Edits, response: &mut Edits) {
        for name in ["Origin", "Credentials", "Methods", "Headers", "Max-Age", "Expose-Headers"] {
            response.remove(&format!("Access-Control-Allow-{name}"));
        }
        response.remove("Access-Control-Max-Age");
        response.remove("Access-Control-Expose-Headers");
        if self.any_origin() {
            response.add("Access-Control-Allow-Origin", "*");
            if !self.exposed_headers.is_empty() {
                response.add("Access-Control-Expose-Headers", &self.exposed_headers.join(", "));
            }
        } else {
            // Also where no origin asked: a cache would serve that answer to one that does.
            response.add("Vary", "Origin");
        }
    }

    fn build(&self, _: &Scope<'_>) -> Option<Rc<dyn Middleware>> {
        let mut granted = Vec::new();
        if self.credentials {
            write_line(&mut granted, b"Access-Control-Allow-Credentials", b"true");
        }
        let mut exposed = granted.clone();
        if !self.exposed_headers.is_empty() && !self.any_origin() {
            write_line(&mut exposed, b"Access-Control-Expose-Headers", self.exposed_headers.join(", ").as_bytes());
        }
        Some(Rc::new(Rules {
            any: self.any_origin(),
            origins: self.origins.clone(),
            methods: self.methods.clone(),
            headers: self.headers.clone(),
            max_age: self.max_age.get().as_secs(),
            granted,
            exposed,
        }))
    }
}

/// Whether this is an origin as browsers send it, or a pattern of one: scheme, host, perhaps a port.
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let host = host.strip_prefix("*.").unwrap_or(host);
    !scheme.is_empty()
        && !host.is_empty()
        && scheme.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte))
        && host.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._:[]".contains(&byte))
}

/// Whether an origin is the one of a pattern, or below it.
fn matches(pattern: &str, origin: &[u8]) -> bool {
    match pattern.split_once("*.") {
        None => pattern.as_bytes() == origin,
        Some((scheme, host)) => origin
            .strip_prefix(scheme.as_bytes())
            .and_then(|rest| rest.strip_suffix(host.as_bytes()))
            .is_some_and(|name| name.len() > 1 && name.ends_with(b".") && !name.starts_with(b".")),
    }
}

struct Rules {
    any: bool,
    origins: Vec<String>,
    methods: Vec<String>,
    headers: Vec<String>,
    /// Seconds.
    max_age: u64,
    /// Lines for an origin that is allowed, in a preflight's answer.
    granted: Vec<u8>,
    /// And in any other.
    exposed: Vec<u8>,
}

impl Middleware for Rules {
    fn on_request(&self, request: &mut Request<'_>, _: Instant) -> Flow {
        match preflight(request.incoming) {
            Some((origin, method)) => self.answer(request, origin, method),
            None => Flow::Next,
        }
    }

    fn on_response(&self, response: &mut Response<'_>, _: Instant) {
        if self.any {
            return;
        }
        let incoming = response.incoming;
        if let Some(origin) = incoming.head.known(incoming.bytes, Known::Origin).filter(|origin| self.allows(origin)) {
            response.notes.response.add("Access-Control-Allow-Origin", origin);
            response.notes.response.add_lines(&self.exposed);
        }
    }

    fn reads_heads(&self) -> bool {
        false
    }
}

/// The origin and the method that a preflight asks about, if it is one.
pub fn preflight<'a>(incoming: &Incoming<'a>) -> Option<(&'a [u8], &'a [u8])> {
    if incoming.head.method != Method::Options {
        return None;
    }
    let header = |name| incoming.head.header(incoming.bytes, name);
    Some((header("Origin")?, header("Access-Control-Request-Method")?))
}

impl Rules {
    fn allows(&self, origin: &[u8]) -> bool {
        self.any || self.origins.iter().any(|pattern| matches(pattern, origin))
    }

    fn answer(&self, request: &mut Request<'_>, origin: &[u8], method: &[u8]) -> Flow {
        let incoming = request.incoming;
        let simple = [&b"GET"[..], b"HEAD", b"POST"].contains(&method);
        let wanted = incoming.head.header(incoming.bytes, "Access-Control-Request-Headers").unwrap_or_default();
        let any_header = self.headers.iter().any(|header| header == "*");
        let known = |name: &[u8]| name.is_empty() || self.headers.iter().any(|header| header.as_bytes().eq_ignore_ascii_case(name));
        let names = || wanted.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
        let allowed = self.allows(origin)
            && (simple || self.methods.iter().any(|allowed| allowed.as_bytes() == method))
            && names().all(|name| name.is_empty() || (std::str::from_utf8(name).is_ok_and(is_token) && (any_header || known(name))));
        if !allowed {
            return Flow::refuse(Reason::CorsRefused);
        }
        let mut lines = Vec::new();
        if !self.any {
            write_line(&mut lines, b"Access-Control-Allow-Origin", origin);
        }
        lines.extend_from_slice(&self.granted);
        write_line(&mut lines, b"Access-Control-Allow-Methods", self.methods.join(", ").as_bytes());
        if !wanted.is_empty() {
            // What was asked for, each a token by now: "*" wouldn't cover Authorization, nor anything once credentials go along.
            write_line(&mut lines, b"Access-Control-Allow-Headers", wanted);
        }
        write_line(&mut lines, b"Access-Control-Max-Age", self.max_age.to_string().as_bytes());
        write_line(&mut lines, b"Vary", b"Access-Control-Request-Method, Access-Control-Request-Headers");
        // The route's edits take such lines away from answers; changes come after them.
        request.notes.response.add_lines(&lines);
        Flow::Answer(Box::new(Answer { status: 204, ..Answer::default() }))
    }
}
