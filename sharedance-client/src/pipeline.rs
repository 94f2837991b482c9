//! Several commands on one connection, and their responses in order: decides what to send and to receive next. No I/O.
//!
//! [`Pipeline::step`] pipelines only as many commands as cannot make client and server wait for each other: either the
//! unread responses or the unread requests must fit into the buffers of the sockets.

use crate::command::{Command, Tag};
use crate::failure::Failure;
use crate::reply::{Rejection, Reply, ReplyError};
use crate::wire::Wire;

/// The maximum number of pipelined commands. Responses without a value are short: this many fit into any socket's
/// buffer.
const WINDOW_COUNT: usize = 256;

/// The maximum number of pipelined bytes where the responses may have any length: this many fit into any socket's
/// buffer.
const WINDOW_READS_LEN: usize = 16 * 1024;

/// Values are larger: then a window ends early, to keep the buffer small.
const WINDOW_LEN: usize = 1024 * 1024;

/// The next step on the connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Send some of [`Wire::unsent`].
    Send,
    /// Receive into [`Wire::spare`].
    Receive,
    /// Every command has its response.
    Done,
}

/// The response to each command, as far as it was received.
pub(crate) type Outputs<C> = Vec<Result<<C as Command>::Output, Rejection>>;

pub(crate) struct Pipeline<C: Command> {
    commands: Vec<C>,
    tags: Vec<Tag>,
    outputs: Outputs<C>,
    max_value_len: usize,
    is_in_step: bool,
}

impl<C: Command> Pipeline<C> {
    pub(crate) fn new(commands: Vec<C>, max_value_len: usize) -> Pipeline<C> {
        let count = commands.len();
        Pipeline {
            commands,
            tags: Vec::with_capacity(count),
            outputs: Vec::with_capacity(count),
            max_value_len,
            is_in_step: true,
        }
    }

    pub(crate) fn step(&mut self, wire: &mut Wire) -> Result<Progress, ReplyError> {
        if !wire.unsent().is_empty() {
            return Ok(Progress::Send);
        }
        while self.outputs.len() < self.tags.len() {
            let index = self.outputs.len();
            let (command, tag) = (&self.commands[index], self.tags[index]);
            match wire.take_reply(self.max_value_len, |reply| decode(command, tag, reply))? {
                Some(output) => self.outputs.push(output?),
                None => return Ok(Progress::Receive),
            }
            if let Some(Err(rejection)) = self.outputs.last()
                && !rejection.leaves_connection_usable()
            {
                self.is_in_step = false;
                return Ok(Progress::Done);
            }
        }
        if self.tags.len() == self.commands.len() {
            return Ok(Progress::Done);
        }
        self.fill_window(wire);
        Ok(Progress::Send)
    }

    /// The failure for a reply that cannot be decoded.
    pub(crate) fn failure(&self, error: ReplyError) -> Failure {
        Failure::of_reply(error, self.max_value_len)
    }

    /// Whether it is safe to begin again after the connection has ended without a response.
    pub(crate) fn is_repeatable(&self) -> bool {
        self.commands.iter().all(C::is_repeatable)
    }

    /// Begins again, on another connection.
    pub(crate) fn restart(&mut self) {
        self.tags.clear();
        self.outputs.clear();
        self.is_in_step = true;
    }

    /// The commands, the responses in their order, and whether the connection can be used again. If it cannot, the last
    /// response is the rejection after which it was out of sync, and the commands after it have no response.
    pub(crate) fn finish(self) -> (Vec<C>, Outputs<C>, bool) {
        (self.commands, self.outputs, self.is_in_step)
    }

    fn fill_window(&mut self, wire: &mut Wire) {
        let max_len = if C::IS_READ { WINDOW_READS_LEN } else { WINDOW_LEN };
        let first = self.tags.len();
        for command in &self.commands[first..] {
            self.tags.push(wire.put(command));
            if self.tags.len() - first == WINDOW_COUNT || wire.unsent().len() >= max_len {
                break;
            }
        }
    }
}

fn decode<C: Command>(command: &C, tag: Tag, reply: Reply<'_>) -> Result<Result<C::Output, Rejection>, ReplyError> {
    if let Reply::Rejected(rejection) = reply {
        return Ok(Err(rejection));
    }
    let repeated = reply.flags().and_then(|flags| flags.number(b'O'));
    if command.is_tagged() && repeated != Some(u64::from(tag)) {
        return Err(ReplyError::Foreign);
    }
    command.decode(reply).map(Ok).map_err(|_| ReplyError::Foreign)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Delete, Get, Mode, Set, Store};

    /// Runs the pipeline against a peer that responds to each window with the result of `answer`, in pieces of `step`
    /// bytes.
    fn run<C: Command>(
        commands: &[C],
        piece_len: usize,
        mut answer: impl FnMut(&[u8]) -> Vec<u8>,
    ) -> Result<(Outputs<C>, bool), ReplyError> {
        let mut wire = Wire::default();
        let mut pipeline = Pipeline::new(commands.to_vec(), 1000);
        let (mut asked, mut answered) = (Vec::new(), Vec::new());
        loop {
            match pipeline.step(&mut wire)? {
                Progress::Send => {
                    let len = wire.unsent().len().min(piece_len);
                    asked.extend_from_slice(&wire.unsent()[..len]);
                    wire.sent(len);
                }
                Progress::Receive => {
                    if answered.is_empty() {
                        answered = answer(&std::mem::take(&mut asked));
                        assert!(!answered.is_empty(), "it waits for what does not come");
                    }
                    let spare = wire.spare();
                    let len = answered.len().min(piece_len).min(spare.len());
                    spare[..len].copy_from_slice(&answered[..len]);
                    wire.received(len);
                    answered.drain(..len);
                }
                Progress::Done => {
                    let (_, outputs, is_in_step) = pipeline.finish();
                    return Ok((outputs, is_in_step));
                }
            }
        }
    }

    /// Returns for each line a response that repeats its tag.
    fn repeat_tags(asked: &[u8], reply: impl Fn(&str) -> String) -> Vec<u8> {
        let lines = std::str::from_utf8(asked).unwrap().lines();
        lines
            .filter_map(|line| line.split(' ').find(|token| token.starts_with('O')))
            .map(reply)
            .collect::<String>()
            .into()
    }

    #[test]
    fn responses_are_in_order_for_every_fragmentation() {
        let get = |key| Get { key, exptime: None };
        let commands = [get(b"a"), get(b"b"), get(b"c")];
        for piece_len in [1, 2, 3, 7, 1000] {
            let (outputs, is_in_step) =
                run(&commands, piece_len, |_| b"VA 1 O0\r\n1\r\nEN O1\r\nVA 0 O2\r\n\r\n".to_vec()).unwrap();
            assert_eq!(outputs, [Ok(Some(b"1".to_vec())), Ok(None), Ok(Some(Vec::new()))]);
            assert!(is_in_step);
        }
    }

    #[test]
    fn a_response_with_another_tag_or_without_one_is_refused() {
        for answer in ["HD O1\r\n", "HD\r\n", "HD Ox\r\n", "NF O1\r\n"] {
            let outcome = run(&[Delete { key: b"a" }], 100, |_| answer.into());
            assert_eq!(outcome.unwrap_err(), ReplyError::Foreign, "{answer}");
        }
    }

    #[test]
    fn after_a_rejection_that_leaves_the_connection_in_sync_the_other_responses_follow() {
        let store = Set(Store { mode: Mode::Set, key: b"k", value: b"v", exptime: 0, client_flags: 0 });
        let answer = b"HD O0\r\nSERVER_ERROR object too large for cache\r\nHD O2\r\n";
        let (outputs, is_in_step) = run(&[store, store, store], 100, |_| answer.to_vec()).unwrap();
        assert_eq!(outputs, [Ok(()), Err(Rejection::ValueTooLarge), Ok(())]);
        assert!(is_in_step);
    }

    #[test]
    fn no_more_commands_are_sent_to_a_server_that_does_not_know_the_command() {
        // The server would interpret the value as the next command.
        let store = Set(Store { mode: Mode::Set, key: b"k", value: b"v", exptime: 0, client_flags: 0 });
        let (outputs, is_in_step) = run(&[store, store], 100, |_| b"ERROR\r\nERROR\r\n".to_vec()).unwrap();
        assert_eq!(outputs, [Err(Rejection::Unsupported)]);
        assert!(!is_in_step);
    }

    #[test]
    fn pipelined_bytes_fit_into_the_buffers_of_sockets() {
        let key = [b'k'; 250];
        let gets = vec![Get { key: &key, exptime: None }; 1000];
        let deletes = vec![Delete { key: b"k" }; 1000];
        let value = vec![b'v'; 100_000];
        let stores = vec![Set(Store { mode: Mode::Set, key: b"k", value: &value, exptime: 0, client_flags: 0 }); 30];

        let (outputs, _) = run(&gets, usize::MAX, |asked| {
            assert!(asked.len() < WINDOW_READS_LEN + 300);
            repeat_tags(asked, |tag| format!("EN {tag}\r\n"))
        })
        .unwrap();
        assert_eq!(outputs.len(), 1000);
        let (outputs, _) = run(&deletes, usize::MAX, |asked| {
            let answer = repeat_tags(asked, |tag| format!("HD {tag}\r\n"));
            assert!(answer.len() < 4096);
            answer
        })
        .unwrap();
        assert_eq!(outputs.len(), 1000);
        let (outputs, _) = run(&stores, usize::MAX, |asked| {
            assert!(asked.len() < WINDOW_LEN + 100_300);
            repeat_tags(asked, |tag| format!("HD {tag}\r\n"))
        })
        .unwrap();
        assert_eq!(outputs.len(), 30);
    }
}
