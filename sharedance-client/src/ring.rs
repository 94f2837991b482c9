//! Assigns keys to servers by consistent hashing on the same continuum as libmemcached, so that clients in other
//! languages find the same keys on the same servers. `tests/vectors/continuum` has the points that libmemcached
//! computes.

use crate::address::{Address, WeightedAddress};

/// The continuum on which keys are spread: one of libmemcached's two continua with MD5.
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
    /// The continuum of libketama: 160 points for each server, four from each digest. It is libmemcached's
    /// `MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED`, PHP's `OPT_LIBKETAMA_COMPATIBLE`.
    #[default]
    Libketama,
    /// `MEMCACHED_DISTRIBUTION_CONSISTENT_KETAMA` with `MEMCACHED_HASH_MD5`: 100 points for each server, one from each
    /// digest. It has no weights.
    Plain,
}

/// libmemcached omits this port from the server's name.
const UNNAMED_PORT: u16 = 11211;

const PLAIN_POINTS: u32 = 100;
const LIBKETAMA_POINTS: u32 = 160;
const LIBKETAMA_POINTS_PER_DIGEST: u32 = 4;

/// The points of all servers in order. A key belongs to the server of the first point at or after its own.
#[derive(Debug)]
pub(crate) struct Ring {
    points: Vec<Point>,
    server_count: usize,
}

/// Ordered as in libmemcached: by position, then by the server's index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Point {
    place: u32,
    server: u32,
}

impl Ring {
    pub(crate) fn new(servers: &[WeightedAddress], continuum: Continuum) -> Ring {
        let total_weight = servers.iter().map(|server| u64::from(server.weight)).sum();
        let mut points = Vec::new();
        for (server, WeightedAddress { address, weight }) in (0..).zip(servers) {
            let (digests, points_per_digest) = match continuum {
                Continuum::Plain => (PLAIN_POINTS, 1),
                Continuum::Libketama => {
                    (libketama_digests(*weight, total_weight, servers.len()), LIBKETAMA_POINTS_PER_DIGEST)
                }
            };
            let name = name(address);
            for index in 0..digests {
                let digest = md5::compute(format!("{name}-{index}"));
                points.extend((0..points_per_digest).map(|part| Point { place: place(&digest, part), server }));
            }
        }
        points.sort_unstable();
        Ring { points, server_count: servers.len() }
    }

    /// The indexes of the servers, each once, beginning with the server that the key belongs to.
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

/// libmemcached multiplies a share of the points by the number of servers in single precision: for some numbers of
/// servers and some weights the result is slightly too small, and one digest is missing.
fn libketama_digests(weight: u32, total_weight: u64, server_count: usize) -> u32 {
    let (count, points_per_digest) = (server_count as f32, LIBKETAMA_POINTS_PER_DIGEST as f32);
    let share = weight as f32 / total_weight as f32;
    (share * LIBKETAMA_POINTS as f32 / points_per_digest * count + 0.000_000_000_1).floor() as u32
}

/// The server's name as libmemcached hashes it: a server has the same keys with TLS and without.
fn name(address: &Address) -> String {
    match address {
        Address::Tcp { host, port: UNNAMED_PORT } | Address::Tls { host, port: UNNAMED_PORT } => host.clone(),
        Address::Tcp { host, port } | Address::Tls { host, port } => format!("{host}:{port}"),
        Address::Unix { path } => format!("{}:0", path.display()),
    }
}

fn place(digest: &md5::Digest, part: u32) -> u32 {
    let start = 4 * part as usize;
    u32::from_le_bytes(std::array::from_fn(|index| digest.0[start + index]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The points and keys that `points.c` prints.
    const VECTORS: &str = include_str!("../../tests/vectors/continuum/points.txt");

    fn addresses<'w>(mut words: impl Iterator<Item = &'w str>) -> Vec<WeightedAddress> {
        let mut addresses = Vec::new();
        while let (Some(host), Some(port), Some(weight)) = (words.next(), words.next(), words.next()) {
            let address = match port {
                "0" => Address::Unix { path: host.into() },
                port => Address::Tcp { host: host.to_owned(), port: port.parse().unwrap() },
            };
            addresses.push(WeightedAddress { address, weight: weight.parse().unwrap() });
        }
        addresses
    }

    fn tcp_servers(count: u16) -> Vec<WeightedAddress> {
        let server = |port| WeightedAddress { address: Address::Tcp { host: "h".into(), port }, weight: 1 };
        (1..=count).map(server).collect()
    }

    #[test]
    fn every_point_and_every_key_is_where_libmemcached_puts_it() {
        let mut continua = 0;
        let (mut ring, mut points) = (Ring { points: Vec::new(), server_count: 0 }, Vec::new());
        for line in VECTORS.lines() {
            let mut words = line.split(' ');
            match words.next().unwrap() {
                "continuum" => {
                    assert_eq!(ring.points, std::mem::take(&mut points));
                    let continuum = match words.next().unwrap() {
                        "plain" => Continuum::Plain,
                        _ => Continuum::Libketama,
                    };
                    ring = Ring::new(&addresses(words), continuum);
                    continua += 1;
                }
                "point" => {
                    let [place, server] = [words.next(), words.next()].map(|word| word.unwrap().parse().unwrap());
                    points.push(Point { place, server });
                }
                "key" => {
                    let (key, server) = (words.next().unwrap(), words.next().unwrap().parse().unwrap());
                    assert_eq!(ring.servers_of(key.as_bytes()).next(), Some(server), "{key}");
                }
                "points" => {
                    let [count, points] = [words.next(), words.next()].map(|word| word.unwrap().parse().unwrap());
                    let digests = libketama_digests(1, count as u64, count) as usize;
                    assert_eq!(4 * digests * count, points, "{count} servers");
                }
                _ => {
                    let [one, other, points_of_one, points_of_other] =
                        std::array::from_fn(|_| words.next().unwrap().parse().unwrap());
                    let points = [one, other].map(|weight| 4 * libketama_digests(weight, u64::from(one + other), 2));
                    assert_eq!(points, [points_of_one, points_of_other], "weights {one} and {other}");
                }
            }
        }
        assert_eq!(ring.points, points);
        assert_eq!(continua, 8);
    }

    #[test]
    fn every_server_is_listed_once_and_the_successors_of_a_dead_one_are_spread() {
        let servers = tcp_servers(5);
        let ring = Ring::new(&servers, Continuum::default());
        let mut next = [0; 5];
        for number in 0..1000 {
            let mut order: Vec<usize> = ring.servers_of(format!("key-{number}").as_bytes()).collect();
            if order[0] == 0 {
                next[order[1]] += 1;
            }
            order.sort_unstable();
            assert_eq!(order, [0, 1, 2, 3, 4]);
        }
        assert!(next[0] == 0 && next[1..].iter().all(|&count| count > 10), "{next:?}");
    }

    #[test]
    fn without_a_server_its_keys_move_and_no_others() {
        let servers = tcp_servers(4);
        let (all, fewer) = (Ring::new(&servers, Continuum::Plain), Ring::new(&servers[..3], Continuum::Plain));
        for number in 0..500 {
            let key = format!("key-{number}");
            let mut order = all.servers_of(key.as_bytes());
            let expected = order.find(|&server| server != 3);
            assert_eq!(fewer.servers_of(key.as_bytes()).next(), expected);
        }
    }
}
