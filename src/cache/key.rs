//! What a stored response is found by: its URL, and beside that its route and what the route's settings add.

use std::hash::{BuildHasher, Hasher};

use super::Ask;

/// A URL in parts, each in the form it is stored in.
#[derive(Clone, Copy)]
pub(super) struct Key<'a> {
    secure: bool,
    has_query: bool,
    host: &'a [u8],
    path: &'a [u8],
    query: &'a [u8],
    pub(super) hash: u64,
}

/// What of a key isn't as it stands in the request.
#[derive(Default)]
pub(super) struct Rewritten {
    host: Vec<u8>,
    query: Vec<u8>,
}

impl<'a> Key<'a> {
    /// The key of a request. Nearly all are borrowed from it as they are.
    #[inline]
    pub(super) fn of_ask(ask: &Ask<'a>, rewritten: &'a mut Rewritten, hasher: &impl BuildHasher) -> Self {
        let Ask { policy, head, bytes, path, secure, .. } = *ask;
        let (mut host, mut has_query) = (plain_host(head.host.of(bytes), secure), head.has_query);
        let mut query = if has_query { head.query.of(bytes) } else { b"" };
        if has_capitals(host) {
            rewritten.host = host.to_ascii_lowercase();
            host = &rewritten.host;
        }
        if has_query && let Some(names) = &policy.query {
            has_query = filter(query, names, &mut rewritten.query);
            query = &rewritten.query;
        }
        Key { secure, has_query, host, path, query, hash: 0 }.hashed(hasher)
    }

    /// The key of another URL on the same host. `None` if it is on another one.
    pub(super) fn relative(&self, reference: &'a [u8], hasher: &impl BuildHasher) -> Option<Key<'a>> {
        let rest = if let Some(rest) = reference.strip_prefix(scheme(self.secure)).or_else(|| reference.strip_prefix(b"//")) {
            let end = rest.iter().position(|&byte| byte == b'/')?;
            if !plain_host(&rest[..end], self.secure).eq_ignore_ascii_case(self.host) {
                return None;
            }
            &rest[end..]
        } else {
            reference
        };
        // A path relative to another isn't worth resolving: few send one, and what it leaves stored is fresh by its own word.
        if !rest.starts_with(b"/") {
            return None;
        }
        let rest = rest.split(|&byte| byte == b'#').next()?;
        Some(Key::split(self.secure, self.host, rest).hashed(hasher))
    }

    /// The key of a host and what follows it in a URL.
    fn split(secure: bool, host: &'a [u8], rest: &'a [u8]) -> Self {
        let at = rest.iter().position(|&byte| byte == b'?');
        let (path, query) = at.map_or((rest, &b""[..]), |at| (&rest[..at], &rest[at + 1..]));
        Key { secure, has_query: at.is_some(), host, path, query, hash: 0 }
    }

    #[inline]
    fn hashed(self, hasher: &impl BuildHasher) -> Self {
        let mut hasher = hasher.build_hasher();
        hasher.write(self.host);
        hasher.write(self.path);
        if self.has_query {
            hasher.write(self.query);
        }
        Key { hash: hasher.finish(), ..self }
    }

    /// Whether this text is the URL.
    #[inline]
    pub(super) fn is(&self, text: &[u8]) -> bool {
        let scheme = scheme(self.secure).len();
        let host = scheme + self.host.len();
        let path = host + self.path.len();
        // Which of the two schemes a stored URL has, the place of its colon tells.
        text.len() == path + self.query.len() + usize::from(self.has_query)
            && text[scheme - 3] == b':'
            && text[scheme..host] == *self.host
            && text[host..path] == *self.path
            && (!self.has_query || (text[path] == b'?' && text[path + 1..] == *self.query))
    }

    /// Appends the URL.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for part in [scheme(self.secure), self.host, self.path] {
            out.extend_from_slice(part);
        }
        if self.has_query {
            out.push(b'?');
            out.extend_from_slice(self.query);
        }
    }

    /// The URL.
    pub(super) fn text(&self) -> Box<[u8]> {
        let length = scheme(self.secure).len() + self.host.len() + self.path.len() + 1 + self.query.len();
        let mut text = Vec::with_capacity(length - usize::from(!self.has_query));
        self.write(&mut text);
        text.into()
    }
}

/// The hash that the key of this URL has. `None` if the text is no such URL.
pub(super) fn hash_of(url: &[u8], hasher: &impl BuildHasher) -> Option<u64> {
    let secure = url.starts_with(scheme(true));
    let rest = url.strip_prefix(scheme(secure))?;
    let (host, rest) = rest.split_at(rest.iter().position(|&byte| byte == b'/')?);
    let written = !has_capitals(host) && plain_host(host, secure) == host;
    written.then(|| Key::split(secure, host, rest).hashed(hasher).hash)
}

/// What the policy's further parts of the key are in this request; each with its length, so that no two lists look alike.
pub(super) fn extra(ask: &Ask<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut add = |value: Option<&[u8]>| {
        out.extend_from_slice(&value.map_or(u32::MAX, |value| value.len() as u32).to_le_bytes());
        out.extend_from_slice(value.unwrap_or_default());
    };
    for name in &ask.policy.key_headers {
        let mut values = ask.values(name);
        let all: Option<Vec<u8>> = values.next().map(|first| values.fold(first.to_vec(), |all, next| [&all, next].join(&b","[..])));
        add(all.as_deref());
    }
    for name in &ask.policy.key_cookies {
        add(ask.head.cookies(ask.bytes, name).next());
    }
    out
}

/// A host without the port that goes without saying.
#[inline]
fn plain_host(host: &[u8], secure: bool) -> &[u8] {
    match host {
        [host @ .., b':', b'4', b'4', b'3'] if secure => host,
        [host @ .., b':', b'8', b'0'] if !secure => host,
        host => host,
    }
}

/// Whether there is any capital letter; eight bytes at a time.
#[inline]
fn has_capitals(text: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // The highest bit of a byte that is `A` to `Z`; one above ASCII may be taken for one too, which costs time only.
    let capitals = |word: u64| {
        let low = word & (ONES * 0x7f);
        (low + ONES * (0x80 - b'A' as u64)) & !(low + ONES * (0x80 - b'Z' as u64 - 1)) & (ONES << 7)
    };
    let (words, rest) = text.as_chunks::<8>();
    let found = words.iter().fold(0, |found, word| found | capitals(u64::from_le_bytes(*word)));
    match text.last_chunk::<8>() {
        Some(last) => found | capitals(u64::from_le_bytes(*last)) != 0,
        None => rest.iter().any(u8::is_ascii_uppercase),
    }
}

/// Writes the parameters of these names, in order of names and then as they stand; whether there are any.
fn filter(query: &[u8], names: &[Box<[u8]>], out: &mut Vec<u8>) -> bool {
    let mut kept = Vec::new();
    for name in names {
        for pair in query.split(|&byte| byte == b'&') {
            if pair.split(|&byte| byte == b'=').next() == Some(name) {
                kept.push(pair);
            }
        }
    }
    *out = kept.join(&b'&');
    !kept.is_empty()
}

const fn scheme(secure: bool) -> &'static [u8] {
    if secure { b"https://" } else { b"http://" }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_capital_is_missed(text in "[a-zA-Z0-9.@\\[\\]`{:-]{0,40}") {
            prop_assert_eq!(has_capitals(text.as_bytes()), text.bytes().any(|byte| byte.is_ascii_uppercase()));
        }

        #[test]
        fn a_key_is_its_own_url_only(parts in prop::collection::vec((any::<bool>(), "[a/:?]{0,4}", "/[a/:?]{0,4}", any::<bool>(), "[a/?]{0,3}"), 2)) {
            let hasher = foldhash::fast::FixedState::default();
            // Neither a host nor a path holds what ends it.
            let [one, other] = [0, 1].map(|at| {
                let (secure, host, path, has_query, query) = &parts[at];
                (*secure, host.replace(['/', '?'], ""), path.replace('?', ""), *has_query, query.clone())
            });
            let key = |(secure, host, path, has_query, query): &'static (bool, String, String, bool, String)| {
                let query = if *has_query { query.as_bytes() } else { b"" };
                Key { secure: *secure, has_query: *has_query, host: host.as_bytes(), path: path.as_bytes(), query, hash: 0 }.hashed(&hasher)
            };
            let [one, other] = [one, other].map(|parts| key(Box::leak(Box::new(parts))));
            prop_assert!(one.is(&one.text()) && other.is(&other.text()));
            prop_assert_eq!(one.is(&other.text()), one.text() == other.text());
            if one.text() == other.text() {
                prop_assert_eq!(one.hash, other.hash);
            }
        }
    }
}
