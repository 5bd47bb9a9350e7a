//! `Cache-Control` (RFC 9111 section 5.2, RFC 5861) read strictly: what isn't written as it should be never makes anything live longer.

use crate::http::{Field, Known, is_token_byte};

/// What all `Cache-Control` fields of a message say together. Where they contradict each other, the stricter counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `no-store`.
    pub no_store: bool,
    /// `no-cache` without a list of fields, or with one that can't be read.
    pub no_cache: bool,
    /// `no-cache` with a list of fields: these must not be stored.
    pub withholds: bool,
    /// `private`, with a list of fields or without.
    pub private: bool,
    /// `public`.
    pub public: bool,
    /// `must-revalidate` or `proxy-revalidate`.
    pub must_revalidate: bool,
    /// `must-understand`.
    pub must_understand: bool,
    /// `only-if-cached`.
    pub only_if_cached: bool,
    /// `max-age` in seconds; 0 if it isn't a number.
    pub max_age: Option<u32>,
    /// `s-maxage` in seconds; 0 if it isn't a number.
    pub s_maxage: Option<u32>,
    /// `stale-while-revalidate` in seconds; 0 if it isn't a number.
    pub stale_while_revalidate: Option<u32>,
    /// `stale-if-error` in seconds; 0 if it isn't a number.
    pub stale_if_error: Option<u32>,
    /// `max-stale` in seconds, [`SECONDS_MAX`] without a number; 0 if it isn't one.
    pub max_stale: Option<u32>,
    /// `min-fresh` in seconds, [`SECONDS_MAX`] if it isn't a number.
    pub min_fresh: Option<u32>,
    /// A part isn't written as a directive. If it holds the words `no-store` or `private`, these count.
    pub malformed: bool,
}

impl Directives {
    /// Reads all `Cache-Control` fields of a message; and of an answer what is said to caches like this one, `CDN-Cache-Control` (RFC 9213)
    /// and `Surrogate-Control` (W3C Edge Architecture): there a part that can't be read, or is for a certain device, says nothing.
    pub fn read(fields: &[Field], bytes: &[u8]) -> Directives {
        let mut found = Directives::default();
        for field in fields {
            match field.known {
                Known::CacheControl => found.take(field.value.of(bytes)),
                Known::CdnCacheControl | Known::SurrogateControl => {
                    let malformed = found.malformed;
                    found.take(field.value.of(bytes));
                    found.malformed = malformed;
                }
                _ => {}
            }
        }
        found
    }

    fn take(&mut self, value: &[u8]) {
        for part in Parts::new(value) {
            match part {
                Part::Directive(name, argument) => self.on_directive(name, argument),
                Part::Malformed => {
                    self.malformed = true;
                    self.no_store |= contains(value, b"no-store");
                    self.private |= contains(value, b"private");
                }
            }
        }
    }

    fn on_directive(&mut self, name: &[u8], argument: Option<&[u8]>) {
        let is = |directive: &[u8]| name.eq_ignore_ascii_case(directive);
        let lowest = |old: Option<u32>, new: u32| Some(old.map_or(new, |old| old.min(new)));
        let seconds = || argument.and_then(seconds).unwrap_or(0);
        if is(b"max-age") {
            self.max_age = lowest(self.max_age, seconds());
        } else if is(b"s-maxage") {
            self.s_maxage = lowest(self.s_maxage, seconds());
        } else if is(b"public") {
            self.public = true;
        } else if is(b"no-store") {
            self.no_store = true;
        } else if is(b"no-cache") {
            let list = argument.is_some_and(is_list);
            self.withholds |= list;
            self.no_cache |= !list;
        } else if is(b"private") {
            self.private = true;
        } else if is(b"must-revalidate") || is(b"proxy-revalidate") {
            self.must_revalidate = true;
        } else if is(b"must-understand") {
            self.must_understand = true;
        } else if is(b"only-if-cached") {
            self.only_if_cached = true;
        } else if is(b"stale-while-revalidate") {
            self.stale_while_revalidate = lowest(self.stale_while_revalidate, seconds());
        } else if is(b"stale-if-error") {
            self.stale_if_error = lowest(self.stale_if_error, seconds());
        } else if is(b"max-stale") {
            self.max_stale = lowest(self.max_stale, argument.map_or(SECONDS_MAX, |_| seconds()));
        } else if is(b"min-fresh") {
            let least = argument.and_then(self::seconds).unwrap_or(SECONDS_MAX);
            self.min_fresh = Some(self.min_fresh.map_or(least, |old| old.max(least)));
        }
    }
}

/// Whether a `no-cache="..."` names this field.
pub(super) fn withheld(fields: &[Field], bytes: &[u8], name: &[u8]) -> bool {
    let directing = |field: &&Field| matches!(field.known, Known::CacheControl | Known::CdnCacheControl | Known::SurrogateControl);
    fields.iter().filter(directing).any(|field| {
        Parts::new(field.value.of(bytes)).any(|part| match part {
            Part::Directive(directive, Some(list)) if directive.eq_ignore_ascii_case(b"no-cache") => {
                list.split(|&byte| byte == b',').any(|element| element.trim_ascii().eq_ignore_ascii_case(name))
            }
            _ => false,
        })
    })
}

/// Whole seconds, at most [`SECONDS_MAX`] (RFC 9111 section 1.2.2). `None` if it isn't digits.
pub(super) fn seconds(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = text.iter().fold(0u64, |number, digit| (number * 10 + u64::from(digit - b'0')).min(u64::from(SECONDS_MAX)));
    Some(number as u32)
}

/// Whether a text is a list of field names.
fn is_list(text: &[u8]) -> bool {
    text.split(|&byte| byte == b',').all(|name| {
        let name = name.trim_ascii();
        !name.is_empty() && name.iter().all(|&byte| is_token_byte(byte))
    })
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle))
}

enum Part<'a> {
    /// A name, and what stands behind its `=`, without the quotes.
    Directive(&'a [u8], Option<&'a [u8]>),
    Malformed,
}

/// The parts of a list of directives. Empty ones are left out.
struct Parts<'a> {
    rest: &'a [u8],
}

impl<'a> Parts<'a> {
    fn new(value: &'a [u8]) -> Self {
        Parts { rest: value }
    }

    /// What stands before the first byte that doesn't belong to it.
    fn run(&mut self, belongs: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|&byte| !belongs(byte)).unwrap_or(self.rest.len());
        let (run, rest) = self.rest.split_at(end);
        self.rest = rest;
        run
    }

    /// A quoted string without its quotes; `None` if it doesn't end, or holds escapes, which no directive needs.
    fn quoted(&mut self) -> Option<&'a [u8]> {
        let text = &self.rest[1..];
        let end = text.iter().position(|&byte| byte == b'"' || byte == b'\\').filter(|&at| text[at] == b'"')?;
        self.rest = &text[end + 1..];
        Some(&text[..end])
    }

    fn directive(&mut self) -> Option<Part<'a>> {
        let name = self.run(is_token_byte);
        if name.is_empty() {
            return None;
        }
        let mut argument = None;
        if let Some(behind) = self.rest.strip_prefix(b"=") {
            self.rest = behind;
            argument = Some(if self.rest.first() == Some(&b'"') { self.quoted()? } else { self.run(is_token_byte) });
            if argument.is_some_and(<[u8]>::is_empty) && !self.rest.is_empty() && self.rest[0] != b',' {
                return None;
            }
        }
        self.run(is_space);
        matches!(self.rest.first(), None | Some(b',')).then_some(Part::Directive(name, argument))
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        self.run(|byte| is_space(byte) || byte == b',');
        if self.rest.is_empty() {
            return None;
        }
        Some(self.directive().unwrap_or_else(|| {
            self.run(|byte| byte != b',');
            Part::Malformed
        }))
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The most seconds there are: more are taken for so many (RFC 9111 section 1.2.2).
pub const SECONDS_MAX: u32 = 1 << 31;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Directives {
        let mut found = Directives::default();
        found.take(value.as_bytes());
        found
    }

    #[test]
    fn directives_are_read() {
        let expected = Directives { public: true, max_age: Some(60), s_maxage: Some(5), ..Directives::default() };
        for value in [
            "public, max-age=60, s-maxage=5",
            "PUBLIC,,Max-Age=\"60\" ,\tS-MAXAGE=5 ,",
            "foo, bar=baz, x=\"a, b\", public,max-age=060,s-maxage=5",
        ] {
            assert_eq!(read(value), expected, "{value}");
        }
        assert_eq!(read(""), Directives::default());
        assert_eq!(read("x=\"no-store, private, max-age=1\""), Directives::default());
        assert_eq!(read("max-stale").max_stale, Some(SECONDS_MAX));
        assert_eq!(
            read("max-stale=7, min-fresh=3, only-if-cached"),
            Directives { max_stale: Some(7), min_fresh: Some(3), only_if_cached: true, ..Directives::default() }
        );
    }

    #[test]
    fn the_stricter_of_two_counts() {
        assert_eq!(read("max-age=60, max-age=5").max_age, Some(5));
        assert_eq!(read("max-age=5, max-age=60").max_age, Some(5));
        assert_eq!(read("max-age=5, max-age=x").max_age, Some(0));
        assert_eq!(read("min-fresh=5, min-fresh=60").min_fresh, Some(60));
    }

    #[test]
    fn what_is_no_number_is_none_at_all() {
        for value in
            ["max-age=x", "max-age=-1", "max-age=1.5", "max-age='60'", "max-age=60s", "max-age", "max-age=", "max-age=\"\"", "max-age=+1"]
        {
            assert_eq!((read(value).max_age, read(value).malformed), (Some(0), false), "{value}");
        }
        for value in ["4294967296", "99999999999999999999999999", "2147483648"] {
            assert_eq!(read(&format!("max-age={value}")).max_age, Some(SECONDS_MAX));
        }
        assert_eq!(read("max-age=2147483647").max_age, Some(SECONDS_MAX - 1));
    }

    #[test]
    fn what_is_malformed_is_never_read_mildly() {
        for value in [
            "max-age =60",
            "max-age= 60",
            "max-age=60 public",
            "max-age=60; public",
            "=60",
            "\"max-age=60\"",
            "a=\"b",
            "a=\"b\"c",
            "a=\"\\\"\"",
            "\u{e9}",
        ] {
            let found = read(value);
            assert!(found.malformed && found.max_age.is_none() && !found.public, "{value}: {found:?}");
        }
        for value in ["max-age=60; no-store", "no-store private", "a=\"no-store"] {
            assert!(read(value).no_store, "{value}");
        }
        assert!(read("max-age=60 No-Store, public").no_store);
        assert!(read("public; Private").private);
    }

    #[test]
    fn lists_of_fields_are_told_from_what_is_none() {
        for (value, withholds, no_cache) in [
            ("no-cache", false, true),
            ("no-cache=\"a\"", true, false),
            ("no-cache=\"a, B-c\"", true, false),
            ("no-cache=a", true, false),
            ("no-cache=\"\"", false, true),
            ("no-cache=\"a,,b\"", false, true),
            ("no-cache=\"a b\"", false, true),
            ("no-cache=\"a\", no-cache", true, true),
        ] {
            let found = read(value);
            assert_eq!((found.withholds, found.no_cache), (withholds, no_cache), "{value}");
        }
        assert!(read("private=\"x\"").private);
    }
}
