//! The statistics and settings that clients can retrieve. They contain no key and no address of a client.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use rustix::fs::statvfs;
use sharedance_core::protocol::memcached::binary::{self, Status, Tag};
use sharedance_core::protocol::memcached::text::{self, Reply};
use sharedance_core::store::{self, Store, WhenFull};

use super::context::Context;
use super::latency::{self, ComposedStat};
use super::settings::Settings;
use crate::observe::{CommandKind, Sums};

/// The version of memcached whose commands this server has, and nothing else: some clients parse the beginning of the
/// version, some the end, and some all of it.
pub(super) const VERSION: &str = "1.6.45";

/// The version of this program, which is in the statistics too.
const OWN_VERSION: &str = env!("CARGO_PKG_VERSION");

/// A name and its value.
type Stat = (&'static str, String);

/// What a client requests.
enum Topic {
    Everything,
    Settings,
    /// How long requests and pauses take.
    Latency,
    /// The most recent slow requests.
    Slow,
    /// Concepts that this server does not have; the response is empty.
    Nothing,
    Sizes,
    Reset,
    /// Something that would disclose keys.
    Keys,
    Unknown,
}

impl Topic {
    fn of(about: &[u8]) -> Topic {
        let mut words = about.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
        match words.next() {
            None => Topic::Everything,
            Some(b"settings") => Topic::Settings,
            Some(b"latency") => Topic::Latency,
            Some(b"slow") => Topic::Slow,
            Some(b"items" | b"slabs" | b"conns") => Topic::Nothing,
            Some(b"sizes" | b"sizes_disable") => Topic::Sizes,
            Some(b"reset") => Topic::Reset,
            Some(b"cachedump") => Topic::Keys,
            Some(_) => Topic::Unknown,
        }
    }

    /// Whether the connection may not retrieve this, or reset it.
    fn is_denied(&self, context: &Context<'_>) -> bool {
        match self {
            Topic::Settings | Topic::Latency | Topic::Slow | Topic::Reset => !context.access.may_see_statistics(),
            // Without that right, it is what identifies the server.
            Topic::Everything => false,
            // Without content.
            Topic::Nothing | Topic::Sizes | Topic::Keys | Topic::Unknown => false,
        }
    }

    fn stats(&self, context: &Context<'_>) -> Vec<ComposedStat> {
        let stats = match self {
            Topic::Everything if !context.access.may_see_statistics() => identity(context),
            Topic::Everything => everything(context),
            Topic::Settings => settings(context),
            Topic::Sizes => vec![("sizes_status", "disabled".into())],
            Topic::Latency => return latency::latencies(&context.service.latencies),
            Topic::Slow => return latency::slow_requests(&context.service.latencies),
            Topic::Nothing | Topic::Reset | Topic::Keys | Topic::Unknown => Vec::new(),
        };
        stats.into_iter().map(|(name, value)| (name.into(), value)).collect()
    }
}

/// Appends the response in the text dialect.
pub(super) fn respond_in_text(about: &[u8], context: &Context<'_>, out: &mut Vec<u8>) {
    context.latency.note(CommandKind::Stats, 0, 0);
    let topic = Topic::of(about);
    if topic.is_denied(context) {
        return out.extend_from_slice(Reply::AccessDenied.as_bytes());
    }
    let reply = match topic {
        Topic::Reset => {
            context.service.counters.reset();
            Reply::Reset
        }
        Topic::Keys => Reply::DumpNotAllowed,
        Topic::Unknown => Reply::Error,
        _ => Reply::End,
    };
    for (name, value) in topic.stats(context) {
        text::push_stat(out, &name, &value);
    }
    out.extend_from_slice(reply.as_bytes());
}

/// Appends the response in the binary dialect. Returns an error if there is no such topic, or the connection may not
/// retrieve it.
pub(super) fn respond_in_binary(
    about: &[u8],
    context: &Context<'_>,
    out: &mut Vec<u8>,
    tag: Tag,
) -> Result<(), Status> {
    context.latency.note(CommandKind::Stats, 0, 0);
    let topic = Topic::of(about);
    if topic.is_denied(context) {
        return Err(Status::AccessDenied);
    }
    match topic {
        Topic::Keys | Topic::Unknown => return Err(Status::NotFound),
        Topic::Reset => context.service.counters.reset(),
        _ => {}
    }
    for (name, value) in topic.stats(context) {
        binary::push_stat(out, tag, &name, &value);
    }
    binary::push_stat(out, tag, "", "");
    Ok(())
}

fn everything(context: &Context<'_>) -> Vec<Stat> {
    let (ever, sums) = context.service.counters.sums();
    let store = context.store.stats();
    let mut stats = process(context);
    stats.extend(connections(&ever, &sums, &context.service.settings));
    stats.extend(encryption(&sums));
    stats.extend(commands(&sums, &store));
    stats.extend(pairs(&sums, &store, context));
    stats.extend(locks(context));
    stats.extend(files(&store));
    stats
}

fn number(number: u64) -> String {
    number.to_string()
}

/// What identifies the server. Clients and monitors rely on it, and it discloses nothing about other clients.
fn identity(context: &Context<'_>) -> Vec<Stat> {
    vec![
        ("pid", std::process::id().to_string()),
        ("uptime", number(context.unix_time.saturating_sub(context.service.started).as_secs())),
        ("time", number(context.unix_time.as_secs())),
        ("version", VERSION.into()),
        ("sharedance_version", OWN_VERSION.into()),
        ("pointer_size", usize::BITS.to_string()),
    ]
}

fn process(context: &Context<'_>) -> Vec<Stat> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok();
    let cpu = |time: Option<TimeVal>| {
        let time = time.unwrap_or(TimeVal::new(0, 0));
        format!("{}.{:06}", time.tv_sec(), time.tv_usec())
    };
    let mut stats = identity(context);
    stats.push(("rusage_user", cpu(usage.map(|usage| usage.user_time()))));
    stats.push(("rusage_system", cpu(usage.map(|usage| usage.system_time()))));
    stats
}

fn connections(ever: &Sums, sums: &Sums, settings: &Settings) -> Vec<Stat> {
    let pausing = ever.accepting_pauses.saturating_sub(ever.accepting_resumes);
    let is_accepting = pausing < settings.threads as u64;
    vec![
        ("max_connections", settings.max_connections.to_string()),
        ("curr_connections", number(ever.connections_opened.saturating_sub(ever.connections_closed))),
        ("total_connections", number(sums.connections_opened)),
        ("rejected_connections", number(sums.connections_rejected)),
        ("denied_connections", number(sums.connections_denied)),
        ("refused_dialects", number(sums.refused_dialects)),
        ("accepting_conns", number(is_accepting.into())),
        ("listen_disabled_num", number(sums.accepting_pauses)),
        ("time_in_listen_disabled_us", number(sums.accepting_paused_us)),
        ("conn_yields", number(sums.yields)),
        ("threads", settings.threads.to_string()),
        ("bytes_read", number(sums.bytes_read)),
        ("bytes_written", number(sums.bytes_written)),
    ]
}

fn encryption(sums: &Sums) -> Vec<Stat> {
    vec![
        ("tls_handshakes", number(sums.tls_handshakes)),
        ("tls_resumed", number(sums.tls_resumed)),
        ("tls_plain_text", number(sums.tls_plain_text)),
        ("tls_aborted", number(sums.tls_aborted)),
        ("tls_too_slow", number(sums.tls_too_slow)),
        ("tls_certificate_failures", number(sums.tls_certificate_failures)),
        ("tls_protocol_failures", number(sums.tls_protocol_failures)),
    ]
}

fn commands(sums: &Sums, store: &store::Stats) -> Vec<Stat> {
    vec![
        ("cmd_get", number(sums.get_hits + sums.get_misses)),
        ("cmd_set", number(sums.sets)),
        ("cmd_flush", number(sums.flushes)),
        ("cmd_touch", number(sums.touch_hits + sums.touch_misses)),
        ("cmd_meta", number(sums.meta_debugs)),
        ("get_hits", number(sums.get_hits)),
        ("get_misses", number(sums.get_misses)),
        ("get_expired", number(store.expired_reads)),
        // memcached deletes a flushed pair when it is retrieved; here the flush has deleted it before.
        ("get_flushed", number(0)),
        ("delete_misses", number(sums.delete_misses)),
        ("delete_hits", number(sums.delete_hits)),
        ("incr_misses", number(sums.incr_misses)),
        ("incr_hits", number(sums.incr_hits)),
        ("decr_misses", number(sums.decr_misses)),
        ("decr_hits", number(sums.decr_hits)),
        ("cas_misses", number(sums.cas_misses)),
        ("cas_hits", number(sums.cas_hits)),
        ("cas_badval", number(sums.cas_badval)),
        ("touch_hits", number(sums.touch_hits)),
        ("touch_misses", number(sums.touch_misses)),
        ("auth_cmds", number(sums.auth_cmds)),
        ("auth_errors", number(sums.auth_errors)),
        ("auth_classic_refused", number(sums.auth_classic_refused)),
        ("store_too_large", number(sums.too_large)),
        ("store_no_memory", number(sums.out_of_memory)),
    ]
}

fn pairs(sums: &Sums, stats: &store::Stats, context: &Context<'_>) -> Vec<Stat> {
    vec![
        ("limit_maxbytes", number(max_bytes(context.store))),
        ("bytes", number(stats.live_bytes)),
        ("curr_items", number(stats.pairs)),
        ("total_items", number(sums.stored)),
        ("expired_unfetched", number(stats.expired_unread)),
        ("evictions", number(stats.evicted)),
        ("reclaimed", number(stats.expired)),
    ]
}

fn locks(context: &Context<'_>) -> Vec<Stat> {
    let locks = context.locks.stats(context.connection.worker, context.now);
    vec![
        ("locks_held", number(locks.held)),
        ("locks_waiting", number(locks.waiting)),
        ("lock_waits", number(locks.waits)),
        ("lock_timeouts", number(locks.timeouts)),
        ("locks_expired", number(locks.expired)),
    ]
}

fn files(stats: &store::Stats) -> Vec<Stat> {
    vec![
        ("file_bytes", number(stats.file_bytes)),
        ("segments", number(stats.segments)),
        ("index_bytes", number(stats.index_bytes)),
        ("identical_sets", number(stats.identical_sets)),
        ("damaged", number(stats.damaged)),
        ("refused_mappings", number(stats.refused_mappings)),
        ("compacted_bytes", number(stats.compacted_bytes)),
        ("failed_deletions", number(stats.failed_deletions)),
        ("pending_deletions", number(stats.pending_deletions)),
    ]
}

/// The most bytes that the files of the store may use: the limit of the operator or, without one, what they use and what
/// the file system has left. Monitors divide by it, so that it is never zero.
fn max_bytes(store: &Store) -> u64 {
    store.max_bytes().unwrap_or_else(|| {
        let available = statvfs(store.path()).map_or(0, |fs| fs.f_bavail.saturating_mul(fs.f_frsize));
        store.stats().file_bytes.saturating_add(available).max(1)
    })
}

fn settings(context: &Context<'_>) -> Vec<Stat> {
    let (settings, store) = (&context.service.settings, context.store);
    let has_credentials = context.service.access.has_credentials();
    let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    vec![
        ("maxbytes", number(max_bytes(store))),
        ("maxconns", settings.max_connections.to_string()),
        ("tcpport", settings.port.to_string()),
        ("udpport", "0".into()),
        ("inter", settings.address.clone()),
        ("domain_socket", settings.domain_socket.clone()),
        ("listeners", settings.listeners.clone()),
        ("verbosity", "0".into()),
        ("evictions", if store.when_full() == WhenFull::Evict { "on" } else { "off" }.into()),
        ("num_threads", settings.threads.to_string()),
        ("detail_enabled", yes(false)),
        ("cas_enabled", yes(true)),
        ("tcp_backlog", settings.backlog.to_string()),
        ("binding_protocol", "auto-negotiate".into()),
        ("auth_enabled_sasl", yes(has_credentials)),
        ("auth_enabled_ascii", yes(has_credentials)),
        ("item_size_max", settings.max_request_len.to_string()),
        ("maxconns_fast", yes(true)),
        ("flush_enabled", yes(true)),
        ("dump_enabled", yes(false)),
        ("idle_timeout", settings.idle_timeout.as_secs_f64().ceil().to_string()),
    ]
}
