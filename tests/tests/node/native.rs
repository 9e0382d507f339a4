//! The two native services, in child processes and inside the node.

use std::path::{Path, PathBuf};

use blackhole_protocol::{
    identity::v1::{
        AuthenticateRequest, CreateAccountRequest, CreateDidRequest, ResolveDidRequest,
        ValidateTokenRequest, identity_service_client::IdentityServiceClient,
    },
    storage::v1::{
        DownloadRequest, StatRequest, UploadHeader, UploadRequest,
        storage_service_client::StorageServiceClient, upload_request,
    },
};
use blackhole_tests::{TestNode, json_lines, pid, send, until};
use hyper_util::rt::TokioIo;
use rustix::process::Signal;
use tonic::transport::{Channel, Endpoint, Uri};

const BOTH: &str = "[services.identity]\n[services.storage]\ndepends_on = [\"identity\"]\n";
const EMBEDDED: &str = "[services.identity]\nmode = \"embedded\"\n\
                        [services.storage]\nmode = \"embedded\"\ndepends_on = [\"identity\"]\n";

/// A connection to a service's socket, made when it is first used.
fn connect(node: &TestNode, service: &str) -> Channel {
    let path = node.path(&format!("run/{service}-1.sock"));
    Endpoint::from_static("http://localhost").connect_with_connector_lazy(tower::service_fn(
        move |_: Uri| {
            let path: PathBuf = path.clone();
            async move { tokio::net::UnixStream::connect(path).await.map(TokioIo::new) }
        },
    ))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

async fn create(node: &TestNode) -> String {
    let mut identity = IdentityServiceClient::new(connect(node, "identity"));
    let request = CreateDidRequest { method: "key".into(), ..CreateDidRequest::default() };
    identity.create_did(request).await.expect("a DID is created").into_inner().did
}

async fn upload(node: &TestNode, data: &[u8]) -> String {
    let mut storage = StorageServiceClient::new(connect(node, "storage"));
    let header = upload_request::Message::Header(UploadHeader::default());
    let chunks = data.chunks(64 << 10).map(|chunk| upload_request::Message::Data(chunk.to_vec()));
    let messages: Vec<UploadRequest> = std::iter::once(header)
        .chain(chunks)
        .map(|message| UploadRequest { message: Some(message) })
        .collect();
    storage.upload(tokio_stream::iter(messages)).await.expect("it is kept").into_inner().cid
}

async fn download(node: &TestNode, cid: &str) -> Vec<u8> {
    let mut storage = StorageServiceClient::new(connect(node, "storage"));
    let request = DownloadRequest { cid: cid.into(), ..DownloadRequest::default() };
    let mut stream = storage.download(request).await.expect("it is there").into_inner();
    let mut data = Vec::new();
    while let Some(part) = stream.message().await.expect("it is whole") {
        data.extend(part.data);
    }
    data
}

/// What both services promise, wherever they run.
fn both_work(node: &TestNode) {
    block_on(async {
        let did = create(node).await;
        assert!(did.starts_with("did:key:z6Mk"), "{did}");
        let mut identity = IdentityServiceClient::new(connect(node, "identity"));
        let document = identity.resolve_did(ResolveDidRequest { did: did.clone() }).await;
        assert_eq!(document.expect("it resolves").into_inner().id, did);

        let (username, password) = ("ada".to_owned(), "a long enough password".to_owned());
        let account = CreateAccountRequest {
            username: username.clone(),
            password: password.clone(),
            ..CreateAccountRequest::default()
        };
        let account = identity.create_account(account).await.expect("an account").into_inner();
        let wrong = AuthenticateRequest { username: username.clone(), password: "wrong".into() };
        let refused = identity.authenticate(wrong).await.expect_err("the password is wrong");
        assert_eq!(refused.code(), tonic::Code::Unauthenticated);
        let token = identity
            .authenticate(AuthenticateRequest { username, password })
            .await
            .expect("the password is right")
            .into_inner()
            .token;
        let user = identity.validate_token(ValidateTokenRequest { token }).await;
        assert_eq!(user.expect("the token is valid").into_inner().user_id, account.user_id);

        let data = vec![7_u8; 1_000_003];
        let cid = upload(node, &data).await;
        assert!(download(node, &cid).await == data, "another block came back");
    });
}

#[test]
fn identity_and_storage_work_in_child_processes() {
    let node = TestNode::start_all(BOTH);
    assert_eq!(node.service("identity")["kind"], "native");
    both_work(&node);
}

#[test]
fn identity_and_storage_work_inside_the_node() {
    let node = TestNode::start_all(EMBEDDED);
    assert_eq!(node.service("identity")["kind"], "embedded");
    assert_eq!(pid(&node.service("identity")), node.node_pid());
    both_work(&node);
    let logged = |name: &str| node.bh(&["logs", name, "--json"]).stdout;
    let records =
        until("its records are kept", || logged("storage"), |it| it.contains("block stored"));
    let stored = json_lines(&records).into_iter().find(|it| it["message"] == "block stored");
    let stored = stored.expect("just seen");
    assert_eq!((&stored["service"], &stored["level"]), (&"storage".into(), &"info".into()));
    assert!(stored["fields"]["size"].is_u64(), "{stored}");
    assert!(!logged("identity").contains("block stored"), "each has its own");
    assert_eq!(node.bh(&["restart", "identity"]).code, 0);
    block_on(create(&node));
}

#[test]
fn what_was_promised_survives_a_kill() {
    let node = TestNode::start_all(BOTH);
    let data = b"a block that matters".to_vec();
    let (did, cid) = block_on(async { (create(&node).await, upload(&node, &data).await) });
    for service in ["identity", "storage"] {
        let before = node.service(service);
        send(pid(&before), Signal::KILL);
        node.until_reborn(&before);
    }
    block_on(async {
        let mut identity = IdentityServiceClient::new(connect(&node, "identity"));
        let document = identity.resolve_did(ResolveDidRequest { did: did.clone() }).await;
        assert_eq!(document.expect("it resolves").into_inner().id, did);
        assert_eq!(download(&node, &cid).await, data);
    });
}

#[test]
fn an_upload_that_a_kill_cuts_off_leaves_no_half_block() {
    let node = TestNode::start_all(BOTH);
    let storage = node.service("storage");
    let victim = pid(&storage);
    let result = block_on(async {
        let mut client = StorageServiceClient::new(connect(&node, "storage"));
        let header = upload_request::Message::Header(UploadHeader::default());
        // Made one by one while they are sent, so that the kill comes in the middle.
        let chunks = (0..2000).map(move |number| {
            if number == 500 {
                send(victim, Signal::KILL);
            }
            upload_request::Message::Data(vec![1_u8; 64 << 10])
        });
        let messages = std::iter::once(header).chain(chunks);
        let messages = messages.map(|message| UploadRequest { message: Some(message) });
        client.upload(tokio_stream::iter(messages)).await
    });
    assert!(result.is_err(), "the service was killed before the upload was whole");
    node.until_reborn(&storage);
    block_on(async {
        let mut client = StorageServiceClient::new(connect(&node, "storage"));
        let page = client.list(blackhole_protocol::storage::v1::ListRequest::default()).await;
        assert_eq!(page.expect("a page").into_inner().blocks, []);
    });
    assert_eq!(files_below(&node.path("data/storage/blocks")), Vec::<PathBuf>::new());
}

#[test]
fn a_frozen_native_child_is_found_and_replaced() {
    let node = TestNode::start_all("[services.identity]\n");
    let before = node.service("identity");
    send(pid(&before), Signal::STOP);
    node.until_reborn(&before);
    let last = node.history("identity").pop().expect("an entry");
    assert_eq!(last["reason"], "unresponsive", "{last}");
}

#[test]
fn a_command_can_wait_for_grpc_health_on_the_socket_of_another() {
    let node = TestNode::start_all(
        r#"
        [services.identity]
        [services.watcher]
        command = ["{fixture}", "--sleep"]
        depends_on = ["identity"]
        ready = { grpc = "unix:{runtime_dir}/identity-1.sock", every = "50ms" }
        "#,
    );
    assert_eq!(node.service("watcher")["state"], "ready");
}

#[test]
fn a_service_started_by_hand_explains_itself() {
    let done = blackhole_tests::bh()
        .args(["service", "--name", "identity"])
        .env_remove("BLACKHOLE_LINK_FD")
        .output()
        .expect("bh runs");
    let text = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_ne!(done.status.code(), Some(0));
    assert!(text.contains("bh run"), "{text}");
}

#[test]
fn clients_wait_in_the_backlog_while_a_service_is_replaced() {
    let node = TestNode::start_all(BOTH);
    let before = node.service("storage");
    send(pid(&before), Signal::KILL);
    // No retry anywhere: the connection is accepted by the node's socket and served by the successor.
    let missing = block_on(async {
        let mut client = StorageServiceClient::new(connect(&node, "storage"));
        let cid = "bafkr4ihkr4ld3m4gqkjf4reryxsy2s5tkbxprqkow6fin2iiyvreuzzab4".to_owned();
        client.stat(StatRequest { cid }).await.expect_err("there is no such block")
    });
    assert_eq!(missing.code(), tonic::Code::NotFound, "{missing}");
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths
        .into_iter()
        .flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] })
        .collect()
}
