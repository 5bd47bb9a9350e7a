//! What must come true: endpoints that recover get traffic on every core, starved cores get shares, the dead are left alone.

use std::time::Duration;

use ringway::config::{BreakerMode, BreakerScope, Route, Strategy, Upstream};

use crate::core::Core;
use crate::scenario::{detection, url_port};
use crate::servers::Mode;
use crate::world::World;

impl World {
    /// All are well, and everybody knows: each core sends requests to each endpoint and gets answers on each route.
    pub fn assert_all_serve(&mut self) {
        self.note("all should serve".into());
        self.servers.all.values_mut().for_each(|server| server.attempts.fill(0));
        for core in &mut self.cores {
            core.served.fill(0);
            core.refused.clear();
        }
        self.pace = Some(Duration::from_millis(8));
        self.pass(Duration::from_secs(3));
        let cores = self.cores.len();
        for (index, Core { served, refused, .. }) in self.cores.iter().enumerate() {
            assert!(served.iter().any(|&served| served > 0) || self.scarce(None) > 1, "core {index} serves nothing, refused {refused:?}");
            for (route, &served) in self.config.routes.iter().zip(served) {
                let name = route.name();
                assert!(served > 0 || self.scarce(Some(route)) > 1, "core {index} serves nothing on {name}, refused {refused:?}");
            }
        }
        for upstream in &self.config.upstreams {
            let sent: Vec<Vec<u64>> =
                upstream.endpoints.iter().map(|endpoint| self.servers.at(url_port(&endpoint.url), cores).attempts.clone()).collect();
            let weights: u64 = upstream.endpoints.iter().map(|endpoint| u64::from(endpoint.weight)).sum();
            // One that goes by latency leaves the slowest out while the others wait less; `balancer/laws` say that it tries it again.
            let forgives = upstream.strategy != Strategy::PeakEwma;
            for (endpoint, attempts) in upstream.endpoints.iter().zip(&sent) {
                let open = endpoint.max_concurrent_requests == 0 || endpoint.max_concurrent_requests as usize >= cores;
                for core in (0..cores).filter(|_| open && forgives) {
                    // Enough that chance alone would not leave an endpoint out.
                    let enough = 25 * weights.div_ceil(u64::from(endpoint.weight));
                    let all: u64 = sent.iter().map(|attempts| attempts[core]).sum();
                    assert!(all < enough || attempts[core] > 0, "{} of {} gets {attempts:?} of {sent:?}", endpoint.name(), upstream.id);
                }
            }
        }
    }

    /// How many of the limits that a request passes (on this route, or any) have less than one for each core. Where there are two,
    /// a core's turns may miss each other; where the gateway's is one, there may be no time for each route.
    fn scarce(&self, route: Option<&Route>) -> usize {
        let scarce = |limit: u32| limit > 0 && (limit as usize) < self.cores.len();
        let on = |route: &Route| {
            let upstream = self.config.upstreams.iter().find(|upstream| upstream.id == route.upstream).expect("a checked route");
            let limits = upstream.endpoints.iter().map(|endpoint| endpoint.max_concurrent_requests);
            let endpoints = if limits.clone().all(|limit| limit > 0) { limits.sum() } else { 0 };
            usize::from(scarce(route.max_concurrent_requests)) + usize::from(scarce(endpoints))
        };
        let gateway = usize::from(scarce(self.config.limits.max_concurrent_requests));
        match route {
            Some(route) => 2 * gateway + on(route),
            None => gateway + self.config.routes.iter().map(on).min().unwrap_or(0),
        }
    }

    /// How many trials at once an endpoint gets that fails again and again, if it has a breaker.
    fn guarded(&self, port: u16) -> Option<u64> {
        let here = |upstream: &&Upstream| upstream.endpoints.iter().any(|endpoint| url_port(&endpoint.url) == port);
        let rules = self.config.breaker_of(self.config.upstreams.iter().find(here)?)?;
        let each = rules.mode == BreakerMode::Enforce && rules.scope != BreakerScope::Upstream;
        each.then_some(u64::from(rules.trials))
    }

    /// A server dies: those that are probed get nothing any more once all know.
    pub fn assert_the_dead_are_left_alone(&mut self) {
        let endpoints =
            self.config.upstreams.iter().flat_map(|upstream| upstream.endpoints.iter().map(move |endpoint| (upstream, endpoint)));
        let all: Vec<(u16, bool)> = endpoints
            .map(|(upstream, endpoint)| (url_port(&endpoint.url), upstream.health_check.enabled && upstream.panic_threshold == 0))
            .collect();
        let (port, known) = *self.chance.one_of(&all);
        self.note(format!("server {port} dies"));
        let cores = self.cores.len();
        self.servers.at(port, cores).mode = *self.chance.one_of(&[Mode::Down, Mode::Hanging]);
        let guarded = self.guarded(port);
        self.pass(detection(&self.config));
        self.servers.at(port, cores).attempts.fill(0);
        self.pass(Duration::from_secs(1));
        let attempts = &self.servers.at(port, cores).attempts;
        let all: u64 = attempts.iter().sum();
        // Trials begin again after every open time, the longest at the latest; a core may begin one or two before it hears of the end.
        assert!(guarded.is_none_or(|trials| all <= 3 * trials + 2 * cores as u64), "{all} trials of the dead server {port}");
        assert!(!known || attempts.iter().all(|&attempts| attempts == 0), "the dead server {port} gets {attempts:?}");
    }
}
