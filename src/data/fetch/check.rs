//! Whether a file is the published one.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use md5::{Digest, Md5};

use super::published::{Download, Packing, PublishedFile};
use crate::data::{DataParams, files};

/// How closely files are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Their sizes.
    Size,
    /// Their content.
    Content,
}

/// What there is of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// Nothing.
    Missing,
    /// The published content, plain or gzipped, as far as was looked.
    Whole {
        /// Where.
        path: PathBuf,
    },
    /// Something else.
    Different {
        /// Where.
        path: PathBuf,
        /// In what it differs.
        difference: String,
    },
}

/// What the reader would find of a member of `download`.
///
/// # Errors
/// A file that cannot be read.
pub fn presence(
    params: &DataParams,
    download: &Download,
    member: &PublishedFile,
    depth: Depth,
) -> io::Result<Presence> {
    let Some(path) = files::present(params, member.base()).into_iter().next() else {
        return Ok(Presence::Missing);
    };
    Ok(match difference(download, member, &path, depth)? {
        None => Presence::Whole { path },
        Some(difference) => Presence::Different { path, difference },
    })
}

/// In what the file at `path` differs from the published one; `None` if it does not.
pub(super) fn difference(
    download: &Download,
    member: &PublishedFile,
    path: &Path,
    depth: Depth,
) -> io::Result<Option<String>> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let packed = path.extension().is_some_and(|extension| extension == "gz");
    let as_published = packed && download.packing == Packing::Gzip && size == download.file.size;
    if as_published && (depth == Depth::Size || sum(&mut file)? == download.file.md5) {
        return Ok(None);
    }
    // Packed anew by somebody, say: then the content decides.
    let unpacked = if packed { unpacked_size(&mut file)? } else { size };
    if unpacked != member.size {
        let unpacked_word = if packed { " unpacked" } else { "" };
        return Ok(Some(format!("{unpacked} bytes{unpacked_word}, the published file has {}", member.size)));
    }
    if depth == Depth::Size {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(0))?;
    let found = if packed { sum(&mut MultiGzDecoder::new(BufReader::new(file))) } else { sum(&mut file) };
    Ok(match found {
        Ok(found) if found == member.md5 => None,
        Ok(found) => Some(format!("MD5 {found}, the published file has {}", member.md5)),
        Err(error) if packed => Some(format!("it cannot be unpacked: {error}")),
        Err(error) => return Err(error),
    })
}

/// The size that a gzipped file says it has unpacked (modulo 4 GiB): its last four bytes.
fn unpacked_size(file: &mut File) -> io::Result<u64> {
    let mut last = [0; 4];
    if file.metadata()?.len() >= 18 {
        file.seek(SeekFrom::End(-4))?;
        file.read_exact(&mut last)?;
    }
    Ok(u32::from_le_bytes(last).into())
}

/// The MD5 sum of all that is left to read, in hexadecimal.
pub(super) fn sum(reader: &mut dyn Read) -> io::Result<String> {
    let mut hash = Md5::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => hash.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

impl PublishedFile {
    /// Its name without the folder that it has in an archive.
    pub fn base(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_standard() {
        // From RFC 1321, A.5.
        for (text, expected) in [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("abc", "900150983cd24fb0d6963f7d28e17f72"),
            ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
        ] {
            assert_eq!(sum(&mut text.as_bytes()).unwrap(), expected);
        }
    }
}
