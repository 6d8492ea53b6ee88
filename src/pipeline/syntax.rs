//! Help beside a mistake in the TOML itself.

/// What to write instead, by the line in which the parser gave up; empty where that is not clear.
pub fn help(text: &str, at: usize, message: &str) -> String {
    let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let line = text[start..].lines().next().unwrap_or_default().trim();
    if message.contains("duplicate key") {
        if line == "[stage]" || text.lines().filter(|line| line.trim() == "[stage]").count() > 1 {
            return "write `[[stage]]`, in two brackets, above each stage".to_owned();
        }
        return "a key stands once in its table; a new stage begins with `[[stage]]`".to_owned();
    }
    let first = text.trim_start();
    if first.starts_with('{') || first.starts_with("---") || first.starts_with('<') {
        return "a pipeline is a TOML file: `key = value` in each line, `[[stage]]` above each stage"
            .to_owned();
    }
    if line.contains(['“', '”', '‘', '’', '„']) {
        return "write plain quotes: \"...\"".to_owned();
    }
    if line.starts_with("//") || line.starts_with("--") || line.starts_with(';') {
        return "a comment begins with #".to_owned();
    }
    if line.contains("//") && !line.contains("://") {
        return "a comment begins with #".to_owned();
    }
    let Some((key, value)) = line.split_once('=') else {
        return match line.split_once(':') {
            Some((key, value)) if !key.is_empty() && !key.contains(['[', '"', ' ']) => {
                format!("write `{key} = {}`", quoted(value.trim()))
            }
            _ if line.starts_with('[') && !line.ends_with(']') => "close the bracket: ]".to_owned(),
            _ if !line.is_empty() => "write `key = value`".to_owned(),
            _ => String::new(),
        };
    };
    let (key, value) = (key.trim(), value.split(" #").next().unwrap_or_default().trim());
    if key.contains(' ') && !key.contains(['"', '\'']) {
        return "a key has no blanks: write `key = value`".to_owned();
    }
    match value {
        "" => format!("give `{key}` a value, or leave the key out"),
        "True" | "TRUE" | "yes" | "on" => "write true".to_owned(),
        "False" | "FALSE" | "no" | "off" => "write false".to_owned(),
        "None" | "null" | "nil" => format!("leave `{key}` out: TOML has no value for nothing"),
        _ if value.starts_with('.') && value[1..].bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("write 0{value}")
        }
        _ if value.ends_with('.') && value.parse::<f64>().is_ok() => format!("write {value}0"),
        _ if value.ends_with('%') => {
            let number = value.trim_end_matches('%').trim().parse::<f64>();
            number
                .map_or(String::new(), |number| format!("write {}", super::suggest::rounded(number / 100.0)))
        }
        _ if is_bare(value) => format!("write it in quotes: {}", quoted(value)),
        _ if value.matches('"').count() % 2 == 1 => "close the quotes: \"".to_owned(),
        _ if value.starts_with('[') && value.matches('[').count() > value.matches(']').count() => {
            "close the bracket: ]".to_owned()
        }
        _ if value.replacen(',', ".", 1).parse::<f64>().is_ok() => {
            format!("write {}", value.replacen(',', ".", 1))
        }
        _ => String::new(),
    }
}

/// Whether a value is a word without its quotes.
fn is_bare(value: &str) -> bool {
    let first = value.chars().next().is_some_and(|c| c.is_alphabetic() || c == '~' || c == '/');
    first && !value.contains(['"', '\'', '[', '{', '='])
}

fn quoted(value: &str) -> String {
    if value.parse::<f64>().is_ok()
        || ["true", "false"].contains(&value)
        || value.starts_with(['"', '\'', '['])
    {
        return value.to_owned();
    }
    format!("\"{value}\"")
}
