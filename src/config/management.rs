//! What the service may ask of a provider about people: its management API, and
//! whether an opaque token counts.

use std::time::Duration;

use super::check::Check;
use super::directory_file::{IntrospectionFile, ManagementFile, ManagementKindFile};
use super::fault::{Fault, quoted};
use super::node::push;
use super::url::read_fetch_url;
use crate::management::PathPattern;
use crate::types::{FetchUrl, Secret};

/// Methods that the management API may be asked with.
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// What the service may do at the provider's management API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Management {
    /// Whose API it is.
    pub kind: ManagementKind,
    /// Where it is; ends with `/`.
    pub url: FetchUrl,
    /// Where the service gets its token; `None`: the provider's own token endpoint.
    pub token_url: Option<FetchUrl>,
    /// The client id of the service there.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// The audience that the token is asked for.
    pub audience: Option<String>,
    /// The scopes that the token is asked for.
    pub scopes: Vec<String>,
    /// The methods that administrators may send.
    pub methods: Vec<String>,
    /// The patterns of paths below `url` that they may send them to.
    pub paths: Vec<PathPattern>,
    /// Whether `user sync` asks for the groups of each user.
    pub groups: bool,
}

/// Whose management API it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManagementKind {
    /// Auth0, version 2.
    Auth0,
    /// Keycloak.
    Keycloak,
}

/// How opaque tokens are looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introspection {
    /// Where; `None`: where the provider's discovery document says.
    pub url: Option<FetchUrl>,
    /// Client id and secret of the service there.
    pub client: (String, Secret),
    /// How long an answer counts at most.
    pub max_age: Duration,
    /// How many answers are kept.
    pub cache: u32,
}

impl Management {
    pub(crate) fn read(pointer: &str, file: &ManagementFile, check: &mut Check<'_>) -> Option<Self> {
        let kind = match file.kind {
            ManagementKindFile::Auth0 => ManagementKind::Auth0,
            ManagementKindFile::Keycloak => ManagementKind::Keycloak,
        };
        let written = if file.url.ends_with('/') { file.url.clone() } else { format!("{}/", file.url) };
        let url = check.ok(read_fetch_url(&push(pointer, "url"), &written));
        let token_url = match &file.token_url {
            Some(url) => Some(check.ok(read_fetch_url(&push(pointer, "token_url"), url))?),
            None => None,
        };
        let methods_at = push(pointer, "methods");
        let methods = check.list(&methods_at, file.methods.as_deref(), &["GET"]);
        for (position, method) in methods.iter().enumerate().filter(|(_, method)| !METHODS.contains(&method.as_str())) {
            let fault =
                Fault::new(push(&methods_at, &position.to_string()), format!("{} is no method", quoted(method)));
            check.fault(fault.hint(format!("one of {}", METHODS.map(|name| format!("`{name}`")).join(", "))));
        }
        let paths_at = push(pointer, "paths");
        let mut paths = Vec::new();
        for (position, text) in file.paths.iter().enumerate() {
            match PathPattern::parse(text) {
                Ok(pattern) => paths.push(pattern),
                Err(error) => {
                    let fault =
                        Fault::new(push(&paths_at, &position.to_string()), format!("{}: {error}", quoted(text)));
                    check.fault(fault.hint("a path below `url`, such as `/users/**` or `/users/{id}/roles`"));
                }
            }
        }
        let client_id = check.text(&push(pointer, "client_id"), &file.client_id);
        if file.client_secret.is_none() && file.client_secret_file.is_none() {
            let fault = Fault::new(pointer, "`client_secret` is missing: the service could get no token");
            check.fault(fault.hint("add `client_secret: ${…}` or `client_secret_file`"));
        }
        let secret =
            check.secret(pointer, "client_secret", file.client_secret.as_deref(), file.client_secret_file.as_deref());
        let audience = file.audience.clone().or_else(|| (kind == ManagementKind::Auth0).then(|| written.clone()));
        Some(Self {
            kind,
            url: url?,
            token_url,
            client_id,
            client_secret: secret?.0,
            audience,
            scopes: file.scopes.clone(),
            methods,
            paths,
            groups: file.groups,
        })
    }
}

impl Introspection {
    /// `login` is the client that browsers sign in with, where it has a secret.
    pub(crate) fn read(
        pointer: &str,
        file: &IntrospectionFile,
        login: Option<(&str, &Secret)>,
        check: &mut Check<'_>,
    ) -> Option<Self> {
        let IntrospectionFile { url, client_id, client_secret, client_secret_file, max_age, cache } = file;
        let url = match url {
            Some(url) => Some(check.ok(read_fetch_url(&push(pointer, "url"), url))?),
            None => None,
        };
        let max_age = check.duration(
            &push(pointer, "max_age"),
            max_age.as_ref(),
            Duration::from_secs(60),
            Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60),
        );
        let secret = check.secret(pointer, "client_secret", client_secret.as_deref(), client_secret_file.as_deref());
        let client = match (client_id, secret, login) {
            (Some(id), Some((secret, _)), _) => (check.text(&push(pointer, "client_id"), id), secret),
            (None, None, Some((id, secret))) => (id.to_owned(), secret.clone()),
            (Some(_), None, _) | (None, Some(_), _) | (None, None, None) => {
                let fault = Fault::new(pointer, "`introspection` needs a client id and its secret");
                check.fault(fault.hint("add both `client_id` and `client_secret: ${…}`"));
                return None;
            }
        };
        Some(Self { url, client, max_age, cache: cache.unwrap_or(10_000) })
    }
}
