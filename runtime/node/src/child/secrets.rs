//! The secrets of one incarnation: delivered before its process is born, withdrawn when it is gone.
//!
//! Where they come from and how they are kept is the node's [`secrets`](crate::secrets).

use blackhole_config::{Kind, Mode, Service};
use blackhole_policy::supervision::Generation;
use blackhole_protocol::InstanceId;

use super::{incarnation::Incarnation, start_error::StartError};
use crate::{nursery::NodeContext, secrets::SecretsError};

/// Puts the secrets of one incarnation where it will find them; off the node's thread, because they
/// come from a disk or further away.
pub(super) async fn deliver(
    context: &NodeContext,
    service: &Service,
    instance: &InstanceId,
    generation: Generation,
) -> Result<(), StartError> {
    if service.secrets.is_empty() || is_embedded(service) {
        return Ok(());
    }
    let incarnation = Incarnation { context, service, instance, generation };
    let directory = incarnation.scope().own_secrets_dir();
    // What it may touch is planned only of what is there.
    context.resources.secrets.make(&directory)?;
    let owner = incarnation.plan()?.identity().cloned();
    let values = context.resources.secrets.read(&service.secrets).await?;
    let (secrets, instance) = (context.resources.secrets.clone(), instance.clone());
    let deliver = tokio::task::spawn_blocking(move || {
        secrets.deliver((&instance, generation), &values, &directory, owner.as_ref())
    });
    Ok(deliver.await.map_err(|_| SecretsError::Unwritten)??)
}

fn is_embedded(service: &Service) -> bool {
    matches!(service.kind, Kind::Native { mode: Mode::Embedded, .. })
}

/// The process is gone, or never came to be: so do its secrets.
pub(super) fn withdraw(context: &NodeContext, instance: &InstanceId, generation: Generation) {
    if let Some(service) = context.config.services.get(&instance.service)
        && !service.secrets.is_empty()
    {
        let directory = Incarnation { context, service, instance, generation }.scope();
        let directory = directory.own_secrets_dir();
        context.resources.secrets.withdraw(instance, generation, &directory);
    }
}
