//! Colours and marks. Methods differ by colour and mark, so that they are told apart in grey and by people
//! with a colour deficiency; the colours are those of Okabe and Ito (2008), darkened where they would be pale
//! on white.
//!
//! Every colour has a twin for dark pages, which [`dark_rules`] puts in its place.

use std::fmt::Write;

use crate::report::figures::Role;

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
/// The bars of a histogram or of a time.
pub const BARS: Ink = ink("#5a8db8", "#41719b");
/// The class of the cells of matrices and of their colour bars.
pub(super) const MATRIX: &str = "matrix";

/// A stage in the cache: its box and its frame.
pub const CACHED: [Ink; 2] = [ink("#dceefa", "#17364d"), ink("#0b6aa8", "#63b3e8")];
/// A stage that would run: its box and its frame.
pub const STALE: [Ink; 2] = [ink("#fdeecf", "#45340f"), ink("#a86f00", "#e2b04a")];
/// Colours of methods.
const METHODS: [Ink; 7] = [
    ink("#0072b2", "#58b0ea"),
    ink("#d55e00", "#ff8f45"),
    ink("#008f68", "#35cfa2"),
    ink("#b8518c", "#eb9ccb"),
    ink("#a97400", "#f2bd45"),
    ink("#2b2b2b", "#f3f3f3"),
    ink("#3a8fc4", "#9ad3f7"),
];

/// The mark of a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Circle,
    Square,
    Triangle,
    Diamond,
    TriangleDown,
    Star,
    Pentagon,
    Plus,
    Cross,
}

/// Marks of methods. Their count and that of the colours have no common divisor, so that 56 methods differ.
const MARKS: [Mark; 8] = [
    Mark::Circle,
    Mark::Square,
    Mark::Triangle,
    Mark::Diamond,
    Mark::TriangleDown,
    Mark::Star,
    Mark::Pentagon,
    Mark::Plus,
];

/// How a method looks, in every panel of every figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style {
    /// Its colour.
    pub colour: &'static str,
    /// Its mark.
    pub mark: Mark,
}

/// The one place that says how a method looks: by its place in the study's order.
pub(super) fn style(role: Role) -> Style {
    match role {
        Role::Method(place) => {
            Style { colour: METHODS[place % METHODS.len()].light, mark: MARKS[place % MARKS.len()] }
        }
        Role::Unpruned => Style { colour: FAINT.light, mark: Mark::Cross },
        Role::Shared => Style { colour: TEXT.light, mark: Mark::Circle },
    }
}

/// The dashes of the lines of a method's points of different budgets, or of other numbers.
pub(super) const DASHES: [&str; 5] = ["", "7 3", "2 2", "9 3 2 3", "12 4"];

/// The dashes of the line of the unpruned network, and of training images.
pub(super) const DOTS: &str = "1.5 2.5";

/// The rules of a style sheet that exchange every colour of figures inside `selector` for its twin.
pub fn dark_rules(selector: &str) -> String {
    let fixed = [TEXT, FAINT, AXIS, GRID, BAND, BARS].into_iter();
    let inks = fixed.chain(CACHED).chain(STALE).chain(METHODS);
    // Matrices are turned around as they are: their colours stay in order, and words on them stay legible.
    let mut rules = format!("{selector} .{MATRIX}{{filter:invert(1) hue-rotate(180deg)}}\n");
    for Ink { light, dark } in inks {
        let _ = writeln!(rules, "{selector}[fill=\"{light}\"],{selector} [fill=\"{light}\"]{{fill:{dark}}}");
        let _ = writeln!(rules, "{selector} [stroke=\"{light}\"]{{stroke:{dark}}}");
    }
    rules
}

/// The relative luminance of a colour, by WCAG 2.
pub(super) fn luminance(colour: &str) -> f64 {
    let part = |at: usize| {
        let hex = colour.get(at..at + 2).unwrap_or_default();
        let part = f64::from(u8::from_str_radix(hex, 16).unwrap_or(0)) / 255.0;
        if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
}

/// The contrast of two colours, by WCAG 2.
#[cfg(test)]
pub(super) fn contrast(a: &str, b: &str) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page's dark ground.
    const GROUND: &str = "#171c24";

    #[test]
    fn every_colour_stands_out_enough_on_white_and_on_dark() {
        for ink in [TEXT, FAINT] {
            assert!(contrast(ink.light, "#ffffff") >= 4.5 && contrast(ink.dark, GROUND) >= 4.5, "{ink:?}");
        }
        for ink in METHODS.into_iter().chain([AXIS, BARS, CACHED[1], STALE[1]]) {
            assert!(contrast(ink.light, "#ffffff") >= 3.0 && contrast(ink.dark, GROUND) >= 3.0, "{ink:?}");
        }
        for [ground, _] in [CACHED, STALE] {
            assert!(contrast(TEXT.light, ground.light) >= 4.5 && contrast(TEXT.dark, ground.dark) >= 4.5);
        }
    }

    #[test]
    fn fifty_six_methods_look_different_and_none_like_the_unpruned_network() {
        let looks: Vec<Style> = (0..56).map(|place| style(Role::Method(place))).collect();
        for (at, one) in looks.iter().enumerate() {
            assert!(!looks[..at].contains(one), "{at}: {one:?}");
            assert_ne!(one.colour, style(Role::Unpruned).colour);
        }
    }
}
