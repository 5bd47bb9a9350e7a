//! How a run goes on, told while it does: on a terminal a few lines that are drawn anew, elsewhere a line a second.

use std::io::{self, IsTerminal, Write};

/// Where progress is told: standard error.
pub struct Progress {
    quiet: bool,
    terminal: bool,
    /// Lines that stand on the terminal.
    drawn: usize,
}

/// A line that is too long is cut off by the terminal, so that each takes one line of it.
const NO_WRAP: &str = "\x1b[?7l";
/// Lines are wrapped again.
const WRAP: &str = "\x1b[?7h";

impl Progress {
    /// Nothing is told if it is to be quiet.
    pub fn new(quiet: bool) -> Progress {
        Progress { quiet, terminal: io::stderr().is_terminal(), drawn: 0 }
    }

    /// Tells these lines, in place of those before.
    pub fn tell(&mut self, lines: &[String]) {
        let text = match (self.quiet, self.terminal) {
            (true, _) => return,
            (false, true) => format!("{}{NO_WRAP}{}\n{WRAP}", self.erase(), lines.join("\n")),
            (false, false) => format!("{}\n", lines.join("  ")),
        };
        self.drawn = if self.terminal { lines.len() } else { 0 };
        // A run goes on though nobody can be told of it.
        let _ = io::stderr().write_all(text.as_bytes());
    }

    /// Leaves the terminal as it was.
    pub fn end(&mut self) {
        let _ = io::stderr().write_all(self.erase().as_bytes());
        self.drawn = 0;
    }

    /// Takes away what was drawn.
    fn erase(&self) -> String {
        if self.drawn > 0 { format!("\x1b[{}A\r\x1b[J", self.drawn) } else { String::new() }
    }
}
