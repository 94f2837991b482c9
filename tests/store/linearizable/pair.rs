//! The possible results of operations on one key in sequence: the sequential meaning with which concurrent operations
//! are compared.

use sharedance_core::WriteResult;
use sharedance_core::store::{Condition, DeleteResult, Entry, GetOptions, Recache, Store, StoreError, Ttl};

/// An operation on a key.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Get,
    /// Reads the value with its marks, and asks to be the reader that makes a new one.
    GetWith,
    /// The same. If there is no value, it creates an empty one and makes the new one.
    GetOrCreate,
    Write(Vec<u8>, Condition),
    Append(Vec<u8>),
    Prepend(Vec<u8>),
    Incr(u64),
    Decr(u64),
    Touch(Ttl),
    Delete(Condition),
    Invalidate(Condition),
    /// On all keys, including this one.
    Clear,
}

/// The result of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Found(Option<(Vec<u8>, u64)>),
    Entry { value: Vec<u8>, version: u64, is_stale: bool, recache: Recache },
    NoEntry,
    Written(WriteResult),
    Deleted(DeleteResult),
    Counted(Option<u64>),
    NotANumber,
    WasThere(bool),
    Nothing,
}

impl Answer {
    fn entry(entry: Option<Entry>) -> Answer {
        let Some(Entry { value, is_stale, recache, .. }) = entry else {
            return Answer::NoEntry;
        };
        Answer::Entry { value: value.to_vec(), version: value.version().get(), is_stale, recache }
    }
}

impl Op {
    /// Executes it on the real store. Returns `None` if the store was full, and did nothing.
    pub(crate) fn run(&self, store: &Store, key: &[u8]) -> Option<Answer> {
        let answer = match self {
            Op::Get => Ok(Answer::Found(store.get(key).map(|value| (value.to_vec(), value.version().get())))),
            Op::GetWith => store.get_with(key, GetOptions::new()).map(Answer::entry),
            Op::GetOrCreate => store.get_with(key, GetOptions::new().create(Ttl::Never)).map(Answer::entry),
            Op::Write(value, condition) => store.write(key, value, Ttl::Never, *condition).map(Answer::Written),
            Op::Append(tail) => store.append(key, tail).map(Answer::Written),
            Op::Prepend(head) => store.prepend(key, head).map(Answer::Written),
            Op::Incr(delta) => store.incr(key, *delta).map(Answer::Counted),
            Op::Decr(delta) => store.decr(key, *delta).map(Answer::Counted),
            Op::Touch(ttl) => store.touch(key, *ttl).map(Answer::WasThere),
            Op::Delete(condition) => store.delete_if(key, *condition).map(Answer::Deleted),
            Op::Invalidate(condition) => store.invalidate(key, *condition, None).map(Answer::Written),
            Op::Clear => store.clear().map(|()| Answer::Nothing),
        };
        match answer {
            Ok(answer) => Some(answer),
            Err(StoreError::NotANumber) => Some(Answer::NotANumber),
            Err(StoreError::Full) => None,
            Err(error) => panic!("{error}"),
        }
    }
}

/// The value of a key, and the known facts about its version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Pair {
    value: Option<Vec<u8>>,
    version: Version,
    marks: Marks,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Marks {
    is_stale: bool,
    has_refresher: bool,
}

/// Whether a condition holds for a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Yes,
    /// The pair is newer than the requested version.
    Newer,
    No,
}

impl Holds {
    fn is_so(condition: bool) -> Holds {
        if condition { Holds::Yes } else { Holds::No }
    }
}

/// The version of the current value, or of the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Version {
    Is(u64),
    /// Not every operation returns the version that it wrote.
    Above(u64),
}

impl Default for Version {
    fn default() -> Version {
        Version::Above(0)
    }
}

impl Version {
    fn floor(self) -> u64 {
        match self {
            Version::Is(version) | Version::Above(version) => version,
        }
    }

    fn may_be(self, version: u64) -> bool {
        match self {
            Version::Is(known) => known == version,
            Version::Above(floor) => version > floor,
        }
    }
}

impl Pair {
    /// Returns what `seen`, the result of a lookup without concurrent operations, says about the pair.
    pub(crate) fn of(seen: &Answer) -> Pair {
        match seen {
            Answer::Entry { value, version, is_stale, recache } => {
                let marks = Marks { is_stale: *is_stale, has_refresher: *recache != Recache::NotNeeded };
                Pair { value: Some(value.clone()), version: Version::Is(*version), marks }
            }
            _ => Pair::default(),
        }
    }

    /// Returns the pair without its value, as after an eviction.
    pub(crate) fn evicted(&self) -> Option<Pair> {
        self.value.as_ref().map(|_| self.without_value())
    }

    /// Returns the possible pairs after `op` returned `answer`; none if it cannot have returned that.
    pub(crate) fn after(&self, op: &Op, answer: &Answer) -> Vec<Pair> {
        match (op, answer) {
            (Op::Get, Answer::Found(found)) => self.seen(found.as_ref()),
            (Op::GetWith, seen) => self.read_with(seen),
            (Op::GetOrCreate, seen) if self.value.is_some() => self.read_with(seen),
            (Op::GetOrCreate, Answer::Entry { value, version, is_stale: false, recache: Recache::Yours }) => {
                let marks = Marks { is_stale: false, has_refresher: true };
                let after = Pair { value: Some(value.clone()), marks, ..Pair::default() };
                if value.is_empty() { self.at_version(*version, after) } else { Vec::new() }
            }
            (Op::Invalidate(condition), Answer::Written(result)) => self.invalidated(*condition, *result),
            (Op::Touch(_), Answer::WasThere(was_there)) => only_if(*was_there == self.value.is_some(), self.clone()),
            (Op::Clear, Answer::Nothing) => vec![self.without_value()],
            (Op::Delete(condition), Answer::Deleted(result)) => self.deleted(*condition, *result),
            (Op::Write(value, condition), Answer::Written(result)) => self.written(value, *condition, *result),
            (Op::Append(tail), Answer::Written(result)) => self.rewritten(|value| [value, tail].concat(), *result),
            (Op::Prepend(head), Answer::Written(result)) => self.rewritten(|value| [head, value].concat(), *result),
            (Op::Incr(delta), counted) => self.counted(|number| number.wrapping_add(*delta), counted),
            (Op::Decr(delta), counted) => self.counted(|number| number.saturating_sub(*delta), counted),
            _ => Vec::new(),
        }
    }

    fn without_value(&self) -> Pair {
        Pair { version: Version::Above(self.version.floor()), ..Pair::default() }
    }

    fn seen(&self, found: Option<&(Vec<u8>, u64)>) -> Vec<Pair> {
        match (found, &self.value) {
            (None, None) => vec![self.clone()],
            (Some((value, version)), Some(own)) => {
                let fits = value == own && self.version.may_be(*version);
                only_if(fits, Pair { version: Version::Is(*version), ..self.clone() })
            }
            _ => Vec::new(),
        }
    }

    fn read_with(&self, seen: &Answer) -> Vec<Pair> {
        let Answer::Entry { value, version, is_stale, recache } = seen else {
            return only_if(*seen == Answer::NoEntry && self.value.is_none(), self.clone());
        };
        let expected = match self.marks {
            Marks { has_refresher: true, .. } => Recache::InProgress,
            Marks { is_stale: true, .. } => Recache::Yours,
            _ => Recache::NotNeeded,
        };
        if *recache != expected || *is_stale != self.marks.is_stale {
            return Vec::new();
        }
        let mut after = self.seen(Some(&(value.clone(), *version)));
        after.iter_mut().for_each(|pair| pair.marks.has_refresher |= *recache == Recache::Yours);
        after
    }

    /// Returns the possible states of this pair as far as `condition` distinguishes them, and whether it holds for
    /// them: several if the version is unknown.
    fn by_condition(&self, condition: Condition) -> Vec<(Pair, Holds)> {
        let is_there = self.value.is_some();
        let known_to_be = |version| Pair { version, ..self.clone() };
        match condition {
            Condition::Always => vec![(self.clone(), Holds::Yes)],
            Condition::Absent => vec![(self.clone(), Holds::is_so(!is_there))],
            Condition::Present => vec![(self.clone(), Holds::is_so(is_there))],
            Condition::Version(_) | Condition::VersionOrStale(_) if !is_there => vec![(self.clone(), Holds::No)],
            Condition::Version(wanted) => {
                let wanted = wanted.get();
                let mut pairs = Vec::new();
                if self.version.may_be(wanted) {
                    pairs.push((known_to_be(Version::Is(wanted)), Holds::Yes));
                }
                if self.version != Version::Is(wanted) {
                    pairs.push((self.clone(), Holds::No));
                }
                pairs
            }
            Condition::VersionOrStale(oldest) => {
                let oldest = oldest.get();
                let is_newer = match self.version {
                    Version::Is(version) if version == oldest => Holds::Yes,
                    Version::Is(version) => {
                        if version > oldest {
                            Holds::Newer
                        } else {
                            Holds::No
                        }
                    }
                    Version::Above(floor) if floor >= oldest => Holds::Newer,
                    Version::Above(_) => {
                        let newer = (known_to_be(Version::Above(oldest)), Holds::Newer);
                        let same = (known_to_be(Version::Is(oldest)), Holds::Yes);
                        return vec![newer, same, (self.clone(), Holds::No)];
                    }
                };
                vec![(self.clone(), is_newer)]
            }
            other => unreachable!("{other:?} is not drawn"),
        }
    }

    fn refusal(&self) -> WriteResult {
        if self.value.is_some() { WriteResult::Conflict } else { WriteResult::NotFound }
    }

    fn written(&self, value: &[u8], condition: Condition, result: WriteResult) -> Vec<Pair> {
        let after = |(before, holds): (Pair, Holds)| match (result, holds) {
            (WriteResult::Stored(version), Holds::Yes) => before.with(value.to_vec(), version.get(), condition),
            (WriteResult::Stored(version), Holds::Newer) => {
                let marks = Marks { is_stale: true, ..before.marks };
                before.at_version(version.get(), Pair { value: Some(value.to_vec()), marks, ..Pair::default() })
            }
            (refused, Holds::No) => only_if(refused == before.refusal(), before),
            _ => Vec::new(),
        };
        self.by_condition(condition).into_iter().flat_map(after).collect()
    }

    /// A value with a new version, or with the same one if it was set before and no version is compared.
    fn with(&self, value: Vec<u8>, version: u64, condition: Condition) -> Vec<Pair> {
        let moves_deadline = matches!(condition, Condition::Always | Condition::Present);
        let is_same = self.value.as_ref() == Some(&value) && self.marks == Marks::default();
        if moves_deadline && is_same && self.version.may_be(version) {
            return vec![Pair { version: Version::Is(version), ..self.clone() }];
        }
        self.at_version(version, Pair { value: Some(value), ..Pair::default() })
    }

    /// Returns `after` with its version, if that is a new one.
    fn at_version(&self, version: u64, after: Pair) -> Vec<Pair> {
        only_if(version > self.version.floor(), Pair { version: Version::Is(version), ..after })
    }

    fn deleted(&self, condition: Condition, result: DeleteResult) -> Vec<Pair> {
        let after = |(before, holds): (Pair, Holds)| match (&before.value, result) {
            (Some(_), DeleteResult::Deleted(version)) => {
                let fits = holds != Holds::No && before.version.may_be(version.get());
                only_if(fits, Pair { version: Version::Above(version.get()), ..Pair::default() })
            }
            (Some(_), refused) => only_if(holds == Holds::No && refused == DeleteResult::Conflict, before),
            (None, refused) => only_if(refused == DeleteResult::NotFound, before),
        };
        self.by_condition(condition).into_iter().flat_map(after).collect()
    }

    /// The value stays and gets a new version.
    fn invalidated(&self, condition: Condition, result: WriteResult) -> Vec<Pair> {
        let marks = Marks { is_stale: true, has_refresher: false };
        let after = |(before, holds): (Pair, Holds)| match (&before.value, result) {
            (Some(_), WriteResult::Stored(version)) if holds != Holds::No => {
                before.at_version(version.get(), Pair { marks, ..before.clone() })
            }
            (Some(_), refused) => only_if(holds == Holds::No && refused == WriteResult::Conflict, before),
            (None, refused) => only_if(refused == WriteResult::NotFound, before),
        };
        self.by_condition(condition).into_iter().flat_map(after).collect()
    }

    fn rewritten(&self, change: impl Fn(&[u8]) -> Vec<u8>, result: WriteResult) -> Vec<Pair> {
        match (&self.value, result) {
            (Some(value), WriteResult::Stored(version)) => {
                self.at_version(version.get(), Pair { value: Some(change(value)), ..Pair::default() })
            }
            (None, WriteResult::NotFound) => vec![self.clone()],
            _ => Vec::new(),
        }
    }

    fn counted(&self, change: impl Fn(u64) -> u64, counted: &Answer) -> Vec<Pair> {
        let Some(value) = &self.value else {
            return only_if(*counted == Answer::Counted(None), self.clone());
        };
        match decimal(value) {
            None => only_if(*counted == Answer::NotANumber, self.clone()),
            Some(number) => {
                let sum = change(number);
                let version = Version::Above(self.version.floor());
                let after = Pair { value: Some(sum.to_string().into_bytes()), version, ..Pair::default() };
                only_if(*counted == Answer::Counted(Some(sum)), after)
            }
        }
    }
}

fn only_if(condition: bool, pair: Pair) -> Vec<Pair> {
    if condition { vec![pair] } else { Vec::new() }
}

fn decimal(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok()
}
