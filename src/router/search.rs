//! One lookup: the best-ranked route among all that match, found without visiting what can't be better.

use crate::http::{Method, Span};

use super::build::{Entry, Group, Tables};
use super::condition::bit;
use super::expression::Expression;
use super::table::NONE;
use super::trie::{Range, segment};
use super::{Captures, Lookup, RouteIndex, Routed};

/// A lookup under way. Precedence is a number, the rank, so places may be visited in any order: each keeps the best
/// rank below it, and is skipped if a better one is found already.
pub(super) struct Search<'a> {
    tables: &'a Tables,
    expressions: &'a [Expression],
    request: &'a Lookup<'a>,
    captures: &'a mut Captures,
    best: u32,
    route: u32,
    /// A route matched in all but its method.
    missed: bool,
}

impl<'a> Search<'a> {
    #[inline]
    pub fn new(tables: &'a Tables, expressions: &'a [Expression], request: &'a Lookup<'a>, captures: &'a mut Captures) -> Search<'a> {
        Search { tables, expressions, request, captures, best: NONE, route: NONE, missed: false }
    }

    /// Looks through the routes of one host.
    #[inline]
    pub fn group(&mut self, group: u32) {
        let Group { root, expressions } = self.tables.groups[group as usize];
        self.descend(root, 0, 0);
        if expressions.count != 0 {
            self.expressions(expressions);
        }
    }

    /// What the lookup came to.
    #[inline]
    pub fn finish(self) -> Routed {
        match (self.best, self.missed) {
            (NONE, false) => Routed::NoRoute,
            (NONE, true) => Routed::MethodNotAllowed,
            _ => Routed::Route(RouteIndex(self.route)),
        }
    }

    /// Matches the path from the slash at `at` (or from its end) below `node`; `depth` segments are captured so far.
    fn descend(&mut self, node: u32, at: usize, depth: usize) {
        let (tables, path) = (self.tables, self.request.path);
        let (mut node, mut at, mut depth) = (node, at, depth);
        loop {
            let place = &tables.trie.nodes[node as usize];
            if place.best >= self.best {
                return;
            }
            if at == path.len() {
                self.consider(place.ends, depth);
                self.tail(place.tails, at, depth);
                return;
            }
            let start = at + 1;
            let (end, key) = segment(path, start);
            let one = if end == start { NONE } else { place.one };
            if let Some(child) = tables.trie.child(place, path, start, end, key) {
                if one == NONE && place.tails.count == 0 {
                    (node, at) = (child, end);
                    continue;
                }
                self.descend(child, end, depth);
            }
            if one == NONE {
                self.tail(place.tails, start, depth);
                return;
            }
            self.captures.pending[depth] = Span { start: start as u32, end: end as u32 };
            if place.tails.count == 0 {
                (node, at, depth) = (one, end, depth + 1);
                continue;
            }
            self.descend(one, end, depth + 1);
            self.tail(place.tails, start, depth);
            return;
        }
    }

    /// Considers routes that take all of the path from `start`.
    #[inline]
    fn tail(&mut self, entries: Range, start: usize, depth: usize) {
        if entries.count != 0 {
            self.captures.pending[depth] = Span { start: start as u32, end: self.request.path.len() as u32 };
            self.consider(entries, depth + 1);
        }
    }

    /// Considers routes whose host and path match, best first.
    #[inline]
    fn consider(&mut self, entries: Range, depth: usize) {
        for entry in &self.tables.entries[entries.indices()] {
            if entry.rank >= self.best {
                return;
            }
            let served = self.serves(entry);
            if (served || !self.missed) && (entry.conditions.count == 0 || self.holds(entry)) {
                if served {
                    (self.best, self.route) = (entry.rank, entry.route);
                    for index in 0..depth {
                        self.captures.spans[index] = self.captures.pending[index];
                    }
                    self.captures.count = depth;
                    return;
                }
                self.missed = true;
            }
        }
    }

    /// Considers routes with regular expressions, best first.
    #[cold]
    fn expressions(&mut self, routes: Range) {
        for route in &self.tables.expressions[routes.indices()] {
            let entry = self.tables.entries[route.entry as usize];
            if entry.rank >= self.best {
                return;
            }
            let expression = &self.expressions[route.expression];
            if self.request.path.starts_with(&route.prefix) && expression.captures(self.request.path, &mut self.captures.pending) {
                self.consider(Range { start: route.entry, count: 1 }, expression.groups());
            }
        }
    }

    #[inline]
    fn serves(&self, entry: &Entry) -> bool {
        let method = self.request.method;
        entry.methods & bit(method) != 0 && (method != Method::Other || self.serves_extension(entry))
    }

    #[cold]
    fn serves_extension(&self, entry: &Entry) -> bool {
        let names = &self.tables.extensions[entry.extensions as usize];
        names.is_empty() || names.iter().any(|name| name.as_bytes() == self.request.method_name)
    }

    fn holds(&mut self, entry: &Entry) -> bool {
        let conditions = &self.tables.conditions[entry.conditions.indices()];
        conditions.iter().all(|condition| condition.holds(self.request, self.expressions, &mut self.captures.decoded))
    }
}
