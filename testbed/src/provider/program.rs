//! What the program `tiergate-provider` is told on its command line.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{DEFAULT_AUDIENCE, Provider};

const USAGE: &str =
    "usage: tiergate-provider --listen ADDRESS --issuer URL [--audience AUDIENCE] [--client-secret-file FILE]
       tiergate-provider healthcheck ADDRESS

  For development: no passwords, anybody can be anybody.
  --issuer               as browsers and the service know it; it ends with `/`
  --audience             of its access tokens
  --client-secret-file   the secret of the client `tiergate`
  healthcheck            ends with 0 when a provider listens there
";

impl Provider {
    /// Starts what the arguments of `tiergate-provider` say; nothing where they only ask whether one is there.
    pub fn from_arguments(arguments: &[String]) -> Result<Option<Self>> {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (mut listen, mut issuer, mut audience, mut secret_file) = (None, None, DEFAULT_AUDIENCE, None);
        let mut rest = match arguments.as_slice() {
            ["healthcheck", address] => {
                let address: SocketAddr = address.parse().context("the address is not HOST:PORT")?;
                TcpStream::connect_timeout(&address, Duration::from_secs(3))
                    .with_context(|| format!("nothing listens on {address}"))?;
                return Ok(None);
            }
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
        let read = |file| std::fs::read_to_string(file).with_context(|| format!("cannot read `{file}`"));
        let secret = secret_file.map(read).transpose()?.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
        Self::start_at(listen, issuer, audience, secret).map(Some)
    }
}
