//! State that outlives a crash: each incarnation goes on where the one before was killed.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::{error::Error, process::Command, time::Duration};

use blackhole::{
    Actor, ActorProcessingErr, ActorRef, Message, Remote, Reply, ServiceSpec,
    service::{Context, Keeper, Routes, Service, ServiceError},
};
use serde::Deserialize;

/// A counter that hands its total on after each change.
struct Tally;

#[derive(Deserialize)]
struct NoSettings {}

#[derive(Message)]
enum Count {
    Add(u64, Reply<u64>),
}

impl Service for Tally {
    const NAME: &'static str = "tally";
    type Settings = NoSettings;

    async fn start(context: Context<NoSettings>) -> Result<Self, ServiceError> {
        let restored = context.restored()?.and_then(|bytes| bytes.try_into().ok());
        let total = restored.map_or(0, u64::from_le_bytes);
        context.host("tally", Counting, (total, context.keeper())).await?;
        Ok(Self)
    }

    fn register(&self, _: &mut Routes) {}
}

struct Counting;

impl Actor for Counting {
    type Msg = Count;
    type State = (u64, Keeper);
    type Arguments = (u64, Keeper);

    async fn pre_start(
        &self,
        _: ActorRef<Count>,
        begin: (u64, Keeper),
    ) -> Result<(u64, Keeper), ActorProcessingErr> {
        Ok(begin)
    }

    async fn handle(
        &self,
        _: ActorRef<Count>,
        Count::Add(more, reply): Count,
        (total, keeper): &mut (u64, Keeper),
    ) -> Result<(), ActorProcessingErr> {
        *total += more;
        keeper.keep(&total.to_le_bytes())?;
        reply.send(*total);
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let program = blackhole::program().service::<Tally>().enter();
    program.block_on(async {
        let tally = ServiceSpec::native::<Tally>();
        let node = program.node().in_temporary_directory().service("tally", tally).start().await?;
        let first = "tally".parse().map(|service| (service, std::num::NonZeroU32::MIN));
        let (service, index) = first?;
        let instance = blackhole::InstanceId { service, index };
        let tally: Remote<Count> = node.peers().remote(&instance, "tally");
        for more in [40, 1] {
            let total = tally.call(|reply| Count::Add(more, reply), Duration::from_secs(5)).await?;
            println!("generation {:?}: {total}", tally.generation());
        }
        let pid = node.status_of("tally")[0].pid.ok_or("it has a process")?;
        let mut monitor = tally.monitor();
        Command::new("kill").args(["-9", &pid.to_string()]).status()?;
        monitor.down().await?;
        let total = tally.call(|reply| Count::Add(1, reply), Duration::from_secs(5)).await?;
        println!("generation {:?}: {total}", tally.generation());
        node.stop().await?;
        Ok(())
    })
}
