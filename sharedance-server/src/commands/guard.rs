//! Requests of a connection that may not do everything. What it may do is decided before a request is executed, and a
//! refused request gets one response in its dialect. Its data block or body is discarded by the decoder.

use sharedance_core::protocol::memcached::binary::{self, Command, Status};
use sharedance_core::protocol::memcached::text::{self, Reply, Request};

use super::context::Context;
use super::log_in;
use super::step::Step;
use crate::access::Refusal;
use crate::buffers::Output;

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Reply {
        match refusal {
            Refusal::Unauthenticated => Reply::Unauthenticated,
            Refusal::Denied => Reply::AccessDenied,
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Status {
        match refusal {
            Refusal::Unauthenticated => Status::AuthenticationFailed,
            Refusal::Denied => Status::AccessDenied,
        }
    }
}

/// Executes a request of the text dialect, which had `consumed` bytes, if the connection may do it. `is_refusing` is whether
/// a key of the current retrieval was refused: the keys after it are neither read nor touched, and the response ends with
/// the refusal.
pub(super) fn execute_text<'a>(
    request: Request<'a>,
    consumed: usize,
    is_refusing: &mut bool,
    context: &Context<'_>,
    output: &mut Output,
) -> Step<'a> {
    if context.access.is_unauthenticated()
        && let Some(outcome) = log_in::from_text(&request, context)
    {
        let (reply, step) = match outcome {
            Ok(log_in) => (Reply::Stored, Step::LogIn { consumed, log_in }),
            Err(reply) => (reply, Step::Rejected { consumed }),
        };
        output.bytes().extend_from_slice(reply.as_bytes());
        return step;
    }
    let refusal = match context.access.decide(request.operation()) {
        Ok(()) if !*is_refusing => return super::text::execute(request, consumed, context, output),
        // A key of a retrieval after a refused one, or its end.
        Ok(()) => Refusal::Denied,
        Err(refusal) => refusal,
    };
    match request {
        Request::Discarded => return Step::Done { consumed },
        Request::Get(text::Get { is_last: false, .. }) => {
            *is_refusing = true;
            return Step::Done { consumed };
        }
        _ => *is_refusing = false,
    }
    let is_last = matches!(request, Request::Quit | Request::Fatal(_));
    if !matches!(request, Request::Quit) && !request.noreply() {
        output.bytes().extend_from_slice(Reply::from(refusal).as_bytes());
    }
    if is_last { Step::Last { consumed } } else { Step::Done { consumed } }
}

/// Executes a request of the binary dialect, which had `consumed` bytes, if the connection may do it. `has_begun_sasl` is
/// whether an exchange of credentials has begun.
pub(super) fn execute_binary<'a>(
    request: binary::Request<'a>,
    consumed: usize,
    has_begun_sasl: &mut bool,
    context: &Context<'_>,
    output: &mut Output,
) -> Step<'a> {
    let tag = request.tag;
    match request.command {
        Command::SaslMechanisms => {
            binary::push_text(output.bytes(), tag, log_in::MECHANISMS);
            return Step::Done { consumed };
        }
        Command::SaslAuthenticate { mechanism, credentials, is_step } => {
            return match log_in::from_sasl(mechanism, credentials, is_step, has_begun_sasl, context) {
                Ok(log_in) => {
                    binary::push_text(output.bytes(), tag, "Authenticated");
                    Step::LogIn { consumed, log_in }
                }
                Err(status) => {
                    binary::push_error(output.bytes(), tag, status);
                    match status {
                        Status::AuthenticationContinues => Step::Done { consumed },
                        _ => Step::Rejected { consumed },
                    }
                }
            };
        }
        // Clients ask for it before they send credentials.
        Command::Version | Command::Discarded | Command::Invalid(_) => {}
        command => {
            if let Err(refusal) = context.access.decide(command.operation()) {
                binary::push_error(output.bytes(), tag, refusal.into());
                return match refusal {
                    Refusal::Unauthenticated => Step::Last { consumed },
                    Refusal::Denied => Step::Done { consumed },
                };
            }
        }
    }
    super::binary::execute(request, consumed, context, output)
}
