//! What `[services.identity.settings]` may say.

use std::time::Duration;

use serde::Deserialize;

/// What `[services.identity.settings]` may say.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How long a token is valid, such as `"15m"`. Default one hour.
    #[serde(with = "humantime_serde")]
    pub token_lifetime: Duration,
    /// The gRPC target that `CreateDID` names as the place to resolve at. Default: this instance's
    /// own socket.
    pub resolver_endpoint: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { token_lifetime: Duration::from_secs(60 * 60), resolver_endpoint: None }
    }
}
