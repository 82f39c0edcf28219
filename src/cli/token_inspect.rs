//! `token inspect`: what a token says, which check it fails, which tiers it gives.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};

use super::load::{self, Failure};
use super::{ConfigArg, Exit, Format};
use crate::app;
use crate::config::Config;
use crate::token::{CheckResult, Inspection, KeySource, Rejection, inspect, verify};
use crate::types::{Principal, UnixTime};

/// How long the command waits for a provider's keys.
const KEYS_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The token, or `-` to read it from standard input
    token: String,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(args: &InspectArgs) -> Result<Exit, Failure> {
    let config = load::config(&args.config)?;
    let token = read_token(&args.token)?;
    let keys = fetch_keys(&config)?;
    let inspection = inspect(&token, &app::issuers(&config)?, keys.as_ref(), app::now());
    let report = report(&config, &inspection, app::now());
    match args.format {
        Format::Text => out!("{}", text(&report)),
        Format::Json => outln!("{}", serde_json::to_string_pretty(&report).context("the answer cannot be written")?),
    }
    Ok(if inspection.verdict.is_ok() { Exit::Done } else { Exit::Failed })
}

/// Who the token speaks of, if it verifies.
pub(super) fn verified_principal(config: &Config, token: &str) -> anyhow::Result<Result<Arc<Principal>, Rejection>> {
    let token = read_token(token)?;
    let keys = fetch_keys(config)?;
    let verified = verify(&token, &app::issuers(config)?, keys.as_ref(), app::now());
    Ok(verified.map(|verified| Arc::clone(verified.principal())))
}

/// The keys that came; of the others it says why not.
fn fetch_keys(config: &Config) -> anyhow::Result<Arc<dyn KeySource>> {
    let fetched = app::fetch_keys(config, KEYS_TIMEOUT)?;
    for (provider, why) in &fetched.missing {
        eprintln!("provider {}: {why}", provider.as_str());
    }
    Ok(fetched.keys)
}

/// A token on the command line shows in the process list; `-` keeps it out.
fn read_token(argument: &str) -> anyhow::Result<String> {
    if argument != "-" {
        return Ok(argument.to_owned());
    }
    let text = std::io::read_to_string(std::io::stdin()).context("standard input cannot be read")?;
    Ok(text.trim().to_owned())
}

fn report(config: &Config, inspection: &Inspection, now: UnixTime) -> Value {
    let tiers = config.policy.tiers();
    let held = inspection.verdict.as_ref().ok().map(|verified| {
        let held = tiers.held_by(Some(verified.principal()));
        held.iter().map(|tier| tiers.name(tier)).collect::<Vec<_>>()
    });
    let checks: Vec<Value> = inspection
        .checks
        .iter()
        .map(|(check, result)| {
            let result = match result {
                CheckResult::Passed => "passed",
                CheckResult::Failed => "failed",
                CheckResult::NotReached => "not reached",
            };
            json!({ "check": check.as_str(), "result": result })
        })
        .collect();
    json!({
        "header": inspection.header,
        "claims": inspection.claims,
        "provider": inspection.provider.as_ref().map(|provider| provider.as_str()),
        "key": inspection.key.as_ref().map(ToString::to_string),
        "checks": checks,
        "valid": inspection.verdict.is_ok(),
        "failed": inspection.verdict.as_ref().err().map(Rejection::as_str),
        "because": inspection.verdict.as_ref().err().map(ToString::to_string),
        "expires_in_seconds": inspection.verdict.as_ref().ok().map(|token| token.expires_at().since(now).as_secs()),
        "tiers": held,
    })
}

fn text(report: &Value) -> String {
    let mut out = String::new();
    for part in ["header", "claims"] {
        out.push_str(part);
        out.push('\n');
        match report[part].as_object() {
            Some(members) => {
                for (name, value) in members {
                    out.push_str(&format!("  {name:<14} {value}\n"));
                }
            }
            None => out.push_str("  (not readable)\n"),
        }
    }
    out.push_str(&format!("provider        {}\n", report["provider"].as_str().unwrap_or("- (no configured issuer)")));
    out.push_str(&format!("key             {}\n", report["key"].as_str().unwrap_or("-")));
    out.push_str("checks\n");
    for check in report["checks"].as_array().into_iter().flatten() {
        let mark = match check["result"].as_str() {
            Some("passed") => "✓",
            Some("failed") => "✗",
            _ => "·",
        };
        out.push_str(&format!("  {mark} {}\n", check["check"].as_str().unwrap_or_default()));
    }
    match report["because"].as_str() {
        Some(because) => out.push_str(&format!("invalid         {because}\n")),
        None => {
            let tiers: Vec<&str> = report["tiers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            out.push_str(&format!("valid for       {} s\n", report["expires_in_seconds"]));
            out.push_str(&format!(
                "tiers           {}\n",
                if tiers.is_empty() { "-".to_owned() } else { tiers.join(" ") }
            ));
        }
    }
    out
}
