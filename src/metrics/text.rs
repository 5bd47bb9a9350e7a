//! Prometheus' text format: families of samples with help, type and escaped labels.

use std::fmt::Write;

use super::cells::BOUNDS_MS;
use super::{AccessLog, Core, Kind, Meta, Process, Registry, Spans};

/// The content type of the page.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A metrics page being written.
#[derive(Debug, Default)]
pub struct Text {
    page: String,
    open: bool,
}

impl Text {
    /// A page in the OpenMetrics format (version 1.0.0), where counters' families are called without their `_total` and the page has an end.
    pub fn open_metrics() -> Self {
        Text { page: String::new(), open: true }
    }

    /// Its content type.
    pub const fn content_type(&self) -> &'static str {
        if self.open { "application/openmetrics-text; version=1.0.0; charset=utf-8" } else { CONTENT_TYPE }
    }

    /// Begins a family: its samples must follow, and nothing else before the next family.
    pub fn family(&mut self, name: &str, kind: &str, help: &str) {
        let mut help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let mut name = name;
        if self.open {
            help = help.replace('"', "\\\"");
            name = name.strip_suffix("_total").filter(|_| kind == "counter").unwrap_or(name);
        }
        writeln!(self.page, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("a String takes all");
    }

    /// Adds one sample.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.page.push_str(name);
        for (at, (label, value)) in labels.iter().enumerate() {
            self.page.push(if at == 0 { '{' } else { ',' });
            self.page.push_str(label);
            self.page.push_str("=\"");
            for character in value.chars() {
                match character {
                    '\\' => self.page.push_str("\\\\"),
                    '"' => self.page.push_str("\\\""),
                    '\n' => self.page.push_str("\\n"),
                    other => self.page.push(other),
                }
            }
            self.page.push('"');
        }
        if !labels.is_empty() {
            self.page.push('}');
        }
        writeln!(self.page, " {value}").expect("a String takes all");
    }

    /// Adds a family of a single sample without labels.
    pub fn single(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    /// The page.
    pub fn finish(mut self) -> String {
        if self.open {
            self.page.push_str("# EOF\n");
        }
        self.page
    }
}

/// Writes every metric of the registry.
pub fn write(registry: &Registry, text: &mut Text) {
    let totals = registry.totals();
    text.single("gateway_requests_total", "counter", "Requests that ended.", totals.requests as f64);
    text.single(
        "gateway_requests_successful_total",
        "counter",
        "Requests that ended and did not fail, as gateway_requests_failed_total says.",
        totals.successful() as f64,
    );
    for (metric, meta) in Core::METRICS.iter().enumerate() {
        cells(text, meta, |label| registry.cores.iter().map(|core| core.read(metric, label)).sum());
    }
    for (metric, meta) in Process::METRICS.iter().enumerate() {
        cells(text, meta, |label| registry.process.read(metric, label));
    }
    for (metric, meta) in AccessLog::METRICS.iter().enumerate() {
        cells(text, meta, |label| registry.access_log.read(metric, label));
    }
    for (metric, meta) in Spans::METRICS.iter().enumerate() {
        cells(text, meta, |label| registry.spans.read(metric, label));
    }
    per_core(registry, text);
}

/// Writes one metric, `read` giving the number of each label value.
fn cells(text: &mut Text, meta: &Meta, read: impl Fn(usize) -> u64) {
    let kind = match meta.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    text.family(meta.name, kind, meta.help);
    if meta.kind == Kind::Histogram {
        return histogram(text, meta, read);
    }
    match meta.label {
        None => text.sample(meta.name, &[], read(0) as f64 / meta.divisor),
        Some((label, values)) => {
            for (at, value) in values.iter().enumerate() {
                text.sample(meta.name, &[(label, value)], read(at) as f64 / meta.divisor);
            }
        }
    }
}

/// Writes the samples of a histogram.
fn histogram(text: &mut Text, meta: &Meta, read: impl Fn(usize) -> u64) {
    let [bucket, sum, count] = ["bucket", "sum", "count"].map(|part| format!("{}_{part}", meta.name));
    let mut so_far = 0;
    for (bin, bound) in BOUNDS_MS.iter().enumerate() {
        so_far += read(bin);
        text.sample(&bucket, &[("le", &(f64::from(*bound) / 1e3).to_string())], so_far as f64);
    }
    so_far += read(BOUNDS_MS.len());
    text.sample(&bucket, &[("le", "+Inf")], so_far as f64);
    text.sample(&sum, &[], read(BOUNDS_MS.len() + 1) as f64 / meta.divisor);
    text.sample(&count, &[], so_far as f64);
}

/// Writes how the load is spread over the cores.
fn per_core(registry: &Registry, text: &mut Text) {
    type Read = fn(&Core) -> u64;
    let shown: [(&str, &str, &str, Read); 2] = [
        ("gateway_core_requests_total", "counter", "Requests that ended, by core.", Core::requests),
        ("gateway_core_connections", "gauge", "Connections of clients that are open, by core.", |core| core.connections.count()),
    ];
    for (name, kind, help, read) in shown {
        text.family(name, kind, help);
        for (index, core) in registry.cores.iter().enumerate() {
            text.sample(name, &[("core", &index.to_string())], read(core) as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::Reason;

    fn page(registry: &Registry) -> String {
        let mut text = Text::default();
        write(registry, &mut text);
        text.finish()
    }

    fn value(page: &str, series: &str) -> f64 {
        let line = page.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
        line.unwrap_or_else(|| panic!("{series} is missing")).rsplit(' ').next().unwrap().parse().unwrap()
    }

    #[test]
    fn the_page_adds_the_cores_up() {
        let registry = Registry::new(2);
        for core in [0, 1, 1] {
            registry.cores[core].ended(200, None, Duration::from_millis(3));
        }
        registry.cores[0].ended(502, Some(Reason::ConnectFailed), Duration::from_millis(1));
        registry.cores[0].connections.add(7);
        let page = page(&registry);
        assert_eq!(value(&page, "gateway_requests_total"), 4.0);
        assert_eq!(value(&page, "gateway_requests_successful_total"), 3.0);
        assert_eq!(value(&page, "gateway_requests_failed_total"), 1.0);
        assert_eq!(value(&page, "gateway_active_connections"), 7.0);
        assert_eq!(value(&page, "gateway_http_requests_total{status_class=\"2xx\"}"), 3.0);
        assert_eq!(value(&page, "gateway_refusals_total{reason=\"connect_failed\"}"), 1.0);
        assert_eq!(value(&page, "gateway_core_requests_total{core=\"1\"}"), 2.0);
    }

    #[test]
    fn a_histogram_counts_what_is_no_longer_than_each_bound() {
        let registry = Registry::new(2);
        for (core, micros) in [(0, 1), (1, 1000), (0, 1001), (1, 70_000), (0, 9_000_000)] {
            registry.cores[core].tls_handshake_time.add(Duration::from_micros(micros));
        }
        let page = page(&registry);
        let name = "gateway_tls_handshake_duration_seconds";
        for (bound, count) in [("0.001", 2.0), ("0.002", 3.0), ("0.05", 3.0), ("0.1", 4.0), ("5", 4.0), ("+Inf", 5.0)] {
            assert_eq!(value(&page, &format!("{name}_bucket{{le=\"{bound}\"}}")), count, "{bound}");
        }
        assert_eq!((value(&page, &format!("{name}_count")), value(&page, &format!("{name}_sum"))), (5.0, 9.072002));
    }

    #[test]
    fn every_sample_belongs_to_the_family_before_it() {
        let page = page(&Registry::new(1));
        let mut family = "";
        let mut seen = std::collections::HashSet::new();
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                family = rest.split(' ').next().unwrap();
                assert!(seen.insert(family), "{family} begins twice");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                assert_eq!(rest.split(' ').next(), Some(family));
            } else {
                let name = line.split(['{', ' ']).next().unwrap();
                let suffixed = ["_bucket", "_sum", "_count"].iter().any(|suffix| name.strip_suffix(suffix) == Some(family));
                assert!(name == family || suffixed, "{line} stands under {family}");
                assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok_and(f64::is_finite), "{line}");
            }
        }
        for original in ["requests_total", "requests_successful_total", "requests_failed_total", "active_connections"] {
            assert!(seen.contains(format!("gateway_{original}").as_str()));
        }
    }

    #[test]
    fn labels_and_help_are_escaped() {
        let mut text = Text::default();
        text.family("a", "gauge", "one\ntwo \\ three");
        text.sample("a", &[("path", "say \"hi\"\\\n"), ("b", "c")], 1.5);
        assert_eq!(text.finish(), "# HELP a one\\ntwo \\\\ three\n# TYPE a gauge\na{path=\"say \\\"hi\\\"\\\\\\n\",b=\"c\"} 1.5\n");
    }
}
