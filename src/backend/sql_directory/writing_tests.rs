use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::super::calls::write;
use super::super::lane::Lane;
use super::super::link::Use;
use super::super::{SqlAddress, SqlDirectory};
use super::*;

/// Looks and writes with time between, and sees whether another one does so too.
#[derive(Default)]
struct Alone {
    inside: AtomicBool,
    runs: AtomicUsize,
}

impl Work for &Alone {
    type Output = u64;

    async fn run(&self, writing: &mut Writing<'_>) -> Result<u64, Failure> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        assert!(!self.inside.swap(true, Ordering::SeqCst), "two transactions at once");
        tokio::time::sleep(Duration::from_millis(20)).await;
        let sequence = writing.next();
        let insert = Statement::new("INSERT INTO directory_probe (written_at) VALUES (?)");
        let written = writing.link.run(insert.bind(sequence)).await;
        self.inside.store(false, Ordering::SeqCst);
        written?;
        Ok(sequence)
    }
}

#[tokio::test]
async fn a_transaction_of_sqlite_has_the_file_before_it_looks() {
    const REPLICAS: u64 = 4;
    const TIMES: u64 = 4;
    let folder = tempfile::tempdir().unwrap();
    let address = SqlAddress::Sqlite(folder.path().join("directory.db"));
    SqlDirectory::migrate(&address).await.unwrap();
    let (work, target) = (Alone::default(), address.target().unwrap());
    let replica = async || {
        let lane = Lane::new(target.clone(), Use::Writing, 1);
        let mut sequences = Vec::new();
        for _ in 0..TIMES {
            sequences.push(write(&lane, Dialect::Sqlite, &&work).await.unwrap());
        }
        sequences
    };
    let all = futures_util::future::join_all((0..REPLICAS).map(|_| replica())).await;
    let mut all: Vec<u64> = all.into_iter().flatten().collect();
    all.sort_unstable();
    assert_eq!(all, (1..=REPLICAS * TIMES).collect::<Vec<_>>());
    // None was begun anew because another one had been quicker.
    assert_eq!(work.runs.load(Ordering::SeqCst), all.len());
}
