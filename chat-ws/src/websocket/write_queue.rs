//! Frames that wait to be written.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use smallvec::SmallVec;
use tokio::io::AsyncWrite;

use super::control_frames::PING;

/// Whole frames in the order in which they are written, shared and not copied.
///
/// While it holds less than [`MAX_BYTES`] in fewer than [`MAX_CHUNKS`] chunks, it has room for one
/// more push of any size. At most one ping and 17 pongs wait besides, and the last of these pongs
/// is always the newest (RFC 6455 §5.5.3). Two chunks (replies and a batch) need no allocation; the
/// memory that more chunks needed is released when all of them are written.
#[derive(Default)]
pub(super) struct WriteQueue {
    chunks: SmallVec<[Bytes; 2]>,
    bytes: usize,
    /// The newest pong, while `chunks` holds as many as it may.
    latest_pong: Option<Box<Bytes>>,
    /// Pongs that were pushed to `chunks` since it was last empty.
    queued_pongs: u8,
    /// Whether a ping was pushed to `chunks` since it was last empty.
    ping_queued: bool,
    /// Whether the stream may still buffer what was written to it.
    unflushed: bool,
}

/// Pongs that wait beside the newest: as many as the pings that an honest client might send at
/// once.
const MAX_PONGS: u8 = 16;
/// With this many bytes the queue is full.
const MAX_BYTES: usize = 64 * 1024;
/// With this many chunks the queue is full.
const MAX_CHUNKS: usize = 32;
/// Slices in one system call: room for a full queue and the control frames behind it.
const MAX_SLICES: usize = 64;

impl WriteQueue {
    /// Whether everything was written and flushed.
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.latest_pong.is_none() && !self.unflushed
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= MAX_BYTES || self.chunks.len() >= MAX_CHUNKS
    }

    /// Appends whole frames.
    pub(super) fn push(&mut self, frames: Bytes) {
        if !frames.is_empty() {
            self.bytes += frames.len();
            self.chunks.push(frames);
        }
    }

    /// Appends a ping, unless one is waiting.
    pub(super) fn push_ping(&mut self) {
        if !self.ping_queued {
            self.ping_queued = true;
            self.push(PING);
        }
    }

    /// Appends a pong. Where [`MAX_PONGS`] are waiting, it replaces the newest of the others.
    pub(super) fn push_pong(&mut self, pong: Bytes) {
        if self.queued_pongs < MAX_PONGS {
            self.queued_pongs += 1;
            self.push(pong);
        } else {
            self.latest_pong = Some(Box::new(pong));
        }
    }

    /// Appends a close frame, behind the newest pong.
    pub(super) fn push_close(&mut self, frame: Bytes) {
        let pong = self.latest_pong.take().unwrap_or_default();
        self.push(*pong);
        self.push(frame);
    }

    /// Writes everything to `io` and flushes it.
    ///
    /// It may be called again after any outcome, because what was written has left the queue.
    ///
    /// # Errors
    /// Those of `io`, and [`WriteZero`](io::ErrorKind::WriteZero) if it takes nothing.
    pub(super) fn poll_write<IO: AsyncWrite + Unpin>(
        &mut self,
        io: &mut IO,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if let Some(pong) = self.latest_pong.take_if(|_| self.queued_pongs < MAX_PONGS) {
                self.push_pong(*pong);
            }
            let io = Pin::new(&mut *io);
            let written = match self.chunks.len() {
                0 => {
                    ready!(io.poll_flush(cx))?;
                    self.unflushed = false;
                    return Poll::Ready(Ok(()));
                }
                2.. if io.is_write_vectored() => {
                    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                    let mut used = 0;
                    for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
                        *slice = IoSlice::new(chunk);
                        used += 1;
                    }
                    ready!(io.poll_write_vectored(cx, &slices[..used]))?
                }
                _ => ready!(io.poll_write(cx, &self.chunks[0]))?,
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            self.advance(written);
        }
    }

    /// Removes the first `written` bytes.
    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        let first_left = self.chunks.iter_mut().position(|chunk| {
            let whole = written >= chunk.len();
            if whole {
                written -= chunk.len();
            } else {
                chunk.advance(written);
            }
            !whole
        });
        if let Some(first_left) = first_left {
            self.chunks.drain(..first_left);
            return;
        }
        self.chunks = SmallVec::new();
        self.queued_pongs = 0;
        self.ping_queued = false;
    }
}
