//! Where things are, and ports that are free.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};

/// The root of the repository.
pub fn repo_root() -> PathBuf {
    let member = Path::new(env!("CARGO_MANIFEST_DIR"));
    member.parent().unwrap_or(member).to_path_buf()
}

/// The path of a component that `make setup` installs, such as `envoy`.
pub fn tool(name: &str) -> Result<PathBuf> {
    let path = repo_root().join(".tools/bin").join(name);
    if !path.exists() {
        bail!("`{name}` is missing: run `make setup`");
    }
    Ok(path)
}

/// A free loopback port. No port is handed out twice in one process, so tests
/// that run side by side do not race for it; another process still can, which
/// is why starters try once more.
pub fn free_port() -> Result<u16> {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let mut given = lock(&GIVEN);
    let given = given.get_or_insert_default();
    for _ in 0..1000 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no loopback port is free")?;
        let port = listener.local_addr()?.port();
        if given.insert(port) {
            return Ok(port);
        }
    }
    bail!("no loopback port is free that was not used before")
}

/// Locks; a panic of another holder does not matter to the test bed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
