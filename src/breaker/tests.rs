//! Laws of a breaker on one core, against a naive model that remembers everything.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::config::{BreakerFailures, BreakerLatency, StatusRange, Time};
use crate::error::Reason;

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

const GOOD: Verdict = Verdict { failed: false, slow: false };
const FAILED: Verdict = Verdict { failed: true, slow: false };
const SLOW: Verdict = Verdict { failed: false, slow: true };

fn settings() -> CircuitBreaker {
    CircuitBreaker {
        consecutive_failures: 3,
        min_requests: 6,
        window: Time::from_secs(8),
        latency: Some(BreakerLatency { quantile: 0.75, over: Time::from_millis(100) }),
        open_time: Time::from_secs(1),
        open_time_max: Time::from_secs(5),
        trials: 2,
        ..CircuitBreaker::default()
    }
}

/// An attempt that begins and ends at once; whether it opened the breaker.
fn record(breaker: &mut Breaker, verdict: Verdict, now: Instant) -> bool {
    let trial = breaker.pass(now);
    let opened = breaker.record(Attempt { started: now, trial, first: true }, verdict, &settings(), now);
    if trial {
        breaker.give();
    }
    opened
}

#[derive(Clone, Debug)]
enum Op {
    Begin,
    /// One of those in flight ends like this, and is given back.
    End(Index, Verdict),
    /// One of those in flight that ended well ends badly after all.
    Breaks(Index),
    Advance(u64),
    /// The coordinator's word: open for so long, or closed; so many times.
    Hear(Option<u64>, u32),
    /// The same again, from before.
    Late,
    Grant(u32),
    Report,
}

fn op() -> impl Strategy<Value = Op> {
    let verdict = prop_oneof![5 => Just(GOOD), 4 => Just(FAILED), 1 => Just(SLOW), 1 => Just(Verdict { failed: true, slow: true })];
    prop_oneof![
        8 => Just(Op::Begin),
        10 => (any::<Index>(), verdict).prop_map(|(which, verdict)| Op::End(which, verdict)),
        1 => any::<Index>().prop_map(Op::Breaks),
        4 => (0..700_u64).prop_map(Op::Advance),
        1 => (prop::option::of(0..2000_u64), 0..4_u32).prop_map(|(open, opens)| Op::Hear(open, opens)),
        1 => Just(Op::Late),
        1 => (0..4_u32).prop_map(Op::Grant),
        2 => Just(Op::Report),
    ]
}

/// All that has been heard and seen since the breaker last changed.
struct Model {
    until: Option<Instant>,
    since: Instant,
    opens: u32,
    cause: Option<Cause>,
    passed: u32,
    row: u32,
    seen: Vec<(Instant, bool, Verdict)>,
    limit: u32,
    shadowed: u64,
}

impl Model {
    fn turn(&mut self, until: Option<Instant>, opens: u32, now: Instant) {
        (self.until, self.opens, self.since, self.passed, self.row) = (until, opens, now, 0, 0);
        self.seen.clear();
    }

    fn state(&self, now: Instant) -> State {
        self.until.map_or(State::Closed, |until| if now < until { State::Open(until) } else { State::HalfOpen })
    }

    /// What lay within the window and one slice more, and what within the window alone: the breaker's count is between.
    fn counts(&self, length: Duration, now: Instant) -> Counts {
        let mut counts = Counts::default();
        for (_, first, verdict) in self.seen.iter().filter(|(at, ..)| now.since(*at) < length) {
            counts += Counts { attempts: (*first).into(), failures: verdict.failed.into(), slow: verdict.slow.into() };
        }
        counts
    }

    /// Whether it must open, and whether it may.
    fn due(&self, last: Verdict, now: Instant) -> (bool, bool) {
        let row = last.failed && self.row >= settings().consecutive_failures;
        let length = settings().window.get();
        // Attempts of between two looks count as of the later look, one slice at most apart here: one more on either side.
        let over = |length| judge(self.counts(length, now), &settings()).is_some();
        let looks = [length - length / 4, length, length + length / 8, length + length / 2].map(over);
        let sure = looks.iter().all(|&over| over);
        (row || (sure && !last.is_good()), row || looks.iter().any(|&over| over))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn agrees_with_the_model(ops in prop::collection::vec(op(), 1..200)) {
        let settings = settings();
        let mut breaker = Breaker::new(&settings, 0, 1);
        let mut model = Model {
            until: None, since: at(0), opens: 0, cause: None, passed: 0, row: 0, seen: vec![], limit: settings.trials, shadowed: 0,
        };
        let (mut now, mut flying, mut ended): (_, Vec<Attempt>, Vec<(Attempt, bool)>) = (at(1), vec![], vec![]);
        let (mut version, mut heard) = (0, None);
        for op in ops {
            match op {
                Op::Begin => {
                    let room = breaker.has_room(now);
                    let trials = flying.iter().chain(ended.iter().map(|(attempt, _)| attempt)).filter(|a| a.trial).count() as u32;
                    let trial = breaker.pass(now);
                    let state = model.state(now);
                    prop_assert_eq!(trial, state == State::HalfOpen && trials < model.limit);
                    prop_assert_eq!(room, trial || state == State::Closed);
                    model.shadowed += u64::from(!room);
                    flying.push(Attempt { started: now, trial, first: true });
                }
                Op::End(which, verdict) if !flying.is_empty() => {
                    let attempt = flying.swap_remove(which.index(flying.len()));
                    let opened = breaker.record(attempt, verdict, &settings, now);
                    check(&mut model, attempt, verdict, opened, breaker.until, breaker.cause, now)?;
                    ended.push((attempt, verdict == GOOD));
                }
                Op::Breaks(which) if !ended.is_empty() => {
                    let (attempt, good) = ended.swap_remove(which.index(ended.len()));
                    let attempt = Attempt { first: false, ..attempt };
                    if good {
                        let opened = breaker.record(attempt, FAILED, &settings, now);
                        check(&mut model, attempt, FAILED, opened, breaker.until, breaker.cause, now)?;
                    }
                    if attempt.trial {
                        breaker.give();
                    }
                }
                Op::Advance(millis) => now = now + Duration::from_millis(millis),
                Op::Hear(open, opens) => {
                    let until = open.map(|millis| now + Duration::from_millis(millis));
                    let first = heard.is_none();
                    let update = Update { episode: now, until, opens, trials: None };
                    let newer = heard.as_ref().is_none_or(|before: &Update| before.episode < now);
                    breaker.apply(&update, now);
                    if newer {
                        if !(until.is_none() && (model.until.is_none() || (first && model.cause.is_some()))) {
                            model.cause = None;
                            model.turn(until, opens, now);
                        }
                        heard = Some(update);
                    }
                }
                Op::Late => {
                    if let Some(heard) = &heard {
                        breaker.apply(heard, now);
                        breaker.apply(&Update { episode: heard.episode - Duration::from_nanos(1), until: Some(at(1 << 30)), ..heard.clone() }, now);
                    }
                }
                Op::Grant(limit) => {
                    version += 1;
                    let grant = Grant { version, limit, queue: 0 };
                    breaker.apply(&Update { episode: at(0), until: None, opens: 0, trials: Some(grant) }, now);
                    model.limit = limit;
                }
                Op::Report => {
                    let trials = flying.iter().chain(ended.iter().map(|(attempt, _)| attempt)).filter(|a| a.trial).count() as u32;
                    let report = breaker.report(true, &settings, now);
                    prop_assert_eq!(report.episode, heard.as_ref().map_or(at(0), |heard| heard.episode));
                    prop_assert_eq!(report.opened, model.cause.zip(model.until).map(|(cause, until)| (until, cause)));
                    prop_assert_eq!((report.passed, report.shadowed), (model.passed, model.shadowed));
                    prop_assert_eq!((report.trials.limit, report.trials.in_flight), (model.limit, trials));
                    prop_assert!(model.state(now) != State::HalfOpen || report.trials.demand >= settings.trials);
                }
                Op::End(..) | Op::Breaks(_) => {}
            }
            prop_assert_eq!(breaker.state(now), model.state(now));
            prop_assert_eq!(breaker.is_closed(), model.until.is_none());
        }
    }

    /// The rule about latency, which keeps no times, against sorting them.
    #[test]
    fn the_quantile_is_that_of_the_sorted_times(
        mut millis in prop::collection::vec(0_u64..200, 1..150), quantile in prop::sample::select(vec![0.01, 0.5, 0.75, 0.9, 0.95, 0.99]),
    ) {
        let over = Duration::from_millis(100);
        let rules = CircuitBreaker {
            failure_rate: 0, min_requests: 1, latency: Some(BreakerLatency { quantile, over: Time::from_millis(100) }), ..settings()
        };
        let mut counts = Counts::default();
        for &took in &millis {
            let verdict = verdict(Ok(200), Duration::from_millis(took), &rules).expect("an answer says something");
            counts += Counts { attempts: 1, failures: 0, slow: verdict.slow.into() };
        }
        millis.sort_unstable();
        let rank = (quantile * millis.len() as f64 - 1e-9).ceil().max(1.0) as usize;
        let is_over = Duration::from_millis(millis[rank - 1]) > over;
        prop_assert_eq!(judge(counts, &rules), is_over.then_some(Cause::Latency));
    }
}

fn check(
    model: &mut Model,
    attempt: Attempt,
    verdict: Verdict,
    opened: bool,
    until: Option<Instant>,
    cause: Option<Cause>,
    now: Instant,
) -> Result<(), TestCaseError> {
    let (must, may) = if attempt.started < model.since {
        (false, false)
    } else if model.until.is_some() {
        let counts = attempt.trial && model.state(now) == State::HalfOpen;
        model.passed += u32::from(counts && verdict.is_good() && attempt.first);
        (counts && !verdict.is_good(), counts && !verdict.is_good())
    } else {
        model.seen.push((now, attempt.first, verdict));
        model.row = if verdict.failed { model.row + 1 } else { 0 };
        model.due(verdict, now)
    };
    prop_assert!(opened || !must, "{verdict:?} should have opened it");
    prop_assert!(!opened || may, "{verdict:?} should not have opened it");
    if opened {
        let time = Duration::from_secs(1 << model.opens.min(3)).min(Duration::from_secs(5));
        prop_assert_eq!(until, Some(now + time));
        prop_assert!(model.until.is_none() || cause == Some(Cause::Trial));
        model.cause = cause;
        model.turn(until, model.opens + 1, now);
    }
    Ok(())
}

#[test]
fn failures_in_a_row_open_it_for_longer_each_time() {
    let mut breaker = Breaker::new(&settings(), 0, 1);
    assert!(!record(&mut breaker, FAILED, at(0)) && !record(&mut breaker, FAILED, at(0)));
    assert!(!record(&mut breaker, GOOD, at(0)), "ends the row");
    assert!(!record(&mut breaker, FAILED, at(0)) && !record(&mut breaker, FAILED, at(0)));
    assert!(record(&mut breaker, FAILED, at(0)));
    let mut now = at(0);
    for seconds in [1, 2, 4, 5, 5] {
        let until = now + Duration::from_secs(seconds);
        assert_eq!(breaker.state(until - Duration::from_nanos(1)), State::Open(until));
        assert_eq!(breaker.state(until), State::HalfOpen);
        now = until;
        assert!(record(&mut breaker, FAILED, now), "a trial that fails opens it again");
    }
}

#[test]
fn the_rate_is_judged_from_so_many_on() {
    let mut breaker = Breaker::new(&settings(), 0, 1);
    for (number, verdict) in [FAILED, FAILED, GOOD, GOOD, FAILED].into_iter().enumerate() {
        assert!(!record(&mut breaker, verdict, at(number as u64)), "fewer than six");
    }
    assert!(record(&mut breaker, FAILED, at(9)), "four of six");
    assert_eq!(breaker.report(false, &settings(), at(9)).opened, Some((at(1009), Cause::FailureRate)));
}

#[test]
fn slowness_opens_it_too() {
    let mut breaker = Breaker::new(&settings(), 0, 1);
    (0..6).for_each(|_| assert!(!record(&mut breaker, GOOD, at(0))));
    assert!(!record(&mut breaker, SLOW, at(0)) && !record(&mut breaker, SLOW, at(0)), "two of eight are the slowest quarter");
    assert!(record(&mut breaker, SLOW, at(0)), "three of nine are more");
    assert_eq!(breaker.report(false, &settings(), at(0)).opened, Some((at(1000), Cause::Latency)));
    assert!(record(&mut breaker, SLOW, at(1000)), "a slow trial is a bad one");
}

#[test]
fn what_began_before_says_nothing_of_what_is() {
    let mut breaker = Breaker::new(&settings(), 0, 1);
    let old = Attempt { started: at(0), trial: false, first: true };
    (0..3).for_each(|_| _ = record(&mut breaker, FAILED, at(1)));
    breaker.apply(&Update { episode: at(2000), until: None, opens: 0, trials: None }, at(2000));
    // The first word of all doesn't undo it; the next does.
    assert_eq!(breaker.state(at(2000)), State::HalfOpen);
    breaker.apply(&Update { episode: at(2001), until: None, opens: 0, trials: None }, at(2001));
    for _ in 0..9 {
        assert!(!breaker.record(old, FAILED, &settings(), at(2002)));
    }
    assert_eq!(breaker.state(at(2002)), State::Closed);
}

#[test]
fn what_counts_as_a_failure_is_a_setting() {
    let judged = |failures: BreakerFailures, ending| {
        verdict(ending, Duration::ZERO, &CircuitBreaker { failures, ..CircuitBreaker::default() }).map(|verdict| verdict.failed)
    };
    let default = BreakerFailures::default;
    let none = || BreakerFailures { status: vec![], connect_errors: false, timeouts: false, broken_answers: false };
    for (status, failed) in [(200, false), (404, false), (499, false), (500, true), (503, true), (599, true)] {
        assert_eq!(judged(default(), Ok(status)), Some(failed), "{status}");
        assert_eq!(judged(none(), Ok(status)), Some(false), "{status}");
    }
    let only_429 = BreakerFailures { status: vec![StatusRange { low: 429, high: 429 }], ..none() };
    assert_eq!((judged(only_429.clone(), Ok(429)), judged(only_429, Ok(503))), (Some(true), Some(false)));
    let connect = || BreakerFailures { connect_errors: true, ..none() };
    let timeouts = || BreakerFailures { timeouts: true, ..none() };
    let broken = || BreakerFailures { broken_answers: true, ..none() };
    for &reason in Reason::ALL {
        let by = [none(), connect(), timeouts(), broken(), default()].map(|failures| judged(failures, Err(reason)));
        let expected = match reason {
            Reason::Unresolved | Reason::ConnectFailed | Reason::TlsFailed | Reason::CertificateRefused => {
                Some([false, true, false, false, true])
            }
            Reason::ConnectTimeout => Some([false, true, true, false, true]),
            Reason::SendTimeout | Reason::FirstByteTimeout | Reason::ResponseBodyTimeout | Reason::RequestTimeout => {
                Some([false, false, true, false, true])
            }
            Reason::SendFailed
            | Reason::StreamRefused
            | Reason::ClosedBeforeHead
            | Reason::BadResponseHead
            | Reason::BadResponseFraming => Some([false, false, false, true, true]),
            Reason::ResponseHeadTooLarge | Reason::UnexpectedUpgrade | Reason::ClosedMidBody | Reason::BadResponseBody => {
                Some([false, false, false, true, true])
            }
            Reason::BadAnswerJson => Some([false, false, false, true, true]),
            _ => None,
        };
        assert_eq!(by, expected.map_or([None; 5], |expected| expected.map(Some)), "{reason:?}");
    }
}
