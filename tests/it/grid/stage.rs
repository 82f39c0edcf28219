//! What runs behind the tests of the grid: one provider, one service, echo
//! upstreams and a real chat, and all six proxies in front of them.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use tiergate_testbed::provider::{WEB_CLIENT, WEB_CLIENT_SECRET};
use tiergate_testbed::raw_http::raw_request_within;
use tiergate_testbed::{
    App, Backends, Gateway, Process, Provider, RawResponse, Received, RunningGateway, Tiergate, TiergateBuilder,
    TokenSpec, Upstream, WebSocketAnswer, free_port, request, websocket,
};

pub(super) const BINARY: &str = env!("CARGO_BIN_EXE_tiergate");

/// The tiers of every stage.
pub(super) const TIERS: &str = r#"
tiers:
  public: { grant: anyone }
  stable: { grant: authenticated }
  ea:     { grant: { scopes: ["access:ea"] },    includes: [stable] }
  devel:  { grant: { scopes: ["access:devel"] }, includes: [ea] }
  admin:  { grant: { scopes: ["access:admin"] }, includes: [devel] }
"#;

/// The policy of the shared stage. Its log says everything it can, for the
/// tests that look for secrets in it.
const RULES: &str = r#"
assertion: { audience: upstreams, lifetime: 60s }
log: { level: trace }
rules:
  - { path: "/apps/{tier}/**", tier: "{tier}" }
  - { path: /public/**, tier: public }
  - { path: /apps/devel/chat/**, tier: devel, token_from: [header, query, websocket_protocol] }
  - { path: /apps/devel/hazard/live/**, tier: devel, token_from: [header, query, websocket_protocol] }
"#;

/// Where browsers come to, as every config of the grid says. No proxy listens
/// there: a test that follows a redirect says through which one.
pub(super) const PUBLIC_URL: &str = "http://localhost:8080";

/// A config that trusts the provider, up to its rules.
pub(super) fn config(provider: &Provider, rest: &str) -> String {
    config_with(provider, "", rest)
}

/// The same, and browsers can sign in.
pub(super) fn config_with_login(provider: &Provider, rest: &str) -> String {
    let login = format!(
        ", login: {{ client_id: {WEB_CLIENT}, client_secret: {WEB_CLIENT_SECRET}, scopes: [openid, profile, email, offline_access], \
         extra_params: {{ audience: \"{}\" }} }}",
        provider.audience()
    );
    config_with(provider, &login, &format!("sessions: {{ store: memory, secrets: [{SEAL}] }}\n{rest}"))
}

/// What sessions are sealed by.
pub(super) const SEAL: &str = "a-secret-that-seals-the-sessions-of-the-grid";

fn config_with(provider: &Provider, login: &str, rest: &str) -> String {
    format!(
        "public_url: {PUBLIC_URL}\n\
         trusted_proxies: [127.0.0.1/32]\n\
         identity_providers:\n  \
           - {{ id: main, issuer: \"{}\", audience: [\"{}\"], token_types: [at+jwt]{login} }}\n{TIERS}{rest}",
        provider.issuer(),
        provider.audience(),
    )
}

/// An upstream by the name that tests call it.
pub(super) struct Place {
    pub(super) name: &'static str,
    upstream: Upstream,
}

/// A request that an upstream received.
#[derive(Debug)]
pub(super) struct Landed {
    pub(super) place: &'static str,
    pub(super) received: Received,
}

/// What became of a request.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) answer: RawResponse,
    /// Every request that reached an upstream meanwhile.
    pub(super) landed: Vec<Landed>,
}

/// What every proxy answered to the same request.
pub(super) struct AskedAll {
    pub(super) answers: Vec<(Gateway, Result<RawResponse>)>,
    pub(super) landed: Vec<Landed>,
}

/// What became of a WebSocket handshake.
#[derive(Debug)]
pub(super) struct Upgraded {
    pub(super) answer: WebSocketAnswer,
    pub(super) landed: Vec<Landed>,
}

/// Everything that runs; the order of the fields is the order of their ends.
pub(super) struct Stage {
    gateways: Vec<RunningGateway>,
    pub(super) tiergate: Tiergate,
    chat: Option<Process>,
    places: Vec<Place>,
    pub(super) provider: Provider,
    minted: Mutex<Vec<String>>,
    turn: Mutex<()>,
}

impl Stage {
    /// A stage with this provider and service. The chat is a real application, or one more echo.
    pub(super) fn start(provider: Provider, tiergate: &TiergateBuilder, with_chat: bool) -> Result<Self> {
        let mut places = Vec::new();
        for name in ["site", "maps", "reports", "hazard", "chat"] {
            places.push(Place { name, upstream: Upstream::start()? });
        }
        let mut ports = places.iter().map(|place| place.upstream.port()).collect::<Vec<_>>();
        let chat_port = if with_chat { Some(free_port()?) } else { None };
        if let Some(port) = chat_port {
            ports[4] = port;
        }
        let (tiergate, chat) = std::thread::scope(|scope| {
            let chat = chat_port.map(|port| scope.spawn(move || App::Chat.start_on(port)));
            let tiergate = tiergate.start();
            (tiergate, chat.map(|started| started.join().expect("the start of the chat panicked")))
        });
        let (tiergate, chat) = (tiergate?, chat.transpose()?);
        let backends =
            Backends { tiergate: tiergate.ports(), site: ports[0], apps: [ports[1], ports[2], ports[3], ports[4]] };
        let gateways = std::thread::scope(|scope| {
            let backends = &backends;
            let starts = Gateway::ALL.map(|gateway| scope.spawn(move || gateway.start(backends)));
            starts.into_iter().map(|start| start.join().expect("the start of a proxy panicked")).collect::<Result<_>>()
        })?;
        let stage =
            Self { gateways, tiergate, chat, places, provider, minted: Mutex::default(), turn: Mutex::default() };
        // What readiness probes left behind.
        stage.take_landed();
        Ok(stage)
    }

    /// All six proxies.
    pub(super) fn gateways(&self) -> &[RunningGateway] {
        &self.gateways
    }

    /// One of them.
    pub(super) fn gateway(&self, kind: Gateway) -> &RunningGateway {
        self.gateways.iter().find(|gateway| gateway.kind() == kind).expect("all six run")
    }

    /// Mints a token and remembers that it is a secret.
    pub(super) fn mint(&self, spec: &TokenSpec) -> Result<String> {
        let token = self.provider.mint(spec)?;
        lock(&self.minted).push(token.clone());
        Ok(token)
    }

    /// Every token used so far.
    pub(super) fn minted(&self) -> Vec<String> {
        lock(&self.minted).clone()
    }

    /// Everything that the service and the proxies have written, by name.
    pub(super) fn logs(&self) -> Vec<(&'static str, String)> {
        let mut logs = vec![("tiergate", self.tiergate.log())];
        logs.extend(self.gateways.iter().map(|gateway| (gateway.kind().name(), gateway.process.log())));
        logs
    }

    /// Whether the chat is the real application.
    pub(super) fn has_chat(&self) -> bool {
        self.chat.is_some()
    }

    /// Asks a proxy. One request at a time goes through the stage, so whatever
    /// an upstream receives meanwhile comes from this one.
    pub(super) fn ask(
        &self,
        gateway: &RunningGateway,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<Asked> {
        let _turn = self.turn()?;
        let answer = request(gateway.address(), method, target, headers)
            .with_context(|| format!("{} did not answer {method} {target}", gateway.kind().name()))?;
        Ok(Asked { answer, landed: self.take_landed() })
    }

    /// Asks all proxies the same at once, within a limit each, and says what
    /// reached an upstream from any of them.
    pub(super) fn ask_all(&self, target: &str, headers: &[(&str, &str)], within: Duration) -> Result<AskedAll> {
        let _turn = self.turn()?;
        let mut head = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let answers = std::thread::scope(|scope| {
            let head = head.as_str();
            let asked: Vec<_> = self
                .gateways
                .iter()
                .map(|gateway| {
                    let address = gateway.address();
                    (gateway.kind(), scope.spawn(move || raw_request_within(address, head, within)))
                })
                .collect();
            asked.into_iter().map(|(kind, asked)| (kind, asked.join().expect("a request panicked"))).collect()
        });
        Ok(AskedAll { answers, landed: self.take_landed() })
    }

    /// Opens a WebSocket through a proxy, with the same promise as [`Stage::ask`].
    pub(super) fn upgrade(&self, gateway: &RunningGateway, target: &str, headers: &[(&str, &str)]) -> Result<Upgraded> {
        let _turn = self.turn()?;
        let answer = websocket(gateway.address(), target, headers)
            .with_context(|| format!("{} did not answer a WebSocket handshake", gateway.kind().name()))?;
        Ok(Upgraded { answer, landed: self.take_landed() })
    }

    fn turn(&self) -> Result<MutexGuard<'_, ()>> {
        let turn = lock(&self.turn);
        let stray = self.take_landed();
        ensure!(stray.is_empty(), "an upstream received what nobody asked for: {stray:?}");
        Ok(turn)
    }

    fn take_landed(&self) -> Vec<Landed> {
        let places = self.places.iter();
        places
            .flat_map(|place| {
                let received = place.upstream.take_received();
                received.into_iter().map(|received| Landed { place: place.name, received })
            })
            .collect()
    }
}

/// The stage that most tests share.
pub(super) fn shared() -> &'static Stage {
    static STAGE: OnceLock<Result<Stage, String>> = OnceLock::new();
    let stage = STAGE.get_or_init(|| {
        let start = || {
            let provider = Provider::start()?;
            let tiergate = Tiergate::builder(BINARY, &config(&provider, RULES));
            Stage::start(provider, &tiergate, true)
        };
        start().map_err(|error| format!("{error:#}"))
    });
    stage.as_ref().map_err(|error| anyhow!("the stage did not start: {error}")).unwrap()
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Polls until the condition holds, or says what was waited for.
pub(super) fn eventually(what: &str, within: Duration, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        sleep(Duration::from_millis(50));
    }
}
