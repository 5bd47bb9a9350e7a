//! Faults on purpose: a share of requests is delayed or answered with an error, to see what clients make of it.

use std::rc::Rc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Answer, Flow, Middleware, Request, Scope, Settings};
use crate::clock::Instant;
use crate::config::{Time, Wrong};
use crate::http::is_token;

/// Settings of `fault`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// Of so many requests in a hundred, the answer is delayed.
    pub delay_percent: f64,
    /// By so much.
    pub delay: Time,
    /// So many requests in a hundred get an error.
    pub abort_percent: f64,
    /// Of this status.
    #[schemars(range(min = 400, max = 599))]
    pub abort_status: u16,
    /// Only requests with this header; empty is all.
    pub header: String,
    /// Only requests that come by way of `trusted_proxies`: nobody outside can ask for faults, whatever headers they send.
    pub from_trusted: bool,
}

impl Default for Fault {
    fn default() -> Self {
        Fault {
            delay_percent: 0.0,
            delay: Time::from_secs(1),
            abort_percent: 0.0,
            abort_status: 503,
            header: String::new(),
            from_trusted: false,
        }
    }
}

impl Settings for Fault {
    fn problems(&self) -> Vec<Wrong> {
        let percents = [("delay_percent", self.delay_percent), ("abort_percent", self.abort_percent)];
        let mut wrong: Vec<Wrong> = percents
            .into_iter()
            .filter(|(_, percent)| !(0.0..=100.0).contains(percent))
            .map(|(setting, _)| Wrong::new(setting, "must be from 0 to 100", ""))
            .collect();
        if percents == [("delay_percent", 0.0), ("abort_percent", 0.0)] {
            wrong.push(Wrong::new("abort_percent", "is 0, as is delay_percent: nothing would happen", "set one, or leave the entry out"));
        }
        if !self.header.is_empty() && !is_token(&self.header) {
            wrong.push(Wrong { value: Some(self.header.clone()), ..Wrong::new("header", "is not a header name", "") });
        }
        wrong
    }

    fn build(&self, _: &Scope<'_>) -> Option<Rc<dyn Middleware>> {
        Some(Rc::new(Injector {
            delay: (threshold(self.delay_percent), self.delay.get()),
            abort: (threshold(self.abort_percent), self.abort_status),
            header: self.header.clone(),
            from_trusted: self.from_trusted,
        }))
    }
}

/// The part of all 32-bit numbers that these percent are.
fn threshold(percent: f64) -> u64 {
    (percent / 100.0 * (1u64 << 32) as f64) as u64
}

struct Injector {
    delay: (u64, Duration),
    abort: (u64, u16),
    header: String,
    from_trusted: bool,
}

impl Middleware for Injector {
    fn on_request(&self, request: &mut Request<'_>, _: Instant) -> Flow {
        let incoming = request.incoming;
        if !self.header.is_empty() && incoming.head.header(incoming.bytes, &self.header).is_none() {
            return Flow::Next;
        }
        let peer = incoming.peer.to_canonical();
        if self.from_trusted && !request.trusted.iter().any(|network| network.contains(peer)) {
            return Flow::Next;
        }
        // Each decision has its own half of the number.
        if !request.again && request.draw >> 32 < self.delay.0 {
            return Flow::Pause(self.delay.1);
        }
        if request.draw & 0xffff_ffff < self.abort.0 {
            let body = b"This error was made on purpose.\nreason: fault_injected\n".to_vec();
            let lines = b"Content-Type: text/plain; charset=utf-8\r\nProxy-Status: ringway; details=\"fault_injected\"\r\n".to_vec();
            return Flow::Answer(Box::new(Answer { status: self.abort.1, lines, body }));
        }
        Flow::Next
    }
}
