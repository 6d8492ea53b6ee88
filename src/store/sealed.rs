//! JSON files that notice when they are damaged.
//!
//! ```json
//! {
//!   "format": 2,
//!   "seal": "<64 hexadecimal digits>",
//!   ...
//! }
//! ```
//!
//! The seal is the blake3 hash of the file without the seal's own digits. The first two lines are the same in every
//! version of the format, so that a newer file is told from a damaged one before anything else of it is read.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::formats::FORMAT;

const DIGITS: usize = 64;
const BEFORE_FORMAT: &[u8] = b"{\n  \"format\": ";
const BEFORE_SEAL: &[u8] = b",\n  \"seal\": \"";
const AFTER_SEAL: &[u8] = b"\",\n";

/// Why a file cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// It is not what was written.
    Damaged,
    /// It is whole, and of a format that this version does not know.
    Format(u32),
}

/// `value`, a struct with at least one field, as the content of a file.
///
/// # Errors
/// None for the types of this room.
pub fn seal(value: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let body = serde_json::to_vec_pretty(value)?;
    let body = body.strip_prefix(b"{\n".as_slice()).unwrap_or(&body);
    let head = [BEFORE_FORMAT, FORMAT.to_string().as_bytes(), BEFORE_SEAL].concat();
    let tail = [AFTER_SEAL, body, b"\n"].concat();
    Ok([head.as_slice(), digest(&head, &tail).as_bytes(), &tail].concat())
}

/// Reads what [`seal`] wrote.
///
/// # Errors
/// Anything else.
pub fn open<T: DeserializeOwned>(content: &[u8]) -> Result<T, Flaw> {
    let rest = content.strip_prefix(BEFORE_FORMAT).ok_or(Flaw::Damaged)?;
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = rest.split_at(length);
    let format: u32 =
        std::str::from_utf8(number).ok().and_then(|text| text.parse().ok()).ok_or(Flaw::Damaged)?;
    match rest.strip_prefix(BEFORE_SEAL).filter(|rest| rest.len() > DIGITS) {
        Some(rest) => {
            let head = &content[..content.len() - rest.len()];
            let (digits, tail) = rest.split_at(DIGITS);
            if digest(head, tail).as_bytes() != digits {
                return Err(Flaw::Damaged);
            }
        }
        None if format == FORMAT => return Err(Flaw::Damaged),
        None => {}
    }
    if format != FORMAT {
        return Err(Flaw::Format(format));
    }
    serde_json::from_slice(content).map_err(|_| Flaw::Damaged)
}

fn digest(head: &[u8], tail: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(head).update(tail);
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Example {
        name: String,
        accuracy: f64,
    }

    fn example() -> (Example, Vec<u8>) {
        let value = Example { name: "a \"b\" é\n".into(), accuracy: 0.9125 };
        let content = seal(&value).unwrap();
        (value, content)
    }

    #[test]
    fn what_was_sealed_is_read_back_and_is_ordinary_json() {
        let (value, content) = example();
        assert_eq!(open::<Example>(&content), Ok(value));
        let json: serde_json::Value = serde_json::from_slice(&content).unwrap();
        assert_eq!(json["format"], FORMAT);
        assert_eq!(json["accuracy"], 0.9125);
    }

    #[test]
    fn no_flipped_bit_is_believed_or_taken_for_another_format() {
        let (_, content) = example();
        for byte in 0..content.len() {
            for bit in 0..8 {
                let mut flipped = content.clone();
                flipped[byte] ^= 1 << bit;
                assert_eq!(open::<Example>(&flipped), Err(Flaw::Damaged), "bit {bit} of byte {byte}");
            }
        }
    }

    #[test]
    fn no_cut_or_lengthened_file_is_believed() {
        let (_, content) = example();
        for length in 0..content.len() {
            assert_eq!(open::<Example>(&content[..length]), Err(Flaw::Damaged), "{length} bytes");
        }
        let longer = [content.as_slice(), b"\n"].concat();
        assert_eq!(open::<Example>(&longer), Err(Flaw::Damaged));
    }

    #[test]
    fn another_format_is_named_whatever_follows_it() {
        let first = b"{\n  \"format\": 1,\n  \"fingerprint\": \"00\"\n}";
        assert_eq!(open::<Example>(first), Err(Flaw::Format(1)));
        let head = b"{\n  \"format\": 7,\n  \"seal\": \"";
        let tail = b"\",\n  \"all\": [\"is\", \"new\"]\n}";
        let newer = [head.as_slice(), digest(head, tail).as_bytes(), tail].concat();
        assert_eq!(open::<Example>(&newer), Err(Flaw::Format(7)));
    }
}
