//! What rate limits know of an address.

use std::net::{IpAddr, Ipv4Addr};

use crate::clock::Now;
use crate::identity::mac;

/// Hashes addresses under a secret that nobody else knows. Addresses are never stored.
pub(crate) struct AddressHasher {
    secret: [u8; 32],
}

impl AddressHasher {
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        Self { secret }
    }

    /// A hash of the address's prefix (IPv4 /32, IPv6 /64), which is a different one each day
    /// (UTC).
    pub(crate) fn hash(&self, addr: IpAddr, now: Now) -> u64 {
        let day = now.stamp.unix_ms / 86_400_000;
        let v4 = |v4: Ipv4Addr| v4.octets().to_vec();
        let prefix = match addr {
            IpAddr::V4(addr) => v4(addr),
            IpAddr::V6(addr) => addr
                .to_ipv4_mapped()
                .map_or(addr.octets()[..8].to_vec(), v4),
        };
        let tag = mac(&self.secret, &[b"address", &day.to_be_bytes(), &prefix]);
        u64::from_be_bytes(tag[..8].try_into().expect("8 of 32 bytes"))
    }
}
