//! What a step costs: the nanoseconds of the fastest of several rounds, and the instructions that callgrind counts for as much in a second
//! process, which repeat on any machine.

use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use ringway::clock::Clock;

/// What one step costs.
pub struct Cost {
    nanos: f64,
    instructions: Option<f64>,
}

impl fmt::Display for Cost {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instructions = self.instructions.map_or("-".into(), |count| format!("{count:.0}"));
        write!(out, "{:>8.1}{instructions:>7}", self.nanos)
    }
}

/// The cost of a step, which is taken so many times a round. What a round needs is prepared from its number, and isn't measured.
pub fn cost<P>(steps: u64, mut prepare: impl FnMut(u64) -> P, mut step: impl FnMut(&mut P, u64)) -> Cost {
    let mut round = |number: u64, steps: u64, measure: &dyn Fn(&mut dyn FnMut()) -> f64| {
        let mut prepared = prepare(number);
        measure(&mut || (0..steps).for_each(|at| step(&mut prepared, at))) / steps as f64
    };
    if std::env::var_os(COUNTING).is_some() {
        round(0, steps.min(COUNTED), &|run| {
            run();
            0.0
        });
        let nanos = round(1, steps.min(COUNTED), &|run| {
            counted(run);
            0.0
        });
        return Cost { nanos, instructions: None };
    }
    let clock = Clock::start();
    let timed = |run: &mut dyn FnMut()| {
        let begun = clock.now();
        run();
        clock.now().since(begun).as_nanos() as f64
    };
    let nanos = (0..ROUNDS).map(|number| round(number, steps, &timed)).fold(f64::MAX, f64::min);
    let count = counts().get(NEXT.fetch_add(1, Ordering::Relaxed));
    Cost { nanos, instructions: count.map(|&count| count as f64 / steps.min(COUNTED) as f64) }
}

/// Callgrind counts what happens in here, and writes that down each time it returns.
#[inline(never)]
fn counted(run: &mut dyn FnMut()) {
    run();
}

/// Instructions of each round that was counted, in the order of the rows.
fn counts() -> &'static [u64] {
    static COUNTS: OnceLock<Vec<u64>> = OnceLock::new();
    COUNTS.get_or_init(|| {
        let directory = std::env::temp_dir().join(format!("ringway-micro-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory for what is counted");
        let counts = count(&directory);
        let _ = std::fs::remove_dir_all(&directory);
        counts.unwrap_or_else(|| {
            println!("Instructions aren't counted: that needs valgrind.");
            Vec::new()
        })
    })
}

fn count(directory: &Path) -> Option<Vec<u64>> {
    let function = concat!(module_path!(), "::counted");
    let status = Command::new("valgrind")
        .args(["-q", "--tool=callgrind"])
        .arg(format!("--callgrind-out-file={}", directory.join("counts").display()))
        .args([format!("--toggle-collect={function}"), format!("--dump-after={function}")])
        .arg(std::env::current_exe().ok()?)
        .env(COUNTING, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !status.is_ok_and(|status| status.success()) {
        return None;
    }
    let total = |number: usize| {
        let text = std::fs::read_to_string(directory.join(format!("counts.{number}"))).ok()?;
        text.lines().find_map(|line| line.strip_prefix("totals: ")?.parse().ok())
    };
    Some((1..).map_while(total).collect())
}

static NEXT: AtomicUsize = AtomicUsize::new(0);
/// Set in the process that is counted.
const COUNTING: &str = "RINGWAY_MICRO_COUNTING";
/// Steps counted at most.
const COUNTED: u64 = 10_000;
const ROUNDS: u64 = 10;
