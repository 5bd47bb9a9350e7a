//! Results of runs at the same time, as from several machines, made into one: counts and histograms add up without loss.

use std::ffi::OsString;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use lexopt::{Arg, Parser, ValueExt};
use ringway::http2::grpc::NAMES;
use serde_json::Value;

use crate::report::{Result as Outcome, Size};
use crate::tally::{CLASSES, Failure, Tally};
use crate::verdict::Expectation;

/// What is to be merged, and where it goes.
#[derive(Default)]
pub struct Merge {
    /// Files that `--json` wrote.
    pub results: Vec<PathBuf>,
    /// What has to hold of all together.
    pub expectations: Vec<Expectation>,
    /// Where the numbers go.
    pub json: Option<PathBuf>,
    /// Where the percentiles go.
    pub hgrm: Option<PathBuf>,
}

impl Merge {
    /// Reads the words behind `merge`.
    ///
    /// # Errors
    /// A sentence about what is wrong.
    pub fn read(words: impl IntoIterator<Item = OsString>) -> Result<Merge, String> {
        let said = |error: lexopt::Error| error.to_string();
        let (mut merge, mut parser) = (Merge::default(), Parser::from_args(words));
        while let Some(word) = parser.next().map_err(said)? {
            match word {
                Arg::Value(path) => merge.results.push(path.into()),
                Arg::Short('e') | Arg::Long("expect") => {
                    let text = parser.value().and_then(|value| value.string()).map_err(said)?;
                    merge.expectations.push(Expectation::read(&text)?);
                }
                Arg::Long("json") => merge.json = Some(parser.value().map_err(said)?.into()),
                Arg::Long("hgrm") => merge.hgrm = Some(parser.value().map_err(said)?.into()),
                other => return Err(said(other.unexpected())),
            }
        }
        if merge.results.is_empty() { Err("say what to merge: files that --json wrote".to_owned()) } else { Ok(merge) }
    }
}

/// One result of all, given with their names.
///
/// # Errors
/// A sentence that names the one that is no result, and what it lacks.
pub fn merge<'a>(results: &[(String, Value)], expectations: &[Expectation], tally: &'a mut Tally) -> Result<Outcome<'a>, String> {
    let (mut targets, mut doubts, mut asked, mut note) = (Vec::new(), Vec::new(), None, None);
    let (mut time, mut size, mut busiest, mut kept_off) = (0, Size::default(), 0.0f64, 0.0f64);
    for (name, value) in results {
        let field = |lacks: &str| format!("{name} is no result of ringload: it has no valid `{lacks}`");
        let count = |key: &str| value[key].as_u64().ok_or_else(|| field(key));
        let number = |key: &str| value[key].as_f64().ok_or_else(|| field(key));
        tally.add(&read(value).map_err(field)?);
        time = time.max(count("time_ns")?);
        size.threads += count("threads")? as usize;
        size.connections += count("connections")? as usize;
        size.pipeline = size.pipeline.max(count("pipeline")? as usize);
        (busiest, kept_off) = (busiest.max(number("own_cpu")?), kept_off.max(number("own_cpu_kept_off")?));
        if value["loop"] == "open" {
            let (total, length) = asked.unwrap_or((0.0, 0));
            asked = Some((total + number("asked")?, count("asked_time_ns")?.max(length)));
        }
        let target = value["target"].as_str().ok_or_else(|| field("target"))?.to_owned();
        if !targets.contains(&target) {
            targets.push(target);
        }
        for doubt in value["doubts"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            doubts.push(format!("{name}: {doubt}"));
        }
        note = value["last_fault"].as_str().map(|note| format!("{name}: {note}")).or(note);
    }
    let judged = expectations.iter().map(|expectation| expectation.judge(tally)).collect();
    let target = format!("{} runs: {}", results.len(), targets.join(", "));
    Ok(Outcome { target, asked, tally, time, size, busiest, kept_off, note, doubts, judged, gateway: None })
}

/// A result's counts and times.
///
/// # Errors
/// The field that it lacks.
pub fn read(value: &Value) -> Result<Tally, &'static str> {
    let mut tally = Tally::default();
    let count = |value: &Value, key: &'static str| value[key].as_u64().ok_or(key);
    for (to, key) in [
        (&mut tally.due, "due"),
        (&mut tally.late, "late"),
        (&mut tally.opened, "connections_opened"),
        (&mut tally.closed_idle, "connections_closed_idle"),
        (&mut tally.sent_bytes, "bytes_sent"),
        (&mut tally.received_bytes, "bytes_received"),
    ] {
        *to = count(value, key)?;
    }
    // What an older result doesn't know it has none of.
    let known =
        |part: &'static str, key: &'static str| value[part].as_object().ok_or(part)?.get(key).map_or(Some(0), Value::as_u64).ok_or(key);
    for failure in Failure::ALL {
        tally.failures[failure as usize] = known("failures", failure.names().0)?;
    }
    for (to, key) in tally.statuses.iter_mut().zip(CLASSES) {
        *to = known("statuses", key)?;
    }
    if value.get("grpc_statuses").is_some() {
        for (to, key) in tally.calls.iter_mut().zip(NAMES) {
            *to = known("grpc_statuses", key)?;
        }
    }
    for (to, key) in [
        (&mut tally.response, "response_ns"),
        (&mut tally.service, "service_ns"),
        (&mut tally.connect, "connect_ns"),
        (&mut tally.lag, "own_lag_ns"),
    ] {
        let bytes = value[key]["histogram"].as_str().and_then(|text| STANDARD.decode(text).ok()).ok_or(key)?;
        let histogram: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).map_err(|_| key)?;
        to.add(&histogram).map_err(|_| key)?;
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::json;
    use crate::tally::Outcome as Ended;

    fn result(tally: &Tally, doubts: Vec<String>) -> Value {
        let asked = Some((100.0, 2_000_000_000));
        let size = Size { threads: 1, connections: 8, pipeline: 3 };
        let (target, note, judged) = ("GET http://a/".to_owned(), Some("cut".to_owned()), Vec::new());
        json(&Outcome { target, asked, tally, time: 7, size, busiest: 0.5, kept_off: 0.25, note, doubts, judged, gateway: None })
    }

    #[test]
    fn results_add_up_to_what_one_run_would_have_told() {
        let (mut first, mut second, mut both) = (Tally::default(), Tally::default(), Tally::default());
        for (tally, times) in [(&mut first, 1..100u64), (&mut second, 50..900)] {
            (tally.due, tally.opened, tally.closed_idle, tally.sent_bytes, tally.received_bytes) = (1, 2, 3, 4, 5);
            for time in times {
                tally.settle(Ended::Answer(100 * (1 + time % 5) as u16), time * 20_000, Some(time * 3));
                tally.lag.record(time).unwrap();
                tally.connect.record(time * 7).unwrap();
            }
            [Ended::Echo, Ended::Call(0), Ended::Call(16)].into_iter().for_each(|ended| tally.settle(ended, 5, Some(4)));
            Failure::ALL.into_iter().for_each(|failure| tally.settle(Ended::Failure(failure), 9, None));
            both.add(tally);
        }
        let results = [("a".to_owned(), result(&first, Vec::new())), ("b".to_owned(), result(&second, vec!["late".to_owned()]))];
        let mut tally = Tally::default();
        let merged = merge(&results, &[Expectation::read("p50<1s").unwrap()], &mut tally).unwrap();
        assert_eq!((merged.target.as_str(), merged.asked), ("2 runs: GET http://a/", Some((200.0, 2_000_000_000))));
        let Size { threads, connections, pipeline } = merged.size;
        assert_eq!((merged.time, threads, connections, pipeline, merged.busiest, merged.kept_off), (7, 2, 16, 3, 0.5, 0.25));
        assert_eq!((merged.doubts.as_slice(), merged.judged[0].0), (["b: late".to_owned()].as_slice(), true));
        let (mut told, mut expected) = (json(&merged), result(&both, Vec::new()));
        for part in
            ["due", "late", "statuses", "grpc_statuses", "failures", "response_ns", "service_ns", "connect_ns", "own_lag_ns", "bytes_sent"]
        {
            assert_eq!(told[part].take(), expected[part].take(), "{part}");
        }
    }

    #[test]
    fn what_is_no_result_is_named() {
        let good = result(&Tally::default(), Vec::new());
        for key in ["due", "failures", "statuses", "response_ns", "own_cpu", "target", "asked"] {
            let mut bad = good.clone();
            bad[key] = Value::Null;
            let problem = merge(&[("x.json".to_owned(), bad)], &[], &mut Tally::default()).err().unwrap();
            assert!(problem.starts_with("x.json is no result of ringload"), "{key}: {problem}");
        }
        assert!(Merge::read(Vec::new()).is_err());
        assert_eq!(Merge::read(["a", "--json", "-", "b"].map(OsString::from)).unwrap().results.len(), 2);
    }
}
