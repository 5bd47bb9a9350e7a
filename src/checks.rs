//! Threads that check passwords: what that takes on purpose would stop a core that serves. Few of them, and a bounded queue: what
//! doesn't fit is refused, so that guessing passwords can take no more of the machine than these.

use std::io;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, unbounded};

use crate::auth::Hash;
use crate::middleware::Password;
use crate::net::Bell;
use crate::proxy::Checks;

/// A password to be checked, and who wants to know.
struct Check {
    number: u64,
    hash: Arc<Hash>,
    password: Password,
    done: Sender<(u64, bool)>,
    bell: Bell,
}

/// What passwords are handed to.
#[derive(Clone)]
pub struct Counter(Sender<Check>);

/// A core's side.
pub struct Desk {
    todo: Sender<Check>,
    done: Sender<(u64, bool)>,
    results: Receiver<(u64, bool)>,
    bell: Bell,
}

/// Starts so many threads, and a queue of so many passwords. They end when nobody has a desk or counter any more.
///
/// # Errors
/// When the process has no thread left.
pub fn start(threads: usize, queue: usize) -> io::Result<Counter> {
    let (counter, todo) = bounded::<Check>(queue);
    for number in 0..threads {
        let todo = todo.clone();
        std::thread::Builder::new().name(format!("password-{number}")).spawn(move || {
            for check in todo {
                let is = check.hash.is_of(&check.password.0);
                if check.done.send((check.number, is)).is_ok() {
                    check.bell.ring();
                }
            }
        })?;
    }
    Ok(Counter(counter))
}

impl Counter {
    /// The desk of the core with this bell.
    pub fn desk(self, bell: Bell) -> Desk {
        // Bounded by the queue: there are no more results than there were questions.
        let (done, results) = unbounded();
        Desk { todo: self.0, done, results, bell }
    }
}

impl Checks for Desk {
    fn ask(&self, number: u64, hash: &Arc<Hash>, password: Password) -> bool {
        let check = Check { number, hash: hash.clone(), password, done: self.done.clone(), bell: self.bell.clone() };
        match self.todo.try_send(check) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }

    fn take(&self) -> Option<(u64, bool)> {
        self.results.try_recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::auth::Users;

    const BCRYPT: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

    fn hash() -> Arc<Hash> {
        Users::read(&format!("ada:{BCRYPT}")).unwrap().hash("ada").unwrap().0.clone()
    }

    fn password(text: &str) -> Password {
        Password(text.as_bytes().to_vec())
    }

    #[test]
    fn answers_come_with_the_number_of_their_question() {
        let (bell, _doorbell) = Bell::new().unwrap();
        let desk = start(2, 8).unwrap().desk(bell);
        assert!(desk.ask(1, &hash(), password("U*U")) && desk.ask(2, &hash(), password("U*V")));
        let (mut results, limit) = (Vec::new(), Instant::now() + Duration::from_secs(10));
        while results.len() < 2 && Instant::now() < limit {
            results.extend(desk.take());
            std::thread::yield_now();
        }
        results.sort_unstable();
        assert_eq!(results, [(1, true), (2, false)]);
    }

    #[test]
    fn a_full_queue_takes_no_more() {
        let (bell, _doorbell) = Bell::new().unwrap();
        let desk = start(0, 0).unwrap().desk(bell);
        assert!(!desk.ask(1, &hash(), password("U*U")));
    }
}
