//! Regular expressions over bytes: `\w`, `\d`, `\s` and `.` mean ASCII and single bytes unless `(?u)` is written.

use regex_automata::Input;
use regex_automata::meta::{BuildError, Config, Regex};
use regex_automata::util::syntax;

use crate::http::Span;

use super::{CAPTURES_MAX, Captures};

/// A compiled expression.
///
/// A clone has its own scratch memory. What one thread first searched with is served to that thread without locked
/// instructions.
#[derive(Clone, Debug)]
pub struct Expression {
    regex: Regex,
    groups: usize,
}

impl Expression {
    /// Compiles an expression; the error is one line for a person.
    pub fn new(pattern: &str) -> Result<Expression, String> {
        let regex = Regex::builder()
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .configure(Config::new().utf8_empty(false).nfa_size_limit(Some(PROGRAM_BYTES_MAX)))
            .build(pattern)
            .map_err(|error| explain(&error))?;
        let groups = regex.group_info().group_len(regex_automata::PatternID::ZERO) - 1;
        Ok(Expression { regex, groups })
    }

    /// Whether it matches somewhere in `text`.
    pub fn is_match(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }

    /// Whether it matches somewhere in `text`, and what each group took; a group that took no part is empty.
    pub(super) fn captures(&self, text: &[u8], spans: &mut [Span; CAPTURES_MAX]) -> bool {
        if self.groups == 0 {
            return self.is_match(text);
        }
        let mut slots = [None; 2 * (CAPTURES_MAX + 1)];
        let used = 2 * (self.groups + 1);
        if self.regex.search_slots(&Input::new(text), &mut slots[..used]).is_none() {
            return false;
        }
        for (span, ends) in spans.iter_mut().zip(slots[2..used].chunks_exact(2)) {
            *span = match (ends[0], ends[1]) {
                (Some(start), Some(end)) => Span { start: start.get() as u32, end: end.get() as u32 },
                _ => Span::default(),
            };
        }
        true
    }

    /// The same, into what a route's captures stand in; groups beyond 16 are left out.
    pub fn search(&self, text: &[u8], captures: &mut Captures) -> bool {
        captures.count = self.groups.min(CAPTURES_MAX);
        self.groups <= CAPTURES_MAX && self.captures(text, &mut captures.spans)
    }

    /// How many groups it has, at most 16 in a route.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// The names of its groups, in order.
    pub fn group_names(&self) -> Vec<Option<String>> {
        self.regex.group_info().pattern_names(regex_automata::PatternID::ZERO).skip(1).map(|name| name.map(str::to_string)).collect()
    }
}

fn explain(error: &BuildError) -> String {
    if error.size_limit().is_some() {
        return format!("is too large: it compiles to more than {PROGRAM_BYTES_MAX} bytes");
    }
    let text = error.syntax_error().map_or_else(|| error.to_string(), ToString::to_string);
    let line = text.lines().last().unwrap_or_default();
    format!("is not a regular expression: {}", line.strip_prefix("error: ").unwrap_or(line))
}

/// Bytes that everything `pattern` matches begins with, if they are plain to see: a cheap test before the search.
pub(super) fn literal_prefix(pattern: &str) -> Vec<u8> {
    let mut prefix = Vec::new();
    let Some(rest) = pattern.strip_prefix('^').filter(|rest| !rest.contains('|')) else { return prefix };
    let mut characters = rest.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some(escaped) if escaped.is_ascii_punctuation() && !matches!(escaped, '<' | '>') => prefix.push(escaped as u8),
                _ => break,
            },
            '?' | '*' | '{' => {
                prefix.pop();
                break;
            }
            '/' | '-' | '_' | '~' | '%' => prefix.push(character as u8),
            _ if character.is_ascii_alphanumeric() => prefix.push(character as u8),
            _ => break,
        }
    }
    prefix
}

/// Memory of one compiled expression, at most.
const PROGRAM_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_what_every_match_begins_with() {
        for (pattern, prefix) in [
            ("^/v[0-9]+/", "/v"),
            ("/v", ""),
            ("^/a|^/b", ""),
            ("^/abc?", "/ab"),
            ("^/ab*c", "/a"),
            ("^/ab+c", "/ab"),
            ("^/ab{0,1}", "/a"),
            ("^/a\\.b$", "/a.b"),
            ("^/a\\d", "/a"),
            ("^(?i)/a", ""),
            ("(?i)^/a", ""),
            ("^/a.c", "/a"),
            ("^/a\\.?", "/a"),
            ("^^/a", ""),
            ("^", ""),
        ] {
            assert_eq!(String::from_utf8(literal_prefix(pattern)).expect("ASCII"), prefix, "{pattern}");
        }
    }

    #[test]
    fn groups_are_captured_as_spans() {
        let expression = Expression::new("^/(?<a>[a-z]+)(/x)?/(?<b>\\d+)$").expect("valid");
        let mut spans = [Span::default(); CAPTURES_MAX];
        assert_eq!(expression.group_names(), [Some("a".to_string()), None, Some("b".to_string())]);
        assert!(expression.captures(b"/abc/42", &mut spans));
        assert_eq!((spans[0].of(b"/abc/42"), spans[1].is_empty(), spans[2].of(b"/abc/42")), (&b"abc"[..], true, &b"42"[..]));
        assert!(!expression.captures(b"/abc/x", &mut spans));
    }

    #[test]
    fn faults_are_told_in_one_line() {
        assert_eq!(Expression::new("(a").unwrap_err(), "is not a regular expression: unclosed group");
        assert!(Expression::new("(((a{100}){100}){100})").unwrap_err().starts_with("is too large"));
        assert!(Expression::new("[\\x80-\\xff]").is_ok());
    }
}
