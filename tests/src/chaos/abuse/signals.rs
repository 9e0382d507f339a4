//! Signals: who is killed, frozen, made to talk.

use std::{sync::PoisonError, time::Duration};

use anyhow::{Context, Result};
use rustix::process::Signal;

use super::Scene;
use crate::chaos::{
    processes::{Marked, Origin, marked, signal_if, signal_marked},
    records::Killed,
};

impl Scene {
    pub(super) fn kill(&self, service: &str) -> Result<String> {
        let process = self.main_process(service)?;
        self.kill_main(&process)
    }

    fn kill_main(&self, process: &Marked) -> Result<String> {
        let Marked { pid, service, instance, generation, .. } = process;
        let reached = signal_marked(*pid, &self.place.mark(), Signal::KILL)?;
        // What is known of others goes when their service is scaled down.
        if reached && *instance == 1 {
            let killed = Killed {
                service: service.clone(),
                instance: *instance,
                generation: *generation,
                pid: *pid,
            };
            self.records.lock().unwrap_or_else(PoisonError::into_inner).killed(killed);
        }
        Ok(format!("killed {service}-{instance}.{generation} ({pid}): {reached}"))
    }

    pub(super) fn kill_descendant(&self, service: &str) -> Result<String> {
        let process = marked(&self.place.mark())
            .into_iter()
            .find(|process| process.service == service && process.origin == Origin::Service)
            .with_context(|| format!("{service} has no descendants"))?;
        let reached = signal_marked(process.pid, &self.place.mark(), Signal::KILL)?;
        Ok(format!("killed `{}` ({}): {reached}", process.command, process.pid))
    }

    pub(super) fn kill_all(&self) -> Result<String> {
        let mut told = Vec::new();
        for process in marked(&self.place.mark()) {
            if process.origin == Origin::Node {
                told.push(self.kill_main(&process)?);
            }
        }
        Ok(told.join(", "))
    }

    pub(super) fn flood_logs(&self) -> Result<String> {
        let process = self.main_process("talker")?;
        let reached = signal_marked(process.pid, &self.place.mark(), Signal::USR1)?;
        Ok(format!("talker talks: {reached}"))
    }

    pub(super) async fn freeze(&self, service: &str, ms: u64) -> Result<String> {
        let process = self.main_process(service)?;
        let mark = self.place.mark();
        signal_marked(process.pid, &mark, Signal::STOP)?;
        tokio::time::sleep(Duration::from_millis(ms)).await;
        let thawed = signal_marked(process.pid, &mark, Signal::CONT)?;
        Ok(format!("{service} ({}) was frozen for {ms} ms, lived on: {thawed}", process.pid))
    }

    /// A guardian or node. It is thawed whatever happens, or nothing of it would ever end.
    pub(super) async fn freeze_pid(&self, pid: i32, ms: u64) -> Result<String> {
        let program = std::env::current_exe().context("could not find this program")?;
        let is_ours = |pid: i32| {
            std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|path| path == program)
        };
        signal_if(pid, Signal::STOP, is_ours)?;
        tokio::time::sleep(Duration::from_millis(ms)).await;
        let thawed = signal_if(pid, Signal::CONT, is_ours)?;
        Ok(format!("{pid} was frozen for {ms} ms, lived on: {thawed}"))
    }

    /// The process that the node has started for a service's first instance.
    pub(super) fn main_process(&self, service: &str) -> Result<Marked> {
        marked(&self.place.mark())
            .into_iter()
            .find(|process| {
                process.service == service
                    && process.instance == 1
                    && process.origin == Origin::Node
            })
            .with_context(|| format!("{service} has no process"))
    }
}
