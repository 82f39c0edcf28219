use super::*;
use crate::config::schema;

fn variables(names: &[&str]) -> Variables {
    names.iter().map(|name| ((*name).to_owned(), "tcp://10.0.0.1:9191".to_owned())).collect()
}

#[test]
fn the_service_links_of_kubernetes_are_not_settings() {
    let links = variables(&[
        "TIERGATE_SERVICE_HOST",
        "TIERGATE_SERVICE_PORT",
        "TIERGATE_SERVICE_PORT_GRPC",
        "TIERGATE_PORT",
        "TIERGATE_PORT_9191_TCP",
        "TIERGATE_PORT_9191_TCP_ADDR",
        "TIERGATE_PORT_9191_TCP_PORT",
        "TIERGATE_PORT_9191_TCP_PROTO",
        "TIERGATE_ADMIN_SERVICE_HOST",
        "TIERGATE_ADMIN_SERVICE_PORT_METRICS",
        "TIERGATE_ADMIN_PORT",
        "TIERGATE_ADMIN_PORT_9190_TCP_ADDR",
    ]);
    assert!(!is_used(&links));
}

#[test]
fn no_key_of_the_config_looks_like_a_service_link() {
    let schema = schema::structure();
    for name in known_names(View::new(&schema), PREFIX, 0) {
        let path = name.strip_prefix(PREFIX).unwrap();
        assert!(!is_service_link(path), "{name}");
        assert!(is_used(&variables(&[&name])), "{name}");
    }
}

#[test]
fn shorter_paths_come_first_and_positions_sort_as_numbers() {
    let mut tree = Node::empty();
    let mut variables: Variables =
        (1..=10).map(|n| (format!("TIERGATE_TRUSTED_PROXIES__{n}"), format!("10.0.0.{n}"))).collect();
    variables.insert("TIERGATE_TRUSTED_PROXIES".to_owned(), "[10.0.0.0]".to_owned());
    variables.insert("TIERGATE_LOG__LEVEL".to_owned(), "warn".to_owned());
    let mut faults = Vec::new();
    overlay(&mut tree, &variables, &schema::structure(), &mut faults);
    assert_eq!(faults, Vec::new());
    let written = tree.to_json();
    assert_eq!(written["trusted_proxies"][2], "10.0.0.2");
    assert_eq!(written["trusted_proxies"][10], "10.0.0.10");
    assert_eq!(written["log"]["level"], "warn");
}

#[test]
fn a_secret_that_looks_like_a_map_stays_a_text() {
    let mut tree = Node::empty();
    let name = "TIERGATE_IDENTITY_PROVIDERS__0__LOGIN__CLIENT_SECRET";
    let variables = [(name.to_owned(), "{x${HOME}$$[1".to_owned())].into();
    let mut faults = Vec::new();
    overlay(&mut tree, &variables, &schema::structure(), &mut faults);
    assert_eq!(faults, Vec::new());
    assert_eq!(tree.to_json()["identity_providers"][0]["login"]["client_secret"], "{x${HOME}$$[1");
}
