//! The chain that requests pass between routing and their endpoint, and their answers on the way back: one file a kind.
//!
//! A kind is its settings, which say what they change on every message alike ([`Settings::edits`]: that costs nothing per request),
//! and, where it has to decide something, a [`Middleware`] that each core builds for itself.

mod access_log;
mod chain;
mod cors;
mod custom;
mod fault;
mod headers;
mod incoming;
mod ip_filter;
mod list;
mod redirect;
mod request_limit;
mod respond;
mod security_headers;

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

pub use access_log::{AccessLog, Field, LineFormat};
pub use chain::{Answer, Denial, Flow, Marks, Middleware, Notes, Request, Response};
pub use cors::preflight;
pub use custom::{Custom, Factory, Registry};
pub use incoming::Incoming;
pub use list::Entry;

use crate::config::Wrong;
use crate::http::Edits;

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
    /// The kinds that the program brings along.
    pub registry: &'a Registry,
    settings: String,
    before: &'a States,
    kept: &'a RefCell<States>,
}

/// What links remember beyond a reload, by the entry's name and settings.
#[derive(Clone, Default)]
pub struct States(HashMap<(String, String), Rc<dyn Any>>);

impl<'a> Scope<'a> {
    /// The scope of an entry.
    pub fn new(
        (core, cores): (u32, u32),
        name: &'a str,
        entry: &Entry,
        registry: &'a Registry,
        before: &'a States,
        kept: &'a RefCell<States>,
    ) -> Self {
        let settings = serde_json::to_string(entry).unwrap_or_default();
        Scope { core, cores, name, registry, settings, before, kept }
    }

    /// What this link remembers: the same as before a reload that left its settings as they were.
    pub fn state<T: 'static>(&self, make: impl FnOnce() -> T) -> Rc<T> {
        let key = (self.name.to_owned(), self.settings.clone());
        let known = self.before.0.get(&key).and_then(|state| state.clone().downcast::<T>().ok());
        let state = known.unwrap_or_else(|| Rc::new(make()));
        self.kept.borrow_mut().0.insert(key, state.clone());
        state
    }
}

/// A route's chain: the gateway's entries, each replaced by the route's of the same id, then the route's others. An entry comes with
/// whether it is the route's own. Those switched off are left out.
pub fn merged<'a>(gateway: &'a [Entry], route: &'a [Entry]) -> Vec<(&'a Entry, bool)> {
    let own = |id: &str| route.iter().find(|entry| entry.id() == id);
    let first = gateway.iter().map(|entry| own(entry.id()).map_or((entry, false), |own| (own, true)));
    let rest = route.iter().filter(|entry| !gateway.iter().any(|other| other.id() == entry.id())).map(|entry| (entry, true));
    first.chain(rest).filter(|(entry, _)| entry.enabled).collect()
}
