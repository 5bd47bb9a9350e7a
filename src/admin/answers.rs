//! What all workers say to something that an operator ordered.

use std::time::Duration;

use crossbeam_channel::Receiver;

use crate::clock::Clock;
use crate::net;

/// How long the workers may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time between two looks at their answers.
const LOOK: Duration = Duration::from_millis(1);

/// The answers of the workers to an order.
pub struct Answers<T> {
    /// How many were asked.
    pub asked: usize,
    /// What each says.
    pub answers: Receiver<T>,
}

impl<T> Answers<T> {
    /// Waits for all of them, 2 s at most; how many came.
    pub(super) async fn gather(&self, clock: Clock, mut take: impl FnMut(T)) -> usize {
        let until = clock.now() + PATIENCE;
        let mut came = 0;
        while came < self.asked && clock.now() < until {
            match self.answers.try_recv() {
                Ok(answer) => {
                    came += 1;
                    take(answer);
                }
                Err(_) => net::pause(LOOK).await,
            }
        }
        came
    }
}
