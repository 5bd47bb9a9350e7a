//! The coordinator's decisions: the reports of all cores become one truth, which goes back to each core as an update.

mod message;
mod standin;
pub use standin::*;

pub use message::{EndpointReport, EndpointUpdate, Report, ShareGrant, ShareKey, ShareReport, Update, UpstreamReport, UpstreamUpdate};
