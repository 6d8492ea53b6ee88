//! The binary version of CIFAR: labels, then 3 x 32 x 32 bytes, image after image.

use super::params::DataSetName;

/// Bytes of one image.
pub const IMAGE: usize = 3 * 32 * 32;

/// Label bytes of one image: CIFAR-100 has a coarse and a fine one.
fn labels_each(set: DataSetName) -> usize {
    if set == DataSetName::Cifar100 { 2 } else { 1 }
}

/// Appends the images of one file; the last label byte of an image is its class.
pub fn parse(
    content: &[u8],
    set: DataSetName,
    pixels: &mut Vec<u8>,
    labels: &mut Vec<u8>,
) -> Result<(), String> {
    let labels_each = labels_each(set);
    let row = labels_each + IMAGE;
    if content.is_empty() || !content.len().is_multiple_of(row) {
        let mut reason = format!(
            "it has {} bytes, which is no multiple of {row}, the bytes of an image with its label",
            content.len()
        );
        let other = if set == DataSetName::Cifar100 { DataSetName::Cifar10 } else { DataSetName::Cifar100 };
        let other_row = self::labels_each(other) + IMAGE;
        if !content.is_empty() && content.len().is_multiple_of(other_row) {
            reason += &format!("; {} has {other_row} bytes an image: is `data.set` right?", other.name());
        }
        return Err(reason);
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
        parse(&file, DataSetName::Cifar100, &mut pixels, &mut labels).unwrap();
        assert_eq!((labels, pixels.len()), (vec![42], IMAGE));
        assert!(parse(&file[1..100], DataSetName::Cifar10, &mut Vec::new(), &mut Vec::new()).is_err());
    }
}
