//! Text from records on its way to Slack: made visible, shortened, and made unable to be markup.
//!
//! Pure. Three steps, in this order: [`visible`], then [`shorten`] or [`fallback`].

/// Stands between a character and what would make it markup. It has no width, breaks no line and
/// counts as a letter, so that `*`, `_`, `~` and backticks beside it are not at a word's edge.
const JOINER: char = '\u{2060}';
/// What "… N more characters" takes at most, in UTF-16 units.
const SUFFIX_UNITS_MAX: usize = 40;

/// Shows what cannot be seen: control, bidirectional and zero-width characters become escapes such
/// as `\u{202e}`. Line breaks stay when `lines`, else they become spaces.
pub(super) fn visible(text: &str, lines: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = '\0';
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\n' if lines => out.push('\n'),
            '\n' => out.push(' '),
            // Half of the usual pair on Windows: the other half breaks the line.
            '\r' if rest.peek() == Some(&'\n') => {}
            '\t' => out.push(' '),
            // Emoji of several people, and some scripts, need it between their characters.
            '\u{200d}'
                if !before.is_ascii() && rest.peek().is_some_and(|next| !next.is_ascii()) =>
            {
                out.push(c);
            }
            c if is_hidden(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
        before = c;
    }
    out
}

/// Characters that show nothing themselves, or change what others show.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}'                        // soft hyphen
            | '\u{34f}'                     // combining grapheme joiner
            | '\u{61c}'                     // Arabic letter mark
            | '\u{115f}' | '\u{1160}'       // Hangul fillers
            | '\u{17b4}' | '\u{17b5}'       // Khmer inherent vowels
            | '\u{180e}'                    // Mongolian vowel separator
            | '\u{200b}'..='\u{200f}'       // zero width, marks of direction
            | '\u{2028}'..='\u{202e}'       // separators, embeddings, overrides
            | '\u{2060}'..='\u{206f}'       // joiner, invisible operators, isolates
            | '\u{3164}' | '\u{ffa0}'       // Hangul fillers
            | '\u{feff}'                    // byte order mark
            | '\u{fff9}'..='\u{fffb}'       // interlinear annotation
            | '\u{e0000}'..='\u{e0fff}'     // tags
        )
}

/// Length as Slack counts it, or more: UTF-16 units.
pub(super) fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// Cuts a text to at most `max` UTF-16 units, saying how many characters are missing. `max` is at
/// least 40.
pub(super) fn shorten(text: &str, max: usize) -> String {
    shorten_before(text, max, 0)
}

/// As [`shorten`], where `following` characters after this text are left out too.
pub(super) fn shorten_before(text: &str, max: usize, following: usize) -> String {
    if following == 0 && units(text) <= max {
        return text.to_owned();
    }
    let (kept, missing) = fitting(text, max.saturating_sub(SUFFIX_UNITS_MAX), char::len_utf16);
    format!("{kept}{}", more(missing + following))
}

/// What is said instead of `count` characters.
fn more(count: usize) -> String {
    format!("… {count} more characters")
}

/// The longest beginning whose characters' costs sum up to `max`, and how many are left.
fn fitting(text: &str, max: usize, cost: impl Fn(char) -> usize) -> (&str, usize) {
    let mut used = 0;
    for (index, c) in text.char_indices() {
        used += cost(c);
        if used > max {
            let (kept, rest) = text.split_at(index);
            return (kept, rest.chars().count());
        }
    }
    (text, 0)
}

/// Text for Slack's `text`, which may be read as mrkdwn: at most `max` UTF-16 units in which nothing
/// is a mention, a link or formatting. Give it [`visible`] text.
///
/// `&`, `<` and `>` become entities, which is all that Slack documents. Formatting characters at
/// the edge of a word, `://`, `mailto:` and `@here`, `@channel`, `@everyone` get a word joiner.
pub(super) fn fallback(text: &str, max: usize) -> String {
    let whole = inert(text);
    if units(&whole) <= max {
        return whole;
    }
    // An upper bound of what a character becomes: `&amp;`, or itself between two joiners.
    let cost = |c: char| match c {
        '&' => 5,
        '<' | '>' => 4,
        '*' | '_' | '~' | '`' => 3,
        ':' | '@' => 2,
        c => c.len_utf16(),
    };
    let (kept, missing) = fitting(text, max.saturating_sub(SUFFIX_UNITS_MAX), cost);
    format!("{}{}", inert(kept), more(missing))
}

fn inert(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut before: Option<char> = None;
    for (index, c) in text.char_indices() {
        let after = &text[index + c.len_utf8()..];
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '*' | '_' | '~' | '`' => {
                let inside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
                if inside(before) && inside(after.chars().next()) {
                    // As in `log_file_name`: Slack formats at the edges of words only.
                    out.push(c);
                } else {
                    out.extend([JOINER, c, JOINER]);
                }
            }
            ':' if after.starts_with("//") || ends_with_word(&text[..index], "mailto") => {
                out.extend([JOINER, ':']);
            }
            '@' if ["here", "channel", "everyone"].iter().any(|word| begins_with(after, word)) => {
                out.extend(['@', JOINER]);
            }
            c => out.push(c),
        }
        before = Some(c);
    }
    out
}

fn begins_with(text: &str, word: &str) -> bool {
    text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

fn ends_with_word(text: &str, word: &str) -> bool {
    let start = text.len().checked_sub(word.len());
    start.and_then(|start| text.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_cannot_be_seen_is_shown() {
        assert_eq!(visible("a\u{202e}b\x1b[31m\u{200b}", false), "a\\u{202e}b\\u{1b}[31m\\u{200b}");
        assert_eq!(visible("one\r\ntwo\nthree\tfour", true), "one\ntwo\nthree four");
        assert_eq!(visible("one\r\ntwo", false), "one two");
        assert_eq!(visible("a\rb", true), "a\\u{d}b");
        // A family is one emoji; a joiner in a user's name is a trick.
        assert_eq!(visible("👩\u{200d}👧", false), "👩\u{200d}👧");
        assert_eq!(visible("ro\u{200d}ot", false), "ro\\u{200d}ot");
        assert_eq!(visible("👽 größe 漢字", false), "👽 größe 漢字");
    }

    #[test]
    fn a_long_text_says_how_much_is_missing() {
        assert_eq!(shorten(&"a".repeat(50), 50), "a".repeat(50));
        assert_eq!(shorten(&"a".repeat(51), 50), format!("{}… 41 more characters", "a".repeat(10)));
        assert_eq!(shorten_before("abc", 50, 7), "abc… 7 more characters");
    }

    #[test]
    fn the_fallback_is_what_it_was_unless_slack_would_read_it() {
        let seed =
            "2018-03-04 15:14:24 👽 rpi-03 sshd[24150]: Invalid user mini from 192.168.42.42 👽";
        assert_eq!(fallback(seed, 4_000), seed);
        assert_eq!(fallback("user <!channel> & co", 4_000), "user &lt;!channel&gt; &amp; co");
        assert_eq!(fallback("/var/log_file_x", 4_000), "/var/log_file_x");
        assert_eq!(fallback("*b*", 4_000), "\u{2060}*\u{2060}b\u{2060}*\u{2060}");
        assert_eq!(fallback("http://evil", 4_000), "http\u{2060}://evil");
        assert_eq!(fallback("@Here @me", 4_000), "@\u{2060}Here @me");
        assert_eq!(fallback("MAILTO:a@b", 4_000), "MAILTO\u{2060}:a@b");
    }

    /// Text made of what Slack reads, more often than chance would.
    fn tricky() -> impl Strategy<Value = String> {
        let word = prop::sample::select(vec![
            "<",
            ">",
            "&",
            "!",
            "@",
            "#",
            "*",
            "_",
            "~",
            "`",
            "```",
            "|",
            ":",
            "//",
            "http",
            "https",
            "mailto",
            "channel",
            "here",
            "everyone",
            "U123",
            "subteam^S1",
            "date^1^",
            " ",
            "\n",
            "a",
            "&lt;",
            "\u{2060}",
            "\u{200b}",
            "👽",
            "é",
            "evil.example",
        ]);
        proptest::collection::vec(
            prop_oneof![9 => word.prop_map(str::to_owned), 1 => any::<String>()],
            0..60,
        )
        .prop_map(|words| words.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn no_text_becomes_a_mention_a_link_or_formatting(text in tricky(), max in 40..400usize) {
            let out = fallback(&visible(&text, true), max);
            prop_assert!(units(&out) <= max, "{} > {max}", units(&out));
            // Every control sequence of mrkdwn begins with `<`.
            prop_assert!(!out.contains(['<', '>']));
            let bare = out.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "");
            prop_assert!(!bare.contains('&'));
            let lower = out.to_lowercase();
            for bad in ["://", "mailto:", "@here", "@channel", "@everyone"] {
                let joined = lower.contains(bad) && bad != "://";
                prop_assert!(!joined, "{bad} in {out:?}");
            }
            prop_assert!(!lower.contains("http://") && !lower.contains("https://"), "{out:?}");
            let chars: Vec<char> = out.chars().collect();
            for (i, c) in chars.iter().enumerate().filter(|(_, c)| "*_~`".contains(**c)) {
                let side = |at: Option<usize>| at.and_then(|at| chars.get(at)).copied();
                let (left, right) = (side(i.checked_sub(1)), side(Some(i + 1)));
                let in_word = [left, right].iter().all(|c| c.is_some_and(char::is_alphanumeric));
                prop_assert!(in_word || (left == Some(JOINER) && right == Some(JOINER)), "{c} at {i} in {out:?}");
            }
        }

        #[test]
        fn a_shortened_text_fits_and_starts_like_the_whole(text: String, max in 40..200usize) {
            let out = shorten(&text, max);
            prop_assert!(units(&out) <= max);
            let kept = out.split("… ").next().unwrap();
            prop_assert!(out == text || text.starts_with(kept));
            prop_assert_eq!(shorten(&out, max), out);
        }

        #[test]
        fn nothing_hidden_is_left(text in tricky()) {
            let out = visible(&text, true);
            prop_assert!(!out.chars().any(|c| is_hidden(c) && c != '\n' && c != '\u{200d}'), "{out:?}");
            prop_assert_eq!(visible(&out, true), out);
        }
    }
}
