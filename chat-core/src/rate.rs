//! Rate limits by the generic cell rate algorithm (ITU-T I.371), on the engine's own clock.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How much may happen: `burst` units at once, and one more unit each `interval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Units that a full bucket holds. 0 is no limit.
    pub burst: u32,
    /// The time in which one unit is refilled.
    pub interval: Duration,
}

impl Quota {
    /// No limit.
    pub const UNLIMITED: Self = Self {
        burst: 0,
        interval: Duration::ZERO,
    };

    /// `burst` units at once, refilled evenly within `period`.
    pub const fn per(burst: u32, period: Duration) -> Self {
        let interval = match burst {
            0 => Duration::ZERO,
            _ => Duration::from_nanos((period.as_nanos() / burst as u128) as u64),
        };
        Self { burst, interval }
    }
}

/// One bucket, as the moment at which it will be full again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bucket {
    full_at: Option<Instant>,
}

impl Bucket {
    /// Takes `cost` units, or returns how long to wait for them. A refusal takes nothing.
    pub(crate) fn take(&mut self, quota: Quota, cost: u32, now: Instant) -> Result<(), Duration> {
        if quota.burst == 0 {
            return Ok(());
        }
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + quota.interval * cost;
        let wait = (full_at - now).saturating_sub(quota.interval * quota.burst.max(cost));
        if wait > Duration::ZERO {
            return Err(wait);
        }
        self.full_at = Some(full_at);
        Ok(())
    }

    /// Takes a unit even if there is none, so that each early attempt makes the wait longer, up to
    /// `longest`.
    pub(crate) fn charge(
        &mut self,
        quota: Quota,
        longest: Duration,
        now: Instant,
    ) -> Result<(), Duration> {
        let Err(wait) = self.take(quota, 1, now) else {
            return Ok(());
        };
        let longer = (wait + quota.interval).min(longest.max(wait));
        self.full_at = self.full_at.map(|at| at + (longer - wait));
        Err(longer)
    }
}

/// Buckets by key. There are at most [`MAX_KEYS`] of them.
pub(crate) struct Buckets<K> {
    quota: Quota,
    map: Mutex<HashMap<K, Bucket>>,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    pub(crate) fn new(quota: Quota) -> Self {
        Self {
            quota,
            map: Mutex::default(),
        }
    }

    pub(crate) fn take(&self, key: K, cost: u32, now: Instant) -> Result<(), Duration> {
        self.with(key, now, |bucket| bucket.take(self.quota, cost, now))
    }

    /// See [`Bucket::charge`].
    pub(crate) fn charge(&self, key: K, longest: Duration, now: Instant) -> Result<(), Duration> {
        self.with(key, now, |bucket| bucket.charge(self.quota, longest, now))
    }

    fn with(
        &self,
        key: K,
        now: Instant,
        ask: impl FnOnce(&mut Bucket) -> Result<(), Duration>,
    ) -> Result<(), Duration> {
        if self.quota.burst == 0 {
            return Ok(());
        }
        let mut map = self.map.lock();
        if map.len() >= MAX_KEYS && !map.contains_key(&key) {
            // Full buckets carry no information. If none is full, forgetting some is better than
            // refusing every new key.
            map.retain(|_, bucket| bucket.full_at.is_some_and(|at| at > now));
            let excess = (map.len() + MAX_KEYS / 8).saturating_sub(MAX_KEYS);
            let forget: Vec<K> = map.keys().take(excess).cloned().collect();
            for key in &forget {
                map.remove(key);
            }
        }
        ask(map.entry(key).or_default())
    }

    /// Refunds one unit.
    pub(crate) fn refund(&self, key: &K) {
        let mut map = self.map.lock();
        if let Some(bucket) = map.get_mut(key) {
            bucket.full_at = bucket
                .full_at
                .and_then(|at| at.checked_sub(self.quota.interval));
        }
    }
}

/// Keys remembered by each limit: about 4 MiB at the most.
const MAX_KEYS: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_one_by_one() {
        let quota = Quota::per(5, Duration::from_secs(10));
        let (mut bucket, start) = (Bucket::default(), Instant::now());
        for _ in 0..5 {
            assert_eq!(bucket.take(quota, 1, start), Ok(()));
        }
        assert_eq!(bucket.take(quota, 1, start), Err(Duration::from_secs(2)));
        assert_eq!(
            bucket.take(quota, 1, start + Duration::from_secs(2)),
            Ok(())
        );
        assert!(
            bucket
                .take(quota, 1, start + Duration::from_secs(2))
                .is_err()
        );
        assert_eq!(
            bucket.take(quota, 5, start + Duration::from_secs(60)),
            Ok(())
        );
    }

    #[test]
    fn whoever_comes_too_early_waits_longer_up_to_a_bound() {
        let quota = Quota::per(5, Duration::from_secs(10));
        let (mut bucket, start) = (Bucket::default(), Instant::now());
        let mut charge = |at| bucket.charge(quota, Duration::from_secs(9), start + at);
        assert!((0..5).all(|_| charge(Duration::ZERO).is_ok()));
        let waits: Vec<_> = (0..5).map(|_| charge(Duration::ZERO)).collect();
        let expected = [4, 6, 8, 9, 9].map(|secs| Err(Duration::from_secs(secs)));
        assert_eq!(waits, expected);
        assert!(charge(Duration::from_secs(8)).is_err());
        // The clock of the bound begins anew, and who keeps to what it is told is let through.
        assert_eq!(charge(Duration::from_secs(11)), Ok(()));
    }

    #[test]
    fn no_limit_never_refuses_and_the_map_is_bounded() {
        let now = Instant::now();
        let mut bucket = Bucket::default();
        assert!((0..10_000).all(|_| bucket.take(Quota::UNLIMITED, 50, now).is_ok()));
        let buckets = Buckets::new(Quota::per(1, Duration::from_secs(3600)));
        for key in 0..200_000u32 {
            assert_eq!(buckets.take(key, 1, now), Ok(()));
        }
        assert!(buckets.map.lock().len() <= MAX_KEYS);
    }
}
