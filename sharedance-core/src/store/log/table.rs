//! The table of the segments in use, by number.

use crate::store::primitives::{Arc, PoisonError, RwLock};
use crate::store::segment::open::OpenSegment;
use crate::store::segment::sealed::Segment;

#[derive(Debug, Default)]
pub(super) struct SegmentTable {
    entries: RwLock<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    segments: Vec<Option<Arc<Segment>>>,
    vacant: Vec<u32>,
}

impl SegmentTable {
    pub(super) fn len(&self) -> usize {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.segments.len() - entries.vacant.len()
    }

    pub(super) fn segments_where(&self, wanted: impl Fn(&Segment) -> bool) -> Vec<Arc<Segment>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.segments.iter().flatten().filter(|segment| wanted(segment)).cloned().collect()
    }

    /// Adds the segment that `make` creates for its number.
    pub(super) fn add(&self, make: impl FnOnce(u32) -> Segment) -> OpenSegment {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let number = entries.vacant.pop().unwrap_or(entries.segments.len() as u32);
        let segment = OpenSegment::new(make(number));
        match entries.segments.get_mut(number as usize) {
            Some(place) => *place = Some(Arc::clone(&segment)),
            None => entries.segments.push(Some(Arc::clone(&segment))),
        }
        segment
    }

    /// Removes a segment. Its number will be reused.
    pub(super) fn remove(&self, segment: &Segment) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = entries.segments.get_mut(segment.number as usize) {
            *place = None;
            entries.vacant.push(segment.number);
        }
    }
}
