//! The development OpenID provider as a program of its own, for containers. It
//! signs everybody in as whoever they click on: never where others reach it.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it says where it listens, or why not")]

use std::process::ExitCode;

use anyhow::Result;
use tiergate_testbed::Provider;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let Some(provider) = Provider::from_arguments(arguments)? else { return Ok(()) };
    println!("development provider {} on {}", provider.issuer(), provider.address());
    until_told_to_stop()
}

fn until_told_to_stop() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    })
}
