//! The buffer that sockets are read into: one per thread instead of one per connection.

use std::cell::Cell;

/// The size of the buffer in bytes, and so the most that one read takes.
const READ_BUFFER_BYTES: usize = 16 * 1024;

thread_local! {
    static READ_BUFFER: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// Lends the buffer of this thread to `f`.
///
/// It holds arbitrary bytes from earlier uses. A nested call gets a buffer of its own.
pub(super) fn with_read_buffer<R>(f: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut buffer = READ_BUFFER
        .take()
        .unwrap_or_else(|| vec![0; READ_BUFFER_BYTES].into_boxed_slice());
    let result = f(&mut buffer);
    READ_BUFFER.set(Some(buffer));
    result
}
