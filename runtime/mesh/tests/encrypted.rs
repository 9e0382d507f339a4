//! TLS and mutual TLS against a real server: whom a client trusts, what it shows, what it says when
//! that does not work, and that a rotated file counts from the next connection on.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use blackhole_mesh::{
    ConnectError, HttpError, HttpUrl, Target, TlsFiles,
    health::{HealthConnection, HealthError, Serving},
    http_status,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::TcpListener,
    sync::mpsc,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::WebPkiClientVerifier,
    },
};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};

const BUFFER_SIZE: usize = 64 * 1024;

/// A certificate authority that writes PEM files.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = folder.join(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("ca.pem"), issuer.as_ref().pem()).unwrap();
        Self { issuer, folder }
    }

    fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// A certificate for `name`, and its key.
    fn issue(&self, name: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let paths =
            (self.folder.join(format!("{name}.pem")), self.folder.join(format!("{name}.key")));
        fs::write(&paths.0, certificate.pem()).unwrap();
        fs::write(&paths.1, key.serialize_pem()).unwrap();
        paths
    }
}

enum Clients {
    Anybody,
    IssuedBy(PathBuf),
}

fn acceptor((certificate, key): &(PathBuf, PathBuf), clients: Clients) -> TlsAcceptor {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        Clients::Anybody => builder.with_no_client_auth(),
        Clients::IssuedBy(ca) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// Serves gRPC health, encrypted, on a port of its own for as long as the test runs.
async fn serve(acceptor: TlsAcceptor) -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string().parse().unwrap();
    let (connections, accepted) = mpsc::channel::<DuplexStream>(8);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, connections) = (acceptor.clone(), connections.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let (inner, mut outer) = tokio::io::duplex(BUFFER_SIZE);
                connections.send(inner).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut outer).await;
            });
        }
    });
    let (_reporter, health) = tonic_health::server::health_reporter();
    let incoming = ReceiverStream::new(accepted).map(Ok::<_, std::io::Error>);
    tokio::spawn(
        tonic::transport::Server::builder().add_service(health).serve_with_incoming(incoming),
    );
    target
}

async fn ask(target: &Target, files: &TlsFiles) -> Result<Serving, Box<dyn Error>> {
    let mut connection = HealthConnection::open(target, Some(files)).await?;
    Ok(connection.check("").await?)
}

/// An error and its causes; what differs from run to run is taken out.
fn told(error: &dyn Error, target: &Target, folder: &Path) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text.replace(&target.to_string(), "[server]").replace(&folder.display().to_string(), "[folder]")
}

#[tokio::test]
async fn a_client_trusts_its_own_authorities_and_checks_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "good");
    let other = Authority::new(folder.path(), "other");
    let target = serve(acceptor(&authority.issue("api"), Clients::Anybody)).await;

    let named = TlsFiles {
        ca: Some(authority.ca()),
        server_name: Some("api".to_owned()),
        ..TlsFiles::default()
    };
    assert_eq!(ask(&target, &named).await.unwrap(), Serving::Serving);

    let unnamed = TlsFiles { server_name: None, ..named.clone() };
    let error = ask(&target, &unnamed).await.unwrap_err();
    insta::assert_snapshot!(told(&*error, &target, folder.path()), @r#"could not agree on TLS with [server]: invalid peer certificate: certificate not valid for name "127.0.0.1"; certificate is only valid for DnsName("api")"#);

    let stranger = TlsFiles { ca: Some(other.ca()), ..named };
    let error = ask(&target, &stranger).await.unwrap_err();
    insta::assert_snapshot!(told(&*error, &target, folder.path()), @"could not agree on TLS with [server]: invalid peer certificate: UnknownIssuer");
}

#[tokio::test]
async fn a_server_that_asks_who_is_there_gets_the_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "good");
    let clients = Clients::IssuedBy(authority.ca());
    let target = serve(acceptor(&authority.issue("127.0.0.1"), clients)).await;

    let anonymous = TlsFiles { ca: Some(authority.ca()), ..TlsFiles::default() };
    let error = ask(&target, &anonymous).await.unwrap_err();
    // The server's alert says that a certificate is required, unless the reset that follows it is
    // faster.
    let text = told(&*error, &target, folder.path());
    assert!(text.starts_with("gRPC health failed: Unknown: connection error: "), "{text}");

    let identity = Some(authority.issue("probe"));
    let known = TlsFiles { identity, ..anonymous };
    assert_eq!(ask(&target, &known).await.unwrap(), Serving::Serving);
}

#[tokio::test]
async fn a_rotated_certificate_counts_from_the_next_connection_on() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "good");
    let other = Authority::new(folder.path(), "other");
    let clients = Clients::IssuedBy(authority.ca());
    let target = serve(acceptor(&authority.issue("127.0.0.1"), clients)).await;

    let (certificate, key) = other.issue("probe");
    let files = TlsFiles {
        ca: Some(authority.ca()),
        identity: Some((certificate.clone(), key.clone())),
        server_name: None,
    };
    ask(&target, &files).await.unwrap_err();
    let renewed = authority.issue("probe");
    fs::copy(renewed.0, certificate).unwrap();
    fs::copy(renewed.1, key).unwrap();
    assert_eq!(ask(&target, &files).await.unwrap(), Serving::Serving);
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "good");
    let (certificate, key) = authority.issue("127.0.0.1");
    let target = serve(acceptor(&(certificate.clone(), key.clone()), Clients::Anybody)).await;
    let empty = folder.path().join("empty.pem");
    fs::write(&empty, "no certificate\n").unwrap();
    let garbled = folder.path().join("garbled.pem");
    fs::write(&garbled, "-----BEGIN CERTIFICATE-----\nMII!\n-----END CERTIFICATE-----\n").unwrap();
    let mismatched = authority.issue("other").1;

    let files =
        |ca: &Path, identity| TlsFiles { ca: Some(ca.to_owned()), identity, server_name: None };
    let good = authority.ca();
    let mut story = Vec::new();
    for files in [
        files(&folder.path().join("absent.pem"), None),
        files(&empty, None),
        files(&garbled, None),
        files(&good, Some((certificate.clone(), folder.path().join("absent.key")))),
        files(&good, Some((certificate.clone(), empty.clone()))),
        files(&good, Some((certificate.clone(), mismatched))),
        TlsFiles { server_name: Some("no name".to_owned()), ..files(&good, None) },
    ] {
        let error = ask(&target, &files).await.unwrap_err();
        story.push(told(&*error, &target, folder.path()));
    }
    insta::assert_snapshot!(story.join("\n"), @"
    could not prepare TLS for [server]: could not read the certificate authority in `[folder]/absent.pem`: I/O error: No such file or directory (os error 2)
    could not prepare TLS for [server]: there is no certificate authority in `[folder]/empty.pem`
    could not prepare TLS for [server]: could not read the certificate authority in `[folder]/garbled.pem`: base64 decode error: InvalidCharacter(33)
    could not prepare TLS for [server]: could not read the private key in `[folder]/absent.key`: I/O error: No such file or directory (os error 2)
    could not prepare TLS for [server]: there is no private key in `[folder]/empty.pem`
    could not prepare TLS for [server]: could not use the certificate `[folder]/good/127.0.0.1.pem` with the key `[folder]/good/other.key`: keys may not be consistent: KeyMismatch
    `no name` cannot be the name in a certificate
    hint: set `tls.server_name`
    ");
}

#[tokio::test]
async fn a_server_that_does_not_encrypt_is_told_from_one_that_is_absent() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target: Target = listener.local_addr().unwrap().to_string().parse().unwrap();
    let authority = Authority::new(folder.path(), "good");
    let files = TlsFiles { ca: Some(authority.ca()), ..TlsFiles::default() };

    let answer = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad\r\n\r\n")
            .await
            .unwrap();
        stream
    };
    let (error, _stream) = tokio::join!(ask(&target, &files), answer);
    insta::assert_snapshot!(told(&*error.unwrap_err(), &target, folder.path()), @"[server] does not speak TLS");

    drop(listener);
    let refused = HealthConnection::open(&target, Some(&files)).await;
    assert!(matches!(refused.err(), Some(ConnectError::Refused(_))));
}

#[tokio::test]
async fn a_server_without_health_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let incoming = tokio_stream::wrappers::UnixListenerStream::new(listener);
    let server = tonic::transport::Server::builder().add_routes(tonic::service::Routes::default());
    tokio::spawn(server.serve_with_incoming(incoming));
    let mut connection = HealthConnection::open(&Target::Unix(path), None).await.unwrap();
    assert!(matches!(connection.check("").await, Err(HealthError::Unimplemented)));
    assert!(matches!(connection.watch("").await.err(), Some(HealthError::Unimplemented)));
}

#[tokio::test]
async fn https_is_got_with_the_certificates_of_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "good");
    let clients = Clients::IssuedBy(authority.ca());
    let acceptor = acceptor(&authority.issue("localhost"), clients);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let url: HttpUrl = format!("https://localhost:{port}/health").parse().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = [0; 1024];
            let length = stream.read(&mut head).await.unwrap_or(0);
            let asked = String::from_utf8_lossy(&head[..length]).into_owned();
            assert!(asked.starts_with("GET /health HTTP/1.1\r\n"), "{asked}");
            stream.write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy").await.unwrap();
        }
    });
    let identity = Some(authority.issue("probe"));
    let files = TlsFiles { ca: Some(authority.ca()), identity, server_name: None };
    assert_eq!(http_status(&url, Some(&files)).await.unwrap().as_u16(), 503);
    // The host's own authorities have not issued this one.
    let HttpError::Connect(error) = http_status(&url, None).await.unwrap_err() else {
        panic!("it was got")
    };
    assert!(
        matches!(error, ConnectError::Handshake { .. } | ConnectError::Files { .. }),
        "{error}"
    );
}
