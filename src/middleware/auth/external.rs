//! A service that decides who may come in: it is asked by a request of its own for each request, and what it said may be remembered.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{Fetch, Fetched, Question, Reply, Request};
use super::scheme::{Call, Found, Judgement, Scheme};
use super::{Keyring, Proof};
use crate::auth::{Claims, Seed, Verified};
use crate::config::{Time, Wrong};
use crate::error::Reason;
use crate::http::{is_token, write_line};

/// Settings of `external`. It decides on every request that comes to it, so it stands last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct External {
    /// The upstream that is asked, with a GET that tells of the request in `X-Forwarded-Method`, `-Proto`, `-Host`, `-Uri` and `-For`.
    pub upstream: String,
    /// The path there.
    pub path: String,
    /// Headers of the request that it is shown.
    pub headers: Vec<String>,
    /// Headers of its answer that endpoints get; clients can't send these.
    pub copy_headers: Vec<String>,
    /// Headers of its answer that the client gets with a 401 or 403.
    pub answer_headers: Vec<String>,
    /// The header of its answer that says who the client is.
    pub identity_header: String,
    /// How long an answer may take; then 503.
    pub timeout: Time,
    /// How long a core remembers that the same request was let in. While it is asked about one, others like it wait for the answer. `0s`
    /// asks for each.
    pub remember: Time,
    /// How long it remembers that one was refused.
    pub remember_refused: Time,
}

impl Default for External {
    fn default() -> Self {
        External {
            upstream: String::new(),
            path: "/auth".into(),
            headers: vec!["Authorization".into(), "Cookie".into()],
            copy_headers: Vec::new(),
            answer_headers: vec!["WWW-Authenticate".into()],
            identity_header: String::new(),
            timeout: Time::from_secs(2),
            remember: Time::from_secs(0),
            remember_refused: Time::from_secs(0),
        }
    }
}

/// What is wrong with whom and how to ask.
pub(super) fn asked(upstream: &str, path: &str, timeout: Time) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    if upstream.is_empty() {
        wrong.push(Wrong::new("upstream", "is missing", "name the upstream that is asked"));
    }
    if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) || path.contains('#') {
        wrong.push(Wrong::new("path", "is no path that can be asked for", "it begins with \"/\""));
    }
    if timeout.get().is_zero() {
        wrong.push(Wrong::new("timeout", "must not be \"0s\": requests would wait for ever", ""));
    }
    wrong
}

impl Proof for External {
    fn problems(&self) -> Vec<Wrong> {
        let mut wrong = asked(&self.upstream, &self.path, self.timeout);
        for (setting, names) in [("headers", &self.headers), ("copy_headers", &self.copy_headers), ("answer_headers", &self.answer_headers)]
        {
            for (index, name) in names.iter().enumerate() {
                let framing = super::FRAMING.iter().any(|framing| framing.eq_ignore_ascii_case(name));
                if !is_token(name) || framing || (setting == "headers" && name.to_ascii_lowercase().starts_with("x-forwarded-")) {
                    let message = "is no header that can be passed on here";
                    wrong.push(Wrong { value: Some(name.clone()), ..Wrong::new(&format!("{setting}[{index}]"), message, "") });
                }
            }
        }
        wrong
    }

    fn headers(&self) -> Vec<&str> {
        self.headers.iter().map(String::as_str).filter(|name| !name.eq_ignore_ascii_case("Cookie")).collect()
    }

    fn upstream(&self) -> Option<&str> {
        Some(&self.upstream)
    }

    fn sets(&self) -> Vec<&str> {
        self.copy_headers.iter().map(String::as_str).collect()
    }

    fn build(&self, _: Seed, _: &Rc<Keyring>) -> Box<dyn Scheme> {
        Box::new(Service(self.clone()))
    }
}

struct Service(External);

impl Service {
    /// Those of an answer's headers, as lines.
    fn lines(fetched: &Fetched, names: &[String]) -> Vec<u8> {
        let mut lines = Vec::new();
        for (name, value) in &fetched.headers {
            if names.iter().any(|other| other.eq_ignore_ascii_case(name)) {
                write_line(&mut lines, name.as_bytes(), value);
            }
        }
        lines
    }

    fn judge(&self, fetched: &Fetched) -> Judgement {
        let settings = &self.0;
        let reason = match fetched.status {
            200..=299 => {
                let named = fetched.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(&settings.identity_header));
                let name = named.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default();
                let claims = Claims::from_iter([("sub".to_owned(), name.into())]);
                let lines = Service::lines(fetched, &settings.copy_headers);
                return Judgement::Verified(Verified::new(claims, "external").into(), lines, settings.remember.get());
            }
            401 => Reason::AuthInvalid,
            403 => Reason::AuthForbidden,
            _ => return Judgement::Refused(Reason::AuthUnavailable, None, Duration::ZERO),
        };
        let lines = Service::lines(fetched, &settings.answer_headers);
        Judgement::Refused(reason, Some(lines), settings.remember_refused.get())
    }
}

impl Scheme for Service {
    fn kind(&self) -> &'static str {
        "external"
    }

    fn challenge(&self) -> (&'static str, &'static str) {
        ("External", "")
    }

    fn reads_lines_only(&self) -> bool {
        false
    }

    /// All that the service is told: the same is judged the same.
    fn find<'a>(&self, request: &Request<'a>) -> Found<'a> {
        let incoming = request.incoming;
        let (head, bytes) = (incoming.head, incoming.bytes);
        let mut lines = Vec::with_capacity(512);
        write_line(&mut lines, b"X-Forwarded-Method", head.method_name.of(bytes));
        write_line(&mut lines, b"X-Forwarded-Proto", if incoming.secure { b"https" } else { b"http" });
        write_line(&mut lines, b"X-Forwarded-Host", head.host.of(bytes));
        let mut uri = request.path.to_vec();
        if head.has_query {
            uri.push(b'?');
            uri.extend_from_slice(head.query.of(bytes));
        }
        write_line(&mut lines, b"X-Forwarded-Uri", &uri);
        write_line(&mut lines, b"X-Forwarded-For", request.client().to_string().as_bytes());
        for field in &head.fields {
            let name = field.name.of(bytes);
            if !field.hop && self.0.headers.iter().any(|other| name.eq_ignore_ascii_case(other.as_bytes())) {
                write_line(&mut lines, name, field.value.of(bytes));
            }
        }
        Found::There(Cow::Owned(lines))
    }

    fn check(&self, credential: &[u8], call: Call) -> Judgement {
        match call.reply.map(|reply| *reply) {
            None => Judgement::Ask(Box::new(Question::Fetch(Fetch {
                upstream: self.0.upstream.clone(),
                method: "GET",
                path: self.0.path.clone(),
                lines: credential.to_vec(),
                body: Vec::new(),
                timeout: self.0.timeout.get(),
                shared: !self.0.remember.get().is_zero(),
            }))),
            Some(Reply::Fetched(fetched)) => self.judge(&fetched),
            Some(_) => Judgement::Refused(Reason::AuthUnavailable, None, Duration::ZERO),
        }
    }
}
