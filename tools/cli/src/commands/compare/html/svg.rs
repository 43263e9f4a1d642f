//! What the charts share: their two widths, their frame, ticks, and how wide a text will be.

use std::fmt::Write;

use super::text::escape;

/// Units are CSS pixels where a chart is shown at its own size.
pub(super) const FONT: f64 = 12.0;

/// The columns charts are drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    /// A desk or a sheet of paper.
    Wide,
    /// A phone.
    Narrow,
}

impl Column {
    pub(super) fn width(self) -> f64 {
        match self {
            Self::Wide => 760.0,
            Self::Narrow => 340.0,
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Wide => "wide",
            Self::Narrow => "narrow",
        }
    }
}

/// One chart in both widths. `draw` gives height and content for a width.
pub(super) fn both(
    id: &str,
    title: &str,
    description: &str,
    draw: impl Fn(Column) -> (f64, String),
) -> String {
    let mut out = String::new();
    for column in [Column::Wide, Column::Narrow] {
        let (height, content) = draw(column);
        let (class, width) = (column.class(), column.width());
        let _ = write!(
            out,
            "<svg class=\"{class}\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" \
             aria-labelledby=\"{id}-{class}-t {id}-{class}-d\">\n\
             <title id=\"{id}-{class}-t\">{}</title>\n<desc id=\"{id}-{class}-d\">{}</desc>\n{content}</svg>\n",
            escape(title),
            escape(description),
        );
    }
    out
}

/// A line between two points.
pub(super) fn line(class: &str, x1: f64, y1: f64, x2: f64, y2: f64) -> String {
    format!(
        "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>\n"
    )
}

/// A rectangle; thinner than a hair it would vanish.
pub(super) fn rect(class: &str, x: f64, y: f64, width: f64, height: f64) -> String {
    let width = width.max(0.5);
    format!(
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>\n"
    )
}

/// Text on the baseline `y`; `anchor` is `start`, `middle` or `end`.
pub(super) fn text(class: &str, anchor: &str, x: f64, y: f64, content: &str) -> String {
    format!(
        "<text class=\"{class}\" text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>\n",
        escape(content)
    )
}

/// No narrower than `content` will be in any usual sans-serif face.
pub(super) fn text_width(content: &str) -> f64 {
    content.chars().count() as f64 * FONT * 0.66
}

/// Round values from `low` to `high`, at most about `count`.
pub(super) fn ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let span = high - low;
    if !(span > 0.0 && span.is_finite()) {
        return vec![low];
    }
    let rough = span / count.max(1) as f64;
    let power = libm::pow(10.0, libm::floor(libm::log10(rough)));
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= rough);
    let step = step.unwrap_or(10.0 * power);
    let first = libm::ceil(low / step - 1e-9) as i64;
    let last = libm::floor(high / step + 1e-9) as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

/// Decimals that tell `ticks` apart.
pub(super) fn tick_digits(ticks: &[f64]) -> usize {
    let step = ticks.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
    (0..6)
        .find(|&digits| {
            let scaled = step * libm::pow(10.0, digits as f64);
            !step.is_finite() || (scaled - libm::round(scaled)).abs() < 1e-6
        })
        .unwrap_or(6)
}
