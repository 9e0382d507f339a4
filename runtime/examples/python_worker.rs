//! A Python program under supervision: it takes its listening socket from the node, says when it is ready,
//! and whoever speaks to it does not notice that it was killed.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::{error::Error, path::Path, process::Command, time::Duration};

use blackhole::{Ready, ServiceSpec};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    time::sleep,
};

/// Answers each line with its words in reverse, and how often this process was asked.
const PROGRAM: &str = r#"
import os, socket

listener = socket.socket(fileno=3)  # the first of LISTEN_FDS: held by the node, open across restarts
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
    notify.connect(os.environ["NOTIFY_SOCKET"])
    notify.send(b"READY=1")
asked = 0
while True:
    connection, _ = listener.accept()
    with connection, connection.makefile("rw") as stream:
        for line in stream:
            asked += 1
            stream.write(" ".join(reversed(line.split())) + f" ({asked})\n")
            stream.flush()
"#;

async fn ask(socket: &Path, question: &str) -> Result<String, Box<dyn Error>> {
    let mut stream = BufReader::new(UnixStream::connect(socket).await?);
    stream.write_all(format!("{question}\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_line(&mut answer).await?;
    Ok(answer.trim_end().to_owned())
}

fn main() -> Result<(), Box<dyn Error>> {
    let program = blackhole::program().enter();
    program.block_on(async {
        let python = ServiceSpec::command(["python3", "-c", PROGRAM])
            .listen("unix://{runtime_dir}/python.socket")
            .ready(Ready::notify());
        let node =
            program.node().in_temporary_directory().service("python", python).start().await?;
        node.ready("python").await?;
        let socket = node.runtime_dir().join("python.socket");
        println!("{}", ask(&socket, "processes run Erlang way the").await?);
        println!("{}", ask(&socket, "again once").await?);

        let pid = node.status_of("python")[0].pid.ok_or("it has a process")?;
        Command::new("kill").args(["-9", &pid.to_string()]).status()?;
        // Until it is gone, it may still take a question along.
        while node.status_of("python")[0].pid == Some(pid) {
            sleep(Duration::from_millis(1)).await;
        }
        println!("{}", ask(&socket, "backlog the in waits question this").await?);
        node.stop().await?;
        Ok(())
    })
}
