//! What a connection may do because of the listener that accepted it.

use std::fmt;
use std::str::FromStr;

use sharedance_core::protocol::Dialect;

use super::spec::SpecError;

/// How the bytes of a connection travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerKind {
    /// Plain text over TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// Plain text over a Unix socket.
    Unix,
}

/// The properties of a listener that its connections keep. It is small enough that each connection has a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenerOptions {
    /// How the bytes of its connections travel.
    pub kind: ListenerKind,
    /// The dialects that its connections may use.
    pub dialects: Dialects,
    /// Whether its connections need credentials, if the server has any.
    pub auth: bool,
    /// Whether its connections may use administrative commands without credentials.
    pub admin: bool,
}

impl ListenerOptions {
    /// A listener of this kind without restrictions.
    pub const fn new(kind: ListenerKind) -> ListenerOptions {
        ListenerOptions { kind, dialects: Dialects::ALL, auth: true, admin: false }
    }
}

/// A set of dialects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialects(u8);

/// The dialects, with their names in a listener's options.
const NAMES: [(&str, Dialect); 3] =
    [("classic", Dialect::Classic), ("text", Dialect::MemcachedText), ("binary", Dialect::MemcachedBinary)];

const fn bit(dialect: Dialect) -> u8 {
    1_u8 << match dialect {
        Dialect::Classic => 0,
        Dialect::MemcachedText => 1,
        Dialect::MemcachedBinary => 2,
        // A dialect without a name here is in no set.
        _ => return 0,
    }
}

impl Dialects {
    /// Every dialect.
    pub const ALL: Dialects =
        Dialects(bit(Dialect::Classic) | bit(Dialect::MemcachedText) | bit(Dialect::MemcachedBinary));

    /// Whether `dialect` is in the set.
    pub const fn contains(self, dialect: Dialect) -> bool {
        self.0 & bit(dialect) != 0
    }
}

impl FromStr for Dialects {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Dialects, SpecError> {
        text.split('+').try_fold(Dialects(0), |Dialects(bits), name| {
            let known = NAMES.iter().find(|(known, _)| *known == name);
            let (_, dialect) = known.ok_or_else(|| SpecError::Value {
                option: "dialects",
                value: name.to_owned(),
                expected: "classic, text and binary, joined by +",
            })?;
            Ok(Dialects(bits | bit(*dialect)))
        })
    }
}

impl fmt::Display for Dialects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> =
            NAMES.iter().filter(|(_, dialect)| self.contains(*dialect)).map(|(name, _)| *name).collect();
        f.write_str(&names.join("+"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_dialects_is_displayed_as_it_is_parsed() {
        for text in ["classic", "text", "binary", "classic+binary", "classic+text+binary"] {
            assert_eq!(text.parse::<Dialects>().unwrap().to_string(), text);
        }
        let dialects: Dialects = "binary+text".parse().unwrap();
        assert!(dialects.contains(Dialect::MemcachedText) && dialects.contains(Dialect::MemcachedBinary));
        assert!(!dialects.contains(Dialect::Classic));
        assert_eq!("classic+text+binary".parse::<Dialects>().unwrap(), Dialects::ALL);
        for text in ["", "meta", "text+", "text,binary", "Text"] {
            assert!(text.parse::<Dialects>().is_err(), "{text:?}");
        }
    }
}
