//! Counters and latency histograms, one set a core: each cell has a single writer, readers add the cores up.
//!
//! A cell is written with a relaxed load and a relaxed store, never with a locked instruction: only its core writes
//! it, and no request touches a cache line that another core writes. What can be derived (the total of all requests)
//! is derived while reading.

mod cells;
mod handshakes;
mod http2;
mod labelled;
pub mod text;

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Fault, Reason};
use crate::http::Method;
use crate::latency::{Board, SERIES, SlowLog};

use cells::{Cell, cells};
pub use cells::{Counter, Counters, Durations, Gauge, Gauges, Kind, Meta, Nanos};
pub use handshakes::{
    TLS_CLOSED, TLS_FULL, TLS_INCOMPATIBLE, TLS_MALFORMED, TLS_NOT_TRUSTED, TLS_PLAIN, TLS_RESULTS, TLS_RESUMED, TLS_TIMEOUT,
    TLS_TOO_LARGE, TLS_TOO_MANY, TLS_UNTRUSTED,
};
pub use http2::{BROKEN_CONNECTION, BROKEN_STREAM, RESET_BY_CLIENT, RESET_BY_GATEWAY, RESET_REFUSED, SILENT_CLIENT, SILENT_ENDPOINT};
use http2::{HTTP2_ENDED, HTTP2_PEERS, HTTP2_RESETS};
pub use labelled::{Count, Family, write_labelled};

cells! {
    /// What one worker counts. Its core is the only writer.
    #[repr(align(128))]
    pub struct Core {
        /// Requests answered, by the class of their status.
        pub status_class: Counters<6> = "gateway_http_requests_total" by "status_class" in STATUS_CLASSES,
        /// Requests that an endpoint answered with 500 or more, or that an endpoint or the gateway failed or cut short.
        pub failed: Counter = "gateway_requests_failed_total",
        /// Requests that ended otherwise than by an endpoint's whole answer, by reason.
        pub refusals: Counters<{ Reason::ALL.len() }> = "gateway_refusals_total" by "reason" in REASONS,
        /// Time from a request's first byte to the last byte of its answer, in sum.
        pub response_time: Nanos = "gateway_response_seconds_total",
        /// Requests being served.
        pub in_flight: Gauge = "gateway_http_requests_in_flight",
        /// Requests that waited for their turn because a concurrency limit was reached.
        pub queued: Counter = "gateway_queue_waits_total",
        /// Requests to cached routes, by how they got on with the cache.
        pub cache_requests: Counters<6> = "gateway_cache_requests_total" by "result" in CACHE_RESULTS,
        /// Times that a request waited because another one was fetching the same for the cache.
        pub cache_waits: Counter = "gateway_cache_waits_total",
        /// Responses stored in the cache.
        pub cache_stored: Counter = "gateway_cache_stored_total",
        /// Responses thrown out of the cache to make room.
        pub cache_evictions: Counter = "gateway_cache_evictions_total",
        /// Responses in the cache; each worker has its own.
        pub cache_objects: Gauge = "gateway_cache_objects",
        /// Bytes of memory that the cache holds.
        pub cache_bytes: Gauge = "gateway_cache_bytes",
        /// Connections of clients that were accepted.
        pub accepted: Counter = "gateway_connections_accepted_total",
        /// Connections of clients that are open.
        pub connections: Gauge = "gateway_active_connections",
        /// TLS handshakes of clients, by what became of them.
        pub tls_handshakes: Counters<11> = "gateway_tls_handshakes_total" by "result" in TLS_RESULTS,
        /// How long those took which succeeded.
        pub tls_handshake_time: Durations = "gateway_tls_handshake_duration_seconds",
        /// TLS handshakes of clients that are under way.
        pub tls_handshaking: Gauge = "gateway_tls_handshakes_in_progress",
        /// Workers that accept connections; none once they drain.
        pub accepting: Gauge = "gateway_workers_accepting",
        /// Connections that were upgraded to another protocol.
        pub upgrades: Counter = "gateway_upgrades_total",
        /// Upgraded connections that are open.
        pub upgraded: Gauge = "gateway_upgraded_connections",
        /// Bytes received from clients over upgraded connections.
        pub upgraded_in: Counter = "gateway_upgraded_received_bytes_total",
        /// Bytes sent to clients over upgraded connections.
        pub upgraded_out: Counter = "gateway_upgraded_sent_bytes_total",
        /// Connections of clients that spoke HTTP/2.
        pub http2_connections: Counter = "gateway_http2_connections_total",
        /// Streams that clients opened.
        pub http2_streams: Counter = "gateway_http2_streams_total",
        /// Streams that ended before their answer was complete, by who ended them; `refused` ones before anything was done for them.
        pub http2_resets: Counters<3> = "gateway_http2_resets_total" by "by" in HTTP2_RESETS,
        /// Connections whose client was told to send no further streams: idle for too long, or the gateway drains.
        pub http2_goaways: Counter = "gateway_http2_goaways_total",
        /// Connections that were ended because of frames that cost a client nothing: pings, settings, resets.
        pub http2_floods: Counter = "gateway_http2_floods_total",
        /// HTTP/2 connections that were closed because their peer said nothing, though it was asked by a PING, by who it was.
        pub http2_silent: Counters<2> = "gateway_http2_silent_total" by "peer" in HTTP2_PEERS,
        /// Connections, and streams of connections that went on, that were ended because the client broke the rules of HTTP/2.
        pub http2_errors: Counters<2> = "gateway_http2_protocol_errors_total" by "ended" in HTTP2_ENDED,
        /// Bytes received from clients.
        pub bytes_in: Counter = "gateway_received_bytes_total",
        /// Bytes sent to clients.
        pub bytes_out: Counter = "gateway_sent_bytes_total",
        /// Answers that were compressed on their way to the client.
        pub compressed: Counters<3> = "gateway_compressed_responses_total" by "coding" in CODINGS,
        /// Bytes of bodies before they were compressed.
        pub compress_in: Counter = "gateway_compression_input_bytes_total",
        /// Bytes of them afterwards.
        pub compress_out: Counter = "gateway_compression_output_bytes_total",
        /// Connections opened to endpoints.
        pub upstream_opened: Counter = "gateway_upstream_connections_opened_total",
        /// Requests sent over a connection to an endpoint that was open already.
        pub upstream_reused: Counter = "gateway_upstream_connections_reused_total",
        /// Connections open to endpoints, by what they do.
        pub upstream_connections: Gauges<2> = "gateway_upstream_connections" by "state" in UPSTREAM_STATES,
        /// Requests tried again on another endpoint.
        pub retries: Counter = "gateway_upstream_retries_total",
        /// Requests sent again because the endpoint had closed the kept connection meanwhile; these cost no budget.
        pub retries_stale: Counter = "gateway_upstream_stale_retries_total",
        /// Retries that were not made because the retry budget was used up.
        pub retry_budget_exhausted: Counter = "gateway_upstream_retry_budget_exhausted_total",
        /// Endpoints ejected by this core for what requests showed.
        pub ejections: Counter = "gateway_upstream_ejections_total",
        /// Connections whose task ended by a panic; others don't notice.
        pub panics: Counter = "gateway_panics_total",
        /// Times a connection could not be accepted, most often for want of file descriptors.
        pub accept_errors: Counter = "gateway_accept_errors_total",
        /// Requests that got no line in the access log because the lines before them weren't written fast enough.
        pub access_log_dropped: Counter = "gateway_access_log_dropped_total",
        /// Spans of traced requests that were dropped because those before them weren't sent fast enough.
        pub spans_dropped: Counter = "gateway_trace_spans_dropped_total",
        /// Reports to the coordinator that found its channel full.
        pub reports_dropped: Counter = "gateway_reports_dropped_total",
        /// Processor time that workers took.
        pub cpu: Nanos = "gateway_core_cpu_seconds_total",
        /// Time by which workers came late to what they do regularly, because something kept them: in sum.
        pub stalled: Nanos = "gateway_core_stalled_seconds_total",
        /// Workers, by what moves their bytes.
        pub driver: Gauges<2> = "gateway_workers" by "driver" in DRIVERS,
    }
}

cells! {
    /// What the access log's writer counts. Its thread is the only writer.
    #[repr(align(128))]
    pub struct AccessLog {
        /// Lines of the access log that were written.
        pub written: Counter = "gateway_access_log_lines_total",
        /// Lines of the access log that could not be written: the disk is full, the reader is gone, the file can't be opened.
        pub failed: Counter = "gateway_access_log_failed_total",
    }
}

cells! {
    /// What the exporter of spans counts. Its thread is the only writer.
    #[repr(align(128))]
    pub struct Spans {
        /// Spans of traced requests that the collector took.
        pub sent: Counter = "gateway_trace_spans_sent_total",
        /// Spans that it didn't take, or that could not be sent: they are lost.
        pub failed: Counter = "gateway_trace_spans_failed_total",
    }
}

cells! {
    /// What the coordinator counts. Its thread is the only writer.
    #[repr(align(128))]
    pub struct Process {
        /// Rounds of the coordinator, about twenty a second; stands still only if it hangs.
        pub ticks: Counter = "gateway_coordinator_rounds_total",
        /// Reloads of the configuration, by result; a failed one changed nothing.
        pub reloads: Counters<2> = "gateway_config_reloads_total" by "result" in RELOAD_RESULTS,
        /// Probes of endpoints, by result.
        pub probes: Counters<2> = "gateway_health_probes_total" by "result" in PROBE_RESULTS,
        /// Look-ups of endpoints' host names, by result.
        pub lookups: Counters<2> = "gateway_lookups_total" by "result" in PROBE_RESULTS,
        /// Fetches of issuers' key sets, by result; after a failed one the keys known before stay in use.
        pub key_fetches: Counters<2> = "gateway_key_set_fetches_total" by "result" in PROBE_RESULTS,
        /// Updates to workers that were replaced by a newer one before they could be sent.
        pub updates_replaced: Counter = "gateway_updates_replaced_total",
    }
}

/// Labels of `status_class`, in order.
const STATUS_CLASSES: &[&str] = &["1xx", "2xx", "3xx", "4xx", "5xx", "other"];
/// Names of methods, in the order of [`Method`].
const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "_OTHER"];
/// Labels of `cache_requests`, in order of the cache's outcomes.
pub const CACHE_RESULTS: &[&str] = &["hit", "stale", "collapsed", "revalidated", "miss", "bypass"];
/// Labels of `compressed`, in order of the codings.
const CODINGS: &[&str] = &["gzip", "br", "zstd"];
/// Labels of `upstream_connections`, in order of [`UPSTREAM_ACTIVE`] and [`UPSTREAM_IDLE`].
const UPSTREAM_STATES: &[&str] = &["active", "idle"];
/// Labels of `driver`, in order of [`DRIVER_IO_URING`] and [`DRIVER_EPOLL`].
const DRIVERS: &[&str] = &["io_uring", "epoll"];
/// Labels of `reloads`, in order of [`GOOD`] and [`BAD`].
const RELOAD_RESULTS: &[&str] = &["success", "failure"];
/// Labels of `probes` and `lookups`, in order of [`GOOD`] and [`BAD`].
const PROBE_RESULTS: &[&str] = &["success", "failure"];
/// Labels of `refusals`: each reason's code.
const REASONS: &[&str] = &{
    let mut codes = [""; Reason::ALL.len()];
    let mut at = 0;
    while at < codes.len() {
        codes[at] = Reason::ALL[at].code();
        at += 1;
    }
    codes
};

/// Connections to endpoints that carry a request.
pub const UPSTREAM_ACTIVE: usize = 0;
/// Connections to endpoints kept for the next request.
pub const UPSTREAM_IDLE: usize = 1;
/// Workers on io_uring.
pub const DRIVER_IO_URING: usize = 0;
/// Workers on epoll.
pub const DRIVER_EPOLL: usize = 1;
/// It went well.
pub const GOOD: usize = 0;
/// It didn't.
pub const BAD: usize = 1;

/// The number of how a request ended: by its method and the class of its status; 60 there are.
#[inline]
pub fn outcome(method: Method, status: u16) -> usize {
    status_class(status) * METHODS.len() + method as usize
}

/// What outcomes are, in order: method and class.
pub fn outcomes() -> impl Iterator<Item = (&'static str, &'static str)> {
    STATUS_CLASSES.iter().flat_map(|class| METHODS.iter().map(move |method| (*method, *class)))
}

#[inline]
fn status_class(status: u16) -> usize {
    usize::from((status / 100).wrapping_sub(1).min(5))
}

impl Core {
    /// Counts a request that is over: answered with `status`, and if that was not an endpoint's whole answer, why.
    ///
    /// It failed if `reason` puts the fault on the endpoint or the gateway (an answer cut after a status of 200 is a failure), or
    /// without a reason if the status is 500 or more. A client's own mistakes are not failures of the gateway, whatever status
    /// they get: otherwise anyone could make the gateway look unhealthy by asking for HTTP/1.2.
    #[inline]
    pub fn ended(&self, status: u16, reason: Option<Reason>, elapsed: Duration) {
        self.status_class.add(status_class(status), 1);
        self.response_time.add(elapsed);
        let failed = match reason {
            None => status >= 500,
            Some(reason) => {
                self.refusals.add(reason as usize, 1);
                reason.fault() != Fault::Client
            }
        };
        if failed {
            self.failed.add(1);
        }
    }

    /// Requests that ended on this core.
    pub fn requests(&self) -> u64 {
        (0..STATUS_CLASSES.len()).map(|class| self.status_class.count(class)).sum()
    }
}

/// All cells of the process, for readers.
#[derive(Clone, Debug)]
pub struct Registry {
    /// One set a worker, in order.
    pub cores: Vec<Arc<Core>>,
    /// Where response times are recorded.
    pub latency: Arc<Board>,
    /// Requests that were slow.
    pub slow: Arc<SlowLog>,
    /// What the coordinator counts.
    pub process: Arc<Process>,
    /// What the access log's writer counts.
    pub access_log: Arc<AccessLog>,
    /// What the exporter of spans counts.
    pub spans: Arc<Spans>,
}

/// The totals of all cores.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// Requests that ended.
    pub requests: u64,
    /// Those that failed, as [`Core::ended`] says.
    pub failed: u64,
    /// Open connections of clients.
    pub connections: u64,
    /// Requests being served.
    pub in_flight: u64,
    /// Workers that still accept connections.
    pub accepting: u64,
    /// Mean response time; zero before the first request.
    pub response_time: Duration,
}

impl Totals {
    /// Requests that ended and did not fail.
    pub const fn successful(&self) -> u64 {
        self.requests.saturating_sub(self.failed)
    }
}

impl Registry {
    /// Empty cells for so many workers.
    pub fn new(workers: usize) -> Self {
        Registry {
            cores: (0..workers).map(|_| Arc::default()).collect(),
            latency: Arc::new(Board::new(SERIES)),
            slow: Arc::default(),
            process: Arc::default(),
            access_log: Arc::default(),
            spans: Arc::default(),
        }
    }

    /// What all cores have of that in sum.
    pub fn sum(&self, read: impl Fn(&Core) -> u64) -> u64 {
        self.cores.iter().map(|core| read(core)).sum()
    }

    /// The totals of all cores. Cells are read one by one while they are written: sums can be a request apart.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        let mut elapsed = Duration::ZERO;
        for core in &self.cores {
            totals.requests += core.requests();
            totals.failed += core.failed.count();
            totals.connections += core.connections.count();
            totals.in_flight += core.in_flight.count();
            totals.accepting += core.accepting.count();
            elapsed += core.response_time.sum();
        }
        let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        totals.response_time = Duration::from_nanos(nanos.checked_div(totals.requests).unwrap_or(0));
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_once_in_its_class() {
        let registry = Registry::new(2);
        registry.cores[0].ended(200, None, Duration::from_millis(2));
        registry.cores[1].ended(404, Some(Reason::NoRoute), Duration::from_millis(4));
        registry.cores[1].ended(502, Some(Reason::ConnectFailed), Duration::from_millis(6));
        registry.cores[1].ended(200, Some(Reason::ClosedMidBody), Duration::from_millis(8));
        registry.cores[0].ended(503, None, Duration::from_millis(0));
        registry.cores[0].ended(0, None, Duration::from_millis(4));
        let totals = registry.totals();
        assert_eq!((totals.requests, totals.failed, totals.successful()), (6, 3, 3));
        assert_eq!(totals.response_time, Duration::from_millis(4));
        assert_eq!(registry.cores[1].refusals.count(Reason::NoRoute as usize), 1);
        assert_eq!(registry.cores[0].status_class.count(5), 1, "a status that is none counts as `other`");
    }

    #[test]
    fn labels_fit_their_cells_and_names_are_unique() {
        let mut seen = std::collections::HashSet::new();
        for meta in Core::METRICS.iter().chain(Process::METRICS).chain(Spans::METRICS) {
            assert!(seen.insert(meta.name), "{} stands twice", meta.name);
            assert!(meta.name.starts_with("gateway_"));
            assert!(meta.help.ends_with('.') && !meta.help.starts_with(' '), "{}", meta.help);
            assert_eq!(meta.name.ends_with("_total"), meta.kind == Kind::Counter, "{}", meta.name);
            // A histogram's cells are its bins, the one above all bounds, and its sum.
            let unlabelled = if meta.kind == Kind::Histogram { cells::BOUNDS_MS.len() + 2 } else { 1 };
            assert_eq!(meta.label.map_or(unlabelled, |(_, values)| values.len()), meta.cells, "{}", meta.name);
        }
    }

    #[test]
    fn reasons_index_their_labels() {
        for &reason in Reason::ALL {
            assert_eq!(REASONS[reason as usize], reason.code());
        }
    }

    #[test]
    fn outcomes_are_those_of_their_numbers() {
        assert_eq!(outcomes().nth(outcome(Method::Patch, 404)), Some(("PATCH", "4xx")));
        assert_eq!(outcomes().nth(outcome(Method::Other, 0)), Some(("_OTHER", "other")));
        assert_eq!(outcomes().nth(outcome(Method::Get, 101)), Some(("GET", "1xx")));
        assert!(METHODS.iter().all(|name| outcomes().nth(outcome(Method::from_bytes(name.as_bytes()), 200)) == Some((name, "2xx"))));
        assert!(outcomes().count() <= crate::latency::OUTCOMES);
    }

    #[test]
    fn cores_share_no_cache_line() {
        assert_eq!(align_of::<Core>(), 128);
        assert_eq!(size_of::<Core>() % 128, 0);
    }
}
