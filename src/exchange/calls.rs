//! Calls of gRPC by their status, of each route that has had any.

use std::cell::RefCell;
use std::sync::Arc;

use foldhash::{HashMap, HashSet};

use super::{Plan, View};
use crate::http2::grpc::NAMES;
use crate::metrics::{Count, Family};

/// How often each status was told, by the route's name. Most routes have no calls, and there may be many thousands of them.
#[derive(Debug, Default)]
pub(super) struct Calls(RefCell<HashMap<Arc<str>, [u64; NAMES.len()]>>);

impl Calls {
    /// Forgets routes that the next plan doesn't have; those of the same names go on.
    pub(super) fn keep(&self, plan: &Plan) {
        let mut counts = self.0.borrow_mut();
        if !counts.is_empty() {
            let names: HashSet<&str> = plan.routes.iter().map(|route| &*route.name).chain([NOBODY]).collect();
            counts.retain(|name, _| names.contains(&**name));
        }
    }
}

impl View {
    /// Counts a call that ended with this status, one of those there are; of no route, if it wasn't found.
    pub fn count_call(&self, route: Option<usize>, status: u8) {
        let name = route.map_or_else(|| NOBODY.into(), |route| self.plan.routes[route].name.clone());
        self.calls.0.borrow_mut().entry(name).or_insert([0; NAMES.len()])[usize::from(status)] += 1;
    }

    /// Calls so far, by route and status.
    pub(super) fn called(&self) -> Vec<Count> {
        let counts = self.calls.0.borrow();
        let each = counts.iter().flat_map(|(route, counts)| counts.iter().zip(NAMES).map(move |(&total, status)| (route, status, total)));
        let told = each.filter(|&(.., total)| total > 0);
        told.map(|(route, status, total)| Count { family: Family::Calls, labels: [route.clone(), status.into()], total }).collect()
    }
}

/// Where calls are counted that no route was found for.
const NOBODY: &str = "-";
