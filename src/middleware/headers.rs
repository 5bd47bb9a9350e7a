//! Headers taken away, set and added, both ways: the same on every message, so they become part of the route's edits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Settings;
use crate::config::{HeaderEdits, Wrong};
use crate::http::Edits;

/// Settings of `headers`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Headers {
    /// Changes to requests.
    pub request: HeaderEdits,
    /// Changes to answers.
    pub response: HeaderEdits,
}

impl Settings for Headers {
    fn problems(&self) -> Vec<Wrong> {
        [("request", &self.request), ("response", &self.response)].into_iter().flat_map(|(way, edits)| edits.problems(way)).collect()
    }

    fn edits(&self, request: &mut Edits, response: &mut Edits) {
        self.request.put(request);
        self.response.put(response);
    }
}
