//! A simple model of the store, without files and threads. Tests compare the real store with it.

use std::collections::BTreeMap;

/// A map whose pairs expire at their deadline. Times are in milliseconds of its own clock.
#[derive(Debug, Clone, Default)]
pub struct Naive {
    pub now_ms: u64,
    /// Contains expired pairs until they are replaced or removed.
    pairs: BTreeMap<Vec<u8>, Pair>,
}

#[derive(Debug, Clone)]
struct Pair {
    value: Vec<u8>,
    /// `None` means never.
    deadline_ms: Option<u64>,
    client_flags: u32,
    is_stale: bool,
}

impl Naive {
    fn deadline(&self, ttl_ms: Option<u64>) -> Option<u64> {
        ttl_ms.map(|ttl_ms| self.now_ms + ttl_ms)
    }

    fn is_live(&self, pair: &Pair) -> bool {
        pair.deadline_ms.is_none_or(|deadline_ms| deadline_ms > self.now_ms)
    }

    fn live(&self, key: &[u8]) -> Option<&Pair> {
        self.pairs.get(key).filter(|pair| self.is_live(pair))
    }

    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.live(key).map(|pair| &pair.value[..])
    }

    pub fn client_flags(&self, key: &[u8]) -> Option<u32> {
        self.live(key).map(|pair| pair.client_flags)
    }

    pub fn is_stale(&self, key: &[u8]) -> Option<bool> {
        self.live(key).map(|pair| pair.is_stale)
    }

    pub fn set(&mut self, key: &[u8], value: &[u8], ttl_ms: Option<u64>, client_flags: u32) {
        let (deadline_ms, is_stale) = (self.deadline(ttl_ms), false);
        let pair = Pair { value: value.to_vec(), deadline_ms, client_flags, is_stale };
        if self.is_live(&pair) {
            self.pairs.insert(key.to_vec(), pair);
        } else {
            self.pairs.remove(key);
        }
    }

    /// Replaces the value of an existing pair. Deadline and client flags stay.
    pub fn rewrite(&mut self, key: &[u8], value: Vec<u8>) {
        if let Some(pair) = self.pairs.get_mut(key) {
            pair.value = value;
            pair.is_stale = false;
        }
    }

    pub fn mark_stale(&mut self, key: &[u8]) {
        if let Some(pair) = self.pairs.get_mut(key) {
            pair.is_stale = true;
        }
    }

    pub fn touch(&mut self, key: &[u8], ttl_ms: Option<u64>) -> bool {
        let deadline_ms = self.deadline(ttl_ms);
        let now_ms = self.now_ms;
        match self.pairs.get_mut(key) {
            Some(pair) if pair.deadline_ms.is_none_or(|at| at > now_ms) => {
                pair.deadline_ms = deadline_ms;
                true
            }
            _ => false,
        }
    }

    pub fn delete(&mut self, key: &[u8]) -> bool {
        let was_live = self.get(key).is_some();
        self.pairs.remove(key);
        was_live
    }

    pub fn clear(&mut self) {
        self.pairs.clear();
    }

    /// Removes expired pairs.
    pub fn sweep(&mut self) {
        let live = self.clone();
        self.pairs.retain(|_, pair| live.is_live(pair));
    }

    /// Returns the number of pairs, and the space that they take in a segment: live ones, and all.
    pub fn sizes(&self) -> [(u64, u64); 2] {
        let size = |wanted: &dyn Fn(&Pair) -> bool| {
            self.pairs.iter().filter(|(_, pair)| wanted(pair)).fold((0, 0), |(count, bytes), (key, pair)| {
                let flags_len = if pair.client_flags == 0 { 0 } else { 4 };
                (count + 1, bytes + ((flags_len + key.len() + pair.value.len()).next_multiple_of(16) + 32) as u64)
            })
        };
        [size(&|pair| self.is_live(pair)), size(&|_| true)]
    }
}
