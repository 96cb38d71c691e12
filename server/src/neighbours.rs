//! How many connections come from where.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many connections come from where, so that no address has all places.
#[derive(Debug, Clone)]
pub(crate) struct Neighbours {
    most: usize,
    all: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A connection of an address, until it is dropped.
#[derive(Debug)]
pub(crate) struct Neighbour(Neighbours, IpAddr);

impl Neighbours {
    /// At most so many of each address.
    pub(crate) fn of(most: usize) -> Self {
        Self { most, all: Arc::default() }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for another connection of an address; none where it has too many, or has gone already.
    pub(crate) fn enter(&self, address: Option<IpAddr>) -> Option<Neighbour> {
        let address = network(address?);
        let mut all = self.all();
        let count = all.entry(address).or_default();
        if *count >= self.most {
            return None;
        }
        *count = count.saturating_add(1);
        drop(all);
        Some(Neighbour(self.clone(), address))
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let mut all = self.0.all();
        if let Some(count) = all.get_mut(&self.1) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                all.remove(&self.1);
            }
        }
    }
}

/// What counts as one address: of IPv6 the network of one host, 64 bits, in which it takes addresses as it likes.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let host = u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !host))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_has_all_places_and_a_place_is_given_back() {
        let neighbours = Neighbours::of(2);
        let (here, there) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([10, 0, 0, 1]));
        let two = (neighbours.enter(Some(here)), neighbours.enter(Some(here)));
        assert!(two.0.is_some() && two.1.is_some() && neighbours.enter(Some(here)).is_none());
        assert!(neighbours.enter(Some(there)).is_some() && neighbours.enter(None).is_none());
        drop(two);
        assert!(neighbours.enter(Some(here)).is_some());
        assert!(neighbours.all().is_empty());
    }

    #[test]
    fn addresses_of_one_host_are_one() {
        let neighbours = Neighbours::of(1);
        let address = |text: &str| Some(text.parse().unwrap());
        let _held = neighbours.enter(address("2001:db8::1")).unwrap();
        assert!(neighbours.enter(address("2001:db8::ffff:1")).is_none());
        assert!(neighbours.enter(address("2001:db8:0:1::1")).is_some());
        let _mapped = neighbours.enter(address("::ffff:10.0.0.1")).unwrap();
        assert!(neighbours.enter(address("10.0.0.1")).is_none());
    }
}
