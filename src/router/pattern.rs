//! Path patterns as written in a configuration, taken apart.

use super::expression::{self, Expression};
use super::path::unescape;
use super::{CAPTURES_MAX, Fault, PATTERN_BYTES_MAX};

/// A path pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    pub shape: Shape,
    /// What each capture is called, in order of capture.
    pub captures: Vec<Name>,
}

#[derive(Debug)]
pub(super) enum Shape {
    /// Segments, and whether everything below them belongs to it.
    Segments { segments: Vec<Segment>, tail: bool },
    /// A regular expression, and what all its matches begin with.
    Expression { text: String, prefix: Vec<u8>, compiled: Box<Expression> },
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Literal(Vec<u8>),
    /// `{name}` or `*`.
    One,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// `*`, in the middle or at the end.
    Star,
    Word(String),
    /// A group without a name.
    Unnamed,
}

impl Pattern {
    /// Takes a pattern apart; every fault found is returned.
    pub fn new(text: &str) -> Result<Pattern, Vec<Fault>> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(vec![fault(format!("is longer than {PATTERN_BYTES_MAX} bytes"))]);
        }
        let pattern = match text.as_bytes().first() {
            Some(b'~') => Pattern::expression(&text[1..]),
            Some(b'/') => Pattern::segments(&text[1..]),
            Some(_) => Err(vec![fault(format!("{text:?} must begin with \"/\", or with \"~\" for a regular expression"))]),
            None => Err(vec![fault("is missing (\"/\" matches every path)".to_string())]),
        }?;
        let mut faults = Vec::new();
        if pattern.captures.len() > CAPTURES_MAX {
            faults.push(fault(format!("has {} parameters and wildcards; at most {CAPTURES_MAX} are possible", pattern.captures.len())));
        }
        for (index, name) in pattern.captures.iter().enumerate() {
            if let Name::Word(word) = name
                && pattern.captures[..index].contains(name)
            {
                faults.push(fault(format!("has two parameters called {{{word}}}")));
            }
        }
        if faults.is_empty() { Ok(pattern) } else { Err(faults) }
    }

    fn segments(text: &str) -> Result<Pattern, Vec<Fault>> {
        let (mut segments, mut captures, mut faults, mut tail) = (Vec::new(), Vec::new(), Vec::new(), false);
        let mut pieces = text.split('/').peekable();
        while let Some(piece) = pieces.next() {
            let last = pieces.peek().is_none();
            let parameter = piece.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            match (piece, parameter) {
                ("" | "*", _) if last => {
                    tail = true;
                    captures.push(Name::Star);
                }
                ("*", _) => {
                    segments.push(Segment::One);
                    captures.push(Name::Star);
                }
                (_, Some(parameter)) => {
                    let (word, rest) = parameter.strip_suffix("...").map_or((parameter, false), |word| (word, true));
                    if !is_word(word) {
                        faults.push(fault(format!("parameter {piece:?} needs a name of letters, digits and \"_\"")));
                    } else if rest && !last {
                        faults.push(fault(format!("{piece:?} takes the rest of the path, so nothing can follow it")));
                    }
                    captures.push(Name::Word(word.to_string()));
                    match rest {
                        true => tail = true,
                        false => segments.push(Segment::One),
                    }
                }
                _ => match literal(piece) {
                    Ok(bytes) => segments.push(Segment::Literal(bytes)),
                    Err(message) => faults.push(fault(message)),
                },
            }
        }
        if faults.is_empty() { Ok(Pattern { shape: Shape::Segments { segments, tail }, captures }) } else { Err(faults) }
    }

    fn expression(text: &str) -> Result<Pattern, Vec<Fault>> {
        let compiled = Expression::new(text).map_err(|message| {
            let hint = if text.starts_with('*') { " (without regard to case is \"~(?i)...\")" } else { "" };
            vec![fault(format!("{text:?} {message}{hint}"))]
        })?;
        let captures = compiled.group_names().into_iter().map(|name| name.map_or(Name::Unnamed, Name::Word)).collect();
        let shape = Shape::Expression { text: text.to_string(), prefix: expression::literal_prefix(text), compiled: Box::new(compiled) };
        Ok(Pattern { shape, captures })
    }

    /// Bytes that order patterns as precedence does when compared, the better first; the same for patterns that match
    /// the same paths. All expressions share one, because configuration order decides between them.
    pub fn order(&self) -> Vec<u8> {
        let Shape::Segments { segments, tail } = &self.shape else { return vec![1] };
        let exact = !tail && segments.iter().all(|segment| *segment != Segment::One);
        let mut order = vec![if exact { 0 } else { 2 }];
        for segment in segments {
            match segment {
                Segment::Literal(bytes) => {
                    order.push(1);
                    order.extend_from_slice(bytes);
                    order.push(0);
                }
                Segment::One => order.push(2),
            }
        }
        order.push(if *tail { 4 } else { 3 });
        order
    }

    /// Whether a path that begins with `prefix` (no trailing slash, cut at a segment's end) could match.
    pub fn can_begin_with(&self, prefix: &[u8]) -> bool {
        let Shape::Segments { segments, tail } = &self.shape else { return true };
        let mut own = segments.iter();
        prefix.split(|&byte| byte == b'/').skip(1).all(|wanted| match own.next() {
            Some(Segment::Literal(bytes)) => bytes == wanted,
            Some(Segment::One) => !wanted.is_empty(),
            None => *tail,
        })
    }
}

/// A literal segment in the form that normalised paths have.
fn literal(piece: &str) -> Result<Vec<u8>, String> {
    if let Some(at) = piece.find(['{', '}']) {
        let brace = &piece[at..at + 1];
        return Err(match brace {
            "{" if !piece[at..].contains('}') => format!("\"{{\" in {piece:?} is never closed"),
            _ => format!("{piece:?}: a parameter takes a whole segment, nothing can stand beside it (parts of a segment need \"~regex\")"),
        });
    }
    if piece.contains('*') {
        return Err(format!("{piece:?}: \"*\" takes a whole segment, nothing can stand beside it (parts of a segment need \"~regex\")"));
    }
    normal_text(piece)
}

/// Text of a configuration in the form that normalised paths have.
pub(super) fn normal_text(text: &str) -> Result<Vec<u8>, String> {
    if text.contains(['?', '#']) {
        return Err(format!("{text:?} holds \"?\" or \"#\", which end a path"));
    }
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(format!("{text:?} holds a control character"));
    }
    let mut bytes = Vec::with_capacity(text.len());
    unescape(text.as_bytes(), &mut bytes).map_err(|_| format!("{text:?} has a bad percent escape"))?;
    if bytes.split(|&byte| byte == b'/').any(|segment| matches!(segment, b"." | b"..")) {
        return Err(format!("{text:?} holds a dot segment, which no path has when it is matched"));
    }
    Ok(bytes)
}

/// Whether a parameter may be called so.
pub(super) fn is_word(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn fault(message: String) -> Fault {
    ("path", message)
}
