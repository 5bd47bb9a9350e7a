//! What a stored response is found by: its URL, and beside that its route and what the route's settings add.

use std::borrow::Cow;
use std::hash::{BuildHasher, Hasher};

use super::{Ask, Policy};
use crate::http::{Known, RequestHead};

/// A request's URL, in parts of the request where that has them as they're stored.
pub(super) struct Key<'a> {
    scheme: &'static [u8],
    host: Cow<'a, [u8]>,
    path: &'a [u8],
    query: Option<Cow<'a, [u8]>>,
    pub(super) hash: u64,
}

impl<'a> Key<'a> {
    /// The key of a request.
    pub(super) fn of_ask(ask: &Ask<'a>, hasher: &impl BuildHasher) -> Self {
        let Ask { policy, head, bytes, path, secure, .. } = *ask;
        let query = head.has_query.then(|| head.query.of(bytes));
        let query = match (&policy.query, query) {
            (Some(names), Some(query)) => filtered(query, names).map(Cow::Owned),
            (_, query) => query.map(Cow::Borrowed),
        };
        Key::of(secure, host(head.host.of(bytes), secure), path, query, hasher)
    }

    /// The key of another URL on the same host. `None` if it is on another one.
    pub(super) fn relative(&self, reference: &'a [u8], hasher: &impl BuildHasher) -> Option<Key<'a>> {
        let secure = self.scheme == HTTPS;
        let rest = if let Some(rest) = reference.strip_prefix(self.scheme).or_else(|| reference.strip_prefix(b"//")) {
            let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
            if host(&rest[..end], secure) != self.host {
                return None;
            }
            if rest[end..].starts_with(b"/") { &rest[end..] } else { return None }
        } else {
            reference
        };
        // A path relative to another isn't worth resolving: few send one, and what it leaves stored is fresh by its own word.
        if !rest.starts_with(b"/") {
            return None;
        }
        let rest = rest.split(|&byte| byte == b'#').next()?;
        let at = rest.iter().position(|&byte| byte == b'?');
        let (path, query) = at.map_or((rest, None), |at| (&rest[..at], Some(Cow::Borrowed(&rest[at + 1..]))));
        Some(Key::of(secure, Cow::Owned(self.host.to_vec()), path, query, hasher))
    }

    fn of(secure: bool, host: Cow<'a, [u8]>, path: &'a [u8], query: Option<Cow<'a, [u8]>>, hasher: &impl BuildHasher) -> Self {
        let mut hasher = hasher.build_hasher();
        hasher.write(&host);
        hasher.write(path);
        hasher.write(query.as_deref().unwrap_or_default());
        Key { scheme: if secure { HTTPS } else { HTTP }, host, path, query, hash: hasher.finish() }
    }

    /// Whether this text is the URL.
    #[inline]
    pub(super) fn is(&self, text: &[u8]) -> bool {
        let rest =
            text.strip_prefix(self.scheme).and_then(|rest| rest.strip_prefix(&*self.host)).and_then(|rest| rest.strip_prefix(self.path));
        match (rest, &self.query) {
            (Some(rest), None) => rest.is_empty(),
            (Some([b'?', rest @ ..]), Some(query)) => *rest == **query,
            _ => false,
        }
    }

    /// Appends the URL.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for part in [self.scheme, &self.host, self.path] {
            out.extend_from_slice(part);
        }
        if let Some(query) = &self.query {
            out.push(b'?');
            out.extend_from_slice(query);
        }
    }

    /// The URL.
    pub(super) fn text(&self) -> Box<[u8]> {
        let mut text = Vec::new();
        self.write(&mut text);
        text.into()
    }
}

/// The hash that the key of this URL has. `None` if the text is no such URL.
pub(super) fn hash_of(url: &[u8], hasher: &impl BuildHasher) -> Option<u64> {
    let (secure, rest) = match url.strip_prefix(HTTP) {
        Some(rest) => (false, rest),
        None => (true, url.strip_prefix(HTTPS)?),
    };
    let at = rest.iter().position(|&byte| byte == b'/')?;
    let (authority, rest) = rest.split_at(at);
    let question = rest.iter().position(|&byte| byte == b'?');
    let (path, query) = question.map_or((rest, None), |at| (&rest[..at], Some(Cow::Borrowed(&rest[at + 1..]))));
    let key = Key::of(secure, host(authority, secure), path, query, hasher);
    key.is(url).then_some(key.hash)
}

/// What the policy's further parts of the key are in this request; each with its length, so that no two lists look alike.
pub(super) fn extra(policy: &Policy, head: &RequestHead, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut add = |value: Option<&[u8]>| {
        out.extend_from_slice(&value.map_or(u32::MAX, |value| value.len() as u32).to_le_bytes());
        out.extend_from_slice(value.unwrap_or_default());
    };
    for name in &policy.key_headers {
        let mut values =
            head.fields.iter().filter(|field| field.name.of(bytes).eq_ignore_ascii_case(name)).map(|field| field.value.of(bytes));
        let all: Option<Vec<u8>> = values.next().map(|first| values.fold(first.to_vec(), |all, next| [&all, next].join(&b","[..])));
        add(all.as_deref());
    }
    for name in &policy.key_cookies {
        add(cookie(head, bytes, name));
    }
    out
}

/// The value of the first cookie of this name (RFC 6265 section 4.2.1).
fn cookie<'a>(head: &RequestHead, bytes: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let lines = head.fields.iter().filter(|field| field.known == Known::Cookie);
    lines.flat_map(|field| field.value.of(bytes).split(|&byte| byte == b';')).find_map(|pair| {
        let pair = pair.trim_ascii();
        pair.strip_prefix(name)?.strip_prefix(b"=")
    })
}

/// A host in lower case without the port that goes without saying.
fn host(host: &[u8], secure: bool) -> Cow<'_, [u8]> {
    let host = host.strip_suffix(if secure { &b":443"[..] } else { b":80" }).unwrap_or(host);
    if host.iter().any(u8::is_ascii_uppercase) { Cow::Owned(host.to_ascii_lowercase()) } else { Cow::Borrowed(host) }
}

/// The parameters of these names, in order of names and then as they stand. `None` if there are none.
fn filtered(query: &[u8], names: &[Box<[u8]>]) -> Option<Vec<u8>> {
    let mut kept = Vec::new();
    for name in names {
        for pair in query.split(|&byte| byte == b'&') {
            if pair.split(|&byte| byte == b'=').next() == Some(name) {
                kept.push(pair);
            }
        }
    }
    (!kept.is_empty()).then(|| kept.join(&b'&'))
}

const HTTP: &[u8] = b"http://";
const HTTPS: &[u8] = b"https://";
