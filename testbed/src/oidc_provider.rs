//! npm `oidc-provider`, a certified OpenID provider that is not ours, with the
//! accounts of the development provider.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use crate::component::{Component, Process, Ready, retry_taken_port};
use crate::provider::{Account, DEFAULT_AUDIENCE, KEY_CLIENT, PUBLIC_CLIENT, WEB_CLIENT, WEB_CLIENT_SECRET};
use crate::raw_http::request_with_body;
use crate::{free_port, repo_root, tool};

/// How to start one.
#[derive(Debug, Clone)]
pub struct OidcProviderBuilder {
    public_urls: Vec<String>,
    callback_path: String,
    access_seconds: u32,
    client_key: Option<Value>,
}

/// The scopes at the audience; the service has to ask for them by name.
pub const RESOURCE_SCOPES: [&str; 3] = ["access:ea", "access:devel", "access:admin"];

impl OidcProviderBuilder {
    /// The path under each public URL that browsers come back to; `/_auth/callback/main` if nothing is said.
    pub fn callback_path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.callback_path);
        self
    }

    /// How long access tokens live; an hour if nothing is said.
    pub fn access_seconds(mut self, seconds: u32) -> Self {
        self.access_seconds = seconds;
        self
    }

    /// The public key (a JWK) of the client that authenticates by `private_key_jwt`.
    pub fn client_key(mut self, jwk: Value) -> Self {
        self.client_key = Some(jwk);
        self
    }

    /// Starts it.
    pub fn start(&self) -> Result<OidcProvider> {
        retry_taken_port(|| self.start_on(free_port()?))
    }

    fn start_on(&self, port: u16) -> Result<OidcProvider> {
        let mut accounts = Map::new();
        for account in Account::ALL {
            let Account { name, display_name, scopes, permissions } = account;
            let account = json!({"name": display_name, "scopes": scopes, "permissions": permissions});
            accounts.insert((*name).to_owned(), account);
        }
        let config = json!({
            "port": port,
            "audience": DEFAULT_AUDIENCE,
            "access_seconds": self.access_seconds,
            "clients": self.clients(),
            "accounts": accounts,
        });
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let process = Component::new("oidc-provider", tool("node")?)
            .arg(repo_root().join("testbed/apps/oidc-provider/server.mjs"))
            .arg(repo_root().join(".tools/npm"))
            .arg(config.to_string())
            .ready(Ready::LogText("ready".to_owned()))
            .ready(Ready::Http(address, "/.well-known/openid-configuration".to_owned(), 200))
            .start()?;
        Ok(OidcProvider { process, address })
    }

    fn clients(&self) -> Vec<Value> {
        let uris = |path: &str| self.public_urls.iter().map(|url| format!("{url}{path}")).collect::<Vec<_>>();
        let client = |id: &str, method: &str, more: Value| {
            let after = [uris("/"), uris("/_auth/"), uris("/_auth/signed-out")].concat();
            let mut client = Map::from_iter([
                ("client_id".to_owned(), json!(id)),
                ("token_endpoint_auth_method".to_owned(), json!(method)),
                ("redirect_uris".to_owned(), json!(uris(&self.callback_path))),
                ("post_logout_redirect_uris".to_owned(), json!(after)),
                ("grant_types".to_owned(), json!(["authorization_code", "refresh_token"])),
                ("response_types".to_owned(), json!(["code"])),
            ]);
            // One address for logout tokens: that of the first public URL.
            if let Some(uri) = uris("/_auth/backchannel-logout").first() {
                client.insert("backchannel_logout_uri".to_owned(), uri.replace("localhost", "127.0.0.1").into());
                client.insert("backchannel_logout_session_required".to_owned(), true.into());
            }
            client.extend(more.as_object().cloned().unwrap_or_default());
            client.into()
        };
        let mut clients = vec![
            client(WEB_CLIENT, "client_secret_basic", json!({ "client_secret": WEB_CLIENT_SECRET })),
            client(PUBLIC_CLIENT, "none", json!({})),
        ];
        if let Some(key) = &self.client_key {
            clients.push(client(KEY_CLIENT, "private_key_jwt", json!({ "jwks": { "keys": [key] } })));
        }
        clients
    }
}

/// A running one.
#[derive(Debug)]
pub struct OidcProvider {
    /// The process, to stop, pause or restart.
    pub process: Process,
    address: SocketAddr,
}

impl OidcProvider {
    /// One whose clients come back to these public URLs, such as `http://localhost:8080`.
    pub fn builder(public_urls: &[&str]) -> OidcProviderBuilder {
        OidcProviderBuilder {
            public_urls: public_urls.iter().map(|url| (*url).to_owned()).collect(),
            callback_path: "/_auth/callback/main".to_owned(),
            access_seconds: 3600,
            client_key: None,
        }
    }

    /// The issuer: `http://127.0.0.1:PORT`, without a slash at its end.
    pub fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// New signing keys; the old ones are still published where `keep` says so.
    pub fn rotate(&self, keep: bool) -> Result<()> {
        self.command("rotate", &json!({ "keep": keep })).map(drop)
    }

    /// What an account may do from its next token on.
    pub fn set_scopes(&self, account: &str, scopes: &[&str]) -> Result<()> {
        self.command("scopes", &json!({"account": account, "scopes": scopes})).map(drop)
    }

    /// An opaque access token of an account with these scopes at the audience, and a refresh token beside it.
    pub fn opaque_tokens(&self, account: &str, scopes: &[&str]) -> Result<(String, String)> {
        let answer = self.command("opaque", &json!({"account": account, "scopes": scopes}))?;
        let token = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned).context("no token");
        Ok((token("access_token")?, token("refresh_token")?))
    }

    /// Ends an account's sessions and tells the clients by back-channel; the statuses they answered.
    pub fn log_out(&self, account: &str) -> Result<Vec<u16>> {
        let answer = self.command("logout", &json!({ "account": account }))?;
        let statuses = answer.get("answers").and_then(Value::as_array).context("no answers")?;
        statuses.iter().map(|status| serde_json::from_value(status.clone()).context(status.to_string())).collect()
    }

    /// Refresh requests that were answered with tokens, and token requests of any kind that were refused.
    pub fn refreshes(&self) -> Result<(usize, usize)> {
        let counts = self.command("counts", &json!({}))?;
        let count = |name: &str| counts.get(name).and_then(Value::as_u64).and_then(|count| usize::try_from(count).ok());
        Ok((count("refresh_token").context("no count")?, count("refused").context("no count")?))
    }

    fn command(&self, name: &str, body: &Value) -> Result<Value> {
        let body = body.to_string();
        let headers = [("Content-Type", "application/json")];
        let answer = request_with_body(self.address, "POST", &format!("/-/{name}"), &headers, body.as_bytes())?;
        if answer.status != 200 {
            bail!("the command {name} failed: {}", answer.text());
        }
        answer.json()
    }
}
