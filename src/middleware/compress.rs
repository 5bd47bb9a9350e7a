//! Answers compressed on their way to clients that take it: this decides, `proxy` moves the bytes through an encoder. What the cache holds
//! is the answer as it was received.

use std::rc::Rc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::negotiate::{Coding, choose};
use super::{Encoding, Middleware, Response, Scope, Settings};
use crate::clock::Instant;
use crate::config::{Size, Wrong};
use crate::http::{Field, Framing, Known, Method, Version};

/// Settings of `compress`. Left alone are answers that are encoded already, partial ones, those that forbid it by `Cache-Control:
/// no-transform`, those without a body, and those that the gateway makes itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Compress {
    /// What is offered to clients; of what a client likes equally well, the first is taken.
    pub codings: Vec<Coding>,
    /// Types of answers that are worth it, without parameters; `*` stands for any text, once in each.
    pub types: Vec<String>,
    /// Smaller answers are left alone, where their size is known beforehand.
    pub min_size: Size,
    /// 1 (fast) to 9 (small).
    #[schemars(range(min = 1, max = 9))]
    pub gzip_level: u32,
    /// 0 (fast) to 9 (small). Higher ones would hold up what else the core has to do.
    #[schemars(range(min = 0, max = 9))]
    pub br_level: u32,
    /// 1 (fast) to 12 (small).
    #[schemars(range(min = 1, max = 12))]
    pub zstd_level: u32,
    /// Answers that each core compresses at the same time, each of which takes up to 2 MiB of memory; those beyond go as they are.
    pub streams: u32,
}

impl Default for Compress {
    fn default() -> Self {
        let types = [
            "text/*",
            "application/json",
            "application/*+json",
            "application/javascript",
            "application/xml",
            "application/*+xml",
            "application/graphql",
            "application/wasm",
            "application/x-ndjson",
            "application/manifest+json",
            "font/ttf",
            "font/otf",
            "image/svg+xml",
            "image/bmp",
        ];
        Compress {
            codings: vec![Coding::Zstd, Coding::Br, Coding::Gzip],
            types: types.map(str::to_owned).to_vec(),
            min_size: Size::from_bytes(1024),
            gzip_level: 4,
            br_level: 4,
            zstd_level: 3,
            streams: 256,
        }
    }
}

impl Settings for Compress {
    fn problems(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        for (list, empty) in [("codings", self.codings.is_empty()), ("types", self.types.is_empty())] {
            if empty {
                wrong.push(Wrong::new(list, "is empty: nothing would be compressed", "name some, or leave the entry out"));
            }
        }
        for (index, coding) in self.codings.iter().enumerate().filter(|(index, coding)| self.codings[..*index].contains(coding)) {
            let message = format!("is {:?} once more", coding.name());
            wrong.push(Wrong::new(&format!("codings[{index}]"), &message, "name each once"));
        }
        for (index, kind) in self.types.iter().enumerate().filter(|(_, kind)| !is_type(kind)) {
            let told = Wrong::new(
                &format!("types[{index}]"),
                "is no type of content",
                "as in \"text/html\", \"text/*\" or \"application/*+json\"",
            );
            wrong.push(Wrong { value: Some(kind.clone()), ..told });
        }
        let levels = [("gzip_level", self.gzip_level, 1, 9), ("br_level", self.br_level, 0, 9), ("zstd_level", self.zstd_level, 1, 12)];
        for (setting, level, least, most) in levels.into_iter().filter(|(_, level, least, most)| !(least..=most).contains(&level)) {
            wrong.push(Wrong::new(setting, &format!("must be {least} to {most}, is {level}"), ""));
        }
        if self.streams == 0 {
            wrong.push(Wrong::new("streams", "is 0: nothing would be compressed", "set some, or leave the entry out"));
        }
        wrong
    }

    fn build(&self, _: &Scope<'_>) -> Option<Rc<dyn Middleware>> {
        let types = self.types.iter().map(|kind| {
            let (front, back) = kind.split_once('*').map_or((kind.as_str(), None), |(front, back)| (front, Some(back)));
            Pattern { front: front.into(), back: back.map(Into::into) }
        });
        Some(Rc::new(Compressor {
            codings: self.codings.clone(),
            types: types.collect(),
            min_size: self.min_size.get().max(1),
            levels: [self.gzip_level, self.br_level, self.zstd_level],
            streams: self.streams as usize,
            places: Rc::new(()),
        }))
    }
}

/// Whether this is a type and a subtype, with one star at most.
fn is_type(text: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+*".contains(&byte));
    text.matches('*').count() <= 1 && text.split_once('/').is_some_and(|(kind, subtype)| is_part(kind) && is_part(subtype))
}

/// An answer is to be compressed like this. It has a place among those of its core as long as it lives.
#[derive(Clone, Debug)]
pub struct Compression {
    /// How.
    pub coding: Coding,
    /// How hard it tries, in the coding's own measure.
    pub level: u32,
    _place: Rc<()>,
}

/// A type, or what stands before and after a star.
struct Pattern {
    front: Box<str>,
    back: Option<Box<str>>,
}

impl Pattern {
    fn matches(&self, kind: &[u8]) -> bool {
        let (front, back) = (self.front.as_bytes(), self.back.as_deref().unwrap_or_default().as_bytes());
        let fits = match self.back {
            Some(_) => kind.len() >= front.len() + back.len(),
            None => kind.len() == front.len(),
        };
        fits && kind[..front.len()].eq_ignore_ascii_case(front) && kind[kind.len() - back.len()..].eq_ignore_ascii_case(back)
    }
}

struct Compressor {
    codings: Vec<Coding>,
    types: Vec<Pattern>,
    min_size: u64,
    /// By coding.
    levels: [u32; 3],
    streams: usize,
    /// Each answer under way holds it once more.
    places: Rc<()>,
}

/// What an answer's head says that matters here.
#[derive(Default)]
struct Facts<'a> {
    kind: Option<&'a [u8]>,
    etag: Option<&'a [u8]>,
    varies: bool,
    ranges: bool,
    digests: bool,
}

impl Middleware for Compressor {
    fn on_response(&self, response: &mut Response<'_>, _: Instant) {
        let Some((head, bytes)) = response.head else { return };
        let bodiless = match head.framing {
            Framing::Length(length) if length < self.min_size => return,
            // What it would be with a body varies all the same.
            Framing::None if response.status == 304 || response.incoming.head.method == Method::Head => true,
            Framing::None => return,
            _ => false,
        };
        if matches!(response.status, 101 | 206) || response.notes.encoding.is_some() {
            return;
        }
        let Some(facts) = facts(&head.fields, bytes) else { return };
        let fits = facts.kind.map_or(response.status == 304, |kind| self.types.iter().any(|pattern| pattern.matches(kind)));
        if fits {
            self.encode(response, &facts, bodiless);
        }
    }
}

impl Compressor {
    /// Notes what becomes of an answer that could be compressed.
    #[inline(never)]
    fn encode(&self, response: &mut Response<'_>, facts: &Facts<'_>, bodiless: bool) {
        let incoming = response.incoming;
        if !facts.varies {
            response.notes.response.add("Vary", b"Accept-Encoding");
        }
        let (head, bytes) = (incoming.head, incoming.bytes);
        let accepted = head.fields.iter().filter(|field| is(field, bytes, b"Accept-Encoding")).map(|field| field.value.of(bytes));
        let Some(coding) = choose(accepted, &self.codings) else { return };
        let asked_not_to = head.fields.iter().any(|field| field.known == Known::CacheControl && forbids(field.value.of(bytes)));
        let full = Rc::strong_count(&self.places) > self.streams;
        if head.version != Version::Http11 || asked_not_to || full {
            return;
        }
        if let Some(etag) = facts.etag {
            response.weaken(etag);
        }
        if bodiless {
            return;
        }
        let changes = &mut response.notes.response;
        changes.remove("Content-Length");
        if facts.ranges {
            changes.remove("Accept-Ranges");
        }
        if facts.digests {
            DIGESTS.iter().for_each(|name| changes.remove(name));
        }
        changes.add("Content-Encoding", coding.name().as_bytes());
        response.notes.encoding =
            Some(Encoding::Compressed(Compression { coding, level: self.levels[coding as usize], _place: self.places.clone() }));
    }
}

/// What the head says; `None` if it forbids compressing, or is of something compressed.
fn facts<'a>(fields: &[Field], bytes: &'a [u8]) -> Option<Facts<'a>> {
    let mut facts = Facts::default();
    for field in fields {
        let value = field.value.of(bytes);
        match field.known {
            Known::ContentType => facts.kind = Some(value.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii_end()),
            Known::Etag => facts.etag = Some(value),
            Known::CacheControl if forbids(value) => return None,
            Known::Vary => facts.varies |= words(value).any(|word| word == b"*" || word.eq_ignore_ascii_case(b"Accept-Encoding")),
            Known::Other if is(field, bytes, b"Content-Encoding") => return None,
            Known::Other if is(field, bytes, b"Accept-Ranges") => facts.ranges = true,
            Known::Other => facts.digests |= DIGESTS.iter().any(|name| is(field, bytes, name.as_bytes())),
            _ => {}
        }
    }
    Some(facts)
}

#[inline]
fn is(field: &Field, bytes: &[u8], name: &[u8]) -> bool {
    (field.name.end - field.name.start) as usize == name.len() && field.name.of(bytes).eq_ignore_ascii_case(name)
}

fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

/// Whether `Cache-Control` says that nobody on the way may change the body (RFC 9111 sections 5.2.1.6 and 5.2.2.6).
fn forbids(cache_control: &[u8]) -> bool {
    words(cache_control).any(|word| word.eq_ignore_ascii_case(b"no-transform"))
}

/// Of the bytes as they were (RFC 9530, and what came before it).
const DIGESTS: &[&str] = &["Content-Digest", "Repr-Digest", "Content-MD5", "Digest"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_matched_whole_or_around_a_star() {
        let of = |text: &str| {
            let settings = Compress { types: vec![text.into()], ..Compress::default() };
            assert!(settings.problems().is_empty(), "{text}");
            let (front, back) = text.split_once('*').map_or((text, None), |(front, back)| (front, Some(back)));
            Pattern { front: front.into(), back: back.map(Into::into) }
        };
        for (pattern, kind, fits) in [
            ("text/html", "text/html", true),
            ("text/html", "TEXT/HTML", true),
            ("text/html", "text/htmlx", false),
            ("text/html", "text/htm", false),
            ("text/*", "text/event-stream", true),
            ("text/*", "texts/x", false),
            ("application/*+json", "application/problem+json", true),
            ("application/*+json", "application/+json", true),
            ("application/*+json", "application/json", false),
        ] {
            assert_eq!(of(pattern).matches(kind.as_bytes()), fits, "{pattern} {kind}");
        }
    }

    #[test]
    fn what_can_be_wrong_is_told_all_at_once() {
        let settings = Compress {
            codings: vec![Coding::Gzip, Coding::Br, Coding::Gzip],
            types: ["text", "text/*/*", "text/html; charset=utf-8"].map(str::to_owned).to_vec(),
            gzip_level: 0,
            br_level: 10,
            zstd_level: 13,
            streams: 0,
            ..Compress::default()
        };
        let told: Vec<String> = settings.problems().into_iter().map(|wrong| wrong.setting).collect();
        assert_eq!(told, ["codings[2]", "types[0]", "types[1]", "types[2]", "gzip_level", "br_level", "zstd_level", "streams"]);
        assert_eq!(Compress::default().problems().len(), 0);
    }
}
