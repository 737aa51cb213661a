//! The places of a JSON document that were asked for, found in one walk over it.
//!
//! Strings are crossed by [`Specials`], 64 bytes at a look; nothing is allocated but the text of
//! strings with escapes.

use super::pointers::{DEPTH_MAX, Node, Pointers};
use super::special::Specials;
use super::unescape::unescape;
use super::{Base, DecodeError, Kind, Slot};

/// Fills the slots of all pointers that lead to something.
#[inline]
pub(super) fn decode(
    value: &[u8],
    pointers: &Pointers,
    slots: &mut [Slot],
    made: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    let mut walk =
        Walk { bytes: value, specials: Specials::new(value), at: 0, pointers, slots, made };
    walk.whitespace();
    walk.value(pointers.root(), 0)?;
    walk.whitespace();
    if walk.at < value.len() {
        return Err(walk.wrong("something behind the document"));
    }
    Ok(())
}

struct Walk<'a> {
    bytes: &'a [u8],
    specials: Specials<'a>,
    at: usize,
    pointers: &'a Pointers,
    slots: &'a mut [Slot],
    made: &'a mut Vec<u8>,
}

/// A string's bytes between its quotes, and whether there are escapes in it.
struct Quoted {
    start: usize,
    end: usize,
    escaped: bool,
}

impl<'a> Walk<'a> {
    /// A value that is on the way to something, or was asked for itself.
    #[inline]
    fn value(&mut self, node: &Node, depth: usize) -> Result<(), DecodeError> {
        let start = self.at;
        let slot = match self.peek() {
            Some(b'"') => self.text(node.slot.is_some())?,
            Some(b'{' | b'[') => {
                if node.has_children() {
                    self.nested(node, depth)?;
                } else {
                    self.skip_nested(depth)?;
                }
                Slot::in_value(Kind::Nested, start, self.at)
            }
            _ => self.bare()?,
        };
        if let Some(index) = node.slot {
            self.slots[index] = slot;
        }
        Ok(())
    }

    fn nested(&mut self, node: &Node, depth: usize) -> Result<(), DecodeError> {
        if depth >= DEPTH_MAX {
            return Err(self.wrong("nested too deeply"));
        }
        if self.bytes[self.at] == b'{' { self.object(node, depth) } else { self.array(node, depth) }
    }

    #[inline]
    fn object(&mut self, node: &Node, depth: usize) -> Result<(), DecodeError> {
        self.at += 1;
        self.whitespace();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.wrong("no key where one must be"));
            }
            let key = self.quoted()?;
            let pointers = self.pointers;
            let child = if key.escaped {
                let start = self.made.len();
                unescape(&self.bytes[key.start..key.end], key.start, self.made)?;
                let child = pointers.by_key(node, &self.made[start..]);
                self.made.truncate(start);
                child
            } else {
                pointers.by_key(node, &self.bytes[key.start..key.end])
            };
            self.whitespace();
            if self.peek() != Some(b':') {
                return Err(self.wrong("no `:` behind a key"));
            }
            self.at += 1;
            self.whitespace();
            match child {
                Some(child) => {
                    if child.has_children() {
                        // The last of duplicate keys wins, with all that is below it.
                        let slots = &mut *self.slots;
                        pointers.each_below(child, &mut |slot| slots[slot] = Slot::default());
                    }
                    self.value(child, depth + 1)?;
                }
                None => self.skip(depth + 1)?,
            }
            if self.end_of_item(b'}')? {
                return Ok(());
            }
        }
    }

    fn array(&mut self, node: &Node, depth: usize) -> Result<(), DecodeError> {
        self.at += 1;
        self.whitespace();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        for index in 0.. {
            match self.pointers.by_index(node, index) {
                Some(child) => self.value(child, depth + 1)?,
                None => self.skip(depth + 1)?,
            }
            if self.end_of_item(b']')? {
                break;
            }
        }
        Ok(())
    }

    /// Goes past `,` to the next item, or past the closing bracket: true.
    #[inline]
    fn end_of_item(&mut self, close: u8) -> Result<bool, DecodeError> {
        self.whitespace();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.whitespace();
                Ok(false)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(true)
            }
            _ => Err(self.wrong("neither `,` nor a closing bracket behind an item")),
        }
    }

    /// Goes past a value that nobody asked for.
    #[inline]
    fn skip(&mut self, depth: usize) -> Result<(), DecodeError> {
        match self.peek() {
            Some(b'"') => {
                self.quoted()?;
                Ok(())
            }
            Some(b'{' | b'[') => self.skip_nested(depth),
            _ => {
                let start = self.at;
                self.at += bare_length(&self.bytes[start..]);
                if self.at == start {
                    Err(self.wrong("no value where one must be"))
                } else {
                    Ok(())
                }
            }
        }
    }

    /// Goes past an object or array: only quotes and brackets count.
    fn skip_nested(&mut self, depth: usize) -> Result<(), DecodeError> {
        let mut open = 0;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.quoted()?;
                    continue;
                }
                Some(b'{' | b'[') => {
                    open += 1;
                    if depth + open > DEPTH_MAX {
                        return Err(self.wrong("nested too deeply"));
                    }
                }
                Some(b'}' | b']') => open -= 1,
                Some(_) => {}
                None => return Err(self.wrong("the end inside an object or array")),
            }
            self.at += 1;
            if open == 0 {
                return Ok(());
            }
        }
    }

    /// A string, read when it is `wanted`.
    #[inline]
    fn text(&mut self, wanted: bool) -> Result<Slot, DecodeError> {
        let token = self.at;
        let Quoted { start, end, escaped } = self.quoted()?;
        let mut slot = Slot::in_value(Kind::Text, start, end);
        if escaped && wanted {
            let made = self.made.len();
            unescape(&self.bytes[start..end], start, self.made)?;
            slot = Slot::in_value(Kind::Text, made, self.made.len());
            slot.base = Base::Made;
        }
        Ok(Slot { token_start: token as u32, token_end: self.at as u32, ..slot })
    }

    /// Goes past a string; it starts here.
    #[inline]
    fn quoted(&mut self) -> Result<Quoted, DecodeError> {
        let start = self.at + 1;
        let mut from = start;
        let mut escaped = false;
        loop {
            let Some(end) = self.specials.next(from) else {
                self.at = self.bytes.len();
                return Err(self.wrong("the end inside a string"));
            };
            if self.bytes[end] == b'"' {
                self.at = end + 1;
                return Ok(Quoted { start, end, escaped });
            }
            escaped = true;
            from = end + 2;
        }
    }

    /// A number, `true`, `false` or `null`.
    #[inline]
    fn bare(&mut self) -> Result<Slot, DecodeError> {
        let start = self.at;
        let token = &self.bytes[start..start + bare_length(&self.bytes[start..])];
        let kind = match token {
            b"null" => Kind::Null,
            b"true" => Kind::True,
            b"false" => Kind::False,
            _ if is_number(token) => Kind::Number,
            _ => return Err(self.wrong("no value where one must be")),
        };
        self.at += token.len();
        Ok(Slot::in_value(kind, start, self.at))
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn whitespace(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    #[cold]
    fn wrong(&self, problem: &'static str) -> DecodeError {
        let problem = if self.at >= self.bytes.len() { "the end of the value" } else { problem };
        DecodeError::Json { at: self.at, problem }
    }
}

/// How far a number or word reaches.
#[inline]
fn bare_length(rest: &[u8]) -> usize {
    rest.iter()
        .position(|byte| {
            matches!(
                byte,
                b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t' | b'"' | b'{' | b'[' | b':'
            )
        })
        .unwrap_or(rest.len())
}

/// Whether a token is a number as JSON spells it.
fn is_number(token: &[u8]) -> bool {
    fn digits(token: &[u8]) -> (&[u8], &[u8]) {
        token.split_at(token.iter().take_while(|byte| byte.is_ascii_digit()).count())
    }
    let (whole, mut rest) = digits(token.strip_prefix(b"-").unwrap_or(token));
    if whole.is_empty() || whole.len() > 1 && whole[0] == b'0' {
        return false;
    }
    if let Some(fraction) = rest.strip_prefix(b".") {
        let (fraction, behind) = digits(fraction);
        if fraction.is_empty() {
            return false;
        }
        rest = behind;
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let signless = match exponent {
            [b'+' | b'-', digits @ ..] => digits,
            all => all,
        };
        let (exponent, behind) = digits(signless);
        if exponent.is_empty() {
            return false;
        }
        rest = behind;
    }
    rest.is_empty()
}
