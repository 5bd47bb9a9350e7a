//! Which connection sends which request when: the load generator's decisions, without clock or socket.
//!
//! In an open loop a request is due by the schedule. Those that are due and find no connection free aren't kept in a queue, as the
//! schedule knows them: there are two cursors in it, of what is due and of what is sent, and the requests between them wait.

use std::collections::VecDeque;

use crate::schedule::Starts;

/// Requests of one thread.
pub struct Dispatch {
    /// Up to what the passing of time was noticed: in a closed loop a steady beat.
    due: Starts,
    /// Up to what requests were handed to connections; none in a closed loop.
    sent: Option<Starts>,
    /// When nothing more becomes due, in nanoseconds from the start.
    end: u64,
    /// Connections with room for a request; the one that waits for longest gets the next, so that all are used alike.
    idle: VecDeque<usize>,
    /// For how many requests each connection has room.
    room: Vec<usize>,
    noticed: u64,
    taken: u64,
    settled: u64,
    /// Of those that became due, how many were told of.
    told: u64,
}

impl Dispatch {
    /// An open loop: requests become due by this schedule, whatever the target does.
    pub fn open(starts: Starts, end: u64) -> Dispatch {
        Dispatch {
            due: starts.clone(),
            sent: Some(starts),
            end,
            idle: VecDeque::new(),
            room: Vec::new(),
            noticed: 0,
            taken: 0,
            settled: 0,
            told: 0,
        }
    }

    /// A closed loop: a connection sends its next request once the last is answered. `beat` tells only how late this thread is itself.
    pub fn closed(beat: Starts, end: u64) -> Dispatch {
        Dispatch { due: beat, sent: None, end, idle: VecDeque::new(), room: Vec::new(), noticed: 0, taken: 0, settled: 0, told: 0 }
    }

    /// Notices what has become due, and tells of each how many nanoseconds too late: this thread's own lag.
    pub fn notice(&mut self, now: u64, mut on_lag: impl FnMut(u64)) {
        while let Some(at) = self.due.take_by(now) {
            self.noticed += 1;
            on_lag(now - at);
        }
    }

    /// The next request for a connection that has room for one more: when it was due. Without one the connection waits.
    pub fn next(&mut self, connection: usize, now: u64) -> Option<u64> {
        let start = self.start(now);
        if start.is_none() {
            self.rest(connection);
        }
        start
    }

    /// This connection waits for a request, with room for one more.
    pub fn rest(&mut self, connection: usize) {
        if self.room.len() <= connection {
            self.room.resize(connection + 1, 0);
        }
        self.room[connection] += 1;
        if self.room[connection] == 1 {
            self.idle.push_back(connection);
        }
    }

    /// A request that is due for a connection that waits. Call again until there is none.
    pub fn assign(&mut self, now: u64) -> Option<(usize, u64)> {
        let connection = *self.idle.front()?;
        let start = self.start(now)?;
        self.idle.pop_front();
        self.room[connection] -= 1;
        if self.room[connection] > 0 {
            self.idle.push_back(connection);
        }
        Some((connection, start))
    }

    /// A request has come to its end, whatever that is.
    pub fn settle(&mut self) {
        self.settled += 1;
    }

    /// When time must be noticed next; none once the schedule is over.
    pub fn next_deadline(&mut self) -> Option<u64> {
        self.due.peek()
    }

    /// Whether nothing is left to be done.
    pub fn is_over(&mut self, now: u64) -> bool {
        let all_sent = match &mut self.sent {
            Some(sent) => sent.peek().is_none(),
            None => now >= self.end,
        };
        all_sent && self.under_way() == 0
    }

    /// Requests that connections have.
    pub fn under_way(&self) -> u64 {
        self.taken - self.settled
    }

    /// Requests that have become due since the last call: in a closed loop those that were handed out.
    pub fn take_due(&mut self) -> u64 {
        let due = if self.sent.is_some() { self.noticed } else { self.taken };
        due - std::mem::replace(&mut self.told, due)
    }

    /// Ends it: takes what is due by then and was never sent, by its due times.
    pub fn stop(&mut self, now: u64, mut on_unsent: impl FnMut(u64)) {
        self.notice(now, |_| ());
        while let Some(at) = self.sent.as_mut().and_then(|sent| sent.take_by(now)) {
            on_unsent(at);
        }
    }

    fn start(&mut self, now: u64) -> Option<u64> {
        let start = match &mut self.sent {
            Some(sent) => sent.take_by(now),
            None => (now < self.end).then_some(now),
        };
        self.taken += u64::from(start.is_some());
        start
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{Arrivals, Schedule};
    use crate::tally::{Outcome, Tally};
    use crate::words::{MILLISECOND, SECOND};
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;
    use std::sync::Arc;

    const STALL: std::ops::Range<u64> = 10 * SECOND..12 * SECOND;
    const END: u64 = 60 * SECOND;

    /// An endpoint whose n-th answer takes from 1 to 9 ms, evenly, and that does nothing at all while it stalls.
    fn answered(n: u64, sent: u64) -> u64 {
        let work = MILLISECOND + n.wrapping_mul(2_654_435_761) % 8_000_000;
        if STALL.contains(&sent) {
            STALL.end + work
        } else if STALL.contains(&(sent + work)) {
            sent + work + (STALL.end - STALL.start)
        } else {
            sent + work
        }
    }

    /// Plays a run of so many connections in virtual time.
    fn play(mut dispatch: Dispatch, connections: usize) -> Tally {
        let mut tally = Tally::default();
        let mut answers = BinaryHeap::new();
        let mut sent = 0;
        let mut send = |answers: &mut BinaryHeap<Reverse<(u64, usize, u64, u64)>>, connection, due, now| {
            answers.push(Reverse((answered(sent, now), connection, due, now)));
            sent += 1;
        };
        for connection in 0..connections {
            assert!(dispatch.next(connection, 0).is_none_or(|due| {
                send(&mut answers, connection, due, 0);
                true
            }));
        }
        loop {
            let next_answer = answers.peek().map(|Reverse((at, ..))| *at);
            let Some(now) = [dispatch.next_deadline(), next_answer].into_iter().flatten().min() else { break };
            dispatch.notice(now, |lag| assert_eq!(lag, 0));
            while let Some((connection, due)) = dispatch.assign(now) {
                send(&mut answers, connection, due, now);
            }
            if next_answer == Some(now) {
                let Reverse((_, connection, due, sent)) = answers.pop().unwrap();
                tally.settle(Outcome::Answer(200), now - due, Some(now - sent));
                dispatch.settle();
                if let Some(due) = dispatch.next(connection, now) {
                    send(&mut answers, connection, due, now);
                }
            }
        }
        assert!(dispatch.is_over(END));
        tally
    }

    /// The response time at a quantile, by the endpoint's definition: of 60 s of requests, those due in a stall of 2 s wait for
    /// its end, evenly from 0 to 2 s, and then as all others from 1 to 9 ms.
    fn theory(quantile: f64) -> f64 {
        let stalled = 2.0 / 60.0;
        2e9 * (quantile - (1.0 - stalled)) / stalled + 5e6
    }

    #[test]
    fn an_open_loop_shows_a_stall_as_theory_has_it() {
        for arrivals in [Arrivals::Even, Arrivals::Poisson(3)] {
            let schedule = Arc::new(Schedule::read("5k", END, None, arrivals).unwrap());
            let tally = play(Dispatch::open(schedule.starts(0, 1), END), 20_000);
            let due = tally.response.len() as f64;
            assert!((due - 300_000.0).abs() < 2500.0);
            // Even arrivals meet the theory to within 1 %; Poisson's own chance is some percent here.
            let tolerance = if arrivals == Arrivals::Even { 0.01 } else { 0.05 };
            for quantile in [0.975, 0.98, 0.99, 0.995, 0.999] {
                let (shown, expected) = (tally.response.value_at_quantile(quantile) as f64, theory(quantile));
                assert!((shown - expected).abs() < tolerance * expected, "{arrivals:?} p{quantile}: {shown} for {expected}");
            }
            // Half of all are below the middle of those 29 of 30 that meet no stall.
            let (shown, expected) = (tally.response.value_at_quantile(0.5) as f64, 1e6 + 8e6 * 0.5 * 30.0 / 29.0);
            assert!((shown - expected).abs() < 0.01 * expected, "{shown} for {expected}");
        }
    }

    #[test]
    fn waiting_for_a_connection_counts() {
        // 100 connections are enough (5 k/s times 5 ms is 25), but in the stall they are all taken: most requests wait unsent.
        let schedule = Arc::new(Schedule::read("5k", END, None, Arrivals::Even).unwrap());
        let tally = play(Dispatch::open(schedule.starts(0, 1), END), 100);
        let p99 = tally.response.value_at_quantile(0.99) as f64;
        assert!(p99 > 0.95 * theory(0.99), "{p99}");
        // From the send on almost nobody waited: that is the gap to be named.
        assert!(tally.service.value_at_quantile(0.99) < 9 * MILLISECOND);
        assert_eq!(tally.response.len(), 300_000);
        assert!(tally.late > 10_000);
    }

    #[test]
    fn a_closed_loop_does_not_show_it() {
        let beat = Arc::new(Schedule::read("100", END, None, Arrivals::Even).unwrap());
        let tally = play(Dispatch::closed(beat.starts(0, 1), END), 100);
        assert!(tally.response.value_at_quantile(0.999) < 9_100_000, "only one request of each connection met the stall");
        assert!(tally.response.max() > SECOND);
        assert_eq!(tally.late, 0);
    }

    #[test]
    fn what_is_never_sent_is_told() {
        let schedule = Arc::new(Schedule::read("10", SECOND, None, Arrivals::Even).unwrap());
        let mut dispatch = Dispatch::open(schedule.starts(0, 1), SECOND);
        assert_eq!(dispatch.next(0, 0), Some(0));
        dispatch.notice(350 * MILLISECOND, |_| ());
        assert_eq!((dispatch.assign(350 * MILLISECOND), dispatch.under_way(), dispatch.take_due()), (None, 1, 4));
        assert!(!dispatch.is_over(350 * MILLISECOND));
        let mut unsent = Vec::new();
        dispatch.stop(550 * MILLISECOND, |due| unsent.push(due / MILLISECOND));
        assert_eq!((unsent, dispatch.take_due()), (vec![100, 200, 300, 400, 500], 2));
    }

    #[test]
    fn the_longest_idle_connection_is_next_and_lag_is_told() {
        let schedule = Arc::new(Schedule::read("1000", SECOND, None, Arrivals::Even).unwrap());
        let mut dispatch = Dispatch::open(schedule.starts(0, 1), SECOND);
        assert_eq!(dispatch.next(7, 0), Some(0));
        assert_eq!((dispatch.next(8, 0), dispatch.next(9, 0)), (None, None));
        let mut lags = Vec::new();
        dispatch.notice(2_500_000, |lag| lags.push(lag));
        assert_eq!(lags, [2_500_000, 1_500_000, 500_000]);
        assert_eq!((dispatch.assign(2_500_000), dispatch.assign(2_500_000)), (Some((8, 1_000_000)), Some((9, 2_000_000))));
        assert_eq!(dispatch.assign(3_500_000), None);
        assert_eq!(dispatch.next_deadline(), Some(3_000_000));
    }

    #[test]
    fn requests_are_spread_before_they_are_piled_up() {
        let schedule = Arc::new(Schedule::read("1000", SECOND, None, Arrivals::Even).unwrap());
        let mut dispatch = Dispatch::open(schedule.starts(0, 1), SECOND);
        [0, 0, 0, 1, 1, 2].into_iter().for_each(|connection| dispatch.rest(connection));
        let order: Vec<usize> = std::iter::from_fn(|| dispatch.assign(SECOND)).map(|(connection, _)| connection).collect();
        assert_eq!(order, [0, 1, 2, 0, 1, 0]);
    }
}
