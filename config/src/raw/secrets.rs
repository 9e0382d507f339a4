//! `[services.X.secrets]` as written: names, and where each secret comes from.

use crate::read::keys;

keys! {
    /// Where a secret comes from; one of these.
    RawSecret {
        /// A file, relative to the file's folder; read at every start.
        file: String,
        /// A variable of the node's environment; no service inherits it.
        env: String,
        /// A file of this name in the node's own `$CREDENTIALS_DIRECTORY`, as systemd passes it.
        credential: String,
    }
}
