//! Look-ups of host names.

use super::*;
use crate::config::Time;

fn named() -> Reconciler {
    let config = config(&[("a", "http://app.local"), ("b", "http://127.0.0.1:1")], |upstream| {
        upstream.resolve_interval = Some(Time::from_secs(5));
    });
    Reconciler::new(1, &config, 1, at(0))
}

#[test]
fn at_once_then_every_interval() {
    let mut reconciler = named();
    let lookups = reconciler.due_lookups(at(0));
    let lookup = Lookup { upstream: "u".into(), endpoint: "a".into(), host: "app.local".into(), port: 80 };
    assert_eq!(lookups, std::slice::from_ref(&lookup));
    assert_eq!(reconciler.due_lookups(at(60_000)), [], "it is under way");
    let addresses = ["10.0.0.2:80", "10.0.0.1:80", "10.0.0.2:80"].map(|address| address.parse().unwrap());
    reconciler.on_resolved(&lookup, addresses.to_vec(), at(60_000));
    assert_eq!(*told(&mut reconciler, 0, at(60_000)).addresses, [addresses[1], addresses[0]]);
    assert_eq!(lines(&mut reconciler), ["endpoint has these addresses now upstream=u endpoint=a addresses=10.0.0.1:80,10.0.0.2:80"]);
    assert_eq!(reconciler.due_lookups(at(64_999)), []);
    assert_eq!(reconciler.due_lookups(at(65_000)), std::slice::from_ref(&lookup));
    reconciler.on_resolved(&lookup, addresses[..2].to_vec(), at(65_000));
    assert_eq!(lines(&mut reconciler), [""; 0], "the same addresses");
}

#[test]
fn failures_are_retried_sooner_and_keep_what_is_known() {
    let mut reconciler = named();
    let lookup = reconciler.due_lookups(at(0)).remove(0);
    reconciler.on_resolved(&lookup, vec!["10.0.0.1:80".parse().unwrap()], at(0));
    let mut now = 5000;
    for wait in [1000, 2000, 4000, 5000, 5000] {
        assert_eq!(reconciler.due_lookups(at(now)).len(), 1);
        reconciler.on_resolved(&lookup, Vec::new(), at(now));
        assert_eq!(reconciler.due_lookups(at(now + wait - 1)), []);
        now += wait;
    }
    assert_eq!(told(&mut reconciler, 0, at(now)).addresses.len(), 1);
}

#[test]
fn an_answer_for_another_name_counts_for_nothing() {
    let mut reconciler = named();
    let old = reconciler.due_lookups(at(0)).remove(0);
    let moved = config(&[("a", "http://other.local"), ("b", "http://127.0.0.1:1")], |_| ());
    reconciler.reconfigure(&moved, 2, at(10));
    let new = reconciler.due_lookups(at(10)).remove(0);
    reconciler.on_resolved(&old, vec!["10.0.0.1:80".parse().unwrap()], at(20));
    assert!(told(&mut reconciler, 0, at(20)).addresses.is_empty());
    reconciler.on_resolved(&new, vec!["10.0.0.2:80".parse().unwrap()], at(30));
    assert_eq!(told(&mut reconciler, 0, at(30)).addresses.len(), 1);
}
