//! The events for `tracing`, and what they must not contain.

use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::backends::ample;
use crate::memcached::Memcached;
use sharedance_client::Ttl;

/// Records the events.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<String>>);

struct Line<'j>(&'j mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}

impl Subscriber for Journal {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("sharedance_client")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Line(&mut self.0.lock().unwrap()));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn events_report_connections_and_servers_without_keys_and_values() {
    let journal = Journal::default();
    let memcached = Memcached::start(&[]);
    tracing::subscriber::with_default(journal.clone(), || {
        let client = ample(&format!("memcached://ada:secret-password@{}", memcached.address())).build().unwrap();
        client.set("secret-key", "secret-value", Ttl::Never).unwrap();
        client.get("secret-key").unwrap();
        let (first, max) = (Duration::from_secs(60), Duration::from_secs(60));
        let unreachable = ample("127.0.0.1:1").backoff(first, max).build().unwrap();
        unreachable.get("secret-key").unwrap_err();
        unreachable.get("secret-key").unwrap_err();
    });
    let events = journal.0.lock().unwrap().clone();
    assert_eq!(events.matches("message=connected").count(), 1, "{events}");
    assert_eq!(events.matches("message=the server is down server=127.0.0.1:1 ").count(), 1, "{events}");
    assert!(events.contains("failures=1") && !events.contains("secret"), "{events}");
}
