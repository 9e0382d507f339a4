//! The end of a round: the abuse stops, and everything must be as it should.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use blackhole_protocol::control::v1::{
    GetStatusResponse, InstanceState, InstanceStatus, NodeState,
};

use super::{LOOK_EVERY, READY_WITHIN, Run, Thoroughness};
use crate::chaos::{
    action::SERVICES,
    leaks::{stray_files, stray_groups, stray_processes, unreaped},
    processes::allocated,
};

/// What was begun has ended within this; freezing is the longest of it, waiting for a frozen one longer.
const REST_WITHIN: Duration = Duration::from_secs(90);
/// What is known, closed or reaped a moment later is so within this.
const TIDY_WITHIN: Duration = Duration::from_secs(30);

impl Run {
    /// Ends a round. What is not as it should becomes a violation.
    pub(super) async fn settle(&mut self) -> Result<()> {
        let rest = tokio::time::timeout(REST_WITHIN, self.abuser.rest()).await;
        if rest.is_err() {
            self.journal.violated("an action did not end");
            return Ok(());
        }
        let began = Instant::now();
        if !self.until_ready().await {
            return Ok(());
        }
        let recovery = began.elapsed();
        self.journal.seen(format!("ready again after {} ms", recovery.as_millis()));
        self.report.recovered(recovery);
        let verified = self.workload.verify(self.thoroughness).await;
        self.thoroughness = Thoroughness::Sample;
        self.report.verified += verified as u64;
        self.until_tidy().await;
        self.sample_memory();
        self.journal.settled();
        Ok(())
    }

    /// Undoes what an operator did, heals what is broken on purpose, and waits until all are ready.
    async fn until_ready(&mut self) -> bool {
        let deadline = Instant::now() + READY_WITHIN;
        let mut put_right = Err(anyhow::anyhow!("nothing was tried"));
        loop {
            if put_right.is_err() {
                put_right = self.put_right().await;
            }
            let status = self.control.status().await;
            match (&put_right, &status) {
                (Ok(()), Ok(status)) if is_ready(status) => return true,
                _ => {}
            }
            if Instant::now() > deadline {
                let told = |error: anyhow::Error| format!("{error:#}");
                let put_right = put_right.err().map(told).unwrap_or_default();
                let seen = status.map_or_else(told, |status| shown(&status));
                self.journal.violated(format!("not ready: {put_right} {seen}"));
                return false;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn put_right(&self) -> Result<()> {
        self.control.start(SERVICES.map(str::to_owned).to_vec()).await?;
        for service in ["clock", "family"] {
            self.control.scale(service, 1).await?;
        }
        for service in ["identity", "storage"] {
            let path = self.subject.place.serving(service);
            // A socket whose file is broken is opened again at the next start of its service.
            if tokio::net::UnixStream::connect(&path).await.is_err() {
                self.control.restart(service).await?;
                let reached = tokio::net::UnixStream::connect(&path).await;
                reached.with_context(|| format!("{service} has no socket after a restart"))?;
            }
        }
        Ok(())
    }

    /// Waits until history fits and nothing is left over. An end is known a moment after it happened, so
    /// everything is looked at anew each time.
    async fn until_tidy(&mut self) {
        let deadline = Instant::now() + TIDY_WITHIN;
        loop {
            let problems = self.problems().await.unwrap_or_else(|error| vec![format!("{error:#}")]);
            if problems.is_empty() {
                return self.abuser.records().found();
            }
            if Instant::now() > deadline {
                return problems.into_iter().for_each(|problem| self.journal.violated(problem));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn problems(&mut self) -> Result<Vec<String>> {
        let status = self.control.status().await?;
        if !is_ready(&status) {
            return Ok(vec![format!("was ready, and is not: {}", shown(&status))]);
        }
        let history = self.control.history().await?;
        let mut problems = self.abuser.records().compare(&status.instances, &history);
        problems.extend(self.leftovers(&status.instances));
        Ok(problems)
    }

    fn leftovers(&mut self, instances: &[InstanceStatus]) -> Vec<String> {
        let place = self.subject.place.clone();
        let Some(victim) = self.victim() else { return vec!["there is no node".into()] };
        let mut problems = stray_processes(&place, instances);
        problems.extend(unreaped(&[victim.guardian, victim.node]));
        problems.extend(stray_groups(&place, instances));
        problems.extend(stray_files(&place, instances));
        problems.extend(self.descriptors.check("the guardian", victim.guardian));
        problems.extend(self.descriptors.check("the node", victim.node));
        problems
    }

    fn sample_memory(&mut self) {
        let Some(victim) = self.victim() else { return };
        let both = [victim.guardian, victim.node].map(allocated);
        if let [Some(guardian), Some(node)] = both {
            self.memory.sample(guardian + node);
            self.report.memory = guardian + node;
            self.journal.seen(format!("guardian {} KiB, node {} KiB", guardian >> 10, node >> 10));
        }
    }
}

fn is_ready(status: &GetStatusResponse) -> bool {
    let running = status.node.as_ref().is_some_and(|node| node.state() == NodeState::Running);
    let ready = |instance: &InstanceStatus| instance.state() == InstanceState::Ready;
    running && status.instances.len() == SERVICES.len() && status.instances.iter().all(ready)
}

fn shown(status: &GetStatusResponse) -> String {
    let node = status.node.as_ref().map(|node| node.state().as_str_name());
    let row = |it: &InstanceStatus| {
        let InstanceStatus { service, instance, generation, note, .. } = it;
        format!("{service}-{instance}.{generation} {} ({note})", it.state().as_str_name())
    };
    let rows: Vec<_> = status.instances.iter().map(row).collect();
    format!("{node:?}: {}", rows.join("; "))
}
