//! Places for connections: so many in all, and so many of one peer, so that no single machine can take them all.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Connections that are open at once. More wait in the operating system's backlog.
pub(crate) const MAX_CONNECTIONS: usize = 4096;
/// Connections of one peer that are open at once: a client with a large pool, or several on one machine, stay far below.
pub(crate) const MAX_PER_PEER: usize = 1024;

/// The places of one listener's front.
#[derive(Default)]
pub(crate) struct Places(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    all: usize,
    by_peer: HashMap<IpAddr, usize>,
}

/// One of the places, given back however the connection ends.
pub(crate) struct Place {
    places: Arc<Places>,
    peer: IpAddr,
}

/// Who counts as one peer: an IPv4 address, or the network of an IPv6 address, all of which is one customer's.
fn peer_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    }
}

impl Places {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        // The counts are whole whatever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Whether all are taken.
    pub(crate) fn full(&self) -> bool {
        self.taken().all >= MAX_CONNECTIONS
    }
    /// A place for a peer; `None` where it has as many as it may.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let peer = peer_of(address);
        let mut taken = self.taken();
        let count = taken.by_peer.entry(peer).or_default();
        if *count >= MAX_PER_PEER {
            return None;
        }
        *count += 1;
        taken.all += 1;
        Some(Place { places: Arc::clone(self), peer })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all = taken.all.saturating_sub(1);
        if let Some(count) = taken.by_peer.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                taken.by_peer.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_so_many_and_others_have_theirs() {
        let places = Arc::new(Places::default());
        let (one, other): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let mut held: Vec<Place> = (0..MAX_PER_PEER).map(|_| places.take(one).expect("up to the limit")).collect();
        assert!(places.take(one).is_none(), "one past the limit");
        assert!(places.take("::ffff:10.0.0.1".parse().unwrap()).is_none(), "the same peer, written as IPv6");
        assert!(places.take(other).is_some());
        held.pop();
        assert!(places.take(one).is_some(), "a place was given back");
        drop(held);
        assert!(places.taken().by_peer.is_empty() && places.taken().all == 0);
    }

    #[test]
    fn a_network_of_ipv6_is_one_peer_and_all_together_have_a_bound() {
        let places = Arc::new(Places::default());
        let address = |network: u16, host: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, network, 0, 0, 0, host));
        let mut held = Vec::new();
        for network in 0..4 {
            held.extend((0..MAX_PER_PEER as u16).map(|host| places.take(address(network, host)).expect("up to the limit")));
            assert!(places.take(address(network, 9999)).is_none());
        }
        assert!(places.full());
        held.pop();
        assert!(!places.full());
    }
}
