//! Rules of the gateway as a whole.

use std::net::IpAddr;

use super::{Rules, middleware, request_path};
use crate::config::{Cidr, ClientAuth, Time};
use crate::http::is_token;
use crate::tls::server_problems;

pub(super) fn check(rules: &mut Rules<'_>) {
    let config = rules.config;
    let addresses =
        [("listener.address", &config.listener.address), ("tls.address", &config.tls.address), ("admin.address", &config.admin.address)];
    for (path, address) in addresses {
        // Brackets are how URLs write IPv6.
        if address.trim_matches(['[', ']']).parse::<IpAddr>().is_err() {
            let shown = rules.source.shown(path, address);
            rules.broken(
                path,
                format!("must be an IP address, is {shown}"),
                "\"0.0.0.0\" is every IPv4 address, \"127.0.0.1\" this host only",
            );
        }
    }
    let (listener, admin, tls) = (&config.listener, &config.admin, &config.tls);
    if admin.enabled && admin.port != 0 && admin.port == listener.port {
        rules.broken("admin.port", "is the port of the listener too", "give one of them another port");
    }
    if tls.listens() {
        let others = [("listener", listener.port, true), ("private listener", admin.port, admin.enabled)];
        if let Some((other, ..)) = others.into_iter().find(|&(_, port, there)| there && port == tls.port && port != 0) {
            rules.broken("tls.port", format!("is the port of the {other} too"), "give one of them another port");
        }
        server_problems(tls).into_iter().for_each(|wrong| rules.wrong("tls", wrong));
        if !tls.client_subject_header.is_empty() && !is_token(&tls.client_subject_header) {
            rules.broken("tls.client_subject_header", "is no name of a header", "");
        }
        if tls.client_auth == ClientAuth::Off && !tls.client_ca.is_empty() {
            rules.broken("tls.client_ca", "is there, but client_auth is \"off\"", "\"optional\" or \"required\" asks for certificates");
        }
        rules.at_least(&|| "tls.handshake_timeout".into(), tls.handshake_timeout, Time::from_millis(100));
    } else if tls.redirect {
        rules.broken("tls.redirect", "leads to a listener that isn't there", "tls needs \"certificates\"");
    }
    for (index, network) in config.listener.trusted_proxies.iter().enumerate() {
        if let Err(message) = network.parse::<Cidr>() {
            let path = format!("listener.trusted_proxies[{index}]");
            let shown = rules.source.shown(&path, network);
            let message = match message.split_once("; ") {
                // The network is part of what may not be shown.
                Some((message, _)) if !shown.contains(network.as_str()) => format!("{shown} {message}"),
                _ if message.starts_with("must be") => format!("{message}, is {shown}"),
                _ => format!("{shown} {message}"),
            };
            rules.broken(path, message, "");
        }
    }
    if listener.proxy_protocol && listener.trusted_proxies.is_empty() {
        let hint = "list the networks of those that send it, such as \"10.0.0.0/8\", in listener.trusted_proxies";
        rules.broken("listener.proxy_protocol", "is on, but nobody is trusted to say who a client is", hint);
    }
    runtime_and_limits(rules);
    if !config.tracing.endpoint.is_empty() && config.tracing.collector().is_none() {
        let shown = rules.source.shown("tracing.endpoint", &config.tracing.endpoint);
        rules.broken("tracing.endpoint", format!("must be http://HOST:PORT, is {shown}"), "");
    }
    rules.size(&|| "latency.size".into(), config.latency.size, 1 << 20, 1 << 40);
    if let Some(breaker) = &config.circuit_breaker {
        super::protection::breaker(rules, breaker, "circuit_breaker");
    }
    config.cache.problems().into_iter().for_each(|wrong| rules.wrong("", wrong));
    middleware::check_all(rules, &config.middlewares, None, "middlewares");
    if !config.forwarding.via.is_empty() && !config.forwarding.via.bytes().all(is_pseudonym) {
        rules.broken(
            "forwarding.via",
            "must be a word of ASCII letters, digits, \".\", \"-\", \"_\" and \":\"",
            "it goes into the Via header",
        );
    }
    built_in(rules);
    if let Some(interval) = config.health_check_interval {
        rules.at_least(&|| "health_check_interval".into(), interval, PROBE_INTERVAL_MIN);
    }
}

fn runtime_and_limits(rules: &mut Rules<'_>) {
    let config = rules.config;
    if !config.runtime.ring_entries.is_power_of_two() {
        rules.broken("runtime.ring_entries", "must be a power of two", "the next greater one will do");
    }
    rules.size(&|| "runtime.buffer".into(), config.runtime.buffer, 4 << 10, 1 << 20);
    rules.size(&|| "runtime.body_buffer".into(), config.runtime.body_buffer, 4 << 10, 1 << 20);
    let limits = &config.limits;
    rules.head(&|| "limits.head".into(), limits.head);
    rules.size(&|| "limits.uri".into(), limits.uri, 64, 1 << 20);
    if limits.uri > limits.head {
        rules.broken("limits.uri", "must not be larger than limits.head, of which it is a part", "");
    }
    rules.size(&|| "limits.chunk_extension".into(), limits.chunk_extension, 0, 1 << 20);
    rules.size(&|| "limits.trailers".into(), limits.trailers, 0, 1 << 20);
    let http2 = &config.http2;
    rules.size(&|| "http2.stream_window".into(), http2.stream_window, (64 << 10) - 1, 1 << 30);
    rules.size(&|| "http2.connection_window".into(), http2.connection_window, (64 << 10) - 1, 1 << 30);
    rules.size(&|| "http2.max_frame".into(), http2.max_frame, 16 << 10, 1 << 20);
    rules.size(&|| "http2.send_buffer".into(), http2.send_buffer, 4 << 10, 16 << 20);
    rules.at_least(&|| "http2.ping_timeout".into(), http2.ping_timeout, PING_TIMEOUT_MIN);
}

fn built_in(rules: &mut Rules<'_>) {
    let pages = rules.config.built_in.pages();
    for (index, (name, path)) in pages.iter().enumerate().filter(|(_, (_, path))| !path.is_empty()) {
        let here = format!("built_in.{name}");
        if let Some(message) = request_path(path).or_else(|| path.contains('?').then_some("must not hold a \"?\"")) {
            let shown = rules.source.shown(&here, path);
            rules.broken(here, format!("{shown} {message}"), "an empty text switches the page off");
        } else if let Some((other, _)) = pages[..index].iter().find(|(_, other)| other == path) {
            rules.broken(here, format!("is the path of built_in.{other} too"), "move one of them, or switch it off with \"\"");
        }
    }
}

/// What may stand for a gateway in a `Via` header (RFC 9110 section 7.6.3).
fn is_pseudonym(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".-_:".contains(&byte)
}

/// The least time between two probes of an endpoint.
pub(super) const PROBE_INTERVAL_MIN: Time = Time::from_millis(10);

/// The least time for the answer to a PING.
pub(super) const PING_TIMEOUT_MIN: Time = Time::from_millis(10);
