//! One HTTP/1.1 GET over a connection of its own. Redirects are not followed.

use std::{fmt, str::FromStr, time::Duration};

use http::{
    Request, StatusCode, Uri, header,
    uri::{Authority, Scheme},
};
use hyper::{
    body::{Body, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use tokio::{task::AbortHandle, time};

use crate::{ConnectError, Protocol, Target, TlsFiles, connect};

/// So much of a body is read and thrown away, in bytes, so that a well-behaved server does not see
/// its answer cut off; a longer one is cut off.
const BODY_SIZE_MAX: u64 = 64 * 1024;
/// A body that takes longer is cut off.
const BODY_WAIT_MAX: Duration = Duration::from_millis(500);

/// An `http` or `https` URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUrl {
    uri: Uri,
    target: Target,
    scheme: HttpScheme,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HttpScheme {
    Http,
    Https,
}

/// Why a text is not an [`HttpUrl`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a URL\nhint: write `http://host:port/path` or `https://host:port/path`")]
pub struct HttpUrlError {
    text: String,
}

/// Why there is no answer. The texts are for people.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server closed the connection, or what it sent is not HTTP.
    #[error("could not get an answer from {url}")]
    Failed {
        /// What was asked for.
        url: HttpUrl,
        /// Why.
        source: hyper::Error,
    },
}

/// Gets `url` and returns the status; the body is thrown away. `tls` matters for `https` only,
/// where `None` trusts the host's authorities.
///
/// It has no deadline of its own: drop the future to give up.
pub async fn http_status(url: &HttpUrl, tls: Option<&TlsFiles>) -> Result<StatusCode, HttpError> {
    let host_authorities = TlsFiles::default();
    let tls = match url.scheme {
        HttpScheme::Http => None,
        HttpScheme::Https => Some(tls.unwrap_or(&host_authorities)),
    };
    let connection = connect(&url.target, tls, Protocol::Http1).await?;
    let failed = |source| HttpError::Failed { url: url.clone(), source };
    let (mut requests, driver) =
        http1::handshake(TokioIo::new(connection)).await.map_err(failed)?;
    // How the connection ended is told to the request on it.
    let _driver = Driver(tokio::spawn(async move { drop(driver.await) }).abort_handle());
    let answer = requests.send_request(url.request()).await.map_err(failed)?;
    let status = answer.status();
    // The status is the answer; whether the rest of it comes changes nothing.
    drop(time::timeout(BODY_WAIT_MAX, discard(answer.into_body())).await);
    Ok(status)
}

async fn discard(body: Incoming) {
    let mut body = std::pin::pin!(body);
    let mut size = 0;
    while size < BODY_SIZE_MAX {
        match std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await {
            Some(Ok(frame)) => size += frame.data_ref().map_or(0, |data| data.len() as u64),
            Some(Err(_)) | None => return,
        }
    }
}

/// Closes the connection when dropped.
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl HttpUrl {
    fn request(&self) -> Request<String> {
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        Request::get(path)
            .header(header::HOST, self.host())
            .header(header::USER_AGENT, concat!("blackhole/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT, "*/*")
            .header(header::CONNECTION, "close")
            .body(String::new())
            .expect("the parts of a parsed URI are legal in a request")
    }

    /// As written, without user and password.
    fn host(&self) -> &str {
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        authority.rsplit_once('@').map_or(authority, |(_, host)| host)
    }
}

impl FromStr for HttpUrl {
    type Err = HttpUrlError;

    fn from_str(text: &str) -> Result<Self, HttpUrlError> {
        let malformed = || HttpUrlError { text: text.to_owned() };
        let uri: Uri = text.parse().map_err(|_| malformed())?;
        let (scheme, port) = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => (HttpScheme::Http, 80),
            Some(scheme) if *scheme == Scheme::HTTPS => (HttpScheme::Https, 443),
            Some(_) | None => return Err(malformed()),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(malformed)?;
        let target = format!("{host}:{}", uri.port_u16().unwrap_or(port))
            .parse()
            .map_err(|_| malformed())?;
        let url = Self { target, scheme, uri };
        // Brackets that are whole only with those of the user name are none of the host's.
        match url.host().parse::<Authority>() {
            Ok(alone) if Some(alone.host()) == url.uri.host() => Ok(url),
            Ok(_) | Err(_) => Err(malformed()),
        }
    }
}

/// Prints the URL without user and password.
impl fmt::Display for HttpUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            HttpScheme::Http => "http",
            HttpScheme::Https => "https",
        };
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        write!(formatter, "{scheme}://{}{path}", self.host())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_their_server_and_never_show_a_password() {
        let url: HttpUrl = "http://me:secret@127.0.0.1:80/a?b=1".parse().expect("a url");
        assert_eq!(url.to_string(), "http://127.0.0.1:80/a?b=1");
        assert_eq!(url.host(), "127.0.0.1:80");
        let url: HttpUrl = "https://[::1]".parse().expect("a url");
        assert_eq!(url.target, Target::Tcp { host: "::1".into(), port: 443 });
        for text in [
            "",
            "/health",
            "localhost:80",
            "ftp://host/",
            "http://",
            "http:///x",
            "https://u[@__::1]:/8",
        ] {
            text.parse::<HttpUrl>().expect_err(text);
        }
    }
}
