//! The apps in the order in which proxies have to look at them.

use std::collections::BTreeMap;

use crate::apps::{App, Catalogue};
use crate::types::Host;

/// The routes of one host. They are those that [`Catalogue::serving`] finds:
/// apps of the host with this port, of the host, of every host; of each, the
/// longest path first.
#[derive(Debug)]
pub(super) struct HostRoutes<'c> {
    /// The host; `None` for all that have no entry of their own.
    pub(super) host: Option<&'c Host>,
    /// The apps, the first that fits serves.
    pub(super) apps: Vec<&'c App>,
}

/// The routes of every host, those with a port before those without, all others last.
pub(super) fn by_host(catalogue: &Catalogue) -> Vec<HostRoutes<'_>> {
    let mut of_hosts: BTreeMap<&str, Vec<&App>> = BTreeMap::new();
    for app in in_order(catalogue) {
        of_hosts.entry(app.host_text().unwrap_or_default()).or_default().push(app);
    }
    let apps_of = |host: &str| of_hosts.get(host).into_iter().flatten().copied();
    let mut found: Vec<HostRoutes<'_>> = Vec::new();
    for host in of_hosts.values().filter_map(|apps| apps.first()?.host.as_ref()) {
        let of_name = (!host.port().is_empty()).then(|| host.name());
        let apps = apps_of(host.as_str()).chain(of_name.into_iter().flat_map(apps_of)).chain(apps_of(""));
        found.push(HostRoutes { host: Some(host), apps: up_to_root(apps) });
    }
    found.sort_by_key(|routes| routes.host.is_some_and(|host| host.port().is_empty()));
    found.push(HostRoutes { host: None, apps: up_to_root(apps_of("")) });
    found
}

/// What stands behind an app that serves everything is never reached.
fn up_to_root<'c>(apps: impl Iterator<Item = &'c App>) -> Vec<&'c App> {
    let mut apps: Vec<&App> = apps.collect();
    if let Some(root) = apps.iter().position(|app| app.path.prefix().is_empty()) {
        apps.truncate(root.saturating_add(1));
    }
    apps
}

/// All apps, paths with more segments first: a path below another one has more.
pub(super) fn in_order(catalogue: &Catalogue) -> Vec<&App> {
    let mut apps: Vec<&App> = catalogue.apps().iter().map(AsRef::as_ref).collect();
    apps.sort_by_key(|app| std::cmp::Reverse(depth(app)));
    apps
}

/// The number of segments of the app's path.
pub(super) fn depth(app: &App) -> usize {
    app.path.prefix().bytes().filter(|byte| *byte == b'/').count()
}
