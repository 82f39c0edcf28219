//! Five thousand apps.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;
use tiergate::app::load_apps;
use tiergate::config::{Config, NoFiles, Sources};
use tiergate::policy::Policy;
use tiergate::types::CanonicalPath;

use super::stage::{Apps, Stage, app};

const MANY: usize = 5000;
const FEW: usize = 50;

fn fill(apps: &Apps, count: usize) {
    for number in 0..count {
        let tier = ["public", "stable", "devel"][number % 3];
        let more = format!("title: App number {number}\nowner: team@example.com\ndescription: It computes things.");
        fs::write(apps.path(&format!("app-{number}.yaml")), app(tier, &more)).unwrap();
    }
}

#[test]
fn one_change_among_many_apps_is_there_at_once() {
    let apps = Apps::new();
    fill(&apps, MANY);
    let stage = Stage::start(apps);
    assert_eq!(stage.metric("tiergate_apps", &[]), MANY as f64);
    let mut took = Vec::new();
    for round in 0..5 {
        let tier = if round % 2 == 0 { "devel" } else { "public" };
        stage.apps.write("app-0.yaml", &app(tier, "name: changing"));
        let path = format!("/apps/{tier}/changing");
        took.push(stage.becomes(&path, if tier == "public" { 200 } else { 401 }));
    }
    let reloads = || -> Vec<u64> {
        let lines = stage.service.log_lines();
        let reloaded = lines.iter().filter(|line| line["message"] == "policy reloaded");
        reloaded.filter_map(|line| line.get("took_ms").and_then(Value::as_u64)).collect()
    };
    stage.until("every reload is in the log", || reloads().len() == 5);
    let reloads = reloads();
    took.sort();
    let fastest = reloads.iter().min().copied().unwrap();
    println!("{MANY} apps: reload {reloads:?} ms, from the write to the decision {took:?}");
    // Without optimisation, and beside other tests.
    assert!(fastest < 1000, "{reloads:?}");
    assert!(took[took.len() / 2] < Duration::from_secs(4), "{took:?}");
}

fn policy(count: usize) -> std::sync::Arc<Policy> {
    let apps = Apps::new();
    fill(&apps, count);
    let text = apps.config("rules: [{ path: \"/apps/{tier}/**\", tier: \"{tier}\" }]\n");
    let read_secret = |_: &str| Ok(String::new());
    let sources = Sources {
        file: Some(("tiergate.yaml", &text)),
        environment: [].into(),
        read_secret: &read_secret,
        files: &NoFiles,
    };
    let config = Config::load(&sources).unwrap();
    let loaded = load_apps(&config, &[].into());
    assert_eq!((loaded.catalogue.apps().len(), loaded.faults.len()), (count, 0));
    loaded.policy
}

fn time(policy: &Policy, count: usize) -> Duration {
    let paths: Vec<CanonicalPath> = (0..2000)
        .map(|number| {
            let number = number * 7919 % count;
            let tier = ["public", "stable", "devel"][number % 3];
            CanonicalPath::parse(format!("/apps/{tier}/app-{number}/static/site.css").as_bytes()).unwrap()
        })
        .collect();
    let start = Instant::now();
    assert!(paths.iter().all(|path| policy.find(None, path, "GET").is_some()));
    start.elapsed()
}

#[test]
fn a_decision_costs_what_it_costs_with_few_apps() {
    let (few, many) = (policy(FEW), policy(MANY));
    let (mut fastest_few, mut fastest_many) = (Duration::MAX, Duration::MAX);
    for _ in 0..20 {
        fastest_few = fastest_few.min(time(&few, FEW));
        fastest_many = fastest_many.min(time(&many, MANY));
    }
    let ratio = fastest_many.as_secs_f64() / fastest_few.as_secs_f64();
    println!("2000 matches with {FEW} apps {fastest_few:?}, with {MANY} apps {fastest_many:?}: {ratio:.2}");
    assert!(ratio < 3.0, "{ratio}");
}
