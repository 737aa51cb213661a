//! The places of a JSON document that were asked for, found in one walk over it.
//!
//! Nothing is allocated but the text of strings with escapes.

mod cursor;
mod habit;
mod masks;
mod pointers;
mod unescape;

use super::{Base, DecodeError, Kind, Slot};
use cursor::{Cursor, END, Problem, Quoted, Wrong, is_number};
pub(super) use habit::Habit;
use masks::{Brackets, NONE};
pub(super) use pointers::Pointers;
use pointers::{DEPTH_MAX, Node};
use unescape::unescape;

/// Fills the slots of all pointers that lead to something; `decoder` is the number of whoever asks.
#[inline]
pub(super) fn decode(
    value: &[u8],
    (decoder, pointers): (u64, &Pointers),
    (slots, made, habit): (&mut [Slot], &mut Vec<u8>, &mut Habit),
) -> Result<(), DecodeError> {
    habit.begin(decoder);
    let mut walk = Walk { pointers, slots, made, habit };
    walk.document(Cursor::new(value)).map_err(|wrong| error(wrong, value))?;
    walk.habit.end(value, pointers);
    Ok(())
}

#[cold]
fn error(wrong: Wrong, value: &[u8]) -> DecodeError {
    let at = wrong.at as usize;
    let problem = match wrong.problem {
        _ if at >= value.len() => "the end of the value",
        Problem::End => "the end of the value",
        Problem::Behind => "something behind the document",
        Problem::Depth => "nested too deeply",
        Problem::Key => "no key where one must be",
        Problem::Colon => "no `:` behind a key",
        Problem::Item => "neither `,` nor a closing bracket behind an item",
        Problem::Value => "no value where one must be",
        Problem::Escape => "an escape that JSON does not have",
    };
    DecodeError::Json { at, problem }
}

/// What is walked for; where the walk is, is the [`Cursor`] that every step takes and gives.
struct Walk<'a> {
    pointers: &'a Pointers,
    slots: &'a mut [Slot],
    made: &'a mut Vec<u8>,
    habit: &'a mut Habit,
}

impl Walk<'_> {
    #[inline]
    fn document(&mut self, mut cursor: Cursor<'_>) -> Result<(), Wrong> {
        let root = self.pointers.root();
        // A root itself is never asked for: it has no pointer.
        if cursor.token() == b'{' {
            cursor = self.object::<true>(cursor, root, 0)?;
        } else {
            self.value(&mut cursor, root, 0)?;
        }
        if cursor.token() == END && cursor.at >= cursor.bytes.len() {
            Ok(())
        } else {
            Err(cursor.wrong(Problem::Behind))
        }
    }

    /// A value that is on the way to something, or was asked for itself.
    #[inline(always)]
    fn value(&mut self, cursor: &mut Cursor<'_>, node: &Node, depth: usize) -> Result<(), Wrong> {
        let token = cursor.token();
        let start = cursor.at;
        let slot = match token {
            b'"' => {
                let quoted = cursor.quoted()?;
                let slot = if quoted.escaped && node.slot.is_some() {
                    self.unescaped(cursor.bytes, quoted)?
                } else {
                    Slot::in_value(Kind::Text, quoted.start, quoted.end)
                };
                Slot { token_start: start as u32, token_end: cursor.at as u32, ..slot }
            }
            b'{' | b'[' => {
                *cursor = self.nested(*cursor, node, depth)?;
                Slot::in_value(Kind::Nested, start, cursor.at)
            }
            _ => {
                let kind = match cursor.bare() {
                    b"null" => Kind::Null,
                    b"true" => Kind::True,
                    b"false" => Kind::False,
                    number if is_number(number) => Kind::Number,
                    _ => return Err(Wrong { problem: Problem::Value, at: start as u32 }),
                };
                Slot::in_value(kind, start, cursor.at)
            }
        };
        if let Some(index) = node.slot {
            self.slots[index] = slot;
        }
        Ok(())
    }

    /// An object or array; it starts here.
    fn nested<'c>(
        &mut self,
        cursor: Cursor<'c>,
        node: &Node,
        depth: usize,
    ) -> Result<Cursor<'c>, Wrong> {
        if !node.has_children() {
            skip_nested(cursor, depth)
        } else if depth >= DEPTH_MAX {
            Err(cursor.wrong(Problem::Depth))
        } else if cursor.bytes[cursor.at] == b'{' {
            self.object::<false>(cursor, node, depth)
        } else {
            self.array(cursor, node, depth)
        }
    }

    /// An object; it starts here. The keys of the document itself are `EXPECTED` to be as usual.
    fn object<'c, const EXPECTED: bool>(
        &mut self,
        mut cursor: Cursor<'c>,
        node: &Node,
        depth: usize,
    ) -> Result<Cursor<'c>, Wrong> {
        let start = cursor.at;
        let mut expected = 0;
        loop {
            let child =
                if EXPECTED && let Some((child, at)) = self.habit.recognise(expected, &cursor) {
                    cursor.at = at;
                    expected += 1;
                    child
                } else {
                    let first = cursor.at == start;
                    let token = cursor.token();
                    if !first && token != b',' {
                        return close(cursor, token, b'}');
                    }
                    cursor.at += 1;
                    let token = cursor.token();
                    if first && token == b'}' {
                        return close(cursor, token, b'}');
                    }
                    if token != b'"' {
                        return Err(cursor.wrong(Problem::Key));
                    }
                    let key = cursor.quoted()?;
                    if EXPECTED {
                        expected = self.habit.surprise(expected, &cursor.bytes[key.start..key.end]);
                    }
                    let child = self.child(cursor.bytes, node, key)?;
                    if cursor.token() != b':' {
                        return Err(cursor.wrong(Problem::Colon));
                    }
                    cursor.at += 1;
                    child
                };
            match child {
                None => skip(&mut cursor, depth + 1)?,
                Some(child) => {
                    let child = self.pointers.node(child);
                    if child.has_children() {
                        // The last of duplicate keys wins, with all that is below it.
                        let slots = &mut *self.slots;
                        self.pointers.each_below(child, &mut |slot| slots[slot] = Slot::default());
                    }
                    self.value(&mut cursor, child, depth + 1)?;
                }
            }
        }
    }

    #[inline(always)]
    fn child(&mut self, bytes: &[u8], node: &Node, key: Quoted) -> Result<Option<usize>, Wrong> {
        if key.escaped {
            return self.escaped_child(bytes, node, key);
        }
        Ok(self.pointers.by_key(node, bytes, key.start, key.end))
    }

    #[cold]
    fn escaped_child(
        &mut self,
        bytes: &[u8],
        node: &Node,
        key: Quoted,
    ) -> Result<Option<usize>, Wrong> {
        let start = self.made.len();
        self.unescape(bytes, key)?;
        let child = self.pointers.by_key(node, self.made, start, self.made.len());
        self.made.truncate(start);
        Ok(child)
    }

    fn array<'c>(
        &mut self,
        mut cursor: Cursor<'c>,
        node: &Node,
        depth: usize,
    ) -> Result<Cursor<'c>, Wrong> {
        cursor.at += 1;
        let mut token = cursor.token();
        if token == b']' {
            cursor.at += 1;
            return Ok(cursor);
        }
        for index in 0.. {
            match self.pointers.by_index(node, index) {
                Some(child) => self.value(&mut cursor, child, depth + 1)?,
                None => skip(&mut cursor, depth + 1)?,
            }
            token = cursor.token();
            if token != b',' {
                break;
            }
            cursor.at += 1;
        }
        close(cursor, token, b']')
    }

    /// A slot for a string with escapes.
    #[inline(never)]
    fn unescaped(&mut self, bytes: &[u8], quoted: Quoted) -> Result<Slot, Wrong> {
        let start = self.made.len();
        self.unescape(bytes, quoted)?;
        let slot = Slot::in_value(Kind::Text, start, self.made.len());
        Ok(Slot { base: Base::Made, ..slot })
    }

    /// Appends a string's text to what was made.
    fn unescape(&mut self, bytes: &[u8], quoted: Quoted) -> Result<(), Wrong> {
        unescape(&bytes[quoted.start..quoted.end], self.made)
            .map_err(|at| Wrong { problem: Problem::Escape, at: (quoted.start + at) as u32 })
    }
}

/// Goes past a closing bracket.
#[inline(always)]
fn close(mut cursor: Cursor<'_>, token: u8, bracket: u8) -> Result<Cursor<'_>, Wrong> {
    if token != bracket {
        return Err(cursor.wrong(Problem::Item));
    }
    cursor.at += 1;
    Ok(cursor)
}

/// Goes past a value that nobody asked for.
#[inline(always)]
fn skip(cursor: &mut Cursor<'_>, depth: usize) -> Result<(), Wrong> {
    match cursor.token() {
        b'"' => {
            cursor.quoted()?;
        }
        b'{' | b'[' => *cursor = skip_nested(*cursor, depth)?,
        _ => {
            if cursor.bare().is_empty() {
                return Err(cursor.wrong(Problem::Value));
            }
        }
    }
    Ok(())
}

/// Goes past an object or array: only quotes and brackets count.
#[inline(never)]
fn skip_nested(mut cursor: Cursor<'_>, depth: usize) -> Result<Cursor<'_>, Wrong> {
    let mut brackets = Brackets::new(cursor.bytes);
    let mut open = 0;
    loop {
        let (quote, bracket) = (cursor.special(cursor.at), brackets.next(cursor.at));
        if quote < bracket {
            cursor.at = quote;
            if cursor.bytes[quote] != b'"' {
                return Err(cursor.wrong(Problem::Value));
            }
            cursor.quoted()?;
            continue;
        }
        if bracket == NONE {
            return Err(Wrong { problem: Problem::End, at: cursor.bytes.len() as u32 });
        }
        cursor.at = bracket + 1;
        if matches!(cursor.bytes[bracket], b'}' | b']') {
            open -= 1;
            if open == 0 {
                return Ok(cursor);
            }
        } else {
            open += 1;
            if depth + open > DEPTH_MAX {
                return Err(cursor.wrong(Problem::Depth));
            }
        }
    }
}
