//! An actor in a child process, and a typed reference that survives its death.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use blackhole::{ActorProcessingErr, Handler, Message, Reply, ServiceSpec};
use std::{error::Error, process::Command, time::Duration};

#[derive(Message)]
enum Count {
    Add(u64),
    Total(Reply<u64>),
}

#[derive(Default)]
struct Counter(u64);

impl Handler for Counter {
    const NAME: &'static str = "counter";
    type Message = Count;

    async fn handle(&mut self, message: Count) -> Result<(), ActorProcessingErr> {
        match message {
            Count::Add(more) => self.0 += more,
            Count::Total(reply) => reply.send(self.0),
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let program = blackhole::program().actor::<Counter>().enter();
    program.block_on(async {
        let spec = ServiceSpec::actor::<Counter>();
        let node = program.node().in_temporary_directory().service("counter", spec).start().await?;
        let counter = node.actor::<Counter>("counter")?;
        counter.cast(Count::Add(42)).await?;
        let total = counter.call(Count::Total, Duration::from_secs(5)).await?;
        println!("generation {:?} counted to {total}", counter.generation());

        let pid = node.status_of("counter")[0].pid.ok_or("it has a process")?;
        let mut monitor = counter.monitor();
        Command::new("kill").args(["-9", &pid.to_string()]).status()?;
        println!("it {}", monitor.down().await?.reason);
        let total = counter.call(Count::Total, Duration::from_secs(5)).await?;
        println!("generation {:?} counted to {total}", counter.generation());
        node.stop().await?;
        Ok(())
    })
}
