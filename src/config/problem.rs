//! What is wrong with a configuration, and where, in a form for people and in one for programs.

use std::fmt;

use serde::Serialize;

use super::Loaded;

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1; 0 if the file could not be read at all.
    pub line: usize,
    /// The character within the line, from 1; 0 if the file could not be read at all.
    pub column: usize,
    /// The setting: `routes[3].upstream`. Empty for the file as a whole.
    pub path: String,
    /// What is wrong. Never holds a value that was read from the environment or a file.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, "; {hint}"))
    }
}

/// Everything that is wrong with a configuration, in the order of the file; at least one problem. Shown, each is a line.
#[derive(Clone, Debug)]
pub struct Problems {
    list: Vec<Problem>,
    /// Settings that misspelt names probably mean. That they are missing is no further problem.
    meant: Vec<String>,
    draft: Option<Box<Loaded>>,
}

impl Problems {
    pub(super) fn new(list: Vec<Problem>) -> Self {
        let mut problems = Problems { list, meant: Vec::new(), draft: None };
        problems.sort();
        problems
    }

    /// With the settings that misspelt names probably mean.
    pub(super) fn with_meant(self, meant: Vec<String>) -> Self {
        Problems { meant, ..self }
    }

    /// With what can be made of the file, defaults standing where it is wrong.
    pub(super) fn with_draft(self, draft: Loaded) -> Self {
        Problems { draft: Some(Box::new(draft)), ..self }
    }

    /// The problems.
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// Adds what a further check finds in the part of the configuration that is sound so far.
    pub fn and_of(mut self, check: impl FnOnce(&Loaded) -> Option<Problems>) -> Self {
        let further = self.draft.as_deref().and_then(check);
        self.extend(further.into_iter().flat_map(|further| further.list));
        self
    }

    /// Adds problems, but those of settings that have one already: it may be the cause.
    pub(super) fn extend(&mut self, further: impl Iterator<Item = Problem>) {
        let known = |path: &str| self.list.iter().any(|known| touch(&known.path, path)) || self.meant.iter().any(|meant| meant == path);
        let further: Vec<Problem> = further.filter(|problem| !known(&problem.path)).collect();
        self.list.extend(further);
        self.sort();
    }

    fn sort(&mut self) {
        self.list.sort_by_key(|problem| (problem.line, problem.column));
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "\n" })?;
            problem.fmt(f)?;
        }
        Ok(())
    }
}

/// Whether two paths are the same, or one lies within the other.
fn touch(a: &str, b: &str) -> bool {
    let (outer, inner) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || outer.is_empty() || rest.starts_with(['.', '[']))
}

/// Names in quotes, as a hint lists them.
pub(super) fn there_are<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("{name:?}")).collect();
    if names.is_empty() { "there are none".into() } else { format!("there are: {}", names.join(", ")) }
}

/// The name that was probably meant.
pub(crate) fn meant<'a>(written: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |name: &&str| strsim::damerau_levenshtein(written, name);
    names.map(|name| (distance(&name), name)).filter(|(distance, name)| *distance <= 1 + name.len() / 4).min().map(|(_, name)| name)
}

/// A setting of a part that checks its own: what a schema can't tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The setting, below the part's: `origins[0]`.
    pub setting: String,
    /// Its value, to be shown before the message unless it came from outside.
    pub value: Option<String>,
    /// What is wrong with it.
    pub message: String,
    /// What to do; may be empty.
    pub hint: String,
}

impl Wrong {
    /// Of this setting, what is wrong and what to do; the value isn't shown.
    pub fn new(setting: &str, message: &str, hint: &str) -> Self {
        Wrong { setting: setting.into(), value: None, message: message.into(), hint: hint.into() }
    }
}
