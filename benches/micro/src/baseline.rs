//! What an operation may cost: the counts that were committed, and bounds that
//! hold on every machine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::machine::Machine;

/// How far a count may be from the committed one, in percent, up or down.
pub const TOLERANCE: f64 = 3.0;

/// The committed counts (`bench/instructions.json`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// By machine, as [`Machine`] writes itself.
    pub machines: BTreeMap<String, Counts>,
}

/// The counts of one kind of machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Where they were made, for whoever wonders why theirs differ; not compared.
    pub made_on: String,
    /// Instructions of one operation, by the id of the case.
    pub cases: BTreeMap<String, u64>,
}

/// How one case stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// Within the tolerance.
    Same,
    /// So many percent more.
    Worse(f64),
    /// So many percent less: good, and to be written down.
    Better(f64),
    /// Nobody has written it down.
    New,
}

/// One case, compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The id of the case.
    pub case: String,
    /// What was committed.
    pub before: Option<u64>,
    /// What was counted.
    pub now: u64,
    /// What that means.
    pub verdict: Verdict,
}

/// What came of the comparison.
#[derive(Debug, Clone, PartialEq)]
pub enum Compared {
    /// Case by case, in the order in which they ran; and those that are committed
    /// and were not counted.
    Lines(Vec<Line>, Vec<String>),
    /// Only the compiler is another one than that of the committed counts.
    OtherCompiler(String),
    /// Nobody has counted on this kind of machine.
    OtherMachine,
    /// There are no counts at all.
    Nothing,
}

impl Baseline {
    /// Compares the counts of a run with the committed ones.
    #[must_use]
    pub fn compare(&self, machine: &Machine, counted: &[(String, u64)]) -> Compared {
        if self.machines.is_empty() {
            return Compared::Nothing;
        }
        let Some(committed) = self.machines.get(&machine.to_string()) else {
            let mut others = self.machines.keys().filter_map(|key| Machine::parse(key));
            return match others.find(|other| other.is_of_kind(machine)) {
                Some(other) => Compared::OtherCompiler(other.rustc),
                None => Compared::OtherMachine,
            };
        };
        let line = |(case, now): &(String, u64)| {
            let before = committed.cases.get(case).copied();
            Line { case: case.clone(), before, now: *now, verdict: verdict(before, *now) }
        };
        let gone = committed.cases.keys().filter(|case| !counted.iter().any(|(counted, _)| counted == *case));
        Compared::Lines(counted.iter().map(line).collect(), gone.cloned().collect())
    }

    /// Takes the counts of a run in the place of those of this kind of machine,
    /// whatever compiler made them.
    pub fn bless(&mut self, machine: &Machine, made_on: String, counted: &[(String, u64)]) {
        self.machines.retain(|key, _| !Machine::parse(key).is_some_and(|other| other.is_of_kind(machine)));
        let cases = counted.iter().cloned().collect();
        self.machines.insert(machine.to_string(), Counts { made_on, cases });
    }
}

/// The change in percent, against the tolerance.
fn verdict(before: Option<u64>, now: u64) -> Verdict {
    let Some(before) = before else { return Verdict::New };
    let change = change(before, now);
    if change.abs() <= TOLERANCE {
        Verdict::Same
    } else if change > 0.0 {
        Verdict::Worse(change)
    } else {
        Verdict::Better(change)
    }
}

/// The change in percent; from nothing to something it has no end.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub fn change(before: u64, now: u64) -> f64 {
    if before == now { 0.0 } else { (now as f64 - before as f64) / before as f64 * 100.0 }
}

impl Verdict {
    /// Whether the tree may go on as it is.
    #[must_use]
    pub const fn passes(self) -> bool {
        match self {
            Self::Same => true,
            Self::Worse(_) | Self::Better(_) | Self::New => false,
        }
    }
}

/// A bound that holds on every machine, also on one without committed counts.
pub struct Bound {
    /// The case.
    pub case: &'static str,
    /// The most that it may take.
    pub limit: Limit,
}

/// How much that is.
pub enum Limit {
    /// So many instructions.
    Instructions(u64),
    /// So many percent of another case.
    PercentOf(u64, &'static str),
}

/// What every machine is held to.
pub const BOUNDS: [Bound; 3] = [
    // 1000 times the routes are nearly the same decision.
    Bound { case: "decision/10000 routes", limit: Limit::PercentOf(125, "decision/10 routes") },
    Bound { case: "find/hosts, 10000 routes", limit: Limit::PercentOf(150, "find/variable, 10 routes") },
    // Without sockets and framing of HTTP/2, which take their part of the 60 000 of a whole gRPC check.
    Bound { case: "grpc check/bearer", limit: Limit::Instructions(60_000) },
];

/// The bounds that are passed, in words.
#[must_use]
pub fn passed_bounds(bounds: &[Bound], counted: &[(String, u64)]) -> Vec<String> {
    let of = |id: &str| counted.iter().find(|(case, _)| case == id).map(|(_, count)| *count);
    let judge = |bound: &Bound| {
        let (limit, words) = match bound.limit {
            Limit::Instructions(limit) => (Some(limit), format!("{limit}")),
            Limit::PercentOf(percent, other) => {
                (of(other).map(|other| other * percent / 100), format!("{percent} % of `{other}`"))
            }
        };
        match (of(bound.case), limit) {
            (Some(now), Some(limit)) if now <= limit => None,
            (Some(now), Some(_)) => Some(format!("`{}` takes {now}, and may take {words}", bound.case)),
            (None, _) | (_, None) => {
                Some(format!("`{}` is bound to {words}, and one of them was not counted", bound.case))
            }
        }
    };
    bounds.iter().filter_map(judge).collect()
}

#[cfg(test)]
#[path = "baseline_tests.rs"]
mod tests;
