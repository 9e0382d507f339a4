//! The limit of native services: a server that does nothing but bind, accept and say that it serves.
//!
//! `BENCH_SOCKET` is the Unix socket on which it answers `grpc.health.v1`, with the same libraries as
//! the services of `bh`, and without a link, logs, signals or actors.

use std::{env, error::Error, fs, io::ErrorKind};

use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::var_os("BENCH_SOCKET").ok_or("BENCH_SOCKET is not set")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Of the one before, which was killed.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        // All that is served is SERVING from the first moment on.
        let (_reporter, health) = tonic_health::server::health_reporter();
        let connections = UnixListenerStream::new(UnixListener::bind(path)?);
        Ok(Server::builder().add_service(health).serve_with_incoming(connections).await?)
    })
}
