//! Who is at the other end of a connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address that a request came from: that of the client, or of the proxy before this node. What headers
/// say of it anybody can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClientAddress(pub(super) IpAddr);

impl ClientAddress {
    /// Of a connection. Those that are gone already count as one.
    pub(super) fn of(peer: Option<IpAddr>) -> Self {
        Self(peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
    }

    /// What stands for its owner where many are not to come from one: of IPv6 the first 64 bits, within
    /// which anybody has as many addresses as they like.
    pub(super) fn whose(self) -> IpAddr {
        match self.0.to_canonical() {
            IpAddr::V6(address) => {
                let network = address.to_bits() & (u128::MAX << 64);
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
            v4 @ IpAddr::V4(_) => v4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let whose = |text: &str| ClientAddress(text.parse().unwrap()).whose().to_string();
        assert_eq!(whose("192.0.2.7"), "192.0.2.7");
        assert_eq!(whose("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(whose("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
