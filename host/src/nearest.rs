//! "Did you mean": the known word that is nearest to one that is not known.

/// A word with fewer characters is not taken for the beginning of another.
const BEGINNING_CHARACTERS_MIN: usize = 3;

/// Edits that a word of this many characters may be away from the one that was meant.
const CHARACTERS_PER_EDIT: usize = 3;

/// The known word nearest to `word`, when one is near enough to have been meant.
///
/// Case, and `-` for `_`, count as nothing; two swapped letters count as one edit; a word that is
/// how a single known one begins is that one.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |word: &str| word.to_lowercase().replace('-', "_");
    let word = plain(word);
    let allowed = (word.chars().count() / CHARACTERS_PER_EDIT).max(1);
    let mut beginning = vec![];
    let near = known
        .into_iter()
        .inspect(|candidate| {
            beginning.extend(plain(candidate).starts_with(&word).then_some(*candidate))
        })
        .map(|candidate| (strsim::osa_distance(&word, &plain(candidate)), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate);
    match beginning[..] {
        [only] if word.chars().count() >= BEGINNING_CHARACTERS_MIN => near.or(Some(only)),
        _ => near,
    }
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
        assert_eq!(nearest("stale", known), Some("stale_after"));
    }

    #[test]
    fn a_word_that_is_like_none_finds_none() {
        assert_eq!(nearest("colour", ["topics", "format"]), None);
        assert_eq!(nearest("x", ["topics"]), None);
        assert_eq!(nearest("per", ["per_record", "per_batch"]), None);
        assert_eq!(nearest("topics", []), None);
    }
}
