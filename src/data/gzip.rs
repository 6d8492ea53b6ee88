//! Gzipped files, and plain ones in their place.

use std::io::Read;

use flate2::read::MultiGzDecoder;

/// More than any file of a data set holds (the largest, of CIFAR-100, has 154 MB), so that a lying one cannot fill the memory.
const LIMIT: u64 = 1 << 28;

/// Unpacks a gzipped file; another is returned as it is.
pub fn unpack(raw: Vec<u8>) -> Result<Vec<u8>, String> {
    if raw.starts_with(&[0x1f, 0x8b]) { inflate(&raw, LIMIT) } else { Ok(raw) }
}

fn inflate(raw: &[u8], limit: u64) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    let mut reader = MultiGzDecoder::new(raw).take(limit + 1);
    reader.read_to_end(&mut content).map_err(|error| format!("it cannot be unpacked: {error}"))?;
    if content.len() as u64 > limit {
        return Err(format!("it unpacks to more than {limit} bytes, which no file of this kind does"));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_is_too_large_is_an_error_and_not_cut_off() {
        let file = packed(&[7; 1000]);
        assert_eq!(inflate(&file, 1000).unwrap(), [7; 1000]);
        assert!(inflate(&file, 999).unwrap_err().contains("more than 999 bytes"));
    }

    #[test]
    fn plain_bytes_stay_and_broken_ones_are_an_error() {
        assert_eq!(unpack(vec![1, 2, 3]).unwrap(), [1, 2, 3]);
        let mut file = packed(b"some content");
        assert_eq!(unpack(file.clone()).unwrap(), b"some content");
        file.truncate(file.len() - 9);
        assert!(unpack(file).unwrap_err().contains("cannot be unpacked"));
    }
}
