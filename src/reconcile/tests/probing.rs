//! Probes: when, where to, and what follows.

use std::collections::HashMap;

use super::*;
use crate::address::Address;
use crate::config::{HostHeader, Time};

const SECOND: u64 = 1000;

fn probed(endpoints: &[(&str, &str)]) -> Config {
    config(endpoints, |upstream| {
        upstream.health_check.enabled = true;
        upstream.health_check.interval = Some(Time::from_millis(10 * SECOND));
    })
}

/// What a probe came to.
fn result(ok: bool) -> Result<(), String> {
    if ok { Ok(()) } else { Err("it is unwell".into()) }
}

/// All probes due by then.
fn due(reconciler: &mut Reconciler, millis: u64, draw: u64) -> Vec<Probe> {
    reconciler.due_probes(at(millis), draw)
}

#[test]
fn first_probes_are_spread_and_later_ones_jitter() {
    let names: Vec<String> = (0..10).map(|index| format!("e{index}")).collect();
    let endpoints: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "http://127.0.0.1:1")).collect();
    let mut reconciler = Reconciler::new(1, &probed(&endpoints), 1, at(0));
    let mut times: HashMap<String, Vec<u64>> = HashMap::new();
    for step in 0..1000 {
        let millis = step * 50;
        let probes = due(&mut reconciler, millis, step.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        assert!(probes.len() <= 3, "{} probes at once", probes.len());
        for probe in probes {
            times.entry(probe.id.endpoint.to_string()).or_default().push(millis);
            reconciler.on_probe(&probe.id, result(true));
        }
    }
    let mut gaps: Vec<u64> = Vec::new();
    for (index, name) in names.iter().enumerate() {
        assert_eq!(times[name][0], index as u64 * SECOND, "{name} is first probed in its turn");
        gaps.extend(times[name].windows(2).map(|pair| pair[1] - pair[0]));
    }
    assert!(gaps.iter().all(|gap| (9000..=11_050).contains(gap)), "{gaps:?}");
    assert!(gaps.iter().any(|&gap| gap < 9700) && gaps.iter().any(|&gap| gap > 10_300), "{gaps:?}");
}

#[test]
fn one_probe_at_a_time_and_rise_and_fall() {
    let mut reconciler = Reconciler::new(1, &probed(&[("a", "http://127.0.0.1:1")]), 1, at(0));
    assert!(told(&mut reconciler, 0, at(0)).healthy, "endpoints begin as healthy");
    let mut probe = due(&mut reconciler, 0, 0).remove(0);
    assert_eq!(due(&mut reconciler, 60 * SECOND, 0), [], "one is under way");
    let (mut now, mut before) = (60 * SECOND, true);
    for (ok, healthy) in [(false, true), (false, true), (false, false), (true, false), (true, true)] {
        assert_eq!(reconciler.on_probe(&probe.id, result(ok)), healthy != before, "whether it turned");
        assert!(!reconciler.on_probe(&probe.id, result(ok)), "it has been counted");
        assert_eq!(told(&mut reconciler, 0, at(now)).healthy, healthy);
        before = healthy;
        now += 11 * SECOND;
        probe = due(&mut reconciler, now, 0).remove(0);
    }
    assert_eq!(lines(&mut reconciler), ["endpoint is down upstream=u endpoint=a", "endpoint is up upstream=u endpoint=a"]);
}

#[test]
fn health_is_told_at_once() {
    let mut reconciler = Reconciler::new(2, &probed(&[("a", "http://127.0.0.1:1")]), 1, at(0));
    assert_eq!(reconciler.tick(at(0)).len(), 2);
    for round in 0..3 {
        let probe = due(&mut reconciler, round * 11 * SECOND, 0).remove(0);
        reconciler.tick(at(round * 11 * SECOND));
        reconciler.on_probe(&probe.id, result(false));
    }
    assert_eq!(reconciler.tick(at(22 * SECOND + 50)).len(), 2, "a change does not wait for the next regular update");
    assert_eq!(reconciler.tick(at(22 * SECOND + 100)), [], "nothing new");
    assert_eq!(reconciler.tick(at(22 * SECOND + 550)).len(), 2, "told again in case it was lost");
}

#[test]
fn each_kind_of_target_and_host() {
    let endpoints = [("ip", "http://[::1]:81/"), ("unix", "unix:/run/a.sock"), ("name", "http://app.local:82")];
    let mut config = probed(&endpoints);
    let mut reconciler = Reconciler::new(1, &config, 1, at(0));
    assert_eq!(due(&mut reconciler, 9 * SECOND, 0).len(), 2, "a name without address can't be probed");
    let lookup = reconciler.due_lookups(at(0)).remove(0);
    reconciler.on_resolved(&lookup, vec!["10.0.0.1:82".parse().unwrap()], at(9 * SECOND));
    let probe = due(&mut reconciler, 9 * SECOND, 0).remove(0);
    assert_eq!((probe.address, probe.host.as_str()), (Address::Tcp("10.0.0.1:82".parse().unwrap()), "app.local:82"));
    let mut reconciler = Reconciler::new(1, &config, 1, at(0));
    let probes = due(&mut reconciler, 9 * SECOND, 0);
    assert_eq!((&probes[0].address, probes[0].host.as_str()), (&Address::Tcp("[::1]:81".parse().unwrap()), "[::1]:81"));
    assert_eq!((&probes[1].address, probes[1].host.as_str()), (&Address::Unix(std::path::Path::new("/run/a.sock").into()), "localhost"));
    config.upstreams[0].host_header = HostHeader::Set("h".into());
    let mut reconciler = Reconciler::new(1, &config, 1, at(0));
    assert!(due(&mut reconciler, 9 * SECOND, 0).iter().all(|probe| probe.host == "h"));
}

#[test]
fn switched_off_is_healthy() {
    let mut config = probed(&[("a", "http://127.0.0.1:1")]);
    let mut reconciler = Reconciler::new(1, &config, 1, at(0));
    for round in 0..3 {
        let probe = due(&mut reconciler, round * 11 * SECOND, 0).remove(0);
        reconciler.on_probe(&probe.id, result(false));
    }
    assert!(!reconciler.snapshot()[0].healthy);
    config.features.health_checks = false;
    reconciler.reconfigure(&config, 2, at(40 * SECOND));
    assert!(reconciler.snapshot()[0].healthy);
    assert_eq!(due(&mut reconciler, 80 * SECOND, 0), []);
    config.features.health_checks = true;
    config.upstreams[0].health_check.enabled = false;
    reconciler.reconfigure(&config, 3, at(80 * SECOND));
    assert_eq!(due(&mut reconciler, 90 * SECOND, 0), []);
}

#[test]
fn another_server_is_judged_anew() {
    let mut config = probed(&[("a", "http://127.0.0.1:1"), ("b", "http://127.0.0.1:2")]);
    let mut reconciler = Reconciler::new(1, &config, 1, at(0));
    for round in 0..3 {
        for probe in due(&mut reconciler, 9 * SECOND + round * 11 * SECOND, 0) {
            reconciler.on_probe(&probe.id, result(false));
        }
    }
    let under_way = due(&mut reconciler, 60 * SECOND, 0);
    config.upstreams[0].endpoints[0].url = "http://127.0.0.1:3".into();
    config.upstreams[0].endpoints.swap(0, 1);
    reconciler.reconfigure(&config, 2, at(60 * SECOND));
    let healthy: Vec<(String, bool)> = reconciler.snapshot().iter().map(|state| (state.endpoint.to_string(), state.healthy)).collect();
    assert_eq!(healthy, [("b".to_owned(), false), ("a".to_owned(), true)]);
    let probe = due(&mut reconciler, 65 * SECOND, 0).remove(0);
    assert_eq!(probe.address, Address::Tcp("127.0.0.1:3".parse().unwrap()));
    for probe in &under_way {
        reconciler.on_probe(&probe.id, result(false));
    }
    assert_eq!(due(&mut reconciler, 80 * SECOND, 0).len(), 1, "the old server's probe did not end the new one's");
}
