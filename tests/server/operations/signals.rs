//! What each signal does.

use std::os::unix::net::UnixDatagram;

use rustix::process::Signal;
use sharedance_test_support::server::{AMPLE, Server, command, eventually, store};

#[test]
fn signals_of_scripts_that_rotate_logs_do_not_end_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    for signal in [Signal::HUP, Signal::USR1, Signal::USR2] {
        server.signal(signal);
        assert_eq!(server.ask(&store(b"k", b"v")), b"OK\n");
    }
    eventually("the signal was handled", || server.log().iter().find(|line| line.contains("no effect")).cloned());
    let (status, log) = server.terminate();
    assert!(status.success(), "{log}");
    assert!(log.contains("nothing to reload"), "{log}");
}

#[test]
fn the_service_manager_learns_when_a_reload_begins_and_ends() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("manager");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(AMPLE)).unwrap();
    let mut received = [0; 256];
    let mut message = || {
        let len = manager.recv(&mut received).unwrap();
        String::from_utf8(received[..len].to_vec()).unwrap()
    };
    let now = || {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        now.tv_sec * 1_000_000 + now.tv_nsec / 1000
    };
    let server = Server::spawn(command(&directory.path().join("store")).env("NOTIFY_SOCKET", &path)).unwrap();
    let ready = format!("READY=1\nMAINPID={}\n", server.pid());
    assert_eq!(message(), ready);

    let before = now();
    server.signal(Signal::HUP);
    let reloading = message();
    let micros = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().trim_end().parse().unwrap();
    assert!((before..=now()).contains(&micros), "{before} {micros}");
    assert_eq!(message(), ready);
    assert!(server.terminate().0.success());
    assert_eq!(message(), "STOPPING=1\n");
}
