//! A WebSocket over a real socket, whose owner may send any bytes and read as it likes.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use load::frame::{self, Reader};
use rustix::net::sockopt;
use tokio::io::Interest;
use tokio::net::{TcpSocket, TcpStream};

pub(crate) struct RawSocket {
    stream: TcpStream,
    reader: Reader,
    buf: Vec<u8>,
    out: Vec<u8>,
    received: VecDeque<Received>,
}

#[derive(Debug)]
pub(crate) enum Received {
    Text(String),
    /// The connection has ended; with the code of the server's close frame, if there was one.
    Closed(Option<u16>),
}

impl RawSocket {
    /// Connects from an address of this machine and performs the handshake.
    ///
    /// # Errors
    /// The connection failed, or the response is not 101.
    pub(crate) async fn open(from: Ipv4Addr, to: SocketAddr) -> io::Result<Self> {
        let mut socket = Self::connect(from, to).await?;
        let head = format!(
            "GET /ws HTTP/1.1\r\nHost: {to}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: chat.v1\r\n\r\n"
        );
        socket.write(head.as_bytes());
        let response = tokio::time::timeout(HANDSHAKE_TIMEOUT, socket.read_head()).await;
        let head = response.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        if head.starts_with("HTTP/1.1 101 ") {
            return Ok(socket);
        }
        Err(io::Error::other(
            head.lines().next().unwrap_or_default().to_owned(),
        ))
    }

    /// Connects without sending anything.
    ///
    /// # Errors
    /// The connection failed.
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
            received: VecDeque::new(),
        })
    }

    pub(crate) fn send_text(&mut self, text: &str) {
        let mut bytes = Vec::with_capacity(text.len() + 16);
        frame::push_client(&mut bytes, frame::TEXT, text.as_bytes(), MASK);
        self.write(&bytes);
    }

    /// Starts the closing handshake.
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

    /// Sets how many bytes may wait in the kernel to be read.
    pub(crate) fn set_receive_buffer(&self, bytes: usize) {
        let _ = sockopt::set_socket_recv_buffer_size(&self.stream, bytes);
    }

    /// Ends the connection with a reset, as happens in the end when the network fails.
    pub(crate) fn reset(self) {
        let _ = sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
    }

    /// The next text or the end of the connection. Answers pings in the meantime. Cancel safe.
    pub(crate) async fn receive(&mut self) -> Received {
        loop {
            if let Some(received) = self.received.pop_front() {
                return received;
            }
            let interest = if self.out.is_empty() {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            if self.stream.ready(interest).await.is_err() {
                return Received::Closed(None);
            }
            self.flush();
            if let Err(closed) = self.read() {
                self.received.push_back(closed);
            }
        }
    }

    fn read(&mut self) -> Result<(), Received> {
        let kept = self.reader.restore(&mut self.buf, READ_SIZE);
        let read = match self.stream.try_read(&mut self.buf[kept..]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.reader.keep(&self.buf[..kept]);
                return Ok(());
            }
            Ok(0) | Err(_) => return Err(Received::Closed(None)),
            Ok(read) => read,
        };
        let (received, out) = (&mut self.received, &mut self.out);
        let result = self.reader.feed(
            &mut self.buf[..kept + read],
            |opcode, payload| match opcode {
                frame::PING => frame::push_client(out, frame::PONG, payload, MASK),
                frame::CLOSE => {
                    let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                    received.push_back(Received::Closed(code));
                }
                frame::TEXT => {
                    received.push_back(Received::Text(
                        String::from_utf8_lossy(payload).into_owned(),
                    ));
                }
                _ => {}
            },
        );
        // No socket holds a large buffer because of one large read.
        self.buf = Vec::new();
        self.flush();
        result.map_err(|_| Received::Closed(None))
    }

    /// Writes as much as the socket takes.
    fn flush(&mut self) {
        while !self.out.is_empty() {
            match self.stream.try_write(&self.out) {
                Ok(wrote) => drop(self.out.drain(..wrote)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // The end of the connection is read later, after the data before it.
                Err(_) => self.out.clear(),
            }
        }
    }

    /// Reads the response to a request up to the empty line.
    ///
    /// # Errors
    /// The connection ends before that.
    pub(crate) async fn read_head(&mut self) -> io::Result<String> {
        let mut head = Vec::new();
        loop {
            self.stream.ready(Interest::READABLE).await?;
            // One byte at a time, because the bytes after the head are frames.
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
const READ_SIZE: usize = 16 * 1024;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
