//! Events about instances that are not about their processes: what they were given or refused.

use std::{num::NonZeroU32, time::Duration};

use blackhole_policy::{instance::Reason, supervision::Generation};
use blackhole_protocol::{InstanceId, Name};

use super::{Event, Exited, Registry};

/// What was being done when a guarantee was refused, in the words of history.
pub(crate) const ADMISSION: &str = "asking for its guarantee";

impl Registry {
    /// Takes note that a service has another number of processes now, and why.
    pub fn record_scaled(&self, service: &Name, why: &str, message: String) {
        let instance = InstanceId { service: service.clone(), index: NonZeroU32::MIN };
        self.tell(&instance, "scaled", why, message);
    }

    /// Takes note that an instance may use more or less than before, or is guaranteed more or less;
    /// of one that is no longer wanted there is nothing to tell.
    pub fn record_adjusted(
        &self,
        instance: &InstanceId,
        event: &'static str,
        why: &str,
        message: String,
    ) {
        if self.table().entries.contains_key(instance) {
            self.tell(instance, event, why, message);
        }
    }

    /// Takes note that something was not started for want of resources; in its history as well,
    /// though its state is what it was.
    pub fn record_refused(&self, instance: &InstanceId, message: String) {
        let reason = Reason::Limit;
        let mut table = self.table();
        if let Some(entry) = table.entries.get_mut(instance) {
            // Of no incarnation: the latest may be running.
            entry.keep(Generation(0), Vec::new(), refused_start(reason, message.clone()));
        }
        drop(table);
        self.tell(instance, "refused", reason.as_str(), message);
    }

    fn tell(&self, instance: &InstanceId, event: &'static str, reason: &str, message: String) {
        let mut table = self.table();
        let entry = table.entries.get(instance);
        let generation = entry.map_or(Generation(0), |entry| entry.generation);
        let pid = entry.and_then(|entry| entry.pid);
        self.publish(&mut table, |sequence, at| Event {
            sequence,
            at,
            instance: Some(instance.clone()),
            generation,
            event,
            pid,
            reason: reason.to_owned(),
            message,
        });
    }
}

/// A start that never was.
fn refused_start(reason: Reason, message: String) -> Exited {
    Exited {
        pid: None,
        reason,
        code: None,
        signal: None,
        stage: Some(ADMISSION.to_owned()),
        uptime: Duration::ZERO,
        stderr: Some(String::new()),
        message,
    }
}
