//! Continuous scales of colours for the cells of matrices. The colours are those of ColorBrewer (Harrower and
//! Brewer 2003), safe for people with any of the common colour deficiencies, with straight lines between
//! them.

use super::theme::luminance;

/// How values become colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// From 0, pale, to 1, dark blue: shares.
    Sequential,
    /// From -1, red, over 0, pale, to 1, blue: correlations.
    Diverging,
}

type Rgb = [u8; 3];

/// ColorBrewer's `Blues` of nine classes.
const BLUES: [Rgb; 9] = [
    [247, 251, 255],
    [222, 235, 247],
    [198, 219, 239],
    [158, 202, 225],
    [107, 174, 214],
    [66, 146, 198],
    [33, 113, 181],
    [8, 81, 156],
    [8, 48, 107],
];

/// ColorBrewer's `RdBu` of eleven classes.
const RED_BLUE: [Rgb; 11] = [
    [103, 0, 31],
    [178, 24, 43],
    [214, 96, 77],
    [244, 165, 130],
    [253, 219, 199],
    [247, 247, 247],
    [209, 229, 240],
    [146, 197, 222],
    [67, 147, 195],
    [33, 102, 172],
    [5, 48, 97],
];

/// A cell without a value.
pub(super) const NO_VALUE: &str = "#e2e2e2";

/// Words on cells: on dark ones, on pale ones.
const WORDS: [&str; 2] = ["#ffffff", "#000000"];

impl Scale {
    /// The values at the ends.
    pub fn ends(self) -> (f64, f64) {
        match self {
            Self::Sequential => (0.0, 1.0),
            Self::Diverging => (-1.0, 1.0),
        }
    }

    /// The colour of a value; one beyond the ends has the colour of the end.
    pub fn colour(self, value: f64) -> String {
        let (low, high) = self.ends();
        let anchors: &[Rgb] = match self {
            Self::Sequential => &BLUES,
            Self::Diverging => &RED_BLUE,
        };
        let place = ((value - low) / (high - low)).clamp(0.0, 1.0) * (anchors.len() - 1) as f64;
        let before = (place.floor() as usize).min(anchors.len() - 2);
        let share = place - before as f64;
        let part = |at: usize| {
            let (from, to) = (f64::from(anchors[before][at]), f64::from(anchors[before + 1][at]));
            (from + (to - from) * share).round() as u8
        };
        format!("#{:02x}{:02x}{:02x}", part(0), part(1), part(2))
    }

    /// The colour of words on the colour of a value.
    pub fn words(self, value: f64) -> &'static str {
        // At this luminance black and white have the same contrast, 4.6.
        WORDS[usize::from(luminance(&self.colour(value)) > 0.179)]
    }
}

#[cfg(test)]
mod tests {
    use super::super::theme::contrast;
    use super::*;

    #[test]
    fn words_can_be_read_on_every_colour() {
        for (scale, low) in [(Scale::Sequential, 0.0), (Scale::Diverging, -1.0)] {
            for step in 0..=1000 {
                let value = low + (1.0 - low) * f64::from(step) / 1000.0;
                let found = contrast(scale.words(value), &scale.colour(value));
                assert!(found >= 4.5, "{value} on {scale:?}: {found:.2}");
            }
        }
        assert!(contrast("#000000", NO_VALUE) >= 4.5);
    }

    #[test]
    fn a_scale_is_continuous_and_of_shares_darkens_all_along() {
        let parts = |colour: &str| [1, 3, 5].map(|at| i32::from_str_radix(&colour[at..at + 2], 16).unwrap());
        for scale in [Scale::Sequential, Scale::Diverging] {
            let (low, high) = scale.ends();
            let at = |step: i32| scale.colour(low + (high - low) * f64::from(step) / 500.0);
            for step in 1..=500 {
                let (one, next) = (parts(&at(step - 1)), parts(&at(step)));
                assert!(one.iter().zip(next).all(|(a, b)| (a - b).abs() <= 3), "{scale:?} leaps at {step}");
                if scale == Scale::Sequential {
                    assert!(luminance(&at(step)) <= luminance(&at(step - 1)) + 1e-9);
                }
            }
        }
    }

    #[test]
    fn values_beyond_the_ends_have_the_colours_of_the_ends() {
        assert_eq!(Scale::Sequential.colour(7.0), Scale::Sequential.colour(1.0));
        assert_eq!(Scale::Diverging.colour(-7.0), "#67001f");
        assert_eq!(Scale::Diverging.colour(0.0), "#f7f7f7");
    }
}
