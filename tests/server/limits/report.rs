//! The table of figures at the end of a run.

use std::fmt;

use crate::peer::Latency;

/// Measured figures, beside their goals.
#[derive(Default)]
pub(crate) struct Report {
    lines: Vec<Line>,
    /// Follows each name.
    suffix: &'static str,
}

struct Line {
    what: String,
    measured: String,
    goal: String,
    met: bool,
}

impl Report {
    /// Sets what distinguishes the figures of the following trial from those of another with the same names.
    pub(crate) fn set_suffix(&mut self, suffix: &'static str) {
        self.suffix = suffix;
    }

    /// Adds a figure. If `met` depends on the speed of the machine, the figure is only reported; conditions that hold
    /// on every machine are asserted as well.
    pub(crate) fn note(&mut self, what: &str, measured: impl fmt::Display, goal: &str, met: bool) {
        let (what, measured, goal) = (format!("{what}{}", self.suffix), measured.to_string(), goal.to_owned());
        self.lines.push(Line { what, measured, goal, met });
    }

    /// Adds the latency of other clients during a trial, and fails if it differs by an order of magnitude.
    pub(crate) fn note_others(&mut self, what: &str, calm: &Latency, meanwhile: &Latency) {
        let is_like = meanwhile.is_like(calm);
        self.note(what, format!("{calm} → {meanwhile}"), "flat", is_like);
        assert!(is_like, "{what}: from {calm} to {meanwhile}");
    }

    pub(crate) fn skip(&mut self, what: &str, why: &str) {
        self.note(what, format!("skipped: {why}"), "", true);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {:<62} {:>44}   goal", "", "measured")?;
        for Line { what, measured, goal, met } in &self.lines {
            let mark = if *met { ' ' } else { '!' };
            writeln!(f, "{mark} {what:<62} {measured:>44}   {goal}")?;
        }
        Ok(())
    }
}

/// Formats a number of bytes.
pub(crate) fn bytes(len: usize) -> String {
    match len {
        0..10_000 => format!("{len} B"),
        10_000..10_000_000 => format!("{} kB", len / 1000),
        _ => format!("{} MB", len / 1_000_000),
    }
}
