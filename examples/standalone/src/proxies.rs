//! The address of a client, also behind reverse proxies.

use std::net::IpAddr;

use ::http::HeaderMap;
use ipnet::IpNet;

/// The reverse proxies whose `X-Forwarded-For` is trusted.
pub(crate) struct Proxies(pub(crate) Vec<IpNet>);

impl Proxies {
    /// The address of the client: that of the peer or, if the peer is a trusted proxy, the last one
    /// in `X-Forwarded-For` that is not itself a trusted proxy. Anything before that could have
    /// been written by anybody.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let forwarded: Vec<&str> = headers
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .collect();
        for address in forwarded.into_iter().rev() {
            if !self.trusts(client) {
                break;
            }
            let Ok(address) = address.trim().parse::<IpAddr>() else {
                break;
            };
            client = address.to_canonical();
        }
        client
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &str) -> String {
        let proxies = Proxies(vec!["10.0.0.0/8".parse().unwrap()]);
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", forwarded.parse().unwrap());
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn x_forwarded_for_is_trusted_only_from_trusted_proxies() {
        assert_eq!(client("1.2.3.4", "9.9.9.9"), "1.2.3.4");
        assert_eq!(client("10.0.0.1", "9.9.9.9"), "9.9.9.9");
        assert_eq!(client("10.0.0.1", "6.6.6.6, 9.9.9.9"), "9.9.9.9");
        assert_eq!(client("10.0.0.1", "6.6.6.6, 9.9.9.9, 10.0.0.2"), "9.9.9.9");
        assert_eq!(client("10.0.0.1", "x, 10.0.0.2"), "10.0.0.2");
        assert_eq!(client("::ffff:10.0.0.1", "9.9.9.9"), "9.9.9.9");
    }
}
