//! Blank segments that are ready for writers, and the estimate of how many they need.

use crate::store::segment::blank::Blank;

/// Blanks that are kept ready while writers use them up.
const READY_WHILE_WRITING: usize = 2;
/// Blanks that are kept ready while no writer needs one.
const READY_AT_REST: usize = 1;
/// Each second the demand estimate decays by 1/DEMAND_DECAY unless activations confirm it. So it takes some seconds to
/// forget a burst: the next one would find the files deleted that it needs.
const DEMAND_DECAY: usize = 4;
/// Unconfirmed demand counts for at most this many, and for no more than there are segments in use: no great part
/// of a disk is kept for demand that may come, and hardly any once all pairs have expired.
const MAX_LASTING: usize = 8;
/// The greatest number of blanks kept from recycling, however fast they are used up.
const MAX_SPARE: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Spares {
    pub(super) blanks: Vec<Blank>,
    /// Where no other can be created: for the copies of compaction, which gives back more than it takes. Of new
    /// writes the last blank would be used up, and then no segment could be emptied.
    pub(super) for_survivors: Option<Blank>,
    /// Blanks put to use since [`Spares::update_demand`] was last called, and the estimate of how many are in a second.
    activations: usize,
    demand: usize,
}

impl Spares {
    pub(super) fn ready_target(&self) -> usize {
        if self.activations + self.demand > 0 { READY_WHILE_WRITING } else { READY_AT_REST }
    }

    pub(super) fn keep_target(&self) -> usize {
        self.activations.max(self.demand).clamp(self.ready_target(), MAX_SPARE)
    }

    /// Takes a blank for a segment: for the copies of compaction the reserved one, if it is the last.
    pub(super) fn take(&mut self, for_survivors: bool) -> Option<Blank> {
        let blank = match self.blanks.pop() {
            None if for_survivors => self.for_survivors.take(),
            blank => blank,
        }?;
        self.activations += 1;
        Some(blank)
    }

    /// Once a second: estimates how many blanks are used in a second. Unconfirmed demand counts for at most as many as
    /// `segments_in_use`.
    pub(super) fn update_demand(&mut self, segments_in_use: usize) {
        let lasting = (self.demand - self.demand.div_ceil(DEMAND_DECAY)).min(segments_in_use.min(MAX_LASTING));
        self.demand = std::mem::take(&mut self.activations).max(lasting);
    }
}
