//! All that the coordinator knows of upstreams and limits.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::breaker::{Breaker, BreakerState};
use super::change::Change;
use super::counts::Counts;
use super::division::Division;
use super::endpoint::Endpoint;
use super::upstream::Upstream;
use super::{Report, ShareGrant, ShareKey, ShareReport, Update, UpstreamTally};
use crate::address::Address;
use crate::clock::Instant;
use crate::config::{Config, HealthCheck, Protocol, ProxyProtocol};
use crate::metrics::Count;

/// Whose probe.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProbeId {
    /// The upstream's `id`.
    pub upstream: Arc<str>,
    /// The endpoint's name.
    pub endpoint: Arc<str>,
    /// Another one for each probe.
    pub number: u64,
}

/// A probe to be made: its result goes to [`Reconciler::on_probe`].
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// Whose it is.
    pub id: ProbeId,
    /// Where to connect.
    pub address: Address,
    /// Its `url`, as configured.
    pub url: String,
    /// The Host header to send.
    pub host: String,
    /// What the connection begins with.
    pub proxy_protocol: ProxyProtocol,
    /// What the endpoint speaks.
    pub protocol: Protocol,
    /// What to ask for and to expect.
    pub settings: HealthCheck,
}

/// A host name to be looked up: its result goes to [`Reconciler::on_resolved`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The upstream's `id`.
    pub upstream: Arc<str>,
    /// The endpoint's name.
    pub endpoint: Arc<str>,
    /// The host name.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

/// An endpoint's state over all cores, as pages show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The upstream's `id`.
    pub upstream: Arc<str>,
    /// The endpoint's name.
    pub endpoint: Arc<str>,
    /// Its `url`, as configured.
    pub url: String,
    /// Whether it is known where it is; `false` while its host name has no address.
    pub resolved: bool,
    /// What the probes say; `true` if there are none.
    pub healthy: bool,
    /// Why the last probe failed, if it did.
    pub probe_error: Option<String>,
    /// Whether it is ejected for what requests showed.
    pub ejected: bool,
    /// Requests in flight.
    pub in_flight: u64,
    /// Its circuit breaker, if it has one.
    pub breaker: Option<BreakerState>,
}

/// An upstream's state over all cores, as pages show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamState {
    /// Its `id`.
    pub upstream: Arc<str>,
    /// The circuit breaker of the upstream as a whole, if it has one.
    pub breaker: Option<BreakerState>,
    /// What all cores have counted.
    pub tally: UpstreamTally,
}

/// All that the coordinator knows of upstreams and limits.
#[derive(Debug)]
pub struct Reconciler {
    /// The plan in force. Reports of cores that run another one count for nothing.
    generation: u64,
    cores: Vec<Core>,
    upstreams: Vec<Upstream>,
    upstreams_by_name: HashMap<Arc<str>, usize>,
    /// The limits of the gateway and its routes.
    limits: Vec<(ShareKey, Division)>,
    limits_by_key: HashMap<ShareKey, usize>,
    /// Of the newest update.
    version: u64,
    /// Cores should hear soon.
    changed: bool,
    /// When they hear anyway.
    tell_at: Instant,
    changes: Vec<Change>,
    counts: Counts,
    probes: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Core {
    /// Of its newest report.
    sequence: u64,
    /// When a part of what it needed was last forgotten.
    forgot_at: Instant,
}

impl Reconciler {
    /// For so many cores that run a plan of this configuration and generation.
    pub fn new(cores: u32, config: &Config, generation: u64, now: Instant) -> Self {
        let mut reconciler = Reconciler {
            generation,
            cores: vec![Core::default(); cores as usize],
            upstreams: Vec::new(),
            upstreams_by_name: HashMap::new(),
            limits: Vec::new(),
            limits_by_key: HashMap::new(),
            version: 0,
            changed: false,
            tell_at: now,
            changes: Vec::new(),
            counts: Counts::new(cores as usize),
            probes: 0,
        };
        reconciler.reconfigure(config, generation, now);
        reconciler
    }

    /// Another plan is put in force. Upstreams and endpoints of the same name keep their state.
    pub fn reconfigure(&mut self, config: &Config, generation: u64, now: Instant) {
        let cores = self.cores.len();
        self.generation = generation;
        self.changed = true;
        let mut known: HashMap<Arc<str>, Upstream> =
            self.upstreams.drain(..).map(|upstream| (Arc::clone(&upstream.name), upstream)).collect();
        self.upstreams = config
            .upstreams
            .iter()
            .map(|settings| Upstream::new(config, settings, known.remove(settings.id.as_str()), cores, now))
            .collect();
        self.upstreams_by_name = self.upstreams.iter().map(|upstream| Arc::clone(&upstream.name)).zip(0..).collect();
        let mut known: HashMap<ShareKey, Division> = self.limits.drain(..).collect();
        let routes = config.routes.iter().map(|route| (ShareKey::Route(route.name().into()), route.max_concurrent_requests));
        let limits = [(ShareKey::Gateway, config.limits.max_concurrent_requests)].into_iter().chain(routes);
        let queue = config.limits.queue;
        self.limits = limits
            .filter(|&(_, limit)| limit > 0)
            .map(|(key, limit)| {
                let division = match known.remove(&key) {
                    Some(mut division) => {
                        division.reconfigure(limit, queue);
                        division
                    }
                    None => Division::new(limit, queue, cores),
                };
                (key, division)
            })
            .collect();
        self.limits_by_key = self.limits.iter().map(|(key, _)| key.clone()).zip(0..).collect();
    }

    /// A core's report. One that is older than another that was taken counts for nothing.
    pub fn on_report(&mut self, report: Report, now: Instant) {
        let index = report.core as usize;
        let Some(core) = self.cores.get_mut(index) else { return };
        if report.sequence <= core.sequence || report.generation != self.generation {
            return;
        }
        core.sequence = report.sequence;
        let later = now.since(core.forgot_at) >= FORGET;
        if later {
            core.forgot_at = now;
        }
        for (position, seen) in report.upstreams.iter().enumerate() {
            let here = |upstream: &Upstream| upstream.name == seen.upstream;
            let position = match self.upstreams.get(position).is_some_and(here) {
                true => Some(position),
                false => self.upstreams_by_name.get(&seen.upstream).copied(),
            };
            let Some(position) = position else { continue };
            let before = self.changes.len();
            self.upstreams[position].on_report(index, seen, later, now, &mut self.changes);
            self.changed |= self.changes.len() > before;
        }
        for (position, ShareReport { key, claim }) in report.shares.iter().enumerate() {
            let position = match self.limits.get(position) {
                Some((here, _)) if here == key => Some(position),
                _ => self.limits_by_key.get(key).copied(),
            };
            if let Some(position) = position {
                self.limits[position].1.claim(index, claim, later);
            }
        }
        self.counts.set(index, report.counts);
    }

    /// A probe's result, or why it failed; whether the endpoint is up or down by it. That of a server which isn't the endpoint any more
    /// counts for nothing.
    pub fn on_probe(&mut self, id: &ProbeId, result: Result<(), String>) -> bool {
        let Some((upstream, index)) = self.endpoint(&id.upstream, &id.endpoint) else { return false };
        let Upstream { endpoints, check, .. } = &mut *upstream;
        let endpoint = &mut endpoints[index];
        if endpoint.probing == Some(id.number)
            && let Some(what) = endpoint.on_probe(result, check)
        {
            let change = upstream.change(Some(index), what);
            self.changes.push(change);
            self.changed = true;
            return true;
        }
        false
    }

    /// A look-up's result: the addresses, or none if it failed; then those known before stay in use.
    pub fn on_resolved(&mut self, lookup: &Lookup, addresses: Vec<SocketAddr>, now: Instant) {
        let Some((upstream, index)) = self.endpoint(&lookup.upstream, &lookup.endpoint) else { return };
        let Upstream { endpoints, resolve_interval, .. } = &mut *upstream;
        let endpoint = &mut endpoints[index];
        if endpoint.waits_for(lookup)
            && let Some(what) = endpoint.on_resolved(addresses, *resolve_interval, now)
        {
            let change = upstream.change(Some(index), what);
            self.changes.push(change);
            self.changed = true;
        }
    }

    fn endpoint(&mut self, upstream: &str, endpoint: &str) -> Option<(&mut Upstream, usize)> {
        let upstream = &mut self.upstreams[*self.upstreams_by_name.get(upstream)?];
        let index = upstream.find(endpoint, &mut 0)?;
        Some((upstream, index))
    }

    /// The probes to be made by now; each endpoint has one under way at most.
    pub fn due_probes(&mut self, now: Instant, draw: u64) -> Vec<Probe> {
        let mut due = Vec::new();
        for upstream in &mut self.upstreams {
            let Some(interval) = upstream.probe_interval else { continue };
            for endpoint in &mut upstream.endpoints {
                if let Some(address) = endpoint.probe(self.probes + 1, interval, draw, now) {
                    self.probes += 1;
                    due.push(Probe {
                        id: ProbeId { upstream: Arc::clone(&upstream.name), endpoint: Arc::clone(&endpoint.name), number: self.probes },
                        address,
                        url: endpoint.url.clone(),
                        host: endpoint.host(&upstream.host_header),
                        proxy_protocol: upstream.proxy_protocol,
                        protocol: upstream.protocol,
                        settings: upstream.check.clone(),
                    });
                }
            }
        }
        due
    }

    /// The look-ups to be made by now, a few at a time; each endpoint has one under way at most.
    pub fn due_lookups(&mut self, now: Instant) -> Vec<Lookup> {
        let endpoints = self.upstreams.iter_mut().flat_map(|upstream| {
            let name = &upstream.name;
            upstream.endpoints.iter_mut().map(move |endpoint| (name, endpoint))
        });
        let due = endpoints.filter_map(|(upstream, endpoint)| {
            let (host, port) = endpoint.lookup(now)?;
            let host = host.to_owned();
            Some(Lookup { upstream: Arc::clone(upstream), endpoint: Arc::clone(&endpoint.name), host, port })
        });
        due.take(LOOKUPS_AT_ONCE).collect()
    }

    /// Time has passed. One update for each core, in order, if there is something to tell or they haven't heard for a while.
    pub fn tick(&mut self, now: Instant) -> Vec<Update> {
        let version = self.version + 1;
        let mut moved = false;
        for upstream in &mut self.upstreams {
            moved |= upstream.tick(version, now, &mut self.changes);
        }
        for (_, division) in &mut self.limits {
            moved |= division.tick(version, now);
        }
        if !moved && !self.changed && now < self.tell_at {
            return Vec::new();
        }
        self.version = version;
        self.changed = false;
        self.tell_at = now + TELL;
        (0..self.cores.len()).map(|core| self.update(core)).collect()
    }

    fn update(&self, core: usize) -> Update {
        let grant = |(key, division): &(ShareKey, Division)| division.grant(core).map(|grant| ShareGrant { key: key.clone(), grant });
        Update {
            version: self.version,
            generation: self.generation,
            upstreams: self.upstreams.iter().map(|upstream| upstream.update(core, self.version)).collect(),
            shares: self.limits.iter().filter_map(grant).collect(),
        }
    }

    /// What has changed since this was last asked, in order.
    pub fn changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// All endpoints, in order of the configuration.
    pub fn snapshot(&self) -> Vec<State> {
        let endpoints = self.upstreams.iter().flat_map(|upstream| upstream.endpoints.iter().map(move |endpoint| (upstream, endpoint)));
        let state = |(upstream, endpoint): (&Upstream, &Endpoint)| State {
            upstream: Arc::clone(&upstream.name),
            endpoint: Arc::clone(&endpoint.name),
            url: endpoint.url().to_owned(),
            resolved: endpoint.is_resolved(),
            healthy: endpoint.is_healthy(),
            probe_error: endpoint.probe_error.clone(),
            ejected: endpoint.ejected,
            in_flight: endpoint.in_flight(),
            breaker: endpoint.breaker.as_ref().map(Breaker::state),
        };
        endpoints.map(state).collect()
    }

    /// What all cores have counted by labels.
    pub fn counts(&self) -> Vec<Count> {
        self.counts.sum()
    }

    /// All upstreams, in order of the configuration.
    pub fn upstreams(&self) -> Vec<UpstreamState> {
        let state = |upstream: &Upstream| UpstreamState {
            upstream: Arc::clone(&upstream.name),
            breaker: upstream.breaker.as_ref().map(Breaker::state),
            tally: upstream.tally(),
        };
        self.upstreams.iter().map(state).collect()
    }
}

/// How long what a core needed at most is remembered whole; after that, a quarter of it goes with each such time.
const FORGET: Duration = Duration::from_millis(100);

/// How often cores are told though nothing has changed: what was lost on the way is told again.
const TELL: Duration = Duration::from_millis(500);

/// Look-ups handed out at once: the next tick has more.
const LOOKUPS_AT_ONCE: usize = 64;
