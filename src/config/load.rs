//! From a file to a checked configuration: parse, expand, check against the schema, read, check the rules.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::check::{self, Finding};
use super::expand::{self, Environment};
use super::schema::SHAPE;
use super::tree::{Kind, Value, quoted};
use super::{Config, Problem, Problems, json, meaning, rules, toml, yaml};

/// What some editors begin a file with.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Bytes of a configuration file, at most.
const FILE_MAX: u64 = 64 << 20;

/// A configuration that was read and checked.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The settings.
    pub config: Arc<Config>,
    /// Hash of their meaning: the same whatever the file's format, comments and order of settings.
    pub hash: u64,
    /// Where each setting stands.
    pub source: Arc<Source>,
}

/// Where each setting of a configuration stands in its file.
#[derive(Debug)]
pub struct Source {
    file: String,
    text: String,
    /// Where each line begins.
    lines: Vec<usize>,
    root: Value,
}

/// What keeps a text from being read at all.
#[derive(Debug)]
pub(super) struct Fault {
    at: usize,
    message: String,
}

impl Fault {
    /// Something that breaks the rules of the file's format.
    pub fn syntax(at: usize, message: &str) -> Self {
        let mut letters = message.chars();
        let message = letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default();
        Fault { at, message }
    }
}

/// Reads and checks a configuration file. Its format is that of its ending: `.json`, `.yaml`, `.yml` or `.toml`.
///
/// # Errors
/// Everything that is wrong with it. What only compiling the routes can find is told by `run::build`.
pub fn load(path: &Path) -> Result<Loaded, Problems> {
    let source = Source::new(path, String::new());
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        let hint =
            (error.kind() == io::ErrorKind::NotFound).then(|| "is the path right? It is looked for from the working directory".into());
        return Err(source.unreadable(format!("cannot be read: {error}"), hint));
    }
    if bytes.len() as u64 > FILE_MAX {
        return Err(source.unreadable(format!("is larger than {} MiB", FILE_MAX >> 20), Some("is this the right file?".into())));
    }
    load_bytes(bytes, path, &from_process)
}

pub(super) fn load_bytes(bytes: Vec<u8>, name: &Path, environment: Environment<'_>) -> Result<Loaded, Problems> {
    match String::from_utf8(bytes) {
        Ok(text) => load_with(text, name, environment),
        Err(error) => {
            let sound = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(&error.as_bytes()[..sound]).into_owned();
            Err(Source::new(name, text).faulty(vec![Fault { at: sound, message: "this is not UTF-8".into() }]))
        }
    }
}

/// Reads and checks the text of a configuration; `name` is what problems call it, and its ending tells the format.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load_text(text: &str, name: &Path) -> Result<Loaded, Problems> {
    load_with(text.to_owned(), name, &from_process)
}

fn from_process(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

pub(super) fn load_with(mut text: String, name: &Path, environment: Environment<'_>) -> Result<Loaded, Problems> {
    if text.starts_with(BYTE_ORDER_MARK) {
        text.remove(0);
    }
    let mut source = Source::new(name, text);
    let parsed = match name.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase()).as_deref() {
        None | Some("json") => json::parse(&source.text),
        Some("yaml" | "yml") => yaml::parse(&source.text),
        Some("toml") => toml::parse(&source.text),
        Some(other) => {
            let hint = "it tells the format: \".json\", \".yaml\", \".yml\" or \".toml\"".into();
            return Err(source.unreadable(format!("the ending \".{other}\" is unknown"), Some(hint)));
        }
    };
    source.root = match parsed {
        Ok(root) => root,
        Err(faults) => return Err(source.faulty(faults)),
    };
    let mut findings = Vec::new();
    expand::expand(&mut source.root, environment, &mut |at, message, hint| {
        findings.push(Finding { at, path: String::new(), message, hint: Some(hint.into()), meant: None });
    });
    for finding in &mut findings {
        finding.path = source.path_at(finding.at);
    }
    findings.extend(check::check(&mut source.root, &SHAPE));
    let mut config = Config::default();
    if source.root.kind != Kind::Refused {
        config = Config::deserialize(&source.root).unwrap_or_else(|error| {
            let message = if source.has_secrets() { "does not fit the settings".into() } else { error.to_string() };
            findings.push(Finding { at: source.root.at, path: String::new(), message, hint: None, meant: None });
            Config::default()
        });
    }
    let broken = rules::check(&config, &source);
    let meant: Vec<String> = findings.iter_mut().filter_map(|finding| finding.meant.take()).collect();
    let problem = |finding: Finding| source.problem(finding.at, finding.path, finding.message, finding.hint);
    let mut problems = Problems::new(findings.into_iter().map(problem).collect()).with_meant(meant);
    problems.extend(broken.into_iter().map(|rule| source.problem(source.root.find(&rule.path).at, rule.path, rule.message, rule.hint)));
    let hash = hash(&mut config);
    let loaded = Loaded { config: Arc::new(config), hash, source: Arc::new(source) };
    if problems.list().is_empty() { Ok(loaded) } else { Err(problems.with_draft(loaded)) }
}

impl Source {
    fn new(name: &Path, text: String) -> Self {
        let lines = std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1)).collect();
        Source { file: name.display().to_string(), text, lines, root: Value::empty_table() }
    }

    /// Problems that were found later, by the paths of their settings, with line and column.
    ///
    /// Their messages may quote values; where one would show what was read from outside, it is left out.
    pub fn problems(&self, found: impl Iterator<Item = (String, String)>) -> Problems {
        let mut secrets = Vec::new();
        self.root.each_secret(&mut |text| {
            if text.len() >= SECRET_MIN {
                secrets.extend([text.to_owned(), text.escape_debug().to_string()]);
            }
        });
        let list = found.map(|(path, mut message)| {
            let value = self.root.find(&path);
            if self.is_secret(value) || secrets.iter().any(|secret| message.contains(secret.as_str())) {
                message = "is not valid with what its \"${...}\" stands for, which is not shown".into();
            }
            self.problem(value.at, path, message, None)
        });
        Problems::new(list.collect())
    }

    /// A text of the file as it may be shown: the way it is written if it came from outside.
    pub(super) fn shown(&self, path: &str, text: &str) -> String {
        let found = self.root.find(path);
        if found.text() == Some(text) { found.shown() } else { quoted(text) }
    }

    fn is_secret(&self, value: &Value) -> bool {
        let mut secret = false;
        value.each_secret(&mut |_| secret = true);
        secret
    }

    fn has_secrets(&self) -> bool {
        self.is_secret(&self.root)
    }

    fn problem(&self, at: u32, path: String, message: String, hint: Option<String>) -> Problem {
        let (line, column) = self.position(at as usize);
        Problem { file: self.file.clone(), line, column, path, message, hint }
    }

    fn faulty(&self, faults: Vec<Fault>) -> Problems {
        Problems::new(faults.into_iter().map(|fault| self.problem(fault.at as u32, String::new(), fault.message, None)).collect())
    }

    fn unreadable(&self, message: String, hint: Option<String>) -> Problems {
        Problems::new(vec![Problem { file: self.file.clone(), line: 0, column: 0, path: String::new(), message, hint }])
    }

    /// Line and column of an offset, both from 1, the column in characters.
    fn position(&self, at: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= at).max(1);
        let begin = self.lines.get(line - 1).copied().unwrap_or(0);
        let before = self.text.as_bytes().get(begin..at).unwrap_or_default();
        // Every byte but those that continue a character.
        (line, 1 + before.iter().filter(|byte| **byte & 0xc0 != 0x80).count())
    }

    /// The path of the value that begins here.
    fn path_at(&self, at: u32) -> String {
        fn find(value: &Value, at: u32, path: &str) -> Option<String> {
            match &value.kind {
                Kind::List(values) => values.iter().enumerate().find_map(|(index, value)| find(value, at, &format!("{path}[{index}]"))),
                Kind::Table(entries) => entries.iter().find_map(|entry| {
                    let dot = if path.is_empty() { "" } else { "." };
                    find(&entry.value, at, &format!("{path}{dot}{}", entry.name))
                }),
                _ => (value.at == at).then(|| path.to_owned()),
            }
        }
        find(&self.root, at, "").unwrap_or_default()
    }
}

impl Default for Source {
    fn default() -> Self {
        Source::new(Path::new(""), String::new())
    }
}

/// Hash of a configuration's meaning. Where its schema is found says nothing about it.
fn hash(config: &mut Config) -> u64 {
    let schema = config.schema.take();
    let hash = meaning::hash(config);
    config.schema = schema;
    hash
}

/// Bytes of a value from outside below which it is no secret worth hiding in other settings' messages.
const SECRET_MIN: usize = 4;
