//! A cached allow, asked for directly: `h2load -c4 -m32` and `wrk -c32`.

use anyhow::Result;

use super::{Bench, Found};
use crate::floor::Floor;
use crate::load::Load;
use crate::request;
use crate::rounds::{Subject, interleave};
use crate::table::Row;

pub(crate) fn grpc(bench: &Bench, found: &mut Found) -> Result<()> {
    let kinds = ["bare-http2", "tonic", "tonic-multi-thread"];
    let floors = kinds.iter().map(|kind| Floor::serve(&bench.floor, kind)).collect::<Result<Vec<_>>>()?;
    let service = bench.service()?;
    let message = bench.message()?;
    let load = |at| Load::grpc(at, &message, bench.choose(100_000, 30_000));
    let mut subjects = Vec::new();
    for (floor, name) in floors.iter().zip(kinds) {
        subjects.push(Subject { name, pid: Some(floor.pid()?), proxy: None, load: load(floor.at), decided_by: None });
    }
    let pid = Some(service.pid()?);
    subjects.push(Subject {
        name: "tiergate",
        pid,
        proxy: None,
        load: load(service.grpc()),
        decided_by: Some(&service),
    });
    // The same with the headers as a map, which is what Envoy sends by default.
    let map = bench.file("message-map", &bench.recorded_map.framed()?)?;
    let load = |at| Load::grpc(at, &map, bench.choose(100_000, 30_000));
    if let [_, tonic, _] = floors.as_slice() {
        let (pid, load) = (Some(tonic.pid()?), load(tonic.at));
        subjects.push(Subject { name: "tonic, headers as a map", pid, proxy: None, load, decided_by: None });
    }
    let name = "tiergate, headers as a map";
    subjects.push(Subject { name, pid, proxy: None, load: load(service.grpc()), decided_by: Some(&service) });
    let series = interleave(&subjects, bench.choose(7, 3))?;
    if let [bare, tonic, multi, tiergate, tonic_map, tiergate_map] = series.as_slice() {
        found.rows.extend([
            Row::new("grpc_of_tonic", "gRPC cached allow, of tonic + envoy-types", "×", 0.70, tiergate.ratio(tonic)),
            Row::new("grpc_of_bare", "gRPC cached allow, of bare HTTP/2", "×", 1.6, tiergate.ratio(bare)),
            Row::new(
                "grpc_map_of_tonic",
                "the same without `encode_raw_headers`, of tonic",
                "×",
                0.70,
                tiergate_map.ratio(tonic_map),
            )
            .note("headers as a protobuf map, Envoy's default"),
            Row::told("grpc_map_cpu", "· our CPU then", "µs", tiergate_map.cpu()),
            Row::told("tonic_map_cpu", "· tonic + envoy-types then", "µs", tonic_map.cpu()),
            Row::told("grpc_cpu", "gRPC cached allow", "µs", tiergate.cpu()),
            Row::told("log_cpu", "· of that, the thread of the decision log", "µs", tiergate.spread(|one| one.log_cpu)),
            Row::told("bare_cpu", "· bare hyper HTTP/2, body unread", "µs", bare.cpu()),
            Row::told("tonic_cpu", "· tonic + envoy-types, always OK", "µs", tonic.cpu()),
            Row::told("multi_cpu", "· the same on the multi-thread runtime", "µs", multi.cpu()),
        ]);
    }
    found.keep("grpc", &series);
    Ok(())
}

pub(crate) fn http(bench: &Bench, found: &mut Found) -> Result<()> {
    let kinds = ["http1", "axum"];
    let floors = kinds.iter().map(|kind| Floor::serve(&bench.floor, kind)).collect::<Result<Vec<_>>>()?;
    let service = bench.service()?;
    let (path, headers) = request::auth_request(&bench.token);
    let load = |at| {
        let (path, headers) = (path.clone(), headers.clone());
        Load::Http { at, path, headers, seconds: bench.choose(2, 1), connections: 32 }
    };
    let mut subjects = Vec::new();
    for (floor, name) in floors.iter().zip(kinds) {
        subjects.push(Subject { name, pid: Some(floor.pid()?), proxy: None, load: load(floor.at), decided_by: None });
    }
    let pid = Some(service.pid()?);
    subjects.push(Subject {
        name: "tiergate",
        pid,
        proxy: None,
        load: load(service.http()),
        decided_by: Some(&service),
    });
    let series = interleave(&subjects, bench.choose(7, 3))?;
    if let [hyper, axum, tiergate] = series.as_slice() {
        found.rows.extend([
            Row::new("http_of_hyper", "HTTP cached allow, of bare HTTP/1", "×", 1.15, tiergate.ratio(hyper)),
            Row::told("http_cpu", "HTTP cached allow", "µs", tiergate.cpu()),
            Row::told("hyper_cpu", "· bare hyper HTTP/1, always OK", "µs", hyper.cpu()),
            Row::told("axum_cpu", "· axum, always OK", "µs", axum.cpu()),
        ]);
    }
    found.keep("http", &series);
    Ok(())
}
