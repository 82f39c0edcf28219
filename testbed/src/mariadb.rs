//! A real MariaDB server: on a free loopback port, in a scratch folder, its own
//! process.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! let server = tiergate_testbed::MariaDb::start()?;
//! println!("{}", server.database()?);
//! # Ok(())
//! # }
//! ```

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use tempfile::TempDir;

use crate::component::retry_taken_port;
use crate::{Component, Process, Ready, free_port, guard, lock, tool};

const PASSWORD: &str = "p@ss/w:rd";

static INSTALL: Mutex<()> = Mutex::new(());

/// A server. It ends with the value.
#[derive(Debug)]
pub struct MariaDb {
    port: u16,
    process: Mutex<Process>,
    databases: AtomicU32,
    _folder: TempDir,
}

impl MariaDb {
    /// Starts one with no database in it.
    pub fn start() -> Result<Self> {
        retry_taken_port(|| {
            let folder = guard::scratch_dir("mariadb")?;
            let files = folder.path().join("files");
            let mut install = Command::new(tool("mariadb-install-db")?);
            install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", "--force"]);
            install.arg(format!("--datadir={}", files.display())).args(as_root());
            // What limits asynchronous reads is shared with everybody on the machine.
            install.arg("--innodb-use-native-aio=0");
            // Its tables on the way are named alike in every process: each has a place of its own.
            install.env("TMPDIR", folder.path());
            // Each takes a core for seconds: one after the other is as quick.
            let one_at_a_time = lock(&INSTALL);
            let output = install.current_dir(folder.path()).output()?;
            drop(one_at_a_time);
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "mariadb-install-db: {}{said}", String::from_utf8_lossy(&output.stdout));
            let port = free_port()?;
            let process = Component::new("mariadbd", tool("mariadbd")?)
                .arg("--no-defaults")
                .arg(format!("--datadir={}", files.display()))
                .arg(format!("--socket={}", folder.path().join("socket").display()))
                .arg(format!("--pid-file={}", folder.path().join("pid").display()))
                .args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--max-connections=1000"])
                // The disk of a busy machine is not what is tested.
                .args([
                    "--innodb-flush-log-at-trx-commit=2",
                    "--innodb-buffer-pool-size=128M",
                    "--innodb-use-native-aio=0",
                ])
                .arg(format!("--port={port}"))
                .args(as_root())
                .ready(Ready::LogText("ready for connections".to_owned()))
                .ready(Ready::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
                .within(Duration::from_secs(60))
                .start()?;
            let server = Self { port, process: Mutex::new(process), databases: AtomicU32::new(0), _folder: folder };
            server.sql(&format!("SET PASSWORD FOR root@localhost = PASSWORD('{PASSWORD}')"), "")?;
            let grant = format!("GRANT ALL ON *.* TO tester@'%' IDENTIFIED BY '{PASSWORD}'");
            server.sql(&grant, PASSWORD)?;
            Ok(server)
        })
    }

    /// Makes a database that no other call gets; its URL, as the config of the service takes it.
    pub fn database(&self) -> Result<String> {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        // A collation that takes much for the same.
        self.sql(&format!("CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"), PASSWORD)?;
        Ok(format!("mysql://tester:p%40ss%2Fw%3Ard@127.0.0.1:{}/{name}", self.port))
    }

    /// The password of its users, to look for where it must not be.
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn sql(&self, sql: &str, password: &str) -> Result<()> {
        let socket = self._folder.path().join("socket");
        let mut client = Command::new(tool("mariadb")?);
        client.arg("--no-defaults").arg(format!("--socket={}", socket.display())).args([
            "--user=root",
            "--execute",
            sql,
        ]);
        let output = client.env("MYSQL_PWD", password).output()?;
        ensure!(output.status.success(), "`{sql}`: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Freezes it: connections stay open and nothing is answered.
    pub fn pause(&self) {
        lock(&self.process).pause();
    }

    /// Lets it go on.
    pub fn resume(&self) {
        lock(&self.process).resume();
    }

    /// Ends it as a crash would.
    pub fn kill(&self) {
        lock(&self.process).kill();
    }

    /// Starts it again after [`Self::kill`], with what it had on disk.
    pub fn restart(&self) -> Result<()> {
        lock(&self.process).restart()
    }
}

/// As root it would look for a user to become; the scratch folder is root's own.
fn as_root() -> Option<&'static str> {
    rustix::process::geteuid().is_root().then_some("--user=root")
}
