//! What must hold after every event.

use std::collections::HashMap;
use std::sync::Arc;

use ringway::breaker::Breaker;
use ringway::clock::Instant;
use ringway::config::{BreakerMode, BreakerScope, Config};
use ringway::error::Reason;
use ringway::exchange::View;
use ringway::limiter::Share;
use ringway::reconcile::ShareKey;
use ringway::upstream::Upstream;

use crate::core::Core;

/// What cores may have in flight and waiting, and what each uses of it.
///
/// A reload raises what is allowed to the larger of the old and the new limit, or to anything where there was no limit. Once all
/// cores have come down to the new limit it holds for good.
pub struct Ceilings {
    keys: Vec<Key>,
    limits: Vec<[u64; 2]>,
    pub allowed: Vec<[u64; 2]>,
    /// For each core and key.
    used: Vec<Vec<[u64; 2]>>,
}

/// Which limit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Share(ShareKey),
    /// Trials of the breaker of this upstream, or of this endpoint of it.
    Trials(Arc<str>, Option<Arc<str>>),
}

const ANY: u64 = u64::MAX;

impl Ceilings {
    pub fn new(config: &Config, cores: usize) -> Self {
        let all = limits(config);
        let keys: Vec<Key> = all.iter().map(|(key, _)| key.clone()).collect();
        let limits: Vec<[u64; 2]> = all.into_iter().map(|(_, limits)| limits).collect();
        Ceilings { used: vec![vec![[0; 2]; keys.len()]; cores], allowed: limits.clone(), keys, limits }
    }

    pub fn reload(&mut self, config: &Config, cores: &[Core]) {
        let amounts = self.limits.drain(..).zip(self.allowed.drain(..));
        let before: HashMap<Key, _> = self.keys.drain(..).zip(amounts).collect();
        *self = Ceilings::new(config, cores.len());
        for (key, allowed) in self.keys.iter().zip(&mut self.allowed) {
            let (limits, before) = before.get(key).copied().unwrap_or(([ANY; 2], [ANY; 2]));
            // No queue before is as no limit before: cores begin with a first share, and one that has not heard of the time without a
            // queue goes on with its share.
            let queue = if limits[1] == 0 { ANY } else { before[1] };
            *allowed = [allowed[0].max(before[0]), allowed[1].max(queue)];
        }
        (0..cores.len()).for_each(|core| self.measure(core, &cores[core].view));
    }

    /// Sees what a core uses.
    pub fn measure(&mut self, core: usize, view: &View) {
        let used = &mut self.used[core];
        used.fill([0; 2]);
        let share = |share: &Share| {
            let claim = share.clone().claim();
            [if share.is_limited() { claim.limit.max(claim.in_flight) } else { claim.in_flight }, claim.queue.max(claim.waiting)]
                .map(u64::from)
        };
        let mut next = 0;
        let mut note = |is: &dyn Fn(&Key) -> bool, amounts: [u64; 2]| {
            let found = (next..self.keys.len()).chain(0..next).find(|&index| is(&self.keys[index]));
            if let Some(index) = found {
                used[index] = amounts;
                next = index + 1;
            }
        };
        note(&|key| *key == Key::Share(ShareKey::Gateway), share(&view.gateway.borrow()));
        for (index, route) in view.plan.routes.iter().enumerate() {
            note(&|key| matches!(key, Key::Share(ShareKey::Route(name)) if *name == route.name), share(&view.route(index).borrow()));
        }
        for member in view.members() {
            let upstream = member.upstream.borrow();
            let name = upstream.name();
            if let Some(breaker) = upstream.breaker() {
                note(&|key| matches!(key, Key::Trials(here, None) if here == name), share(breaker.trials()));
            }
            note(&|key| matches!(key, Key::Share(ShareKey::Upstream(here)) if here == name), [0, share(upstream.queue())[1]]);
            for (_, endpoint) in upstream.endpoints() {
                let limited = if endpoint.limit() == Share::UNLIMITED { 0 } else { endpoint.limit() };
                let is = |key: &Key| matches!(key, Key::Share(ShareKey::Endpoint(here, which)) if here == name && which == endpoint.name());
                note(&is, [u64::from(limited.max(endpoint.in_flight())), 0]);
                if let Some(breaker) = endpoint.breaker() {
                    let is = |key: &Key| matches!(key, Key::Trials(here, Some(which)) if here == name && which == endpoint.name());
                    note(&is, share(breaker.trials()));
                }
            }
        }
    }

    /// Holds what is used against what is allowed. `current`: all cores run the newest plan.
    pub fn check(&mut self, current: bool) {
        for (index, key) in self.keys.iter().enumerate() {
            for kind in 0..2 {
                let used: u64 = self.used.iter().map(|used| used[index][kind]).sum();
                let allowed = &mut self.allowed[index][kind];
                assert!(used <= *allowed, "{} of {key:?}: {used} of {allowed}", ["in flight or granted", "queued"][kind]);
                if current && used <= self.limits[index][kind] {
                    *allowed = self.limits[index][kind];
                }
            }
        }
    }

    /// What is allowed in flight.
    pub fn allowed(&self, which: &ShareKey) -> u64 {
        self.keys.iter().position(|key| matches!(key, Key::Share(key) if key == which)).map_or(ANY, |index| self.allowed[index][0])
    }

    /// After a calm time: all limits are kept to, and given out whole.
    pub fn assert_settled(&self) {
        for (index, key) in self.keys.iter().enumerate() {
            assert_eq!(self.allowed[index], self.limits[index], "{key:?} has not come down to its limit");
            let granted: u64 = self.used.iter().map(|used| used[index][0]).sum();
            let whole = self.limits[index][0];
            assert!(granted == whole || whole == ANY, "{granted} of {whole} of {key:?} are given out");
        }
    }
}

/// All limits of a configuration with their queues, in the order in which views have them.
fn limits(config: &Config) -> Vec<(Key, [u64; 2])> {
    let limit = |limit: u32| if limit == 0 { ANY } else { u64::from(limit) };
    // The queue before a limit that isn't there stays empty, and nobody looks after its shares.
    let queue = |limit: u32| if limit == 0 { ANY } else { u64::from(config.limits.queue) };
    let gateway = config.limits.max_concurrent_requests;
    let mut all = vec![(Key::Share(ShareKey::Gateway), [limit(gateway), queue(gateway)])];
    for route in &config.routes {
        let most = route.max_concurrent_requests;
        all.push((Key::Share(ShareKey::Route(route.name().into())), [limit(most), queue(most)]));
    }
    for upstream in &config.upstreams {
        let id: Arc<str> = upstream.id.as_str().into();
        let rules = config.breaker_of(upstream);
        let trials =
            |scope| rules.filter(|rules| rules.scope == scope || rules.scope == BreakerScope::Both).map(|rules| u64::from(rules.trials));
        all.extend(trials(BreakerScope::Upstream).map(|trials| (Key::Trials(id.clone(), None), [trials, 0])));
        all.push((Key::Share(ShareKey::Upstream(id.clone())), [ANY, u64::from(upstream.queue.length)]));
        for endpoint in &upstream.endpoints {
            let key = ShareKey::Endpoint(id.clone(), endpoint.name().into());
            all.push((Key::Share(key), [limit(endpoint.max_concurrent_requests), 0]));
            let key = Key::Trials(id.clone(), Some(endpoint.name().into()));
            all.extend(trials(BreakerScope::Endpoint).map(|trials| (key, [trials, 0])));
        }
    }
    all
}

/// A refusal must be true: nobody is told that no endpoint is healthy while one is.
pub fn check_refusal(reason: Reason, upstream: &Upstream, health_checks: bool, now: Instant) {
    let usable = |endpoint: &&ringway::upstream::Endpoint| {
        !endpoint.is_leaving()
            && endpoint.settings().weight > 0
            && (endpoint.is_healthy() || !health_checks)
            && endpoint.ejected_until() <= now
    };
    let located = |id| upstream.target(id, 0).is_some();
    let well: Vec<_> =
        upstream.endpoints().filter(|(id, endpoint)| usable(endpoint) && located(*id)).map(|(_, endpoint)| endpoint).collect();
    match reason {
        Reason::NoHealthyEndpoint | Reason::Unresolved => {
            assert!(well.is_empty(), "{reason:?} though {} is well", well[0].name());
        }
        Reason::CircuitOpen => {
            let rules = upstream.settings().circuit_breaker.as_ref().expect("only a breaker opens");
            assert_eq!(rules.mode, BreakerMode::Enforce, "in shadow mode, nobody is kept away");
            let passes = |breaker: Option<&Breaker>| breaker.is_none_or(|breaker| breaker.has_room(now));
            let open = !passes(upstream.breaker()) || !well.iter().any(|endpoint| passes(endpoint.breaker()));
            assert!(open || upstream.is_panicking(), "{reason:?} though one may be asked: {well:#?}");
        }
        Reason::EndpointsBusy => {
            let busy = |endpoint: &&ringway::upstream::Endpoint| {
                endpoint.in_flight() >= endpoint.limit() || endpoint.breaker().is_some_and(|breaker| !breaker.has_room(now))
            };
            let excused = well.iter().all(busy) || upstream.waiting() > 0;
            assert!(excused || upstream.is_panicking(), "{reason:?} though one has room: {well:#?}");
        }
        _ => {}
    }
}
