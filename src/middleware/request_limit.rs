//! How large a route's requests may be: of a body in place of what the gateway takes (`limits.body`), of a head below it.

use std::rc::Rc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Flow, Middleware, Request, Scope, Settings};
use crate::clock::Instant;
use crate::config::{Size, Wrong};
use crate::error::Reason;
use crate::http::Framing;

/// Settings of `request_limit`; zero is no limit besides the gateway's. Of several with a limit of the body, the smallest counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RequestLimit {
    /// Bytes of a body (413 beyond), in place of `limits.body`: less or more. One without a length is cut where it goes beyond.
    pub body: Size,
    /// Bytes of a target (414 beyond).
    pub uri: Size,
    /// Header fields (431 beyond).
    pub headers: u32,
}

impl Default for RequestLimit {
    fn default() -> Self {
        RequestLimit { body: Size::from_bytes(1 << 20), uri: Size::from_bytes(0), headers: 0 }
    }
}

impl Settings for RequestLimit {
    fn problems(&self) -> Vec<Wrong> {
        if self.body.get() == 0 && self.uri.get() == 0 && self.headers == 0 {
            return vec![Wrong::new("body", "is no limit, nor is any other", "set one, or leave the entry out")];
        }
        Vec::new()
    }

    fn build(&self, _: &Scope<'_>) -> Option<Rc<dyn Middleware>> {
        Some(Rc::new(Limit { body: self.body.get(), uri: self.uri.get(), headers: self.headers as usize }))
    }
}

struct Limit {
    body: u64,
    uri: u64,
    headers: usize,
}

impl Middleware for Limit {
    fn on_request(&self, request: &mut Request<'_>, _: Instant) -> Flow {
        let head = request.incoming.head;
        if self.uri != 0 && u64::from(head.target.end - head.target.start) > self.uri {
            return Flow::refuse(Reason::UriTooLong);
        }
        if self.headers != 0 && head.fields.len() > self.headers {
            return Flow::refuse(Reason::TooManyHeaders);
        }
        match head.framing {
            Framing::Length(length) if self.body != 0 && length > self.body => return Flow::refuse(Reason::BodyTooLarge),
            Framing::Length(_) | Framing::Chunked if self.body != 0 => request.notes.limit_body(self.body),
            _ => {}
        }
        Flow::Next
    }

    fn reads_heads(&self) -> bool {
        false
    }
}
