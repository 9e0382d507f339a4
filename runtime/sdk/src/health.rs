//! What grpc.health.v1 says about the service: the whole of it (`""`) and each of its gRPC services.

use tonic_health::{
    ServingStatus,
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};

/// Says the same of all names at once.
#[derive(Debug)]
pub(crate) struct Health {
    reporter: HealthReporter,
    names: Vec<&'static str>,
}

impl Health {
    /// From the first answer on: a service has started before it accepts anybody, and whoever waited for that
    /// need not come again.
    pub(crate) async fn serving(names: &[&'static str]) -> Self {
        let names = names.iter().copied().chain([""]).collect();
        let health = Self { reporter: HealthReporter::new(), names };
        health.say(ServingStatus::Serving).await;
        health
    }

    /// The gRPC service.
    pub(crate) fn server(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }

    /// Says that it does not serve any more, and nothing after that: streams of health end once their
    /// readers have been told, and do not hold a drain up.
    pub(crate) async fn end(mut self) {
        self.say(ServingStatus::NotServing).await;
        for name in self.names {
            self.reporter.clear_service_status(name).await;
        }
    }

    async fn say(&self, status: ServingStatus) {
        for name in &self.names {
            self.reporter.set_service_status(name, status).await;
        }
    }
}
