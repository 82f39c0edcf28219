//! The directory in memory, which the others are compared with.

use std::sync::Arc;

use tiergate::backend::memory_directory::MemoryDirectory;
use tiergate::directory::UserDirectory;

use super::stage::DirectoryUnderTest;

struct InMemory(Arc<MemoryDirectory>);

impl DirectoryUnderTest for InMemory {
    async fn open_replica(&self) -> Arc<dyn UserDirectory> {
        Arc::<MemoryDirectory>::clone(&self.0)
    }
}

async fn start() -> InMemory {
    InMemory(Arc::new(MemoryDirectory::new()))
}

directory_conformance!(start);
