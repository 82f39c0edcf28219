//! Counting instructions: the program runs its cases under callgrind, which
//! writes down what was executed between one mark and the next.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::cases::Case;

/// Operations of the shorter one of the two runs of a case; the longer one has
/// twice as many. Their difference is what this many operations take, without
/// what surrounds them. A cache that works off its notes after every 64th look
/// does so equally often in each.
pub const OPERATIONS: u64 = 512;

/// One of the dumps that [`mark`] causes.
const MARK: &str = "tiergate_instructions_mark";

/// What the counted process says of itself.
#[derive(Debug, Serialize, Deserialize)]
pub struct Said {
    /// See [`crate::machine::processor`].
    pub processor: String,
    /// The ids of the cases in the order in which they ran.
    pub cases: Vec<String>,
}

/// Runs every case for the counter; to be called in the counted process.
///
/// # Errors
/// When nobody reads what it says.
pub fn run(cases: &[Case]) -> io::Result<()> {
    let said = Said { processor: crate::machine::processor(), cases: cases.iter().map(Case::id).collect() };
    for case in cases {
        let mut operation = case.prepare();
        // Caches fill, buffers reach their sizes, series are registered.
        (0..OPERATIONS).for_each(|_| operation());
        tiergate_instructions_mark();
        (0..OPERATIONS).for_each(|_| operation());
        tiergate_instructions_mark();
        (0..OPERATIONS * 2).for_each(|_| operation());
        tiergate_instructions_mark();
    }
    writeln!(io::stdout(), "{}", serde_json::to_string(&said)?)
}

/// Its name makes callgrind write down what was executed since the last time.
#[inline(never)]
fn tiergate_instructions_mark() {
    std::hint::black_box(MARK);
}

/// Runs `program` with `arguments` under callgrind; the instructions of one
/// operation of each case.
///
/// # Errors
/// When valgrind is missing or fails, or its files are not understood.
pub fn count(program: &Path, arguments: &[&str], scratch: &Path) -> io::Result<(Said, Vec<f64>)> {
    let out = scratch.join("callgrind.out");
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--dump-before=*{MARK}*"))
        .arg(format!("--callgrind-out-file={}", out.display()))
        .args(["--error-exitcode=0", "--quiet"])
        .arg(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| {
            io::Error::new(error.kind(), format!("valgrind does not start ({error}): run `make setup`"))
        })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("the counted process failed ({}): {said}", output.status)));
    }
    let said: Said = serde_json::from_slice(&output.stdout)?;
    let mut totals = Vec::new();
    for part in 1..=said.cases.len() * 3 {
        let path = scratch.join(format!("callgrind.out.{part}"));
        let text = std::fs::read_to_string(&path)
            .map_err(|error| io::Error::new(error.kind(), format!("there is no part {part} of the count: {error}")))?;
        totals.push(total(&text).ok_or_else(|| io::Error::other(format!("part {part} of the count says no total")))?);
    }
    Ok((said, per_operation(&totals)))
}

/// The instructions that a file of callgrind counts.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:")))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Of each case's three counts the first is of its preparation.
fn per_operation(totals: &[u64]) -> Vec<f64> {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    let of_case = |counts: &[u64]| match counts {
        [_, shorter, longer] => longer.saturating_sub(*shorter) as f64 / OPERATIONS as f64,
        _ => 0.0,
    };
    totals.chunks(3).map(of_case).collect()
}

/// The version of the valgrind that is installed, such as `3.19.0`.
///
/// # Errors
/// When there is none.
pub fn version() -> io::Result<String> {
    let output = Command::new("valgrind").arg("--version").output().map_err(|error| {
        io::Error::new(error.kind(), format!("valgrind does not start ({error}): run `make setup`"))
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.trim().trim_start_matches("valgrind-").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_from_what_callgrind_writes() {
        let file = "# callgrind format\nversion: 1\npart: 2\n\ndesc: Trigger: --dump-before=x\nevents: Ir\nsummary: 4711\n\nfn=(1) x\n1 4711\n\ntotals: 4711\n";
        assert_eq!(total(file), Some(4711));
        assert_eq!(total("summary: 12 13\n"), Some(12));
        assert_eq!(total("events: Ir\n"), None);
        assert_eq!(total("totals: many\n"), None);
    }

    #[test]
    fn what_surrounds_the_operations_falls_out() {
        let around = 77;
        let case = |each: u64| [123_456, around + each * OPERATIONS, around + each * OPERATIONS * 2];
        assert_eq!(per_operation(&[case(10), case(2500)].concat()), [10.0, 2500.0]);
    }
}
