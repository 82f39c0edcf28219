//! nginx: the whole config, and the part of it that follows the apps, for a
//! file that the config includes.
//!
//! nginx would choose a `location` by the decoded path, but the check judges
//! the path as it was sent. So an app is found by `$request_uri`, with a hash
//! look-up for each length that the paths of the apps have:
//!
//! ```text
//! $request_uri ──first n segments──▶ $tg_at_n ──look up──▶ $tg_hit… ──same letters?──▶ $tg_entry…
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::net::SocketAddr;

use serde_json::json;

use super::settings::{RouteError, RouteSettings, ServiceAddress};
use super::table;
use super::template::{self, escaped};
use crate::apps::{App, Catalogue, Upstream};

const TEMPLATE: &str = include_str!("nginx.conf.j2");
const ROUTES_TEMPLATE: &str = include_str!("nginx_routes.conf.j2");

/// The whole config.
pub(super) fn config(
    settings: &RouteSettings,
    listen: SocketAddr,
    catalogue: &Catalogue,
) -> Result<String, RouteError> {
    let (http_server, http) = match &settings.http {
        ServiceAddress::Tcp { .. } => {
            let authority = settings.http.authority().unwrap_or_default();
            (authority.clone(), authority)
        }
        ServiceAddress::Unix(path) => (format!("unix:{path}"), format!("unix:{path}")),
    };
    let name = |name: &String| {
        json!({
            "title": template::title(name),
            "http": name.replace('-', "_"),
            "variable": name.strip_prefix("x-auth-").unwrap_or(name).replace('-', "_"),
        })
    };
    let managed: Vec<_> = settings.managed_headers.iter().map(name).collect();
    let titles = |names: &[String]| names.iter().map(|name| template::title(name)).collect::<Vec<_>>();
    let (managed_titles, stripped) = (titles(&settings.managed_headers), titles(&settings.stripped_headers));
    let has = |name: &str| settings.managed_headers.iter().any(|held| held == name);
    let carriers = ["X-Auth-Cookie", "X-Auth-Query", "X-Auth-Websocket-Protocol"];
    let never_sent: Vec<&str> = managed_titles.iter().map(String::as_str).chain(carriers).collect();
    let width = never_sent.iter().copied().chain(stripped.iter().map(String::as_str)).map(str::len).max();
    let base = settings.base_path.prefix();
    let own = |end: &str, single_end: &str| {
        let base = format!("{}{end}", escaped(base));
        let prefixes = settings.own_prefixes.iter().map(|path| format!("{}{end}", escaped(path.prefix())));
        let single = settings.own_paths.iter().map(|path| format!("{}{single_end}", escaped(path.prefix())));
        let patterns: Vec<String> = [base].into_iter().chain(prefixes).chain(single).collect();
        match patterns.as_slice() {
            [only] => only.clone(),
            several => format!("(?:{})", several.join("|")),
        }
    };
    let values = json!({
        "listen": listen.to_string(),
        "http": http,
        "http_server": http_server,
        "base_path": base,
        "own_pattern": own("(/|$)", "$"),
        "own_raw_pattern": own("([/?]|$)", r"(\?|$)"),
        "managed": managed,
        "stripped": stripped,
        "never_sent": never_sent,
        "never_shown": never_sent.iter().filter(|name| **name != "X-Auth-Request-Id").collect::<Vec<_>>(),
        "width": width,
        "request_id": if has("x-auth-request-id") { "$auth_request_id" } else { "$request_id" },
        "subject": if has("x-auth-user") { "$auth_user" } else { "" },
        "live": settings.nginx_file,
        "routes": if settings.nginx_file.is_some() { String::new() } else { routes(settings, catalogue)? },
    });
    template::render(TEMPLATE, values)
}

/// The content of the file that the config includes: upstreams and maps.
///
/// # Errors
/// None that a test does not exclude.
pub fn routes(settings: &RouteSettings, catalogue: &Catalogue) -> Result<String, RouteError> {
    routes_without(settings, catalogue, &BTreeSet::new())
}

/// The same, where nothing is said of these host names of upstreams: nginx does
/// not start with a name that it cannot look up. Their apps keep their routes,
/// so that no other app takes their paths, and are answered 502.
///
/// # Errors
/// As [`routes`].
pub fn routes_without(
    settings: &RouteSettings,
    catalogue: &Catalogue,
    absent: &BTreeSet<String>,
) -> Result<String, RouteError> {
    let apps = table::in_order(catalogue);
    let upstreams: BTreeSet<Upstream> =
        apps.iter().map(|app| &app.upstream).chain(&settings.site).map(Upstream::without_base).collect();
    let groups: HashMap<&Upstream, String> =
        upstreams.iter().enumerate().map(|(position, upstream)| (upstream, format!("app_{position}"))).collect();
    let group = |upstream: &Upstream| groups.get(&upstream.without_base()).cloned().unwrap_or_default();
    let url = |upstream: &Upstream| {
        let scheme = if upstream.is_tls() { "https" } else { "http" };
        format!("{scheme}://{}", group(upstream))
    };
    let shown: Vec<_> = upstreams
        .iter()
        .map(|upstream| {
            let is_absent = absent.contains(upstream.address());
            let server = if is_absent { "127.0.0.1:1 down".to_owned() } else { upstream.authority() };
            json!({ "name": group(upstream), "server": server, "shown": upstream.to_string() })
        })
        .collect();
    let entry = |app: &App| {
        let (path, upstream, mode) = (app.path.prefix(), &app.upstream, app.prefix.as_str());
        format!("{}|{path}|{}|{}|{mode}|{}", app.route_tag(), url(upstream), upstream.address(), upstream.base())
    };
    let lookups = lookups(&apps, &entry);
    let values = json!({
        "upstreams": shown,
        "tls": upstreams.iter().any(Upstream::is_tls),
        "trusted_ca": settings.trusted_ca,
        "depths": depths(&apps),
        "maps": lookups.text,
        "entry": lookups.first,
        "site": settings.site.as_ref().map(url),
        "site_base": settings.site.as_ref().map(Upstream::base),
        "site_name": settings.site.as_ref().map(Upstream::address),
        "last_place": if settings.site.is_some() { "@app" } else { "@nowhere" },
        // Room for every key: nginx looks for a size up to this one.
        "hash_size": apps.len().saturating_mul(4).next_power_of_two().max(2048),
    });
    template::render(ROUTES_TEMPLATE, values)
}

/// The lengths that paths of apps have, in segments.
fn depths(apps: &[&App]) -> Vec<usize> {
    apps.iter().map(|app| table::depth(app)).filter(|depth| *depth > 0).collect::<BTreeSet<_>>().into_iter().collect()
}

struct Lookups {
    text: String,
    /// The variable of the first one.
    first: String,
}

/// How the hosts of apps are told from a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum HostKind {
    Any,
    Name,
    Authority,
}

/// The look-ups, each of which falls back to the one before it: in the end the
/// host with its port comes before the host and before every host, and of
/// each the longest path first.
fn lookups(apps: &[&App], entry: &dyn Fn(&App) -> String) -> Lookups {
    let mut groups: BTreeMap<(HostKind, usize), Vec<&App>> = BTreeMap::new();
    for app in apps {
        let kind = match &app.host {
            None => HostKind::Any,
            Some(host) if host.port().is_empty() => HostKind::Name,
            Some(_) => HostKind::Authority,
        };
        groups.entry((kind, table::depth(app))).or_default().push(app);
    }
    let mut lookups = Lookups { text: String::new(), first: String::new() };
    for ((kind, depth), apps) in groups {
        let (letter, host) = match kind {
            HostKind::Any => ("any", ""),
            HostKind::Name => ("name", "$tg_host_name"),
            HostKind::Authority => ("authority", "$tg_authority"),
        };
        let at = if depth == 0 { String::new() } else { format!("$tg_at_{depth}") };
        let name = format!("{letter}_{depth}");
        let _ = writeln!(lookups.text, "    map \"{host}|{at}\" $tg_hit_{name} {{\n        default \"\";");
        let mut keys: HashMap<String, usize> = HashMap::new();
        let key = |app: &App| format!("{}|{}", app.host_text().unwrap_or_default(), app.path.prefix());
        for app in &apps {
            *keys.entry(key(app).to_ascii_lowercase()).or_default() += 1;
        }
        for app in &apps {
            let key = key(app);
            // Keys that differ in case alone are the same to the hash.
            let is_single = keys.get(&key.to_ascii_lowercase()) == Some(&1);
            let written =
                if is_single { key } else { format!("~^{}$", escaped(&key).replace('|', r"\|").replace('[', r"\[")) };
            let _ = writeln!(lookups.text, "        \"{written}\" \"{}\";", entry(app));
        }
        let before = if lookups.first.is_empty() { "\"\"".to_owned() } else { lookups.first.clone() };
        let _ = writeln!(
            lookups.text,
            "    }}\n    map \"$tg_hit_{name}|{at}\" $tg_entry_{name} {{\n        default {before};\n        \
             \"~^(?<tg_same_{name}>[^|]+\\|(?<tg_path_{name}>[^|]*)\\|[^|]*\\|[^|]*\\|[^|]*\\|[^|]*)\\|\\k<tg_path_{name}>$\" $tg_same_{name};\n    }}"
        );
        lookups.first = format!("$tg_entry_{name}");
    }
    lookups
}
