//! The pipeline file: every mistake has its words and its place, and nothing makes it panic.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use proptest::prelude::*;
use runner::pipeline::{self, Pipeline, PipelineError};
use runner::plan::{DataIdentities, Graph};
use runner::stages;

const SMALL: &str = "\
name = \"small\"
[[stage]]
kind = \"init\"
arch = \"vgg11\"
width = 4
[[stage]]
kind = \"gate-train\"
inputs.network = \"init\"
optimizer.lr = 0.02
[[stage]]
kind = \"threshold-search\"
inputs.network = \"gate-train\"
flops_ratio = 0.5
[[stage]]
kind = \"prune\"
inputs.channels = \"threshold-search\"
[[stage]]
kind = \"retrain\"
inputs.network = \"prune\"
[[stage]]
kind = \"eval\"
inputs.network = \"retrain\"
";

/// A snapshot without the expression that made it.
macro_rules! snapshot {
    ($found:expr) => {
        insta::with_settings!({omit_expression => true}, { insta::assert_snapshot!($found) })
    };
}

fn parse(text: &str, set: &[&str]) -> Result<Pipeline, PipelineError> {
    let set: Vec<String> = set.iter().map(|&text| text.to_owned()).collect();
    pipeline::parse("p.toml", text, &set, stages::catalog())
}

/// An error as a user sees it.
fn drawn(error: &dyn miette::Diagnostic) -> String {
    let handler = miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::unicode_nocolor())
        .with_width(100)
        .with_context_lines(1);
    let mut out = String::new();
    handler.render_report(&mut out, error).unwrap();
    let lines: Vec<&str> = out.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines.join("\n")
}

/// What a text gives: its error, or that it is fine.
fn outcome(text: &str, set: &[&str], over: &[&str]) -> String {
    let over: Vec<String> = over.iter().map(|&text| text.to_owned()).collect();
    let points = parse(text, set).and_then(|pipeline| pipeline.points(&over));
    match points {
        Err(error) => drawn(&error),
        Ok(points) => match Graph::new(&points, &mut DataIdentities::new(None)) {
            Err(error) => drawn(&error),
            Ok(graph) => format!("fine: {} points, {} stages", graph.points.len(), graph.nodes.len()),
        },
    }
}

/// Cases under their headings, as one snapshot.
fn cases<'a>(cases: impl IntoIterator<Item = (&'a str, String)>) -> String {
    cases.into_iter().map(|(name, found)| format!("## {name}\n{found}\n\n")).collect()
}

#[test]
fn a_role_that_takes_several_takes_a_list_of_outputs_of_one_stage() {
    let with =
        |list: &str| SMALL.replace("inputs.network = \"retrain\"", &format!("inputs.network = {list}"));
    let outputs = |list: &str| {
        let read = parse(&with(list), &[]).unwrap();
        read.stages.iter().find(|stage| stage.kind == "eval").unwrap().inputs["network"].outputs.clone()
    };
    assert_eq!(outputs("[\"retrain.last\", \"retrain.best\"]"), ["last", "best"]);
    assert_eq!(outputs("[\"retrain.last\", \"retrain\"]"), ["last", "best"]);
    assert_eq!(outputs("[\"retrain\"]"), outputs("\"retrain\""));
    for (list, words) in [
        ("[\"retrain.best\", \"init\"]", "lists outputs of several stages, `retrain` and `init`"),
        ("[]", "is an empty list"),
        ("[1]", "`inputs.network` lists"),
        ("[\"retrain.middle\"]", "`retrain` has no output `middle`"),
        ("3", "must be a string or a list of strings"),
    ] {
        let found = outcome(&with(list), &[], &[]);
        assert!(found.contains(words), "{list}: {found}");
    }
    // Other roles take one.
    let found =
        outcome(&SMALL.replace("inputs.network = \"prune\"", "inputs.network = [\"prune\"]"), &[], &[]);
    assert!(found.contains("`inputs.network` must be a string"), "{found}");
}

#[test]
fn a_file_that_is_no_pipeline_says_why() {
    let file = |name: &'static str, text: &str| (name, outcome(text, &[], &[]));
    snapshot!(cases([
        file("empty", ""),
        file("one bracket", "[stage]\nkind = \"init\"\n"),
        file("a word for the stages", "stage = \"init\"\n"),
        file("an empty list of stages", "stage = []\n"),
        file("a stage that is no table", "stage = [3]\n"),
        file("no kind", "[[stage]]\nname = \"x\"\n"),
        file("a kind that is no string", "[[stage]]\nkind = 3\n"),
        file("a name that is no string", "[[stage]]\nkind = \"init\"\nname = 3\n"),
        file("a name that cannot be one", "[[stage]]\nkind = \"init\"\nname = \"The Net\"\n"),
        file("data that is no table", "data = \"cifar10\"\n[[stage]]\nkind = \"init\"\n"),
        file("a key twice", "seed = 1\nseed = 2\n[[stage]]\nkind = \"init\"\n"),
        file("no TOML", "stage: init\n"),
        file("a NUL byte", "name = \"a\0b\"\n[[stage]]\nkind = \"init\"\n"),
        file("a byte order mark is fine", "\u{feff}[[stage]]\nkind = \"init\"\n"),
        file("a byte order mark moves no column", "\u{feff}sed = 1\n[[stage]]\nkind = \"init\"\n"),
    ]));
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let binary = folder.path().join("binary.toml");
    std::fs::write(&binary, b"name = \"\xff\xfe\"").unwrap();
    let load = |path: &Path| drawn(&pipeline::load(path, &[], stages::catalog()).unwrap_err());
    let found = cases([
        ("a binary file", load(&binary)),
        ("a folder", load(folder.path())),
        ("nothing", load(&folder.path().join("missing.toml"))),
    ]);
    // Long paths wrap where they please.
    let found = found.replace("\n  │ ", " ").replace(&folder.path().display().to_string(), "DIR");
    snapshot!(found);
}

#[test]
fn numbers_that_no_parameter_can_have_are_refused() {
    let stage = |line: &str| outcome(&format!("[[stage]]\nkind = \"init\"\n{line}\n"), &[], &[]);
    let training = |line: &str| {
        let text =
            SMALL.replace("inputs.network = \"prune\"", &format!("inputs.network = \"prune\"\n{line}"));
        outcome(&text, &[], &[])
    };
    snapshot!(cases([
        ("an exponent for an integer", training("epochs = 1e3")),
        ("too large for the range", training("epochs = 9223372036854775808")),
        ("too large for any integer", stage("seed = 18446744073709551616")),
        ("too many digits for anything", stage("seed = 1000000000000000000000000000000000000000000")),
        ("the largest seed is fine", stage("seed = 18446744073709551615")),
        ("a negative seed", stage("seed = -1")),
        ("not a number", training("optimizer.lr = nan")),
        ("minus not a number", training("label_smoothing = -nan")),
        ("infinity", training("optimizer.weight_decay = inf")),
        ("minus infinity", training("optimizer.lr = -inf")),
        ("beyond the largest float", training("optimizer.lr = 1e400")),
        ("not a number in a list", training("schedule.milestones = [0.5, nan]")),
        ("out of range in a list", training("schedule.milestones = [0.5, 1.5]")),
        ("negative zero is zero", training("optimizer.weight_decay = -0.0")),
        ("an integer for a float is fine", training("optimizer.lr = 1")),
        ("digits in groups are fine", training("epochs = 1_000")),
        ("hexadecimal is fine", training("epochs = 0x10")),
        ("a text for a number", training("epochs = \"ten\"")),
        ("a table for a number", training("epochs = {}")),
        ("a number for a table", training("optimizer = 3")),
        ("a date", training("flip = 2024-01-01")),
        ("one key too deep", training("optimizer.lr.x = 3")),
        ("an unknown key in a nested table", training("optimizer.learning_rate = 3")),
        ("a long text", training(&format!("train_on = \"{}\"", "x".repeat(100)))),
    ]));
}

#[test]
fn negative_zero_and_zero_are_the_same_work() {
    let with =
        |value: &str| SMALL.replace("optimizer.lr = 0.02", &format!("optimizer.weight_decay = {value}"));
    let definitions = |text: &str| {
        let graph =
            Graph::new(&parse(text, &[]).unwrap().points(&[]).unwrap(), &mut DataIdentities::new(None))
                .unwrap();
        graph.nodes.iter().map(|node| node.definition).collect::<Vec<_>>()
    };
    assert_eq!(definitions(&with("0.0")), definitions(&with("-0.0")));
    assert_ne!(definitions(&with("0.0")), definitions(&with("0.5")));
}

#[test]
fn inputs_that_cannot_be_are_refused() {
    let prune =
        |line: &str| outcome(&SMALL.replace("inputs.channels = \"threshold-search\"", line), &[], &[]);
    let before = "\
[[stage]]
kind = \"eval\"
inputs.network = \"init\"
[[stage]]
kind = \"init\"
";
    let cycle = "\
[[stage]]
kind = \"retrain\"
name = \"a\"
inputs.network = \"c\"
[[stage]]
kind = \"retrain\"
name = \"b\"
inputs.network = \"a\"
[[stage]]
kind = \"retrain\"
name = \"c\"
inputs.network = \"b\"
";
    let itself = "[[stage]]\nkind = \"retrain\"\ninputs.network = \"retrain\"\n";
    let broken =
        "[[stage]]\nkind = \"innit\"\nname = \"a\"\n[[stage]]\nkind = \"eval\"\ninputs.network = \"a\"\n";
    snapshot!(cases([
        ("before its input is fine", outcome(before, &[], &[])),
        ("a cycle", outcome(cycle, &[], &[])),
        ("itself", outcome(itself, &[], &[])),
        ("none", prune("")),
        ("an unknown stage", prune("inputs.channels = \"threshold_search\"")),
        (
            "an unknown role",
            prune("inputs.channel = \"threshold-search\"\ninputs.channels = \"threshold-search\"")
        ),
        ("an unknown output", prune("inputs.channels = \"threshold-search.chanels\"")),
        ("another type", prune("inputs.channels = \"init\"")),
        ("a stage that gives nothing", prune("inputs.channels = \"eval\"")),
        ("an array", prune("inputs.channels = [\"threshold-search\"]")),
        ("an array for the table", prune("inputs = [\"threshold-search\"]")),
        ("a stage with a mistake is told once", outcome(broken, &[], &[])),
    ]));
}

#[test]
fn a_change_is_checked_as_the_file_is() {
    let set = |text: &'static str| (text, outcome(SMALL, &[text], &[]));
    snapshot!(cases([
        set("threshold-search.flops_ratio=1.5"),
        set("threshold-search.flops_ratio=half"),
        set("threshold-search.flops_ratoi=0.3"),
        set("treshold-search.flops_ratio=0.3"),
        set("retrain.optimizer.lr=nan"),
        set("retrain.epochs=1e3"),
        set("init.arch=vgg17"),
        set("init.arch=vgg16"),
        set("init.channels=[1,2]"),
        set("init=3"),
        set("data.set=cifar12"),
        set("data.std=[0]"),
        set("seed=-1"),
        set("sed=1"),
        set("seed"),
        set("=1"),
        set("seed="),
        set("a b=1"),
    ]));
}

#[test]
fn a_sweep_is_checked_as_the_file_is() {
    let over = |text: &'static str| (text, outcome(SMALL, &[], &[text]));
    let mut all: Vec<(&str, String)> = [
        "threshold-search.flops_ratio=0.3,0.5,0.7",
        "threshold-search.flops_ratio = 0.3, 0.5 ",
        "threshold-search.flops_ratio=0.1..0.9 step 0.1",
        "seed=1..3",
        "seed=1..3,7",
        "init.arch=vgg11,vgg13",
        "retrain.schedule.milestones=[0.5,0.75],[0.9]",
        "threshold-search.flops_ratio=0.5,1.5,2.5",
        "threshold-search.flops_ratio=0.1..0.9",
        "threshold-search.flops_ratio=0.1..0.9 step 0",
        "threshold-search.flops_ratio=0.1..0.9 step x",
        "seed=3..1",
        "seed=1..x",
        "seed=0..9223372036854775807",
        "seed=1,,3",
        "seed=",
        "seed=1,2,1",
        "threshold-search.flops_ratio=0.3,0.30",
        "seed",
        "init.width=0..2",
    ]
    .map(over)
    .into();
    all.push(("two axes", outcome(SMALL, &[], &["seed=1..2", "init.width=4,8"])));
    all.push(("one key on two axes", outcome(SMALL, &[], &["seed=1..2", "seed=7"])));
    snapshot!(cases(all));
}

/// The editors' schema, ready to judge files.
fn judge() -> impl Fn(&str) -> Result<(), String> {
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    compiler.add_resource("schema.json", pipeline::schema(&stages::catalog())).unwrap();
    let index = compiler.compile("schema.json", &mut schemas).unwrap();
    move |text| {
        let value: serde_json::Value = toml::from_str(text).unwrap();
        schemas.validate(&value, index).map_err(|error| error.to_string())
    }
}

#[test]
fn the_editors_schema_takes_every_pipeline_of_ours_and_refuses_mistakes() {
    let judge = judge();
    let mut seen = 0;
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            seen += 1;
            judge(&std::fs::read_to_string(&path).unwrap()).unwrap();
            pipeline::load(&path, &[], stages::catalog()).unwrap();
        }
    }
    assert!(seen >= 3, "{seen} pipelines");
    judge(SMALL).unwrap();
    let mistakes = judge(include_str!("fixtures/ten_mistakes.toml")).unwrap_err();
    for part in
        ["/sed", "/data/set", "/stage/0/arch", "/stage/0/width", "/stage/1/kind", "flops_ratio", "epocs"]
    {
        let key = part.trim_start_matches('/').rsplit('/').next().unwrap();
        assert!(mistakes.contains(part) || mistakes.contains(key), "{part} is not in\n{mistakes}");
    }
    // The schema of another kind is not spoken of.
    assert!(!mistakes.contains("const failed"), "{mistakes}");
}

#[test]
fn what_the_schema_alone_can_see_it_refuses() {
    let judge = judge();
    for (from, to) in [
        ("width = 4", "width = 0"),
        ("width = 4", "width = 4.5"),
        ("width = 4", "height = 4"),
        ("arch = \"vgg11\"", "arch = \"vgg12\""),
        ("optimizer.lr = 0.02", "optimizer.lr = \"fast\""),
        ("optimizer.lr = 0.02", "optimizer.rate = 0.02"),
        ("optimizer.lr = 0.02", "schedule.milestones = [2.0]"),
        ("inputs.channels = \"threshold-search\"", ""),
        ("inputs.channels = \"threshold-search\"", "inputs.network = \"init\""),
        ("inputs.channels = \"threshold-search\"", "inputs.channels = [\"threshold-search\"]"),
        ("kind = \"eval\"", "kind = \"evaluate\""),
        ("kind = \"eval\"", "kind = \"eval\"\nname = \"Eval 1\""),
    ] {
        assert!(SMALL.contains(from), "{from}");
        let text = SMALL.replace(from, to);
        assert!(judge(&text).is_err(), "{to} is taken by the schema");
        assert!(parse(&text, &[]).is_err(), "{to} is taken by the program");
    }
}

#[test]
fn the_schema_and_the_reference_page_in_the_repository_are_the_present_ones() {
    let catalog = stages::catalog();
    let schema = serde_json::to_string_pretty(&pipeline::schema(&catalog)).unwrap() + "\n";
    let kept = include_str!("../pipelines/pipeline.schema.json");
    assert!(schema == kept, "`runner schema > pipelines/pipeline.schema.json` brings it up to date");
    let page = pipeline::reference(&catalog);
    let kept = include_str!("../docs/pipeline.md");
    assert!(page == kept, "`runner schema --markdown > docs/pipeline.md` brings it up to date");
}

#[test]
fn the_examples_of_the_reference_page_write_out_nothing_but_defaults() {
    let page = pipeline::reference(&stages::catalog());
    let blocks = page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let blocks = blocks.filter(|block| block.starts_with("[[stage]]"));
    let long: String = blocks.collect::<Vec<_>>().join("\n");
    let short: String = long
        .lines()
        .filter(|line| ["[[stage]]", "kind", "inputs."].iter().any(|start| line.starts_with(start)))
        .collect::<Vec<_>>()
        .join("\n");
    assert!(long.len() > 2 * short.len());
    let definitions = |text: &str| {
        let graph =
            Graph::new(&parse(text, &[]).unwrap().points(&[]).unwrap(), &mut DataIdentities::new(None))
                .unwrap();
        graph.nodes.iter().map(|node| node.definition).collect::<Vec<_>>()
    };
    assert_eq!(definitions(&long).len(), stages::KINDS.len());
    assert_eq!(definitions(&long), definitions(&short));
    judge()(&long).unwrap();
}

#[test]
fn nested_tables_have_the_defaults_of_their_stage() {
    let catalog = stages::catalog();
    let lr = |kind: &str| {
        let parameters = &catalog.kind(kind).unwrap().parameters;
        parameters["properties"]["optimizer"]["properties"]["lr"]["default"].clone()
    };
    assert_eq!((lr("gate-train"), lr("retrain")), (0.01.into(), 0.1.into()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}", change in "\\PC{0,40}") {
        let _ = outcome(&text, &[], &[]);
        let _ = outcome(SMALL, &[&change], &[]);
        let _ = outcome(SMALL, &[], &[&change]);
        let key = format!("seed={change}");
        let _ = outcome(SMALL, &[&key], &[]);
        let _ = outcome(SMALL, &[], &[&key]);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.toml");
        std::fs::write(&path, bytes).unwrap();
        let _ = pipeline::load(&path, &[], stages::catalog()).map_err(|error| drawn(&error));
    }

    #[test]
    fn no_change_of_a_good_file_makes_it_panic(
        edits in prop::collection::vec((0usize..1000, 0usize..40, "[\\PC\n\t]{0,8}"), 1..6),
    ) {
        let mut text: Vec<char> = SMALL.chars().collect();
        for (at, removed, added) in edits {
            let at = at % (text.len() + 1);
            let end = (at + removed).min(text.len());
            text.splice(at..end, added.chars());
        }
        let _ = outcome(&text.into_iter().collect::<String>(), &[], &[]);
    }

    #[test]
    fn no_value_in_place_of_another_makes_it_panic(
        key in prop::sample::select(vec![
            "seed", "data.size", "data.mean", "init.width", "init.channels", "init.expansion", "gate-train.steps",
            "gate-train.optimizer", "gate-train.optimizer.lr", "retrain.schedule.milestones", "retrain.schedule",
            "prune.weights", "eval.latency", "threshold-search.round_to",
        ]),
        value in prop_oneof![
            any::<f64>().prop_map(|v| format!("{v:?}")),
            any::<i128>().prop_map(|v| v.to_string()),
            any::<u64>().prop_map(|v| format!("0x{v:x}")),
            prop::collection::vec(any::<i32>(), 0..20).prop_map(|v| format!("{v:?}")),
            "[a-z\\[\\]{}=.,0-9 \"'-]{0,20}",
        ],
    ) {
        let change = format!("{key}={value}");
        let _ = outcome(SMALL, &[&change], &[]);
        let _ = outcome(SMALL, &[], &[&change]);
    }
}

/// A good file with one line below the `kind` of its retraining.
fn retrain(line: &str) -> String {
    SMALL.replace("inputs.network = \"prune\"", &format!("inputs.network = \"prune\"\n{line}"))
}

/// Every message and help of an error, a line each; the snippets are left out.
fn brief(error: &dyn miette::Diagnostic) -> String {
    let mut lines = Vec::new();
    let mut tell = |error: &dyn miette::Diagnostic| {
        let help = error.help().map_or("NO HELP".to_owned(), |help| help.to_string());
        let at = error.labels().and_then(|mut labels| labels.next()).map_or(String::new(), |label| {
            let read = error.source_code().unwrap().read_span(label.inner(), 0, 0).unwrap();
            format!(" [{} line {}]", read.name().unwrap_or_default(), read.line() + 1)
        });
        lines.push(format!("{error}{at}\n    {help}\n"));
    };
    match error.related() {
        Some(related) => related.for_each(tell),
        None => tell(error),
    }
    lines.concat()
}

/// What a newcomer reads who has written this.
fn told(text: &str, set: &[&str], over: &[&str]) -> String {
    let over: Vec<String> = over.iter().map(|&text| text.to_owned()).collect();
    match parse(text, set).and_then(|pipeline| pipeline.points(&over)) {
        Err(error) => brief(&error),
        Ok(points) => match Graph::new(&points, &mut DataIdentities::new(None)) {
            Err(runner::plan::PlanError::Pipeline(error)) => brief(&error),
            Err(error) => panic!("{error}"),
            Ok(_) => "FINE\n".to_owned(),
        },
    }
}

#[test]
fn mistakes_of_newcomers_in_a_file_name_the_place_and_the_way_out() {
    let at_the_top = |text: &str| format!("{text}\n{SMALL}");
    let files = [
        ("lr at a stage", retrain("lr = 0.1")),
        ("learning_rate at a stage", retrain("learning_rate = 0.1")),
        ("weight_decay at a stage", retrain("weight_decay = 0.1")),
        ("milestones at a stage", retrain("milestones = [0.5]")),
        ("batch at a stage", retrain("batch = 32")),
        ("Epochs at a stage", retrain("Epochs = 3")),
        ("num_epochs at a stage", retrain("num_epochs = 3")),
        ("an optimizer by its name", retrain("optimizer = \"adam\"")),
        ("a schedule by its name", retrain("schedule = \"cosine\"")),
        ("an unknown optimizer by its name", retrain("optimizer = \"lion\"")),
        ("a learning rate in quotes", retrain("optimizer.lr = \"0.1\"")),
        ("epochs in quotes", retrain("epochs = \"3\"")),
        ("epochs as a float", retrain("epochs = 3.0")),
        ("epochs with an exponent", retrain("epochs = 1e2")),
        ("a percentage as a number", SMALL.replace("flops_ratio = 0.5", "flops_ratio = 50")),
        ("a percentage as a text", SMALL.replace("flops_ratio = 0.5", "flops_ratio = \"50%\"")),
        ("a percentage bare", SMALL.replace("flops_ratio = 0.5", "flops_ratio = 50%")),
        ("a decimal comma", SMALL.replace("flops_ratio = 0.5", "flops_ratio = 0,5")),
        ("no digit before the point", SMALL.replace("flops_ratio = 0.5", "flops_ratio = .5")),
        ("several values at a stage", SMALL.replace("flops_ratio = 0.5", "flops_ratio = [0.3, 0.5]")),
        ("a range at a stage", SMALL.replace("flops_ratio = 0.5", "flops_ratio = \"0.1..0.9 step 0.1\"")),
        ("one milestone without brackets", retrain("schedule.milestones = 0.5")),
        ("Python's True", retrain("flip = True")),
        ("true in quotes", retrain("flip = \"true\"")),
        ("1 for true", retrain("flip = 1")),
        ("Python's None", retrain("seed = None")),
        ("a word without quotes", SMALL.replace("\"vgg11\"", "vgg11")),
        ("typographic quotes", SMALL.replace("\"vgg11\"", "“vgg11”")),
        ("quotes that are not closed", SMALL.replace("\"vgg11\"", "\"vgg11")),
        ("a colon for =", SMALL.replace("width = 4", "width: 4")),
        ("a comment of another language", SMALL.replace("width = 4", "// width = 4")),
        ("a key without a value", SMALL.replace("width = 4", "width =")),
        ("capital letters of a network", SMALL.replace("vgg11", "VGG-11")),
        ("another network", SMALL.replace("vgg11", "resnet18")),
        ("another kind", SMALL.replace("kind = \"retrain\"", "kind = \"train\"\nname = \"retrain\"")),
        ("a kind with an underscore", SMALL.replace("kind = \"gate-train\"", "kind = \"gate_train\"")),
        ("one bracket, twice", SMALL.replace("[[stage]]", "[stage]")),
        ("one bracket, once", "[stage]\nkind = \"init\"\n".to_owned()),
        ("stages", SMALL.replace("[[stage]]", "[[stages]]")),
        ("a table called as a kind", at_the_top("[init]\nwidth = 4")),
        ("lr at the top", at_the_top("lr = 0.1")),
        ("limit_train at the top", at_the_top("limit_train = 100")),
        ("the data set at the top", at_the_top("dataset = \"cifar10\"")),
        ("the seed below [data]", at_the_top("[data]\nset = \"cifar10\"\nseed = 1")),
        ("matrix at the top", at_the_top("[matrix]\nseed = [1, 2]")),
        ("an axis right below [sweep]", at_the_top("[sweep]\nseed = [1, 2]")),
        ("a short key of an axis", at_the_top("[sweep.matrix]\nlr = [0.1, 0.2]")),
        ("a stage's short key of an axis", at_the_top("[sweep.matrix]\nretrain.lr = [0.1, 0.2]")),
        ("a data set that is nearly one", at_the_top("[data]\nset = \"CIFAR-10\"")),
        ("validation in percent", at_the_top("[data]\nvalidation = 10")),
        ("an input without its role", SMALL.replace("inputs.network = \"prune\"", "inputs = \"prune\"")),
        (
            "an input in the singular",
            SMALL.replace("inputs.network = \"prune\"", "input.network = \"prune\""),
        ),
        ("an input that is missing", SMALL.replace("inputs.network = \"prune\"", "")),
        ("an input by its kind", SMALL.replace("kind = \"prune\"", "kind = \"prune\"\nname = \"slim\"")),
        ("a name with blanks", SMALL.replace("kind = \"init\"", "kind = \"init\"\nname = \"My Net\"")),
        ("a timeout as a number", retrain("timeout = 90")),
        ("JSON", "{\"stage\": []}".to_owned()),
        ("YAML", "---\nstage:\n  - kind: init\n".to_owned()),
    ];
    let found: Vec<(&str, String)> = files.iter().map(|(name, text)| (*name, told(text, &[], &[]))).collect();
    for (name, found) in &found {
        assert!(!found.contains("FINE"), "{name} is taken");
        // A list of what is allowed is help enough.
        assert!(!found.contains("NO HELP") || found.contains("must be one of"), "{name}: {found}");
    }
    snapshot!(cases(found));
}

#[test]
fn mistakes_of_newcomers_on_the_command_line_name_the_way_out() {
    let set = [
        "lr=0.1",
        "weight_decay=0.1",
        "milestones=[0.5]",
        "learning_rate=0.1",
        "retrain.lr=0.1",
        "retrain.momentun=0.1",
        "flops_ratio=0.5",
        "threshold-search.flops_ratio=50",
        "threshold-search.flops_ratio=50%",
        "threshold-search.flops_ratio=0,5",
        "threshold-search.flops_ratio=0.3,0.5",
        "threshold-search.flops_ratio=0.1..0.9",
        "retrain.epochs=3.0",
        "retrain.epochs=1e2",
        "retrain.flip=True",
        "retrain.optimizer=adam",
        "init.arch=VGG19bn",
        "dataset=cifar10",
        "limit_train=100",
        "stage.retrain.epochs=3",
        "sweep.matrix.seed=1",
        "retrain.name=x",
        "retrain.timeout=90s",
        "retrain.kind=eval",
        "retrain.inputs.network=pruned",
        "cache.remote=x",
        "name=x",
    ];
    let over =
        ["lr=0.1,0.2", "retrain.lr=0.1,0.2", "threshold-search.flops_ratio=0.1..0.9", "seed=1..3 step"];
    let set = set.iter().map(|text| (*text, told(SMALL, &[text], &[])));
    let over = over.iter().map(|text| (*text, told(SMALL, &[], &[text])));
    let found: Vec<(&str, String)> = set.chain(over).collect();
    for (name, found) in &found {
        assert!(!found.contains("FINE"), "{name} is taken");
        assert!(!found.contains("NO HELP"), "{name}: {found}");
    }
    snapshot!(cases(found));
}

#[test]
fn options_that_contradict_each_other_are_errors_that_name_both() {
    let case = |set: &[&str], over: &[&str]| {
        let options = set.iter().map(|set| format!("--set {set} "));
        let options = options.chain(over.iter().map(|over| format!("--over {over} "))).collect::<String>();
        format!("## {}\n{}\n", options.trim(), told(SMALL, set, over))
    };
    snapshot!(
        [
            case(&["seed=1", "seed=2"], &[]),
            case(&["seed=3"], &["seed=1,2"]),
            case(&["retrain.optimizer.lr=0.1", "retrain.\"optimizer\" . lr = 0.2"], &[]),
            case(&["retrain.optimizer={lr=0.1}", "retrain.optimizer.lr=0.2"], &[]),
            case(&["retrain.optimizer.lr=0.2"], &["retrain.optimizer={lr=0.1},{lr=0.3}"]),
            case(&[], &["seed=1,2", "seed=3"]),
            case(&[], &["seed=1,2", " \"seed\" = 3"]),
            case(&[], &["retrain.optimizer.lr=0.1,0.2", "retrain.optimizer={lr=0.3},{lr=0.4}"]),
            case(&["retrain.inputs.network=prune", "retrain.inputs.network=init"], &[]),
            case(&["data.set=mnist", "data.set=cifar10"], &[]),
            // The same value in two spellings is no contradiction.
            case(&["seed=1", "seed=0x1"], &[]),
            case(&["retrain.optimizer.lr=1e-3", "retrain.optimizer.lr=0.001"], &[]),
        ]
        .concat()
    );
}

#[test]
fn negative_zero_and_the_rest_of_an_addition_change_neither_label_nor_work() {
    let work = |set: &[&str], over: &[&str]| {
        let over: Vec<String> = over.iter().map(|&text| text.to_owned()).collect();
        let points = parse(SMALL, set).unwrap().points(&over).unwrap();
        let graph = Graph::new(&points, &mut DataIdentities::new(None)).unwrap();
        let definitions = graph.nodes.iter().map(|node| node.definition).collect::<Vec<_>>();
        let names = graph.points.iter().map(runner::plan::PointNodes::name).collect::<Vec<_>>();
        (definitions, names)
    };
    let key = "retrain.optimizer.weight_decay";
    let over = |values: &str| work(&[], &[&format!("{key}={values}")]);
    assert_eq!(over("-0.0,0.1"), over("0,1e-1"));
    assert_eq!(over("-0.0..0.1 step 0.1"), over("0,0.1"));
    assert_eq!(over("0.30000000000000004"), over("0.3"));
    assert_eq!(over("0.30000000000000004").1, [format!("{key}=0.3")]);
    assert_eq!(
        work(&["retrain.optimizer.weight_decay=-0.0"], &[]),
        work(&["retrain.optimizer.weight_decay=0"], &[])
    );
    assert_eq!(
        over("1e-4..4e-4 step 1e-4").1,
        ["0.0001", "0.0002", "0.0003", "0.0004"].map(|n| format!("{key}={n}"))
    );
    let twice = told(SMALL, &[], &[&format!("{key}=0.0,-0.0")]);
    assert!(twice.contains("twice"), "{twice}");
}
