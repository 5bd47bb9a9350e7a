//! Response times on the pages: metrics, percentiles of any phase and window, and the requests that were slow.

use std::time::{Duration, UNIX_EPOCH};

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use super::{Response, Shared};
use crate::http::{Decode, pair_of};
use crate::latency::{History, NOBODY, Phase, Series, Slow, Window, hgrm, v2};
use crate::log::rfc3339;
use crate::metrics::outcomes;
use crate::metrics::text::Text;

/// Upper bounds of the metrics' buckets, in microseconds.
const BUCKETS: &[u64] = &[
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
    30_000_000, 60_000_000,
];
/// The quantiles that are shown, and how they are called.
const QUANTILES: &[(f64, &str)] =
    &[(0.5, "p50"), (0.75, "p75"), (0.9, "p90"), (0.95, "p95"), (0.99, "p99"), (0.999, "p99.9"), (0.9999, "p99.99"), (1.0, "max")];
/// How `/latency` is asked.
const USE: &str = "ask like this: /latency?route=ID&upstream=ID&phase=PHASE&window=WINDOW&format=FORMAT, each of them if you like.
PHASE is total, queue, policies, connect, first_byte, body or overhead; WINDOW is 1s to 60s, 1m, or all (since the start);
FORMAT is json (percentiles, microseconds), hgrm (percentiles as HdrHistogram's tools plot them) or v2 (the histogram, base64); the last
two want a phase.\n";

/// Writes response times: mean, quantiles, and a histogram for each route or upstream.
pub(super) fn write(shared: &Shared, text: &mut Text) {
    text.single(
        "gateway_response_time_seconds",
        "gauge",
        "Mean response time since the start; see gateway_http_request_duration_seconds for how times are spread.",
        shared.registry.totals().response_time.as_secs_f64(),
    );
    let history = shared.history();
    let all = history.window(Phase::Total, Window::All, |_| true);
    let name = "gateway_response_time_quantile_seconds";
    text.family(name, "gauge", "Response time that this part of the requests stayed within, since the start.");
    for &(quantile, _) in QUANTILES {
        let value = all.value_at_quantile(quantile) as f64 / 1e6;
        text.sample(name, &[("quantile", &quantile.to_string())], value);
    }
    let name = "gateway_route_requests_total";
    text.family(name, "counter", "Requests that ended, by route, method and the class of their status; a second behind.");
    for route in distinct(&history, |series| &series.route) {
        let own: Vec<&Series> = history.series().iter().filter(|series| *series.route == *route).collect();
        for (outcome, (method, class)) in outcomes().enumerate() {
            let count: u64 = own.iter().map(|series| series.outcome(outcome)).sum();
            if count > 0 {
                text.sample(name, &[("route", route), ("method", method), ("status_class", class)], count as f64);
            }
        }
    }
    let families: [(&str, &str, Phase, &str, Label); 5] = [
        (
            "gateway_http_request_duration_seconds",
            "Time from a request's head to the last byte of its answer; a second behind, like all of these.",
            Phase::Total,
            "route",
            |series| &series.route,
        ),
        (
            "gateway_http_request_overhead_seconds",
            "The gateway's own part of that, where the answer came in one piece.",
            Phase::Overhead,
            "route",
            |series| &series.route,
        ),
        ("gateway_http_request_queue_seconds", "Time that requests waited for a place under a limit.", Phase::Queue, "route", |series| {
            &series.route
        }),
        ("gateway_upstream_connect_duration_seconds", "Time to open a connection to an endpoint.", Phase::Connect, "upstream", |series| {
            &series.upstream
        }),
        (
            "gateway_upstream_ttfb_seconds",
            "Time from a request's being sent to the head of its answer.",
            Phase::FirstByte,
            "upstream",
            |series| &series.upstream,
        ),
    ];
    for (name, help, phase, label, of) in families {
        text.family(name, "histogram", help);
        for value in distinct(&history, of).into_iter().filter(|value| label == "route" || *value != NOBODY) {
            buckets(&history, text, name, phase, (label, value), |series| of(series) == value);
        }
    }
    let name = "gateway_upstream_request_duration_seconds";
    text.family(
        name,
        "summary",
        "Time that endpoints were busy with a request: to connect, to the answer's head, and to its last byte sent on.",
    );
    for upstream in distinct(&history, |series| &series.upstream).into_iter().filter(|upstream| *upstream != NOBODY) {
        let of = |phase| history.cumulative(phase, &[], |series| *series.upstream == *upstream);
        let sum: f64 = [Phase::Connect, Phase::FirstByte, Phase::Body].map(|phase| of(phase).2).iter().sum();
        text.sample(&format!("{name}_sum"), &[("upstream", upstream)], sum / 1e6);
        text.sample(&format!("{name}_count"), &[("upstream", upstream)], of(Phase::FirstByte).1 as f64);
    }
}

/// All values of a label.
fn distinct(history: &History, of: Label) -> Vec<&str> {
    let mut values: Vec<&str> = history.series().iter().map(of).collect();
    values.sort_unstable();
    values.dedup();
    values
}

type Label = fn(&Series) -> &str;

fn buckets(history: &History, text: &mut Text, name: &str, phase: Phase, label: (&str, &str), wanted: impl Fn(&Series) -> bool) {
    let (counts, len, sum) = history.cumulative(phase, BUCKETS, wanted);
    let bucket = format!("{name}_bucket");
    for (&micros, count) in BUCKETS.iter().zip(counts) {
        text.sample(&bucket, &[label, ("le", &(micros as f64 / 1e6).to_string())], count as f64);
    }
    text.sample(&bucket, &[label, ("le", "+Inf")], len as f64);
    text.sample(&format!("{name}_sum"), &[label], sum / 1e6);
    text.sample(&format!("{name}_count"), &[label], len as f64);
}

/// What is asked of `/latency`.
struct Asked {
    route: Option<String>,
    upstream: Option<String>,
    phase: Option<Phase>,
    window: (String, Window),
    format: String,
}

/// `/latency`.
pub(super) fn page(query: &[u8], shared: &Shared) -> Response {
    let asked = match read(query) {
        Ok(asked) => asked,
        Err(wrong) => return Response::text(400, format!("{wrong}; {USE}")),
    };
    let history = shared.history();
    let wanted = |series: &Series| {
        asked.route.as_deref().is_none_or(|route| route == &*series.route)
            && asked.upstream.as_deref().is_none_or(|upstream| upstream == &*series.upstream)
    };
    if (asked.route.is_some() || asked.upstream.is_some()) && !history.series().iter().any(wanted) {
        return Response::text(404, "no request of this route and upstream has been recorded\n");
    }
    match (asked.format.as_str(), asked.phase) {
        ("hgrm", Some(phase)) => Response::text(200, hgrm(&history.window(phase, asked.window.1, wanted), 1000.0)),
        ("v2", Some(phase)) => Response::text(200, v2(&history.window(phase, asked.window.1, wanted)) + "\n"),
        ("json", phase) => {
            let phases: Vec<Phase> = phase.map_or(Phase::ALL.to_vec(), |phase| vec![phase]);
            let one = |route: &str, upstream: &str, times: &dyn Fn(Phase) -> Histogram<u64>| {
                let times = |&phase: &Phase| {
                    let histogram = times(phase);
                    (!histogram.is_empty()).then(|| (phase.name().to_owned(), numbers(&histogram)))
                };
                json!({ "route": route, "upstream": upstream, "phases": phases.iter().filter_map(times).collect::<Map<_, _>>() })
            };
            let each = history
                .series()
                .iter()
                .filter(|series| wanted(series))
                .map(|series| one(&series.route, &series.upstream, &|phase| history.of(series, phase, asked.window.1)));
            let all = one("*", "*", &|phase| history.window(phase, asked.window.1, wanted));
            Response::json(
                200,
                &json!({ "unit": "microseconds", "window": asked.window.0, "series": std::iter::once(all).chain(each).collect::<Vec<_>>() }),
            )
        }
        _ => Response::text(400, USE),
    }
}

/// A histogram in numbers.
pub(super) fn numbers(histogram: &Histogram<u64>) -> Value {
    let mut numbers = Map::new();
    numbers.insert("count".into(), histogram.len().into());
    numbers.insert("mean".into(), ((histogram.mean() * 10.0).round() / 10.0).into());
    for &(quantile, name) in QUANTILES {
        numbers.insert(name.into(), histogram.value_at_quantile(quantile).into());
    }
    numbers.into()
}

fn read(query: &[u8]) -> Result<Asked, String> {
    let mut asked = Asked { route: None, upstream: None, phase: None, window: ("1m".into(), Window::Seconds(60)), format: "json".into() };
    for pair in query.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair_of(pair);
        let value = String::from_utf8_lossy(&Decode(value).collect::<Vec<u8>>()).into_owned();
        match name {
            b"route" => asked.route = Some(value),
            b"upstream" => asked.upstream = Some(value),
            b"phase" => asked.phase = Some(Phase::named(&value).ok_or(format!("there is no phase {value:?}"))?),
            b"window" => asked.window = (value.clone(), window(&value).ok_or(format!("there is no window {value:?}"))?),
            b"format" if ["json", "hgrm", "v2"].contains(&value.as_str()) => asked.format = value,
            b"format" => return Err(format!("there is no format {value:?}")),
            _ => return Err(format!("there is no setting {:?}", String::from_utf8_lossy(name))),
        }
    }
    Ok(asked)
}

fn window(text: &str) -> Option<Window> {
    match text {
        "all" => Some(Window::All),
        "1m" => Some(Window::Seconds(60)),
        _ => text.strip_suffix('s')?.parse().ok().filter(|seconds| (1..=60).contains(seconds)).map(Window::Seconds),
    }
}

/// A slow request as pages tell of it.
pub(super) fn story(slow: Slow) -> Value {
    let phases: Map<String, Value> =
        Phase::ALL.into_iter().filter_map(|phase| Some((phase.name().to_owned(), slow.times.of(phase)?.into()))).collect();
    json!({
        "at": rfc3339(UNIX_EPOCH + Duration::from_micros(slow.at_us)),
        "request_id": slow.request_id,
        "request": slow.line,
        "route": &*slow.route,
        "upstream": &*slow.upstream,
        "endpoint": slow.endpoint,
        "status": slow.status,
        "reason": slow.reason,
        "attempts": slow.attempts,
        "bytes_out": slow.bytes_out,
        "core": slow.core,
        "microseconds": phases,
        "lost_in_failed_attempts": slow.lost,
        "cause": slow.cause(),
    })
}

/// `/slow`: the latest requests that took longer than all but one in a thousand of their series.
pub(super) fn slow(shared: &Shared) -> Response {
    Response::json(200, &json!({ "slow": shared.registry.slow.latest().into_iter().map(story).collect::<Vec<_>>() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::{Recorder, Times};
    use crate::metrics::Registry;

    fn shared() -> Shared {
        let shared = Shared::new(Registry::new(1), String::new(), 0, UNIX_EPOCH);
        let mut recorder = Recorder::new(shared.registry.latency.clone());
        for micros in 1..=1000 {
            let times = Times([micros * 10, Times::NONE, 1, Times::NONE, micros * 9, micros, micros + 1]);
            recorder.record([1, 0, 0], || ["a b".into(), "u".into()], &times, 12);
        }
        recorder.record([1, 1, 0], || ["c".into(), "u".into()], &Times([20_000; 7]), 12);
        shared.history().collect();
        shared
    }

    fn ask(query: &str) -> (u16, String) {
        let Response { status, body, .. } = page(query.as_bytes(), &shared());
        (status, body)
    }

    #[test]
    fn percentiles_are_told_for_all_and_each_series() {
        let (status, body) = ask("window=all");
        let page: Value = serde_json::from_str(&body).unwrap();
        let series = |index: usize, phase: &str| page["series"][index]["phases"][phase].clone();
        assert_eq!((status, &page["window"]), (200, &json!("all")));
        assert_eq!((&page["series"][0]["route"], &page["series"][1]["route"]), (&json!("*"), &json!("a b")));
        assert_eq!((&series(0, "total")["count"], &series(1, "total")["count"]), (&json!(1001), &json!(1000)));
        assert_eq!((&series(1, "queue"), &series(2, "queue")["max"]), (&Value::Null, &json!(20_095)));
        let median = series(1, "total")["p50"].as_u64().unwrap();
        assert!((4_980..=5_060).contains(&median), "{median}");
    }

    #[test]
    fn one_series_and_phase_can_be_asked_for_in_each_format() {
        let (status, body) = ask("route=a+b&phase=total&format=hgrm&window=10s");
        assert!(status == 200 && body.contains("Total count    =         1000]"), "{body}");
        let (status, body) = ask("route=c&phase=total&format=v2");
        assert!(status == 200 && body.starts_with("HISTFAAA"), "{body}");
        assert_eq!(ask("route=nobody").0, 404);
        for wrong in ["phase=x", "window=61s", "window=0s", "format=xml", "format=hgrm", "rout=a"] {
            let (status, body) = ask(wrong);
            assert!(status == 400 && body.contains("ask like this"), "{wrong}: {body}");
        }
    }

    #[test]
    fn metrics_have_a_histogram_for_each_route_and_upstream() {
        let mut text = Text::default();
        write(&shared(), &mut text);
        let page = text.finish();
        for line in [
            "gateway_http_request_duration_seconds_bucket{route=\"a b\",le=\"0.0025\"} 249",
            "gateway_http_request_duration_seconds_bucket{route=\"a b\",le=\"+Inf\"} 1000",
            "gateway_http_request_duration_seconds_count{route=\"c\"} 1",
            "gateway_route_requests_total{route=\"a b\",method=\"POST\",status_class=\"2xx\"} 1000",
            "gateway_http_request_overhead_seconds_count{route=\"a b\"} 1000",
            "gateway_upstream_ttfb_seconds_count{upstream=\"u\"} 1001",
            "gateway_upstream_connect_duration_seconds_count{upstream=\"u\"} 1",
            "gateway_upstream_request_duration_seconds_count{upstream=\"u\"} 1001",
        ] {
            assert!(page.contains(&format!("\n{line}\n")), "{line} is missing in\n{page}");
        }
    }
}
