//! One kept connection of the client for tokio. A connection on which anything went wrong, or whose use was given up
//! half-way, is not used again.

use std::io::ErrorKind;
use std::time::Duration;

use ::tokio::time::timeout_at;

use crate::address::Address;
use crate::command::Command;
use crate::error::{Error, Phase};
use crate::failure::Failure;
use crate::pipeline::{Pipeline, Step};
use crate::time::Deadline;
use crate::wire::Wire;

use super::stream::Stream;

pub(crate) struct Connection {
    stream: Stream,
    wire: Wire,
}

impl Connection {
    pub(crate) async fn open(address: &Address, timeout: Duration) -> Result<Connection, Error> {
        Ok(Connection { stream: Stream::open(address, timeout).await?, wire: Wire::default() })
    }

    /// Runs the pipeline to its end.
    pub(crate) async fn run<C: Command>(
        &mut self,
        pipeline: &mut Pipeline<'_, C>,
        deadline: Deadline,
    ) -> Result<(), Failure> {
        let mut phase = Phase::Send;
        match timeout_at(deadline.at().into(), self.drive(pipeline, &mut phase)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::TimedOut { phase, after: deadline.elapsed() }),
        }
    }

    async fn drive<C: Command>(&mut self, pipeline: &mut Pipeline<'_, C>, phase: &mut Phase) -> Result<(), Failure> {
        let mut received_len = 0;
        loop {
            let failed = |source, phase| Failure::of_io(source, phase, received_len);
            match pipeline.step(&mut self.wire).map_err(|error| pipeline.failure(error))? {
                Step::Send => {
                    *phase = Phase::Send;
                    let sent = self.stream.send(self.wire.unsent()).await;
                    self.wire.sent(sent.map_err(|source| failed(source, Phase::Send))?);
                }
                Step::Receive => {
                    *phase = Phase::Receive;
                    let received = self.stream.receive(self.wire.spare()).await;
                    match received.map_err(|source| failed(source, Phase::Receive))? {
                        0 => return Err(Failure::Closed { received_len, source: None }),
                        len => {
                            received_len += len;
                            self.wire.received(len);
                        }
                    }
                }
                Step::Done => return Ok(()),
            }
        }
    }

    /// Whether the other end has neither closed it nor sent anything that nobody asked for.
    pub(crate) fn is_fit(&self) -> bool {
        if !self.wire.is_idle() {
            return false;
        }
        match self.stream.try_peek() {
            Ok(0) => false,
            Ok(_) => self.wire.is_owed(),
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }

    /// Gives back what locks it may hold, without waiting for the answer, and returns whether the connection can be used
    /// again; where it cannot, closing it gives them back.
    pub(crate) fn unlock_all_at_once(&mut self) -> bool {
        if !self.wire.is_idle() {
            return false;
        }
        if self.wire.may_hold_lock() {
            self.wire.put_unlock_all();
            let sent = self.stream.try_send(self.wire.unsent());
            self.wire.sent(sent.unwrap_or(0));
        }
        self.wire.is_idle()
    }
}
