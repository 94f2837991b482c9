//! The traces: sequences of requests, each derived from a seed.
//!
//! A request reads an object and stores it if it is missing, as applications use caches. A request that `writes` stores
//! the object in any case, as applications use web sessions.

use crate::random::{Random, Zipf};

/// Bytes of a key in the store, and of a record besides key and value: its slot and its alignment.
pub(crate) const KEY_LEN: usize = 8;
const SLOT_LEN: usize = 32;
const ALIGN: usize = 16;

/// The value length in traces where all objects have the same.
const FIXED_LEN: u32 = 2_048;
/// Where lengths differ, each power of two between these has the same number of objects.
const MIXED_LENS: (u32, u32) = (64, 8_192);
const SESSION_LENS: (u32, u32) = (1_024, 8_192);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    pub(crate) at_ms: u32,
    pub(crate) id: u32,
    pub(crate) writes: bool,
}

/// An object as caches count it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Object {
    pub(crate) id: u32,
    pub(crate) bytes: u32,
}

#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) name: &'static str,
    pub(crate) requests: Vec<Request>,
    /// Length of each object's value, in bytes.
    pub(crate) value_lens: Vec<u32>,
    /// How long an object lives after it was stored; `None` means forever.
    pub(crate) ttl_ms: Option<u32>,
    /// Bytes of the objects of which caches contain a part.
    pub(crate) working_set_bytes: u64,
}

impl Trace {
    pub(crate) fn object(&self, id: u32) -> Object {
        Object { id, bytes: footprint(self.value_lens[id as usize]) }
    }

    pub(crate) fn objects(&self) -> u32 {
        self.value_lens.len() as u32
    }
}

/// Returns the bytes of an object in the store, which every cache counts.
fn footprint(value_len: u32) -> u32 {
    (SLOT_LEN + (KEY_LEN + value_len as usize).next_multiple_of(ALIGN)) as u32
}

/// The length of a trace: requests, and objects that are requested repeatedly.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) requests: u32,
    pub(crate) objects: u32,
}

type Make = fn(&mut Random, Extent) -> Trace;

/// The traces by name, with a description.
pub(crate) const TRACES: [(&str, &str, Make); 11] = [
    ("zipf-0.7", "popularity after Zipf, alpha 0.7", |random, extent| {
        zipf("zipf-0.7", 0.7, (FIXED_LEN, FIXED_LEN), random, extent)
    }),
    ("zipf-0.9", "popularity after Zipf, alpha 0.9", |random, extent| {
        zipf("zipf-0.9", 0.9, (FIXED_LEN, FIXED_LEN), random, extent)
    }),
    ("zipf-1.0", "popularity after Zipf, alpha 1.0", |random, extent| {
        zipf("zipf-1.0", 1.0, (FIXED_LEN, FIXED_LEN), random, extent)
    }),
    ("zipf-1.2", "popularity after Zipf, alpha 1.2", |random, extent| {
        zipf("zipf-1.2", 1.2, (FIXED_LEN, FIXED_LEN), random, extent)
    }),
    ("zipf-0.9-mixed", "alpha 0.9, values of 64 B to 8 KiB", |random, extent| {
        zipf("zipf-0.9-mixed", 0.9, MIXED_LENS, random, extent)
    }),
    ("wonders", "alpha 0.9, and three requests in ten are for objects that are requested only once", wonders),
    ("scan", "alpha 0.9, and four scans, each over half as many other objects", scan),
    ("shift", "nine requests in ten are for a twentieth of the objects, which changes ten times", shift),
    ("drift", "alpha 0.9 over a quarter of the objects: the window moves over all of them", drift),
    (
        "sessions",
        "web sessions of 1 to 8 KiB: read, half the time written, for some minutes; 30 minutes to live",
        |random, extent| sessions("sessions", 1, random, extent),
    ),
    ("sessions-bots", "the same, and four sessions in five have a single request", |random, extent| {
        sessions("sessions-bots", 5, random, extent)
    }),
];

fn draw_len((min, max): (u32, u32), random: &mut Random) -> u32 {
    (f64::from(min) * f64::from(max / min).powf(random.unit())) as u32
}

/// A trace without deadlines, with one millisecond between requests.
fn timeless(name: &'static str, ids: Vec<u32>, value_lens: Vec<u32>, again: u32) -> Trace {
    let request = |(at_ms, id)| Request { at_ms, id, writes: false };
    let working_set_bytes = value_lens[..again as usize].iter().map(|len| u64::from(footprint(*len))).sum();
    let requests = (0..).zip(ids).map(request).collect();
    Trace { name, requests, value_lens, ttl_ms: None, working_set_bytes }
}

fn zipf(name: &'static str, alpha: f64, lens: (u32, u32), random: &mut Random, extent: Extent) -> Trace {
    let popularity = Zipf::new(extent.objects, alpha);
    let value_lens = (0..extent.objects).map(|_| draw_len(lens, random)).collect();
    let ids = (0..extent.requests).map(|_| popularity.rank(random)).collect();
    timeless(name, ids, value_lens, extent.objects)
}

fn wonders(random: &mut Random, extent: Extent) -> Trace {
    let popularity = Zipf::new(extent.objects, 0.9);
    let mut next_wonder = extent.objects;
    let mut ids = Vec::with_capacity(extent.requests as usize);
    for _ in 0..extent.requests {
        if random.below(10) < 3 {
            ids.push(next_wonder);
            next_wonder += 1;
        } else {
            ids.push(popularity.rank(random));
        }
    }
    timeless("wonders", ids, vec![FIXED_LEN; next_wonder as usize], extent.objects)
}

fn scan(random: &mut Random, extent: Extent) -> Trace {
    const SCANS: u32 = 4;
    let popularity = Zipf::new(extent.objects, 0.9);
    let scanned = extent.objects / 2;
    let mut ids = Vec::with_capacity((extent.requests + SCANS * scanned) as usize);
    for _ in 0..SCANS {
        ids.extend((0..extent.requests / SCANS).map(|_| popularity.rank(random)));
        // Other objects are requested between two objects of the scan.
        ids.extend((0..scanned).flat_map(|i| [extent.objects + i, popularity.rank(random)]));
    }
    timeless("scan", ids, vec![FIXED_LEN; (extent.objects + scanned) as usize], extent.objects)
}

fn shift(random: &mut Random, extent: Extent) -> Trace {
    const SHIFTS: u32 = 10;
    let hot = (extent.objects / 20).max(1);
    let draw = |i: u32| {
        let first = i / extent.requests.div_ceil(SHIFTS) * hot;
        match random.below(10) {
            0 => random.below(extent.objects),
            _ => (first + random.below(hot)) % extent.objects,
        }
    };
    let ids = (0..extent.requests).map(draw).collect();
    timeless("shift", ids, vec![FIXED_LEN; extent.objects as usize], extent.objects)
}

fn drift(random: &mut Random, extent: Extent) -> Trace {
    let window = extent.objects.div_ceil(4);
    let popularity = Zipf::new(window, 0.9);
    // The most popular objects are in the middle of the window, so an object becomes popular and unpopular again.
    let place = |rank: u32| if rank.is_multiple_of(2) { window / 2 + rank / 2 } else { window / 2 - rank.div_ceil(2) };
    let travel = u64::from(extent.objects - window);
    let draw = |i: u32| {
        let first = u64::from(i) * travel / u64::from(extent.requests);
        (first as u32 + place(popularity.rank(random))).min(extent.objects - 1)
    };
    let ids = (0..extent.requests).map(draw).collect();
    timeless("drift", ids, vec![FIXED_LEN; extent.objects as usize], extent.objects)
}

/// One of `kinds` sessions belongs to a visitor with a request every minute for about ten minutes. The others end with
/// their first request.
fn sessions(name: &'static str, kinds: u32, random: &mut Random, extent: Extent) -> Trace {
    const TTL_MS: u32 = 30 * 60 * 1_000;
    const PAUSE_MS: f64 = 60_000.0;
    const REQUESTS_PER_VISIT: f64 = 10.0;
    const HOURS: f64 = 2.0;
    let requests_a_session = (REQUESTS_PER_VISIT + f64::from(kinds - 1)) / f64::from(kinds);
    let count = (f64::from(extent.requests) / requests_a_session) as u32;
    let span_ms = HOURS * 3_600_000.0;
    let mut requests = Vec::with_capacity(extent.requests as usize);
    for id in 0..count {
        let mut at_ms = random.unit() * span_ms;
        let visits = id % kinds == 0;
        loop {
            let first = requests.last().is_none_or(|last: &Request| last.id != id);
            requests.push(Request { at_ms: at_ms as u32, id, writes: first || random.below(2) == 0 });
            if !visits || random.unit() < 1.0 / REQUESTS_PER_VISIT {
                break;
            }
            at_ms += random.wait(PAUSE_MS);
        }
    }
    requests.sort_by_key(|request| (request.at_ms, request.id));
    let value_lens: Vec<u32> = (0..count).map(|_| draw_len(SESSION_LENS, random)).collect();
    let bytes: u64 = value_lens.iter().map(|len| u64::from(footprint(*len))).sum();
    // Sessions that have not expired: during their use, and until their deadline.
    let lifetime_ms = f64::from(TTL_MS) + (requests_a_session - 1.0) * PAUSE_MS;
    let working_set_bytes = (bytes as f64 * lifetime_ms / span_ms) as u64;
    Trace { name, requests, value_lens, ttl_ms: Some(TTL_MS), working_set_bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXTENT: Extent = Extent { requests: 20_000, objects: 1_000 };

    #[test]
    fn traces_follow_from_the_seed_and_contain_only_existing_objects() {
        for (name, _, make) in TRACES {
            let trace = make(&mut Random::of_seed(7), EXTENT);
            let again = make(&mut Random::of_seed(7), EXTENT);
            let ids = |trace: &Trace| trace.requests.iter().map(|request| request.id).collect::<Vec<_>>();
            assert_eq!((trace.name, ids(&trace)), (name, ids(&again)));
            assert_ne!(ids(&trace), ids(&make(&mut Random::of_seed(8), EXTENT)), "{name}");
            assert!(ids(&trace).iter().all(|id| *id < trace.objects()), "{name}");
            assert!(trace.requests.is_sorted_by_key(|request| request.at_ms), "{name}");
            assert!(trace.working_set_bytes >= 100 * u64::from(footprint(SESSION_LENS.0)), "{name}");
        }
    }
}
