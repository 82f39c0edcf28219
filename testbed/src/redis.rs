//! Real Redis in the four shapes that the session store knows: one server, one
//! server by TLS, Sentinels with a primary and replicas, a Cluster.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! let redis = tiergate_testbed::Redis::sentinel()?;
//! println!("{}", redis.url());
//! redis.failover()?;
//! # Ok(())
//! # }
//! ```

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::component::retry_taken_port;
use crate::{Component, Process, Ready, free_port, guard, lock, tool};

/// The name that the Sentinels know their primary by.
pub const MASTER: &str = "main";
const SETTLES: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
const SENTINELS: usize = 3;
const PRIMARIES: usize = 3;
const SLOTS: usize = 16_384;

/// One Redis, of however many processes. They end with the value.
#[derive(Debug)]
pub struct Redis {
    servers: Mutex<Vec<Server>>,
    sentinels: Vec<Server>,
    url: String,
    tls: Option<Certificates>,
    password: Option<String>,
}

#[derive(Debug)]
struct Server {
    port: u16,
    process: Process,
}

#[derive(Debug)]
struct Certificates {
    folder: TempDir,
}

impl Redis {
    /// One server.
    pub fn standalone() -> Result<Self> {
        retry_taken_port(|| {
            let server = start_server(&[])?;
            let url = format!("redis://127.0.0.1:{}", server.port);
            Ok(Self::of(vec![server], url))
        })
    }

    /// One server that asks for a password.
    pub fn with_password(password: &str) -> Result<Self> {
        retry_taken_port(|| {
            let server = start_server(&["--requirepass", password])?;
            let url = format!("redis://:{password}@127.0.0.1:{}", server.port);
            Ok(Self { password: Some(password.to_owned()), ..Self::of(vec![server], url) })
        })
    }

    /// One server that speaks TLS only; its authority is in [`Redis::ca_file`], and in the URL.
    pub fn tls() -> Result<Self> {
        retry_taken_port(|| {
            let certificates = Certificates::make()?;
            let port = free_port()?;
            let (cert, key, ca) = (certificates.file("leaf.pem"), certificates.file("leaf.key"), certificates.ca());
            let port_text = port.to_string();
            let args = ["--port", "0", "--tls-port", &port_text, "--tls-cert-file", &cert, "--tls-key-file", &key];
            let args = [&args[..], &["--tls-ca-cert-file", &ca, "--tls-auth-clients", "no"]].concat();
            let server = Server { port, process: server_component(port).args(args).start()? };
            let url = format!("rediss://localhost:{port}?ca={ca}");
            Ok(Self { tls: Some(certificates), ..Self::of(vec![server], url) })
        })
    }

    /// A primary with two replicas and three Sentinels.
    pub fn sentinel() -> Result<Self> {
        retry_taken_port(|| {
            let primary = start_server(&[])?;
            let master = primary.port.to_string();
            let replica = || start_server(&["--replicaof", "127.0.0.1", &master]);
            let mut redis = Self::of(vec![primary, replica()?, replica()?], String::new());
            redis.wait_replicas(redis.port(0), 2)?;
            for _ in 0..SENTINELS {
                redis.sentinels.push(start_sentinel(&master)?);
            }
            let hosts: Vec<String> = redis.sentinels.iter().map(|one| format!("127.0.0.1:{}", one.port)).collect();
            redis.url = format!("redis+sentinel://{}/{MASTER}", hosts.join(","));
            redis.wait_sentinels(2)?;
            Ok(redis)
        })
    }

    /// A Cluster of three primaries with a replica each.
    pub fn cluster() -> Result<Self> {
        retry_taken_port(|| {
            let mut servers = Vec::new();
            let mut buses = Vec::new();
            for _ in 0..PRIMARIES * 2 {
                let bus = free_port()?.to_string();
                let args = ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-node-timeout", "1500"];
                // A replica may take over however long a busy machine kept it from its primary.
                servers.push(start_server(&[&args[..], &["--cluster-replica-validity-factor", "0"]].concat())?);
                buses.push(bus);
            }
            let hosts: Vec<String> = servers.iter().map(|one| format!("127.0.0.1:{}", one.port)).collect();
            let redis = Self::of(servers, format!("redis+cluster://{}", hosts.join(",")));
            redis.join_cluster(&buses)?;
            Ok(redis)
        })
    }

    fn of(servers: Vec<Server>, url: String) -> Self {
        Self { servers: Mutex::new(servers), sentinels: Vec::new(), url, tls: None, password: None }
    }

    /// The URL as the config of the service takes it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The file with the authority that signed the certificate, where there is one.
    pub fn ca_file(&self) -> Option<PathBuf> {
        self.tls.as_ref().map(|certificates| PathBuf::from(certificates.ca()))
    }

    /// The ports of the servers, in the order of their start; Sentinels are not among them.
    pub fn ports(&self) -> Vec<u16> {
        lock(&self.servers).iter().map(|server| server.port).collect()
    }

    fn port(&self, number: usize) -> u16 {
        self.ports().get(number).copied().unwrap_or_default()
    }

    /// The ports of the servers that are primaries now and answer.
    pub fn primaries(&self) -> Vec<u16> {
        let is_primary = |port: &u16| self.cli(*port, &["ROLE"]).is_ok_and(|role| role.starts_with("master"));
        self.ports().into_iter().filter(is_primary).collect()
    }

    /// What a server answers to a command, as `redis-cli` prints it.
    pub fn cli(&self, port: u16, command: &[&str]) -> Result<String> {
        // A server that is frozen would never answer, and redis-cli has no time limit of its own.
        let mut client = Command::new("timeout");
        client.arg("2").arg(tool("redis-cli")?).args(["-h", "127.0.0.1", "-p", &port.to_string(), "-e"]);
        if let Some(certificates) = &self.tls {
            client.args(["--tls", "--cacert", &certificates.ca(), "--sni", "localhost"]);
        }
        if let Some(password) = &self.password {
            client.env("REDISCLI_AUTH", password);
        }
        let output = client.args(command).output()?;
        let text = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        ensure!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        Ok(text)
    }

    /// Freezes every server: connections stay open and nothing is answered.
    pub fn pause(&self) {
        lock(&self.servers).iter().for_each(|server| server.process.pause());
    }

    /// Lets frozen servers go on.
    pub fn resume(&self) {
        lock(&self.servers).iter().for_each(|server| server.process.resume());
    }

    /// Freezes one server.
    pub fn pause_server(&self, port: u16) {
        lock(&self.servers).iter().filter(|server| server.port == port).for_each(|server| server.process.pause());
    }

    /// Lets one frozen server go on.
    pub fn resume_server(&self, port: u16) {
        lock(&self.servers).iter().filter(|server| server.port == port).for_each(|server| server.process.resume());
    }

    /// Ends one server as a crash would.
    pub fn kill_server(&self, port: u16) {
        lock(&self.servers).iter_mut().filter(|server| server.port == port).for_each(|server| server.process.kill());
    }

    /// Starts an ended server again, with what it had on disk.
    pub fn restart_server(&self, port: u16) -> Result<()> {
        lock(&self.servers)
            .iter_mut()
            .filter(|server| server.port == port)
            .try_for_each(|server| server.process.restart())
    }

    /// Kills a primary and waits until another server has taken its place; the ports of the two.
    pub fn failover(&self) -> Result<(u16, u16)> {
        let before = self.primaries();
        let victim = *before.first().context("there is no primary")?;
        self.kill_server(victim);
        let deadline = Instant::now() + SETTLES;
        loop {
            if let Some(heir) = self.primaries().into_iter().find(|port| !before.contains(port)) {
                return Ok((victim, heir));
            }
            ensure!(Instant::now() < deadline, "nobody took the place of the primary on port {victim}");
            sleep(POLL);
        }
    }

    /// Waits until every primary has its replicas again, after servers were frozen or cut off.
    pub fn settle(&self) -> Result<()> {
        let primaries = if self.url.starts_with("redis+cluster") { PRIMARIES } else { 1 };
        let replicas = self.ports().len() / primaries - 1;
        wait_for("one primary each, with its replicas", || {
            let found = self.primaries();
            let in_step = |port: &u16| {
                let text = self.cli(*port, &["INFO", "replication"]).unwrap_or_default();
                text.matches("state=online").count() == replicas
            };
            found.len() == primaries && found.iter().all(in_step)
        })
    }

    fn wait_replicas(&self, primary: u16, wanted: usize) -> Result<()> {
        wait_for("the replicas to be in step", || {
            let text = self.cli(primary, &["INFO", "replication"]).unwrap_or_default();
            text.matches("state=online").count() == wanted
        })
    }

    fn wait_sentinels(&self, replicas: usize) -> Result<()> {
        for sentinel in &self.sentinels {
            wait_for("the Sentinels to know each other", || {
                let text = self.cli(sentinel.port, &["SENTINEL", "MASTER", MASTER]).unwrap_or_default();
                let field = |name: &str| {
                    let mut lines = text.lines().skip_while(|line| *line != name);
                    lines.nth(1).and_then(|value| value.parse::<usize>().ok())
                };
                field("num-slaves") == Some(replicas) && field("num-other-sentinels") == Some(SENTINELS - 1)
            })?;
        }
        Ok(())
    }

    fn join_cluster(&self, buses: &[String]) -> Result<()> {
        let ports = self.ports();
        let first = self.port(0);
        for (port, bus) in ports.iter().zip(buses).skip(1) {
            self.cli(first, &["CLUSTER", "MEET", "127.0.0.1", &port.to_string(), bus])?;
        }
        for (number, port) in ports.iter().take(PRIMARIES).enumerate() {
            let start = SLOTS * number / PRIMARIES;
            let end = SLOTS * (number + 1) / PRIMARIES - 1;
            self.cli(*port, &["CLUSTER", "ADDSLOTSRANGE", &start.to_string(), &end.to_string()])?;
        }
        for port in &ports {
            wait_for("the nodes to know each other", || {
                self.cli(*port, &["CLUSTER", "INFO"]).is_ok_and(|text| text.contains("cluster_known_nodes:6"))
            })?;
        }
        for (primary, replica) in ports.iter().take(PRIMARIES).zip(ports.iter().skip(PRIMARIES)) {
            let id = self.cli(*primary, &["CLUSTER", "MYID"])?;
            wait_for("a replica to be accepted", || self.cli(*replica, &["CLUSTER", "REPLICATE", id.trim()]).is_ok())?;
        }
        for primary in ports.iter().take(PRIMARIES) {
            self.wait_replicas(*primary, 1)?;
        }
        for port in &ports {
            wait_for("the cluster to be whole", || {
                let state = self.cli(*port, &["CLUSTER", "INFO"]).unwrap_or_default();
                let nodes = self.cli(*port, &["CLUSTER", "NODES"]).unwrap_or_default();
                let replicas = nodes.lines().filter(|line| line.contains("slave")).count();
                state.contains("cluster_state:ok") && replicas == PRIMARIES
            })?;
        }
        Ok(())
    }
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + SETTLES;
    while !holds() {
        if Instant::now() >= deadline {
            bail!("waited {SETTLES:?} for {what}");
        }
        sleep(POLL);
    }
    Ok(())
}

/// A server that keeps what it has been told on disk, in its scratch folder.
fn server_component(port: u16) -> Component {
    let args = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--repl-diskless-sync-delay", "0"];
    Component::new("redis-server", tool("redis-server").unwrap_or_else(|_| Path::new("redis-server").to_path_buf()))
        .args(args)
        .args(["--repl-ping-replica-period", "1", "--dir", "."])
        .ready(Ready::LogText("Ready to accept connections".to_owned()))
        .ready(Ready::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
}

fn start_server(args: &[&str]) -> Result<Server> {
    let port = free_port()?;
    let process = server_component(port).args(["--port", &port.to_string()]).args(args).start()?;
    Ok(Server { port, process })
}

/// A Sentinel writes into its own config, so each has a copy.
fn start_sentinel(master_port: &str) -> Result<Server> {
    let port = free_port()?;
    let config = format!(
        "port {port}\nbind 127.0.0.1\nsentinel monitor {MASTER} 127.0.0.1 {master_port} 2\n\
         sentinel down-after-milliseconds {MASTER} 500\nsentinel failover-timeout {MASTER} 3000\n\
         sentinel parallel-syncs {MASTER} 2\n"
    );
    let write = "printf '%s' \"$1\" >sentinel.conf && exec \"$2\" sentinel.conf";
    let program = tool("redis-sentinel")?;
    let process = Component::new("redis-sentinel", "/bin/sh")
        .args(["-c", write, "sh", &config])
        .arg(program)
        .ready(Ready::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
        .start()?;
    Ok(Server { port, process })
}

impl Certificates {
    /// An authority and a certificate of it for `localhost`.
    fn make() -> Result<Self> {
        let folder = guard::scratch_dir("redis-tls")?;
        let run = |args: &[&str]| -> Result<()> {
            let output = Command::new(tool("openssl")?).args(args).current_dir(folder.path()).output()?;
            ensure!(output.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
            Ok(())
        };
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let ca = ["req", "-x509", "-days", "2", "-subj", "/CN=testbed", "-keyout", "ca.key", "-out", "ca.pem"];
        run(&[&ca[..], &key[..]].concat())?;
        let leaf = ["req", "-x509", "-days", "2", "-subj", "/CN=localhost", "-CA", "ca.pem", "-CAkey", "ca.key"];
        let names =
            ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"];
        run(&[&leaf[..], &["-keyout", "leaf.key", "-out", "leaf.pem"], &names[..], &key[..]].concat())?;
        Ok(Self { folder })
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn ca(&self) -> String {
        self.file("ca.pem")
    }
}
