//! The status page and its JSON.
//!
//! Both show the same texts, which have ids. The page contains them, so that it works without JavaScript; its script
//! replaces them by those of the JSON every few seconds.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::fmt::Write;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use serde::Serialize;

use super::history::History;
use super::snapshot::{Snapshot, Source};
use crate::observe::{CommandKind, Distribution, PauseKind};
use crate::options::Size;

const TEMPLATE: &str = include_str!("page.html");

/// How many slow requests the page shows.
const SLOW_REQUESTS: usize = 10;

/// The size of the chart, in units of its own.
const CHART: (f64, f64) = (600.0, 80.0);

/// What the page shows.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    /// The texts, by id.
    texts: BTreeMap<String, String>,
    /// The share of the room that is used, 0 to 1.
    room_used: f64,
    /// The points of the chart of requests per second.
    chart: String,
}

impl Page {
    pub(super) fn new(source: &Source, history: &History, now: &Snapshot) -> Page {
        let mut texts = BTreeMap::new();
        let mut set = |id: &str, text: String| drop(texts.insert(id.to_owned(), text));
        let rate = |count: fn(&Snapshot) -> u64| history.rate(now, count);
        let store = &now.store;

        set("state", now.readiness.as_str().to_owned());
        set("version", env!("CARGO_PKG_VERSION").to_owned());
        set("uptime", uptime(now.uptime));
        set("addresses", source.addresses.join(" "));
        set("durability", format!("{:?}", source.store.durability()).to_lowercase());

        set("requests", per_second(rate(Snapshot::requests)));
        set("hit_ratio", percent(rate(Snapshot::hits), rate(Snapshot::hits) + rate(Snapshot::misses)));
        set("received", bytes_per_second(rate(|snapshot| snapshot.counters.bytes_read)));
        set("sent", bytes_per_second(rate(|snapshot| snapshot.counters.bytes_written)));
        let cpu = rate(|snapshot| (snapshot.cpu_user + snapshot.cpu_system).as_micros() as u64);
        set("cpu", format!("{:.1} %", cpu / 1e4));
        set("slow", count(now.slow_total));

        set("connections", format!("{} of {}", count(now.open_connections()), count(now.max_connections as u64)));
        set("opened", per_second(rate(|snapshot| snapshot.counters.connections_opened)));
        set("rejected", count(now.counters.connections_rejected));
        set("inflight", bytes(now.inflight_bytes as u64));
        set("auth_errors", count(now.counters.auth_errors));

        set("pairs", count(store.pairs));
        set("live_bytes", bytes(store.live_bytes));
        set("file_bytes", bytes(store.file_bytes));
        set("room", bytes(now.room()));
        set("room_of", if now.max_bytes.is_some() { "--max-bytes" } else { "the file system" }.to_owned());
        set("segments", count(store.segments));
        set("index_bytes", bytes(store.index_bytes));
        set("expired", per_second(rate(|snapshot| snapshot.store.expired)));
        set("evicted", per_second(rate(|snapshot| snapshot.store.evicted)));
        set("compacted", bytes_per_second(rate(|snapshot| snapshot.store.compacted_bytes)));
        set("refused", count(store.refused_full + now.counters.too_large));
        set("damaged", count(store.damaged));

        set("locks_held", count(now.locks.held));
        set("locks_waiting", count(now.locks.waiting));
        set("lock_waits", per_second(rate(|snapshot| snapshot.locks.waits)));
        set("lock_timeouts", count(now.locks.timeouts));
        set("locks_expired", count(now.locks.expired));

        let (minute_ago, seconds) = (history.minute_ago(), elapsed(history.minute_ago(), now));
        for (index, kind) in CommandKind::ALL.iter().enumerate() {
            let since = now.commands[index].since(&minute_ago.commands[index]);
            distribution(&mut set, kind.name(), &since, seconds);
        }
        for (index, kind) in PauseKind::ALL.iter().enumerate() {
            let since = now.pauses[index].since(&minute_ago.pauses[index]);
            distribution(&mut set, kind.name(), &since, seconds);
        }
        let slow = source.slow_requests();
        for index in 0..SLOW_REQUESTS {
            let texts = slow.get(index).map(|request| {
                [
                    format!("{} s ago", now.unix_time().saturating_sub(request.unix_time).as_secs()),
                    format!("{} ({} together)", request.command.name(), request.requests),
                    count(request.key_len as u64),
                    bytes(request.value_len as u64),
                    time(request.latency),
                    time(request.waited),
                    time(request.synced),
                ]
            });
            for (column, text) in SLOW_COLUMNS.iter().zip(texts.unwrap_or_default()) {
                set(&format!("slow{index}_{column}"), text);
            }
        }
        let room_used = if now.room() > 0 { store.file_bytes as f64 / now.room() as f64 } else { 0.0 };
        Page { texts, room_used, chart: chart(&history.rates(Snapshot::requests)) }
    }

    /// The page as HTML. Its style and script are allowed by `nonce` alone.
    pub(super) fn html(&self, nonce: &str) -> String {
        let commands: String = CommandKind::ALL.iter().map(|kind| row(kind.name(), &DISTRIBUTION_COLUMNS)).collect();
        let pauses: String = PauseKind::ALL.iter().map(|kind| row(kind.name(), &DISTRIBUTION_COLUMNS)).collect();
        let mut page = TEMPLATE
            .replace("{{nonce}}", nonce)
            .replace("{{commands}}", &commands)
            .replace("{{pauses}}", &pauses)
            .replace("{{slow_rows}}", &slow_rows())
            .replace("{{room_used}}", &format!("{:.4}", self.room_used))
            .replace("{{chart}}", &self.chart);
        for (id, text) in &self.texts {
            page = page.replace(&format!("{{{{{id}}}}}"), &escape(text));
        }
        page
    }

    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A value that no other page has.
pub(super) fn nonce() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

const DISTRIBUTION_COLUMNS: [&str; 5] = ["rate", "p50", "p99", "p999", "max"];
const SLOW_COLUMNS: [&str; 7] = ["at", "command", "key", "value", "latency", "waited", "synced"];

fn distribution(set: &mut impl FnMut(&str, String), name: &str, distribution: &Distribution, seconds: f64) {
    let is_empty = distribution.count() == 0;
    let quantile = |share| if is_empty { "–".to_owned() } else { time(distribution.quantile(share)) };
    let rate = if seconds > 0.0 { distribution.count() as f64 / seconds } else { 0.0 };
    let texts = [per_second(rate), quantile(0.5), quantile(0.99), quantile(0.999), quantile(1.0)];
    for (column, text) in DISTRIBUTION_COLUMNS.iter().zip(texts) {
        set(&format!("{name}_{column}"), text);
    }
}

fn row(name: &str, columns: &[&str]) -> String {
    let cells = columns.iter().fold(String::new(), |mut cells, column| {
        // Writing to a string does not fail.
        let _ = write!(cells, "<td id=\"{name}_{column}\">{{{{{name}_{column}}}}}</td>");
        cells
    });
    format!("<tr><th scope=\"row\">{name}</th>{cells}</tr>\n")
}

fn slow_rows() -> String {
    (0..SLOW_REQUESTS).fold(String::new(), |mut rows, index| {
        let cells: String = SLOW_COLUMNS
            .iter()
            .map(|column| format!("<td id=\"slow{index}_{column}\">{{{{slow{index}_{column}}}}}</td>"))
            .collect();
        let _ = writeln!(rows, "<tr>{cells}</tr>");
        rows
    })
}

/// The points of a line through `rates`, which ends at the right.
fn chart(rates: &[f64]) -> String {
    let (width, height) = CHART;
    let highest = rates.iter().copied().fold(1.0, f64::max);
    let step = width / 29.0;
    let left = width - step * rates.len().saturating_sub(1) as f64;
    rates.iter().enumerate().fold(String::new(), |mut points, (index, rate)| {
        let (x, y) = (left + step * index as f64, height - rate / highest * (height - 2.0) - 1.0);
        let _ = write!(points, "{x:.1},{y:.1} ");
        points
    })
}

fn elapsed(from: &Snapshot, to: &Snapshot) -> f64 {
    to.at.saturating_duration_since(from.at).as_secs_f64()
}

/// A number with a blank between thousands.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

fn per_second(rate: f64) -> String {
    if rate > 0.0 && rate < 10.0 { format!("{rate:.1}/s") } else { format!("{}/s", count(rate.round() as u64)) }
}

/// A size with three digits.
fn bytes(bytes: u64) -> String {
    if bytes < 1024 {
        return Size(bytes).to_string();
    }
    let (mut size, mut unit) = (bytes as f64 / 1024.0, 0);
    while size >= 1000.0 && unit < 3 {
        (size, unit) = (size / 1024.0, unit + 1);
    }
    let decimals = if size < 10.0 { 2 } else { usize::from(size < 100.0) };
    format!("{size:.decimals$} {}", ["KiB", "MiB", "GiB", "TiB"][unit])
}

fn bytes_per_second(rate: f64) -> String {
    format!("{}/s", bytes(rate.round() as u64))
}

fn percent(part: f64, whole: f64) -> String {
    if whole > 0.0 { format!("{:.1} %", part / whole * 100.0) } else { "–".to_owned() }
}

/// A duration with two or three digits.
fn time(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    match micros {
        0.0 => "0".to_owned(),
        ..10.0 => format!("{micros:.1} µs"),
        ..1000.0 => format!("{micros:.0} µs"),
        ..10_000.0 => format!("{:.1} ms", micros / 1e3),
        ..1e6 => format!("{:.0} ms", micros / 1e3),
        _ => format!("{:.1} s", micros / 1e6),
    }
}

fn uptime(uptime: Duration) -> String {
    let secs = uptime.as_secs();
    let (days, hours, minutes) = (secs / 86_400, secs / 3600 % 24, secs / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{secs} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [count(0), count(999), count(1000), count(1_234_567)],
            ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]
        );
        assert_eq!(
            [bytes(1), bytes(1023), bytes(1536), bytes(1 << 20)],
            ["1 byte", "1023 bytes", "1.50 KiB", "1.00 MiB"]
        );
        assert_eq!(bytes(123_456_789_000), "115 GiB");
        let times = [0, 1_500, 42_000, 1_500_000, 42_000_000, 3_000_000_000].map(Duration::from_nanos).map(time);
        assert_eq!(times, ["0", "1.5 µs", "42 µs", "1.5 ms", "42 ms", "3.0 s"]);
        assert_eq!([per_second(0.0), per_second(0.25), per_second(1234.0)], ["0/s", "0.2/s", "1\u{202f}234/s"]);
        assert_eq!(percent(1.0, 4.0), "25.0 %");
        let uptimes = [5, 300, 7_500, 200_000].map(Duration::from_secs).map(uptime);
        assert_eq!(uptimes, ["5 s", "5 min", "2 h 5 min", "2 d 7 h"]);
    }

    #[test]
    fn a_chart_ends_at_the_right() {
        assert_eq!(chart(&[]), "");
        assert_eq!(chart(&[10.0, 0.0, 5.0]), "558.6,1.0 579.3,79.0 600.0,40.0 ");
    }

    #[test]
    fn every_text_of_the_template_has_an_element_that_the_script_finds() {
        for id in ["state", "requests", "pairs", "get_p99", "sync_max", "slow0_command"] {
            let page = TEMPLATE.replace("{{commands}}", &row("get", &DISTRIBUTION_COLUMNS));
            let page =
                page.replace("{{pauses}}", &row("sync", &DISTRIBUTION_COLUMNS)).replace("{{slow_rows}}", &slow_rows());
            assert!(page.contains(&format!("id=\"{id}\"")) && page.contains(&format!("{{{{{id}}}}}")), "{id}");
        }
        assert_eq!(escape("<a href=\"&\">"), "&lt;a href=&quot;&amp;&quot;&gt;");
    }
}
