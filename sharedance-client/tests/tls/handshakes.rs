//! Certificates that are refused, and handshakes that fail: the errors, and whether they are tried again.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sharedance_client::{Client, Delivery, Error, Phase, TlsOptions, TlsProblem, tokio};

use crate::certificates::{Authority, Valid, server_config};
use crate::clients::{AnyClient, ample, both, trusting};
use crate::peer::{AMPLE, SHORT, hold, listen, reset};
use crate::peer_with_tls::listen_with_tls;

/// Both clients with a long pause after a failure.
fn patient(servers: &str, options: &TlsOptions) -> [AnyClient; 2] {
    let blocking = ample(Client::builder(servers)).backoff(AMPLE, AMPLE).tls(options.clone());
    let on_tokio = ample(tokio::Client::builder(servers)).backoff(AMPLE, AMPLE).tls(options.clone());
    [AnyClient::Blocking(blocking.build().unwrap()), AnyClient::on_tokio(on_tokio.build().unwrap())]
}

/// The problem of a call, after checks that are the same for each problem that only a configuration can solve.
#[track_caller]
fn lasting_problem(client: &AnyClient, server: &str) -> TlsProblem {
    let error = client.get("secret-key").unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(text.contains(server) && !text.contains("secret"), "{text}");
    assert!(!error.is_retryable() && error.delivery() != Delivery::Unknown, "{text}");
    match error {
        Error::Tls { problem, .. } => problem,
        error => panic!("{error}"),
    }
}

#[test]
fn a_certificate_that_is_not_accepted_is_reported_with_its_reason_and_not_tried_again_at_once() {
    let (authority, other, namesake) = (Authority::new(), Authority::named("other"), Authority::new());
    let wrong_name = TlsProblem::WrongName { name: "127.0.0.1".into(), presented: Vec::new() };
    for (issued, expected) in [
        (other.issue(&["127.0.0.1"], Valid::Now), TlsProblem::UnknownAuthority),
        (namesake.issue(&["127.0.0.1"], Valid::Now), TlsProblem::UnknownAuthority),
        (authority.issue(&["127.0.0.1"], Valid::Formerly), TlsProblem::Expired),
        (authority.issue(&["127.0.0.1"], Valid::InFuture), TlsProblem::NotYetValid),
        (authority.issue(&["other.example", "127.0.0.2"], Valid::Now), wrong_name),
    ] {
        let count = Arc::new(AtomicUsize::new(0));
        let config = Arc::new(server_config(&issued, None));
        let counter = Arc::clone(&count);
        let address = listen(move |mut socket| {
            counter.fetch_add(1, Ordering::SeqCst);
            let mut connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            while connection.is_handshaking() {
                connection.complete_io(&mut socket)?;
            }
            panic!("the client has accepted the certificate");
        });
        let server = format!("tls://{address}");
        for (number, client) in (1..).zip(patient(&server, &trusting(&authority))) {
            // The second call returns the same error without a connection.
            for _ in 0..2 {
                match (lasting_problem(&client, &server), &expected) {
                    (TlsProblem::WrongName { name, presented }, TlsProblem::WrongName { name: expected, .. }) => {
                        assert_eq!(&name, expected);
                        assert!(presented.iter().any(|name| name.contains("other.example")), "{presented:?}");
                    }
                    (problem, expected) => assert_eq!(&problem, expected),
                }
            }
            assert_eq!(count.load(Ordering::SeqCst), number);
        }
    }
}

#[test]
fn the_name_of_the_certificate_can_differ_from_the_host() {
    let authority = Authority::new();
    let issued = authority.issue(&["sessions.internal"], Valid::Now);
    let address = listen_with_tls(server_config(&issued, None), |mut peer| peer.serve("value", 9));
    for client in both(&address, &trusting(&authority).server_name("sessions.internal")) {
        assert_eq!(client.get("key").unwrap().as_deref(), Some(&b"value"[..]));
    }
}

#[test]
fn a_server_that_requires_a_certificate_accepts_the_right_one_only() {
    let authority = Authority::new();
    let config = server_config(&authority.issue(&["127.0.0.1"], Valid::Now), Some(&authority));
    let address = listen_with_tls(config, |mut peer| peer.serve("value", 9));
    let server = format!("tls://{address}");

    for client in patient(&server, &trusting(&authority)) {
        assert_eq!(lasting_problem(&client, &server), TlsProblem::ClientCertificateRequired);
    }
    for other in [Authority::named("other"), Authority::new()] {
        let foreign = other.issue(&["client"], Valid::Now);
        for client in patient(&server, &trusting(&authority).client_certificate(foreign.cert, foreign.key)) {
            let problem = lasting_problem(&client, &server);
            assert!(matches!(problem, TlsProblem::ClientCertificateRefused { .. }), "{problem}");
        }
    }
    let own = authority.issue(&["client"], Valid::Now);
    for client in both(&server, &trusting(&authority).client_certificate(own.cert, own.key)) {
        assert_eq!(client.get("key").unwrap().as_deref(), Some(&b"value"[..]));
    }
}

#[test]
fn a_server_without_tls_is_recognised() {
    let authority = Authority::new();
    let address = listen(|mut socket| {
        socket.read_exact(&mut [0; 5])?;
        socket.write_all(b"CLIENT_ERROR bad command line format\r\n")?;
        hold(socket)
    });
    for client in patient(&format!("tls://{address}"), &trusting(&authority)) {
        assert_eq!(lasting_problem(&client, &address), TlsProblem::NotTls);
    }
}

#[test]
fn a_server_that_closes_during_the_handshake_is_tried_again_later() {
    let authority = Authority::new();
    let closing = listen(|mut socket| socket.read_exact(&mut [0; 5]));
    let resetting = listen(|mut socket| {
        socket.read_exact(&mut [0; 5])?;
        reset(socket)
    });
    for address in [closing, resetting] {
        for client in both(&format!("tls://{address}"), &trusting(&authority)) {
            let error = client.get("key").unwrap_err();
            assert!(matches!(error, Error::Tls { problem: TlsProblem::Closed, .. }), "{error}");
            assert!(error.is_retryable() && error.delivery() == Delivery::NotSent);
        }
    }
}

#[test]
fn a_handshake_that_trickles_or_hangs_does_not_extend_the_timeout() {
    let authority = Authority::new();
    let trickling = listen(|mut socket| {
        // The beginning of a long handshake message.
        socket.write_all(&[22, 3, 3, 0x40, 0, 2, 0, 0x3f, 0])?;
        while socket.write_all(&[0]).is_ok() {
            thread::sleep(SHORT / 20);
        }
        Ok(())
    });
    for address in [trickling, listen(hold)] {
        let server = format!("tls://{address}");
        let blocking =
            Client::builder(&server).operation_timeout(AMPLE).connect_timeout(SHORT).tls(trusting(&authority));
        let on_tokio =
            tokio::Client::builder(&server).operation_timeout(AMPLE).connect_timeout(SHORT).tls(trusting(&authority));
        for client in [AnyClient::Blocking(blocking.build().unwrap()), AnyClient::on_tokio(on_tokio.build().unwrap())] {
            let started = Instant::now();
            let error = client.get("key").unwrap_err();
            assert!(matches!(error, Error::TimedOut { phase: Phase::Connect, .. }), "{error}");
            assert!(error.is_retryable() && error.delivery() == Delivery::NotSent);
            assert!((SHORT..AMPLE).contains(&(started.elapsed() + Duration::from_millis(1))));
        }
    }
}

#[test]
fn options_that_cannot_be_used_are_reported_when_the_client_is_built() {
    let authority = Authority::new();
    let (own, other) = (authority.issue(&["a"], Valid::Now), authority.issue(&["b"], Valid::Now));
    let missing = authority.file().with_file_name("missing.pem");
    for (options, part) in [
        (TlsOptions::new().ca(&missing), "missing.pem"),
        (TlsOptions::new().ca(&own.key), "no certificates"),
        (trusting(&authority).client_certificate(&missing, &own.key), "missing.pem"),
        (trusting(&authority).client_certificate(&own.cert, &missing), "missing.pem"),
        (trusting(&authority).client_certificate(&own.cert, &other.key), "cannot be used"),
        (trusting(&authority).server_name("not a name"), "not a name"),
    ] {
        let error = Client::builder("tls://localhost").tls(options).build().unwrap_err();
        assert!(matches!(error, Error::TlsOptions { .. }), "{error}");
        assert!(error.to_string().contains(part) && !error.is_retryable(), "{error}");
    }
    let error = Client::builder(format!("tls://localhost/?ca={}&cert=/c.pem", authority.file().display())).build();
    assert!(error.unwrap_err().to_string().contains("no key"));
    // Without a server that uses TLS no file is read.
    Client::builder("tcp://localhost").tls(TlsOptions::new().ca(missing)).build().unwrap();
}
