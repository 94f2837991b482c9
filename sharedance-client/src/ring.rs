//! Which server has a key: consistent hashing on the same continuum as libmemcached's, so that clients in other
//! languages find the same keys on the same servers. `tests/ketama` has the points that libmemcached computes.

use crate::address::Address;

/// Which of libmemcached's two continua with MD5 the keys are spread on.
///
/// ```
/// use sharedance_client::{Client, Continuum};
///
/// # fn main() -> Result<(), sharedance_client::Error> {
/// let client = Client::builder("one").server("two").continuum(Continuum::Plain).build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Continuum {
    /// That of libketama: 160 points a server, four of each digest. It is libmemcached's
    /// `MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED` with equal weights, PHP's `OPT_LIBKETAMA_COMPATIBLE`.
    #[default]
    Libketama,
    /// `MEMCACHED_DISTRIBUTION_CONSISTENT_KETAMA` with `MEMCACHED_HASH_MD5`: 100 points a server, one of each digest.
    Plain,
}

/// libmemcached names a server on this port without it.
const UNNAMED_PORT: u16 = 11211;

const PLAIN_POINTS: u32 = 100;
const LIBKETAMA_POINTS: u32 = 160;
const LIBKETAMA_POINTS_PER_DIGEST: u32 = 4;

/// The points of all servers in order. A key belongs to the server of the first point at or behind its own.
#[derive(Debug)]
pub(crate) struct Ring {
    points: Vec<Point>,
    server_count: usize,
}

/// In the order of libmemcached: by place, then by the server's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Point {
    place: u32,
    server: u32,
}

impl Ring {
    pub(crate) fn new(servers: &[Address], continuum: Continuum) -> Ring {
        let (digests, points_per_digest) = match continuum {
            Continuum::Plain => (PLAIN_POINTS, 1),
            Continuum::Libketama => (libketama_digests(servers.len()), LIBKETAMA_POINTS_PER_DIGEST),
        };
        let mut points = Vec::new();
        for (server, address) in (0..).zip(servers) {
            let name = name(address);
            for index in 0..digests {
                let digest = md5::compute(format!("{name}-{index}"));
                points.extend((0..points_per_digest).map(|part| Point { place: place(&digest, part), server }));
            }
        }
        points.sort_unstable();
        Ring { points, server_count: servers.len() }
    }

    /// The numbers of the servers, from the one that the key belongs to onwards, each of them once.
    pub(crate) fn servers_of(&self, key: &[u8]) -> impl Iterator<Item = usize> {
        let place = match self.server_count {
            1 => 0,
            _ => place(&md5::compute(key), 0),
        };
        let first = self.points.partition_point(|point| point.place < place);
        let mut left = self.server_count;
        let mut is_seen = vec![false; self.server_count];
        let behind = self.points[first..].iter().chain(&self.points[..first]);
        behind
            .map(|point| point.server as usize)
            .filter(move |&server| !std::mem::replace(&mut is_seen[server], true))
            .take_while(move |_| {
                let is_wanted = left > 0;
                left = left.saturating_sub(1);
                is_wanted
            })
    }
}

/// libmemcached multiplies a share of the points by the number of servers, in single precision: for some numbers of
/// servers it comes out a little below, and loses a digest.
fn libketama_digests(server_count: usize) -> u32 {
    let (count, points_per_digest) = (server_count as f32, LIBKETAMA_POINTS_PER_DIGEST as f32);
    let share = 1.0 / count;
    (share * LIBKETAMA_POINTS as f32 / points_per_digest * count + 0.000_000_000_1).floor() as u32
}

/// The server's name as libmemcached hashes it.
fn name(address: &Address) -> String {
    match address {
        Address::Tcp { host, port: UNNAMED_PORT } => host.clone(),
        Address::Tcp { host, port } => format!("{host}:{port}"),
        Address::Unix { path } => format!("{}:0", path.display()),
    }
}

fn place(digest: &md5::Digest, part: u32) -> u32 {
    let start = 4 * part as usize;
    u32::from_le_bytes(std::array::from_fn(|index| digest.0[start + index]))
}
