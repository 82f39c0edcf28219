//! `config check` and `config schema`.

use anyhow::Context as _;

use super::load::{self, Failure, Loaded};
use super::{ConfigArg, Exit};

pub(super) fn run(arg: &ConfigArg) -> Result<Exit, Failure> {
    let Loaded { config, apps, .. } = load::with_faulty_apps(arg)?;
    for notice in config.notices.iter().chain(&apps.notices) {
        eprintln!("note: {notice}");
    }
    for fault in &apps.faults {
        eprintln!("{}", fault.errors);
    }
    if !apps.faults.is_empty() {
        return Ok(Exit::Invalid);
    }
    let (tiers, rules) = (config.policy.tiers().iter().count(), config.policy.rules().len());
    let count = apps.catalogue.apps().len();
    let apps_found = if count > 0 { format!(", apps {count}") } else { String::new() };
    outln!(
        "ok: tiers {tiers}, rules {rules}{apps_found}, identity providers {}, policy {}",
        config.identity_providers.len(),
        apps.policy.fingerprint()
    );
    Ok(Exit::Done)
}

pub(super) fn schema() -> Result<Exit, Failure> {
    let schema = serde_json::to_string_pretty(&crate::config::schema()).context("the schema cannot be written")?;
    outln!("{schema}");
    Ok(Exit::Done)
}
