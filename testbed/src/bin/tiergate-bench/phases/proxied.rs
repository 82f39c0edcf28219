//! What the check adds to a request through Envoy: latency with one request in
//! flight, and Envoy's own CPU, beside Envoy's own `jwt_authn` and `rbac`.

use anyhow::Result;

use super::{Bench, Found};
use crate::envoy::{Envoy, Filter, native};
use crate::load::Load;
use crate::request;
use crate::rounds::{Sample, Series, Spread, Subject, interleave};
use crate::service::Service;
use crate::table::Row;

/// Who decides in each of the Envoys.
const NAMES: [&str; 4] = ["no check", "tiergate", "jwt_authn + rbac", "jwt_authn + rbac, token cache"];

fn subjects<'a>(envoys: &[Envoy], service: &'a Service, load: impl Fn(&Envoy) -> Load) -> Result<Vec<Subject<'a>>> {
    let named = envoys.iter().zip(NAMES);
    named
        .map(|(envoy, name)| {
            let is_ours = name == "tiergate";
            let pid = if is_ours { Some(service.pid()?) } else { None };
            let decided_by = is_ours.then_some(service);
            Ok(Subject { name, pid, proxy: Some(envoy.pid()?), load: load(envoy), decided_by })
        })
        .collect()
}

pub(crate) fn latency(bench: &Bench, found: &mut Found) -> Result<()> {
    let service = bench.service()?;
    let envoys =
        [Filter::None, Filter::ExtAuthz(service.grpc())].iter().map(Envoy::start).collect::<Result<Vec<_>>>()?;
    let rounds = bench.choose(7, 3);
    let each = bench.choose(100_000, 12_000) / rounds;
    let subjects = subjects(&envoys, &service, |envoy| one_by_one(bench, envoy, each))?;
    let series = interleave(&subjects, rounds)?;
    if let [without, with] = series.as_slice() {
        let (added, middle) =
            (with.above(without, |sample| sample.seen.p99), with.above(without, |sample| sample.seen.p50));
        let slow = |series: &Series| series.samples.iter().map(|sample| sample.seen.slow).sum::<usize>();
        let longest = |series: &Series| series.spread(|sample| sample.seen.max).max;
        let requests = with.samples.iter().map(|sample| sample.seen.requests).sum::<usize>();
        let note = format!(
            "of {requests}; without the check {}; the longest took {:.1} ms, without the check {:.1} ms",
            slow(without),
            longest(with) / 1000.0,
            longest(without) / 1000.0,
        );
        let count = Spread::of([slow(with) as f64]);
        found.rows.extend([
            Row::new("latency_p99", "one in flight through Envoy: p99 added", "µs", 350.0, added),
            Row::told("latency_p50", "· p50 added", "µs", middle),
            Row::new("latency_slow", "· requests over 5 ms", "", 0.0, count).note(note),
        ]);
    }
    found.keep("latency", &series);
    Ok(())
}

pub(crate) fn natively(bench: &Bench, found: &mut Found) -> Result<()> {
    let service = bench.service()?;
    let filters = [
        Filter::None,
        Filter::ExtAuthz(service.grpc()),
        Filter::Native(native(&bench.provider, false)?),
        Filter::Native(native(&bench.provider, true)?),
    ];
    let envoys = filters.iter().map(Envoy::start).collect::<Result<Vec<_>>>()?;
    let many = |envoy: &Envoy| Load::Http {
        at: envoy.at,
        path: request::PATH.to_owned(),
        headers: request::browser(&bench.token),
        seconds: bench.choose(3, 1),
        connections: 32,
    };
    let loaded = interleave(&subjects(&envoys, &service, many)?, bench.choose(5, 3))?;
    let one = |envoy: &Envoy| one_by_one(bench, envoy, bench.choose(4000, 1500));
    let single = interleave(&subjects(&envoys, &service, one)?, bench.choose(5, 3))?;
    let proxy = |sample: &Sample| sample.proxy_cpu;
    let p50 = |sample: &Sample| sample.seen.p50;
    if let ([none, ours, plain, cached], [none1, ours1, plain1, cached1]) = (loaded.as_slice(), single.as_slice()) {
        found.rows.extend([
            Row::told("native_ours", "Envoy's CPU added by ext_authz with Tiergate", "µs", ours.above(none, proxy)),
            Row::told("native_ours_own", "· and Tiergate's own", "µs", ours.cpu()),
            Row::told("native_plain", "Envoy's CPU added by jwt_authn + rbac", "µs", plain.above(none, proxy)),
            Row::told("native_cached", "· with its token cache", "µs", cached.above(none, proxy)),
            Row::told("native_ours_p50", "p50 added by ext_authz with Tiergate", "µs", ours1.above(none1, p50)),
            Row::told("native_plain_p50", "p50 added by jwt_authn + rbac", "µs", plain1.above(none1, p50)),
            Row::told("native_cached_p50", "· with its token cache", "µs", cached1.above(none1, p50)),
        ]);
    }
    found.keep("native", &loaded);
    found.keep("native, one in flight", &single);
    Ok(())
}

fn one_by_one(bench: &Bench, envoy: &Envoy, requests: usize) -> Load {
    let headers = request::browser(&bench.token);
    Load::OneByOne { at: envoy.at, path: request::PATH.to_owned(), headers, requests }
}
