//! Parses servers and options from one text: a list of addresses, or a URL.
//!
//! ```text
//! one:1042,two?weight=2,[::1]:7,unix:/run/sharedance.sock
//! sharedance://one?weight=2,two:1043/?operation_timeout=2s&when_down=next_server
//! memcached://cache1,cache2        the port is 11211 where none is named
//! unix:///run/sharedance.sock?max_connections=8
//! ```

use std::time::Duration;

use crate::address::{DEFAULT_PORT, WeightedAddress};
use crate::error::Error;
use crate::options::{Options, WhenDown};
use crate::ring::Continuum;
use crate::time::in_range;

const MEMCACHED_PORT: u16 = 11211;

/// Adds the servers in `text` to `addresses`, and sets the options in `text` on `options`.
pub(crate) fn read(text: &str, addresses: &mut Vec<WeightedAddress>, options: &mut Options) -> Result<(), Error> {
    // The text may contain a password.
    if text.contains('@') {
        return Err(Error::Address { address: "...@...".to_owned(), reason: "credentials are not supported" });
    }
    let refused = |reason| Error::Address { address: text.to_owned(), reason };
    let Some((scheme, rest)) = text.split_once("://") else {
        return list(text, text, DEFAULT_PORT, addresses);
    };
    if rest.contains(['%', '#']) {
        return Err(refused("`%` and `#` mean nothing here"));
    }
    // The slash after the hosts separates their weights from the options.
    let (place, query) = match rest.split_once("/?") {
        Some((place, query)) if scheme != "unix" => (place, query),
        _ => rest.split_once('?').unwrap_or((rest, "")),
    };
    match scheme {
        "unix" if place.starts_with('/') => {
            addresses.push(WeightedAddress::parse(&format!("unix:{place}"), DEFAULT_PORT)?)
        }
        "unix" => return Err(refused("the path of a socket starts with `/`")),
        "sharedance" => list(text, hosts(place), DEFAULT_PORT, addresses)?,
        "memcached" => list(text, hosts(place), MEMCACHED_PORT, addresses)?,
        _ => return Err(refused("the scheme is not `sharedance`, `memcached` or `unix`")),
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| refused("an option is not of the form `name=value`"))?;
        set(options, name, value).map_err(refused)?;
    }
    Ok(())
}

fn hosts(place: &str) -> &str {
    place.strip_suffix('/').unwrap_or(place)
}

fn list(text: &str, servers: &str, port: u16, addresses: &mut Vec<WeightedAddress>) -> Result<(), Error> {
    if servers.is_empty() {
        return Err(Error::Address { address: text.to_owned(), reason: "the host is missing" });
    }
    for server in servers.split(',') {
        addresses.push(WeightedAddress::parse(server.trim(), port)?);
    }
    Ok(())
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
        _ => return Err("there is no option of this name"),
    }
    Ok(())
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
        Ok((addresses.iter().map(|server| server.address.to_string()).collect(), options))
    }

    #[test]
    fn a_weight_follows_the_server_in_each_form_of_list() {
        for text in ["one?weight=2,two", "sharedance://one?weight=2,two/?idle_timeout=5"] {
            let (mut addresses, mut options) = (Vec::new(), Options::default());
            read(text, &mut addresses, &mut options).unwrap();
            assert_eq!(addresses.iter().map(|server| server.weight).collect::<Vec<_>>(), [2, 1], "{text}");
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
        let error = read_all("sharedance://ada:secret@one").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
}
