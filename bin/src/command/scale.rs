//! `bh scale`.

use clap::Args;

use crate::{
    cli::Global,
    client::{Client, Scale as Wanted, Wait},
    error::Error,
    outcome::{self, Goal},
    output,
    progress::{self, Awaited},
};

/// Changes how many instances a service has
///
/// New instances are started, superfluous ones stopped, the highest number first; the others are
/// not touched. It holds until the node ends: the file keeps its `instances`. Waits until all
/// instances are ready. A service with `scale` in the file stays at that number until `auto` leaves
/// it to its rule again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bh scale api=3
  bh scale api=3 worker=5
  bh scale api 3
  bh scale api=auto      the rule in the file decides again")]
pub(crate) struct Scale {
    /// Services and their numbers: `NAME=N`, or one as `NAME N`; or `auto`
    #[arg(value_name = "NAME=N", required = true)]
    targets: Vec<String>,
    /// Return at once instead of when the instances are ready
    #[arg(long)]
    no_wait: bool,
}

impl Scale {
    pub(crate) async fn execute(self, global: &Global) -> Result<(), Error> {
        let wait = Wait::unless(self.no_wait);
        let targets = parse(&self.targets).map_err(Error::Usage)?;
        let client = Client::connect(&global.address()).await?;
        let mut instances = Vec::new();
        for (service, wanted) in targets {
            let what = match wanted {
                Wanted::To(count) => format!("{service} to have {count} ready instances"),
                Wanted::ByRule => format!("{service} to be left to its rule"),
            };
            let names = [service];
            let mut caller = client.clone();
            let scaled = caller.scale(&names[0], wanted, wait);
            let awaited = Awaited { names: &names, what };
            instances.extend(progress::show(&client, awaited, scaled).await?);
        }
        outcome::report(&mut output::stdout(), &instances, Goal::Up, wait)
    }
}

/// The word for the rule of the file.
const AUTO: &str = "auto";

fn parse(targets: &[String]) -> Result<Vec<(String, Wanted)>, String> {
    if let [service, count] = targets
        && !service.contains('=')
        && !count.contains('=')
    {
        return Ok(vec![(service.clone(), parse_wanted(service, count)?)]);
    }
    targets.iter().map(|target| parse_target(target)).collect()
}

fn parse_target(target: &str) -> Result<(String, Wanted), String> {
    let Some((service, count)) = target.split_once('=') else {
        return Err(format!("`{target}` does not say how many\nhint: `bh scale {target}=2`"));
    };
    Ok((service.to_owned(), parse_wanted(service, count)?))
}

fn parse_wanted(service: &str, count: &str) -> Result<Wanted, String> {
    if count == AUTO {
        return Ok(Wanted::ByRule);
    }
    match count.parse() {
        Ok(0) => Err(format!(
            "a service has at least one instance\nhint: `bh stop {service}` stops all of them"
        )),
        Ok(count) => Ok(Wanted::To(count)),
        Err(_) => Err(format!("`{count}` is not a number of instances for `{service}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(targets: &[&str]) -> Result<Vec<(String, Wanted)>, String> {
        parse(&targets.iter().map(|&target| target.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn services_are_scaled_in_two_notations() {
        let to = |service: &str, count| (service.to_owned(), Wanted::To(count));
        assert_eq!(parsed(&["api=3"]), Ok(vec![to("api", 3)]));
        assert_eq!(parsed(&["api", "3"]), Ok(vec![to("api", 3)]));
        let rule = ("b".to_owned(), Wanted::ByRule);
        assert_eq!(parsed(&["a=1", "b=auto"]), Ok(vec![to("a", 1), rule]));
    }

    #[test]
    fn a_wrong_number_is_named() {
        for wrong in [&["api"][..], &["api", "x"], &["api=-1"], &["api=0"], &["a=1", "b"]] {
            parsed(wrong).expect_err("not a number of instances");
        }
    }
}
