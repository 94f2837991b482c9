//! The metrics of the server.

use super::exposition::{Exposition, Format};
use super::snapshot::{Readiness, Snapshot};
use crate::observe::{CommandKind, PauseKind};

/// The version of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// All metrics in `format`.
pub(super) fn metrics(snapshot: &Snapshot, format: Format) -> String {
    let mut exposition = Exposition::new(format);
    process(&mut exposition, snapshot);
    requests(&mut exposition, snapshot);
    connections(&mut exposition, snapshot);
    store(&mut exposition, snapshot);
    locks(&mut exposition, snapshot);
    exposition.finish()
}

fn process(out: &mut Exposition, snapshot: &Snapshot) {
    out.gauge("sharedance_build_info", "Always 1, with the version of the server.")
        .labelled(&[("version", VERSION)], 1);
    out.gauge("sharedance_start_time_seconds", "When the server started, in seconds since 1970.")
        .value(snapshot.started.as_secs_f64());
    out.counter("sharedance_cpu_seconds", "CPU time of the server.")
        .labelled(&[("mode", "user")], snapshot.cpu_user.as_secs_f64())
        .labelled(&[("mode", "system")], snapshot.cpu_system.as_secs_f64());
    out.gauge("sharedance_ready", "Whether the server accepts reads and writes.")
        .value(u8::from(snapshot.readiness == Readiness::Ready));
    out.gauge("sharedance_read_only", "Whether a sync has failed, so that the store accepts no more writes.")
        .value(u8::from(snapshot.readiness == Readiness::ReadOnly));
}

fn requests(out: &mut Exposition, snapshot: &Snapshot) {
    let counters = &snapshot.counters;
    let result = |command: &'static str, result: &'static str| [("command", command), ("result", result)];
    out.counter("sharedance_commands", "Commands on pairs, by result. Each key of a retrieval counts.")
        .labelled(&result("get", "hit"), counters.get_hits)
        .labelled(&result("get", "miss"), counters.get_misses)
        .labelled(&result("touch", "hit"), counters.touch_hits)
        .labelled(&result("touch", "miss"), counters.touch_misses)
        .labelled(&result("delete", "hit"), counters.delete_hits)
        .labelled(&result("delete", "miss"), counters.delete_misses)
        .labelled(&result("incr", "hit"), counters.incr_hits)
        .labelled(&result("incr", "miss"), counters.incr_misses)
        .labelled(&result("decr", "hit"), counters.decr_hits)
        .labelled(&result("decr", "miss"), counters.decr_misses)
        .labelled(&result("set", "stored"), counters.stored)
        .labelled(&result("set", "other"), counters.sets.saturating_sub(counters.stored))
        .labelled(&result("flush_all", "done"), counters.flushes);
    let durations = &mut out.histogram(
        "sharedance_request_duration_seconds",
        "From the arrival of a request to its response, without waits for locks.",
    );
    for (kind, distribution) in CommandKind::ALL.iter().zip(&snapshot.commands) {
        durations.distribution(("command", kind.name()), distribution);
    }
    let pauses = &mut out.histogram("sharedance_pause_duration_seconds", "What workers and connections waited for.");
    for (kind, distribution) in PauseKind::ALL.iter().zip(&snapshot.pauses) {
        pauses.distribution(("pause", kind.name()), distribution);
    }
    out.counter("sharedance_slow_requests", "Requests that took at least --slow-log-threshold.")
        .value(snapshot.slow_total);
    out.counter("sharedance_authentications", "Credentials that clients have sent, by result.")
        .labelled(&[("result", "accepted")], counters.auth_cmds.saturating_sub(counters.auth_errors))
        .labelled(&[("result", "refused")], counters.auth_errors);
    out.counter("sharedance_received_bytes", "Bytes received from clients.").value(counters.bytes_read);
    out.counter("sharedance_sent_bytes", "Bytes sent to clients.").value(counters.bytes_written);
}

fn connections(out: &mut Exposition, snapshot: &Snapshot) {
    let counters = &snapshot.counters;
    out.gauge("sharedance_connections", "Open connections.").value(snapshot.open_connections());
    out.gauge("sharedance_connections_limit", "How many connections may be open.").value(snapshot.max_connections);
    out.counter("sharedance_connections_opened", "Connections that were opened.").value(counters.connections_opened);
    out.counter("sharedance_connections_rejected", "Connections refused because too many were open.")
        .value(counters.connections_rejected);
    out.counter("sharedance_accept_pauses", "How often a worker has paused accepting because of too many connections.")
        .value(counters.accepting_pauses);
    out.counter("sharedance_accept_paused_seconds", "The length of these pauses, once they have ended.")
        .value(counters.accepting_paused_us as f64 / 1e6);
    out.counter("sharedance_connection_yields", "How often a connection had to wait although it could have continued.")
        .value(counters.yields);
    out.gauge("sharedance_inflight_bytes", "Memory of incomplete requests and unsent responses.")
        .value(snapshot.inflight_bytes);
}

fn store(out: &mut Exposition, snapshot: &Snapshot) {
    let store = &snapshot.store;
    out.gauge("sharedance_pairs", "Pairs in the store, with those that have expired and are not removed yet.")
        .value(store.pairs);
    out.gauge("sharedance_live_bytes", "Bytes of the records of these pairs.").value(store.live_bytes);
    out.gauge("sharedance_file_bytes", "Bytes of the files of the store.").value(store.file_bytes);
    out.gauge("sharedance_limit_bytes", "What the files may have: --max-bytes, or what the file system has room for.")
        .value(snapshot.room());
    out.gauge("sharedance_disk_free_bytes", "What the file system of the store has left.")
        .value(snapshot.disk_free_bytes);
    out.gauge("sharedance_segments", "Segment files in use.").value(store.segments);
    out.gauge("sharedance_index_bytes", "Memory of the index.").value(store.index_bytes);
    out.gauge("sharedance_pending_deletions", "Files that could not be deleted so far.").value(store.pending_deletions);
    out.counter("sharedance_expired", "Pairs removed because they had expired.").value(store.expired);
    out.counter("sharedance_evicted", "Pairs removed before they had expired, because there was no room.")
        .value(store.evicted);
    out.counter("sharedance_refused_writes", "Writes that were refused, by reason.")
        .labelled(&[("reason", "full")], store.refused_full)
        .labelled(&[("reason", "too_large")], snapshot.counters.too_large);
    out.counter("sharedance_refused_mappings", "Files not created because the process may have no further mapping.")
        .value(store.refused_mappings);
    out.counter("sharedance_damaged_records", "Records that were found to be damaged, and were dropped.")
        .value(store.damaged);
    out.counter("sharedance_compacted_bytes", "Bytes of records that compaction has copied.")
        .value(store.compacted_bytes);
    out.counter("sharedance_identical_sets", "Sets of the value that was there.").value(store.identical_sets);
    out.counter("sharedance_failed_deletions", "Attempts to delete an unused file that failed.")
        .value(store.failed_deletions);
}

fn locks(out: &mut Exposition, snapshot: &Snapshot) {
    let locks = &snapshot.locks;
    out.gauge("sharedance_locks_held", "Locks that are held.").value(locks.held);
    out.gauge("sharedance_locks_waiting", "Connections that wait for a lock.").value(locks.waiting);
    out.counter("sharedance_lock_waits", "Requests for a lock that had to wait.").value(locks.waits);
    out.counter("sharedance_lock_timeouts", "Waits for a lock that have timed out.").value(locks.timeouts);
    out.counter("sharedance_locks_expired", "Locks that have expired before they were released.").value(locks.expired);
}
