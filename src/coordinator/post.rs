//! Commands on their way to one worker: what doesn't fit its channel waits here, and only the newest of each kind.

use std::collections::VecDeque;
use std::sync::Arc;

use crossbeam_channel::{Sender, TrySendError};

use crate::auth::KeySets;
use crate::cache::{Purge, Purged};
use crate::exchange::Plan;
use crate::limiter::LimitUpdate;
use crate::reconcile::Update;
use crate::worker::Command;

/// What waits for one worker.
#[derive(Default)]
pub(super) struct Post {
    plan: Option<(Arc<Plan>, Option<Sender<()>>)>,
    update: Option<Update>,
    limits: Option<LimitUpdate>,
    keys: Option<Arc<KeySets>>,
    purges: VecDeque<Order>,
    leave: bool,
    hand_over: bool,
    drain: bool,
}

/// A purge, and to whom its worker says what came of it.
type Order = (Arc<[Purge]>, Option<Sender<Purged>>);

/// What came of sending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    /// Something was sent: the worker takes it when it is rung.
    pub any: bool,
    /// The worker isn't there any more.
    pub gone: bool,
}

impl Post {
    /// Takes a plan; an older one that waits is forgotten.
    pub fn plan(&mut self, plan: Arc<Plan>, reply: Option<Sender<()>>) {
        self.plan = Some((plan, reply));
    }

    /// Takes an update; whether it replaced an older one. Updates are snapshots, so nothing is lost with that.
    pub fn update(&mut self, update: Update) -> bool {
        self.update.replace(update).is_some()
    }

    /// Takes an update about rate limits; what waits is the same one or an older one.
    pub fn limits(&mut self, update: LimitUpdate) {
        self.limits = Some(update);
    }

    /// Takes key sets; older ones that wait are forgotten.
    pub fn keys(&mut self, sets: Arc<KeySets>) {
        self.keys = Some(sets);
    }

    /// Takes a purge. Those that wait are kept in order; if there are too many, all of the cache goes.
    pub fn purge(&mut self, purges: Arc<[Purge]>, reply: Option<Sender<Purged>>) {
        if self.purges.len() < PURGES_MAX {
            self.purges.push_back((purges, reply));
        } else {
            self.purges = VecDeque::from([([Purge::Everything].into(), reply)]);
        }
    }

    /// Takes the command to let connections end.
    pub fn leave(&mut self) {
        self.leave = true;
    }

    /// Takes the command to leave the listeners to another process.
    pub fn hand_over(&mut self) {
        self.hand_over = true;
    }

    /// Takes the command to drain.
    pub fn drain(&mut self) {
        self.drain = true;
    }

    /// Sends as much as fits: first the plan, so that the update after it finds the endpoints it speaks of.
    pub fn send(&mut self, mut try_send: impl FnMut(Command) -> Result<(), TrySendError<Command>>) -> Sent {
        let mut sent = Sent::default();
        while let Some(command) = self.next() {
            match try_send(command) {
                Ok(()) => sent.any = true,
                Err(TrySendError::Full(command)) => {
                    self.put_back(command);
                    break;
                }
                Err(TrySendError::Disconnected(_)) => {
                    sent.gone = true;
                    break;
                }
            }
        }
        sent
    }

    fn next(&mut self) -> Option<Command> {
        if let Some((plan, reply)) = self.plan.take() {
            return Some(Command::Plan(plan, reply));
        }
        if let Some(update) = self.update.take() {
            return Some(Command::Update(update));
        }
        if let Some(update) = self.limits.take() {
            return Some(Command::Limits(update));
        }
        if let Some(sets) = self.keys.take() {
            return Some(Command::Keys(sets));
        }
        if let Some((purges, reply)) = self.purges.pop_front() {
            return Some(Command::Purge(purges, reply));
        }
        if std::mem::take(&mut self.leave) {
            return Some(Command::Leave);
        }
        if std::mem::take(&mut self.hand_over) {
            return Some(Command::HandOver);
        }
        std::mem::take(&mut self.drain).then_some(Command::Drain)
    }

    fn put_back(&mut self, command: Command) {
        match command {
            Command::Plan(plan, reply) => self.plan = Some((plan, reply)),
            Command::Update(update) => self.update = Some(update),
            Command::Limits(update) => self.limits = Some(update),
            Command::Keys(sets) => self.keys = Some(sets),
            Command::Purge(purges, reply) => self.purges.push_front((purges, reply)),
            Command::Leave => self.leave = true,
            Command::HandOver => self.hand_over = true,
            Command::Drain => self.drain = true,
        }
    }
}

/// Purges that may wait for one worker.
const PURGES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;

    use super::*;

    fn post() -> Post {
        let mut post = Post::default();
        post.drain();
        assert!(!post.update(Update::default()));
        post
    }

    #[test]
    fn what_fits_is_sent_and_the_rest_waits() {
        let (commands, inbox) = bounded(1);
        let mut post = post();
        assert_eq!(post.send(|command| commands.try_send(command)), Sent { any: true, gone: false });
        assert!(matches!(inbox.try_recv(), Ok(Command::Update(_))));
        assert_eq!(post.send(|command| commands.try_send(command)), Sent { any: true, gone: false });
        assert!(matches!(inbox.try_recv(), Ok(Command::Drain)));
        assert_eq!(post.send(|command| commands.try_send(command)), Sent::default());
        assert!(inbox.try_recv().is_err(), "each is sent once");
    }

    #[test]
    fn only_the_newest_update_waits() {
        let mut post = post();
        assert!(post.update(Update::default()), "the older one is replaced");
    }

    #[test]
    fn purges_keep_their_order_and_none_is_lost() {
        let url = |number: usize| Purge::Url(number.to_string().into_bytes().into());
        let (commands, inbox) = bounded(PURGES_MAX);
        let mut post = Post::default();
        (0..3).for_each(|number| post.purge([url(number)].into(), None));
        post.send(|command| commands.try_send(command));
        let taken = inbox.try_iter().map(|command| if let Command::Purge(purges, _) = command { purges[0].clone() } else { panic!() });
        assert_eq!(taken.collect::<Vec<_>>(), [url(0), url(1), url(2)]);
        (0..=PURGES_MAX).for_each(|number| post.purge([url(number)].into(), None));
        post.send(|command| commands.try_send(command));
        assert!(matches!(inbox.try_recv(), Ok(Command::Purge(purges, _)) if *purges == [Purge::Everything]));
        assert!(inbox.try_recv().is_err());
    }

    #[test]
    fn a_worker_that_is_gone_is_noticed() {
        let (commands, inbox) = bounded(1);
        drop(inbox);
        assert!(post().send(|command| commands.try_send(command)).gone);
    }
}
