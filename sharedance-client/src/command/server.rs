//! Commands for a server, not for a key.

use std::collections::BTreeMap;

use crate::reply::Reply;

use super::{Command, Tag, Unexpected};

/// A command without a key. Its output is a `T`.
pub(crate) struct ServerCommand<T> {
    request: &'static str,
    is_repeatable: bool,
    decode: fn(Reply<'_>) -> Result<T, Unexpected>,
}

/// Checks that the server responds.
pub(crate) const PING: ServerCommand<()> =
    ServerCommand { request: "mn\r\n", is_repeatable: true, decode: |reply| expect(matches!(reply, Reply::Nothing)) };

/// Requests the server's version.
pub(crate) const VERSION: ServerCommand<String> =
    ServerCommand { request: "version\r\n", is_repeatable: true, decode: decode_version };

/// Requests the server's statistics.
pub(crate) const STATISTICS: ServerCommand<BTreeMap<String, String>> =
    ServerCommand { request: "stats\r\n", is_repeatable: true, decode: decode_statistics };

/// Deletes all pairs.
pub(crate) const FLUSH: ServerCommand<()> = ServerCommand {
    request: "flush_all\r\n",
    is_repeatable: false,
    decode: |reply| expect(matches!(reply, Reply::Ok)),
};

impl<T> Clone for ServerCommand<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for ServerCommand<T> {}

impl<T> Command for ServerCommand<T> {
    type Output = T;

    fn is_repeatable(&self) -> bool {
        self.is_repeatable
    }

    fn key(&self) -> &[u8] {
        &[]
    }

    fn is_tagged(&self) -> bool {
        false
    }

    fn encode(&self, _: Tag, out: &mut Vec<u8>) {
        out.extend_from_slice(self.request.as_bytes());
    }

    fn decode(&self, reply: Reply<'_>) -> Result<T, Unexpected> {
        (self.decode)(reply)
    }
}

fn expect(is_expected: bool) -> Result<(), Unexpected> {
    is_expected.then_some(()).ok_or(Unexpected)
}

fn decode_version(reply: Reply<'_>) -> Result<String, Unexpected> {
    match reply {
        Reply::Version(version) => Ok(String::from_utf8_lossy(version).into_owned()),
        _ => Err(Unexpected),
    }
}

fn decode_statistics(reply: Reply<'_>) -> Result<BTreeMap<String, String>, Unexpected> {
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

#[cfg(test)]
mod tests {
    use super::super::tests::{answered, written};
    use super::*;

    #[test]
    fn commands_and_responses() {
        assert_eq!((written(&PING), answered(&PING, b"MN\r\n")), ("mn\r\n".into(), Ok(())));
        assert_eq!((written(&FLUSH), answered(&FLUSH, b"OK\r\n")), ("flush_all\r\n".into(), Ok(())));
        let version = answered(&VERSION, b"VERSION 1.6.45 x\r\n");
        assert_eq!((written(&VERSION), version), ("version\r\n".into(), Ok("1.6.45 x".into())));
        let statistics = answered(&STATISTICS, b"STAT pid 7\r\nSTAT name of it\r\nEND\r\n").unwrap();
        assert_eq!(written(&STATISTICS), "stats\r\n");
        assert_eq!(
            statistics.into_iter().collect::<Vec<_>>(),
            [("name".to_owned(), "of it".to_owned()), ("pid".to_owned(), "7".to_owned())]
        );
        assert_eq!(answered(&STATISTICS, b"END\r\n"), Ok(BTreeMap::new()));
        assert_eq!(answered(&STATISTICS, b"STAT pid\r\nEND\r\n"), Err(Unexpected));
        for answer in [&b"OK\r\n"[..], b"HD\r\n", b"END\r\n"] {
            assert_eq!(answered(&PING, answer), Err(Unexpected));
            assert_eq!(answered(&VERSION, answer), Err(Unexpected));
        }
    }
}
