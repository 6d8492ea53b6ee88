//! The fuzz targets of `fuzz/`, on the stored corpus and on mutations of it: every `cargo test` tries them, without libFuzzer.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use runner::fingerprint::Fingerprint;
use runner::network::{Arch, Checkpoint, NetworkSpec, initialise};
use runner::prune::{Channels, Scores, add_gates};
use runner::state::{RunState, StageState};
use runner::store::{
    History, LastRun, MANIFEST, ObjectHash, OutputEntry, Provenance, Record, Replace, Request, RunRecord,
    RunStage, Store,
};
use runner::train::{EpochRecord, Figures, TrainState};
use serde_json::json;
use targets::TARGETS;

/// How many mutations of each file of the corpus are tried; `RUNNER_TEST_FUZZ=10000` for more.
fn mutations() -> u32 {
    std::env::var("RUNNER_TEST_FUZZ").map_or(30, |count| count.parse().unwrap())
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let files = fs::read_dir(corpus().join(target)).unwrap().map(|file| file.unwrap().path());
    let mut seeds: Vec<_> = files.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    seeds.sort();
    seeds
}

/// A small change: what damage, an unlucky editor or someone who means harm would make of a file.
fn mutate(seed: &[u8], others: &[(PathBuf, Vec<u8>)], random: &mut ChaCha8Rng) -> Vec<u8> {
    const NUMBERS: [u64; 6] = [0, 1, 0x7fff_ffff, 0xffff_ffff, u64::MAX >> 1, u64::MAX];
    const WORDS: [&str; 8] = ["..", "/", "-1", "1e999", "99999999999999999999", "\0", "\"", "[[[[["];
    let mut changed = seed.to_vec();
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..=changed.len());
        let length = random.random_range(0..=(changed.len() - at).min(40));
        match random.random_range(0..8) {
            0 if at < changed.len() => changed[at] ^= 1 << random.random_range(0..8),
            1 => changed.truncate(at),
            2 => drop(changed.drain(at..at + length)),
            3 => {
                let copied = changed[at..at + length].to_vec();
                changed.splice(at..at, copied);
            }
            4 => {
                let number = NUMBERS.choose(random).unwrap().to_le_bytes();
                let width = *[1, 2, 4, 8].choose(random).unwrap();
                let end = (at + width).min(changed.len());
                changed.splice(at..end, number[..width].iter().copied());
            }
            5 => drop(changed.splice(at..at + length, WORDS.choose(random).unwrap().bytes())),
            6 => {
                let other = &others.choose(random).unwrap().1;
                let from = random.random_range(0..=other.len());
                changed.splice(at.., other[from..].iter().copied());
            }
            _ => drop(changed.splice(at..at, (0..3).map(|_| random.random::<u8>()))),
        }
    }
    changed
}

/// Tries the files of a corpus and mutations of them; the longest time that one took, or what does harm.
fn try_all(target: fn(&[u8]) -> bool, seeds: &[(PathBuf, Vec<u8>)]) -> Result<Duration, Vec<u8>> {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut longest = Duration::ZERO;
    for (_, seed) in seeds {
        let mutated = (0..mutations()).map(|_| mutate(seed, seeds, &mut random));
        for input in std::iter::once(seed.clone()).chain(mutated) {
            let clock = Instant::now();
            if std::panic::catch_unwind(|| target(&input)).is_err() {
                return Err(input);
            }
            longest = longest.max(clock.elapsed());
        }
    }
    Ok(longest)
}

#[test]
fn no_file_of_the_corpus_and_no_mutation_of_it_does_harm() {
    for (name, target) in TARGETS {
        let seeds = seeds(name);
        match try_all(target, &seeds) {
            Ok(longest) => assert!(longest < Duration::from_secs(10), "{name}: one input took {longest:?}"),
            Err(input) => {
                let kept = std::env::temp_dir().join(format!("runner-fuzz-{name}"));
                fs::write(&kept, input).unwrap();
                panic!("{name}: the input that is kept as {} does harm", kept.display());
            }
        }
        // A target that refuses everything would look at nothing.
        let taken = seeds.iter().filter(|(_, seed)| target(seed)).count();
        assert!(
            taken > 0 && (taken < seeds.len() || name == "pipeline"),
            "{name}: {taken} of {}",
            seeds.len()
        );
    }
}

#[test]
fn harm_that_only_a_mutation_does_is_noticed() {
    let seed = (PathBuf::new(), b"no harm".to_vec());
    let harm = |input: &[u8]| {
        assert!(input.starts_with(b"no h"));
        true
    };
    assert!(try_all(harm, &[seed]).is_err_and(|input| input != b"no harm"));
}

#[test]
fn the_corpus_is_small_and_each_of_its_folders_has_a_target() {
    let mut folders: Vec<String> = fs::read_dir(corpus())
        .unwrap()
        .map(|folder| folder.unwrap().file_name().into_string().unwrap())
        .collect();
    folders.sort();
    let mut names = TARGETS.map(|(name, _)| name.to_owned());
    names.sort();
    assert_eq!(folders, names);
    let bytes: usize = names.iter().flat_map(|name| seeds(name)).map(|(_, seed)| seed.len()).sum();
    assert!(bytes < 1 << 20, "{bytes}");
    for name in names {
        let file = format!("fuzz/fuzz_targets/{name}.rs");
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file).is_file(), "{file}");
    }
}

/// Makes the first files of the corpus: `cargo test --test fuzz -- --ignored`. What fuzzing found beside them stays.
#[test]
#[ignore = "writes into the source tree"]
fn the_seeds_are_made_from_what_runner_writes() {
    let put = |target: &str, name: &str, content: &[u8]| {
        fs::create_dir_all(corpus().join(target)).unwrap();
        fs::write(corpus().join(target).join(name), content).unwrap();
    };
    pipelines(&put);
    records(&put);
    let folder = tempfile::tempdir().unwrap();
    let (store, work) = (Store::open(folder.path()).unwrap(), Fingerprint::from_bytes([0xab; 32]));
    cache(&store, work);
    for (room, place) in [
        ("record", format!("records/ab/{work}.json")),
        ("pin", format!("pins/{work}.json")),
        ("last", "last/0123456789ab/s.json".to_owned()),
        ("manifest", "manifests/20260102-030405-4711.json".to_owned()),
        ("memo", "data-hashes.json".to_owned()),
        (
            "run",
            format!(
                "runs/{}",
                fs::read_dir(folder.path().join("runs"))
                    .unwrap()
                    .next()
                    .unwrap()
                    .unwrap()
                    .file_name()
                    .into_string()
                    .unwrap()
            ),
        ),
    ] {
        put("sealed", room, body(&fs::read(folder.path().join(place)).unwrap()));
    }
    let network = network();
    artifacts(&put, &network);
    let state = train_state(&network);
    let history = History { started: Timestamp::UNIX_EPOCH, seconds: 2.5, sessions: 1, of: None };
    store.save_partial(&work, &history, &state).unwrap();
    let saved = fs::read(folder.path().join("partial").join(work.to_string())).unwrap();
    put("state", "training", &saved["runner partial 2\n".len() + 32..]);
    store.save_partial(&work, &history, b"").unwrap();
    let saved = fs::read(folder.path().join("partial").join(work.to_string())).unwrap();
    put("state", "empty", &saved["runner partial 2\n".len() + 32..]);
    put("state", "length", &[255; 8]);
    images(&put);
    archives(&put);
    let bundle = folder.path().join("bundle.tar");
    store.export(&[work].into(), &bundle, Replace::No).unwrap();
    put("bundle", "archive", &fs::read(bundle).unwrap());
    let record = fs::read(folder.path().join(format!("records/ab/{work}.json"))).unwrap();
    let parts = [b"m\0r".as_slice(), body(&record), b"\0a network"].concat();
    put("bundle", "parts", &parts);
    put("bundle", "manifest", b"m  \"bundle\": 2,\n  \"records\": {},\n  \"objects\": {}\n}\n");
}

/// Records as runner writes them, and with values that no stage gives.
fn records(put: Put<'_>) {
    let epoch = |number: u64| {
        json!({ "epoch": number, "train_loss": 0.5, "train_accuracy": 0.5, "validation_loss": 0.4,
            "validation_accuracy": 0.5, "sparsity": 0.5, "mean_gate": 0.5, "lr": 0.1 })
    };
    let history = |epochs: &[u64]| json!({ "history": epochs.iter().copied().map(epoch).collect::<Vec<_>>(), "best_epoch": 1 });
    let search = json!({ "threshold": 0.5, "wanted_ratio": 0.5, "ratio": 0.49, "channels": [1, 2, 4, 4, 8, 8, 8, 8],
        "channels_full": [1, 2, 4, 4, 8, 8, 8, 8], "flops": 1000, "flops_full": 2000 });
    let eval = |count: serde_json::Value| {
        json!({ "networks": { "best": { "accuracy": 0.5, "loss": 1.0, "correct": 5, "images": 10, "flops": 1000,
            "parameters": 10, "confusion": [[count, 1], [0, 5]], "latency_ms": 1.0 } } })
    };
    let whole = |train: serde_json::Value, search: serde_json::Value, eval: serde_json::Value| {
        json!({ "metrics": { "init": {}, "gate-train": train, "threshold-search": search, "prune": { "flops": 1000 },
            "retrain": train, "eval": eval } })
    };
    let honest = whole(history(&[1, 2]), search.clone(), eval(json!(4)));
    let far = u64::MAX;
    let mut huge = search.clone();
    huge["channels_full"] = json!([far, far, far]);
    huge["channels"] = json!([far, 1, 0]);
    huge["threshold"] = json!(1e308);
    let mut small = search.clone();
    small["wanted_ratio"] = json!(-1e308);
    small["threshold"] = json!(5e-324);
    let mut times = honest.clone();
    let mut provenance = serde_json::to_value(Provenance::default()).unwrap();
    provenance["seconds"] = json!(1e308);
    provenance["sessions"] = json!(u32::MAX);
    provenance["threads"] = json!(far);
    provenance["started"] = json!("9999-12-30T22:00:00.999999999Z");
    provenance["finished"] = json!("-009999-01-02T01:59:59Z");
    times["provenance"] = provenance;
    for (name, value) in [
        ("honest", honest),
        ("epoch-of-the-largest-number", whole(history(&[1, far]), search.clone(), eval(json!(4)))),
        ("epoch-of-ten-millions", whole(history(&[10_000_000]), search.clone(), eval(json!(4)))),
        ("epoch-of-zero-and-twice", whole(history(&[0, 0, 3, 3]), search.clone(), eval(json!(4)))),
        ("counts-that-overflow", whole(history(&[1]), search, eval(json!(far)))),
        ("channels-of-the-largest-number", whole(history(&[1]), huge, eval(json!(4)))),
        ("ratios-below-nothing", whole(history(&[1]), small, eval(json!(4)))),
        ("times", times),
        ("no-object", json!([1, 2, 3])),
    ] {
        put("record", name, &serde_json::to_vec(&value).unwrap());
    }
}

type Put<'a> = &'a dyn Fn(&str, &str, &[u8]);

fn pipelines(put: Put<'_>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    for file in fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
        if file.extension().is_some_and(|ending| ending == "toml") {
            let name = file.file_stem().unwrap().to_string_lossy().into_owned();
            put("pipeline", &name, &fs::read(&file).unwrap());
        }
    }
    let swept = r#"
name = "swept"
seed = 3
[[stage]]
kind = "init"
[[stage]]
name = "gates"
kind = "gate-train"
inputs.network = "init"
epochs = 2
optimizer = { kind = "adam", lr = 0.001 }
timeout = "3h"
[[stage]]
kind = "threshold-search"
inputs.network = "gates"
flops_ratio = 0.5
[sweep]
matrix = { seed = "1..3", threshold-search.flops_ratio = [0.3, 0.5] }
zip = { init.width = [4, 8], gates.epochs = [1, 2] }
exclude = [{ seed = 1, init.width = 4 }]
include = [{ seed = [7, 8] }]
"#;
    put("pipeline", "swept", swept.as_bytes());
    for (name, lines) in [
        ("set", "seed=4\ngate-train.optimizer.lr=0.1\ninit.arch=vgg16\ndata.size=32"),
        ("over", "+seed=1..3\n+threshold-search.flops_ratio=0.1,0.2\n+data.limit_train=100,200"),
        ("many", "+seed=1..300\n+gate-train.epochs=1..300"),
        ("words", "gate-train.schedule={kind=\"cosine\"}\n+init.width=4,8\nseed=1"),
        ("wrong", "init.archh=vgg16\n+seed=3..1\n+seed=\n=4"),
    ] {
        put("changes", name, lines.as_bytes());
    }
}

fn cache(store: &Store, work: Fingerprint) {
    let object = store.put(b"a network").unwrap();
    let entry = OutputEntry { object, bytes: 9, artifact: "network".into() };
    let provenance = Provenance {
        inputs: BTreeMap::from([("network".into(), ObjectHash::of(b"another"))]),
        parameters: json!({ "epochs": 3, "optimizer": { "kind": "sgd", "lr": 0.1 } }),
        seed: Some(1),
        ..Provenance::default()
    };
    let outputs = BTreeMap::from([("network".into(), entry)]);
    store.commit(&Record::new(work, "retrain", 1, outputs, json!({ "accuracy": 0.5 }), provenance)).unwrap();
    store.pin(&work).unwrap();
    store.note_run("0123456789ab", "small", [work]).unwrap();
    let last = LastRun {
        fingerprint: work,
        kind: "retrain".into(),
        version: 1,
        parameters: json!({ "epochs": 3 }),
        seed: Some(1),
        data: Some("d".into()),
        images: json!({ "size": 32 }),
        inputs: BTreeMap::from([("network".into(), vec![ObjectHash::of(b"another")])]),
    };
    store.remember("0123456789ab", "", "s", &last).unwrap();
    let run = RunRecord {
        manifest: MANIFEST,
        status: RunState::Done,
        exit_code: Some(0),
        command: vec!["runner".into(), "run".into()],
        folder: "/".into(),
        host: "h".into(),
        runner_version: "0".into(),
        runner_commit: None,
        started: Timestamp::UNIX_EPOCH,
        finished: Some(Timestamp::UNIX_EPOCH),
        pipeline: "p".into(),
        file: "name = \"p\"".into(),
        request: Some(Request::default()),
        points: vec![String::new()],
        stages: vec![RunStage {
            stage: "retrain".into(),
            points: vec![0],
            fingerprint: Some(work),
            state: StageState::Ran,
            outputs: BTreeMap::from([("network".into(), ObjectHash::of(b"another"))]),
            images: Some("d".into()),
            version: Some(1),
        }],
    };
    store.keep_run("20260102-030405-4711", &run).unwrap();
    store.data_memo().update(|memo: &mut serde_json::Value| *memo = json!({ "files": [] })).unwrap();
}

/// What follows the first lines of a sealed file.
fn body(content: &[u8]) -> &[u8] {
    let end = content.windows(3).position(|three| three == b"\",\n").unwrap();
    &content[end + 3..]
}

fn network() -> Checkpoint {
    let spec = NetworkSpec::vgg(Arch::Vgg11, 1, 1.0, [1, 16, 16], 2).unwrap();
    initialise(&spec, 7)
}

fn artifacts(put: Put<'_>, network: &Checkpoint) {
    let mut gated = network.clone();
    add_gates(&mut gated);
    let kept = network.spec.channels.iter().map(|_| vec![0]).collect();
    let values = network.spec.channels.iter().map(|count| vec![0.5; *count]).collect();
    let channels = Channels::new(network.spec.clone(), kept).unwrap();
    let scores = Scores::new(network.spec.clone(), values).unwrap();
    let files = [
        ("network", network.to_safetensors().unwrap()),
        ("gated", gated.to_safetensors().unwrap()),
        ("channels", channels.to_safetensors().unwrap()),
        ("scores", scores.to_safetensors().unwrap()),
    ];
    for (name, file) in files {
        let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        put("artifact", &format!("{name}-header"), &[b"h", &file[8..8 + length]].concat());
        if name == "network" || name == "channels" {
            put("artifact", name, &file);
        }
    }
}

fn train_state(network: &Checkpoint) -> Vec<u8> {
    let epoch = EpochRecord {
        epoch: 1,
        train_loss: 0.5,
        train_accuracy: 0.5,
        validation_loss: Some(0.5),
        validation_accuracy: None,
        sparsity: Some(0.5),
        mean_gate: None,
        lr: 0.1,
    };
    let figures =
        Figures { step: 3, loss_sum: 1.5, correct: 2, seen: 4, history: vec![epoch], best_epoch: None };
    let optimizer = BTreeMap::from([("momentum.classifier.bias".into(), (vec![2], vec![0.5, -0.5]))]);
    TrainState { figures, network: network.clone(), best: None, optimizer }.to_bytes().unwrap()
}

fn images(put: Put<'_>) {
    let file = |set: u8, images: &[u8], labels: &[u8]| {
        let length = (images.len() as u16).to_le_bytes();
        [&[set], length.as_slice(), images, labels].concat()
    };
    let idx = |sizes: &[u32], body: &[u8]| {
        let head = [0, 0, 8, sizes.len() as u8];
        let sizes: Vec<u8> = sizes.iter().flat_map(|size| size.to_be_bytes()).collect();
        [head.as_slice(), &sizes, body].concat()
    };
    let one = idx(&[1, 28, 28], &[9; 784]);
    put("images", "mnist", &file(0, &one, &idx(&[1], &[3])));
    put("images", "lying", &file(0, &idx(&[u32::MAX, 28, 28], &[9; 28]), &idx(&[u32::MAX], &[3])));
    put(
        "images",
        "cifar10",
        &file(1, &[[5].as_slice(), &[1; 3072]].concat(), &[[6].as_slice(), &[1; 3072]].concat()),
    );
    put(
        "images",
        "cifar100",
        &file(2, &[[5, 6].as_slice(), &[1; 3072]].concat(), &[[6, 7].as_slice(), &[1; 3072]].concat()),
    );
    put("images", "packed", &file(0x80, &packed(&one), &packed(&idx(&[1], &[3]))));
}

fn packed(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, content).unwrap();
    encoder.finish().unwrap()
}

fn archives(put: Put<'_>) {
    let build = |entries: &[(&str, tar::EntryType)]| {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, kind) in entries {
            let mut header = tar::Header::new_ustar();
            let raw = header.as_ustar_mut().unwrap();
            raw.name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(if kind.is_file() { 8 } else { 0 });
            header.set_cksum();
            builder.append(&header, if kind.is_file() { b"8 bytes.".as_slice() } else { b"" }).unwrap();
        }
        builder.into_inner().unwrap()
    };
    use tar::EntryType::{Directory, Regular, Symlink};
    let members = [("cifar-100-binary/train.bin", Regular), ("cifar-100-binary/test.bin", Regular)];
    let honest = build(&[&[("cifar-100-binary/", Directory)], members.as_slice()].concat());
    put("archive", "honest", &honest);
    put("archive", "packed", &[b"z".as_slice(), &packed(&honest)].concat());
    put("archive", "leaves", &build(&[("../train.bin", Regular)]));
    put("archive", "link", &build(&[("cifar-100-binary/train.bin", Symlink)]));
    let mut long = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(8);
    long.append_data(&mut header, "folder/".repeat(40), b"8 bytes.".as_slice()).unwrap();
    put("archive", "long", &long.into_inner().unwrap());
}
