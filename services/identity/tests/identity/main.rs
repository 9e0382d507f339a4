//! The service embedded, over its socket, with generated clients.

mod accounts;
mod events;
mod full_disk;
mod identifiers;

use std::time::Duration;

use blackhole_identity::Identity;
use blackhole_protocol::identity::v1::{
    CreateDidRequest, identity_service_client::IdentityServiceClient,
};
use blackhole_sdk::{Ending, testing::Host};
use tonic::{Code, Status, transport::Channel};

const GRACE: Duration = Duration::from_secs(600);

/// A directory, and the service on it, one generation at a time.
struct Bench {
    directory: tempfile::TempDir,
    host: Option<Host>,
}

impl Bench {
    async fn new() -> Self {
        let mut bench = Self { directory: tempfile::tempdir().expect("a directory"), host: None };
        bench.start("{}").await;
        bench
    }

    async fn start(&mut self, settings: &str) {
        let host = Host::start::<Identity>(self.directory.path(), settings, GRACE).await;
        self.host = Some(host.ready().await);
    }

    async fn restart(&mut self) {
        let ending = self.host.take().expect("it runs").stop().await;
        assert_eq!(ending, Ending::Stopped);
        self.start("{}").await;
    }

    fn host(&self) -> &Host {
        self.host.as_ref().expect("it runs")
    }

    async fn client(&self) -> IdentityServiceClient<Channel> {
        IdentityServiceClient::new(self.host().channel().await)
    }
}

async fn make(client: &mut IdentityServiceClient<Channel>, name: &str) -> String {
    let properties = [("name".to_owned(), name.to_owned())].into();
    let request = CreateDidRequest { properties, ..CreateDidRequest::default() };
    client.create_did(request).await.expect("made").into_inner().did
}

/// The code and the text of a refusal.
fn refusal<T>(outcome: Result<T, Status>) -> (Code, String) {
    let status = outcome.err().expect("refused");
    (status.code(), status.message().to_owned())
}

fn invalid<T>(outcome: Result<T, Status>, field: &str) {
    let (code, text) = refusal(outcome);
    assert_eq!(code, Code::InvalidArgument, "{text}");
    assert!(text.contains(&format!("`{field}`")), "{text}");
}

#[tokio::test]
async fn a_second_process_on_the_same_file_is_refused_with_a_hint() {
    let bench = Bench::new().await;
    make(&mut bench.client().await, "one").await;
    let other = tempfile::tempdir().expect("a directory");
    std::fs::hard_link(
        bench.directory.path().join("identity.redb"),
        other.path().join("identity.redb"),
    )
    .expect("the same file");
    let second = Host::start::<Identity>(other.path(), "{}", GRACE).await;
    match second.ended().await {
        Ending::Failed(text) => assert!(text.contains("hint: run one instance"), "{text}"),
        ending => panic!("{ending:?}"),
    }
}

#[tokio::test]
async fn the_file_is_for_its_user_only() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new().await;
    make(&mut bench.client().await, "one").await;
    let metadata = std::fs::metadata(bench.directory.path().join("identity.redb"));
    assert_eq!(metadata.expect("a file").permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_file_that_is_no_database_ends_the_service_and_is_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("identity.redb");
    std::fs::write(&file, vec![b'x'; 4096]).expect("written");
    let host = Host::start::<Identity>(directory.path(), "{}", GRACE).await;
    match host.ended().await {
        Ending::Failed(text) => assert!(text.contains("identity.redb"), "{text}"),
        ending => panic!("{ending:?}"),
    }
    assert_eq!(std::fs::read(&file).expect("a file"), vec![b'x'; 4096]);
}

/// A process was killed while it made the file: nothing had been promised, so the next one starts over.
#[tokio::test]
async fn a_half_made_file_is_made_again() {
    let mut bench = Bench::new().await;
    make(&mut bench.client().await, "one").await;
    bench.host.take().expect("it runs").stop().await;
    let file = bench.directory.path().join("identity.redb");
    let unfinished = bench.directory.path().join("identity.redb.new");
    let half = &std::fs::read(&file).expect("a file")[..5000];
    std::fs::write(&unfinished, half).expect("written");
    std::fs::remove_file(&file).expect("removed");
    bench.start("{}").await;
    make(&mut bench.client().await, "two").await;
    assert!(file.exists() && !unfinished.exists());
}
