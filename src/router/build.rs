//! Compiling: from settings to ranked entries in tables, and every problem on the way.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::config;

use super::condition::{Condition, Methods};
use super::expression::Expression;
use super::host::{Host, Hosts};
use super::pattern::{Name, Pattern, Shape};
use super::rewrite::Rewrite;
use super::trie::{Builder, Range, Trie};
use super::{Fault, RouteProblem};

/// All that lookups read, shared between cores.
#[derive(Debug)]
pub(super) struct Tables {
    pub hosts: Hosts,
    pub groups: Vec<Group>,
    pub trie: Trie,
    pub entries: Vec<Entry>,
    pub expressions: Vec<ExpressionRoute>,
    pub conditions: Vec<Condition>,
    pub extensions: Vec<Vec<String>>,
    pub rewrites: Vec<Rewrite>,
    /// What each route's pattern captures.
    pub captures: Vec<Box<[Name]>>,
}

impl Tables {
    /// Every method outside the enum that some route lists.
    pub fn extension_methods(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.extensions.iter().flatten().map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// The routes of one host pattern.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    pub root: u32,
    /// Its regular expressions, best first.
    pub expressions: Range,
}

/// A route under one of its hosts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Its place in the order of precedence, over all routes and hosts; 0 is the best.
    pub rank: u32,
    pub route: u32,
    pub conditions: Range,
    /// Place of its unlisted methods.
    pub extensions: u32,
    pub methods: u16,
}

/// An entry whose path is a regular expression.
#[derive(Debug)]
pub(super) struct ExpressionRoute {
    pub entry: u32,
    pub expression: usize,
    pub prefix: Vec<u8>,
}

/// A route, compiled but not yet placed.
struct Draft<'a> {
    settings: &'a config::Route,
    pattern: Pattern,
    /// The pattern's place in the order of patterns.
    order: Vec<u8>,
    hosts: Vec<Host>,
    methods: Methods,
    conditions: Range,
    /// How many conditions it has, in the sense of precedence.
    weight: usize,
    rewrite: Rewrite,
}

/// A draft under one of its hosts.
struct Placed<'a> {
    draft: &'a Draft<'a>,
    route: usize,
    group: u32,
}

impl Placed<'_> {
    /// Precedence, up to host and path.
    fn order(&self) -> (Reverse<i32>, u32, &[u8]) {
        (Reverse(self.draft.settings.priority), self.group, &self.draft.order)
    }

    /// Precedence.
    fn full_order(&self) -> (impl Ord + '_, Reverse<usize>, usize) {
        (self.order(), Reverse(self.draft.weight), self.route)
    }
}

/// Compiles all routes, or returns all problems in the order of routes.
pub(super) fn build(routes: &[config::Route]) -> Result<(Tables, Vec<Expression>), Vec<RouteProblem>> {
    let (mut drafts, mut problems) = (Vec::with_capacity(routes.len()), Vec::new());
    let (mut conditions, mut expressions) = (Vec::new(), Vec::new());
    for (index, settings) in routes.iter().enumerate() {
        match compile(settings, &mut conditions, &mut expressions) {
            Ok(draft) => drafts.push((index, draft)),
            Err(faults) => problems.extend(faults.into_iter().map(|(field, message)| RouteProblem { route: index, field, message })),
        }
    }
    let hosts = all_hosts(&drafts);
    let groups: HashMap<&Host, u32> = hosts.iter().zip(0..).collect();
    let mut placed: Vec<Placed> = Vec::with_capacity(drafts.len());
    for (route, draft) in &drafts {
        placed.extend(draft.hosts.iter().map(|host| Placed { draft, route: *route, group: groups[host] }));
    }
    placed.sort_unstable_by(|a, b| a.full_order().cmp(&b.full_order()));
    for alike in placed.chunk_by(|a, b| a.order() == b.order()).filter(|alike| alike.len() > 1) {
        find_unreachable(alike, &hosts, routes, &mut problems);
    }
    if !problems.is_empty() {
        problems.sort_by_key(|problem| problem.route);
        return Err(problems);
    }
    let (mut tables, regexes) = place(&placed, &hosts, &mut expressions);
    tables.conditions = conditions;
    tables.expressions = regexes;
    let made = drafts.into_iter().map(|(_, draft)| (draft.rewrite, draft.pattern.captures.into_boxed_slice()));
    (tables.rewrites, tables.captures) = made.unzip();
    Ok((tables, expressions))
}

/// Every host pattern that some route has, best first.
fn all_hosts(drafts: &[(usize, Draft)]) -> Vec<Host> {
    let mut hosts: Vec<Host> = Vec::new();
    for (_, draft) in drafts {
        // Most routes share their hosts with the route before.
        hosts.extend(draft.hosts.iter().filter(|host| hosts.last() != Some(host)).cloned().collect::<Vec<_>>());
    }
    hosts.sort_unstable_by(|a, b| a.order().cmp(&b.order()));
    hosts.dedup();
    hosts
}

fn compile<'a>(
    settings: &'a config::Route,
    conditions: &mut Vec<Condition>,
    expressions: &mut Vec<Expression>,
) -> Result<Draft<'a>, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut hosts: Vec<Host> = Vec::with_capacity(settings.hosts.len().max(1));
    for text in &settings.hosts {
        match Host::new(text) {
            Ok(host) if hosts.contains(&host) => faults.push(("hosts", format!("{text:?} is listed twice"))),
            Ok(host) => hosts.push(host),
            Err(message) => faults.push(("hosts", message)),
        }
    }
    if settings.hosts.is_empty() {
        hosts.push(Host::Any);
    }
    let methods = Methods::new(&settings.methods).unwrap_or_else(|found| {
        faults.extend(found);
        Methods::default()
    });
    let start = conditions.len() as u32;
    let values = Condition::settings(settings).map(|(place, settings)| Condition::new(place, settings, expressions).map(Some));
    for condition in values.chain([Condition::clients(&settings.clients)]) {
        match condition {
            Ok(condition) => conditions.extend(condition),
            Err(fault) => faults.push(fault),
        }
    }
    let range = Range { start, count: conditions.len() as u32 - start };
    let pattern = match Pattern::new(&settings.path) {
        Ok(pattern) => pattern,
        Err(found) => {
            faults.extend(found);
            return Err(faults);
        }
    };
    let rewrite = Rewrite::compile(settings, &pattern).unwrap_or_else(|fault| {
        faults.push(fault);
        Rewrite::default()
    });
    if !faults.is_empty() {
        return Err(faults);
    }
    let weight = range.count as usize + usize::from(!settings.methods.is_empty());
    Ok(Draft { settings, order: pattern.order(), pattern, hosts, methods, conditions: range, weight, rewrite })
}

/// Among routes of one priority, host and path: those whose conditions are the same as an earlier one's.
fn find_unreachable(alike: &[Placed], hosts: &[Host], routes: &[config::Route], problems: &mut Vec<RouteProblem>) {
    let mut first: HashMap<_, usize> = HashMap::with_capacity(alike.len());
    for placed in alike {
        let settings = placed.draft.settings;
        let conditions = Condition::identities(settings);
        let expression = match &placed.draft.pattern.shape {
            Shape::Expression { text, .. } => Some(text),
            Shape::Segments { .. } => None,
        };
        let other = *first.entry((conditions, &placed.draft.methods, expression)).or_insert(placed.route);
        if other != placed.route && !problems.iter().any(|problem| problem.route == placed.route && problem.field == "path") {
            let host = match &hosts[placed.group as usize] {
                Host::Any => String::new(),
                host => format!(" for host \"{host}\""),
            };
            let message = format!("is never reached{host}: routes[{other}] ({:?}) matches the same requests first", routes[other].name());
            problems.push(RouteProblem { route: placed.route, field: "path", message });
        }
    }
}

/// Places sorted routes into the tables.
fn place(placed: &[Placed], hosts: &[Host], expressions: &mut Vec<Expression>) -> (Tables, Vec<ExpressionRoute>) {
    let mut trie = Builder::with_room(placed.len());
    let mut groups: Vec<Group> = hosts.iter().map(|_| Group { root: trie.root(), expressions: Range::default() }).collect();
    let mut extensions = vec![Vec::new()];
    let (mut entries, mut waiting) = (Vec::with_capacity(placed.len()), Vec::new());
    for (rank, Placed { draft, route, group }) in (0..).zip(placed) {
        let names = &draft.methods.extensions;
        if !names.is_empty() && extensions.last() != Some(names) {
            extensions.push(names.clone());
        }
        let extensions = if names.is_empty() { 0 } else { extensions.len() as u32 - 1 };
        let entry = Entry { rank, route: *route as u32, conditions: draft.conditions, extensions, methods: draft.methods.mask };
        match &draft.pattern.shape {
            Shape::Segments { segments, tail } => trie.add(groups[*group as usize].root, segments, *tail, rank, entry),
            Shape::Expression { text, prefix, compiled } => waiting.push((*group, entry, text, prefix, compiled)),
        }
    }
    let trie = trie.finish(&mut entries);
    // Stable: within a group they stay in the order of precedence.
    waiting.sort_by_key(|(group, ..)| *group);
    let (mut regexes, mut compiled_already) = (Vec::with_capacity(waiting.len()), HashMap::new());
    for (group, entry, text, prefix, compiled) in waiting {
        let range = &mut groups[group as usize].expressions;
        if range.count == 0 {
            range.start = regexes.len() as u32;
        }
        range.count += 1;
        let expression = *compiled_already.entry(text).or_insert_with(|| {
            expressions.push(Expression::clone(compiled));
            expressions.len() - 1
        });
        regexes.push(ExpressionRoute { entry: entries.len() as u32, expression, prefix: prefix.clone() });
        entries.push(entry);
    }
    let tables = Tables {
        hosts: Hosts::new(hosts),
        groups,
        trie,
        entries,
        expressions: Vec::new(),
        conditions: Vec::new(),
        extensions,
        rewrites: Vec::new(),
        captures: Vec::new(),
    };
    (tables, regexes)
}
