//! Lines over two axes as inline SVG, drawn here so that a report needs no program to be read. Colours are the page's.

use std::fmt::Write;

/// A drawing of lines.
pub struct Plot {
    /// What it shows, for who can't see it.
    pub label: String,
    /// From left to right.
    pub x: Axis,
    /// From below to above.
    pub y: Axis,
    /// The lines, each with a style `line-1`, `line-2` and so on.
    pub lines: Vec<Vec<(f64, f64)>>,
}

/// An axis.
pub struct Axis {
    from: f64,
    to: f64,
    scale: Scale,
    ticks: Vec<(f64, String)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Scale {
    Linear,
    Log,
}

/// The drawing's size and its margins, in the units of its own coordinates.
const SIZE: (f64, f64) = (480.0, 270.0);
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 28.0;

impl Axis {
    /// An axis from one value to another with ticks at these.
    pub fn new(from: f64, to: f64, ticks: Vec<(f64, String)>) -> Axis {
        // A run of no length still has an axis.
        Axis { from, to: if to > from { to } else { from + 1.0 }, scale: Scale::Linear, ticks }
    }

    /// From zero to a little above the highest value, ticks at round values.
    pub fn linear(highest: f64, show: impl Fn(f64) -> String) -> Axis {
        let to = if highest > 0.0 { highest } else { 1.0 };
        let rough = to / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|times| times * power).find(|step| *step >= rough).unwrap_or(rough);
        let ticks: Vec<(f64, String)> =
            (0..).map(|count| f64::from(count) * step).take_while(|at| *at <= to * 1.001).map(|at| (at, show(at))).collect();
        Axis { from: 0.0, to: to * 1.05, scale: Scale::Linear, ticks }
    }

    /// From the power of ten below the lowest value to the highest one's, with ticks at powers of ten, or between them too if those are few.
    pub fn log(lowest: f64, highest: f64, show: impl Fn(f64) -> String) -> Axis {
        let (first, highest) = (lowest.max(1.0).log10().floor(), highest.max(lowest).max(1.0));
        let mut last = highest.log10().ceil();
        if last <= first {
            last = first + 1.0;
        }
        let few = last - first <= 2.0;
        let mut ticks = Vec::new();
        for power in first as i32..=last as i32 {
            for times in [1.0, 2.0, 5.0] {
                let at = times * 10f64.powi(power);
                if (few || times == 1.0) && at <= 10f64.powf(last) * 1.001 {
                    ticks.push((at, show(at)));
                }
            }
        }
        Axis { from: 10f64.powf(first), to: 10f64.powf(last), scale: Scale::Log, ticks }
    }

    /// Where a value is, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let place = match self.scale {
            Scale::Linear => (value - self.from) / (self.to - self.from),
            Scale::Log => (value.max(self.from) / self.from).log10() / (self.to / self.from).log10(),
        };
        place.clamp(0.0, 1.0)
    }
}

impl Plot {
    /// The drawing as an SVG element.
    pub fn svg(&self) -> String {
        let (width, height) = SIZE;
        let x = |value| LEFT + self.x.place(value) * (width - LEFT - RIGHT);
        let y = |value| height - BOTTOM - self.y.place(value) * (height - TOP - BOTTOM);
        let mut out = format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">\n", escape(&self.label));
        for (at, text) in &self.y.ticks {
            let at = y(*at);
            let _ = writeln!(out, "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{:.1}\"/>", width - RIGHT);
            let _ = writeln!(out, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>", LEFT - 6.0, at + 4.0, escape(text));
        }
        for (at, text) in &self.x.ticks {
            let at = x(*at);
            let _ = writeln!(out, "<path class=\"grid\" d=\"M{at:.1} {TOP}V{:.1}\"/>", height - BOTTOM);
            let _ = writeln!(out, "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>", height - 9.0, escape(text));
        }
        for (number, line) in (1..).zip(&self.lines) {
            let mut path = String::new();
            for (index, (at, value)) in line.iter().enumerate() {
                let _ = write!(path, "{}{:.1} {:.1}", if index == 0 { 'M' } else { 'L' }, x(*at), y(*value));
            }
            match line.as_slice() {
                [] => {}
                // A line of one point is a dot.
                [(at, value)] => {
                    let _ = writeln!(out, "<circle class=\"dot-{number}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"/>", x(*at), y(*value));
                }
                _ => {
                    let _ = writeln!(out, "<path class=\"line line-{number}\" d=\"{path}\"/>");
                }
            }
        }
        out.push_str("</svg>\n");
        out
    }
}

/// Text that can stand anywhere in a page, in attributes too.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(axis: &Axis) -> Vec<f64> {
        axis.ticks.iter().map(|(at, _)| *at).collect()
    }

    #[test]
    fn ticks_are_round() {
        let show = |value: f64| format!("{value}");
        assert_eq!(values(&Axis::linear(940.0, show)), [0.0, 200.0, 400.0, 600.0, 800.0]);
        assert_eq!(values(&Axis::linear(0.0, show)), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(values(&Axis::log(150.0, 900.0, show)), [100.0, 200.0, 500.0, 1000.0]);
        assert_eq!(values(&Axis::log(150.0, 2e6, show)), [1e2, 1e3, 1e4, 1e5, 1e6, 1e7]);
        assert_eq!(values(&Axis::log(1000.0, 1000.0, show)), [1e3, 2e3, 5e3, 1e4]);
    }

    #[test]
    fn values_are_where_they_belong() {
        let axis = Axis::log(100.0, 9_000.0, |_| String::new());
        assert_eq!([1.0, 100.0, 1e3, 1e4, 1e9].map(|value| axis.place(value)), [0.0, 0.0, 0.5, 1.0, 1.0]);
        let axis = Axis::new(10.0, 10.0, Vec::new());
        assert_eq!([10.0, 10.5, 99.0].map(|value| axis.place(value)), [0.0, 0.5, 1.0]);
    }

    #[test]
    fn lines_stay_within_the_drawing() {
        let axis = || Axis::new(0.0, 1.0, vec![(0.5, "<half>".into())]);
        let lines = vec![vec![(0.0, 0.0), (1.0, 7.0)], vec![(0.5, 0.5)], Vec::new()];
        let svg = Plot { label: "\"a\"".into(), x: axis(), y: axis(), lines }.svg();
        assert!(svg.contains("<path class=\"line line-1\" d=\"M62.0 242.0L466.0 10.0\"/>"), "{svg}");
        assert!(svg.contains("class=\"dot-2\"") && !svg.contains("-3\""), "{svg}");
        assert!(svg.contains("aria-label=\"&quot;a&quot;\"") && svg.contains("&lt;half&gt;"), "{svg}");
    }
}
