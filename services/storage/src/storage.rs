//! The native service: a store in the service's own folder, behind gRPC.

use blackhole_sdk::{Context, Routes, Service, ServiceError};

use crate::{BlockService, Settings, Store};

/// Content-addressed blocks as a native service.
#[derive(Debug)]
pub struct Storage {
    blocks: BlockService,
}

impl Service for Storage {
    const NAME: &'static str = "storage";

    type Settings = Settings;

    async fn start(context: Context<Settings>) -> Result<Self, ServiceError> {
        let directory = context.data_dir().to_owned();
        let size_max = context.settings.size_max.0;
        let store =
            tokio::task::spawn_blocking(move || Store::open(&directory, size_max)).await??;
        let leftovers = store.clone();
        // Nobody waits for it: what it removes is in nobody's way.
        tokio::task::spawn_blocking(move || remove_leftovers(&leftovers));
        Ok(Self { blocks: BlockService::new(store, &context.settings) })
    }

    fn register(&self, routes: &mut Routes) {
        routes.add(self.blocks.clone().into_server());
    }
}

fn remove_leftovers(store: &Store) {
    match store.remove_leftovers() {
        Ok(0) => {}
        Ok(files) => tracing::info!(files, "removed what unfinished uploads had left"),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "could not remove what unfinished uploads had left");
        }
    }
}
