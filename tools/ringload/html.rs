//! A result as one HTML page for a browser or an inbox: no script, nothing loaded from elsewhere, light or dark as its reader likes it.

use std::fmt::Write;

use hdrhistogram::Histogram;
use ringway::http2::grpc::NAMES;

use crate::plot::{Axis, Plot, escape};
use crate::report::{LADDER, Result, counted};
use crate::tally::{CLASSES, Failure, LATE, Tally};
use crate::words::{SECOND, show_bytes, show_count, show_part, show_rate, show_time};

/// What was counted in a stretch of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Its begin in nanoseconds from the start.
    from: u64,
    /// Its end.
    to: u64,
    /// Requests that were asked for; none in a closed loop.
    asked: Option<f64>,
    answered: u64,
    /// Response times at p50, p99 and the longest, in nanoseconds; none without any.
    times: Option<[u64; 3]>,
}

/// Points of a line over time, at most: more can't be told apart.
const POINTS: usize = 400;

const STYLE: &str = "
:root{color-scheme:light dark;--back:#fff;--text:#1c2024;--weak:#5b6570;--rule:#d9dee3;--one:#0b62c4;--two:#c2410c;--three:#6b7280;--good:#15703a;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--back:#14171a;--text:#e6e9ec;--weak:#9aa4ae;--rule:#333a41;--one:#6cb0ff;--two:#ff9a62;--three:#a3acb5;--good:#63cf8f;--bad:#ff8a80}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1160px;padding:24px 16px 48px;background:var(--back);color:var(--text);font:15px/1.5 system-ui,sans-serif}
h1{font-size:20px;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:16px;margin:0 0 8px}
p{margin:0 0 8px}
.weak,figcaption{color:var(--weak)}
.good{color:var(--good);font-weight:600}
.bad{color:var(--bad);font-weight:600}
.grid2{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:28px 32px;margin-top:28px}
.grid2>*{min-width:0}
figure{margin:0}
figcaption span{white-space:nowrap;margin-right:14px}
figcaption i{display:inline-block;width:18px;height:0;border-top:3px solid;vertical-align:middle;margin-right:5px}
svg{display:block;width:100%;height:auto;margin-top:6px}
svg text{font-size:13px;fill:var(--weak)}
.grid{stroke:var(--rule);fill:none}
.line{fill:none;stroke-width:2;stroke-linejoin:round}
.line-1{stroke:var(--one)}.line-2{stroke:var(--two);stroke-dasharray:6 3}.line-3{stroke:var(--three);stroke-dasharray:2 3}
.dot-1{fill:var(--one)}.dot-2{fill:var(--two)}.dot-3{fill:var(--three)}
.key-1{color:var(--one)}.key-2{color:var(--two);border-top-style:dashed!important}.key-3{color:var(--three);border-top-style:dotted!important}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:4px 8px 4px 0;border-bottom:1px solid var(--rule);text-align:left;vertical-align:top;overflow-wrap:anywhere}
thead th{color:var(--weak);font-weight:400}
tbody th{font-weight:400;white-space:nowrap;color:var(--weak)}
.numbers td,.numbers thead th+th{text-align:right}
";

impl Interval {
    /// Of what was counted from one moment to another, in nanoseconds from the start.
    pub fn new(tally: &Tally, (from, to): (u64, u64), asked: Option<f64>) -> Interval {
        let response = &tally.response;
        let at = |quantile| response.value_at_quantile(quantile);
        let times = (!response.is_empty()).then(|| [at(0.5), at(0.99), response.max()]);
        Interval { from, to, asked, answered: tally.answered(), times }
    }

    /// Two that follow each other as one: of their times the longer ones.
    fn join(self, next: Interval) -> Interval {
        let longest = |a: [u64; 3], b: [u64; 3]| [a[0].max(b[0]), a[1].max(b[1]), a[2].max(b[2])];
        Interval {
            from: self.from,
            to: next.to,
            asked: self.asked.zip(next.asked).map(|(a, b)| a + b),
            answered: self.answered + next.answered,
            times: self.times.into_iter().chain(next.times).reduce(longest),
        }
    }

    /// No more than can be told apart, and none so short that its rate says nothing.
    fn condense(intervals: &[Interval]) -> Vec<Interval> {
        let parts = intervals.chunks(intervals.len().div_ceil(POINTS).max(1));
        let mut joined: Vec<Interval> = parts.filter_map(|part| part.iter().copied().reduce(Interval::join)).collect();
        if let [.., before, last] = *joined
            && 2 * (last.to - last.from) < before.to - before.from
        {
            joined.truncate(joined.len() - 2);
            joined.push(before.join(last));
        }
        joined
    }

    fn per_second(&self, count: f64) -> f64 {
        count * SECOND as f64 / (self.to - self.from).max(1) as f64
    }
}

/// The page. `settings` are names and values of what was asked for.
pub fn page(result: &Result, intervals: &[Interval], settings: &[(&str, String)]) -> String {
    let target = escape(&result.target);
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{target} - ringload</title>\n<style>{STYLE}</style></head><body>\n<h1>{target}</h1>\n"
    );
    verdict(&mut out, result);
    out.push_str("<div class=\"grid2\">\n");
    percentiles(&mut out, result);
    out.push_str("<section><h2>Ladder</h2>\n");
    ladder(&mut out, result);
    out.push_str("</section>\n");
    over_time(&mut out, result, intervals);
    out.push_str("<section><h2>Requests</h2>\n");
    rows(&mut out, &counts(result));
    out.push_str("</section>\n<section><h2>Settings</h2>\n");
    rows(&mut out, settings);
    out.push_str("</section>\n</div>\n</body></html>\n");
    out
}

fn verdict(out: &mut String, result: &Result) {
    let how = if result.asked.is_some() { "Open loop" } else { "Closed loop" };
    let asked = result.asked.map(|(total, length)| format!("{} asked, ", show_rate(total * SECOND as f64 / length.max(1) as f64)));
    let (asked, rate, time) = (asked.unwrap_or_default(), show_rate(result.rate()), show_time(result.time));
    let _ = writeln!(out, "<p class=\"weak\">{how}, {asked}{rate} answered, {time}</p>");
    for doubt in &result.doubts {
        let _ = writeln!(out, "<p><span class=\"bad\">Invalid:</span> {}</p>", escape(doubt));
    }
    if result.doubts.is_empty() {
        out.push_str("<p><span class=\"good\">Valid:</span> ringload itself kept up.</p>\n");
    }
    for (holds, line) in &result.judged {
        let class = if *holds { "good" } else { "bad" };
        let _ = writeln!(out, "<p><span class=\"{class}\">Expected:</span> {}</p>", escape(line));
    }
}

/// Times over 1/(1-p), so that each nine of the percentile takes the same room.
fn percentiles(out: &mut String, result: &Result) {
    let Tally { response, service, .. } = result.tally;
    let nines = (response.len().max(10) as f64).log10();
    let line = |histogram: &Histogram<u64>| {
        let quantiles = histogram.iter_quantiles(10).filter(|value| value.count_since_last_iteration() > 0);
        quantiles
            .map(|value| (-(1.0 - value.quantile_iterated_to()).max(10f64.powf(-nines)).log10(), value.value_iterated_to() as f64))
            .collect()
    };
    let ticks = ["0", "90", "99", "99.9", "99.99", "99.999", "99.9999", "99.99999", "99.999999"];
    let ticks = (0..).map(f64::from).zip(ticks).take_while(|(at, _)| *at <= nines).map(|(at, text)| (at, format!("{text} %")));
    let (lines, names): (_, &[&str]) = if result.asked.is_some() {
        (vec![line(response), line(service)], &["response time, from when due", "service time, from the send"])
    } else {
        (vec![line(response)], &["response time"])
    };
    figure(out, "Time by percentile", names, Axis::new(0.0, nines, ticks.collect()), lines, None);
}

fn over_time(out: &mut String, result: &Result, intervals: &[Interval]) {
    let intervals = Interval::condense(intervals);
    let end = result.time as f64 / SECOND as f64;
    let seconds = |interval: &Interval| interval.to as f64 / SECOND as f64;
    let axis = || Axis::linear(end, |at| format!("{} s", round(at)));
    let time = |index: usize| {
        let known = intervals.iter().filter_map(|interval| interval.times.map(|times| (seconds(interval), times[index] as f64)));
        known.collect::<Vec<_>>()
    };
    figure(out, "Response time, second by second", &["p50", "p99", "max"], axis(), vec![time(0), time(1), time(2)], None);
    let rate = |interval: &Interval, count: f64| (seconds(interval), interval.per_second(count));
    let got: Vec<(f64, f64)> = intervals.iter().map(|interval| rate(interval, interval.answered as f64)).collect();
    let asked: Vec<(f64, f64)> = intervals.iter().filter_map(|interval| interval.asked.map(|asked| rate(interval, asked))).collect();
    let names: &[&str] = if result.asked.is_some() { &["answered", "asked"] } else { &["answered"] };
    let highest = got.iter().chain(&asked).map(|(_, rate)| *rate).fold(0.0, f64::max);
    figure(out, "Requests a second", names, axis(), vec![got, asked], Some(Axis::linear(highest, round)));
}

/// A drawing with its title and what its lines are; without an axis of its own it is one of times.
fn figure(out: &mut String, title: &str, names: &[&str], x: Axis, lines: Vec<Vec<(f64, f64)>>, y: Option<Axis>) {
    let _ = write!(out, "<figure><h2>{title}</h2>\n<figcaption>");
    for (number, name) in (1..).zip(names) {
        let _ = write!(out, "<span><i class=\"key-{number}\"></i>{name}</span>");
    }
    out.push_str("</figcaption>\n");
    let values = || lines.iter().flatten().map(|(_, value)| *value);
    let times = || Axis::log(values().fold(f64::INFINITY, f64::min).min(1e15), values().fold(0.0, f64::max), |at| short_time(at as u64));
    if values().next().is_none() {
        out.push_str("<p class=\"weak\">Nothing was measured.</p>\n");
    } else {
        out.push_str(&Plot { label: format!("{title}: {}", names.join(", ")), x, y: y.unwrap_or_else(times), lines }.svg());
    }
    out.push_str("</figure>\n");
}

/// A number of an axis, as short as it can be.
fn round(value: f64) -> String {
    if value >= 1000.0 { show_count(value.round() as u64) } else { ((value * 100.0).round() / 100.0).to_string() }
}

/// A round time without decimals.
fn short_time(nanos: u64) -> String {
    match nanos {
        0..1_000 => format!("{nanos} ns"),
        1_000..1_000_000 => format!("{} us", nanos / 1_000),
        1_000_000..1_000_000_000 => format!("{} ms", nanos / 1_000_000),
        _ => format!("{} s", nanos / SECOND),
    }
}

fn ladder(out: &mut String, result: &Result) {
    let Tally { response, service, .. } = result.tally;
    if response.is_empty() {
        out.push_str("<p class=\"weak\">Nothing was measured.</p>\n");
        return;
    }
    let open = result.asked.is_some();
    let more = if open { "<th>service time</th><th>waited before</th>" } else { "" };
    let _ = writeln!(out, "<table class=\"numbers\"><thead><tr><th></th><th>response time</th>{more}</tr></thead><tbody>");
    let mut row = |name: &str, response: u64, service: u64| {
        let _ = write!(out, "<tr><th>{name}</th><td>{}</td>", show_time(response));
        if open {
            let _ = write!(out, "<td>{}</td><td>{}</td>", show_time(service), show_time(response.saturating_sub(service)));
        }
        out.push_str("</tr>\n");
    };
    for (quantile, name) in LADDER {
        row(name, response.value_at_quantile(quantile), service.value_at_quantile(quantile));
    }
    row("mean", response.mean() as u64, service.mean() as u64);
    out.push_str("</tbody></table>\n");
}

fn counts(result: &Result) -> Vec<(&'static str, String)> {
    let tally = result.tally;
    let listed = |lines: Vec<String>| if lines.is_empty() { "none".to_owned() } else { lines.join(", ") };
    let failures = Failure::ALL.into_iter().filter(|failure| tally.failures_of(*failure) > 0);
    let at = |quantile| show_time(tally.lag.value_at_quantile(quantile));
    let mut rows = vec![
        ("due", show_count(tally.due)),
        ("answered", show_count(tally.answered())),
        ("errors", format!("{} ({})", show_count(tally.errors()), show_part(tally.errors(), tally.due))),
        ("statuses", listed(counted(&CLASSES, &tally.statuses))),
        (
            "failures",
            listed(failures.map(|failure| format!("{}: {}", failure.names().1, show_count(tally.failures_of(failure)))).collect()),
        ),
        ("connections", format!("{} opened, {} closed while idle", show_count(tally.opened), show_count(tally.closed_idle))),
        ("bytes", format!("{} sent, {} received", show_bytes(tally.sent_bytes), show_bytes(tally.received_bytes))),
        ("own lag", format!("p50 {}, p99 {}, max {}", at(0.5), at(0.99), show_time(tally.lag.max()))),
        ("own CPU", format!("{:.0} % of a core; other programs had it for {:.0} %", result.busiest * 100.0, result.kept_off * 100.0)),
    ];
    if result.asked.is_some() {
        let part = show_part(tally.late, tally.due);
        rows.insert(3, ("late", format!("{} sent over {} after due ({part})", show_count(tally.late), show_time(LATE))));
    }
    let calls = counted(&NAMES, &tally.calls);
    if !calls.is_empty() {
        rows.push(("grpc statuses", calls.join(", ")));
    }
    rows.extend(result.note.iter().map(|note| ("last fault", note.clone())));
    rows
}

fn rows(out: &mut String, rows: &[(&str, String)]) {
    out.push_str("<table><tbody>\n");
    for (name, value) in rows {
        let _ = writeln!(out, "<tr><th>{}</th><td>{}</td></tr>", escape(name), escape(value));
    }
    out.push_str("</tbody></table>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Size;
    use crate::tally::Outcome;

    fn result(tally: &Tally) -> Result<'_> {
        Result {
            target: "GET http://a/?<script>&\"'".into(),
            asked: Some((10.0, SECOND)),
            tally,
            time: SECOND,
            size: Size { threads: 1, connections: 8, pipeline: 1 },
            busiest: 0.5,
            kept_off: 0.0,
            note: Some("<b>".into()),
            doubts: vec!["<i>".into()],
            judged: vec![(false, "p99<1s".into())],
            gateway: None,
        }
    }

    #[test]
    fn nothing_gets_in_unescaped_and_nothing_is_loaded() {
        let mut tally = Tally { due: 1, ..Tally::default() };
        tally.settle(Outcome::Answer(200), 2_000_000, Some(1_000_000));
        let interval = Interval::new(&tally, (0, SECOND), Some(10.0));
        let page = page(&result(&tally), &[interval], &[("<u>", "<s>".to_owned())]);
        for wrong in ["<script", "<b>", "<u>", "<s>", "p99<1s", "url(", "src=", "href=", "@import"] {
            assert!(!page.contains(wrong), "{wrong}");
        }
        assert!(page.contains("GET http://a/?&lt;script&gt;&amp;&quot;&#39;") && page.contains("p99&lt;1s"));
        assert!(page.contains("prefers-color-scheme:dark") && page.matches("<svg").count() == 3);
    }

    #[test]
    fn a_run_without_an_answer_has_a_page() {
        let page = page(&result(&Tally::default()), &[], &[]);
        assert_eq!(page.matches("Nothing was measured").count(), 4, "{page}");
        assert!(!page.contains("NaN") && !page.contains("inf"));
    }

    #[test]
    fn many_seconds_are_drawn_as_few_and_a_rest_with_those_before() {
        let interval = |number: u64| {
            let times = (number != 2).then_some([number, 9 - number.min(9), 5]);
            Interval { from: number * SECOND, to: (number + 1) * SECOND, asked: Some(2.0), answered: number, times }
        };
        let joined = interval(1).join(interval(2)).join(interval(3));
        assert_eq!(joined, Interval { from: SECOND, to: 4 * SECOND, asked: Some(6.0), answered: 6, times: Some([3, 8, 5]) });
        assert_eq!(joined.per_second(6.0), 2.0);
        let many: Vec<Interval> = (0..1000).map(interval).collect();
        assert!(Interval::condense(&many).len() <= POINTS);
        let rest = Interval { to: 2 * SECOND + 9, ..interval(2) };
        let condensed = Interval::condense(&[interval(0), interval(1), rest]);
        assert_eq!((condensed.len(), condensed[1].to, condensed[1].answered), (2, 2 * SECOND + 9, 3));
    }
}
