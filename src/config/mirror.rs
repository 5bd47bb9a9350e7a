//! Settings of a mirror: a share of a route's requests, copied to another upstream whose answers nobody gets.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Size, Time};

/// A share of a route's requests, copied to another upstream. The client's request never waits for its copy, and nothing that becomes
/// of the copy changes it. Requests that the cache answers, and those that ask for another protocol, are not copied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Mirror {
    /// The `id` of the upstream that gets the copies.
    pub upstream: String,
    /// How many of a hundred requests are copied, each by chance.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub percent: f64,
    /// Bytes of a body; a request with a larger one is not copied. A copy is kept until the client has sent all of it.
    pub max_body: Size,
    /// From the end of the request to the end of the copy's answer.
    pub timeout: Time,
    /// Copies under way at once on each core; beyond, requests are not copied. With `max_body` it bounds the memory that copies take.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_in_flight: u32,
    /// The header that tells a copy, with the value `true`. Clients can't send it: it is taken away from the route's requests.
    pub header: String,
}

impl Default for Mirror {
    fn default() -> Self {
        Mirror {
            upstream: String::new(),
            percent: 100.0,
            max_body: Size::from_bytes(64 << 10),
            timeout: Time::from_secs(10),
            max_in_flight: 100,
            header: "X-Mirrored".into(),
        }
    }
}
