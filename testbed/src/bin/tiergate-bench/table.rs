//! The rows: what was to be reached, what was measured, and whether it was.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::rounds::Spread;

/// One row.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// A stable name, for programs.
    pub(crate) id: &'static str,
    /// What is measured, for people.
    pub(crate) what: &'static str,
    pub(crate) unit: &'static str,
    /// The most that it may be; `None` where it is told for comparison.
    pub(crate) at_most: Option<f64>,
    pub(crate) measured: Spread,
    /// What else there is to say of this measurement.
    pub(crate) note: String,
}

impl Row {
    pub(crate) fn new(
        id: &'static str,
        what: &'static str,
        unit: &'static str,
        at_most: f64,
        measured: Spread,
    ) -> Self {
        Self { id, what, unit, at_most: Some(at_most), measured, note: String::new() }
    }

    /// A row without a target.
    pub(crate) fn told(id: &'static str, what: &'static str, unit: &'static str, measured: Spread) -> Self {
        Self { id, what, unit, at_most: None, measured, note: String::new() }
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// Whether the target is met; a row without one has nothing to miss.
    pub(crate) fn is_met(&self) -> bool {
        self.at_most.is_none_or(|at_most| self.measured.median <= at_most)
    }

    fn verdict(&self) -> &'static str {
        match (self.at_most, self.is_met()) {
            (None, _) => "",
            (Some(_), true) => "met",
            (Some(_), false) => "MISSED",
        }
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "id": self.id, "what": self.what, "unit": self.unit, "at_most": self.at_most,
            "measured": self.measured.json(), "met": self.at_most.map(|_| self.is_met()), "note": self.note,
        })
    }
}

/// A number with three significant digits, or whole from a hundred on.
pub(crate) fn figure(number: f64) -> String {
    if !number.is_finite() {
        return "–".to_owned();
    }
    let decimals = match number.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    format!("{number:.decimals$}")
}

fn cells(row: &Row) -> [String; 6] {
    let Spread { median, min, max } = row.measured;
    let target = row.at_most.map_or_else(String::new, |at_most| format!("≤ {}", figure(at_most)));
    let spread = if min < max { format!("{} – {}", figure(min), figure(max)) } else { String::new() };
    [row.what.to_owned(), target, figure(median), row.unit.to_owned(), spread, row.verdict().to_owned()]
}

const HEAD: [&str; 6] = ["", "target", "measured", "", "least – most", ""];

/// The rows for a terminal.
pub(crate) fn plain(rows: &[Row]) -> String {
    let lines: Vec<[String; 6]> = std::iter::once(HEAD.map(str::to_owned)).chain(rows.iter().map(cells)).collect();
    let mut widths = [0; 6];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        let [what, target, measured, unit, spread, verdict] = line;
        let [w0, w1, w2, w3, w4, _] = widths;
        let _ = writeln!(
            text,
            "{}",
            format!("{what:<w0$}  {target:>w1$}  {measured:>w2$} {unit:<w3$}  {spread:>w4$}  {verdict}").trim_end()
        );
        if let Some(row) = number.checked_sub(1).and_then(|number| rows.get(number)).filter(|row| !row.note.is_empty())
        {
            let _ = writeln!(text, "    {}", row.note);
        }
    }
    text
}

/// The rows for `bench/results/latest.md`.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut text = "| what | target | measured | least – most | |\n| --- | ---: | ---: | ---: | --- |\n".to_owned();
    for row in rows {
        let [what, target, measured, unit, spread, verdict] = cells(row);
        let verdict = if verdict == "MISSED" { "**missed**" } else { &verdict };
        let note = if row.note.is_empty() { String::new() } else { format!("<br><sub>{}</sub>", row.note) };
        let _ = writeln!(text, "| {what}{note} | {target} | {measured} {unit} | {spread} | {verdict} |");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_row_says_so_with_its_reason() {
        let rows = [
            Row::new("a", "within", "×", 0.7, Spread::of([0.69, 0.7, 0.71])),
            Row::new("b", "beyond", "µs", 24.0, Spread::of([24.1])).note("why"),
            Row::told("c", "told", "µs", Spread::of([150.0])),
        ];
        assert_eq!(rows.each_ref().map(Row::verdict), ["met", "MISSED", ""]);
        let text = plain(&rows);
        assert!(text.contains("MISSED\n    why\n"), "{text}");
        let text = markdown(&rows);
        assert!(text.contains("| beyond<br><sub>why</sub> | ≤ 24.0 | 24.1 µs |  | **missed** |"), "{text}");
        assert!(text.contains("| within | ≤ 0.70 | 0.70 × | 0.69 – 0.71 | met |"), "{text}");
    }

    #[test]
    fn what_was_not_measured_is_not_met() {
        assert!(!Row::new("a", "", "", 1.0, Spread::of([])).is_met());
    }
}
