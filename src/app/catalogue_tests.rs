use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::config::{NoFiles, Sources};

/// What the files are called; the last two are folders.
const FILES: [&str; 5] = ["a.yaml", "b.yml", "c.yaml", "devel/d/app.yaml", "stable/d/app.yml"];

fn config(place: &TempDir) -> Config {
    let text = format!(
        "tiers: {{ public: {{ grant: anyone }}, stable: {{ grant: authenticated }}, devel: {{ grant: authenticated }} }}\n\
         rules: [{{ path: /fixed/**, tier: devel }}]\napps_dir: {}\n",
        place.path().display()
    );
    let read_secret = |_: &str| Ok(String::new());
    let sources = Sources {
        file: Some(("tiergate.yaml", &text)),
        environment: [].into(),
        read_secret: &read_secret,
        files: &NoFiles,
    };
    Config::load(&sources).unwrap()
}

/// An app that is in nobody's way, in one of two versions.
fn good(file: usize, version: usize) -> String {
    let tier = if file < 3 { format!("tier: {}\n", ["public", "stable"][version]) } else { String::new() };
    format!("{tier}upstream: http://h:{}\npath: /own/{file}/{version}\n", version + 1)
}

/// What stands in a file: good ones first.
fn text(file: usize, kind: usize) -> String {
    let tier = if file < 3 { "tier: public\n" } else { "" };
    match kind {
        0 | 1 => good(file, kind),
        // In the way of others.
        2 => format!("{tier}upstream: http://h\npath: /shared\n"),
        3 if file < 3 => "tier: public\nname: shared\nupstream: http://h\n".to_owned(),
        // Faulty.
        3 | 4 => format!("{tier}upstream: ftp://h\n"),
        5 => "tier: [".to_owned(),
        _ => String::new(),
    }
}

#[derive(Debug, Clone)]
enum Change {
    Write(usize, usize),
    Remove(usize),
    Swap(usize, usize),
    Scan,
    Reload,
}

fn change() -> impl Strategy<Value = Change> {
    let file = 0..FILES.len();
    prop_oneof![
        4 => (file.clone(), 0..7usize).prop_map(|(file, kind)| Change::Write(file, kind)),
        1 => file.clone().prop_map(Change::Remove),
        1 => (file.clone(), file).prop_map(|(one, other)| Change::Swap(one, other)),
        3 => Just(Change::Scan),
        1 => Just(Change::Reload),
    ]
}

fn state(loaded: &LoadedApps) -> (Vec<String>, String, Vec<String>) {
    let apps =
        loaded.catalogue.apps().iter().map(|app| format!("{} {} {} {}", app.id, app.path, app.upstream, app.source));
    let faults = loaded.faults.iter().map(|fault| fault.errors.to_string());
    (apps.collect(), loaded.policy.fingerprint().to_owned(), faults.collect())
}

fn apply(place: &TempDir, change: &Change) {
    let at = |file: usize| place.path().join(FILES[file]);
    match change {
        Change::Write(file, kind) => {
            fs::create_dir_all(at(*file).parent().unwrap()).unwrap();
            fs::write(at(*file), text(*file, *kind)).unwrap();
        }
        Change::Remove(file) => drop(fs::remove_file(at(*file))),
        Change::Swap(one, other) => {
            let aside = place.path().join(".aside");
            let _ = fs::rename(at(*one), &aside);
            let _ = fs::rename(at(*other), at(*one));
            let _ = fs::rename(&aside, at(*other));
            let _ = fs::remove_file(&aside);
        }
        Change::Scan | Change::Reload => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Whatever happened before: once every file is right, the state is that of a fresh start.
    #[test]
    fn any_order_of_changes_ends_as_a_fresh_start(
        changes in prop::collection::vec(change(), 0..30),
        versions in prop::collection::vec(0..2usize, FILES.len()),
    ) {
        let place = TempDir::new().unwrap();
        let variables = BTreeMap::new();
        let mut config_now = config(&place);
        let mut files = CatalogueFiles::new(&config_now);
        // Nobody else writes here.
        files.pause = Duration::ZERO;
        let (mut latest, _) = files.read(&config_now, &variables);
        for change in &changes {
            apply(&place, change);
            match change {
                Change::Scan => {
                    if let (Some(loaded), _) = files.read_changes(&config_now, &variables) {
                        latest = loaded;
                    }
                }
                Change::Reload => {
                    config_now = config(&place);
                    files.follow(&config_now);
                    latest = files.read(&config_now, &variables).0;
                }
                Change::Write(..) | Change::Remove(_) | Change::Swap(..) => {}
            }
            let places: std::collections::BTreeSet<String> =
                latest.catalogue.apps().iter().map(|app| app.path.to_string()).collect();
            prop_assert_eq!(places.len(), latest.catalogue.apps().len(), "two apps at one place");
        }
        for (file, version) in versions.iter().enumerate() {
            if place.path().join(FILES[file]).exists() {
                apply(&place, &Change::Write(file, *version));
            }
        }
        if let (Some(loaded), _) = files.read_changes(&config_now, &variables) {
            latest = loaded;
        }
        let (fresh, _) = CatalogueFiles::new(&config_now).read(&config_now, &variables);
        prop_assert_eq!(state(&latest), state(&fresh));
        prop_assert!(fresh.faults.is_empty(), "{:?}", fresh.faults);
    }
}

#[test]
fn what_did_not_change_is_not_read_again() {
    let place = TempDir::new().unwrap();
    for file in 0..FILES.len() {
        apply(&place, &Change::Write(file, 0));
    }
    let (config, variables) = (config(&place), BTreeMap::new());
    let mut files = CatalogueFiles::new(&config);
    let (first, _) = files.read(&config, &variables);
    assert!(files.read_changes(&config, &variables).0.is_none());
    apply(&place, &Change::Write(0, 1));
    let second = files.read_changes(&config, &variables).0.unwrap();
    assert!(second.is_other);
    let same = first.files.iter().zip(&second.files).filter(|(one, other)| Arc::ptr_eq(&one.entry, &other.entry));
    assert_eq!(same.count(), FILES.len() - 1);
    apply(&place, &Change::Write(1, 4));
    let third = files.read_changes(&config, &variables).0.unwrap();
    assert!(!third.is_other, "the last good version stays");
    assert!(third.faults.iter().all(|fault| fault.keeps_last) && third.faults.len() == 1);
}

#[test]
fn a_faulty_file_keeps_its_last_good_text_through_a_reload() {
    let place = TempDir::new().unwrap();
    apply(&place, &Change::Write(0, 0));
    let (config, variables) = (config(&place), BTreeMap::new());
    let mut files = CatalogueFiles::new(&config);
    files.read(&config, &variables);
    apply(&place, &Change::Write(0, 5));
    for _ in 0..2 {
        let (loaded, _) = files.read(&config, &variables);
        assert_eq!(loaded.catalogue.apps().len(), 1);
        assert!(loaded.faults.iter().all(|fault| fault.keeps_last) && loaded.faults.len() == 1);
    }
    // A start knows of no better version.
    let fresh = load_apps(&config, &variables);
    assert!(fresh.catalogue.apps().is_empty() && fresh.faults.iter().all(|fault| !fault.keeps_last));
}
