//! `startup`, `ready` and `live` as written.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::{Command, Count, texts::template};
use crate::{
    Template,
    problem::{Draft, Problems},
    read::{Located, Read, keys, not_among, parsed},
    tree::{Node, Value},
};

keys! {
    /// A check, repeated. Exactly one of native, notify, grpc, http, tcp, unix, exec, log, up_for.
    RawProbe {
        /// The child says so on the link (native services).
        native: bool,
        /// The child says so by sd_notify; under `live`: `WATCHDOG=1` must come within `timeout`.
        notify: bool,
        /// gRPC health v1: `unix:/path`, `host:port`, or true for a native service's own socket.
        grpc: GrpcTarget,
        /// A GET of this URL must answer 200 to 399.
        http: Url,
        /// A connection to `host:port` must succeed.
        tcp: HostPort,
        /// A connection to this Unix socket must succeed.
        unix: Template,
        /// A program that must exit with 0.
        exec: Command,
        /// A line of output that matches this regular expression (`ready` only).
        log: regex::Regex,
        /// It has stayed up for so long (`ready` only).
        up_for: Duration,
        /// From the end of one try to the start of the next. Default: 10s; 200ms until the first success.
        every: Duration,
        /// Of one try. Default: 1s; for `live` with notify 30s.
        timeout: Duration,
        /// From spawn to ready, the same as `start_deadline`. Default: 30s.
        deadline: Duration,
        /// So many failures in a row are a failure. Default: 3.
        failures_max: Count<1, 1000>,
        /// So many successes in a row are a success. Default: 1.
        successes_min: Count<1, 1000>,
        /// With `grpc`: the service to ask for. Default: the whole server.
        service: String,
        /// With `grpc` or `https`: certificates.
        tls: RawTls,
    }
}

keys! {
    /// Certificates of a client, PEM files.
    RawTls {
        /// The authorities to trust. Default: the host's.
        ca: Template,
        /// Our certificate chain; needs `key`.
        cert: Template,
        /// Our certificate's key; needs `cert`.
        key: Template,
        /// The name that the certificate must carry. Default: the target's host.
        server_name: String,
    }
}

/// Who says so, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    Spawned,
    Native,
    Notify,
}

#[derive(Debug)]
pub(crate) enum RawReady {
    Said(Said),
    Probe(Box<RawProbe>),
}

#[derive(Debug)]
pub(crate) enum RawLive {
    Said(Said),
    Probe(Box<RawProbe>),
}

impl Read for RawReady {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        const WORDS: [&str; 3] = ["native", "notify", "spawned"];
        match &node.value {
            Value::Table(_) => {
                RawProbe::read(node, problems).map(|probe| Self::Probe(probe.into()))
            }
            _ => said(node, problems, &WORDS).map(Self::Said),
        }
    }

    fn schema() -> Json {
        json!({ "anyOf": [{ "enum": ["native", "notify", "spawned"] }, RawProbe::schema()] })
    }
}

impl Read for RawLive {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        const WORDS: [&str; 2] = ["native", "notify"];
        match &node.value {
            Value::Table(_) => {
                RawProbe::read(node, problems).map(|probe| Self::Probe(probe.into()))
            }
            _ => said(node, problems, &WORDS).map(Self::Said),
        }
    }

    fn schema() -> Json {
        json!({ "anyOf": [{ "enum": ["native", "notify"] }, RawProbe::schema()] })
    }
}

fn said(node: &Node, problems: &mut Problems, words: &[&str]) -> Option<Said> {
    if !matches!(node.value, Value::Text(_)) {
        let rule = format_args!("must be a word or a table with a check, not {}", node.kind());
        let hint = format!("as in \"{}\" or {{ tcp = \"127.0.0.1:80\" }}", words.join("\", \""));
        problems.push(Draft::value(node, rule).hint(hint));
        return None;
    }
    parsed(node, problems, |text| match text {
        "spawned" if words.contains(&text) => Ok(Said::Spawned),
        "native" => Ok(Said::Native),
        "notify" => Ok(Said::Notify),
        _ => {
            let (rule, hint) = not_among(text, words);
            let table = "a check is a table, as in { tcp = \"127.0.0.1:80\" }".to_owned();
            Err((format!("{rule}, or a table with a check"), hint.or(Some(table))))
        }
    })
}

/// Where gRPC health is asked.
#[derive(Debug, Clone)]
pub(crate) enum GrpcTarget {
    /// `true`.
    OwnSocket,
    At(Template),
}

impl Read for GrpcTarget {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        if let Value::Bool(true) = node.value {
            return Some(Self::OwnSocket);
        }
        parsed(node, problems, |text| {
            if text.contains("://") {
                let hint = match text.strip_prefix("unix://") {
                    Some(path) => format!("write \"unix:{path}\""),
                    None => format!("write \"{}\"", text.split("://").last().unwrap_or_default()),
                };
                let rule = "must be `unix:/path` or `host:port`, without a scheme";
                return Err((rule.to_owned(), Some(hint)));
            }
            match text.strip_prefix("unix:") {
                Some(path) if path.starts_with(['/', '{']) => template(text),
                Some(_) => Err(("must have an absolute path".to_owned(), None)),
                None => host_and_port(text),
            }
            .map(Self::At)
        })
    }

    fn schema() -> Json {
        json!({ "anyOf": [
            { "type": "string", "examples": ["unix:{runtime_dir}/api.sock", "127.0.0.1:50051"] },
            { "const": true },
        ] })
    }
}

/// `host:port`.
#[derive(Debug, Clone)]
pub(crate) struct HostPort(pub(crate) Template);

impl Read for HostPort {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        parsed(node, problems, |text| host_and_port(text).map(Self))
    }

    fn schema() -> Json {
        json!({ "type": "string", "examples": ["127.0.0.1:5432"] })
    }
}

fn host_and_port(text: &str) -> Result<Template, (String, Option<String>)> {
    let template = template(text)?;
    let filled = template.filled_with("1");
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    match filled.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && !host.contains('/') && is_port(port) => {
            Ok(template)
        }
        _ => {
            let hint = match text.parse::<u16>() {
                Ok(port) => format!("write \"127.0.0.1:{port}\""),
                Err(_) => "as in \"127.0.0.1:5432\"".to_owned(),
            };
            Err(("must be `host:port`".to_owned(), Some(hint)))
        }
    }
}

/// `http://…` or `https://…`.
#[derive(Debug, Clone)]
pub(crate) struct Url {
    pub(crate) template: Template,
    pub(crate) is_https: bool,
}

impl Read for Url {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        parsed(node, problems, |text| {
            let template = template(text)?;
            let filled = template.filled_with("1");
            if !filled.starts_with("http://") && !filled.starts_with("https://") {
                let hint = format!("write \"http://{}\"", text.split("://").last().unwrap_or(text));
                return Err(("must begin with `http://` or `https://`".to_owned(), Some(hint)));
            }
            match filled.parse::<http::Uri>() {
                Ok(uri) if uri.host().is_some_and(|host| !host.is_empty()) => {
                    Ok(Self { template, is_https: filled.starts_with("https://") })
                }
                Ok(_) => Err(("is not a URL: it has no host".to_owned(), None)),
                Err(error) => Err((format!("is not a URL: {error}"), None)),
            }
        })
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^https?://.+" })
    }
}

impl RawProbe {
    /// The checks that are written, by key.
    pub(crate) fn checks(&self) -> Vec<(&'static str, crate::tree::Place)> {
        fn place<T>(field: &crate::read::Field<T>) -> Option<crate::tree::Place> {
            field.given().map(|located: &Located<T>| located.key.clone())
        }
        [
            ("native", place(&self.native)),
            ("notify", place(&self.notify)),
            ("grpc", place(&self.grpc)),
            ("http", place(&self.http)),
            ("tcp", place(&self.tcp)),
            ("unix", place(&self.unix)),
            ("exec", place(&self.exec)),
            ("log", place(&self.log)),
            ("up_for", place(&self.up_for)),
        ]
        .into_iter()
        .filter_map(|(name, place)| place.map(|place| (name, place)))
        .collect()
    }

    /// Whether a check was written but could not be read; it has been reported.
    pub(crate) fn has_invalid_check(&self) -> bool {
        use crate::read::Field::Invalid;
        matches!(self.native, Invalid)
            || matches!(self.notify, Invalid)
            || matches!(self.grpc, Invalid)
            || matches!(self.http, Invalid)
            || matches!(self.tcp, Invalid)
            || matches!(self.unix, Invalid)
            || matches!(self.exec, Invalid)
            || matches!(self.log, Invalid)
            || matches!(self.up_for, Invalid)
    }
}
