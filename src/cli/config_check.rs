//! `config check` and `config schema`.

use anyhow::Context as _;

use super::load::{self, Failure};
use super::{ConfigArg, Exit};

pub(super) fn run(arg: &ConfigArg) -> Result<Exit, Failure> {
    let config = load::config(arg)?;
    for notice in &config.notices {
        eprintln!("note: {notice}");
    }
    let (tiers, rules) = (config.policy.tiers().iter().count(), config.policy.rules().len());
    outln!(
        "ok: tiers {tiers}, rules {rules}, identity providers {}, policy {}",
        config.identity_providers.len(),
        config.policy.fingerprint()
    );
    Ok(Exit::Done)
}

pub(super) fn schema() -> Result<Exit, Failure> {
    let schema = serde_json::to_string_pretty(&crate::config::schema()).context("the schema cannot be written")?;
    outln!("{schema}");
    Ok(Exit::Done)
}
