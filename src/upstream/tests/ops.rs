//! What can happen to an upstream, by chance.

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::Strategy as Generate;

use crate::balancer;
use crate::config::{BreakerLatency, BreakerMode, BreakerScope, CircuitBreaker, Time};
use crate::error::Reason;

pub(super) const NAMES: usize = 5;

#[derive(Clone, Debug)]
pub(super) enum Op {
    Admit {
        tried: Vec<u32>,
        draw: u64,
    },
    Answer(Index, u16),
    Fail(Index, Reason),
    Abandon(Index),
    Release(Index),
    Queue,
    LeaveQueue,
    /// What the coordinator says of an endpoint: healthy, ejected for so many milliseconds, so many times in a row.
    Update(usize, bool, u64, u32),
    /// The same, from before all others.
    Late(usize),
    Resolve(usize, u8),
    Grant(usize, u32),
    /// What the coordinator says of its breaker: open for so many milliseconds or closed, so many trials.
    Break(usize, Option<u64>, u32),
    Advance(u64),
    Reconfigure(usize, Vec<Wanted>),
}

/// An endpoint in the settings: its name, weight, limit, and which of several places it is at.
pub(super) type Wanted = (usize, u32, u32, usize);

pub(super) fn wanted() -> impl Generate<Value = Vec<Wanted>> {
    let one = (0..4_u32, prop_oneof![3 => Just(0_u32), 1 => 1..8_u32], prop_oneof![4 => Just(0_usize), 1 => 1..3_usize]);
    prop::collection::vec(prop::option::weighted(0.8, one), NAMES)
        .prop_map(|all| all.into_iter().enumerate().filter_map(|(name, one)| one.map(|(w, l, p)| (name, w, l, p))).collect())
}

pub(super) fn op() -> impl Generate<Value = Op> {
    let reason = prop::sample::select(vec![
        Reason::ConnectFailed,
        Reason::ClosedBeforeHead,
        Reason::FirstByteTimeout,
        Reason::OutOfDescriptors,
        Reason::RequestTimeout,
    ]);
    prop_oneof![
        12 => (prop::collection::vec(0..NAMES as u32, 0..3), any::<u64>()).prop_map(|(tried, draw)| Op::Admit { tried, draw }),
        4 => (any::<Index>(), prop::sample::select(vec![200_u16, 404, 500, 503])).prop_map(|(permit, status)| Op::Answer(permit, status)),
        6 => (any::<Index>(), reason).prop_map(|(permit, reason)| Op::Fail(permit, reason)),
        1 => any::<Index>().prop_map(Op::Abandon),
        8 => any::<Index>().prop_map(Op::Release),
        1 => Just(Op::Queue),
        2 => Just(Op::LeaveQueue),
        3 => (0..NAMES, any::<bool>(), prop_oneof![Just(0_u64), 0..4000_u64], 0..3_u32).prop_map(|(n, h, e, t)| Op::Update(n, h, e, t)),
        1 => (0..NAMES).prop_map(Op::Late),
        2 => (0..NAMES, 0..3_u8).prop_map(|(name, last)| Op::Resolve(name, last)),
        2 => (0..NAMES, 0..4_u32).prop_map(|(name, limit)| Op::Grant(name, limit)),
        2 => (0..NAMES, prop::option::of(0..2000_u64), 0..4_u32).prop_map(|(name, open, trials)| Op::Break(name, open, trials)),
        4 => (0..2000_u64).prop_map(Op::Advance),
        2 => (0..balancer::STRATEGIES.len(), wanted()).prop_map(|(strategy, wanted)| Op::Reconfigure(strategy, wanted)),
    ]
}

pub(super) fn circuit_breaker() -> impl Generate<Value = CircuitBreaker> {
    let scope = prop::sample::select(vec![BreakerScope::Endpoint, BreakerScope::Upstream, BreakerScope::Both]);
    let mode = prop::sample::select(vec![BreakerMode::Enforce, BreakerMode::Enforce, BreakerMode::Shadow, BreakerMode::Off]);
    (scope, mode, 1..6_u32, 1..4_u32).prop_map(|(scope, mode, trials, consecutive_failures)| CircuitBreaker {
        mode,
        scope,
        trials,
        consecutive_failures,
        min_requests: 4,
        window: Time::from_secs(2),
        latency: Some(BreakerLatency { quantile: 0.75, over: Time::from_millis(800) }),
        open_time: Time::from_millis(400),
        open_time_max: Time::from_millis(1500),
        ..CircuitBreaker::default()
    })
}
