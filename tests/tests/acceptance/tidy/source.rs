//! The project's files as the tidy tests see them.

use std::path::Path;

use xtask::project::root;

/// A Rust file.
pub(super) struct Source {
    /// Its path from the root, with slashes.
    pub(super) path: String,
    /// All of it.
    pub(super) text: String,
    /// Without comments and without its unit tests.
    pub(super) code: String,
    /// The same without what stands in string literals.
    bare: String,
}

impl Source {
    fn new(path: String) -> Self {
        let text = read(&path);
        // Unit tests stand at the end of a file, or in one of their own.
        let own_tests = path.ends_with("/tests.rs");
        let end = if own_tests { 0 } else { text.find("#[cfg(test)]\nmod ").unwrap_or(text.len()) };
        let code = strip(&text[..end], true);
        let bare = strip(&text[..end], false);
        Self { path, text, code, bare }
    }

    /// Whether the code, without comments, strings and tests, has this word as a whole.
    pub(super) fn names(&self, word: &str) -> bool {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        self.bare.match_indices(word).any(|(start, _)| {
            let before = self.bare[..start].chars().next_back();
            let after = self.bare[start + word.len()..].chars().next();
            // A word that ends with `::` may be followed by anything.
            !before.is_some_and(is_part) && (word.ends_with(':') || !after.is_some_and(is_part))
        })
    }
}

/// The Rust files below a folder, in order of their path.
pub(super) fn sources(folder: &str) -> Vec<Source> {
    files(folder, ".rs").into_iter().map(Source::new).collect()
}

/// The files below a folder whose path ends like this, from the root, in order.
pub(crate) fn files(folder: &str, end: &str) -> Vec<String> {
    let mut found = vec![];
    walk(&root().join(folder), folder, &mut |path| {
        if path.ends_with(end) {
            found.push(path);
        }
    });
    found.sort();
    found
}

fn walk(folder: &Path, name: &str, each: &mut impl FnMut(String)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let file = entry.file_name().into_string().unwrap();
        let path = format!("{name}/{file}");
        if entry.file_type().unwrap().is_dir() {
            if !["target", "node_modules", ".git"].contains(&file.as_str()) {
                walk(&entry.path(), &path, each);
            }
        } else {
            each(path);
        }
    }
}

/// A file's text, by its path from the root.
pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Rust without its comments, and, if asked, without what stands in string literals.
fn strip(text: &str, keep_strings: bool) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(c) = rest.chars().next() {
        if rest.starts_with("//") {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
        } else if rest.starts_with("/*") {
            rest = rest.find("*/").map_or("", |end| &rest[end + 2..]);
        } else if let Some(length) = string_length(rest) {
            out.push_str(if keep_strings { &rest[..length] } else { "\"\"" });
            rest = &rest[length..];
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\\"'") {
            // A quotation mark as a character opens no string.
            rest = &rest[rest[1..].find('\'').unwrap_or(0) + 2..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// The length of the string literal that `text` begins with.
fn string_length(text: &str) -> Option<usize> {
    let hashes = text.strip_prefix('r').map(|raw| raw.len() - raw.trim_start_matches('#').len());
    if let Some(hashes) = hashes.filter(|hashes| text[1 + hashes..].starts_with('"')) {
        let close = format!("\"{}", "#".repeat(hashes));
        let body = 2 + hashes;
        return Some(body + text[body..].find(&close)? + close.len());
    }
    let body = text.strip_prefix('"')?;
    let mut escaped = false;
    let end = body.char_indices().find_map(|(at, c)| {
        let closes = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        closes.then_some(at)
    })?;
    Some(end + 2)
}

#[test]
fn comments_strings_and_tests_are_not_code() {
    let text = "use a; // b\n/* c */ let d = \"e // \\\" f\"; r#\"g\"h\"#; '\"'; i";
    assert_eq!(strip(text, false), "use a; \n let d = \"\"; \"\"; ; i");
    assert!(strip(text, true).contains("e // \\\" f"));
}
