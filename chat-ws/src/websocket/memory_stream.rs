//! The stream that tungstenite's protocol machine reads from and writes to.

use std::io::{self, Read, Write};

use bytes::Bytes;

/// A stream in memory: reading takes bytes off `input`, and writing sets `reply`.
pub(super) struct MemoryStream<'a, 'i> {
    pub(super) input: &'a mut &'i [u8],
    /// The last frame that was written. Every write is one whole frame, because the protocol
    /// machine is configured with a write buffer of size zero.
    pub(super) reply: &'a mut Option<Bytes>,
}

impl Read for MemoryStream<'_, '_> {
    /// Fails with [`WouldBlock`](io::ErrorKind::WouldBlock) once `input` is empty.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.input.read(buf)
    }
}

impl Write for MemoryStream<'_, '_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        *self.reply = Some(Bytes::copy_from_slice(buf));
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
