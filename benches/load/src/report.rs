//! What a measurement says: text, JSON and a self-contained HTML page.

use std::fmt::Write as _;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// An empty latency histogram: nanoseconds from a microsecond to an hour, three digits.
#[must_use]
#[expect(
    clippy::missing_panics_doc,
    reason = "the bounds are constant and valid"
)]
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, 3_600_000_000_000, 3).expect("valid bounds")
}

/// Percentiles in microseconds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Percentiles {
    pub min: f64,
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p99_9: f64,
    pub p99_99: f64,
    pub max: f64,
}

impl Percentiles {
    /// Reads them off a histogram of nanoseconds.
    #[must_use]
    pub fn of(hist: &Histogram<u64>) -> Self {
        let us = |ns: u64| ns as f64 / 1e3;
        let at = |q| us(hist.value_at_quantile(q));
        Self {
            min: us(if hist.is_empty() { 0 } else { hist.min() }),
            mean: hist.mean() / 1e3,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            p99_99: at(0.9999),
            max: us(hist.max()),
        }
    }

    fn line(&self) -> String {
        let mut line = String::new();
        for (name, us) in [
            ("min", self.min),
            ("p50", self.p50),
            ("p90", self.p90),
            ("p99", self.p99),
            ("p99.9", self.p99_9),
            ("p99.99", self.p99_99),
            ("max", self.max),
        ] {
            let _ = write!(line, "  {name} {}", time(us));
        }
        line
    }
}

/// Latency at quantiles that come ever closer to 1: (quantile, microseconds).
#[must_use]
pub fn curve(hist: &Histogram<u64>) -> Vec<(f64, f64)> {
    let mut points = Vec::new();
    for step in 0..=48 {
        let q = 1.0 - 10_f64.powf(-f64::from(step) / 8.0);
        points.push((q, hist.value_at_quantile(q) as f64 / 1e3));
        // Beyond one in as many as there are, a quantile says nothing new.
        if (1.0 - q) * (hist.len() as f64) < 1.0 {
            break;
        }
    }
    points
}

/// A whole measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
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
    /// Absent where the order is not known: several publishers and no sequence numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out_of_order: Option<u64>,
    pub errors: u64,
    pub gaps: u64,
    pub disconnected: u64,
    pub complaints: Vec<String>,
}

/// Connecting and joining.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
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
    /// CPU of the server while nobody spoke, in parts of a core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_cpu: Option<f64>,
}

/// One run of messages.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct RunReport {
    /// Publishes in flight per room (closed loop).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<usize>,
    /// Publishes a second that were offered (open loop).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    pub published: u64,
    pub deliveries: u64,
    pub seconds: f64,
    pub deliveries_per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_us_per_delivery: Option<f64>,
    /// In parts of a core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_cpu: Option<f64>,
    pub own_us_per_delivery: f64,
    /// In parts of a core; the generator has one thread.
    pub own_cpu: f64,
    pub saturated: bool,
    pub stalled: bool,
    pub wire_bytes_per_delivery: f64,
    pub payload_bytes_per_delivery: f64,
    pub deliveries_per_read: f64,
    /// Publish (when due, in open loop) to delivery, over all deliveries.
    pub latency_us: Percentiles,
    /// Publish to last delivery, over all publishes.
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

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = format!(
            "{}: {} published, {} delivered in {:.2} s ({} deliveries/s, {:.0} bytes each, {:.1} a read)\n",
            self.offer(),
            self.published,
            self.deliveries,
            self.seconds,
            count(self.deliveries_per_second),
            self.wire_bytes_per_delivery,
            self.deliveries_per_read,
        );
        if let (Some(us), Some(cpu)) = (self.server_us_per_delivery, self.server_cpu) {
            let _ = writeln!(
                out,
                "  server CPU     {us:.3} µs per delivery  ({:.0} % of a core)",
                cpu * 100.0
            );
        }
        let _ = writeln!(
            out,
            "  generator CPU  {:.3} µs per delivery  ({:.0} % of a core)",
            self.own_us_per_delivery,
            self.own_cpu * 100.0
        );
        let _ = writeln!(out, "  latency       {}", self.latency_us.line());
        let _ = writeln!(out, "  last member   {}", self.fanout_us.line());
        if let Some(lag) = &self.send_lag_us {
            let _ = writeln!(out, "  sent late by  {}", lag.line());
        }
        if self.saturated {
            out.push_str(
                "  WARNING: the generator itself is saturated: latency includes its own queue, and the rate is its \
                 limit, not the server's (server CPU per delivery still holds)\n",
            );
        }
        if self.stalled {
            out.push_str("  WARNING: given up, nothing arrived any more\n");
        }
        out
    }
}

impl Report {
    /// Whether everything arrived, once, in order, and nobody was thrown out.
    #[must_use]
    pub fn clean(&self) -> bool {
        self.lost == 0
            && self.duplicated == 0
            && self.out_of_order.unwrap_or(0) == 0
            && self.disconnected == 0
    }

    /// The last lines for people.
    #[must_use]
    pub fn verdict(&self) -> String {
        let order = self
            .out_of_order
            .map_or_else(|| "not checked".to_owned(), |n| n.to_string());
        let mut out = format!(
            "lost {}  duplicated {}  out of order {order}\n",
            self.lost, self.duplicated
        );
        if self.errors + self.gaps + self.disconnected > 0 {
            let _ = writeln!(
                out,
                "errors {}  gaps {}  disconnected {}",
                self.errors, self.gaps, self.disconnected
            );
        }
        for complaint in &self.complaints {
            let _ = writeln!(out, "  {complaint}");
        }
        out
    }

    /// A page with plots, in one file.
    #[must_use]
    pub fn html(&self) -> String {
        let mut body = String::new();
        let _ = write!(
            body,
            "<h1>Load report</h1><p>{} over {}: {} clients in {} rooms, {} publishing in each, {} bytes of text.</p>\
             <p class=verdict>{}</p>",
            escape(&self.protocol),
            escape(&self.url),
            self.clients,
            self.rooms,
            self.publishers_per_room,
            self.text_bytes,
            escape(&self.verdict()),
        );
        if let Some(kb) = self.setup.rss_kb_per_connection {
            let _ = write!(
                body,
                "<p>{kb:.2} kB of server memory (RSS) per connection.</p>"
            );
        }
        if self.runs.len() > 1 {
            let against = |pick: fn(&RunReport) -> f64| -> Vec<(f64, f64)> {
                self.runs
                    .iter()
                    .map(|r| (r.deliveries_per_second, pick(r)))
                    .collect()
            };
            body.push_str("<h2>Latency against load</h2>");
            body.push_str(&plot(
                "deliveries per second",
                Axis::Linear,
                Axis::Log,
                time,
                &[
                    ("p50", against(|r| r.latency_us.p50)),
                    ("p99", against(|r| r.latency_us.p99)),
                    ("p99.9", against(|r| r.latency_us.p99_9)),
                    ("max", against(|r| r.latency_us.max)),
                ],
            ));
            let mut cpu = vec![("generator", against(|r| r.own_cpu * 100.0))];
            if self.runs.iter().any(|r| r.server_cpu.is_some()) {
                cpu.insert(
                    0,
                    ("server", against(|r| r.server_cpu.unwrap_or(0.0) * 100.0)),
                );
            }
            body.push_str("<h2>CPU against load</h2>");
            let percent = |v: f64| format!("{v:.0} %");
            body.push_str(&plot(
                "deliveries per second",
                Axis::Linear,
                Axis::Linear,
                percent,
                &cpu,
            ));
        }
        if !self.runs.is_empty() {
            body.push_str("<h2>Latency by percentile</h2>");
            let offers: Vec<_> = self.runs.iter().map(RunReport::offer).collect();
            let series: Vec<_> = self
                .runs
                .iter()
                .zip(&offers)
                .map(|(r, name)| {
                    let tail = |(q, us): &(f64, f64)| (1.0 / (1.0 - q), *us);
                    (name.as_str(), r.latency_curve.iter().map(tail).collect())
                })
                .collect();
            body.push_str(&plot(
                "percentile",
                Axis::Percentile,
                Axis::Log,
                time,
                &series,
            ));
            body.push_str(&self.table());
        }
        format!(
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
             <title>Load report</title><style>{STYLE}</style><body>{body}</body></html>\n"
        )
    }

    fn table(&self) -> String {
        let mut out = String::from(
            "<h2>Figures</h2><div class=wide><table><tr><th>offered<th>deliveries/s<th>server CPU µs/delivery\
             <th>server CPU<th>generator CPU<th>p50<th>p90<th>p99<th>p99.9<th>p99.99<th>max",
        );
        for r in &self.runs {
            let l = &r.latency_us;
            let _ = write!(
                out,
                "<tr><td>{}<td>{}<td>{}<td>{}<td>{:.0} %{}",
                r.offer(),
                count(r.deliveries_per_second),
                r.server_us_per_delivery
                    .map_or_else(|| "–".into(), |us| format!("{us:.3}")),
                r.server_cpu
                    .map_or_else(|| "–".into(), |c| format!("{:.0} %", c * 100.0)),
                r.own_cpu * 100.0,
                if r.saturated { " (saturated)" } else { "" },
            );
            for us in [l.p50, l.p90, l.p99, l.p99_9, l.p99_99, l.max] {
                let _ = write!(out, "<td>{}", time(us));
            }
        }
        out.push_str("</table></div>");
        out
    }
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;\
color:#1d2330;background:#fff}.verdict{white-space:pre-line;font-weight:600}svg{width:100%;height:auto}\
.grid{stroke:#8885;stroke-width:1}text{font-size:12px;fill:currentColor}.wide{overflow-x:auto}\
table{border-collapse:collapse;font-variant-numeric:tabular-nums}th,td{padding:.2rem .7rem;text-align:right;\
border-bottom:1px solid #8885;white-space:nowrap}td:first-child,th:first-child{text-align:left}\
@media(prefers-color-scheme:dark){body{color:#dfe3ea;background:#14171d}}";

const COLOURS: [&str; 6] = [
    "#2b7de9", "#e0662b", "#2f9e5b", "#a24bd0", "#c79a12", "#d33a5c",
];

#[derive(Clone, Copy, PartialEq)]
enum Axis {
    Linear,
    Log,
    /// Logarithmic in 1 / (1 - quantile).
    Percentile,
}

/// A line plot as SVG.
fn plot(
    x_name: &str,
    x_axis: Axis,
    y_axis: Axis,
    y_label: impl Fn(f64) -> String,
    series: &[(&str, Vec<(f64, f64)>)],
) -> String {
    const W: f64 = 860.0;
    const H: f64 = 380.0;
    const LEFT: f64 = 80.0;
    const RIGHT: f64 = 20.0;
    const TOP: f64 = 34.0;
    const BOTTOM: f64 = 48.0;
    let points = || series.iter().flat_map(|(_, p)| p.iter().copied());
    let scale = |axis: Axis, values: &mut dyn Iterator<Item = f64>| {
        let values: Vec<_> = values.filter(|v| v.is_finite()).collect();
        let max = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let min = values.iter().copied().fold(max, f64::min);
        match axis {
            Axis::Linear => (0.0, max),
            Axis::Log | Axis::Percentile => {
                let low = min.max(1e-3).log10().floor();
                (low, max.max(1e-3).log10().ceil().max(low + 1.0))
            }
        }
    };
    let (x0, x1) = scale(x_axis, &mut points().map(|p| p.0));
    let (y0, y1) = scale(y_axis, &mut points().map(|p| p.1));
    let place = |axis: Axis, v: f64, low: f64, high: f64| {
        let v = if axis == Axis::Linear {
            v
        } else {
            v.max(1e-3).log10()
        };
        (v - low) / (high - low)
    };
    let px = |v: f64| LEFT + place(x_axis, v, x0, x1) * (W - LEFT - RIGHT);
    let py = |v: f64| H - BOTTOM - place(y_axis, v, y0, y1) * (H - TOP - BOTTOM);
    let ticks = |axis: Axis, low: f64, high: f64| -> Vec<f64> {
        match axis {
            Axis::Linear => (0..=5)
                .map(|i| low + (high - low) * f64::from(i) / 5.0)
                .collect(),
            Axis::Log | Axis::Percentile => {
                (low as i32..=high as i32).map(|e| 10_f64.powi(e)).collect()
            }
        }
    };
    let mut svg = format!("<svg viewBox=\"0 0 {W} {H}\" role=img>");
    for v in ticks(x_axis, x0, x1) {
        let label = match x_axis {
            Axis::Percentile if v <= 1.0 => "0 %".to_owned(),
            Axis::Percentile => format!("{} %", 100.0 - 100.0 / v),
            _ => count(v),
        };
        let x = px(v);
        let _ = write!(
            svg,
            "<path class=grid d=\"M{x:.1} {TOP}V{:.1}\"/><text x={x:.1} y={:.1} text-anchor=middle>{label}</text>",
            H - BOTTOM,
            H - BOTTOM + 18.0
        );
    }
    for v in ticks(y_axis, y0, y1) {
        let y = py(v);
        let _ = write!(
            svg,
            "<path class=grid d=\"M{LEFT} {y:.1}H{:.1}\"/><text x={:.1} y={:.1} text-anchor=end>{}</text>",
            W - RIGHT,
            LEFT - 8.0,
            y + 4.0,
            escape(&y_label(v))
        );
    }
    let _ = write!(
        svg,
        "<text x={:.1} y={:.1} text-anchor=middle>{}</text>",
        (W + LEFT) / 2.0,
        H - 8.0,
        escape(x_name)
    );
    for (i, (name, points)) in series.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        let mut line = String::new();
        for (x, y) in points.iter().filter(|p| p.0.is_finite() && p.1.is_finite()) {
            let _ = write!(line, "{:.1},{:.1} ", px(*x), py(*y));
            if points.len() < 30 {
                let (x, y) = (px(*x), py(*y));
                let _ = write!(svg, "<circle cx={x:.1} cy={y:.1} r=3 fill=\"{colour}\"/>");
            }
        }
        let at = LEFT + i as f64 * 150.0;
        let _ = write!(
            svg,
            "<polyline points=\"{line}\" fill=none stroke=\"{colour}\" stroke-width=2 />\
             <path d=\"M{at} 14h18\" stroke=\"{colour}\" stroke-width=3 />\
             <text x={} y=18>{}</text>",
            at + 24.0,
            escape(name)
        );
    }
    svg.push_str("</svg>");
    svg
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Microseconds for people.
#[must_use]
pub fn time(us: f64) -> String {
    match us {
        us if us < 9.95 => format!("{us:.1} µs"),
        us if us < 1e3 => format!("{us:.0} µs"),
        us if us < 1e4 => format!("{:.2} ms", us / 1e3),
        us if us < 1e6 => format!("{:.0} ms", us / 1e3),
        us => format!("{:.1} s", us / 1e6),
    }
}

/// A large number for people.
#[must_use]
pub fn count(n: f64) -> String {
    match n {
        n if n < 1e4 => format!("{n:.0}"),
        n if n < 1e6 => format!("{:.0} k", n / 1e3),
        n => format!("{:.2} M", n / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_known_histogram() {
        let mut hist = histogram();
        for ms in 1..=1000_u64 {
            hist.saturating_record(ms * 1_000_000);
        }
        let p = Percentiles::of(&hist);
        for (got, ms) in [
            (p.min, 1.0),
            (p.p50, 500.0),
            (p.p99, 990.0),
            (p.max, 1000.0),
        ] {
            assert!((got / 1e3 / ms - 1.0).abs() < 2e-3, "{got} for {ms}");
        }
        let curve = curve(&hist);
        assert!(
            curve
                .windows(2)
                .all(|w| w[0].0 < w[1].0 && w[0].1 <= w[1].1)
        );
        assert!(curve.len() < 30, "stops where the samples do");
        assert_eq!(Percentiles::of(&histogram()).min, 0.0);
    }

    #[test]
    fn figures_for_people() {
        assert_eq!(time(3.3), "3.3 µs");
        assert_eq!(time(1234.0), "1.23 ms");
        assert_eq!(count(1_250_000.0), "1.25 M");
    }
}
