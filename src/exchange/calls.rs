//! Calls of gRPC by their status, of each route: as many counts as there are statuses.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use super::{Plan, View};
use crate::http2::grpc::NAMES;
use crate::metrics::{Count, Family};

/// How often each status was told.
#[derive(Debug, Default)]
pub(super) struct Calls([Cell<u64>; NAMES.len()]);

impl View {
    /// Counts a call that ended with this status, one of those there are; of no route, if it wasn't found.
    pub fn count_call(&self, route: Option<usize>, status: u8) {
        let Calls(counts) = &*self.calls[route.unwrap_or(self.plan.routes.len())];
        let count = &counts[usize::from(status)];
        count.set(count.get() + 1);
    }

    /// Those of the next plan: routes of the same names go on, and the last is of no route.
    pub(super) fn next_calls(&self, plan: &Plan) -> Vec<Rc<Calls>> {
        let (nobody, calls) = self.calls.split_last().expect("those of no route are always there");
        let known = |name: &str| self.plan.routes.iter().zip(calls).find(|(before, _)| &*before.name == name);
        let routes = plan.routes.iter().map(|route| known(&route.name).map(|(_, calls)| calls.clone()).unwrap_or_default());
        routes.chain([nobody.clone()]).collect()
    }

    /// Calls so far, by route and status.
    pub(super) fn called(&self) -> impl Iterator<Item = Count> + '_ {
        let names = self.plan.routes.iter().map(|route| route.name.clone()).chain([Arc::from("-")]);
        names.zip(&self.calls).flat_map(|(route, calls)| {
            calls.0.iter().zip(NAMES).filter(|(count, _)| count.get() > 0).map(move |(count, status)| Count {
                family: Family::Calls,
                labels: [route.clone(), status.into()],
                total: count.get(),
            })
        })
    }
}
