//! A cached allow behind the proxies that people run: what the check costs our
//! process there, beside servers that decide nothing in the same place.

use anyhow::{Result, ensure};

use super::{Bench, Found};
use crate::envoy::{Envoy, Filter};
use crate::floor::Floor;
use crate::load::Load;
use crate::nginx::Nginx;
use crate::request;
use crate::rounds::{Subject, interleave};
use crate::table::Row;

pub(crate) fn envoy(bench: &Bench, found: &mut Found) -> Result<()> {
    let kinds = ["bare-http2", "tonic"];
    let floors = kinds.iter().map(|kind| Floor::serve(&bench.floor, kind)).collect::<Result<Vec<_>>>()?;
    let service = bench.service()?;
    let at = floors.iter().map(|floor| floor.at).chain([service.grpc()]);
    let envoys = at.map(|at| Envoy::start(&Filter::ExtAuthz(at))).collect::<Result<Vec<_>>>()?;
    let pids = floors.iter().map(Floor::pid).chain([service.pid()]);
    let names = kinds.into_iter().chain(["tiergate"]);
    let mut subjects = Vec::new();
    for ((envoy, pid), name) in envoys.iter().zip(pids).zip(names) {
        let decided_by = (name == "tiergate").then_some(&service);
        let load = load(bench, envoy.at);
        subjects.push(Subject { name, pid: Some(pid?), proxy: Some(envoy.pid()?), load, decided_by });
    }
    let series = interleave(&subjects, bench.choose(7, 3))?;
    if let [bare, tonic, tiergate] = series.as_slice() {
        found.rows.extend([
            Row::new("envoy_of_tonic", "behind Envoy, of tonic there", "×", 0.65, tiergate.ratio(tonic)),
            Row::told("envoy_of_bare", "behind Envoy, of bare HTTP/2 there", "×", tiergate.ratio(bare)),
            Row::told("envoy_cpu", "gRPC cached allow behind Envoy", "µs", tiergate.cpu()),
            Row::told("envoy_bare_cpu", "· bare hyper HTTP/2 there", "µs", bare.cpu()),
            Row::told("envoy_tonic_cpu", "· tonic + envoy-types there", "µs", tonic.cpu()),
        ]);
    }
    found.keep("envoy", &series);
    Ok(())
}

pub(crate) fn nginx(bench: &Bench, found: &mut Found) -> Result<()> {
    let floor = Floor::serve(&bench.floor, "http1")?;
    let site = Floor::serve(&bench.floor, "http1")?;
    let service = bench.service()?;
    let mut before_floor = Nginx::start(floor.at, site.at)?;
    let mut before_service = Nginx::start(service.http(), site.at)?;
    let subjects = [
        Subject {
            name: "http1",
            pid: Some(floor.pid()?),
            proxy: None,
            load: load(bench, before_floor.at),
            decided_by: None,
        },
        Subject {
            name: "tiergate",
            pid: Some(service.pid()?),
            proxy: None,
            load: load(bench, before_service.at),
            decided_by: Some(&service),
        },
    ];
    let series = interleave(&subjects, bench.choose(7, 3))?;
    ensure!(before_floor.is_running() && before_service.is_running(), "nginx has ended");
    if let [hyper, tiergate] = series.as_slice() {
        found.rows.extend([
            Row::new("nginx_of_hyper", "behind nginx, of bare HTTP/1 there", "×", 1.1, tiergate.ratio(hyper)),
            Row::told("nginx_cpu", "HTTP cached allow behind nginx", "µs", tiergate.cpu()),
            Row::told("nginx_hyper_cpu", "· bare hyper HTTP/1 there", "µs", hyper.cpu()),
        ]);
    }
    found.keep("nginx", &series);
    Ok(())
}

/// What a client sends to a proxy.
fn load(bench: &Bench, at: std::net::SocketAddr) -> Load {
    let headers = request::browser(&bench.token);
    Load::Http { at, path: request::PATH.to_owned(), headers, seconds: bench.choose(3, 1), connections: 32 }
}
