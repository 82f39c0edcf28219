//! One child process: spawned with its output captured, ready when a real
//! condition says so, ended when dropped.
//!
//! ```no_run
//! # use std::net::SocketAddr;
//! # use tiergate_testbed::{Component, Ready, tool};
//! # fn main() -> anyhow::Result<()> {
//! let address: SocketAddr = "127.0.0.1:6390".parse()?;
//! let redis = Component::new("redis-server", "redis-server").args(["--port", "6390"]).ready(Ready::Tcp(address)).start()?;
//! println!("{}", redis.log());
//! # Ok(())
//! # }
//! ```

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::{guard, raw_http};

const POLL: Duration = Duration::from_millis(20);
const TERM_GRACE: Duration = Duration::from_secs(3);
const TAIL_LINES: usize = 25;

/// When a child counts as ready. All conditions of a component must hold.
#[derive(Debug, Clone)]
pub enum Ready {
    /// The address accepts connections.
    Tcp(SocketAddr),
    /// A GET of the path is answered with this status.
    Http(SocketAddr, String, u16),
    /// A GET of the path is answered with anything but this status.
    HttpExcept(SocketAddr, String, u16),
    /// The log holds this text.
    LogText(String),
    /// The file exists (a unix socket, say).
    File(PathBuf),
}

/// What to start.
#[derive(Debug, Clone)]
pub struct Component {
    name: String,
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    env_removed: Vec<OsString>,
    dir: Option<PathBuf>,
    ready: Vec<Ready>,
    within: Duration,
    is_stdout_discarded: bool,
}

impl Component {
    /// A component by the name that messages use, and the program that runs it.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            env_removed: Vec::new(),
            dir: None,
            ready: Vec::new(),
            within: Duration::from_secs(30),
            is_stdout_discarded: false,
        }
    }

    /// Adds one argument.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub fn args<I: IntoIterator<Item = S>, S: Into<OsString>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Keeps a variable of this process from the child, unless [`Component::env`] sets it.
    pub fn without_env(mut self, name: impl Into<OsString>) -> Self {
        self.env_removed.push(name.into());
        self
    }

    /// Sets the working directory; the default is the component's scratch folder.
    pub fn current_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Adds a condition of readiness.
    pub fn ready(mut self, ready: Ready) -> Self {
        self.ready.push(ready);
        self
    }

    /// How long readiness may take; 30 s by default.
    pub fn within(mut self, deadline: Duration) -> Self {
        self.within = deadline;
        self
    }

    /// Sends its standard output to /dev/null; the log then holds standard error alone.
    pub fn discard_stdout(mut self) -> Self {
        self.is_stdout_discarded = true;
        self
    }

    /// Starts the component and waits until it is ready.
    pub fn start(self) -> Result<Process> {
        let scratch = guard::scratch_dir(&self.name)?;
        let log = scratch.path().join("log");
        let child = self.spawn(&log, scratch.path())?;
        let mut process = Process { component: self, child: Some(child), log, scratch };
        process.wait_ready()?;
        Ok(process)
    }

    /// Starts the component and waits until it has ended by itself.
    pub fn run(self) -> Result<(ExitStatus, String)> {
        let within = self.within;
        let mut process = Self { ready: Vec::new(), ..self }.start()?;
        match process.wait_exit(within)? {
            Some(status) => Ok((status, process.log())),
            None => bail!("{}", process.failure(&format!("did not end within {within:?}"))),
        }
    }

    fn spawn(&self, log: &Path, scratch: &Path) -> Result<Child> {
        let out = File::options().create(true).append(true).open(log)?;
        let mut command = Command::new(&self.program);
        command.args(&self.args);
        for name in &self.env_removed {
            command.env_remove(name);
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.dir.as_deref().unwrap_or(scratch));
        let stdout = if self.is_stdout_discarded { Stdio::null() } else { out.try_clone()?.into() };
        command.stdin(Stdio::null()).stdout(stdout).stderr(out);
        let child = command.spawn().map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                anyhow::anyhow!("`{}` is missing: run `make setup`", self.program.display())
            } else {
                anyhow::anyhow!("cannot start `{}`: {error}", self.command_line())
            }
        })?;
        guard::started(child.id())?;
        Ok(child)
    }

    fn command_line(&self) -> String {
        let mut line = self.program.display().to_string();
        for arg in &self.args {
            let _ = write!(line, " {}", arg.to_string_lossy());
        }
        line
    }
}

/// A running child. Dropping it sends SIGTERM and, after a grace, SIGKILL.
#[derive(Debug)]
pub struct Process {
    component: Component,
    child: Option<Child>,
    log: PathBuf,
    scratch: TempDir,
}

impl Process {
    /// The process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Everything it has written so far, on either stream.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The file that holds [`Process::log`].
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// The folder of this component, removed with it.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Sends SIGTERM, waits, and sends SIGKILL to one that will not end.
    pub fn stop(&mut self) {
        self.terminate();
        if !matches!(self.wait_exit(TERM_GRACE), Ok(Some(_))) {
            self.kill();
        }
    }

    /// Sends SIGTERM and does not wait.
    pub fn terminate(&self) {
        self.send(Signal::TERM);
    }

    /// Sends SIGHUP, by which many daemons reload.
    pub fn hang_up(&self) {
        self.send(Signal::HUP);
    }

    /// Freezes it: sockets stay open and nothing is answered.
    pub fn pause(&self) {
        self.send(Signal::STOP);
        // The signal stops one thread after another.
        let deadline = Instant::now() + TERM_GRACE;
        while !self.pid().is_none_or(is_stopped) && Instant::now() < deadline {
            sleep(Duration::from_millis(1));
        }
    }

    /// Lets a paused child go on.
    pub fn resume(&self) {
        self.send(Signal::CONT);
    }

    /// Sends SIGKILL, as a crash would be.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
            guard::ended(child.id());
        }
    }

    /// Starts it again after [`Process::stop`] or [`Process::kill`] (which it does itself), and waits until it is ready.
    pub fn restart(&mut self) -> Result<()> {
        self.stop();
        self.child = Some(self.component.spawn(&self.log, self.scratch.path())?);
        self.wait_ready()
    }

    /// Waits for its end; `None` when it still runs after `within`.
    pub fn wait_exit(&mut self, within: Duration) -> Result<Option<ExitStatus>> {
        let deadline = Instant::now() + within;
        while let Some(child) = self.child.as_mut() {
            if let Some(status) = child.try_wait()? {
                guard::ended(child.id());
                self.child = None;
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            sleep(POLL);
        }
        bail!("{} has already ended", self.component.name)
    }

    /// Waits until the log holds a text; for what a component only says.
    pub fn wait_log(&self, text: &str, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        while !self.log().contains(text) {
            if Instant::now() >= deadline {
                bail!("{}", self.failure(&format!("did not write `{text}` within {within:?}")));
            }
            sleep(POLL);
        }
        Ok(())
    }

    /// Says that it ended by itself, with its command and the end of its log.
    pub fn ended_message(&self) -> String {
        self.failure("has ended by itself")
    }

    fn send(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            guard::signal(pid, signal);
        }
    }

    fn wait_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + self.component.within;
        for condition in self.component.ready.clone() {
            while !self.holds(&condition) {
                self.check_running()?;
                if Instant::now() >= deadline {
                    let within = self.component.within;
                    bail!("{}", self.failure(&format!("was not ready within {within:?} (waited for {condition:?})")));
                }
                sleep(POLL);
            }
        }
        // A port that a stranger holds answers too; then ours has just failed to bind it.
        if self.component.ready.is_empty() { Ok(()) } else { self.check_running() }
    }

    fn check_running(&mut self) -> Result<()> {
        let ended = self.child.as_mut().map(Child::try_wait).transpose().context("cannot ask for the child's state")?;
        if let Some(Some(status)) = ended {
            bail!("{}", self.failure(&format!("ended with {status} before it was ready")));
        }
        Ok(())
    }

    fn holds(&self, condition: &Ready) -> bool {
        let timeout = Duration::from_secs(5);
        match condition {
            Ready::Tcp(address) => TcpStream::connect_timeout(address, timeout).is_ok(),
            Ready::Http(address, path, status) => raw_http::get_status(*address, path, timeout) == Some(*status),
            Ready::HttpExcept(address, path, status) => {
                raw_http::get_status(*address, path, timeout).is_some_and(|answer| answer != *status)
            }
            Ready::LogText(text) => self.log().contains(text),
            Ready::File(path) => path.exists(),
        }
    }

    fn failure(&self, what: &str) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(TAIL_LINES)..).unwrap_or_default().join("\n  ");
        let said =
            if tail.is_empty() { "it wrote nothing".to_owned() } else { format!("the end of its log:\n  {tail}") };
        format!("{} {what}\ncommand: {}\n{said}", self.component.name, self.component.command_line())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.stop();
        }
    }
}

/// Whether every thread of a process is stopped (`T`, proc(5)); true where there is no `/proc` to ask.
fn is_stopped(pid: u32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return true };
    threads.flatten().all(|thread| {
        let state = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        state.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['T', 'Z', 'X']))
    })
}

/// Runs a starter that picks free ports, and once more when somebody else took
/// one of them in between.
pub(crate) fn retry_taken_port<T>(start: impl Fn() -> Result<T>) -> Result<T> {
    start().or_else(|error| {
        let text = format!("{error:#}").to_ascii_lowercase();
        if text.contains("in use") || text.contains("eaddrinuse") { start() } else { Err(error) }
    })
}
