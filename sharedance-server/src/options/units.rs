//! Sizes and times with units, as options accept them and as log lines state them.
//!
//! The units are those of the PHP library: `k`, `m`, `g` and `t` are powers of 1024, as for memcached, nginx and systemd,
//! with or without `B` or `iB`.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

const SIZE_UNITS: [(&str, u64); 5] = [("", 1), ("k", 1 << 10), ("m", 1 << 20), ("g", 1 << 30), ("t", 1 << 40)];

const TIME_UNITS: [(&str, u64); 6] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("min", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// The explanation of the units in `--help`.
pub(super) const HELP: &str = "\
A SIZE is a number of bytes, or has a unit: 64k, 512MiB, 1G (powers of 1024, also when written KB, MB, GB).
A TIME is a number of seconds, if the option names no other unit, or has a unit: 500ms, 30s, 15m, 2h, 1d.";

/// What a time without a unit is counted in.
#[derive(Debug, Clone, Copy)]
pub(super) enum Plain {
    Seconds,
    Milliseconds,
}

/// Returns a parser of sizes, for an option whose values are within `range`.
pub(super) fn size(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<u64, String> + Clone + Send + Sync {
    move |text| {
        let bytes = parse_size(text)?;
        within(bytes, &range, u64::MAX, |bytes| Size(bytes).with_bytes())
    }
}

/// Returns a parser of times, for an option whose values are within `range` and were counted in `plain` units before they
/// had any.
pub(super) fn time(
    plain: Plain,
    range: RangeInclusive<Duration>,
) -> impl Fn(&str) -> Result<Duration, String> + Clone + Send + Sync {
    move |text| {
        let time = parse_time(text, plain)?;
        within(time, &range, Duration::MAX, |time| Time(time).to_string())
    }
}

/// Returns `value` if it is within `range`; the error names both.
fn within<T: PartialOrd + Copy>(
    value: T,
    range: &RangeInclusive<T>,
    unlimited: T,
    display: impl Fn(T) -> String,
) -> Result<T, String> {
    if range.contains(&value) {
        return Ok(value);
    }
    let (least, most) = (display(*range.start()), display(*range.end()));
    let possible = if *range.end() == unlimited { format!("at least {least}") } else { format!("{least} to {most}") };
    Err(format!("{} is out of range: give {possible}", display(value)))
}

fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let unit = unit.to_ascii_lowercase();
    let unit = match &*unit {
        "b" | "byte" | "bytes" => "",
        unit => unit.strip_suffix("ib").filter(|unit| !unit.is_empty()).or(unit.strip_suffix('b')).unwrap_or(unit),
    };
    let bytes = SIZE_UNITS.iter().find(|(name, _)| *name == unit);
    bytes
        .and_then(|(_, bytes)| number.parse::<u64>().ok()?.checked_mul(*bytes))
        .ok_or_else(|| "a size is a whole number of bytes, or has a unit: 64k, 512MiB, 1G".to_owned())
}

fn parse_time(text: &str, plain: Plain) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let unit = match (unit, plain) {
        ("", Plain::Seconds) => "s",
        ("", Plain::Milliseconds) => "ms",
        (unit, _) => unit,
    };
    let millis = TIME_UNITS.iter().find(|(name, _)| *name == unit);
    millis
        .and_then(|(_, millis)| number.parse::<u64>().ok()?.checked_mul(*millis))
        .map(Duration::from_millis)
        .ok_or_else(|| {
            let plain = match plain {
                Plain::Seconds => "seconds",
                Plain::Milliseconds => "milliseconds",
            };
            format!("a time is a whole number of {plain}, or has a unit: 500ms, 30s, 15m, 2h, 1d")
        })
}

/// The digits at the start, and the rest. A sign is no digit.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    (number, unit.trim_start())
}

/// A number of bytes. Displays in the largest unit of which it is a multiple, as the options accept it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl Size {
    /// The size, followed by the number of bytes if the unit is another one.
    fn with_bytes(self) -> String {
        match self.to_string() {
            size if size.contains(" byte") => size,
            size => format!("{size} ({} bytes)", self.0),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_multiple = |(_, bytes): &&(&str, u64)| self.0 > 0 && self.0.is_multiple_of(*bytes);
        match SIZE_UNITS.iter().rev().find(is_multiple) {
            Some((unit, bytes)) if !unit.is_empty() => write!(f, "{} {}iB", self.0 / bytes, unit.to_uppercase()),
            _ if self.0 == 1 => write!(f, "1 byte"),
            _ => write!(f, "{} bytes", self.0),
        }
    }
}

/// A time. Displays in the largest unit of which it is a multiple, as the options accept it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time(pub Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let is_multiple = |(name, millis): &&(&str, u64)| *name != "min" && time > 0 && time.is_multiple_of(*millis);
        match TIME_UNITS.iter().rev().find(is_multiple) {
            Some((unit, millis)) => write!(f, "{}{unit}", time / millis),
            None => write!(f, "{time}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_that_are_powers_of_1024() {
        let sizes = [
            ("0", 0),
            ("1000", 1000),
            ("7B", 7),
            ("64k", 65_536),
            ("64 KiB", 65_536),
            ("2mb", 2_097_152),
            ("512MiB", 536_870_912),
            (" 1G ", 1 << 30),
            ("3t", 3 << 40),
            ("18446744073709551615", u64::MAX),
        ];
        for (text, bytes) in sizes {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "k", "-1", "+1", "1.5G", "1 2", "1kk", "1ib", "1e3", "16777216T", "18446744073709551616", "1ş"]
        {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_have_units_and_plain_numbers_mean_what_they_meant() {
        let times = [("0", 0), ("30", 30_000), ("500ms", 500), ("5 s", 5000), ("30m", 1_800_000), ("2h", 7_200_000)];
        for (text, millis) in times {
            assert_eq!(parse_time(text, Plain::Seconds), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse_time("1d", Plain::Milliseconds), Ok(Duration::from_secs(86_400)));
        assert_eq!(parse_time("250", Plain::Milliseconds), Ok(Duration::from_millis(250)));
        for text in ["", "s", "-1", "1.5h", "1y", "1M", "1h30m", "18446744073709551615s"] {
            assert!(parse_time(text, Plain::Seconds).is_err(), "{text}");
        }
    }

    #[test]
    fn a_displayed_value_is_accepted_and_means_the_same() {
        for bytes in [0, 1, 1000, 1024, 2_097_152, 2_097_153, 3 << 30, u64::MAX] {
            let text = Size(bytes).to_string();
            assert_eq!(parse_size(&text), Ok(bytes), "{text}");
        }
        for millis in [0, 1, 999, 1000, 1500, 60_000, 90_000, 3_600_000, 86_400_000, i32::MAX as u64 * 1000] {
            let text = Time(Duration::from_millis(millis)).to_string();
            assert_eq!(parse_time(&text, Plain::Milliseconds), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(Size(2 << 20).to_string(), "2 MiB");
        assert_eq!(Time(Duration::from_secs(1800)).to_string(), "30m");
    }

    #[test]
    fn a_value_out_of_range_is_refused_with_both_numbers_and_their_units() {
        let refused = size(2 << 20..=u64::MAX)("1000").unwrap_err();
        assert_eq!(refused, "1000 bytes is out of range: give at least 2 MiB (2097152 bytes)");
        let refused = size(1..=64 << 20)("1G").unwrap_err();
        let expected = "1 GiB (1073741824 bytes) is out of range: give 1 byte to 64 MiB (67108864 bytes)";
        assert_eq!(refused, expected);
        let hour = Duration::from_millis(1)..=Duration::from_secs(3600);
        assert_eq!(time(Plain::Seconds, hour)("2h").unwrap_err(), "2h is out of range: give 1ms to 1h");
    }
}
