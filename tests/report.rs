//! Reports and figures, as a user gets them.

#![allow(clippy::unwrap_used, clippy::panic)]

mod binary;
mod picture;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use binary::{files, folder_with, runner, stdout, text};
use picture::{faults, parsed, words};
use serde_json::Value;

/// A study of two rules, two ratios and two seeds beside the full network, in some seconds. What a stranger may have
/// written into its names must not become a part of the page.
const STUDY: &str = r##"
name = "<script>alert('name')</script> & \"study\""
description = "</style><script>alert(1)</script> <img src=x onerror=alert(2)> $\\sqrt{2}$"
[data]
set = "fashion-mnist-mini"
limit_train = 200
limit_test = 50
validation = 0.2
[sweep.matrix]
seed = [1, 2]
[sweep.zip]
search.flops_ratio = [0.3, 0.6]
search-even.flops_ratio = [0.3, 0.6]
[[stage]]
kind = "init"
arch = "vgg11"
width = 4
[[stage]]
kind = "gate-train"
inputs.network = "init"
epochs = 2
batch_size = 32
[[stage]]
name = "search"
kind = "threshold-search"
inputs.network = "gate-train"
[[stage]]
kind = "prune"
inputs.channels = "search"
[[stage]]
kind = "retrain"
inputs.network = "prune"
epochs = 2
batch_size = 32
[[stage]]
kind = "eval"
inputs.network = "retrain"
latency = false
[[stage]]
kind = "random"
inputs.network = "init"
[[stage]]
name = "search-even"
kind = "threshold-search"
inputs.scores = "random"
[[stage]]
name = "prune-even"
kind = "prune"
inputs.channels = "search-even"
[[stage]]
name = "retrain-even"
kind = "retrain"
inputs.network = "prune-even"
epochs = 2
batch_size = 32
[[stage]]
name = "eval-even"
kind = "eval"
inputs.network = "retrain-even"
latency = false
[[stage]]
name = "full"
kind = "retrain"
inputs.network = "init"
epochs = 2
batch_size = 32
[[stage]]
name = "eval-full"
kind = "eval"
inputs.network = "full"
latency = false
"##;

const FIGURES: [&str; 8] =
    ["pareto", "channels", "similarity", "gates", "curves", "confusion", "graph", "time"];

/// The study, run once for all tests of one build, whether they share a process or not: a cache is made to be shared.
fn study() -> &'static Path {
    static RUN: OnceLock<PathBuf> = OnceLock::new();
    RUN.get_or_init(|| {
        let built = assert_cmd::cargo::cargo_bin!("runner").metadata().unwrap().modified().unwrap();
        let built = built.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("report-{built}"));
        std::fs::create_dir_all(&folder).unwrap();
        let mut file = tempfile::NamedTempFile::new_in(&folder).unwrap();
        file.write_all(STUDY.as_bytes()).unwrap();
        file.persist(folder.join("p.toml")).unwrap();
        stdout(&folder, "cache", &["run", "p.toml", "--quiet"]);
        folder
    })
}

fn report(folder: &Path, arguments: &[&str]) -> String {
    let to = tempfile::tempdir().unwrap();
    let file = to.path().join("r.html");
    stdout(folder, "cache", &[&["report", "p.toml", "--to", file.to_str().unwrap()], arguments].concat());
    std::fs::read_to_string(file).unwrap()
}

/// The section of a figure.
fn section<'a>(page: &'a str, figure: &str) -> &'a str {
    let begin =
        page.find(&format!("<section id=\"{figure}\">")).unwrap_or_else(|| panic!("no section {figure}"));
    &page[begin..begin + page[begin..].find("</section>").unwrap()]
}

#[test]
fn a_report_has_every_figure_with_its_data_and_needs_nothing_else() {
    let page = report(study(), &["--baseline", "retrain-even"]);
    assert!(page.contains("default-src 'none'"), "no policy");
    for figure in FIGURES {
        let section = section(&page, figure);
        assert!(section.contains("<svg ") && !section.contains("Left out"), "{figure}");
        assert!(section.contains(&format!("download=\"{figure}.csv\" href=\"data:text/csv")), "{figure}");
    }
    // The one address is the name of SVG's language, which nobody fetches.
    let addresses = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    for outside in
        ["http:", "https:", "//cdn", "url(http", "@import", "<script", "<iframe", "<object", "srcset"]
    {
        assert!(!addresses.contains(outside), "{outside}");
    }
    let results = section(&page, "results");
    for word in ["unpruned", "retrain-even", "flops_ratio=0.3", "minus retrain-even [95%]", "±"] {
        assert!(results.contains(word), "{word}: {results}");
    }
    // The full network does not depend on the ratio: it is one row where it is compared with nothing that does.
    let rows = section(&report(study(), &[]), "results").matches("<tr>").count() - 1;
    assert_eq!(rows, 1 + 2 + 2);
    let provenance = section(&page, "provenance");
    for word in ["runner run p.toml", "fashion-mnist-mini", env!("CARGO_PKG_VERSION"), "fingerprint", "cpu"] {
        assert!(provenance.contains(word), "{word}");
    }
    assert!(section(&page, "missing").contains("Nothing: every stage"));
}

#[test]
fn what_strangers_wrote_stays_words() {
    let page = report(study(), &[]);
    assert!(page.contains("&lt;script&gt;alert('name')&lt;/script&gt;"), "the name is there, as words");
    assert!(page.contains("&lt;img src=x onerror=alert(2)&gt;"), "the description is there, as words");
    assert!(!page.contains("<script") && !page.contains("<img"));
    assert_eq!(page.matches("</style>").count(), page.matches("<style>").count());
}

#[test]
fn a_report_says_honestly_what_is_missing() {
    let folder = folder_with(STUDY);
    let page = report(folder.path(), &[]);
    assert!(page.contains("0 of 4 points complete, 0 of "));
    for figure in FIGURES.into_iter().filter(|figure| *figure != "graph") {
        assert!(section(&page, figure).contains("Left out: "), "{figure}");
    }
    assert!(section(&page, "graph").contains("2 to run"));
    let missing = section(&page, "missing");
    assert!(missing.contains("never run") && missing.contains("runner run p.toml"), "{missing}");

    // One point of four.
    let one = ["--set", "seed=1", "--set", "search.flops_ratio=0.3", "--set", "search-even.flops_ratio=0.3"];
    stdout(folder.path(), "cache", &[&["run", "p.toml", "--quiet"], &one[..]].concat());
    assert!(
        section(&report(folder.path(), &one), "missing").contains("Nothing"),
        "what was asked for has run"
    );
    let page = report(folder.path(), &[]);
    assert!(page.contains("1 of 4 points complete"));
    assert!(section(&page, "missing").contains("never run"));
    assert!(section(&page, "pareto").contains("<svg "), "what is there is shown");
}

#[test]
fn a_single_network_has_a_good_page_without_the_figures_that_make_no_sense() {
    let folder = folder_with(binary::SMALL);
    stdout(folder.path(), "cache", &["run", "p.toml", "--quiet"]);
    let page = report(folder.path(), &[]);
    assert!(section(&page, "similarity").contains("Left out: it compares structures of the same budget"));
    for figure in FIGURES.into_iter().filter(|figure| *figure != "similarity") {
        assert!(section(&page, figure).contains("<svg "), "{figure}");
    }
    let listed = stdout(folder.path(), "cache", &["plot", "p.toml", "--list"]);
    assert!(
        listed
            .lines()
            .any(|line| line.trim_start().starts_with("similarity") && line.contains("none: it compares")),
        "{listed}"
    );
}

/// All figures of the study in a format.
fn plotted(format: &str, width: &str) -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().to_str().unwrap();
    let said =
        stdout(study(), "cache", &["plot", "p.toml", "--to", to, "--format", format, "--width", width]);
    let files: Vec<PathBuf> = said.lines().map(PathBuf::from).collect();
    let names: BTreeSet<_> = files.iter().map(|file| file.file_stem().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, BTreeSet::from(FIGURES));
    (folder, files)
}

#[test]
fn words_of_figures_lie_inside_of_them_and_do_not_cover_each_other() {
    for width in ["85mm", "160mm", "900px"] {
        let (_folder, files) = plotted("svg", width);
        for file in files {
            let svg = std::fs::read_to_string(&file).unwrap();
            assert!(words(&svg).len() > 5, "{}: {:?}", file.display(), words(&svg));
            let wrong = faults(&svg);
            assert!(wrong.is_empty(), "{} at {width}: {wrong:#?}", file.display());
        }
    }
}

#[test]
fn an_svg_is_as_wide_as_asked_for_and_a_png_has_two_pixels_for_each_of_its() {
    let (folder, _) = plotted("svg,png", "85mm");
    for figure in FIGURES {
        let svg = std::fs::read_to_string(folder.path().join(format!("{figure}.svg"))).unwrap();
        let tree = parsed(&svg);
        // 85 mm are 321 of 96 to the inch; the graph of stages is drawn larger and shrunk.
        assert!(tree.size().width() <= 321.3, "{figure}: {}", tree.size().width());
        let boxed = svg.split("viewBox=\"0 0 ").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let drawn: Vec<f64> = boxed.split(' ').map(|number| number.parse().unwrap()).collect();
        let png = std::fs::read(folder.path().join(format!("{figure}.png"))).unwrap();
        assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
        let number = |at: usize| f64::from(u32::from_be_bytes(png[at..at + 4].try_into().unwrap()));
        assert_eq!((number(16), number(20)), (2.0 * drawn[0], 2.0 * drawn[1]), "{figure}");
    }
}

/// The rows of a CSV file by the names of its head.
fn rows(path: &Path) -> Vec<BTreeMap<String, String>> {
    csv::Reader::from_path(path).unwrap().deserialize().map(Result::unwrap).collect()
}

#[test]
fn the_data_are_what_the_records_say() {
    let (folder, _) = plotted("csv", "160mm");
    let file = |figure: &str| rows(&folder.path().join(format!("{figure}.csv")));
    let records: Vec<Value> = files(&study().join("cache"), "records")
        .into_iter()
        .map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
        .collect();

    // Every mean over two seeds, found among the means of all pairs of evaluations.
    let evaluated: Vec<f64> = records
        .iter()
        .filter_map(|record| record["metrics"]["networks"]["best"]["accuracy"].as_f64())
        .collect();
    assert_eq!(evaluated.len(), 2 * (2 + 2 + 1));
    let pareto = file("pareto");
    let names: Vec<_> = pareto.iter().map(|row| (row["network"].as_str(), row["point"].as_str())).collect();
    assert_eq!(
        names,
        [
            ("retrain", "flops_ratio=0.3"),
            ("retrain", "flops_ratio=0.6"),
            ("retrain-even", "flops_ratio=0.3"),
            ("retrain-even", "flops_ratio=0.6"),
            ("unpruned", ""),
        ]
    );
    let sum: f64 = pareto.iter().map(|row| 2.0 * row["accuracy_mean"].parse::<f64>().unwrap()).sum();
    assert!((sum - evaluated.iter().sum::<f64>()).abs() < 1e-9);
    assert_eq!(pareto.iter().filter(|row| row["unpruned"] == "true").count(), 1);

    // Every layer of every search.
    let searches: Vec<&Value> = records
        .iter()
        .map(|record| &record["metrics"])
        .filter(|metrics| metrics["channels_full"].is_array())
        .collect();
    let kept: u64 = searches
        .iter()
        .flat_map(|metrics| metrics["channels"].as_array().unwrap())
        .map(|count| count.as_u64().unwrap())
        .sum();
    let found: u64 = file("channels").iter().map(|row| row["kept"].parse::<u64>().unwrap()).sum();
    assert_eq!((searches.len(), found), (8, kept));

    // Every channel of every network is in one bar; every search has its line.
    let gates = file("gates");
    let channels: u64 = gates.iter().filter_map(|row| row["channels"].parse::<u64>().ok()).sum();
    let full: u64 =
        searches[0]["channels_full"].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(channels, 4 * full, "gates and random scores of two seeds");
    assert_eq!(gates.iter().filter(|row| row["channels"].is_empty()).count(), 8);

    // Every epoch of every training, and every image of every test.
    let epochs: usize =
        records.iter().filter_map(|record| Some(record["metrics"]["history"].as_array()?.len())).sum();
    assert_eq!(file("curves").len(), epochs);
    let images: u64 = file("confusion").iter().map(|row| row["images"].parse::<u64>().unwrap()).sum();
    assert_eq!(images, 50 * 10);

    // Within a budget each of four structures with each, and itself.
    let similar = file("similarity");
    assert_eq!(similar.len(), 2 * 4 * 4);
    for row in similar.iter().filter(|row| row["structure"] == row["other"]) {
        assert!((row["correlation"].parse::<f64>().unwrap() - 1.0).abs() < 1e-9);
    }
    let spent: f64 = file("time").iter().map(|row| row["seconds"].parse::<f64>().unwrap()).sum();
    let taken: f64 = records.iter().map(|record| record["provenance"]["seconds"].as_f64().unwrap()).sum();
    assert!((spent - taken).abs() < 1e-6);
}

#[test]
fn a_graph_is_drawn_as_svg_too() {
    let svg = stdout(study(), "cache", &["graph", "p.toml", "--format", "svg"]);
    let words = words(&svg);
    for word in ["init", "gate-train", "retrain-even", "2 of 2 cached"] {
        assert!(words.iter().any(|other| other == word), "{word}: {words:?}");
    }
}

#[test]
fn nothing_to_draw_and_words_that_cannot_be_meant_are_errors() {
    let folder = folder_with(STUDY);
    let fails = |arguments: &[&str]| {
        let output = runner(folder.path(), "cache", arguments).output().unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        binary::flat(&text(&output).1)
    };
    assert!(fails(&["plot", "p.toml", "pareto"]).contains("there is nothing to draw"));
    assert!(fails(&["plot", "p.toml", "paretto"]).contains("the figures are pareto, channels"));
    assert!(fails(&["plot", "p.toml", "--width", "85"]).contains("write 85mm or 600px"));
    assert!(fails(&["report", "p.toml", "--baseline", "retrian"]).contains("retrian"));
    assert!(!folder.path().join("figures").exists());
}

#[test]
fn a_method_has_one_colour_in_all_figures() {
    let (folder, _) = plotted("svg", "160mm");
    let methods = ["#0072b2", "#d55e00", "#008f68", "#b8518c", "#a97400", "#2b2b2b", "#3a8fc4"];
    let colours = |figure: &str| {
        let svg = std::fs::read_to_string(folder.path().join(format!("{figure}.svg"))).unwrap();
        methods.into_iter().filter(|colour| svg.contains(colour)).collect::<Vec<_>>()
    };
    // Two methods that prune; the unpruned network is grey.
    assert_eq!(colours("pareto"), methods[..2]);
    assert_eq!(colours("curves"), methods[..2]);
    for neutral in ["channels", "gates", "time", "graph"] {
        assert_eq!(colours(neutral), [""; 0], "{neutral}");
    }
}
