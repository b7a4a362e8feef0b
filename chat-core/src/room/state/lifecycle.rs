//! When a room ends.

use std::sync::Arc;

use super::effects::Removal;
use super::refusal::Refusal;
use super::settings::Settings;
use crate::clock::Stamp;
use crate::protocol::event::Reason;

/// Whether a room lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifecycle {
    Live,
    /// It has ended, and its id is remembered.
    Ended,
    /// Nobody was in it for a long time; its id is free.
    Forgotten,
}

/// The dates of a room's life.
#[derive(Debug)]
pub(crate) struct Lifetime {
    /// Milliseconds since the Unix epoch.
    pub(crate) created_at: u64,
    pub(crate) expires: Option<Expiry>,
    /// Since when nobody has a seat, on the monotonic time line.
    empty_since: Option<u64>,
    end: Option<(Lifecycle, Removal)>,
}

/// When a room ends, on both time lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expiry {
    pub(crate) monotonic_ms: u64,
    pub(crate) unix_ms: u64,
}

impl Lifetime {
    pub(crate) fn new(ttl_ms: u64, stamp: Stamp) -> Self {
        let expires = (ttl_ms != 0).then(|| Expiry {
            monotonic_ms: stamp.monotonic_ms.saturating_add(ttl_ms),
            unix_ms: stamp.unix_ms.saturating_add(ttl_ms),
        });
        Self {
            created_at: stamp.unix_ms,
            expires,
            empty_since: Some(stamp.monotonic_ms),
            end: None,
        }
    }

    pub(crate) fn lifecycle(&self) -> Lifecycle {
        let end = self.end.as_ref();
        end.map_or(Lifecycle::Live, |(lifecycle, _)| *lifecycle)
    }

    /// What every member is told when the room has ended.
    pub(crate) fn removal(&self) -> Option<&Removal> {
        self.end.as_ref().map(|(_, removal)| removal)
    }

    pub(crate) fn check_live(&self) -> Result<(), Refusal> {
        match self.lifecycle() {
            Lifecycle::Live => Ok(()),
            Lifecycle::Ended => Err(Refusal::Ended),
            Lifecycle::Forgotten => Err(Refusal::Forgotten),
        }
    }

    /// Notes whether anybody has a seat.
    pub(crate) fn set_occupied(&mut self, occupied: bool, now: u64) {
        self.empty_since = match (occupied, self.empty_since) {
            (true, _) => None,
            (false, since) => since.or(Some(now)),
        };
    }

    /// Ends the room. `seq` is the last event that is still delivered.
    pub(crate) fn end(
        &mut self,
        lifecycle: Lifecycle,
        reason: Reason,
        text: Option<&str>,
        seq: u64,
    ) {
        let removal = Removal {
            reason,
            text: text.map(Arc::from),
            until: None,
            seq,
        };
        self.end = Some((lifecycle, removal));
    }

    /// Whether the room's lifetime is over at `now`.
    pub(crate) fn expires_at(&self, now: u64) -> bool {
        let expires = self.expires.as_ref();
        expires.is_some_and(|expiry| expiry.monotonic_ms <= now)
    }

    /// When the room is forgotten if nobody comes, on the monotonic time line.
    pub(crate) fn forgotten_at(&self, settings: &Settings) -> Option<u64> {
        let stays = self.expires.is_some() || settings.kept;
        self.empty_since
            .filter(|_| !stays)
            .map(|since| since.saturating_add(settings.idle_ms))
    }
}
