//! How long a pair lives, and how the dialect says so.

use std::time::Duration;

/// From here on the dialect takes a number of seconds for Unix time.
const RELATIVE_SECS_MAX: u64 = 30 * 24 * 60 * 60;

/// The last Unix time that every server of the dialect can tell from an overflow.
const UNIX_SECS_MAX: u64 = i32::MAX as u64;

const EXPTIME_NEVER: i64 = 0;
const EXPTIME_AT_ONCE: i64 = -1;

/// How long a pair lives, from the moment it is stored or touched.
///
/// ```
/// use std::time::Duration;
/// use sharedance_client::Ttl;
///
/// assert_eq!(Ttl::from_secs(90), Ttl::from(Duration::from_secs(90)));
/// assert_ne!(Ttl::from_secs(0), Ttl::Never);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ttl {
    /// For ever, or until the server needs the room.
    Never,
    /// This long. The dialect counts whole seconds, so a part of one is rounded up; what lives for no time at all is
    /// never seen by anybody, and an end after January 2038 is never.
    After(Duration),
}

impl Ttl {
    /// A number of seconds.
    ///
    /// ```
    /// # use sharedance_client::Ttl;
    /// let half_an_hour = Ttl::from_secs(30 * 60);
    /// ```
    pub const fn from_secs(secs: u64) -> Ttl {
        Ttl::After(Duration::from_secs(secs))
    }

    /// The dialect's number for it; `unix_secs` is asked for the time only if it matters.
    pub(crate) fn exptime(self, unix_secs: impl FnOnce() -> u64) -> i64 {
        let Ttl::After(duration) = self else {
            return EXPTIME_NEVER;
        };
        let secs = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
        match secs {
            0 => EXPTIME_AT_ONCE,
            1..=RELATIVE_SECS_MAX => secs as i64,
            _ => match unix_secs().saturating_add(secs) {
                end @ ..=UNIX_SECS_MAX => end as i64,
                _ => EXPTIME_NEVER,
            },
        }
    }
}

impl From<Duration> for Ttl {
    fn from(duration: Duration) -> Ttl {
        Ttl::After(duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_ttl_is_mistaken_for_another() {
        const NOW: u64 = 1_800_000_000;
        for (ttl, expected) in [
            (Ttl::Never, 0),
            (Ttl::After(Duration::ZERO), -1),
            (Ttl::After(Duration::from_nanos(1)), 1),
            (Ttl::After(Duration::from_millis(1001)), 2),
            (Ttl::from_secs(2_592_000), 2_592_000),
            // More would be taken for a day in January 1970.
            (Ttl::from_secs(2_592_001), 1_802_592_001),
            (Ttl::from_secs(UNIX_SECS_MAX - NOW), i64::from(i32::MAX)),
            (Ttl::from_secs(UNIX_SECS_MAX - NOW + 1), 0),
            (Ttl::After(Duration::MAX), 0),
        ] {
            assert_eq!(ttl.exptime(|| NOW), expected, "{ttl:?}");
        }
    }
}
