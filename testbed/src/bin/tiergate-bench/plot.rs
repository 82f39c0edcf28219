//! Plots, as SVG text: bars for what is compared, lines for what grows.

use std::fmt::Write as _;

use crate::rounds::Spread;
use crate::table::figure;

/// One plot, and the name of its file.
#[derive(Debug, Clone)]
pub(crate) struct Plot {
    pub(crate) file: &'static str,
    pub(crate) title: &'static str,
    pub(crate) under: String,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// One bar each; the ones marked are ours.
    Bars(Vec<Bar>),
    /// Lines over a count that grows tenfold, or so.
    Lines { x: &'static str, lines: Vec<Line> },
}

#[derive(Debug, Clone)]
pub(crate) struct Bar {
    pub(crate) name: String,
    /// What it is made of, from the left.
    pub(crate) parts: Vec<f64>,
    pub(crate) is_ours: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<(f64, Spread)>,
}

const WIDTH: f64 = 760.0;
const TOP: f64 = 78.0;
const FONT: &str = "font-family=\"system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif\"";
const INK: &str = "#1c2733";
const FAINT: &str = "#5b6875";
const GRID: &str = "#e3e8ed";
/// Told apart without colour vision too; ours first.
const COLOURS: [&str; 4] = ["#0b62a8", "#c4590a", "#5f7f1d", "#8a3f93"];
const FLOOR: &str = "#b9c4cf";
const SECOND: [&str; 2] = ["#7fb2dc", "#dde3e8"];

impl Plot {
    /// The whole file.
    pub(crate) fn svg(&self) -> String {
        let (height, body) = match &self.kind {
            Kind::Bars(bars) => (TOP + 40.0 * bars.len() as f64 + 16.0, bars_of(bars)),
            Kind::Lines { x, lines } => (420.0, lines_of(x, lines)),
        };
        let (title, under) = (escaped(self.title), escaped(&self.under));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
             height=\"{height}\" role=\"img\" aria-label=\"{title}\" {FONT}>\n\
             <rect width=\"{WIDTH}\" height=\"{height}\" rx=\"8\" fill=\"#ffffff\"/>\n\
             <text x=\"28\" y=\"36\" font-size=\"18\" font-weight=\"600\" fill=\"{INK}\">{title}</text>\n\
             <text x=\"28\" y=\"57\" font-size=\"12.5\" fill=\"{FAINT}\">{under}</text>\n{body}</svg>\n"
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn bars_of(bars: &[Bar]) -> String {
    const LEFT: f64 = 268.0;
    const ROOM: f64 = WIDTH - LEFT - 128.0;
    let most = bars.iter().map(|bar| bar.parts.iter().sum::<f64>()).fold(f64::MIN_POSITIVE, f64::max);
    let mut svg = String::new();
    for (number, bar) in bars.iter().enumerate() {
        let y = TOP + 40.0 * number as f64;
        let (weight, first) = if bar.is_ours { (600, COLOURS[0]) } else { (400, FLOOR) };
        let rest = if bar.is_ours { SECOND[0] } else { SECOND[1] };
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"13.5\" font-weight=\"{weight}\" fill=\"{INK}\" text-anchor=\"end\">{}</text>",
            LEFT - 12.0,
            y + 19.0,
            escaped(&bar.name)
        );
        let mut x = LEFT;
        for (part, value) in bar.parts.iter().enumerate() {
            let (length, fill) = (ROOM * value.max(0.0) / most, if part == 0 { first } else { rest });
            let _ =
                writeln!(svg, "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"28\" fill=\"{fill}\"/>");
            x += length;
        }
        let total = match bar.parts.as_slice() {
            [_] | [] => figure(bar.parts.iter().sum()),
            parts => parts.iter().map(|part| figure(*part)).collect::<Vec<_>>().join(" + "),
        };
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"13.5\" font-weight=\"{weight}\" fill=\"{INK}\">{total}</text>",
            x + 8.0,
            y + 19.0
        );
    }
    svg
}

/// The next round number: 1, 2, 2.5 or 5 with zeros.
fn round_up(number: f64) -> f64 {
    let power = 10f64.powf(number.log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= number).unwrap_or(number)
}

fn lines_of(x_label: &str, lines: &[Line]) -> String {
    const LEFT: f64 = 66.0;
    const RIGHT: f64 = WIDTH - 172.0;
    const BOTTOM: f64 = 366.0;
    const STEPS: u32 = 4;
    let points = || lines.iter().flat_map(|line| &line.points);
    let least = points().map(|(x, _)| x.ln()).fold(f64::INFINITY, f64::min);
    let most = points().map(|(x, _)| x.ln()).fold(f64::NEG_INFINITY, f64::max);
    let step = round_up(points().map(|(_, spread)| spread.max).fold(f64::MIN_POSITIVE, f64::max) / f64::from(STEPS));
    let top = step * f64::from(STEPS);
    let at_x = |x: f64| LEFT + 14.0 + (RIGHT - LEFT - 28.0) * (x.ln() - least) / (most - least).max(f64::MIN_POSITIVE);
    let at_y = |y: f64| BOTTOM - (BOTTOM - TOP - 8.0) * y / top;
    let mut svg = String::new();
    for number in 0..=STEPS {
        let (value, y) = (step * f64::from(number), at_y(step * f64::from(number)));
        let _ = writeln!(svg, "<line x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"{GRID}\"/>");
        let label = if number == 0 { "0".to_owned() } else { figure(value).trim_end_matches(".00").to_owned() };
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"12\" fill=\"{FAINT}\" text-anchor=\"end\">{label}</text>",
            LEFT - 9.0,
            y + 4.0
        );
    }
    let mut ticks: Vec<f64> = points().map(|(x, _)| *x).collect();
    ticks.sort_unstable_by(f64::total_cmp);
    ticks.dedup();
    for tick in ticks {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"12\" fill=\"{FAINT}\" text-anchor=\"middle\">{}</text>",
            at_x(tick),
            BOTTOM + 19.0,
            grouped(tick)
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"12.5\" fill=\"{FAINT}\" text-anchor=\"middle\">{}</text>",
        f64::midpoint(LEFT, RIGHT),
        BOTTOM + 41.0,
        escaped(x_label)
    );
    let mut labels: Vec<(f64, usize)> = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let colour = COLOURS.get(number % COLOURS.len()).copied().unwrap_or(INK);
        let path: Vec<String> =
            line.points.iter().map(|(x, spread)| format!("{:.1},{:.1}", at_x(*x), at_y(spread.median))).collect();
        for (x, spread) in &line.points {
            let (x, low, high) = (at_x(*x), at_y(spread.min), at_y(spread.max));
            let _ = writeln!(
                svg,
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{low:.1}\" y2=\"{high:.1}\" stroke=\"{colour}\" stroke-opacity=\".35\" stroke-width=\"5\" stroke-linecap=\"round\"/>"
            );
        }
        let path = path.join(" ");
        let _ = writeln!(
            svg,
            "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.2\" stroke-linejoin=\"round\"/>"
        );
        for (x, spread) in &line.points {
            let (x, y) = (at_x(*x), at_y(spread.median));
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\" stroke=\"#fff\" stroke-width=\"1.5\"/>"
            );
        }
        if let Some((_, last)) = line.points.last() {
            labels.push((at_y(last.median), number));
        }
    }
    // Names stand where their lines end, apart from each other.
    labels.sort_unstable_by(|left, right| left.0.total_cmp(&right.0));
    let mut lowest = f64::NEG_INFINITY;
    for (y, number) in labels {
        let Some(line) = lines.get(number) else { continue };
        let y = y.max(lowest + 32.0);
        lowest = y;
        let colour = COLOURS.get(number % COLOURS.len()).copied().unwrap_or(INK);
        let last = line.points.last().map_or_else(String::new, |(_, spread)| figure(spread.median));
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{:.1}\" font-size=\"13\" font-weight=\"600\" fill=\"{colour}\">{}</text>\n\
             <text x=\"{x:.1}\" y=\"{:.1}\" font-size=\"12\" fill=\"{FAINT}\">{last} µs at the right</text>",
            y - 1.0,
            escaped(line.name),
            y + 14.0,
            x = RIGHT + 10.0,
        );
    }
    svg
}

/// `10 000`
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_round_number() {
        for (number, expected) in [(0.9, 1.0), (1.1, 2.0), (2.3, 2.5), (7.0, 10.0), (26.0, 50.0)] {
            assert!((round_up(number) - expected).abs() < 1e-9, "{number}");
        }
        assert_eq!(grouped(100_000.0), "100\u{202f}000");
        assert_eq!(grouped(64.0), "64");
    }

    #[test]
    fn names_cannot_break_the_file() {
        let bars = vec![Bar { name: "a < b & c".to_owned(), parts: vec![1.0, 2.0], is_ours: true }];
        let plot = Plot { file: "x.svg", title: "\"x\"", under: String::new(), kind: Kind::Bars(bars) };
        let svg = plot.svg();
        assert!(svg.contains("a &lt; b &amp; c") && svg.contains("aria-label=\"&quot;x&quot;\""), "{svg}");
        assert!(svg.contains("1.00 + 2.00"), "{svg}");
    }
}
