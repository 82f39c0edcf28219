//! One provider, one service and one gateway, on one public origin.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;
use tiergate_testbed::provider::{DEFAULT_AUDIENCE, WEB_CLIENT, WEB_CLIENT_SECRET};
use tiergate_testbed::{
    App, Backends, Gateway, Glewlwyd, OidcProvider, Process, Provider, RawResponse, RunningGateway, Tiergate, Upstream,
    UserAgent, Visit, free_port, glewlwyd,
};

const BINARY: &str = env!("CARGO_BIN_EXE_tiergate");
pub(super) const SESSION: &str = "__Host-tiergate-session";

const POLICY: &str = r#"
sessions: { store: memory }
log: { level: debug }
tiers:
  public: { grant: anyone }
  stable: { grant: authenticated }
  ea:     { grant: { scopes: ["access:ea"] },    includes: [stable] }
  devel:  { grant: { scopes: ["access:devel"] }, includes: [ea] }
  admin:  { grant: { scopes: ["access:admin"] }, includes: [devel] }
rules:
  - { path: "/apps/{tier}/**", tier: "{tier}" }
  - { path: /public/**, tier: public }
"#;

/// A kind of provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Development,
    OidcProvider,
    Glewlwyd,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Development, Self::OidcProvider, Self::Glewlwyd];
}

/// A running provider.
pub(super) enum At {
    Development(Provider),
    OidcProvider(OidcProvider),
    Glewlwyd(Glewlwyd),
}

impl At {
    fn start(kind: Kind, origin: &str, access_seconds: u32) -> Result<Self> {
        Ok(match kind {
            Kind::Development => {
                let provider = Provider::start()?;
                provider.set_access_lifetime(access_seconds.into());
                provider.set_backchannel_logout(&format!("{origin}/_auth/backchannel-logout"));
                Self::Development(provider)
            }
            Kind::OidcProvider => {
                Self::OidcProvider(OidcProvider::builder(&[origin]).access_seconds(access_seconds).start()?)
            }
            Kind::Glewlwyd => Self::Glewlwyd(Glewlwyd::start(origin, access_seconds)?),
        })
    }

    /// Issuer, audience, and what a client has to send to get an access token for that audience.
    fn settings(&self) -> (String, &'static str, &'static str) {
        match self {
            Self::Development(provider) => (provider.issuer().to_owned(), DEFAULT_AUDIENCE, "{}"),
            // It gives refresh tokens only with consent asked for.
            Self::OidcProvider(provider) => {
                (provider.issuer(), DEFAULT_AUDIENCE, "{ prompt: consent, resource: \"http://seistech.nz/api\" }")
            }
            Self::Glewlwyd(provider) => {
                (provider.issuer(), glewlwyd::AUDIENCE, "{ resource: \"https://seistech.nz/api\" }")
            }
        }
    }

    /// Signs in on the provider's page and follows every redirect.
    pub(super) fn sign_in(&self, agent: &mut UserAgent, page: &Visit, account: &str) -> Result<Visit> {
        match self {
            Self::Development(_) | Self::OidcProvider(_) => {
                ensure!(page.url().starts_with("http://127.0.0.1:"), "not at the provider: {}", page.trail());
                agent.submit(page, &[("account", account)])
            }
            Self::Glewlwyd(provider) => provider.sign_in(agent, page, account),
        }
    }

    /// Changes what an account may do; `false` where the provider keeps what was granted.
    pub(super) fn set_scopes(&self, account: &str, scopes: &[&str]) -> Result<bool> {
        match self {
            Self::Development(provider) => provider.set_scopes(account, scopes).map(|()| true),
            Self::OidcProvider(provider) => provider.set_scopes(account, scopes).map(|()| true),
            Self::Glewlwyd(_) => Ok(false),
        }
    }

    /// Ends an account's sessions by back-channel; what the service answered.
    pub(super) fn log_out(&self, account: &str) -> Result<Vec<u16>> {
        match self {
            Self::Development(provider) => provider.log_out(account),
            Self::OidcProvider(provider) => provider.log_out(account),
            Self::Glewlwyd(_) => bail!("only its own page can tell glewlwyd to"),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Development(_) => Kind::Development,
            Self::OidcProvider(_) => Kind::OidcProvider,
            Self::Glewlwyd(_) => Kind::Glewlwyd,
        }
    }

    /// Refresh requests that succeeded, and token requests that were refused; `None` where nobody counts.
    pub(super) fn refreshes(&self) -> Result<Option<(usize, usize)>> {
        match self {
            Self::Development(provider) => Ok(Some(provider.refreshes())),
            Self::OidcProvider(provider) => provider.refreshes().map(Some),
            Self::Glewlwyd(_) => Ok(None),
        }
    }
}

/// What runs; the order of the fields is the order of their ends.
pub(super) struct Stage {
    pub(super) name: String,
    pub(super) gateway: RunningGateway,
    pub(super) tiergate: Tiergate,
    _chat: Option<Process>,
    _site: Upstream,
    pub(super) provider: At,
    /// `http://localhost:PORT`
    pub(super) origin: String,
    turn: Mutex<()>,
}

impl Stage {
    pub(super) fn start(kind: Kind, gateway: Gateway, access_seconds: u32, with_chat: bool) -> Result<Self> {
        let name = format!("{kind:?} behind {}", gateway.name());
        let port = free_port()?;
        let origin = format!("http://localhost:{port}");
        let started = || {
            let provider = At::start(kind, &origin, access_seconds)?;
            let site = Upstream::start()?;
            let chat_port = if with_chat { Some(free_port()?) } else { None };
            let chat = chat_port.map(|port| App::Chat.start_on(port)).transpose()?;
            let tiergate = Tiergate::start(BINARY, &config(&provider, &origin))?;
            let mut backends = Backends::echo(&tiergate, &site);
            if let Some(port) = chat_port {
                backends.apps[3] = port;
            }
            let gateway = gateway.start_on(port, &backends)?;
            site.take_received();
            Ok::<_, anyhow::Error>((gateway, tiergate, chat, site, provider))
        };
        let (gateway, tiergate, chat, site, provider) = started().with_context(|| name.clone())?;
        Ok(Self { name, gateway, tiergate, _chat: chat, _site: site, provider, origin, turn: Mutex::default() })
    }

    /// glewlwyd with SQLite answers 500 to some of the requests that come at once: its tests go one after the other.
    fn take_turns(&self, check: &(impl Fn(&Self) -> Result<()> + Sync)) -> Result<()> {
        let alone = matches!(self.provider, At::Glewlwyd(_));
        let _turn = alone.then(|| self.turn.lock().unwrap_or_else(PoisonError::into_inner));
        check(self)
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// Opens a page as nobody and signs in; where that led.
    pub(super) fn sign_in(&self, agent: &mut UserAgent, path: &str, account: &str) -> Result<Visit> {
        let page = agent.open(&self.url(path))?;
        self.provider.sign_in(agent, &page, account)
    }

    /// A browser that is signed in.
    pub(super) fn signed_in(&self, account: &str) -> Result<UserAgent> {
        let mut agent = UserAgent::new();
        let visit = self.sign_in(&mut agent, "/apps/stable/maps/start", account)?;
        ensure!(visit.status() == 200, "{account} is not signed in: {}", visit.told());
        Ok(agent)
    }

    /// `GET /_auth/me` by a script.
    pub(super) fn me(&self, agent: &mut UserAgent) -> Result<(u16, Value)> {
        let answer = agent.fetch("GET", &self.url("/_auth/me"), &[])?;
        let json = answer.json()?;
        Ok((answer.status, json))
    }

    /// A script's GET.
    pub(super) fn fetch(&self, agent: &mut UserAgent, path: &str) -> Result<RawResponse> {
        agent.fetch("GET", &self.url(path), &[])
    }

    /// The id in a browser's session cookie.
    pub(super) fn session(agent: &UserAgent) -> Result<String> {
        agent.cookie(SESSION).map(|cookie| cookie.value.clone()).context("there is no session cookie")
    }

    /// A script's GET with a session cookie of this value and nothing else.
    pub(super) fn status_with(&self, session: &str, path: &str) -> Result<u16> {
        let mut agent = UserAgent::new();
        agent.set_cookie("localhost", SESSION, session);
        Ok(self.fetch(&mut agent, path)?.status)
    }
}

fn config(provider: &At, origin: &str) -> String {
    let (issuer, audience, extra) = provider.settings();
    format!(
        "public_url: {origin}\n\
         trusted_proxies: [127.0.0.1/32]\n\
         identity_providers:\n  \
           - id: main\n    issuer: \"{issuer}\"\n    audience: [\"{audience}\"]\n    token_types: [at+jwt]\n    \
           login:\n      client_id: {WEB_CLIENT}\n      client_secret: {WEB_CLIENT_SECRET}\n      \
           scopes: [openid, profile, email, offline_access, \"access:ea\", \"access:devel\", \"access:admin\"]\n      \
           extra_params: {extra}\n{POLICY}"
    )
}

/// Every provider behind both gateways, started once.
fn shared() -> &'static [Stage] {
    static STAGES: OnceLock<Result<Vec<Stage>, String>> = OnceLock::new();
    let stages = STAGES.get_or_init(|| {
        let all = Kind::ALL.into_iter().flat_map(|kind| [(kind, Gateway::EnvoyGrpc), (kind, Gateway::Nginx)]);
        let started: Result<Vec<Stage>> = std::thread::scope(|scope| {
            let starts: Vec<_> =
                all.map(|(kind, gateway)| scope.spawn(move || Stage::start(kind, gateway, 3600, false))).collect();
            starts.into_iter().map(|start| start.join().expect("the start of a stage panicked")).collect()
        });
        started.map_err(|error| format!("{error:#}"))
    });
    stages.as_ref().map_err(|error| anyhow!("a stage did not start: {error}")).unwrap()
}

/// The same check at every provider behind both gateways; what failed where, at once.
pub(super) fn everywhere(check: impl Fn(&Stage) -> Result<()> + Sync) {
    at(&Kind::ALL, check);
}

/// [`everywhere`], but at these providers only: the others have nothing to check.
pub(super) fn at(kinds: &[Kind], check: impl Fn(&Stage) -> Result<()> + Sync) {
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let check = &check;
        let stages = shared().iter().filter(|stage| kinds.contains(&stage.provider.kind()));
        let each = stages.map(|stage| (&stage.name, scope.spawn(move || stage.take_turns(check))));
        let started: Vec<_> = each.collect();
        let ended = started.into_iter().map(|(name, thread)| (name, thread.join().expect("a check panicked")));
        ended.filter_map(|(name, result)| Some(format!("{name}: {:#}", result.err()?))).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// One of the shared stages.
pub(super) fn one(kind: Kind, gateway: Gateway) -> &'static Stage {
    let name = format!("{kind:?} behind {}", gateway.name());
    shared().iter().find(|stage| stage.name == name).expect("all combinations run")
}

/// Polls until the condition holds, or says what was waited for.
pub(super) fn eventually(what: &str, within: Duration, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + within;
    while !holds()? {
        ensure!(Instant::now() < deadline, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
