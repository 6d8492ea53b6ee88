//! Words of strangers as they may be shown: names, paths, records, answers of servers.
//!
//! A terminal takes some characters as commands: they move the cursor, set its title, write to the clipboard
//! or turn the order of what follows. None of them reaches it: see `cli::output`. Passwords in addresses
//! reach nobody.

use std::borrow::Cow;

/// Whether a terminal takes `c` as a command, or shows what follows in another order: C0 and C1 controls, the
/// bidirectional embeddings, overrides and isolates.
fn commands(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Writes a character so that it can be seen: as JSON does, so that JSON stays what it is.
pub(crate) fn push_escaped(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\t' => out.push_str("\\t"),
        '\r' => out.push_str("\\r"),
        _ => {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
}

/// Whether a character may stand in a text of several lines.
pub(crate) fn is_plain(c: char) -> bool {
    matches!(c, '\n' | '\t') || !commands(c)
}

/// A text of several lines, with commands as [`push_escaped`] writes them.
pub fn text(text: &str) -> Cow<'_, str> {
    escaped(text, is_plain)
}

/// As [`text`](fn@text), in one line: line ends and tabs are escaped as well.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, |c| !commands(c))
}

fn escaped(text: &str, is_plain: fn(char) -> bool) -> Cow<'_, str> {
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_plain(c) { out.push(c) } else { push_escaped(&mut out, c) }
    }
    Cow::Owned(out)
}

/// The same text with as many bytes, for a source in which places are marked: `?`, `¿` and the replacement
/// character stand for commands.
pub(crate) fn covered(text: &str) -> String {
    let cover = |c: char| match c.len_utf8() {
        _ if is_plain(c) || c == '\r' => c,
        1 => '?',
        2 => '\u{bf}',
        _ => '\u{fffd}',
    };
    text.chars().map(cover).collect()
}

/// The beginning of a text that may be long, and how much is left out.
pub(crate) fn beginning(text: &str, length: usize) -> Cow<'_, str> {
    match text.char_indices().nth(length) {
        None => Cow::Borrowed(text),
        Some((at, _)) => Cow::Owned(format!("{}… ({} bytes)", &text[..at], text.len())),
    }
}

/// The text with stars, as many, in place of secrets in addresses: of what stands before the `@`, and of the
/// values after a `?`.
pub fn without_passwords(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let is_end = |c: char| matches!(c, '"' | '\'' | '`') || c.is_whitespace();
        let address = &after[..after.find(is_end).unwrap_or(after.len())];
        rest = &after[address.len()..];
        let host = address.find(['/', '?', '#']).unwrap_or(address.len());
        // A password with a `/` that was not written as `%2F` goes up to the `@` as well.
        let secret = address.rfind('@').filter(|at| *at < host || address[..*at].contains(':')).unwrap_or(0);
        shown.push_str(&"*".repeat(secret));
        let mut is_secret = false;
        let mut values = false;
        for c in address[secret..].chars() {
            match c {
                '?' | '#' => (values, is_secret) = (true, false),
                '&' | ';' if values => is_secret = false,
                '=' if values && !is_secret => {
                    is_secret = true;
                    shown.push(c);
                    continue;
                }
                _ => {}
            }
            if is_secret { shown.push_str(&"*".repeat(c.len_utf8())) } else { shown.push(c) }
        }
    }
    shown + rest
}

/// As [`without_passwords`], for what should be an address and may lack its beginning.
pub fn address(text: &str) -> String {
    match text.rfind('@').filter(|_| !text.contains("://")) {
        Some(at) => "*".repeat(at) + &text[at..],
        None => without_passwords(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_a_terminal_are_seen_and_words_of_every_language_stay() {
        for (text, shown) in [
            ("\x1b]0;title\x07", "\\u001b]0;title\\u0007"),
            ("a\u{9b}31mb", "a\\u009b31mb"),
            ("abc\u{202e}cba\u{2066}", "abc\\u202ecba\\u2066"),
            ("a\rb\x7f\0", "a\\rb\\u007f\\u0000"),
        ] {
            assert_eq!(super::text(text), shown);
            assert_eq!(line(text), shown);
            assert_eq!(covered(text).len(), text.len());
            assert!(!covered(text).chars().any(|c| c != '\r' && commands(c)));
            // JSON means the same afterwards.
            let json = format!("\"{shown}\"");
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
        let words = "grüße 剪枝 שלום مرحبا 👩‍🔬 e\u{301}";
        assert_eq!((super::text(words), covered(words).as_str()), (Cow::Borrowed(words), words));
        assert_eq!((super::text("a\n\tb"), line("a\n\tb")), ("a\n\tb".into(), "a\\n\\tb".into()));
    }

    #[test]
    fn an_address_without_its_beginning_shows_no_password() {
        assert_eq!(address("u:s3cr3t@host/x"), "********@host/x");
        assert_eq!(address("u:p@http://h"), without_passwords("u:p@http://h"));
        assert_eq!(address("http://u:p@h"), "http://***@h");
    }

    #[test]
    fn what_is_secret_in_an_address_is_not_shown_and_places_stay() {
        for (text, shown) in [
            (
                "remote = \"s3://key:s3cr3t@bucket/x\" # a@b\n",
                "remote = \"s3://**********@bucket/x\" # a@b\n",
            ),
            ("other = 's3://bucket/a@b'", "other = 's3://bucket/a@b'"),
            ("https://u:p/w@host/x y", "https://*****@host/x y"),
            ("https://h/x?sig=s3cr3t&v=1#t=s", "https://h/x?sig=******&v=*#t=*"),
            ("ftp://me@h a://b:c@d", "ftp://**@h a://***@d"),
            ("no address", "no address"),
        ] {
            assert_eq!(without_passwords(text), shown);
            assert_eq!(shown.len(), text.len());
        }
    }
}
