//! `make bench`: what a check costs, beside what the same servers cost when they
//! decide nothing, measured in the same run with the same load, by turns.
//!
//! CPU time is that of our process alone, from the kernel's own account. The
//! load generators and the proxies run on the same machine and take their share
//! of its cores, so requests a second are for comparing, not for planning.
//!
//! ```text
//! process   CPU time and memory of a process     rounds    measuring by turns
//! load      h2load, wrk, tiergate-floor send     request   the request, and the check that Envoy makes of it
//! floor     servers that decide nothing          service   the service
//! envoy     Envoy with the shipped config        nginx     nginx with the shipped config
//! phases    what is measured                     table     rows and their targets
//! plot      bars and lines, as SVG               results   what a run leaves behind
//! ```

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a measurement is what it prints")]
#![expect(clippy::disallowed_methods, reason = "it runs at the outside: files, arguments, clock")]

mod envoy;
mod floor;
mod load;
mod nginx;
mod phases;
mod plot;
mod process;
mod request;
mod results;
mod rounds;
mod service;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail, ensure};

use crate::phases::{Bench, Found};

const USAGE: &str = "usage: tiergate-bench TIERGATE FLOOR [--quick] [--only PHASE,…] [--out FOLDER]

  TIERGATE   the binary to measure, such as target/release/tiergate
  FLOOR      the binary of benches/floor, such as target/release/tiergate-floor
  --quick    fewer and shorter rounds
  --only     these phases alone
  --out      where results are written; without it they are only printed
";

/// A phase by its name.
type Phase = (&'static str, fn(&Bench, &mut Found) -> Result<()>);

const PHASES: [Phase; 15] = [
    ("grpc", phases::direct::grpc),
    ("http", phases::direct::http),
    ("envoy", phases::behind::envoy),
    ("nginx", phases::behind::nginx),
    ("cold", phases::cold::verification),
    ("flood", phases::cold::flood),
    ("instructions", phases::instructions::count),
    ("latency", phases::proxied::latency),
    ("memory", phases::memory::idle_and_tokens),
    ("native", phases::proxied::natively),
    ("sessions", phases::sessions::cookies),
    ("replicas", phases::sessions::replicas),
    ("growth", phases::growth::grow),
    ("micro", phases::micro::cases),
    ("directory", phases::directory::users),
];

struct Arguments {
    tiergate: PathBuf,
    floor: PathBuf,
    is_quick: bool,
    only: Option<Vec<String>>,
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    let Some(arguments) = read(std::env::args().skip(1)) else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn read(mut words: impl Iterator<Item = String>) -> Option<Arguments> {
    let (tiergate, floor) = (words.next()?.into(), words.next()?.into());
    let mut arguments = Arguments { tiergate, floor, is_quick: false, only: None, out: None };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => arguments.is_quick = true,
            "--only" => arguments.only = Some(words.next()?.split(',').map(str::to_owned).collect()),
            "--out" => arguments.out = Some(words.next()?.into()),
            _ => return None,
        }
    }
    Some(arguments)
}

fn run(arguments: &Arguments) -> Result<()> {
    let is_wanted = |name: &str| arguments.only.as_ref().is_none_or(|only| only.iter().any(|wanted| wanted == name));
    if let Some(unknown) = arguments.only.iter().flatten().find(|name| PHASES.iter().all(|(known, _)| known != name)) {
        bail!("there is no phase `{unknown}`; there are {:?}", PHASES.map(|(name, _)| name));
    }
    let bench = Bench::new(&arguments.tiergate, &arguments.floor, arguments.is_quick)?;
    let load_before = process::load_average()?;
    let (mut found, mut failed) = (Found::default(), Vec::new());
    for (name, measure) in PHASES.into_iter().filter(|(name, _)| is_wanted(name)) {
        let since = Instant::now();
        eprint!("bench: {name} …");
        // What else was measured is worth having.
        if let Err(error) = measure(&bench, &mut found) {
            eprint!(" failed: {error:#}");
            failed.push(name);
        }
        eprintln!(" {:.0} s", since.elapsed().as_secs_f64());
    }
    phases::growth::plots(&mut found);
    let load = [load_before, process::load_average()?];
    print!("\n{}", table::plain(&found.rows));
    let missed = found.rows.iter().filter(|row| !row.is_met()).count();
    let aims = found.rows.iter().filter(|row| row.at_most.is_some()).count();
    println!("\n{} of {aims} targets met; load average {} before, {} after", aims - missed, load[0], load[1]);
    ensure!(failed.is_empty(), "these phases failed: {}", failed.join(", "));
    let results = results::json(&found, bench.is_quick, load)?;
    arguments.out.as_deref().map_or(Ok(()), |folder| results::write(folder, &found, &results))
}
