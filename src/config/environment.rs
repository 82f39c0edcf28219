//! A whole config out of a handful of variables, for a service without a
//! config file: the same tree as if a file had been written.

use std::sync::Arc;

use super::fault::{Fault, quoted};
use super::interpolate::Variables;
use super::node::{Content, Entry, Node, Origin};
use super::url::HttpUrl;
use super::yaml;

const DOMAIN: &str = "AUTH0_DOMAIN";
const CLIENT_ID: &str = "AUTH0_CLIENT_ID";
const CLIENT_SECRET: &str = "AUTH0_CLIENT_SECRET";
const CALLBACK_URL: &str = "AUTH0_CALLBACK_URL";
const AUDIENCE: &str = "AUTH0_AUDIENCE";
const SECRET_KEY: &str = "SECRET_KEY";
const MYSQL: [&str; 4] = ["MYSQL_USERNAME", "MYSQL_PASSWORD", "MYSQL_IP", "MYSQL_DB"];

/// The tiers and rules of a service that nobody wrote any for.
const POLICY: &str = r#"
tiers:
  public: { grant: anyone }
  stable: { grant: authenticated }
  ea:     { grant: { scopes: ["access:ea"] },    includes: [stable] }
  devel:  { grant: { scopes: ["access:devel"] }, includes: [ea] }
  admin:  { grant: { scopes: ["access:admin"] }, includes: [devel], label: Almighty Admin }
rules:
  - { path: "/apps/{tier}/**", tier: "{tier}" }
"#;

/// Whether the variables alone make a config.
pub(crate) fn is_enough(variables: &Variables) -> bool {
    [DOMAIN, AUDIENCE].iter().any(|name| variables.contains_key(*name))
}

/// The config that the variables make.
pub(crate) fn tree(variables: &Variables, faults: &mut Vec<Fault>) -> Node {
    let known = Known { variables };
    let mut config = yaml::parse(POLICY, faults).map_or_else(|_| Node::empty(), |node| node.moved_to(&Origin::Implied));
    let domain = known.required(DOMAIN, "such as `tenant.eu.auth0.com`", faults);
    let audience =
        known.required(AUDIENCE, "the identifier of the API at Auth0, such as `https://api.example.com`", faults);
    let mut provider = vec![entry("id", text("auth0", &Origin::Implied))];
    if let Some(domain) = &domain {
        if domain.value.contains(['/', ':', '@']) {
            let fault =
                Fault::new("/identity_providers/0/issuer", format!("{} is not a host name", quoted(domain.value)));
            faults.push(fault.hint("write it without `https://` and `/`, such as `tenant.eu.auth0.com`"));
        }
        provider.push(entry("issuer", text(&format!("https://{}/", domain.value), &domain.origin)));
    }
    if let Some(audience) = &audience {
        provider.push(entry("audience", list(vec![audience.node()])));
    }
    if let Some(login) = login(&known, audience.as_ref(), &mut config, faults) {
        provider.push(entry("login", login));
    }
    if domain.is_some() && audience.is_some() {
        set(&mut config, "identity_providers", list(vec![map(provider)]));
    }
    if let Some(key) = known.optional(SECRET_KEY) {
        set(&mut config, "sessions", map(vec![entry("secrets", list(vec![key.node()]))]));
    }
    config
}

/// The login block, and the public URL that the callback URL tells.
fn login(known: &Known<'_>, audience: Option<&Value<'_>>, config: &mut Node, faults: &mut Vec<Fault>) -> Option<Node> {
    if [CLIENT_ID, CLIENT_SECRET, CALLBACK_URL].iter().all(|name| known.optional(name).is_none()) {
        return None;
    }
    let client_id = known.required(CLIENT_ID, "the login needs it", faults)?;
    let client_secret = known.required(CLIENT_SECRET, "the login needs it", faults)?;
    let callback = known.required(CALLBACK_URL, "such as `https://app.example.com/callback`", faults)?;
    let mut login = vec![
        entry("client_id", client_id.node()),
        entry("client_secret", client_secret.node()),
        entry("scopes", words(&["openid", "profile", "email", "offline_access"])),
    ];
    if let Some(audience) = audience {
        login.push(entry("extra_params", map(vec![entry("audience", audience.node())])));
    }
    match HttpUrl::read("", callback.value) {
        Ok(url) if !url.has_query => {
            set(config, "public_url", text(&url.origin(), &callback.origin));
            login.push(entry("callback_path", text(&url.path, &callback.origin)));
        }
        _ => {
            set(config, "public_url", callback.node());
            let fault = Fault::new("/public_url", format!("{} is not a callback URL", quoted(callback.value)));
            faults.push(fault.hint("such as `https://app.example.com/callback`"));
        }
    }
    Some(map(login))
}

/// Puts the user directory on the MySQL server of the variables, unless the
/// config names a directory itself.
pub(crate) fn directory(tree: &mut Node, variables: &Variables, faults: &mut Vec<Fault>) {
    let known = Known { variables };
    let set_here = MYSQL.iter().filter(|name| known.optional(name).is_some()).count();
    // Without a server, or in part beside a file, they are somebody else's.
    let alone = tree.origin == Origin::Implied;
    if tree.child("directory").is_some() || known.optional("MYSQL_IP").is_none() || (set_here < MYSQL.len() && !alone) {
        return;
    }
    let values: Vec<Value<'_>> =
        MYSQL.iter().filter_map(|name| known.required(name, "the user directory needs it", faults)).collect();
    let [user, password, server, database] = values.as_slice() else { return };
    let url = format!(
        "mysql://{}:{}@{}/{}",
        percent(user.value),
        percent(password.value),
        server.value,
        percent(database.value)
    );
    set(tree, "directory", map(vec![entry("url", text(&url, &server.origin))]));
}

/// Everything but unreserved characters as `%XX` (RFC 3986 section 2.3).
fn percent(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

struct Known<'a> {
    variables: &'a Variables,
}

struct Value<'a> {
    value: &'a str,
    origin: Origin,
}

impl<'a> Known<'a> {
    /// An empty variable counts as unset: that is what a container's
    /// environment makes of one.
    fn optional(&self, name: &str) -> Option<Value<'a>> {
        let value = self.variables.get(name).filter(|value| !value.is_empty())?;
        Some(Value { value, origin: Origin::Variable(Arc::from(name)) })
    }

    fn required(&self, name: &str, hint: &str, faults: &mut Vec<Fault>) -> Option<Value<'a>> {
        let value = self.optional(name);
        if value.is_none() {
            faults.push(Fault::of_variable(name, "it is not set").hint(hint));
        }
        value
    }
}

impl Value<'_> {
    fn node(&self) -> Node {
        text(self.value, &self.origin)
    }
}

fn text(value: &str, origin: &Origin) -> Node {
    Node::new(Content::Text(value.to_owned()), origin.clone())
}

fn words(words: &[&str]) -> Node {
    list(words.iter().map(|word| text(word, &Origin::Implied)).collect())
}

fn list(items: Vec<Node>) -> Node {
    Node::new(Content::List(items), Origin::Implied)
}

fn map(entries: Vec<Entry>) -> Node {
    Node::new(Content::Map(entries), Origin::Implied)
}

fn entry(key: &str, node: Node) -> Entry {
    Entry { key: key.to_owned(), key_origin: node.origin.clone(), node }
}

fn set(tree: &mut Node, key: &str, node: Node) {
    if let Content::Map(entries) = &mut tree.value {
        entries.push(entry(key, node));
    }
}
