//! Whether a rule that refuses does so, or is only on trial.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What becomes of requests that a rule refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// They are refused.
    #[default]
    Enforce,
    /// They pass, counted and logged.
    Shadow,
}
