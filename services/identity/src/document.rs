//! An identifier's document, as messages and as JSON (W3C DID Core 1.0, did:key 0.7).

use blackhole_protocol::identity::v1::{DidDocument, VerificationMethod};
use serde_json::{Map, Value, json};

use crate::{did::Did, store::DidRecord};

const CORE: &str = "https://www.w3.org/ns/did/v1";
const ED25519_SUITE: &str = "https://w3id.org/security/suites/ed25519-2020/v1";
const X25519_SUITE: &str = "https://w3id.org/security/suites/x25519-2020/v1";

/// The document of an identifier, with what is kept of it, if it was made here.
pub(crate) fn document(did: &Did, record: Option<DidRecord>) -> DidDocument {
    let record = record.unwrap_or_default();
    let mut document = bare(did, record.derive_key_agreement);
    document.json = json(&document).to_string();
    document.created_at = record.created_at;
    document.updated_at = record.updated_at;
    document.deactivated = record.deactivated;
    document.properties = record.properties;
    document
}

fn bare(did: &Did, derive_key_agreement: bool) -> DidDocument {
    let id = did.to_string();
    let method = |kind: &str, key: String| VerificationMethod {
        id: format!("{id}#{key}"),
        r#type: kind.to_owned(),
        controller: id.clone(),
        public_key_multibase: key,
    };
    let mut context = vec![CORE.to_owned(), ED25519_SUITE.to_owned()];
    let mut methods = vec![method("Ed25519VerificationKey2020", did.multibase())];
    let signing = vec![methods[0].id.clone()];
    let mut key_agreement = Vec::new();
    if derive_key_agreement {
        context.push(X25519_SUITE.to_owned());
        methods.push(method("X25519KeyAgreementKey2020", did.key_agreement_multibase()));
        key_agreement.push(methods[1].id.clone());
    }
    DidDocument {
        id,
        context,
        verification_method: methods,
        authentication: signing.clone(),
        assertion_method: signing.clone(),
        capability_invocation: signing.clone(),
        capability_delegation: signing,
        key_agreement,
        ..DidDocument::default()
    }
}

fn json(document: &DidDocument) -> Value {
    let methods: Vec<_> = document
        .verification_method
        .iter()
        .map(|method| {
            json!({
                "id": method.id,
                "type": method.r#type,
                "controller": method.controller,
                "publicKeyMultibase": method.public_key_multibase,
            })
        })
        .collect();
    let mut json = Map::from_iter([
        ("@context".to_owned(), json!(document.context)),
        ("id".to_owned(), json!(document.id)),
        ("verificationMethod".to_owned(), json!(methods)),
    ]);
    let relations = [
        ("authentication", &document.authentication),
        ("assertionMethod", &document.assertion_method),
        ("capabilityInvocation", &document.capability_invocation),
        ("capabilityDelegation", &document.capability_delegation),
        ("keyAgreement", &document.key_agreement),
    ];
    for (relation, methods) in relations {
        if !methods.is_empty() {
            json.insert(relation.to_owned(), json!(methods));
        }
    }
    Value::Object(json)
}
