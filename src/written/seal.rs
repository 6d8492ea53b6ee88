//! Recognises files that runner wrote by a seal at their end: the hash of all bytes before it. In an edited
//! file the seal no longer matches, so the file counts as the user's.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::listed::is_listed;

/// The beginning and the end of a seal in a text.
const BEGIN: &str = "<!-- written by runner, seal ";
const END: &str = " -->\n";
/// Digits of a hash.
const DIGITS: usize = 64;
/// The last chunk of a PNG file: a length of 0, its type, its checksum.
const LAST: [u8; 12] = [0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82];
/// The beginning of the text of a PNG file's seal: a keyword from the specification, and a zero.
const SOFTWARE: &[u8] = b"Software\0runner, seal ";
/// Length, type and checksum of a chunk.
const CHUNK: usize = 12;

/// A format of files for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A page.
    Html,
    /// A picture of lines.
    Svg,
    /// A picture of pixels.
    Png,
    /// A table. It has no room for a seal: its hash stands in a file beside it.
    Csv,
}

impl Format {
    /// `content` with its seal.
    pub(super) fn sealed(self, content: &[u8]) -> Vec<u8> {
        match self {
            Self::Html | Self::Svg => [content, comment(&digits(content)).as_bytes()].concat(),
            Self::Png => match content.strip_suffix(&LAST) {
                Some(body) => [body, &chunk(&digits(body)), &LAST].concat(),
                // Not a PNG file: it is written without a seal, and not recognised later.
                None => content.to_vec(),
            },
            Self::Csv => content.to_vec(),
        }
    }

    /// Whether `file` at `path` is as runner wrote it.
    pub(super) fn is_ours(self, file: &mut File, path: &Path) -> io::Result<bool> {
        let seal = match self {
            Self::Html | Self::Svg => BEGIN.len() + DIGITS + END.len(),
            Self::Png => CHUNK + SOFTWARE.len() + DIGITS + LAST.len(),
            Self::Csv => return is_listed(file, path),
        };
        let length = file.metadata()?.len();
        let Some(body) = length.checked_sub(seal as u64) else { return Ok(false) };
        let mut found = vec![0; seal];
        file.seek(SeekFrom::Start(body))?;
        file.read_exact(&mut found)?;
        let begins_right = match self {
            Self::Png => found.ends_with(&LAST) && found[8..].starts_with(SOFTWARE),
            Self::Html | Self::Svg | Self::Csv => found.starts_with(BEGIN.as_bytes()),
        };
        if !begins_right {
            return Ok(false);
        }
        file.seek(SeekFrom::Start(0))?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(file.take(body))?;
        let digits = hasher.finalize().to_hex();
        Ok(match self {
            Self::Png => found == [chunk(&digits), LAST.to_vec()].concat(),
            Self::Html | Self::Svg | Self::Csv => found == comment(&digits).as_bytes(),
        })
    }
}

fn digits(content: &[u8]) -> String {
    blake3::hash(content).to_hex().to_string()
}

fn comment(digits: &str) -> String {
    format!("{BEGIN}{digits}{END}")
}

/// A `tEXt` chunk with the seal.
fn chunk(digits: &str) -> Vec<u8> {
    let text = [SOFTWARE, digits.as_bytes()].concat();
    let body = [b"tEXt".as_slice(), &text].concat();
    let mut sum = flate2::Crc::new();
    sum.update(&body);
    [&(text.len() as u32).to_be_bytes()[..], &body, &sum.sum().to_be_bytes()].concat()
}
