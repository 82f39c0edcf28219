//! `make demo`: unmodified applications behind real proxies, and a table of
//! who is admitted where, measured there and then.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a demonstration is what it prints")]
#![expect(clippy::disallowed_methods, reason = "it runs at the outside: threads, the environment")]

mod browse;
mod measure;
mod report;
mod stage;

use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use anyhow::Result;
use tiergate_testbed::{end_all_children, on_signal};

use crate::measure::Table;
use crate::stage::Stage;

const USAGE: &str = "usage: tiergate-demo [--check]\n\n  --check   exit after the table, with 1 if a cell is wrong\n";

enum Event {
    Interrupted,
    Measured(Box<Result<(Stage, Table)>>),
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let check = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => false,
        ["--check"] => true,
        ["--help" | "-h"] => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    let (events, receiver) = mpsc::channel();
    let interrupted = events.clone();
    on_signal(move || drop(interrupted.send(Event::Interrupted)));
    println!("{}", report::opening());
    std::thread::spawn(move || {
        let measured = Stage::start(&|line| println!("{line}")).and_then(|stage| Ok((Table::measure(&stage)?, stage)));
        let _ = events.send(Event::Measured(Box::new(measured.map(|(table, stage)| (stage, table)))));
    });
    match receiver.recv() {
        Ok(Event::Measured(measured)) => match *measured {
            Ok((stage, table)) => show(stage, &table, check, &receiver),
            Err(error) => {
                eprintln!("\n{}", report::failure(&error));
                ExitCode::FAILURE
            }
        },
        Ok(Event::Interrupted) | Err(_) => {
            println!("\nStopping.");
            end_all_children();
            ExitCode::from(130)
        }
    }
}

fn show(mut stage: Stage, table: &Table, check: bool, events: &Receiver<Event>) -> ExitCode {
    println!("\n{}", report::table(table));
    let verdict = if table.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if check {
        return verdict;
    }
    println!("{}", report::invitation(&stage));
    let verdict = stay_up(&mut stage, events).map_or(verdict, |ended| {
        eprintln!("\n{ended}");
        ExitCode::FAILURE
    });
    println!("\nStopping.");
    drop(stage);
    verdict
}

/// Until Ctrl-C (`None`), or until a child ends by itself (what to say of it).
fn stay_up(stage: &mut Stage, events: &Receiver<Event>) -> Option<String> {
    let second = Duration::from_secs(1);
    while let Err(RecvTimeoutError::Timeout) = events.recv_timeout(second) {
        let Some(ended) = stage.ended_child() else { continue };
        // Ctrl-C in a terminal reaches the children too, and may reach them first.
        if let Err(RecvTimeoutError::Timeout) = events.recv_timeout(second) {
            return Some(ended);
        }
        return None;
    }
    None
}
