//! `make example-NAME`: one example, as it stands in `examples/NAME`, until Ctrl-C.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context, Result};
use tiergate_testbed::{Example, Gateway, on_signal};

const USAGE: &str = "usage: tiergate-example NAME [envoy|nginx]\n\n  NAME is one of:";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wanted = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [name] | [name, "envoy"] => Example::named(name).map(|example| (example, Gateway::EnvoyGrpc)),
        [name, "nginx"] => Example::named(name).map(|example| (example, Gateway::Nginx)),
        _ => None,
    };
    let Some((example, proxy)) = wanted else {
        eprintln!("{USAGE} {}", Example::ALL.map(Example::name).join(" "));
        return ExitCode::from(2);
    };
    match run(example, proxy) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(ended)) => {
            eprintln!("\n{ended}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Until Ctrl-C (`None`), or until a child ends by itself (what to say of it).
fn run(example: Example, proxy: Gateway) -> Result<Option<String>> {
    let (interrupted, events) = mpsc::channel();
    on_signal(move || {
        let _ = interrupted.send(());
    });
    let binary = std::env::current_exe().context("cannot tell where this program stands")?.with_file_name("tiergate");
    let mut running = example.start(&binary, proxy)?;
    println!("{} is up behind {}:\n", example.name(), proxy.name());
    println!("  {:<42} what people open", format!("{}{}", running.url(), example.front()));
    println!("  {:<42} who signs in here", running.provider.issuer());
    println!("\nexamples/{}/README.md says what to try. Ctrl-C ends it.", example.name());
    let second = Duration::from_secs(1);
    while let Err(RecvTimeoutError::Timeout) = events.recv_timeout(second) {
        let Some(ended) = running.ended_child() else { continue };
        // Ctrl-C in a terminal reaches the children too, and may reach them first.
        if let Err(RecvTimeoutError::Timeout) = events.recv_timeout(second) {
            return Ok(Some(ended));
        }
        break;
    }
    println!("\nStopping.");
    Ok(None)
}
