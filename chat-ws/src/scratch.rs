//! The buffer that sockets are read into: one for each thread, not for each connection.

use std::cell::Cell;

/// Its size, and so the most that one read takes.
pub(crate) const LEN: usize = 16 * 1024;

thread_local! {
    static SCRATCH: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// Lends the buffer. What `f` leaves in it is garbage to the next borrower; a borrower within a
/// borrower gets a fresh one.
pub(crate) fn with<R>(f: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut scratch = SCRATCH
        .take()
        .unwrap_or_else(|| vec![0; LEN].into_boxed_slice());
    let out = f(&mut scratch);
    SCRATCH.set(Some(scratch));
    out
}
