//! Reports as text.

use std::fmt::Write as _;

use super::units::count;
use super::{Report, RunReport};

impl RunReport {
    /// The measurements of the run.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = format!(
            "{}: {} published, {} delivered in {:.2} s \
             ({} deliveries/s, {:.0} bytes each, {:.1} per read)\n",
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
                "  WARNING: the generator itself is saturated: latency includes its own queue, and the \
                 rate is its limit, not the server's (server CPU per delivery still holds)\n",
            );
        }
        if self.stalled {
            out.push_str("  WARNING: aborted, because no more deliveries arrived\n");
        }
        out
    }
}

impl Report {
    /// The last lines: whether everything arrived.
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
        for problem in &self.problems {
            let _ = writeln!(out, "  {problem}");
        }
        out
    }
}
