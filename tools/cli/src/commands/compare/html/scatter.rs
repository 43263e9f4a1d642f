//! Size against the loss of perplexity.

use super::super::Report;
use super::super::report::Row;
use super::svg::{self, Column, FONT};
use super::text::{bytes, decimal, escape, is_chosen, signed, worst_loss};

/// A scheme in the plane.
struct Point<'a> {
    row: &'a Row,
    megabytes: f64,
    loss: f64,
    name: String,
    /// Whether the vendor's runtime takes the scheme, or one of those that share the point.
    vendor: bool,
}

pub(super) fn section(report: &Report) -> Option<String> {
    let points = points(report);
    if points.len() < 2 {
        return None;
    }
    let described: Vec<String> = points
        .iter()
        .map(|point| {
            let size = point.row.size.map_or(0, |size| size.bytes);
            format!("{} {}, {} %", point.name, bytes(size), signed(point.loss, 2))
        })
        .collect();
    let chart = svg::both(
        "scatter",
        "Size of the weights against the loss of perplexity",
        &described.join("; "),
        |column| draw(report, &points, column),
    );
    let scale = if Scale::of(report, &points).bent {
        " Above the limit the scale is compressed."
    } else {
        ""
    };
    Some(format!(
        "<figure>\n{chart}<figcaption>Further left is smaller, further down is closer to the float model; the \
         loss is that of the worst text. Filled: the {} vendor runtime takes the scheme. Hollow: it runs on the \
         CPU cores only.{scale}</figcaption>\n</figure>\n",
        escape(report.target.facts().name)
    ))
}

/// Schemes that are the same numbers share a point.
fn points(report: &Report) -> Vec<Point<'_>> {
    let mut points: Vec<Point<'_>> = Vec::new();
    for row in &report.rows {
        let (Some(size), Some(loss)) = (row.size, worst_loss(row)) else { continue };
        if let Some(same) = row.same_as
            && let Some(point) = points.iter_mut().find(|point| point.row.dtype == same)
        {
            point.name += &format!(", {}", row.dtype);
            point.vendor |= row.vendor_runtime;
            continue;
        }
        let megabytes = size.bytes as f64 / 1e6;
        points.push(Point {
            row,
            megabytes,
            loss,
            name: row.dtype.to_string(),
            vendor: row.vendor_runtime,
        });
    }
    points
}

/// The loss axis: linear, or bent above the limit where single schemes lose many times as much.
struct Scale {
    low: f64,
    high: f64,
    unit: f64,
    bent: bool,
}

impl Scale {
    fn of(report: &Report, points: &[Point<'_>]) -> Self {
        let losses = || points.iter().map(|point| point.loss);
        let (low, high) = (losses().fold(0.0, f64::min), losses().fold(0.0, f64::max));
        let limit = report.max_loss_percent;
        let bent = limit > 0.0 && high > 8.0 * limit;
        // The limit is part of the picture unless all is far below it.
        let high = if limit <= high * 2.5 { high.max(limit) } else { high }.max(0.01);
        let margin = (high - low) * 0.08;
        Self { low: low - margin, high: high + margin, unit: limit.max(1e-6), bent }
    }

    fn bend(&self, loss: f64) -> f64 {
        if self.bent { libm::asinh(loss / self.unit) } else { loss }
    }

    /// From 0 at the lowest to 1.
    fn part(&self, loss: f64) -> f64 {
        let (low, high) = (self.bend(self.low), self.bend(self.high));
        (self.bend(loss) - low) / (high - low)
    }

    fn ticks(&self) -> Vec<f64> {
        if !self.bent {
            return svg::ticks(self.low, self.high, 5);
        }
        let powers =
            (-3..7).flat_map(|power| [1.0, 3.0].map(|m| m * libm::pow(10.0, power as f64)));
        let mut kept = vec![0.0];
        for tick in powers.filter(|tick| *tick >= self.unit * 0.5 && *tick <= self.high) {
            if self.part(tick) - self.part(kept[kept.len() - 1]) > 0.09 {
                kept.push(tick);
            }
        }
        kept
    }
}

/// A rectangle that is taken.
#[derive(Clone, Copy)]
struct Area {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

impl Area {
    fn meets(&self, other: &Self) -> bool {
        self.x < other.x + other.width
            && other.x < self.x + self.width
            && self.y < other.y + other.height
            && other.y < self.y + self.height
    }

    fn within(&self, outer: &Self) -> bool {
        self.x >= outer.x
            && self.y >= outer.y
            && self.x + self.width <= outer.x + outer.width
            && self.y + self.height <= outer.y + outer.height
    }
}

fn draw(report: &Report, points: &[Point<'_>], column: Column) -> (f64, String) {
    let (width, height) = match column {
        Column::Wide => (column.width(), 380.0),
        Column::Narrow => (column.width(), 340.0),
    };
    let (left, right, above, below) = (52.0, 12.0, 24.0, 40.0);
    let plot =
        Area { x: left, y: above, width: width - left - right, height: height - above - below };
    let sizes = || points.iter().map(|point| point.megabytes);
    let (least, most) = (sizes().fold(f64::INFINITY, f64::min), sizes().fold(0.0, f64::max));
    let margin = ((most - least) * 0.08).max(most * 0.02);
    let (least, most) = (least - margin, most + margin);
    let scale = Scale::of(report, points);
    let x = |megabytes: f64| plot.x + (megabytes - least) / (most - least) * plot.width;
    let y = |loss: f64| plot.y + (1.0 - scale.part(loss)) * plot.height;

    let mut out = axes(&plot, &scale, (least, most), column, &x, &y);
    let mut taken: Vec<Area> = Vec::new();
    let limit = report.max_loss_percent;
    if limit > scale.low && limit < scale.high {
        let label = format!("limit {} %", decimal(limit, if limit < 0.1 { 2 } else { 1 }));
        let at = y(limit);
        out += &svg::line("limit", plot.x, at, plot.x + plot.width, at);
        out += &svg::text("limit-label", "end", plot.x + plot.width, at - 5.0, &label);
        let wide = svg::text_width(&label);
        taken.push(Area {
            x: plot.x + plot.width - wide,
            y: at - 5.0 - FONT,
            width: wide,
            height: FONT + 7.0,
        });
    }
    taken.extend(points.iter().map(|point| {
        let (x, y) = (x(point.megabytes), y(point.loss));
        Area { x: x - 6.0, y: y - 6.0, width: 12.0, height: 12.0 }
    }));
    // Beside the ticks, below the axis's name.
    let bounds =
        Area { y: plot.y - 6.0, width: width - plot.x - 2.0, height: plot.height + 4.0, ..plot };
    let (mut marks, mut top) = (String::new(), String::new());
    for point in in_order_of_crowding(points) {
        let at = (x(point.megabytes), y(point.loss));
        let chosen = is_chosen(report, point.row);
        out += &label(point, at, chosen, &bounds, &mut taken);
        let class = match (chosen, point.vendor) {
            (true, true) => "dot chosen",
            (true, false) => "dot chosen hollow",
            (false, true) => "dot",
            (false, false) => "dot hollow",
        };
        let mark = format!(
            "<circle class=\"{class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"{}\"/>\n",
            at.0,
            at.1,
            if chosen { "5.5" } else { "4.5" }
        );
        // The recommended one lies on top.
        if chosen { top += &mark } else { marks += &mark }
    }
    (height, out + &marks + &top)
}

fn axes(
    plot: &Area,
    scale: &Scale,
    (least, most): (f64, f64),
    column: Column,
    x: &dyn Fn(f64) -> f64,
    y: &dyn Fn(f64) -> f64,
) -> String {
    let mut out = svg::text("axis", "start", 0.0, 12.0, "perplexity lost, %");
    let ticks = scale.ticks();
    let digits = svg::tick_digits(&ticks);
    for &tick in &ticks {
        let at = y(tick);
        let class = if tick == 0.0 { "zero" } else { "grid" };
        out += &svg::line(class, plot.x, at, plot.x + plot.width, at);
        let label = if scale.bent {
            let digits = if tick != 0.0 && tick < 1.0 { 1 } else { 0 };
            decimal(tick, digits)
        } else {
            decimal(tick, digits)
        };
        out += &svg::text("tick", "end", plot.x - 8.0, at + 4.0, &label);
    }
    let ticks = svg::ticks(least, most, if column == Column::Wide { 7 } else { 4 });
    let digits = svg::tick_digits(&ticks);
    let base = plot.y + plot.height;
    for &tick in &ticks {
        let at = x(tick);
        out += &svg::line("grid", at, base, at, base + 4.0);
        out += &svg::text("tick", "middle", at, base + 18.0, &decimal(tick, digits));
    }
    out + &svg::text("axis", "end", plot.x + plot.width, base + 35.0, "MB of weights")
}

/// Labels of crowded points first: they have the fewest places to go.
fn in_order_of_crowding<'a, 'b>(points: &'a [Point<'b>]) -> Vec<&'a Point<'b>> {
    let spread = points.iter().map(|p| p.megabytes).fold(0.0, f64::max).max(1e-9);
    let near = |point: &Point<'_>| {
        let close = |other: &&Point<'_>| (other.megabytes - point.megabytes).abs() < spread * 0.06;
        points.iter().filter(close).count()
    };
    let mut order: Vec<&Point<'_>> = points.iter().collect();
    order.sort_by_key(|point| std::cmp::Reverse(near(point)));
    order
}

/// A name as near to its point as there is room, with a line to it where that is not beside it.
fn label(
    point: &Point<'_>,
    (x, y): (f64, f64),
    chosen: bool,
    bounds: &Area,
    taken: &mut Vec<Area>,
) -> String {
    let name = &point.name;
    let width = svg::text_width(name) * if chosen { 1.1 } else { 1.0 };
    let height = FONT + 3.0;
    let place = |dx: f64, dy: f64| {
        let left = if dx < 0.0 { x + dx - width } else { x + dx };
        Area { x: left, y: y + dy - height / 2.0, width, height }
    };
    // Beside the point, then ever further above and below.
    let near = [(9.0, 0.0), (-9.0, 0.0)].into_iter();
    let far = (1..60).flat_map(|step| {
        let dy = f64::from(step) * 5.0;
        [(14.0, -dy), (-14.0, -dy), (14.0, dy), (-14.0, dy), (48.0, -dy), (-48.0, -dy)]
    });
    let free = near.chain(far).find(|&(dx, dy)| {
        let area = place(dx, dy);
        area.within(bounds) && taken.iter().all(|other| !area.meets(other))
    });
    // With no room at all the name is left out; the table has it.
    let Some((dx, dy)) = free else { return String::new() };
    let area = place(dx, dy);
    taken.push(area);
    let mut out = String::new();
    if dy != 0.0 {
        let end = if dx < 0.0 { area.x + area.width + 2.0 } else { area.x - 2.0 };
        out += &svg::line("leader", x, y, end, y + dy);
    }
    let class = if chosen { "label chosen" } else { "label" };
    let (anchor, at) = if dx < 0.0 { ("end", area.x + area.width) } else { ("start", area.x) };
    out + &svg::text(class, anchor, at, y + dy + 4.0, name)
}
