//! The report of a run, as text or as one JSON object.

use std::fmt::Write;

use crate::options::Bench;

use super::tally::Tally;

/// The results of a whole run.
pub(super) struct Measured {
    pub(super) tally: Tally,
    pub(super) usage: Usage,
}

/// What the measurement took of both sides.
pub(super) struct Usage {
    pub(super) elapsed_ns: u64,
    /// The CPU time of the server during the measurement, if it is visible, and its process id.
    pub(super) server: Option<(u32, u64)>,
    /// The CPU time of this process.
    pub(super) client_ns: Option<u64>,
    /// The resident memory of the server in bytes, before the connections were opened and at the end.
    pub(super) rss: Option<(u64, u64)>,
}

const QUANTILES: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)];

/// Above this CPU share of its threads, the load generator is the bottleneck.
const SATURATED: f64 = 0.95;

/// Writing to a string does not fail.
macro_rules! put {
    ($out:expr, $($format:tt)*) => {{
        let _ = write!($out, $($format)*);
    }};
}

impl Measured {
    pub(super) fn render(&self, options: &Bench) -> String {
        match options.json {
            true => self.json(options),
            false => self.text(options),
        }
    }

    fn per_second(&self) -> f64 {
        self.tally.requests() as f64 * 1e9 / self.usage.elapsed_ns.max(1) as f64
    }

    fn us_a_request(&self, cpu_ns: u64) -> f64 {
        cpu_ns as f64 / 1e3 / self.tally.requests().max(1) as f64
    }

    fn cores(&self, cpu_ns: u64) -> f64 {
        cpu_ns as f64 / self.usage.elapsed_ns.max(1) as f64
    }

    fn text(&self, options: &Bench) -> String {
        let (mut out, tally) = (String::new(), &self.tally);
        let (lens, keys) = (&options.value_len, options.keys);
        put!(out, "{} on {}: ", options.dialect.name(), options.target_name());
        if options.uses_tls() {
            out.push_str("TLS, ");
        }
        if options.new_connections {
            out.push_str("new connections, ");
        }
        put!(out, "connections {}, depth {}, threads {}, ", options.connections, options.depth, options.threads);
        put!(out, "gets {} %, values of {}", options.gets, lens.start());
        if lens.start() < lens.end() {
            put!(out, " to {}", lens.end());
        }
        put!(out, " bytes, {keys} keys");
        match options.zipf {
            Some(exponent) => put!(out, " by Zipf's law, exponent {exponent}\n"),
            None => put!(out, ", all the same\n"),
        }

        let secs = self.usage.elapsed_ns as f64 / 1e9;
        put!(out, "requests    {} in {secs:.2} s, {:.0} a second\n", tally.requests(), self.per_second());
        put!(out, "answers     {} hits, {} misses, {} stored\n", tally.hits, tally.misses, tally.stored);
        if tally.full_handshakes + tally.resumed_handshakes > 0 {
            put!(out, "handshakes  {} full, {} resumed\n", tally.full_handshakes, tally.resumed_handshakes);
        }
        let since = if options.rate.is_some() { "from when it was due" } else { "from sending it" };
        put!(out, "latency     µs, {since}:");
        for (name, quantile) in QUANTILES {
            put!(out, " {name} {:.0},", us(tally.latency_ns.value_at_quantile(quantile)));
        }
        put!(out, " max {:.0}\n", us(tally.latency_ns.max()));
        match self.usage.server {
            Some((pid, ns)) => {
                put!(
                    out,
                    "server CPU  {:.2} µs a request, {:.2} cores, process {pid}\n",
                    self.us_a_request(ns),
                    self.cores(ns)
                );
            }
            None => out.push_str("server CPU  unknown: its process was not found; --pid names it\n"),
        }
        if let Some((before, after)) = self.usage.rss {
            let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
            put!(out, "server RSS  {:.1} MiB, {:.1} MiB before the connections\n", mib(after), mib(before));
        }
        if let Some(ns) = self.usage.client_ns {
            put!(out, "client CPU  {:.2} µs a request, {:.2} cores\n", self.us_a_request(ns), self.cores(ns));
            if self.cores(ns) > SATURATED * f64::from(options.threads) {
                out.push_str(
                    "            the load generator was at its limit, the server perhaps not: more --threads tell\n",
                );
            }
        }
        out
    }

    fn json(&self, options: &Bench) -> String {
        let (mut out, tally) = (String::from("{"), &self.tally);
        put!(out, "\"dialect\":\"{}\",", options.dialect.name());
        put!(out, "\"tls\":{},\"new_connections\":{},", options.uses_tls(), options.new_connections);
        put!(out, "\"connections\":{},\"depth\":{},", options.connections, options.depth);
        put!(out, "\"threads\":{},\"gets_percent\":{},", options.threads, options.gets);
        put!(out, "\"value_len_min\":{},\"value_len_max\":{},", options.value_len.start(), options.value_len.end());
        put!(out, "\"keys\":{},\"zipf\":{},\"rate\":{},", options.keys, or_null(options.zipf), or_null(options.rate));
        put!(out, "\"elapsed_secs\":{:.6},\"requests\":{},", self.usage.elapsed_ns as f64 / 1e9, tally.requests());
        put!(out, "\"hits\":{},\"misses\":{},\"stored\":{},", tally.hits, tally.misses, tally.stored);
        put!(out, "\"full_handshakes\":{},", tally.full_handshakes);
        put!(out, "\"resumed_handshakes\":{},", tally.resumed_handshakes);
        let (rss_before, rss) = self.usage.rss.unzip();
        put!(out, "\"server_rss_before\":{},\"server_rss\":{},", bytes_or_null(rss_before), bytes_or_null(rss));
        put!(out, "\"requests_per_sec\":{:.1},\"latency_us\":{{", self.per_second());
        for (name, quantile) in QUANTILES {
            put!(out, "\"{name}\":{:.1},", us(tally.latency_ns.value_at_quantile(quantile)));
        }
        put!(out, "\"mean\":{:.1},\"max\":{:.1}}},", tally.latency_ns.mean() / 1e3, us(tally.latency_ns.max()));
        let server_us = self.usage.server.map(|(_, ns)| self.us_a_request(ns));
        let server_cores = self.usage.server.map(|(_, ns)| self.cores(ns));
        put!(out, "\"server_cpu_us\":{},\"server_cores\":{},", or_null(server_us), or_null(server_cores));
        let client_us = self.usage.client_ns.map(|ns| self.us_a_request(ns));
        let client_cores = self.usage.client_ns.map(|ns| self.cores(ns));
        put!(out, "\"client_cpu_us\":{},\"client_cores\":{}}}\n", or_null(client_us), or_null(client_cores));
        out
    }
}

fn us(ns: u64) -> f64 {
    ns as f64 / 1e3
}

fn bytes_or_null(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "null".to_owned(), |bytes| bytes.to_string())
}

fn or_null(number: Option<f64>) -> String {
    number.map_or_else(|| "null".to_owned(), |number| format!("{number:.3}"))
}
