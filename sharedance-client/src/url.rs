//! Parses servers and options from one text: a list of addresses, or a URL.
//!
//! ```text
//! one:1042,two?weight=2,[::1]:7,unix:/run/sharedance.sock
//! sharedance://one?weight=2,two:1043/?operation_timeout=2s&when_down=next_server
//! memcached://cache1,cache2        the port is 11211 where none is named
//! tls://one,two/?ca=/etc/sharedance/authority.pem
//! unix:///run/sharedance.sock?max_connections=8
//! ```
//!
//! A name and a password may precede the first host or the path: `tls://name:password@one,two`. They, and the values of
//! options, are percent-decoded.

use std::time::Duration;

use crate::address::{DEFAULT_PORT, ListedServer, Transport, refused};
use crate::credentials::Credentials;
use crate::error::Error;
use crate::options::{Options, WhenDown};
use crate::ring::Continuum;
use crate::time::in_range;

const MEMCACHED_PORT: u16 = 11211;

/// Adds the servers in `text` to `servers`, and sets the options in `text` on `options`.
pub(crate) fn read(text: &str, servers: &mut Vec<ListedServer>, options: &mut Options) -> Result<(), Error> {
    let refused = |reason| refused(text, reason);
    // In a list each server may have a scheme.
    let Some((scheme, rest)) = text.split_once("://").filter(|(scheme, _)| !scheme.contains(',')) else {
        if text.contains('@') {
            return Err(refused("a name and a password need a URL: sharedance://name:password@host"));
        }
        return List { text, port: DEFAULT_PORT, transport: Transport::Default, credentials: None }.read(text, servers);
    };
    let (credentials, rest) = credentials(rest).map_err(refused)?;
    if rest.contains(['@', '#']) {
        return Err(refused(
            "`@` and `#` are written as `%40` and `%23`; so are `/` and `?`, `%2F` and `%3F`, in a password",
        ));
    }
    // The slash after the hosts separates their weights from the options.
    let (place, query) = match rest.split_once("/?") {
        Some((place, query)) if scheme != "unix" => (place, query),
        _ => rest.split_once('?').unwrap_or((rest, "")),
    };
    if place.contains('%') {
        return Err(refused("`%` is not possible in a host or a path"));
    }
    let (port, transport) = match scheme {
        "sharedance" => (DEFAULT_PORT, Transport::Default),
        "memcached" => (MEMCACHED_PORT, Transport::Default),
        "tls" => (DEFAULT_PORT, Transport::Tls),
        "tcp" => (DEFAULT_PORT, Transport::Tcp),
        "unix" if place.starts_with('/') => (DEFAULT_PORT, Transport::Default),
        "unix" => return Err(refused("the path of a socket starts with `/`")),
        _ => return Err(refused("the scheme is not `sharedance`, `memcached`, `tls`, `tcp` or `unix`")),
    };
    let list = List { text, port, transport, credentials };
    match scheme {
        "unix" => list.add(&format!("unix:{place}"), servers)?,
        _ => list.read(place.strip_suffix('/').unwrap_or(place), servers)?,
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| refused("an option is not of the form `name=value`"))?;
        set(options, name, &decoded(value).map_err(refused)?).map_err(refused)?;
    }
    Ok(())
}

/// The name and the password before the hosts, and the rest of the URL.
fn credentials(rest: &str) -> Result<(Option<Credentials>, &str), &'static str> {
    let authority_len = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let Some((user, _)) = rest[..authority_len].rsplit_once('@') else {
        return Ok((None, rest));
    };
    let (name, password) = user.split_once(':').ok_or("the password is missing: name:password@host")?;
    if user.contains(['@', ',']) {
        return Err("`@` and `,` in a name or a password are written as `%40` and `%2C`");
    }
    Ok((Some(Credentials::new(decoded(name)?, decoded(password)?)), &rest[user.len() + "@".len()..]))
}

/// With each `%` and two digits replaced by the byte.
fn decoded(text: &str) -> Result<String, &'static str> {
    const MALFORMED: &str = "a `%` is not followed by two hexadecimal digits";
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        bytes.push(u8::from_str_radix(digits.ok_or(MALFORMED)?, 16).map_err(|_| MALFORMED)?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).map_err(|_| "the bytes after a `%` are not UTF-8")
}

/// What the servers of one list have in common.
struct List<'t> {
    text: &'t str,
    port: u16,
    transport: Transport,
    credentials: Option<Credentials>,
}

impl List<'_> {
    fn read(&self, list: &str, servers: &mut Vec<ListedServer>) -> Result<(), Error> {
        if list.is_empty() {
            return Err(refused(self.text, "the host is missing"));
        }
        list.split(',').try_for_each(|server| self.add(server.trim(), servers))
    }

    fn add(&self, server: &str, servers: &mut Vec<ListedServer>) -> Result<(), Error> {
        servers.push(ListedServer::parse(server, self.port, self.transport, self.credentials.as_ref())?);
        Ok(())
    }
}

/// Sets the option with the name of the builder's method.
fn set(options: &mut Options, name: &str, value: &str) -> Result<(), &'static str> {
    const NOT_A_NUMBER: &str = "an option that takes a number has another value";
    match name {
        "connect_timeout" => options.connect_timeout = in_range(duration(value)?),
        "operation_timeout" => options.operation_timeout = in_range(duration(value)?),
        "idle_timeout" => options.idle_timeout = in_range(duration(value)?),
        "backoff_first" => options.backoff.first = in_range(duration(value)?),
        "backoff_max" => options.backoff.max = in_range(duration(value)?),
        "max_connections" => options.max_connections = value.parse().map_err(|_| NOT_A_NUMBER)?,
        "max_request_len" => options.max_request_len = value.parse().map_err(|_| NOT_A_NUMBER)?,
        "when_down" => {
            options.when_down = match value {
                "fail" => WhenDown::Fail,
                "next_server" => WhenDown::NextServer,
                _ => return Err("`when_down` is neither `fail` nor `next_server`"),
            };
        }
        "continuum" => {
            options.continuum = match value {
                "libketama" => Continuum::Libketama,
                "plain" => Continuum::Plain,
                _ => return Err("`continuum` is neither `libketama` nor `plain`"),
            };
        }
        "ca" | "cert" | "key" | "server_name" => set_tls(options, name, value)?,
        _ => return Err("there is no option of this name"),
    }
    Ok(())
}

#[cfg(feature = "tls")]
fn set_tls(options: &mut Options, name: &str, value: &str) -> Result<(), &'static str> {
    let tls = options.tls.get_or_insert_default();
    match name {
        "ca" => tls.ca = Some(value.into()),
        "cert" => tls.cert = Some(value.into()),
        "key" => tls.key = Some(value.into()),
        _ => tls.server_name = Some(value.to_owned()),
    }
    Ok(())
}

#[cfg(not(feature = "tls"))]
fn set_tls(_: &mut Options, _: &str, _: &str) -> Result<(), &'static str> {
    Err("TLS needs the feature `tls` of the crate sharedance-client")
}

/// `250ms`, `2s`, `1m`, or a number of seconds.
fn duration(text: &str) -> Result<Duration, &'static str> {
    const NOT_A_TIME: &str = "a timeout is not of the form `250ms`, `2s` or `1m`";
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: u32 = digits.parse().map_err(|_| NOT_A_TIME)?;
    match &text[digits.len()..] {
        "ms" => Ok(Duration::from_millis(number.into())),
        "" | "s" => Ok(Duration::from_secs(number.into())),
        "m" => Ok(Duration::from_secs(60 * u64::from(number))),
        _ => Err(NOT_A_TIME),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(text: &str) -> Result<(Vec<String>, Options), Error> {
        let (mut addresses, mut options) = (Vec::new(), Options::default());
        read(text, &mut addresses, &mut options)?;
        Ok((addresses.iter().map(|listed| listed.server.address.to_string()).collect(), options))
    }

    #[test]
    fn a_weight_follows_the_server_in_each_form_of_list() {
        for text in ["one?weight=2,two", "sharedance://one?weight=2,two/?idle_timeout=5"] {
            let (mut addresses, mut options) = (Vec::new(), Options::default());
            read(text, &mut addresses, &mut options).unwrap();
            assert_eq!(addresses.iter().map(|listed| listed.server.weight).collect::<Vec<_>>(), [2, 1], "{text}");
        }
    }

    #[test]
    fn every_form_of_server_list() {
        for (text, servers) in [
            ("one", &["one:1042"][..]),
            ("one:7, two,[::1]:8,unix:/s.sock", &["one:7", "two:1042", "[::1]:8", "unix:/s.sock"]),
            ("sharedance://one", &["one:1042"]),
            ("sharedance://one:7,two/", &["one:7", "two:1042"]),
            ("sharedance://[::1]:7,two/?idle_timeout=5", &["[::1]:7", "two:1042"]),
            ("memcached://one,two:7", &["one:11211", "two:7"]),
            ("unix:///run/s.sock", &["unix:/run/s.sock"]),
            ("unix:///run/s.sock?max_connections=8", &["unix:/run/s.sock"]),
        ] {
            assert_eq!(read_all(text).unwrap().0, servers, "{text}");
        }
    }

    #[test]
    fn every_option() {
        let url = "sharedance://one/?connect_timeout=250ms&operation_timeout=2s&idle_timeout=1m&backoff_first=3\
                   &backoff_max=4s&max_connections=5&max_request_len=6&when_down=next_server&continuum=plain";
        let options = read_all(url).unwrap().1;
        let secs = Duration::from_secs;
        assert_eq!(options.connect_timeout, Duration::from_millis(250));
        assert_eq!((options.operation_timeout, options.idle_timeout), (secs(2), secs(60)));
        assert_eq!((options.backoff.first, options.backoff.max), (secs(3), secs(4)));
        assert_eq!((options.max_connections.get(), options.max_request_len), (5, 6));
        assert_eq!((options.when_down, options.continuum), (WhenDown::NextServer, Continuum::Plain));
    }

    #[test]
    fn a_malformed_url_is_refused_with_the_reason() {
        for (text, reason) in [
            ("http://one", "scheme"),
            ("sharedance://", "host is missing"),
            ("sharedance://one,", "host is missing"),
            ("one,,two", "host is missing"),
            ("sharedance://one/database", "only a host"),
            ("sharedance://one#x", "`#`"),
            ("unix://run/s.sock", "starts with `/`"),
            ("unix:///run/%20", "`%`"),
            ("tls://one?ca=%2", "hexadecimal"),
            ("tls://one?ca=%+f", "hexadecimal"),
            ("tls://one?ca=%ff", "UTF-8"),
            ("ftp://one,two", "scheme"),
            ("sharedance://one?x", "name=value"),
            ("sharedance://one?color=red", "no option"),
            ("sharedance://one?idle_timeout=2h", "250ms"),
            ("sharedance://one?idle_timeout=99999999999s", "250ms"),
            ("sharedance://one?max_connections=0", "number"),
            ("sharedance://one?when_down=pray", "next_server"),
        ] {
            let error = read_all(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn credentials_precede_the_servers_of_a_url() {
        let credentials = |name: &str, password: &str| Some(Credentials::new(name, password));
        for (text, servers, expected) in [
            ("sharedance://ada:secret@one,two:7", &["one:1042", "two:7"][..], credentials("ada", "secret")),
            ("memcached://ada:a%3Ab@one", &["one:11211"], credentials("ada", "a:b")),
            ("unix://ada:s%40%2f%25@/run/s.sock?max_connections=8", &["unix:/run/s.sock"], credentials("ada", "s@/%")),
            ("sharedance://%c3%a4:x:y@[::1]", &["[::1]:1042"], credentials("ä", "x:y")),
            ("sharedance://one", &["one:1042"], None),
        ] {
            let (mut listed, mut options) = (Vec::new(), Options::default());
            read(text, &mut listed, &mut options).unwrap();
            let found: Vec<_> = listed.iter().map(|listed| listed.server.address.to_string()).collect();
            assert_eq!(found, servers, "{text}");
            assert!(listed.iter().all(|listed| listed.credentials == expected), "{text}");
        }
    }

    #[test]
    fn a_malformed_url_does_not_show_its_password() {
        for text in [
            "ada:secret@one",
            "one,ada:secret@two",
            "sharedance://secret@one",
            "sharedance://ada:secret@one:http",
            "sharedance://ada:secret@one?color=red",
            "sharedance://ada:secret@",
            "sharedance://ada:sec/secret@one",
            "sharedance://ada:sec?secret@one",
            "sharedance://ada:sec#secret@one",
            "sharedance://ada:secret@secret@one",
            "sharedance://ada:secret%zz@one",
            "sharedance://one,ada:secret@two",
            "unix://ada:secret@run/s.sock",
            "unix://ada:/secret@/run/s.sock",
            "unix:/ada:secret@/run/s.sock",
            "http://ada:secret@one",
            "tls://one,tls://ada:secret@two",
        ] {
            let error = read_all(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("sec"), "{text}: {error}");
        }
    }

    #[test]
    #[cfg(feature = "tls")]
    fn tls_for_all_servers_or_for_some() {
        for (text, servers) in [
            ("tls://one", &["tls://one:1042"][..]),
            (
                "tls://one,two:7,tcp://three,tls://[::1]:8/?idle_timeout=1",
                &["tls://one:1042", "tls://two:7", "three:1042", "tls://[::1]:8"],
            ),
            ("one,tls://two?weight=2,unix:/s.sock", &["one:1042", "tls://two:1042", "unix:/s.sock"]),
            ("tcp://one,tls://two", &["one:1042", "tls://two:1042"]),
        ] {
            assert_eq!(read_all(text).unwrap().0, servers, "{text}");
        }
        let options = read_all("tls://one/?ca=%2fa%20b.pem&cert=/c&key=/k&server_name=x.y").unwrap().1;
        let expected = crate::TlsOptions::new().ca("/a b.pem").client_certificate("/c", "/k").server_name("x.y");
        assert_eq!(options.tls, Some(expected));
    }

    #[test]
    #[cfg(not(feature = "tls"))]
    fn tls_without_its_feature_is_refused() {
        for text in ["tls://one", "one,tls://two", "sharedance://one?ca=/ca.pem"] {
            let error = read_all(text).unwrap_err().to_string();
            assert!(error.contains("feature `tls`"), "{text}: {error}");
        }
    }
}
