//! What the rounds of a server amount to, and the table of all servers.

use std::fmt::Write as _;

use load::report::{Report, RunReport, time};
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct Figures {
    pub(crate) server: String,
    /// `µs per delivery` or `kB per connection`.
    pub(crate) unit: &'static str,
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// The median divided by the median of the floor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) to_floor: Option<f64>,
    /// The median of the ratios within each round, because the machine affects both servers of a
    /// round alike.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) to_floor_by_round: Option<f64>,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) out_of_order: u64,
    pub(crate) rounds: Vec<Report>,
}

#[derive(Serialize)]
pub(crate) struct Comparison {
    pub(crate) scenario: &'static str,
    #[serde(rename = "what")]
    pub(crate) description: &'static str,
    pub(crate) servers: Vec<Figures>,
}

/// The figure of one round: CPU time per delivery, or memory per connection.
pub(crate) fn figure(report: &Report) -> f64 {
    match report.runs.first() {
        Some(run) => run.server_us_per_delivery.unwrap_or(f64::NAN),
        None => report.setup.rss_kb_per_connection.unwrap_or(f64::NAN),
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len() / 2, sorted.len() % 2) {
        (0, 0) => f64::NAN,
        (middle, 0) => f64::midpoint(sorted[middle - 1], sorted[middle]),
        (middle, _) => sorted[middle],
    }
}

pub(crate) fn figures(name: &str, rounds: Vec<Report>, floor: Option<&[f64]>) -> Figures {
    let values: Vec<f64> = rounds.iter().map(figure).collect();
    let by_round = |floor: &[f64]| {
        median(
            &values
                .iter()
                .zip(floor)
                .map(|(ours, floor)| ours / floor)
                .collect::<Vec<_>>(),
        )
    };
    let unit = if rounds.iter().any(|r| !r.runs.is_empty()) {
        "µs per delivery"
    } else {
        "kB per connection"
    };
    Figures {
        server: name.to_owned(),
        unit,
        median: median(&values),
        min: values.iter().copied().fold(f64::INFINITY, f64::min),
        max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        to_floor: floor.map(|f| median(&values) / median(f)),
        to_floor_by_round: floor.map(by_round),
        lost: rounds.iter().map(|r| r.lost).sum(),
        duplicated: rounds.iter().map(|r| r.duplicated).sum(),
        out_of_order: rounds.iter().filter_map(|r| r.out_of_order).sum(),
        rounds,
    }
}

/// The table of a scenario.
pub(crate) fn table(comparison: &Comparison) -> String {
    let unit = comparison.servers.first().map_or("", |s| s.unit);
    let mut out = format!("\n{}. {}\n", comparison.scenario, comparison.description);
    let _ = writeln!(
        out,
        "  {:<12} {:>8} {:>8} {:>8}  {:>7} {:>8}  {:>7} {:>9} {:>9}  lost/duplicated/out of order",
        "server", "median", "min", "max", "× floor", "by round", "load", "p50", "p99"
    );
    for s in &comparison.servers {
        let ratio = |r: Option<f64>| r.map_or_else(|| "–".to_owned(), |r| format!("{r:.2}"));
        let of_runs = |pick: fn(&RunReport) -> f64| {
            let values: Vec<f64> = s
                .rounds
                .iter()
                .filter_map(|r| r.runs.first())
                .map(pick)
                .collect();
            (!values.is_empty()).then(|| median(&values))
        };
        let generator = of_runs(|r| r.own_cpu)
            .map_or_else(|| "–".to_owned(), |cpu| format!("{:.0} %", cpu * 100.0));
        let ms = |us: Option<f64>| us.map_or_else(|| "–".to_owned(), time);
        let _ = writeln!(
            out,
            "  {:<12} {:>8.3} {:>8.3} {:>8.3}  {:>7} {:>8}  {:>7} {:>9} {:>9}  {}/{}/{}",
            s.server,
            s.median,
            s.min,
            s.max,
            ratio(s.to_floor),
            ratio(s.to_floor_by_round),
            generator,
            ms(of_runs(|r| r.latency_us.p50)),
            ms(of_runs(|r| r.latency_us.p99)),
            s.lost,
            s.duplicated,
            s.out_of_order
        );
    }
    let _ = writeln!(out, "  ({unit}; load: use of the generator's core)");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }
}
