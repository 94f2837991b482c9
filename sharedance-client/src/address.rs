//! Parses server addresses: `host`, `host:port`, `[::1]:port` or `unix:/path`. In a list of several servers, a host may
//! have `tls://` or `tcp://` before it, and each address may be followed by `?weight=N`.
//!
//! Parsing does no I/O: names are resolved when a connection is opened.

use std::fmt;
use std::path::PathBuf;

use crate::credentials::Credentials;
use crate::error::Error;

/// The port of a server address without a port.
pub(crate) const DEFAULT_PORT: u16 = 1042;

/// Limits the effect of a typing error, which could otherwise give one server all keys.
const MAX_WEIGHT: u32 = 65_535;

/// A server of a list, and what it has in common with the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedServer {
    pub(crate) server: WeightedAddress,
    /// Whether the server was named with `tcp://`: the options of TLS do not apply to it.
    is_always_plain: bool,
    /// Of the URL that names the server.
    pub(crate) credentials: Option<Credentials>,
}

/// How hosts are reached that are named without `tls://` or `tcp://`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Without TLS, unless the client has options of TLS.
    Default,
    Tcp,
    Tls,
}

impl ListedServer {
    /// `port` and `transport` are used for a host without them.
    pub(crate) fn parse(
        text: &str,
        port: u16,
        transport: Transport,
        credentials: Option<&Credentials>,
    ) -> Result<ListedServer, Error> {
        let (transport, address) = match text.split_once("://") {
            Some(("tls", address)) => (Transport::Tls, address),
            Some(("tcp", address)) => (Transport::Tcp, address),
            _ => (transport, text),
        };
        let server = WeightedAddress::parse(address, port)?;
        let is_always_plain = transport == Transport::Tcp;
        let mut listed = ListedServer { server, is_always_plain, credentials: credentials.cloned() };
        if transport == Transport::Tls {
            if !cfg!(feature = "tls") {
                return Err(refused(text, "TLS needs the feature `tls` of the crate sharedance-client"));
            }
            listed.use_tls();
        }
        Ok(listed)
    }

    /// Connects by TLS, unless the server was named with `tcp://` or has a unix socket.
    pub(crate) fn use_tls(&mut self) {
        if let Address::Tcp { host, port } = &self.server.address
            && !self.is_always_plain
        {
            self.server.address = Address::Tls { host: host.clone(), port: *port };
        }
    }
}

/// The error for a text that is not an address. What precedes an `@` may be a password, and is left out.
pub(crate) fn refused(text: &str, reason: &'static str) -> Error {
    let address = match text.rsplit_once('@') {
        None => text.to_owned(),
        Some((before, after)) => {
            let scheme = before.split_once("://").map(|(scheme, _)| scheme).filter(|scheme| !scheme.contains(':'));
            scheme.map_or_else(|| format!("...@{after}"), |scheme| format!("{scheme}://...@{after}"))
        }
    };
    Error::Address { address, reason }
}

/// An address, and the server's share of the keys relative to the other servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WeightedAddress {
    pub(crate) address: Address,
    pub(crate) weight: u32,
}

impl WeightedAddress {
    /// `port` is used for a host without a port.
    pub(crate) fn parse(text: &str, port: u16) -> Result<WeightedAddress, Error> {
        let Some((address, weight)) = text.split_once("?weight=") else {
            return Ok(WeightedAddress { address: Address::parse(text, port)?, weight: 1 });
        };
        match weight.parse() {
            Ok(weight @ 1..=MAX_WEIGHT) => Ok(WeightedAddress { address: Address::parse(address, port)?, weight }),
            _ => Err(refused(text, "the weight is not a whole number from 1 to 65535")),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp { host: String, port: u16 },
    Tls { host: String, port: u16 },
    Unix { path: PathBuf },
}

impl Address {
    /// `port` is used for a host without a port.
    pub(crate) fn parse(text: &str, port: u16) -> Result<Address, Error> {
        let refused = |reason| refused(text, reason);
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path {
                "" => Err(refused("no path follows `unix:`")),
                _ if cfg!(unix) => Ok(Address::Unix { path: path.into() }),
                _ => Err(refused("this system has no unix sockets")),
            };
        }

        let (host, digits) = split_port(text).map_err(refused)?;
        let port = match digits {
            None => port,
            Some(digits) => match digits.parse() {
                Ok(port) if port > 0 => port,
                _ => return Err(refused("the port is not a number from 1 to 65535")),
            },
        };
        match host {
            "" => Err(refused("the host is missing")),
            _ if host.contains('@') => {
                Err(refused("a name and a password are possible only in a URL: sharedance://name:password@host"))
            }
            _ if host.contains(['/', ' ']) => Err(refused("only a host, or `unix:` and a path")),
            _ => Ok(Address::Tcp { host: host.to_owned(), port }),
        }
    }
}

/// The host without brackets, and the text after the colon of the port.
fn split_port(text: &str) -> Result<(&str, Option<&str>), &'static str> {
    if let Some(inner) = text.strip_prefix('[') {
        return match inner.split_once(']') {
            Some((host, "")) => Ok((host, None)),
            Some((host, port)) if port.starts_with(':') => Ok((host, Some(&port[1..]))),
            _ => Err("the brackets are not closed, or not followed by `:port`"),
        };
    }
    match text.split_once(':') {
        None => Ok((text, None)),
        // An IPv6 address without brackets: its last group is not a port.
        Some((_, rest)) if rest.contains(':') => Ok((text, None)),
        Some((host, port)) => Ok((host, Some(port))),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            Address::Tls { host, port } if host.contains(':') => write!(f, "tls://[{host}]:{port}"),
            Address::Tls { host, port } => write!(f, "tls://{host}:{port}"),
            Address::Unix { path } => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_address() {
        for (text, shown) in [
            ("localhost", "localhost:1042"),
            ("localhost:7", "localhost:7"),
            ("192.0.2.1:1042", "192.0.2.1:1042"),
            ("::1", "[::1]:1042"),
            ("[::1]", "[::1]:1042"),
            ("[::1]:7", "[::1]:7"),
            ("unix:/run/s.sock", "unix:/run/s.sock"),
            ("unix:///run/s.sock", "unix:/run/s.sock"),
        ] {
            assert_eq!(Address::parse(text, DEFAULT_PORT).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn a_weight_follows_the_address() {
        for (text, weight) in [("localhost", 1), ("[::1]:7?weight=3", 3), ("unix:/run/s.sock?weight=65535", 65535)] {
            assert_eq!(WeightedAddress::parse(text, DEFAULT_PORT).unwrap().weight, weight);
        }
        assert_eq!(WeightedAddress::parse("host:7?weight=2", 1).unwrap().address, Address::parse("host:7", 1).unwrap());
        for text in ["host?weight=0", "host?weight=65536", "host?weight=-1", "host?weight=", "host?weight=1.5"] {
            let error = WeightedAddress::parse(text, DEFAULT_PORT).unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
    }

    #[test]
    fn a_malformed_address_is_refused_with_the_reason() {
        for text in [
            "",
            ":1042",
            "host:",
            "host:0",
            "host:65536",
            "host:http",
            "[::1",
            "[::1]7",
            "unix:",
            "unix://",
            "tcp://host",
            "a host",
        ] {
            let error = Address::parse(text, DEFAULT_PORT).unwrap_err();
            assert!(matches!(error, Error::Address { .. }), "{text:?}");
            assert!(error.to_string().contains(text), "{error}");
        }
    }
}
