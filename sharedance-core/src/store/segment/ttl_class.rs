//! TTL classes: records with similar TTLs share segments, so that they expire together.

/// The slack of [`TtlClass::slack_ms`] is 1/SLACK_PART of the TTL…
const SLACK_PART: u64 = 64;
/// …but at most this many milliseconds: the space of expired records is freed within seconds.
const MAX_SLACK_MS: u64 = 4_000;

/// A TTL, rounded up to a quarter of an octave: 4 × log₂ of its seconds. Records of one class share segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TtlClass(pub(crate) u8);

impl TtlClass {
    const NEVER: TtlClass = TtlClass(u8::MAX);

    /// The class of a TTL in milliseconds; `None` means no expiry.
    pub(crate) fn of_ms(ttl_ms: Option<u64>) -> TtlClass {
        match ttl_ms {
            None => TtlClass::NEVER,
            Some(ttl_ms) => {
                let quarter_octaves = (ttl_ms as f64 / 1_000.0).log2() * 4.0;
                TtlClass(quarter_octaves.ceil().clamp(0.0, f64::from(u8::MAX - 1)) as u8)
            }
        }
    }

    /// The longest TTL of the class in milliseconds, at most a quarter of an octave above any other; 136 years for no
    /// expiry.
    pub(crate) fn ttl_ms(self) -> u64 {
        let octaves = (f64::from(self.0) / 4.0).min(32.0);
        (octaves.exp2() * 1_000.0) as u64
    }

    /// How long the sweep waits after the first record of a segment has expired, in milliseconds.
    pub(crate) fn slack_ms(self) -> u64 {
        (self.ttl_ms() / SLACK_PART).min(MAX_SLACK_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_quarter_octaves_rounded_up() {
        assert_eq!(TtlClass::of_ms(Some(0)), TtlClass(0));
        assert_eq!(TtlClass::of_ms(Some(1_000)), TtlClass(0));
        assert_eq!(TtlClass::of_ms(Some(1_001)), TtlClass(1));
        assert_eq!(TtlClass::of_ms(Some(2_000)), TtlClass(4));
        assert_eq!(TtlClass::of_ms(Some(1_800_000)), TtlClass(44));
        assert_eq!(TtlClass::of_ms(None), TtlClass::NEVER);
        assert!(TtlClass::of_ms(Some(u64::MAX)).0 < TtlClass::NEVER.0);
    }

    #[test]
    fn slack_grows_with_the_ttl_up_to_seconds() {
        assert!(TtlClass::of_ms(Some(2_000)).slack_ms() <= 50);
        assert_eq!(TtlClass::of_ms(Some(1_800_000)).slack_ms(), MAX_SLACK_MS);
        assert_eq!(TtlClass::NEVER.slack_ms(), MAX_SLACK_MS);
    }
}
