//! Reading numbers and lists off the front of bytes that may be anything.

use std::sync::Arc;

use super::WireError;
use crate::moment::Evidence;

/// What is left to read.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], WireError> {
        let (taken, left) = self.0.split_at_checked(len).ok_or(WireError::Cut)?;
        self.0 = left;
        Ok(taken)
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, left) = self.0.split_first_chunk().ok_or(WireError::Cut)?;
        self.0 = left;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, WireError> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, WireError> {
        self.array().map(i64::from_le_bytes)
    }

    /// A number that an aggregate can have.
    pub(super) fn f64(&mut self) -> Result<f64, WireError> {
        let number = self.array().map(f64::from_le_bytes)?;
        if number.is_nan() {
            Err(WireError::Malformed("its value is no number"))
        } else {
            Ok(number)
        }
    }

    /// A length, LEB128.
    fn len(&mut self) -> Result<usize, WireError> {
        let mut len = 0_u64;
        for shift in (0..63).step_by(7) {
            let byte = self.u8()?;
            len |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return usize::try_from(len).map_err(|_| WireError::Cut);
            }
        }
        Err(WireError::Malformed("it has a length without end"))
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let len = self.len()?;
        self.take(len)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, WireError> {
        str::from_utf8(self.bytes()?).map_err(|_| WireError::Malformed("a name is not UTF-8"))
    }

    pub(super) fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, WireError>,
    ) -> Result<Option<T>, WireError> {
        match self.u8()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(WireError::Malformed("something is neither there nor not")),
        }
    }

    /// A length and so many elements, of which each takes a byte at least.
    pub(super) fn list<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, WireError>,
    ) -> Result<Vec<T>, WireError> {
        let len = self.len()?;
        if len > self.0.len() {
            return Err(WireError::Cut);
        }
        let mut list = Vec::new();
        // Exact for what there usually is; a length that lies takes no more than that.
        list.reserve_exact(len.min(64));
        for _ in 0..len {
            list.push(read(self)?);
        }
        Ok(list)
    }

    /// The same without keeping them.
    pub(super) fn each(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        let len = self.len()?;
        if len > self.0.len() {
            return Err(WireError::Cut);
        }
        (0..len).try_for_each(|_| read(self))
    }

    /// A contributing record; its topic is one of these.
    pub(super) fn evidence(&mut self, topics: &[Arc<str>]) -> Result<Evidence, WireError> {
        let topic = topics.get(self.len()?);
        Ok(Evidence {
            topic: topic.cloned().ok_or(WireError::Malformed("a record of no topic"))?,
            partition: self.array().map(i32::from_le_bytes)?,
            offset: self.i64()?,
            timestamp_ms: self.i64()?,
        })
    }
}
