//! The highest rate that holds the objectives, found by steps. Each is a run of this program like any other, in a process of its own:
//! it leaves no connection and no waiting request to the next one.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::args::{Arguments, positive};
use crate::merge;
use crate::progress::Progress;
use crate::run::{Problem, open};
use crate::search::{Found, Search, Shown};
use crate::tally::Tally;
use crate::verdict::{Expectation, UNANSWERED};
use crate::words::{SECOND, rate, show_part, show_rate, show_time};

/// What is to be found, and how.
pub struct Find {
    objectives: Vec<Expectation>,
    /// Nanoseconds of a step.
    step: u64,
    precision: f64,
    lowest: f64,
    highest: f64,
    json: Option<PathBuf>,
    /// What the runs have in common, as words and as they are understood.
    words: Vec<OsString>,
    run: Arguments,
}

/// A step that was taken.
struct Step {
    asked: f64,
    got: f64,
    tally: Tally,
    shown: Shown,
    /// Why it isn't held.
    why: Vec<String>,
}

/// The step before the first, which isn't counted: the target opens files and grows its memory.
const WARM_UP: u64 = SECOND;
/// For so long at least, answers are waited for behind the end of a step.
const GRACE: u64 = SECOND;

impl Find {
    /// Reads the words behind `find`: its own ones, and those of a run.
    ///
    /// # Errors
    /// A sentence about what is wrong.
    pub fn read(words: impl IntoIterator<Item = OsString>) -> Result<Find, String> {
        let (mut objectives, mut rest, mut json) = (Vec::new(), Vec::new(), None);
        let (mut step, mut precision, mut lowest, mut highest) = (5 * SECOND, 0.05, 100.0, 1e8);
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let text = word.to_string_lossy().into_owned();
            let (name, inline) = text.split_once('=').map_or((text.as_str(), None), |(name, value)| (name, Some(value.to_owned())));
            if !["--slo", "--step-time", "--precision", "--from", "--to", "--json"].contains(&name) {
                rest.push(word);
                continue;
            }
            let value = inline.or_else(|| words.next().map(|value| value.to_string_lossy().into_owned()));
            let value = value.ok_or_else(|| format!("{name} needs a value"))?;
            match name {
                "--slo" => {
                    for objective in value.split(',') {
                        objectives.push(Expectation::read(objective.trim())?);
                    }
                }
                "--step-time" => step = positive(name, &value)?,
                "--precision" => precision = part(&value)?,
                "--from" => lowest = rate(&value)?,
                "--to" => highest = rate(&value)?,
                _ => json = Some(value.into()),
            }
        }
        let run = Arguments::read(rest.iter().cloned())?;
        if run.help {
            return Err("the help for `find` is part of `ringload --help`".to_owned());
        }
        if objectives.is_empty() {
            return Err("say what has to hold: --slo 'p99.9<5ms,errors<0.1%'".to_owned());
        }
        if run.schedule.is_some() || !run.expectations.is_empty() || [&run.hgrm, &run.hlog, &run.html].iter().any(|file| file.is_some()) {
            return Err("`find` chooses rates itself, and takes no --rate, --expect, --hgrm, --hlog or --html".to_owned());
        }
        if lowest * step as f64 / (SECOND as f64) < 1.0 || highest < lowest {
            return Err("--from has to make a request in --step-time, and --to has to be no less".to_owned());
        }
        Ok(Find { objectives, step, precision, lowest, highest, json, words: rest, run })
    }

    /// Finds it, prints what it found, and says whether any rate holds.
    ///
    /// # Errors
    /// When there is no result.
    pub fn find(self) -> Result<bool, Problem> {
        let cannot = |error: io::Error| Problem::Cannot(format!("cannot write the result: {error}"));
        let tells = self.json.as_deref() != Some("-".as_ref());
        let mut out = open(&self.json)?;
        let mut steps: Vec<Step> = Vec::new();
        let (target, _) = self.run(self.lowest, WARM_UP.min(self.step))?;
        if tells {
            print(&self.head(&target)).map_err(cannot)?;
        }
        let mut search = Search::new(self.lowest, self.highest, self.precision);
        let found = loop {
            match search.next() {
                Ok(rate) => {
                    let (_, step) = self.run(rate, self.step)?;
                    search.on_step(rate, step.shown);
                    if tells {
                        print(&line(&step)).map_err(cannot)?;
                    }
                    steps.push(step);
                }
                Err(found) => break found,
            }
        };
        if tells {
            print(&format!("\n{}", ending(found))).map_err(cannot)?;
        }
        if let Some(out) = &mut out {
            writeln!(out, "{:#}", self.json(&target, &steps, found)).and_then(|()| out.flush()).map_err(cannot)?;
        }
        Ok(!matches!(found, Found::None(_) | Found::Own(None, _)))
    }

    /// One step: whom it asked, and what came of it.
    fn run(&self, asked: f64, length: u64) -> Result<(String, Step), Problem> {
        let mut progress = Progress::new(self.run.quiet || !io::stderr().is_terminal());
        progress.tell(&[format!("asking {} for {} ...", show_rate(asked), show_time(length))]);
        // Behind that, who still waits has waited for longer than any objective allows.
        let grace = self.objectives.iter().filter_map(Expectation::bound).fold(GRACE, u64::max);
        let program = std::env::current_exe().map_err(|error| Problem::Cannot(format!("cannot find its own program: {error}")))?;
        let mut command = Command::new(program);
        command.args(["--json", "-", "--quiet", "--rate", &asked.to_string()]);
        command.args(["--duration", &format!("{length}ns"), "--grace", &format!("{grace}ns")]).args(&self.words);
        let output = command.stderr(Stdio::inherit()).output();
        progress.end();
        let output = output.map_err(|error| Problem::Cannot(format!("cannot start a step: {error}")))?;
        let lacks = |what: &str| Problem::Cannot(format!("the step at {} has no result: no valid {what}", show_rate(asked)));
        let value: Value = serde_json::from_slice(&output.stdout).map_err(|_| lacks("JSON"))?;
        let tally = merge::read(&value).map_err(lacks)?;
        let number = |key: &'static str| value[key].as_f64().ok_or_else(|| lacks(key));
        let judged = self.objectives.iter().map(|objective| objective.judge(&tally));
        let mut why: Vec<String> = judged.filter(|(holds, _)| !holds).map(|(_, line)| line).collect();
        let doubts = value["doubts"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let own: Vec<String> = doubts.filter(|doubt| *doubt != UNANSWERED).map(str::to_owned).collect();
        // Its own lateness is part of the response times: objectives that hold hold all the same.
        let shown = match (why.is_empty(), own.is_empty()) {
            (true, _) => Shown::Held,
            (false, true) => Shown::Broken,
            (false, false) => Shown::Own,
        };
        if shown == Shown::Own {
            why = own;
        }
        Ok((
            value["target"].as_str().unwrap_or_default().to_owned(),
            Step { asked, got: number("answered_per_second")?, tally, shown, why },
        ))
    }

    fn head(&self, target: &str) -> String {
        let objectives: Vec<&str> = self.objectives.iter().map(Expectation::text).collect();
        let (connections, threads) = (self.run.connections, self.run.threads);
        let (step, precision) = (show_time(self.step), self.precision * 100.0);
        format!(
            "{target}\nopen loop, up to {connections} connections, {threads} thread(s), steps of {step}, to within {precision} %\n\
             objectives  {}\n\n{:>12}{:>12}{:>10}{:>10}{:>10}{:>14}  held?\n",
            objectives.join(", "),
            "asked",
            "got",
            "p50",
            "p99",
            "p99.9",
            "errors"
        )
    }

    fn json(&self, target: &str, steps: &[Step], found: Found) -> Value {
        let steps: Vec<Value> = steps
            .iter()
            .map(|step| {
                let at = |quantile| step.tally.response.value_at_quantile(quantile);
                json!({
                    "asked_per_second": step.asked,
                    "answered_per_second": step.got,
                    "p50_ns": at(0.5),
                    "p99_ns": at(0.99),
                    "p99.9_ns": at(0.999),
                    "due": step.tally.due,
                    "errors": step.tally.errors(),
                    "shown": match step.shown {
                        Shown::Held => "held",
                        Shown::Broken => "broken",
                        Shown::Own => "ringload_was_the_bottleneck",
                    },
                    "why": step.why,
                })
            })
            .collect();
        let (holds, ends_at, end) = match found {
            Found::Knee(holds, broken) => (Some(holds), Some(broken), "target"),
            Found::Highest(holds) => (Some(holds), None, "highest_rate_asked"),
            Found::Own(holds, own) => (holds, Some(own), "ringload"),
            Found::None(broken) => (None, Some(broken), "target"),
        };
        json!({
            "ringload": env!("CARGO_PKG_VERSION"),
            "target": target,
            "objectives": self.objectives.iter().map(Expectation::text).collect::<Vec<_>>(),
            "step_time_ns": self.step,
            "precision": self.precision,
            "connections": self.run.connections,
            "pipeline": self.run.pipeline,
            "threads": self.run.threads,
            "steps": steps,
            "holds_per_second": holds,
            "ends_at_per_second": ends_at,
            "ended_by": end,
        })
    }
}

/// A step as a line of the curve.
fn line(step: &Step) -> String {
    let at = |quantile| show_time(step.tally.response.value_at_quantile(quantile));
    let tally = &step.tally;
    let mut line = format!("{:>12}{:>12}", show_rate(step.asked), show_rate(step.got));
    let _ = write!(line, "{:>10}{:>10}{:>10}{:>14}  ", at(0.5), at(0.99), at(0.999), show_part(tally.errors(), tally.due));
    match step.shown {
        Shown::Held => line.push_str("yes\n"),
        Shown::Broken => {
            let _ = writeln!(line, "NO   {}", step.why.join("; "));
        }
        Shown::Own => {
            let _ = writeln!(line, "?    says nothing about the target: {}", step.why.join("; "));
        }
    }
    line
}

/// What was found, in words.
fn ending(found: Found) -> String {
    match found {
        Found::Knee(holds, broken) => format!("knee        {} holds, {} does not\n", show_rate(holds), show_rate(broken)),
        Found::Highest(holds) => format!("no knee     {} holds, the highest rate that was to be asked (--to)\n", show_rate(holds)),
        Found::Own(holds, own) => {
            let holds = holds.map_or("no rate is known to hold".to_owned(), |holds| format!("{} holds", show_rate(holds)));
            format!(
                "no knee     {holds}; at {} ringload itself was the bottleneck: give it more --threads, or cores of its own\n",
                show_rate(own)
            )
        }
        Found::None(broken) => format!("no knee     not even {} holds, the lowest rate asked (--from)\n", show_rate(broken)),
    }
}

/// A part, written in percent.
fn part(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    let percent = percent.filter(|percent| (0.1..=100.0).contains(percent));
    percent.map(|percent| percent / 100.0).ok_or_else(|| format!("`{text}` is no --precision: write 0.1% to 100%"))
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Find, String> {
        Find::read(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn its_own_words_are_told_from_those_of_a_run() {
        let find =
            read("--slo p99<5ms,errors<1% -c 7 --slo=p50<1ms --step-time 2s --precision=10% --from 5 --to 1k --json - http://a").unwrap();
        assert_eq!(find.objectives.iter().map(Expectation::text).collect::<Vec<_>>(), ["p99<5ms", "errors<1%", "p50<1ms"]);
        assert_eq!((find.step, find.precision, find.lowest, find.highest), (2 * SECOND, 0.1, 5.0, 1000.0));
        assert_eq!(find.words, ["-c", "7", "http://a"]);
        assert_eq!((find.run.connections, find.json), (7, Some("-".into())));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, told) in [
            ("a", "what has to hold"),
            ("--slo p99 a", "no expectation"),
            ("a --slo", "needs a value"),
            ("--slo p99<1s", "whom to ask"),
            ("--slo p99<1s --rate 5 a", "chooses rates itself"),
            ("--slo p99<1s --precision 5 a", "--precision"),
            ("--slo p99<1s --step-time 0 a", "longer than nothing"),
            ("--slo p99<1s --from 0 a", "--from has to"),
            ("--slo p99<1s --from 10 --to 5 a", "--to has to"),
        ] {
            let problem = read(line).err().unwrap_or_else(|| panic!("{line} was taken"));
            assert!(problem.contains(told), "{line}: {problem}");
        }
    }
}
