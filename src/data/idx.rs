//! IDX, the format of MNIST and its kin: a magic number, big-endian sizes, bytes.

/// The sizes and the bytes of a file with `dimensions` dimensions.
pub fn parse(content: &[u8], dimensions: usize) -> Result<(Vec<usize>, &[u8]), String> {
    let expected = 0x800 + dimensions as u32;
    let word = |index: usize| {
        let bytes = content.get(4 * index..4 * index + 4)?;
        Some(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    };
    match word(0) {
        Some(magic) if magic == expected => {}
        Some(magic) => return Err(format!("its magic number is {magic:#x}, expected {expected:#x}")),
        None => return Err("it is too short for a header".to_owned()),
    }
    let sizes: Option<Vec<usize>> =
        (1..=dimensions).map(|index| word(index).map(|size| size as usize)).collect();
    let sizes = sizes.ok_or("it is too short for a header")?;
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
        assert!(parse(&[1, 2, 3, 4, 0, 0, 0, 0], 1).unwrap_err().contains("magic"));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&bytes, 1);
            let _ = parse(&bytes, 3);
        }
    }
}
