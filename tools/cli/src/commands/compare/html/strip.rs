//! Where the KL divergences of single tokens lie, scheme by scheme.

use super::super::Report;
use super::super::report::Row;
use super::svg::{self, Column, FONT};
use super::text::{is_chosen, small};

const ROW: f64 = 26.0;
const NAMES: f64 = 100.0;
/// Below this, differences are rounding of the measure itself.
const FLOOR: f64 = 1e-9;

/// The figures of one row, in order.
struct Strip<'a> {
    row: &'a Row,
    p05: f64,
    p25: f64,
    median: f64,
    p75: f64,
    p95: f64,
    p99: f64,
}

pub(super) fn section(report: &Report) -> Option<String> {
    let strips: Vec<Strip<'_>> = report
        .rows
        .iter()
        .filter_map(|row| {
            let (d, q) = (row.divergence.as_ref()?, row.kl_quantiles?);
            Some(Strip {
                row,
                p05: q.kl_p05,
                p25: q.kl_p25,
                median: d.kl_median,
                p75: q.kl_p75,
                p95: q.kl_p95,
                p99: d.kl_p99,
            })
        })
        .collect();
    // Schemes that differ nowhere from the float model have nothing to show on a logarithmic axis.
    if strips.iter().all(|strip| strip.p99 <= FLOOR) {
        return None;
    }
    let said = strips.iter().map(|strip| {
        format!(
            "{}: median {}, 95 per cent below {}, 99 below {}",
            strip.row.dtype,
            small(strip.median),
            small(strip.p95),
            small(strip.p99)
        )
    });
    let chart = svg::both(
        "strip",
        "Distribution of the KL divergence from the float model over tokens",
        &said.collect::<Vec<_>>().join("; "),
        |column| draw(report, &strips, column),
    );
    Some(format!(
        "<figure>\n{chart}<figcaption>KL divergence of the predicted distribution from the float model’s, token by \
         token, on a logarithmic axis. Every step of ten to the right is ten times further away.</figcaption>\n</figure>\n"
    ))
}

fn draw(report: &Report, strips: &[Strip<'_>], column: Column) -> (f64, String) {
    let width = column.width();
    let least = strips.iter().map(|strip| strip.p05.max(FLOOR)).fold(f64::INFINITY, f64::min);
    let most = strips.iter().map(|strip| strip.p99).fold(FLOOR, f64::max);
    let low = libm::floor(libm::log10(least));
    let high = libm::ceil(libm::log10(most)).max(low + 1.0);
    let room = width - NAMES - 20.0;
    let x = |kl: f64| {
        NAMES + ((libm::log10(kl.max(FLOOR)) - low) / (high - low)).clamp(0.0, 1.0) * room
    };
    let (key, key_height) = key(width);
    let top = key_height + 14.0;
    let bottom = top + strips.len() as f64 * ROW;
    let mut out = key;
    let decades = (high - low) as i32;
    let every = if column == Column::Narrow && decades > 5 { 2 } else { 1 };
    for decade in 0..=decades {
        let value = libm::pow(10.0, low + f64::from(decade));
        let at = x(value);
        out += &svg::line("grid", at, top - 4.0, at, bottom);
        if decade % every == 0 {
            out += &svg::text("tick", "middle", at, bottom + 16.0, &power(low as i32 + decade));
        }
    }
    for (index, strip) in strips.iter().enumerate() {
        let middle = top + (index as f64 + 0.5) * ROW - 2.0;
        let chosen = is_chosen(report, strip.row);
        let class = if chosen { "label chosen" } else { "label" };
        let name = strip.row.dtype.to_string();
        out += &svg::text(class, "end", NAMES - 10.0, middle + FONT * 0.35, &name);
        let places = [strip.p05, strip.p25, strip.median, strip.p75, strip.p95, strip.p99].map(x);
        out += &glyph(places, middle, chosen);
    }
    out += &svg::text("axis", "end", width - 2.0, bottom + 34.0, "nats");
    (bottom + 40.0, out)
}

/// Line from 5 to 95 %, box from 25 to 75 %, a tick at the median, a mark at 99 %.
fn glyph([p05, p25, median, p75, p95, p99]: [f64; 6], y: f64, chosen: bool) -> String {
    let class = |base: &str| if chosen { format!("{base} chosen") } else { base.to_owned() };
    svg::line(&class("whisker"), p05, y, p95, y)
        + &svg::rect(&class("box"), p25, y - 5.0, p75 - p25, 10.0)
        + &svg::line("median", median, y - 7.0, median, y + 7.0)
        + &format!("<circle class=\"{}\" cx=\"{p99:.1}\" cy=\"{y:.1}\" r=\"2.5\"/>\n", class("far"))
}

/// How to read a row, drawn as one.
fn key(width: f64) -> (String, f64) {
    let right = width - 20.0;
    let left = (right - 420.0).max(NAMES - 70.0);
    let x = |part: f64| left + part * (right - left);
    let places = [0.0, 0.3, 0.48, 0.66, 0.85, 1.0].map(x);
    let mut out = glyph(places, 26.0, false);
    let names = ["5 %", "25 %", "median", "75 %", "95 %", "99 %"];
    for (place, name) in places.into_iter().zip(names) {
        out += &svg::text("key", "middle", place, 12.0, name);
    }
    (out, 38.0)
}

/// A power of ten.
fn power(exponent: i32) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let sign = if exponent < 0 { "⁻" } else { "" };
    let digits = exponent.unsigned_abs().to_string();
    let raised = digits.chars().map(|c| DIGITS[c.to_digit(10).unwrap_or(0) as usize]);
    match exponent {
        0 => "1".into(),
        _ => format!("10{sign}{}", raised.collect::<String>()),
    }
}
