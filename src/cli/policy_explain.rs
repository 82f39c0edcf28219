//! `policy explain`: what is decided about one request, and why.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use clap::Args;

use super::load::{self, Failure};
use super::token_inspect::verified_principal;
use super::what_if::{WhatIf, principal};
use super::{ConfigArg, Exit, Format};
use crate::check::{CallerNames, Explanation, Question};
use crate::policy::Rule;

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The method, such as GET
    method: String,
    /// The URL, absolute or starting with `/`
    url: String,
    /// A scope of the caller (repeatable)
    #[arg(long = "scope", value_name = "SCOPE", conflicts_with_all = ["token", "anonymous"])]
    scopes: Vec<String>,
    /// A permission of the caller (repeatable)
    #[arg(long = "permission", value_name = "PERMISSION", conflicts_with_all = ["token", "anonymous"])]
    permissions: Vec<String>,
    /// A group of the caller (repeatable)
    #[arg(long = "group", value_name = "GROUP", conflicts_with_all = ["token", "anonymous"])]
    groups: Vec<String>,
    /// The caller is whoever this token speaks of; it is verified, and the user directory is not asked
    #[arg(long, value_name = "JWT", conflicts_with = "anonymous")]
    token: Option<String>,
    /// The caller sends no credentials
    #[arg(long)]
    anonymous: bool,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(args: &ExplainArgs) -> Result<Exit, Failure> {
    let loaded = load::with_apps(&args.config)?;
    let config = &loaded.config;
    let question = Question::new(&args.method, &args.url).map_err(|error| Failure::Usage(error.into()))?;
    let names = CallerNames {
        scopes: args.scopes.clone(),
        permissions: args.permissions.clone(),
        groups: args.groups.clone(),
        ..CallerNames::default()
    };
    let caller = match (&args.token, args.anonymous) {
        (Some(token), _) => Some(
            verified_principal(config, token)?
                .map_err(|rejection| anyhow!("the token does not verify: {rejection}; see `tiergate token inspect`"))?,
        ),
        (None, true) => None,
        (None, false) => Some(Arc::new(principal(&names, config)?)),
    };
    if !question.has_host() && loaded.apps.policy.rules().any(Rule::names_host) {
        eprintln!("note: no host was given, so no rule with a `host` is considered");
    }
    let explanation = WhatIf::new(&loaded)?.ask(question, caller.as_deref());
    match args.format {
        Format::Text => out!("{}", text(&explanation)),
        Format::Json => {
            outln!("{}", serde_json::to_string_pretty(&explanation).context("the answer cannot be written")?);
        }
    }
    Ok(if explanation.decision == "allow" { Exit::Done } else { Exit::Failed })
}

fn text(explanation: &Explanation) -> String {
    let dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let list = |names: &[String]| if names.is_empty() { "-".to_owned() } else { names.join(" ") };
    let mut lines = vec![
        ("method", explanation.method.clone()),
        ("host", dash(&explanation.host)),
        ("path", explanation.path.clone()),
        ("rule", dash(&explanation.rule)),
    ];
    if let Some(requires) = &explanation.requires {
        lines.push(("needs", requires.all.clone()));
        lines.push(("needs tier", list(&requires.tiers)));
        lines.push(("needs scopes", list(&requires.scopes)));
        lines.push(("needs permissions", list(&requires.permissions)));
    }
    match &explanation.caller {
        Some(caller) => {
            lines.push(("caller", format!("{} ({})", caller.subject, caller.provider)));
            lines.push(("has tiers", list(&caller.tiers)));
            lines.push(("has scopes", list(&caller.scopes)));
            lines.push(("has permissions", list(&caller.permissions)));
            lines.push(("has groups", list(&caller.groups)));
        }
        None => lines.push(("caller", "anonymous".to_owned())),
    }
    lines.push(("decision", explanation.decision.to_owned()));
    let reason = match explanation.cause {
        Some(cause) => format!("{} ({cause})", explanation.reason),
        None => explanation.reason.to_owned(),
    };
    lines.push(("reason", reason));
    lines.into_iter().map(|(name, value)| format!("{name:<18}{value}\n")).collect()
}
