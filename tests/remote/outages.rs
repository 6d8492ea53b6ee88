//! A shared cache that is not there, or that never answers. No server is needed for that.

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Lab, contents, said};

/// A lab whose shared cache is a bucket at `endpoint`.
fn bucket(endpoint: &str) -> Lab {
    let mut lab = Lab::with_folder();
    lab.url = "s3://lab/pruning".to_owned();
    let environment = [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "AKIAKEY"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2secret"),
        ("RUNNER_REMOTE_TIMEOUT", "1s"),
    ];
    lab.environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    lab
}

/// A server that takes connections and says nothing.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    (listener, endpoint)
}

#[test]
fn a_folder_that_is_not_mounted_costs_a_warning() {
    let mut lab = Lab::with_folder();
    lab.well("a", &["run", "p.toml", "--remote", "off"]);
    lab.url = format!("file://{}/nowhere", lab.path().display());
    let said = lab.well("b", &["run", "p.toml", "--remote", "read-write"]);
    assert!(said.contains("there is no such folder; make it, or mount it"), "{said}");
    assert!(said.contains("5 ran"), "{said}");
    lab.same("b", "a");
    assert!(lab.badly("b", &["cache", "push"]).contains("there is no such folder"));
}

#[test]
fn a_server_that_is_not_there_costs_a_warning_and_little_time() {
    // The second is spoken to by TLS, which needs its cryptography.
    for endpoint in ["http://127.0.0.1:9", "https://127.0.0.1:9"] {
        let lab = bucket(endpoint);
        let clock = Instant::now();
        let said = lab.well("a", &["run", "p.toml", "--remote", "read-write"]);
        assert!(clock.elapsed() < Duration::from_secs(30), "{:?}", clock.elapsed());
        assert!(
            said.contains("the shared cache s3://lab/pruning cannot be read: connection refused"),
            "{said}"
        );
        assert!(said.contains("the shared cache is left alone for the rest of this run"), "{said}");
        assert!(said.contains("5 results are not in the shared cache"), "{said}");
        assert!(
            said.contains(
                "to send what is missing: runner cache push p.toml --cache a --remote-url s3://lab/pruning"
            ),
            "{said}"
        );
        assert_eq!(said.matches("cannot be read").count(), 3, "{said}");
        assert!(!said.contains("hunter2") && !said.contains("AKIAKEY"), "{said}");
        let clock = Instant::now();
        let said = lab.badly("a", &["cache", "push", "p.toml"]);
        assert!(clock.elapsed() < Duration::from_secs(20) && said.contains("failed: "), "{said}");
        assert!(lab.badly("a", &["cache", "pull"]).contains("cannot be read: connection refused"));
    }
}

#[test]
fn plain_http_has_to_be_allowed() {
    let mut lab = bucket("http://127.0.0.1:9");
    lab.environment.retain(|(name, _)| name != "AWS_ALLOW_HTTP");
    let said = lab.badly("a", &["cache", "pull"]);
    assert!(said.contains("AWS_ENDPOINT_URL is plain HTTP, which only AWS_ALLOW_HTTP=true allows"), "{said}");
}

#[test]
fn a_server_that_never_answers_costs_bounded_time() {
    let (_listener, endpoint) = silent();
    let lab = bucket(&endpoint);
    let clock = Instant::now();
    let said = lab.well("a", &["run", "p.toml", "--remote", "read-write"]);
    assert!(said.contains("cannot be read: no answer within 1 s"), "{said}");
    assert!(said.contains("5 ran") && said.contains("left alone"), "{said}");
    assert!(clock.elapsed() < Duration::from_secs(30), "{:?}", clock.elapsed());
    let kept = contents(&lab.path().join("a"));
    assert!(kept.values().all(|content| !String::from_utf8_lossy(content).contains("hunter2")));
}

#[test]
fn ctrl_c_ends_a_run_that_waits_for_an_answer() {
    let (listener, endpoint) = silent();
    let lab = bucket(&endpoint);
    let mut run = lab.sharing("a", &["run", "p.toml", "--remote-timeout", "10min"]);
    let run = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It asks, and waits.
    let _connection = listener.accept().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let clock = Instant::now();
    assert!(Command::new("kill").args(["-s", "INT", &run.id().to_string()]).status().unwrap().success());
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output, false));
    assert!(clock.elapsed() < Duration::from_secs(5), "{:?}", clock.elapsed());
}
