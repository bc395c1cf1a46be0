//! The sandbox's network: `lo`, and nothing else.
//!
//! There are no pumps and no routes. The jailer, inside the new namespace, listens on the addresses that the
//! server asked for and hands the sockets to the server, which accepts on them from outside: a socket
//! belongs to the namespace it was made in for ever. So the payload can reach exactly what the server answers,
//! there is no path or address by which it could reach another sandbox, and no process of ours copies bytes.

use std::{
    fs::File,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::fd::{AsFd, OwnedFd},
};

use crate::sys;

/// Libraries find their own address by asking for the route to this one (XGBoost's tracker, among others). Without
/// any route that fails; as an address of `lo` it leads nowhere but to the sandbox itself.
const OWN_ADDRESS_PROBE: Ipv4Addr = Ipv4Addr::new(10, 255, 255, 255);

/// What the server gets of a new network.
pub struct Made {
    /// The namespace, for further hosts of the same job.
    pub namespace: OwnedFd,
    /// Sockets in the order asked for.
    pub listeners: Vec<OwnedFd>,
}

/// Enters a new network namespace and furnishes it.
pub fn make(addresses: &[Ipv4Addr], listen: &[SocketAddr]) -> io::Result<Made> {
    sys::unshare(libc::CLONE_NEWNET)?;
    let socket = sys::tcp_socket(false)?;
    sys::interface_up(socket.as_fd(), "lo")?;
    for (index, address) in addresses.iter().chain([&OWN_ADDRESS_PROBE]).enumerate() {
        sys::interface_address(socket.as_fd(), &format!("lo:{index}"), *address)?;
    }
    let mut listeners = Vec::new();
    for address in listen {
        let listener = TcpListener::bind(address).map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))?;
        listeners.push(listener.into());
    }
    Ok(Made { namespace: File::open("/proc/self/ns/net")?.into(), listeners })
}
