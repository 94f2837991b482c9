//! Blank segments that are ready for writers, and the estimate of how many they need.

use crate::store::segment::blank::Blank;

/// Blanks that are ready while writers use them.
const READY_WHILE_WRITING: usize = 2;
/// Blanks that are ready while no writer needs one.
const READY_AT_REST: usize = 1;
/// Each second the demand estimate decays by 1/DEMAND_DECAY unless activations confirm it. So files for a burst are
/// kept for some seconds, in case there is another one.
const DEMAND_DECAY: usize = 4;
/// The maximum of unconfirmed demand, which is also limited by the number of segments in use: only a small part of the
/// disk is kept for demand that may come, and almost none after all pairs have expired.
const MAX_LASTING: usize = 8;
/// The maximum number of blanks that are kept by recycling.
const MAX_SPARE: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Spares {
    pub(super) blanks: Vec<Blank>,
    /// Reserved for copies by compaction, which frees more than it takes, while no other blank can be created.
    /// Otherwise new writes would use the last blank, and no segment could be emptied.
    pub(super) for_survivors: Option<Blank>,
    /// Threads that create a blank for new writes. They may have claimed the last space for it.
    pub(super) in_creation: usize,
    /// Blanks that were activated since the last [`Spares::update_demand`], and the estimate of how many are activated
    /// in a second.
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

    /// Takes a blank. The copies of compaction get the reserved one if there is no other.
    pub(super) fn take(&mut self, for_survivors: bool) -> Option<Blank> {
        let blank = match self.blanks.pop() {
            None if for_survivors => self.for_survivors.take(),
            blank => blank,
        }?;
        self.activations += 1;
        Some(blank)
    }

    /// Once a second: updates the estimate of activations in a second. Unconfirmed demand is limited by
    /// `segments_in_use`.
    pub(super) fn update_demand(&mut self, segments_in_use: usize) {
        let lasting = (self.demand - self.demand.div_ceil(DEMAND_DECAY)).min(segments_in_use.min(MAX_LASTING));
        self.demand = std::mem::take(&mut self.activations).max(lasting);
    }
}
