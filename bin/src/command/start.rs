//! `bh start`.

use clap::Args;

use crate::{
    cli::Global,
    client::{Client, Wait},
    error::Error,
    outcome::{self, Goal},
    output,
    progress::{self, Awaited},
};

/// Starts services that are stopped, completed or failed
///
/// What they depend on is started first. Waits until all of them are ready, and fails when one
/// cannot get there.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bh start api
  bh start web worker --no-wait      `web` may be a group")]
pub(crate) struct Start {
    /// Services or groups
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Return at once instead of when they are ready
    #[arg(long)]
    no_wait: bool,
}

impl Start {
    pub(crate) async fn execute(self, global: &Global) -> Result<(), Error> {
        let wait = Wait::unless(self.no_wait);
        let client = Client::connect(&global.address()).await?;
        let awaited =
            Awaited { names: &self.names, what: format!("{} to be ready", self.names.join(", ")) };
        let mut caller = client.clone();
        let instances = progress::show(&client, awaited, caller.start(&self.names, wait)).await?;
        outcome::report(&mut output::stdout(), &instances, Goal::Up, wait)
    }
}
