//! User names and passwords. Checking one takes long on purpose, so that is asked of others, and what came of it is remembered.

use std::rc::Rc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{Password, Question, Reply, Request};
use super::scheme::{Call, Found, Judgement, Scheme, authorization};
use super::{Keyring, Proof};
use crate::auth::{Claims, Seed, Users, Verified, credentials};
use crate::config::{Time, Wrong};
use crate::error::Reason;

/// Settings of `basic`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Basic {
    /// What `htpasswd -B` writes, most often `${file:/etc/ringway/htpasswd}`: a line `USER:HASH` each, with bcrypt or argon2.
    pub users: String,
    /// How long a core remembers that a password is right; `0s` has it checked for each request.
    pub remember: Time,
    /// How long it remembers that one is wrong.
    pub remember_wrong: Time,
}

impl Default for Basic {
    fn default() -> Self {
        Basic { users: String::new(), remember: Time::from_secs(300), remember_wrong: Time::from_secs(10) }
    }
}

impl Proof for Basic {
    fn problems(&self) -> Vec<Wrong> {
        match Users::read(&self.users) {
            Ok(users) if users.is_empty() => vec![Wrong::new("users", "is empty: nobody could come in", "a line is USER:HASH")],
            Ok(_) => Vec::new(),
            Err((line, problem)) => vec![Wrong::new("users", &format!("in line {line} {problem}"), "a line is USER:HASH")],
        }
    }

    fn headers(&self) -> Vec<&str> {
        vec!["Authorization"]
    }

    fn build(&self, _: Seed, _: &Rc<Keyring>) -> Box<dyn Scheme> {
        Box::new(Passwords { users: Users::read(&self.users).unwrap_or_default(), settings: self.clone() })
    }
}

struct Passwords {
    users: Users,
    settings: Basic,
}

impl Scheme for Passwords {
    fn kind(&self) -> &'static str {
        "basic"
    }

    fn challenge(&self) -> (&'static str, &'static str) {
        ("Basic", ", charset=\"UTF-8\"")
    }

    fn find<'a>(&self, request: &Request<'a>) -> Found<'a> {
        authorization(request.incoming, "Basic")
    }

    fn check(&self, credential: &[u8], call: Call) -> Judgement {
        let wrong = Judgement::Refused(Reason::AuthInvalid, None, self.settings.remember_wrong.get());
        let Some((user, password)) = credentials(credential) else { return wrong };
        let Some((hash, known)) = self.users.hash(&user) else { return wrong };
        match call.reply.as_deref() {
            None => Judgement::Ask(Box::new(Question::Password(hash.clone(), Password(password)))),
            Some(Reply::Password(true)) if known => {
                let claims = Claims::from_iter([("sub".to_owned(), user.into())]);
                Judgement::Verified(Verified::new(claims, "basic").into(), Vec::new(), self.settings.remember.get())
            }
            Some(Reply::Password(_)) => wrong,
            Some(_) => Judgement::Refused(Reason::AuthBusy, None, std::time::Duration::ZERO),
        }
    }
}
