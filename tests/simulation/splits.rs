//! A split's users on several cores, whose plans change one after the other: shares are as weighted, and who isn't due stays.

use std::net::Ipv4Addr;
use std::sync::Arc;

use ringway::balancer::Seat;
use ringway::clock::Instant;
use ringway::config::{Arm, Config, Endpoint, HashKey, Route, Sticky, Upstream};
use ringway::exchange::Step;

use crate::chance::Chance;
use crate::core::{Core, Request};
use crate::world::plan;

struct World {
    seed: u64,
    chance: Chance,
    config: Config,
    cores: Vec<Core>,
    requests: u64,
}

/// The arm of each user.
type Arms = Vec<usize>;

/// One run.
pub fn run(seed: u64) {
    let mut world = World::new(seed);
    let mut arms: Arms = (0..USERS).map(|user| world.ask_any(user)).collect();
    world.assert_shares(&arms);
    for generation in 2..2 + CHANGES {
        let old = world.weights();
        let changed = world.change_a_weight();
        let after = world.reload(generation, &arms);
        world.assert_shares(&after);
        world.assert_due(&old, changed, &arms, &after);
        arms = after;
    }
    world.config.routes[0].sticky = None;
    world.take(2 + CHANGES, 0..world.cores.len());
    let strangers: Arms = (0..USERS).map(|_| world.ask_any(0)).collect();
    world.assert_shares(&strangers);
    world.assert_counted();
    world.cores.iter().for_each(Core::assert_idle);
}

impl World {
    fn new(seed: u64) -> World {
        let mut chance = Chance::new(seed);
        let arms = chance.between(2, 4);
        let mut config = Config::default();
        let mut route =
            Route { path: "/*".into(), sticky: Some(Sticky { by: Some(HashKey::Ip), cookie: None }.into()), ..Route::default() };
        for index in 0..arms {
            let upstream = format!("u{index}");
            let url = format!("http://127.0.0.1:{}", 1000 + index);
            config.upstreams.push(Upstream {
                id: upstream.clone(),
                endpoints: vec![Endpoint { url, ..Endpoint::default() }],
                ..Upstream::default()
            });
            // One arm always has some.
            route.split.push(Arm { upstream, weight: chance.between(u64::from(index == 0), 20) as u32 });
        }
        config.routes.push(route);
        let (plan, cores) = (Arc::new(plan(&config, 1)), chance.between(1, 8) as u32);
        let cores = (0..cores).map(|core| Core::new(plan.clone(), Seat { core, cores }, Instant::ZERO)).collect();
        World { seed, chance, config, cores, requests: 0 }
    }

    fn weights(&self) -> Vec<u32> {
        self.config.routes[0].split.iter().map(|arm| arm.weight).collect()
    }

    /// The arm that a request of a user goes to on a core. It ends at once, by an answer or without.
    fn ask(&mut self, core: usize, user: u32) -> usize {
        self.requests += 1;
        let peer = Ipv4Addr::from_bits(0x0a00_0000 + user).into();
        let mut request = Request::new(self.cores[core].view.clone(), "GET", "/", peer, Instant::ZERO);
        match request.step(Instant::ZERO, self.chance.draw()) {
            Step::Attempt(attempt) => attempt.upstream,
            step => panic!("seed {}: {step:?}", self.seed),
        }
    }

    fn ask_any(&mut self, user: u32) -> usize {
        let core = self.chance.between(0, self.cores.len() as u64 - 1) as usize;
        self.ask(core, user)
    }

    /// Gives one arm another weight; which.
    fn change_a_weight(&mut self) -> usize {
        let split = &mut self.config.routes[0].split;
        let index = self.chance.between(0, split.len() as u64 - 1) as usize;
        split[index].weight = self.chance.between(u64::from(index == 0), 40) as u32;
        index
    }

    fn take(&mut self, generation: u64, cores: std::ops::Range<usize>) {
        let plan = Arc::new(plan(&self.config, generation));
        for core in &mut self.cores[cores] {
            core.coming = Some(plan.clone());
            core.take_plan(Instant::ZERO);
        }
    }

    /// The cores take the changed configuration one after the other, while requests come to all; where users are afterwards.
    fn reload(&mut self, generation: u64, before: &Arms) -> Arms {
        self.take(generation, 0..1);
        let after: Arms = (0..USERS).map(|user| self.ask(0, user)).collect();
        for taken in 1..=self.cores.len() {
            for user in (0..USERS).step_by(7) {
                let core = self.chance.between(0, self.cores.len() as u64 - 1) as usize;
                let arms = if core < taken { &after } else { before };
                assert_eq!(self.ask(core, user), arms[user as usize], "seed {}: user {user} on core {core}, {taken} have it", self.seed);
            }
            self.take(generation, taken..(taken + 1).min(self.cores.len()));
        }
        after
    }

    /// Each arm has as many as its weight says.
    fn assert_shares(&self, arms: &Arms) {
        for (arm, share) in shares(&self.weights()).into_iter().enumerate() {
            let count = arms.iter().filter(|&&other| other == arm).count();
            assert!(within(count, share), "seed {}: {count} of {USERS} in arm {arm} of {:?}", self.seed, self.weights());
        }
    }

    /// As many have moved as shares differ, only to the arm that grew or from the one that shrank.
    fn assert_due(&self, old: &[u32], changed: usize, before: &Arms, after: &Arms) {
        let new = self.weights();
        let moved: Vec<_> = before.iter().zip(after).filter(|(before, after)| before != after).collect();
        let due = (shares(&new)[changed] - shares(old)[changed]).abs();
        assert!(within(moved.len(), due), "seed {}: {} of {USERS} moved from {old:?} to {new:?}", self.seed, moved.len());
        for (&before, &after) in moved {
            let there = if new[changed] > old[changed] { after } else { before };
            assert_eq!(there, changed, "seed {}: from {before} to {after}, from {old:?} to {new:?}", self.seed);
        }
    }

    /// All cores together have counted each request once, over all reloads.
    fn assert_counted(&mut self) {
        let counts = self.cores.iter_mut().flat_map(|core| core.report(Instant::ZERO).counts);
        assert_eq!(counts.map(|count| count.total).sum::<u64>(), self.requests, "seed {}", self.seed);
    }
}

fn shares(weights: &[u32]) -> Vec<f64> {
    let all: u32 = weights.iter().sum();
    weights.iter().map(|&weight| f64::from(weight) / f64::from(all)).collect()
}

/// Five standard deviations: chance alone fails once in a million.
fn within(count: usize, expected: f64) -> bool {
    let users = f64::from(USERS);
    (count as f64 - users * expected).abs() <= 5.0 * (users * expected * (1.0 - expected)).sqrt() + 1.0
}

const USERS: u32 = 500;
const CHANGES: u64 = 4;
