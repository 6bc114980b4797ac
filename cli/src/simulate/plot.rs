//! The share of slots that build, over time, as SVG: a line for each order, and where the lower bound lies.

use std::fmt::Write;

use super::bound::Bound;
use super::fleet::Fleet;
use super::ledger::Ledger;
use crate::human;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 300.0;
/// Around the axes, for what is written there.
const MARGIN: f64 = 50.0;
/// Points of a line.
const POINTS: usize = 300;
const COLOURS: [&str; 3] = ["#1f6feb", "#bf5b16", "#1a7f37"];

/// The whole picture.
pub(super) fn svg(ledgers: &[Ledger], fleet: &Fleet, bound: &Bound) -> String {
    let end = ledgers.iter().map(|ledger| ledger.makespan).max().unwrap_or(0).max(bound.millis()).max(1);
    let mut svg = String::new();
    let (width, height) = (WIDTH + 2.0 * MARGIN, HEIGHT + 2.0 * MARGIN);
    let _ = writeln!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">
<rect width="{width}" height="{height}" fill="white"/>"#
    );
    axes(&mut svg, end);
    for (n, ledger) in ledgers.iter().enumerate() {
        line(&mut svg, ledger, fleet, end, n);
    }
    let (x, bottom) = (x_of(bound.millis(), end), MARGIN + HEIGHT);
    let _ = writeln!(
        svg,
        r##"<line x1="{x:.1}" y1="{MARGIN}" x2="{x:.1}" y2="{bottom}" stroke="#57606a" stroke-dasharray="4"/>
<text x="{x:.1}" y="{:.1}" text-anchor="middle" fill="#57606a">lower bound, {}</text>
</svg>"##,
        MARGIN - 8.0,
        human::duration(bound.millis()),
    );
    svg
}

fn x_of(millis: u64, end: u64) -> f64 {
    MARGIN + WIDTH * millis as f64 / end as f64
}

fn axes(svg: &mut String, end: u64) {
    for percent in [0, 25, 50, 75, 100] {
        let (y, right) = (MARGIN + HEIGHT * (1.0 - f64::from(percent) / 100.0), MARGIN + WIDTH);
        let _ = writeln!(
            svg,
            r##"<line x1="{MARGIN}" y1="{y}" x2="{right}" y2="{y}" stroke="#d0d7de"/>
<text x="{}" y="{}" text-anchor="end">{percent} %</text>"##,
            MARGIN - 6.0,
            y + 4.0,
        );
    }
    for fifth in 0..=5 {
        let millis = end * fifth / 5;
        let (x, y) = (x_of(millis, end), MARGIN + HEIGHT + 18.0);
        let _ = writeln!(svg, r#"<text x="{x:.1}" y="{y}" text-anchor="middle">{}</text>"#, human::duration(millis));
    }
}

fn line(svg: &mut String, ledger: &Ledger, fleet: &Fleet, end: u64, n: usize) {
    let points: Vec<String> = busy(ledger, end)
        .iter()
        .enumerate()
        .map(|(n, busy)| {
            let x = MARGIN + WIDTH * (n as f64 + 0.5) / POINTS as f64;
            format!("{x:.1},{:.1}", MARGIN + HEIGHT * (1.0 - busy / fleet.slots() as f64))
        })
        .collect();
    let colour = COLOURS[n % COLOURS.len()];
    let (points, y) = (points.join(" "), MARGIN + HEIGHT + 40.0);
    let _ = writeln!(
        svg,
        r#"<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>
<text x="{}" y="{y}" fill="{colour}">{}, {}</text>"#,
        MARGIN + 250.0 * n as f64,
        ledger.of,
        human::duration(ledger.makespan),
    );
}

/// Slots that build, on average, in each of so many equal parts of the time.
fn busy(ledger: &Ledger, end: u64) -> Vec<f64> {
    let part = end as f64 / POINTS as f64;
    let mut busy = vec![0.0; POINTS];
    for span in &ledger.spans {
        let (from, to) = (span.from as f64 / part, span.to as f64 / part);
        for (n, busy) in busy.iter_mut().enumerate().take(to.ceil() as usize).skip(from as usize) {
            *busy += to.min(n as f64 + 1.0) - from.max(n as f64);
        }
    }
    busy
}

#[cfg(test)]
mod tests {
    use super::super::ledger::Span;
    use super::*;

    #[test]
    fn a_slot_that_builds_half_of_the_time_counts_half() {
        let mut ledger = Ledger::new("ours");
        ledger.spans.push(Span { agent: 0, slot: 0, build: 0, from: 0, to: 450, failed: false });
        ledger.spans.push(Span { agent: 0, slot: 1, build: 0, from: 300, to: 301, failed: false });
        let busy = busy(&ledger, 900);
        assert_eq!((busy[0], busy[149], busy[150], busy[299]), (1.0, 1.0, 0.0, 0.0));
        assert!((busy[100] - 4.0 / 3.0).abs() < 1e-9, "{}", busy[100]);
    }

    #[test]
    fn the_picture_names_each_order_and_the_bound() {
        let ledger = Ledger { makespan: 90_000, ..Ledger::new("fifo") };
        let bound = Bound { longest_path_millis: 60_000, work_over_slots_millis: 0 };
        let svg = svg(&[ledger], &Fleet::parse("[[agents]]").unwrap(), &bound);
        assert!(svg.contains("fifo, 1 min 30 s") && svg.contains("lower bound, 1 min 0 s"), "{svg}");
        assert!(svg.trim_end().ends_with("</svg>"));
    }
}
