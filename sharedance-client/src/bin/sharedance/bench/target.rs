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
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// The request that presents the credentials, and the response to it.
    pub(super) authentication: Option<(Vec<u8>, &'static [u8])>,
}

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

    /// A new TLS connection, if the server uses TLS.
    pub(super) fn session(&self) -> Result<Option<Session>, Failure> {
        match &self.tls {
            None => Ok(None),
            Some((config, name)) => Ok(Some(Session::new(config, name)?)),
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

fn tls(options: &Bench, host: &str) -> Result<(Arc<ClientConfig>, ServerName<'static>), Failure> {
    let mut tls = TlsOptions::new();
    (tls.ca, tls.cert, tls.key) = (options.ca.clone(), options.cert.clone(), options.key.clone());
    let mut config = tls.client_config()?;
    if options.no_resumption {
        config.resumption = Resumption::disabled();
    }
    let name = options.server_name.as_deref().unwrap_or(host).to_owned();
    let name = ServerName::try_from(name).map_err(|_| "the host is not a name of a certificate: set --server-name")?;
    Ok((Arc::new(config), name))
}

fn authentication(options: &Bench) -> Result<Option<(Vec<u8>, &'static [u8])>, Failure> {
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
    if [user, &password].iter().any(|text| text.is_empty() || text.bytes().any(|byte| byte <= b' ' || byte == 0x7f)) {
        return Err("the user or the password is empty, or contains a space or a control character".into());
    }
    let (user_len, password_len) = (user.len(), password.len());
    Ok(Some(match options.dialect {
        Dialect::Classic => return Err("the classic dialect has no credentials: leave out --user".into()),
        Dialect::Text | Dialect::Meta => {
            let len = user_len + " ".len() + password_len;
            (format!("set auth 0 -1 {len}\r\n{user} {password}\r\n").into_bytes(), b"STORED")
        }
        Dialect::Redis => {
            let request =
                format!("*3\r\n$4\r\nAUTH\r\n${user_len}\r\n{user}\r\n${password_len}\r\n{password}\r\n").into_bytes();
            (request, b"+OK")
        }
    }))
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
