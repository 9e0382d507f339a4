//! Certificates of a client, read from files for each connection, so that a rotated file counts
//! from the next connection on without anybody being told.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio_rustls::rustls::{
    self, ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};

/// Which files a client trusts and shows. All paths are absolute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM file with the authorities to trust; `None`: the host's own.
    pub ca: Option<PathBuf>,
    /// PEM files with our certificate chain and its key; `None`: we show none.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name that the server's certificate must carry; `None`: the target's host.
    pub server_name: Option<String>,
}

/// Why no TLS connection can even be tried.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is not PEM.
    #[error("could not read the {what} in `{}`", path.display())]
    Unreadable {
        /// What it should hold.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// A file has no section of the kind that it is there for.
    #[error("there is no {what} in `{}`", path.display())]
    Absent {
        /// What it should hold.
        what: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// An authority that is no certificate.
    #[error("could not trust the certificate authorities in `{}`", path.display())]
    Authority {
        /// Where.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The key does not belong to the certificate, or is of an unknown kind.
    #[error("could not use the certificate `{}` with the key `{}`", certificate.display(), key.display())]
    Identity {
        /// Our certificate chain.
        certificate: PathBuf,
        /// Its key.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The host has no store of authorities.
    #[error("the host has no certificate authorities\nhint: name a file by `tls.ca`")]
    NoHostAuthorities,
    /// Our own settings contradict each other.
    #[error("could not set up TLS")]
    Setup(#[source] rustls::Error),
}

const AUTHORITY: &str = "certificate authority";
const CERTIFICATE: &str = "certificate";
const KEY: &str = "private key";

impl TlsFiles {
    /// Reads the files. Blocks on the file system.
    pub(crate) fn read(&self, alpn: &[u8]) -> Result<Arc<ClientConfig>, TlsError> {
        let builder = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_root_certificates(self.authorities()?);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(certificates(CERTIFICATE, certificate)?, private_key(key)?)
                .map_err(|source| TlsError::Identity {
                    certificate: certificate.clone(),
                    key: key.clone(),
                    source,
                })?,
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        Ok(Arc::new(config))
    }

    fn authorities(&self) -> Result<RootCertStore, TlsError> {
        let mut store = RootCertStore::empty();
        let Some(path) = &self.ca else {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            return if store.is_empty() { Err(TlsError::NoHostAuthorities) } else { Ok(store) };
        };
        for certificate in certificates(AUTHORITY, path)? {
            let refused = |source| TlsError::Authority { path: path.clone(), source };
            store.add(certificate).map_err(refused)?;
        }
        Ok(store)
    }
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |source| TlsError::Unreadable { what, path: path.to_owned(), source };
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(|sections| sections.collect())
        .map_err(unreadable)?;
    if found.is_empty() {
        return Err(TlsError::Absent { what, path: path.to_owned() });
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|source| match source {
        pem::Error::NoItemsFound => TlsError::Absent { what: KEY, path: path.to_owned() },
        source => TlsError::Unreadable { what: KEY, path: path.to_owned(), source },
    })
}
