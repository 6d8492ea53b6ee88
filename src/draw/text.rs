//! The width of text in DejaVu Sans, and breaking text into lines. PNG files have this font; SVG files prefer
//! it, and the fonts that stand in for it are narrower or nearly as wide.

/// Advances of the ASCII characters from the space on, of 2048 parts of the size.
#[rustfmt::skip]
const ADVANCES: [u16; 95] = [
    651, 821, 942, 1716, 1303, 1946, 1597, 563, 799, 799, 1024, 1716, 651, 739, 651, 690, 1303, 1303, 1303, 1303,
    1303, 1303, 1303, 1303, 1303, 1303, 690, 690, 1716, 1716, 1716, 1087, 2048, 1401, 1405, 1430, 1577, 1294, 1178,
    1587, 1540, 604, 604, 1343, 1141, 1767, 1532, 1612, 1235, 1612, 1423, 1300, 1251, 1499, 1401, 2025, 1403, 1251,
    1403, 799, 690, 799, 1716, 1024, 1024, 1255, 1300, 1126, 1300, 1260, 721, 1300, 1298, 569, 569, 1186, 569, 1995,
    1298, 1253, 1300, 1300, 842, 1067, 803, 1298, 1212, 1675, 1212, 1212, 1075, 1303, 690, 1303, 1716,
];

/// The width of `text` in pixels. A character beyond ASCII counts as wide as the size, which few exceed.
pub(super) fn width(text: &str, size: u32) -> f64 {
    text.chars().map(|c| advance(c, size)).sum()
}

fn advance(c: char, size: u32) -> f64 {
    let place = (c as usize).checked_sub(32);
    let parts = place.and_then(|at| ADVANCES.get(at)).copied().unwrap_or(2048);
    f64::from(parts) / 2048.0 * f64::from(size)
}

/// The width of the widest of `texts`.
pub(super) fn widest<'a>(texts: impl IntoIterator<Item = &'a str>, size: u32) -> f64 {
    texts.into_iter().map(|text| width(text, size)).fold(0.0, f64::max)
}

/// `text` in lines that are at most `room` pixels wide. Lines end at spaces and after punctuation; a longer
/// word is broken anywhere. Nothing is left out but spaces at the ends of lines. An empty text has no line.
pub(super) fn wrap(text: &str, size: u32, room: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in words(text) {
        if width(&line, size) + width(word.trim_end(), size) > room && !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        if width(word.trim_end(), size) <= room {
            line.push_str(word);
            continue;
        }
        for c in word.chars() {
            if width(&line, size) + advance(c, size) > room && !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            line.push(c);
        }
    }
    lines.push(line);
    lines.iter().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// The pieces of a text between which a line may end. Together they are the text.
fn words(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut characters = text.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        let ends = c.is_whitespace() || matches!(c, '-' | '_' | '/' | ',' | '=' | ':' | ';' | '+');
        // A sign belongs to its number, and spaces to the word before them.
        let next = characters.peek().map(|(_, next)| *next);
        let is_sign = c == '-' && (at == start || next.is_some_and(|next| next.is_ascii_digit()));
        if ends && !is_sign && next.is_some_and(|next| !next.is_whitespace()) {
            let end = at + c.len_utf8();
            found.push(&text[start..end]);
            start = end;
        }
    }
    found.push(&text[start..]);
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_width_is_the_sum_of_advances() {
        // Ten digits are 10 * 1303 / 2048 of the size wide.
        assert!((width("0123456789", 12) - 76.348).abs() < 1e-3);
    }

    #[test]
    fn lines_end_at_spaces_and_after_punctuation_and_long_words_break() {
        assert_eq!(wrap("short", 12, 100.0), ["short"]);
        assert_eq!(wrap("slimming, inherit", 12, 70.0), ["slimming,", "inherit"]);
        assert_eq!(wrap("retrain-with-a-name", 12, 80.0), ["retrain-with-", "a-name"]);
        assert_eq!(wrap("lr=1e-3", 12, 30.0), ["lr=", "1e-3"]);
        assert_eq!(wrap("", 12, 30.0), Vec::<String>::new());
        assert_eq!(wrap("ab", 12, 0.0), ["a", "b"], "a line has at least one character");
    }

    proptest! {
        #[test]
        fn wrapping_loses_nothing_and_lines_fit(text in "\\PC{0,60}", room in 20.0f64..200.0) {
            let lines = wrap(&text, 11, room);
            let bare = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(bare(&lines.concat()), bare(&text));
            prop_assert!(lines.iter().all(|line| width(line, 11) <= room + 1e-9), "{lines:?}");
        }
    }
}
