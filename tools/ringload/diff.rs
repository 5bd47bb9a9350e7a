//! Two results side by side.

use std::fmt::Write;

use serde_json::Value;

use crate::merge::merge;
use crate::report::LADDER;
use crate::tally::Tally;
use crate::words::{show_part, show_rate, show_time};

/// The two, given with their names, as a table: the second against the first.
///
/// # Errors
/// A sentence that names the one that is no result, and what it lacks.
pub fn diff(first: &(String, Value), second: &(String, Value)) -> Result<String, String> {
    let (mut tally, mut other) = (Tally::default(), Tally::default());
    let (a, b) = (merge(std::slice::from_ref(first), &[], &mut tally)?, merge(std::slice::from_ref(second), &[], &mut other)?);
    let mut out = format!("A  {}\nB  {}\n\n{:<16}{:>12}{:>12}{:>13}\n", first.0, second.0, "", "A", "B", "B against A");
    let mut row = |name: &str, a: String, b: String, change: String| {
        let _ = writeln!(out, "{name:<16}{a:>12}{b:>12}{change:>13}");
    };
    row("answered", show_rate(a.rate()), show_rate(b.rate()), change(a.rate(), b.rate()));
    let errors = |tally: &Tally| show_part(tally.errors(), tally.due);
    row("errors", errors(a.tally), errors(b.tally), String::new());
    for (what, of) in [("response", (&a.tally.response, &b.tally.response)), ("service", (&a.tally.service, &b.tally.service))] {
        for (quantile, name) in LADDER {
            let (a, b) = (of.0.value_at_quantile(quantile), of.1.value_at_quantile(quantile));
            row(&format!("{what} {name}"), show_time(a), show_time(b), change(a as f64, b as f64));
        }
    }
    let lag = |tally: &Tally| tally.lag.value_at_quantile(0.99);
    let (late, later) = (lag(a.tally), lag(b.tally));
    row("own lag p99", show_time(late), show_time(later), change(late as f64, later as f64));
    if a.asked.is_some() != b.asked.is_some() {
        out.push_str("\nOne is an open loop, the other a closed one: their response times don't compare.\n");
    } else if let (Some(a), Some(b)) = (a.asked, b.asked)
        && a != b
    {
        out.push_str("\nThey were asked at different rates or for different times: response times depend on that.\n");
    }
    for doubt in a.doubts.iter().chain(&b.doubts) {
        let _ = writeln!(out, "\nINVALID: {doubt}");
    }
    Ok(out)
}

fn change(from: f64, to: f64) -> String {
    let percent = (to - from) * 100.0 / from;
    match percent.abs() {
        _ if from == 0.0 => String::new(),
        ..0.05 => "0.0 %".to_owned(),
        _ => format!("{percent:+.1} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::json;
    use crate::report::{Result as Outcome, Size};
    use crate::tally::Outcome as Ended;

    fn result(name: &str, time: u64, asked: Option<(f64, u64)>, doubts: Vec<String>) -> (String, Value) {
        let mut tally = Tally { due: 4, ..Tally::default() };
        for status in [200, 200, 200, 503] {
            tally.settle(Ended::Answer(status), time, Some(time / 2));
        }
        let (target, judged) = ("GET http://a/".to_owned(), Vec::new());
        let (tally, size) = (&tally, Size { threads: 1, connections: 8, pipeline: 1 });
        let outcome = Outcome {
            target,
            asked,
            tally,
            time: 2_000_000_000,
            size,
            busiest: 0.0,
            kept_off: 0.0,
            note: None,
            doubts,
            judged,
            gateway: None,
        };
        (name.to_owned(), json(&outcome))
    }

    #[test]
    fn the_second_is_told_against_the_first() {
        let asked = Some((4.0, 2_000_000_000));
        let (a, b) = (result("a.json", 1_000_000, asked, Vec::new()), result("b.json", 1_500_000, asked, vec!["late".to_owned()]));
        let text = diff(&a, &b).unwrap();
        let rows: Vec<String> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        for told in [
            "answered 2.0/s 2.0/s 0.0 %",
            "errors 25.0 % 25.0 %",
            "response p99 1.00 ms 1.50 ms +49.9 %",
            "service p50 500 us 750 us +49.9 %",
            "INVALID: b.json: late",
        ] {
            assert!(rows.iter().any(|row| row == told), "{told} is not in\n{text}");
        }
        assert!(!text.contains("They were") && !text.contains("One is"), "{text}");
        assert!(diff(&a, &result("c", 1, Some((5.0, 1)), Vec::new())).unwrap().contains("They were asked at different rates"));
        assert!(diff(&a, &result("c", 1, None, Vec::new())).unwrap().contains("One is an open loop"));
        assert!(diff(&a, &("d".to_owned(), Value::Null)).unwrap_err().starts_with("d is no result"));
    }
}
