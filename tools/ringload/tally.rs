//! What was counted and timed: of one thread, of one second, or of all. Tallies add up without loss.

use hdrhistogram::Histogram;
use ringway::http2::grpc::NAMES;

/// Counts and times.
pub struct Tally {
    /// Nanoseconds from when a request was due to the answer's last byte. A request that got no answer counts with the time it had
    /// waited, which is less than the truth; one whose connection failed or was cut counts only as a failure.
    pub response: Histogram<u64>,
    /// Nanoseconds from just before the send to the answer's last byte: what a load generator shows that doesn't count the waiting.
    pub service: Histogram<u64>,
    /// Nanoseconds to open a connection.
    pub connect: Histogram<u64>,
    /// Nanoseconds from when a request was due to when this program noticed: its own fault.
    pub lag: Histogram<u64>,
    /// Answers by the first digit of their status, echoes in front: see [`CLASSES`].
    pub statuses: [u64; CLASSES.len()],
    /// gRPC calls that were answered, by their `grpc-status`: see [`NAMES`].
    pub calls: [u64; NAMES.len()],
    /// Requests without a whole answer, by the fault.
    pub failures: [u64; Failure::ALL.len()],
    /// Requests that became due.
    pub due: u64,
    /// Requests sent more than [`LATE`] after they were due.
    pub late: u64,
    /// Connections opened.
    pub opened: u64,
    /// Connections that the target closed while they were idle.
    pub closed_idle: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Bytes received.
    pub received_bytes: u64,
}

/// The names of what answers are counted by.
pub const CLASSES: [&str; 6] = ["echo", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection could be had.
    Connect,
    /// None could be had in time.
    ConnectTimeout,
    /// The connection was closed or reset before the answer was whole.
    Cut,
    /// The answer is no HTTP, or has more bytes than it says.
    Malformed,
    /// What came back isn't what was sent.
    Mismatch,
    /// The target refused the stream (RFC 9113, section 8.7).
    Refused,
    /// The target reset the stream.
    Reset,
    /// The target left the connection without processing it (section 6.8).
    Goaway,
    /// No whole answer within `--timeout`.
    Timeout,
    /// Still under way when the run was stopped.
    Unfinished,
    /// Due, and never sent.
    Unsent,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With an answer of this status.
    Answer(u16),
    /// With what was sent.
    Echo,
    /// With this `grpc-status`, 0 to 16, and status 200.
    Call(u8),
    /// Without.
    Failure(Failure),
}

/// Nanoseconds after which a send is counted as late.
pub const LATE: u64 = 1_000_000;
/// The longest time that can be told from longer ones: an hour.
const LONGEST: u64 = 3_600_000_000_000;

impl Failure {
    /// All of them, in the order in which they are counted.
    pub const ALL: [Failure; 11] = [
        Failure::Connect,
        Failure::ConnectTimeout,
        Failure::Cut,
        Failure::Malformed,
        Failure::Mismatch,
        Failure::Refused,
        Failure::Reset,
        Failure::Goaway,
        Failure::Timeout,
        Failure::Unfinished,
        Failure::Unsent,
    ];

    /// Its name in JSON, and in words.
    pub const fn names(self) -> (&'static str, &'static str) {
        match self {
            Failure::Connect => ("connect", "no connection"),
            Failure::ConnectTimeout => ("connect_timeout", "no connection in time"),
            Failure::Cut => ("cut", "connection closed before the whole answer"),
            Failure::Malformed => ("malformed", "answer breaks the protocol"),
            Failure::Mismatch => ("mismatch", "what came back isn't what was sent"),
            Failure::Refused => ("refused", "stream refused"),
            Failure::Reset => ("reset", "stream reset"),
            Failure::Goaway => ("goaway", "connection left by the target"),
            Failure::Timeout => ("timeout", "no whole answer in time"),
            Failure::Unfinished => ("unfinished", "under way at the end"),
            Failure::Unsent => ("unsent", "due but never sent"),
        }
    }

    /// Whether the request waited, so that its time up to then is one of the response times.
    const fn waited(self) -> bool {
        matches!(self, Failure::ConnectTimeout | Failure::Timeout | Failure::Unfinished | Failure::Unsent)
    }
}

impl Default for Tally {
    fn default() -> Tally {
        let histogram = || Histogram::new_with_bounds(1, LONGEST, 3).expect("bounds are valid");
        Tally {
            response: histogram(),
            service: histogram(),
            connect: histogram(),
            lag: histogram(),
            statuses: [0; CLASSES.len()],
            calls: [0; NAMES.len()],
            failures: [0; Failure::ALL.len()],
            due: 0,
            late: 0,
            opened: 0,
            closed_idle: 0,
            sent_bytes: 0,
            received_bytes: 0,
        }
    }
}

impl Tally {
    /// Counts a request that has ended: nanoseconds since it was due, and since it was sent, if it was.
    pub fn settle(&mut self, outcome: Outcome, since_due: u64, since_sent: Option<u64>) {
        self.late += u64::from(since_sent.is_some_and(|sent| since_due - sent > LATE));
        match outcome {
            Outcome::Answer(status) => self.statuses[usize::from(status / 100).min(5)] += 1,
            Outcome::Echo => self.statuses[0] += 1,
            Outcome::Call(status) => {
                self.statuses[2] += 1;
                self.calls[usize::from(status).min(NAMES.len() - 1)] += 1;
            }
            Outcome::Failure(failure) => {
                self.failures[failure as usize] += 1;
                if !failure.waited() {
                    return;
                }
            }
        }
        self.response.saturating_record(since_due.max(1));
        if let Some(since_sent) = since_sent {
            self.service.saturating_record(since_sent.max(1));
        }
    }

    /// Requests with a whole answer.
    pub fn answered(&self) -> u64 {
        self.statuses.iter().sum()
    }

    /// Requests without.
    pub fn failed(&self) -> u64 {
        self.failures.iter().sum()
    }

    /// Requests without an answer, with one of status 400 and above, or with a `grpc-status` other than 0.
    pub fn errors(&self) -> u64 {
        self.failed() + self.statuses[4] + self.statuses[5] + self.calls[1..].iter().sum::<u64>()
    }

    /// How many of one failure there are.
    pub fn failures_of(&self, failure: Failure) -> u64 {
        self.failures[failure as usize]
    }

    /// Adds another's counts and times.
    pub fn add(&mut self, other: &Tally) {
        for (to, from) in self.histograms().into_iter().zip([&other.response, &other.service, &other.connect, &other.lag]) {
            to.add(from).expect("all have the same bounds");
        }
        self.statuses.iter_mut().zip(other.statuses).for_each(|(to, from)| *to += from);
        self.calls.iter_mut().zip(other.calls).for_each(|(to, from)| *to += from);
        self.failures.iter_mut().zip(other.failures).for_each(|(to, from)| *to += from);
        self.due += other.due;
        self.late += other.late;
        self.opened += other.opened;
        self.closed_idle += other.closed_idle;
        self.sent_bytes += other.sent_bytes;
        self.received_bytes += other.received_bytes;
    }

    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.histograms().into_iter().for_each(Histogram::reset);
        self.statuses = [0; CLASSES.len()];
        self.calls = [0; NAMES.len()];
        self.failures = [0; Failure::ALL.len()];
        for count in
            [&mut self.due, &mut self.late, &mut self.opened, &mut self.closed_idle, &mut self.sent_bytes, &mut self.received_bytes]
        {
            *count = 0;
        }
    }

    fn histograms(&mut self) -> [&mut Histogram<u64>; 4] {
        [&mut self.response, &mut self.service, &mut self.connect, &mut self.lag]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waited_in_vain_counts_among_response_times() {
        let mut tally = Tally::default();
        tally.settle(Outcome::Answer(204), 3_000_000, Some(1_000_000));
        tally.settle(Outcome::Answer(503), 500, Some(400));
        tally.settle(Outcome::Failure(Failure::Timeout), 10_000_000_000, Some(9_000_000_000));
        tally.settle(Outcome::Failure(Failure::Unsent), 20_000_000_000, None);
        tally.settle(Outcome::Failure(Failure::Cut), 1, Some(1));
        tally.settle(Outcome::Echo, 1, Some(1));
        tally.settle(Outcome::Call(0), 1, Some(1));
        tally.settle(Outcome::Call(14), 1, Some(1));
        assert_eq!((tally.answered(), tally.failed(), tally.errors(), tally.late), (5, 3, 5, 2));
        assert_eq!((tally.response.len(), tally.service.len(), tally.statuses[0], tally.calls[14]), (7, 6, 1, 1));
        assert!(tally.response.max() >= 20_000_000_000 && tally.service.max() < 9_100_000_000);
    }

    #[test]
    fn tallies_add_up_and_are_emptied() {
        let (mut sum, mut part) = (Tally::default(), Tally::default());
        part.settle(Outcome::Call(5), 2_000_000, Some(10));
        part.settle(Outcome::Failure(Failure::Connect), 7, None);
        (part.due, part.opened, part.closed_idle, part.sent_bytes, part.received_bytes) = (2, 3, 4, 5, 6);
        part.lag.record(8).unwrap();
        part.connect.record(9).unwrap();
        sum.add(&part);
        sum.add(&part);
        assert_eq!((sum.due, sum.opened, sum.closed_idle, sum.sent_bytes, sum.received_bytes), (4, 6, 8, 10, 12));
        assert_eq!((sum.statuses[2], sum.calls[5], sum.failures_of(Failure::Connect), sum.late), (2, 2, 2, 2));
        assert_eq!((sum.response.len(), sum.service.len(), sum.lag.len(), sum.connect.len()), (2, 2, 2, 2));
        sum.clear();
        assert_eq!((sum.due, sum.opened, sum.closed_idle, sum.sent_bytes, sum.received_bytes), (0, 0, 0, 0, 0));
        assert_eq!(sum.errors(), 0);
        assert_eq!((sum.answered(), sum.failed(), sum.late, sum.response.len(), sum.lag.len()), (0, 0, 0, 0, 0));
    }

    #[test]
    fn failures_are_counted_under_their_own_name() {
        for (index, failure) in Failure::ALL.into_iter().enumerate() {
            assert_eq!(failure as usize, index);
        }
    }
}
