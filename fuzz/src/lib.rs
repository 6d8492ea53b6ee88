//! What reads files that anyone may have made, fed with bytes: no panic, no endless loop, and no memory asked for
//! because a header says so.
//!
//! `fuzz_targets/` gives each of these to libFuzzer; `tests/fuzz.rs` gives them the stored corpus and mutations of it, so that
//! they are tried by every `cargo test`. Checksums are made right here, or no mutation would get past them.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use md5::{Digest, Md5};
use runner::data::fetch::{self, Download, FetchOptions, Packing, Published, PublishedFile};
use runner::data::{DataParams, DataSetName, load};
use runner::fingerprint::Fingerprint;
use runner::network::Checkpoint;
use runner::page::Report;
use runner::pipeline;
use runner::plan::{DataIdentities, Entry, Graph, Plan, Verdict};
use runner::prune::{Channels, Scores};
use runner::report::figures::{Content, FigureId, Study};
use runner::report::{Artifact, observations, summarise};
use runner::stages;
use runner::store::{Lookup, ObjectHash, Partial, Provenance, Record, Repair, Store};
use runner::train::{Figures, TrainState};
use serde_json::{Value, json};

/// A target: its name, which is that of its folder in `corpus/`, and what it does with bytes: whether they are what they should
/// be.
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// All targets.
pub const TARGETS: [Target; 9] = [
    ("pipeline", pipeline),
    ("changes", changes),
    ("sealed", sealed),
    ("record", record),
    ("state", state),
    ("artifact", artifact),
    ("images", images),
    ("archive", archive),
    ("bundle", bundle),
];

/// The largest piece of memory that may be asked for: far more than any input here is worth.
const LARGEST: usize = 128 << 20;

/// The system's allocator, which ends the process where a header is believed that claims more than there is.
pub struct Wary;

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Wary {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        refuse(layout.size());
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        refuse(layout.size());
        // SAFETY: as the caller promised.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        refuse(size);
        // SAFETY: as the caller promised.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static WARY: Wary = Wary;

fn refuse(size: usize) {
    if size > LARGEST {
        // Nothing may be allocated here, so no panic either.
        let _ = std::io::stderr().write_all(b"far more memory was asked for than the input is worth\n");
        std::process::abort();
    }
}

/// Points of a sweep that are made into a graph: more of them only take time.
const POINTS: usize = 200;

/// A pipeline file: parsed, checked, its sweep expanded and its stages configured.
pub fn pipeline(input: &[u8]) -> bool {
    let read = match std::str::from_utf8(input) {
        Ok(text) => pipeline::parse("p.toml", text, &[], stages::catalog()),
        // Only a file can be no text.
        Err(_) => {
            let folder = scratch();
            let path = folder.path().join("p.toml");
            fs::write(&path, input).unwrap();
            pipeline::load(&path, &[], stages::catalog())
        }
    };
    match read {
        Ok(read) => points(&read, &[]),
        Err(error) => refused(&error),
    }
}

/// Expands a sweep as far as is worth the time.
fn points(read: &pipeline::Pipeline, over: &[String]) -> bool {
    match read.points(over) {
        Ok(mut points) => {
            assert!(!points.is_empty());
            points.truncate(POINTS);
            Graph::new(&points, &mut DataIdentities::new(None)).is_ok_and(|graph| !graph.nodes.is_empty())
        }
        Err(error) => refused(&error),
    }
}

/// What is refused is refused with words: the error can be drawn, with the piece of the file that it is about.
fn refused(error: &dyn miette::Diagnostic) -> bool {
    let mut text = String::new();
    let drawn = miette::GraphicalReportHandler::new().render_report(&mut text, error);
    assert!(drawn.is_ok(), "{error:?}");
    false
}

const SWEPT: &str = r#"
seed = 1
[[stage]]
kind = "init"
arch = "vgg11"
[[stage]]
kind = "gate-train"
inputs.network = "init"
[[stage]]
kind = "threshold-search"
inputs.network = "gate-train"
flops_ratio = 0.5
[sweep]
matrix = { seed = [1, 2], threshold-search.flops_ratio = [0.3, 0.5] }
"#;

/// Changes of the command line, one a line: `--set`, or `--over` after a `+`.
pub fn changes(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let (over, set): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with('+'));
    let set: Vec<String> = set.into_iter().map(str::to_owned).collect();
    let over: Vec<String> = over.into_iter().map(|line| line[1..].to_owned()).collect();
    match pipeline::parse("p.toml", SWEPT, &set, stages::catalog()) {
        Ok(read) => points(&read, &over),
        Err(error) => refused(&error),
    }
}

/// What a JSON file of the cache holds after its first two lines, in every place that such a file can have.
pub fn sealed(input: &[u8]) -> bool {
    let folder = scratch();
    let work = Fingerprint::from_bytes([0xab; 32]);
    let contents = [input.to_vec(), seal(input)];
    let mut whole = false;
    for content in contents {
        for place in [
            format!("records/ab/{work}.json"),
            format!("pins/{work}.json"),
            format!("runs/{work}.json"),
            "last/0123456789ab/s.json".to_owned(),
            "manifests/20260102-030405-4711.json".to_owned(),
            "data-hashes.json".to_owned(),
        ] {
            write(folder.path(), &place, &content);
        }
        let store = Store::open(folder.path()).unwrap();
        if let Ok(Lookup::Present(record)) = store.lookup(&work) {
            let _ = store.commit(&record);
            assert_eq!(store.lookup(&work).ok(), Some(Lookup::Present(record)));
        }
        let _ = (store.recall("0123456789ab", "", "s"), store.runs(), store.data_memo().read::<Value>());
        let _ = (store.inventory(), store.makers(&ObjectHash::of(b"")));
        let checked = store.verify(Repair::No).unwrap();
        assert!(checked.files == 6, "{checked:?}");
        whole = checked.findings.len() < 5;
    }
    whole
}

/// A pipeline with a stage for each of the records that [`record`] reads.
const READ: &str = r#"
[data]
set = "fashion-mnist-mini"
[[stage]]
kind = "init"
arch = "vgg11"
width = 1
[[stage]]
kind = "gate-train"
inputs.network = "init"
[[stage]]
kind = "threshold-search"
inputs.network = "gate-train"
flops_ratio = 0.5
[[stage]]
kind = "prune"
inputs.channels = "threshold-search"
[[stage]]
kind = "retrain"
inputs.network = "prune"
[[stage]]
kind = "eval"
inputs.network = "retrain"
"#;

/// Metrics and provenance of every stage of a study, in all tables, figures, the report and TensorBoard's files: what their
/// readers make of any values. The input is a JSON object with `metrics` by kind, and `provenance`.
pub fn record(input: &[u8]) -> bool {
    /// More bytes of figures than any input here is worth.
    const DRAWN: usize = 32 << 20;
    let Ok(value) = serde_json::from_slice::<Value>(input) else { return false };
    let read = pipeline::parse("p.toml", READ, &[], stages::catalog()).unwrap();
    let graph = Graph::new(&read.points(&[]).unwrap(), &mut DataIdentities::new(None)).unwrap();
    let provenance: Provenance = serde_json::from_value(value["provenance"].clone()).unwrap_or_default();
    let folder = scratch();
    let store = Store::open(folder.path()).unwrap();
    let records: Vec<Option<Record>> = graph
        .iter()
        .map(|(id, node)| {
            let kind = node.stage.kind;
            let work = Fingerprint::from_bytes([id.0 as u8; 32]);
            let metrics = value["metrics"][kind.name].clone();
            Some(Record::new(work, kind.name, kind.version, BTreeMap::new(), metrics, provenance.clone()))
        })
        .collect();
    let entry = |record: &Option<Record>| {
        let record = record.clone().unwrap();
        let verdict = Verdict::Cached(Box::new(record.clone()));
        Entry { fingerprint: Some(record.fingerprint), verdict, warnings: Vec::new() }
    };
    let plan = Plan { entries: records.iter().map(entry).collect() };
    let study = Study { graph: &graph, plan: &plan, store: &store };
    for figure in FigureId::ALL {
        if let Ok(figure) = Content::of(figure, &study) {
            assert!(figure.csv().len() < DRAWN);
        }
    }
    for point in &graph.points {
        let _ = summarise(&graph, point, &records);
    }
    for record in records.iter().flatten() {
        let _ =
            (runner::report::key_figure(&record.metrics), runner::report::compare::metrics(&record.metrics));
    }
    let _ = observations(&graph, &records);
    let report = Report {
        study,
        name: "p".to_owned(),
        description: None,
        file: READ.to_owned(),
        command: String::new(),
        baseline: None,
        runs: Vec::new(),
        made: jiff::Timestamp::UNIX_EPOCH,
    };
    assert!(report.html().len() < DRAWN);
    value["metrics"].is_object()
}

/// The first lines of a file, whose seal fits what follows.
fn seal(body: &[u8]) -> Vec<u8> {
    let (head, tail) = ("{\n  \"format\": 2,\n  \"seal\": \"", [b"\",\n".as_slice(), body].concat());
    let mut hasher = blake3::Hasher::new();
    hasher.update(head.as_bytes()).update(&tail);
    [head.as_bytes(), hasher.finalize().to_hex().as_bytes(), &tail].concat()
}

/// The state of an interrupted stage, after its hash.
pub fn state(input: &[u8]) -> bool {
    let folder = scratch();
    let work = Fingerprint::from_bytes([0xab; 32]);
    let content = [b"runner partial 2\n", blake3::hash(input).as_bytes().as_slice(), input].concat();
    write(folder.path(), &format!("partial/{work}"), &content);
    let store = Store::open(folder.path()).unwrap();
    if let Ok(Partial::Whole { history, state }) = store.load_partial(&work) {
        let _ = Figures::of_state(&state);
        if let Ok(read) = TrainState::from_bytes(&state) {
            let again = TrainState::from_bytes(&read.to_bytes().unwrap()).unwrap();
            assert_eq!(again.to_bytes().unwrap(), read.to_bytes().unwrap());
        }
        store.save_partial(&work, &history, &state).unwrap();
        return true;
    }
    false
}

/// What stages give each other. The input is the header of a safetensors file after a byte that says how the file goes on; or
/// the whole file.
pub fn artifact(input: &[u8]) -> bool {
    let Some((first, rest)) = input.split_first() else { return false };
    let file = match first {
        b'h' => with_header(rest),
        _ => input.to_vec(),
    };
    let _ = Artifact::read("network", &file);
    let mut whole = false;
    if let Ok(read) = Checkpoint::from_safetensors(&file) {
        // By their bytes: numbers that are none are not equal to themselves.
        let bytes = read.to_safetensors().unwrap();
        let again = Checkpoint::from_safetensors(&bytes).unwrap();
        assert_eq!(again.to_safetensors().unwrap(), bytes);
        let _ = runner::prune::importance(&read);
        whole = true;
    }
    if let Ok(read) = Channels::from_safetensors(&file) {
        assert_eq!(Channels::from_safetensors(&read.to_safetensors().unwrap()).unwrap(), read);
        let _ = read.slim();
        whole = true;
    }
    if let Ok(read) = Scores::from_safetensors(&file) {
        assert_eq!(Scores::from_safetensors(&read.to_safetensors().unwrap()).unwrap(), read);
        whole = true;
    }
    whole
}

/// A file with this header and as many bytes after it as it speaks of, as long as those are few.
fn with_header(header: &[u8]) -> Vec<u8> {
    const MOST: u64 = 1 << 20;
    let value: Value = serde_json::from_slice(header).unwrap_or_default();
    let tensors = value.as_object().into_iter().flatten();
    let ends = tensors.filter_map(|(_, tensor)| tensor["data_offsets"][1].as_u64());
    let body = vec![1; ends.filter(|end| *end <= MOST).max().unwrap_or(0) as usize];
    [&(header.len() as u64).to_le_bytes(), header, &body].concat()
}

/// The files of a data set: a byte that says which set, two bytes with the length of the images' files, images, labels.
pub fn images(input: &[u8]) -> bool {
    let [which, low, high, content @ ..] = input else { return false };
    let set = [DataSetName::Mnist, DataSetName::Cifar10, DataSetName::Cifar100][usize::from(*which) % 3];
    let names: &[&str] = match set {
        DataSetName::Cifar10 => &[
            "data_batch_1.bin",
            "test_batch.bin",
            "data_batch_2.bin",
            "data_batch_3.bin",
            "data_batch_4.bin",
            "data_batch_5.bin",
        ],
        DataSetName::Cifar100 => &["train.bin", "test.bin"],
        _ => &[
            "train-images-idx3-ubyte",
            "train-labels-idx1-ubyte",
            "t10k-images-idx3-ubyte",
            "t10k-labels-idx1-ubyte",
        ],
    };
    let (images, labels) = content.split_at(content.len().min(u16::from_le_bytes([*low, *high]).into()));
    let folder = scratch();
    for (number, name) in names.iter().enumerate() {
        let packed = if which & 0x80 == 0 { "" } else { ".gz" };
        write(folder.path(), &format!("{name}{packed}"), if number % 2 == 0 { images } else { labels });
    }
    let dir = Some(folder.path().to_owned());
    let read = load(&DataParams { set, dir, limit_train: Some(20), ..DataParams::default() });
    if let Ok(read) = &read {
        for images in [&read.train, &read.test] {
            assert_eq!(images.pixels.len(), images.len() * images.size());
        }
        let split = read.split();
        assert_eq!(split.train.len() + split.validation.len(), read.train.len());
    }
    read.is_ok()
}

/// An archive of a data set that has the right checksum: what it holds is another matter. The input is the tar archive, or after
/// a `z` the packed one.
pub fn archive(input: &[u8]) -> bool {
    let packed = match input.split_first() {
        Some((b'z', packed)) => packed.to_vec(),
        _ => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
            encoder.write_all(input).unwrap();
            encoder.finish().unwrap()
        }
    };
    let folder = scratch();
    let inner = folder.path().join("in/the/data");
    let described = |name: &str, size: u64, content: &[u8]| {
        let md5 = Md5::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
        PublishedFile { name: name.to_owned(), size, md5 }
    };
    let members =
        ["train.bin", "test.bin"].map(|name| described(&format!("cifar-100-binary/{name}"), 8, b""));
    let download = Download {
        file: described("cifar.tar.gz", packed.len() as u64, &packed),
        packing: Packing::TarGzip,
        members: members.to_vec(),
    };
    write(&inner, "cifar.tar.gz", &packed);
    let wanted = Published {
        sources: Vec::new(),
        downloads: vec![download],
        ..fetch::published(DataSetName::Cifar100)
    };
    let params = DataParams { set: DataSetName::Cifar100, dir: Some(inner.clone()), ..DataParams::default() };
    let unpacked = fetch::fetch(&params, &wanted, &FetchOptions::default(), &mut |_| {}).is_ok();
    for name in ["train.bin", "test.bin"] {
        let found = inner.join("cifar-100-binary").join(name).metadata();
        assert_eq!(found.ok().map(|found| found.len()), unpacked.then_some(8));
    }
    // Nothing lands beside the folder, whatever the archive says.
    for (above, only) in [("", "in"), ("in", "the"), ("in/the", "data")] {
        let all = fs::read_dir(folder.path().join(above)).unwrap();
        let names: Vec<_> = all.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [only]);
    }
    unpacked
}

/// A bundle. The input is the archive; or after an `m` the manifest's own lines, a zero byte, and the bundle's other files, each
/// ended by a zero byte, which get the names that they should have.
pub fn bundle(input: &[u8]) -> bool {
    let folder = scratch();
    let archive = match input.split_first() {
        Some((b'm', parts)) => sealed_bundle(parts),
        _ => input.to_vec(),
    };
    let path = folder.path().join("bundle.tar");
    fs::write(&path, archive).unwrap();
    let cache = folder.path().join("cache");
    let store = Store::open(&cache).unwrap();
    match store.import(&path) {
        Ok(_) => {
            assert_eq!(store.verify(Repair::No).unwrap().findings, []);
            true
        }
        Err(error) => {
            // All of it is checked before anything enters.
            assert!(store.files().unwrap().is_empty(), "{error:?}");
            refused(&error)
        }
    }
}

fn sealed_bundle(input: &[u8]) -> Vec<u8> {
    let mut parts = input.split(|byte| *byte == 0);
    let body = parts.next().unwrap_or_default();
    let (mut records, mut objects) = (serde_json::Map::new(), serde_json::Map::new());
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for part in parts {
        if let Some(record) = part.strip_prefix(b"r") {
            let content = seal(record);
            let value: Value = serde_json::from_slice(&content).unwrap_or_default();
            let fingerprint = value["fingerprint"].as_str().unwrap_or("ab").to_owned();
            let hash = ObjectHash::of(&content).to_string();
            records.insert(fingerprint.clone(), json!({ "hash": hash, "bytes": content.len() }));
            files.push((format!("records/{fingerprint}.json"), content));
        } else {
            let hash = ObjectHash::of(part).to_string();
            objects.insert(hash.clone(), json!(part.len()));
            files.push((format!("objects/{hash}.safetensors"), part.to_vec()));
        }
    }
    let right = json!({ "bundle": 1, "records": records, "objects": objects }).to_string();
    let body = if body.is_empty() { &right.as_bytes()[1..] } else { body };
    files.insert(0, ("manifest.json".to_owned(), seal(body)));
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        // A name that tar cannot have is one more thing that is not in the bundle.
        let _ = archive.append_data(&mut header, name.replace('\0', ""), content.as_slice());
    }
    archive.into_inner().unwrap()
}

/// A folder in memory, where there is such a place.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn write(folder: &Path, name: &str, content: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}
