//! The half of the workload that makes identifiers, accounts and tokens, and knows which must be there.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use blackhole_protocol::identity::v1::{
    AuthenticateRequest, CreateAccountRequest, CreateDidRequest, DeleteDidRequest, DidDocument,
    ResolveDidRequest, UpdateDidRequest, ValidateTokenRequest,
    identity_service_client::IdentityServiceClient,
};
use tonic::{Status, transport::Channel};

use super::{
    blocks::shown,
    calls::{connect, is_excused, within},
    journal::Journal,
};
use crate::random::Random;

/// At the end of a round the oldest beyond these are looked for a last time, and then forgotten, so that new
/// ones are made for as long as a run goes on.
const DIDS_MAX: usize = 3_000;
const TOKENS_MAX: usize = 500;
/// The latest ones are looked for at the end of each round, and as many older ones.
const LOOKED_FOR: usize = 150;
const PASSWORD: &str = "a long enough password";

/// Identifiers and tokens by what is known of them.
pub(super) struct Identities {
    client: IdentityServiceClient<Channel>,
    journal: Journal,
    dids: Mutex<Vec<Did>>,
    tokens: Mutex<Vec<Token>>,
}

/// An identifier that was acknowledged, and how it may be: one way, or more after a change that was
/// not answered, which is then the last.
#[derive(Debug, Clone)]
struct Did {
    did: String,
    possible: Vec<Facts>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Facts {
    properties: HashMap<String, String>,
    deactivated: bool,
}

#[derive(Debug, Clone)]
struct Token {
    token: String,
    user_id: String,
}

/// How many of what is known are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thoroughness {
    Sample,
    All,
}

impl Identities {
    pub(super) fn new(socket: &Path, journal: Journal) -> Self {
        let client = IdentityServiceClient::new(connect(socket));
        Self { client, journal, dids: Mutex::default(), tokens: Mutex::default() }
    }

    pub(super) async fn create(&self, random: &mut Random) {
        let properties = draw_properties(random);
        let request = CreateDidRequest {
            method: "key".into(),
            properties: properties.clone(),
            ..CreateDidRequest::default()
        };
        match within(self.client.clone().create_did(request)).await {
            Ok(answer) => {
                let possible = vec![Facts { properties, deactivated: false }];
                self.dids().push(Did { did: answer.did, possible });
            }
            Err(status) => self.judge("creating an identifier", &status),
        }
    }

    /// Gives an identifier other properties, or deletes it.
    pub(super) async fn change(&self, random: &mut Random) {
        let Some(before) = self.draw_clear(random) else { return };
        let did = before.did;
        let (wanted, outcome) = if random.between(0, 5) == 0 {
            let request = DeleteDidRequest { did: did.clone() };
            let deleted = within(self.client.clone().delete_did(request)).await.map(|_| ());
            (Facts { properties: HashMap::new(), deactivated: true }, deleted)
        } else {
            let properties = draw_properties(random);
            let request = UpdateDidRequest { did: did.clone(), properties: properties.clone() };
            let updated = within(self.client.clone().update_did(request)).await.map(|_| ());
            (Facts { properties, deactivated: false }, updated)
        };
        if let Err(status) = &outcome {
            self.judge("changing an identifier", status);
        }
        if let Some(known) = self.dids().iter_mut().find(|known| known.did == did) {
            if outcome.is_ok() {
                known.possible.clear();
            }
            known.possible.push(wanted);
        }
    }

    /// Makes an account, and gets a token for it.
    pub(super) async fn log_in(&self, random: &mut Random) {
        let username = format!("user-{:x}", random.next());
        let account = CreateAccountRequest {
            username: username.clone(),
            password: PASSWORD.into(),
            ..CreateAccountRequest::default()
        };
        let mut client = self.client.clone();
        let account = match within(client.create_account(account)).await {
            Ok(account) => account,
            Err(status) => return self.judge("creating an account", &status),
        };
        let request = AuthenticateRequest { username, password: PASSWORD.into() };
        match within(client.authenticate(request)).await {
            Ok(answer) => {
                self.tokens().push(Token { token: answer.token, user_id: account.user_id });
            }
            Err(status) => self.judge("logging in to an account that was acknowledged", &status),
        }
    }

    /// Looks for one of what is known, while it is abused.
    pub(super) async fn look(&self, random: &mut Random) {
        if let Some(did) = self.draw_clear(random) {
            let request = ResolveDidRequest { did: did.did.clone() };
            if let Err(status) = within(self.client.clone().resolve_did(request)).await {
                self.judge("resolving an identifier", &status);
            }
        }
        let token = {
            let tokens = self.tokens();
            if tokens.is_empty() {
                return;
            }
            random.one_of(&tokens).clone()
        };
        let request = ValidateTokenRequest { token: token.token };
        if let Err(status) = within(self.client.clone().validate_token(request)).await {
            self.judge("validating a token", &status);
        }
    }

    /// Looks for what is known, and forgets the oldest. Nothing is excused, because nothing is abused.
    pub(super) async fn verify(
        &self,
        socket: &Path,
        how: Thoroughness,
        random: &mut Random,
    ) -> usize {
        let client = IdentityServiceClient::new(connect(socket));
        let dids = chosen(&mut self.dids(), DIDS_MAX, how, random);
        for known in &dids {
            if self.journal.is_hopeless() {
                break;
            }
            let request = ResolveDidRequest { did: known.did.clone() };
            match within(client.clone().resolve_did(request)).await {
                Ok(document) => self.compare(known, &document),
                Err(status) => self.lost(&format!("the identifier {}", known.did), &status),
            }
        }
        let tokens = chosen(&mut self.tokens(), TOKENS_MAX, how, random);
        for known in &tokens {
            if self.journal.is_hopeless() {
                break;
            }
            let request = ValidateTokenRequest { token: known.token.clone() };
            match within(client.clone().validate_token(request)).await {
                Ok(answer) if answer.user_id == known.user_id => {}
                Ok(answer) => self.journal.violated(format!(
                    "the token of {} speaks for {}",
                    known.user_id, answer.user_id
                )),
                Err(status) => self.lost(&format!("the token of {}", known.user_id), &status),
            }
        }
        dids.len() + tokens.len()
    }

    fn compare(&self, known: &Did, document: &DidDocument) {
        let found =
            Facts { properties: document.properties.clone(), deactivated: document.deactivated };
        if !known.possible.contains(&found) {
            let Did { did, possible } = known;
            let text = format!("the identifier {did} is {found:?}, may be {possible:?}");
            self.journal.violated(text);
        }
    }

    fn lost(&self, what: &str, status: &Status) {
        self.journal.violated(format!("{what} could not be read: {}", shown(status)));
    }

    fn judge(&self, what: &str, status: &Status) {
        if !is_excused(status) {
            self.journal.violated(format!("{what} failed: {}", shown(status)));
        }
    }

    /// One of which it is clear how it is, and that may still be changed.
    fn draw_clear(&self, random: &mut Random) -> Option<Did> {
        let dids = self.dids();
        if dids.is_empty() {
            return None;
        }
        let drawn = random.one_of(&dids);
        let changeable = drawn.possible.len() == 1 && !drawn.possible[0].deactivated;
        changeable.then(|| drawn.clone())
    }

    fn dids(&self) -> MutexGuard<'_, Vec<Did>> {
        self.dids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tokens(&self) -> MutexGuard<'_, Vec<Token>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn draw_properties(random: &mut Random) -> HashMap<String, String> {
    (0..random.between(0, 4)).map(|key| (key.to_string(), random.next().to_string())).collect()
}

/// The oldest beyond `known_max`, which are taken out, and of the others all, or the latest and a sample.
fn chosen<T: Clone>(
    known: &mut Vec<T>,
    known_max: usize,
    how: Thoroughness,
    random: &mut Random,
) -> Vec<T> {
    let surplus = known.len().saturating_sub(known_max);
    let mut chosen: Vec<T> = known.drain(..surplus).collect();
    if how == Thoroughness::All || known.len() <= 2 * LOOKED_FOR {
        chosen.extend_from_slice(known);
        return chosen;
    }
    let (old, latest) = known.split_at(known.len() - LOOKED_FOR);
    chosen.extend((0..LOOKED_FOR).map(|_| random.one_of(old).clone()));
    chosen.extend_from_slice(latest);
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_looked_for_once_more_and_forgotten() {
        let mut random = Random::new(1);
        let mut known: Vec<usize> = (0..1_000).collect();
        let looked_for = chosen(&mut known, 900, Thoroughness::Sample, &mut random);
        assert_eq!(looked_for[..100], (0..100).collect::<Vec<_>>());
        assert_eq!(known, (100..1_000).collect::<Vec<_>>());
        assert_eq!(looked_for.len(), 100 + 2 * LOOKED_FOR);
        assert_eq!(chosen(&mut known, 900, Thoroughness::All, &mut random), known);
    }
}
