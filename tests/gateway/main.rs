//! The gateway as clients, endpoints and operators meet it: real processes over sockets, raw bytes, programs that nobody here wrote.

mod harness;

mod access_log;
mod auth;
mod bodies;
mod breakers;
mod caching;
mod client_faults;
mod compress;
mod connections;
mod deadlines;
mod drain;
mod endpoint_faults;
mod engine;
mod headers;
mod hedges;
mod independent;
mod limits;
mod middlewares;
mod mirrors;
mod process;
mod rate_limits;
mod refused_requests;
mod refused_responses;
mod relaying;
mod reload;
mod retries;
mod rewrites;
mod routing;
mod service;
mod splits;
mod successors;
mod transforms;
mod upgrades;
