//! `ringway latency`: any percentile of any window that was kept on disk.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::SystemTime;

use ringway::clock::{read_utc, unix_seconds};
use ringway::config::Time;
use ringway::flight::{Question, look};
use ringway::latency::{Phase, quantile};
use ringway::log::rfc3339;
use ringway::run;
use serde_json::{Map, json};

use super::args::{Format, Look};
use super::{BAD_CONFIG, BAD_USAGE};

/// What is shown unless something else is asked for.
const PERCENTILES: &str = "50,75,90,95,99,99.9,99.99,99.999,100";
/// The window, unless another is asked for.
const WINDOW: &str = "1m";

/// What was found, or an exit code and why there is nothing.
pub fn report(asked: &Look) -> Result<String, (u8, String)> {
    let usage = |message: String| (BAD_USAGE, format!("{message}\nhint: see `ringway latency --help`"));
    let text = |name: &str| asked.texts.iter().rfind(|(known, _)| *known == name).map(|(_, value)| value.as_str());
    let phase = text("phase").unwrap_or("total");
    let window = text("window").unwrap_or(WINDOW);
    let question = Question {
        route: text("route").map(str::to_owned),
        upstream: text("upstream").map(str::to_owned),
        phase: Phase::named(phase).ok_or_else(|| usage(format!("there is no phase `{phase}`")))?,
        from: text("at").map(|at| moment(at).ok_or_else(|| usage(format!("`{at}` is no time")))).transpose()?,
        window: window.parse::<Time>().map_err(|wrong| usage(format!("`{window}` is no window: {wrong}")))?.get().as_secs_f64(),
    };
    let mut quantiles = Vec::new();
    for word in text("percentile").unwrap_or(PERCENTILES).split(',') {
        let percentile = word.trim().parse::<f64>().ok().filter(|percentile| (0.0..=100.0).contains(percentile));
        let percentile = percentile.ok_or_else(|| usage(format!("`{word}` is no percentile, 0 to 100")))?;
        quantiles.push((word.trim(), quantile(percentile)));
    }
    let directory = match (text("directory"), &asked.config) {
        (Some(directory), _) => directory.to_owned(),
        (None, Some(file)) => {
            let loaded = run::load(file).map_err(|problems| (BAD_CONFIG, problems.to_string()))?;
            let directory = loaded.config.latency.directory.clone();
            if directory.is_empty() {
                return Err((BAD_CONFIG, format!("{}: latency.directory is not set, so nothing is kept", file.display())));
            }
            directory
        }
        (None, None) => return Err(usage("neither a configuration nor a directory is given".into())),
    };
    let found = look(&PathBuf::from(&directory), &question).map_err(|error| (BAD_CONFIG, format!("{directory}: {error}")))?;
    let (from, to) = found.window;
    if found.histogram.is_empty() {
        let known = found.known.map_or("nothing at all".to_owned(), |(first, last)| format!("{} to {}", rfc3339(first), rfc3339(last)));
        return Err((BAD_CONFIG, format!("no {phase} times from {} to {}; {directory} has {known}", rfc3339(from), rfc3339(to))));
    }
    let histogram = &found.histogram;
    if asked.format == Format::Json {
        let values: Map<_, _> = quantiles.iter().map(|(word, at)| ((*word).to_owned(), histogram.value_at_quantile(*at).into())).collect();
        let report = json!({
            "from": rfc3339(from), "to": rfc3339(to), "phase": phase, "route": question.route, "upstream": question.upstream,
            "count": histogram.len(), "mean": histogram.mean(), "unit": "microseconds", "percentiles": values,
            "unreadable_lines": found.unreadable,
        });
        return Ok(format!("{report:#}"));
    }
    let whose = |name: &str, id: &Option<String>| id.as_ref().map_or(String::new(), |id| format!("  {name} {id}"));
    let (route, upstream) = (whose("route", &question.route), whose("upstream", &question.upstream));
    let mut report = format!("{phase}{route}{upstream}  {} to {}  {} requests\n\n", rfc3339(from), rfc3339(to), histogram.len());
    for (word, at) in quantiles {
        let millis = histogram.value_at_quantile(at) as f64 / 1000.0;
        // Writing to a string can't fail.
        let _ = writeln!(report, "{:>8} {millis:>12.3} ms", if word == "100" { "max".to_owned() } else { format!("p{word}") });
    }
    if found.unreadable > 0 {
        let _ =
            writeln!(report, "\n{} lines could not be read: the gateway was killed while it wrote, or the disk is bad", found.unreadable);
    }
    Ok(report)
}

/// A time of the day, of today or else of yesterday, or a whole date; in UTC. In seconds since 1970.
fn moment(text: &str) -> Option<f64> {
    if text.contains('T') {
        return read_utc(text).map(|seconds| seconds as f64);
    }
    let now = unix_seconds(SystemTime::now());
    let today = now / 86_400 * 86_400;
    let padded = if text.matches(':').count() == 1 { format!("{text}:00") } else { text.to_owned() };
    let time = read_utc(&format!("1970-01-01T{padded}Z"))?;
    Some(if today + time <= now { today + time } else { (today + time).saturating_sub(86_400) } as f64)
}
