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
    draft: Option<Box<Loaded>>,
}

impl Problems {
    /// Problems and, if the file could be read, what can be made of it with defaults where it is wrong.
    pub(super) fn new(mut list: Vec<Problem>, draft: Option<Loaded>) -> Self {
        list.sort_by(|a, b| (a.line, a.column).cmp(&(b.line, b.column)));
        Problems { list, draft: draft.map(Box::new) }
    }

    /// The problems, at least one.
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// Adds what a further check finds in the part of the configuration that is sound so far.
    pub fn and_of(self, check: impl FnOnce(&Loaded) -> Option<Problems>) -> Self {
        let Some(draft) = self.draft else { return self };
        let further = check(&draft).map(|further| further.list).unwrap_or_default();
        let known = |problem: &Problem| self.list.iter().any(|known| touch(&known.path, &problem.path));
        let further: Vec<Problem> = further.into_iter().filter(|problem| !known(problem)).collect();
        Problems::new(self.list.into_iter().chain(further).collect(), Some(*draft))
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
pub(super) fn touch(a: &str, b: &str) -> bool {
    let (outer, inner) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || outer.is_empty() || rest.starts_with(['.', '[']))
}

/// Names in quotes, as a hint lists them.
pub(super) fn there_are<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("{name:?}")).collect();
    if names.is_empty() { "there are none".into() } else { format!("there are: {}", names.join(", ")) }
}

/// The name that was probably meant.
pub(super) fn meant<'a>(written: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |name: &&str| strsim::damerau_levenshtein(written, name);
    names.map(|name| (distance(&name), name)).filter(|(distance, name)| *distance <= 1 + name.len() / 4).min().map(|(_, name)| name)
}
