//! One single-threaded runtime for each core. A connection stays with the
//! worker it was dealt to, so that a check never crosses threads; the default
//! multi-threaded runtime costs 1.6 to 2 times the CPU for each check.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use metrics::counter;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic_health::pb::health_server::Health;

use super::connection::Job;

/// The workers and the way to them.
pub(super) struct Workers<H> {
    ways: Vec<mpsc::UnboundedSender<Job<H>>>,
    threads: Vec<JoinHandle<()>>,
    next: AtomicUsize,
}

impl<H: Health> Workers<H> {
    /// Starts `count` workers.
    pub(super) fn start(count: usize) -> io::Result<Self> {
        let mut workers = Self { ways: Vec::new(), threads: Vec::new(), next: AtomicUsize::new(0) };
        for number in 0..count.max(1) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (way, jobs) = mpsc::unbounded_channel();
            let name = format!("worker-{number}");
            workers.threads.push(std::thread::Builder::new().name(name).spawn(move || runtime.block_on(work(jobs)))?);
            workers.ways.push(way);
        }
        Ok(workers)
    }

    /// Deals one connection to the next worker in turn.
    pub(super) fn deal(&self, job: Job<H>) {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.ways.len().max(1);
        if self.ways.get(turn).is_some_and(|way| way.send(job).is_err()) {
            tracing::error!(worker = turn, "worker is gone, its connection is closed");
        }
    }

    /// Whether a worker ended though nobody stopped it.
    pub(super) fn is_broken(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Lets the workers end their connections, then waits for them.
    pub(super) fn join(self) {
        drop(self.ways);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("worker panicked");
            }
        }
    }
}

async fn work<H: Health>(mut jobs: mpsc::UnboundedReceiver<Job<H>>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            job = jobs.recv() => match job {
                Some(job) => { connections.spawn(job.run()); }
                None => break,
            },
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                if ended.is_err() {
                    counter!("tiergate_connections_panicked_total").increment(1);
                }
            }
        }
    }
    while connections.join_next().await.is_some() {}
}
