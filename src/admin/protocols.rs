//! What clients speak beside plain HTTP/1.1, for the dashboard and `ringway top`: TLS and its certificates, HTTP/2, gRPC, upgraded connections.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::Shared;
use crate::clock::unix_seconds;
use crate::metrics::{
    BROKEN_CONNECTION, BROKEN_STREAM, Family, RESET_BY_CLIENT, RESET_BY_GATEWAY, RESET_REFUSED, TLS_FULL, TLS_RESULTS, TLS_RESUMED,
};

/// All counts since the start; seconds that a certificate is still good for, negative ones since it isn't.
pub(super) fn value(shared: &Shared) -> Value {
    let registry = &shared.registry;
    let handshakes = |result: usize| registry.sum(|core| core.tls_handshakes.count(result));
    let failed: u64 = (0..TLS_RESULTS.len()).filter(|result| ![TLS_FULL, TLS_RESUMED].contains(result)).map(handshakes).sum();
    let resets = |by: usize| registry.sum(|core| core.http2_resets.count(by));
    let broken = |what: usize| registry.sum(|core| core.http2_errors.count(what));
    let mut calls = BTreeMap::<String, u64>::new();
    for count in shared.counts().iter().filter(|count| count.family == Family::Calls) {
        *calls.entry(count.labels[1].to_string()).or_default() += count.total;
    }
    let now = unix_seconds(SystemTime::now()) as i64;
    let certificates = shared.certificates();
    json!({
        "tls": {
            "full": handshakes(TLS_FULL), "resumed": handshakes(TLS_RESUMED), "failed": failed,
            "under_way": registry.sum(|core| core.tls_handshaking.count()),
            "certificates": certificates.iter().map(|(name, end)| json!({ "name": name, "seconds_left": end - now })).collect::<Vec<_>>(),
        },
        "http2": {
            "connections": registry.sum(|core| core.http2_connections.count()), "streams": registry.sum(|core| core.http2_streams.count()),
            "reset_by_client": resets(RESET_BY_CLIENT), "reset_by_gateway": resets(RESET_BY_GATEWAY), "refused": resets(RESET_REFUSED),
            "broken": broken(BROKEN_CONNECTION) + broken(BROKEN_STREAM), "floods": registry.sum(|core| core.http2_floods.count()),
        },
        "grpc": calls,
        "upgraded": { "open": registry.sum(|core| core.upgraded.count()), "all": registry.sum(|core| core.upgrades.count()) },
    })
}
