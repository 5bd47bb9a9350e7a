//! gRPC-Web: calls of browsers go to the endpoint as gRPC, and its answers come back as browsers can read them. This decides; `proxy` moves
//! the bytes through a writer.

use std::rc::Rc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Encoding, Flow, Incoming, Middleware, Request, Response, Scope, Settings};
use crate::clock::Instant;
use crate::config::Size;
use crate::error::Reason;
use crate::http::{Changes, Framing, Known, Version};
use crate::http2::grpc::rest_of_kind;
use crate::http2::web::{Form, decode};

/// Settings of `grpc_web`. Requests of other types are left alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GrpcWeb {
    /// Bytes of a request in text form, which is gathered as a whole to be decoded (413 beyond); those in binary form pass as they come.
    pub max_text: Size,
}

impl Default for GrpcWeb {
    fn default() -> Self {
        GrpcWeb { max_text: Size::from_bytes(8 << 20) }
    }
}

impl Settings for GrpcWeb {
    fn build(&self, _: &Scope<'_>) -> Option<Rc<dyn Middleware>> {
        Some(Rc::new(Translator { max_text: self.max_text.get() }))
    }
}

/// Lets pages of other origins read a status that stands in the head, as it does where nothing else is told.
pub fn expose_status(incoming: &Incoming<'_>, changes: &mut Changes) {
    if incoming.head.known(incoming.bytes, Known::Origin).is_some() {
        changes.add("Access-Control-Expose-Headers", b"grpc-status, grpc-message");
    }
}

struct Translator {
    max_text: u64,
}

impl Middleware for Translator {
    fn on_request(&self, request: &mut Request<'_>, _: Instant) -> Flow {
        let (head, bytes) = (request.incoming.head, request.incoming.bytes);
        let Some(wanted) = Form::wanted(head, bytes).filter(|_| head.version == Version::Http11) else { return Flow::Next };
        let Some((form, rest)) = head.known(bytes, Known::ContentType).and_then(Form::of) else { return Flow::Next };
        if form == Form::Text {
            let Some(text) = &mut request.notes.body else { return Flow::Collect(self.max_text) };
            if text.len() as u64 > self.max_text {
                return Flow::refuse(Reason::BodyTooLarge);
            }
            let Some(decoded) = decode(text) else { return Flow::refuse(Reason::BadBase64) };
            *text = decoded;
        }
        let notes = &mut *request.notes;
        notes.request.set("Content-Type", &[b"application/grpc", rest].concat());
        notes.web = Some(wanted);
        Flow::Next
    }

    fn on_response(&self, response: &mut Response<'_>, _: Instant) {
        let (Some(form), Some((head, bytes))) = (response.notes.web, response.head) else { return };
        let Some(rest) = head.known(bytes, Known::ContentType).and_then(rest_of_kind) else { return };
        let changes = &mut response.notes.response;
        expose_status(response.incoming, changes);
        changes.set("Content-Type", &form.kind(if rest.is_empty() { b"+proto" } else { rest }));
        if !matches!(head.framing, Framing::None | Framing::Length(0)) {
            changes.remove("Content-Length");
            response.notes.encoding = Some(Encoding::Web(form));
        }
    }
}
