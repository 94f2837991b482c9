//! The names of segment files.

use std::fmt;

const SEGMENT_SUFFIX: &str = ".shd";

/// The name of a segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum FileName {
    Segment(u32),
    Big(u32),
}

impl FileName {
    pub(crate) fn id(self) -> u32 {
        match self {
            FileName::Segment(id) | FileName::Big(id) => id,
        }
    }

    pub(crate) fn parse(name: &str) -> Option<FileName> {
        let stem = name.strip_suffix(SEGMENT_SUFFIX)?;
        let (kind, digits) = stem.split_once('-')?;
        let is_canonical = digits.len() == 8 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let id = u32::from_str_radix(digits, 16).ok().filter(|_| is_canonical)?;
        match kind {
            "seg" => Some(FileName::Segment(id)),
            "big" => Some(FileName::Big(id)),
            _ => None,
        }
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileName::Segment(id) => write!(f, "seg-{id:08x}{SEGMENT_SUFFIX}"),
            FileName::Big(id) => write!(f, "big-{id:08x}{SEGMENT_SUFFIX}"),
        }
    }
}
