//! Accounts, passwords and tokens.

use std::time::SystemTime;

use blackhole_protocol::identity::v1::{
    AuthenticateRequest, CreateAccountRequest, CreateAccountResponse, ResolveDidRequest,
    ValidateTokenRequest, identity_service_client::IdentityServiceClient,
};
use tonic::{Code, transport::Channel};

use crate::{Bench, GRACE, invalid, refusal};

type Client = IdentityServiceClient<Channel>;

fn account(username: &str, password: &str, role: &str) -> CreateAccountRequest {
    let (username, password, role) = (username.into(), password.into(), role.into());
    CreateAccountRequest { username, password, role }
}

fn login(username: &str, password: &str) -> AuthenticateRequest {
    AuthenticateRequest { username: username.into(), password: password.into() }
}

async fn ada(client: &mut Client) -> CreateAccountResponse {
    let request = account("ada", "correct horse", "admin");
    client.create_account(request).await.expect("made").into_inner()
}

#[tokio::test]
async fn a_token_says_who_it_speaks_for_after_a_restart_too() {
    let mut bench = Bench::new().await;
    let mut client = bench.client().await;
    let made = ada(&mut client).await;
    let answer = client.authenticate(login("ada", "correct horse")).await.expect("right");
    let answer = answer.into_inner();
    let expires_at = answer.expires_at.expect("a time");
    let left = SystemTime::try_from(expires_at).expect("a time").duration_since(SystemTime::now());
    assert!((3590..=3600).contains(&left.expect("in the future").as_secs()));

    bench.restart().await;
    let mut client = bench.client().await;
    let request = ValidateTokenRequest { token: answer.token };
    let valid = client.validate_token(request).await.expect("valid").into_inner();
    assert_eq!((valid.user_id, valid.did), (made.user_id, made.did.clone()));
    assert_eq!((valid.role.as_str(), valid.expires_at), ("admin", Some(expires_at)));
    let request = ResolveDidRequest { did: made.did };
    let document = client.resolve_did(request).await.expect("resolved").into_inner();
    assert_eq!(document.created_at, made.created_at);
    client.authenticate(login("ada", "correct horse")).await.expect("the account is kept");
}

#[tokio::test]
async fn a_wrong_name_and_a_wrong_password_look_the_same() {
    let bench = Bench::new().await;
    let mut client = bench.client().await;
    ada(&mut client).await;
    let wrong = refusal(client.authenticate(login("ada", "incorrect")).await);
    assert_eq!(wrong.0, Code::Unauthenticated);
    for (username, password) in
        [("bob", "correct horse"), ("", "x"), ("ada", ""), ("A b", "x"), ("ada", &"x".repeat(5000))]
    {
        assert_eq!(refusal(client.authenticate(login(username, password)).await), wrong);
    }
}

#[tokio::test]
async fn tokens_expire() {
    let mut bench = Bench::new().await;
    bench.host.take().expect("it runs").stop().await;
    let settings = r#"{"token_lifetime": "0s"}"#;
    let host = blackhole_sdk::testing::Host::start::<blackhole_identity::Identity>(
        bench.directory.path(),
        settings,
        GRACE,
    );
    bench.host = Some(host.await.ready().await);
    let mut client = bench.client().await;
    ada(&mut client).await;
    let token = client.authenticate(login("ada", "correct horse")).await.expect("right");
    let token = token.into_inner().token;
    let (code, text) = refusal(client.validate_token(ValidateTokenRequest { token }).await);
    assert_eq!((code, text.contains("expired")), (Code::Unauthenticated, true), "{text}");
    let forged = ValidateTokenRequest { token: "v4.public.AAAA".into() };
    assert_eq!(refusal(client.validate_token(forged).await).0, Code::Unauthenticated);
}

#[tokio::test]
async fn a_name_is_given_once_however_many_ask_at_the_same_time() {
    let bench = Bench::new().await;
    let client = bench.client().await;
    let attempts = (0..6).map(|_| {
        let mut client = client.clone();
        tokio::spawn(
            async move { client.create_account(account("ada", "correct horse", "")).await },
        )
    });
    let mut made = 0;
    for attempt in attempts.collect::<Vec<_>>() {
        match attempt.await.expect("no panic") {
            Ok(_) => made += 1,
            Err(status) => assert_eq!(status.code(), Code::AlreadyExists, "{status}"),
        }
    }
    assert_eq!(made, 1);
}

#[tokio::test]
async fn more_callers_than_may_wait_are_refused_and_the_others_are_served() {
    let bench = Bench::new().await;
    let client = bench.client().await;
    let attempts = (0..200).map(|_| {
        let mut client = client.clone();
        tokio::spawn(async move { client.authenticate(login("nobody", "incorrect")).await })
    });
    let mut codes = std::collections::BTreeMap::new();
    for attempt in attempts.collect::<Vec<_>>() {
        let (code, _) = refusal(attempt.await.expect("no panic"));
        *codes.entry(code as i32).or_insert(0) += 1;
    }
    assert!(codes[&(Code::ResourceExhausted as i32)] > 0, "{codes:?}");
    assert!(codes[&(Code::Unauthenticated as i32)] >= 128, "{codes:?}");
    assert_eq!(codes.len(), 2, "{codes:?}");
}

#[tokio::test]
async fn bad_input_names_its_field() {
    let bench = Bench::new().await;
    let mut client = bench.client().await;
    for username in ["", "A", "1a", "a b", &"a".repeat(65)] {
        let request = account(username, "correct horse", "");
        invalid(client.create_account(request).await, "username");
    }
    for password in ["", "short", &"x".repeat(1025)] {
        invalid(client.create_account(account("ada", password, "")).await, "password");
    }
    let request = account("ada", "correct horse", "Root!");
    invalid(client.create_account(request).await, "role");
}
