//! `bh stop`: services, or with `--all` everything and the node itself.

use std::io::Write;

use blackhole_protocol::control::v1::NodeStatus;
use clap::Args;

use crate::{
    cli::Global,
    client::{Client, ClientError, Wait},
    error::Error,
    node_process::NodeProcess,
    outcome::{self, Goal},
    output,
    progress::{self, Awaited},
    text,
};

/// Stops services, or everything and the node
///
/// Services get their stop signal, then their grace, then SIGKILL for whatever is left of them;
/// they stay stopped until `bh start`. `--all` stops all services in reverse order and ends the
/// node.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bh stop api
  bh stop web worker --no-wait      `web` may be a group
  bh stop --all                     stops everything and ends the node")]
pub(crate) struct Stop {
    /// Services or groups
    #[arg(value_name = "NAME", conflicts_with = "all")]
    names: Vec<String>,
    /// Stop everything and end the node
    #[arg(long)]
    all: bool,
    /// Return at once instead of when they have stopped
    #[arg(long)]
    no_wait: bool,
}

impl Stop {
    pub(crate) async fn execute(self, global: &Global) -> Result<(), Error> {
        let wait = Wait::unless(self.no_wait);
        if self.all {
            return stop_node(Client::connect(&global.address()).await?, wait).await;
        }
        if self.names.is_empty() {
            return Err(Error::Usage(
                "say which services to stop\nhint: `bh stop NAME…` stops services, \
                 `bh stop --all` stops everything and ends the node"
                    .to_owned(),
            ));
        }
        let client = Client::connect(&global.address()).await?;
        let awaited =
            Awaited { names: &self.names, what: format!("{} to stop", self.names.join(", ")) };
        let mut caller = client.clone();
        let instances = progress::show(&client, awaited, caller.stop(&self.names, wait)).await?;
        outcome::report(&mut output::stdout(), &instances, Goal::Down, wait)
    }
}

async fn stop_node(client: Client, wait: Wait) -> Result<(), Error> {
    let mut caller = client.clone();
    let node = caller.status(&[]).await?.node.unwrap_or_default();
    // Held before the node is asked to go, so that it cannot be mistaken for a later process.
    let process = NodeProcess::open(&node).map_err(ClientError::Watch)?;
    let asked = async {
        caller.shutdown().await?;
        match wait {
            Wait::UntilDone => process.ended().await.map_err(ClientError::Watch),
            Wait::No => Ok(()),
        }
    };
    let awaited = Awaited { names: &[], what: "the node to end".to_owned() };
    progress::show(&client, awaited, asked).await?;
    writeln!(output::stdout(), "{}", farewell(&node, wait))?;
    Ok(())
}

fn farewell(node: &NodeStatus, wait: Wait) -> String {
    let name = text::visible(&node.name);
    match wait {
        Wait::UntilDone => format!("node {name} has ended"),
        Wait::No => format!("node {name} is ending"),
    }
}
