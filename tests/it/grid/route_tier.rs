//! `tiergate.tier` in the `context_extensions` of an Envoy route: it raises what
//! the policy asks for, and never lowers it.

use tiergate_testbed::{Backends, Gateway, TokenSpec, Upstream, request};

use super::stage::shared;

/// The route of the shipped file that begins so, with a tier of its own.
fn with_tier(route: &str, tier: &str) -> String {
    let (begin, rest) = route.split_once('\n').unwrap();
    format!(
        "{begin}\n                typed_per_filter_config:\n                  envoy.filters.http.ext_authz:\n                    \
         \"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute\n                    \
         check_settings: {{ context_extensions: {{ tiergate.tier: {tier} }} }}\n{rest}"
    )
}

#[test]
fn a_route_raises_its_tier_and_never_lowers_it() {
    let stage = shared();
    let upstream = Upstream::start().unwrap();
    let app = |prefix: &str| format!("- match: {{ prefix: {prefix} }}\n                route:\n");
    let site = "- match: { prefix: \"/\" }\n                route: { cluster: site, timeout: 0s }".to_owned();
    let edits: Vec<(String, String)> = [
        (app("/apps/stable/maps/"), "devel"),
        (app("/apps/devel/hazard/"), "stable"),
        (app("/apps/ea/reports/"), "no-such-tier"),
        (site, "ea"),
    ]
    .into_iter()
    .map(|(route, tier)| (route.clone(), with_tier(&route, tier)))
    .collect();
    let edits: Vec<(&str, &str)> = edits.iter().map(|(old, new)| (old.as_str(), new.as_str())).collect();
    let envoy = Gateway::EnvoyGrpc.start_edited(&Backends::echo(&stage.tiergate, &upstream), &edits).unwrap();
    upstream.take_received();

    let expectations: [(&str, [u16; 5]); 5] = [
        // anonymous, stable, ea, devel, admin
        ("/apps/stable/maps/x", [401, 403, 403, 200, 200]),
        ("/apps/devel/hazard/x", [401, 403, 403, 200, 200]),
        ("/apps/ea/reports/x", [403, 403, 403, 403, 403]),
        ("/public/x", [401, 403, 200, 200, 200]),
        ("/apps/admin/x", [401, 403, 403, 403, 200]),
    ];
    for (path, statuses) in expectations {
        for (user, expected) in
            [None, Some("stable"), Some("ea"), Some("devel"), Some("admin")].into_iter().zip(statuses)
        {
            let bearer = user.map(|user| format!("Bearer {}", stage.mint(&TokenSpec::for_account(user)).unwrap()));
            let headers: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("Authorization", bearer.as_str())).collect();
            let answer = request(envoy.address(), "GET", path, &headers).unwrap();
            assert_eq!(answer.status, expected, "{path} for {user:?}");
            let landed = upstream.take_received().len();
            assert_eq!(landed, usize::from(expected == 200), "{path} for {user:?}");
        }
    }
}
