//! What a whole run leaves behind: `latest.json`, `latest.md`, the plots, and
//! the figures in `docs/performance.md`.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tiergate_testbed::repo_root;

use crate::phases::{Found, UserFigure};
use crate::plot::{Bar, Kind, Plot};
use crate::process;
use crate::table::{self, Row, figure};

/// The document whose figures are those of the last run.
const DOCUMENT: &str = "docs/performance.md";
/// Of a core, while a service is in use.
const BUSY: f64 = 0.6;
/// Cores of a replica on paper.
const CORES: f64 = 4.0;

/// All of it, for programs.
pub(crate) fn json(found: &Found, is_quick: bool, load: [f64; 2]) -> Result<Value> {
    let grown = found.grown.iter().map(|(name, what, points)| {
        let points: Vec<_> = points.iter().map(|(count, spread)| json!([count, spread.json()])).collect();
        json!({ "name": name, "what": what, "cpu_us": points })
    });
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(json!({
        "taken_at": since.as_secs(),
        "machine": process::machine()?,
        "load_average": { "before": load[0], "after": load[1] },
        "quick": is_quick,
        "rows": found.rows.iter().map(Row::json).collect::<Vec<_>>(),
        "series": found.series,
        "grown": grown.collect::<Vec<_>>(),
    }))
}

/// Writes the results into a folder, and their figures into the document.
pub(crate) fn write(folder: &Path, found: &Found, results: &Value) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("latest.json"), format!("{results:#}\n"))?;
    let table = format!("{}\n{}", about(results), table::markdown(&found.rows));
    let capacity = capacity(&found.rows);
    let users = users(&found.users);
    std::fs::write(folder.join("latest.md"), format!("{table}\n{capacity}\n{users}"))?;
    let compared = compared(&found.rows);
    for plot in found.plots.iter().chain(&compared) {
        std::fs::write(folder.join(plot.file), plot.svg())?;
    }
    let (native, compared): (Vec<&Plot>, Vec<&Plot>) = compared.iter().partition(|plot| plot.file == "native.svg");
    let grown: Vec<&Plot> = found.plots.iter().collect();
    let plots = [shown(&compared), shown(&grown), shown(&native)];
    let [compared, grown, native] = &plots;
    let path = repo_root().join(DOCUMENT);
    let mut text = std::fs::read_to_string(&path)?;
    for (name, block) in [
        ("rows", &table),
        ("compared", compared),
        ("grown", grown),
        ("capacity", &capacity),
        ("native", native),
        ("users", &users),
    ] {
        text = replaced(&text, name, block).with_context(|| format!("{DOCUMENT} has no place for `{name}`"))?;
    }
    Ok(std::fs::write(path, text)?)
}

/// The plots, as the document shows them.
fn shown(plots: &[&Plot]) -> String {
    plots.iter().map(|plot| format!("![{}](../bench/results/{})\n\n", plot.title, plot.file)).collect()
}

/// The text with another block between `<!-- NAME -->` and `<!-- /NAME -->`.
fn replaced(text: &str, name: &str, block: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->\n"));
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{}\n\n{end}{after}", block.trim_end()))
}

/// On what, and how quiet it was.
fn about(results: &Value) -> String {
    let text = |pointer: &str| match results.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => figure(number.as_f64().unwrap_or(f64::NAN)).trim_end_matches(".00").to_owned(),
        _ => "?".to_owned(),
    };
    let quick = if results.get("quick") == Some(&Value::Bool(true)) { "A quick run. " } else { "" };
    format!(
        "{quick}{} cores of a {}, Linux {}; load average {} before and {} after.\n",
        text("/machine/cores"),
        text("/machine/cpu"),
        text("/machine/kernel"),
        text("/load_average/before"),
        text("/load_average/after")
    )
}

fn median(rows: &[Row], id: &str) -> Option<f64> {
    rows.iter().find(|row| row.id == id).map(|row| row.measured.median)
}

/// What a core can do, and what a million checks a second take.
fn capacity(rows: &[Row]) -> String {
    let mut text = "| path | CPU of a check | checks a second on one core | replicas for 1 000 000 a second |\n\
                    | --- | ---: | ---: | ---: |\n"
        .to_owned();
    for (id, path) in [
        ("grpc_cpu", "gRPC, saturated"),
        ("envoy_cpu", "gRPC behind one Envoy"),
        ("cookie_cpu", "gRPC, saturated, session cookie"),
        ("http_cpu", "HTTP, saturated"),
        ("nginx_cpu", "HTTP behind one nginx"),
    ] {
        let Some(cpu) = median(rows, id) else { continue };
        let replicas = (cpu / BUSY / CORES).ceil();
        let _ = writeln!(text, "| {path} | {} µs | {:.0} 000 | {replicas} |", figure(cpu), 1000.0 / cpu);
    }
    let _ = writeln!(text, "\nA replica has {CORES} cores, of which {:.0} % are busy.", BUSY * 100.0);
    text
}

fn users(figures: &[UserFigure]) -> String {
    if figures.is_empty() {
        return "Not part of this run.\n".to_owned();
    }
    let mut databases: Vec<&str> = Vec::new();
    let mut whats: Vec<&str> = Vec::new();
    for figure in figures {
        for (list, name) in [(&mut databases, figure.database.as_str()), (&mut whats, figure.what.as_str())] {
            if !list.contains(&name) {
                list.push(name);
            }
        }
    }
    let mut text = format!("| | {} |\n| --- |{}\n", databases.join(" | "), " ---: |".repeat(databases.len()));
    for what in whats {
        let cell = |database: &&str| {
            let of = figures.iter().find(|figure| figure.what == what && figure.database == **database);
            of.map_or_else(String::new, |of| match of.median {
                long if long >= 10_000.0 => format!("{:.1} s", long / 1000.0),
                short => format!("{} ms ({})", figure(short), figure(of.most)),
            })
        };
        let cells: Vec<String> = databases.iter().map(cell).collect();
        let _ = writeln!(text, "| {what} | {} |", cells.join(" | "));
    }
    text
}

/// The bars: ours beside the servers that decide nothing.
fn compared(rows: &[Row]) -> Vec<Plot> {
    let bars = |named: &[(&str, &[&str])]| -> Vec<Bar> {
        let bar = |(name, ids): &(&str, &[&str])| {
            let parts = ids.iter().map(|id| median(rows, id)).collect::<Option<Vec<_>>>()?;
            Some(Bar { name: (*name).to_owned(), parts, is_ours: name.starts_with("Tiergate") })
        };
        named.iter().filter_map(bar).collect()
    };
    let groups: [(&'static str, &'static str, &'static str, Vec<Bar>); 4] = [
        (
            "grpc.svg",
            "A check over gRPC, beside servers that decide nothing",
            "CPU of the server process for one answer, µs; h2load, 4 connections with 32 requests each",
            bars(&[
                ("bare hyper HTTP/2", &["bare_cpu"]),
                ("Tiergate", &["grpc_cpu"]),
                ("tonic, per core", &["tonic_cpu"]),
                ("tonic, multi-thread runtime", &["multi_cpu"]),
            ]),
        ),
        (
            "http.svg",
            "A check over HTTP, beside servers that decide nothing",
            "CPU of the server process for one answer, µs; wrk, 32 connections",
            bars(&[("bare hyper HTTP/1", &["hyper_cpu"]), ("Tiergate", &["http_cpu"]), ("axum", &["axum_cpu"])]),
        ),
        (
            "proxied.svg",
            "The same behind real proxies",
            "CPU of the server process for one answer, µs; wrk, 32 connections to the proxy",
            bars(&[
                ("Envoy: bare hyper HTTP/2", &["envoy_bare_cpu"]),
                ("Tiergate behind Envoy", &["envoy_cpu"]),
                ("Envoy: tonic, per core", &["envoy_tonic_cpu"]),
                ("nginx: bare hyper HTTP/1", &["nginx_hyper_cpu"]),
                ("Tiergate behind nginx", &["nginx_cpu"]),
            ]),
        ),
        (
            "native.svg",
            "What a request costs more because it is checked",
            "CPU added to Envoy + CPU of the authorization service, µs",
            bars(&[
                ("jwt_authn + rbac, token cache", &["native_cached"]),
                ("jwt_authn + rbac", &["native_plain"]),
                ("Tiergate by ext_authz", &["native_ours", "native_ours_own"]),
            ]),
        ),
    ];
    let plots = groups.into_iter().filter(|(_, _, _, bars)| !bars.is_empty());
    plots
        .map(|(file, title, under, bars)| Plot { file, title, under: under.to_owned(), kind: Kind::Bars(bars) })
        .collect()
}
