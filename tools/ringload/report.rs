//! What a person reads: a line of progress a second, and the summary.

use std::fmt::Write;

use ringway::http2::grpc::NAMES;

use crate::gateway::Waterfall;
use crate::schedule::Schedule;
use crate::tally::{CLASSES, Failure, LATE, Tally};
use crate::verdict::UNANSWERED;
use crate::words::{SECOND, show_bytes, show_count, show_part, show_rate, show_time};

/// A run that is over.
pub struct Result<'a> {
    /// Whom it asked.
    pub target: String,
    /// Requests asked for in all, and in how many nanoseconds; none in a closed loop.
    pub asked: Option<(f64, u64)>,
    /// Everything.
    pub tally: &'a Tally,
    /// Nanoseconds from the start to the last request's end.
    pub time: u64,
    /// What sent it.
    pub size: Size,
    /// Of the time, the part for which the busiest thread was on its core.
    pub busiest: f64,
    /// Of the time, the part for which a thread waited for its core at most, because other programs had it.
    pub kept_off: f64,
    /// The last fault in words.
    pub note: Option<String>,
    /// Why it can't be believed.
    pub doubts: Vec<String>,
    /// What was expected, and whether it holds.
    pub judged: Vec<(bool, String)>,
    /// The gateway's side of it, if that was asked for.
    pub gateway: Option<Waterfall>,
}

/// How much a run may do at a time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Size {
    /// Threads.
    pub threads: usize,
    /// Connections of all of them, at most.
    pub connections: usize,
    /// Requests under way on a connection, at most.
    pub pipeline: usize,
}

/// The quantiles of the ladder, and their names.
pub const LADDER: [(f64, &str); 8] =
    [(0.5, "p50"), (0.75, "p75"), (0.9, "p90"), (0.95, "p95"), (0.99, "p99"), (0.999, "p99.9"), (0.9999, "p99.99"), (1.0, "max")];

/// Where more than this part of all requests was sent late, though not by this program's own fault, connections were missing.
const CROWDED: f64 = 0.01;

/// What was counted from one moment of a run to another, in nanoseconds from the start, as three lines: where it is, how much, how
/// fast. `under_way` requests are with connections.
pub fn progress(schedule: Option<&Schedule>, (from, to): (u64, u64), end: u64, tally: &Tally, under_way: u64) -> [String; 3] {
    let seconds = (to.saturating_sub(from)).max(1) as f64 / SECOND as f64;
    let asked = schedule.map(|schedule| format!("asked {}  ", show_rate((schedule.due_by(to) - schedule.due_by(from)) / seconds)));
    let (asked, answered) = (asked.unwrap_or_default(), show_rate(tally.answered() as f64 / seconds));
    let (errors, under_way) = (show_count(tally.errors()), show_count(under_way));
    let at = |quantile| show_time(tally.response.value_at_quantile(quantile));
    let times = if tally.response.is_empty() {
        "no response time".to_owned()
    } else {
        format!("p50 {}  p99 {}  p99.9 {}  max {}", at(0.5), at(0.99), at(0.999), show_time(tally.response.max()))
    };
    [
        format!("{:>4} s of {} s", to / SECOND, end / SECOND),
        format!("{asked}answered {answered}  errors {errors}  in flight {under_way}"),
        format!("{times}  own lag p99 {}", show_time(tally.lag.value_at_quantile(0.99))),
    ]
}

impl Result<'_> {
    /// Whether the result is valid and all that was expected holds.
    pub fn is_good(&self) -> bool {
        self.doubts.is_empty() && self.judged.iter().all(|(holds, _)| *holds)
    }

    /// Answers a second.
    pub fn rate(&self) -> f64 {
        self.tally.answered() as f64 * SECOND as f64 / self.time.max(1) as f64
    }

    /// All of it, as text.
    pub fn summary(&self) -> String {
        let mut out = String::new();
        self.head(&mut out);
        self.counts(&mut out);
        self.times(&mut out);
        if let Some(gateway) = &self.gateway {
            out.push_str(&gateway.text(self.tally.answered()));
        }
        self.verdict(&mut out);
        out
    }

    fn head(&self, out: &mut String) {
        let Size { threads, connections, pipeline } = self.size;
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let _ = writeln!(out, "{}", self.target);
        let how = if self.asked.is_some() { "open loop, up to" } else { "closed loop of" };
        let (many, more) = (plural(connections), plural(threads));
        let depth = if pipeline > 1 { format!(", up to {pipeline} requests at a time on each") } else { String::new() };
        let _ = writeln!(out, "{how} {connections} connection{many} on {threads} thread{more}{depth}, {}\n", show_time(self.time));
    }

    fn counts(&self, out: &mut String) {
        let tally = self.tally;
        let (answered, failed) = (show_count(tally.answered()), show_count(tally.failed()));
        let _ = writeln!(out, "requests    {} due = {answered} answered + {failed} without an answer", show_count(tally.due));
        let asked = self.asked.map(|(total, length)| format!("{} asked, ", show_rate(total * SECOND as f64 / length.max(1) as f64)));
        let _ = writeln!(out, "rate        {}{} answered", asked.unwrap_or_default(), show_rate(self.rate()));
        let statuses = counted(&CLASSES, &tally.statuses);
        let _ = writeln!(out, "statuses    {}", if statuses.is_empty() { "none".to_owned() } else { statuses.join(", ") });
        let calls = counted(&NAMES, &tally.calls);
        if !calls.is_empty() {
            let _ = writeln!(out, "grpc        {}", calls.join(", "));
        }
        let failures = Failure::ALL.into_iter().filter(|failure| tally.failures_of(*failure) > 0);
        let failures: Vec<String> =
            failures.map(|failure| format!("{}: {}", failure.names().1, show_count(tally.failures_of(failure)))).collect();
        let _ = writeln!(out, "failures    {}", if failures.is_empty() { "none".to_owned() } else { failures.join(", ") });
        if let Some(note) = &self.note {
            let _ = writeln!(out, "            last: {note}");
        }
        if self.asked.is_some() {
            let part = show_part(tally.late, tally.due);
            let _ = writeln!(out, "late        {} sent more than {} after they were due ({part})", show_count(tally.late), show_time(LATE));
        }
        let closed = match tally.closed_idle {
            0 => String::new(),
            count => format!(", {} closed by the target while idle", show_count(count)),
        };
        let opened = format!("{} opened{closed}", show_count(tally.opened));
        let time = show_time(tally.connect.value_at_quantile(0.99));
        let _ = writeln!(out, "connections {opened}, in {time} at p99");
        let _ = writeln!(out, "bytes       {} sent, {} received\n", show_bytes(tally.sent_bytes), show_bytes(tally.received_bytes));
    }

    fn times(&self, out: &mut String) {
        let tally = self.tally;
        if tally.response.is_empty() {
            return;
        }
        let open = self.asked.is_some();
        if !open {
            // Both begin with the send here.
            out.push_str("        response time\n");
        } else {
            out.push_str("        response time  service time   gap: waited before\n");
            out.push_str("        from when due  from the send  it could be sent\n");
        }
        for (quantile, name) in LADDER {
            let (response, service) = (tally.response.value_at_quantile(quantile), tally.service.value_at_quantile(quantile));
            let _ = write!(out, "{name:<7} {:>13}", show_time(response));
            if open {
                let _ = write!(out, "  {:>13}  {:>17}", show_time(service), show_time(response.saturating_sub(service)));
            }
            out.push('\n');
        }
        let mean = show_time(tally.response.mean() as u64);
        let _ = write!(out, "{:<7} {mean:>13}", "mean");
        if open {
            let gap = (tally.response.mean() - tally.service.mean()).max(0.0) as u64;
            let _ = write!(out, "  {:>13}  {:>17}", show_time(tally.service.mean() as u64), show_time(gap));
        }
        out.push_str("\n\n");
        if open && tally.late as f64 > CROWDED * tally.due as f64 && tally.lag.value_at_quantile(0.99) <= LATE {
            let connections = self.size.connections;
            let _ =
                writeln!(out, "More than {connections} connections were needed: the target is at its limit, or --connections too low.\n");
        }
        if !open {
            out.push_str("A closed loop asks less while the target is slow, so stalls hardly show: use --rate to see them.\n\n");
        }
    }

    fn verdict(&self, out: &mut String) {
        let lag = &self.tally.lag;
        let at = |quantile| show_time(lag.value_at_quantile(quantile));
        let _ = writeln!(out, "own lag     p50 {}, p99 {}, max {}", at(0.5), at(0.99), show_time(lag.max()));
        let (busy, kept_off) = (self.busiest * 100.0, self.kept_off * 100.0);
        let _ = writeln!(
            out,
            "own CPU     {busy:.0} % of a core on the busiest thread; for {kept_off:.0} % of the time other programs had its core"
        );
        for (_, line) in &self.judged {
            let _ = writeln!(out, "expected    {line}");
        }
        if self.doubts.is_empty() {
            out.push_str("result      valid\n");
        }
        for doubt in &self.doubts {
            let _ = writeln!(out, "result      INVALID: {doubt}");
        }
        if self.doubts.iter().any(|doubt| doubt != UNANSWERED) {
            out.push_str("            Run it where cores are idle, with more --threads, or at a lower rate.\n");
        }
    }
}

/// Names with their counts, as far as there are any.
pub fn counted(names: &[&str], counts: &[u64]) -> Vec<String> {
    let counts = names.iter().zip(counts).filter(|(_, count)| **count > 0);
    counts.map(|(name, count)| format!("{name} {}", show_count(*count))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Arrivals;
    use crate::tally::Outcome;

    fn tally() -> Tally {
        let mut tally = Tally { due: 4, opened: 1, sent_bytes: 1_234, ..Tally::default() };
        tally.settle(Outcome::Answer(200), 9_000_000, Some(2_000_000));
        tally.settle(Outcome::Call(14), 2_000_000, Some(2_000_000));
        tally.settle(Outcome::Answer(503), 2_000_000, Some(2_000_000));
        tally.settle(Outcome::Failure(Failure::Unsent), 20_000_000, None);
        tally.lag.record(40_000).unwrap();
        tally
    }

    fn result(tally: &Tally, asked: Option<(f64, u64)>) -> Result<'_> {
        Result {
            target: "GET http://a/".into(),
            asked,
            tally,
            time: 2 * SECOND,
            size: Size { threads: 1, connections: 8, pipeline: 1 },
            busiest: 0.12,
            kept_off: 0.03,
            note: Some("cut off".into()),
            doubts: Vec::new(),
            judged: vec![(true, "p99<1s: holds".into())],
            gateway: None,
        }
    }

    #[test]
    fn nothing_is_left_out_of_the_summary() {
        let tally = tally();
        let text = result(&tally, Some((4.0, 2 * SECOND))).summary();
        for told in [
            "open loop, up to 8 connections on 1 thread, 2.00 s",
            "4 due = 3 answered + 1 without an answer",
            "2.0/s asked, 1.5/s answered",
            "2xx 2, 5xx 1",
            "grpc        UNAVAILABLE 1\n",
            "due but never sent: 1",
            "last: cut off",
            "1 sent more than 1.00 ms after they were due (25.0 %)",
            "1.2 kB sent",
            "p50           2.00 ms        2.00 ms               0 ns",
            "max           20.0 ms        2.00 ms            18.0 ms",
            "p50 40.0 us",
            "12 % of a core on the busiest thread; for 3 % of the time",
            "More than 8 connections were needed",
            "p99<1s: holds",
            "result      valid",
        ] {
            assert!(text.contains(told), "{told} is not in\n{text}");
        }
    }

    #[test]
    fn what_is_not_good_is_said() {
        let tally = tally();
        let good = result(&tally, None);
        assert!(good.is_good() && !good.summary().contains("service"));
        let doubted = Result { doubts: vec!["late".into()], ..result(&tally, None) };
        assert!(!doubted.is_good() && doubted.summary().contains("INVALID: late") && !doubted.summary().contains("valid\n"));
        let idle_cores_help = |doubt: &str| Result { doubts: vec![doubt.into()], ..result(&tally, None) }.summary().contains("idle");
        assert!(idle_cores_help("late") && !idle_cores_help(UNANSWERED));
        let failed = Result { judged: vec![(false, "no".into())], ..result(&tally, None) };
        assert!(!failed.is_good());
    }

    #[test]
    fn progress_tells_asked_and_got() {
        let (tally, schedule) = (tally(), Schedule::read("0..20", 10 * SECOND, None, Arrivals::Even).unwrap());
        let lines = progress(Some(&schedule), (4 * SECOND, 6 * SECOND), 10 * SECOND, &tally, 7);
        assert_eq!(lines[0], "   6 s of 10 s");
        assert_eq!(lines[1], "asked 10.0/s  answered 1.5/s  errors 3  in flight 7");
        assert_eq!(lines[2], "p50 2.00 ms  p99 20.0 ms  p99.9 20.0 ms  max 20.0 ms  own lag p99 40.0 us");
        let lines = progress(None, (0, SECOND), SECOND, &Tally::default(), 0);
        assert_eq!(lines[1..], ["answered 0.0/s  errors 0  in flight 0", "no response time  own lag p99 0 ns"]);
    }
}
