//! A real PostgreSQL server: on a free loopback port, in a scratch folder, its
//! own process.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! let server = tiergate_testbed::Postgres::start()?;
//! println!("{}", server.database()?);
//! # Ok(())
//! # }
//! ```

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tempfile::TempDir;

use crate::component::retry_taken_port;
use crate::{Component, Process, Ready, free_port, guard, lock, tool};

const PASSWORD: &str = "p@ss/w:rd";

/// A server. It ends with the value.
#[derive(Debug)]
pub struct Postgres {
    port: u16,
    process: Mutex<Process>,
    databases: AtomicU32,
    folder: TempDir,
}

impl Postgres {
    /// Starts one with no database of ours in it.
    pub fn start() -> Result<Self> {
        retry_taken_port(|| {
            let folder = folder()?;
            let files = folder.path().join("files");
            let password = folder.path().join("password");
            std::fs::write(&password, PASSWORD)?;
            let (before, arguments) = as_server();
            let mut install = Command::new(before);
            install.args(arguments).arg(program("initdb")?).arg("--pgdata").arg(&files);
            install.arg(format!("--pwfile={}", password.display()));
            install.args([
                "--username=tester",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            ]);
            let output = install.current_dir(folder.path()).output()?;
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "initdb: {}{said}", String::from_utf8_lossy(&output.stdout));
            let port = free_port()?;
            let process = Component::new("postgres", before)
                .args(arguments.iter().copied())
                .arg(program("postgres")?)
                .arg("-D")
                .arg(&files)
                .args([
                    "-c",
                    "listen_addresses=127.0.0.1",
                    "-c",
                    "unix_socket_directories=",
                    "-c",
                    "max_connections=300",
                ])
                // The disk of a busy machine is not what is tested.
                .args(["-c", "fsync=off", "-p"])
                .arg(port.to_string())
                .current_dir(folder.path())
                .ready(Ready::LogText("database system is ready to accept connections".to_owned()))
                .ready(Ready::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
                .within(Duration::from_secs(60))
                .start()?;
            Ok(Self { port, process: Mutex::new(process), databases: AtomicU32::new(0), folder })
        })
    }

    /// Makes a database that no other call gets; its URL, as the config of the service takes it.
    pub fn database(&self) -> Result<String> {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql(&format!("CREATE DATABASE {name}"))?;
        Ok(format!("postgres://tester:p%40ss%2Fw%3Ard@127.0.0.1:{}/{name}", self.port))
    }

    /// The password of its users, to look for where it must not be.
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn sql(&self, sql: &str) -> Result<()> {
        let port = self.port.to_string();
        let mut client = Command::new(tool("psql")?);
        client.args(["-X", "-h", "127.0.0.1", "-p", &port, "-U", "tester", "-d", "postgres", "-c", sql]);
        let output = client.env("PGPASSWORD", PASSWORD).current_dir(self.folder.path()).output()?;
        ensure!(output.status.success(), "`{sql}`: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Freezes it: connections stay open and nothing is answered.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// Ends it as a crash would.
    pub fn kill(&self) {
        self.signal("KILL");
        lock(&self.process).kill();
    }

    /// Starts it again after [`Self::kill`], with what it had on disk.
    pub fn restart(&self) -> Result<()> {
        lock(&self.process).restart()?;
        // It listens before it lets anybody in.
        let deadline = Instant::now() + Duration::from_secs(60);
        while let Err(error) = self.sql("SELECT 1") {
            ensure!(Instant::now() < deadline, "postgres does not come back: {error}");
            sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// A signal to the server and to each process that it has for a connection.
    fn signal(&self, signal: &str) {
        let Some(server) = lock(&self.process).pid() else { return };
        let mut all = vec![server];
        all.extend(children(server));
        let _ = Command::new("/bin/sh")
            .args(["-c", "signal=$1; shift; kill -$signal \"$@\"", "sh", signal])
            .args(all.iter().map(u32::to_string))
            .output();
    }
}

/// The children of a process, by `/proc` (proc(5)).
fn children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// PostgreSQL refuses to run as root: there it runs as the user that Debian made for it.
fn as_server() -> (&'static str, &'static [&'static str]) {
    if rustix::process::geteuid().is_root() {
        ("setpriv", &["--reuid=postgres", "--regid=postgres", "--init-groups"])
    } else {
        ("env", &[])
    }
}

/// A folder that the server's user may write.
fn folder() -> Result<TempDir> {
    let folder = guard::scratch_dir("postgres")?;
    if rustix::process::geteuid().is_root() {
        let output = Command::new("chown").arg("postgres:postgres").arg(folder.path()).output()?;
        ensure!(output.status.success(), "chown: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(folder)
}

/// Where a program stands itself: the server's user may not come to the link.
fn program(name: &str) -> Result<PathBuf> {
    Ok(tool(name)?.canonicalize()?)
}
