//! The statistics of latencies: `stats latency` and `stats slow`.

use std::borrow::Cow;
use std::time::Duration;

use crate::observe::{CommandKind, Distribution, Latencies, PauseKind};

/// A name that is put together, and its value.
pub(super) type ComposedStat = (Cow<'static, str>, String);

/// The quantiles that are reported, with their names.
const QUANTILES: [(&str, f64); 4] = [("p50_us", 0.5), ("p99_us", 0.99), ("p999_us", 0.999), ("max_us", 1.0)];

/// For each kind of request and pause that there was: how many, and quantiles of their lengths in microseconds.
pub(super) fn latencies(latencies: &Latencies) -> Vec<ComposedStat> {
    let commands = CommandKind::ALL.iter().map(|&kind| (kind.name(), latencies.command(kind)));
    let pauses = PauseKind::ALL.iter().map(|&kind| (kind.name(), latencies.pause(kind)));
    let commands = commands.flat_map(|(name, distribution)| stats("command", name, &distribution));
    commands.chain(pauses.flat_map(|(name, distribution)| stats("pause", name, &distribution))).collect()
}

fn stats(group: &str, name: &str, distribution: &Distribution) -> Vec<ComposedStat> {
    let count = distribution.count();
    if count == 0 {
        return Vec::new();
    }
    let quantiles = QUANTILES.map(|(quantile, share)| {
        (format!("{group}:{name}:{quantile}").into(), micros(distribution.quantile(share)).to_string())
    });
    [(format!("{group}:{name}:count").into(), count.to_string())].into_iter().chain(quantiles).collect()
}

/// The slow requests, the latest first.
pub(super) fn slow_requests(latencies: &Latencies) -> Vec<ComposedStat> {
    let log = latencies.slow_log();
    let threshold = log.threshold().map_or_else(|| "off".to_owned(), |threshold| micros(threshold).to_string());
    let mut stats: Vec<ComposedStat> =
        vec![("threshold_us".into(), threshold), ("total".into(), log.total().to_string())];
    for request in log.recent() {
        let number = request.number;
        let values = [
            ("time", request.unix_time.as_secs().to_string()),
            ("command", request.command.name().to_owned()),
            ("key_len", request.key_len.to_string()),
            ("value_len", request.value_len.to_string()),
            ("requests", request.requests.to_string()),
            ("latency_us", micros(request.latency).to_string()),
            ("waited_us", micros(request.waited).to_string()),
            ("synced_us", micros(request.synced).to_string()),
        ];
        stats.extend(values.map(|(name, value)| (format!("{number}:{name}").into(), value)));
    }
    stats
}

fn micros(duration: Duration) -> u128 {
    duration.as_nanos().div_ceil(1000)
}
