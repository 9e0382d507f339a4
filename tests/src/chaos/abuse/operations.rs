//! What an operator does, at the worst moments.

use std::time::Duration;

use anyhow::Result;

use super::Scene;

impl Scene {
    pub(super) async fn restart(&self, service: &str) -> Result<String> {
        self.control.restart(service).await?;
        Ok(format!("restarted {service}"))
    }

    pub(super) async fn stop_and_start(&self, service: &str, ms: u64) -> Result<String> {
        self.control.stop(service).await?;
        tokio::time::sleep(Duration::from_millis(ms)).await;
        self.control.start(vec![service.to_owned()]).await?;
        Ok(format!("stopped {service} and started it after {ms} ms"))
    }

    pub(super) async fn scale(&self, service: &str, instances: u32) -> Result<String> {
        self.control.scale(service, instances).await?;
        Ok(format!("scaled {service} to {instances}"))
    }
}
