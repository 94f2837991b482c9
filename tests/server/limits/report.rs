//! The table of figures that a run ends with.

use std::fmt;

use crate::peer::Latency;

/// Figures measured, beside what they should be.
#[derive(Default)]
pub(crate) struct Report {
    lines: Vec<Line>,
}

struct Line {
    what: String,
    measured: String,
    goal: String,
    met: bool,
}

impl Report {
    /// Notes a figure. One that is `met` or not depending on the machine's speed is noted only; what must hold
    /// everywhere is asserted besides.
    pub(crate) fn note(&mut self, what: &str, measured: impl fmt::Display, goal: &str, met: bool) {
        let (what, measured, goal) = (what.to_owned(), measured.to_string(), goal.to_owned());
        self.lines.push(Line { what, measured, goal, met });
    }

    /// Notes the latency that others had meanwhile, and fails where it is of another order.
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

/// A number of bytes, for people.
pub(crate) fn bytes(len: usize) -> String {
    match len {
        0..10_000 => format!("{len} B"),
        10_000..10_000_000 => format!("{} kB", len / 1000),
        _ => format!("{} MB", len / 1_000_000),
    }
}
