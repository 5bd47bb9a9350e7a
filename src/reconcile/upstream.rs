//! The truth about one upstream: its endpoints, and the queue before their limits.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::breaker::{Breaker, UPSTREAM_TURN};
use super::change::{Change, What};
use super::division::Division;
use super::endpoint::Endpoint;
use super::{ShareGrant, ShareKey, ShareReport, UpstreamReport, UpstreamTally, UpstreamUpdate};
use crate::clock::Instant;
use crate::config::{self, BreakerMode, BreakerScope, CircuitBreaker, Config, HealthCheck, HostHeader, Outlier, Protocol, ProxyProtocol};
use crate::health;
use crate::limiter::{Grant, Share};

/// An upstream over all cores.
#[derive(Clone, Debug)]
pub(super) struct Upstream {
    pub name: Arc<str>,
    pub check: HealthCheck,
    /// Between probes; `None` if there are none.
    pub probe_interval: Option<Duration>,
    pub resolve_interval: Duration,
    pub host_header: HostHeader,
    pub proxy_protocol: ProxyProtocol,
    pub protocol: Protocol,
    outlier: Outlier,
    pub endpoints: Vec<Endpoint>,
    by_name: HashMap<Arc<str>, usize>,
    queue: Division,
    /// How circuit breakers behave, if there are any.
    rules: Option<CircuitBreaker>,
    /// That of the upstream as a whole.
    pub breaker: Option<Breaker>,
    /// What each core had counted when it last reported.
    tallies: Vec<UpstreamTally>,
}

impl Upstream {
    /// An upstream by its settings; what is known of one of the same name is taken over.
    pub fn new(config: &Config, settings: &config::Upstream, before: Option<Upstream>, cores: usize, now: Instant) -> Self {
        let check = &settings.health_check;
        let interval = check.interval.or(config.health_check_interval).map_or(PROBE_INTERVAL, config::Time::get);
        let probe_interval = (check.enabled && config.features.health_checks).then_some(interval);
        let mut outlier = settings.outlier_detection.clone();
        outlier.enabled &= config.features.outlier_detection;
        let mut known: HashMap<Arc<str>, Endpoint> = HashMap::new();
        let mut queue = Division::new(Share::UNLIMITED, settings.queue.length, cores);
        let mut probed_before = false;
        let rules = config.breaker_of(settings);
        let of = |scope| rules.filter(|rules| rules.scope == scope || rules.scope == BreakerScope::Both);
        let (mut breaker, mut tallies) = (None, vec![UpstreamTally::default(); cores]);
        if let Some(before) = before {
            queue = before.queue;
            (breaker, tallies) = (before.breaker, before.tallies);
            queue.reconfigure(Share::UNLIMITED, settings.queue.length);
            probed_before = before.probe_interval.is_some();
            known.extend(before.endpoints.into_iter().map(|endpoint| (Arc::clone(&endpoint.name), endpoint)));
        }
        Breaker::place(&mut breaker, of(BreakerScope::Upstream), UPSTREAM_TURN, cores, now);
        let number = settings.endpoints.len().max(1) as u32;
        let endpoints: Vec<Endpoint> = (0..)
            .zip(&settings.endpoints)
            .map(|(index, settings)| {
                // The first probes are spread over one interval, beginning at once.
                let probe_at = now + interval.mul_f64(f64::from(index) / f64::from(number));
                let mut endpoint = match known.remove(settings.name()) {
                    Some(endpoint) => endpoint.reconfigure(settings, probe_at, now),
                    None => Endpoint::new(settings, cores, probe_at, now),
                };
                endpoint.guard(of(BreakerScope::Endpoint), now);
                endpoint.heed(probe_interval.is_some(), outlier.enabled);
                if !probed_before {
                    endpoint.probe_from(probe_at);
                }
                endpoint
            })
            .collect();
        Upstream {
            name: settings.id.as_str().into(),
            check: check.clone(),
            probe_interval,
            resolve_interval: settings.resolve_interval.map_or(RESOLVE_INTERVAL, config::Time::get),
            host_header: settings.host_header.clone(),
            proxy_protocol: settings.proxy_protocol,
            protocol: settings.protocol,
            outlier,
            by_name: endpoints.iter().map(|endpoint| Arc::clone(&endpoint.name)).zip(0..).collect(),
            endpoints,
            queue,
            rules: rules.cloned(),
            breaker,
            tallies,
        }
    }

    /// The position of an endpoint; looks at `hint` first and leaves the next position there, as lists are mostly in order.
    pub fn find(&self, name: &str, hint: &mut usize) -> Option<usize> {
        let index = match self.endpoints.get(*hint) {
            Some(endpoint) if *endpoint.name == *name => *hint,
            _ => *self.by_name.get(name)?,
        };
        *hint = index + 1;
        Some(index)
    }

    /// A change of an endpoint, or of the upstream as a whole.
    pub fn change(&self, endpoint: Option<usize>, what: What) -> Change {
        let breaks = matches!(what, What::Opened(..) | What::HalfOpened | What::Closed);
        let shadow = breaks && self.rules.as_ref().is_some_and(|rules| rules.mode == BreakerMode::Shadow);
        let endpoint = endpoint.map(|index| Arc::clone(&self.endpoints[index].name));
        Change { upstream: Arc::clone(&self.name), endpoint, shadow, what }
    }

    /// Takes what a core tells of breakers.
    fn on_breakers(&mut self, core: usize, report: &UpstreamReport, later: bool, now: Instant, changes: &mut Vec<Change>) {
        let Some(rules) = self.rules.take() else { return };
        let mut told = Vec::new();
        if let (Some(breaker), Some(report)) = (&mut self.breaker, &report.breaker) {
            told.extend(breaker.on_report(core, report, &rules, later, now).map(|what| (None, what)));
        }
        let mut hint = 0;
        for seen in &report.endpoints {
            let Some(index) = self.find(&seen.endpoint, &mut hint) else { continue };
            if let (Some(breaker), Some(report)) = (&mut self.endpoints[index].breaker, &seen.breaker) {
                told.extend(breaker.on_report(core, report, &rules, later, now).map(|what| (Some(index), what)));
            }
        }
        self.rules = Some(rules);
        changes.extend(told.into_iter().map(|(index, what)| self.change(index, what)));
    }

    /// Takes a core's report; adds what has changed with it.
    pub fn on_report(&mut self, core: usize, report: &UpstreamReport, later: bool, now: Instant, changes: &mut Vec<Change>) {
        self.tallies[core].clone_from(&report.tally);
        self.on_breakers(core, report, later, now, changes);
        let mut ejected = None;
        let mut hint = 0;
        for seen in &report.endpoints {
            let Some(index) = self.find(&seen.endpoint, &mut hint) else { continue };
            let Some((until, cause)) = self.endpoints[index].on_report(core, seen, &self.outlier, now) else { continue };
            if !self.outlier.enabled || !self.endpoints[index].is_usable() {
                continue;
            }
            let out = *ejected.get_or_insert_with(|| self.count(|endpoint| endpoint.ejected));
            if !self.endpoints[index].ejected && !health::may_eject(&self.outlier, self.count(|_| true), out) {
                continue;
            }
            ejected = Some(out + usize::from(!self.endpoints[index].ejected));
            self.endpoints[index].eject(until, &self.outlier);
            changes.push(self.change(Some(index), What::Ejected(until.since(now), cause)));
        }
        let mut hint = 0;
        for ShareReport { key, claim } in &report.shares {
            let division = match key {
                ShareKey::Endpoint(_, name) => self.find(name, &mut hint).and_then(|index| self.endpoints[index].division.as_mut()),
                ShareKey::Upstream(_) => Some(&mut self.queue),
                ShareKey::Gateway | ShareKey::Route(_) => None,
            };
            if let Some(division) = division {
                division.claim(core, claim, later);
            }
        }
    }

    /// What all cores have counted.
    pub fn tally(&self) -> UpstreamTally {
        let mut all = UpstreamTally::default();
        self.tallies.iter().for_each(|tally| all.add(tally));
        all
    }

    /// Counts usable endpoints.
    fn count(&self, which: impl Fn(&Endpoint) -> bool) -> usize {
        self.endpoints.iter().filter(|endpoint| endpoint.is_usable() && which(endpoint)).count()
    }

    /// Time has passed; whether cores should hear of it.
    pub fn tick(&mut self, version: u64, now: Instant, changes: &mut Vec<Change>) -> bool {
        let mut moved = self.queue.tick(version, now);
        let mut told = Vec::new();
        for (index, endpoint) in self.endpoints.iter_mut().enumerate() {
            told.extend(endpoint.tick(&self.outlier, now).map(|what| (Some(index), what)));
            if let Some(division) = &mut endpoint.division {
                moved |= division.tick(version, now);
            }
        }
        let whole = self.breaker.iter_mut().map(|breaker| (None, breaker));
        let each = self.endpoints.iter_mut().enumerate().filter_map(|(index, endpoint)| Some((Some(index), endpoint.breaker.as_mut()?)));
        for (index, breaker) in whole.chain(each) {
            let (what, trials) = breaker.tick(version, now);
            moved |= trials;
            told.extend(what.map(|what| (index, what)));
        }
        changes.extend(told.into_iter().map(|(index, what)| self.change(index, what)));
        moved
    }

    /// What a core is told.
    pub fn update(&self, core: usize, version: u64) -> UpstreamUpdate {
        let limits = self.endpoints.iter().filter_map(|endpoint| {
            let grant = endpoint.division.as_ref()?.grant(core)?;
            Some(ShareGrant { key: ShareKey::Endpoint(Arc::clone(&self.name), Arc::clone(&endpoint.name)), grant })
        });
        let queue = |grant: Grant| ShareGrant { key: ShareKey::Upstream(Arc::clone(&self.name)), grant };
        UpstreamUpdate {
            upstream: Arc::clone(&self.name),
            version,
            endpoints: self.endpoints.iter().map(|endpoint| endpoint.update(core)).collect(),
            shares: limits.chain(self.queue.grant(core).map(queue)).collect(),
            breaker: self.breaker.as_ref().map(|breaker| breaker.update(core)),
        }
    }
}

/// Between probes, where no setting says.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// Between look-ups, where no setting says.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(30);
