//! The one task of an engine: it waits for the earliest deadline of all rooms.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use crate::chat::Engine;

/// Starts the task if it does not run and there is a runtime to run it on. It ends with the engine, or with its runtime;
/// then the next connection starts another.
pub(crate) fn ensure(engine: &Arc<Engine>) {
    if engine.timekeeper.load(Ordering::Relaxed) {
        return;
    }
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    if !engine.timekeeper.swap(true, Ordering::AcqRel) {
        let running = Running(Arc::downgrade(engine));
        runtime.spawn(run(running));
    }
}

async fn run(running: Running) {
    let Some(sooner) = running
        .0
        .upgrade()
        .map(|engine| Arc::clone(&engine.registry.sooner))
    else {
        return;
    };
    loop {
        let Some(engine) = running.0.upgrade() else {
            return;
        };
        engine.registry.tick(engine.clock.now());
        let due = engine.registry.next_due();
        drop(engine);
        let sooner = sooner.notified();
        match due {
            Some(due) => {
                let _ = tokio::time::timeout_at(due.into(), sooner).await;
            }
            None => sooner.await,
        }
    }
}

struct Running(Weak<Engine>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(engine) = self.0.upgrade() {
            engine.timekeeper.store(false, Ordering::Release);
        }
    }
}
