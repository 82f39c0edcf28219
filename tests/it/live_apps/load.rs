//! Requests at a steady rate while something changes, each judged as it comes.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tiergate_testbed::{KeepAlive, RawResponse};

/// One kind of request, and what is right for it at any time.
#[derive(Clone)]
pub(super) struct Question {
    pub(super) path: String,
    pub(super) token: Option<String>,
    /// The statuses that are right, whatever is changing.
    pub(super) right: &'static [u16],
    /// The body that each 200 has to hold.
    pub(super) marker: &'static str,
}

impl Question {
    fn fault(&self, answer: &anyhow::Result<RawResponse>) -> Option<String> {
        match answer {
            Err(error) => Some(format!("{}: {error:#}", self.path)),
            Ok(answer) if !self.right.contains(&answer.status) => {
                Some(format!("{}: {} is none of {:?}", self.path, answer.status, self.right))
            }
            Ok(answer) if answer.status == 200 && !answer.text().contains(self.marker) => {
                Some(format!("{}: 200 from another app: {}", self.path, answer.text()))
            }
            Ok(_) => None,
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) requests: usize,
    pub(super) per_second: f64,
    pub(super) faults: Vec<String>,
}

/// Load that goes on until it is ended.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    requests: Arc<AtomicUsize>,
    faults: Arc<Mutex<Vec<String>>>,
    clients: Vec<JoinHandle<()>>,
    start: Instant,
}

impl Load {
    /// Asks all `questions` in turn, `per_second` requests a second over `clients` connections.
    pub(super) fn start(address: SocketAddr, questions: &[Question], clients: usize, per_second: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let requests = Arc::new(AtomicUsize::new(0));
        let faults = Arc::new(Mutex::new(Vec::new()));
        let pause = Duration::from_secs(1) * u32::try_from(clients).unwrap() / u32::try_from(per_second).unwrap();
        let start = Instant::now();
        let clients = (0..clients)
            .map(|client| {
                let (stop, requests, faults) = (Arc::clone(&stop), Arc::clone(&requests), Arc::clone(&faults));
                let questions = questions.to_vec();
                std::thread::spawn(move || {
                    let mut connection = KeepAlive::to(address);
                    let mut due = Instant::now();
                    for question in questions.iter().cycle().skip(client) {
                        if stop.load(Ordering::Relaxed) {
                            return;
                        }
                        let bearer = question.token.as_ref().map(|token| format!("Bearer {token}"));
                        let headers: Vec<(&str, &str)> =
                            bearer.as_deref().map(|bearer| ("Authorization", bearer)).into_iter().collect();
                        let answer = connection.get(&question.path, &headers);
                        requests.fetch_add(1, Ordering::Relaxed);
                        if let Some(fault) = question.fault(&answer) {
                            let mut faults = faults.lock().unwrap_or_else(PoisonError::into_inner);
                            faults.push(format!("{:>6} ms {fault}", start.elapsed().as_millis()));
                        }
                        due += pause;
                        std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    }
                })
            })
            .collect();
        Self { stop, requests, faults, clients, start }
    }

    /// Ends it.
    pub(super) fn end(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().expect("a client of the load panicked");
        }
        let requests = self.requests.load(Ordering::Relaxed);
        let faults = std::mem::take(&mut *self.faults.lock().unwrap_or_else(PoisonError::into_inner));
        Outcome { requests, per_second: requests as f64 / self.start.elapsed().as_secs_f64(), faults }
    }
}
