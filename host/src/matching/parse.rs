//! Parses a condition without trusting it.
//!
//! Conditions also come from components. The `cel` parser recurses on every bracket and on every
//! operator of a chain, deep enough to end the process, so the text is measured first and
//! parsed on a thread that has room for what is let through.

use std::thread;

use cel::{Env, Program};

use super::error::ConditionProblem;
use crate::limits::CONDITION_BYTES_MAX;

/// Brackets within brackets.
const NESTING_MAX: usize = 32;
/// Operators, dots and opening brackets.
const OPERATORS_MAX: usize = 2_500;
/// Stack for parsing; a bracket takes 130 KB of it without optimisation, a link of a chain 30 KB.
const STACK_BYTES: usize = 128 << 20;

/// A problem and the byte of the text where it is.
type At = (usize, ConditionProblem);

/// Runs `work` on a thread that has the stack for parsing; `None` when it panicked or there is no thread.
pub(super) fn with_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("conditions".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)
            .ok()?;
        thread.join().ok()
    })
}

/// Parses a condition; only to be called within [`with_stack`].
pub(super) fn parse(env: &Env, text: &str) -> Result<Program, At> {
    measure(text)?;
    env.compile(text).map_err(|errors| {
        let Some(error) = errors.errors.first() else {
            return (0, ConditionProblem::Syntax("not CEL".to_owned()));
        };
        // The parser counts lines from 1 and columns from 0.
        let line = usize::try_from(error.pos.0).unwrap_or(1).saturating_sub(1);
        let column = usize::try_from(error.pos.1).unwrap_or(0);
        let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
        let within = text[start..].char_indices().nth(column).map_or(0, |(at, _)| at);
        (start + within, ConditionProblem::Syntax(error.msg.trim().to_owned()))
    })
}

/// Refuses what the parser might not survive.
fn measure(text: &str) -> Result<(), At> {
    if text.len() > CONDITION_BYTES_MAX {
        return Err((0, ConditionProblem::TooLong(CONDITION_BYTES_MAX)));
    }
    let bytes = text.as_bytes();
    let (mut at, mut nesting, mut operators) = (0, 0_usize, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'"' | b'\'' => {
                at = literal_end(bytes, at).ok_or((
                    at,
                    ConditionProblem::Syntax(
                        "a text without an end, or with an unknown escape".to_owned(),
                    ),
                ))?;
                continue;
            }
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                at +=
                    bytes[at..].iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len() - at);
                continue;
            }
            b'(' | b'[' | b'{' => {
                nesting += 1;
                operators += 1;
            }
            b')' | b']' | b'}' => nesting = nesting.saturating_sub(1),
            b'?' | b':' => {
                // A conditional nests without brackets.
                nesting += usize::from(bytes[at] == b'?');
                operators += 1;
            }
            // `&&` and `||` are lists to the parser.
            b'.' | b'+' | b'-' | b'*' | b'/' | b'%' | b'<' | b'>' | b'=' | b'!' => {
                operators += 1;
            }
            _ => {}
        }
        if nesting > NESTING_MAX {
            return Err((at, ConditionProblem::TooDeep(NESTING_MAX)));
        }
        if operators > OPERATORS_MAX {
            return Err((at, ConditionProblem::TooManyOperators(OPERATORS_MAX)));
        }
        at += 1;
    }
    Ok(())
}

/// Where the literal that opens at `at` ends, as CEL's grammar has it, or none.
fn literal_end(bytes: &[u8], at: usize) -> Option<usize> {
    let quote = bytes[at];
    let before =
        bytes[..at].iter().rev().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_');
    let raw = before.take(2).any(|byte| byte.eq_ignore_ascii_case(&b'r'));
    let triple = bytes[at..].starts_with(&[quote; 3]);
    let mut at = at + if triple { 3 } else { 1 };
    loop {
        match *bytes.get(at)? {
            b'\\' if !raw => {
                let known = b"abfnrtv\"'\\?`xXuU01234567".contains(bytes.get(at + 1)?);
                at += if known { 2 } else { return None };
            }
            byte if byte == quote && triple => {
                if bytes[at..].starts_with(&[quote; 3]) {
                    return Some(at + 3);
                }
                at += 1;
            }
            byte if byte == quote => return Some(at + 1),
            b'\n' | b'\r' if !triple => return None,
            _ => at += 1,
        }
    }
}
