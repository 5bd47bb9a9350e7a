//! Laws of one core's share: whatever is asked of it, in whatever order the coordinator's grants arrive.

mod rates;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Op {
    Take,
    TakeQueued,
    Give,
    Queue,
    LeaveQueue,
    Grant(Grant),
    Reconfigure(u32, u32),
    BeginAgain(u32, u32),
    Claim,
}

fn grant() -> impl Strategy<Value = Grant> {
    let limit = prop_oneof![9 => 0..6_u32, 1 => Just(Share::UNLIMITED)];
    (0..30_u64, limit, 0..4_u32).prop_map(|(version, limit, queue)| Grant { version, limit, queue })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => Just(Op::Take),
        3 => Just(Op::TakeQueued),
        5 => Just(Op::Give),
        4 => Just(Op::Queue),
        2 => Just(Op::LeaveQueue),
        3 => grant().prop_map(Op::Grant),
        1 => (0..6_u32, 0..4_u32).prop_map(|(limit, queue)| Op::Reconfigure(limit, queue)),
        1 => (0..6_u32, 0..4_u32).prop_map(|(limit, queue)| Op::BeginAgain(limit, queue)),
        2 => Just(Op::Claim),
    ]
}

/// What the share is to be, in plain words: no limit is `None`.
struct Model {
    limit: Option<u32>,
    queue: u32,
    has_queue: bool,
    version: u64,
    running: u32,
    waiting: u32,
    /// All that ran or waited at once since the last claim, and all that waited.
    seen: Vec<(u32, u32)>,
    refused: u32,
}

impl Model {
    fn has_room(&self) -> bool {
        self.limit.is_none_or(|limit| self.running < limit)
    }

    fn first(limit: u32) -> Option<u32> {
        (limit > 0).then(|| initial_share(limit, 1, 2))
    }
}

proptest! {
    #[test]
    fn a_share_is_what_its_model_is(limit in 0..8_u32, queue in 0..6_u32, ops in prop::collection::vec(op(), 0..120)) {
        let mut share = Share::new(limit, queue, 1, 2);
        let has_queue = queue > 0;
        let (limit, queue) = (Model::first(limit), initial_share(queue, 0, 2));
        let mut model = Model { limit, queue, has_queue, version: 0, running: 0, waiting: 0, seen: vec![(0, 0)], refused: 0 };
        for op in ops {
            match op {
                Op::Take => {
                    let taken = share.try_take();
                    prop_assert_eq!(taken, model.has_room() && model.waiting == 0);
                    model.running += u32::from(taken);
                }
                Op::TakeQueued if model.waiting > 0 => {
                    let taken = share.take_queued();
                    prop_assert_eq!(taken, model.has_room());
                    model.running += u32::from(taken);
                    model.waiting -= u32::from(taken);
                }
                Op::Give if model.running > 0 => {
                    share.give();
                    model.running -= 1;
                }
                Op::Queue => {
                    let queued = share.try_queue();
                    prop_assert_eq!(queued, model.waiting < model.queue);
                    model.waiting += u32::from(queued);
                    model.refused += u32::from(!queued);
                }
                Op::LeaveQueue if model.waiting > 0 => {
                    share.leave_queue();
                    model.waiting -= 1;
                }
                Op::TakeQueued | Op::Give | Op::LeaveQueue => {}
                Op::Grant(grant) => {
                    share.apply(grant);
                    if grant.version > model.version {
                        (model.version, model.queue) = (grant.version, grant.queue);
                        model.limit = model.limit.and(Some(grant.limit)).filter(|&limit| limit != Share::UNLIMITED);
                    }
                }
                Op::Reconfigure(limit, queue) => {
                    share.reconfigure(limit, queue, 1, 2);
                    if model.limit.is_none() && limit > 0 {
                        model.version = 0;
                    }
                    model.limit = if limit == 0 { None } else { model.limit.or(Model::first(limit)) };
                    if !model.has_queue || queue == 0 {
                        model.queue = initial_share(queue, 0, 2);
                    }
                    model.has_queue = queue > 0;
                }
                Op::BeginAgain(limit, queue) => {
                    share.begin_again(limit, queue, 1, 2);
                    (model.version, model.limit, model.queue) = (0, Model::first(limit), initial_share(queue, 0, 2));
                    model.has_queue = queue > 0;
                }
                Op::Claim => {
                    let most = |part: fn(&(u32, u32)) -> u32| model.seen.iter().map(part).max().unwrap_or(0) + model.refused;
                    let expected = Claim {
                        version: model.version,
                        limit: model.limit.unwrap_or(Share::UNLIMITED),
                        queue: model.queue,
                        in_flight: model.running,
                        waiting: model.waiting,
                        demand: most(|seen| seen.0 + seen.1),
                        queue_demand: most(|seen| seen.1),
                    };
                    prop_assert_eq!(share.claim(), expected);
                    model.seen.clear();
                    model.refused = 0;
                }
            }
            model.seen.push((model.running, model.waiting));
            prop_assert_eq!((share.in_flight(), share.waiting()), (model.running, model.waiting));
            prop_assert_eq!(share.limit(), model.limit.unwrap_or(Share::UNLIMITED));
            prop_assert_eq!(share.is_limited(), model.limit.is_some());
            prop_assert_eq!(share.free(), share.limit().saturating_sub(model.running));
        }
    }

    /// Grants that come late, twice, or in another order leave the share where the newest one put it.
    #[test]
    fn the_newest_grant_counts(grants in prop::collection::vec(grant(), 1..20), seed in any::<u64>()) {
        let grants: Vec<Grant> = (1..).zip(grants).map(|(version, grant)| Grant { version, limit: grant.limit.min(100), ..grant }).collect();
        let newest = grants[grants.len() - 1];
        let mut shuffled: Vec<Grant> = grants.iter().chain(&grants).copied().collect();
        shuffled.sort_by_key(|grant| (grant.version * 7919) ^ seed.rotate_left(grant.version as u32));
        let mut share = Share::new(4, 4, 0, 1);
        shuffled.into_iter().for_each(|grant| share.apply(grant));
        prop_assert_eq!((share.limit(), share.claim().version), (newest.limit, newest.version));
        prop_assert_eq!((0..10).filter(|_| share.try_queue()).count(), newest.queue as usize);
    }

    #[test]
    fn first_shares_sum_up_to_the_limit(limit in 0..10_000_u32, cores in 1..64_u32) {
        let shares: Vec<u32> = (0..cores).map(|core| initial_share(limit, core, cores)).collect();
        prop_assert_eq!(shares.iter().sum::<u32>(), limit);
        prop_assert!(shares.iter().max().unwrap_or(&0) - shares.iter().min().unwrap_or(&0) <= 1);
    }
}

#[test]
#[should_panic(expected = "not taken")]
fn giving_back_what_was_not_taken_is_a_fault() {
    Share::of(1, 1).give();
}

#[test]
#[should_panic(expected = "empty")]
fn leaving_an_empty_queue_is_a_fault() {
    Share::of(1, 1).leave_queue();
}
