//! The TTL of a pair, and its encoding in the dialect.

use std::time::Duration;

/// The dialect interprets larger numbers of seconds as Unix time.
const RELATIVE_SECS_MAX: u64 = 30 * 24 * 60 * 60;

/// Servers interpret the numbers from here to 2³² - 1 as negative: -30 days to -1 second, as clients with 32 bits send
/// them.
const NEGATIVE_FIRST: u64 = NEGATIVE_END - RELATIVE_SECS_MAX;
const NEGATIVE_END: u64 = 1 << 32;

/// The last Unix time that a server with 32-bit times, such as memcached, does not interpret as a past one.
const UNIX_SECS_32_BITS: u64 = i32::MAX as u64;

/// A TTL of ten years. A longer TTL is assumed to mean "as long as possible".
const LONG_SECS: u64 = 10 * 365 * 24 * 60 * 60;

const EXPTIME_NEVER: i64 = 0;
const EXPTIME_AT_ONCE: i64 = -1;

/// The TTL of a pair: how long it exists after it is stored or touched.
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
    /// The pair never expires, but the server may evict it.
    Never,
    /// The pair expires after this time. The dialect counts whole seconds; a fraction is rounded up. A pair with a TTL
    /// of zero is never returned to any client.
    ///
    /// A TTL of more than 30 days is sent as a Unix time, which the server compares with its own clock. memcached
    /// stores it in 32 bits, which end in January 2038, and would drop a pair with a later time at once. Therefore a
    /// TTL of more than ten years that ends after that date is sent as [`Never`](Ttl::Never), to every server.
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

    /// The expiration number of the dialect; `unix_secs` is called only if the time is needed.
    pub(crate) fn exptime(self, unix_secs: impl FnOnce() -> u64) -> i64 {
        let Ttl::After(duration) = self else {
            return EXPTIME_NEVER;
        };
        let secs = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
        match secs {
            0 => EXPTIME_AT_ONCE,
            1..=RELATIVE_SECS_MAX => secs as i64,
            _ => unix_exptime(unix_secs(), secs),
        }
    }
}

/// The number for a TTL of more than 30 days.
fn unix_exptime(now: u64, secs: u64) -> i64 {
    match now.saturating_add(secs) {
        UNIX_SECS_32_BITS.. if secs > LONG_SECS => EXPTIME_NEVER,
        // This time, in the year 2106, cannot be encoded. A TTL of 30 days and the last time that can be encoded both
        // end earlier: the later of them is used.
        NEGATIVE_FIRST..NEGATIVE_END => match NEGATIVE_FIRST - 1 {
            end if end <= now + RELATIVE_SECS_MAX => RELATIVE_SECS_MAX as i64,
            end => end as i64,
        },
        end => end as i64,
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
            // More seconds would be interpreted as a day in January 1970.
            (Ttl::from_secs(2_592_001), 1_802_592_001),
            (Ttl::from_secs(LONG_SECS), 2_115_360_000),
            (Ttl::from_secs(UNIX_SECS_32_BITS - NOW - 1), i64::from(i32::MAX) - 1),
            (Ttl::from_secs(UNIX_SECS_32_BITS - NOW), 0),
            (Ttl::After(Duration::MAX), 0),
        ] {
            assert_eq!(ttl.exptime(|| NOW), expected, "{ttl:?}");
        }
    }

    #[test]
    fn a_ttl_beyond_30_days_does_not_become_never_when_it_ends_after_january_2038() {
        const DECEMBER_2037: u64 = 2_145_000_000;
        for now in [DECEMBER_2037, UNIX_SECS_32_BITS, 4_000_000_000, NEGATIVE_END, 253_402_300_799] {
            for secs in [2_592_001, 5_000_000, LONG_SECS] {
                assert_eq!(Ttl::from_secs(secs).exptime(|| now), (now + secs) as i64, "{secs} from {now} on");
            }
        }
    }

    #[test]
    fn a_time_that_servers_interpret_as_negative_is_never_sent() {
        const FIRST: u64 = 4_292_375_296;
        for (now, secs, expected) in [
            (FIRST - 2_592_002, 2_592_001, FIRST - 1),
            // The last time that can be encoded is the later one.
            (FIRST - 5_000_000, 5_000_000, FIRST - 1),
            (FIRST - 5_000_000, 7_000_000, FIRST - 1),
            // 30 days are later, or equal.
            (FIRST - 2_592_001, 2_592_001, 2_592_000),
            (FIRST - 2_592_000, 2_592_001, 2_592_000),
            (FIRST - 1, 2_592_001, NEGATIVE_END),
            (FIRST - 100, 2_592_001, 2_592_000),
            (FIRST - 1, 5_000_000, FIRST + 4_999_999),
        ] {
            let exptime = Ttl::from_secs(secs).exptime(|| now);
            assert_eq!(exptime, expected as i64, "{secs} from {now} on");
            let end = if exptime <= 2_592_000 { now + exptime as u64 } else { exptime as u64 };
            assert!(end <= now + secs && end > now);
        }
    }
}
