//! What the service holds in memory.

use std::time::Duration;

use anyhow::Result;
use tiergate_testbed::Key;

use super::{Bench, Found, cold};
use crate::process::resident;
use crate::rounds::Spread;
use crate::table::Row;

pub(crate) fn idle_and_tokens(bench: &Bench, found: &mut Found) -> Result<()> {
    let service = bench.service()?;
    // What was needed to start is given back first.
    std::thread::sleep(Duration::from_secs(2));
    let idle = resident(service.pid()?)?;
    let row = Row::new("rss_idle", "memory, idle", "MB", 15.0, Spread::of([idle.all]));
    found.rows.push(row.note(format!("{:.1} MB of it are pages of the program's file", idle.file)));
    let count = bench.choose(10_000, 2000);
    let tokens = cold::tokens(&bench.provider, &Key::Rsa, 0..count)?;
    let file = cold::messages(bench, "ten-thousand", &tokens)?;
    // Each is used twice: an entry is written when it is new and read when it is not.
    cold::load(bench, service.grpc(), file, 2 * count).run()?;
    let row =
        Row::new("rss_tokens", "memory with 10 000 tokens", "MB", 40.0, Spread::of([resident(service.pid()?)?.all]));
    found.rows.push(if bench.is_quick { row.note(format!("a quick run: {count} tokens")) } else { row });
    Ok(())
}
