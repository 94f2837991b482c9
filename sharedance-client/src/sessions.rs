//! A store for `tower-sessions`, the session middleware of axum and other programs built on tower.
//!
//! A session is one pair: its key is a prefix and the session's id, its value is JSON, and its TTL is set by the
//! middleware, so that the server drops expired sessions by itself. If the server of a new id is down, creating chooses
//! an id on another server. Creating never overwrites another session. Saving never restores a session that was deleted
//! meanwhile: a logout wins over concurrent requests.
//!
//! The middleware does not support locks: if two requests change one session at the same time, the changes of the one
//! that ends last are kept. Use [`Client::lock`](crate::tokio::Client::lock) for data that must not be lost.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use sharedance_core::WriteResult;
use time::OffsetDateTime;
use tower_sessions_core::SessionStore;
use tower_sessions_core::session::{Id, Record};
use tower_sessions_core::session_store::{Error, Result};

use crate::time::system_now;
use crate::tokio::Client;

/// Prevents that a cookie names a pair of another kind, or a PHP session.
const DEFAULT_PREFIX: &str = "tower-";

/// Ids are 128 random bits: a second collision means that something is wrong with the randomness.
const COLLISIONS_MAX: usize = 4;

/// How many ids are tried to find one that belongs to a server that is up. With half of the servers down, this fails
/// for one in four billion new sessions.
const IDS_MAX: usize = 32;

/// Stores the sessions of `tower-sessions` on a server. Cheap to clone.
///
/// ```
/// use sharedance_client::sessions::Sessions;
/// use sharedance_client::tokio::Client;
/// use tower_sessions::SessionManagerLayer;
///
/// # fn main() -> std::result::Result<(), sharedance_client::Error> {
/// let client = Client::builder("sessions.example.org").build()?;
/// let layer = SessionManagerLayer::new(Sessions::new(client));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Sessions {
    client: Client,
    prefix: String,
}

impl Sessions {
    /// Stores sessions with this client, under keys that begin with `tower-`.
    ///
    /// ```
    /// # use sharedance_client::{sessions::Sessions, tokio::Client};
    /// # fn main() -> Result<(), sharedance_client::Error> {
    /// let sessions = Sessions::new(Client::builder("localhost").build()?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(client: Client) -> Sessions {
        Sessions { client, prefix: DEFAULT_PREFIX.to_owned() }
    }

    /// Sets another key prefix, for programs that share a server but not their sessions. At most 228 bytes, without a
    /// space or a control byte.
    ///
    /// ```
    /// # use sharedance_client::{sessions::Sessions, tokio::Client};
    /// # fn main() -> Result<(), sharedance_client::Error> {
    /// let sessions = Sessions::new(Client::builder("localhost").build()?).prefix("shop-");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Sessions {
        self.prefix = prefix.into();
        self
    }

    fn key(&self, id: &Id) -> String {
        format!("{}{id}", self.prefix)
    }

    /// Whether a new session may be stored under another id after this error: no client knows the id that failed, so it
    /// is harmless if the session was stored under it after all.
    fn is_another_server_worth_trying(&self, error: &crate::Error) -> bool {
        use crate::Error::{ConnectionLost, Io};

        self.client.server_count() > 1 && (error.is_unreached() || matches!(error, ConnectionLost { .. } | Io { .. }))
    }
}

#[async_trait]
impl SessionStore for Sessions {
    async fn create(&self, record: &mut Record) -> Result<()> {
        let (mut collisions, mut first_error) = (0, None);
        for _ in 0..IDS_MAX {
            let (value, ttl) = (encode(record)?, ttl(record));
            match self.client.add(self.key(&record.id), value, ttl).await {
                Ok(WriteResult::Stored(_)) => return Ok(()),
                Ok(_) => collisions += 1,
                Err(error) if self.is_another_server_worth_trying(&error) => {
                    first_error.get_or_insert(error);
                }
                Err(error) => return Err(backend(error)),
            }
            if collisions == COLLISIONS_MAX {
                return Err(Error::Backend("every new session id is taken: is the system's randomness broken?".into()));
            }
            record.id = Id::default();
        }
        Err(first_error.map_or_else(|| Error::Backend("no session id was accepted".into()), backend))
    }

    /// Does nothing for a session that has been deleted or has expired meanwhile.
    async fn save(&self, record: &Record) -> Result<()> {
        let (value, ttl) = (encode(record)?, ttl(record));
        self.client.replace(self.key(&record.id), value, ttl).await.map(drop).map_err(backend)
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        match self.client.get(self.key(id)).await.map_err(backend)? {
            // The server counts whole seconds, rounded up: the session that it returns may have expired.
            Some(value) => decode(*id, &value).map(|record| Some(record).filter(is_alive)),
            None => Ok(None),
        }
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        self.client.delete(self.key(id)).await.map(drop).map_err(backend)
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("client", &self.client).field("prefix", &self.prefix).finish()
    }
}

fn backend(error: crate::Error) -> Error {
    Error::Backend(error.to_string())
}

fn ttl(record: &Record) -> Duration {
    let left = record.expiry_date - OffsetDateTime::from(system_now());
    // A session that ended in the past has a TTL of zero.
    left.try_into().unwrap_or(Duration::ZERO)
}

fn is_alive(record: &Record) -> bool {
    record.expiry_date > OffsetDateTime::from(system_now())
}

/// The expiry in Unix time (seconds and nanoseconds), and the data. Not the id: it is a credential, and is already in
/// the key.
fn encode(record: &Record) -> Result<Vec<u8>> {
    let end = record.expiry_date;
    let parts = (end.unix_timestamp(), end.nanosecond(), &record.data);
    serde_json::to_vec(&parts).map_err(|_| Error::Encode("a session has something in it that is no JSON".into()))
}

/// The error has no details, because the bytes are private data.
fn decode(id: Id, value: &[u8]) -> Result<Record> {
    let undecodable =
        || Error::Decode(format!("the stored session of {} bytes was not written by this program", value.len()));
    let (secs, nanos, data) = serde_json::from_slice(value).map_err(|_| undecodable())?;
    let end = OffsetDateTime::from_unix_timestamp(secs).and_then(|end| end.replace_nanosecond(nanos));
    Ok(Record { id, data, expiry_date: end.map_err(|_| undecodable())? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_decoded_as_it_was_encoded() {
        let data = [("user".to_owned(), "ada".into()), ("cart".to_owned(), vec![1, 2].into())].into();
        let end = OffsetDateTime::from_unix_timestamp_nanos(1_800_000_000_123_456_789).unwrap();
        let record = Record { id: Id(-17), data, expiry_date: end };
        assert_eq!(decode(record.id, &encode(&record).unwrap()).unwrap(), record);
    }

    #[test]
    fn a_value_that_is_not_a_session_is_refused_without_showing_it() {
        for value in
            [&b"secret"[..], b"", b"[1,2]", b"[1,\"secret\",{}]", b"[99999999999999999,0,{}]", b"[1,4294967295,{}]"]
        {
            let error = decode(Id(1), value).unwrap_err();
            assert!(matches!(error, Error::Decode(_)) && !error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_session_that_ended_in_the_past_has_a_ttl_of_zero() {
        let record = Record { id: Id(1), data: Default::default(), expiry_date: OffsetDateTime::UNIX_EPOCH };
        assert_eq!(ttl(&record), Duration::ZERO);
    }
}
