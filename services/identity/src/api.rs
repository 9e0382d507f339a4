//! `blackhole.identity.v1.IdentityService`, as messages.

use std::time::SystemTime;

use blackhole_protocol::identity::v1::{
    AuthenticateRequest, AuthenticateResponse, BatchCreateDiDsRequest, BatchCreateDiDsResponse,
    CreateAccountRequest, CreateAccountResponse, CreateDidRequest, CreateDidResponse, CreatedDid,
    DeleteDidRequest, DeleteDidResponse, DidDocument, DidEvent, ResolveDidRequest,
    StreamDidEventsRequest, UpdateDidRequest, UpdateDidResponse, ValidateTokenRequest,
    ValidateTokenResponse, identity_service_server::IdentityService,
};
use tonic::{Request, Response, Status, codegen::BoxStream};

use crate::{
    Identity, accounts,
    error::Error,
    events,
    identifiers::{self, NewDid, now},
    input,
    tokens::{Claims, expiry},
};

#[tonic::async_trait]
impl IdentityService for Identity {
    type StreamDIDEventsStream = BoxStream<DidEvent>;

    async fn create_did(
        &self,
        request: Request<CreateDidRequest>,
    ) -> Result<Response<CreateDidResponse>, Status> {
        let created_at = now();
        let new = NewDid::from_request(request.into_inner(), created_at)?;
        let did = new.did.clone();
        identifiers::create(&self.writer, vec![new]).await?;
        let resolver_endpoint = self.resolver_endpoint.to_string();
        let created_at = Some(created_at);
        Ok(Response::new(CreateDidResponse { did, created_at, resolver_endpoint }))
    }

    async fn batch_create_di_ds(
        &self,
        request: Request<BatchCreateDiDsRequest>,
    ) -> Result<Response<BatchCreateDiDsResponse>, Status> {
        let created_at = now();
        let new = batch(request.into_inner().requests, created_at)?;
        let created =
            |new: &NewDid| CreatedDid { did: new.did.clone(), created_at: Some(created_at) };
        let dids = new.iter().map(created).collect();
        identifiers::create(&self.writer, new).await?;
        Ok(Response::new(BatchCreateDiDsResponse { dids }))
    }

    async fn resolve_did(
        &self,
        request: Request<ResolveDidRequest>,
    ) -> Result<Response<DidDocument>, Status> {
        Ok(Response::new(identifiers::resolve(&self.store, &request.get_ref().did).await?))
    }

    async fn update_did(
        &self,
        request: Request<UpdateDidRequest>,
    ) -> Result<Response<UpdateDidResponse>, Status> {
        let UpdateDidRequest { did, properties } = request.into_inner();
        let updated_at = Some(identifiers::update(&self.writer, &did, properties).await?);
        Ok(Response::new(UpdateDidResponse { updated_at }))
    }

    async fn delete_did(
        &self,
        request: Request<DeleteDidRequest>,
    ) -> Result<Response<DeleteDidResponse>, Status> {
        let deleted_at = Some(identifiers::delete(&self.writer, &request.get_ref().did).await?);
        Ok(Response::new(DeleteDidResponse { deleted_at }))
    }

    async fn stream_did_events(
        &self,
        request: Request<StreamDidEventsRequest>,
    ) -> Result<Response<Self::StreamDIDEventsStream>, Status> {
        let position = request.get_ref().after_sequence;
        let events = events::stream(self.store.clone(), self.draining.clone(), position).await?;
        Ok(Response::new(Box::pin(events)))
    }

    async fn create_account(
        &self,
        request: Request<CreateAccountRequest>,
    ) -> Result<Response<CreateAccountResponse>, Status> {
        let request = request.into_inner();
        let answer = accounts::create(&self.store, &self.writer, &self.passwords, request).await?;
        Ok(Response::new(answer))
    }

    async fn authenticate(
        &self,
        request: Request<AuthenticateRequest>,
    ) -> Result<Response<AuthenticateResponse>, Status> {
        let request = request.into_inner();
        let account = accounts::authenticate(&self.store, &self.passwords, request).await?;
        let now = SystemTime::now();
        let expires_at = expiry(now, self.token_lifetime);
        let claims =
            Claims { user_id: account.user_id, did: account.did, role: account.role, expires_at };
        let token = self.tokens().await?.sign(claims, now).map_err(Error::from)?;
        Ok(Response::new(AuthenticateResponse { token, expires_at: Some(expires_at.into()) }))
    }

    async fn validate_token(
        &self,
        request: Request<ValidateTokenRequest>,
    ) -> Result<Response<ValidateTokenResponse>, Status> {
        let tokens = self.tokens().await?;
        let claims = tokens.verify(&request.get_ref().token, SystemTime::now());
        let Claims { user_id, did, role, expires_at } = claims.map_err(Error::from)?;
        let expires_at = Some(expires_at.into());
        Ok(Response::new(ValidateTokenResponse { user_id, did, role, expires_at }))
    }
}

/// Checks all of them before any is made; a refusal says which one it is about.
fn batch(
    requests: Vec<CreateDidRequest>,
    now: prost_types::Timestamp,
) -> Result<Vec<NewDid>, Error> {
    let count = requests.len();
    if !(1..=input::BATCH_LENGTH_MAX).contains(&count) {
        let rule = format!("has {count} entries, not 1 to {}", input::BATCH_LENGTH_MAX);
        return Err(input::refuse("requests", rule));
    }
    let numbered = requests.into_iter().enumerate();
    numbered
        .map(|(index, request)| {
            NewDid::from_request(request, now).map_err(|error| at(index, error))
        })
        .collect()
}

fn at(index: usize, error: Error) -> Error {
    match error {
        Error::Input { field, rule } => {
            Error::Input { field: format!("requests[{index}].{field}"), rule }
        }
        Error::Did { field, source } => {
            let rule = format!("is not an identifier: {source}");
            Error::Input { field: format!("requests[{index}].{field}"), rule }
        }
        other => other,
    }
}
