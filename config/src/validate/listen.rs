//! Addresses that two would want, and socket paths that the kernel would refuse.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    path::Path,
};

use blackhole_protocol::InstanceId;

use super::Unit;
use crate::{
    Config, Kind, Listen, Scope, Service,
    problem::{Draft, Problems},
    raw::{RawFile, RawService},
    tree::Place,
};

/// `sun_path` without its closing NUL.
const SOCKET_PATH_LENGTH_MAX: usize = 107;
const CONTROL_SOCKET: &str = "control.sock";

pub(super) fn check(
    raw: &RawFile,
    units: &[Unit<'_, RawService>],
    config: &Config,
    problems: &mut Problems,
) {
    let mut taken = Taken::default();
    let http = raw.http.value().and_then(|http| http.listen.given());
    if let Some(located) = http {
        taken.tcp(located.value.0, &located.place, problems);
    }
    for (unit, service) in units.iter().zip(config.services.values()) {
        let Some(written) = unit.raw.listen.value() else {
            continue;
        };
        for located in written {
            match &located.value.0 {
                Listen::Tcp(address) => taken.tcp(*address, &located.place, problems),
                Listen::Unix(path) => {
                    let path = path.render(&scope(config, service));
                    check_length(&path, &located.place, problems);
                    taken.unix(path, &located.place, problems);
                }
            }
        }
    }
    check_runtime_dir(raw, units, config, problems);
}

fn scope<'a>(config: &'a Config, service: &'a Service) -> Scope<'a> {
    Scope {
        runtime_dir: &config.node.runtime_dir,
        data_dir: &config.node.data_dir,
        log_dir: &config.node.log_dir,
        secrets_dir: &config.node.runtime_dir,
        node: &config.node.name,
        service: &service.name,
        instance: service.instances,
    }
}

#[derive(Default)]
struct Taken {
    ports: HashMap<u16, Vec<(IpAddr, Place)>>,
    paths: HashMap<String, Place>,
}

impl Taken {
    /// Port 0 is a different one every time.
    fn tcp(&mut self, address: SocketAddr, place: &Place, problems: &mut Problems) {
        if address.port() == 0 {
            return;
        }
        let same_port = self.ports.entry(address.port()).or_default();
        let clash = same_port.iter().find(|(ip, _)| overlap(*ip, address.ip()));
        if let Some((ip, other)) = clash {
            let taken = SocketAddr::new(*ip, address.port());
            problems.push(taken_by(place, &taken.to_string(), other, &address.to_string()));
        } else {
            same_port.push((address.ip(), place.clone()));
        }
    }

    fn unix(&mut self, path: String, place: &Place, problems: &mut Problems) {
        match self.paths.get(&path) {
            Some(other) => problems.push(taken_by(place, &path, other, &path)),
            None => {
                self.paths.insert(path, place.clone());
            }
        }
    }
}

fn taken_by(place: &Place, taken: &str, other: &Place, found: &str) -> Draft {
    let rule = format!("is taken: `{}` listens on {taken}", other.path);
    Draft::new(place, rule).found(found).hint("each address can be held once")
}

/// `0.0.0.0` and `[::]` contain the addresses of their family; `[::]` on Linux of both.
fn overlap(one: IpAddr, other: IpAddr) -> bool {
    let contains = |wide: IpAddr, narrow: IpAddr| {
        wide.is_unspecified() && (wide.is_ipv6() || narrow.is_ipv4())
    };
    one == other || contains(one, other) || contains(other, one)
}

fn check_length(path: &str, place: &Place, problems: &mut Problems) {
    if path.len() > SOCKET_PATH_LENGTH_MAX {
        let rule = format!(
            "is too long for a socket: {} bytes, at most {SOCKET_PATH_LENGTH_MAX}",
            path.len()
        );
        problems.push(Draft::new(place, rule).found(path));
    }
}

/// The sockets that the node makes by itself must fit as well.
fn check_runtime_dir(
    raw: &RawFile,
    units: &[Unit<'_, RawService>],
    config: &Config,
    problems: &mut Problems,
) {
    let longest_service = units
        .iter()
        .zip(config.services.values())
        .filter(|(_, service)| matches!(service.kind, Kind::Native { .. }))
        .map(|(unit, service)| (own_socket(service), &unit.written.key))
        .max_by_key(|(file, _)| file.len());
    let runtime_dir: &Path = &config.node.runtime_dir;
    let length = |file: &str| runtime_dir.join(file).as_os_str().len();
    let written = raw.node.value().and_then(|node| node.runtime_dir.given());
    let (file, place) = match (&longest_service, written) {
        (Some((file, _)), Some(dir)) if file.len() > CONTROL_SOCKET.len() => {
            (file.as_str(), dir.place.clone())
        }
        (_, Some(dir)) => (CONTROL_SOCKET, dir.place.clone()),
        (Some((file, key)), None) if file.len() > CONTROL_SOCKET.len() => {
            (file.as_str(), (*key).clone())
        }
        (_, None) => (CONTROL_SOCKET, root_place(raw)),
    };
    if length(file) > SOCKET_PATH_LENGTH_MAX {
        let path = runtime_dir.join(file);
        let rule = format!(
            "makes a socket's path too long: {} bytes, at most {SOCKET_PATH_LENGTH_MAX}",
            length(file)
        );
        problems.push(
            Draft::new(&place, rule)
                .found(path.display())
                .hint("choose a shorter `node.runtime_dir`, or a shorter name"),
        );
    }
}

fn root_place(raw: &RawFile) -> Place {
    let file =
        || Place { origin: crate::tree::Origin::File(0..0), path: "node.runtime_dir".into() };
    raw.node.given().map_or_else(file, |node| node.key.clone())
}

fn own_socket(service: &Service) -> String {
    let index: NonZeroU32 = service.instances;
    InstanceId { service: service.name.clone(), index }.socket_file_name()
}
