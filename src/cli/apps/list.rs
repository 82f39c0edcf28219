//! `apps list`: which apps there are.

use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};

use super::super::load::{self, Failure, Loaded};
use super::super::{ConfigArg, Exit, Format};
use crate::apps::App;

/// What a table should not be wider than.
const WIDTH: usize = 80;

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(in crate::cli) fn list(args: &ListArgs) -> Result<Exit, Failure> {
    let Loaded { apps, .. } = load::with_apps(&args.config)?;
    let apps = apps.catalogue.apps();
    match args.format {
        Format::Text if apps.is_empty() => outln!("there is no app"),
        Format::Text => out!("{}", text(apps)),
        Format::Json => {
            let list: Vec<Value> = apps.iter().map(|app| as_json(app)).collect();
            outln!("{}", serde_json::to_string_pretty(&list).context("the list cannot be written")?);
        }
    }
    Ok(Exit::Done)
}

fn as_json(app: &App) -> Value {
    json!({
        "app": app.id.to_string(),
        "tier": app.id.tier,
        "name": app.id.name.as_str(),
        "title": app.title,
        "path": app.path.to_string(),
        "host": app.host_text(),
        "upstream": app.upstream.to_string(),
        "version": app.version,
        "owner": app.owner,
        "hidden": app.hidden,
        "health": app.health,
        "source": app.source,
    })
}

/// One table where it is narrow enough, else what identifies an app, and the
/// rest on a second line.
fn text(apps: &[Arc<App>]) -> String {
    let shown = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let first =
        |app: &App| [app.id.to_string(), app.path.to_string(), app.upstream.to_string(), shown(app.version.as_deref())];
    let rest = |app: &App| {
        let hidden = if app.hidden { "yes" } else { "" };
        [shown(app.host_text()), shown(app.owner.as_deref()), hidden.to_owned(), app.source.clone()]
    };
    let titles =
        ["APP", "PATH", "UPSTREAM", "VERSION", "HOST", "OWNER", "HIDDEN", "SOURCE"].map(str::to_owned).to_vec();
    let rows: Vec<Vec<String>> = apps.iter().map(|app| [first(app), rest(app)].concat()).collect();
    let whole = table(&std::iter::once(titles.clone()).chain(rows).collect::<Vec<_>>());
    if whole.lines().all(|line| line.chars().count() <= WIDTH) {
        return whole;
    }
    let titles = titles.into_iter().take(4).collect();
    let narrow = table(&std::iter::once(titles).chain(apps.iter().map(|app| first(app).to_vec())).collect::<Vec<_>>());
    let mut lines = narrow.lines();
    let mut text = format!("{}\n", lines.next().unwrap_or_default());
    for (line, app) in lines.zip(apps) {
        let [host, owner, hidden, source] = rest(app);
        let more = [("host", host), ("owner", owner), ("hidden", hidden), ("source", source)];
        let more: Vec<String> =
            more.iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| format!("{key} {value}")).collect();
        text.push_str(&format!("{line}\n  {}\n", more.join(", ")));
    }
    text
}

/// Columns side by side; one in which nothing stands is left out.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let cell = |row: &[String], column: usize| row.get(column).cloned().unwrap_or_default();
    let used: Vec<(usize, usize)> = (0..columns)
        .filter(|column| rows.iter().skip(1).any(|row| !cell(row, *column).is_empty()))
        .map(|column| (column, rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or_default()))
        .collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = used.iter().map(|(column, width)| format!("{:<width$}", cell(row, *column))).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}
