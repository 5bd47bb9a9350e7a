//! Settings of response times' histograms.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Size;
use crate::latency::SERIES;

/// Response times: how many are told apart, and whether they are kept on disk. Changes need a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Latency {
    /// Pairs of route and upstream whose times are told apart; what comes beyond is counted as `other`. Each takes 72 KB on each core that
    /// serves it, and some 500 KB for all cores.
    #[schemars(range(min = 1, max = 4096))]
    pub series: usize,
    /// Directory in which each second's histograms are kept, as HdrHistogram interval logs that `ringway latency` reads; empty is none.
    pub directory: String,
    /// Bytes that these logs take at most; the oldest go first. From `1MiB` on.
    pub size: Size,
}

impl Default for Latency {
    fn default() -> Self {
        Latency { series: SERIES, directory: String::new(), size: Size::from_bytes(256 << 20) }
    }
}
