//! What has changed about an endpoint, for the log.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::breaker;

/// A change that operators want to read of.
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

    /// What has changed, in words.
    pub fn text(&self) -> &'static str {
        match self.what {
            What::Up => "endpoint is up",
            What::Down => "endpoint is down",
            What::Ejected(..) => "endpoint is ejected",
            What::Returned => "endpoint is back from its ejection",
            What::Resolved(_) => "endpoint has these addresses now",
            What::Opened(..) => "circuit breaker has opened",
            What::HalfOpened => "circuit breaker is half-open",
            What::Closed => "circuit breaker has closed",
        }
    }

    /// How long it lasts, if that is known, and what caused it.
    pub fn cause(&self) -> Option<(Duration, &'static str)> {
        match self.what {
            What::Ejected(time, Cause::Consecutive) => Some((time, "consecutive_failures")),
            What::Ejected(time, Cause::ErrorRate) => Some((time, "error_rate")),
            What::Opened(time, cause) => Some((time, cause.code())),
            What::Up | What::Down | What::Returned | What::Resolved(_) | What::HalfOpened | What::Closed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_what_takes_an_endpoint_out_of_service() {
        let trouble = |what| Change { upstream: "users".into(), endpoint: None, shadow: false, what }.is_trouble();
        assert!(trouble(What::Down) && trouble(What::Ejected(Duration::from_secs(30), Cause::Consecutive)));
        assert!(!trouble(What::Up) && !trouble(What::Returned) && !trouble(What::Resolved(Arc::from([]))));
    }
}
