//! JSON bodies edited on their way, of requests and of answers: each is gathered as a whole first. A body of another type, or an encoded
//! one, goes as it is.

use std::collections::BTreeMap;
use std::rc::Rc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::json_edit::{Edit, Path, apply};
use super::{Flow, Middleware, Request, Response, Scope, Settings};
use crate::clock::Instant;
use crate::config::{Size, Wrong};
use crate::error::Reason;
use crate::http::{Field, Framing, Known};

/// Settings of `transform`. Places are JSON pointers (RFC 6901, `/user/name`) or the same with dots (`user.name`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Transform {
    /// Edits of requests' bodies. One that is no JSON is refused (400).
    pub request: JsonEdits,
    /// Edits of answers' bodies. One that is no JSON is not passed on (502). Endpoints are asked for whole and plain answers.
    pub response: JsonEdits,
    /// Bytes of a body. A request's larger one is refused (413).
    pub max_body: Size,
    /// What becomes of an answer that has more.
    pub too_large: TooLarge,
}

/// What becomes of an answer that is too large to be edited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TooLarge {
    /// The client gets an error in its place (502).
    #[default]
    Refuse,
    /// It goes as it is.
    Pass,
}

/// Edits of a JSON body: first what is removed, then what is renamed, then what is set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct JsonEdits {
    /// What is taken away.
    pub remove: Vec<String>,
    /// What gets another name, and which: `"user.mail": "email"` makes it `user.email`.
    pub rename: BTreeMap<String, String>,
    /// What is put where: any JSON.
    pub set: BTreeMap<String, serde_json::Value>,
}

impl Default for Transform {
    fn default() -> Self {
        let (request, response) = (JsonEdits::default(), JsonEdits::default());
        Transform { request, response, max_body: Size::from_bytes(1 << 20), too_large: TooLarge::Refuse }
    }
}

impl JsonEdits {
    fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.rename.is_empty() && self.set.is_empty()
    }

    fn problems(&self, way: &str) -> Vec<Wrong> {
        let removed = self.remove.iter().enumerate().map(|(index, path)| (format!("{way}.remove[{index}]"), path));
        let renamed = self.rename.keys().map(|path| (format!("{way}.rename.{path}"), path));
        let set = self.set.keys().map(|path| (format!("{way}.set.{path}"), path));
        let told = |(setting, path): (String, &String)| {
            let message = Path::parse(path).err()?;
            Some(Wrong { value: Some(path.clone()), ..Wrong::new(&setting, message, "as in \"/user/name\" or \"user.name\"") })
        };
        removed.chain(renamed).chain(set).filter_map(told).collect()
    }

    /// Ready to be applied.
    fn edits(&self) -> Rc<[Edit]> {
        let path = |text: &String| Path::parse(text).ok();
        let removed = self.remove.iter().filter_map(|at| Some(Edit::Remove(path(at)?)));
        let renamed = self.rename.iter().filter_map(|(at, name)| Some(Edit::Rename(path(at)?, name.clone())));
        let set = self.set.iter().filter_map(|(at, value)| Some(Edit::Set(path(at)?, RawValue::from_string(value.to_string()).ok()?)));
        removed.chain(renamed).chain(set).collect()
    }
}

impl Settings for Transform {
    fn problems(&self) -> Vec<Wrong> {
        let mut wrong = self.request.problems("request");
        wrong.extend(self.response.problems("response"));
        if self.request.is_empty() && self.response.is_empty() {
            wrong.push(Wrong::new("response", "edits nothing, nor does request", "name edits, or leave the entry out"));
        }
        if self.max_body.get() == 0 {
            wrong.push(Wrong::new(
                "max_body",
                "is 0: every body would be too large",
                "bodies are gathered whole, so there has to be a limit",
            ));
        }
        wrong
    }

    fn build(&self, _: &Scope<'_>) -> Option<Rc<dyn Middleware>> {
        Some(Rc::new(Transformer {
            request: self.request.edits(),
            response: self.response.edits(),
            most: self.max_body.get(),
            pass: self.too_large == TooLarge::Pass,
        }))
    }
}

/// An answer's body is to be gathered and edited.
#[derive(Clone, Debug)]
pub struct Editing {
    edits: Rc<[Edit]>,
    /// Bytes it may have.
    pub most: u64,
    /// A larger one goes as it is.
    pub pass: bool,
}

impl Editing {
    /// Edits a body.
    ///
    /// # Errors
    /// When it is no JSON.
    pub fn apply(&self, body: &mut Vec<u8>) -> Result<(), Reason> {
        if let Some(edited) = apply(&self.edits, body).map_err(|_| Reason::BadAnswerJson)? {
            *body = edited;
        }
        Ok(())
    }
}

struct Transformer {
    request: Rc<[Edit]>,
    response: Rc<[Edit]>,
    most: u64,
    pass: bool,
}

impl Middleware for Transformer {
    fn on_request(&self, request: &mut Request<'_>, _: Instant) -> Flow {
        if !self.response.is_empty() && !request.again {
            // A part, or an encoded answer, could not be edited.
            let changes = &mut request.notes.request;
            changes.remove("Range");
            changes.remove("If-Range");
            changes.set("Accept-Encoding", b"identity");
        }
        let incoming = request.incoming;
        if self.request.is_empty() || incoming.head.framing == Framing::None || !is_plain_json(&incoming.head.fields, incoming.bytes) {
            return Flow::Next;
        }
        let Some(body) = &mut request.notes.body else { return Flow::Collect(self.most) };
        if body.len() as u64 > self.most {
            return Flow::refuse(Reason::BodyTooLarge);
        }
        match apply(&self.request, body) {
            Ok(None) => {}
            Ok(Some(edited)) => *body = edited,
            Err(_) => return Flow::refuse(Reason::BadJson),
        }
        Flow::Next
    }

    fn reads_heads(&self) -> bool {
        !self.response.is_empty()
    }

    fn on_response(&self, response: &mut Response<'_>, _: Instant) {
        let Some((head, bytes)) = response.head else { return };
        if self.response.is_empty() || head.framing == Framing::None || response.status == 206 || !is_plain_json(&head.fields, bytes) {
            return;
        }
        if let Some(etag) = head.known(bytes, Known::Etag) {
            response.weaken(etag);
        }
        let changes = &mut response.notes.response;
        ["Accept-Ranges", "Content-Digest", "Repr-Digest", "Content-MD5", "Digest"].iter().for_each(|name| changes.remove(name));
        response.notes.rewrites.push(Editing { edits: self.response.clone(), most: self.most, pass: self.pass });
    }
}

/// Whether the body is JSON by its type (RFC 6839 section 3.1), and not encoded.
fn is_plain_json(fields: &[Field], bytes: &[u8]) -> bool {
    let mut json = false;
    for field in fields {
        if field.known == Known::ContentType {
            let kind = field.value.of(bytes).split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
            json = kind == b"application/json" || (kind.starts_with(b"application/") && kind.ends_with(b"+json"));
        } else if field.known == Known::Other && field.name.of(bytes).eq_ignore_ascii_case(b"Content-Encoding") {
            return false;
        }
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_wrong_is_told_all_at_once() {
        let edits = |path: &str| JsonEdits {
            remove: vec!["ok".into(), path.into()],
            rename: [(path.to_owned(), "x".to_owned())].into(),
            set: [(path.to_owned(), serde_json::Value::Null)].into(),
        };
        let settings = Transform { request: edits("a..b"), response: edits("/~"), max_body: Size::from_bytes(0), ..Transform::default() };
        let told: Vec<String> = settings.problems().into_iter().map(|wrong| wrong.setting).collect();
        let expected = ["request.remove[1]", "request.rename.a..b", "request.set.a..b"];
        let more = ["response.remove[1]", "response.rename./~", "response.set./~", "max_body"];
        assert_eq!(told, [&expected[..], &more].concat());
        let told: Vec<String> = Transform::default().problems().into_iter().map(|wrong| wrong.setting).collect();
        assert_eq!(told, ["response"]);
    }
}
