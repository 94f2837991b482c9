//! Credentials in the form of each dialect: the data block of a `set` in the text dialect, as for memcached's `-Y`, and the
//! mechanism PLAIN of SASL in the binary dialect.

use sharedance_core::protocol::memcached::Mode;
use sharedance_core::protocol::memcached::binary::Status;
use sharedance_core::protocol::memcached::text::{Reply, Request};

use super::context::Context;
use crate::access::LogIn;

/// The mechanisms of SASL that the server has.
pub(super) const MECHANISMS: &str = "PLAIN";

/// The outcome of credentials in the text dialect: the user, or why the connection ends.
///
/// Returns `None` if the request does not send credentials.
pub(super) fn from_text(request: &Request<'_>, context: &Context<'_>) -> Option<Result<LogIn, Reply>> {
    match request {
        Request::Update { update, .. } if update.mode == Mode::Set && update.version.is_none() => {
            // A password may contain spaces.
            let space = update.value.iter().position(|&byte| byte == b' ');
            let Some((name, password)) = space.map(|at| (&update.value[..at], &update.value[at + 1..])) else {
                return Some(Err(Reply::BadCredentials));
            };
            Some(check(name, password, context).ok_or(Reply::AuthenticationFailed))
        }
        // Only that of a plain set is deleted.
        Request::TooLarge { deletes: true, .. } => Some(Err(Reply::CredentialsTooLong)),
        Request::Fatal(Reply::BadDataChunk) => Some(Err(Reply::BadCredentialsEnd)),
        _ => None,
    }
}

/// The outcome of credentials in the binary dialect. `has_begun` is whether the request before has begun an exchange, and
/// becomes whether this one has.
pub(super) fn from_sasl(
    mechanism: &[u8],
    message: &[u8],
    is_step: bool,
    has_begun: &mut bool,
    context: &Context<'_>,
) -> Result<LogIn, Status> {
    let is_continued = std::mem::take(has_begun);
    if mechanism != MECHANISMS.as_bytes() || is_step && !is_continued {
        return Err(failed(context));
    }
    if message.is_empty() && !is_step {
        // The client may send its credentials in the next request only.
        *has_begun = true;
        return Err(Status::AuthenticationContinues);
    }
    // RFC 4616: the identity to act as, the name, the password.
    let mut parts = message.splitn(3, |&byte| byte == 0);
    let (Some(identity), Some(name), Some(password)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(failed(context));
    };
    if !identity.is_empty() && identity != name {
        return Err(failed(context));
    }
    check(name, password, context).ok_or(Status::AuthenticationFailed)
}

fn failed(context: &Context<'_>) -> Status {
    context.counters.auth_cmds.add(1);
    context.counters.auth_errors.add(1);
    Status::AuthenticationFailed
}

fn check(name: &[u8], password: &[u8], context: &Context<'_>) -> Option<LogIn> {
    let log_in = context.service.access.authenticate(name, password);
    context.counters.auth_cmds.add(1);
    context.counters.auth_errors.add(u64::from(log_in.is_none()));
    log_in
}
