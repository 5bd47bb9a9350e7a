//! Problems with the settings that protect upstreams.

use super::problems::{each, upstream, with};

#[test]
fn a_breaker_must_be_able_to_open_and_to_close() {
    let cases: [(&str, &[&str]); 4] = [
        (
            r#""circuit_breaker": { "open_time": "2m" }"#,
            &["2:35: circuit_breaker.open_time: must not be longer than open_time_max; shorten it, or raise the other"],
        ),
        (
            r#""circuit_breaker": { "window": "1ms", "consecutive_failures": 0, "failure_rate": 0 }"#,
            &[
                r#"2:20: circuit_breaker: never opens, as nothing opens it; set consecutive_failures, failure_rate or latency; "mode": "off" is the way to have none"#,
                r#"2:32: circuit_breaker.window: must be at least "100ms""#,
            ],
        ),
        (
            r#""circuit_breaker": { "trials": 0, "latency": { "quantile": 1 } }"#,
            &[
                "2:32: circuit_breaker.trials: must be a whole number from 1 to 1000, is 0",
                "2:60: circuit_breaker.latency.quantile: must be a number from 0.01 to 0.9999, is 1",
            ],
        ),
        (r#""circuit_breaker": { "mode": "off", "consecutive_failures": 0, "failure_rate": 0 }"#, &[]),
    ];
    each(with, &cases[..3]);
    let of_upstream = |lines: &[&str]| lines.iter().map(|line| line.replacen(": circuit", ": upstreams[0].circuit", 1)).collect::<Vec<_>>();
    for (settings, expected) in &cases[..3] {
        let expected = of_upstream(expected);
        each(upstream, &[(settings, &expected.iter().map(String::as_str).collect::<Vec<_>>())]);
    }
    super::load("x.json", &upstream(cases[3].0)).expect("one that is off has nothing to be wrong");
}

#[test]
fn somebody_must_be_trusted_to_say_who_a_client_is() {
    let said = "2:32: listener.proxy_protocol: is on, but nobody is trusted to say who a client is; list the networks of those that send it, \
        such as \"10.0.0.0/8\", in listener.trusted_proxies";
    each(with, &[(r#""listener": {"proxy_protocol": true}"#, &[said])]);
    super::load("x.json", &with(r#""listener": {"proxy_protocol": true, "trusted_proxies": ["10.0.0.0/8"]}"#)).expect("somebody is");
    let said = r#"2:19: upstreams[0].proxy_protocol: there is no "v3"; did you mean "v1"? there are: "off", "v1", "v2""#;
    each(upstream, &[(r#""proxy_protocol": "v3""#, &[said])]);
}

#[test]
fn an_upstreams_breaker_goes_before_the_gateways() {
    let breaker = |gateway: &str, own: &str| {
        let own = upstream(own).replacen("{ \"upstreams\"", &format!("{{ {gateway}, \"upstreams\""), 1);
        let config = super::load("x.json", &own).unwrap().config;
        config.breaker_of(&config.upstreams[0]).map(|breaker| breaker.trials)
    };
    let none = r#""queue": {}"#;
    assert_eq!(breaker(r#""limits": {}"#, none), None);
    assert_eq!(breaker(r#""circuit_breaker": { "trials": 7 }"#, none), Some(7));
    assert_eq!(breaker(r#""circuit_breaker": { "trials": 7 }"#, r#""circuit_breaker": { "trials": 8 }"#), Some(8));
    assert_eq!(breaker(r#""circuit_breaker": { "trials": 7 }"#, r#""circuit_breaker": { "mode": "off" }"#), None);
    assert_eq!(breaker(r#""features": { "circuit_breaker": false }"#, r#""circuit_breaker": { "trials": 8 }"#), None);
}

#[test]
fn an_adaptive_limit_begins_within_its_bounds() {
    each(
        upstream,
        &[
            (
                r#""adaptive_concurrency": { "min": 50, "max": 40 }"#,
                &["2:34: upstreams[0].adaptive_concurrency.min: must not be greater than max; lower it, or raise the other"],
            ),
            (
                r#""adaptive_concurrency": { "initial": 2, "max": 30 }"#,
                &["2:38: upstreams[0].adaptive_concurrency.initial: must be from min to max, 4 to 30, is 2"],
            ),
            (
                r#""adaptive_concurrency": { "tolerance": 0.5 }"#,
                &["2:40: upstreams[0].adaptive_concurrency.tolerance: must be a number from 1 to 10, is 0.5"],
            ),
        ],
    );
}
