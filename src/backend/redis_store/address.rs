//! The URL of a Redis, read once into what a connection needs. No message
//! repeats a part of the URL: any part may be a password written in a wrong place.

use std::path::PathBuf;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion, RedisConnectionInfo};

use crate::types::Secret;

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26_379;

/// What kind of Redis answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedisTopology {
    /// One server.
    Single,
    /// One server by TLS.
    SingleTls,
    /// Sentinels that know the primary.
    Sentinel,
    /// A cluster.
    Cluster,
}

/// Why a store cannot be opened. That Redis is down is no such reason.
#[derive(Debug, thiserror::Error)]
pub enum RedisOpenError {
    /// The scheme is not that of the topology.
    #[error("the URL of the session store does not begin with `{0}://`")]
    Scheme(&'static str),
    /// A part of the URL cannot be read.
    #[error("the {part} in the URL of the session store is not {wanted}")]
    Part {
        /// Which part.
        part: &'static str,
        /// What it has to be.
        wanted: &'static str,
    },
    /// A parameter that does not exist or does not fit.
    #[error(
        "the URL of the session store has a parameter that is none of `ca`, `tls`, `sentinel_user`, `sentinel_password`, or does not fit its scheme"
    )]
    Parameter,
    /// The file with the certificate authority cannot be used.
    #[error("cannot read the certificate authority `{path}` of the session store")]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no runtime to work in.
    #[error("the session store was opened outside of the runtime")]
    Runtime,
}

/// A server by name and port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) port: u16,
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.name, self.port)
    }
}

impl Host {
    pub(super) fn parse(text: &str, default_port: u16) -> Option<Self> {
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (name, rest) = rest.split_once(']')?;
                (name, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
            }
            None => match text.rsplit_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (text, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port != 0)?,
            None => default_port,
        };
        let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && !b"@/?#,[]".contains(&byte));
        plain.then(|| Self { name: name.to_owned(), port })
    }
}

/// Name and password of an account, where one is needed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Login {
    user: Option<String>,
    password: Option<Secret>,
}

/// All that the URL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) topology: RedisTopology,
    /// The server, the Sentinels, or some nodes of the Cluster.
    pub(super) hosts: Vec<Host>,
    /// What the Sentinels call the primary.
    pub(super) primary_name: String,
    login: Login,
    sentinel_login: Login,
    database: i64,
    tls: bool,
    pub(super) ca: Option<PathBuf>,
}

impl Address {
    pub(super) fn parse(topology: RedisTopology, url: &Secret) -> Result<Self, RedisOpenError> {
        let scheme = match topology {
            RedisTopology::Single => "redis",
            RedisTopology::SingleTls => "rediss",
            RedisTopology::Sentinel => "redis+sentinel",
            RedisTopology::Cluster => "redis+cluster",
        };
        let rest = url.expose().strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://"));
        let rest = rest.ok_or(RedisOpenError::Scheme(scheme))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (Login::parse(login)?, hosts),
            None => (Login::default(), authority),
        };
        let several = matches!(topology, RedisTopology::Sentinel | RedisTopology::Cluster);
        let default_port = if topology == RedisTopology::Sentinel { SENTINEL_PORT } else { PORT };
        let hosts: Option<Vec<Host>> = hosts.split(',').map(|host| Host::parse(host, default_port)).collect();
        let hosts = hosts.filter(|hosts| several || hosts.len() == 1);
        let hosts = hosts.ok_or(RedisOpenError::Part { part: "host", wanted: "such as `127.0.0.1:6379`" })?;
        let (primary_name, database) = match topology {
            RedisTopology::Sentinel => path.split_once('/').unwrap_or((path, "")),
            RedisTopology::Single | RedisTopology::SingleTls | RedisTopology::Cluster => ("", path),
        };
        let primary_name = decoded(primary_name)?;
        if topology == RedisTopology::Sentinel && primary_name.is_empty() {
            let wanted = "the name by which the Sentinels know the primary";
            return Err(RedisOpenError::Part { part: "path", wanted });
        }
        let database = match database.trim_end_matches('/') {
            "" => 0,
            number => {
                number.parse::<u32>().map_err(|_| RedisOpenError::Part { part: "database", wanted: "a number" })?
            }
        };
        if topology == RedisTopology::Cluster && database != 0 {
            return Err(RedisOpenError::Part { part: "database", wanted: "0, the only one of a Cluster" });
        }
        let tls = topology == RedisTopology::SingleTls;
        let mut address = Self {
            topology,
            hosts,
            primary_name,
            login,
            sentinel_login: Login::default(),
            database: i64::from(database),
            tls,
            ca: None,
        };
        address.read_parameters(query, several)?;
        Ok(address)
    }

    fn read_parameters(&mut self, query: &str, several: bool) -> Result<(), RedisOpenError> {
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = decoded(value)?;
            match name {
                "ca" if !value.is_empty() => self.ca = Some(PathBuf::from(value)),
                "tls" if several && value == "true" => self.tls = true,
                "sentinel_user" if self.topology == RedisTopology::Sentinel => self.sentinel_login.user = Some(value),
                "sentinel_password" if self.topology == RedisTopology::Sentinel => {
                    self.sentinel_login.password = Some(Secret::new(value));
                }
                _ => return Err(RedisOpenError::Parameter),
            }
        }
        if self.ca.is_some() && !self.tls { Err(RedisOpenError::Parameter) } else { Ok(()) }
    }

    /// How to reach a server that keeps sessions.
    pub(super) fn server(&self, host: &Host) -> Option<ConnectionInfo> {
        self.reach(host, &self.login, self.database)
    }

    /// How to reach a Sentinel.
    pub(super) fn sentinel(&self, host: &Host) -> Option<ConnectionInfo> {
        self.reach(host, &self.sentinel_login, 0)
    }

    fn reach(&self, host: &Host, login: &Login, database: i64) -> Option<ConnectionInfo> {
        let (name, port) = (host.name.clone(), host.port);
        let place = if self.tls {
            ConnectionAddr::TcpTls { host: name, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(name, port)
        };
        let mut settings = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_lib_name("tiergate", env!("CARGO_PKG_VERSION"))
            .set_db(database);
        if let Some(user) = &login.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &login.password {
            settings = settings.set_password(password.expose());
        }
        let tcp = redis::io::tcp::TcpSettings::default().set_nodelay(true);
        Some(place.into_connection_info().ok()?.set_redis_settings(settings).set_tcp_settings(tcp))
    }
}

impl Login {
    fn parse(text: &str) -> Result<Self, RedisOpenError> {
        let (user, password) = text.split_once(':').unwrap_or(("", text));
        let user = decoded(user)?;
        let password = decoded(password)?;
        if password.is_empty() {
            return Err(RedisOpenError::Part { part: "password", wanted: "there, though an account is named" });
        }
        Ok(Self { user: (!user.is_empty()).then_some(user), password: Some(Secret::new(password)) })
    }
}

fn decoded(text: &str) -> Result<String, RedisOpenError> {
    let refuse = || RedisOpenError::Part { part: "percent-encoding", wanted: "`%` with two hexadecimal digits each" };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let (high, low) = (digit().ok_or_else(refuse)?, digit().ok_or_else(refuse)?);
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| refuse())?);
    }
    String::from_utf8(bytes).map_err(|_| refuse())
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
