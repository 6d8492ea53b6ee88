//! Files that commands write for people: whole or not at all.

use std::io::Write;
use std::path::Path;

use miette::{IntoDiagnostic, Result, WrapErr};

/// Writes a file in place of an earlier one, and makes its folder.
///
/// # Errors
/// It cannot be written.
pub fn write(path: &Path, content: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || {
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::Builder::new().prefix(".runner-").tempfile_in(folder)?;
        file.write_all(content)?;
        open_to_others(file.as_file())?;
        file.persist(path).map_err(|error| error.error)?;
        Ok::<_, std::io::Error>(())
    };
    write().into_diagnostic().wrap_err_with(|| format!("{} cannot be written", path.display()))
}

/// A temporary file is its owner's alone; a report is to be passed on.
#[cfg(unix)]
fn open_to_others(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn open_to_others(_file: &std::fs::File) -> std::io::Result<()> {
    Ok(())
}
