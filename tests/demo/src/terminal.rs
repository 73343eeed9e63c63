//! What is shown: on a terminal with a bar and sparing colour, elsewhere line by line.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// The width of the names at the left.
const NAME: usize = 12;
/// The cells of the bar.
const BAR: u64 = 20;
/// Elsewhere than on a terminal, how often progress is a line.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// What a name at the left says by its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// It is so.
    Plain,
    /// It is as it should be.
    Good,
    /// It is not.
    Bad,
}

/// Standard output. What is under way may be overwritten; what is done stays.
pub struct Terminal {
    /// Whether a line can be written over, as on a terminal.
    overwrites: bool,
    coloured: bool,
    /// Whether the line the cursor is in will be overwritten.
    open: bool,
    last_line: Option<Instant>,
}

impl Terminal {
    /// Colour only on a terminal, and only where `NO_COLOR` is not set.
    pub fn of_stdout() -> Self {
        let is_terminal = std::io::stdout().is_terminal()
            && std::env::var_os("TERM").is_none_or(|kind| kind != "dumb");
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            overwrites: is_terminal,
            coloured: is_terminal && !unwanted,
            open: false,
            last_line: None,
        }
    }

    /// A line of its own.
    pub fn line(&mut self, text: &str) {
        self.write(text, true);
    }

    /// The first line.
    pub fn title(&mut self, text: &str) {
        let text = self.painted("1", text);
        self.line(&format!("\n{text}\n"));
    }

    /// Something is under way.
    pub fn doing(&mut self, name: &str, text: &str) {
        if self.overwrites {
            let text = self.painted("2", text);
            self.write(&format!("  {name:NAME$} {text}"), false);
        }
    }

    /// Something that is so.
    pub fn fact(&mut self, name: &str, text: &str) {
        self.told(Tone::Plain, name, text);
    }

    /// Something that is so, and whether that is good.
    pub fn told(&mut self, tone: Tone, name: &str, text: &str) {
        let name = format!("{name:NAME$}");
        let name = match tone {
            Tone::Plain => self.painted("36", &name),
            Tone::Good => self.painted("32", &name),
            Tone::Bad => self.painted("1;31", &name),
        };
        self.line(&format!("  {name} {text}"));
    }

    /// A bar of `done` out of `all`, with words behind it. Elsewhere a line now and then.
    pub fn bar(&mut self, name: &str, done: u64, all: u64, words: &str) {
        if self.overwrites {
            let filled = (done * BAR).checked_div(all).unwrap_or_default().min(BAR);
            let cells = |count: u64| "━".repeat(usize::try_from(count).unwrap_or_default());
            let (filled, rest) = (cells(filled), self.painted("2", &cells(BAR - filled)));
            let filled = self.painted("32", &filled);
            self.write(&format!("  {name:NAME$} {filled}{rest} {words}"), false);
        } else if self.last_line.get_or_insert_with(Instant::now).elapsed() >= LINE_EVERY {
            self.last_line = Some(Instant::now());
            self.line(&format!("  {name:NAME$} {words}"));
        }
    }

    /// The line that is under way is given up: what follows begins in a line of its own.
    pub fn break_off(&mut self) {
        if self.open {
            self.write("", false);
            self.open = false;
        }
    }

    /// The person at the terminal has seen enough.
    pub fn interrupted(&mut self) {
        self.break_off();
        self.line("");
    }

    fn painted(&self, code: &str, text: &str) -> String {
        if self.coloured && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    fn write(&mut self, text: &str, ended: bool) {
        let clear = if self.open { "\r\u{1b}[K" } else { "" };
        let end = if ended { "\n" } else { "" };
        self.open = !ended;
        let mut output = std::io::stdout().lock();
        // A closed standard output is nobody's fault here.
        let _ = write!(output, "{clear}{text}{end}");
        let _ = output.flush();
    }
}
