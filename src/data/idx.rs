//! IDX, the format of MNIST and its kin: a magic number, big-endian sizes, bytes.

/// The type of values that is read: unsigned bytes.
const BYTES: u8 = 8;

/// What a file of so many dimensions holds.
fn what(dimensions: usize) -> String {
    match dimensions {
        1 => "labels (1 dimension)".to_owned(),
        3 => "images (3 dimensions)".to_owned(),
        other => format!("values of {other} dimensions"),
    }
}

/// The sizes and the bytes of a file with `dimensions` dimensions.
pub fn parse(content: &[u8], dimensions: usize) -> Result<(Vec<usize>, &[u8]), String> {
    let word = |index: usize| {
        let bytes = content.get(4 * index..4 * index + 4)?;
        Some(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    };
    match content {
        [0, 0, BYTES, found, ..] if usize::from(*found) == dimensions => {}
        [0, 0, BYTES, found, ..] => {
            return Err(format!("it holds {}, expected {}", what(usize::from(*found)), what(dimensions)));
        }
        [0, 0, kind, ..] if (0x09..=0x0e).contains(kind) => {
            return Err(format!("its values have the type {kind:#x}, expected {BYTES:#x} (unsigned bytes)"));
        }
        [0x80, 2..=5, ..] => return Err("it is a Python pickle, not an IDX file".to_owned()),
        [b'P', b'K', 3, 4, ..] => return Err("it is a zip archive, not an IDX file: unpack it".to_owned()),
        [first, second, third, fourth, ..] => {
            return Err(format!(
                "it is no IDX file: it begins with the bytes {first:02x} {second:02x} {third:02x} {fourth:02x}, expected \
                 00 00 {BYTES:02x} {dimensions:02x}"
            ));
        }
        _ => return Err(format!("it is too short for a header: it has {} bytes", content.len())),
    }
    let sizes: Option<Vec<usize>> =
        (1..=dimensions).map(|index| word(index).map(|size| size as usize)).collect();
    let sizes =
        sizes.ok_or_else(|| format!("it is too short for a header: it has {} bytes", content.len()))?;
    let body = &content[4 * (dimensions + 1)..];
    let count = sizes.iter().try_fold(1usize, |product, size| product.checked_mul(*size));
    if count != Some(body.len()) {
        return Err(format!("its header promises {sizes:?} values, it has {}", body.len()));
    }
    Ok((sizes, body))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_lying_header_is_an_error_and_allocates_nothing() {
        let mut file = vec![0, 0, 8, 3];
        file.extend([0xff; 12]);
        assert!(parse(&file, 3).unwrap_err().contains("promises"));
        assert!(parse(&[0, 0, 8, 1], 1).unwrap_err().contains("too short"));
        assert!(
            parse(&[1, 2, 3, 4, 0, 0, 0, 0], 1).unwrap_err().contains("01 02 03 04, expected 00 00 08 01")
        );
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&bytes, 1);
            let _ = parse(&bytes, 3);
        }
    }
}
