//! Tokens that are new to the service: each is used once.

use std::path::PathBuf;

use anyhow::Result;
use tiergate_testbed::{Key, Provider, TokenSpec};

use super::{Bench, Found, TOKEN_SECONDS};
use crate::load::Load;
use crate::process::cpu_nanos;
use crate::rounds::{Series, Spread, Subject};
use crate::table::Row;

/// Connections, and requests under way on each.
const SHAPE: [usize; 2] = [4, 2];

/// Good tokens of the account `devel`, no two alike.
pub(crate) fn tokens(provider: &Provider, key: &Key, numbers: std::ops::Range<usize>) -> Result<Vec<String>> {
    let spec = || TokenSpec::for_account("devel").key(key.clone()).expires_in(TOKEN_SECONDS);
    numbers.map(|number| provider.mint(&spec().claim("jti", format!("{number:016x}")))).collect()
}

/// The checks of tokens, as a file for `tiergate-floor send`.
pub(crate) fn messages(bench: &Bench, name: &str, tokens: &[String]) -> Result<PathBuf> {
    let mut all = Vec::new();
    for token in tokens {
        all.extend(bench.recorded.framed_with("authorization", &format!("Bearer {token}"))?);
    }
    bench.file(name, &all)
}

pub(crate) fn load(bench: &Bench, at: std::net::SocketAddr, file: PathBuf, requests: usize) -> Load {
    let [connections, streams] = SHAPE;
    Load::Messages { floor: bench.floor.clone(), at, file, requests, connections, streams, rate: None }
}

pub(crate) fn verification(bench: &Bench, found: &mut Found) -> Result<()> {
    let (rounds, requests) = (bench.choose(7, 3), bench.choose(1500, 500));
    let files = (0..=rounds)
        .map(|round| {
            let tokens = tokens(&bench.provider, &Key::Rsa, round * requests..(round + 1) * requests)?;
            messages(bench, &format!("cold-{round}"), &tokens)
        })
        .collect::<Result<Vec<_>>>()?;
    let warm = bench.message()?;
    let service = bench.service()?;
    let subject = |name, file: &PathBuf, requests| -> Result<Subject<'_>> {
        let load = load(bench, service.grpc(), file.clone(), requests);
        Ok(Subject { name, pid: Some(service.pid()?), proxy: None, load, decided_by: Some(&service) })
    };
    let new = |name| Series { name, samples: Vec::new() };
    let (mut cold, mut cached) = (new("each token once"), new("one token"));
    for (round, file) in files.iter().enumerate() {
        let cached_sample = subject("one token", &warm, requests * 4)?.measure()?;
        let cold_sample = subject("each token once", file, requests)?.measure()?;
        // The first round warms up.
        if round > 0 {
            cached.samples.push(cached_sample);
            cold.samples.push(cold_sample);
        }
    }
    let adds = cold.above(&cached, |sample| sample.cpu);
    found.rows.push(Row::new("cold_rs256", "cold RS256 adds to a gRPC check", "µs", 24.0, adds));
    found.keep("cold", &[cold, cached]);
    Ok(())
}

pub(crate) fn flood(bench: &Bench, found: &mut Found) -> Result<()> {
    let (rounds, requests) = (bench.choose(7, 3), bench.choose(6000, 2000));
    // Signed, by somebody who has not the provider's key: only the arithmetic tells.
    let bad = tokens(&bench.provider, &Key::ForeignRsa, 0..1000)?;
    let (bad, good) = (messages(bench, "bad", &bad)?, bench.message()?);
    let service = bench.service()?;
    let refused = || service.decided("decision=\"deny\"");
    let (mut each, mut overloaded) = (Vec::new(), 0.0);
    for round in 0..=rounds {
        let before = (refused()?, service.decided("reason=\"overloaded\"")?, cpu_nanos(service.pid()?)?);
        load(bench, service.grpc(), bad.clone(), requests).run()?;
        let nanos = (cpu_nanos(service.pid()?)? - before.2) as f64;
        let count = refused()? - before.0;
        anyhow::ensure!(count as usize == requests, "{count} bad signatures were refused in place of {requests}");
        if round > 0 {
            each.push(nanos / count / 1000.0);
            overloaded += service.decided("reason=\"overloaded\"")? - before.1;
        }
    }
    let share = 100.0 * overloaded / (requests * rounds) as f64;
    let note = format!("CPU of the whole check; {share:.0} % were refused unverified, by the limit on misses");
    found.rows.push(Row::new("bad_signature", "a bad signature", "µs", 33.0, Spread::of(each)).note(note));

    // Good checks at a steady rate, alone and beside a flood of five times as many.
    let seconds = bench.choose(3, 2);
    let paced = |file: &PathBuf, rate: usize, streams| Load::Messages {
        floor: bench.floor.clone(),
        at: service.grpc(),
        file: file.clone(),
        requests: rate * seconds,
        connections: 2,
        streams,
        rate: Some(rate),
    };
    let (mut middle, mut tail) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let alone = paced(&good, 1000, 4).run()?;
        let beside = std::thread::scope(|scope| {
            let flood = scope.spawn(|| paced(&bad, 5000, 32).run());
            let good = paced(&good, 1000, 4).run();
            let flooded = flood.join().map_err(|_| anyhow::anyhow!("the flood panicked"))?;
            flooded.and(good)
        })?;
        if round > 0 {
            middle.push(beside.p50 / alone.p50);
            tail.push(beside.p99 / alone.p99);
        }
    }
    found.rows.extend([
        Row::new(
            "flood_good",
            "good cached checks beside a flood of bad signatures, p50",
            "×",
            1.2,
            Spread::of(middle),
        )
        .note("1 000 good checks a second, alone and beside 5 000 bad signatures a second"),
        Row::told("flood_good_p99", "· their p99", "×", Spread::of(tail)),
    ]);
    Ok(())
}
