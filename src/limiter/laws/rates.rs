//! Laws of one core's buckets: what a model with one number for each key lets through, whatever the key table forgets.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;

use super::super::*;
use crate::chance::mix;
use crate::clock::Instant;

fn key(number: u32) -> u128 {
    u128::from(mix(number.into())) << 64 | u128::from(mix(u64::from(number) + 1_000_000))
}

fn limit(count: u32, per: u64, burst: u32, cost: u32) -> Limit {
    Limit { count, per: Duration::from_secs(per), burst: burst.max(cost), cost, kind: 0 }
}

fn limits() -> impl Strategy<Value = Limit> {
    let per = prop_oneof![Just(1_u64), Just(60), Just(3600)];
    (1_u32..2000, per, 1_u32..50, 1_u32..4).prop_map(|(count, per, burst, cost)| limit(count, per, burst, cost))
}

/// Tokens as the time it takes to earn them.
struct Model {
    interval: u64,
    full: u64,
    buckets: HashMap<u32, (u64, u64)>,
}

impl Model {
    fn new(limit: Limit) -> Self {
        let time = |tokens: u32| (limit.per.as_nanos() as u64 * u64::from(tokens)).div_ceil(limit.count.into());
        let interval = time(limit.cost);
        let full = time(limit.burst).max(interval * u64::from(limit.burst / limit.cost));
        Model { interval, full, buckets: HashMap::new() }
    }

    fn take(&mut self, key: u32, now: u64) -> bool {
        let (level, at) = self.buckets.entry(key).or_insert((self.full, now));
        *level = (*level + now.saturating_sub(*at)).min(self.full);
        *at = now.max(*at);
        let fits = *level >= self.interval;
        *level -= if fits { self.interval } else { 0 };
        fits
    }
}

/// Which keys ask, after which times: mostly close together, seldom long after.
fn asks(keys: u32) -> impl Strategy<Value = Vec<(u32, u64)>> {
    let gap = prop_oneof![5 => 0_u64..2_000_000, 2 => 0_u64..2_000_000_000, 1 => 0_u64..100_000_000_000];
    prop::collection::vec((0..keys, gap), 1..400)
}

proptest! {
    #[test]
    fn one_core_does_what_the_model_does(limit in limits(), asks in asks(5)) {
        let mut buckets = Buckets::new(Terms::new(limit, 1), 1000, 0, 1, 1);
        let (mut model, mut now) = (Model::new(limit), 0);
        for (asking, gap) in asks {
            now += gap;
            let decision = buckets.check(key(asking), Instant::from_nanos(now), false);
            let expected = model.take(asking, now);
            prop_assert_eq!(decision.verdict, if expected { Verdict::Admitted } else { Verdict::Refused });
            let level = model.buckets[&asking].0;
            prop_assert_eq!(decision.remaining(), level / model.interval);
            let wait = Duration::from_nanos(model.interval.saturating_sub(level));
            prop_assert_eq!(decision.retry_after(buckets.terms()), wait);
        }
    }

    /// In a table far too small, whoever comes back has gained a request for each time it stayed away, and strangers always get one.
    #[test]
    fn what_the_table_forgets_is_worth_one_request(limit in limits(), asks in asks(60)) {
        let mut buckets = Buckets::new(Terms::new(limit, 1), 8, 0, 1, 1);
        let (mut model, mut now) = (Model::new(limit), 0);
        let mut gains: HashMap<u32, i64> = HashMap::new();
        let mut last = None;
        for (asking, gap) in asks {
            now += gap;
            let known = model.buckets.contains_key(&asking);
            let verdict = buckets.check(key(asking), Instant::from_nanos(now), false).verdict;
            prop_assert!(known || verdict == Verdict::Admitted, "a stranger is refused");
            let gain = gains.entry(asking).or_default();
            *gain += i64::from(last != Some(asking));
            *gain -= i64::from(verdict == Verdict::Admitted) - i64::from(model.take(asking, now));
            prop_assert!(*gain >= 0, "more than one request for coming back");
            last = Some(asking);
        }
        prop_assert!(buckets.tally().keys <= 10);
    }

    /// Before the coordinator has said anything, all cores together keep to the bound.
    #[test]
    fn cores_that_know_nothing_of_each_other_keep_the_bound(limit in limits(), cores in 2_u32..65, asks in asks(200)) {
        let mut all: Vec<Buckets> = (0..cores).map(|core| Buckets::new(Terms::new(limit, cores), 8, core, cores, 1)).collect();
        let mut now = 0;
        let mut model = Model::new(limit);
        let most = model.full.max(PERIOD.as_nanos() as u64);
        model.full = most;
        for (place, gap) in asks {
            now += gap;
            let core = &mut all[(place % cores) as usize];
            if core.check(key(7), Instant::from_nanos(now), false).verdict == Verdict::Admitted {
                prop_assert!(model.take(7, now), "more than the bound");
            }
        }
    }

    #[test]
    fn first_parts_are_the_whole_and_the_least_part_holds_a_request(limit in limits(), cores in 1_u32..65, number: u32) {
        let terms = Terms::new(limit, cores);
        let parts: Vec<u64> = (0..cores).map(|core| terms.first(key(number), core)).collect();
        prop_assert_eq!(parts.iter().sum::<u64>(), terms.whole());
        let held = terms.requests(terms.least(), Tat::from_nanos(0), Instant::from_nanos(u64::MAX / 4));
        prop_assert!((1.0..2.0).contains(&held), "{held}");
    }

    /// Joining makes no token, and loses less than a nanosecond's worth.
    #[test]
    fn joining_keeps_tokens(limit in limits(), a in 1_u64..1 << 40, b in 1_u64..1 << 40, ages in (0_u64..100_000_000, 0_u64..100_000_000)) {
        let terms = Terms::new(limit, 4);
        let now = Instant::from_nanos(1_000_000_000_000);
        let tat = |age: u64| Tat::from_nanos(now.as_nanos() - age);
        let span = terms.span.min(100_000_000);
        let (first, second) = (ages.0.min(span), ages.1.min(span));
        let Tat(joined) = terms.join((a, tat(first)), (b, tat(second)), now);
        let age = u128::from(Tat::from_nanos(now.as_nanos()).0 - joined);
        let had = u128::from(a) * u128::from(first) + u128::from(b) * u128::from(second);
        let has = u128::from(a + b) * age;
        prop_assert!(has <= had && had - has < u128::from(a + b), "{has} of {had}");
    }

    #[test]
    fn absurd_settings_break_nothing(
        count in 1..=u32::MAX, per in 0_u64..1 << 40, burst: u32, cost: u32, cores in 1_u32..65, times in prop::collection::vec(any::<u64>(), 1..20)
    ) {
        let absurd = Limit { count, per: Duration::from_secs(per), burst, cost, kind: 0 };
        let mut buckets = Buckets::new(Terms::new(absurd, cores), 8, 0, cores, 1);
        for now in times {
            let decision = buckets.check(key(now as u32 % 3), Instant::from_nanos(now), false);
            let _ = (decision.remaining(), decision.reset(buckets.terms()), decision.retry_after(buckets.terms()));
        }
    }
}

#[test]
fn a_clock_that_stands_still_or_goes_back_earns_nothing() {
    let mut buckets = Buckets::new(Terms::new(limit(10, 1, 5, 1), 1), 8, 0, 1, 1);
    let mut admitted = |nanos: u64, requests: usize| {
        (0..requests).filter(|_| buckets.check(key(1), Instant::from_nanos(nanos), false).verdict == Verdict::Admitted).count()
    };
    let second = 1_000_000_000;
    assert_eq!([admitted(5 * second, 9), admitted(5 * second, 9), admitted(second, 9), admitted(0, 9)], [5, 0, 0, 0]);
    assert_eq!([admitted(5 * second + second / 10, 9), admitted(100 * second, 9)], [1, 5]);
}
