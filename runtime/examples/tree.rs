//! A tree of supervisors: a group inside a group, each with a strategy of its own.
//!
//! `cargo run --example tree` starts it, kills the queue, and shows who was restarted for it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example shows what happens")]

use std::{error::Error, process::ExitCode, time::Duration};

use blackhole::{GroupSpec, Program, Ready, ServiceSpec, Strategy};

fn main() -> ExitCode {
    let program = blackhole::program().enter();
    match program.block_on(run(&program)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(program: &Program) -> Result<(), Box<dyn Error>> {
    // The queue and what is after it live and die together; the database does not mind.
    let pipeline = GroupSpec::new(Strategy::RestForOne)
        .restarts(5, Duration::from_secs(60))
        .service("database", shell("echo database is up").ready(Ready::log("is up")))
        .service("queue", shell("echo queue"))
        .group(
            "workers",
            GroupSpec::new(Strategy::OneForAll)
                .service("resize", shell("echo resize"))
                .service("upload", shell("echo upload")),
        );
    let node = program
        .node()
        .in_temporary_directory()
        .group("pipeline", pipeline)
        .service("heartbeat", shell("echo alive").depends_on("pipeline"))
        .start()
        .await?;
    node.all_ready().await?;
    println!("up:        {}", generations(&node));

    let queue = node.status_of("queue").remove(0);
    let mut events = node.events();
    kill(queue.pid.ok_or("the queue has no process")?)?;
    // The last in the start order is the last to be back.
    while let Some(happening) = events.next().await {
        let Some(event) = happening.event() else { continue };
        let is_back = event.instance.as_ref().is_some_and(|it| it.service.as_str() == "upload")
            && (event.event, event.generation.0) == ("ready", 2);
        if is_back {
            break;
        }
    }
    node.all_ready().await?;
    println!("restarted: {}", generations(&node));
    node.stop().await?;
    println!("stopped");
    Ok(())
}

/// A shell that says something and stays.
fn shell(command: &str) -> ServiceSpec {
    ServiceSpec::command(["sh", "-c", &format!("{command}; exec sleep 1000")])
}

/// `database 1, queue 2`: how many processes each service has had.
fn generations(node: &blackhole::NodeHandle) -> String {
    let status = node.status().into_iter();
    let each: Vec<String> =
        status.map(|status| format!("{} {}", status.service, status.generation)).collect();
    each.join(", ")
}

fn kill(pid: u32) -> std::io::Result<()> {
    std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().map(drop)
}
