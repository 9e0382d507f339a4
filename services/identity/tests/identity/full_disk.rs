//! A disk without room: what was acknowledged stays, what is refused says why, and writing goes on when
//! there is room. To a writer the limit on a file's size looks like a full disk; the tests here run this
//! binary again, because the limit is one of a process.

use std::process::Command;

use blackhole_protocol::identity::v1::{
    AuthenticateRequest, CreateAccountRequest, CreateDidRequest, ResolveDidRequest,
    ValidateTokenRequest,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tonic::Code;

use crate::{Bench, make, refusal};

#[test]
fn a_full_disk_refuses_changes_loses_nothing_and_is_got_over() {
    let own = std::env::current_exe().expect("the test knows its own path");
    // A write beyond the limit is an error, and not the end of the process.
    let script = "trap '' XFSZ; exec \"$0\" --ignored --exact --nocapture full_disk::without_room";
    let output = Command::new("sh").args(["-c", script]).arg(own).output().expect("sh runs");
    let text = [&*output.stdout, &*output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

fn limit_files_to(bytes: Option<u64>) {
    let limit = Rlimit { current: bytes, maximum: getrlimit(Resource::Fsize).maximum };
    setrlimit(Resource::Fsize, limit).expect("the soft limit may be changed");
}

#[tokio::test]
#[ignore = "run by `a_full_disk_refuses_changes_loses_nothing_and_is_got_over`"]
async fn without_room() {
    let bench = Bench::new().await;
    let mut client = bench.client().await;
    let mut known = vec![make(&mut client, "first").await];
    let (username, password) = ("ada".to_owned(), "a long enough password".to_owned());
    let account = CreateAccountRequest {
        username: username.clone(),
        password: password.clone(),
        ..CreateAccountRequest::default()
    };
    client.create_account(account).await.expect("an account");
    let request = AuthenticateRequest { username, password };
    let token = client.authenticate(request).await.expect("a token").into_inner().token;

    let file = bench.directory.path().join("identity.redb");
    let size = std::fs::metadata(&file).expect("the file is there").len();
    for round in 0..3 {
        limit_files_to(Some(size));
        // The file has some room inside itself; each of these needs more than a page.
        let properties: std::collections::HashMap<_, _> =
            (0..60).map(|key| (key.to_string(), "x".repeat(4000))).collect();
        let large = || CreateDidRequest { properties: properties.clone(), ..Default::default() };
        let refused = loop {
            match client.create_did(large()).await {
                Ok(made) => known.push(made.into_inner().did),
                Err(status) => break status,
            }
        };
        let told = (refused.code(), refused.message());
        assert_eq!(told, (Code::ResourceExhausted, "the disk is full: nothing was changed"));
        for did in &known {
            let request = ResolveDidRequest { did: did.clone() };
            let document = client.resolve_did(request).await.expect("it is there").into_inner();
            assert!(document.created_at.is_some(), "it was made here");
        }
        let request = ValidateTokenRequest { token: token.clone() };
        client.validate_token(request).await.expect("it is valid");
        limit_files_to(None);
        known.push(make(&mut client, &format!("round {round}")).await);
    }
    let wrong = AuthenticateRequest { username: "ada".into(), password: "wrong".into() };
    assert_eq!(refusal(client.authenticate(wrong).await).0, Code::Unauthenticated);
}
