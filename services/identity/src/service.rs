//! The service as the sdk sees it.

use std::{sync::Arc, time::Duration};

use blackhole_protocol::identity::v1::identity_service_server::IdentityServiceServer;
use blackhole_sdk::{Context, Draining, Routes, Service, ServiceError};
use tokio::sync::OnceCell;

use crate::{
    Settings,
    error::Error,
    passwords::Passwords,
    store::{Store, Writer, WriterActor},
    tokens::Tokens,
};

/// The file in the data directory.
const FILE: &str = "identity.redb";

/// Decentralised identifiers, password authentication, signed tokens.
#[derive(Clone)]
pub struct Identity {
    pub(crate) store: Store,
    pub(crate) writer: Writer,
    pub(crate) passwords: Passwords,
    pub(crate) token_lifetime: Duration,
    pub(crate) resolver_endpoint: Arc<str>,
    pub(crate) draining: Draining,
    tokens: Arc<OnceCell<Tokens>>,
}

impl Identity {
    /// The signer, once the store is open.
    pub(crate) async fn tokens(&self) -> Result<&Tokens, Error> {
        let load = || async {
            let opened = self.store.opened().await?;
            Ok(Tokens::new(&opened.token_seed)?)
        };
        self.tokens.get_or_try_init(load).await
    }
}

impl Service for Identity {
    const NAME: &'static str = "identity";
    type Settings = Settings;

    async fn start(context: Context<Settings>) -> Result<Self, ServiceError> {
        let store = Store::new(context.data_dir().join(FILE));
        let (writer, waiting) = Writer::new();
        context.spawn("writer", WriterActor, (store.clone(), waiting)).await?;
        let own_socket = context.runtime_dir().join(context.instance().socket_file_name());
        let settings = &context.settings;
        let resolver_endpoint = settings.resolver_endpoint.clone();
        Ok(Self {
            store,
            writer,
            passwords: Passwords::default(),
            token_lifetime: settings.token_lifetime,
            resolver_endpoint: resolver_endpoint
                .unwrap_or_else(|| format!("unix:{}", own_socket.display()))
                .into(),
            draining: context.draining(),
            tokens: Arc::default(),
        })
    }

    fn register(&self, routes: &mut Routes) {
        routes.add(IdentityServiceServer::new(self.clone()));
    }
}
