//! Addresses that cannot be used, and secrets that nobody is told.

use super::{Lab, QUICK, contents, said};
use crate::binary::text;

#[test]
fn a_wrong_address_in_the_file_is_shown_at_its_place() {
    let lab = Lab::with_folder();
    let mut all = String::new();
    for address in
        ["\"lab\"", "\"https://example.org/x\"", "\"s3://\"", "\"file://shared/x\"", "\"s3://b/x?y=1\"", "7"]
    {
        std::fs::write(lab.path().join("p.toml"), format!("{QUICK}[cache]\nremote = {address}\n")).unwrap();
        for command in ["plan", "run"] {
            let output = lab.command("a", &[command, "p.toml"]).output().unwrap();
            assert!(!output.status.success());
            if command == "run" {
                all += &text(&output).1;
            }
        }
    }
    std::fs::write(lab.path().join("p.toml"), format!("{QUICK}[cache]\nremotes = \"s3://b\"\n")).unwrap();
    all += &text(&lab.command("a", &["run", "p.toml"]).output().unwrap()).1;
    insta::with_settings!({omit_expression => true}, { insta::assert_snapshot!(all) });
    assert!(!lab.path().join("a").exists());
}

#[test]
fn a_password_in_an_address_is_refused_and_repeated_nowhere() {
    let lab = Lab::with_folder();
    let address = "s3://AKIAKEY:hunter2secret@bucket/x";
    let mut heard = vec![
        lab.command("a", &["run", "p.toml", "--remote-url", address]).output().unwrap(),
        lab.command("a", &["cache", "push", "--remote-url", address]).output().unwrap(),
        lab.command("a", &["run", "p.toml"]).env("RUNNER_REMOTE", address).output().unwrap(),
        lab.command("a", &["run", "--help"]).env("RUNNER_REMOTE", address).output().unwrap(),
    ];
    let file = format!("{QUICK}[cache]\nremote = \"{address}\"\n");
    std::fs::write(lab.path().join("p.toml"), &file).unwrap();
    heard.push(lab.command("a", &["run", "p.toml"]).output().unwrap());
    // With another mistake in the line beside it.
    std::fs::write(lab.path().join("p.toml"), file.replace("remote", "sed = 1\nremote")).unwrap();
    heard.push(lab.command("a", &["run", "p.toml", "--json"]).output().unwrap());
    // As a value of a wrong kind, which is repeated otherwise.
    std::fs::write(lab.path().join("p.toml"), format!("{QUICK}[cache]\nremote = [\"{address}\"]\n")).unwrap();
    heard.push(lab.command("a", &["run", "p.toml"]).output().unwrap());
    for (at, output) in heard.iter().enumerate() {
        let (out, err) = text(output);
        assert_eq!(output.status.success(), at == 3, "{out}{err}");
        assert!(
            !(out.clone() + &err).contains("hunter2") && !(out + &err).contains("AKIAKEY"),
            "{at}: {err}"
        );
    }
    assert!(text(&heard[4]).1.contains("must not hold a user or a password"));
    let kept = contents(&lab.path().join("a"));
    assert!(kept.values().all(|content| !String::from_utf8_lossy(content).contains("hunter2")));
}

#[test]
fn what_is_asked_for_must_be_named_and_the_environment_may_ask_for_nothing() {
    let lab = Lab::with_folder();
    let run = |more: &[&str], name: &str, value: &str| {
        lab.command("a", &[&["run", "p.toml"], more].concat()).env(name, value).output().unwrap()
    };
    assert!(
        said(&run(&["--remote", "read"], "RUNNER_REMOTE", ""), false).contains("no shared cache is named")
    );
    assert!(said(&run(&[], "RUNNER_REMOTE_MODE", "all"), false).contains("it is off, read or read-write"));
    said(&run(&[], "RUNNER_REMOTE_MODE", "read-write"), true);
}

#[test]
fn the_help_of_push_and_pull_stays_as_it_is() {
    let lab = Lab::with_folder();
    for command in ["push", "pull"] {
        let output = lab.command("a", &["cache", command, "--help"]).output().unwrap();
        let (said, _) = text(&output);
        assert!(said.lines().all(|line| line.chars().count() <= 100), "{said}");
        insta::with_settings!({omit_expression => true}, { insta::assert_snapshot!(format!("help_cache_{command}"), said) });
    }
}
