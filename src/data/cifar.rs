//! The binary version of CIFAR: labels, then 3 x 32 x 32 bytes, image after image.

/// Bytes of one image.
pub const IMAGE: usize = 3 * 32 * 32;

/// Appends the images of one file; the last of `labels_each` label bytes is the class.
pub fn parse(
    content: &[u8],
    labels_each: usize,
    pixels: &mut Vec<u8>,
    labels: &mut Vec<u8>,
) -> Result<(), String> {
    let row = labels_each + IMAGE;
    if content.is_empty() || !content.len().is_multiple_of(row) {
        return Err(format!("its size {} is no multiple of {row}", content.len()));
    }
    for row in content.chunks_exact(row) {
        labels.push(row[labels_each - 1]);
        pixels.extend_from_slice(&row[labels_each..]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fine_label_is_taken_where_there_are_two() {
        let mut file = vec![7u8, 42];
        file.extend(vec![9u8; IMAGE]);
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        parse(&file, 2, &mut pixels, &mut labels).unwrap();
        assert_eq!((labels, pixels.len()), (vec![42], IMAGE));
        assert!(parse(&file[1..100], 1, &mut Vec::new(), &mut Vec::new()).is_err());
    }
}
