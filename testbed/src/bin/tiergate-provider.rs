//! The development OpenID provider as a program of its own, for containers. It
//! signs everybody in as whoever they click on: never where others reach it.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it says where it listens, or why not")]
#![expect(clippy::disallowed_methods, reason = "it runs at the outside: arguments, files")]

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use tiergate_testbed::Provider;
use tiergate_testbed::provider::DEFAULT_AUDIENCE;
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str =
    "usage: tiergate-provider --listen ADDRESS --issuer URL [--audience AUDIENCE] [--client-secret-file FILE]
       tiergate-provider healthcheck ADDRESS

  For development: no passwords, anybody can be anybody.
  --issuer               as browsers and the service know it; it ends with `/`
  --audience             of its access tokens
  --client-secret-file   the secret of the client `tiergate`
  healthcheck            ends with 0 when a provider listens there
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<()> {
    let (mut listen, mut issuer, mut audience, mut secret_file) = (None, None, DEFAULT_AUDIENCE, None);
    let mut rest = match arguments {
        ["healthcheck", address] => return is_there(address.parse().context("the address is not HOST:PORT")?),
        others => others.iter().copied(),
    };
    while let Some(name) = rest.next() {
        match (name, rest.next()) {
            ("--listen", Some(value)) => {
                listen = Some(value.parse::<SocketAddr>().context("--listen is not HOST:PORT")?);
            }
            ("--issuer", Some(value)) => issuer = Some(value),
            ("--audience", Some(value)) => audience = value,
            ("--client-secret-file", Some(value)) => secret_file = Some(value),
            _ => bail!("{USAGE}"),
        }
    }
    let (Some(listen), Some(issuer)) = (listen, issuer) else { bail!("{USAGE}") };
    let secret = secret_file.map(|file| std::fs::read_to_string(file).with_context(|| format!("cannot read `{file}`")));
    let secret = secret.transpose()?.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
    let provider = Provider::start_at(listen, issuer, audience, secret)?;
    println!("development provider {} on {}", provider.issuer(), provider.address());
    until_told_to_stop()
}

fn is_there(address: SocketAddr) -> Result<()> {
    let timeout = std::time::Duration::from_secs(3);
    std::net::TcpStream::connect_timeout(&address, timeout).map(drop).with_context(|| format!("nothing on {address}"))
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
