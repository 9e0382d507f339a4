//! The parsers, and what each promises about any bytes.

use std::{
    collections::BTreeMap,
    error::Error,
    fmt::Debug,
    time::{Duration, SystemTime},
};

use blackhole_config::{Color, HostFacts, Overrides, Source, load, outside::environment_file};
use blackhole_identity::outside::{identifier, token};
use blackhole_isolation::outside::seccomp_profile;
use blackhole_mesh::{HttpUrl, Target as Address};
use blackhole_node::{
    incident::replay::{ReplayError, replay},
    logs, outside,
};
use blackhole_protocol::{
    InstanceId, Name,
    link::{ToChild, ToNode, append_frame, decode, frame_length, greeting_of},
};
use blackhole_storage::{BlockId, ByteSize};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::peers;

/// The last second of the year 9999, after 1970.
const LATEST: Duration = Duration::from_secs(253_402_300_799);

/// A parser under test.
#[derive(Debug)]
pub struct Target {
    /// Also the folder of its corpus.
    pub name: &'static str,
    /// Takes any bytes, and panics when a promise is broken.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 16] = [
    Target { name: "file", run: file },
    Target { name: "assignment", run: assignment },
    Target { name: "environment_file", run: environment_file },
    Target { name: "seccomp_profile", run: seccomp_profile },
    Target { name: "recording", run: recording },
    Target { name: "frame", run: frame },
    Target { name: "nested", run: nested },
    Target { name: "gateway", run: peers::gateway },
    Target { name: "reference", run: peers::reference },
    Target { name: "notification", run: outside::notification },
    Target { name: "output", run: outside::output },
    Target { name: "stored_line", run: outside::stored_line },
    Target { name: "request", run: request },
    Target { name: "address", run: address },
    Target { name: "identifier", run: identifier },
    Target { name: "token", run: token },
];

/// A configuration file: it is loaded, or refused with reasons that can be shown.
fn file(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    judge(text, &Overrides::default());
}

/// `--set KEY=VALUE`, for a file that is good without.
fn assignment(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut overrides = Overrides::default();
    text.lines().for_each(|line| overrides.set(line));
    judge("[services.api]\ncommand = [\"true\"]\n".to_owned(), &overrides);
}

fn judge(text: String, overrides: &Overrides) {
    let source = Source::Text { name: "any.toml".into(), text, folder: "/nowhere".into() };
    match load(source, overrides, &host()) {
        Ok(loaded) => drop(loaded.render_warnings(Color::Always)),
        Err(rejected) => {
            assert!(rejected.errors() > 0, "it was refused for nothing");
            assert!(!rejected.to_string().is_empty(), "the reasons cannot be shown");
            assert!(rejected.to_json()["problems"].is_array(), "the reasons have another shape");
        }
    }
}

fn host() -> HostFacts {
    HostFacts {
        hostname: "host".into(),
        uid: 1000,
        current_dir: "/".into(),
        home: Some("/nowhere".into()),
        path: Some("/usr/bin:/bin".into()),
        native_services: vec!["identity".into(), "storage".into()],
        ..HostFacts::default()
    }
}

/// A recording of what supervisors decided: decided once more, or refused with a reason; what is decided
/// again is so without its last line as well.
fn recording(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().collect();
    match replay(lines.iter().copied()) {
        Ok(replayed) => {
            assert!(replayed.supervisors + replayed.decisions < lines.len(), "{replayed}");
            let shorter = replay(lines[..lines.len() - 1].iter().copied());
            assert!(matches!(shorter, Ok(_) | Err(ReplayError::NoBeginning)), "{shorter:?}");
        }
        Err(error) => {
            assert!(!error.to_string().is_empty(), "the reason cannot be shown");
            let cause = error.source().map(ToString::to_string);
            assert_ne!(cause.as_deref(), Some(""), "{error}");
        }
    }
}

/// A frame of the link, from a child that may be anything: refused, or the same when sent again.
fn frame(bytes: &[u8]) {
    // Whatever the length says, it is compared with the bound before anything is read.
    let _length = frame_length(bytes);
    let _greeting = greeting_of(bytes);
    again::<ToNode>(bytes);
    again::<ToChild>(bytes);
}

/// A message that contains itself, as often as its bytes say.
fn nested(bytes: &[u8]) {
    again::<Tree>(bytes);
}

/// A message, or a part of one, that contains itself.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Tree {
    Leaf,
    Twig(Box<Tree>),
    Fork { left: Option<Box<Tree>>, right: Box<Tree> },
    Leaves(Vec<Tree>),
    Named(BTreeMap<u8, Tree>),
}

fn again<M: Serialize + DeserializeOwned + Debug + PartialEq>(bytes: &[u8]) {
    let Ok(message) = decode::<M>(bytes) else { return };
    let mut frame = Vec::new();
    append_frame(&message, &mut frame).expect("what came in a frame fits into one");
    assert_eq!(decode::<M>(&frame[4..]).expect("we wrote it"), message);
}

/// The texts in requests to the control API and to services: what is accepted means one thing, which
/// can be written down again.
fn request(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(name) = text.parse::<Name>() {
        assert_eq!(name.as_str(), text);
        let instance = InstanceId { service: name, index: std::num::NonZeroU32::MIN };
        assert!(!instance.socket_file_name().contains('/'), "{text} leaves the directory");
    }
    if let Some(at) = logs::parse_timestamp(&text) {
        moment(&text, at);
    }
    if let Ok(grep) = regex::Regex::new(&text) {
        let _found = grep.is_match("a line that some service has printed, 42 µs");
    }
    if let Ok(level) = text.parse::<logs::Level>() {
        assert_eq!(level.to_string().parse(), Ok(level), "{text}");
    }
    if let Ok(size) = text.parse::<ByteSize>() {
        let ByteSize(bytes) = size;
        assert_eq!(bytes.to_string().parse(), Ok(size), "{text}");
        let whole = text.split(|digit: char| !digit.is_ascii_digit()).next().unwrap_or_default();
        assert!(whole.parse::<u64>().is_ok_and(|whole| whole <= bytes), "{text} became {bytes}");
    }
    if let Ok(block) = text.parse::<BlockId>() {
        assert_eq!(block.to_string(), text, "a block has two names");
    }
}

/// A time is kept to the microsecond, within the years that can be written.
fn moment(text: &str, at: SystemTime) {
    let written = logs::timestamp(at);
    assert_eq!(written.len(), 27, "{text} became {written}");
    let kept = logs::parse_timestamp(&written).expect("we wrote it");
    assert_eq!(logs::timestamp(kept), written, "{text}");
    let nearest = at.clamp(SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + LATEST);
    let lost = nearest.duration_since(kept).expect("nothing is written as later than it is");
    assert!(lost < Duration::from_micros(1), "{text} became {written}");
}

/// Where probes and calls go: what is shown is read as the same, and shows no password.
fn address(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(address) = text.parse::<Address>() {
        let shown = address.to_string();
        assert_eq!(shown.parse().ok(), Some(address.clone()), "{text} is shown as {shown}");
        assert!(!address.authority().is_empty() && !address.host().is_empty(), "{text}");
    }
    if let Ok(url) = text.parse::<HttpUrl>() {
        let shown = url.to_string();
        let again: HttpUrl = shown.parse().expect("we wrote it");
        assert_eq!(again.to_string(), shown, "{text}");
        let (_, rest) = shown.split_once("://").expect("a scheme");
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        assert!(!authority.contains('@'), "{text} shows who calls");
    }
}
