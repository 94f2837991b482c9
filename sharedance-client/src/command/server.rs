//! Commands for a server, not for a key.

use std::collections::BTreeMap;

use crate::reply::Reply;

use super::{Command, Tag, Unexpected};

/// Checks that the server responds.
#[derive(Clone, Copy)]
pub(crate) struct Ping;

/// Requests the server's version.
#[derive(Clone, Copy)]
pub(crate) struct ServerVersion;

/// Requests the server's statistics.
#[derive(Clone, Copy)]
pub(crate) struct Statistics;

/// Deletes all pairs.
#[derive(Clone, Copy)]
pub(crate) struct Flush;

impl Command for Ping {
    type Output = ();
    const IS_READ: bool = true;

    fn key(&self) -> &[u8] {
        &[]
    }

    fn is_tagged(&self) -> bool {
        false
    }

    fn encode(&self, _: Tag, out: &mut Vec<u8>) {
        out.extend_from_slice(b"mn\r\n");
    }

    fn decode(&self, reply: Reply<'_>) -> Result<(), Unexpected> {
        match reply {
            Reply::Nothing => Ok(()),
            _ => Err(Unexpected),
        }
    }
}

impl Command for ServerVersion {
    type Output = String;
    const IS_READ: bool = true;

    fn key(&self) -> &[u8] {
        &[]
    }

    fn is_tagged(&self) -> bool {
        false
    }

    fn encode(&self, _: Tag, out: &mut Vec<u8>) {
        out.extend_from_slice(b"version\r\n");
    }

    fn decode(&self, reply: Reply<'_>) -> Result<String, Unexpected> {
        match reply {
            Reply::Version(version) => Ok(String::from_utf8_lossy(version).into_owned()),
            _ => Err(Unexpected),
        }
    }
}

impl Command for Statistics {
    type Output = BTreeMap<String, String>;
    const IS_READ: bool = true;

    fn key(&self) -> &[u8] {
        &[]
    }

    fn is_tagged(&self) -> bool {
        false
    }

    fn encode(&self, _: Tag, out: &mut Vec<u8>) {
        out.extend_from_slice(b"stats\r\n");
    }

    fn decode(&self, reply: Reply<'_>) -> Result<Self::Output, Unexpected> {
        let Reply::Statistics(lines) = reply else {
            return Err(Unexpected);
        };
        let lines = String::from_utf8_lossy(lines);
        let entry = |line: &str| {
            let (name, value) = line.strip_prefix("STAT ")?.split_once(' ')?;
            Some((name.to_owned(), value.to_owned()))
        };
        lines.lines().map(|line| entry(line).ok_or(Unexpected)).collect()
    }
}

impl Command for Flush {
    type Output = ();

    fn key(&self) -> &[u8] {
        &[]
    }

    fn is_tagged(&self) -> bool {
        false
    }

    fn encode(&self, _: Tag, out: &mut Vec<u8>) {
        out.extend_from_slice(b"flush_all\r\n");
    }

    fn decode(&self, reply: Reply<'_>) -> Result<(), Unexpected> {
        match reply {
            Reply::Ok => Ok(()),
            _ => Err(Unexpected),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answered, written};
    use super::*;

    #[test]
    fn commands_and_responses() {
        assert_eq!((written(&Ping), answered(&Ping, b"MN\r\n")), ("mn\r\n".into(), Ok(())));
        assert_eq!((written(&Flush), answered(&Flush, b"OK\r\n")), ("flush_all\r\n".into(), Ok(())));
        let version = answered(&ServerVersion, b"VERSION 1.6.45 x\r\n");
        assert_eq!((written(&ServerVersion), version), ("version\r\n".into(), Ok("1.6.45 x".into())));
        let statistics = answered(&Statistics, b"STAT pid 7\r\nSTAT name of it\r\nEND\r\n").unwrap();
        assert_eq!(written(&Statistics), "stats\r\n");
        assert_eq!(
            statistics.into_iter().collect::<Vec<_>>(),
            [("name".to_owned(), "of it".to_owned()), ("pid".to_owned(), "7".to_owned())]
        );
        assert_eq!(answered(&Statistics, b"END\r\n"), Ok(BTreeMap::new()));
        assert_eq!(answered(&Statistics, b"STAT pid\r\nEND\r\n"), Err(Unexpected));
        for answer in [&b"OK\r\n"[..], b"HD\r\n", b"END\r\n"] {
            assert_eq!(answered(&Ping, answer), Err(Unexpected));
            assert_eq!(answered(&ServerVersion, answer), Err(Unexpected));
        }
    }
}
