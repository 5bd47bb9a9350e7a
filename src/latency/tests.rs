//! What cores record is what the history says, whole, whenever it is asked.

use std::sync::Arc;

use super::*;

fn times(total: u32) -> Times {
    let mut times = Times([Times::NONE; Phase::ALL.len()]);
    times.0[Phase::Total as usize] = total;
    times
}

fn names(route: &str, upstream: &str) -> [Arc<str>; 2] {
    [route.into(), upstream.into()]
}

#[test]
fn all_cores_come_together_and_no_second_is_lost() {
    let board = Arc::new(Board::new(8));
    let mut cores: Vec<Recorder> = (0..3).map(|_| Recorder::new(board.clone())).collect();
    let mut history = History::new(board);
    let mut all = empty();
    for second in 0..100u64 {
        let mut last = empty();
        for (index, core) in cores.iter_mut().enumerate() {
            for request in 0..second % 7 {
                let micros = (second * 1_000 + request * 37 + index as u64) as u32;
                core.record([1, 0, 0], || names("a", "u"), &times(micros), 0);
                last.record(micros.into()).unwrap();
            }
        }
        history.collect();
        all.add(&last).unwrap();
        assert_eq!(history.window(Phase::Total, Window::Seconds(1), |_| true), last, "second {second}");
        assert_eq!(history.window(Phase::Total, Window::All, |_| true), all);
    }
    let minute = history.window(Phase::Total, Window::Seconds(60), |_| true);
    assert_eq!(minute.len(), 3 * (40..100).map(|second| second % 7).sum::<u64>());
    assert_eq!(minute.min(), 39_936, "the cell of 40 ms, the first of that minute");
    assert_eq!(history.window(Phase::Queue, Window::All, |_| true).len(), 0, "a phase that wasn't there isn't zero");
}

#[test]
fn series_are_told_apart_by_name_and_outlive_a_reload() {
    let board = Arc::new(Board::new(8));
    let (mut core, mut history) = (Recorder::new(board.clone()), History::new(board));
    core.record([1, 0, 0], || names("a", "u"), &times(10), 7);
    core.record([1, 1, 0], || names("b", "u"), &times(20), 7);
    // Another plan, in which the numbers are the other way round.
    core.record([2, 0, 0], || names("b", "u"), &times(20), 7);
    core.record([2, 1, 0], || names("a", "u"), &times(10), 7);
    core.record([2, 1, 0], || unreachable!("it is known"), &times(10), 7);
    history.collect();
    let count = |route: &str| history.window(Phase::Total, Window::All, |series| &*series.route == route);
    assert_eq!((count("a").len(), count("a").max()), (3, 10));
    assert_eq!((count("b").len(), count("b").max()), (2, 20));
    assert_eq!(history.series().len(), 2);
    assert_eq!(history.series().iter().map(|series| series.outcome(7)).collect::<Vec<_>>(), [3, 2]);
}

#[test]
fn a_percentile_is_the_quantile_that_is_written_so() {
    let written = [(0.0, 0.0), (50.0, 0.5), (99.0, 0.99), (99.9, 0.999), (99.99, 0.9999), (99.999, 0.99999), (0.1, 0.001), (100.0, 1.0)];
    for (percentile, wanted) in written {
        assert_eq!(quantile(percentile), wanted);
    }
    let mut times = empty();
    times.record_n(1, 3996).unwrap();
    times.record_n(1000, 4).unwrap();
    assert_eq!(times.value_at_quantile(quantile(99.9)), 1, "999 of a thousand took no longer");
}

#[test]
fn seconds_are_known_one_by_one() {
    let board = Arc::new(Board::new(8));
    let (mut core, mut history) = (Recorder::new(board.clone()), History::new(board));
    assert!(history.each_second(Phase::Total).is_empty());
    for second in 0..SECONDS as u32 + 5 {
        for route in 0..second % 3 {
            core.record([1, route.into(), 0], || names(&route.to_string(), "u"), &times(10 + second), 0);
        }
        history.collect();
    }
    let seconds = history.each_second(Phase::Total);
    assert_eq!(seconds.len(), SECONDS);
    for (place, times) in seconds.iter().enumerate() {
        let second = place as u64 + 5;
        assert_eq!((times.len(), times.max()), (second % 3, if times.is_empty() { 0 } else { 10 + second }), "{second}");
    }
}

#[test]
fn beyond_so_many_series_all_are_one() {
    let board = Arc::new(Board::new(2));
    let mut cores = [Recorder::new(board.clone()), Recorder::new(board.clone())];
    for core in &mut cores {
        for route in 0..50 {
            core.record([1, route, 0], || names(&route.to_string(), "u"), &times(5), 0);
        }
    }
    let mut history = History::new(board.clone());
    history.collect();
    let series: Vec<_> = history.series().iter().map(|series| (&*series.route, &*series.upstream)).collect();
    assert_eq!(series, [("0", "u"), ("1", "u"), (OTHER, OTHER)]);
    assert_eq!(history.window(Phase::Total, Window::All, |series| &*series.route == OTHER).len(), 96);
    assert_eq!(board.cells().len(), 6, "memory is bounded");
}

#[test]
fn who_is_slow_is_told_from_the_last_minute() {
    let board = Arc::new(Board::new(2));
    let (mut core, mut history) = (Recorder::new(board.clone()), History::new(board));
    let mut record = |micros| core.record([1, 0, 0], || names("a", "u"), &times(micros), 0);
    assert!(!(0..999).any(|_| record(100)) && !record(1_000_000), "too little is known");
    history.collect();
    assert!(record(101) && !record(100));
    for _ in 0..60 {
        history.collect();
    }
    assert!(!record(1_000_000), "what was a minute ago is forgotten");
}

#[test]
fn cumulative_counts_are_those_of_the_cells() {
    let board = Arc::new(Board::new(2));
    let (mut core, mut history) = (Recorder::new(board.clone()), History::new(board));
    for micros in [50, 51, 100, 5_000, MAX_MICROS] {
        core.record([1, 0, 0], || names("a", "u"), &times(micros), 0);
    }
    history.collect();
    let (counts, len, sum) = history.cumulative(Phase::Total, &[50, 100, 10_000, 100_000_000], |_| true);
    assert_eq!((counts, len), (vec![1, 3, 4, 5], 5));
    assert!((sum / 60_005_201.0 - 1.0).abs() < 0.01, "{sum}");
}

#[test]
fn a_slow_request_says_what_took_its_time() {
    let mut slow = Slow {
        at_us: 0,
        request_id: String::new(),
        line: "GET /".into(),
        route: "r".into(),
        upstream: "u".into(),
        endpoint: "e".into(),
        status: 200,
        reason: None,
        attempts: 1,
        lost: 0,
        bytes_out: 0,
        core: 0,
        times: Times([1000, 0, 10, Times::NONE, 900, 80, 100]),
    };
    assert_eq!(slow.cause(), "90 % waiting for the endpoint's answer (u, e)");
    slow.lost = 950;
    assert_eq!(slow.cause(), "95 % attempts that failed (u, e)");
    slow = Slow { endpoint: String::new(), lost: 0, times: times(50), ..slow };
    assert_eq!(slow.cause(), "answered by the gateway itself");
    let log = SlowLog::default();
    for status in 0..SLOW_KEPT as u16 + 3 {
        log.add(Slow { status, ..slow.clone() });
    }
    let latest = log.latest();
    assert_eq!((latest.len(), latest[0].status, latest[SLOW_KEPT - 1].status), (SLOW_KEPT, SLOW_KEPT as u16 + 2, 3));
}
