//! All connections of an engine: their numbers, their wakers, and the drain.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::limits::Limits;
use crate::wake::WakerSet;

/// Counts connections and wakes all of them.
pub(crate) struct Connections {
    count: AtomicUsize,
    max: usize,
    by_address: Mutex<HashMap<u64, u32>>,
    /// 0 is no limit.
    max_per_address: usize,
    /// The task of every connection.
    pub(crate) wakers: WakerSet,
    pub(crate) draining: AtomicBool,
    all_gone: Notify,
}

/// Why a connection is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdmitError {
    /// The server is going away.
    Draining,
    /// The server has as many connections as it accepts.
    Full,
    /// The address has as many connections as it may.
    Address,
}

impl AdmitError {
    /// After which time another attempt may succeed.
    pub fn retry_after(&self) -> Duration {
        match self {
            Self::Draining | Self::Full => Duration::from_secs(5),
            Self::Address => Duration::from_secs(30),
        }
    }
}

impl fmt::Display for AdmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Draining => "The server is going away",
            Self::Full => "The server has as many connections as it accepts",
            Self::Address => "There are too many connections from this address",
        })
    }
}

impl std::error::Error for AdmitError {}

impl Connections {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            count: AtomicUsize::new(0),
            max: limits.connections,
            by_address: Mutex::default(),
            max_per_address: limits.connections_per_address,
            wakers: WakerSet::new(),
            draining: AtomicBool::new(false),
            all_gone: Notify::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Counts one more connection from an address, until [`release`](Self::release).
    pub(crate) fn admit(&self, address: Option<u64>) -> Result<(), AdmitError> {
        if self.is_draining() {
            return Err(AdmitError::Draining);
        }
        if let (Some(address), 1..) = (address, self.max_per_address) {
            let mut by_address = self.by_address.lock();
            let count = by_address.entry(address).or_default();
            if *count as usize >= self.max_per_address {
                return Err(AdmitError::Address);
            }
            *count += 1;
        }
        if self.count.fetch_add(1, Ordering::AcqRel) >= self.max {
            self.release(address);
            return Err(AdmitError::Full);
        }
        Ok(())
    }

    /// Counts one connection less.
    pub(crate) fn release(&self, address: Option<u64>) {
        if let (Some(address), 1..) = (address, self.max_per_address) {
            let mut by_address = self.by_address.lock();
            if let Some(count) = by_address.get_mut(&address) {
                *count -= 1;
                if *count == 0 {
                    by_address.remove(&address);
                }
            }
        }
        if self.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.all_gone.notify_waiters();
        }
    }

    /// Makes every connection say goodbye, and returns when the last one has gone. Cancel-safe:
    /// dropping the future does not stop the drain.
    pub(crate) async fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        loop {
            let gone = self.all_gone.notified();
            self.wakers.wake_all();
            if self.count.load(Ordering::Acquire) == 0 {
                return;
            }
            // A connection that was admitted just before may not have been among those woken.
            let _ = tokio::time::timeout(Duration::from_millis(100), gone).await;
        }
    }
}
