//! The load generator: sends requests when they are due, and tells how long the answers took.
//!
//! What decides (`schedule`, `dispatch`, `response`, `target`, `verdict`, `tally`, `search`, `merge`, `diff`, `report`, `html`, `plot`,
//! `args`) knows no clock, socket or
//! thread; `connection`, `worker` and `pace` move bytes, `secure` says who is trusted, `run` has the threads, `find` the runs, `scenario` a gateway,
//! `progress` the terminal. Of the gateway it uses the engine and the streams (`net`), never its HTTP: what
//! one misreads, the other must not misread alike.

mod args;
mod connection;
mod diff;
mod dispatch;
mod files;
mod find;
mod gateway;
mod greeting;
mod html;
mod http2;
mod merge;
mod pace;
mod plot;
mod progress;
mod protocol;
mod report;
mod response;
mod run;
mod said;
mod scenario;
mod schedule;
mod search;
mod secure;
mod tally;
mod target;
mod verdict;
mod websocket;
mod words;
mod worker;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use args::Arguments;
use find::Find;
use merge::Merge;
use run::Problem;
use scenario::Scenario;

/// Keeps memory of a thread on that thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The result isn't good, or there is none.
const NOT_GOOD: u8 = 1;
/// The command line is wrong.
const BAD_USAGE: u8 = 2;

fn main() -> ExitCode {
    let wrong = |problem: String| {
        eprintln!("ringload: {problem}\nhint: see `ringload --help`");
        ExitCode::from(BAD_USAGE)
    };
    let mut words = std::env::args_os().skip(1).peekable();
    let ended = if words.next_if(|word| word == "merge").is_some() {
        match Merge::read(words) {
            Ok(arguments) => run::merge(&arguments),
            Err(problem) => return wrong(problem),
        }
    } else if words.next_if(|word| word == "find").is_some() {
        match Find::read(words) {
            Ok(find) => find.find(),
            Err(problem) => return wrong(problem),
        }
    } else if words.next_if(|word| word == "scenario").is_some() {
        match words.collect::<Vec<_>>().as_slice() {
            [name] => match Scenario::read(&name.to_string_lossy()) {
                Ok(scenario) => scenario.play(),
                Err(problem) => return wrong(problem),
            },
            _ => return wrong("say which scenario to play, and nothing else: ringload scenario reload".to_owned()),
        }
    } else if words.next_if(|word| word == "diff").is_some() {
        match words.collect::<Vec<_>>().as_slice() {
            [first, second] => run::diff(Path::new(first), Path::new(second)),
            _ => return wrong("say which two results to compare: files that --json wrote".to_owned()),
        }
    } else {
        match Arguments::read(words) {
            Ok(arguments) if arguments.help => {
                let _ = io::stdout().write_all(args::USAGE.as_bytes());
                return ExitCode::SUCCESS;
            }
            Ok(arguments) => run::run(arguments),
            Err(problem) => return wrong(problem),
        }
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(NOT_GOOD),
        Err(Problem::Usage(problem)) => wrong(problem),
        Err(Problem::Cannot(problem)) => {
            eprintln!("ringload: {problem}");
            ExitCode::from(NOT_GOOD)
        }
    }
}
