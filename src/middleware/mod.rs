//! The chain that requests pass between routing and their endpoint, and their answers on the way back: one file a kind.
//!
//! A kind is its settings, which say what they change on every message alike ([`Settings::edits`]: that costs nothing per request),
//! and, where it has to decide something, a [`Middleware`] that each core builds for itself.

mod access_log;
mod auth;
mod chain;
mod compress;
mod cors;
mod custom;
mod fault;
mod grpc_web;
mod headers;
mod incoming;
mod ip_filter;
mod json_edit;
mod list;
mod mode;
mod negotiate;
mod question;
mod rate_key;
mod rate_limit;
mod redirect;
mod request_limit;
mod respond;
mod rewrite;
mod security_headers;
mod tallies;
mod template;
mod transform;

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

pub use access_log::{AccessLog, Field, LineFormat};
pub use auth::{Admitted, Auth, Keyring};
pub use chain::{Answer, Denial, Encoding, Flow, Found, Marks, Middleware, Notes, Request, Response};
pub use compress::Compression;
pub use cors::preflight;
pub use custom::{Custom, Factory, Registry};
pub use grpc_web::expose_status;
pub use incoming::{Asked, Incoming};
pub use list::Entry;
pub use mode::Mode;
pub use negotiate::Coding;
pub use question::{Fetch, Fetched, Password, Question, Reply};
pub use rate_key::Secret;
pub use redirect::to_https;
pub use rewrite::Rewrite;
pub use tallies::Tallies;
pub use transform::Editing;

use crate::auth::Source;
use crate::config::Wrong;
use crate::http::Edits;
use crate::limiter::{Limit, Named};

/// The settings of one kind.
pub trait Settings {
    /// What is wrong with them beyond what a schema can tell: the setting (`origins[0]`), what is wrong, what to do.
    fn problems(&self) -> Vec<Wrong> {
        Vec::new()
    }

    /// What is the same for every message.
    fn edits(&self, request: &mut Edits, response: &mut Edits) {
        let _ = (request, response);
    }

    /// What is the same for every answer that goes over TLS, beside that.
    fn secure_edits(&self, response: &mut Edits) {
        let _ = response;
    }

    /// What is the same for every answer and depends on the entry's name.
    fn named_edits(&self, name: &str, response: &mut Edits) {
        let _ = (name, response);
    }

    /// The rate limit that it is, if it is one: the coordinator looks after its keys.
    fn rate_limit(&self) -> Option<Limit> {
        None
    }

    /// The rewrite that it is, if it is one: it depends on its route.
    fn rewrite(&self) -> Option<&Rewrite> {
        None
    }

    /// Whether it tells who clients are: `features.authentication` switches it off.
    fn authenticates(&self) -> bool {
        false
    }

    /// Whether it lets those in as well that it would refuse.
    fn lets_all_in(&self) -> bool {
        false
    }

    /// The key sets that it needs fetched.
    fn key_sets(&self) -> Vec<Source> {
        Vec::new()
    }

    /// The upstreams that it asks, each with the setting that names it.
    fn upstreams(&self) -> Vec<(String, &str)> {
        Vec::new()
    }

    /// Whether every request that comes so far is answered here: its route needs no upstream.
    fn answers(&self) -> bool {
        false
    }

    /// One core's link, if there is anything to decide request by request.
    fn build(&self, scope: &Scope<'_>) -> Option<Rc<dyn Middleware>> {
        let _ = scope;
        None
    }
}

/// Where a link is built: on which core, for which entry, beside what there was before a reload.
pub struct Scope<'a> {
    /// This core's number.
    pub core: u32,
    /// How many cores there are.
    pub cores: u32,
    /// The entry's name, unique in the gateway: `cors`, or `ROUTE/cors` for a route's own.
    pub name: &'a str,
    /// The entry's `id`, else its kind.
    pub id: &'a str,
    /// What all links of the core are built on.
    pub ground: &'a Ground<'a>,
    settings: String,
}

/// What all links of a core are built on.
pub struct Ground<'a> {
    /// The kinds that the program brings along.
    pub registry: &'a Registry,
    /// What keys of rate limits are made with.
    pub secret: Secret,
    /// The plan's generation.
    pub generation: u64,
    /// Where rate limits are put, for the coordinator to look after.
    pub limiters: RefCell<Vec<Named>>,
    /// What links remembered before.
    pub before: &'a States,
    /// What they remember.
    pub kept: RefCell<States>,
    /// Where authentication that failed is counted.
    pub failures: Rc<Tallies>,
    /// Key sets that are fetched for it.
    pub keys: Rc<Keyring>,
    /// Where requests are counted that a rule on trial would have refused, by its name and route.
    pub shadowed: Rc<Tallies>,
    /// Where those are counted that authentication on trial would have refused, by its name and the reason.
    pub admitted: Rc<Tallies>,
}

/// What links remember beyond a reload, by the entry's name and settings.
#[derive(Clone, Default)]
pub struct States(HashMap<(String, String), Rc<dyn Any>>);

impl<'a> Scope<'a> {
    /// The scope of an entry.
    pub fn new((core, cores): (u32, u32), name: &'a str, entry: &'a Entry, ground: &'a Ground<'a>) -> Self {
        let settings = serde_json::to_string(entry).unwrap_or_default();
        Scope { core, cores, name, id: entry.id(), ground, settings }
    }

    /// What this link remembers: the same as before a reload that left its settings as they were.
    pub fn state<T: 'static>(&self, make: impl FnOnce() -> T) -> Rc<T> {
        self.state_of(self.settings.clone(), make)
    }

    /// The same, where what it remembers depends on some of its settings only.
    pub fn state_of<T: 'static>(&self, settings: String, make: impl FnOnce() -> T) -> Rc<T> {
        let key = (self.name.to_owned(), settings);
        let known = self.ground.before.0.get(&key).and_then(|state| state.clone().downcast::<T>().ok());
        let state = known.unwrap_or_else(|| Rc::new(make()));
        self.ground.kept.borrow_mut().0.insert(key, state.clone());
        state
    }
}

/// The rate limits of a configuration, by the names of their entries.
pub fn rate_limits<'a>(gateway: &'a [Entry], routes: impl Iterator<Item = (&'a str, &'a [Entry])>) -> Vec<(Arc<str>, Limit)> {
    let limit = |entry: &Entry, name: String| Some((name.into(), entry.settings().filter(|_| entry.enabled)?.rate_limit()?));
    let mut limits: Vec<_> = gateway.iter().filter_map(|entry| limit(entry, entry.id().into())).collect();
    for (route, entries) in routes {
        limits.extend(entries.iter().filter_map(|entry| limit(entry, format!("{route}/{}", entry.id()))));
    }
    limits
}

/// The authentication of a configuration that refuses nobody (`mode: "shadow"`), by the names of its entries.
pub fn unenforced<'a>(gateway: &'a [Entry], routes: impl Iterator<Item = (&'a str, &'a [Entry])>) -> Vec<String> {
    let on_trial = |entry: &&Entry| entry.enabled && entry.settings().is_some_and(Settings::lets_all_in);
    let mut names: Vec<_> = gateway.iter().filter(on_trial).map(|entry| entry.id().to_owned()).collect();
    for (route, entries) in routes {
        names.extend(entries.iter().filter(on_trial).map(|entry| format!("{route}/{}", entry.id())));
    }
    names
}

/// The key sets that a configuration needs fetched.
pub fn key_sets<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<Source> {
    entries.filter(|entry| entry.enabled).filter_map(Entry::settings).flat_map(Settings::key_sets).collect()
}

/// A route's chain: the gateway's entries, each replaced by the route's of the same id, then the route's others. An entry comes with
/// whether it is the route's own. Those switched off are left out.
pub fn merged<'a>(gateway: &'a [Entry], route: &'a [Entry]) -> Vec<(&'a Entry, bool)> {
    let own = |id: &str| route.iter().find(|entry| entry.id() == id);
    let first = gateway.iter().map(|entry| own(entry.id()).map_or((entry, false), |own| (own, true)));
    let rest = route.iter().filter(|entry| !gateway.iter().any(|other| other.id() == entry.id())).map(|entry| (entry, true));
    first.chain(rest).filter(|(entry, _)| entry.enabled).collect()
}
