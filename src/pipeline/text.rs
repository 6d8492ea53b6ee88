//! The text of a pipeline file, or what there is in its place.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use super::error::PipelineError;

/// The largest pipeline file. Those of this repository have less than 10 KiB.
const LARGEST: u64 = 8 << 20;
/// What to do where there is something else.
const PATH: &str = "give the path of a TOML file, such as pipelines/quickstart.toml";
/// How an encoding is left.
const SAVE: &str = "save it as UTF-8: in an editor, or with `iconv -t UTF-8`";

/// Reads the file at `path`.
///
/// # Errors
/// It is missing, no file, too large, or no text in UTF-8.
pub(super) fn read(path: &Path) -> Result<String, PipelineError> {
    let name = || path.display().to_string();
    let failed = |source| PipelineError::Read { path: name(), source };
    let unfit = |what: &str, help| PipelineError::NoText { path: name(), what: what.to_owned(), help };
    let found = fs::metadata(path).map_err(failed)?;
    if found.is_dir() {
        return Err(unfit("is a folder", PATH));
    }
    if !found.is_file() {
        let help = "save it as a file first: results are remembered by the path of the pipeline";
        return Err(unfit("is a pipe or a device", help));
    }
    let mut content = Vec::new();
    File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut content)).map_err(failed)?;
    if content.len() as u64 > LARGEST {
        return Err(unfit(&format!("is larger than {} MiB", LARGEST >> 20), PATH));
    }
    decoded(content).map_err(|(what, help)| unfit(&what, help))
}

/// The text, or what the bytes are and what to do.
fn decoded(content: Vec<u8>) -> Result<String, (String, &'static str)> {
    let wide = |what: &str| Err((format!("is {what}, not UTF-8"), SAVE));
    match content.as_slice() {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => return wide("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return wide("UTF-16"),
        _ if has_wide_letters(&content) => return wide("UTF-16"),
        _ => {}
    }
    let is_binary = content.iter().any(|byte| matches!(byte, 0..=8 | 14..=26 | 28..=31));
    match String::from_utf8(content) {
        Ok(text) if !text.contains('\0') => Ok(text),
        Err(error) if !is_binary => {
            let at = error.utf8_error().valid_up_to();
            let bytes = error.as_bytes();
            let line = bytes[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
            let what = format!(
                "is not UTF-8, but probably Latin-1 or CP1252: line {line} holds the byte 0x{:02X}",
                bytes[at]
            );
            Err((what, SAVE))
        }
        Ok(_) | Err(_) => Err(("is a binary file, and no text".to_owned(), PATH)),
    }
}

/// Whether every second byte is mostly zero, as in UTF-16 without a mark of its order.
fn has_wide_letters(content: &[u8]) -> bool {
    /// A file that is longer shows it in its beginning.
    const LOOKED_AT: usize = 4096;
    let beginning = &content[..content.len().min(LOOKED_AT) / 2 * 2];
    let zeros = |at: usize| beginning.iter().skip(at).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    let most = beginning.len() / 2 * 3 / 4;
    beginning.len() >= 4 && ((even == 0 && odd > most) || (odd == 0 && even > most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_utf_8_is_called_by_its_name() {
        let text = "name = \"x\"\n# größer\n";
        let utf16: Vec<u16> = text.encode_utf16().collect();
        let low: Vec<u8> = utf16.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let high: Vec<u8> = utf16.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        let utf32: Vec<u8> = text.chars().flat_map(|c| (c as u32).to_le_bytes()).collect();
        let latin: Vec<u8> = text.chars().map(|c| c as u8).collect();
        for (bytes, what) in [
            (low.clone(), "is UTF-16"),
            (high.clone(), "is UTF-16"),
            ([&[0xff, 0xfe], &low[..]].concat(), "is UTF-16"),
            ([&[0xfe, 0xff], &high[..]].concat(), "is UTF-16"),
            ([&[0xff, 0xfe, 0, 0], &utf32[..]].concat(), "is UTF-32"),
            (latin, "probably Latin-1 or CP1252: line 2 holds the byte 0xF6"),
            (vec![0x7f, b'E', b'L', b'F', 0, 0, 1, 0xff], "is a binary file"),
            (b"name = 1\0".to_vec(), "is a binary file"),
        ] {
            let (found, _) = decoded(bytes).unwrap_err();
            assert!(found.contains(what), "{found}");
        }
        assert_eq!(decoded(text.as_bytes().to_vec()).unwrap(), text);
        assert_eq!(decoded(Vec::new()).unwrap(), "");
    }
}
