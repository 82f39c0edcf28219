//! `make instructions`: counts the instructions of each case under callgrind
//! and compares them with `bench/instructions.json`.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that people run: it reads files, and what it is for is what it prints"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use mimalloc::MiMalloc;
use serde_json::{Value, json};
use tiergate_micro::baseline::{BOUNDS, Baseline, Compared, passed_bounds};
use tiergate_micro::cases::{self, Case};
use tiergate_micro::machine::{Machine, RUSTC};
use tiergate_micro::{callgrind, table};

/// The allocator of the service.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

type Failure = Box<dyn std::error::Error>;

const USAGE: &str = "usage: tiergate-instructions BASELINE [--only TEXT | --bless | --results FILE CRITERION]

  BASELINE              the committed counts, bench/instructions.json
  --only TEXT           count the cases with this in their names, whether or not the gate counts them, and compare nothing
  --bless               write the counts there in place of comparing them
  --results FILE CRITERION
                        count every case, and write the counts to FILE with the times that criterion
                        left in the folder CRITERION";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["--run", "gated"] => run(|case| case.is_gated),
        ["--run", text] => run(|case| case.id().contains(text)),
        [baseline] => gate(Path::new(baseline)),
        [_, "--only", text] => only(text),
        [baseline, "--bless"] => bless(Path::new(baseline)),
        [_, "--results", file, criterion] => results(Path::new(file), Path::new(criterion)),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What the counted process does.
fn run(is_asked_for: impl Fn(&Case) -> bool) -> Result<bool, Failure> {
    let cases: Vec<Case> = cases::all().into_iter().filter(is_asked_for).collect();
    callgrind::run(&cases)?;
    Ok(true)
}

fn only(text: &str) -> Result<bool, Failure> {
    let (_, _, counted) = count(text)?;
    print!("{}", table::counted(&counted));
    Ok(!counted.is_empty())
}

type Counted = Vec<(String, u64)>;

fn count(which: &str) -> Result<(Machine, String, Counted), Failure> {
    let version = callgrind::version()?;
    let scratch = Scratch::new()?;
    let (said, counts) = callgrind::count(&std::env::current_exe()?, &["--run", which], &scratch.0)?;
    let valgrind = version.split('.').next().unwrap_or_default().to_owned();
    let machine = Machine { processor: said.processor, rustc: RUSTC.to_owned(), valgrind };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    let counts = counts.into_iter().map(|count| count.round() as u64);
    Ok((machine, version, said.cases.into_iter().zip(counts).collect()))
}

fn read(baseline: &Path) -> Result<Baseline, Failure> {
    if !baseline.exists() {
        return Ok(Baseline::default());
    }
    let text = std::fs::read_to_string(baseline)?;
    serde_json::from_str(&text).map_err(|error| format!("`{}` is not understood: {error}", baseline.display()).into())
}

fn gate(baseline: &Path) -> Result<bool, Failure> {
    let committed = read(baseline)?;
    let (machine, _, counted) = count("gated")?;
    let mut passes = true;
    match committed.compare(&machine, &counted) {
        Compared::Lines(lines, gone) => {
            print!("{}", table::compared(&lines));
            if let Some(advice) = table::advice(&lines, &gone) {
                passes = false;
                eprint!("instructions: {advice}");
            }
        }
        Compared::OtherCompiler(rustc) => {
            passes = false;
            print!("{}", table::counted(&counted));
            eprintln!(
                "instructions: the baseline was made by rustc {rustc}, and this is {RUSTC}: `make instructions BLESS=1` makes a new one"
            );
        }
        Compared::Nothing => {
            passes = false;
            print!("{}", table::counted(&counted));
            eprintln!("instructions: `{}` holds no counts: `make instructions BLESS=1` makes them", baseline.display());
        }
        Compared::OtherMachine => {
            print!("{}", table::counted(&counted));
            println!(
                "instructions: NOT COMPARED with a baseline: nobody has made one on this kind of machine ({machine})."
            );
            println!(
                "instructions: `make instructions BLESS=1` on a tree that is known to be good adds one; only the bounds are held here."
            );
        }
    }
    for bound in passed_bounds(&BOUNDS, &counted) {
        passes = false;
        eprintln!("instructions: {bound}");
    }
    if passes {
        println!("instructions: {} cases, bounds and baseline hold ({machine})", counted.len());
    }
    Ok(passes)
}

fn bless(baseline: &Path) -> Result<bool, Failure> {
    let mut committed = read(baseline)?;
    let (machine, valgrind, counted) = count("gated")?;
    committed.bless(&machine, format!("valgrind {valgrind}, {}", c_library()), &counted);
    if let Some(folder) = baseline.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(baseline, serde_json::to_string_pretty(&committed)? + "\n")?;
    print!("{}", table::counted(&counted));
    println!("instructions: written to {}", baseline.display());
    let passed = passed_bounds(&BOUNDS, &counted);
    passed.iter().for_each(|bound| eprintln!("instructions: {bound}"));
    Ok(passed.is_empty())
}

/// Times in nanoseconds, as far as criterion has them, and instructions.
fn results(file: &Path, criterion: &Path) -> Result<bool, Failure> {
    let times = times(criterion)?;
    let (_, _, counted) = count("")?;
    let counted: BTreeMap<&str, u64> = counted.iter().map(|(case, count)| (case.as_str(), *count)).collect();
    let of_case = |case: &Case| {
        let id = case.id();
        json!({
            "name": case.name, "param": case.param, "ns": times.get(&id), "instructions": counted.get(id.as_str())
        })
    };
    let mut results: Vec<Value> = cases::all().iter().map(of_case).collect();
    // What is timed and not counted.
    for (id, ns) in times.iter().filter(|(id, _)| !counted.contains_key(id.as_str())) {
        let (name, param) = id.split_once('/').unwrap_or((id, ""));
        results.push(json!({ "name": name, "param": param, "ns": ns, "instructions": null }));
    }
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(file, serde_json::to_string_pretty(&results)? + "\n")?;
    println!("instructions: {} cases written to {}", results.len(), file.display());
    Ok(true)
}

/// The medians that criterion wrote down, by the ids of the cases.
fn times(criterion: &Path) -> Result<BTreeMap<String, f64>, Failure> {
    let mut times = BTreeMap::new();
    let mut folders = vec![criterion.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() && !path.ends_with("new") {
                folders.push(path);
            } else if path.is_dir() {
                let read =
                    |name| -> Result<Value, Failure> { Ok(serde_json::from_slice(&std::fs::read(path.join(name))?)?) };
                let (what, estimates) = (read("benchmark.json")?, read("estimates.json")?);
                let id = what.pointer("/full_id").and_then(Value::as_str).ok_or("a measurement has no id")?;
                let median = estimates.pointer("/median/point_estimate").and_then(Value::as_f64);
                times.insert(id.to_owned(), (median.ok_or("a measurement has no median")? * 10.0).round() / 10.0);
            }
        }
    }
    Ok(times)
}

/// The C library copies memory, and is chosen by the processor.
fn c_library() -> String {
    let output = std::process::Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    output
        .map_or_else(|_| "another C library".to_owned(), |said| String::from_utf8_lossy(&said.stdout).trim().to_owned())
}

/// A folder that is gone with its value.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("tiergate-instructions-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is swept away with the rest of the folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
