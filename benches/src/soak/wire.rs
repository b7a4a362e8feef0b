//! One WebSocket over a real socket, in the hands of somebody who may do with it what it likes.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use load::frame::{self, Reader};
use rustix::net::sockopt;
use tokio::io::Interest;
use tokio::net::{TcpSocket, TcpStream};

pub(crate) struct Wire {
    stream: TcpStream,
    reader: Reader,
    buf: Vec<u8>,
    out: Vec<u8>,
    heard: VecDeque<Heard>,
}

#[derive(Debug)]
pub(crate) enum Heard {
    Text(String),
    /// The connection is over; with the code of the server's close frame.
    Over(Option<u16>),
}

impl Wire {
    /// Connects from an address of this machine and shakes hands.
    ///
    /// # Errors
    /// No connection, or an answer other than 101.
    pub(crate) async fn open(from: Ipv4Addr, to: SocketAddr) -> io::Result<Self> {
        let mut wire = Self::connect(from, to).await?;
        let head = format!(
            "GET /ws HTTP/1.1\r\nHost: {to}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: chat.v1\r\n\r\n"
        );
        wire.write(head.as_bytes());
        let shaken = tokio::time::timeout(HANDSHAKE, wire.read_head()).await;
        let head = shaken.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        if head.starts_with("HTTP/1.1 101 ") {
            return Ok(wire);
        }
        Err(io::Error::other(
            head.lines().next().unwrap_or_default().to_owned(),
        ))
    }

    /// Connects, and says nothing.
    ///
    /// # Errors
    /// No connection.
    pub(crate) async fn connect(from: Ipv4Addr, to: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(from.into(), 0))?;
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            reader: Reader::default(),
            buf: Vec::new(),
            out: Vec::new(),
            heard: VecDeque::new(),
        })
    }

    pub(crate) fn say(&mut self, text: &str) {
        let mut bytes = Vec::with_capacity(text.len() + 16);
        frame::push_client(&mut bytes, frame::TEXT, text.as_bytes(), MASK);
        self.write(&bytes);
    }

    /// Begins the closing handshake.
    pub(crate) fn close(&mut self) {
        let mut bytes = Vec::new();
        frame::push_client(&mut bytes, frame::CLOSE, &1000u16.to_be_bytes(), MASK);
        self.write(&bytes);
    }

    /// Sends bytes as they are.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
        self.flush();
    }

    /// How much may wait in the kernel to be read.
    pub(crate) fn narrow(&self, bytes: usize) {
        let _ = sockopt::set_socket_recv_buffer_size(&self.stream, bytes);
    }

    /// Ends the connection with a reset, as a network that is gone does in the end.
    pub(crate) fn cut(self) {
        let _ = sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
    }

    /// What comes next. Cancel-safe. Pings are answered on the way.
    pub(crate) async fn hear(&mut self) -> Heard {
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return heard;
            }
            let interest = if self.out.is_empty() {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            if self.stream.ready(interest).await.is_err() {
                return Heard::Over(None);
            }
            self.flush();
            if let Err(over) = self.read() {
                self.heard.push_back(over);
            }
        }
    }

    fn read(&mut self) -> Result<(), Heard> {
        let kept = self.reader.restore(&mut self.buf, READ);
        let read = match self.stream.try_read(&mut self.buf[kept..]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.reader.keep(&self.buf[..kept]);
                return Ok(());
            }
            Ok(0) | Err(_) => return Err(Heard::Over(None)),
            Ok(read) => read,
        };
        let (heard, out) = (&mut self.heard, &mut self.out);
        let fed = self.reader.feed(
            &mut self.buf[..kept + read],
            |opcode, payload| match opcode {
                frame::PING => frame::push_client(out, frame::PONG, payload, MASK),
                frame::CLOSE => {
                    let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                    heard.push_back(Heard::Over(code));
                }
                frame::TEXT => {
                    heard.push_back(Heard::Text(String::from_utf8_lossy(payload).into_owned()));
                }
                _ => {}
            },
        );
        // Nobody keeps a large buffer for one large read.
        self.buf = Vec::new();
        self.flush();
        fed.map_err(|_| Heard::Over(None))
    }

    /// Writes what the socket takes.
    fn flush(&mut self) {
        while !self.out.is_empty() {
            match self.stream.try_write(&self.out) {
                Ok(wrote) => drop(self.out.drain(..wrote)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // The end is read, with what came before it.
                Err(_) => self.out.clear(),
            }
        }
    }

    /// What answers a request, up to the empty line.
    ///
    /// # Errors
    /// The connection ends before.
    pub(crate) async fn read_head(&mut self) -> io::Result<String> {
        let mut head = Vec::new();
        loop {
            self.stream.ready(Interest::READABLE).await?;
            // One byte at a time: what is behind the head are frames.
            let mut byte = [0];
            match self.stream.try_read(&mut byte) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => head.push(byte[0]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if head.ends_with(b"\r\n\r\n") {
                return Ok(String::from_utf8_lossy(&head).into_owned());
            }
        }
    }
}

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const READ: usize = 16 * 1024;
const HANDSHAKE: Duration = Duration::from_secs(10);
