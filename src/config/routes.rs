//! What the proxies' configs need besides the apps, and the files of routes
//! that are kept up to date.

use std::path::PathBuf;
use std::time::Duration;

use super::apps_file::{NginxRoutesFile, RoutesFile};
use super::check::Check;
use super::fault::{Fault, quoted};
use super::node::push;
use crate::apps::Upstream;

/// Where Debian and its kin keep the certificates of known authorities.
const DEFAULT_TRUSTED_CA: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What the proxies' configs need besides the apps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routes {
    /// What serves that no app does.
    pub site: Option<Upstream>,
    /// The certificates by which upstreams with https are known.
    pub trusted_ca: PathBuf,
    /// The directory from which Envoy takes its routes.
    pub envoy: Option<PathBuf>,
    /// How nginx gets its routes.
    pub nginx: Option<NginxRoutes>,
}

/// How nginx gets its routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NginxRoutes {
    /// The file that its config includes.
    pub file: PathBuf,
    /// The command that judges the new file, before the reload; program and arguments.
    pub test: Vec<String>,
    /// The command that makes nginx read it; program and arguments, or nothing.
    pub reload: Vec<String>,
    /// How long each command may take.
    pub timeout: Duration,
}

impl Routes {
    pub(crate) fn read(file: &RoutesFile, check: &mut Check<'_>) -> Self {
        const POINTER: &str = "/routes";
        let site = file.site.as_deref().and_then(|text| {
            let read = Upstream::parse(text).map_err(|error| {
                Fault::new(push(POINTER, "site"), error.to_string()).hint("such as `http://127.0.0.1:5000`")
            });
            check.ok(read)
        });
        let trusted_ca = file.trusted_ca.as_deref().unwrap_or(DEFAULT_TRUSTED_CA);
        let trusted_ca = read_place(&push(POINTER, "trusted_ca"), trusted_ca, check);
        let envoy_dir = push(&push(POINTER, "envoy"), "dir");
        Self {
            site,
            trusted_ca,
            envoy: file.envoy.as_ref().map(|envoy| read_place(&envoy_dir, &envoy.dir, check)),
            nginx: file.nginx.as_ref().map(|nginx| NginxRoutes::read(nginx, check)),
        }
    }
}

impl NginxRoutes {
    fn read(file: &NginxRoutesFile, check: &mut Check<'_>) -> Self {
        const POINTER: &str = "/routes/nginx";
        let command = |key: &str, written: Option<&str>, check: &mut Check<'_>| {
            let Some(written) = written else { return Vec::new() };
            check
                .ok(words(written).ok_or_else(|| {
                    let fault = Fault::new(push(POINTER, key), format!("{} is no command", quoted(written)));
                    fault
                        .hint("program and arguments, such as `nginx -s reload`; no shell reads it, quotes hold blanks")
                }))
                .unwrap_or_default()
        };
        let path = read_place(&push(POINTER, "file"), &file.file, check);
        if path.file_name().is_none() || file.file.ends_with('/') {
            let fault = Fault::new(push(POINTER, "file"), format!("{} names no file", quoted(&file.file)));
            check.fault(fault.hint("such as `/etc/nginx/tiergate/routes.conf`"));
        }
        if file.reload.is_none() {
            check.notice("`routes.nginx` has no `reload`: nginx reads new routes when somebody reloads it");
        }
        Self {
            file: path,
            test: command("test", file.test.as_deref(), check),
            reload: command("reload", file.reload.as_deref(), check),
            timeout: check.duration(
                "/routes/nginx/timeout",
                file.timeout.as_ref(),
                Duration::from_secs(10),
                Duration::from_secs(1)..=Duration::from_secs(60),
            ),
        }
    }
}

/// A path that stands in the config of a proxy too, which reads it from
/// another directory than the service does.
fn read_place(pointer: &str, written: &str, check: &mut Check<'_>) -> PathBuf {
    let path = check.path(pointer, written);
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:".contains(c);
    if !path.is_absolute() {
        let fault = Fault::new(pointer, format!("{} is not absolute", quoted(written)));
        check.fault(fault.hint("write the whole path: the proxy starts from another directory than the service"));
    } else if !written.chars().all(plain) {
        let fault =
            Fault::new(pointer, format!("{} holds a character that a proxy could read otherwise", quoted(written)));
        check.fault(fault.hint("use letters, digits and `/._-+@:`"));
    }
    path
}

/// The words of a command: blanks part them, quotes hold them together. `None`
/// when there is no word, or a quote that does not end.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    for c in text.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    let is_named = words.first().is_some_and(|program| !program.is_empty());
    (quote.is_none() && is_named && !text.contains('\0')).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_into_words() {
        for (text, expected) in [
            ("nginx -s reload", Some(vec!["nginx", "-s", "reload"])),
            ("  nginx   -t\t", Some(vec!["nginx", "-t"])),
            ("a 'b c' \"d'e\" f''g", Some(vec!["a", "b c", "d'e", "fg"])),
            ("a '' b", Some(vec!["a", "", "b"])),
            ("a && $(b) | c", Some(vec!["a", "&&", "$(b)", "|", "c"])),
            ("", None),
            ("  ", None),
            ("'' a", None),
            ("a 'b", None),
        ] {
            let expected = expected.map(|words| words.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(words(text), expected, "{text}");
        }
    }
}
