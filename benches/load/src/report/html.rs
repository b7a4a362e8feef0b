//! Reports as a self-contained HTML page.

use std::fmt::Write as _;

use super::plot::{Axis, escape, plot};
use super::units::{count, time};
use super::{Report, RunReport};

impl Report {
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
