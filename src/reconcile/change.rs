//! What has changed about an endpoint, as a line of the log.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::breaker;

/// A change that operators want to read of. Its text is a line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The upstream's `id`.
    pub upstream: Arc<str>,
    /// The endpoint's name; `None` for the upstream as a whole.
    pub endpoint: Option<Arc<str>>,
    /// It changes nothing but counts: the rule is on trial (`mode: "shadow"`).
    pub shadow: bool,
    /// What has changed.
    pub what: What,
}

/// What has changed about an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Its probes say it is well.
    Up,
    /// Its probes say it is not.
    Down,
    /// It gets no requests for so long, for what requests showed.
    Ejected(Duration, Cause),
    /// Its ejection is over.
    Returned,
    /// Its host name leads elsewhere.
    Resolved(Arc<[SocketAddr]>),
    /// Its circuit breaker has opened for so long.
    Opened(Duration, breaker::Cause),
    /// Its circuit breaker lets trials through.
    HalfOpened,
    /// Its circuit breaker has closed.
    Closed,
}

/// Why an endpoint was ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// `consecutive_failures` on one core.
    Consecutive,
    /// `error_rate` over all cores.
    ErrorRate,
}

impl Change {
    /// Whether it takes an endpoint out of service.
    pub fn is_trouble(&self) -> bool {
        matches!(self.what, What::Down | What::Ejected(..) | What::Opened(..))
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Change { upstream, endpoint, shadow, what } = self;
        let verb = match what {
            What::Up => "endpoint is up",
            What::Down => "endpoint is down",
            What::Ejected(..) => "endpoint is ejected",
            What::Returned => "endpoint is back from its ejection",
            What::Resolved(_) => "endpoint has other addresses",
            What::Opened(..) => "circuit breaker has opened",
            What::HalfOpened => "circuit breaker is half-open",
            What::Closed => "circuit breaker has closed",
        };
        write!(f, "{verb} upstream={upstream}")?;
        if let Some(endpoint) = endpoint {
            write!(f, " endpoint={endpoint}")?;
        }
        if *shadow {
            f.write_str(" mode=shadow")?;
        }
        match what {
            What::Up | What::Down | What::Returned | What::HalfOpened | What::Closed => Ok(()),
            What::Opened(time, cause) => write!(f, " for={:.1}s cause={}", time.as_secs_f64(), cause.code()),
            What::Ejected(time, cause) => {
                let cause = match cause {
                    Cause::Consecutive => "consecutive_failures",
                    Cause::ErrorRate => "error_rate",
                };
                write!(f, " for={:.1}s cause={cause}", time.as_secs_f64())
            }
            What::Resolved(addresses) => {
                let addresses: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
                write!(f, " addresses={}", addresses.join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_a_line() {
        let line = |what| Change { upstream: "users".into(), endpoint: Some("a".into()), shadow: false, what }.to_string();
        assert_eq!(line(What::Up), "endpoint is up upstream=users endpoint=a");
        let ejected = What::Ejected(Duration::from_secs(30), Cause::ErrorRate);
        assert_eq!(line(ejected), "endpoint is ejected upstream=users endpoint=a for=30.0s cause=error_rate");
        let opened = What::Opened(Duration::from_secs(5), breaker::Cause::Latency);
        assert_eq!(line(opened.clone()), "circuit breaker has opened upstream=users endpoint=a for=5.0s cause=latency");
        let shadow = Change { upstream: "users".into(), endpoint: None, shadow: true, what: opened };
        assert_eq!(shadow.to_string(), "circuit breaker has opened upstream=users mode=shadow for=5.0s cause=latency");
        assert_eq!(line(What::Closed), "circuit breaker has closed upstream=users endpoint=a");
        let addresses = Arc::from(["10.0.0.1:80".parse().unwrap(), "10.0.0.2:80".parse().unwrap()]);
        let resolved = "endpoint has other addresses upstream=users endpoint=a addresses=10.0.0.1:80,10.0.0.2:80";
        assert_eq!(line(What::Resolved(addresses)), resolved);
    }

    #[test]
    fn trouble_is_what_takes_an_endpoint_out_of_service() {
        let trouble = |what| Change { upstream: "users".into(), endpoint: None, shadow: false, what }.is_trouble();
        assert!(trouble(What::Down) && trouble(What::Ejected(Duration::from_secs(30), Cause::Consecutive)));
        assert!(!trouble(What::Up) && !trouble(What::Returned) && !trouble(What::Resolved(Arc::from([]))));
    }
}
