//! An environment that names no object store, records that lie: a shared cache never ends a run.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;

use super::{Lab, STAGES, change_record};
use crate::binary::{flat, text};

/// The variables of each kind of object store that somebody may have set to anything.
const VARIABLES: [(&str, &[&str]); 3] = [
    (
        "s3://lab/x",
        &[
            "AWS_ENDPOINT_URL",
            "AWS_ENDPOINT_URL_S3",
            "AWS_ENDPOINT",
            "AWS_REGION",
            "AWS_DEFAULT_REGION",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_ALLOW_HTTP",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_METADATA_ENDPOINT",
            "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
            "AWS_CHECKSUM_ALGORITHM",
            "AWS_CONDITIONAL_PUT",
            "AWS_SERVER_SIDE_ENCRYPTION",
            "AWS_SSE_CUSTOMER_KEY_BASE64",
            "AWS_USER_AGENT",
            "AWS_TIMEOUT",
            "AWS_PROXY_URL",
        ],
    ),
    (
        "az://lab/x",
        &[
            "AZURE_STORAGE_ACCOUNT_NAME",
            "AZURE_STORAGE_ACCOUNT_KEY",
            "AZURE_STORAGE_ENDPOINT",
            "AZURE_STORAGE_SAS_TOKEN",
            "AZURE_STORAGE_TOKEN",
            "AZURE_CLIENT_ID",
            "AZURE_TENANT_ID",
            "AZURE_AUTHORITY_HOST",
            "AZURE_FEDERATED_TOKEN_FILE",
            "AZURE_MSI_ENDPOINT",
        ],
    ),
    (
        "gs://lab/x",
        &[
            "GOOGLE_SERVICE_ACCOUNT",
            "GOOGLE_SERVICE_ACCOUNT_KEY",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "GOOGLE_BASE_URL",
            "GOOGLE_SKIP_SIGNATURE",
        ],
    ),
];

fn odd_values() -> Vec<OsString> {
    let mut odd: Vec<OsString> =
        ["", " ", "localhost:1", "127.0.0.1", "http://", "ftp://x/", "://", "a b", "x\ny", "\u{7f}", "/"]
            .map(OsString::from)
            .into();
    odd.push("h\u{e9}".into());
    odd.push(OsString::from_vec(vec![0xff, 0xfe]));
    odd.push("x".repeat(100_000).into());
    odd
}

/// All that is needed to send a request, to a port where nobody listens.
const BASE: [(&str, &str); 9] = [
    ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
    ("AWS_ALLOW_HTTP", "true"),
    ("AWS_ACCESS_KEY_ID", "id"),
    ("AWS_SECRET_ACCESS_KEY", "s3cr3t"),
    ("AZURE_STORAGE_ACCOUNT_NAME", "name"),
    ("AZURE_STORAGE_ENDPOINT", "https://127.0.0.1:1"),
    ("AZURE_STORAGE_ACCOUNT_KEY", "czNjcjN0"),
    ("GOOGLE_BASE_URL", "https://127.0.0.1:1"),
    ("GOOGLE_SKIP_SIGNATURE", "true"),
];

fn try_one(lab: &Lab, machine: &str, url: &str, name: &str, value: &OsString) {
    let mut run = lab.command(machine, &["run", "p.toml", "--until", "init", "--force", "init"]);
    run.args([
        "--remote",
        "read-write",
        "--remote-url",
        url,
        "--remote-timeout",
        "1s",
        "--remote-wait",
        "1s",
    ]);
    run.envs(BASE.iter().copied().filter(|(base, _)| *base != name)).env(name, value);
    let output = run.output().unwrap();
    let said = flat(&text(&output).1);
    assert!(output.status.success(), "{name}={value:?}: {:?} {said}", output.status);
    assert!(!said.contains("panicked"), "{name}={value:?}: {said}");
    assert!(said.matches("warning").count() <= 6, "{name}={value:?}: {said}");
}

#[test]
fn no_variable_of_an_object_store_ends_a_run_whatever_it_holds() {
    /// Each waits for retries most of the time.
    const THREADS: usize = 8;
    let lab = Lab::with_folder();
    let mut cases = Vec::new();
    for (number, (url, name)) in
        VARIABLES.iter().flat_map(|(url, names)| names.iter().map(move |name| (url, name))).enumerate()
    {
        for (at, value) in odd_values().into_iter().enumerate() {
            // All of them in the long version, in turn in the short one.
            if std::env::var_os("RUNNER_TEST_KILLS").is_some() || (number + at) % 3 == 0 {
                cases.push((*url, *name, value));
            }
        }
    }
    assert!(cases.len() >= 36 * 14 / 3, "{}", cases.len());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (lab, cases) = (&lab, &cases);
            scope.spawn(move || {
                for (url, name, value) in cases.iter().skip(thread).step_by(THREADS) {
                    try_one(lab, &format!("machine{thread}"), url, name, value);
                }
            });
        }
    });
}

/// What a record of a shared cache says that no stage gives, sealed as if a runner had written it.
type Lie = (&'static str, fn(&mut serde_json::Value), &'static str);

const LIES: [Lie; 6] = [
    ("no output", |record| record["outputs"] = serde_json::json!({}), "it lacks the output `network`"),
    (
        "another output",
        |record| {
            let network = record["outputs"]["network"].clone();
            record["outputs"]["more"] = network;
        },
        "it has an output `more`",
    ),
    (
        "another kind of output",
        |record| record["outputs"]["network"]["artifact"] = "channels".into(),
        "its output `network` has the type `channels`",
    ),
    ("another kind", |record| record["kind"] = "eval".into(), "it says that it is of eval"),
    ("another version", |record| record["version"] = 77.into(), "in version 77"),
    (
        "an output that is none",
        |record| {
            record["outputs"]["network"]["object"] = blake3::hash(b"no network").to_hex().to_string().into();
            record["outputs"]["network"]["bytes"] = 10.into();
        },
        "its output `network` cannot be read as `network`",
    ),
];

#[test]
fn a_record_that_lies_is_told_and_its_stage_runs_now_and_later() {
    for (what, lie, expected) in LIES {
        let lab = Lab::with_folder();
        lab.fill("a");
        change_record(&lab.record("prune"), lie);
        let hash = blake3::hash(b"no network").to_hex().to_string();
        let junk = lab.path().join("shared/objects").join(&hash[..2]);
        fs::create_dir_all(&junk).unwrap();
        fs::write(junk.join(format!("{hash}.safetensors")), b"no network").unwrap();
        let said = lab.well("b", &["run", "p.toml"]);
        assert!(said.contains(expected), "{what}: {said}");
        assert!(
            said.contains(&format!("1 ran, 0 from the cache, {} from the shared cache", STAGES - 1)),
            "{what}: {said}"
        );
        let again = lab.well("b", &["run", "p.toml"]);
        assert!(again.contains(&format!("0 ran, {STAGES} from the cache")), "{what}: {again}");
        // A pull of all results says which one is not used, and takes the others.
        let pulled = lab.badly("c", &["cache", "pull"]);
        assert!(pulled.contains(&format!("{} results", STAGES - 1)), "{what}: {pulled}");
    }
}

#[test]
fn a_lie_that_is_in_a_cache_already_does_not_end_its_runs() {
    let lies: [Lie; 2] = [LIES[0], LIES[5]];
    for (what, lie, _) in lies {
        let lab = Lab::with_folder();
        lab.well("a", &["run", "p.toml", "--quiet", "--until", "prune", "--remote", "off"]);
        let store = runner::store::Store::open(&lab.path().join("a")).unwrap();
        store.put(b"no network").unwrap();
        let record = crate::binary::files(&lab.path().join("a"), "records")
            .into_iter()
            .find(|path| fs::read_to_string(path).unwrap().contains("\"kind\": \"prune\""));
        change_record(&record.unwrap(), lie);
        let said = lab.well("a", &["run", "p.toml", "--remote", "off"]);
        assert!(said.contains("prune runs again"), "{what}: {said}");
        assert!(lab.well("a", &["run", "p.toml", "--remote", "off"]).contains("0 ran"), "{what}");
    }
}
