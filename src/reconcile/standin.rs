//! reconcile.
#![allow(missing_docs)]

use std::net::SocketAddr;
use std::sync::Arc;

use crate::address::Address;
use crate::clock::Instant;
use crate::config::{Config, HealthCheck};

use super::{Report, Update};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProbeId {
    pub upstream: Arc<str>,
    pub endpoint: Arc<str>,
}

#[derive(Clone, Debug)]
pub struct Probe {
    pub id: ProbeId,
    pub address: Address,
    pub host: String,
    pub settings: HealthCheck,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    pub upstream: Arc<str>,
    pub endpoint: Arc<str>,
    pub host: String,
    pub port: u16,
}

#[derive(Clone, Debug)]
pub struct State {
    pub upstream: Arc<str>,
    pub endpoint: Arc<str>,
    pub healthy: bool,
    pub ejected: bool,
    pub in_flight: u64,
    pub attempts: u64,
    pub failures: u64,
}

pub struct Reconciler;

impl Reconciler {
    pub fn new(_cores: u32, _config: &Config, _now: Instant) -> Self {
        Reconciler
    }
    pub fn reconfigure(&mut self, _config: &Config, _now: Instant) {}
    pub fn on_report(&mut self, _report: Report, _now: Instant) {}
    pub fn on_probe(&mut self, _id: &ProbeId, _ok: bool, _now: Instant) {}
    pub fn on_resolved(&mut self, _upstream: &str, _endpoint: &str, _addresses: Vec<SocketAddr>, _now: Instant) {}
    pub fn due_probes(&mut self, _now: Instant, _draw: u64) -> Vec<Probe> {
        Vec::new()
    }
    pub fn due_lookups(&mut self, _now: Instant) -> Vec<Lookup> {
        Vec::new()
    }
    pub fn tick(&mut self, _now: Instant) -> Vec<Update> {
        Vec::new()
    }
    pub fn changes(&mut self) -> Vec<String> {
        Vec::new()
    }
    pub fn snapshot(&self) -> Vec<State> {
        Vec::new()
    }
}
