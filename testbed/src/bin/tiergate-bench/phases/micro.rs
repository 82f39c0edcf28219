//! What is measured inside the process, by criterion (`benches/micro`).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tiergate_testbed::{Component, repo_root};

use super::{Bench, Found};
use crate::plot::{Kind, Line, Plot};
use crate::rounds::Spread;
use crate::table::Row;

/// The cases that rows are made of; what is measured beside them goes into the results file.
const CASES: &str = "^(decision|check in process|find|token|session)";

pub(crate) fn cases(bench: &Bench, found: &mut Found) -> Result<()> {
    if !repo_root().join("benches/micro/Cargo.toml").exists() {
        eprint!(" (there is no benches/micro)");
        return Ok(());
    }
    let home = bench.scratch.path().join("criterion");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let (status, output) = Component::new("micro", PathBuf::from(cargo))
        .args(["bench", "--quiet", "--locked", "--package", "tiergate-micro", "--bench", "micro", "--", CASES])
        .current_dir(repo_root())
        .env("CRITERION_HOME", &home)
        .within(Duration::from_secs(900))
        .run()?;
    ensure!(status.success(), "the micro-benchmarks failed: {output}");
    let mut cases = HashMap::new();
    collect(&home, &mut cases)?;
    let of = |id: &str| cases.get(id).copied().with_context(|| format!("benches/micro measured no `{id}`"));
    let decision = |routes: usize| of(&format!("decision/{routes} routes"));
    let (few, many) = (decision(10)?, decision(10_000)?);
    let (bearer, cookie) = (of("check in process/bearer")?, of("check in process/cookie")?);
    let over = |above: Spread, below: Spread| Spread::of([above.median / below.median]);
    let more = Spread::of([cookie.median - bearer.median]);
    found.rows.extend([
        Row::new("decision", "decision logic alone, 10 000 routes, in process", "µs", 0.6, many),
        Row::new("decision_flat", "· over that with 10 routes", "×", 1.25, over(many, few)),
        Row::new("cookie_in_process", "cookie session above cached bearer, in process", "µs", 1.0, more),
        Row::told("bearer_in_process", "· a check with a cached bearer token, in process", "µs", bearer),
    ]);
    let points = [10, 100, 1000, 10_000].iter().filter_map(|routes| Some((*routes as f64, decision(*routes).ok()?)));
    found.plots.push(Plot {
        file: "decision.svg",
        title: "The decision alone",
        under: "time for matching and deciding, in process, µs".to_owned(),
        kind: Kind::Lines {
            x: "rules in the policy",
            lines: vec![Line { name: "decision", points: points.collect() }],
        },
    });
    let mut all: Vec<_> = cases.iter().map(|(id, spread)| json!({ "case": id, "us": spread.json() })).collect();
    all.sort_unstable_by_key(|case| case.get("case").map(ToString::to_string));
    found.series.insert("in process".to_owned(), all.into());
    Ok(())
}

/// Every case below a folder: its id, and its time in µs with the interval of confidence.
fn collect(folder: &Path, cases: &mut HashMap<String, Spread>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("no results in {}", folder.display()))? {
        let path = entry?.path();
        let read = |name: &str| -> Result<Value> { Ok(serde_json::from_slice(&std::fs::read(path.join(name))?)?) };
        if path.file_name().is_some_and(|name| name == "new") {
            let id =
                read("benchmark.json")?.get("full_id").and_then(Value::as_str).context("a case has no id")?.to_owned();
            let estimates = read("estimates.json")?;
            let micros = |pointer: &str| {
                let nanos = estimates.pointer(pointer).and_then(Value::as_f64);
                nanos.map(|nanos| nanos / 1000.0).context("a case has no median")
            };
            let spread = Spread {
                median: micros("/median/point_estimate")?,
                min: micros("/median/confidence_interval/lower_bound")?,
                max: micros("/median/confidence_interval/upper_bound")?,
            };
            cases.insert(id, spread);
        } else if path.is_dir() {
            collect(&path, cases)?;
        }
    }
    Ok(())
}
