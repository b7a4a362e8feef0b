//! The one task of an engine: it waits for the earliest deadline of all rooms.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::registry::Registry;
use crate::clock::Clock;

/// Starts the task, and starts it again after its runtime has ended.
#[derive(Default)]
pub(crate) struct Timekeeper {
    running: Arc<AtomicBool>,
}

impl Timekeeper {
    /// Makes sure that the task runs. It ends with the registry, or with its runtime.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one whose timer is not enabled: rooms would never expire.
    pub(crate) fn ensure(&self, registry: &Arc<Registry>, clock: Clock) {
        if self.running.load(Ordering::Relaxed) {
            return;
        }
        let runtime = tokio::runtime::Handle::try_current()
            .expect("chat-core must be used within a tokio runtime");
        // Panics here, where it is seen, if the timer is not enabled.
        drop(tokio::time::sleep(Duration::ZERO));
        if !self.running.swap(true, Ordering::AcqRel) {
            let running = Running(Arc::clone(&self.running));
            runtime.spawn(run(Arc::downgrade(registry), clock, running));
        }
    }
}

async fn run(registry: Weak<Registry>, clock: Clock, _running: Running) {
    let Some(sooner) = registry
        .upgrade()
        .map(|registry| registry.deadlines.sooner())
    else {
        return;
    };
    loop {
        let Some(registry) = registry.upgrade() else {
            return;
        };
        registry.tick(clock.now());
        let due = registry.deadlines.next();
        drop(registry);
        let sooner = sooner.notified();
        match due {
            Some(due) => {
                let due = clock.instant_at(due).into();
                let _ = tokio::time::timeout_at(due, sooner).await;
            }
            None => sooner.await,
        }
    }
}

/// Tells that the task has ended, however it did.
struct Running(Arc<AtomicBool>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
