//! A place in a JSON text, and the steps that a walk takes from there.

use super::masks::{BLOCK, NONE, specials_at};

/// A place in a JSON text. It is small and copied, never borrowed for long, so that it lives in registers.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    /// Where the block of `mask` starts.
    block: usize,
    /// The block's quotes and backslashes, a bit per byte.
    mask: u64,
}

/// What is wrong with a text.
#[derive(Debug, Clone, Copy)]
pub(super) enum Problem {
    Behind,
    Depth,
    Key,
    Colon,
    Item,
    Value,
    Escape,
    End,
}

/// What is wrong, and at which byte.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wrong {
    pub(super) problem: Problem,
    /// Kafka's lengths are 32-bit.
    pub(super) at: u32,
}

/// A string's bytes between its quotes, and whether there are escapes in it.
#[derive(Clone, Copy)]
pub(super) struct Quoted {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) escaped: bool,
}

/// Stands for the end of the text; no token begins with it.
pub(super) const END: u8 = 0;

impl<'a> Cursor<'a> {
    #[inline(always)]
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, block: 0, mask: specials_at(bytes, 0) }
    }

    /// Something is wrong here.
    #[inline(always)]
    pub(super) fn wrong(&self, problem: Problem) -> Wrong {
        Wrong { problem, at: self.at as u32 }
    }

    /// The byte that the next token begins with, behind whitespace; [`END`] at the end.
    #[inline(always)]
    pub(super) fn token(&mut self) -> u8 {
        match self.bytes.get(self.at) {
            Some(byte) if *byte > b' ' => *byte,
            _ => {
                let (at, byte) = behind_whitespace(self.bytes, self.at);
                self.at = at;
                byte
            }
        }
    }

    /// Goes past a string, which starts here.
    #[inline(always)]
    pub(super) fn quoted(&mut self) -> Result<Quoted, Wrong> {
        let start = self.at + 1;
        let end = self.special(start);
        match self.bytes.get(end) {
            Some(b'"') => {
                self.at = end + 1;
                Ok(Quoted { start, end, escaped: false })
            }
            Some(_) => {
                let (cursor, end) = self.behind_escapes(end)?;
                *self = cursor;
                Ok(Quoted { start, end, escaped: true })
            }
            None => Err(Wrong { problem: Problem::End, at: self.bytes.len() as u32 }),
        }
    }

    /// Goes past the rest of a string from a backslash on; also gives its closing quote.
    #[inline(never)]
    fn behind_escapes(mut self, mut special: usize) -> Result<(Self, usize), Wrong> {
        loop {
            match self.bytes.get(special) {
                Some(b'"') => {
                    self.at = special + 1;
                    return Ok((self, special));
                }
                // What a backslash escapes is no quote and no backslash.
                Some(_) => special = self.special(special + 2),
                None => return Err(Wrong { problem: Problem::End, at: self.bytes.len() as u32 }),
            }
        }
    }

    /// Goes past a number or word; it may be empty.
    #[inline(always)]
    pub(super) fn bare(&mut self) -> &'a [u8] {
        let rest = &self.bytes[self.at..];
        let length =
            rest.iter().position(|byte| ENDS_BARE[usize::from(*byte)]).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// The first quote or backslash at or behind `at`; [`NONE`] when there is none.
    #[inline(always)]
    pub(super) fn special(&mut self, at: usize) -> usize {
        let block = at & !(BLOCK - 1);
        if block != self.block {
            self.load(block);
        }
        let mut mask = self.mask & (u64::MAX << (at & (BLOCK - 1)));
        while mask == 0 {
            let next = self.block + BLOCK;
            if next >= self.bytes.len() {
                return NONE;
            }
            self.load(next);
            mask = self.mask;
        }
        self.block + mask.trailing_zeros() as usize
    }

    #[inline(always)]
    fn load(&mut self, block: usize) {
        self.block = block;
        self.mask = specials_at(self.bytes, block);
    }
}

#[inline(never)]
fn behind_whitespace(bytes: &[u8], mut at: usize) -> (usize, u8) {
    while let Some(byte) = bytes.get(at) {
        if !matches!(byte, b' ' | b'\n' | b'\t' | b'\r') {
            return (at, *byte);
        }
        at += 1;
    }
    (at, END)
}

/// The bytes that no number and no word contains.
static ENDS_BARE: [bool; 256] = {
    let ends = b",}] \n\r\t\"\\{[:";
    let mut table = [false; 256];
    let mut index = 0;
    while index < ends.len() {
        table[ends[index] as usize] = true;
        index += 1;
    }
    table
};

/// Whether a token is a number as JSON spells it.
#[inline]
pub(super) fn is_number(token: &[u8]) -> bool {
    matches!(token, [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit))
        || is_other_number(token)
}

/// A number that is zero, negative or not whole.
fn is_other_number(token: &[u8]) -> bool {
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
