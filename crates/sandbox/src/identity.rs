//! Which user a payload is on the host.
//!
//! A server with root's powers gives each account a host uid of its own. Any other server has one uid to give, its own: there
//! the payload runs in a user namespace in which that uid has another name. Root without the powers (in a container, in
//! a user namespace) counts as such a server.

use std::{fs, ops::Range};

use crate::sys;

/// Where all ids exist: above the ranges that hosts give to people and below 2,097,151, the largest that fits the oldest form
/// of tar archive.
const WIDE: Range<u32> = 1_000_000..2_000_000;
/// In a container with 65,536 ids: what lies between system users and `nobody`.
const NARROW: Range<u32> = 1000..65_534;
const CAP_SYS_ADMIN: u32 = 21;

/// The host uids (and gids) that payloads may get; `None` where the server can only give its own.
#[must_use]
pub fn host_uids() -> Option<Range<u32>> {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let status = read("/proc/self/status");
    let effective = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok())?;
    if sys::euid() != 0 || effective >> CAP_SYS_ADMIN & 1 == 0 {
        return None;
    }
    let (uids, gids) = (read("/proc/self/uid_map"), read("/proc/self/gid_map"));
    [WIDE, NARROW].into_iter().find(|range| maps(&uids, range) && maps(&gids, range))
}

/// Whether one line of a `uid_map` covers the whole range.
fn maps(map: &str, wanted: &Range<u32>) -> bool {
    map.lines().any(|line| {
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        matches!(numbers[..], [inside, _, count] if inside <= u64::from(wanted.start) && inside + count >= u64::from(wanted.end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_of_hosts_and_containers() {
        let (host, container, own) = ("         0          0 4294967295\n", "0 1000 1\n1 100000 65536\n", "0 1000 1\n");
        assert!(maps(host, &WIDE) && maps(host, &NARROW));
        assert!(!maps(container, &WIDE) && maps(container, &NARROW));
        assert!(!maps(own, &WIDE) && !maps(own, &NARROW) && !maps("", &NARROW));
    }
}
