//! Secrets that the configuration lists: bearer tokens in `Authorization`, API keys elsewhere.

use std::rc::Rc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::Request;
use super::link::STATIC;
use super::scheme::{Call, Found, Judgement, Scheme, authorization, cookie, header, query, strip_cookie, without};
use super::{Keyring, Proof};
use crate::auth::{List, Seed, Token, Tokens};
use crate::config::Wrong;
use crate::error::Reason;
use crate::http::is_token;

/// Settings of `bearer`: tokens that are let in. Each core keeps their SHA-256 only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Bearer {
    /// The tokens, one by one.
    pub tokens: Vec<Token>,
    /// And those of a text, most often `${file:/run/secrets/tokens}`: a line `NAME SECRET [SCOPE ...]` each, `#` begins a comment.
    pub list: List,
}

/// Settings of `api_key`: keys that are let in. Each core keeps their SHA-256 only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ApiKey {
    /// The header it is looked for in first; empty doesn't look.
    pub header: String,
    /// The query parameter it is looked for in then; empty doesn't look. Queries get into logs and histories: prefer a header.
    pub query: String,
    /// The cookie it is looked for in last; empty doesn't look.
    pub cookie: String,
    /// The keys, one by one.
    pub keys: Vec<Token>,
    /// And those of a text, as a bearer's `list`.
    pub list: List,
}

impl Default for ApiKey {
    fn default() -> Self {
        ApiKey { header: "X-API-Key".into(), query: String::new(), cookie: String::new(), keys: Vec::new(), list: List::default() }
    }
}

/// What is wrong with a list of secrets.
fn problems(setting: &str, tokens: &[Token], list: &List) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        if token.name.is_empty() {
            wrong.push(Wrong::new(&format!("{setting}[{index}].name"), "must not be empty", "logs call the client so"));
        }
        if let Some(problem) = token.secret.problem() {
            wrong.push(Wrong::new(&format!("{setting}[{index}].secret"), problem, ""));
        }
    }
    match &list.0 {
        Err((line, problem)) => wrong.push(Wrong::new("list", &format!("in line {line} {problem}"), "a line is NAME SECRET [SCOPE ...]")),
        Ok(more) if more.is_empty() && tokens.is_empty() => {
            wrong.push(Wrong::new(setting, "is empty, as is list: nobody could come in", ""));
        }
        Ok(more) if more.len() + tokens.len() > TOKENS_MAX => {
            wrong.push(Wrong::new(setting, &format!("are more than {TOKENS_MAX}, with those of list"), ""));
        }
        Ok(_) => {}
    }
    wrong
}

fn all(tokens: &[Token], list: &List, seed: Seed) -> Tokens {
    let all: Vec<Token> = tokens.iter().chain(list.0.iter().flatten()).cloned().collect();
    Tokens::new(&all, seed)
}

fn judge(tokens: &Tokens, credential: &[u8]) -> Judgement {
    match tokens.find(credential) {
        Some(verified) => Judgement::Verified(verified.clone(), Vec::new(), STATIC),
        None => Judgement::Refused(Reason::AuthInvalid, None, Duration::ZERO),
    }
}

impl Proof for Bearer {
    fn problems(&self) -> Vec<Wrong> {
        problems("tokens", &self.tokens, &self.list)
    }

    fn headers(&self) -> Vec<&str> {
        vec!["Authorization"]
    }

    fn build(&self, seed: Seed, _: &Rc<Keyring>) -> Box<dyn Scheme> {
        Box::new(Bearers(all(&self.tokens, &self.list, seed)))
    }
}

struct Bearers(Tokens);

impl Scheme for Bearers {
    fn kind(&self) -> &'static str {
        "bearer"
    }

    fn challenge(&self) -> (&'static str, &'static str) {
        ("Bearer", "")
    }

    fn find<'a>(&self, request: &Request<'a>) -> Found<'a> {
        authorization(request.incoming, "Bearer")
    }

    fn check(&self, credential: &[u8], _: Call) -> Judgement {
        judge(&self.0, credential)
    }
}

impl Proof for ApiKey {
    fn problems(&self) -> Vec<Wrong> {
        let mut wrong = problems("keys", &self.keys, &self.list);
        let places = [("header", &self.header), ("query", &self.query), ("cookie", &self.cookie)];
        for (place, name) in places.iter().filter(|(_, name)| !name.is_empty() && !is_token(name)) {
            wrong.push(Wrong { value: Some((*name).clone()), ..Wrong::new(place, "can't be a name there", "") });
        }
        if places.iter().all(|(_, name)| name.is_empty()) {
            wrong.push(Wrong::new("header", "is empty, as are query and cookie: the key is looked for nowhere", ""));
        }
        wrong
    }

    fn headers(&self) -> Vec<&str> {
        if self.header.is_empty() { Vec::new() } else { vec![&self.header] }
    }

    fn build(&self, seed: Seed, _: &Rc<Keyring>) -> Box<dyn Scheme> {
        let ApiKey { header, query, cookie, keys, list } = self;
        Box::new(Keys { header: header.clone(), query: query.clone(), cookie: cookie.clone(), tokens: all(keys, list, seed) })
    }
}

struct Keys {
    header: String,
    query: String,
    cookie: String,
    tokens: Tokens,
}

impl Scheme for Keys {
    fn kind(&self) -> &'static str {
        "api_key"
    }

    fn challenge(&self) -> (&'static str, &'static str) {
        ("ApiKey", "")
    }

    fn find<'a>(&self, request: &Request<'a>) -> Found<'a> {
        let incoming = request.incoming;
        let mut found = Found::Absent;
        if !self.header.is_empty() {
            found = header(incoming, &self.header);
        }
        if found == Found::Absent && !self.query.is_empty() {
            found = query(incoming, &self.query);
        }
        if found == Found::Absent && !self.cookie.is_empty() {
            found = cookie(incoming, &self.cookie);
        }
        found
    }

    fn reads_lines_only(&self) -> bool {
        self.query.is_empty()
    }

    fn strip(&self, request: &mut Request<'_>) {
        let incoming = request.incoming;
        if !self.query.is_empty() && incoming.head.has_query {
            request.notes.query = Some(without(incoming.head.query.of(incoming.bytes), b'&', &self.query));
        }
        if !self.cookie.is_empty() {
            strip_cookie(request, &self.cookie);
        }
    }

    fn check(&self, credential: &[u8], _: Call) -> Judgement {
        judge(&self.tokens, credential)
    }
}

/// Secrets of one list.
const TOKENS_MAX: usize = 100_000;
