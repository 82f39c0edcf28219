//! What `make bench` puts beside Tiergate: servers that decide nothing, each as
//! well tuned as the service, and a load generator for what `h2load` cannot do.
//!
//! ```text
//! tiergate-floor serve KIND                 listens on a free loopback port and prints it
//! tiergate-floor record FILE                the same; the first gRPC message that comes is written to FILE
//! tiergate-floor send ADDRESS MESSAGES …    sends gRPC messages from a file, each in its turn (see `send`)
//! ```

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "ports and measurements go to whoever started it")]
#![expect(clippy::disallowed_methods, reason = "it runs at the outside: files, clock, tasks")]

mod answers;
mod send;
mod serve;

use std::process::ExitCode;

/// As the service has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const USAGE: &str =
    "usage: tiergate-floor serve KIND | record FILE | send ADDRESS MESSAGES REQUESTS CONNECTIONS STREAMS [RATE]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["serve", kind] => {
            serve::Kind::named(kind).ok_or_else(|| format!("no kind `{kind}`").into()).and_then(serve::run)
        }
        ["record", file] => serve::record(file),
        ["send", address, messages, numbers @ ..] => send::run(address, messages, numbers),
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tiergate-floor: {error}");
            ExitCode::FAILURE
        }
    }
}
