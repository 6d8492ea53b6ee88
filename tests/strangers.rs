//! Words and files of strangers: names that are commands to a terminal, arguments that are no text, files
//! without an end.

#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(target_os = "linux")]

mod binary;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use binary::{SMALL, flat, folder_with, quick, runner, succeeds, text};

const MIB: u64 = 1 << 20;

/// Runs to the end, which must come; what was printed, and the most memory in bytes.
fn measured(mut command: Command) -> (Output, u64) {
    let mut running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", running.id());
    let (mut peak, clock) = (0, Instant::now());
    while running.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        peak = peak.max(1024 * kilobytes.unwrap_or(0));
        if clock.elapsed() > Duration::from_secs(60) {
            running.kill().unwrap();
            panic!("{command:?} does not end");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    (running.wait_with_output().unwrap(), peak)
}

/// The error of a command, in one line; it is one of the command's own and takes little memory.
fn error(folder: &Path, arguments: &[&str], most: u64) -> String {
    let (output, peak) = measured(runner(folder, "c", arguments));
    let (_, said) = text(&output);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    assert!(!said.contains("panicked"), "{said}");
    assert!(said.len() < 40_000, "{} bytes of words", said.len());
    assert!(peak < most, "{} MiB for {arguments:?}", peak / MIB);
    flat(&said)
}

#[test]
fn however_many_mistakes_there_are_the_words_and_the_memory_are_few() {
    let keys: String = (0..10_000).map(|at| format!("unknown_{at} = 1\n")).collect();
    let folder = folder_with(&(keys + SMALL));
    let said = error(folder.path(), &["plan", "p.toml"], 120 * MIB);
    assert!(said.contains("p.toml has 10000 mistakes"), "{said}");
    assert!(said.contains("these are the first 20; mend them to see the other 9980"), "{said}");
    assert_eq!(said.matches("unknown key").count(), 20);

    let stages: String = (0..10_000)
        .map(|at| format!("[[stage]]\nkind = \"eval\"\nname = \"e{at}\"\ninputs.network = \"none{at}\"\n"))
        .collect();
    fs::write(folder.path().join("p.toml"), SMALL.to_owned() + &stages).unwrap();
    let said = error(folder.path(), &["plan", "p.toml"], 120 * MIB);
    assert!(said.contains("has 10000 mistakes"), "{said}");
    assert_eq!(said.matches("no stage is called").count(), 20);
    assert!(said.contains("allowed are: e0, e1,"), "{said}");
}

#[test]
fn of_long_lines_names_and_values_the_place_is_shown() {
    let long = "x".repeat(4 << 20);
    let folder = folder_with("");
    for (file, words) in [
        (format!("{SMALL}\n{long} = 1\n"), "has a mistake"),
        (format!("name = \"{long}\" oops\n{SMALL}"), "p.toml has a mistake"),
        (SMALL.replace("arch = \"vgg11\"", &format!("arch = \"{long}\"")), "must be one of"),
        (
            SMALL.replace("inputs.network = \"init\"", &format!("inputs.network = \"{long}\"")),
            "no stage is called",
        ),
        (format!("[data] # {long}\nsett = 1\n[[stage]]\nkind = \"init\""), "unknown key `sett`"),
    ] {
        fs::write(folder.path().join("p.toml"), file).unwrap();
        let said = error(folder.path(), &["plan", "p.toml"], 160 * MIB);
        assert!(said.contains(words), "{said}");
    }
    fs::write(folder.path().join("p.toml"), SMALL).unwrap();
    let long = "y".repeat(100_000);
    for set in [long.clone(), format!("{long}=1"), format!("init.arch={long}"), format!("init.width={long}")]
    {
        for option in ["--set", "--over"] {
            error(folder.path(), &["plan", "p.toml", option, &set], 120 * MIB);
        }
    }
}

#[test]
fn what_is_no_pipeline_file_is_called_by_its_name() {
    let folder = folder_with(SMALL);
    let at = |name: &str| folder.path().join(name);
    assert!(Command::new("mkfifo").arg(at("pipe.toml")).status().unwrap().success());
    fs::create_dir(at("folder.toml")).unwrap();
    let wide: Vec<u8> = SMALL.encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(at("wide.toml"), [&[0xff, 0xfe], &wide[..]].concat()).unwrap();
    fs::write(at("latin.toml"), [b"# gr\xf6\xdfer\n", SMALL.as_bytes()].concat()).unwrap();
    fs::write(at("binary.toml"), [0x7f, b'E', 0, 0, 0xff]).unwrap();
    fs::File::create(at("huge.toml")).unwrap().set_len(3 << 30).unwrap();
    fs::write(at("deep.toml"), format!("a = {}", "[".repeat(200_000))).unwrap();
    for (file, words) in [
        ("pipe.toml", "is a pipe or a device"),
        ("/dev/zero", "is a pipe or a device"),
        ("folder.toml", "is a folder"),
        ("wide.toml", "is UTF-16, not UTF-8"),
        ("latin.toml", "probably Latin-1 or CP1252: line 1 holds the byte 0xF6"),
        ("binary.toml", "is a binary file"),
        ("huge.toml", "is larger than 8 MiB"),
        ("deep.toml", "has a mistake"),
        ("missing.toml", "cannot be read"),
    ] {
        for command in ["plan", "run", "report"] {
            let said = error(folder.path(), &[command, file], 120 * MIB);
            assert!(said.contains(words), "{file}: {said}");
        }
    }
    fs::write(at("p.toml"), format!("\u{feff}{SMALL}")).unwrap();
    succeeds(folder.path(), "c", &["plan", "p.toml"]);
}

#[test]
fn show_reads_headers_and_a_bounded_part_at_a_time() {
    let folder = folder_with(SMALL);
    let at = |name: &str| folder.path().join(name);
    let count: u64 = 40 << 20;
    let header =
        format!("{{\"w\":{{\"dtype\":\"F32\",\"shape\":[{count}],\"data_offsets\":[0,{}]}}}}", 4 * count);
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    let length = file.len() as u64 + 4 * count;
    fs::write(at("large.safetensors"), file).unwrap();
    fs::File::options().write(true).open(at("large.safetensors")).unwrap().set_len(length).unwrap();
    let (output, peak) = measured(runner(folder.path(), "c", &["show", "large.safetensors"]));
    assert!(output.status.success(), "{:?}", text(&output));
    assert!(text(&output).0.contains("100.00%"), "{:?}", text(&output));
    assert!(peak < 100 * MIB, "{} MiB", peak / MIB);

    assert!(Command::new("mkfifo").arg(at("pipe.safetensors")).status().unwrap().success());
    fs::create_dir(at("folder.safetensors")).unwrap();
    fs::File::create(at("sparse.safetensors")).unwrap().set_len(3 << 30).unwrap();
    fs::write(at("lying.safetensors"), [&(15u64 << 20).to_le_bytes()[..], b"{}"].concat()).unwrap();
    for (file, words) in [
        ("pipe.safetensors", "a pipe or a device"),
        ("/dev/zero", "a pipe or a device"),
        ("folder.safetensors", "is a folder"),
        ("sparse.safetensors", "is no safetensors file"),
        ("lying.safetensors", "is no safetensors file"),
        ("./p.toml", "is a pipeline"),
    ] {
        let said = error(folder.path(), &["show", file], 100 * MIB);
        assert!(said.contains(words), "{file}: {said}");
    }
}

#[test]
fn no_words_of_a_stranger_command_a_terminal() {
    const NAMES: [&str; 6] = [
        "\\u001b]0;title\\u0007",
        "\\u001b[2J\\u001b[31m",
        "\\u009b2J",
        "\\u009d0;x\\u009c",
        "\\u202e\\u2066",
        "\\r\\b",
    ];
    let folder = folder_with("");
    let here = folder.path();
    let clean = |arguments: &[&str], output: &Output| {
        for (stream, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
            let text = String::from_utf8(bytes.clone()).unwrap();
            // Colours alone are left.
            let mut rest = text.as_str();
            while let Some(at) = rest.find('\u{1b}') {
                let colour = rest[at + 1..].strip_prefix('[').and_then(|inner| inner.split_once('m'));
                let numbers = colour.map_or("?", |(numbers, _)| numbers);
                let ours = ["", "0", "1", "2", "4", "31", "32", "33", "34", "35", "36"];
                let is_ours = numbers.split(';').all(|number| ours.contains(&number));
                assert!(is_ours, "{arguments:?} {stream}: {:?}", &rest[at..(at + 12).min(rest.len())]);
                rest = &rest[at + 1..];
            }
            let command = |c: &char| {
                (c.is_control() && !"\n\t\u{1b}".contains(*c))
                    || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            };
            assert_eq!(text.chars().find(command), None, "{arguments:?} {stream}: {text:?}");
        }
    };
    for name in NAMES {
        let file = SMALL
            .replace("name = \"small\"", &format!("name = \"a{name}b\"\ndescription = \"a{name}b\""))
            .replace("width = 4", "width = 2")
            .replace("epochs = 3", "steps = 2")
            .replace("epochs = 4", "epochs = 1");
        fs::write(here.join("p.toml"), &file).unwrap();
        let raw: String = serde_json::from_str(&format!("\"{name}\"")).unwrap();
        fs::write(here.join(format!("a{raw}.toml")), format!("# {raw}\nname = 1 # {raw}\n[[stage]]"))
            .unwrap();
        let hostile = format!("a{raw}.toml");
        for arguments in [
            vec!["run", "p.toml"],
            vec!["run", "p.toml", "--json"],
            vec!["plan", "p.toml"],
            vec!["graph", "p.toml"],
            vec!["status", "p.toml"],
            vec!["table", "p.toml"],
            vec!["runs"],
            vec!["show", "p.toml", "retrain"],
            vec!["watch", "p.toml", "--once"],
            vec!["log", "p.toml", "retrain"],
            vec!["cache", "ls"],
            vec!["plan", &hostile],
            vec!["plan", "p.toml", "--set", &raw],
            vec!["plan", "p.toml", "--only", &raw],
            vec!["show", &raw],
            vec![&raw],
            vec!["run", "p.toml", "--device", &raw],
            vec!["plan", "p.toml", &raw],
            vec!["report", "p.toml", "--to", &hostile],
        ] {
            let mut command = runner(here, &format!("c{raw}"), &arguments);
            command.env_remove("NO_COLOR").env("CLICOLOR_FORCE", "1").env("RUNNER_REMOTE_TIMEOUT", &raw);
            clean(&arguments, &command.output().unwrap());
            command.env_remove("RUNNER_REMOTE_TIMEOUT");
            clean(&arguments, &command.output().unwrap());
        }
    }
}

#[test]
fn arguments_that_are_no_text_are_paths_or_errors() {
    let folder = quick();
    let here = folder.path();
    let name = OsStr::from_bytes(b"p\xff.toml");
    fs::copy(here.join("p.toml"), here.join(name)).unwrap();
    let binary = || {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("runner"));
        command.current_dir(here).env("NO_COLOR", "1");
        command
    };
    let cache = OsStr::from_bytes(b"c\xff");
    for command in
        ["run", "plan", "graph", "status", "table", "report", "plot", "runs", "export", "watch", "repeat"]
    {
        let mut call = binary();
        call.arg(command).arg("--cache").arg(cache);
        match command {
            "runs" => {}
            "repeat" => drop(call.arg("last")),
            "watch" => drop(call.arg(name).arg("--once")),
            "export" => drop(call.arg(name).arg("--to").arg(OsStr::from_bytes(b"b\xff.tar"))),
            _ => drop(call.arg(name)),
        }
        let output = call.output().unwrap();
        let said = text(&output);
        assert!(!said.1.contains("panicked"), "{command}: {said:?}");
        assert!(matches!(output.status.code(), Some(0 | 2)), "{command}: {said:?}");
    }
    for variable in [
        "RUNNER_CACHE",
        "RUNNER_DATA",
        "RUNNER_MIRROR",
        "RUNNER_REMOTE",
        "RUNNER_REMOTE_MODE",
        "RUNNER_REMOTE_TIMEOUT",
        "NO_COLOR",
        "CLICOLOR_FORCE",
        "TERM",
        "COLUMNS",
        "LC_ALL",
    ] {
        for value in [&b"\xff\xfe"[..], b""] {
            for arguments in
                [&["plan", "p.toml"][..], &["data", "fetch", "mnist", "--dir", "m", "--from", "x"]]
            {
                let output =
                    binary().args(arguments).env(variable, OsStr::from_bytes(value)).output().unwrap();
                let said = text(&output);
                assert!(!said.1.contains("panicked"), "{variable}: {said:?}");
                let is_fine = matches!(output.status.code(), Some(0..=2));
                assert!(is_fine, "{variable}: {said:?}");
                if value.is_empty() && arguments[0] == "plan" {
                    assert!(output.status.success(), "{variable} is empty, so unset: {said:?}");
                }
            }
        }
    }
    assert!(!here.join("").join("objects").exists(), "an empty RUNNER_CACHE is no cache here");
}

#[test]
fn a_value_that_begins_with_a_hyphen_gets_a_tip_that_fits() {
    let folder = quick();
    let refused = |arguments: &[&str]| {
        let output = runner(folder.path(), "c", arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        flat(&text(&output).1)
    };
    let jobs = refused(&["run", "p.toml", "--jobs", "-1"]);
    assert!(jobs.contains("-1 is not in 1..=1024"), "{jobs}");
    for arguments in [&["run", "p.toml", "--only", "-x"][..], &["plan", "p.toml", "--set", "-x=1"]] {
        let said = refused(arguments);
        let (option, value) = (arguments[2], arguments[3]);
        assert!(said.contains(&format!("write '{option}={value}'")), "{said}");
    }
}

#[test]
fn passwords_are_in_no_words_and_no_file() {
    const SECRET: &str = "s3cr3t";
    let folder = quick();
    let here = folder.path();
    let address = format!("http://user:{SECRET}@127.0.0.1:9/mnist");
    let query = format!("http://127.0.0.1:9/mnist?token={SECRET}");
    let mut said = String::new();
    for from in
        [&address, &query, &format!("user:{SECRET}@127.0.0.1/mnist"), &format!("ftp://u:{SECRET}@h/x")]
    {
        let mut fetch = Command::new(assert_cmd::cargo::cargo_bin!("runner"));
        fetch.current_dir(here).args(["data", "fetch", "mnist", "--dir", "m", "--from", from]);
        let output = fetch.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        said += &text(&output).1;
        let mut fetch = Command::new(assert_cmd::cargo::cargo_bin!("runner"));
        fetch.current_dir(here).args(["data", "fetch", "mnist", "--dir", "m", "--quiet"]);
        fetch.env("RUNNER_MIRROR", from).env("HTTPS_PROXY", &address).env("HTTP_PROXY", &address);
        said += &text(&fetch.output().unwrap()).1;
    }
    let remote = format!("s3://key:{SECRET}@bucket/x");
    let output = runner(here, "c", &["run", "p.toml", "--remote-url", &remote]).output().unwrap();
    said += &text(&output).1;
    said += &text(&runner(here, "c", &["runs"]).output().unwrap()).0;
    assert!(!said.contains(SECRET), "{said}");
    assert!(said.contains("127.0.0.1"), "{said}");
    for path in binary::files(here, "") {
        let content = fs::read(&path).unwrap();
        let holds = content.windows(SECRET.len()).any(|part| part == SECRET.as_bytes());
        assert!(!holds, "{}", path.display());
    }
}
