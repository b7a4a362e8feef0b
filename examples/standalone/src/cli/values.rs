//! The values of flags: times, rates and log filters.

use std::time::Duration;

use chat_core::Quota;
use tracing_subscriber::EnvFilter;

/// The longest time that a flag takes: the clock can count from now to any moment within it.
const MAX_DURATION: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A whole number with a unit: `500ms`, `10s`, `5m`, `24h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits
        .parse()
        .map_err(|_| "a time must be written like 500ms, 10s, 5m or 24h")?;
    let time = match &text[digits.len()..] {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.saturating_mul(60)),
        "h" => Duration::from_secs(number.saturating_mul(3600)),
        _ => return Err("a time must be written like 500ms, 10s, 5m or 24h".into()),
    };
    if time > MAX_DURATION {
        return Err("a time must be at most 87600h, which is ten years".into());
    }
    Ok(time)
}

/// A timeout that clients must meet. With zero, no client could be served.
pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("this time must be above zero".into()),
        time => Ok(time),
    }
}

/// A burst and the time in which it is refilled: `200/10s`.
pub(super) fn quota(text: &str) -> Result<Quota, String> {
    let wrong = "a rate must be written like 200/10s";
    let (burst, period) = text.split_once('/').ok_or(wrong)?;
    let burst = burst.parse().map_err(|_| wrong)?;
    Ok(Quota::per(burst, duration(period)?))
}

/// A filter of `tracing`, checked and passed on as it was written.
pub(super) fn log_filter(text: &str) -> Result<String, String> {
    match EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_times_and_rates_are_refused() {
        for bad in ["10", "s", "-1s", "1d", ""] {
            assert!(duration(bad).is_err(), "{bad}");
            assert!(quota(&format!("5/{bad}")).is_err(), "{bad}");
        }
        assert!(quota("5").is_err());
    }
}
