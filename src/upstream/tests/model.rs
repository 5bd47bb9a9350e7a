//! Whatever happens to an upstream, it agrees with a naive model that works everything out anew.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;

use super::super::circuit::rules;
use super::breakers::guard;
use super::known::{Held, Known, SEAT};
use super::ops::{Op, Wanted, circuit_breaker, op, wanted};
use super::*;
use crate::balancer::{Ramp, WEIGHT_UNIT};

use crate::config::{BreakerMode, BreakerScope};
use crate::health;

pub(super) struct World {
    pub(super) real: Upstream,
    pub(super) settings: config::Upstream,
    pub(super) known: BTreeMap<usize, Known>,
    pub(super) held: Vec<Held>,
    pub(super) now: Instant,
    pub(super) version: u64,
    pub(super) waiting: u32,
    pub(super) moves: u32,
    pub(super) eligible: Vec<usize>,
    pub(super) panicking: bool,
    pub(super) whole: Option<Breaker>,
}

pub(super) fn name(number: usize) -> String {
    format!("e{number}")
}

fn with_endpoints(settings: &config::Upstream, strategy: usize, wanted: &[Wanted]) -> config::Upstream {
    let endpoint = |&(number, weight, limit, place): &Wanted| {
        let url = if place == 2 { format!("http://name{number}") } else { format!("http://127.0.0.{}:{}", place + 1, 9000 + number) };
        config::Endpoint { id: Some(name(number)), url, weight, max_concurrent_requests: limit }
    };
    let strategy = balancer::STRATEGIES[strategy].strategy;
    config::Upstream { endpoints: wanted.iter().map(endpoint).collect(), strategy, ..settings.clone() }
}

impl World {
    fn new(settings: &config::Upstream, wanted: &[Wanted]) -> World {
        let settings = with_endpoints(settings, 0, wanted);
        let real = Upstream::new(Arc::new(settings.clone()), SWITCHES, SEAT, Instant::ZERO);
        let known = wanted.iter().map(|wanted| (wanted.0, Known::new(wanted, true, 0))).collect();
        let whole = rules(&settings, BreakerScope::Upstream).map(guard);
        let (held, eligible) = (Vec::new(), Vec::new());
        let mut world =
            World { real, settings, known, held, now: at(0), version: 0, waiting: 0, moves: 0, eligible, panicking: false, whole };
        world.place_breakers();
        world.refresh();
        world
    }

    fn run(&mut self, op: &Op) {
        match op {
            Op::Admit { tried: slots, draw } => self.admit(tried(slots), *draw),
            Op::Answer(index, status) => self.record(*index, Outcome::Answered { status: *status }, *status >= 500, true),
            Op::Fail(index, reason) => {
                let counts = !matches!(reason, Reason::OutOfDescriptors | Reason::RequestTimeout);
                self.record(*index, Outcome::Failed(*reason), counts, counts);
            }
            Op::Abandon(index) => self.record(*index, Outcome::Abandoned, false, false),
            Op::Release(index) => {
                if !self.held.is_empty() {
                    let held = self.held.swap_remove(index.index(self.held.len()));
                    self.release(held);
                }
            }
            Op::Queue => self.waiting += u32::from(self.real.try_queue()),
            Op::LeaveQueue if self.waiting > 0 => {
                self.real.leave_queue();
                self.waiting -= 1;
            }
            Op::LeaveQueue => {}
            Op::Update(number, healthy, millis, ejections) => {
                let until = if *millis == 0 { Instant::ZERO } else { self.now + Duration::from_millis(*millis) };
                self.update(EndpointUpdate { ejected_until: until, ejections: *ejections, ..truth(&name(*number), *healthy) }, *number);
            }
            Op::Late(number) => self.real.apply(&update(0, vec![truth(&name(*number), false)]), self.now),
            Op::Resolve(number, last) => {
                let Some(known) = self.known.get(number).filter(|known| known.place == 2) else { return };
                let addresses = Arc::from([([10, 0, 0, *last], 80).into()]);
                let (ejected_until, ejections) = (known.ejected, known.ejections);
                let truth = EndpointUpdate { ejected_until, ejections, addresses, ..truth(&name(*number), known.healthy) };
                self.update(truth, *number);
            }
            Op::Grant(number, limit) => self.grant(*number, *limit),
            Op::Break(number, millis, limit) => self.hear_of_breaker(*number, *millis, *limit),
            Op::Advance(millis) => self.now = self.now + Duration::from_millis(*millis),
            Op::Reconfigure(strategy, wanted) => self.reconfigure(*strategy, wanted),
        }
    }

    fn admit(&mut self, tried: Tried, draw: u64) {
        self.refresh();
        let (now, enforced) = (self.now, self.settings.circuit_breaker.as_ref().is_some_and(|rules| rules.mode == BreakerMode::Enforce));
        let ask = Ask { key: draw, client: draw, tried, ..Ask::default() };
        let admitted = self.real.admit(&ask, self.now, draw);
        if enforced && self.whole.as_ref().is_some_and(|whole| !whole.has_room(now)) {
            assert!(matches!(admitted, Err(Unavailable::CircuitOpen(_))), "{admitted:?}");
            return;
        }
        let free = |known: &Known| known.limit.is_none_or(|limit| known.in_flight < limit);
        let open = |known: &Known| free(known) && (!enforced || known.passes(now));
        let open: Vec<usize> = self.eligible.iter().copied().filter(|number| open(&self.known[number])).collect();
        let permit = match admitted {
            Ok(permit) => permit,
            Err(why) => {
                let mut weighty = self.known.values().filter(|known| !known.leaving && known.weight > 0).peekable();
                let could = |known: &&Known| known.usable() && (known.was_well || self.panicking);
                let mut could = self.known.values().filter(could).peekable();
                let expected = if self.waiting > 0 {
                    Unavailable::Busy
                } else if could.peek().is_some() && could.all(|known| enforced && !known.passes(now)) {
                    assert!(matches!(why, Unavailable::CircuitOpen(_)));
                    why
                } else if !self.eligible.is_empty() {
                    Unavailable::Busy
                } else if weighty.peek().is_some() && weighty.all(|known| !known.usable()) {
                    Unavailable::Unresolved
                } else {
                    Unavailable::NoneHealthy
                };
                assert!(self.waiting > 0 || open.is_empty(), "{why:?}, but {open:?} are open");
                assert_eq!(why, expected);
                return;
            }
        };
        assert_eq!(self.waiting, 0, "others wait");
        let number: usize = name_of(&self.real, &permit)[1..].parse().expect("a name of ours");
        assert!(open.contains(&number), "{number} is not one of {open:?}");
        let slot_of =
            |number: &usize| self.real.endpoints().find(|(_, endpoint)| **endpoint.name() == *name(*number)).expect("it is there").0.slot;
        let untried: Vec<usize> = open.into_iter().filter(|number| !tried.has(slot_of(number))).collect();
        assert!(untried.is_empty() || untried.contains(&number), "{number} was tried, {untried:?} were not");
        if self.settings.strategy == config::Strategy::LeastConnections {
            let load = |number: &usize| {
                let slot = slot_of(number) as usize;
                u64::from(self.known[number].in_flight) * 0x1_0000_0000 / u64::from(self.real.weights[slot])
            };
            assert!(untried.iter().all(|other| load(other) >= load(&number)), "{number} isn't the least busy of {untried:?}");
        }
        let known = self.known.get_mut(&number).expect("it is known");
        known.in_flight += 1;
        let trials = [&mut known.breaker, &mut self.whole].map(|breaker| breaker.as_mut().is_some_and(|breaker| breaker.pass(now)));
        self.held.push(Held { permit, name: number, moves: known.moves, started: now, trials, told: (false, false) });
    }

    fn record(&mut self, index: Index, outcome: Outcome, failed: bool, counts: bool) {
        if self.held.is_empty() {
            return;
        }
        let index = index.index(self.held.len());
        let held = &mut self.held[index];
        self.real.record(&mut held.permit, outcome, self.now);
        self.tell_breakers(index, outcome);
        let held = &self.held[index];
        let all = self.known.values().filter(|known| known.usable()).count();
        let ejected = self.known.values().filter(|known| known.usable() && known.ejected_until() > self.now).count();
        let known = self.known.get_mut(&held.name).expect("a permit keeps it");
        if known.moves != held.moves || !counts {
            return;
        }
        known.in_a_row = if failed { known.in_a_row + 1 } else { 0 };
        let rule = &self.settings.outlier_detection;
        let may = known.ejected_until() <= self.now && !known.leaving && health::may_eject(rule, all, ejected);
        if failed && known.in_a_row >= rule.consecutive_failures && may {
            known.ejected_here = self.now + rule.ejection_time.get() * (known.ejections + 1).min(10);
            known.ejections += 1;
            known.in_a_row = 0;
            self.refresh();
        }
    }

    fn release(&mut self, held: Held) {
        self.real.release(held.permit, self.now);
        let known = self.known.get_mut(&held.name).expect("a permit keeps it");
        known.in_flight -= 1;
        for (breaker, trial) in [&mut known.breaker, &mut self.whole].into_iter().zip(held.trials) {
            breaker.iter_mut().filter(|_| trial).for_each(Breaker::give);
        }
        if known.leaving && known.in_flight == 0 {
            self.known.remove(&held.name);
        }
    }

    fn update(&mut self, truth: EndpointUpdate, number: usize) {
        self.version += 1;
        self.real.apply(&update(self.version, vec![truth.clone()]), self.now);
        if let Some(known) = self.known.get_mut(&number).filter(|known| !known.leaving) {
            (known.healthy, known.ejected, known.ejections) = (truth.healthy, truth.ejected_until, truth.ejections);
            let addresses: Vec<u8> = truth.addresses.iter().map(|address| address.ip().to_string().as_bytes()[7] - b'0').collect();
            if !addresses.is_empty() && known.addresses != addresses {
                if !known.addresses.is_empty() {
                    self.moves += 1;
                    known.moves = self.moves;
                }
                known.addresses = addresses;
            }
        }
        self.refresh();
    }

    fn grant(&mut self, number: usize, limit: u32) {
        self.version += 1;
        let key = ShareKey::Endpoint("u".into(), name(number).into());
        let grant = Grant { version: self.version, limit, queue: 0 };
        self.real.apply(&UpstreamUpdate { shares: vec![ShareGrant { key, grant }], ..update(self.version, vec![]) }, self.now);
        if let Some(known) = self.known.get_mut(&number).filter(|known| !known.leaving && known.limit.is_some()) {
            known.limit = Some(limit);
        }
        self.refresh();
    }

    fn reconfigure(&mut self, strategy: usize, wanted: &[Wanted]) {
        self.settings = with_endpoints(&self.settings, strategy, wanted);
        self.real.reconfigure(Arc::new(self.settings.clone()), SWITCHES, self.now);
        for (number, known) in &mut self.known {
            known.leaving |= !wanted.iter().any(|wanted| wanted.0 == *number);
        }
        self.known.retain(|_, known| !known.leaving || known.in_flight > 0);
        for wanted in wanted {
            self.moves += 1;
            let moves = self.moves;
            let fresh = Known::new(wanted, false, moves);
            let Some(known) = self.known.get_mut(&wanted.0) else {
                self.known.insert(wanted.0, fresh);
                continue;
            };
            if known.leaving || known.limit.is_none() || fresh.limit.is_none() {
                known.limit = fresh.limit;
            }
            if let (true, Some(breaker), Some(rules)) = (known.leaving, &mut known.breaker, &self.settings.circuit_breaker) {
                breaker.begin_again(rules, SEAT.core, SEAT.cores, self.now);
            }
            known.leaving = false;
            known.weight = wanted.1;
            if known.place != wanted.3 {
                known.breaker.iter_mut().for_each(|breaker| breaker.reset(self.now));
                *known = Known { in_flight: known.in_flight, limit: known.limit, breaker: known.breaker.take(), ..fresh };
            }
        }
        self.place_breakers();
        self.refresh();
    }

    /// Works out anew who is eligible.
    pub(super) fn refresh(&mut self) {
        let now = self.now;
        for known in self.known.values_mut() {
            let well = known.healthy && known.ejected_until() <= now;
            if well && !known.was_well && self.settings.slow_start.is_some() {
                known.ramp_from = Some(now);
            }
            known.was_well = well;
        }
        let usable = self.known.iter().filter(|(_, known)| known.usable());
        let (all, well) = (usable.clone().count(), usable.clone().filter(|(_, known)| known.was_well).count());
        self.panicking = (well as f64) < all as f64 * f64::from(self.settings.panic_threshold) / 100.0;
        let enforced = self.settings.circuit_breaker.as_ref().is_some_and(|rules| rules.mode == BreakerMode::Enforce);
        let well = usable.filter(|(_, known)| (known.was_well || self.panicking) && !(enforced && known.is_open(now)));
        self.eligible = well.map(|(&number, _)| number).collect();
    }

    fn check(&self) {
        let real = &self.real;
        assert_eq!(real.endpoints().count(), self.known.len());
        assert_eq!(real.is_panicking(), self.panicking);
        assert_eq!(real.in_flight(), self.held.len() as u64);
        assert_eq!(real.breaker().map(|breaker| breaker.state(self.now)), self.whole.as_ref().map(|breaker| breaker.state(self.now)));
        let stale = self.now >= real.recheck_at;
        let (mut eligible, mut total_in_flight, mut total_weight) = (Vec::new(), 0, 0);
        for (id, endpoint) in real.endpoints() {
            let number: usize = endpoint.name()[1..].parse().expect("a name of ours");
            let (known, slot) = (&self.known[&number], id.slot as usize);
            assert_eq!(endpoint.in_flight(), known.in_flight);
            assert_eq!(real.in_flight[slot], known.in_flight);
            assert_eq!(endpoint.is_leaving(), known.leaving);
            assert_eq!(endpoint.ejected_until(), known.ejected_until());
            assert_eq!(endpoint.limit(), known.limit.unwrap_or(Share::UNLIMITED));
            let bit = |bits: &[u64]| bits[slot / 64] >> (slot % 64) & 1 == 1;
            let enforced = self.settings.circuit_breaker.as_ref().is_some_and(|rules| rules.mode == BreakerMode::Enforce);
            let free = known.limit.is_none_or(|limit| known.in_flight < limit);
            let passes = !enforced || known.passes(self.now);
            if !stale {
                assert_eq!(bit(&real.open), bit(&real.eligible) && free && passes);
            }
            assert_eq!(
                endpoint.breaker().map(|breaker| breaker.state(self.now)),
                known.breaker.as_ref().map(|breaker| breaker.state(self.now))
            );
            if bit(&real.eligible) {
                eligible.push(number);
                total_in_flight += u64::from(known.in_flight);
                self.check_weight(known, real.weights[slot]);
            } else {
                assert_eq!(real.weights[slot], 0);
            }
            total_weight += u64::from(real.weights[slot]);
        }
        eligible.sort_unstable();
        assert_eq!(eligible, self.eligible);
        assert_eq!((real.total_in_flight, real.total_weight), (total_in_flight, total_weight));
        for held in &self.held {
            let known = &self.known[&held.name];
            assert_eq!(real.is_current(held.permit.endpoint()), !known.leaving && known.moves == held.moves);
        }
    }

    /// In slow start the weight is at most a step behind what is due.
    fn check_weight(&self, known: &Known, weight: u32) {
        let whole = f64::from(known.weight * WEIGHT_UNIT);
        let slow_start = self.settings.slow_start.map_or(0.0, |time| time.get().as_secs_f64());
        let part = known.ramp_from.map_or(1.0, |from| (self.now.since(from).as_secs_f64() / slow_start).clamp(1.0 / 64.0, 1.0));
        let part = if self.real.entry.ramp == Ramp::Weight { part } else { 1.0 };
        let stale = self.now >= self.real.recheck_at;
        let off = whole - f64::from(weight);
        assert!(stale || (off - whole * (1.0 - part)).abs() <= whole / 64.0 + 1.0, "{weight} is not {part} of {whole}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn agrees_with_the_model(
        first in wanted(),
        panic_threshold in prop::sample::select(vec![0_u8, 50, 100]),
        slow_start in prop::option::of(1..3000_u64),
        consecutive_failures in 1_u32..4,
        max_ejection_percent in prop::sample::select(vec![0_u8, 50, 100]),
        circuit_breaker in prop::option::of(circuit_breaker()),
        ops in prop::collection::vec(op(), 1..150),
    ) {
        let ejection_time = Time::from_millis(700);
        let outlier_detection = Outlier { consecutive_failures, max_ejection_percent, ejection_time, ..Outlier::default() };
        let slow_start = slow_start.map(Time::from_millis);
        let settings = config::Upstream { panic_threshold, slow_start, outlier_detection, circuit_breaker, ..settings(&[]) };
        let mut world = World::new(&settings, &first);
        world.check();
        for op in &ops {
            world.run(op);
            world.check();
        }
        while let Some(held) = world.held.pop() {
            world.release(held);
        }
        world.check();
        prop_assert_eq!((world.real.in_flight(), world.real.total_in_flight), (0, 0));
    }
}
