//! What the arguments say: a command with its options, or what is wrong with them and what was perhaps meant.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::{Arg, Parser, ValueExt};

/// What the program is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run the gateway.
    Run {
        /// The configuration file.
        config: PathBuf,
    },
    /// Check a configuration file.
    Validate {
        /// The configuration file.
        config: PathBuf,
        /// How to say what was found.
        format: Format,
    },
    /// Ask a running gateway whether it is ready.
    Health {
        /// The configuration file it runs with.
        config: PathBuf,
    },
    /// Print the configuration's JSON Schema.
    Schema,
    /// Print the version.
    Version(Format),
    /// Show the gateway at work.
    Demo {
        /// The gateway's port, if it is to be a certain one.
        port: Option<u16>,
    },
    /// Show a running gateway.
    Top {
        /// Where its private listener is.
        admin: Option<String>,
    },
    /// Look back on response times.
    Latency(Look),
    /// Explain the program, or one of its commands.
    Help(Option<Topic>),
}

/// What is asked of the past: options as they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The configuration that names the directory.
    pub config: Option<PathBuf>,
    /// What the other options say, by their names.
    pub texts: Vec<(&'static str, String)>,
    /// How to say what was found.
    pub format: Format,
}

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// A command, as help speaks of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Topic {
    Run,
    Validate,
    Health,
    Schema,
    Version,
    Demo,
    Top,
    Latency,
    Help,
}

impl Topic {
    /// All commands in the order help lists them.
    pub const ALL: &[Topic] =
        &[Topic::Run, Topic::Validate, Topic::Health, Topic::Schema, Topic::Demo, Topic::Top, Topic::Latency, Topic::Version, Topic::Help];

    /// The command's name.
    pub const fn name(self) -> &'static str {
        match self {
            Topic::Run => "run",
            Topic::Validate => "validate",
            Topic::Health => "health",
            Topic::Schema => "schema",
            Topic::Version => "version",
            Topic::Demo => "demo",
            Topic::Top => "top",
            Topic::Latency => "latency",
            Topic::Help => "help",
        }
    }

    /// The options it takes beside `--help`, by their long names.
    const fn options(self) -> &'static [&'static str] {
        match self {
            Topic::Run | Topic::Health => &["config"],
            Topic::Validate => &["config", "format"],
            Topic::Version => &["format"],
            Topic::Demo => &["port"],
            Topic::Top => &["admin"],
            Topic::Latency => LATENCY,
            Topic::Schema | Topic::Help => &[],
        }
    }
}

/// Options whose values are read by the command that has them.
const TEXTS: &[&str] = &["admin", "directory", "route", "upstream", "phase", "at", "window", "percentile"];
/// The options of `latency`.
const LATENCY: &[&str] = &["config", "format", "directory", "route", "upstream", "phase", "at", "window", "percentile"];

/// What is wrong with the arguments: one sentence, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub hint: String,
}

impl Usage {
    fn new(problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Usage { problem: problem.into(), hint: hint.into() }
    }
}

impl From<lexopt::Error> for Usage {
    fn from(error: lexopt::Error) -> Self {
        let problem = match &error {
            lexopt::Error::MissingValue { option: Some(option) } if option == "-c" || option == "--config" => {
                format!("{option} needs the path of a configuration file after it")
            }
            lexopt::Error::MissingValue { option: Some(option) } => format!("{option} needs a value after it"),
            lexopt::Error::UnexpectedValue { option, .. } => format!("{option} takes no value"),
            other => other.to_string(),
        };
        Usage::new(problem, "see `ringway --help`")
    }
}

/// Options as they were given, before it is known whether they fit the command.
#[derive(Default)]
struct Given {
    config: Option<PathBuf>,
    format: Option<Format>,
    port: Option<u16>,
    texts: Vec<(&'static str, String)>,
    help: bool,
}

/// Reads the arguments that follow the program's name.
///
/// # Errors
/// When they can't be understood.
pub fn parse(args: impl Iterator<Item = OsString>) -> Result<Command, Usage> {
    let mut parser = Parser::from_args(args);
    let (mut topic, mut about, mut given) = (None, None, Given::default());
    let mut used: Vec<&'static str> = Vec::new();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => given.help = true,
            Arg::Short('V') | Arg::Long("version") if topic.is_none() => topic = Some(Topic::Version),
            Arg::Short('t') if topic.is_none() || topic == Some(Topic::Validate) => topic = Some(Topic::Validate),
            Arg::Short('c') | Arg::Long("config") => {
                given.config = Some(PathBuf::from(parser.value()?));
                used.push("config");
            }
            Arg::Long("format") => {
                given.format = Some(format(&parser.value()?)?);
                used.push("format");
            }
            Arg::Short('p') | Arg::Long("port") => {
                let value = parser.value()?;
                let wrong = |_| Usage::new(format!("`{}` is no port", value.display()), "ports are numbers from 0 to 65535");
                given.port = Some(value.parse().map_err(wrong)?);
                used.push("port");
            }
            Arg::Long(name) if let Some(option) = TEXTS.iter().find(|option| **option == name) => {
                let value = parser.value()?;
                given.texts.push((option, value.to_string_lossy().into_owned()));
                used.push(option);
            }
            Arg::Short(letter) => return Err(unknown_option(&format!("-{letter}"), topic)),
            Arg::Long(name) => return Err(unknown_option(&format!("--{name}"), topic)),
            Arg::Value(word) if topic.is_none() => topic = Some(command(&word)?),
            Arg::Value(word) if topic == Some(Topic::Help) && about.is_none() => about = Some(command(&word)?),
            Arg::Value(word) => return Err(left_over(&word, topic)),
        }
    }
    if given.help {
        return Ok(Command::Help(topic.filter(|topic| *topic != Topic::Help).or(about)));
    }
    let Some(topic) = topic else {
        return Err(match given.config {
            Some(file) => {
                let file = file.display();
                Usage::new("no command is given", format!("did you mean `ringway run -c {file}` or `ringway validate -c {file}`?"))
            }
            None => Usage::new("no command is given", "see `ringway --help`; `ringway demo` shows the gateway at work"),
        });
    };
    if let Some(option) = used.iter().find(|option| !topic.options().contains(option)) {
        let name = topic.name();
        return Err(Usage::new(format!("`ringway {name}` has no option --{option}"), format!("see `ringway {name} --help`")));
    }
    finish(topic, about, given)
}

/// Puts a command and its options together.
fn finish(topic: Topic, about: Option<Topic>, given: Given) -> Result<Command, Usage> {
    let needs_config = || {
        let name = topic.name();
        let hint = format!("`ringway {name} -c FILE`; config/minimal.json is a small example");
        Usage::new(format!("`ringway {name}` needs a configuration file"), hint)
    };
    let format = given.format.unwrap_or_default();
    Ok(match topic {
        Topic::Run => Command::Run { config: given.config.ok_or_else(needs_config)? },
        Topic::Validate => Command::Validate { config: given.config.ok_or_else(needs_config)?, format },
        Topic::Health => Command::Health { config: given.config.ok_or_else(needs_config)? },
        Topic::Schema => Command::Schema,
        Topic::Version => Command::Version(format),
        Topic::Top => Command::Top { admin: given.texts.into_iter().next_back().map(|(_, admin)| admin) },
        Topic::Latency => Command::Latency(Look { config: given.config, texts: given.texts, format }),
        Topic::Demo => Command::Demo { port: given.port },
        Topic::Help => Command::Help(about),
    })
}

fn format(word: &OsString) -> Result<Format, Usage> {
    match word.to_str() {
        Some("text") => Ok(Format::Text),
        Some("json") => Ok(Format::Json),
        _ => Err(Usage::new(format!("`{}` is no format", word.display()), "there are: text, json")),
    }
}

fn command(word: &OsString) -> Result<Topic, Usage> {
    let word = word.to_string_lossy();
    if let Some(topic) = Topic::ALL.iter().find(|topic| topic.name() == word) {
        return Ok(*topic);
    }
    let names = || Topic::ALL.iter().map(|topic| topic.name());
    let hint = match nearest(&word, names()) {
        Some(name) => format!("did you mean `ringway {name}`?"),
        None => format!("there are: {}", names().collect::<Vec<_>>().join(", ")),
    };
    Err(Usage::new(format!("there is no command `{word}`"), hint))
}

fn unknown_option(option: &str, topic: Option<Topic>) -> Usage {
    let options = topic.map_or(&["config", "format", "port"][..], Topic::options);
    let known = || options.iter().copied().chain(["help"]);
    let hint = match nearest(option.trim_start_matches('-'), known()) {
        Some(name) => format!("did you mean `--{name}`?"),
        None => match topic {
            Some(topic) => format!("see `ringway {} --help`", topic.name()),
            None => "see `ringway --help`".into(),
        },
    };
    Usage::new(format!("there is no option `{option}`"), hint)
}

fn left_over(word: &OsString, topic: Option<Topic>) -> Usage {
    let word = word.display();
    match topic {
        Some(topic) if topic.options().contains(&"config") => {
            Usage::new(format!("`{word}` is one argument too many"), format!("did you mean `ringway {} -c {word}`?", topic.name()))
        }
        _ => Usage::new(format!("`{word}` is one argument too many"), "see `ringway --help`"),
    }
}

/// The name a mistyped word most likely stands for, if any is near.
fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |name: &&str| strsim::damerau_levenshtein(word, name);
    names.filter(|name| distance(name) <= 1 + name.len() / 4).min_by_key(distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Command, Usage> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn hint(line: &str) -> String {
        let usage = read(line).unwrap_err();
        format!("{}; {}", usage.problem, usage.hint)
    }

    #[test]
    fn commands_and_options_are_read() {
        let config = PathBuf::from("a.json");
        assert_eq!(read("run -c a.json"), Ok(Command::Run { config: config.clone() }));
        assert_eq!(read("run --config=a.json"), Ok(Command::Run { config: config.clone() }));
        assert_eq!(read("-c a.json run"), Ok(Command::Run { config: config.clone() }));
        let validate = |format| Ok(Command::Validate { config: config.clone(), format });
        assert_eq!(read("validate -c a.json"), validate(Format::Text));
        assert_eq!(read("-t -c a.json"), validate(Format::Text));
        assert_eq!(read("-tc a.json"), validate(Format::Text));
        assert_eq!(read("validate --format json -c a.json"), validate(Format::Json));
        assert_eq!(read("health -c a.json"), Ok(Command::Health { config: config.clone() }));
        assert_eq!(read("schema"), Ok(Command::Schema));
        assert_eq!(read("version"), Ok(Command::Version(Format::Text)));
        assert_eq!(read("--version"), Ok(Command::Version(Format::Text)));
        assert_eq!(read("demo"), Ok(Command::Demo { port: None }));
        assert_eq!(read("demo --port 8090"), Ok(Command::Demo { port: Some(8090) }));
    }

    #[test]
    fn help_is_everywhere() {
        assert_eq!(read("--help"), Ok(Command::Help(None)));
        assert_eq!(read("help"), Ok(Command::Help(None)));
        assert_eq!(read("help --help"), Ok(Command::Help(None)));
        for topic in Topic::ALL.iter().filter(|topic| **topic != Topic::Help) {
            assert_eq!(read(&format!("{} --help", topic.name())), Ok(Command::Help(Some(*topic))));
            assert_eq!(read(&format!("{} -h", topic.name())), Ok(Command::Help(Some(*topic))));
            assert_eq!(read(&format!("help {}", topic.name())), Ok(Command::Help(Some(*topic))));
        }
    }

    #[test]
    fn mistakes_are_answered_with_what_was_perhaps_meant() {
        assert_eq!(hint("rnu -c x"), "there is no command `rnu`; did you mean `ringway run`?");
        assert_eq!(hint("validat"), "there is no command `validat`; did you mean `ringway validate`?");
        assert!(hint("frobnicate").contains("there are: run, validate"));
        assert_eq!(hint("run --confg x"), "there is no option `--confg`; did you mean `--config`?");
        assert_eq!(hint("run gateway.json"), "`gateway.json` is one argument too many; did you mean `ringway run -c gateway.json`?");
        assert!(hint("run").contains("needs a configuration file; `ringway run -c FILE`"));
        assert!(hint("-c x").contains("did you mean `ringway run -c x` or"));
        assert!(hint("").contains("no command is given"));
        assert!(hint("run -c").contains("-c needs the path of a configuration file"));
        assert!(hint("validate -c x --format yaml").contains("there are: text, json"));
        assert!(hint("run -c x --format json").contains("has no option --format"));
        assert!(hint("demo --port many").contains("`many` is no port"));
        assert!(hint("schema -z").contains("see `ringway schema --help`"));
    }
}
