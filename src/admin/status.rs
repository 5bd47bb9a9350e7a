//! All that the dashboard and `ringway top` show, as one JSON object a second: `/status`, and `/events` as server-sent events.

use std::time::{SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use super::{Shared, latency, protocols, upstreams};
use crate::latency::{History, Phase, Series, Window};
use crate::log::rfc3339;

/// Series that are shown: those with the most requests lately.
const SERIES_SHOWN: usize = 20;
/// Slow requests that are shown.
const SLOW_SHOWN: usize = 20;
/// Columns of the heat map for each octave of times, and its octaves from 1 µs on.
const HEAT: (u32, u32) = (2, 26);
/// Where the percentile curve is drawn: from the median on, the next point at a share less by a third.
const CURVE: usize = 28;
/// Windows that are shown beside each other.
const WINDOWS: [(&str, Window); 4] =
    [("1s", Window::Seconds(1)), ("10s", Window::Seconds(10)), ("1m", Window::Seconds(60)), ("all", Window::All)];

/// How all stands now. Cold: it merges histograms and allocates; a millisecond or some.
pub(super) fn value(shared: &Shared) -> Value {
    let (totals, loading) = (shared.registry.totals(), shared.loading());
    let now = SystemTime::now();
    let paces = shared.paces();
    let cores = shared.registry.cores.iter().zip(&paces).map(|(core, pace)| {
        json!({
            "busy": pace.busy, "stalled": pace.stalled, "requests_per_second": pace.requests,
            "connections": core.connections.count(), "in_flight": core.in_flight.count(),
        })
    });
    let history = shared.history();
    let last = history.window(Phase::Total, Window::Seconds(1), |_| true);
    let windows: Map<String, Value> = WINDOWS.iter().map(|(name, window)| ((*name).to_owned(), times(&history, *window))).collect();
    let series = series(&history);
    drop(history);
    json!({
        "at": now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
        "version": env!("CARGO_PKG_VERSION"),
        "config": {
            "generation": loading.generation, "hash": format!("{:016x}", loading.hash), "file": loading.path, "since": rfc3339(loading.since),
            "last_reload_failed": loading.last_reload.is_some_and(|reload| !reload.problems.is_empty()),
        },
        "draining": shared.draining(),
        "requests": totals.requests, "failed": totals.failed, "connections": totals.connections, "in_flight": totals.in_flight,
        "requests_per_second": paces.iter().map(|pace| pace.requests).sum::<f64>(),
        "failed_per_second": paces.iter().map(|pace| pace.failed).sum::<f64>(),
        "cores": cores.collect::<Vec<_>>(),
        "latency": windows,
        "heat": heat(&last),
        "series": series,
        "upstreams": upstreams::value(shared)["upstreams"],
        "cache": cache(shared),
        "protocols": protocols::value(shared),
        "rate_limits": shared.rate_limits().iter().map(|limit| {
            json!({
                "limiter": limit.limiter, "allowed": limit.decisions[0], "limited": limit.decisions[1], "shadow": limit.decisions[2],
                "keys": limit.keys, "error": limit.error,
            })
        }).collect::<Vec<_>>(),
        "slow": shared.registry.slow.latest().into_iter().take(SLOW_SHOWN).map(latency::story).collect::<Vec<_>>(),
    })
}

/// What there was to be seen in the last minute before now, second by second and the oldest first, for who begins to look.
pub(super) fn past(shared: &Shared) -> Value {
    let (rates, times) = (shared.rates(), shared.history().each_second(Phase::Total));
    // From the end, as either may have more of them; the last of all is what is now.
    let mut seconds: Vec<Value> = std::iter::zip(rates.iter().rev(), times.iter().rev())
        .skip(1)
        .map(|([requests, failed], times)| json!({ "requests_per_second": requests, "failed_per_second": failed, "heat": heat(times) }))
        .collect();
    seconds.reverse();
    seconds.into()
}

/// A window's response times: numbers, curve, and the median of each phase.
fn times(history: &History, window: Window) -> Value {
    let all = Phase::ALL.map(|phase| history.window(phase, window, |_| true));
    let total = &all[Phase::Total as usize];
    let mut share = 0.5;
    let curve = std::iter::repeat_with(|| {
        let point = json!([1.0 - share, total.value_at_quantile(1.0 - share)]);
        share /= 1.5;
        point
    });
    let phases: Map<String, Value> = Phase::ALL
        .iter()
        .zip(&all)
        .filter(|(_, times)| !times.is_empty())
        .map(|(phase, times)| (phase.name().to_owned(), json!([times.value_at_quantile(0.5), times.value_at_quantile(0.99)])))
        .collect();
    json!({ "total": latency::numbers(total), "curve": curve.take(CURVE).collect::<Vec<_>>(), "phases": phases })
}

/// How many of a second's times fall into each part of an octave.
fn heat(times: &Histogram<u64>) -> Vec<u64> {
    let (parts, octaves) = HEAT;
    let mut columns = vec![0; (parts * octaves) as usize];
    for value in times.iter_recorded() {
        let place = (value.value_iterated_to().max(1) as f64).log2() * f64::from(parts);
        let column = (place as usize).min(columns.len() - 1);
        columns[column] += value.count_at_value();
    }
    columns
}

/// The busiest pairs of route and upstream of the last ten seconds.
fn series(history: &History) -> Vec<Value> {
    let window = Window::Seconds(10);
    let one = |series: &Series| {
        let (total, own) = (history.of(series, Phase::Total, window), history.of(series, Phase::Overhead, window));
        let row = json!({
            "route": &*series.route, "upstream": &*series.upstream, "requests_per_second": total.len() as f64 / 10.0,
            "p50": total.value_at_quantile(0.5), "p99": total.value_at_quantile(0.99), "p99.9": total.value_at_quantile(0.999),
            "own_p99": own.value_at_quantile(0.99),
        });
        (total.len(), row)
    };
    let mut rows: Vec<_> = history.series().iter().map(one).collect();
    rows.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    rows.into_iter().take(SERIES_SHOWN).map(|(_, row)| row).collect()
}

fn cache(shared: &Shared) -> Value {
    let registry = &shared.registry;
    let count = |(at, name): (usize, &&str)| ((*name).to_owned(), registry.sum(|core| core.cache_requests.count(at)).into());
    let results: Map<String, Value> = crate::metrics::CACHE_RESULTS.iter().enumerate().map(count).collect();
    json!({
        "results": results, "objects": registry.sum(|core| core.cache_objects.count()), "bytes": registry.sum(|core| core.cache_bytes.count()),
    })
}
