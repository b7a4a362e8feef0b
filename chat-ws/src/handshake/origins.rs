//! Which web pages may connect.

use http::uri::Authority;

/// Whose pages may open a WebSocket (RFC 6455 §10.2). Browsers apply no CORS to WebSockets, so the
/// server has to decide.
///
/// A request without an `Origin` does not come from a page, and is always admitted: a client that
/// is no browser could send any origin that it likes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// Pages of the host that the request names: the host and the port of the `Origin` are those of
    /// the `Host` header.
    ///
    /// A missing port stands for the default port of the origin's scheme, in both headers, because
    /// a proxy may have terminated TLS. `null`, the origin of sandboxed and local pages, is
    /// rejected.
    #[default]
    SameOrigin,
    /// Only pages of these origins, such as `https://example.org` or `http://localhost:3000`.
    ///
    /// Scheme and host are compared without regard to case, and a default port may be written or
    /// omitted. The entry `null` admits the origin `null`.
    List(Vec<String>),
    /// All pages. This is for chats in which a page can do no more than its reader.
    Any,
}

impl Origins {
    /// Whether a request from a page of `origin` to `host` may be served.
    ///
    /// `origin` and `host` are the values of the headers `Origin` and `Host`. A value that is not
    /// well-formed is not admitted, except by [`Any`](Self::Any). [`handshake`](crate::handshake())
    /// decides with this function, and a host can use it for the same decision about its other
    /// endpoints.
    ///
    /// ```
    /// use chat_ws::Origins;
    ///
    /// assert!(Origins::SameOrigin.admit("https://chat.example", "chat.example"));
    /// assert!(!Origins::SameOrigin.admit("https://evil.example", "chat.example"));
    /// ```
    pub fn admit(&self, origin: &str, host: &str) -> bool {
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

/// An origin (RFC 6454 §4), borrowed from its text.
#[derive(Clone, Copy)]
struct Origin<'a> {
    scheme: &'a str,
    host: &'a str,
    port: Option<u16>,
}

impl<'a> Origin<'a> {
    /// Nothing for `null`, and for text that is not a serialized origin (RFC 6454 §6.2).
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        if authority.contains(['/', '@', '?', '#']) {
            return None;
        }
        // The port follows the last colon, unless that is within the brackets of an IPv6 address.
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
    fn a_list_admits_only_its_entries() {
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
