//! A server to which connecting takes longer than a check waits.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tiergate::backend::sql_directory::{SqlAddress, SqlDirectory};
use tiergate::directory::UserDirectory as _;
use tiergate::types::Secret;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::stage::{change, key, sign_in};

/// How long a new connection waits on its way.
const DISTANCE: Duration = Duration::from_millis(300);

/// The way to a server: slow to begin, and cut when it is told.
struct Way {
    address: SocketAddr,
    cut: Arc<watch::Sender<u32>>,
}

impl Way {
    async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let cut = Arc::new(watch::channel(0).0);
        let cuts = Arc::clone(&cut);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut cuts = cuts.subscribe();
                tokio::spawn(async move {
                    tokio::time::sleep(DISTANCE).await;
                    let mut far = TcpStream::connect(server).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Self { address, cut }
    }
}

pub(crate) async fn short_calls_reach_it_again(url: &str, kind: fn(Secret) -> SqlAddress) {
    let (front, rest) = url.rsplit_once('@').unwrap();
    let (server, database) = rest.split_once('/').unwrap();
    let way = Way::to(server.parse().unwrap()).await;
    let store = SqlDirectory::open(&kind(Secret::new(format!("{front}@{}/{database}", way.address)))).await.unwrap();
    change(&store, "joe", sign_in(1), 1).await;
    store.standing(key("joe")).await.unwrap();
    way.cut.send_modify(|cuts| *cuts += 1);
    let deadline = Instant::now() + Duration::from_secs(20);
    while store.standing(key("joe")).await.is_err() || store.sequence().await.is_err() {
        assert!(Instant::now() < deadline, "no call gets there any more");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
