//! Writes that compute a new value from the old one: append, increment, update, invalidate.

use crate::WriteResult;
use crate::store::api::request::{Condition, Refusal, Ttl, Update};
use crate::store::disk::format::Word;
use crate::store::engine::Engine;
use crate::store::error::StoreError;
use crate::store::operations::draft::{Draft, Marks, Prefix, Rewrite};
use crate::store::operations::write::{Decision, WriteError, Writer};
use crate::store::segment::record::{Pinned, RecordRef};
use crate::store::segment::ttl_class::TtlClass;

impl Engine {
    /// Calls `attempt` with the record of `key`, again after each conflict with another write.
    pub(crate) fn rewrite<E>(
        &self,
        key: &[u8],
        mut attempt: impl FnMut(&Pinned) -> Result<WriteResult, E>,
    ) -> Result<WriteResult, E> {
        let hash = self.hash(key);
        loop {
            let Some(current) = self.find(hash, key, self.timeline.now_ms()) else {
                return Ok(WriteResult::NotFound);
            };
            match attempt(&current)? {
                WriteResult::Conflict => {}
                result => return Ok(result),
            }
        }
    }
}

impl Writer<'_> {
    /// Stores a value instead of `current`, if that is still current; otherwise [`WriteResult::Conflict`].
    pub(crate) fn write_after(
        &self,
        key: &[u8],
        current: &Pinned,
        parts: &[&[u8]],
        rewrite: Rewrite,
    ) -> Result<WriteResult, WriteError> {
        let Rewrite { ttl, marks, client_flags, version } = rewrite;
        let now = self.engine.timeline.now();
        let now_ms = now.ms;
        let hash = current.record().hash();
        let prefix = Prefix::new(client_flags.unwrap_or_else(|| current.client_flags()), version);
        let draft = Draft { prefix, marks, key, value: parts };
        self.engine.check_lengths(key, draft.value_len())?;
        let lifetime = ttl.map(|ttl| self.engine.lifetime(ttl, now));
        let class = lifetime.map_or(TtlClass(current.segment().header.ttl_class), |lifetime| lifetime.class);
        let reservation = self.prepare_record(class, &draft.payload(), now_ms)?;
        let sequence = current.record().sequence();
        let is_current = |found: &RecordRef<'_>| found.sequence() == sequence && !found.has_expired(now_ms);
        Ok(self.publish(hash, key, reservation, version, now_ms, |found| match found {
            Some(found) if is_current(found) => {
                let before = found.word();
                let deadline = lifetime.map_or(before.deadline, |lifetime| lifetime.deadline);
                Decision::Commit(Word { flags: draft.flags(), deadline, ..before })
            }
            _ => Decision::GiveUp(Refusal::Conflict),
        }))
    }

    /// Stores the result of `update` instead of `current`, if that is still current.
    pub(crate) fn write_update(
        &self,
        key: &[u8],
        current: &Pinned,
        update: &Update,
    ) -> Result<WriteResult, WriteError> {
        let Update { ref value, ttl, client_flags, is_stale, version } = *update;
        let marks = Marks { is_stale, has_refresher: false };
        self.write_after(key, current, &[value], Rewrite { ttl, marks, client_flags, version })
    }

    /// Marks the value of `key` as stale if `condition` holds. That gives it a new version.
    pub(crate) fn invalidate(
        &self,
        key: &[u8],
        condition: Condition,
        ttl: Option<Ttl>,
    ) -> Result<WriteResult, WriteError> {
        let marks = Marks { is_stale: true, has_refresher: false };
        let mut refused = None;
        let result = self.engine.rewrite(key, |current| match condition.refuses(Some(current.version())) {
            // `rewrite` tries again after a conflict, but this one is final.
            Some(refusal) => {
                refused = Some(refusal);
                Ok(WriteResult::NotFound)
            }
            None => self.write_after(key, current, &[current.value()], Rewrite { ttl, marks, ..Rewrite::default() }),
        })?;
        Ok(refused.map_or(result, WriteResult::from))
    }

    /// Replaces the number in the value of `key`; returns the new one, or `None` if there is no value.
    pub(crate) fn count(&self, key: &[u8], change: impl Fn(u64) -> u64) -> Result<Option<u64>, WriteError> {
        let mut counted = 0;
        let result = self.engine.rewrite(key, |current| {
            counted = change(decimal(current.value()).ok_or(StoreError::NotANumber)?);
            self.write_after(key, current, &[counted.to_string().as_bytes()], Rewrite::default())
        })?;
        Ok(result.is_stored().then_some(counted))
    }
}

/// The number in `digits`, which must be digits only and less than 2⁶⁴.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    let all_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| all_digits)?.parse().ok()
}
