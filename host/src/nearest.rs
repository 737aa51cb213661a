//! "Did you mean": the known word that is nearest to one that is not known.

/// Edits that a word of this many characters may be away from the one that was meant.
const CHARACTERS_PER_EDIT: usize = 3;

/// The known word nearest to `word`, when one is near enough to have been meant.
///
/// Case, and `-` for `_`, count as nothing; two swapped letters count as one edit.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |word: &str| word.to_lowercase().replace('-', "_");
    let word = plain(word);
    let allowed = (word.chars().count() / CHARACTERS_PER_EDIT).max(1);
    known
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&word, &plain(candidate)), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_the_word_that_was_meant() {
        let known = ["topics", "format", "channels", "stale_after"];
        assert_eq!(nearest("topcis", known), Some("topics"));
        assert_eq!(nearest("topic", known), Some("topics"));
        assert_eq!(nearest("Channel", known), Some("channels"));
        assert_eq!(nearest("stale-after", known), Some("stale_after"));
    }

    #[test]
    fn a_word_that_is_like_none_finds_none() {
        assert_eq!(nearest("colour", ["topics", "format"]), None);
        assert_eq!(nearest("x", ["topics"]), None);
        assert_eq!(nearest("topics", []), None);
    }
}
