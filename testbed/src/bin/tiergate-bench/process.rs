//! What the kernel says of a process, and of the machine.

use anyhow::{Context, Result, bail};

/// CPU time of all threads of a process so far, in nanoseconds (schedstat, proc(5)).
pub(crate) fn cpu_nanos(pid: u32) -> Result<u64> {
    sum_of_threads(pid, |_| true)
}

/// The same of those threads alone that have this name.
pub(crate) fn cpu_nanos_of(pid: u32, thread: &str) -> Result<u64> {
    sum_of_threads(pid, |name| name == thread)
}

fn sum_of_threads(pid: u32, counts: impl Fn(&str) -> bool) -> Result<u64> {
    let mut sum = 0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).context("the process is gone")? {
        let thread = thread?.path();
        let read = |file: &str| std::fs::read_to_string(thread.join(file));
        // A thread may end between the calls.
        let (Ok(name), Ok(text)) = (read("comm"), read("schedstat")) else { continue };
        if !counts(name.trim_end()) {
            continue;
        }
        sum += text.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok()).context("schedstat has changed")?;
    }
    if sum == 0 { bail!("the kernel keeps no schedstat") } else { Ok(sum) }
}

/// Memory that a process holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Resident {
    /// All of it, in MB.
    pub(crate) all: f64,
    /// What is read from the program's file and could be read again, in MB.
    pub(crate) file: f64,
}

/// Memory that a process holds.
pub(crate) fn resident(pid: u32) -> Result<Resident> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let megabytes = |name: &str| -> Result<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0 / 1e6)
    };
    Ok(Resident { all: megabytes("VmRSS:")?, file: megabytes("RssFile:")? })
}

/// Runnable processes, the mean of the last minute.
pub(crate) fn load_average() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().unwrap_or_default().parse()?)
}

/// The machine, for whoever reads the results later.
pub(crate) fn machine() -> Result<serde_json::Value> {
    let cpus = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, name)| name);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(serde_json::json!({
        "cores": std::thread::available_parallelism()?.get(),
        "cpu": model.unwrap_or("unknown"),
        "kernel": kernel.trim(),
    }))
}
