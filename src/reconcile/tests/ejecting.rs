//! Ejection by what all cores have seen.

use super::*;
use crate::config::Time;

/// Reports of two cores on four endpoints `a` to `d`.
struct Cores {
    reconciler: Reconciler,
    config: Config,
    generation: u64,
    sequence: u64,
    seen: [[(u64, u64); 4]; 2],
}

const NAMES: [(&str, &str); 4] =
    [("a", "http://127.0.0.1:1"), ("b", "http://127.0.0.1:2"), ("c", "http://127.0.0.1:3"), ("d", "http://127.0.0.1:4")];

impl Cores {
    fn new() -> Cores {
        let config = config(&NAMES, |upstream| upstream.outlier_detection.ejection_time = Time::from_secs(10));
        let reconciler = Reconciler::new(2, &config, 1, at(0));
        let mut cores = Cores { reconciler, config, generation: 1, sequence: 0, seen: Default::default() };
        (0..2).for_each(|core| cores.report(core, None, at(0)));
        cores
    }

    fn make(&mut self, core: usize, ejected: Option<(usize, Instant)>) -> Report {
        self.sequence += 1;
        let endpoints = NAMES.iter().enumerate().map(|(index, (name, _))| EndpointReport {
            endpoint: (*name).into(),
            attempts: self.seen[core][index].0,
            failures: self.seen[core][index].1,
            in_flight: 3,
            ejected_until: ejected.filter(|&(which, _)| which == index).map_or(Instant::ZERO, |(_, until)| until),
            breaker: None,
        });
        let upstream = UpstreamReport {
            upstream: "u".into(),
            endpoints: endpoints.collect(),
            shares: vec![],
            breaker: None,
            tally: UpstreamTally::default(),
        };
        Report {
            core: core as u32,
            sequence: self.sequence,
            generation: self.generation,
            upstreams: vec![upstream],
            shares: vec![],
            counts: vec![],
        }
    }

    fn report(&mut self, core: usize, ejected: Option<(usize, Instant)>, now: Instant) {
        let report = self.make(core, ejected);
        self.reconciler.on_report(report, now);
    }

    /// More attempts on a core, which tells of it.
    fn attempts(&mut self, core: usize, endpoint: usize, attempts: u64, failures: u64, now: Instant) {
        self.seen[core][endpoint].0 += attempts;
        self.seen[core][endpoint].1 += failures;
        self.report(core, None, now);
    }

    fn ejected(&mut self, now: Instant) -> Vec<bool> {
        self.reconciler.tick(now);
        self.reconciler.snapshot().iter().map(|state| state.ejected).collect()
    }
}

#[test]
fn error_rate_counts_over_all_cores() {
    let mut cores = Cores::new();
    cores.attempts(0, 0, 10, 5, at(1000));
    cores.attempts(1, 0, 9, 5, at(1100));
    assert_eq!(cores.ejected(at(1100)), [false; 4], "fewer than min_requests");
    let again = cores.make(1, None);
    cores.attempts(1, 0, 1, 1, at(1200));
    assert_eq!(cores.ejected(at(1200)), [true, false, false, false]);
    let told = cores.reconciler.tick(at(2000)).remove(1).upstreams.remove(0).endpoints.remove(0);
    assert_eq!((told.ejected_until, told.ejections), (at(11_200), 1));
    cores.reconciler.on_report(again, at(2000));
    assert_eq!(lines(&mut cores.reconciler), ["endpoint is ejected upstream=u endpoint=a for=10.0s cause=error_rate"]);
    assert_eq!(cores.ejected(at(11_200)), [false; 4]);
    assert_eq!(lines(&mut cores.reconciler), ["endpoint is back from its ejection upstream=u endpoint=a"]);
    assert_eq!(cores.reconciler.snapshot()[0].in_flight, 6);
}

#[test]
fn lost_late_and_repeated_reports_count_once() {
    let mut cores = Cores::new();
    cores.seen[0][0] = (10, 10);
    let late = cores.make(0, None);
    cores.seen[0][0] = (19, 19);
    let newest = cores.make(0, None);
    for report in [&newest, &newest, &late, &late, &newest] {
        cores.reconciler.on_report(report.clone(), at(100));
    }
    assert_eq!(cores.ejected(at(100)), [false; 4], "19 attempts, however often they are told of");
    cores.attempts(0, 0, 1, 1, at(200));
    assert_eq!(cores.ejected(at(200)), [true, false, false, false]);
}

#[test]
fn old_failures_are_forgotten() {
    let mut cores = Cores::new();
    cores.attempts(0, 0, 19, 19, at(0));
    cores.attempts(0, 0, 30, 0, at(6000));
    cores.attempts(0, 0, 19, 19, at(13_000));
    assert_eq!(cores.ejected(at(13_000)), [false; 4], "19 of 49 within the window");
}

#[test]
fn one_core_ejects_for_all_and_time_grows_and_shrinks() {
    let mut cores = Cores::new();
    let mut now = 1000;
    for times in 1..=3 {
        cores.report(0, Some((2, at(now + 10_000 * times))), at(now));
        assert_eq!(cores.ejected(at(now)), [false, false, true, false]);
        cores.report(1, Some((2, at(now + 10_000 * times + 5))), at(now + 5));
        let told = cores.reconciler.tick(at(now + 600)).remove(1).upstreams.remove(0).endpoints.remove(2);
        assert_eq!((told.ejected_until, told.ejections), (at(now + 10_000 * times + 5), times as u32), "two cores, one ejection");
        now += 10_000 * times + 5;
        assert_eq!(cores.ejected(at(now)), [false; 4]);
    }
    for left in [2, 1, 0, 0] {
        now += 10_000;
        assert_eq!(told(&mut cores.reconciler, 2, at(now)).ejections, left, "one is forgiven for each ejection_time");
    }
}

#[test]
fn no_more_than_allowed() {
    let mut cores = Cores::new();
    for endpoint in 0..4 {
        cores.attempts(0, endpoint, 20, 20, at(1000));
    }
    assert_eq!(cores.ejected(at(1000)), [true, true, false, false], "max_ejection_percent is 50");
    cores.config.upstreams[0].outlier_detection.max_ejection_percent = 0;
    cores.config.upstreams[0].endpoints.truncate(1);
    cores.generation = 2;
    cores.reconciler.reconfigure(&cores.config, 2, at(60_000));
    cores.ejected(at(60_000));
    cores.attempts(0, 0, 0, 0, at(60_000));
    cores.attempts(0, 0, 90, 90, at(60_100));
    assert_eq!(cores.ejected(at(60_100)), [false], "the only one there is");
}

#[test]
fn switched_off_ejects_nobody() {
    for feature in [true, false] {
        let mut cores = Cores::new();
        cores.attempts(0, 0, 20, 20, at(1000));
        assert_eq!(cores.ejected(at(1000)), [true, false, false, false]);
        if feature {
            cores.config.features.outlier_detection = false;
        } else {
            cores.config.upstreams[0].outlier_detection.enabled = false;
        }
        cores.reconciler.reconfigure(&cores.config, 2, at(1000));
        assert_eq!(cores.ejected(at(1000)), [false; 4]);
        cores.generation = 2;
        cores.report(0, None, at(1000));
        cores.attempts(0, 0, 20, 20, at(2000));
        cores.report(0, Some((1, at(9000))), at(2000));
        assert_eq!(cores.ejected(at(2000)), [false; 4]);
    }
}

#[test]
fn a_new_server_is_not_held_accountable_for_the_old_one() {
    let mut cores = Cores::new();
    cores.config.upstreams[0].endpoints[0].url = "http://127.0.0.1:9".into();
    cores.reconciler.reconfigure(&cores.config, 2, at(1000));
    cores.attempts(0, 0, 50, 50, at(1000));
    assert_eq!(cores.ejected(at(1000)), [false; 4], "that core knows the old one only");
    cores.generation = 2;
    cores.attempts(0, 0, 50, 50, at(1100));
    assert_eq!(cores.ejected(at(1100)), [false; 4], "its first report tells of the past");
    cores.attempts(0, 0, 20, 20, at(1200));
    assert_eq!(cores.ejected(at(1200)), [true, false, false, false]);
}
