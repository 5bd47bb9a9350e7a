//! A slow rate on a machine so busy that the coordinator's payments come when nobody waits for them any longer.

use std::time::Duration;

use ringway::limiter::Limit;

use super::{Spread, World};

/// One run: however late messages come, in the end a burst is let through whole, and no more than that.
pub fn run(seed: u64) {
    let mut world = World::new(seed);
    let burst = *world.chance.one_of(&[2, 7, 40]);
    let limit = Limit { count: burst, per: Duration::from_secs(3600), burst, cost: 1, kind: 0 };
    world.limited_by(limit, world.cores.len() as u32);
    if let Spread::Moving(_) = world.spread {
        world.spread = Spread::Moving(world.chance.micros(3_000, 200_000));
    }
    world.gap = world.chance.micros(1_000, 30_000);
    world.late = *world.chance.one_of(&[5, 15, 40]);
    world.pass(Duration::from_secs(8));
    // What nobody asks for any more goes back before the last ask.
    world.gap = Duration::from_secs(3600);
    world.pass(Duration::from_secs(1));
    world.late = 0;
    world.gap = Duration::from_millis(20);
    world.after(Duration::ZERO, super::Event::Arrive);
    // What went back late is worth that much less, and earned again by then.
    world.pass(Duration::from_secs(12));
    world.check_bound();
    assert_eq!(world.admitted.len(), burst as usize, "{world}");
}
