//! The path an endpoint sees: a prefix taken off, or a new path with what the pattern captured.

use crate::config;

use super::path::normalise;
use super::pattern::{Name, Pattern, Shape, normal_text};
use super::{Captures, Fault, RouteProblem};

/// How a route changes the path. Any path it makes begins with `/`.
#[derive(Clone, Debug, Default)]
pub struct Rewrite {
    change: Change,
}

#[derive(Clone, Debug, Default)]
enum Change {
    #[default]
    Keep,
    /// Without trailing slash; never empty.
    Strip(Vec<u8>),
    Template {
        parts: Vec<Part>,
        /// What captures and literals make together could be a dot segment.
        mixed: bool,
    },
}

#[derive(Clone, Debug)]
enum Part {
    Literal(Vec<u8>),
    Capture(usize),
}

impl Rewrite {
    /// Compiles the `strip_prefix` or `rewrite_path` of a route. Problems name route 0: [`super::Router::new`] reports
    /// them with the route's place.
    pub fn new(route: &config::Route) -> Result<Rewrite, Vec<RouteProblem>> {
        Pattern::new(&route.path)
            .and_then(|pattern| Rewrite::compile(route, &pattern).map_err(|fault| vec![fault]))
            .map_err(|faults| faults.into_iter().map(|(field, message)| RouteProblem { route: 0, field, message }).collect())
    }

    pub(super) fn compile(route: &config::Route, pattern: &Pattern) -> Result<Rewrite, Fault> {
        let change = match (&route.strip_prefix, &route.rewrite_path) {
            (None, None) => Change::Keep,
            (Some(prefix), None) => strip(prefix, &route.path, pattern).map_err(|message| ("strip_prefix", message))?,
            (None, Some(template)) => parse(template, pattern).map_err(|message| ("rewrite_path", message))?,
            (Some(_), Some(_)) => {
                return Err((
                    "strip_prefix",
                    "can't stand beside rewrite_path, which replaces the whole path: use one of them".to_string(),
                ));
            }
        };
        Ok(Rewrite { change })
    }

    /// Whether the path stays as it is.
    #[inline]
    pub fn keeps(&self) -> bool {
        matches!(self.change, Change::Keep)
    }

    /// Appends the new path. `path` and `captures` are those of the lookup. A path that doesn't begin with the prefix
    /// to be taken off stays as it is.
    pub fn write(&self, path: &[u8], captures: &Captures, out: &mut Vec<u8>) {
        match &self.change {
            Change::Keep => out.extend_from_slice(path),
            Change::Strip(prefix) => match path.strip_prefix(prefix.as_slice()) {
                Some([]) => out.push(b'/'),
                Some(rest @ [b'/', ..]) => out.extend_from_slice(rest),
                _ => out.extend_from_slice(path),
            },
            Change::Template { parts, mixed } => {
                let start = out.len();
                for part in parts {
                    match part {
                        Part::Literal(bytes) => out.extend_from_slice(bytes),
                        Part::Capture(index) => {
                            out.extend_from_slice(captures.spans().get(*index).map_or(&[], |span| span.of(path)));
                        }
                    }
                }
                if *mixed {
                    settle(out, start);
                }
            }
        }
    }
}

/// Resolves dot segments that arose from joining parts; what can't be resolved becomes the root.
fn settle(out: &mut Vec<u8>, start: usize) {
    let mut scratch = Vec::new();
    match normalise(&out[start..], &mut scratch) {
        Ok(false) => return,
        Ok(true) => {}
        Err(_) => scratch = b"/".to_vec(),
    }
    out.truncate(start);
    out.extend_from_slice(&scratch);
}

fn strip(prefix: &str, path: &str, pattern: &Pattern) -> Result<Change, String> {
    if !prefix.starts_with('/') {
        return Err(format!("{prefix:?} must begin with \"/\""));
    }
    let mut bytes = normal_text(prefix)?;
    while bytes.last() == Some(&b'/') {
        bytes.pop();
    }
    if !pattern.can_begin_with(&bytes) {
        return Err(format!("no path that {path:?} matches begins with {prefix:?}"));
    }
    Ok(if bytes.is_empty() { Change::Keep } else { Change::Strip(bytes) })
}

fn parse(template: &str, pattern: &Pattern) -> Result<Change, String> {
    if !template.starts_with('/') {
        return Err(format!("{template:?} must begin with \"/\""));
    }
    let mut parts = Vec::new();
    let mut mixed = matches!(pattern.shape, Shape::Expression { .. });
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        let close = rest[open..].find('}').map(|at| open + at).ok_or_else(|| format!("\"{{\" in {template:?} is never closed"))?;
        let (before, name) = (&rest[..open], &rest[open + 1..close]);
        rest = &rest[close + 1..];
        mixed |= !before.ends_with('/') || !(rest.is_empty() || rest.starts_with('/'));
        parts.push(Part::Literal(text(before, template)?));
        parts.push(Part::Capture(capture(name, &pattern.captures)?));
    }
    parts.push(Part::Literal(text(rest, template)?));
    parts.retain(|part| !matches!(part, Part::Literal(bytes) if bytes.is_empty()));
    Ok(Change::Template { parts, mixed })
}

fn text(literal: &str, template: &str) -> Result<Vec<u8>, String> {
    match literal.contains('}') {
        true => Err(format!("\"}}\" in {template:?} has no \"{{\"")),
        false => normal_text(literal),
    }
}

/// The place of the capture called `name`; `*` is the last one.
pub(super) fn place_of(name: &str, captures: &[Name]) -> Option<usize> {
    match name {
        "*" => captures.iter().rposition(|capture| *capture == Name::Star),
        _ => captures.iter().position(|capture| matches!(capture, Name::Word(word) if word == name)),
    }
}

/// The same, or what is captured instead.
pub(super) fn capture(name: &str, captures: &[Name]) -> Result<usize, String> {
    place_of(name, captures).ok_or_else(|| {
        let mut known: Vec<String> = Vec::new();
        for capture in captures {
            match capture {
                Name::Star if !known.iter().any(|name| name == "{*}") => known.push("{*}".to_string()),
                Name::Word(word) => known.push(format!("{{{word}}}")),
                _ => {}
            }
        }
        let hint = if known.is_empty() { "nothing".to_string() } else { known.join(", ") };
        format!("the path captures no {{{name}}}; it captures {hint}")
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{route_path, routes};
    use crate::config;

    fn rewritten(change: impl FnOnce(&mut config::Route), pattern: &str, path: &str) -> String {
        let mut list = routes(&[pattern]);
        change(&mut list[0]);
        route_path(&list, path)
    }

    #[test]
    fn prefixes_are_taken_off_at_segment_ends() {
        for (pattern, prefix, path, expected) in [
            ("/api/*", "/api", "/api/users", "/users"),
            ("/api/*", "/api/", "/api/users", "/users"),
            ("/api/*", "/api", "/api", "/"),
            ("/api/*", "/api/", "/api/", "/"),
            ("/api/*", "/api/v1", "/api/v2/x", "/api/v2/x"),
            ("/api/*", "/api/v1", "/api/v12/x", "/api/v12/x"),
            ("/", "/", "/x", "/x"),
            ("/{a}/*", "/v1", "/v1/x", "/x"),
            ("~^/api", "/api", "/apix", "/apix"),
            ("/caf%c3%a9/*", "/café", "/caf%C3%A9/x", "/x"),
        ] {
            assert_eq!(rewritten(|route| route.strip_prefix = Some(prefix.into()), pattern, path), expected, "{pattern} {prefix} {path}");
        }
    }

    #[test]
    fn templates_take_captures() {
        for (pattern, template, path, expected) in [
            ("/users/{id}", "/v2/users/{id}", "/users/42", "/v2/users/42"),
            ("/{a}/{b}", "/{b}/{a}/{b}", "/x/y", "/y/x/y"),
            ("/api/*", "/v2/{*}", "/api/a/b", "/v2/a/b"),
            ("/api/*", "/v2/{*}", "/api", "/v2/"),
            ("/api/", "/v2/{*}", "/api/", "/v2/"),
            ("/*/x/*/y", "/{*}", "/1/x/2/y", "/2"),
            ("/f/{rest...}", "/{rest}", "/f/a/b", "/a/b"),
            ("/api/{v}", "/v{v}.json", "/api/1", "/v1.json"),
            ("~^/v(?<n>[0-9]+)/(.*)$", "/api/{n}", "/v12/x", "/api/12"),
            ("/a", "/b", "/a", "/b"),
            ("/{x}", "/{x}", "/a%2Fb%3F", "/a%2Fb%3F"),
            ("/{x}", "/caf%c3%a9/{x}", "/a", "/caf%C3%A9/a"),
            ("~^/x(?<dots>\\.*)y$", "/a/{dots}/b", "/x..y", "/b"),
            ("~^/x(?<dots>\\.*)y$", "/{dots}", "/x..y", "/"),
        ] {
            assert_eq!(
                rewritten(|route| route.rewrite_path = Some(template.into()), pattern, path),
                expected,
                "{pattern} {template} {path}"
            );
        }
    }
}
