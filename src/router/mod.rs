//! Which route serves a request: host, path, method, headers, query, cookies and client against all routes, without allocating.
//!
//! # Precedence
//!
//! Of all routes that match, the first in this order serves the request:
//!
//! 1. the higher `priority`;
//! 2. the host: an exact name, then `*.suffix` with the longer suffix first, then any host;
//! 3. the path: exact paths, then regular expressions, then patterns. Patterns compare segment by segment from the
//!    left, and the first difference decides: a literal segment, then `{name}` or `*`, then the pattern's end, then a
//!    trailing `/*` (so a longer prefix beats a shorter one);
//! 4. more conditions: every header, every query parameter, every cookie, a list of methods and a list of client networks
//!    count one each;
//! 5. the order in the configuration, which also orders regular expressions among themselves.
//!
//! A route whose conditions fail is passed over for the next. When no route serves the request but some matched all
//! but its method, the answer is [`Routed::MethodNotAllowed`].
//!
//! # Paths
//!
//! Matching expects the path as [`normalise`] leaves it, and the endpoint must be sent that same path, so that both
//! see one resource. `{name}` and `*` take one segment of at least one byte; `/api/*`, `/api/` and `/api/{rest...}`
//! take everything below `/api/`, and `/api` itself. Captures are bytes of the path, still percent-encoded.

mod build;
mod condition;
mod expression;
mod host;
#[cfg(test)]
mod laws;
mod path;
mod pattern;
mod rewrite;
mod search;
mod split;
mod table;
#[cfg(test)]
mod tests;
mod trie;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::config;
use crate::http::{Method, Span};

pub use expression::Expression;
pub use path::normalise;
pub use rewrite::Rewrite;
pub use split::Split;

use build::Tables;
use condition::KNOWN_METHODS;
use search::Search;

/// The compiled routes of a configuration.
///
/// A clone shares the tables and has its own scratch memory for regular expressions: each core keeps a clone, so that
/// cores never write to the same cache line.
#[derive(Clone, Debug)]
pub struct Router {
    tables: Arc<Tables>,
    expressions: Vec<Expression>,
}

impl Router {
    /// Compiles `routes`; if any can't be, all problems of all routes are returned.
    pub fn new(routes: &[config::Route]) -> Result<Router, Vec<RouteProblem>> {
        let (tables, expressions) = build::build(routes)?;
        Ok(Router { tables: Arc::new(tables), expressions })
    }

    /// The route that serves a request. `captures` is filled for [`Rewrite::write`]; it allocates at most once, for
    /// regular expressions over encoded query values.
    pub fn route(&self, request: &Lookup<'_>, captures: &mut Captures) -> Routed {
        captures.count = 0;
        if request.path.first() != Some(&b'/') {
            return Routed::NoRoute;
        }
        let hosts = &self.tables.hosts;
        let mut search = Search::new(&self.tables, &self.expressions, request, captures);
        if hosts.named() {
            hosts.each(request.host, |group| search.group(group));
        }
        if let Some(group) = hosts.any {
            search.group(group);
        }
        search.finish()
    }

    /// The methods that would be served where `route` said [`Routed::MethodNotAllowed`], as an `Allow` header lists
    /// them. Not for the hot path.
    pub fn allowed(&self, request: &Lookup<'_>) -> String {
        let mut captures = Captures::default();
        let mut serves =
            |method, method_name| matches!(self.route(&Lookup { method, method_name, ..*request }, &mut captures), Routed::Route(_));
        let mut names: Vec<&str> =
            KNOWN_METHODS.iter().filter(|method| serves(**method, method.as_str().as_bytes())).map(|method| method.as_str()).collect();
        names.extend(self.tables.extension_methods().into_iter().filter(|name| serves(Method::Other, name.as_bytes())));
        names.join(", ")
    }

    /// What a route's pattern took from the path under this name; `*` is its last star. `captures` are those of the lookup.
    pub fn parameter<'a>(&self, route: RouteIndex, name: &str, path: &'a [u8], captures: &Captures) -> Option<&'a [u8]> {
        let place = rewrite::place_of(name, &self.tables.captures[route.0 as usize])?;
        captures.spans().get(place).map(|span| span.of(path))
    }

    /// Why a route's pattern takes nothing under this name, if it doesn't.
    pub fn lacks(&self, route: RouteIndex, name: &str) -> Option<String> {
        rewrite::capture(name, &self.tables.captures[route.0 as usize]).err()
    }

    /// How a route changes the path.
    pub fn rewrite(&self, route: RouteIndex) -> &Rewrite {
        &self.tables.rewrites[route.0 as usize]
    }
}

/// What the router looks at.
#[derive(Clone, Copy)]
pub struct Lookup<'a> {
    /// The method.
    pub method: Method,
    /// The method's bytes, which tell unlisted methods apart.
    pub method_name: &'a [u8],
    /// Host with or without port; empty if the request names none.
    pub host: &'a [u8],
    /// The path, normalised.
    pub path: &'a [u8],
    /// The query without its `?`.
    pub query: &'a [u8],
    /// The rest, for conditions that ask for it.
    pub properties: &'a dyn Properties,
}

/// What else a request has, by name.
pub trait Properties {
    /// The value of the first field of this name, compared without regard to case.
    fn header(&self, name: &str) -> Option<&[u8]>;
    /// The value of the first cookie of this name.
    fn cookie(&self, name: &str) -> Option<&[u8]>;
    /// The client's address.
    fn client(&self) -> IpAddr;
}

/// A route's place in the configuration's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteIndex(pub u32);

/// What routing came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routed {
    /// This route serves the request.
    Route(RouteIndex),
    /// Routes match in all but the method; [`Router::allowed`] lists the methods they serve.
    MethodNotAllowed,
    /// No route matches.
    NoRoute,
}

/// What the parameters and wildcards of the matched pattern took, as spans of the path. Reused between requests.
#[derive(Clone, Debug, Default)]
pub struct Captures {
    spans: [Span; CAPTURES_MAX],
    pending: [Span; CAPTURES_MAX],
    count: usize,
    decoded: Vec<u8>,
}

impl Captures {
    /// What was taken, in the pattern's order.
    pub fn spans(&self) -> &[Span] {
        &self.spans[..self.count]
    }
}

/// What is wrong with a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteProblem {
    /// Its place in the list.
    pub route: usize,
    /// The setting.
    pub field: &'static str,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for RouteProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "routes[{}].{}: {}", self.route, self.field, self.message)
    }
}

/// What is wrong with one setting of a route: the setting, and the message.
type Fault = (&'static str, String);

/// Parameters, wildcards and groups of one pattern, at most.
const CAPTURES_MAX: usize = 16;

/// Bytes of one path pattern, at most: it bounds the depth of the search.
const PATTERN_BYTES_MAX: usize = 2048;
