//! `runner data`, and what other commands say of data, as a user sees them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::files;
use crate::server::{Reply, Server};

fn runner(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("runner"));
    command.current_dir(folder).args(arguments).env("NO_COLOR", "1").env("LC_ALL", "C.UTF-8");
    for name in ["RUNNER_DATA", "RUNNER_MIRROR", "RUNNER_CACHE"] {
        command.env_remove(name);
    }
    for name in ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command
}

fn output(mut command: Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// Text without its line breaks and frame.
fn flat(text: &str) -> String {
    text.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_list_says_what_there_is_and_how_to_get_it() {
    let folder = tempfile::tempdir().unwrap();
    let (code, list, _) = output(runner(folder.path(), &["data", "list"]));
    assert_eq!(code, Some(0));
    insta::assert_snapshot!(list);
    assert_eq!(files(folder.path()), [""; 0]);
}

#[test]
fn the_list_tells_what_is_here_from_what_is_not_as_published() {
    let folder = tempfile::tempdir().unwrap();
    let (mnist, cifar) = (folder.path().join("mnist"), folder.path().join("cifar100"));
    std::fs::create_dir_all(&mnist).unwrap();
    std::fs::create_dir_all(cifar.join("cifar-100-binary")).unwrap();
    std::fs::create_dir_all(cifar.join(".fetch")).unwrap();
    // Right sizes and wrong content; a wrong size; two files that are not there.
    let zeros = |path: PathBuf, size| std::fs::File::create(path).unwrap().set_len(size).unwrap();
    zeros(mnist.join("train-labels-idx1-ubyte"), 60_008);
    zeros(mnist.join("t10k-labels-idx1-ubyte.gz"), 100);
    zeros(cifar.join("train.bin"), 153_700_000);
    zeros(cifar.join("cifar-100-binary/test.bin"), 30_740_000);
    zeros(cifar.join(".fetch/cifar-100-binary.tar.gz.part"), 1 << 20);
    let list = |arguments: &[&str]| {
        let mut command =
            runner(folder.path(), &[&["data", "list", "mnist", "cifar100"], arguments].concat());
        command.env("RUNNER_DATA", ".");
        output(command)
    };
    let (code, by_size, _) = list(&[]);
    assert_eq!(code, Some(0));
    insta::assert_snapshot!("by_size", by_size);
    let (code, by_content, _) = list(&["--verify"]);
    assert_eq!(code, Some(1));
    insta::assert_snapshot!("by_content", by_content);
    let (_, json, _) = list(&["--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let states = |set: usize| {
        let files = json[set]["files"].as_array().unwrap();
        files.iter().map(|file| file["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(json[0]["state"], "incomplete");
    assert_eq!(states(0), ["missing", "here", "missing", "different"]);
    assert_eq!((json[1]["state"].as_str(), json[1]["verified"].as_bool()), (Some("here"), Some(false)));
    assert_eq!(json[1]["downloaded_bytes"], 1 << 20);
}

#[test]
fn what_ships_with_runner_needs_no_fetching() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, words) = output(runner(folder.path(), &["data", "fetch", "fashion-mnist-mini"]));
    assert_eq!((code, words.contains("ships with runner")), (Some(0), true), "{words}");
}

#[test]
fn a_mirror_without_the_file_is_an_error_that_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _| Reply::status(404));
    let command =
        runner(folder.path(), &["data", "fetch", "cifar10", "--from", &format!("{}/x/", server.url)]);
    let (code, _, words) = output(command);
    assert_eq!(code, Some(1));
    let words = flat(&words);
    let expected = format!("the server answered 404 for {}/x/cifar-10-binary.tar.gz", server.url);
    assert!(words.contains(&expected) && words.contains("help: no such file is there"), "{words}");
}

#[test]
fn without_a_network_the_error_names_every_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let from = "https://no-such-host.invalid/cifar";
    let command = runner(folder.path(), &["data", "fetch", "cifar10", "--from", from, "--dir", "here"]);
    let (code, _, words) = output(command);
    assert_eq!(code, Some(1));
    let words = flat(&words);
    for expected in
        ["cannot reach https://no-such-host.invalid", "HTTPS_PROXY", "--from URL", "binary.tar.gz into here"]
    {
        assert!(words.contains(expected), "{words}");
    }
}

#[test]
fn the_mirror_of_the_environment_is_asked_first_and_has_a_folder_for_each_set() {
    let folder = tempfile::tempdir().unwrap();
    // A page of the right size, so that it comes whole and then fails by its checksum.
    let server = Server::start(|_, _| Reply::whole(&vec![0; 9_912_422]).pause(Duration::from_millis(1200)));
    let mut command = runner(folder.path(), &["data", "fetch", "mnist"]);
    command.env("RUNNER_MIRROR", format!("{}/data/", server.url));
    let (code, _, words) = output(command);
    assert_eq!(code, Some(1));
    assert_eq!(server.requests()[0].line, "GET /data/mnist/train-images-idx3-ubyte.gz HTTP/1.1");
    let words = flat(&words);
    assert!(words.contains("train-images-idx3-ubyte.gz: 50.") && words.contains(" left "), "{words}");
    assert!(words.contains("the published one is f68b3c2dcbeaaa9fbdd348bbdeb94873"), "{words}");
    assert_eq!(files(folder.path()), ["data/mnist/train-images-idx3-ubyte.gz.mismatch"]);
}

#[test]
fn proxies_of_the_environment_are_used() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Server::start(|_, _| Reply::status(407));
    let from = "http://no-such-host.invalid/mnist";
    let mut command = runner(folder.path(), &["data", "fetch", "mnist", "--from", from]);
    command.env("HTTP_PROXY", &proxy.url);
    let (code, _, words) = output(command);
    assert_eq!(code, Some(1), "{words}");
    let asked = proxy.requests();
    assert!(asked[0].line.contains("no-such-host.invalid"), "{asked:?}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_came_and_the_same_command_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let size = 9_912_422;
    let server = Server::start(move |request, _| {
        let reply = Reply::file(&vec![1; size], "\"a\"", request);
        reply.cut(1_000_000).stall(Duration::from_secs(60))
    });
    let part = folder.path().join("data/mnist/.fetch/train-images-idx3-ubyte.gz.part");
    for expected in [1_000_000, 2_000_000] {
        let mut command = runner(folder.path(), &["data", "fetch", "mnist", "--from", &server.url]);
        let run = command.stderr(Stdio::piped()).spawn().unwrap();
        let began = Instant::now();
        while std::fs::metadata(&part).map_or(0, |found| found.len()) < expected {
            assert!(began.elapsed() < Duration::from_secs(30), "nothing came");
            std::thread::sleep(Duration::from_millis(20));
        }
        Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap();
        let output = run.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130));
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(words.contains("the same command goes on from there"), "{words}");
    }
    assert_eq!(server.requests()[1].range(), Some("bytes=1000000-"));
}

const CIFAR: &str = r#"
name = "tiny"
[data]
set = "cifar10"
dir = "tiny cifar"
limit_train = 60
validation = 0.2
[[stage]]
kind = "init"
arch = "vgg11"
width = 4
[[stage]]
kind = "gate-train"
inputs.network = "init"
steps = 3
batch_size = 16
"#;

/// Files of CIFAR-10's binary format, as an archive is unpacked: a label, then 3072 bytes, image after image.
fn write_cifar10(folder: &Path) {
    let inner = folder.join("tiny cifar/cifar-10-batches-bin");
    std::fs::create_dir_all(&inner).unwrap();
    let names = (1..=5).map(|number| format!("data_batch_{number}.bin")).chain(["test_batch.bin".to_owned()]);
    for name in names {
        let images = (0..20u8).flat_map(|index| {
            let label = index % 10;
            std::iter::once(label).chain((0..3072u32).map(move |at| (at * u32::from(label) / 12) as u8))
        });
        std::fs::write(inner.join(name), images.collect::<Vec<u8>>()).unwrap();
    }
}

#[test]
fn a_pipeline_runs_on_files_of_cifar10() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("p.toml"), CIFAR).unwrap();

    let (code, plan, _) = output(runner(folder.path(), &["plan", "p.toml"]));
    assert_eq!(code, Some(0));
    assert!(
        plan.split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .contains("cifar10 is not here yet (`runner data fetch cifar10 --dir 'tiny cifar'`)"),
        "{plan}"
    );
    let (code, _, words) = output(runner(folder.path(), &["run", "p.toml"]));
    assert_eq!(code, Some(1));
    let words = flat(&words);
    assert!(words.contains("the data set cifar10 is not here: data_batch_1.bin is missing"), "{words}");
    assert!(words.contains("`runner data fetch cifar10 --dir 'tiny cifar'` downloads it"), "{words}");
    assert!(words.contains("in tiny cifar and tiny cifar/cifar-10-batches-bin"), "{words}");

    write_cifar10(folder.path());
    let (code, _, words) = output(runner(folder.path(), &["run", "p.toml"]));
    assert_eq!(code, Some(0), "{words}");
    assert!(words.contains("2 ran, 0 from the cache"), "{words}");
    let (_, plan, _) = output(runner(folder.path(), &["plan", "p.toml"]));
    assert!(plan.contains("nothing to run"), "{plan}");

    let batch = folder.path().join("tiny cifar/cifar-10-batches-bin/data_batch_3.bin");
    let mut content = std::fs::read(&batch).unwrap();
    content[3073] = 10;
    std::fs::write(&batch, content).unwrap();
    let (code, _, words) = output(runner(folder.path(), &["run", "p.toml"]));
    assert_eq!(code, Some(1), "{words}");
    let words = flat(&words);
    assert!(
        words.contains("data_batch_3.bin is not a valid file of cifar10: its labels go up to 10"),
        "{words}"
    );
    assert!(
        words.contains(
            "the files beside it are not the published ones, so runner does not replace it: correct the file"
        ),
        "{words}"
    );
}
