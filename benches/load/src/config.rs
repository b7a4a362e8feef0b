//! The settings of the engine from the command line.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use load::engine::Config;
use load::protocol::{Protocol, Raw, Size, TOKEN_LEN};

use crate::args::{Args, ProtocolName};

pub(crate) fn config(args: &Args) -> io::Result<Config> {
    let (addr, host, path) = target(&args.url)?;
    if args.payload < TOKEN_LEN {
        return Err(io::Error::other(format!(
            "--payload must be at least {TOKEN_LEN}"
        )));
    }
    if args.rooms > args.clients {
        return Err(io::Error::other("--rooms must not be above --clients"));
    }
    let protocol = match args.protocol {
        ProtocolName::Chat => Protocol::ChatV1,
        ProtocolName::Raw => Protocol::Raw(Raw {
            join: args.join_template.clone(),
            join_ack: args.join_ack.clone(),
            send: args.send_template.clone(),
            echo: !args.no_echo,
        }),
    };
    if matches!(&protocol, Protocol::Raw(raw) if !raw.send.contains("{text}")) {
        return Err(io::Error::other("--send-template must contain {text}"));
    }
    if args.no_echo && args.clients < 2 * args.rooms {
        return Err(io::Error::other(
            "--no-echo must have at least two members in each room",
        ));
    }
    if args.sources > 0 && !(addr.is_ipv4() && addr.ip().is_loopback()) {
        return Err(io::Error::other(
            "--sources must have a loopback IPv4 target",
        ));
    }
    let prefix = || format!("load{:x}-", std::process::id());
    Ok(Config {
        addr,
        host,
        path,
        protocol,
        clients: args.clients as usize,
        rooms: args.rooms as usize,
        room_prefix: args.room_prefix.clone().unwrap_or_else(prefix),
        publishers: args.publishers_per_room as usize,
        size: Size {
            text: args.payload,
            pad_to: args.pad_to,
        },
        sources: args.sources,
        connecting: args.connecting as usize,
        stall: args.stall,
        busy: args.busy_poll,
    })
}

/// Splits `ws://host[:port][/path]` into address, host and path.
fn target(url: &str) -> io::Result<(SocketAddr, String, String)> {
    let rest = url
        .strip_prefix("ws://")
        .or_else(|| url.strip_prefix("http://"))
        .ok_or_else(|| io::Error::other("--url must begin with ws://"))?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if path.is_empty() { "/" } else { path };
    let has_port = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let with_port = if has_port {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let addr = with_port
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::other(format!("{host} must have an address")))?;
    Ok((addr, host.to_owned(), path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_parsed() {
        let (addr, host, path) = target("ws://127.0.0.1:81/ws/{room}").unwrap();
        assert_eq!(
            (addr.port(), host.as_str(), path.as_str()),
            (81, "127.0.0.1:81", "/ws/{room}")
        );
        let (addr, _, path) = target("ws://[::1]").unwrap();
        assert_eq!((addr.port(), path.as_str()), (80, "/"));
        assert!(target("wss://127.0.0.1").is_err());
    }
}
