//! `policy test`: runs cases that say what is expected of the policy.
//!
//! ```yaml
//! cases:
//!   - name: a devel user opens a devel app
//!     request: GET https://gate.example.com/apps/devel/hazard/
//!     caller: { scopes: ["access:devel"] }      # or `authenticated`; absent: `anonymous`;
//!                                               # also subject, provider, email (verified), permissions, groups
//!     expect: { decision: allow, rule: "/apps/{tier}/**", tier: devel }
//! ```

use std::path::PathBuf;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use serde::Deserialize;

use super::load::{self, Failure};
use super::what_if::{WhatIf, principal};
use super::{ConfigArg, Exit};
use crate::check::{CallerNames, Explanation, Question};
use crate::config::Config;
use crate::types::Principal;

#[derive(Debug, Args)]
pub(super) struct TestArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The file with the cases
    #[arg(value_name = "CASES.yaml")]
    cases: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CasesFile {
    cases: Vec<CaseFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    /// What the case shows; the request itself when absent.
    name: Option<String>,
    /// Method and URL, separated by a space.
    request: String,
    caller: Option<CallerFile>,
    expect: ExpectFile,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum CallerFile {
    Keyword(CallerKeyword),
    Names(CallerNames),
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum CallerKeyword {
    Anonymous,
    Authenticated,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectFile {
    decision: DecisionFile,
    rule: Option<String>,
    reason: Option<String>,
    tier: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum DecisionFile {
    Allow,
    Deny,
}

#[expect(clippy::disallowed_methods, reason = "the command line opens the files that it is given")]
pub(super) fn run(args: &TestArgs) -> Result<Exit, Failure> {
    let loaded = load::with_apps(&args.config)?;
    let name = args.cases.display();
    let text = std::fs::read_to_string(&args.cases).with_context(|| format!("`{name}` cannot be read"));
    let file = text.and_then(|text| {
        let file = serde_saphyr::from_str::<CasesFile>(&text);
        file.with_context(|| format!("`{name}` is no file of cases"))
    });
    let file = file.map_err(Failure::Usage)?;
    if file.cases.is_empty() {
        return Err(Failure::Usage(anyhow!("`{name}` holds no case, so it shows nothing")));
    }
    let what_if = WhatIf::new(&loaded)?;
    let mut failed = 0usize;
    for (position, case) in file.cases.iter().enumerate() {
        let title = case.name.as_deref().unwrap_or(&case.request);
        let differences = run_case(case, &loaded.config, &what_if)
            .with_context(|| format!("case {} (`{title}`) cannot be run", position.saturating_add(1)))
            .map_err(Failure::Usage)?;
        if differences.is_empty() {
            outln!("ok      {title}");
        } else {
            failed = failed.saturating_add(1);
            outln!("FAILED  {title}");
            if case.name.is_some() {
                outln!("        {}", case.request);
            }
            for difference in differences {
                outln!("        {difference}");
            }
        }
    }
    outln!("{} passed, {failed} failed", file.cases.len().saturating_sub(failed));
    Ok(if failed == 0 { Exit::Done } else { Exit::Failed })
}

fn run_case(case: &CaseFile, config: &Config, what_if: &WhatIf) -> anyhow::Result<Vec<String>> {
    let Some((method, url)) = case.request.split_once(' ') else {
        bail!("`request` is a method and a URL, such as `GET /apps/devel/x`");
    };
    let explanation = what_if.ask(Question::new(method, url.trim())?, caller(case, config)?.as_ref());
    Ok(differences(&case.expect, &explanation))
}

fn caller(case: &CaseFile, config: &Config) -> anyhow::Result<Option<Principal>> {
    let nothing = CallerNames::default();
    let names = match &case.caller {
        // A case that passes because somebody was assumed to be there would show nothing.
        Some(CallerFile::Keyword(CallerKeyword::Anonymous)) | None => return Ok(None),
        Some(CallerFile::Names(names)) => names,
        Some(CallerFile::Keyword(CallerKeyword::Authenticated)) => &nothing,
    };
    Ok(Some(principal(names, config)?))
}

fn differences(expect: &ExpectFile, found: &Explanation) -> Vec<String> {
    let decision = match expect.decision {
        DecisionFile::Allow => "allow",
        DecisionFile::Deny => "deny",
    };
    let wanted = [
        ("decision", Some(decision), Some(found.decision)),
        ("rule", expect.rule.as_deref(), found.rule.as_deref()),
        ("reason", expect.reason.as_deref(), Some(found.reason)),
        ("tier", expect.tier.as_deref(), found.tier.as_deref()),
    ];
    let mut lines = Vec::new();
    for (key, expected, got) in wanted {
        let Some(expected) = expected else { continue };
        if got != Some(expected) {
            lines.push(format!("- {key}: {expected}"));
            lines.push(format!("+ {key}: {}", got.unwrap_or("(none)")));
        }
    }
    if !lines.is_empty() && decision == found.decision {
        lines.push(format!("  reason: {}", found.reason));
    } else if !lines.is_empty() && expect.reason.is_none() {
        lines.push(format!("  because: {}", found.reason));
    }
    lines
}
