#![cfg(unix)]

use std::fs;
use std::path::Path;

use super::*;

const PAGE: &[u8] = b"<!DOCTYPE html><p>a report</p>\n";

fn put(path: &Path, content: &[u8], replace: Replace, inputs: &Inputs) -> Result<(), WriteError> {
    Place::of(path, Format::Html, replace, inputs)?.write(Format::Html, content)
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().unwrap().permissions().mode() & 0o777
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn an_output_is_replaced_and_keeps_its_mode_until_somebody_edits_or_protects_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/r.html");
    put(&path, PAGE, Replace::Own, &Inputs::default()).unwrap();
    assert!(fs::read(&path).unwrap().starts_with(PAGE));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    put(&path, b"<p>another</p>", Replace::Own, &Inputs::default()).unwrap();
    assert!(fs::read(&path).unwrap().starts_with(b"<p>another</p>"));
    assert_eq!((mode(&path), names(path.parent().unwrap()).len()), (0o640, 1));

    let refused = |path: &Path| {
        let before = fs::read(path).unwrap();
        let error = put(path, PAGE, Replace::Own, &Inputs::default()).unwrap_err();
        assert!(error.help().unwrap().to_string().contains("--force"), "{error}");
        assert_eq!(fs::read(path).unwrap(), before);
    };
    fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
    refused(&path);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let mut edited = fs::read(&path).unwrap();
    edited[4] ^= 1;
    fs::write(&path, &edited).unwrap();
    refused(&path);
    put(&path, PAGE, Replace::Any, &Inputs::default()).unwrap();
    for content in [&b""[..], b"\\section{A thesis}", &[0; 4000], PAGE] {
        fs::write(&path, content).unwrap();
        refused(&path);
    }
}

#[test]
fn every_format_knows_its_own_files_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let png = resvg::tiny_skia::Pixmap::new(3, 2).unwrap().encode_png().unwrap();
    let csv = b"stage,seconds\ninit,1\n".to_vec();
    for (format, content) in [
        (Format::Html, PAGE.to_vec()),
        (Format::Svg, b"<svg/>\n".to_vec()),
        (Format::Png, png),
        (Format::Csv, csv),
    ] {
        let path = folder.path().join("output");
        let place = || Place::of(&path, format, Replace::Own, &Inputs::default());
        place().unwrap().write(format, &content).unwrap();
        place().unwrap().write(format, &content).unwrap();
        if format == Format::Png {
            let tree = resvg::tiny_skia::Pixmap::load_png(&path).unwrap();
            assert_eq!((tree.width(), tree.height()), (3, 2));
        }
        let written = fs::read(&path).unwrap();
        for edited in [[b"x", &written[..]].concat(), [&written[..], b"a note\n"].concat()] {
            fs::write(&path, edited).unwrap();
            assert!(matches!(place(), Err(WriteError::NotOurs { .. })), "{format:?}");
        }
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_link_stays_and_what_it_points_to_is_replaced() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let (file, link, chain) =
        (folder.path().join("r.html"), folder.path().join("link"), folder.path().join("chain"));
    symlink("r.html", &link).unwrap();
    symlink(&link, &chain).unwrap();
    for _ in 0..2 {
        // At first the link points to nothing.
        put(&chain, PAGE, Replace::Own, &Inputs::default()).unwrap();
        assert!(link.is_symlink() && chain.is_symlink() && !file.is_symlink());
        assert!(fs::read(&file).unwrap().starts_with(PAGE));
    }
    fs::write(&file, "a thesis").unwrap();
    assert!(matches!(put(&chain, PAGE, Replace::Own, &Inputs::default()), Err(WriteError::NotOurs { .. })));
    let circle = folder.path().join("circle");
    symlink("circle", &circle).unwrap();
    assert!(matches!(put(&circle, PAGE, Replace::Any, &Inputs::default()), Err(WriteError::Io { .. })));
    assert!(circle.is_symlink());
}

#[test]
fn inputs_and_the_cache_are_never_written_whatever_they_are_called() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("cache/objects")).unwrap();
    put(&at("p.toml"), PAGE, Replace::Own, &Inputs::default()).unwrap();
    symlink("p.toml", at("link")).unwrap();
    fs::hard_link(at("p.toml"), at("second name")).unwrap();
    symlink("cache", at("other")).unwrap();
    let inputs = Inputs::default().file(at("p.toml")).cache(at("cache"));
    for replace in [Replace::Own, Replace::Any] {
        for name in ["p.toml", "link", "second name", "cache/../p.toml"] {
            assert!(
                matches!(put(&at(name), b"x", replace, &inputs), Err(WriteError::Input { .. })),
                "{name}"
            );
        }
        for name in ["cache", "cache/r.html", "other/new/folder/r.html", "new/../cache/r.html"] {
            assert!(
                matches!(put(&at(name), b"x", replace, &inputs), Err(WriteError::InCache { .. })),
                "{name}"
            );
        }
        for name in [".", "missing/.."] {
            assert!(put(&at(name), b"x", replace, &Inputs::default()).is_err(), "{name}");
        }
    }
    assert_eq!(names(&at("cache")), ["objects"]);
}

#[test]
fn a_pipe_is_written_through_and_stays() {
    use std::os::unix::fs::FileTypeExt;
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read(pipe).unwrap()
    });
    put(&pipe, PAGE, Replace::Own, &Inputs::default()).unwrap();
    assert!(reader.join().unwrap().starts_with(PAGE));
    assert!(pipe.metadata().unwrap().file_type().is_fifo());
    put(Path::new("/dev/full"), PAGE, Replace::Any, &Inputs::default()).unwrap_err();
    assert!(Path::new("/dev/full").metadata().unwrap().file_type().is_char_device());
}

#[test]
fn a_file_that_came_in_the_meantime_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.html");
    let place = || Place::of(&path, Format::Html, Replace::Own, &Inputs::default()).unwrap();
    let new = place();
    fs::write(&path, "a thesis").unwrap();
    new.write(Format::Html, PAGE).unwrap_err();
    assert_eq!(fs::read(&path).unwrap(), b"a thesis");
    put(&path, PAGE, Replace::Any, &Inputs::default()).unwrap();
    let again = place();
    fs::write(&path, "a thesis").unwrap();
    again.write(Format::Html, PAGE).unwrap_err();
    assert_eq!((fs::read(&path).unwrap(), names(folder.path()).len()), (b"a thesis".to_vec(), 1));
}
