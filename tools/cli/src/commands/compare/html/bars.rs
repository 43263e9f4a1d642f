//! Speed, as bars.

use rkllm::eval::Samples;

use super::super::Report;
use super::super::report::Row;
use super::svg::{self, Column, FONT};
use super::text::{decimal, escape, is_chosen};

const ROW: f64 = 23.0;
const NAMES: f64 = 100.0;

/// One of the two speeds.
struct Panel {
    title: &'static str,
    of: fn(&Row) -> Option<&Samples>,
}

const PANELS: [Panel; 2] = [
    Panel {
        title: "Decode: new tokens per second",
        of: |row| row.speed.as_ref()?.samples.decode_tokens_per_s.as_ref(),
    },
    Panel {
        title: "Prefill: prompt tokens per second",
        of: |row| row.speed.as_ref()?.samples.prefill_tokens_per_s.as_ref(),
    },
];

pub(super) fn section(report: &Report) -> Option<String> {
    let rows: Vec<&Row> = report.rows.iter().filter(|row| row.error.is_none()).collect();
    let panels: Vec<&Panel> =
        PANELS.iter().filter(|panel| rows.iter().any(|row| (panel.of)(row).is_some())).collect();
    if panels.is_empty() {
        return None;
    }
    let said = |panel: &&Panel| {
        let values = rows.iter().filter_map(|row| {
            Some(format!("{} {}", row.dtype, decimal((panel.of)(row)?.median, 0)))
        });
        format!("{}: {}", panel.title, values.collect::<Vec<_>>().join(", "))
    };
    let description = panels.iter().map(said).collect::<Vec<_>>().join(". ");
    let chart = svg::both("speed", "Speed of every scheme on this CPU", &description, |column| {
        draw(report, &rows, &panels, column)
    });
    Some(format!(
        "<figure>\n{chart}<figcaption>Medians on {}, kernel {}, {} threads; the thin line spans the slowest and \
         the fastest round. These are not the board’s speeds: no NPU was measured.</figcaption>\n</figure>\n",
        escape(&report.measured_on.cpu),
        escape(&report.measured_on.kernel),
        report.measured_on.threads
    ))
}

fn draw(report: &Report, rows: &[&Row], panels: &[&Panel], column: Column) -> (f64, String) {
    let gap = 28.0;
    let beside = column == Column::Wide && panels.len() > 1;
    let width = if beside { (column.width() - gap) / 2.0 } else { column.width() };
    let height = 26.0 + rows.len() as f64 * ROW;
    let mut out = String::new();
    for (index, panel) in panels.iter().enumerate() {
        let index = index as f64;
        let (x, y) =
            if beside { (index * (width + gap), 0.0) } else { (0.0, index * (height + gap)) };
        out += &draw_panel(report, rows, panel, x, y, width);
    }
    let stacked = if beside { 1 } else { panels.len() } as f64;
    (stacked * height + (stacked - 1.0) * gap, out)
}

fn draw_panel(report: &Report, rows: &[&Row], panel: &Panel, x: f64, y: f64, width: f64) -> String {
    let most = rows.iter().filter_map(|row| Some((panel.of)(row)?.max)).fold(0.0, f64::max);
    let shown = |value: f64| decimal(value, if most < 100.0 { 1 } else { 0 });
    let room = width - NAMES - svg::text_width(&shown(most)) - 8.0;
    let along = |value: f64| x + NAMES + value / most.max(1e-9) * room;
    let mut out = svg::text("panel", "start", x, y + 12.0, panel.title);
    for (index, row) in rows.iter().enumerate() {
        let top = y + 26.0 + index as f64 * ROW;
        let middle = top + (ROW - 8.0) / 2.0 + FONT * 0.35;
        let chosen = is_chosen(report, row);
        let class = if chosen { "label chosen" } else { "label" };
        out += &svg::text(class, "end", x + NAMES - 8.0, middle, &row.dtype.to_string());
        let Some(samples) = (panel.of)(row) else {
            out += &svg::text("tick", "start", x + NAMES, middle, "not measured");
            continue;
        };
        let class = match (chosen, row.dtype.is_float()) {
            (true, _) => "bar chosen",
            (false, true) => "bar float",
            (false, false) => "bar",
        };
        out += &svg::rect(class, x + NAMES, top, along(samples.median) - x - NAMES, ROW - 8.0);
        let centre = top + (ROW - 8.0) / 2.0;
        out += &svg::line("spread", along(samples.min), centre, along(samples.max), centre);
        let class = if chosen { "value chosen" } else { "value" };
        let end = along(samples.max.max(samples.median)) + 6.0;
        out += &svg::text(class, "start", end, middle, &shown(samples.median));
    }
    out
}
