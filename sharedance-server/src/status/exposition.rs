//! Writes metrics in the text formats of Prometheus.
//!
//! The formats are described at <https://prometheus.io/docs/instrumenting/exposition_formats/> and
//! <https://github.com/prometheus/OpenMetrics>. They differ in the name of a counter's family, in units, and in the end.

use std::fmt::{Display, Write};

use crate::observe::Distribution;

/// The first power of two nanoseconds that bounds a bucket: a microsecond.
const FIRST_BUCKET: u32 = 10;
/// The last one: 17 seconds.
const LAST_BUCKET: u32 = 34;

/// A text format of Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// The text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The format for a client that accepts these media types.
    pub(super) fn accepted_by(accept: &str) -> Format {
        if accept.contains("application/openmetrics-text") { Format::OpenMetrics } else { Format::Text }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Metrics in one of the formats.
#[derive(Debug)]
pub(super) struct Exposition {
    format: Format,
    text: String,
}

/// The samples of one family.
pub(super) struct Family<'a> {
    exposition: &'a mut Exposition,
    name: &'static str,
    suffix: &'static str,
}

impl Exposition {
    pub(super) fn new(format: Format) -> Exposition {
        Exposition { format, text: String::new() }
    }

    /// Begins a family of counters. `name` has no suffix `_total`.
    pub(super) fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "counter", if self.format == Format::Text { "_total" } else { "" }, help);
        Family { exposition: self, name, suffix: "_total" }
    }

    /// Begins a family of gauges.
    pub(super) fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "gauge", "", help);
        Family { exposition: self, name, suffix: "" }
    }

    /// Begins a family of histograms of durations in seconds.
    pub(super) fn histogram(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "histogram", "", help);
        Family { exposition: self, name, suffix: "" }
    }

    /// All metrics.
    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn family(&mut self, name: &str, kind: &str, suffix: &str, help: &str) {
        self.push(format_args!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n"));
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.text.write_fmt(text);
    }
}

impl Family<'_> {
    /// Adds a sample without labels.
    pub(super) fn value(&mut self, value: impl Display) -> &mut Self {
        self.labelled(&[], value)
    }

    /// Adds a sample with these labels.
    pub(super) fn labelled(&mut self, labels: &[(&str, &str)], value: impl Display) -> &mut Self {
        let (name, suffix) = (self.name, self.suffix);
        self.exposition.push(format_args!("{name}{suffix}{} {value}\n", Labels(labels)));
        self
    }

    /// Adds a histogram with this label.
    pub(super) fn distribution(&mut self, label: (&str, &str), distribution: &Distribution) -> &mut Self {
        let (name, count) = (self.name, distribution.count());
        for (bound, count) in distribution.cumulative(FIRST_BUCKET, LAST_BUCKET) {
            let bound = bound.as_secs_f64().to_string();
            self.exposition.push(format_args!("{name}_bucket{} {count}\n", Labels(&[label, ("le", &bound)])));
        }
        self.exposition.push(format_args!("{name}_bucket{} {count}\n", Labels(&[label, ("le", "+Inf")])));
        let sum = distribution.sum().as_secs_f64();
        self.exposition.push(format_args!("{name}_sum{} {sum}\n", Labels(&[label])));
        self.exposition.push(format_args!("{name}_count{} {count}\n", Labels(&[label])));
        self
    }
}

/// Labels as they follow the name of a metric.
struct Labels<'a>(&'a [(&'a str, &'a str)]);

impl Display for Labels<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (name, value)) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "{" } else { "," })?;
            write!(f, "{name}=\"")?;
            for char in value.chars() {
                match char {
                    '"' => f.write_str("\\\"")?,
                    '\\' => f.write_str("\\\\")?,
                    '\n' => f.write_str("\\n")?,
                    char => f.write_char(char)?,
                }
            }
            f.write_char('"')?;
        }
        f.write_str(if self.0.is_empty() { "" } else { "}" })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn written(format: Format) -> String {
        let mut exposition = Exposition::new(format);
        exposition.counter("reads", "Reads.").labelled(&[("result", "a\"b\\c\nd")], 7).labelled(&[], 1);
        exposition.gauge("room_bytes", "Room.").value(0.5);
        exposition.finish()
    }

    #[test]
    fn the_formats_differ_in_the_name_of_a_counter_and_in_the_end() {
        let samples = "reads_total{result=\"a\\\"b\\\\c\\nd\"} 7\nreads_total 1\n# HELP room_bytes Room.\n\
                       # TYPE room_bytes gauge\nroom_bytes 0.5\n";
        let text = format!("# HELP reads_total Reads.\n# TYPE reads_total counter\n{samples}");
        assert_eq!(written(Format::Text), text);
        let open_metrics = format!("# HELP reads Reads.\n# TYPE reads counter\n{samples}# EOF\n");
        assert_eq!(written(Format::OpenMetrics), open_metrics);
        assert_eq!(Format::accepted_by("application/openmetrics-text;version=1.0.0,*/*;q=0.1"), Format::OpenMetrics);
        assert_eq!(Format::accepted_by("*/*"), Format::Text);
    }

    #[test]
    fn a_histogram_counts_what_is_shorter_than_each_bound() {
        let histogram = crate::observe::Histogram::default();
        histogram.record(Duration::from_micros(1), 3);
        histogram.record(Duration::from_secs(30), 1);
        let mut distribution = Distribution::default();
        distribution.add(&histogram);
        let mut exposition = Exposition::new(Format::Text);
        exposition.histogram("latency_seconds", "Latency.").distribution(("command", "get"), &distribution);
        let text = exposition.finish();
        assert!(text.contains("latency_seconds_bucket{command=\"get\",le=\"0.000001024\"} 3\n"), "{text}");
        assert!(text.contains("latency_seconds_bucket{command=\"get\",le=\"17.179869184\"} 3\n"), "{text}");
        assert!(text.ends_with(
            "le=\"+Inf\"} 4\nlatency_seconds_sum{command=\"get\"} 30.000003\nlatency_seconds_count{command=\"get\"} 4\n"
        ));
    }
}
