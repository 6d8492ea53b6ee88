//! Colours, marks and sizes. Series differ by colour, mark and line, so that they are told apart in grey and by people
//! who see colours otherwise; the colours are those of Okabe and Ito (2008), darkened where they would be pale on white.
//!
//! Every colour has a twin for dark pages, which [`dark_rules`] puts in its place.

use std::fmt::Write;

use kuva::plot::LineStyle;
use kuva::prelude::MarkerShape;

/// A colour on white, and the one that stands for it on a dark page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ink {
    /// On white.
    pub light: &'static str,
    /// On a dark page.
    pub dark: &'static str,
}

const fn ink(light: &'static str, dark: &'static str) -> Ink {
    Ink { light, dark }
}

/// Words.
pub const TEXT: Ink = ink("#1f2328", "#e6e9ee");
/// Words of less weight.
pub const FAINT: Ink = ink("#57606b", "#a6aeb9");
/// Axes and ticks.
pub const AXIS: Ink = ink("#4b525a", "#9aa2ad");
/// The grid.
pub const GRID: Ink = ink("#e4e7ea", "#343b45");
/// What lies behind a front.
pub const BAND: Ink = ink("#d7dce2", "#454d59");
/// The bars of a histogram, on which lines of series can be seen.
pub const BARS: Ink = ink("#5a8db8", "#41719b");
/// A stage in the cache: its box and its frame.
pub const CACHED: [Ink; 2] = [ink("#dceefa", "#17364d"), ink("#0b6aa8", "#63b3e8")];
/// A stage that would run: its box and its frame.
pub const STALE: [Ink; 2] = [ink("#fdeecf", "#45340f"), ink("#a86f00", "#e2b04a")];
/// Words on a pale and on a strong cell of a matrix.
pub const CELL_TEXT: [Ink; 2] = [ink("#05080c", "#f4f9fe"), ink("#fefefe", "#02060b")];
/// A cell without a value.
pub const NO_CELL: Ink = ink("#f1f2f4", "#262c35");

/// Colours of series.
pub const SERIES: [Ink; 8] = [
    ink("#0072b2", "#58b0ea"),
    ink("#d55e00", "#ff8f45"),
    ink("#008f68", "#35cfa2"),
    ink("#b8518c", "#eb9ccb"),
    ink("#a97400", "#f2bd45"),
    ink("#3a8fc4", "#9ad3f7"),
    ink("#6b6f76", "#aeb4bd"),
    ink("#2b2b2b", "#f3f3f3"),
];

/// The colour of a series.
pub fn series(at: usize) -> &'static str {
    SERIES[at % SERIES.len()].light
}

/// The mark of a series.
pub fn mark(at: usize) -> MarkerShape {
    const MARKS: [MarkerShape; 7] = [
        MarkerShape::Circle,
        MarkerShape::Square,
        MarkerShape::Triangle,
        MarkerShape::Diamond,
        MarkerShape::TriangleDown,
        MarkerShape::Star,
        MarkerShape::Pentagon,
    ];
    MARKS[at % MARKS.len()]
}

/// The line of a series.
pub fn line(at: usize) -> LineStyle {
    let dashes = ["", "6 3", "2 2", "8 3 2 3", "10 4"];
    match dashes[at % dashes.len()] {
        "" => LineStyle::Solid,
        dash => LineStyle::Custom(dash.to_owned()),
    }
}

/// Steps of a scale of shades.
pub const STEPS: usize = 20;

/// From which step on a cell is strong, so that words on it must be pale.
const STRONG: usize = 11;

/// How values become shades.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// From 0, pale, to 1, strong.
    Sequential,
    /// From -1, strong orange, over 0, pale, to 1, strong blue.
    Diverging,
}

type Rgb = [f64; 3];

/// The ends of the pale half of a scale, then those of the strong half, each on white and on dark. Between the halves
/// colours leap a little, so that words on every shade stand out.
type Ramp = [[Rgb; 4]; 2];

const BLUE: Ramp = [
    [[243.0, 246.0, 250.0], [82.0, 140.0, 196.0], [52.0, 114.0, 174.0], [8.0, 54.0, 110.0]],
    [[30.0, 38.0, 49.0], [36.0, 104.0, 160.0], [62.0, 132.0, 190.0], [178.0, 222.0, 255.0]],
];
const ORANGE: Ramp = [
    [[243.0, 246.0, 250.0], [214.0, 126.0, 58.0], [178.0, 86.0, 20.0], [110.0, 42.0, 0.0]],
    [[30.0, 38.0, 49.0], [158.0, 86.0, 26.0], [196.0, 118.0, 52.0], [255.0, 208.0, 160.0]],
];

fn shade(step: usize, ramp: Ramp, dark: bool) -> String {
    let [pale, before, after, strong] = ramp[usize::from(dark)];
    let (from, to, share) = if step < STRONG {
        (pale, before, step as f64 / (STRONG - 1) as f64)
    } else {
        (after, strong, (step - STRONG) as f64 / (STEPS - STRONG) as f64)
    };
    let part = |at: usize| (from[at] + (to[at] - from[at]) * share).round() as u8;
    format!("#{:02x}{:02x}{:02x}", part(0), part(1), part(2))
}

impl Scale {
    fn step(self, value: f64) -> (usize, Ramp) {
        let strong = if self == Self::Diverging && value < 0.0 { ORANGE } else { BLUE };
        ((value.abs().clamp(0.0, 1.0) * STEPS as f64).round() as usize, strong)
    }

    /// The colour of a value.
    pub fn colour(self, value: f64) -> String {
        let (step, strong) = self.step(value);
        shade(step, strong, false)
    }

    /// The colour of words on it.
    pub fn text(self, value: f64) -> &'static str {
        CELL_TEXT[usize::from(self.step(value).0 >= STRONG)].light
    }
}

/// The rules of a style sheet that exchange every colour of figures inside `selector` for its twin.
pub fn dark_rules(selector: &str) -> String {
    let fixed = [TEXT, FAINT, AXIS, GRID, BAND, BARS, NO_CELL].into_iter();
    let fixed = fixed.chain(CACHED).chain(STALE).chain(CELL_TEXT).chain(SERIES);
    let mut pairs: Vec<(String, String)> =
        fixed.map(|ink| (ink.light.to_owned(), ink.dark.to_owned())).collect();
    for strong in [BLUE, ORANGE] {
        pairs.extend((0..=STEPS).map(|step| (shade(step, strong, false), shade(step, strong, true))));
    }
    pairs.sort();
    pairs.dedup();
    let mut rules = String::new();
    for (light, dark) in pairs {
        let _ = writeln!(rules, "{selector}[fill=\"{light}\"],{selector} [fill=\"{light}\"]{{fill:{dark}}}");
        let _ = writeln!(rules, "{selector} [stroke=\"{light}\"]{{stroke:{dark}}}");
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rgb(colour: &str) -> Rgb {
        let part = |at: usize| f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap());
        [part(1), part(3), part(5)]
    }

    /// The contrast of WCAG 2.
    fn contrast(a: &str, b: &str) -> f64 {
        let luminance = |colour: &str| {
            let linear = rgb(colour).map(|part| {
                let part = part / 255.0;
                if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
            });
            0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        };
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// The page's dark ground.
    const GROUND: &str = "#171c24";

    #[test]
    fn every_colour_stands_out_enough_on_white_and_on_dark() {
        for ink in [TEXT, FAINT] {
            assert!(contrast(ink.light, "#ffffff") >= 4.5 && contrast(ink.dark, GROUND) >= 4.5, "{ink:?}");
        }
        for ink in SERIES.into_iter().chain([AXIS, BARS, CACHED[1], STALE[1]]) {
            assert!(contrast(ink.light, "#ffffff") >= 3.0 && contrast(ink.dark, GROUND) >= 3.0, "{ink:?}");
        }
        for [ground, _] in [CACHED, STALE] {
            assert!(contrast(TEXT.light, ground.light) >= 4.5 && contrast(TEXT.dark, ground.dark) >= 4.5);
        }
    }

    #[test]
    fn words_can_be_read_on_every_shade() {
        for strong in [BLUE, ORANGE] {
            for step in 0..=STEPS {
                let text = CELL_TEXT[usize::from(step >= STRONG)];
                let light = contrast(text.light, &shade(step, strong, false));
                let dark = contrast(text.dark, &shade(step, strong, true));
                assert!(light >= 4.5 && dark >= 4.5, "step {step} of {strong:?}: {light:.2} {dark:.2}");
            }
        }
    }
}
