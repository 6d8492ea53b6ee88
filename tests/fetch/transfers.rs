//! One file over connections that break.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use flate2::Compression;
use runner::data::DataSetName;
use runner::data::fetch::{FetchError, FetchEvent, Published, fetch};

use crate::server::{Reply, Request, Server};
use crate::{described, fetched, files, gzip, noise, one_file, quick, within};

const NAME: &str = "t10k-labels-idx1-ubyte.gz";

/// A file of 300 kB, a server for it, and what is wanted.
fn serve(
    answer: impl Fn(&[u8], &Request, usize) -> Reply + Send + Sync + 'static,
) -> (Vec<u8>, Server, Published) {
    let content = noise(300_000);
    let packed = gzip(&content, Compression::fast());
    let served = packed.clone();
    let server = Server::start(move |request, before| answer(&served, request, before));
    let wanted = one_file(&packed, &content, std::slice::from_ref(&server.url));
    (packed, server, wanted)
}

fn content(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join(NAME)).unwrap()
}

fn ranges(server: &Server) -> Vec<Option<String>> {
    server.requests().iter().map(|request| request.range().map(str::to_owned)).collect()
}

fn restarts(events: &[FetchEvent]) -> usize {
    events.iter().filter(|event| matches!(event, FetchEvent::Restarted { .. })).count()
}

#[test]
fn a_whole_download_is_checked_and_leaves_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let (packed, server, wanted) = serve(|file, request, _| Reply::file(file, "\"a\"", request));
    let (result, events) = fetched(folder.path(), &wanted);
    result.unwrap();
    assert_eq!(content(folder.path()), packed);
    assert_eq!(files(folder.path()), [NAME]);
    assert_eq!(server.requests()[0].line, format!("GET /{NAME} HTTP/1.1"));
    assert_eq!(ranges(&server), [None]);
    assert_eq!(events[1], FetchEvent::Checked { file: NAME.to_owned() });
}

#[test]
fn what_is_here_and_whole_is_not_fetched_again_however_it_was_packed() {
    let folder = tempfile::tempdir().unwrap();
    let (_, server, wanted) = serve(|file, request, _| Reply::file(file, "\"a\"", request));
    fetched(folder.path(), &wanted).0.unwrap();
    let path = folder.path().join(NAME);
    for again in [gzip(&noise(300_000), Compression::best()), gzip(&noise(300_000), Compression::none())] {
        let (result, events) = fetched(folder.path(), &wanted);
        result.unwrap();
        assert_eq!(events, [FetchEvent::AlreadyHere { path: path.clone() }]);
        std::fs::write(&path, again).unwrap();
    }
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("t10k-labels-idx1-ubyte"), noise(300_000)).unwrap();
    fetched(other.path(), &wanted).0.unwrap();
    assert_eq!(server.requests().len(), 1);
    // Such a folder may be read-only: nothing is made in it, not even for the lock.
    assert!(!other.path().join(".fetch").exists());
}

#[test]
fn a_broken_connection_goes_on_with_a_range() {
    let folder = tempfile::tempdir().unwrap();
    let (packed, server, wanted) = serve(|file, request, before| {
        let reply = Reply::file(file, "\"a\"", request);
        if before < 2 { reply.cut(100_000) } else { reply }
    });
    let (result, events) = fetched(folder.path(), &wanted);
    result.unwrap();
    assert_eq!(content(folder.path()), packed);
    let expected = [None, Some("bytes=100000-".to_owned()), Some("bytes=200000-".to_owned())];
    assert_eq!(ranges(&server), expected);
    assert_eq!(server.requests()[1].if_range(), Some("\"a\""));
    assert_eq!(restarts(&events), 0);
}

#[test]
fn the_next_call_goes_on_where_the_last_one_gave_up() {
    let folder = tempfile::tempdir().unwrap();
    let (packed, server, wanted) = serve(|file, request, before| match before {
        0 => Reply::file(file, "\"a\"", request).cut(120_000),
        1..4 => Reply::status(500),
        _ => Reply::file(file, "\"a\"", request),
    });
    let error = fetched(folder.path(), &wanted).0.unwrap_err();
    let FetchError::Broken { at, tries, .. } = &error else { panic!("{error:?}") };
    assert_eq!((*at, *tries), (120_000, 4));
    assert_eq!(files(folder.path()), [format!(".fetch/{NAME}.part"), format!(".fetch/{NAME}.part.version")]);
    fetched(folder.path(), &wanted).0.unwrap();
    assert_eq!(content(folder.path()), packed);
    assert_eq!(ranges(&server).last().unwrap().as_deref(), Some("bytes=120000-"));
}

#[test]
fn a_server_without_ranges_sends_all_again() {
    let folder = tempfile::tempdir().unwrap();
    let (packed, server, wanted) = serve(|file, _, before| {
        let reply = Reply::whole(file);
        if before == 0 { reply.cut(100_000) } else { reply }
    });
    let (result, events) = fetched(folder.path(), &wanted);
    result.unwrap();
    assert_eq!(content(folder.path()), packed);
    assert_eq!(ranges(&server), [None, Some("bytes=100000-".to_owned())]);
    assert_eq!(restarts(&events), 1);
}

#[test]
fn a_file_that_changed_between_its_parts_is_fetched_from_its_beginning() {
    for server_minds_if_range in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let (packed, server, wanted) = serve(move |file, request, before| match before {
            // An old version, of the same size.
            0 => Reply::file(&vec![7; file.len()], "\"old\"", request).cut(100_000),
            1 if !server_minds_if_range => Reply::part(file, 100_000).header("ETag", "\"new\""),
            _ => Reply::file(file, "\"new\"", request),
        });
        let (result, events) = fetched(folder.path(), &wanted);
        result.unwrap();
        assert_eq!(content(folder.path()), packed);
        assert_eq!(server.requests()[1].if_range(), Some("\"old\""));
        assert_eq!(restarts(&events), 1);
    }
}

#[test]
fn a_date_names_a_version_where_there_is_no_strong_tag() {
    let folder = tempfile::tempdir().unwrap();
    let (packed, server, wanted) = serve(|file, _, before| {
        let reply = if before == 0 { Reply::whole(file).cut(1000) } else { Reply::part(file, 1000) };
        reply.header("ETag", "W/\"weak\"").header("Last-Modified", "Tue, 01 Sep 2009 08:00:00 GMT")
    });
    fetched(folder.path(), &wanted).0.unwrap();
    assert_eq!(content(folder.path()), packed);
    assert_eq!(server.requests()[1].if_range(), Some("Tue, 01 Sep 2009 08:00:00 GMT"));
}

#[test]
fn a_part_of_something_else_is_found_by_its_checksum_and_dropped() {
    let folder = tempfile::tempdir().unwrap();
    // Ranges, but no versions: nothing tells that the part is of another file.
    let (packed, server, wanted) = serve(|file, request, _| match request.range() {
        Some(_) => Reply::part(file, 5000),
        None => Reply::whole(file),
    });
    let work = folder.path().join(".fetch");
    std::fs::create_dir_all(&work).unwrap();
    std::fs::write(work.join(format!("{NAME}.part")), [9; 5000]).unwrap();
    let (result, events) = fetched(folder.path(), &wanted);
    result.unwrap();
    assert_eq!(content(folder.path()), packed);
    assert_eq!(ranges(&server), [Some("bytes=5000-".to_owned()), None]);
    assert_eq!(restarts(&events), 1);
}

#[test]
fn a_range_that_is_refused_or_begins_elsewhere_starts_anew() {
    let refused = |_: &[u8]| Reply::status(416);
    let elsewhere = |file: &[u8]| Reply::part(file, 50_000);
    let other_size = |file: &[u8]| Reply::part(&[file, &[0]].concat(), 100_000);
    let answers: [fn(&[u8]) -> Reply; 3] = [refused, elsewhere, other_size];
    for answer in answers {
        let folder = tempfile::tempdir().unwrap();
        let (packed, server, wanted) = serve(move |file, request, before| match before {
            0 => Reply::whole(file).cut(100_000),
            1 => answer(file),
            _ => Reply::file(file, "\"a\"", request),
        });
        fetched(folder.path(), &wanted).0.unwrap();
        assert_eq!(content(folder.path()), packed);
        assert_eq!(ranges(&server), [None, Some("bytes=100000-".to_owned()), None]);
    }
}

#[test]
fn a_wrong_checksum_is_an_error_that_names_both_and_keeps_the_file_aside() {
    let folder = tempfile::tempdir().unwrap();
    let (packed, server, wanted) = serve(|file, _, _| {
        let mut file = file.to_vec();
        file[1000] ^= 1;
        Reply::whole(&file)
    });
    let error = fetched(folder.path(), &wanted).0.unwrap_err();
    let FetchError::Mismatch { expected, found, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*expected, described(NAME, &packed).md5);
    assert_ne!(expected, found);
    let words = error.to_string();
    assert!(words.contains(expected) && words.contains(found), "{words}");
    assert_eq!(files(folder.path()), [format!("{NAME}.mismatch")]);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn what_is_not_there_is_said_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (_, server, wanted) = serve(|_, _, _| Reply::status(404));
    let error = fetched(folder.path(), &wanted).0.unwrap_err();
    assert!(matches!(error, FetchError::Status { status: 404, .. }), "{error:?}");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_busy_server_is_asked_again_after_as_long_as_it_wishes_but_no_longer_than_we_do() {
    let folder = tempfile::tempdir().unwrap();
    let (packed, server, wanted) = serve(|file, request, before| match before {
        0 => Reply::status(503),
        1 => Reply::status(503).header("Retry-After", 3600),
        _ => Reply::file(file, "\"a\"", request),
    });
    let (result, events) = fetched(folder.path(), &wanted);
    result.unwrap();
    assert_eq!(content(folder.path()), packed);
    assert_eq!(server.requests().len(), 3);
    let waits: Vec<Duration> = events
        .iter()
        .filter_map(|event| match event {
            FetchEvent::Retrying { wait, .. } => Some(*wait),
            _ => None,
        })
        .collect();
    assert_eq!(waits, [Duration::from_millis(5), Duration::from_millis(50)]);
}

#[test]
fn a_server_that_never_recovers_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let (_, server, wanted) = serve(|_, _, _| Reply::status(503));
    let error = fetched(folder.path(), &wanted).0.unwrap_err();
    assert!(error.to_string().contains("the server answered 503"), "{error}");
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn a_server_that_begins_anew_and_breaks_at_the_same_place_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let (_, server, wanted) = serve(|file, _, _| Reply::whole(file).cut(100_000));
    let error = fetched(folder.path(), &wanted).0.unwrap_err();
    assert!(matches!(error, FetchError::Broken { tries: 4, .. }), "{error:?}");
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn a_connection_that_says_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let (packed, server, wanted) = serve(|file, request, before| {
        let reply = Reply::file(file, "\"a\"", request);
        if before == 0 { reply.cut(100_000).stall(Duration::from_secs(20)) } else { reply }
    });
    let mut options = quick();
    options.patience.stall = Duration::from_millis(200);
    let began = Instant::now();
    fetch(&within(DataSetName::Mnist, folder.path()), &wanted, &options, &mut |_| {}).unwrap();
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(content(folder.path()), packed);
    assert_eq!(ranges(&server)[1].as_deref(), Some("bytes=100000-"));
}

#[test]
fn a_redirect_is_followed_with_the_range() {
    let folder = tempfile::tempdir().unwrap();
    let (packed, server, wanted) = serve(|file, request, _| {
        if !request.line.contains("/elsewhere/") {
            return Reply::status(302).header("Location", format!("/elsewhere/{NAME}"));
        }
        let reply = Reply::file(file, "\"a\"", request);
        if request.range().is_none() { reply.cut(100_000) } else { reply }
    });
    fetched(folder.path(), &wanted).0.unwrap();
    assert_eq!(content(folder.path()), packed);
    assert_eq!(ranges(&server)[3].as_deref(), Some("bytes=100000-"));
}

#[test]
fn a_file_of_another_size_is_not_the_file() {
    let page = |_: &[u8]| Reply::whole(b"<html>please log in</html>");
    let endless = |file: &[u8]| Reply::unmeasured(&[file, file].concat());
    for (answer, offered) in [(page as fn(&[u8]) -> Reply, "it has 26 bytes"), (endless, "it has more than")]
    {
        let folder = tempfile::tempdir().unwrap();
        let (_, _server, wanted) = serve(move |file, _, _| answer(file));
        let error = fetched(folder.path(), &wanted).0.unwrap_err();
        assert!(error.to_string().contains(offered), "{error}");
        assert!(!folder.path().join(NAME).exists());
    }
}

#[test]
fn the_next_source_goes_on_with_what_the_first_one_gave() {
    let folder = tempfile::tempdir().unwrap();
    let (packed, first, mut wanted) = serve(|file, request, before| match before {
        0 => Reply::file(file, "\"a\"", request).cut(100_000),
        _ => Reply::status(404),
    });
    let (_, second, _) = serve(|file, request, _| Reply::file(file, "\"a\"", request));
    wanted.sources.push(second.url.clone());
    let (result, events) = fetched(folder.path(), &wanted);
    result.unwrap();
    assert_eq!(content(folder.path()), packed);
    assert_eq!((first.requests().len(), ranges(&second)), (2, vec![Some("bytes=100000-".to_owned())]));
    // The first one's tag means nothing to the second.
    assert_eq!(second.requests()[0].if_range(), None);
    assert!(events.iter().any(|event| matches!(event, FetchEvent::NextSource { .. })));
}

#[test]
fn a_server_that_is_not_there_is_said_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for source in [format!("http://{closed}"), "http://no-such-host.invalid".to_owned()] {
        let (result, events) = fetched(folder.path(), &one_file(b"x", b"y", &[source]));
        let error = result.unwrap_err();
        assert!(matches!(error, FetchError::Unreachable { .. }), "{error:?}");
        assert_eq!(events, []);
    }
}

#[test]
fn a_source_that_is_no_address_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let error = fetched(folder.path(), &one_file(b"x", b"y", &["ftp://host".to_owned()])).0.unwrap_err();
    assert!(matches!(error, FetchError::Source { .. }), "{error:?}");
}

#[test]
fn a_disk_without_room_is_seen_before_anything_comes() {
    let folder = tempfile::tempdir().unwrap();
    let (_, server, mut wanted) = serve(|file, _, _| Reply::whole(file));
    wanted.downloads[0].file.size = u64::MAX / 2;
    let error = fetched(folder.path(), &wanted).0.unwrap_err();
    assert!(matches!(error, FetchError::NoRoom { .. }), "{error:?}");
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn half_a_file_is_never_seen_under_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let (packed, _server, wanted) = serve(|file, request, before| {
        let reply = Reply::file(file, "\"a\"", request);
        if before == 0 { reply.cut(150_000) } else { reply }
    });
    let path = folder.path().join(NAME);
    let mut looked = 0;
    fetch(&within(DataSetName::Mnist, folder.path()), &wanted, &quick(), &mut |event| match event {
        FetchEvent::Installed { .. } => assert_eq!(std::fs::read(&path).unwrap(), packed),
        _ => {
            looked += 1;
            assert!(!path.exists(), "{event:?}");
        }
    })
    .unwrap();
    assert!(looked > 4, "{looked}");
}

#[test]
fn what_was_there_and_is_damaged_is_put_aside() {
    let folder = tempfile::tempdir().unwrap();
    let (packed, _server, wanted) = serve(|file, request, _| Reply::file(file, "\"a\"", request));
    // The reader would take the plain file first.
    let plain = folder.path().join("t10k-labels-idx1-ubyte");
    std::fs::write(&plain, b"mine").unwrap();
    std::fs::write(folder.path().join(NAME), &packed[..1000]).unwrap();
    std::fs::write(folder.path().join(format!("{NAME}.aside")), b"older").unwrap();
    let (result, events) = fetched(folder.path(), &wanted);
    result.unwrap();
    assert_eq!(content(folder.path()), packed);
    let aside = ["t10k-labels-idx1-ubyte.aside", NAME, &format!("{NAME}.aside"), &format!("{NAME}.aside.1")];
    assert_eq!(files(folder.path()), aside);
    assert_eq!(std::fs::read(folder.path().join("t10k-labels-idx1-ubyte.aside")).unwrap(), b"mine");
    assert_eq!(events.iter().filter(|event| matches!(event, FetchEvent::PutAside { .. })).count(), 2);
}

#[test]
fn a_file_of_unknown_length_comes_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (packed, _server, wanted) = serve(|file, _, _| Reply::unmeasured(file));
    fetched(folder.path(), &wanted).0.unwrap();
    assert_eq!(content(folder.path()), packed);
}

#[test]
fn fetches_at_once_fetch_once() {
    let folder = tempfile::tempdir().unwrap();
    let (waiting, here) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
    let others_wait = waiting.clone();
    let (packed, server, wanted) = serve(move |file, request, _| {
        let began = Instant::now();
        while others_wait.load(Ordering::SeqCst) < 2 && began.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(5));
        }
        Reply::file(file, "\"a\"", request)
    });
    let mut options = quick();
    options.patience.connect = Duration::from_secs(60);
    let one = || {
        fetch(&within(DataSetName::Mnist, folder.path()), &wanted, &options, &mut |event| match event {
            FetchEvent::Waiting { .. } => drop(waiting.fetch_add(1, Ordering::SeqCst)),
            FetchEvent::AlreadyHere { .. } => drop(here.fetch_add(1, Ordering::SeqCst)),
            _ => {}
        })
        .unwrap();
    };
    std::thread::scope(|scope| [0, 1, 2].map(|_| scope.spawn(one)).map(|fetch| fetch.join().unwrap()));
    assert_eq!(content(folder.path()), packed);
    assert_eq!(server.requests().len(), 1);
    assert_eq!((waiting.load(Ordering::SeqCst), here.load(Ordering::SeqCst)), (2, 2));
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let error = fetched(&file.join("inner"), &one_file(b"x", b"y", &[])).0.unwrap_err();
    assert!(error.to_string().contains("cannot make the folder"), "{error}");
}
