//! Line plots as SVG.

use std::fmt::Write as _;

use super::units::count;

const COLOURS: [&str; 6] = [
    "#2b7de9", "#e0662b", "#2f9e5b", "#a24bd0", "#c79a12", "#d33a5c",
];

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Axis {
    Linear,
    Log,
    /// Logarithmic in 1 / (1 - quantile).
    Percentile,
}

/// A line plot as SVG.
pub(super) fn plot(
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
    let fraction = |axis: Axis, v: f64, low: f64, high: f64| {
        let v = if axis == Axis::Linear {
            v
        } else {
            v.max(1e-3).log10()
        };
        (v - low) / (high - low)
    };
    let px = |v: f64| LEFT + fraction(x_axis, v, x0, x1) * (W - LEFT - RIGHT);
    let py = |v: f64| H - BOTTOM - fraction(y_axis, v, y0, y1) * (H - TOP - BOTTOM);
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

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
