//! Compares the memcached dialects with memcached itself: both servers get the same generated commands, and every
//! response is compared.
//!
//! Each server has its own versions (cas uniques): versions in the same place must correspond from then on. Times may
//! differ by a second or two. `PROTOCOL.md` lists all other differences; commands that would only show these are not
//! generated.
//!
//! `DIFFERENTIAL_COMMANDS` (12000) sets the number of commands, and `DIFFERENTIAL_SEED` selects them.

#![allow(clippy::unwrap_used)]

mod answers;
mod authentication;
mod binary;
mod meta;
mod peers;
mod script;
mod text;

use sharedance_test_support::{chance, server};
use std::collections::VecDeque;
use std::env;

use answers::Versions;
use chance::Chance;
use peers::{Dialect, Pair};
use script::Command;

/// Each run of commands uses connections of its own, with one dialect.
const COMMANDS_PER_CONNECTION: u64 = 40;

/// At most this many commands are sent in one piece.
const COMMANDS_PER_BATCH: u64 = 6;

/// The number of commands in the error message.
const COMMANDS_SHOWN: usize = 12;

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |number| number.parse().unwrap())
}

#[test]
fn memcached_sends_the_same_responses() {
    let Some(pair) = Pair::start() else {
        eprintln!("skipped: there is no memcached to compare with");
        return;
    };
    let seed = number("DIFFERENTIAL_SEED", 1);
    let total = number("DIFFERENTIAL_COMMANDS", 12_000);
    let mut chance = Chance(seed);
    let mut versions = Versions::default();
    let mut history = VecDeque::new();
    let mut sent = 0;
    while sent < total {
        let dialect = if chance.percent(30) { Dialect::Binary } else { Dialect::Text };
        let mut connection = pair.connect(dialect);
        let until = sent + COMMANDS_PER_CONNECTION;
        while sent < until && connection.is_open() {
            let batch = batch(dialect, &mut chance, &versions);
            sent += batch.len() as u64;
            history.extend(batch.iter().map(Command::to_string));
            history.drain(..history.len().saturating_sub(COMMANDS_SHOWN));
            let (theirs, ours) = connection.ask(&batch);
            if let Err(difference) = answers::compare(dialect, &theirs, &ours, &mut versions) {
                panic!(
                    "{difference}\nseed {seed}, after {sent} commands, the last of which are\n{:#?}\nmemcached: {}\nsharedanced: {}",
                    history,
                    theirs.bytes.escape_ascii(),
                    ours.bytes.escape_ascii(),
                );
            }
        }
    }
    eprintln!("{sent} commands, {} versions, no difference", versions.len());
}

fn batch(dialect: Dialect, chance: &mut Chance, versions: &Versions) -> Vec<Command> {
    let len = if chance.percent(40) { 1 + chance.below(COMMANDS_PER_BATCH) } else { 1 };
    let mut batch = Vec::new();
    for _ in 0..len {
        let command = match dialect {
            Dialect::Binary => binary::command(chance, versions),
            Dialect::Text if chance.percent(50) => meta::command(chance, versions),
            Dialect::Text => text::command(chance, versions),
        };
        // A command that must be sent alone ends the batch, and starts another one.
        if command.is_alone && !batch.is_empty() {
            break;
        }
        let is_alone = command.is_alone;
        batch.push(command);
        if is_alone {
            break;
        }
    }
    batch
}
