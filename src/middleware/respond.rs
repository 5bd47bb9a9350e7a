//! An answer of the gateway's own: the route needs no upstream.

use std::collections::BTreeMap;
use std::rc::Rc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Answer, Flow, Middleware, Request, Scope, Settings};
use crate::clock::Instant;
use crate::config::{HeaderEdits, Wrong};
use crate::http::write_line;

/// Settings of `respond`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Respond {
    /// The status.
    #[schemars(range(min = 200, max = 599))]
    pub status: u16,
    /// The body; `${file:..}` reads it from a file. It goes as it is: `compress` and `transform` leave the gateway's own answers alone, so
    /// let an endpoint serve what is large.
    pub body: String,
    /// The body's media type.
    pub content_type: String,
    /// Further headers.
    pub headers: BTreeMap<String, String>,
}

impl Default for Respond {
    fn default() -> Self {
        Respond { status: 200, body: String::new(), content_type: "text/plain; charset=utf-8".into(), headers: BTreeMap::new() }
    }
}

impl Settings for Respond {
    fn problems(&self) -> Vec<Wrong> {
        let edits = HeaderEdits { set_headers: self.headers.clone(), ..HeaderEdits::default() };
        let mut wrong = edits.problems("");
        wrong.iter_mut().for_each(|wrong| wrong.setting = wrong.setting.replacen(".set_headers", "headers", 1));
        if !self.content_type.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
            wrong.push(Wrong::new("content_type", "must be a media type", "as in \"application/json\""));
        }
        if matches!(self.status, 204 | 304) && !self.body.is_empty() {
            wrong.push(Wrong::new("body", "can't be sent: answers with this status have none", "choose another status"));
        }
        wrong
    }

    fn answers(&self) -> bool {
        true
    }

    fn build(&self, _: &Scope<'_>) -> Option<Rc<dyn Middleware>> {
        let mut lines = Vec::new();
        if !self.body.is_empty() {
            write_line(&mut lines, b"Content-Type", self.content_type.as_bytes());
        }
        self.headers.iter().for_each(|(name, value)| write_line(&mut lines, name.as_bytes(), value.as_bytes()));
        Some(Rc::new(Ready(Answer { status: self.status, lines, body: self.body.clone().into_bytes() })))
    }
}

struct Ready(Answer);

impl Middleware for Ready {
    fn on_request(&self, _: &mut Request<'_>, _: Instant) -> Flow {
        Flow::Answer(Box::new(self.0.clone()))
    }
}
