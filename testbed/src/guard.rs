//! What ends the children when this process can not.
//!
//! `Drop` does not run for a fixture in a `static`, nor after SIGKILL or an
//! abort. So the first child brings a small shell along which holds the other
//! end of a pipe: when the pipe closes, this process is gone, and the shell
//! ends the children that are still written on its list, by their pids.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::lock;

const SCRIPT: &str = r#"
trap '' INT TERM HUP
scratch=$1
children=' '
while read -r what pid; do
  case $what in
    started) children="$children$pid " ;;
    ended) children="${children%% $pid *} ${children#* $pid }" ;;
  esac
done
for pid in $children; do kill -TERM "$pid" 2>/dev/null; done
tries=0
for pid in $children; do
  while kill -0 "$pid" 2>/dev/null && [ "$tries" -lt 30 ]; do sleep 0.1; tries=$((tries + 1)); done
  kill -KILL "$pid" 2>/dev/null
done
rm -rf -- "$scratch"
"#;

static GUARD: Mutex<Option<Guard>> = Mutex::new(None);

struct Guard {
    list: ChildStdin,
    children: Vec<u32>,
    scratch: TempDir,
    _shell: Child,
}

impl Guard {
    fn start() -> Result<Self> {
        // A server that does not run as this user may pass through to a folder of its own.
        let passable = Permissions::from_mode(0o711);
        let scratch = tempfile::Builder::new().prefix("tiergate-testbed-").permissions(passable).tempdir()?;
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "tiergate-testbed-guard"])
            .arg(scratch.path())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start /bin/sh")?;
        let list = shell.stdin.take().context("the guard has no standard input")?;
        Ok(Self { list, children: Vec::new(), scratch, _shell: shell })
    }
}

fn with_guard<T>(work: impl FnOnce(&mut Guard) -> T) -> Result<T> {
    let mut guard = lock(&GUARD);
    if guard.is_none() {
        *guard = Some(Guard::start()?);
    }
    guard.as_mut().map(work).context("the guard is not running")
}

/// A fresh folder in this process's scratch space, which goes away with the process.
pub(crate) fn scratch_dir(prefix: &str) -> Result<TempDir> {
    let root: PathBuf = with_guard(|guard| guard.scratch.path().to_path_buf())?;
    Ok(tempfile::Builder::new().prefix(&format!("{prefix}-")).tempdir_in(root)?)
}

pub(crate) fn started(pid: u32) -> Result<()> {
    with_guard(|guard| {
        guard.children.push(pid);
        writeln!(guard.list, "started {pid}")
    })?
    .context("the guard has ended")
}

pub(crate) fn ended(pid: u32) {
    let mut guard = lock(&GUARD);
    if let Some(guard) = guard.as_mut() {
        guard.children.retain(|child| *child != pid);
        // A guard that is gone has nothing left to end.
        let _ = writeln!(guard.list, "ended {pid}");
    }
}

/// Asks every child of this process to end: for a program that is interrupted
/// while its fixtures are still being started.
pub fn end_all_children() {
    let children = lock(&GUARD).as_ref().map(|guard| guard.children.clone()).unwrap_or_default();
    for pid in children {
        signal(pid, Signal::TERM);
    }
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    // A child that has ended but was not waited for keeps its pid, so this
    // never reaches a stranger.
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}
