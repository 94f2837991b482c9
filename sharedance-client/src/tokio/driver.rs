//! Drives the calls of the client for tokio.

use crate::call::{Call, Event, Step};
use crate::runtime::Runtime;

use super::stream::Stream;
use super::turns::{Turn, Turns};

/// Waits in tasks.
pub(crate) enum Tokio {}

impl Runtime for Tokio {
    type Stream = Stream;
    type Turns = Turns;
    type Turn = Turn;

    fn turns(max: usize) -> Turns {
        Turns::new(max)
    }
}

pub(super) async fn drive<C: Call<Tokio>>(mut call: C) -> C::Output {
    let mut event = Event::Start;
    loop {
        event = match call.step(event) {
            Step::Acquire => {
                let link = call.link();
                Event::Acquired(link.server.pool.turns.wait(link.deadline).await)
            }
            Step::Connect { timeout } => {
                let server = &call.link().server;
                Event::Connected(Stream::open(&server.address, server.tls.as_ref(), timeout).await)
            }
            Step::Send => {
                let (connection, deadline) = call.link().connection();
                Event::Sent(connection.stream.send(connection.wire.unsent(), deadline).await)
            }
            Step::Receive => {
                let (connection, deadline) = call.link().connection();
                Event::Received(connection.stream.receive(connection.wire.spare(), deadline).await)
            }
            Step::Done => return call.finish(),
        };
    }
}
