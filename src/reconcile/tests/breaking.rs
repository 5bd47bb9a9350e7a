//! Circuit breakers over all cores: opened by the sum, closed by trials, never more of those than allowed.

use super::*;
use crate::breaker::{self, Cause, State};
use crate::config::{BreakerMode, BreakerScope, CircuitBreaker, Time};
use crate::health::Counts;
use crate::limiter::Claim;

/// Two cores that report on the breaker of the endpoint `a`, and on that of the upstream.
struct Cores {
    reconciler: Reconciler,
    config: Config,
    generation: u64,
    sequence: u64,
    cores: [breaker::Report; 2],
}

impl Cores {
    fn new(change: impl FnOnce(&mut CircuitBreaker)) -> Cores {
        let mut rules = CircuitBreaker { scope: BreakerScope::Both, open_time: Time::from_secs(5), ..CircuitBreaker::default() };
        change(&mut rules);
        let config = config(&[("a", "http://127.0.0.1:1")], |upstream| {
            upstream.circuit_breaker = Some(rules);
            upstream.outlier_detection.enabled = false;
        });
        let reconciler = Reconciler::new(2, &config, 1, at(0));
        let core = |limit| breaker::Report {
            episode: at(0),
            opened: None,
            passed: 0,
            counts: Counts::default(),
            shadowed: 0,
            trials: Claim { limit, ..Claim::default() },
        };
        let mut cores = Cores { reconciler, config, generation: 1, sequence: 0, cores: [core(2), core(1)] };
        (0..2).for_each(|core| cores.report(core, at(0)));
        cores
    }

    fn make(&mut self, core: usize) -> Report {
        self.sequence += 1;
        let breaker = Some(self.cores[core].clone());
        let endpoint =
            EndpointReport { endpoint: "a".into(), attempts: 0, failures: 0, in_flight: 0, ejected_until: at(0), breaker: breaker.clone() };
        let upstream =
            UpstreamReport { upstream: "u".into(), endpoints: vec![endpoint], shares: vec![], breaker, tally: UpstreamTally::default() };
        Report {
            core: core as u32,
            sequence: self.sequence,
            generation: self.generation,
            upstreams: vec![upstream],
            shares: vec![],
            counts: vec![],
        }
    }

    fn report(&mut self, core: usize, now: Instant) {
        let report = self.make(core);
        self.reconciler.on_report(report, now);
    }

    fn see(&mut self, core: usize, attempts: u64, failures: u64, now: Instant) {
        self.cores[core].counts += Counts { attempts, failures, slow: 0 };
        self.report(core, now);
    }

    /// What both cores are told, which they take over.
    fn hear(&mut self, now: Instant) -> [breaker::Update; 2] {
        let updates = self.reconciler.tick(now);
        let told = [0, 1].map(|core: usize| {
            let upstream = &updates[core].upstreams[0];
            let (endpoint, whole) = (upstream.endpoints[0].breaker.clone().expect("one"), upstream.breaker.clone().expect("one"));
            assert_eq!((endpoint.until, endpoint.opens), (whole.until, whole.opens), "both were told the same");
            endpoint
        });
        for (core, update) in self.cores.iter_mut().zip(&told) {
            if update.episode > core.episode {
                (core.episode, core.opened, core.passed) = (update.episode, None, 0);
            }
            if let Some(grant) = update.trials {
                (core.trials.version, core.trials.limit) = (grant.version, grant.limit);
            }
        }
        told
    }

    fn state(&self) -> State {
        self.reconciler.snapshot()[0].breaker.expect("it has one").state
    }
}

#[test]
fn the_sum_of_all_cores_opens_it() {
    let mut cores = Cores::new(|_| {});
    cores.see(0, 10, 4, at(1000));
    cores.see(1, 9, 6, at(1100));
    assert_eq!(cores.state(), State::Closed, "fewer than min_requests");
    let again = cores.make(1);
    cores.reconciler.on_report(again.clone(), at(1150));
    cores.see(1, 1, 0, at(1200));
    assert_eq!(cores.state(), State::Closed, "a good one never opens");
    cores.see(1, 1, 1, at(1200));
    assert_eq!(cores.state(), State::Open(at(6200)));
    cores.reconciler.on_report(again, at(1300));
    let opened = "circuit breaker has opened upstream=u for=5.0s cause=failure_rate";
    let of_endpoint = "circuit breaker has opened upstream=u endpoint=a for=5.0s cause=failure_rate";
    assert_eq!(lines(&mut cores.reconciler), [opened, of_endpoint]);
    for told in cores.hear(at(1300)) {
        assert_eq!((told.until, told.opens), (Some(at(6200)), 1));
    }
}

#[test]
fn what_a_core_opens_is_open_for_all_and_closes_by_trials_on_any() {
    let mut cores = Cores::new(|_| {});
    cores.hear(at(0));
    cores.cores[1].opened = Some((at(6000), Cause::Consecutive));
    cores.report(1, at(1000));
    let late = cores.make(1);
    assert_eq!(cores.state(), State::Open(at(6000)));
    cores.hear(at(1000));
    cores.reconciler.on_report(late, at(1100));
    cores.reconciler.tick(at(6000));
    assert_eq!(cores.state(), State::HalfOpen, "that of an episode before counts for nothing");
    cores.cores[0].passed = 1;
    cores.report(0, at(6100));
    cores.report(0, at(6200));
    cores.cores[1].passed = 1;
    cores.report(1, at(6200));
    assert_eq!(cores.state(), State::HalfOpen, "two of three, however often they are told of");
    cores.cores[1].passed = 2;
    cores.report(1, at(6300));
    assert_eq!(cores.state(), State::Closed);
    assert!(cores.hear(at(6300)).iter().all(|told| told.until.is_none() && told.opens == 0));
    let said: Vec<String> = lines(&mut cores.reconciler).into_iter().filter(|line| line.contains("endpoint=a")).collect();
    assert_eq!(
        said,
        [
            "circuit breaker has opened upstream=u endpoint=a for=5.0s cause=consecutive_failures",
            "circuit breaker is half-open upstream=u endpoint=a",
            "circuit breaker has closed upstream=u endpoint=a",
        ]
    );
    let tally = cores.reconciler.upstreams()[0].breaker.expect("one").tally;
    assert_eq!((tally.opened, tally.half_opened, tally.closed), (1, 1, 1));
}

#[test]
fn a_bad_trial_opens_it_again_for_all() {
    let mut cores = Cores::new(|_| {});
    cores.hear(at(0));
    cores.cores[0].opened = Some((at(1000), Cause::Consecutive));
    cores.report(0, at(500));
    cores.hear(at(1000));
    cores.cores[0].passed = 2;
    cores.report(0, at(1100));
    cores.cores[1].opened = Some((at(11_000), Cause::Trial));
    cores.report(1, at(1100));
    assert_eq!(cores.state(), State::Open(at(11_000)));
    assert_eq!(cores.hear(at(1100))[0].opens, 2);
    cores.cores[0].passed = 2;
    cores.report(0, at(11_000));
    assert_eq!(cores.state(), State::Open(at(11_000)), "those before are forgotten");
}

#[test]
fn trials_go_to_where_requests_are_and_are_never_more() {
    let mut cores = Cores::new(|_| {});
    cores.hear(at(0));
    for (round, needs) in [[3, 0], [0, 3], [3, 3], [0, 1]].into_iter().enumerate() {
        for step in 0..40 {
            let now = at(1000 + round as u64 * 10_000 + step * 100);
            for (core, need) in needs.into_iter().enumerate() {
                cores.cores[core].trials.demand = need;
                cores.report(core, now);
            }
            let held = cores.cores.each_ref().map(|core| core.trials.limit);
            if step % 6 < 5 {
                // Most rounds have nothing to tell.
                continue;
            }
            let granted = cores.hear(now).map(|told| told.trials.expect("known").limit);
            assert!(held[0].max(granted[0]) + held[1] <= 3 && held[1].max(granted[1]) + held[0] <= 3, "{held:?} {granted:?}");
        }
        let limits = cores.cores.each_ref().map(|core| core.trials.limit);
        assert!(limits.iter().zip(needs).all(|(&limit, need)| limit >= need.min(1)) && limits.iter().sum::<u32>() == 3, "{limits:?}");
        assert!(needs != [3, 0] || limits == [2, 1], "one is left for each, so that each can begin");
    }
}

#[test]
fn shadow_says_so_and_counts() {
    let mut cores = Cores::new(|rules| rules.mode = BreakerMode::Shadow);
    cores.cores[0].shadowed = 7;
    cores.see(0, 20, 20, at(100));
    cores.cores[1].shadowed = 2;
    cores.report(1, at(100));
    assert_eq!(cores.reconciler.snapshot()[0].breaker.expect("one").tally.shadowed, 9);
    let said = lines(&mut cores.reconciler);
    assert!(said.iter().all(|line| line.contains(" mode=shadow ")) && said.len() == 2, "{said:?}");
}

#[test]
fn another_server_begins_closed_and_no_rules_is_no_breaker() {
    let mut cores = Cores::new(|_| {});
    cores.see(0, 20, 20, at(100));
    cores.config.upstreams[0].endpoints[0].url = "http://127.0.0.1:2".into();
    cores.reconciler.reconfigure(&cores.config, 2, at(200));
    assert_eq!(cores.state(), State::Closed);
    assert_eq!(cores.reconciler.upstreams()[0].breaker.expect("one").state, State::Open(at(5100)), "the upstream is the same");
    cores.config.features.circuit_breaker = false;
    cores.reconciler.reconfigure(&cores.config, 3, at(300));
    assert_eq!((cores.reconciler.snapshot()[0].breaker, cores.reconciler.upstreams()[0].breaker), (None, None));
    assert_eq!(cores.reconciler.tick(at(300))[0].upstreams[0].endpoints[0].breaker, None);
}
