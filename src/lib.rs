//! Ringway: an API gateway for Linux, thread-per-core on io_uring. `ARCHITECTURE.md` is the map.

// Shared words.
pub mod address;
pub mod chance;
pub mod clock;
pub mod error;
pub mod http;
pub mod latency;
pub mod log;
pub mod metrics;
pub mod trace;

// Deciding: pure.
pub mod access;
pub mod auth;
pub mod balancer;
pub mod breaker;
pub mod cache;
pub mod config;
pub mod exchange;
pub mod health;
pub mod hedge;
pub mod http1;
pub mod http2;
pub mod limiter;
pub mod middleware;
pub mod proxy_protocol;
pub mod reconcile;
pub mod retry;
pub mod router;
pub mod tls;
pub mod upstream;

// Moving bytes: the only awaits.
pub mod client;
pub mod net;
pub mod proxy;
pub mod server;

// Running: threads.
pub mod admin;
pub mod checks;
pub mod coordinator;
pub mod flight;
pub mod otlp;
pub mod run;
pub mod scribe;
pub mod service;
pub mod worker;
