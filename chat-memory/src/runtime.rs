//! The runtime of tests in virtual time.

use std::future::Future;

/// Runs a future to its end on a new runtime of this thread whose clock is paused.
///
/// The runtime is tokio's `current_thread` one, with time enabled, I/O disabled and the clock
/// [paused](tokio::time::pause): whenever no task can run, the clock jumps to the next timer. So an
/// hour of timeouts takes no real time, and a slow machine does not break a test. The
/// clock stands still while a blocking task (`tokio::task::spawn_blocking`) runs. Tasks that the
/// future has spawned and not awaited are dropped at its end.
///
/// `#[tokio::test(start_paused = true)]` does the same for a whole test; this function is for tests
/// that need many runtimes, such as fuzz targets.
///
/// # Panics
/// When it is called within a tokio runtime, or when the future panics.
///
/// ```
/// use std::time::Duration;
///
/// let hour = Duration::from_secs(3600);
/// let elapsed = chat_memory::block_on_paused(async {
///     let start = tokio::time::Instant::now();
///     tokio::time::sleep(hour).await;
///     start.elapsed()
/// });
/// assert_eq!(elapsed, hour);
/// ```
pub fn block_on_paused<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing that could be missing")
        .block_on(future)
}
