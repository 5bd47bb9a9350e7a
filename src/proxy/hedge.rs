//! Two attempts at once, where an upstream's requests are hedged: off the common path, in a box of its own.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use super::attempt::{Answered, Failed};
use super::core::{Core, Session};
use crate::exchange::{Attempt, Exchange};
use crate::net;
use crate::server::{Client, Inbound};

type Outcome<'a> = Result<Answered<'a>, Failed>;

impl Core {
    /// Makes an attempt, and after `delay` without an answer another one beside it. The first that is answered wins: `attempt` is that
    /// one then, and the connection of the other is closed. Interim answers aren't passed on, as both could send some.
    pub(super) async fn race<'a>(
        &'a self,
        client: Option<&'a Client>,
        session: &mut Session,
        inbound: &Inbound,
        exchange: &mut Exchange,
        attempt: &mut Attempt,
        delay: Duration,
    ) -> Outcome<'a> {
        let (view, deadline) = (exchange.view().clone(), exchange.deadline());
        let mut spare = self.spare(session);
        session.hushed = true;
        let (outcome, later) = 'race: {
            let mut earlier = pin!(self.attempt(client, session, inbound, &view, deadline, attempt));
            let wait = pin!(net::pause(delay));
            if let First::Left(outcome) = first_of(earlier.as_mut(), wait).await {
                break 'race (outcome, None);
            }
            let now = self.woke();
            let Some(second) = exchange.hedge(now, self.draw()) else { break 'race (earlier.await, None) };
            let mut later = pin!(self.attempt(client, &mut spare, inbound, &view, deadline, &second));
            match first_of(earlier.as_mut(), later.as_mut()).await {
                First::Left(Ok(answered)) => {
                    exchange.hedge_answered(false, self.now());
                    (Ok(answered), None)
                }
                First::Right(Ok(answered)) => {
                    exchange.hedge_answered(true, self.now());
                    (Ok(answered), Some(second.clone()))
                }
                First::Left(Err(failed)) => {
                    exchange.hedge_failed(false, failed.reason, self.now());
                    (later.await, Some(second.clone()))
                }
                First::Right(Err(failed)) => {
                    exchange.hedge_failed(true, failed.reason, self.now());
                    (earlier.await, None)
                }
            }
        };
        session.hushed = false;
        if let Some(second) = later {
            std::mem::swap(&mut session.response, &mut spare.response);
            session.connect = spare.connect;
            *attempt = second;
        }
        spare.hushed = false;
        self.keep(spare);
        outcome
    }

    /// What a second attempt works with: the request as the first one's session has it.
    fn spare(&self, session: &Session) -> Box<Session> {
        let mut spare = self.sessions.borrow_mut().pop().unwrap_or_default();
        spare.peer = session.peer;
        spare.sender.clone_from(&session.sender);
        spare.head.clone_from(&session.head);
        spare.scratch.path.clone_from(&session.scratch.path);
        spare.scratch.notes.path.clone_from(&session.scratch.notes.path);
        spare.scratch.notes.query.clone_from(&session.scratch.notes.query);
        spare.scratch.notes.request.clone_from(&session.scratch.notes.request);
        spare.scratch.notes.body.clone_from(&session.scratch.notes.body);
        spare.scratch.id = session.scratch.id;
        spare.limit = session.limit;
        spare.hushed = true;
        spare
    }
}

/// Which of two has ended.
enum First<L, R> {
    Left(L),
    Right(R),
}

/// Waits until one of both has ended; the other is left as it is.
async fn first_of<L: Future, R: Future>(mut left: Pin<&mut L>, mut right: Pin<&mut R>) -> First<L::Output, R::Output> {
    poll_fn(|cx| {
        if let Poll::Ready(out) = left.as_mut().poll(cx) {
            return Poll::Ready(First::Left(out));
        }
        right.as_mut().poll(cx).map(First::Right)
    })
    .await
}
