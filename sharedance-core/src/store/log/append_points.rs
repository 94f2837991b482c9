//! The append points: which segments are open, and for which records.

use crate::store::primitives::Mutex;
use crate::store::primitives::atomic::{AtomicU16, Ordering};
use crate::store::segment::open::OpenSegment;
use crate::store::segment::ttl_class::TtlClass;

/// The number of append points for hot segments. Each keeps a segment open, so there are only a few, but enough to
/// separate records that expire at different times.
pub(super) const APPEND_POINTS: usize = 8;
/// In a store with few segments, at most 1/SEGMENTS_A_POINT of them are open for new writes: an open segment can be
/// neither compacted nor evicted.
const SEGMENTS_A_POINT: u64 = 8;

/// The open segment for records of one TTL class.
#[derive(Debug, Default)]
pub(super) struct AppendPoint {
    /// The class, plus one; zero if the point has no class.
    pub(super) class: AtomicU16,
    pub(super) open: Mutex<Option<OpenSegment>>,
}

#[derive(Debug)]
pub(super) struct AppendPoints {
    /// Non-empty.
    hot: Box<[AppendPoint]>,
    /// For copies by compaction.
    pub(super) cold: AppendPoint,
}

impl AppendPoints {
    pub(super) fn new(max_bytes: Option<u64>, segment_len: usize) -> AppendPoints {
        let points = count(max_bytes, segment_len);
        AppendPoints { hot: (0..points).map(|_| AppendPoint::default()).collect(), cold: AppendPoint::default() }
    }

    pub(super) fn hot(&self) -> impl Iterator<Item = &AppendPoint> {
        self.hot.iter()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &AppendPoint> {
        self.hot.iter().chain([&self.cold])
    }

    /// The append point of `class`; if all points have other classes, that of the nearest longer class.
    pub(super) fn point_for(&self, class: TtlClass) -> &AppendPoint {
        let wanted = u16::from(class.0) + 1;
        if let Some(point) = self.hot.iter().find(|point| point.class.load(Ordering::Acquire) == wanted) {
            return point;
        }
        let claimed = self
            .hot
            .iter()
            .find(|point| point.class.compare_exchange(0, wanted, Ordering::AcqRel, Ordering::Acquire).is_ok());
        if let Some(point) = claimed {
            return point;
        }
        let class_of = |point: &&AppendPoint| point.class.load(Ordering::Acquire);
        let longer = self.hot.iter().filter(|point| class_of(point) > wanted).min_by_key(class_of);
        longer.or_else(|| self.hot.iter().max_by_key(class_of)).unwrap_or(&self.hot[0])
    }
}

fn count(max_bytes: Option<u64>, segment_len: usize) -> usize {
    let segments = max_bytes.unwrap_or(u64::MAX) / segment_len as u64;
    (segments / SEGMENTS_A_POINT).clamp(1, APPEND_POINTS as u64) as usize
}
