//! The server under load: its address, TLS, and the credentials for it.

use std::env;
use std::fs;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use sharedance_client::TlsOptions;

use crate::options::{Bench, Dialect};

use super::Failure;
use super::session::Session;

const DEFAULT_PORT: u16 = 1042;

/// The password, if there is no file with it: other users can read a command line.
const PASSWORD_VARIABLE: &str = "SHAREDANCE_PASSWORD";

#[derive(Debug, Clone)]
pub(super) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

pub(super) struct Target {
    pub(super) address: Address,
    tls: Option<Tls>,
    pub(super) authentication: Option<Authentication>,
}

/// The request that presents the credentials, and the line of the response to it.
pub(super) struct Authentication {
    pub(super) request: Vec<u8>,
    pub(super) response: &'static [u8],
}

/// For TLS: the name in the server's certificate, and configurations that differ in their tickets. rustls keeps only eight
/// tickets of a server, fewer than the connections that are opened at the same time.
struct Tls {
    name: ServerName<'static>,
    configs: Vec<Arc<ClientConfig>>,
}

const CONFIGS_MAX: u32 = 256;

impl Target {
    /// Resolves the name of the server, and reads the files.
    pub(super) fn new(options: &Bench) -> Result<Target, Failure> {
        let (server, is_tls) = match options.server.strip_prefix("tls://") {
            Some(server) => (server, true),
            None => (&options.server[..], options.tls),
        };
        let unix = options.unix.clone().or_else(|| server.strip_prefix("unix:").map(PathBuf::from));
        let (address, host) = match unix {
            Some(path) => (Address::Unix(path), "localhost"),
            None => {
                let (host, port) = split_port(server)?;
                let named = |error: io::Error| format!("cannot resolve {server}: {error}");
                let mut addresses = (host, port).to_socket_addrs().map_err(named)?;
                (Address::Tcp(addresses.next().ok_or_else(|| format!("{server} has no address"))?), host)
            }
        };
        let tls = if is_tls { Some(tls(options, host)?) } else { None };
        Ok(Target { address, tls, authentication: authentication(options)? })
    }

    /// A new TLS connection, if the server uses TLS. It continues an earlier session of the same number.
    pub(super) fn session(&self, number: usize) -> Result<Option<Session>, Failure> {
        match &self.tls {
            None => Ok(None),
            Some(Tls { name, configs }) => Ok(Some(Session::new(&configs[number % configs.len()], name)?)),
        }
    }
}

fn split_port(server: &str) -> Result<(&str, u16), Failure> {
    match server.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            let port = port.parse().map_err(|_| format!("{port} is not a port"))?;
            Ok((host.trim_matches(['[', ']']), port))
        }
        _ => Ok((server.trim_matches(['[', ']']), DEFAULT_PORT)),
    }
}

fn tls(options: &Bench, host: &str) -> Result<Tls, Failure> {
    let mut tls = TlsOptions::new();
    (tls.ca, tls.cert, tls.key) = (options.ca.clone(), options.cert.clone(), options.key.clone());
    let config = tls.client_config()?;
    let configs = (0..options.connections.min(CONFIGS_MAX)).map(|_| {
        let mut config = config.clone();
        config.resumption =
            if options.no_resumption { Resumption::disabled() } else { Resumption::in_memory_sessions(1) };
        Arc::new(config)
    });
    let name = options.server_name.as_deref().unwrap_or(host).to_owned();
    let name = ServerName::try_from(name).map_err(|_| "the host is not a name of a certificate: set --server-name")?;
    Ok(Tls { name, configs: configs.collect() })
}

fn authentication(options: &Bench) -> Result<Option<Authentication>, Failure> {
    let Some(user) = &options.user else {
        return Ok(None);
    };
    let password = match &options.password_file {
        Some(file) => {
            let read = fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
            read.trim_end_matches(['\r', '\n']).to_owned()
        }
        None => env::var(PASSWORD_VARIABLE).map_err(|_| {
            format!("--user needs a password: --password-file, or the environment variable {PASSWORD_VARIABLE}")
        })?,
    };
    let has_control = |text: &str| text.bytes().any(|byte| byte < b' ' || byte == 0x7f);
    if user.is_empty() || password.is_empty() || user.contains(' ') || has_control(user) || has_control(&password) {
        return Err("the user or the password is empty or contains a control character, or the user a space".into());
    }
    let request = match options.dialect {
        Dialect::Classic => return Err("the classic dialect has no credentials: leave out --user".into()),
        Dialect::Text | Dialect::Meta => {
            format!("set auth 0 -1 {}\r\n{user} {password}\r\n", user.len() + " ".len() + password.len())
        }
        Dialect::Redis => {
            let (user_len, password_len) = (user.len(), password.len());
            format!("*3\r\n$4\r\nAUTH\r\n${user_len}\r\n{user}\r\n${password_len}\r\n{password}\r\n")
        }
    };
    let response: &[u8] = if options.dialect == Dialect::Redis { b"+OK" } else { b"STORED" };
    Ok(Some(Authentication { request: request.into_bytes(), response }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_with_a_port_or_without() {
        for (server, expected) in [
            ("localhost", ("localhost", 1042)),
            ("localhost:7", ("localhost", 7)),
            ("[::1]:7", ("::1", 7)),
            ("::1", ("::1", 1042)),
            ("[::1]", ("::1", 1042)),
        ] {
            assert_eq!(split_port(server).unwrap(), expected, "{server}");
        }
        assert!(split_port("localhost:http").is_err());
    }
}
