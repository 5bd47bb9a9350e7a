//! HTTP/2 towards clients and endpoints: by the `h2` crate, by frames put together by hand, by programs that nobody here wrote.

mod abuse;
mod conformance;
mod endpoints;
mod keepalive;
mod requests;
mod switches;
