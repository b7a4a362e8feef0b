//! The results of a measurement, as text, JSON and a self-contained HTML page.

mod html;
mod percentiles;
mod plot;
mod text;
mod units;

use serde::{Deserialize, Serialize};

pub use percentiles::{Percentiles, curve, histogram};
pub use units::{count, time};

/// A whole measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are enough")]
pub struct Report {
    pub url: String,
    pub protocol: String,
    pub clients: usize,
    pub rooms: usize,
    pub publishers_per_room: usize,
    pub text_bytes: usize,
    pub setup: Setup,
    pub runs: Vec<RunReport>,
    pub deliveries_expected: u64,
    pub deliveries_received: u64,
    pub lost: u64,
    pub duplicated: u64,
    /// Absent if the order is unknown: several publishers and no sequence numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out_of_order: Option<u64>,
    pub errors: u64,
    pub gaps: u64,
    pub disconnected: u64,
    #[serde(rename = "complaints")]
    pub problems: Vec<String>,
}

/// Connecting and joining.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are enough")]
pub struct Setup {
    pub seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_cpu_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_before_kb: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_after_kb: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_kb_per_connection: Option<f64>,
    /// CPU of the idle server, as a fraction of a core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_cpu: Option<f64>,
}

/// One run of messages.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are enough")]
pub struct RunReport {
    /// Publishes in flight per room (closed loop).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<usize>,
    /// Publishes per second that were offered (open loop).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    pub published: u64,
    pub deliveries: u64,
    pub seconds: f64,
    pub deliveries_per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_us_per_delivery: Option<f64>,
    /// As a fraction of a core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_cpu: Option<f64>,
    pub own_us_per_delivery: f64,
    /// As a fraction of a core; the generator has one thread.
    pub own_cpu: f64,
    pub saturated: bool,
    pub stalled: bool,
    pub wire_bytes_per_delivery: f64,
    pub payload_bytes_per_delivery: f64,
    pub deliveries_per_read: f64,
    /// From the publish (in open loop: from when it was due) to the delivery, over all deliveries.
    pub latency_us: Percentiles,
    /// From the publish to the last delivery, over all publishes.
    pub fanout_us: Percentiles,
    /// How late the generator published (open loop).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_lag_us: Option<Percentiles>,
    /// Latency at quantiles: (quantile, microseconds).
    pub latency_curve: Vec<(f64, f64)>,
}

impl RunReport {
    /// How messages were offered.
    #[must_use]
    pub fn offer(&self) -> String {
        match (self.window, self.rate) {
            (_, Some(rate)) => format!("{rate} messages/s"),
            (window, None) => format!("window {}", window.unwrap_or(1)),
        }
    }
}

impl Report {
    /// Whether everything arrived once and in order, and no connection was ended by the server.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.lost == 0
            && self.duplicated == 0
            && self.out_of_order.unwrap_or(0) == 0
            && self.disconnected == 0
    }
}
