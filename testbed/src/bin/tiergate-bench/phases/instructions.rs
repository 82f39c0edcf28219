//! User instructions of the whole service for each check, under callgrind: a
//! count that no other process on the machine can disturb.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Bench, Found};
use crate::load::Load;
use crate::rounds::Spread;
use crate::service::{Service, readme_config};
use crate::table::Row;

pub(crate) fn count(bench: &Bench, found: &mut Found) -> Result<()> {
    let requests = bench.choose(4000, 1500);
    // What starting and ending take is the same in both, and falls out.
    let once = run(bench, "once", requests)?;
    let twice = run(bench, "twice", 2 * requests)?;
    let each = (twice - once) / requests as f64 / 1000.0;
    let row = Row::new("instructions", "user instructions of a gRPC check", "thousand", 60.0, Spread::of([each]));
    found.rows.push(row.note(format!("callgrind, {requests} checks against {}", 2 * requests)));
    Ok(())
}

/// All instructions of a service that starts, answers and ends.
fn run(bench: &Bench, name: &str, requests: usize) -> Result<f64> {
    let out = bench.scratch.path().join(format!("callgrind-{name}"));
    let binary = std::path::absolute(&bench.tiergate)?;
    let wrapper = format!(
        "#!/bin/sh\nexec valgrind --quiet --tool=callgrind --callgrind-out-file={} {} \"$@\"\n",
        quoted(&out)?,
        quoted(&binary)?
    );
    let wrapper = bench.file(&format!("under-{name}"), wrapper.as_bytes())?;
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755))?;
    let mut service = Service::start_slow(&wrapper, &readme_config(&bench.provider)?)?;
    Load::grpc(service.grpc(), &bench.message()?, requests).run()?;
    ensure!(service.allowed()? as usize == requests, "not every check was allowed under callgrind");
    service.running.process.terminate();
    service.running.process.wait_exit(Duration::from_secs(60))?.context("the service did not end under callgrind")?;
    let text = std::fs::read_to_string(&out).context("callgrind wrote nothing")?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ").or(line.strip_prefix("summary: ")));
    total.and_then(|total| total.trim().parse().ok()).context("callgrind told no total")
}

fn quoted(path: &Path) -> Result<String> {
    let text = path.to_str().filter(|text| !text.contains('\'')).context("a path cannot be quoted")?;
    Ok(format!("'{text}'"))
}
