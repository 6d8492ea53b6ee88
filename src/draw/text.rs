//! How wide words are, in DejaVu Sans: the font of PNG files and the first choice of SVG files. Others are narrower or nearly
//! as wide.

/// Advances of the ASCII characters from the space on, of 2048 parts of the size.
#[rustfmt::skip]
const ADVANCES: [u16; 95] = [
    651, 821, 942, 1716, 1303, 1946, 1597, 563, 799, 799, 1024, 1716, 651, 739, 651, 690, 1303, 1303, 1303, 1303,
    1303, 1303, 1303, 1303, 1303, 1303, 690, 690, 1716, 1716, 1716, 1087, 2048, 1401, 1405, 1430, 1577, 1294, 1178,
    1587, 1540, 604, 604, 1343, 1141, 1767, 1532, 1612, 1235, 1612, 1423, 1300, 1251, 1499, 1401, 2025, 1403, 1251,
    1403, 799, 690, 799, 1716, 1024, 1024, 1255, 1300, 1126, 1300, 1260, 721, 1300, 1298, 569, 569, 1186, 569, 1995,
    1298, 1253, 1300, 1300, 842, 1067, 803, 1298, 1212, 1675, 1212, 1212, 1075, 1303, 690, 1303, 1716,
];

/// The width of `text` in pixels. Characters beyond ASCII count as wide as they are high.
pub fn width(text: &str, size: u32) -> f64 {
    let advance = |c: char| {
        let place = (c as usize).checked_sub(32);
        place.and_then(|at| ADVANCES.get(at)).copied().unwrap_or(2048)
    };
    text.chars().map(|c| f64::from(advance(c))).sum::<f64>() / 2048.0 * f64::from(size)
}

/// `text`, or so much of its beginning and end as fits into `room` pixels, with dots between: beginnings and ends of
/// names differ more often than middles.
pub fn fit(text: &str, size: u32, room: f64) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let all: Vec<char> = text.chars().collect();
    let cut = |kept: usize| -> String {
        let (front, back) = (kept.div_ceil(2), kept / 2);
        all[..front].iter().chain(&['…']).chain(&all[all.len() - back..]).collect()
    };
    (0..all.len()).rev().map(cut).find(|text| width(text, size) <= room).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_words_lose_their_middle() {
        // Ten digits are 10 * 1303 / 2048 of the size wide.
        assert!((width("0123456789", 12) - 76.348).abs() < 1e-3);
        assert_eq!(fit("short", 12, 100.0), "short");
        let cut = fit("search-gates flops_ratio=0.3 seed=1", 12, 120.0);
        assert!(width(&cut, 12) <= 120.0 && cut.starts_with("search") && cut.ends_with("seed=1"), "{cut}");
        assert_eq!(fit("anything", 12, 0.0), "");
    }
}
