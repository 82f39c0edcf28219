//! Reading what a request is about: path and host.

use std::hint::black_box;

use tiergate::types::{CanonicalPath, Host};

use super::Case;

pub(super) fn cases() -> Vec<Case> {
    let path = |param, target: &'static str| {
        Case::new("path", param, move || {
            Box::new(move || {
                black_box(CanonicalPath::parse(black_box(target.as_bytes())).expect("a path"));
            })
        })
    };
    let host = |param, host: &'static str| {
        Case::new("host", param, move || {
            Box::new(move || {
                black_box(Host::parse(black_box(host.as_bytes())).expect("a host"));
            })
        })
    };
    vec![
        path("short", "/apps/devel/hazard/").gated(),
        path("query", "/apps/devel/hazard/api/v1/maps/tiles/12/3456/7890.png?layer=shaking&style=dark&scale=2"),
        path("encoded", "/apps/devel/hazard/r%C3%A9sum%C3%A9/one%20two").gated(),
        path("deep", "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/u/v/w/x/y/z/a/b/c/d/e/f"),
        host("name", "gate.example.com").gated(),
        host("port", "localhost:8080"),
    ]
}
