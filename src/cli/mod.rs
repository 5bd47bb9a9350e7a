//! The command line: reads it, does what it says, and turns how that went into an exit code.

mod args;
mod ask;
mod demo;
mod environment;
mod health;
mod help;
mod latency;
mod memory;
mod top;
mod validate;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use ringway::log;
use ringway::run::{self, Options, StartError};
use serde_json::json;

use args::{Command, Format};

/// The configuration is bad.
const BAD_CONFIG: u8 = 1;
/// The gateway that was asked isn't ready.
const NOT_READY: u8 = 1;
/// The command line is wrong.
const BAD_USAGE: u8 = 2;
/// The gateway could not start.
const NO_START: u8 = 3;

/// Does what the arguments after the program's name say.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    memory::avoid_huge_pages();
    match args::parse(args) {
        Ok(Command::Run { config }) => start(config),
        Ok(Command::Validate { config, format }) => {
            let (good, report) = validate::report(&config, format);
            match (good, format) {
                (false, Format::Text) => eprintln!("{report}"),
                _ => print(&report),
            }
            if good { ExitCode::SUCCESS } else { ExitCode::from(BAD_CONFIG) }
        }
        Ok(Command::Health { config }) => match health::ask(&config) {
            Ok(answer) => {
                print(&answer);
                ExitCode::SUCCESS
            }
            Err(why) => {
                eprintln!("{why}");
                ExitCode::from(NOT_READY)
            }
        },
        Ok(Command::Schema) => {
            print(&format!("{:#}", ringway::config::schema()));
            ExitCode::SUCCESS
        }
        Ok(Command::Version(format)) => {
            let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
            print(&match format {
                Format::Text => format!("{name} {version}"),
                Format::Json => json!({ "name": name, "version": version }).to_string(),
            });
            ExitCode::SUCCESS
        }
        Ok(Command::Demo { port }) => demo::run(demo::Options { port }),
        Ok(Command::Top { admin }) => match top::run(admin.as_deref().unwrap_or(top::ADMIN)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(message) => {
                eprintln!("ringway: {message}");
                ExitCode::from(BAD_CONFIG)
            }
        },
        Ok(Command::Latency(asked)) => match latency::report(&asked) {
            Ok(report) => {
                print(report.trim_end());
                ExitCode::SUCCESS
            }
            Err((code, message)) => {
                eprintln!("ringway: {message}");
                ExitCode::from(code)
            }
        },
        Ok(Command::Help(topic)) => {
            print(help::text(topic).trim_end());
            ExitCode::SUCCESS
        }
        Err(usage) => {
            eprintln!("ringway: {}\nhint: {}", usage.problem, usage.hint);
            ExitCode::from(BAD_USAGE)
        }
    }
}

/// Runs the gateway with this configuration file.
fn start(path: PathBuf) -> ExitCode {
    let service = environment::take_service().map_err(|error| StartError::Process { what: "take over what this process was given", error });
    let result = service.and_then(|service| {
        start_log()?;
        let loaded = run::load(&path).map_err(StartError::Config)?;
        let options = Options { path: Some(path.clone()), release_memory: Some(memory::release), service, ..Options::default() };
        run::run(loaded, options)
    });
    if let Err(StartError::Config(problems)) = result {
        eprintln!("{problems}");
        eprintln!("ringway: not started, because the configuration is bad; `ringway validate -c {}` checks it again", path.display());
        return ExitCode::from(BAD_CONFIG);
    }
    ended(result)
}

/// What happens is written to standard error.
fn start_log() -> Result<(), StartError> {
    log::install().map_err(|error| StartError::Process { what: "start the log's thread", error })
}

/// The exit code of a gateway that ran, or could not.
fn ended(result: Result<ExitCode, StartError>) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("ringway: {error}");
        ExitCode::from(if matches!(error, StartError::Config(_)) { BAD_CONFIG } else { NO_START })
    })
}

/// Prints to standard output. A reader that has gone (`ringway schema | head`) is no error.
fn print(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}
