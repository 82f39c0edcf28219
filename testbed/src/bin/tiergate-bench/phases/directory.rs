//! The user directory with 100 000 users (`benches/directory.rs`).

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tiergate_testbed::{Component, repo_root};

use super::{Bench, Found};

pub(crate) fn users(bench: &Bench, found: &mut Found) -> Result<()> {
    let file = bench.scratch.path().join("directory.json");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let users: usize = bench.choose(100_000, 5000);
    let (status, output) = Component::new("directory", PathBuf::from(cargo))
        .args(["bench", "--quiet", "--locked", "--bench", "directory", "--", &users.to_string()])
        .arg(&file)
        .current_dir(repo_root())
        .within(Duration::from_secs(900))
        .run()?;
    ensure!(status.success(), "the user directory could not be measured: {output}");
    let figures = std::fs::read_to_string(&file).context("the user directory told nothing")?;
    let figures: Vec<Value> = serde_json::from_str(&figures)?;
    let text = |figure: &Value, name: &str| figure.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |figure: &Value, name: &str| figure.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
    found.users = figures
        .iter()
        .map(|figure| super::UserFigure {
            database: text(figure, "database"),
            what: text(figure, "what"),
            median: number(figure, "median_ms"),
            most: number(figure, "most_ms"),
        })
        .collect();
    ensure!(!found.users.is_empty(), "the user directory told nothing");
    found.series.insert("user directory".to_owned(), figures.into());
    Ok(())
}
