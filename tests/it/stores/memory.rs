//! The store in the process.

use std::sync::Arc;

use tiergate::backend::memory_store::MemoryStore;
use tiergate::session::SessionStore;

use super::stage::StoreUnderTest;

struct Memory(Arc<MemoryStore>);

impl StoreUnderTest for Memory {
    async fn open_replica(&self) -> Arc<dyn SessionStore> {
        Arc::<MemoryStore>::clone(&self.0)
    }
}

async fn start() -> Memory {
    Memory(Arc::new(MemoryStore::new()))
}

conformance!(start);
