//! What programs read: JSON, and HdrHistogram's two text formats.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriter, IntervalLogWriterBuilder, Tag};
use ringway::http2::grpc::NAMES;
use ringway::latency::{hgrm, v2};
use serde_json::{Map, Value, json};

use crate::report::{LADDER, Result};
use crate::tally::{CLASSES, Failure, Tally};

/// Histograms are in nanoseconds; HdrHistogram's tools show milliseconds.
const SCALE: f64 = 1e6;

/// All numbers of a result. Times are nanoseconds; `histogram` is HdrHistogram's V2 format, deflated, in base64.
pub fn json(result: &Result) -> Value {
    let tally = result.tally;
    let failures: Map<String, Value> =
        Failure::ALL.into_iter().map(|failure| (failure.names().0.to_owned(), tally.failures_of(failure).into())).collect();
    let statuses: Map<String, Value> =
        CLASSES.iter().zip(tally.statuses).map(|(class, count)| ((*class).to_owned(), count.into())).collect();
    let calls: Map<String, Value> = NAMES.iter().zip(tally.calls).map(|(status, count)| ((*status).to_owned(), count.into())).collect();
    json!({
        "ringload": env!("CARGO_PKG_VERSION"),
        "target": result.target,
        "loop": if result.asked.is_some() { "open" } else { "closed" },
        "threads": result.size.threads,
        "connections": result.size.connections,
        "pipeline": result.size.pipeline,
        "time_ns": result.time,
        "asked": result.asked.map(|(total, _)| total),
        "asked_time_ns": result.asked.map(|(_, length)| length),
        "due": tally.due,
        "answered": tally.answered(),
        "answered_per_second": result.rate(),
        "failed": tally.failed(),
        "failures": failures,
        "last_fault": result.note,
        "statuses": statuses,
        "grpc_statuses": calls,
        "late": tally.late,
        "connections_opened": tally.opened,
        "connections_closed_idle": tally.closed_idle,
        "bytes_sent": tally.sent_bytes,
        "bytes_received": tally.received_bytes,
        "response_ns": times(&tally.response),
        "service_ns": times(&tally.service),
        "connect_ns": times(&tally.connect),
        "own_lag_ns": times(&tally.lag),
        "own_cpu": result.busiest,
        "own_cpu_kept_off": result.kept_off,
        "expected": result.judged.iter().map(|(holds, what)| json!({ "holds": holds, "what": what })).collect::<Vec<_>>(),
        "gateway": result.gateway.as_ref().map(crate::gateway::Waterfall::json),
        "valid": result.doubts.is_empty(),
        "doubts": result.doubts,
    })
}

fn times(histogram: &Histogram<u64>) -> Value {
    let mut fields = Map::new();
    fields.insert("count".into(), histogram.len().into());
    fields.insert("mean".into(), histogram.mean().into());
    fields.insert("min".into(), histogram.min().into());
    for (quantile, name) in LADDER {
        fields.insert(name.into(), histogram.value_at_quantile(quantile).into());
    }
    fields.insert("histogram".into(), v2(histogram).into());
    Value::Object(fields)
}

/// Writes percentiles as HdrHistogram's `outputPercentileDistribution` does, in milliseconds.
///
/// # Errors
/// What writing says.
pub fn write_hgrm(out: &mut dyn Write, histogram: &Histogram<u64>) -> io::Result<()> {
    out.write_all(hgrm(histogram, SCALE).as_bytes())
}

/// Begins a log of histograms, an interval a line; intervals count from `start`.
///
/// # Errors
/// What writing says.
pub fn begin_hlog<'a>(
    out: &'a mut Box<dyn Write>,
    serializer: &'a mut V2DeflateSerializer,
    start: SystemTime,
) -> io::Result<IntervalLogWriter<'a, 'a, Box<dyn Write>, V2DeflateSerializer>> {
    IntervalLogWriterBuilder::new()
        .add_comment("[Response time without a tag, service time and ringload's own lag with theirs; nanoseconds, shown as milliseconds]")
        .with_start_time(start)
        .with_base_time(start)
        .with_max_value_divisor(SCALE)
        .begin_log_with(out, serializer)
}

/// Writes the lines of an interval, given from its begin to its end in nanoseconds from the start.
///
/// # Errors
/// What writing says.
pub fn write_interval(
    log: &mut IntervalLogWriter<'_, '_, Box<dyn Write>, V2DeflateSerializer>,
    (from, to): (u64, u64),
    tally: &Tally,
) -> io::Result<()> {
    let (begin, length) = (Duration::from_nanos(from), Duration::from_nanos(to.saturating_sub(from)));
    for (tag, histogram) in [(None, &tally.response), (Tag::new("service"), &tally.service), (Tag::new("lag"), &tally.lag)] {
        log.write_histogram(histogram, begin, length, tag).map_err(|error| io::Error::other(error.to_string()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::report::Size;
    use crate::tally::Outcome;
    use hdrhistogram::serialization::Deserializer;

    fn tally() -> Tally {
        let mut tally = Tally { due: 1000, ..Tally::default() };
        for micros in 1..=1000u64 {
            tally.settle(Outcome::Answer(200), micros * 1000, Some(micros * 500));
        }
        tally
    }

    #[test]
    fn json_has_all_and_its_histograms_can_be_read_again() {
        let tally = tally();
        let result = Result {
            target: "GET http://a/".into(),
            asked: None,
            tally: &tally,
            time: 2_000_000_000,
            size: Size { threads: 1, connections: 8, pipeline: 1 },
            busiest: 0.5,
            kept_off: 0.0,
            note: None,
            doubts: Vec::new(),
            judged: vec![(true, "p99<1s".into())],
            gateway: None,
        };
        let value = json(&result);
        assert_eq!((&value["answered"], &value["statuses"]["2xx"], &value["failures"]["unsent"]), (&json!(1000), &json!(1000), &json!(0)));
        assert_eq!((&value["answered_per_second"], &value["valid"], &value["due"]), (&json!(500.0), &json!(true), &json!(1000)));
        let bytes = STANDARD.decode(value["response_ns"]["histogram"].as_str().unwrap()).unwrap();
        let read: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
        assert!(read == tally.response);
        assert_eq!(value["response_ns"]["p99"], json!(tally.response.value_at_quantile(0.99)));
    }

    #[test]
    fn hlog_can_be_read_again() {
        use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
        let path = std::env::temp_dir().join(format!("ringload-{}.hlog", std::process::id()));
        let mut file: Box<dyn Write> = Box::new(std::fs::File::create(&path).unwrap());
        let mut serializer = V2DeflateSerializer::new();
        let mut log = begin_hlog(&mut file, &mut serializer, SystemTime::UNIX_EPOCH).unwrap();
        write_interval(&mut log, (0, 1_000_000_000), &tally()).unwrap();
        write_interval(&mut log, (1_000_000_000, 1_500_000_000), &tally()).unwrap();
        drop(file);
        let text = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let mut found = Vec::new();
        for entry in IntervalLogIterator::new(&text) {
            if let LogEntry::Interval(interval) = entry.unwrap() {
                let bytes = STANDARD.decode(interval.encoded_histogram()).unwrap();
                let histogram: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
                let tag = interval.tag().map(|tag| tag.as_str().to_owned());
                found.push((tag, interval.start_timestamp().as_millis(), interval.duration().as_millis(), histogram.len()));
            }
        }
        let tag = |tag: &str| Some(tag.to_owned());
        assert_eq!(found[..3], [(None, 0, 1000, 1000), (tag("service"), 0, 1000, 1000), (tag("lag"), 0, 1000, 0)]);
        assert_eq!((found.len(), &found[3]), (6, &(None, 1000, 500, 1000)));
    }
}
