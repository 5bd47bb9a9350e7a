//! What has changed about an endpoint, as a line of the log.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A change that operators want to read of. Its text is a line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The upstream's `id`.
    pub upstream: Arc<str>,
    /// The endpoint's name.
    pub endpoint: Arc<str>,
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
        matches!(self.what, What::Down | What::Ejected(..))
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Change { upstream, endpoint, what } = self;
        let verb = match what {
            What::Up => "endpoint is up",
            What::Down => "endpoint is down",
            What::Ejected(..) => "endpoint is ejected",
            What::Returned => "endpoint is back from its ejection",
            What::Resolved(_) => "endpoint has other addresses",
        };
        write!(f, "{verb} upstream={upstream} endpoint={endpoint}")?;
        match what {
            What::Up | What::Down | What::Returned => Ok(()),
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
        let line = |what| Change { upstream: "users".into(), endpoint: "a".into(), what }.to_string();
        assert_eq!(line(What::Up), "endpoint is up upstream=users endpoint=a");
        let ejected = What::Ejected(Duration::from_secs(30), Cause::ErrorRate);
        assert_eq!(line(ejected), "endpoint is ejected upstream=users endpoint=a for=30.0s cause=error_rate");
        let addresses = Arc::from(["10.0.0.1:80".parse().unwrap(), "10.0.0.2:80".parse().unwrap()]);
        let resolved = "endpoint has other addresses upstream=users endpoint=a addresses=10.0.0.1:80,10.0.0.2:80";
        assert_eq!(line(What::Resolved(addresses)), resolved);
    }

    #[test]
    fn trouble_is_what_takes_an_endpoint_out_of_service() {
        let trouble = |what| Change { upstream: "users".into(), endpoint: "a".into(), what }.is_trouble();
        assert!(trouble(What::Down) && trouble(What::Ejected(Duration::from_secs(30), Cause::Consecutive)));
        assert!(!trouble(What::Up) && !trouble(What::Returned) && !trouble(What::Resolved(Arc::from([]))));
    }
}
