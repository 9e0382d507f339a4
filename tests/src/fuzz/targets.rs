//! The parsers, and what each promises about any bytes.

use std::fmt::Debug;

use blackhole_config::{Color, HostFacts, Overrides, Source, load};
use blackhole_mesh::{HttpUrl, Target as Address};
use blackhole_node::{logs, outside};
use blackhole_protocol::{
    InstanceId, Name,
    link::{ToChild, ToNode, append_frame, decode, frame_length, greeting_of},
};
use blackhole_storage::{BlockId, ByteSize};
use serde::{Serialize, de::DeserializeOwned};

/// A parser under test.
#[derive(Debug)]
pub struct Target {
    /// Also the folder of its corpus.
    pub name: &'static str,
    /// Takes any bytes, and panics when a promise is broken.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 8] = [
    Target { name: "file", run: file },
    Target { name: "assignment", run: assignment },
    Target { name: "frame", run: frame },
    Target { name: "notification", run: outside::notification },
    Target { name: "output", run: outside::output },
    Target { name: "stored_line", run: outside::stored_line },
    Target { name: "request", run: request },
    Target { name: "address", run: address },
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

/// A frame of the link, from a child that may be anything: refused, or the same when sent again.
fn frame(bytes: &[u8]) {
    // Whatever the length says, it is compared with the bound before anything is read.
    let _length = frame_length(bytes);
    let _greeting = greeting_of(bytes);
    again::<ToNode>(bytes);
    again::<ToChild>(bytes);
}

fn again<M: Serialize + DeserializeOwned + Debug + PartialEq>(bytes: &[u8]) {
    let Ok(message) = decode::<M>(bytes) else { return };
    let mut frame = Vec::new();
    append_frame(&message, &mut frame).expect("what came in a frame fits into one");
    assert_eq!(decode::<M>(&frame[4..]).expect("we wrote it"), message);
}

/// The texts in requests to the control API and to services.
fn request(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(name) = text.parse::<Name>() {
        assert_eq!(name.as_str(), text);
        let instance = InstanceId { service: name, index: std::num::NonZeroU32::MIN };
        assert!(!instance.socket_file_name().contains('/'), "{text} leaves the directory");
    }
    if let Some(at) = logs::parse_timestamp(&text) {
        let _text = logs::timestamp(at);
    }
    if let Ok(grep) = regex::Regex::new(&text) {
        let _found = grep.is_match("a line that some service has printed, 42 µs");
    }
    let _level = text.parse::<logs::Level>();
    let _size = text.parse::<ByteSize>();
    if let Ok(block) = text.parse::<BlockId>() {
        assert_eq!(block.to_string().parse::<BlockId>().expect("we wrote it"), block);
    }
}

/// Where probes and calls go.
fn address(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(address) = text.parse::<Address>() {
        assert!(!address.to_string().is_empty(), "{text} cannot be shown");
        let _authority = address.authority();
    }
    if let Ok(url) = text.parse::<HttpUrl>() {
        assert!(!url.to_string().is_empty(), "{text} cannot be shown");
    }
}
