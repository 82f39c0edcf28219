//! Against a real server on a port of the system's choice.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, Uri};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{JwksSettings, JwksWorld, ProviderKeys, RefreshObserver, UNKNOWN_KID_WAIT};
use crate::backend::http_client::HttpClient;
use crate::backend::jwks_source::{JwksSource, RefreshResult};
use crate::backend::system::{SystemClock, SystemRandom};
use crate::token::test_keys::{ed_jwk, jwks, keys};
use crate::token::{Freshness, KeySource as _};
use crate::types::{Clock, FetchUrl, Monotonic, ProviderId, UnixTime};

type Answer = Box<dyn Fn(&Uri) -> Response<Body> + Send>;

/// A provider that answers what the test last said and counts what it is asked.
struct Provider {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    answer: Mutex<Answer>,
    slow: AtomicBool,
    asked: AtomicUsize,
}

async fn serve(State(shared): State<Arc<Shared>>, uri: Uri) -> Response<Body> {
    shared.asked.fetch_add(1, Ordering::SeqCst);
    if shared.slow.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    (shared.answer.lock().unwrap())(&uri)
}

impl Provider {
    async fn start(body: String) -> Self {
        let shared =
            Arc::new(Shared { answer: Mutex::new(ok(body)), slow: AtomicBool::new(false), asked: AtomicUsize::new(0) });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(serve).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shared, server }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn answers(&self, answer: Answer) {
        *self.shared.answer.lock().unwrap() = answer;
    }

    fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn ok(body: String) -> Answer {
    Box::new(move |_| Response::new(Body::from(body.clone())))
}

#[derive(Default)]
struct Results(Mutex<Vec<RefreshResult>>);

impl RefreshObserver for Results {
    fn refreshed(&self, _: &ProviderId, result: RefreshResult) {
        self.0.lock().unwrap().push(result);
    }
}

/// The real clocks, some time later.
struct LaterClock(SystemClock, Mutex<Duration>);

impl Clock for LaterClock {
    fn now(&self) -> UnixTime {
        self.0.now().plus(*self.1.lock().unwrap())
    }

    fn monotonic(&self) -> Monotonic {
        self.0.monotonic().plus(*self.1.lock().unwrap())
    }
}

struct Running {
    keys: Arc<ProviderKeys>,
    results: Arc<Results>,
    clock: Arc<LaterClock>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

fn main_id() -> ProviderId {
    ProviderId::new("main")
}

fn settings(source: JwksSource) -> JwksSettings {
    JwksSettings {
        provider: main_id(),
        issuer: Arc::from("https://idp.example.com/"),
        source,
        refresh: Duration::from_secs(600),
        max_stale: Duration::from_secs(3600),
        cache_dir: None,
    }
}

fn at(url: &str) -> JwksSource {
    JwksSource::Url(FetchUrl::parse(url).unwrap())
}

fn start(settings: JwksSettings) -> Running {
    let results = Arc::new(Results::default());
    let clock = Arc::new(LaterClock(SystemClock::new(), Mutex::default()));
    let world = JwksWorld {
        client: HttpClient::new().unwrap(),
        clock: Arc::<LaterClock>::clone(&clock),
        random: Arc::new(SystemRandom),
        observer: Arc::<Results>::clone(&results),
    };
    let (keys, mut fetchers) = ProviderKeys::open(vec![settings], &world);
    let (stop, stopped) = oneshot::channel::<()>();
    let fetcher = fetchers.pop().unwrap();
    let task = tokio::spawn(fetcher.run(async {
        let _ = stopped.await;
    }));
    Running { keys, results, clock, stop, task }
}

impl Running {
    /// The result of the refresh number `count`.
    async fn result(&self, count: usize) -> RefreshResult {
        for _ in 0..800 {
            if let Some(result) = self.results.0.lock().unwrap().get(count - 1) {
                return *result;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("refresh {count} did not end");
    }

    fn usable(&self) -> Option<usize> {
        self.keys.key_set(&main_id()).map(|keys| keys.usable())
    }

    fn later(&self, by: Duration) {
        *self.clock.1.lock().unwrap() += by;
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }
}

/// How the first refresh ends when the provider answers so.
async fn first_result(answer: Answer) -> RefreshResult {
    let provider = Provider::start(String::new()).await;
    provider.answers(answer);
    let running = start(settings(at(&provider.url("/jwks"))));
    let result = running.result(1).await;
    assert_eq!(running.usable().is_some(), result == RefreshResult::Ok);
    assert_eq!(running.keys.all_loaded(), result == RefreshResult::Ok);
    assert_eq!(provider.asked(), 1);
    running.stop().await;
    result
}

fn with_status(status: u16, header: (&'static str, &'static str)) -> Answer {
    Box::new(move |_| {
        let answer = Response::builder().status(status).header(header.0, header.1);
        answer.body(Body::from(jwks().to_string())).unwrap()
    })
}

#[tokio::test]
async fn only_a_plain_good_answer_counts() {
    assert_eq!(first_result(ok(jwks().to_string())).await, RefreshResult::Ok);
    // J008
    for status in [301, 302, 303, 307, 308] {
        let redirect = with_status(status, ("location", "http://169.254.169.254/"));
        assert_eq!(first_result(redirect).await, RefreshResult::Redirect);
    }
    for status in [201, 204, 206, 404, 500, 503] {
        assert_eq!(first_result(with_status(status, ("x-a", "b"))).await, RefreshResult::HttpStatus, "{status}");
    }
    assert_eq!(first_result(with_status(200, ("content-encoding", "gzip"))).await, RefreshResult::Exchange);
    assert_eq!(first_result(with_status(200, ("content-encoding", "identity"))).await, RefreshResult::Ok);
    assert_eq!(first_result(ok(r#"{"keys":[]}"#.to_owned())).await, RefreshResult::Empty, "J001");
    assert_eq!(first_result(ok("{}".to_owned())).await, RefreshResult::Invalid, "J002");
    assert_eq!(first_result(ok("<html>".to_owned())).await, RefreshResult::Invalid);
}

#[tokio::test]
async fn ten_thousand_keys_are_sixty_four() {
    // J016
    let mut many = vec![json!({ "kty": "oct" }); 9_999];
    many.insert(0, ed_jwk(&keys().ed25519));
    assert_eq!(first_result(ok(json!({ "keys": many }).to_string())).await, RefreshResult::Ok);
}

#[tokio::test]
async fn a_huge_body_is_cut_off() {
    let whole = format!("{}{}", jwks(), " ".repeat(300 * 1024));
    assert_eq!(first_result(ok(whole)).await, RefreshResult::TooLarge);
    let endless: Answer = Box::new(|_| {
        let chunks = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 16 * 1024]));
        Response::new(Body::from_stream(chunks))
    });
    assert_eq!(first_result(endless).await, RefreshResult::TooLarge, "also without a length");
}

#[tokio::test]
async fn a_slow_body_is_given_up() {
    let drip: Answer = Box::new(|_| {
        let chunks = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            Some((Ok::<_, std::io::Error>(" "), ()))
        });
        Response::new(Body::from_stream(chunks))
    });
    let began = Instant::now();
    assert_eq!(first_result(drip).await, RefreshResult::Timeout);
    assert!(began.elapsed() < Duration::from_secs(7));
}

#[tokio::test]
async fn a_provider_that_is_down_is_asked_until_it_is_up() {
    let provider = Provider::start(jwks().to_string()).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = listener.local_addr().unwrap();
    drop(listener);
    let running = start(settings(at(&format!("http://{free}/jwks"))));
    assert_eq!(running.result(1).await, RefreshResult::Connect);
    assert_eq!(running.keys.ages().next().unwrap().1, Freshness::NeverLoaded);
    running.stop().await;

    provider.answers(with_status(503, ("retry-after", "1")));
    let running = start(settings(at(&provider.url("/jwks"))));
    assert_eq!(running.result(1).await, RefreshResult::HttpStatus);
    provider.answers(ok(jwks().to_string()));
    assert_eq!(running.result(2).await, RefreshResult::Ok, "a second later");
    assert_eq!(running.usable(), Some(5));
    running.stop().await;
}

#[tokio::test]
async fn an_empty_set_keeps_the_last_good_one_and_the_cooldown() {
    // J001, J021
    let provider = Provider::start(jwks().to_string()).await;
    let running = start(settings(at(&provider.url("/jwks"))));
    assert_eq!(running.result(1).await, RefreshResult::Ok);
    provider.answers(ok(r#"{"keys":[]}"#.to_owned()));
    assert!(running.keys.refresh_for_unknown_kid(&main_id()).await);
    assert_eq!(running.result(2).await, RefreshResult::Empty);
    assert_eq!(running.usable(), Some(5));
    for _ in 0..50 {
        assert!(
            !running.keys.refresh_for_unknown_kid(&main_id()).await,
            "in the cooldown there is nothing to wait for"
        );
    }
    assert_eq!(provider.asked(), 2);
    running.later(Duration::from_secs(30));
    assert!(running.keys.refresh_for_unknown_kid(&main_id()).await);
    assert_eq!(provider.asked(), 3);
    running.later(Duration::from_secs(3600));
    assert_eq!(running.usable(), None, "past max_stale nothing counts");
    assert_eq!(running.keys.ages().next().unwrap().1, Freshness::TooOld);
    assert!(!running.keys.refresh_for_unknown_kid(&ProviderId::new("other")).await);
    running.stop().await;
}

#[tokio::test]
async fn a_stampede_of_unknown_kids_is_one_fetch() {
    // J020
    let provider = Provider::start(jwks().to_string()).await;
    let running = start(settings(at(&provider.url("/jwks"))));
    assert_eq!(running.result(1).await, RefreshResult::Ok);
    provider.shared.slow.store(true, Ordering::SeqCst);
    provider.answers(ok(json!({ "keys": [ed_jwk(&keys().ed25519)] }).to_string()));
    let began = Instant::now();
    let waiting: Vec<_> = (0..200)
        .map(|_| {
            let keys = Arc::clone(&running.keys);
            tokio::spawn(async move { keys.refresh_for_unknown_kid(&main_id()).await })
        })
        .collect();
    for waiter in waiting {
        assert!(waiter.await.unwrap(), "all wait for the one fetch");
    }
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(provider.asked(), 2);
    assert_eq!(running.usable(), Some(1), "and see what it brought");
    running.stop().await;
}

#[tokio::test]
async fn nobody_waits_long_for_a_slow_provider() {
    let provider = Provider::start(jwks().to_string()).await;
    let running = start(settings(at(&provider.url("/jwks"))));
    assert_eq!(running.result(1).await, RefreshResult::Ok);
    provider.answers(Box::new(|_| {
        Response::new(Body::from_stream(futures_util::stream::pending::<Result<&str, std::io::Error>>()))
    }));
    let began = Instant::now();
    assert!(!running.keys.refresh_for_unknown_kid(&main_id()).await);
    let waited = began.elapsed();
    assert!(waited >= UNKNOWN_KID_WAIT - Duration::from_millis(10) && waited < Duration::from_secs(2), "{waited:?}");
    assert_eq!(running.usable(), Some(5));
    running.stop().await;
}

fn discovery(provider: &Provider, issuer: String, jwks_uri: String) -> JwksSource {
    provider.answers(Box::new(move |uri| {
        let discovery = json!({ "issuer": issuer, "jwks_uri": jwks_uri });
        let found = uri.path() == "/realm/.well-known/openid-configuration";
        Response::new(Body::from(if found { discovery.to_string() } else { jwks().to_string() }))
    }));
    let issuer = provider.url("/realm");
    let url = FetchUrl::parse(&format!("{issuer}/.well-known/openid-configuration")).unwrap();
    JwksSource::Discovery { issuer: Arc::from(issuer), url }
}

#[tokio::test]
async fn discovery_is_believed_for_its_own_issuer_and_host() {
    let provider = Provider::start(String::new()).await;
    let issuer = provider.url("/realm");
    let cases = [
        (issuer.clone(), provider.url("/keys"), RefreshResult::Ok),
        (format!("{issuer}/"), provider.url("/keys"), RefreshResult::IssuerMismatch), // J010
        (issuer.to_uppercase(), provider.url("/keys"), RefreshResult::IssuerMismatch),
        (issuer.clone(), "http://idp.example.com/keys".to_owned(), RefreshResult::Discovery), // J009
        (issuer.clone(), "https://idp.example.com/keys".to_owned(), RefreshResult::Discovery),
        (issuer.clone(), "file:///etc/passwd".to_owned(), RefreshResult::Discovery),
        (issuer.clone(), "/keys".to_owned(), RefreshResult::Discovery),
    ];
    for (named, jwks_uri, expected) in cases {
        let asked = provider.asked();
        let running = start(settings(discovery(&provider, named, jwks_uri.clone())));
        assert_eq!(running.result(1).await, expected, "{jwks_uri}");
        assert_eq!(provider.asked() - asked, if expected == RefreshResult::Ok { 2 } else { 1 });
        running.stop().await;
    }
}

#[tokio::test]
async fn a_file_is_read_again_at_each_refresh() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jwks.json");
    let mut quick = settings(JwksSource::File(file.clone()));
    quick.refresh = Duration::from_millis(50);
    let running = start(quick);
    assert_eq!(running.result(1).await, RefreshResult::File, "a file that is not there is a failure");
    std::fs::write(&file, jwks().to_string()).unwrap();
    assert_eq!(running.result(2).await, RefreshResult::Ok);
    assert_eq!(running.usable(), Some(5));
    std::fs::write(&file, json!({ "keys": [ed_jwk(&keys().ed25519)] }).to_string()).unwrap();
    assert_eq!(running.result(4).await, RefreshResult::Ok);
    assert_eq!(running.usable(), Some(1), "J023: a withdrawn key is gone");
    running.stop().await;
}

#[tokio::test]
async fn a_restart_during_an_outage_serves_from_the_copy() {
    let directory = tempfile::tempdir().unwrap();
    let provider = Provider::start(jwks().to_string()).await;
    let mut kept = settings(at(&provider.url("/jwks")));
    kept.cache_dir = Some(directory.path().to_owned());
    let first = start(kept.clone());
    assert_eq!(first.result(1).await, RefreshResult::Ok);
    for _ in 0..200 {
        if std::fs::read_dir(directory.path())
            .unwrap()
            .any(|file| file.unwrap().path().extension().is_some_and(|end| end == "json"))
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    first.stop().await;

    provider.answers(with_status(503, ("x-a", "b")));
    let second = start(kept);
    assert_eq!(second.usable(), Some(5), "before anything is fetched");
    assert_eq!(second.result(1).await, RefreshResult::HttpStatus);
    assert_eq!(second.usable(), Some(5));
    second.later(Duration::from_secs(3601));
    assert_eq!(second.usable(), None, "a copy ages on");
    second.stop().await;
}

#[tokio::test]
async fn a_panic_in_a_fetch_is_a_failure_like_any_other() {
    // E09: the isolation itself, for no input is known to make the fetch panic.
    let isolated = super::isolate::<()>(async { panic!("in a test") }).await;
    assert_eq!(isolated.unwrap_err().result(), RefreshResult::Panic);
}
