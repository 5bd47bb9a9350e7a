//! What operators see: pages on the gateway's own port and on the private listener, made from what all threads share.

mod answers;
mod events;
mod latency;
mod limits;
mod listener;
mod pages;
mod protocols;
mod purge;
mod shared;
mod status;
mod upstreams;

pub use answers::Answers;
pub use listener::{Desk, serve};
pub use pages::{Response, respond};
pub use shared::{BreakerState, Circuit, CorePace, EndpointState, Loading, RateLimitState, ReloadResult, Shared, UpstreamState};
