//! A JSON string's escapes, replaced.

/// Appends the text of a JSON string, given without its quotes.
///
/// Half of a surrogate pair becomes U+FFFD.
///
/// # Errors
///
/// The byte at which an escape starts that JSON does not have.
pub(super) fn unescape(text: &[u8], to: &mut Vec<u8>) -> Result<(), usize> {
    let mut rest = text;
    while let Some(backslash) = memchr::memchr(b'\\', rest) {
        to.extend_from_slice(&rest[..backslash]);
        rest = &rest[backslash..];
        let invalid = text.len() - rest.len();
        let simple = match rest.get(1) {
            Some(byte @ (b'"' | b'\\' | b'/')) => *byte,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                let (character, length) = unicode(rest).ok_or(invalid)?;
                to.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &rest[length..];
                continue;
            }
            _ => return Err(invalid),
        };
        to.push(simple);
        rest = &rest[2..];
    }
    to.extend_from_slice(rest);
    Ok(())
}

/// The character of `\u` and four hexadecimal digits, or of two such that are a surrogate pair, and its length.
fn unicode(text: &[u8]) -> Option<(char, usize)> {
    let first = hex4(text)?;
    if let Some(character) = char::from_u32(first) {
        return Some((character, 6));
    }
    if (0xD800..0xDC00).contains(&first)
        && let Some(second) = hex4(&text[6..])
        && (0xDC00..0xE000).contains(&second)
        && let Some(character) =
            char::from_u32(0x10000 + ((first - 0xD800) << 10) + second - 0xDC00)
    {
        return Some((character, 12));
    }
    Some((char::REPLACEMENT_CHARACTER, 6))
}

fn hex4(text: &[u8]) -> Option<u32> {
    let [b'\\', b'u', digits @ ..] = text.first_chunk::<6>()? else { return None };
    digits.iter().try_fold(0, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)?))
}
