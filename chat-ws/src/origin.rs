//! Which web pages may connect.

use http::uri::Authority;

/// Whose pages may open a WebSocket here (RFC 6455 §10.2; browsers apply no CORS to it).
///
/// A request without an `Origin` comes from no browser and is always let in: its sender could have
/// written any origin that it likes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// Pages of the host that the request names: the `Origin`'s host and port are those of the
    /// `Host` header. Where a port is absent the default one of the origin's scheme counts, as a
    /// proxy may have ended TLS. `null`, the origin of sandboxed and local pages, is refused.
    #[default]
    SameOrigin,
    /// These origins only, such as `https://example.org` or `http://localhost:3000`; scheme and
    /// host compared without case, default ports left out or not. An entry `null` admits `null`.
    List(Vec<String>),
    /// All of them: for chats where a page can do no more than its reader.
    Any,
}

impl Origins {
    /// Whether a request to `host` from a page of `origin` may be served.
    pub(crate) fn admit(&self, origin: &str, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::List(list) => match Origin::parse(origin) {
                Some(origin) => list
                    .iter()
                    .any(|entry| Origin::parse(entry) == Some(origin)),
                None => origin == "null" && list.iter().any(|entry| entry == "null"),
            },
            Self::SameOrigin => {
                let Some(origin) = Origin::parse(origin) else {
                    return false;
                };
                let Ok(host) = host.parse::<Authority>() else {
                    return false;
                };
                origin.host.eq_ignore_ascii_case(host.host())
                    && host.port_u16().or(default_port(origin.scheme)) == origin.port
            }
        }
    }
}

/// An origin of scheme, host and port (RFC 6454 §4), borrowed from its text.
#[derive(Clone, Copy)]
struct Origin<'a> {
    scheme: &'a str,
    host: &'a str,
    port: Option<u16>,
}

impl<'a> Origin<'a> {
    /// Nothing for `null` and for what is no serialised origin (RFC 6454 §6.2).
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        if authority.contains(['/', '@', '?', '#']) {
            return None;
        }
        // A port follows the last colon, unless that is within the brackets of an IPv6 address.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port.parse().ok()?)),
            _ => (authority, None),
        };
        let port = port.or(default_port(scheme));
        Some(Self { scheme, host, port })
    }
}

impl PartialEq for Origin<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.scheme.eq_ignore_ascii_case(other.scheme)
            && self.host.eq_ignore_ascii_case(other.host)
            && self.port == other.port
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        _ if scheme.eq_ignore_ascii_case("https") => Some(443),
        _ if scheme.eq_ignore_ascii_case("http") => Some(80),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_host_and_port_are_the_same_origin() {
        for (origin, host, admitted) in [
            ("https://chat.example", "chat.example", true),
            ("https://Chat.Example", "chat.example:443", true),
            ("http://chat.example:80", "chat.example", true),
            ("https://chat.example:8443", "chat.example:8443", true),
            ("http://[::1]:3000", "[::1]:3000", true),
            ("http://[::1]", "[::1]", true),
            ("http://chat.example", "chat.example:443", false),
            ("https://chat.example:8443", "chat.example", false),
            ("https://chat.example.evil.example", "chat.example", false),
            ("https://evil.example", "chat.example", false),
            ("https://chat.example@evil.example", "chat.example", false),
            ("https://chat.example/", "chat.example", false),
            ("https://chat.example:x", "chat.example", false),
            ("null", "chat.example", false),
            ("", "chat.example", false),
        ] {
            assert_eq!(
                Origins::SameOrigin.admit(origin, host),
                admitted,
                "{origin} at {host}"
            );
        }
    }

    #[test]
    fn a_list_admits_its_entries_alone() {
        let list = Origins::List(vec![
            "https://a.example".into(),
            "http://b.example:81".into(),
        ]);
        for (origin, admitted) in [
            ("https://a.example", true),
            ("HTTPS://A.example:443", true),
            ("http://b.example:81", true),
            ("http://a.example", false),
            ("http://b.example", false),
            ("null", false),
        ] {
            assert_eq!(list.admit(origin, "c.example"), admitted, "{origin}");
        }
        assert!(Origins::List(vec!["null".into()]).admit("null", "c.example"));
        assert!(Origins::Any.admit("null", "c.example"));
    }
}
