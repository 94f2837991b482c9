//! What to listen on, in the form of the command line: `KIND:ADDRESS[,OPTION]...`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

use super::options::{Dialects, ListenerKind, ListenerOptions};
use super::port::parse_port;

/// The host for any address.
const ANY_HOST: &str = "*";

/// One listener, as the operator describes it.
///
/// ```
/// # use sharedance_server::ListenSpec;
/// for spec in ["tcp:localhost:1042", "tcp:[::1]:0", "unix:/run/sharedance.sock,mode=0660,group=www-data,auth=off"] {
///     assert_eq!(spec.parse::<ListenSpec>().unwrap().to_string(), spec);
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenSpec {
    /// Where to listen.
    pub address: ListenAddress,
    /// The dialects that connections may use.
    pub dialects: Dialects,
    /// Whether connections need credentials, if the server has any.
    pub auth: bool,
    /// Whether connections may use administrative commands without credentials.
    pub admin: bool,
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListenAddress {
    /// A TCP port.
    Tcp {
        /// An address or a name; `None` is any address, IPv4 and IPv6.
        host: Option<String>,
        /// The port; 0 lets the kernel choose.
        port: u16,
        /// Whether connections use TLS.
        tls: bool,
    },
    /// A Unix socket.
    Unix {
        /// Its absolute path.
        path: PathBuf,
        /// Its permission bits; `None` is 0660 with a group, and 0600 otherwise.
        mode: Option<u32>,
        /// Its group, by name or number.
        group: Option<String>,
    },
    /// Sockets that the service manager hands over.
    Systemd {
        /// Their name; `None` is all that no other listener names.
        name: Option<String>,
        /// Whether connections use TLS.
        tls: bool,
    },
}

/// Why a text is not a [`ListenSpec`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SpecError {
    /// It begins with another word.
    #[error("\"{0}\" is not a kind of listener: write tcp:HOST:PORT, tls:HOST:PORT, unix:PATH or systemd[:NAME]")]
    Kind(String),
    /// The address of a TCP listener is incomplete or ambiguous.
    #[error("\"{0}\" is not HOST:PORT: write localhost:1042, 127.0.0.1:1042, [::1]:1042, or *:1042 for any address")]
    HostPort(String),
    /// The port is neither a number nor a known service.
    #[error("\"{port}\" is not a port: {reason}")]
    Port {
        /// The port as given.
        port: String,
        /// What a port is.
        reason: String,
    },
    /// The path of a Unix socket is not absolute.
    #[error("\"{0}\" is not the path of a Unix socket: write an absolute path, which begins with /")]
    Path(String),
    /// There is no such name of handed-over sockets.
    #[error("systemd: is followed by no name: write systemd:NAME, or systemd for all sockets without another listener")]
    Name,
    /// No listener has this option.
    #[error("\"{option}\" is not an option of a {kind} listener: it has {known}")]
    Option {
        /// The option as given.
        option: String,
        /// The kind of the listener.
        kind: &'static str,
        /// The options that there are.
        known: &'static str,
    },
    /// The option has no such value.
    #[error("{option}={value}: \"{value}\" is not {expected}")]
    Value {
        /// The option.
        option: &'static str,
        /// Its value as given.
        value: String,
        /// What its values are.
        expected: &'static str,
    },
}

impl ListenSpec {
    /// A listener without restrictions.
    pub const fn new(address: ListenAddress) -> ListenSpec {
        ListenSpec { address, dialects: Dialects::ALL, auth: true, admin: false }
    }

    /// What the connections of this listener keep, if their bytes travel like this.
    pub(super) fn options(&self, kind: ListenerKind) -> ListenerOptions {
        ListenerOptions { kind, dialects: self.dialects, auth: self.auth, admin: self.admin }
    }

    fn set(&mut self, option: &str) -> Result<(), SpecError> {
        let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
        match (name, value, &mut self.address) {
            ("dialects", Some(value), _) => self.dialects = value.parse()?,
            ("auth", Some(value), _) => self.auth = parse_auth(value)?,
            ("admin", None, _) => self.admin = true,
            ("mode", Some(value), ListenAddress::Unix { mode, .. }) => *mode = Some(parse_mode(value)?),
            ("group", Some(value), ListenAddress::Unix { group, .. }) => *group = Some(value.to_owned()),
            ("tls", None, ListenAddress::Systemd { tls, .. }) => *tls = true,
            (_, _, address) => {
                let (kind, known) = match address {
                    ListenAddress::Tcp { tls: false, .. } => ("tcp", "dialects=, auth=off and admin"),
                    ListenAddress::Tcp { tls: true, .. } => ("tls", "dialects=, auth=off and admin"),
                    ListenAddress::Unix { .. } => ("unix", "mode=, group=, dialects=, auth=off and admin"),
                    ListenAddress::Systemd { .. } => ("systemd", "tls, dialects=, auth=off and admin"),
                };
                return Err(SpecError::Option { option: option.to_owned(), kind, known });
            }
        }
        Ok(())
    }
}

impl ListenAddress {
    /// Whether connections use TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self, ListenAddress::Tcp { tls: true, .. } | ListenAddress::Systemd { tls: true, .. })
    }
}

impl FromStr for ListenSpec {
    type Err = SpecError;

    /// Parses `KIND:ADDRESS[,OPTION]...`. Neither an address nor a path can contain a comma. The address may have two
    /// slashes before it, as in a URL.
    fn from_str(text: &str) -> Result<ListenSpec, SpecError> {
        let (place, options) = text.split_once(',').map_or((text, None), |(place, options)| (place, Some(options)));
        let (kind, address) = place.split_once(':').map_or((place, None), |(kind, address)| (kind, Some(address)));
        let address = address.map(|address| address.strip_prefix("//").unwrap_or(address));
        let address = match (kind, address) {
            ("tcp" | "tls", address) => parse_tcp(address.unwrap_or_default(), kind == "tls")?,
            ("unix", address) => parse_unix(address.unwrap_or_default())?,
            ("systemd", None) => ListenAddress::Systemd { name: None, tls: false },
            ("systemd", Some("")) => return Err(SpecError::Name),
            ("systemd", Some(name)) => ListenAddress::Systemd { name: Some(name.to_owned()), tls: false },
            _ => return Err(SpecError::Kind(kind.to_owned())),
        };
        let mut spec = ListenSpec::new(address);
        options.into_iter().flat_map(|options| options.split(',')).try_for_each(|option| spec.set(option))?;
        Ok(spec)
    }
}

fn parse_tcp(text: &str, tls: bool) -> Result<ListenAddress, SpecError> {
    let malformed = || SpecError::HostPort(text.to_owned());
    let (host, port) = text.rsplit_once(':').ok_or_else(malformed)?;
    let is_bracketed = host.starts_with('[') && host.ends_with(']');
    // Otherwise the last group of an IPv6 address would be taken for the port.
    if host.is_empty() || host.contains(':') && !is_bracketed {
        return Err(malformed());
    }
    let port = parse_port(port).map_err(|reason| SpecError::Port { port: port.to_owned(), reason })?;
    Ok(ListenAddress::Tcp { host: (host != ANY_HOST).then(|| host.to_owned()), port, tls })
}

fn parse_unix(path: &str) -> Result<ListenAddress, SpecError> {
    match path.starts_with('/') && !path.ends_with('/') && !path.contains('\0') {
        true => Ok(ListenAddress::Unix { path: path.into(), mode: None, group: None }),
        false => Err(SpecError::Path(path.to_owned())),
    }
}

fn parse_mode(text: &str) -> Result<u32, SpecError> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|&mode| mode <= 0o777 && !text.starts_with('+'));
    mode.ok_or_else(|| SpecError::Value {
        option: "mode",
        value: text.to_owned(),
        expected: "an octal number from 0 to 0777",
    })
}

fn parse_auth(text: &str) -> Result<bool, SpecError> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(SpecError::Value { option: "auth", value: text.to_owned(), expected: "on or off" }),
    }
}

impl fmt::Display for ListenSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)?;
        if self.dialects != Dialects::ALL {
            write!(f, ",dialects={}", self.dialects)?;
        }
        if !self.auth {
            f.write_str(",auth=off")?;
        }
        if self.admin {
            f.write_str(",admin")?;
        }
        Ok(())
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Tcp { host, port, tls } => {
                let (kind, host) = (if *tls { "tls" } else { "tcp" }, host.as_deref().unwrap_or(ANY_HOST));
                write!(f, "{kind}:{host}:{port}")
            }
            ListenAddress::Unix { path, mode, group } => {
                write!(f, "unix:{}", path.display())?;
                mode.iter().try_for_each(|mode| write!(f, ",mode={mode:04o}"))?;
                group.iter().try_for_each(|group| write!(f, ",group={group}"))
            }
            ListenAddress::Systemd { name, tls } => {
                f.write_str("systemd")?;
                name.iter().try_for_each(|name| write!(f, ":{name}"))?;
                f.write_str(if *tls { ",tls" } else { "" })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sharedance_core::protocol::Dialect;

    use super::*;

    fn parse(text: &str) -> ListenSpec {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn tcp(host: Option<&str>, port: u16, tls: bool) -> ListenAddress {
        ListenAddress::Tcp { host: host.map(str::to_owned), port, tls }
    }

    #[test]
    fn each_kind_has_its_address() {
        assert_eq!(parse("tcp:localhost:1042").address, tcp(Some("localhost"), 1042, false));
        assert_eq!(parse("tcp:[::1]:0").address, tcp(Some("[::1]"), 0, false));
        assert_eq!(parse("tcp:*:7").address, tcp(None, 7, false));
        assert_eq!(parse("tls:10.0.0.1:1043").address, tcp(Some("10.0.0.1"), 1043, true));
        assert_eq!(parse("tcp://localhost:1").address, tcp(Some("localhost"), 1, false));
        let unix = |path: &str| ListenAddress::Unix { path: path.into(), mode: None, group: None };
        assert_eq!(parse("unix:/run/a:b.sock").address, unix("/run/a:b.sock"));
        assert_eq!(parse("unix:///run/a.sock").address, unix("/run/a.sock"));
        assert_eq!(parse("systemd").address, ListenAddress::Systemd { name: None, tls: false });
        let named = ListenAddress::Systemd { name: Some("web".into()), tls: true };
        assert_eq!(parse("systemd:web,tls").address, named);
    }

    #[test]
    fn options_restrict_a_listener() {
        let plain = parse("tcp:localhost:1");
        assert_eq!((plain.dialects, plain.auth, plain.admin), (Dialects::ALL, true, false));
        let restricted = parse("unix:/s,admin,mode=640,dialects=classic,group=www-data,auth=off");
        let address = ListenAddress::Unix { path: "/s".into(), mode: Some(0o640), group: Some("www-data".to_owned()) };
        assert_eq!(restricted.address, address);
        assert!(restricted.admin && !restricted.auth);
        assert!(restricted.dialects.contains(Dialect::Classic));
        assert!(!restricted.dialects.contains(Dialect::MemcachedText));
    }

    #[test]
    fn a_spec_is_displayed_as_it_is_parsed() {
        for text in [
            "tcp:*:1042",
            "tls:[::1]:0,dialects=text+binary,auth=off,admin",
            "unix:/run/s.sock,mode=0660,group=www-data,dialects=text",
            "systemd:web,tls,admin",
            "systemd",
        ] {
            assert_eq!(parse(text).to_string(), text);
        }
    }

    #[test]
    fn the_mistake_in_a_spec_is_reported() {
        for (text, named) in [
            ("", "not a kind"),
            ("udp:localhost:1", "\"udp\" is not a kind"),
            ("/run/s.sock", "unix:PATH"),
            ("tcp", "HOST:PORT"),
            ("tcp:localhost", "HOST:PORT"),
            ("tcp::1042", "*:1042"),
            ("tcp:::1:1042", "[::1]:1042"),
            ("tcp:localhost:70000", "\"70000\" is not a port"),
            ("tcp:localhost:no-such-service", "not a port"),
            ("unix:", "absolute path"),
            ("unix:run/s", "\"run/s\""),
            ("unix:/run/", "\"/run/\""),
            ("unix:@abstract", "absolute path"),
            ("systemd:", "no name"),
            ("tcp:localhost:1,mode=0660", "\"mode=0660\" is not an option of a tcp"),
            ("tls:localhost:1,tls", "of a tls"),
            ("unix:/s,", "\"\" is not an option of a unix"),
            ("unix:/s,admin=1", "\"admin=1\""),
            ("unix:/s,mode", "\"mode\""),
            ("unix:/s,mode=1777", "octal"),
            ("unix:/s,mode=rw", "octal"),
            ("unix:/s,mode=+660", "octal"),
            ("systemd,auth=maybe", "on or off"),
            ("systemd,dialects=meta", "joined by +"),
        ] {
            let error = text.parse::<ListenSpec>().expect_err(text).to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
