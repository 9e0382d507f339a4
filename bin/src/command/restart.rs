//! `bh restart`.

use clap::Args;

use crate::{
    cli::Global,
    client::{Client, Wait},
    error::Error,
    outcome::{self, Goal},
    output,
    progress::{self, Awaited},
};

/// Stops services, then starts them again
///
/// They are asked to stop, given their grace, and started anew. This does not count against any
/// restart limit, and forgets the count of a service that had exceeded it. Waits until all of
/// them are ready.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bh restart api
  bh restart web worker --no-wait      `web` may be a group")]
pub(crate) struct Restart {
    /// Services or groups
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Return at once instead of when they are ready again
    #[arg(long)]
    no_wait: bool,
}

impl Restart {
    pub(crate) async fn execute(self, global: &Global) -> Result<(), Error> {
        let wait = Wait::unless(self.no_wait);
        let client = Client::connect(&global.address()).await?;
        let what = format!("{} to stop and be ready again", self.names.join(", "));
        let awaited = Awaited { names: &self.names, what };
        let mut caller = client.clone();
        let instances = progress::show(&client, awaited, caller.restart(&self.names, wait)).await?;
        outcome::report(&mut output::stdout(), &instances, Goal::Up, wait)
    }
}
