//! Drives the calls of the blocking client.

use std::sync::Arc;

use crate::call::{Call, Event, Step};
use crate::runtime::Runtime;

use super::stream::Stream;
use super::turns::{Turn, Turns};

/// Blocks the calling thread.
pub(crate) enum Blocking {}

impl Runtime for Blocking {
    type Stream = Stream;
    type Turns = Arc<Turns>;
    type Turn = Turn;

    fn turns(max: usize) -> Arc<Turns> {
        Arc::new(Turns::new(max))
    }
}

pub(super) fn drive<C: Call<Blocking>>(mut call: C) -> C::Output {
    let mut event = Event::Start;
    loop {
        event = match call.step(event) {
            Step::Acquire => {
                let link = call.link();
                Event::Acquired(link.server.pool.turns.wait(link.deadline))
            }
            Step::Connect { timeout } => {
                let server = &call.link().server;
                Event::Connected(Stream::open(&server.address, server.tls.as_ref(), timeout))
            }
            Step::Send => {
                let (connection, deadline) = call.link().connection();
                Event::Sent(connection.stream.send(connection.wire.unsent(), deadline))
            }
            Step::Receive => {
                let (connection, deadline) = call.link().connection();
                Event::Received(connection.stream.receive(connection.wire.spare(), deadline))
            }
            Step::Done => return call.finish(),
        };
    }
}
