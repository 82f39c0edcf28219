//! How the cost of a cached allow grows with everything that may be many.

use std::fmt::Write as _;

use anyhow::Result;
use tiergate_testbed::Key;

use super::{Bench, Found, cold};
use crate::load::Load;
use crate::plot::{Kind, Line, Plot};
use crate::rounds::{Spread, Subject, interleave};
use crate::service::{Service, readme_config};
use crate::table::Row;

/// A growing count, and CPU time in µs.
pub(crate) type Points = Vec<(f64, Spread)>;

const STEPS: [usize; 4] = [10, 100, 1000, 10_000];

pub(crate) fn grow(bench: &Bench, found: &mut Found) -> Result<()> {
    let steps: &[usize] = if bench.is_quick { &[10, 10_000] } else { &STEPS };
    let routes = policies(bench, steps, routes)?;
    found.grown.push(("routes", "rules in the policy", routes));
    let steps: &[usize] = if bench.is_quick { &[10, 120] } else { &[10, 30, 60, 120] };
    let tiers = policies(bench, steps, tiers)?;
    found.grown.push(("tiers", "tiers in the policy, each within the next", tiers));
    let tokens = tokens(bench)?;
    found.grown.push(("tokens", "tokens in use, all cached", tokens));
    let connections = connections(bench)?;
    found.grown.push(("connections", "connections, 128 checks under way on all together", connections));
    directory(bench, found)
}

/// One service for each step, all measured by turns.
fn policies(bench: &Bench, steps: &[usize], more: fn(&str, usize) -> String) -> Result<Points> {
    let config = readme_config(&bench.provider)?;
    let services =
        steps.iter().map(|step| Service::start(&bench.tiergate, &more(&config, *step))).collect::<Result<Vec<_>>>()?;
    let message = bench.message()?;
    let subjects = services
        .iter()
        .map(|service| {
            let load = Load::grpc(service.grpc(), &message, bench.choose(40_000, 10_000));
            Ok(Subject { name: "", pid: Some(service.pid()?), proxy: None, load, decided_by: Some(service) })
        })
        .collect::<Result<Vec<_>>>()?;
    let series = interleave(&subjects, bench.choose(5, 3))?;
    Ok(steps.iter().zip(&series).map(|(step, series)| (*step as f64, series.cpu())).collect())
}

/// Apps of other names beside the rule that opens the request's path.
fn routes(config: &str, count: usize) -> String {
    let mut config = config.to_owned();
    for number in 0..count {
        let _ = writeln!(config, "  - {{ path: \"/site-{}/app-{number}/{{id}}/**\", tier: ea }}", number % 100);
    }
    config
}

/// Tiers above those of the README, each with the one below in it.
fn tiers(config: &str, count: usize) -> String {
    let mut more = String::new();
    let mut below = "devel".to_owned();
    for number in 0..count {
        let name = format!("level-{number}");
        let grant = format!("{{ scopes: [\"access:{name}\"] }}");
        let _ = writeln!(more, "  {name}: {{ grant: {grant}, includes: [{below}] }}");
        below = name;
    }
    config.replace("\nrules:", &format!("{more}\nrules:"))
}

/// Tokens that differ, all of them verified before.
fn tokens(bench: &Bench) -> Result<Points> {
    let steps: &[usize] = if bench.is_quick { &[1, 1000] } else { &[1, 1000, 10_000, 100_000] };
    let most = steps.iter().copied().max().unwrap_or_default();
    let config = format!("limits: {{ token_cache: {} }}\n{}", most + most / 4, readme_config(&bench.provider)?);
    let service = Service::start(&bench.tiergate, &config)?;
    // What signs them does not matter once they are kept; an elliptic curve does it quickly.
    let all = cold::tokens(&bench.provider, &Key::P256, 0..most)?;
    let mut points = Vec::new();
    for step in steps {
        let file = cold::messages(bench, "many-tokens", all.get(..*step).unwrap_or_default())?;
        // The first round verifies them.
        let load = cold::load(bench, service.grpc(), file, (*step).max(20_000));
        let subject = Subject { name: "", pid: Some(service.pid()?), proxy: None, load, decided_by: Some(&service) };
        let series = interleave(&[subject], 3)?;
        points.extend(series.first().map(|series| (*step as f64, series.cpu())));
    }
    Ok(points)
}

fn connections(bench: &Bench) -> Result<Points> {
    let service = bench.service()?;
    let message = bench.message()?;
    let steps: [usize; 4] = [1, 4, 16, 64];
    let subjects = steps
        .iter()
        .map(|connections| {
            let load = Load::Grpc {
                at: service.grpc(),
                message: message.clone(),
                requests: bench.choose(40_000, 10_000),
                connections: *connections,
                streams: 128 / connections,
            };
            Ok(Subject { name: "", pid: Some(service.pid()?), proxy: None, load, decided_by: Some(&service) })
        })
        .collect::<Result<Vec<_>>>()?;
    let series = interleave(&subjects, bench.choose(5, 3))?;
    Ok(steps.iter().zip(&series).map(|(step, series)| (*step as f64, series.cpu())).collect())
}

/// The same check while the service keeps its own list of people.
fn directory(bench: &Bench, found: &mut Found) -> Result<()> {
    let config = readme_config(&bench.provider)?;
    let with = format!("{config}directory: {{ url: \"sqlite:users.db\" }}\n");
    let services = [Service::start(&bench.tiergate, &config)?, Service::start(&bench.tiergate, &with)?];
    let message = bench.message()?;
    let subject = |name, service| -> Result<Subject<'_>> {
        let service: &Service = service;
        let load = Load::grpc(service.grpc(), &message, bench.choose(60_000, 15_000));
        Ok(Subject { name, pid: Some(service.pid()?), proxy: None, load, decided_by: Some(service) })
    };
    let [plain, listed] = &services;
    let subjects = [subject("without a directory", plain)?, subject("with a directory", listed)?];
    let series = interleave(&subjects, bench.choose(5, 3))?;
    if let [plain, listed] = series.as_slice() {
        let more = listed.above(plain, |sample| sample.cpu);
        found.rows.push(Row::told("directory_above", "a user directory adds to a gRPC check", "µs", more));
    }
    found.keep("directory", &series);
    Ok(())
}

/// One plot for all counts that were made to grow.
pub(crate) fn plots(found: &mut Found) {
    let named = |name: &str| found.grown.iter().find(|(known, ..)| *known == name);
    let lines = |names: &[&'static str]| -> Vec<Line> {
        names.iter().filter_map(|name| Some(Line { name, points: named(name)?.2.clone() })).collect()
    };
    let groups: [(&'static str, &'static str, &'static str, &'static str, &[&'static str]); 3] = [
        (
            "policy.svg",
            "The policy grows",
            "CPU for a gRPC check with a cached token, µs",
            "rules, or tiers, in the policy",
            &["routes", "tiers"],
        ),
        (
            "callers.svg",
            "More people call",
            "CPU for a gRPC check, each from the next of so many, µs",
            "tokens, or sessions, in use",
            &["tokens", "sessions"],
        ),
        (
            "connections.svg",
            "More connections",
            "CPU for a gRPC check with a cached token, µs; 128 under way on all together",
            "connections",
            &["connections"],
        ),
    ];
    let mut plots = Vec::new();
    for (file, title, under, x, names) in groups {
        let lines = lines(names);
        if !lines.is_empty() {
            plots.push(Plot { file, title, under: under.to_owned(), kind: Kind::Lines { x, lines } });
        }
    }
    found.plots.append(&mut plots);
}
