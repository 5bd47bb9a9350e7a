//! When requests are due: a rate over time, its integral turned around.
//!
//! The n-th request is due where the integral of the rate reaches n, or, with Poisson arrivals, the sum of n + 1 independent
//! exponential draws: the same draws at a rate that changes are a Poisson process of that rate. Nothing else has a say in it, neither
//! the target nor the load generator, so a request's due time is known without asking when those before it ended.

use std::sync::Arc;

use crate::words::{MILLISECOND, SECOND, rate, time};

/// A rate over time: pieces one behind the other, and bursts on top of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    pieces: Vec<Piece>,
    burst: Option<Burst>,
    arrivals: Arrivals,
}

/// A stretch of time in which the rate goes evenly from one value to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Piece {
    /// Requests a second at its begin.
    pub from: f64,
    /// Requests a second at its end.
    pub to: f64,
    /// Its length in nanoseconds.
    pub length: u64,
}

/// Requests on top, for a while, again and again from the start on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    /// Requests a second on top.
    pub rate: f64,
    /// Nanoseconds that it lasts, at most `every`.
    pub length: u64,
    /// Nanoseconds from one's begin to the next one's.
    pub every: u64,
}

/// How requests are spread at a given rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arrivals {
    /// At equal distances.
    Even,
    /// By chance, as those of many users who don't know of each other; the seed makes it repeatable.
    Poisson(u64),
}

/// The due times of one thread's part of a schedule, in order, in nanoseconds from its start. Takes the same memory however long it runs.
#[derive(Clone)]
pub struct Starts {
    schedule: Arc<Schedule>,
    cut: Cut,
    /// The piece that the cut is part of, and where that begins.
    piece: (usize, u64),
    /// The number of the request that `level` is about.
    number: u64,
    level: f64,
    /// Of each `of` requests those whose number leaves this rest.
    part: (u64, u64),
}

/// A stretch in which the rate of pieces and bursts together is one straight line.
#[derive(Clone, Copy)]
struct Cut {
    begin: u64,
    end: u64,
    from: f64,
    to: f64,
    /// Requests due before it.
    before: f64,
}

impl Schedule {
    /// Of these pieces.
    pub fn new(pieces: Vec<Piece>, burst: Option<Burst>, arrivals: Arrivals) -> Schedule {
        Schedule { pieces, burst, arrivals }
    }

    /// Reads rates: `500`, `100..1000` (a ramp), `100,200,400` (steps); behind any of them `:TIME`. Those without a time share evenly what the
    /// others leave of `duration`.
    ///
    /// # Errors
    /// A sentence about what is wrong.
    pub fn read(rates: &str, duration: u64, burst: Option<&str>, arrivals: Arrivals) -> Result<Schedule, String> {
        let (mut pieces, mut open) = (Vec::new(), Vec::new());
        for text in rates.split(',') {
            let (line, length) = match text.split_once(':') {
                Some((line, length)) => (line, Some(time(length)?)),
                None => (text, None),
            };
            let (from, to) = match line.split_once("..") {
                Some((from, to)) => (rate(from)?, rate(to)?),
                None => (rate(line)?, rate(line)?),
            };
            if length.is_none() {
                open.push(pieces.len());
            }
            pieces.push(Piece { from, to, length: length.unwrap_or(0) });
        }
        let left = duration.saturating_sub(pieces.iter().map(|piece| piece.length).sum());
        for &index in &open {
            pieces[index].length = left / open.len() as u64;
        }
        if open.iter().any(|&index| pieces[index].length == 0) {
            return Err(format!("`{rates}` takes longer than --duration: nothing is left for the rates without a time"));
        }
        let burst = burst.map(Burst::read).transpose()?;
        let schedule = Schedule { pieces, burst, arrivals };
        if schedule.total() < 1.0 {
            return Err(format!("`{rates}` makes less than one request in all"));
        }
        Ok(schedule)
    }

    /// Its length in nanoseconds.
    pub fn length(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.length).sum()
    }

    /// Requests in all: the integral of the rate, which Poisson arrivals meet on average.
    pub fn total(&self) -> f64 {
        self.due_by(self.length())
    }

    /// Requests due until so many nanoseconds after the start: the integral of the rate.
    pub fn due_by(&self, at: u64) -> f64 {
        let (mut begin, mut sum) = (0, 0.0);
        for piece in &self.pieces {
            let spent = at.saturating_sub(begin).min(piece.length);
            if spent > 0 {
                sum += seconds(spent) * (piece.from + piece.rate(spent)) / 2.0;
            }
            begin += piece.length;
        }
        let at = at.min(begin);
        let bursts = self.burst.map_or(0.0, |burst| {
            let lasted = (at / burst.every) as f64 * seconds(burst.length) + seconds((at % burst.every).min(burst.length));
            burst.rate * lasted
        });
        sum + bursts
    }

    /// The due times that one of `of` threads has to see to.
    pub fn starts(self: &Arc<Self>, part: u64, of: u64) -> Starts {
        let cut = Cut { begin: 0, end: 0, from: 0.0, to: 0.0, before: 0.0 };
        let mut starts = Starts { schedule: self.clone(), cut, piece: (0, 0), number: 0, level: 0.0, part: (part, of) };
        if let Arrivals::Poisson(seed) = self.arrivals {
            starts.level = draw(seed, 0);
        }
        for _ in 0..part {
            starts.step();
        }
        starts
    }
}

impl Piece {
    /// Requests a second so many nanoseconds after its begin.
    fn rate(&self, at: u64) -> f64 {
        self.from + (self.to - self.from) * (at as f64 / self.length as f64)
    }
}

impl Burst {
    /// Reads `RATE:LENGTH:EVERY`.
    fn read(text: &str) -> Result<Burst, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let [requests, length, every] = parts[..] else {
            return Err(format!("`{text}` is no burst: write RATE:LENGTH:EVERY, such as 5k:200ms:10s"));
        };
        let burst = Burst { rate: rate(requests)?, length: time(length)?, every: time(every)? };
        if burst.length == 0 || burst.length > burst.every || burst.every < MILLISECOND {
            return Err(format!(
                "`{text}`: a burst has to last longer than nothing and at most until the next, a millisecond later or more"
            ));
        }
        Ok(burst)
    }
}

impl Starts {
    /// The next due time; none once the schedule is over.
    pub fn peek(&mut self) -> Option<u64> {
        loop {
            let cut = &self.cut;
            let within = self.level - cut.before;
            if within < cut.area() {
                return Some((cut.begin + cut.reach(within)).min(cut.end));
            }
            self.cut = self.next_cut()?;
        }
    }

    /// Takes the next due time.
    pub fn take(&mut self) -> Option<u64> {
        let due = self.peek()?;
        for _ in 0..self.part.1 {
            self.step();
        }
        Some(due)
    }

    /// Takes the next due time, if it is not after `now`.
    pub fn take_by(&mut self, now: u64) -> Option<u64> {
        self.peek().filter(|due| *due <= now)?;
        self.take()
    }

    fn step(&mut self) {
        self.number += 1;
        match self.schedule.arrivals {
            Arrivals::Even => self.level = self.number as f64,
            Arrivals::Poisson(seed) => self.level += draw(seed, self.number),
        }
    }

    fn next_cut(&mut self) -> Option<Cut> {
        let begin = self.cut.end;
        while begin >= self.piece.1 + self.schedule.pieces.get(self.piece.0)?.length {
            self.piece.1 += self.schedule.pieces[self.piece.0].length;
            self.piece.0 += 1;
        }
        let piece = &self.schedule.pieces[self.piece.0];
        let (mut end, mut on_top) = (self.piece.1 + piece.length, 0.0);
        if let Some(burst) = self.schedule.burst {
            let round = begin - begin % burst.every;
            if begin - round < burst.length {
                on_top = burst.rate;
                end = end.min(round + burst.length);
            } else {
                end = end.min(round + burst.every);
            }
        }
        let (from, to) = (piece.rate(begin - self.piece.1) + on_top, piece.rate(end - self.piece.1) + on_top);
        Some(Cut { begin, end, from, to, before: self.cut.before + self.cut.area() })
    }
}

impl Cut {
    /// Requests due within it.
    fn area(&self) -> f64 {
        (self.from + self.to) / 2.0 * seconds(self.end - self.begin)
    }

    /// Nanoseconds from its begin until so many requests were due: the root of a quadratic, in the form that loses no digits.
    fn reach(&self, requests: f64) -> u64 {
        let slope = (self.to - self.from) / seconds(self.end - self.begin);
        let root = (self.from * self.from + 2.0 * slope * requests).max(0.0).sqrt();
        if requests == 0.0 { 0 } else { (2.0 * requests / (self.from + root) * SECOND as f64).round() as u64 }
    }
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / SECOND as f64
}

/// The n-th of a sequence of exponential draws of mean 1: SplitMix64 of seed and number, by inversion.
fn draw(seed: u64, number: u64) -> f64 {
    let mut bits = seed.wrapping_add((number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^= bits >> 31;
    // From above 0 to 1, so that the logarithm is finite.
    let uniform = ((bits >> 11) + 1) as f64 / (1u64 << 53) as f64;
    -uniform.ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(schedule: &Arc<Schedule>) -> Vec<u64> {
        let mut starts = schedule.starts(0, 1);
        std::iter::from_fn(|| starts.take()).collect()
    }

    fn read(rates: &str, burst: Option<&str>) -> Arc<Schedule> {
        Arc::new(Schedule::read(rates, 10 * SECOND, burst, Arrivals::Even).unwrap())
    }

    /// Rates, lengths and bursts such that a case takes some thousand requests at most.
    fn schedules() -> impl Strategy<Value = (Vec<Piece>, Option<Burst>)> {
        let rate = || prop_oneof![Just(0.0), 0.1..2000.0f64];
        let even = (rate(), 1..SECOND).prop_map(|(rate, length)| Piece { from: rate, to: rate, length });
        let ramp = (rate(), rate(), 1..SECOND).prop_map(|(from, to, length)| Piece { from, to, length });
        let burst = (rate(), 1..100 * MILLISECOND, 0..SECOND).prop_map(|(rate, length, rest)| Burst { rate, length, every: length + rest });
        (prop::collection::vec(prop_oneof![even, ramp], 1..5), prop::option::of(burst))
    }

    proptest! {
        /// The integral up to the n-th due time is n, whatever the rate does; and there are as many as the integral says.
        #[test]
        fn the_nth_is_due_where_the_integral_reaches_n((pieces, burst) in schedules()) {
            let schedule = Arc::new(Schedule::new(pieces, burst, Arrivals::Even));
            let due = all(&schedule);
            for (n, &at) in due.iter().enumerate() {
                // Due times are whole nanoseconds; the rate is at most 4000 a second.
                prop_assert!((schedule.due_by(at) - n as f64).abs() < 1e-5, "{n} at {at}: {}", schedule.due_by(at));
            }
            prop_assert!((due.len() as f64 - schedule.total().ceil()).abs() < 1.0 + 1e-6);
            prop_assert!(due.is_sorted() && due.last().is_none_or(|last| *last <= schedule.length()));
        }

        /// Threads share one schedule: together they have each request once.
        #[test]
        fn parts_make_up_the_whole((pieces, burst) in schedules(), of in 1u64..5, seed in prop::option::of(any::<u64>())) {
            let schedule = Arc::new(Schedule::new(pieces, burst, seed.map_or(Arrivals::Even, Arrivals::Poisson)));
            let mut parts: Vec<u64> = (0..of).flat_map(|part| {
                let mut starts = schedule.starts(part, of);
                std::iter::from_fn(move || starts.take())
            }).collect();
            parts.sort_unstable();
            prop_assert_eq!(parts, all(&schedule));
        }
    }

    #[test]
    fn shapes_are_due_to_the_nanosecond() {
        let constant = all(&read("500", None));
        assert_eq!(constant, (0..5000).map(|n| n * 2 * MILLISECOND).collect::<Vec<_>>());
        let steps = all(&read("100,300", None));
        assert_eq!((steps.len(), steps[499], steps[500], steps[503]), (2000, 4_990_000_000, 5 * SECOND, 5_010_000_000));
        // From 0 to 200 a second in 10 s: the integral is 10 t².
        let ramp = all(&read("0..200", None));
        assert_eq!((ramp[0], ramp[10], ramp[250], ramp.len()), (0, SECOND, 5 * SECOND, 1000));
        // Nothing but bursts: 10 requests in the first 100 ms of each 2 s.
        let bursts = all(&read("0", Some("100:100ms:2s")));
        assert_eq!((bursts.len(), bursts[9], bursts[10]), (50, 90 * MILLISECOND, 2 * SECOND));
    }

    #[test]
    fn poisson_has_its_mean_and_its_variance() {
        let schedule = Arc::new(Schedule::read("1000", 100 * SECOND, None, Arrivals::Poisson(7)).unwrap());
        let due = all(&schedule);
        // 100,000 on average, with a standard deviation of 316.
        assert!((due.len() as f64 - 1e5).abs() < 4.0 * 316.0, "{}", due.len());
        let gaps: Vec<f64> = due.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e6).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean - 1.0).abs() < 0.02 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        // Counts in stretches of 100 ms vary as they do for independent users: variance equals mean.
        let mut counts = vec![0.0; 1000];
        due.iter().for_each(|at| counts[(at / (100 * MILLISECOND)) as usize] += 1.0);
        let variance = counts.iter().map(|count: &f64| (count - 100.0).powi(2)).sum::<f64>() / 1000.0;
        assert!((80.0..120.0).contains(&variance), "{variance}");
        let other = Arc::new(Schedule::read("1000", 100 * SECOND, None, Arrivals::Poisson(8)).unwrap());
        assert_ne!(all(&other)[..10], due[..10]);
    }

    #[test]
    fn rates_are_read() {
        let pieces = |rates| Schedule::read(rates, 10 * SECOND, None, Arrivals::Even).map(|schedule| schedule.pieces);
        let piece = |from, to, length| Piece { from, to, length: length * SECOND };
        assert_eq!(pieces("1k"), Ok(vec![piece(1000.0, 1000.0, 10)]));
        assert_eq!(pieces("10,20..40:4s,5"), Ok(vec![piece(10.0, 10.0, 3), piece(20.0, 40.0, 4), piece(5.0, 5.0, 3)]));
        assert_eq!(pieces("10:1m"), Ok(vec![piece(10.0, 10.0, 60)]));
        for wrong in ["", "a", "1..", "1:2:3", "10:10s,5", "0", "5,,5", "0.01"] {
            assert!(pieces(wrong).is_err(), "{wrong}");
        }
        for wrong in ["5", "5:1s", "5:2s:1s", "5:0s:1s", "5:1s:1s:1s", "5:1us:2us"] {
            assert!(Schedule::read("5", SECOND, Some(wrong), Arrivals::Even).is_err(), "{wrong}");
        }
    }
}
