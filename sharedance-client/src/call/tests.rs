//! Calls driven by a script instead of a network.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::time::Duration;

use super::{Call, Cause, Event, Step, for_key, for_keys, single};
use crate::address::{Address, WeightedAddress};
use crate::error::{Attempts, Delivery, Error, Phase};
use crate::operations;
use crate::options::{Options, WhenDown};
use crate::runtime::{Runtime, Stream};
use crate::servers::Servers;
use crate::time::Deadline;

/// A client without a network: a stream is the number of its server.
enum Script {}

struct Numbered;

impl Runtime for Script {
    type Stream = Numbered;
    type Turns = ();
    type Turn = ();

    fn turns(_: usize) {}
}

impl Stream for Numbered {
    fn try_peek(&mut self) -> io::Result<usize> {
        Err(ErrorKind::WouldBlock.into())
    }

    fn try_send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }
}

/// The outcome of each step of a call, in order.
#[derive(Debug, Clone, Copy)]
enum Happens {
    /// A permit is available, or is not.
    Turn,
    NoTurn,
    /// Connecting succeeds, or fails.
    Connected,
    Refused,
    /// This request is sent.
    Sent(&'static str),
    /// The server sends this; no bytes means the end of the connection.
    Answered(&'static str),
    TimedOut,
}

use Happens::{Answered, Connected, NoTurn, Refused, Sent, TimedOut, Turn};

fn servers(count: u16, when_down: WhenDown) -> Servers<Script> {
    let address = |port| WeightedAddress { address: Address::Tcp { host: "server".into(), port }, weight: 1 };
    let addresses = (1..=count).map(|port| address(port).into()).collect();
    Servers::new(addresses, Options { when_down, ..Options::default() })
}

/// Drives the call with the script, and returns its result. The whole script must be used.
#[track_caller]
fn drive<C: Call<Script>>(mut call: C, script: &[Happens]) -> C::Output {
    let mut script: VecDeque<Happens> = script.iter().copied().collect();
    let mut event = Event::Start;
    loop {
        let step = call.step(event);
        if step == Step::Done {
            assert!(script.is_empty(), "{script:?} is left");
            return call.finish();
        }
        event = match (step, script.pop_front()) {
            (Step::Acquire, Some(Turn)) => Event::Acquired(Some(())),
            (Step::Acquire, Some(NoTurn)) => Event::Acquired(None),
            (Step::Connect { .. }, Some(Connected)) => Event::Connected(Ok(Numbered)),
            (Step::Connect { .. }, Some(Refused)) => {
                let server = call.link().server.name();
                Event::Connected(Err(Error::Unreachable { server, source: Attempts(Vec::new()) }))
            }
            (Step::Send, Some(Sent(expected))) => {
                let unsent = call.link().connection().0.wire.unsent();
                assert_eq!(String::from_utf8_lossy(unsent), expected);
                Event::Sent(Ok(expected.len()))
            }
            (Step::Receive, Some(Answered(answer))) => {
                let spare = call.link().connection().0.wire.spare();
                spare[..answer.len()].copy_from_slice(answer.as_bytes());
                Event::Received(Ok(answer.len()))
            }
            (Step::Send, Some(TimedOut)) => Event::Sent(Err(Cause::TimedOut)),
            (Step::Receive, Some(TimedOut)) => Event::Received(Err(Cause::TimedOut)),
            (step, happens) => panic!("the call requests {step:?}, but the script has {happens:?}"),
        };
    }
}

fn deadline() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

fn get(servers: &Servers<Script>, script: &[Happens]) -> Result<Option<Vec<u8>>, Error> {
    single(drive(for_key(servers, vec![operations::get(b"k", None).unwrap()], deadline()), script))
}

fn delete(servers: &Servers<Script>, script: &[Happens]) -> Result<bool, Error> {
    single(drive(for_key(servers, vec![operations::delete(b"k").unwrap()], deadline()), script))
}

#[test]
fn a_connection_is_opened_once_and_kept() {
    let servers = servers(1, WhenDown::Fail);
    let value = get(&servers, &[Turn, Connected, Sent("mg k v O0\r\n"), Answered("VA 1 O0\r\nx\r\n")]);
    assert_eq!(value.unwrap(), Some(b"x".to_vec()));
    let value = get(&servers, &[Turn, Sent("mg k v O1\r\n"), Answered("EN "), Answered("O1\r\n")]);
    assert_eq!(value.unwrap(), None);
}

#[test]
fn a_read_is_repeated_once_on_a_new_connection_and_a_write_is_not() {
    let servers = servers(1, WhenDown::Fail);
    let first = [Turn, Connected, Sent("mg k v O0\r\n"), Answered("EN O0\r\n")];
    get(&servers, &first).unwrap();
    // The kept connection had ended; if a new one ends too, that is an error.
    let (ended, again) = ([Turn, Sent("mg k v O1\r\n"), Answered("")], [Connected, Sent("mg k v O0\r\n")]);
    let error = get(&servers, &[&ended[..], &again, &[Answered("")]].concat()).unwrap_err();
    assert!(matches!(error, Error::ConnectionLost { received_len: 0, .. }), "{error}");

    get(&servers, &first).unwrap();
    assert_eq!(get(&servers, &[&ended[..], &again, &[Answered("EN O0\r\n")]].concat()).unwrap(), None);
    let error = delete(&servers, &[Turn, Sent("md k O1\r\n"), Answered("")]).unwrap_err();
    assert_eq!(error.delivery(), Delivery::Unknown);
}

#[test]
fn if_the_first_server_cannot_be_reached_the_next_is_tried_only_with_next_server() {
    let script = [Turn, Refused, Turn, Connected, Sent("md k O0\r\n"), Answered("HD O0\r\n")];
    assert!(delete(&servers(2, WhenDown::NextServer), &script).unwrap());
    let error = delete(&servers(2, WhenDown::Fail), &script[..2]).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");

    // The unreachable server is not tried again for a while, and a later failure is not repeated on another server.
    let down = servers(2, WhenDown::NextServer);
    delete(&down, &script).unwrap();
    let error = delete(&down, &[Turn, Sent("md k O1\r\n"), TimedOut]).unwrap_err();
    assert!(matches!(error, Error::TimedOut { phase: Phase::Receive, .. }), "{error}");
}

#[test]
fn without_a_permit_nothing_is_sent() {
    let error = get(&servers(2, WhenDown::NextServer), &[NoTurn]).unwrap_err();
    assert!(matches!(error, Error::TimedOut { phase: Phase::Wait, .. }), "{error}");
}

#[test]
fn the_connection_of_a_cancelled_call_is_not_used_again() {
    let servers = servers(1, WhenDown::Fail);
    let mut call = for_key(&servers, vec![operations::get(b"k", None).unwrap()], deadline());
    assert_eq!(call.step(Event::Start), Step::Acquire);
    assert!(matches!(call.step(Event::Acquired(Some(()))), Step::Connect { .. }));
    assert_eq!(call.step(Event::Connected(Ok(Numbered))), Step::Send);
    assert_eq!(call.step(Event::Sent(Ok("mg k v O0\r\n".len()))), Step::Receive);
    drop(call);
    get(&servers, &[Turn, Connected, Sent("mg k v O0\r\n"), Answered("EN O0\r\n")]).unwrap();
}

#[test]
fn a_batch_sends_each_server_its_keys_and_continues_after_a_failure() {
    let servers = servers(2, WhenDown::Fail);
    let keys = [&b"a"[..], b"b", b"c", b"d"];
    let is_first = |key: &[u8]| servers.of(key).next().unwrap().name().ends_with(":1");
    let count = keys.iter().filter(|key| is_first(key)).count();
    assert!(count > 0 && count < keys.len(), "both servers have keys");
    let batch = for_keys(&servers, keys.iter().map(|key| operations::get(key, None)), deadline());
    let results = drive(batch, &[Turn, Refused, Turn, Refused]);
    assert_eq!(results.failures().count(), keys.len());
    // Both servers are down now.
    let batch = for_keys(&servers, keys.iter().map(|key| operations::get(key, None)), deadline());
    assert!(drive(batch, &[]).iter().all(|result| matches!(result, Err(Error::Down { .. }))));
    let empty: [Result<crate::command::Get<'_>, Error>; 0] = [];
    assert!(drive(for_keys(&servers, empty, deadline()), &[]).is_empty());
}
