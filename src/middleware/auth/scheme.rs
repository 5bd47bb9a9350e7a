//! One way to prove who one is, on one core: finds the credential in a request and checks it.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

use super::super::{Incoming, Question, Reply, Request};
use crate::auth::Verified;
use crate::clock::Instant;
use crate::error::Reason;
use crate::http::{Known, unescaped};

/// One way on one core.
pub(super) trait Scheme {
    /// Its name in metrics.
    fn kind(&self) -> &'static str;

    /// What a client is told it may prove itself with (RFC 9110 section 11.3): the scheme, and parameters beside the realm.
    fn challenge(&self) -> (&'static str, &'static str);

    /// The credential in a request.
    fn find<'a>(&self, request: &Request<'a>) -> Found<'a>;

    /// Takes a credential away that doesn't stand in one of its headers. Only what [`Scheme::find`] finds.
    fn strip(&self, request: &mut Request<'_>) {
        let _ = request;
    }

    /// Differs where the same credential may be judged otherwise.
    fn version(&self) -> u64 {
        0
    }

    /// Whose credential it is.
    fn check(&self, credential: &[u8], call: Call) -> Judgement;
}

/// A credential in a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// There is none.
    Absent,
    /// There is something of another form, which another way may know.
    Foreign,
    /// There is more than one.
    Repeated,
    /// There is one.
    There(Cow<'a, [u8]>),
}

/// What a check goes by besides the credential.
pub(super) struct Call {
    /// The answer to what it asked before.
    pub reply: Option<Box<Reply>>,
    /// Seconds since 1970 began.
    pub wall: u64,
    /// The present moment.
    pub now: Instant,
    /// It paused before.
    pub again: bool,
}

/// What came of a check.
pub(super) enum Judgement {
    /// It is theirs; endpoints get these header lines beside those of claims. It may be remembered for so long.
    Verified(Rc<Verified>, Vec<u8>, Duration),
    /// It is nobody's, for this reason; the client gets these header lines, if there are any, in place of the usual challenge. It may be
    /// remembered for so long.
    Refused(Reason, Option<Vec<u8>>, Duration),
    /// That may be known after so long: this is asked once.
    Pause(Duration),
    /// That depends on the answer to this.
    Ask(Box<Question>),
}

/// What follows this scheme in `Authorization` (RFC 9110 section 11.6.2). A second `Authorization` is refused whatever it says: another
/// reader might take that one.
#[inline]
pub(super) fn authorization<'a>(incoming: &'a Incoming<'a>, scheme: &str) -> Found<'a> {
    let mut values = incoming.head.fields.iter().filter(|field| field.known == Known::Authorization);
    let Some(first) = values.next() else { return Found::Absent };
    if values.next().is_some() {
        return Found::Repeated;
    }
    let value = first.value.of(incoming.bytes);
    match value.split_at_checked(scheme.len()) {
        Some((name, rest)) if name.eq_ignore_ascii_case(scheme.as_bytes()) && (rest.is_empty() || rest[0] == b' ') => {
            Found::There(Cow::Borrowed(rest.trim_ascii_start()))
        }
        _ => Found::Absent,
    }
}

/// The value of a header that must not be there twice.
pub(super) fn header<'a>(incoming: &'a Incoming<'a>, name: &str) -> Found<'a> {
    let bytes = incoming.bytes;
    one(incoming.head.fields.iter().filter(|field| is(field.name.of(bytes), name)).map(|field| field.value.of(bytes)))
}

#[inline]
fn is(bytes: &[u8], name: &str) -> bool {
    bytes.len() == name.len() && bytes.eq_ignore_ascii_case(name.as_bytes())
}

/// The value of a query parameter that must not be there twice, its escapes undone.
pub(super) fn query<'a>(incoming: &'a Incoming<'a>, name: &str) -> Found<'a> {
    if !incoming.head.has_query {
        return Found::Absent;
    }
    let pairs = incoming.head.query.of(incoming.bytes).split(|&byte| byte == b'&');
    let values = pairs.filter_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
    match one(values) {
        // What is no escape stays as it is: no secret holds a `%`.
        Found::There(value) if value.contains(&b'%') => Found::There(Cow::Owned(unescaped(&value))),
        found => found,
    }
}

/// The value of a cookie that must not be there twice.
pub(super) fn cookie<'a>(incoming: &'a Incoming<'a>, name: &str) -> Found<'a> {
    one(incoming.head.cookies(incoming.bytes, name.as_bytes()))
}

fn one<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Found<'a> {
    let Some(first) = values.next() else { return Found::Absent };
    if values.next().is_some() { Found::Repeated } else { Found::There(Cow::Borrowed(first)) }
}

/// Takes a cookie away, wherever it stands.
pub(super) fn strip_cookie(request: &mut Request<'_>, name: &str) {
    let incoming = request.incoming;
    if incoming.cookie(name).is_none() {
        return;
    }
    let changes = &mut request.notes.request;
    changes.remove("Cookie");
    for field in incoming.head.fields.iter().filter(|field| field.known == Known::Cookie) {
        let rest = without(field.value.of(incoming.bytes), b';', name);
        if !rest.trim_ascii().is_empty() {
            changes.add("Cookie", rest.trim_ascii());
        }
    }
}

/// Pairs without those of a name, as they stand.
pub(super) fn without(pairs: &[u8], separator: u8, name: &str) -> Vec<u8> {
    let is = |pair: &&[u8]| pair.trim_ascii_start().strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'='));
    pairs.split(|&byte| byte == separator).filter(|pair| !is(pair)).collect::<Vec<_>>().join(&separator)
}
