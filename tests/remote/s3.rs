//! A real S3 server, and harm on the way to it.
//!
//! `RUNNER_S3_SERVER` names its command: `moto_server`, which `pip install 'moto[s3,server]'` brings. Without it these tests
//! are skipped, and say so.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::proxy::{Harm, Proxy, Request};
use super::{Lab, STAGES, contents};
use crate::binary::text;

const SECRETS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "AKIAVISIBLENOWHERE"),
    ("AWS_SECRET_ACCESS_KEY", "hunter2secret"),
    ("AWS_SESSION_TOKEN", "tokenhunter2"),
];

/// A server until the test ends.
struct Server {
    process: Child,
    /// Host and port.
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts the server with the bucket `lab`; `None`, and a word, where there is none.
fn server() -> Option<Server> {
    let Some(command) = std::env::var_os("RUNNER_S3_SERVER") else {
        eprintln!("SKIPPED: RUNNER_S3_SERVER does not name an S3 server (moto_server)");
        return None;
    };
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let mut start = Command::new(command);
    start.args(["-H", "127.0.0.1", "-p", &address.port().to_string()]);
    let process = start.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let server = Server { process, address: address.to_string() };
    let clock = Instant::now();
    while !made_bucket(&server.address) {
        assert!(clock.elapsed() < Duration::from_secs(120), "the server does not start");
        std::thread::sleep(Duration::from_millis(100));
    }
    Some(server)
}

fn made_bucket(address: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let request =
        format!("PUT /lab HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    let asked = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer));
    asked.is_ok() && answer.starts_with("HTTP/1.1 200")
}

/// A lab whose shared cache is behind `endpoint`.
fn lab(endpoint: &str, prefix: &str) -> Lab {
    let mut lab = Lab::with_folder();
    lab.url = format!("s3://lab/{prefix}");
    at(&mut lab, endpoint);
    lab
}

fn at(lab: &mut Lab, endpoint: &str) {
    let environment =
        [("AWS_ENDPOINT_URL", endpoint), ("AWS_ALLOW_HTTP", "true"), ("AWS_REGION", "us-east-1")];
    let environment = environment.iter().chain(&SECRETS);
    lab.environment = environment.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
}

/// That no secret stands in what was said, nor in any file of a machine.
fn keeps_secrets(lab: &Lab, said: &str) {
    let files = contents(lab.path());
    let texts = files.values().map(|content| String::from_utf8_lossy(content).into_owned());
    for text in texts.chain([said.to_owned()]) {
        for (name, secret) in SECRETS {
            assert!(!text.contains(secret), "{name} is told");
        }
    }
}

#[test]
fn machines_share_results_through_a_real_server_and_no_secret_is_told() {
    let Some(server) = server() else { return };
    let lab = lab(&format!("http://{}", server.address), "pruning/quick");
    let mut said = lab.well("a", &["run", "p.toml", "--remote", "read-write"]);
    assert!(said.contains("5 ran, 0 from the cache, 5 uploaded") && !said.contains("warning"), "{said}");
    let again = lab.well("a", &["cache", "push"]);
    assert!(again.contains("pushed: 0 results; 5 there already"), "{again}");
    let came = lab.well("b", &["run", "p.toml"]);
    assert!(came.contains("0 ran, 0 from the cache, 5 from the shared cache"), "{came}");
    lab.same("b", "a");
    let pulled = lab.well("c", &["cache", "pull"]);
    assert!(pulled.contains(&format!("pulled: {STAGES} results")), "{pulled}");
    lab.same("c", "a");
    let staged = lab.json("d", &["cache", "pull", "p.toml", "prune"]);
    assert_eq!(staged["new"].as_array().unwrap().len(), 4, "{staged}");
    for more in [again, came, pulled, staged.to_string()] {
        said += &more;
    }
    // A bucket that is not there is another thing than a result that is not there.
    let output = lab.command("d", &["cache", "pull", "--remote-url", "s3://elsewhere/x"]).output().unwrap();
    let (out, err) = text(&output);
    assert!(!output.status.success() && err.contains("there is no such bucket"), "{out}{err}");
    keeps_secrets(&lab, &(said + &out + &err));
}

#[test]
fn a_large_object_goes_in_parts_and_comes_back_the_same() {
    let Some(server) = server() else { return };
    let lab = lab(&format!("http://{}", server.address), "large");
    // Some 40 MB of weights.
    let arguments = ["--until", "init", "--set", "init.width=48"];
    lab.well("a", &[&["run", "p.toml", "--remote", "read-write"], arguments.as_slice()].concat());
    let object = crate::binary::object(lab.path(), "a", "init", "network");
    assert!(object.metadata().unwrap().len() > 17 << 20, "{:?}", object.metadata());
    let said = lab.well("b", &[&["run", "p.toml"], arguments.as_slice()].concat());
    assert!(said.contains("1 from the shared cache"), "{said}");
    lab.same("b", "a");
}

#[test]
fn whatever_happens_on_the_way_a_run_ends_well_in_bounded_time() {
    let Some(server) = server() else { return };
    let mut lab = lab(&format!("http://{}", server.address), "harm");
    lab.fill("a");
    type When = fn(&Request) -> bool;
    let any: When = |_| true;
    let objects: When = |request| request.gets("objects/");
    let records: When = |request| request.gets("records/");
    let harms = [
        (Harm::Break, objects, "object"),
        (Harm::Break, records, "record"),
        (Harm::Flip, objects, "its content is not what its name says"),
        (Harm::Flip, records, "it is damaged"),
        (Harm::Flip, any, "`runner-cache.json` is damaged"),
        (Harm::Busy, any, "it has too much to do (503 SlowDown)"),
        (Harm::Busy, objects, "it has too much to do (503 SlowDown)"),
        (Harm::Silence, any, "no answer within 1 s"),
        (Harm::Silence, objects, "no answer within 1 s"),
        (Harm::Drip, objects, "the shared cache s3://lab/harm cannot be read"),
        (Harm::Exabyte, objects, "it has 1152921504606846976 bytes, and its record says"),
        (Harm::Exabyte, records, "it is larger than any such file"),
        (Harm::Longer, objects, "bytes, and its record says"),
        (Harm::Longer, records, "it is damaged"),
        (Harm::Denied, any, "access is denied (403 SignatureDoesNotMatch)"),
        (Harm::Denied, objects, "access is denied (403 SignatureDoesNotMatch)"),
    ];
    for (number, (harm, when, words)) in harms.into_iter().enumerate() {
        let proxy =
            Proxy::start(&server.address, move |request, _| if when(request) { harm } else { Harm::None });
        at(&mut lab, &proxy.endpoint);
        let machine = format!("m{number}");
        let clock = Instant::now();
        let said = lab.well(&machine, &["run", "p.toml", "--remote", "read-write", "--remote-timeout", "1s"]);
        assert!(clock.elapsed() < Duration::from_secs(60), "{harm:?}, {words}: {:?}", clock.elapsed());
        // A broken connection may be taken up again, and then nothing is to be told.
        let is_told = said.contains("warning:") && said.contains(words);
        assert!(is_told || harm == Harm::Break, "{harm:?}, {words}: {said}");
        lab.same(&machine, "a");
        keeps_secrets(&lab, &said);
        let tmp = lab.path().join(&machine).join("tmp");
        assert_eq!(std::fs::read_dir(tmp).unwrap().count(), 0, "{harm:?}");
        assert!(proxy.requests().iter().any(when));
    }
}

#[test]
fn uploads_that_fail_are_told_with_the_command_that_sends_them() {
    let Some(server) = server() else { return };
    let direct = format!("http://{}", server.address);
    for (number, harm) in [Harm::Busy, Harm::Silence, Harm::Denied, Harm::Break].into_iter().enumerate() {
        let proxy = Proxy::start(
            &server.address,
            move |request, _| {
                if request.puts("objects/") { harm } else { Harm::None }
            },
        );
        let mut lab = lab(&proxy.endpoint, &format!("uploads{number}"));
        let clock = Instant::now();
        let said = lab.well("a", &["run", "p.toml", "--remote", "read-write", "--remote-timeout", "1s"]);
        assert!(clock.elapsed() < Duration::from_secs(60), "{harm:?}: {:?}", clock.elapsed());
        assert!(said.contains("5 ran"), "{harm:?}: {said}");
        if harm != Harm::Break {
            assert!(said.contains("results are not in the shared cache"), "{harm:?}: {said}");
            assert!(
                said.contains("runner cache push p.toml --cache a --remote-url s3://lab/uploads"),
                "{said}"
            );
        }
        keeps_secrets(&lab, &said);
        // No record is there without its objects; afterwards all is.
        at(&mut lab, &direct);
        let early = lab.json("early", &["cache", "pull"]);
        assert!(early["failed"].as_array().unwrap().is_empty(), "{harm:?}: {early}");
        lab.well("a", &["cache", "push", "p.toml"]);
        assert!(lab.well("b", &["run", "p.toml"]).contains("5 from the shared cache"), "{harm:?}");
        lab.same("b", "a");
    }
}

#[test]
fn the_end_of_a_run_waits_for_uploads_no_longer_than_it_may() {
    let Some(server) = server() else { return };
    let proxy =
        Proxy::start(
            &server.address,
            |request, _| {
                if request.puts("objects/") { Harm::Silence } else { Harm::None }
            },
        );
    let lab = lab(&proxy.endpoint, "slow");
    let clock = Instant::now();
    let arguments =
        ["run", "p.toml", "--remote", "read-write", "--remote-timeout", "10min", "--remote-wait", "2s"];
    let events = lab.events("a", &arguments);
    assert!(clock.elapsed() < Duration::from_secs(40), "{:?}", clock.elapsed());
    let waiting: Vec<_> = events.iter().filter(|event| event["event"] == "uploads-waiting").collect();
    assert!(
        !waiting.is_empty() && waiting[0]["remote"] == "s3://lab/slow" && waiting[0]["left"] == 5,
        "{events:?}"
    );
    let warned = events
        .iter()
        .any(|event| event["message"].to_string().contains("5 results are not in the shared cache"));
    assert!(warned, "{events:?}");
}

#[test]
fn a_race_for_a_record_is_lost_in_peace() {
    let Some(server) = server() else { return };
    let direct = format!("http://{}", server.address);
    // Every first attempt to put a record meets one that another machine is putting.
    let seen = std::sync::Mutex::new(std::collections::BTreeSet::new());
    let proxy = Proxy::start(&server.address, move |request, _| {
        let first = request.puts("records/")
            && request.creates()
            && seen.lock().unwrap().insert(request.line.clone());
        if first { Harm::Conflict } else { Harm::None }
    });
    let mut lab = lab(&proxy.endpoint, "race");
    let said = lab.well("a", &["run", "p.toml", "--remote", "read-write"]);
    assert!(said.contains("5 uploaded") && !said.contains("warning"), "{said}");
    assert_eq!(proxy.requests().iter().filter(|request| request.puts("records/")).count(), 2 * STAGES);
    // And three that are really at it: whoever is second finds the record there (412), and it is the same.
    at(&mut lab, &direct);
    lab.url = "s3://lab/race/three".to_owned();
    let start = |machine: &str| {
        let mut run = lab.sharing(machine, &["run", "p.toml", "--remote", "read-write"]);
        run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    for run in ["b", "c", "d"].map(start) {
        let said = super::said(&run.wait_with_output().unwrap(), true);
        assert!(!said.contains("warning"), "{said}");
    }
    for machine in ["b", "c", "d"] {
        lab.same(machine, "a");
        assert!(lab.well(machine, &["cache", "push"]).contains("5 there already"));
    }
}
