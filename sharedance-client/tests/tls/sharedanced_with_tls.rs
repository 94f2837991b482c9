//! sharedanced with TLS: with and without credentials, locks, and client certificates.

use std::time::Duration;

use sharedance_client::{Client, Credentials, Error, LockOptions, TlsOptions, TlsProblem, Ttl, tokio};
use sharedance_server::options::TlsOptions as ServerTlsOptions;
use sharedance_server::{ListenAddress, ListenSpec, ServerOptions};
use tempfile::TempDir;

use crate::auth_file::auth_file;
use crate::certificates::{Authority, Valid};
use crate::clients::{AnyClient, ample, both, trusting};
use crate::sharedanced::Sharedanced;

/// A server with the user `ada` and the password `secret`.
fn sharedanced(authority: &Authority, client_ca: Option<&Authority>) -> (Sharedanced, TempDir) {
    let issued = authority.issue(&["127.0.0.1"], Valid::Now);
    let (directory, path) = auth_file("ada:secret\n");
    let address = ListenAddress::Tcp { host: Some("127.0.0.1".into()), port: 0, tls: true };
    let client_ca = client_ca.map(Authority::file);
    let tls = ServerTlsOptions { cert: issued.cert, key: issued.key, client_ca };
    let mut options =
        ServerOptions { listen: vec![ListenSpec::new(address)], tls: Some(tls), ..ServerOptions::default() };
    options.access.auth_file = Some(path);
    (Sharedanced::start_with(options), directory)
}

fn credentials() -> Credentials {
    Credentials::new("ada", "secret")
}

#[test]
fn calls_with_credentials() {
    let authority = Authority::new();
    let (server, _directory) = sharedanced(&authority, None);
    let blocking = ample(Client::builder(server.address())).tls(trusting(&authority)).credentials(credentials());
    let on_tokio = ample(tokio::Client::builder(server.address())).tls(trusting(&authority)).credentials(credentials());
    for client in [AnyClient::Blocking(blocking.build().unwrap()), AnyClient::on_tokio(on_tokio.build().unwrap())] {
        for len in [0, 1, 16_384, 100_000, 5_000_000] {
            let value = vec![b'v'; len];
            client.set("key", &value).unwrap();
            assert_eq!(client.get("key").unwrap(), Some(value));
        }
        let keys: Vec<String> = (0..1000).map(|number| format!("key-{number}")).collect();
        for key in &keys {
            client.set(key, key.repeat(30).as_bytes()).unwrap();
        }
        for (key, value) in keys.iter().zip(client.get_many(&keys)) {
            assert_eq!(value.unwrap(), Some(key.repeat(30).into_bytes()));
        }
    }
    for client in both(server.address(), &trusting(&authority)) {
        assert!(matches!(client.get("key").unwrap_err(), Error::Rejected { .. }));
    }
    let wrong = Credentials::new("ada", "secret2");
    let client = ample(Client::builder(server.address())).tls(trusting(&authority)).credentials(wrong).build().unwrap();
    assert!(matches!(client.get("key").unwrap_err(), Error::AuthenticationFailed { .. }));
}

#[test]
fn a_dropped_lock_is_released() {
    let authority = Authority::new();
    let (server, _directory) = sharedanced(&authority, None);
    let url = format!("tls://ada:secret@{}/?ca={}", server.address(), authority.file().display());
    let (first, second) =
        (ample(Client::builder(&url)).build().unwrap(), ample(Client::builder(&url)).build().unwrap());
    let options = LockOptions::new().wait(Duration::from_secs(60)).ttl(Duration::from_secs(600));
    for _ in 0..20 {
        let (lock, value) = first.lock_and_get("session", options).unwrap().unwrap();
        assert!(second.lock("session", options.wait(Duration::ZERO)).unwrap().is_none());
        drop(lock);
        // The other client waits less than the TTL.
        let (lock, same) = second.lock_and_get("session", options).unwrap().unwrap();
        assert_eq!(same, value);
        lock.set_and_release("value", Ttl::Never).unwrap();
    }
}

#[test]
fn a_certificate_of_the_client_is_required() {
    let (authority, clients) = (Authority::new(), Authority::named("authority of the clients"));
    let (server, _directory) = sharedanced(&authority, Some(&clients));
    let client = |options: TlsOptions| {
        ample(Client::builder(server.address())).tls(options).credentials(credentials()).build().unwrap()
    };
    let own = clients.issue(&["web"], Valid::Now);
    client(trusting(&authority).client_certificate(own.cert, own.key)).set("key", "value", Ttl::Never).unwrap();

    let error = client(trusting(&authority)).get("key").unwrap_err();
    assert!(matches!(error, Error::Tls { problem: TlsProblem::ClientCertificateRequired, .. }), "{error}");
    let foreign = authority.issue(&["web"], Valid::Now);
    let error = client(trusting(&authority).client_certificate(foreign.cert, foreign.key)).get("key").unwrap_err();
    assert!(matches!(error, Error::Tls { problem: TlsProblem::ClientCertificateRefused { .. }, .. }), "{error}");
}
