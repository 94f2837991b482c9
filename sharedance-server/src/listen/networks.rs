//! Networks whose hosts may connect.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use thiserror::Error;

/// The bits by which an IPv6 address says that it is an IPv4 address.
const MAPPED_BITS: u8 = 96;

/// A network, or a single host.
///
/// ```
/// # use sharedance_server::Network;
/// let network: Network = "10.0.0.0/8".parse()?;
/// assert!(network.contains("10.1.2.3".parse().unwrap()));
/// assert!(network.contains("::ffff:10.1.2.3".parse().unwrap()), "the peer of an IPv6 socket");
/// assert!(!network.contains("11.1.2.3".parse().unwrap()));
/// # Ok::<(), sharedance_server::NetworkError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    network: IpNet,
}

/// The text is not a network.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("\"{0}\" is not a network: write 10.0.0.0/8, 192.168.1.7 or fd00::/8, separated by commas")]
pub struct NetworkError(String);

impl Network {
    /// Whether a host with this address belongs to the network. An IPv4 address is the same address if it is written as
    /// one of IPv6.
    pub fn contains(&self, host: IpAddr) -> bool {
        self.network.contains(&host.to_canonical())
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Network, NetworkError> {
        let host = || text.parse::<IpAddr>().map(IpNet::from);
        let network = text.parse().or_else(|_| host()).map_err(|_| NetworkError(text.to_owned()))?;
        Ok(Network { network: canonical(network).trunc() })
    }
}

fn canonical(network: IpNet) -> IpNet {
    let mapped = match network.addr().to_canonical() {
        IpAddr::V4(address) if network.addr().is_ipv6() => {
            network.prefix_len().checked_sub(MAPPED_BITS).map(|len| (address, len))
        }
        _ => None,
    };
    mapped.and_then(|(address, len)| Ipv4Net::new(address, len).ok()).map_or(network, IpNet::V4)
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.network.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, host: &str) -> bool {
        network.parse::<Network>().unwrap().contains(host.parse().unwrap())
    }

    #[test]
    fn a_network_contains_its_hosts_and_no_others() {
        assert!(contains("10.0.0.0/8", "10.255.0.1") && !contains("10.0.0.0/8", "11.0.0.0"));
        assert!(contains("192.168.1.7", "192.168.1.7") && !contains("192.168.1.7", "192.168.1.8"));
        assert!(contains("10.1.2.3/8", "10.9.9.9"), "the bits of a host do not matter");
        assert!(contains("0.0.0.0/0", "203.0.113.1") && !contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("fd00::/8", "fd12::1") && !contains("fd00::/8", "fe80::1"));
        assert!(contains("::/0", "2001:db8::1"));
    }

    #[test]
    fn an_ipv4_address_is_the_same_in_both_families() {
        assert!(contains("10.0.0.0/8", "::ffff:10.1.1.1") && !contains("10.0.0.0/8", "::ffff:11.1.1.1"));
        assert!(contains("::ffff:10.0.0.0/104", "10.1.1.1") && contains("::ffff:10.0.0.7", "10.0.0.7"));
        assert!(!contains("::/0", "::ffff:10.1.1.1"), "all of IPv6 does not contain IPv4");
        assert_eq!("::ffff:10.0.0.0/104".parse::<Network>().unwrap().to_string(), "10.0.0.0/8");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "10.0.0.0/33", "10.0.0", "localhost", "10.0.0.0/-1", "::/129", "10.0.0.0/8 "] {
            assert!(text.parse::<Network>().is_err(), "{text:?}");
        }
    }
}
