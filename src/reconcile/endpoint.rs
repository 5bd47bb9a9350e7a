//! The truth about one endpoint: its probes, its addresses, its ejections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::breaker::{Breaker, ENDPOINT_TURN};
use super::change::{Cause, What};
use super::division::Division;
use super::{EndpointReport, EndpointUpdate, Lookup};
use crate::address::Address;
use crate::balancer::{below, mix};
use crate::clock::Instant;
use crate::config::{self, CircuitBreaker, HostHeader, Outlier, Target};
use crate::health::{self, Counts, Vitals, Window};

/// An endpoint over all cores.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub name: Arc<str>,
    pub url: String,
    target: Option<Target>,
    /// Its weight lets requests through.
    used: bool,
    vitals: Vitals,
    /// When the next probe is due.
    probe_at: Instant,
    /// Why the last probe failed, if it did.
    pub probe_error: Option<String>,
    /// The number of the probe under way.
    pub probing: Option<u64>,
    /// When its name is to be looked up next.
    lookup_at: Instant,
    looking_up: bool,
    /// Look-ups in a row that found nothing.
    misses: u32,
    /// Sorted.
    addresses: Arc<[SocketAddr]>,
    window: Window,
    /// What each core had seen when it last reported; what it had seen before its first report is history.
    seen: Vec<Option<Seen>>,
    ejected_until: Instant,
    pub ejected: bool,
    ejections: u32,
    /// When one ejection is forgiven.
    forgive_at: Instant,
    /// Its concurrency limit.
    pub division: Option<Division>,
    /// Its circuit breaker.
    pub breaker: Option<Breaker>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    attempts: u64,
    failures: u64,
    in_flight: u32,
}

impl Endpoint {
    /// An endpoint of which nothing is known. Its first probe is due at `probe_at`.
    pub fn new(settings: &config::Endpoint, cores: usize, probe_at: Instant, now: Instant) -> Self {
        let mut endpoint = Endpoint {
            name: settings.name().into(),
            url: settings.url.clone(),
            target: settings.url.parse().ok(),
            used: settings.weight > 0,
            vitals: Vitals::default(),
            probe_at,
            probe_error: None,
            probing: None,
            lookup_at: now,
            looking_up: false,
            misses: 0,
            addresses: Arc::from([]),
            window: Window::default(),
            seen: vec![None; cores],
            ejected_until: Instant::ZERO,
            ejected: false,
            ejections: 0,
            forgive_at: Instant::MAX,
            division: None,
            breaker: None,
        };
        endpoint.limit(settings.max_concurrent_requests);
        endpoint
    }

    /// Takes over changed settings. Another `url` is another server: all that was known is forgotten, but not the concurrency
    /// limit and the trials in flight, which cores keep.
    pub fn reconfigure(self, settings: &config::Endpoint, probe_at: Instant, now: Instant) -> Self {
        let cores = self.seen.len();
        let mut endpoint = if settings.url == self.url {
            self
        } else {
            let mut breaker = self.breaker;
            breaker.iter_mut().for_each(|breaker| breaker.reset(now));
            Endpoint { division: self.division, breaker, ..Endpoint::new(settings, cores, probe_at, now) }
        };
        endpoint.used = settings.weight > 0;
        // What cores report next may hold counts from before they knew this plan.
        endpoint.seen.fill(None);
        endpoint.limit(settings.max_concurrent_requests);
        endpoint
    }

    fn limit(&mut self, limit: u32) {
        match &mut self.division {
            _ if limit == 0 => self.division = None,
            Some(division) => division.reconfigure(limit, 0),
            none => *none = Some(Division::new(limit, 0, self.seen.len())),
        }
    }

    /// Has a circuit breaker, or none.
    pub fn guard(&mut self, rules: Option<&CircuitBreaker>, now: Instant) {
        Breaker::place(&mut self.breaker, rules, ENDPOINT_TURN, self.seen.len(), now);
    }

    /// Forgets what probes and requests have shown, where the settings don't ask for it any more.
    pub fn heed(&mut self, probes: bool, outliers: bool) {
        if !probes {
            (self.vitals, self.probe_error, self.probing) = (Vitals::default(), None, None);
        }
        if !outliers {
            (self.ejected_until, self.ejected, self.ejections) = (Instant::ZERO, false, 0);
        }
    }

    /// The next probe is due then.
    pub fn probe_from(&mut self, at: Instant) {
        self.probe_at = at;
    }

    pub fn is_healthy(&self) -> bool {
        self.vitals.is_healthy()
    }

    /// Whether requests may go there as far as the settings say.
    pub fn is_usable(&self) -> bool {
        self.used && self.is_resolved()
    }

    /// Whether it is known where it is: by its `url`, or because its host name was found.
    pub fn is_resolved(&self) -> bool {
        !self.addresses.is_empty() || !matches!(self.target, None | Some(Target::Name { .. }))
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Requests in flight, over all cores.
    pub fn in_flight(&self) -> u64 {
        self.seen.iter().flatten().map(|seen| u64::from(seen.in_flight)).sum()
    }

    /// Where to send a probe, if one is due; the next one is put off by `interval`, give or take a tenth by chance.
    pub fn probe(&mut self, number: u64, interval: Duration, draw: u64, now: Instant) -> Option<Address> {
        if now < self.probe_at || self.probing.is_some() {
            return None;
        }
        let address = match self.target.as_ref()? {
            Target::Address(address) => Address::Tcp(*address),
            Target::Unix(path) => Address::Unix(path.as_path().into()),
            Target::Name { .. } => Address::Tcp(*self.addresses.get(below(mix(draw), self.addresses.len() as u64) as usize)?),
        };
        let fifth = u64::try_from(interval.as_nanos() / 5).unwrap_or(u64::MAX);
        let jitter = Duration::from_nanos(below(mix(draw ^ number), fifth));
        self.probe_at = now + interval - interval / 10 + jitter;
        self.probing = Some(number);
        Some(address)
    }

    /// Takes the result of a probe; what has changed with it.
    pub fn on_probe(&mut self, result: Result<(), String>, check: &config::HealthCheck) -> Option<What> {
        self.probing = None;
        let ok = result.is_ok();
        self.probe_error = result.err();
        let changed = self.vitals.on_probe(ok, check.rise, check.fall);
        changed.then_some(if ok { What::Up } else { What::Down })
    }

    /// The Host header of its probes.
    pub fn host(&self, setting: &HostHeader) -> String {
        match setting {
            HostHeader::Set(host) => host.clone(),
            HostHeader::Keep | HostHeader::Endpoint => config::authority(&self.url).unwrap_or("localhost").to_owned(),
        }
    }

    /// The name and port to look up, if that is due.
    pub fn lookup(&mut self, now: Instant) -> Option<(&str, u16)> {
        match &self.target {
            Some(Target::Name { host, port }) if now >= self.lookup_at && !self.looking_up => {
                self.looking_up = true;
                Some((host, *port))
            }
            _ => None,
        }
    }

    /// Whether this is the look-up under way: its name may have changed meanwhile.
    pub fn waits_for(&self, lookup: &Lookup) -> bool {
        let same = |target: &Target| matches!(target, Target::Name { host, port } if *host == lookup.host && *port == lookup.port);
        self.looking_up && self.target.as_ref().is_some_and(same)
    }

    /// Takes the addresses found, none if none were; what has changed with them. Without an answer those known before stay.
    pub fn on_resolved(&mut self, mut addresses: Vec<SocketAddr>, interval: Duration, now: Instant) -> Option<What> {
        self.looking_up = false;
        if addresses.is_empty() {
            let wait = LOOKUP_RETRY.saturating_mul(1 << self.misses.min(16));
            self.misses += 1;
            self.lookup_at = now + wait.min(interval);
            return None;
        }
        self.misses = 0;
        self.lookup_at = now + interval;
        addresses.sort_unstable();
        addresses.dedup();
        if *addresses == *self.addresses {
            return None;
        }
        self.addresses = addresses.into();
        Some(What::Resolved(Arc::clone(&self.addresses)))
    }

    /// Takes what a core has seen; why the endpoint is to be ejected and until when, if it is and isn't.
    pub fn on_report(&mut self, core: usize, report: &EndpointReport, outlier: &Outlier, now: Instant) -> Option<(Instant, Cause)> {
        let EndpointReport { attempts, failures, in_flight, .. } = *report;
        if let Some(before) = self.seen[core].replace(Seen { attempts, failures, in_flight })
            && attempts > before.attempts
        {
            let more = Counts { attempts: attempts - before.attempts, failures: failures.saturating_sub(before.failures), slow: 0 };
            self.window.add(more, outlier.window.get(), now);
            let judged = failures > before.failures && outlier.error_rate > 0 && now >= self.ejected_until;
            if judged && self.window.counts().is_over(outlier.error_rate, outlier.min_requests) {
                return Some((now + health::ejection_time(outlier, self.ejections), Cause::ErrorRate));
            }
        }
        (report.ejected_until > now && report.ejected_until > self.ejected_until).then_some((report.ejected_until, Cause::Consecutive))
    }

    /// Ejects it, or keeps it ejected for longer: two cores may have come to it at the same time, which is one ejection.
    pub fn eject(&mut self, until: Instant, outlier: &Outlier) {
        if !self.ejected {
            self.ejections = self.ejections.saturating_add(1).min(health::EJECTIONS_MAX);
            self.ejected = true;
        }
        self.ejected_until = until;
        self.forgive_at = until + outlier.ejection_time.get();
        self.window.clear();
    }

    /// Time has passed: ejections end, and for each `ejection_time` without another one, one is forgiven.
    pub fn tick(&mut self, outlier: &Outlier, now: Instant) -> Option<What> {
        if self.ejected && now >= self.ejected_until {
            self.ejected = false;
            return Some(What::Returned);
        }
        if self.ejections > 0 && now >= self.forgive_at {
            self.ejections -= 1;
            self.forgive_at = now + outlier.ejection_time.get();
        }
        None
    }

    pub fn update(&self, core: usize) -> EndpointUpdate {
        EndpointUpdate {
            endpoint: Arc::clone(&self.name),
            healthy: self.is_healthy(),
            ejected_until: self.ejected_until,
            ejections: self.ejections,
            addresses: Arc::clone(&self.addresses),
            breaker: self.breaker.as_ref().map(|breaker| breaker.update(core)),
        }
    }
}

/// How soon a look-up that found nothing is repeated; doubled with each further one, at most `resolve_interval`.
const LOOKUP_RETRY: Duration = Duration::from_secs(1);
