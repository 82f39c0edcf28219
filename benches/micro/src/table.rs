//! The comparison as people read it.

use std::fmt::Write as _;

use crate::baseline::{Line, TOLERANCE, Verdict, change};

/// A line for each case.
#[must_use]
pub fn compared(lines: &[Line]) -> String {
    let width = lines.iter().map(|line| line.case.len()).max().unwrap_or_default();
    let mut text =
        format!("{:<width$}  {:>9}  {:>9}  {:>8}\n", "instructions of one operation", "baseline", "now", "change");
    for Line { case, before, now, verdict } in lines {
        let (shown, percent) = match before {
            Some(before) => (before.to_string(), format!("{:+.2} %", change(*before, *now))),
            None => ("-".to_owned(), String::new()),
        };
        let word = match verdict {
            Verdict::Same => "",
            Verdict::Worse(_) => "  WORSE",
            Verdict::Better(_) => "  BETTER",
            Verdict::New => "  NEW",
        };
        let _ = writeln!(text, "{case:<width$}  {shown:>9}  {now:>9}  {percent:>8}{word}");
    }
    text
}

/// The counts alone.
#[must_use]
pub fn counted(counts: &[(String, u64)]) -> String {
    let width = counts.iter().map(|(case, _)| case.len()).max().unwrap_or_default();
    let mut text = String::new();
    for (case, now) in counts {
        let _ = writeln!(text, "{case:<width$}  {now:>9}");
    }
    text
}

/// What to do about lines that do not pass, and about cases that are gone.
#[must_use]
pub fn advice(lines: &[Line], gone: &[String]) -> Option<String> {
    let count = |is: fn(Verdict) -> bool| lines.iter().filter(|line| is(line.verdict)).count();
    let worse = count(|verdict| matches!(verdict, Verdict::Worse(_)));
    let better = count(|verdict| matches!(verdict, Verdict::Better(_)));
    let new = count(|verdict| matches!(verdict, Verdict::New));
    if worse + better + new + gone.len() == 0 {
        return None;
    }
    let mut text = String::new();
    if worse > 0 {
        let _ = writeln!(
            text,
            "{worse} take more than {TOLERANCE} % more than the baseline: find out why, or say in the commit why it is worth it."
        );
    }
    if better > 0 {
        let _ = writeln!(
            text,
            "{better} take more than {TOLERANCE} % less: write that down, or it can be lost again unseen."
        );
    }
    if new > 0 {
        let _ = writeln!(text, "{new} have no baseline.");
    }
    if !gone.is_empty() {
        let _ = writeln!(text, "no longer counted: {}.", gone.join(", "));
    }
    text.push_str("`make instructions BLESS=1` writes bench/instructions.json anew; commit it with the change.\n");
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(verdict: Verdict) -> Line {
        Line { case: "path/short".to_owned(), before: Some(1000), now: 1050, verdict }
    }

    #[test]
    fn the_advice_names_the_command_whenever_something_does_not_pass() {
        assert_eq!(advice(&[line(Verdict::Same)], &[]), None);
        for (lines, gone) in [
            (vec![line(Verdict::Worse(5.0))], vec![]),
            (vec![line(Verdict::Better(-5.0))], vec![]),
            (vec![line(Verdict::New)], vec![]),
            (vec![], vec!["path/long".to_owned()]),
        ] {
            let text = advice(&lines, &gone).expect("an advice");
            assert!(text.contains("make instructions BLESS=1"), "{text}");
        }
    }

    #[test]
    fn the_table_shows_before_now_and_change() {
        let text = compared(&[line(Verdict::Worse(5.0))]);
        assert!(text.contains("1000") && text.contains("1050") && text.contains("+5.00 %  WORSE"), "{text}");
    }
}
