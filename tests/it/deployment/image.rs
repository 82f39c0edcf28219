//! The Dockerfile: what it copies is there, what it builds can be built, what
//! it makes can run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::dockerfile::{Step, is_ignored, steps};
use super::{read, root, run_tool, said};

fn dockerfile() -> Vec<Step> {
    steps(&read("Dockerfile"))
}

fn of_stage<'s>(steps: &'s [Step], stage: &str, word: &str) -> Vec<&'s str> {
    let of_both = |step: &&Step| step.stage == stage && step.word == word;
    steps.iter().filter(of_both).map(|step| step.rest.as_str()).collect()
}

#[test]
fn hadolint_finds_nothing() {
    let output = run_tool("hadolint", &["--failure-threshold", "info", "Dockerfile"]);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn what_is_copied_is_there_and_reaches_the_builder() {
    let ignore = read(".dockerignore");
    let steps = dockerfile();
    let sources: Vec<&str> = steps.iter().flat_map(Step::sources).collect();
    assert!(sources.len() > 6, "{sources:?}");
    for source in &sources {
        assert!(root().join(source).exists(), "the Dockerfile copies `{source}`, which is not there");
        assert!(!is_ignored(&ignore, source), "the Dockerfile copies `{source}`, which .dockerignore keeps out");
    }
    for private in [".env", ".git/config", ".tools", "target", "deploy/secrets/session_secrets", "tests", "docs"] {
        assert!(is_ignored(&ignore, private), "`{private}` reaches the builder");
    }
    for line in ignore.lines().filter_map(|line| line.strip_prefix('!')) {
        let is_used = |source: &&str| source.starts_with(line) || line.starts_with(*source);
        assert!(sources.iter().any(is_used), "nothing copies `{line}` of .dockerignore");
    }
}

#[test]
fn stages_come_from_earlier_ones() {
    let mut known: Vec<String> = Vec::new();
    for step in dockerfile() {
        for from in step.options("from") {
            assert!(known.iter().any(|stage| stage == from), "`{from}` is no stage before `{}`", step.rest);
        }
        if step.word == "FROM" {
            let base = step.rest.split(' ').next().unwrap_or_default();
            let tag = base.rsplit_once(':').map(|(_, tag)| tag);
            assert!(known.iter().any(|stage| stage == base) || tag.is_some_and(|tag| tag != "latest"), "{base}");
            known.push(step.stage.clone());
        }
    }
    assert_eq!(known.last().map(String::as_str), Some("tiergate"), "`docker build .` makes the last stage");
}

#[test]
fn the_toolchain_is_the_one_of_the_repository() {
    let toolchain = read("rust-toolchain.toml");
    let channel = toolchain.split('"').nth(1).expect("a channel");
    let steps = dockerfile();
    assert_eq!(of_stage(&steps, "source", "FROM"), [format!("rust:{channel}-slim-bookworm AS source")]);
}

#[test]
fn what_is_built_is_a_program_of_the_workspace() {
    let steps = dockerfile();
    let [build] = of_stage(&steps, "build", "RUN")[..] else { panic!("one step builds") };
    let arguments = "build --release --locked --bin tiergate";
    assert!(build.contains(&format!("cargo {arguments}")), "{build}");
    assert!(
        read("Makefile").contains("build --quiet --release --locked --bin tiergate"),
        "`make bench` builds the same"
    );
    let [provider] = of_stage(&steps, "build-provider", "RUN")[..] else { panic!("one step builds") };
    assert!(provider.contains("cargo build --release --locked --package tiergate-testbed --bin tiergate-provider "));
    let bins = programs(&root());
    assert_eq!(bins.get("tiergate").map(String::as_str), Some("tiergate"));
    assert_eq!(bins.get("tiergate-provider").map(String::as_str), Some("tiergate-testbed"));
}

/// The same in nothing but the files that the image has.
#[test]
fn cargo_finds_all_it_needs_in_what_is_copied() {
    let folder = tempfile::tempdir().expect("a folder");
    let steps = dockerfile();
    for step in steps.iter().filter(|step| step.stage == "source") {
        for source in step.sources() {
            copy(&root().join(source), &folder.path().join(source));
        }
    }
    let bins = programs(folder.path());
    assert!(bins.contains_key("tiergate") && bins.contains_key("tiergate-provider"), "{bins:?}");
    // What the code takes in beside Rust has to come along too; tests are not built there.
    let mut included = 0;
    for (file, path) in includes(&folder.path().join("src")) {
        included += 1;
        assert!(path.exists(), "{} takes in {}, which the image does not have", file.display(), path.display());
    }
    assert!(included > 5, "{included}");
}

/// The programs of the workspace in a folder, and their packages.
fn programs(folder: &Path) -> BTreeMap<String, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--locked", "--offline", "--no-deps", "--format-version=1"]).current_dir(folder);
    let output = command.output().expect("cargo runs");
    assert!(output.status.success(), "{}", said(&output));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let mut programs = BTreeMap::new();
    for package in super::items(&metadata, "/packages") {
        for target in super::items(package, "/targets") {
            if super::items(target, "/kind").iter().any(|kind| kind == "bin") {
                programs.insert(super::text(target, "/name").to_owned(), super::text(package, "/name").to_owned());
            }
        }
    }
    programs
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().expect("a folder")).expect("made");
    if from.is_dir() {
        for entry in fs::read_dir(from).expect("a folder") {
            let entry = entry.expect("an entry");
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    }
}

/// What the code below a folder takes in by `include_str!` and its kin, outside of test modules.
fn includes(folder: &Path) -> Vec<(std::path::PathBuf, std::path::PathBuf)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(includes(&path));
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let text = fs::read_to_string(&path).expect("text");
            let parent = fs::read_to_string(path.with_file_name("mod.rs")).unwrap_or_default();
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let is_test = name.ends_with("tests") || parent.contains(&format!("#[cfg(test)]\nmod {name};"));
            let code = if is_test { "" } else { text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default() };
            for rest in code.split("include_str!(\"").skip(1).chain(code.split("include_bytes!(\"").skip(1)) {
                let target = rest.split('"').next().unwrap_or_default();
                found.push((path.clone(), path.parent().expect("a folder").join(target)));
            }
        }
    }
    found
}

#[test]
fn the_images_run_without_rights() {
    let steps = dockerfile();
    for stage in ["tiergate", "provider", "apps"] {
        assert_eq!(of_stage(&steps, stage, "USER"), ["65532:65532"], "{stage}");
        assert_eq!(of_stage(&steps, stage, "STOPSIGNAL").len(), 1, "{stage}");
        assert_eq!(of_stage(&steps, stage, "LABEL").len(), 1, "{stage}");
    }
    let [health] = of_stage(&steps, "tiergate", "HEALTHCHECK")[..] else { panic!("one health check") };
    let command = r#"CMD ["/usr/local/bin/tiergate", "healthcheck", "-c", "/etc/tiergate/tiergate.yaml"]"#;
    assert!(health.ends_with(command), "{health}");
    for step in &steps {
        assert!(step.word != "ARG" && !(step.word == "ENV" && step.rest.contains("SECRET")), "{}", step.rest);
    }
}

/// The final image has the C library and the runtime of the compiler, and nothing else that a program is linked with.
#[test]
fn the_program_needs_no_library_that_the_image_lacks() {
    let output = Command::new("ldd").arg(env!("CARGO_BIN_EXE_tiergate")).output().expect("ldd runs");
    assert!(output.status.success(), "{}", said(&output));
    let names: Vec<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(|name| name.rsplit('/').next().unwrap_or(name).to_owned())
        .collect();
    assert!(names.iter().any(|name| name == "libc.so.6"), "{names:?}");
    for name in names {
        let is_there = ["linux-vdso", "ld-linux", "libc.so", "libm.so", "libgcc_s.so"];
        assert!(is_there.iter().any(|start| name.starts_with(start)), "the image has no {name}");
    }
}

#[test]
fn the_apps_of_the_image_have_the_versions_that_are_tested() {
    let (image, tested) = (read("examples/requirements.txt"), read("testbed/setup/requirements.txt"));
    let tested = pins(&tested);
    let pinned = pins(&image);
    assert!(pinned.len() > 10, "{pinned:?}");
    let differ: Vec<_> = pinned.difference(&tested).collect();
    assert!(differ.is_empty(), "not what testbed/setup/requirements.txt has: {differ:?}");
    for package in image.split("==").skip(1) {
        assert!(package.contains("--hash=sha256:"), "a package without a hash");
    }
}

fn pins(text: &str) -> BTreeSet<(&str, &str)> {
    text.lines()
        .filter(|line| !line.starts_with([' ', '#']))
        .filter_map(|line| line.split_once("=="))
        .map(|(name, rest)| (name, rest.split([' ', ';']).next().unwrap_or_default()))
        .collect()
}
