//! Making, resolving, updating and deleting identifiers.

use blackhole_protocol::identity::v1::{
    BatchCreateDiDsRequest, CreateDidRequest, DeleteDidRequest, DidDocument, EncryptionConfig,
    ResolveDidRequest, UpdateDidRequest, identity_service_client::IdentityServiceClient,
};
use tonic::{Code, Status, transport::Channel};

use crate::{Bench, invalid, make, refusal};

type Client = IdentityServiceClient<Channel>;

async fn resolve(client: &mut Client, did: &str) -> Result<DidDocument, Status> {
    let request = ResolveDidRequest { did: did.to_owned() };
    client.resolve_did(request).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn what_was_made_is_resolved_after_a_restart_too() {
    let mut bench = Bench::new().await;
    let mut client = bench.client().await;
    let properties = [("name".to_owned(), "ada".to_owned())].into();
    let encryption = Some(EncryptionConfig { derive_key_agreement: true });
    let request = CreateDidRequest { properties, encryption, ..CreateDidRequest::default() };
    let made = client.create_did(request).await.expect("made").into_inner();
    assert!(made.resolver_endpoint.starts_with("unix:/"), "{}", made.resolver_endpoint);

    let before = resolve(&mut client, &made.did).await.expect("resolved");
    assert_eq!(before.created_at, made.created_at);
    assert_eq!(before.properties["name"], "ada");
    assert_eq!(before.verification_method.len(), 2);
    assert_eq!(before.key_agreement, [before.verification_method[1].id.clone()]);
    let json: serde_json::Value = serde_json::from_str(&before.json).expect("json");
    assert_eq!(json["id"], made.did.as_str());
    assert_eq!(json["authentication"][0], json["verificationMethod"][0]["id"]);
    assert_eq!(json["keyAgreement"][0], json["verificationMethod"][1]["id"]);
    assert_eq!(json["@context"][0], "https://www.w3.org/ns/did/v1");

    bench.restart().await;
    let after = resolve(&mut bench.client().await, &made.did).await.expect("resolved");
    assert_eq!(after, before);
}

#[tokio::test]
async fn an_identifier_from_elsewhere_is_resolved_from_its_text() {
    let bench = Bench::new().await;
    let did = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp";
    let document = resolve(&mut bench.client().await, did).await.expect("resolved");
    assert_eq!(document.id, did);
    assert_eq!(document.created_at, None);
    assert_eq!(document.verification_method[0].r#type, "Ed25519VerificationKey2020");
}

#[tokio::test]
async fn a_key_of_the_callers_own_is_used_once() {
    let bench = Bench::new().await;
    let mut client = bench.client().await;
    // The public key of the identifier above.
    let public_key = [
        0x3b, 0x6a, 0x27, 0xbc, 0xce, 0xb6, 0xa4, 0x2d, 0x62, 0xa3, 0xa8, 0xd0, 0x2a, 0x6f, 0x0d,
        0x73, 0x65, 0x32, 0x15, 0x77, 0x1d, 0xe2, 0x43, 0xa6, 0x3a, 0xc0, 0x48, 0xa1, 0x8b, 0x59,
        0xda, 0x29,
    ];
    let request = CreateDidRequest { public_key: public_key.into(), ..CreateDidRequest::default() };
    let made = client.create_did(request.clone()).await.expect("made").into_inner();
    assert_eq!(made.did, "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp");
    let (code, text) = refusal(client.create_did(request).await);
    assert_eq!(code, Code::AlreadyExists, "{text}");
    invalid(
        client
            .create_did(CreateDidRequest { public_key: vec![1; 31], ..CreateDidRequest::default() })
            .await,
        "public_key",
    );
}

#[tokio::test]
async fn a_batch_is_made_whole_or_not_at_all() {
    let bench = Bench::new().await;
    let mut client = bench.client().await;
    let requests = vec![CreateDidRequest::default(); 100];
    let answer = client.batch_create_di_ds(BatchCreateDiDsRequest { requests }).await;
    let mut dids: Vec<_> =
        answer.expect("made").into_inner().dids.into_iter().map(|made| made.did).collect();
    for did in &dids {
        assert!(resolve(&mut client, did).await.expect("resolved").created_at.is_some());
    }
    dids.sort();
    dids.dedup();
    assert_eq!(dids.len(), 100);

    let taken = CreateDidRequest {
        public_key: vec![
            0x3b, 0x6a, 0x27, 0xbc, 0xce, 0xb6, 0xa4, 0x2d, 0x62, 0xa3, 0xa8, 0xd0, 0x2a, 0x6f,
            0x0d, 0x73, 0x65, 0x32, 0x15, 0x77, 0x1d, 0xe2, 0x43, 0xa6, 0x3a, 0xc0, 0x48, 0xa1,
            0x8b, 0x59, 0xda, 0x29,
        ],
        ..CreateDidRequest::default()
    };
    let requests = vec![taken.clone(), taken];
    let (code, _) = refusal(client.batch_create_di_ds(BatchCreateDiDsRequest { requests }).await);
    assert_eq!(code, Code::AlreadyExists);
    let did = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp";
    assert_eq!(resolve(&mut client, did).await.expect("resolved").created_at, None);

    let wrong = CreateDidRequest { method: "web".into(), ..CreateDidRequest::default() };
    let requests = vec![CreateDidRequest::default(), wrong];
    let outcome = client.batch_create_di_ds(BatchCreateDiDsRequest { requests }).await;
    invalid(outcome, "requests[1].method");
    let none = BatchCreateDiDsRequest { requests: Vec::new() };
    invalid(client.batch_create_di_ds(none).await, "requests");
    let many = BatchCreateDiDsRequest { requests: vec![CreateDidRequest::default(); 1001] };
    invalid(client.batch_create_di_ds(many).await, "requests");
}

#[tokio::test]
async fn properties_are_replaced_until_the_identifier_is_deleted() {
    let bench = Bench::new().await;
    let mut client = bench.client().await;
    let did = make(&mut client, "one").await;
    let properties = [("role".to_owned(), "x".to_owned())].into();
    let update = UpdateDidRequest { did: did.clone(), properties };
    let updated = client.update_did(update.clone()).await.expect("updated").into_inner();
    let document = resolve(&mut client, &did).await.expect("resolved");
    assert_eq!(document.properties, update.properties);
    assert_eq!(document.updated_at, updated.updated_at);

    let delete = DeleteDidRequest { did: did.clone() };
    let first = client.delete_did(delete.clone()).await.expect("deleted").into_inner();
    let again = client.delete_did(delete).await.expect("still deleted").into_inner();
    assert_eq!(first, again);
    let document = resolve(&mut client, &did).await.expect("resolved");
    assert!(document.deactivated && document.properties.is_empty());
    assert_eq!(refusal(client.update_did(update).await).0, Code::FailedPrecondition);
    let unknown = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp".to_owned();
    let (code, _) = refusal(client.delete_did(DeleteDidRequest { did: unknown }).await);
    assert_eq!(code, Code::NotFound);
}

#[tokio::test]
async fn bad_input_names_its_field() {
    let bench = Bench::new().await;
    let mut client = bench.client().await;
    let with = |properties| CreateDidRequest { properties, ..CreateDidRequest::default() };
    let many = (0..65).map(|index| (index.to_string(), String::new())).collect();
    invalid(client.create_did(with(many)).await, "properties");
    let key = [("k".repeat(129), String::new())].into();
    invalid(client.create_did(with(key)).await, "properties");
    let value = [("k".to_owned(), "v".repeat(4097))].into();
    invalid(client.create_did(with(value)).await, "properties[k]");
    let method = CreateDidRequest { method: "web".into(), ..CreateDidRequest::default() };
    invalid(client.create_did(method).await, "method");
    for did in ["", "did:web:x", "did:key:z6Mk", "z6Mk"] {
        invalid(resolve(&mut client, did).await, "did");
    }
}
