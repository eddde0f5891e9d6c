//! The little of the wire that the peers need: the codec, and the fields of a message.
use bytes::{BufMut, Bytes, BytesMut};
use std::io::{Error, ErrorKind};
use tokio_util::codec::{Decoder, Encoder};

const MAX_FRAME_BYTES: usize = 1 << 24;
const MOST_RESERVED: usize = 1 << 18;

/// Frames with a length in front, until it is told to pass bytes on as they come.
pub struct LengthCodec {
    pub raw: bool,
    /// Append what is sent byte by byte, as `BytesMut::extend` does with `Bytes`.
    pub bytewise: bool,
    body: Option<usize>,
}

impl LengthCodec {
    pub fn new() -> Self {
        LengthCodec { raw: false, bytewise: false, body: None }
    }

    /// Take the header off the buffer; None if it is not complete.
    fn header(buffer: &mut BytesMut) -> Option<usize> {
        let head = (*buffer.first()? & 3) as usize + 1;
        if buffer.len() < head {
            return None;
        }
        let header = buffer.split_to(head);
        let value = header.iter().rev().fold(0usize, |sum, byte| sum << 8 | *byte as usize);
        Some(value >> 2)
    }
}

impl Decoder for LengthCodec {
    type Item = BytesMut;
    type Error = Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<BytesMut>, Error> {
        if self.raw {
            let size = buffer.len();
            return Ok(if size == 0 { None } else { Some(buffer.split_to(size)) });
        }
        if self.body.is_none() {
            self.body = Self::header(buffer);
            let missing = self.body.unwrap_or(0).saturating_sub(buffer.len());
            buffer.reserve(missing.min(MOST_RESERVED)); // so much is read by one call
        }
        match self.body {
            Some(size) if size > MAX_FRAME_BYTES => Err(ErrorKind::InvalidData.into()),
            Some(size) if buffer.len() >= size => {
                self.body = None;
                Ok(Some(buffer.split_to(size)))
            }
            _ => Ok(None),
        }
    }
}

impl Encoder<Bytes> for LengthCodec {
    type Error = Error;

    fn encode(&mut self, data: Bytes, buffer: &mut BytesMut) -> Result<(), Error> {
        if !self.raw {
            buffer.reserve(data.len() + 4);
            let size = data.len();
            let more = (size > 0x3f) as usize + (size > 0x3fff) as usize + (size > 0x3f_ffff) as usize;
            buffer.put_uint_le((size << 2 | more) as u64, more + 1);
        }
        if self.bytewise {
            buffer.extend(data);
        } else {
            buffer.reserve(data.len());
            buffer.put(data);
        }
        Ok(())
    }
}

fn varint(data: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = data.split_first()?;
        *data = rest;
        value |= ((byte & 127) as u64) << shift;
        if *byte < 128 {
            return Some(value);
        }
    }
    None
}

/// Take the next field off a message: its number, and its bytes (empty for a number).
pub fn field<'a>(data: &mut &'a [u8]) -> Option<(u64, &'a [u8])> {
    let tag = varint(data)?;
    let value = varint(data)? as usize;
    match tag & 7 {
        0 => Some((tag >> 3, &[])),
        2 if value <= data.len() => {
            let (body, rest) = data.split_at(value);
            *data = rest;
            Some((tag >> 3, body))
        }
        _ => None,
    }
}

/// The bytes of one field of a message; None if it is not there.
pub fn bytes_of(mut data: &[u8], wanted: u64) -> Option<&[u8]> {
    let mut found = None;
    while let Some((number, body)) = field(&mut data) {
        if number == wanted {
            found = Some(body);
        }
    }
    found
}

pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 127 {
        out.push(value as u8 | 128);
        value >>= 7;
    }
    out.push(value as u8);
}
