//! The gateway as clients, endpoints and operators meet it: real processes over sockets, raw bytes, programs that nobody here wrote.

mod harness;

mod bodies;
mod client_faults;
mod endpoint_faults;
mod headers;
mod limits;
mod refused_requests;
mod refused_responses;
mod relaying;
mod retries;
mod routing;
mod upgrades;
