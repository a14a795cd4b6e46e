//! The measurement record: blocks with an index each, in the form that DMTF gives them.

use super::cursor::Cursor;
use super::{Measurements, SpdmError};

/// Exactly the announced number of blocks, and nothing else.
pub(super) fn parse(record: &[u8], announced: u8) -> Result<Measurements, SpdmError> {
    let mut cursor = Cursor::new(record);
    let mut blocks = Measurements::new();
    while cursor.left() != 0 {
        let (index, value) = block(&mut cursor)?;
        if blocks.insert(index, value).is_some() {
            return Err(SpdmError::Block { index, why: "comes twice" });
        }
    }
    // A report without a single measurement would have nothing to compare.
    if blocks.is_empty() || blocks.len() != usize::from(announced) {
        return Err(SpdmError::BlockCount { announced, found: blocks.len() });
    }
    Ok(blocks)
}

fn block(cursor: &mut Cursor<'_>) -> Result<(u8, Vec<u8>), SpdmError> {
    let index = cursor.u8("a block's index")?;
    let bad = |why| Err(SpdmError::Block { index, why });
    if index == 0 {
        return bad("has an index that SPDM reserves");
    }
    if cursor.u8("a block's specification")? != DMTF {
        return bad("does not follow the DMTF specification");
    }
    let size = usize::from(cursor.u16("a block's size")?);
    let mut content = Cursor::new(cursor.take(size, "a measurement block")?);
    let _type = content.u8("a value's type")?;
    let value_size = usize::from(content.u16("a value's size")?);
    let value = content.take(value_size, "a measured value")?;
    if content.left() != 0 {
        return bad("is longer than its value");
    }
    Ok((index, value.to_vec()))
}

/// The measurement specification, as a bit.
const DMTF: u8 = 1;
