//! Listening sockets: what is refused, what is replaced.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use blackhole_process::sockets::{SocketError, listen_tcp, listen_unix, listen_unix_with};
use tempfile::TempDir;

#[test]
fn a_port_in_use_is_refused_with_a_way_to_find_out_by_whom() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let text = listen_tcp(address).unwrap_err().to_string();
    let expected = format!("could not listen on `{address}`: it is in use\nhint: `ss -ltnp");
    assert!(text.starts_with(&expected), "{text}");
    drop(taken);
    listen_tcp(address).unwrap();
}

#[test]
fn a_unix_socket_is_private_unless_asked_otherwise() {
    let directory = TempDir::new().unwrap();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let (private, shared) = (directory.path().join("private"), directory.path().join("shared"));
    let _private = listen_unix(&private).unwrap();
    assert_eq!(mode(&private), 0o600);
    let _shared = listen_unix_with(&shared, 0o640).unwrap();
    assert_eq!(mode(&shared), 0o640);
}

#[test]
fn a_dead_listener_s_file_is_replaced_and_a_living_one_s_is_not() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("s");
    drop(listen_unix(&path).unwrap());
    assert!(path.exists());
    let _living = listen_unix(&path).unwrap();
    let error = listen_unix(&path).unwrap_err();
    assert!(matches!(error, SocketError::InUse { .. }), "{error}");
    UnixStream::connect(&path).unwrap();
}

#[test]
fn a_file_that_is_no_socket_is_never_removed() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("precious");
    std::fs::write(&path, "data").unwrap();
    let error = listen_unix(&path).unwrap_err();
    assert!(matches!(error, SocketError::InTheWay { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "data");
}

#[test]
fn a_path_that_is_too_long_says_so_and_names_the_way_out() {
    let path = std::path::Path::new("/tmp").join("x".repeat(120));
    let text = listen_unix(&path).unwrap_err().to_string();
    assert!(text.contains("has 125 bytes, 107 is the most\nhint: use a shorter runtime"), "{text}");
}

#[test]
fn a_missing_directory_is_named() {
    let text = listen_unix("/no/such/place/s".as_ref()).unwrap_err().to_string();
    assert!(text.ends_with("hint: create the directory `/no/such/place`"), "{text}");
}
