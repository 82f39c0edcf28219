//! The README of each example: what its console blocks show is what comes out
//! when somebody types it, and its one command is there.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tiergate_testbed::{Example, Gateway, RunningExample, repo_root};

use super::stage::{BINARY, PROXIES};

/// A line after `$ ` and what it prints.
#[derive(Debug, PartialEq, Eq)]
struct Typed {
    command: String,
    shown: String,
}

/// The commands of all console blocks, in order.
fn typed(text: &str) -> Vec<Typed> {
    let mut all: Vec<Typed> = Vec::new();
    let blocks = text.split("```console\n").skip(1).filter_map(|rest| rest.split_once("```"));
    for line in blocks.flat_map(|(block, _)| block.lines()) {
        match line.strip_prefix("$ ") {
            Some(command) => all.push(Typed { command: command.to_owned(), shown: String::new() }),
            None => all.last_mut().expect("a block begins with a command").shown.extend([line, "\n"]),
        }
    }
    all
}

/// What one shell prints for each of these, in the folder of the example.
fn outputs(running: &RunningExample, commands: &[Typed]) -> Result<Vec<String>> {
    let script: String = commands.iter().map(|typed| format!("{}\nprintf '\\036'\n", typed.command)).collect();
    let programs = Path::new(BINARY).parent().context("a program stands in a folder")?;
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let mut bash = Command::new("bash");
    bash.args(["-c", &format!("exec 2>&1\n{script}")]).env("PATH", path).current_dir(running.folder());
    let output = bash.output().context("cannot run bash")?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.split_terminator('\u{1e}').map(|one| one.trim_end().to_owned()).collect())
}

fn check(example: Example, proxy: Gateway) -> Result<()> {
    let running = example.start_copy(Path::new(BINARY), proxy)?;
    let commands = typed(&std::fs::read_to_string(running.folder().join("README.md"))?);
    ensure!(commands.len() > 3, "the README has hardly a command");
    let outputs = outputs(&running, &commands)?;
    ensure!(outputs.len() == commands.len(), "{} of {} commands ran", outputs.len(), commands.len());
    for (Typed { command, shown }, output) in commands.iter().zip(outputs) {
        ensure!(output == shown.trim_end(), "$ {command}\n{output}\n--- the README has\n{shown}");
    }
    Ok(())
}

fn each_command_prints_what_the_readme_shows(example: Example) {
    let failures: Vec<String> = std::thread::scope(|scope| {
        let checks = PROXIES.map(|proxy| (proxy, scope.spawn(move || check(example, proxy))));
        let done = checks.into_iter().map(|(proxy, check)| (proxy, check.join().expect("a check panicked")));
        done.filter_map(|(proxy, result)| Some(format!("behind {}: {:#}", proxy.name(), result.err()?))).collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn the_readme_of_the_seismic_portal_holds() {
    each_command_prints_what_the_readme_shows(Example::SeismicPortal);
}

#[test]
fn the_readme_of_the_drinks_holds() {
    each_command_prints_what_the_readme_shows(Example::DrinksApi);
}

#[test]
fn the_readme_of_the_hello_holds() {
    each_command_prints_what_the_readme_shows(Example::HelloApi);
}

#[test]
fn the_readme_of_the_web_login_holds() {
    each_command_prints_what_the_readme_shows(Example::WebLogin);
}

#[test]
fn each_example_has_one_command() {
    let makefile = std::fs::read_to_string(repo_root().join("Makefile")).expect("the Makefile");
    for example in Example::ALL {
        let name = example.name();
        let readme = std::fs::read_to_string(example.folder().join("README.md")).expect("a README");
        assert!(readme.contains(&format!("```sh\nmake example-{name}")), "{name} does not say how it is started");
        assert!(makefile.contains(&format!("\nexample-{name}: ")), "the Makefile has no example-{name}");
    }
}

#[test]
fn each_link_of_a_readme_leads_somewhere() {
    for example in Example::ALL {
        let readme = std::fs::read_to_string(example.folder().join("README.md")).expect("a README");
        let targets = readme.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
        for target in targets.filter(|target| !target.contains("://")) {
            let file = target.split('#').next().unwrap_or_default();
            assert!(example.folder().join(file).exists(), "{} links to {target}", example.name());
        }
    }
}

#[test]
fn no_application_imports_anything_of_this_project() {
    fn python(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() {
                python(&entry, found);
            } else if entry.extension().is_some_and(|extension| extension == "py") {
                found.push(std::fs::read_to_string(entry).expect("a program"));
            }
        }
    }
    for example in Example::ALL {
        let mut programs = Vec::new();
        python(&example.folder(), &mut programs);
        assert!(!programs.is_empty(), "{}", example.name());
        for text in programs {
            let imports = text.lines().filter(|line| line.starts_with("import ") || line.starts_with("from "));
            for line in imports {
                assert!(!line.contains("tiergate"), "{}: {line}", example.name());
            }
            assert!(
                !text.contains("jwt") && !text.to_lowercase().contains("authorization"),
                "{} reads tokens",
                example.name()
            );
        }
    }
}
