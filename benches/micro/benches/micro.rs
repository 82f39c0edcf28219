//! `make micro`: how long one operation of each case takes.

#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a measurement that cannot be set up ends"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use criterion::Criterion;
use mimalloc::MiMalloc;
use tiergate::app::{load_apps, snapshot};
use tiergate_micro::cases;
use tiergate_micro::stage::{Stage, config};

/// The allocator of the service.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    for case in cases::all() {
        criterion.bench_function(&case.id(), |bencher| {
            let mut operation = case.prepare();
            bencher.iter(&mut operation);
        });
    }
    reload(&mut criterion);
    criterion.final_summary();
}

const APPS: usize = 5000;

/// What a SIGHUP costs, all of it: every file of 5000 apps read and judged anew,
/// one policy made of them, and put in the place of the live one.
fn reload(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reload");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    group.bench_function(format!("{APPS} apps"), |bencher| {
        let folder = tempfile::tempdir().expect("a folder");
        for number in 0..APPS {
            let tier = ["stable", "ea", "devel"].get(number % 3).expect("one of three");
            let app = format!(
                "tier: {tier}\ntitle: App number {number}\nowner: team@example.com\nupstream: http://127.0.0.1:5000\n"
            );
            std::fs::write(folder.path().join(format!("app-{number}.yaml")), app).expect("a file");
        }
        let config = config(&format!("{}\napps_dir: {}\n", Stage::README, folder.path().display()));
        let stage = Stage::readme();
        bencher.iter(|| {
            let loaded = load_apps(&config, &BTreeMap::new());
            assert_eq!(loaded.catalogue.apps().len(), APPS, "{:?}", loaded.faults.first());
            stage.check.checker().replace(snapshot(&config, &loaded).expect("a snapshot"));
        });
    });
    group.finish();
}
