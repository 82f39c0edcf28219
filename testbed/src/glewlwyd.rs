//! Debian's glewlwyd, an OpenID provider in C with SQLite: the second one that
//! is not ours. Everybody's password is [`PASSWORD`].
//!
//! It takes a resource only as `https://`, so its access tokens have an
//! audience of their own, [`AUDIENCE`].

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RsaKeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::component::{Component, Process, Ready, retry_taken_port};
use crate::provider::{Account, WEB_CLIENT, WEB_CLIENT_SECRET, pem};
use crate::{UserAgent, Visit, free_port, guard, tool};

/// The password of every account.
pub const PASSWORD: &str = "development";
/// The audience of its access tokens.
pub const AUDIENCE: &str = "https://seistech.nz/api";

/// What Debian's package brings to make its tables.
const SCHEMA: &str = "/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3";
/// The administrator that the schema makes.
const ADMINISTRATOR: (&str, &str) = ("admin", "password");
const SCOPES: [&str; 6] = ["profile", "email", "offline_access", "access:ea", "access:devel", "access:admin"];

/// A running one.
#[derive(Debug)]
pub struct Glewlwyd {
    /// The process, to stop, pause or restart.
    pub process: Process,
    base: String,
    _dir: TempDir,
}

impl Glewlwyd {
    /// Starts one whose client comes back to `public_url` + `/_auth/callback/main`, with access tokens that live so long.
    pub fn start(public_url: &str, access_seconds: u32) -> Result<Self> {
        retry_taken_port(|| Self::start_on(free_port()?, public_url, access_seconds))
    }

    fn start_on(port: u16, public_url: &str, access_seconds: u32) -> Result<Self> {
        let dir = guard::scratch_dir("glewlwyd-config")?;
        let database = dir.path().join("glewlwyd.db");
        let (status, said) = Component::new("sqlite3", tool("sqlite3")?)
            .arg(&database)
            .arg(format!(".read {SCHEMA}"))
            .within(Duration::from_secs(20))
            .run()?;
        ensure!(status.success(), "cannot make the tables of glewlwyd: {said}");
        let base = format!("http://127.0.0.1:{port}");
        let config = dir.path().join("glewlwyd.conf");
        std::fs::write(&config, configuration(port, &base, &database.display().to_string()))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let process = Component::new("glewlwyd", tool("glewlwyd")?)
            .arg(format!("--config-file={}", config.display()))
            .ready(Ready::Http(address, "/config".to_owned(), 200))
            .start()?;
        let started = Self { process, base, _dir: dir };
        started.set_up(public_url, access_seconds)?;
        Ok(started)
    }

    /// The issuer.
    pub fn issuer(&self) -> String {
        format!("{}/api/oidc", self.base)
    }

    /// Signs in with an account where a visit was sent to the sign-in page, and follows on.
    pub fn sign_in(&self, agent: &mut UserAgent, visit: &Visit, account: &str) -> Result<Visit> {
        ensure!(visit.url().starts_with(&format!("{}/login.html?", self.base)), "{}", visit.trail());
        let asked = visit.step("/api/oidc/auth?")?.url.clone();
        self.authenticate(agent, account, password_of(account))?;
        agent.open(&format!("{asked}&g_continue"))
    }

    fn set_up(&self, public_url: &str, access_seconds: u32) -> Result<()> {
        let mut admin = UserAgent::new();
        self.authenticate(&mut admin, ADMINISTRATOR.0, ADMINISTRATOR.1)?;
        self.call(&mut admin, "POST", "/api/mod/plugin/", &plugin(&self.issuer(), access_seconds)?)?;
        for scope in SCOPES {
            let scope = json!({"name": scope, "display_name": scope, "password_required": false, "scheme": {}});
            self.call(&mut admin, "POST", "/api/scope/", &scope)?;
        }
        self.call(&mut admin, "POST", "/api/client/", &client(public_url))?;
        for account in Account::ALL {
            let mut scopes = vec!["openid", "g_profile", "profile", "email", "offline_access"];
            scopes.extend(account.scopes);
            let is_administrator = account.name == ADMINISTRATOR.0;
            if is_administrator {
                scopes.push("g_admin");
            }
            let user = json!({
                "username": account.name, "name": account.display_name, "email": account.email(),
                "enabled": true, "scope": scopes, "password": password_of(account.name),
            });
            if is_administrator {
                self.call(&mut admin, "PUT", &format!("/api/user/{}", account.name), &user)?;
            } else {
                self.call(&mut admin, "POST", "/api/user/", &user)?;
            }
            // Everybody has agreed to everything: the sign-in page asks for a password and nothing more.
            let mut person = UserAgent::new();
            self.authenticate(&mut person, account.name, password_of(account.name))?;
            scopes.retain(|scope| !scope.starts_with("g_"));
            let granted = json!({ "scope": scopes.join(" ") });
            self.call(&mut person, "PUT", &format!("/api/auth/grant/{WEB_CLIENT}"), &granted)?;
        }
        Ok(())
    }

    fn authenticate(&self, agent: &mut UserAgent, name: &str, password: &str) -> Result<()> {
        self.call(agent, "POST", "/api/auth", &json!({"username": name, "password": password}))
    }

    fn call(&self, agent: &mut UserAgent, method: &'static str, path: &str, body: &Value) -> Result<()> {
        let answer = agent.send_json(method, &format!("{}{path}", self.base), body)?;
        match answer.status {
            200 => Ok(()),
            status => bail!("glewlwyd answered {status} to {method} {path}: {}", answer.text()),
        }
    }
}

fn password_of(account: &str) -> &'static str {
    if account == ADMINISTRATOR.0 { ADMINISTRATOR.1 } else { PASSWORD }
}

fn configuration(port: u16, base: &str, database: &str) -> String {
    let types =
        [("html", "text/html"), ("css", "text/css"), ("js", "application/javascript"), ("json", "application/json")];
    let types: Vec<String> =
        types.iter().map(|(end, kind)| format!("{{ extension = \".{end}\" mime_type = \"{kind}\" }}")).collect();
    format!(
        "port={port}\n\
         bind_address=\"127.0.0.1\"\n\
         external_url=\"{base}\"\n\
         login_url=\"login.html\"\n\
         api_prefix=\"api\"\n\
         static_files_path=\"/usr/share/glewlwyd/webapp/\"\n\
         log_mode=\"console\"\n\
         log_level=\"INFO\"\n\
         cookie_secure=0\n\
         session_key=\"GLEWLWYD2_SESSION_ID\"\n\
         admin_scope=\"g_admin\"\n\
         profile_scope=\"g_profile\"\n\
         user_module_path=\"/usr/lib/glewlwyd/user\"\n\
         client_module_path=\"/usr/lib/glewlwyd/client\"\n\
         user_auth_scheme_module_path=\"/usr/lib/glewlwyd/scheme\"\n\
         plugin_module_path=\"/usr/lib/glewlwyd/plugin\"\n\
         hash_algorithm = \"SHA512\"\n\
         database = {{ type = \"sqlite3\" path = \"{database}\" }};\n\
         static_files_mime_types = ( {} )\n",
        types.join(", ")
    )
}

fn plugin(issuer: &str, access_seconds: u32) -> Result<Value> {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| anyhow!("cannot generate a key"))?;
    let private: Pkcs8V1Der<'_> = key.as_der().map_err(|_| anyhow!("cannot write a key"))?;
    let public: PublicKeyX509Der<'_> = key.public_key().as_der().map_err(|_| anyhow!("cannot write a key"))?;
    let mut parameters = json!({
        "iss": issuer,
        "subject-type": "public",
        "jwt-type": "rsa",
        "jwt-key-size": "256",
        "key": pem("PRIVATE KEY", private.as_ref()),
        "cert": pem("PUBLIC KEY", public.as_ref()),
        "jwks-show": true,
        "access-token-duration": access_seconds,
        "refresh-token-duration": 86_400,
        "code-duration": 60,
        "refresh-token-rolling": true,
        "refresh-token-one-use": "always",
        "allow-non-oidc": false,
        "auth-type-code-enabled": true,
        "auth-type-code-revoke-replayed": true,
        "auth-type-refresh-enabled": true,
        "pkce-allowed": true,
        "pkce-required": true,
        "pkce-method-plain-allowed": false,
        "oauth-as-iss-id": true,
        "back-channel-logout-allowed": true,
        "session-management-allowed": true,
        "session-cookie-name": "GLEWLWYD2_OIDC_SESSION",
        "session-cookie-expiration": 86_400,
        "introspection-revocation-allowed": true,
        "introspection-revocation-allow-target-client": true,
        "name-claim": "mandatory",
        "email-claim": "mandatory",
        "scope-claim": "no",
        "resource-allowed": true,
        "resource-scope": {},
        "resource-client-property": "resource",
        "resource-scope-and-client-property": false,
    });
    let more = parameters.as_object_mut().context("parameters are an object")?;
    for off in ["token", "id-token", "implicit", "none", "password", "client", "device"] {
        more.insert(format!("auth-type-{off}-enabled"), false.into());
    }
    Ok(json!({
        "module": "oidc", "name": "oidc", "display_name": "OpenID", "order_rank": 0, "readonly": false, "enabled": true,
        "parameters": parameters,
    }))
}

fn client(public_url: &str) -> Value {
    json!({
        "client_id": WEB_CLIENT,
        "name": "Tiergate",
        "enabled": true,
        "confidential": true,
        "password": WEB_CLIENT_SECRET,
        "client_secret": WEB_CLIENT_SECRET,
        "scope": [],
        "redirect_uri": [format!("{public_url}/_auth/callback/main")],
        "authorization_type": ["code", "refresh_token"],
        "token_endpoint_auth_method": ["client_secret_basic", "client_secret_post"],
        "resource": [AUDIENCE],
        "post_logout_redirect_uri": format!("{public_url}/_auth/"),
        "backchannel_logout_uri": format!("{}/_auth/backchannel-logout", public_url.replace("localhost", "127.0.0.1")),
    })
}
