//! The definition of a window, so that what is kept can be read without its rule.

use super::reader::Reader;
use super::{WireError, put_bytes};
use crate::plan::{Aggregate, Closing, Crossing, Shape, Window};

pub(super) fn encode(out: &mut Vec<u8>, window: &Window) {
    put_bytes(out, window.name.as_bytes());
    let (shape, first_ms, second_ms) = match window.shape {
        Shape::Tumbling(size_ms) => (1, size_ms, 0),
        Shape::Hopping { size_ms, advance_ms } => (2, size_ms, advance_ms),
        Shape::Sliding(size_ms) => (3, size_ms, 0),
        Shape::Session(gap_ms) => (4, gap_ms, 0),
    };
    out.push(shape);
    for ms in [first_ms, second_ms, window.grace_ms] {
        out.extend(ms.to_le_bytes());
    }
    out.push(match window.aggregate {
        Aggregate::Count => 1,
        Aggregate::Sum => 2,
        Aggregate::Min => 3,
        Aggregate::Max => 4,
        Aggregate::Distinct => 5,
    });
    let (crossing, threshold) = match window.crossing {
        Crossing::Never => (1, 0.0),
        Crossing::AtLeast(threshold) => (2, threshold),
        Crossing::AtMost(threshold) => (3, threshold),
    };
    out.push(crossing);
    out.extend(threshold.to_le_bytes());
    out.push(match window.closing {
        Closing::None => 1,
        Closing::Crossed => 2,
        Closing::All => 3,
    });
    out.extend(window.evidence.to_le_bytes());
}

pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Window, WireError> {
    let name = reader.text()?.to_owned();
    let shape = reader.u8()?;
    let (first_ms, second_ms, grace_ms) = (reader.i64()?, reader.i64()?, reader.i64()?);
    let shape = match shape {
        1 => Shape::Tumbling(first_ms),
        2 => Shape::Hopping { size_ms: first_ms, advance_ms: second_ms },
        3 => Shape::Sliding(first_ms),
        4 => Shape::Session(first_ms),
        _ => return Err(WireError::Malformed("a window of an unknown shape")),
    };
    let aggregate = match reader.u8()? {
        1 => Aggregate::Count,
        2 => Aggregate::Sum,
        3 => Aggregate::Min,
        4 => Aggregate::Max,
        5 => Aggregate::Distinct,
        _ => return Err(WireError::Malformed("a window of an unknown aggregate")),
    };
    let (crossing, threshold) = (reader.u8()?, reader.f64()?);
    let crossing = match crossing {
        1 => Crossing::Never,
        2 => Crossing::AtLeast(threshold),
        3 => Crossing::AtMost(threshold),
        _ => return Err(WireError::Malformed("a window of an unknown crossing")),
    };
    let closing = match reader.u8()? {
        1 => Closing::None,
        2 => Closing::Crossed,
        3 => Closing::All,
        _ => return Err(WireError::Malformed("a window of an unknown closing")),
    };
    let evidence = reader.u32()?;
    Ok(Window { name, shape, aggregate, grace_ms, crossing, closing, evidence })
}
