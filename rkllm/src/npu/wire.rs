//! Values as bytes and back, and frames of bytes on a socket: how a worker and its parent speak.
//!
//! Little-endian throughout; lengths are `u32` before what they count. Both ends are programs of this
//! crate, but what arrives is not believed: a worker's memory may have been written over by the library
//! it has loaded.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a frame begins with.
const MAGIC: [u8; 4] = *b"RKW1";
/// The longest frame, in bytes. Logits of 1,700 positions of a vocabulary of 150,000 fit.
pub(in crate::npu) const LONGEST: usize = 1 << 30;
/// Memory for a frame grows by so much as it arrives, whatever its length claims.
const STEP: usize = 1 << 20;

/// Why bytes are no message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::npu) struct Malformed(pub(in crate::npu) String);

pub(in crate::npu) type Taken<T> = Result<T, Malformed>;

/// Bytes that have not been read yet.
pub(in crate::npu) struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    pub(in crate::npu) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn bytes(&mut self, count: usize) -> Taken<&'a [u8]> {
        let taken = self.0.split_at_checked(count).ok_or_else(|| {
            Malformed(format!("expected {count} more bytes, found {}", self.0.len()))
        })?;
        self.0 = taken.1;
        Ok(taken.0)
    }

    fn array<const N: usize>(&mut self) -> Taken<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    /// A length, at most that of what is left: every element takes a byte at least.
    fn count(&mut self) -> Taken<usize> {
        let count = u32::take(self)? as usize;
        match count <= self.0.len() {
            true => Ok(count),
            false => Err(Malformed(format!("{count} elements in the last {} bytes", self.0.len()))),
        }
    }

    /// Nothing may follow a message.
    pub(in crate::npu) fn end(self) -> Taken<()> {
        match self.0.len() {
            0 => Ok(()),
            left => Err(Malformed(format!("{left} bytes after the end"))),
        }
    }
}

/// A value that crosses.
pub(in crate::npu) trait Wire: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn take(rest: &mut Rest<'_>) -> Taken<Self>;
}

macro_rules! number {
    ($($type:ty),*) => {$(
        impl Wire for $type {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn take(rest: &mut Rest<'_>) -> Taken<Self> {
                rest.array().map(Self::from_le_bytes)
            }
        }
    )*};
}
number!(u8, u32, i32, u64, f32);

impl Wire for usize {
    fn put(&self, out: &mut Vec<u8>) {
        (*self as u64).put(out);
    }

    fn take(rest: &mut Rest<'_>) -> Taken<Self> {
        let value = u64::take(rest)?;
        Self::try_from(value).map_err(|_| Malformed(format!("a size of {value}")))
    }
}

impl Wire for bool {
    fn put(&self, out: &mut Vec<u8>) {
        u8::from(*self).put(out);
    }

    fn take(rest: &mut Rest<'_>) -> Taken<Self> {
        match u8::take(rest)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(Malformed(format!("{other} where 0 or 1 belongs"))),
        }
    }
}

/// Text; what is no UTF-8 is refused.
pub(in crate::npu) fn put_text(text: &str, out: &mut Vec<u8>) {
    put_bytes(text.as_bytes(), out);
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    // Longer is longer than a frame, which is refused as a whole.
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).put(out);
    out.extend_from_slice(bytes);
}

impl Wire for String {
    fn put(&self, out: &mut Vec<u8>) {
        put_text(self, out);
    }

    fn take(rest: &mut Rest<'_>) -> Taken<Self> {
        let count = rest.count()?;
        let text = std::str::from_utf8(rest.bytes(count)?);
        text.map(str::to_owned).map_err(|error| Malformed(format!("a text: {error}")))
    }
}

/// A path, absolute: the other process may have another current directory.
pub(in crate::npu) fn put_path(path: &Path, out: &mut Vec<u8>) {
    // An empty path stays one, for the other side to refuse.
    let absolute = std::path::absolute(path);
    put_bytes(absolute.as_deref().unwrap_or(path).as_os_str().as_bytes(), out);
}

impl Wire for PathBuf {
    fn put(&self, out: &mut Vec<u8>) {
        put_path(self, out);
    }

    fn take(rest: &mut Rest<'_>) -> Taken<Self> {
        let count = rest.count()?;
        Ok(Self::from(OsStr::from_bytes(rest.bytes(count)?)))
    }
}

impl Wire for Duration {
    fn put(&self, out: &mut Vec<u8>) {
        u64::try_from(self.as_millis()).unwrap_or(u64::MAX).put(out);
    }

    fn take(rest: &mut Rest<'_>) -> Taken<Self> {
        u64::take(rest).map(Self::from_millis)
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn take(rest: &mut Rest<'_>) -> Taken<Self> {
        Ok(if bool::take(rest)? { Some(T::take(rest)?) } else { None })
    }
}

pub(in crate::npu) fn put_slice<T: Wire>(values: &[T], out: &mut Vec<u8>) {
    u32::try_from(values.len()).unwrap_or(u32::MAX).put(out);
    values.iter().for_each(|value| value.put(out));
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        put_slice(self, out);
    }

    fn take(rest: &mut Rest<'_>) -> Taken<Self> {
        let count = rest.count()?;
        // Grown by what is there: a count is only a claim.
        let mut values = Self::new();
        for _ in 0..count {
            values.push(T::take(rest)?);
        }
        Ok(values)
    }
}

impl<T: Wire> Wire for Box<T> {
    fn put(&self, out: &mut Vec<u8>) {
        T::put(self, out);
    }

    fn take(rest: &mut Rest<'_>) -> Taken<Self> {
        T::take(rest).map(Self::new)
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }

    fn take(rest: &mut Rest<'_>) -> Taken<Self> {
        Ok((A::take(rest)?, B::take(rest)?))
    }
}

impl<T: Wire> Wire for Range<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.start.put(out);
        self.end.put(out);
    }

    fn take(rest: &mut Rest<'_>) -> Taken<Self> {
        Ok(T::take(rest)?..T::take(rest)?)
    }
}

/// A struct crosses as its fields, in the order given here.
macro_rules! wire_struct {
    ($type:ty { $($field:ident),* $(,)? }) => {
        impl $crate::npu::wire::Wire for $type {
            fn put(&self, out: &mut Vec<u8>) {
                $($crate::npu::wire::Wire::put(&self.$field, out);)*
            }

            fn take(
                rest: &mut $crate::npu::wire::Rest<'_>,
            ) -> $crate::npu::wire::Taken<Self> {
                $(let $field = $crate::npu::wire::Wire::take(rest)?;)*
                Ok(Self { $($field),* })
            }
        }
    };
}

/// An enum without contents crosses as its place in the list given here.
macro_rules! wire_enum {
    ($type:ident { $($variant:ident),* $(,)? }) => {
        impl $crate::npu::wire::Wire for $type {
            fn put(&self, out: &mut Vec<u8>) {
                let place = [$($type::$variant),*].iter().position(|one| one == self);
                // One that is not listed is refused on the other side.
                place.map_or(u8::MAX, |place| place as u8).put(out);
            }

            fn take(
                rest: &mut $crate::npu::wire::Rest<'_>,
            ) -> $crate::npu::wire::Taken<Self> {
                let place = u8::take(rest)?;
                [$($type::$variant),*].get(usize::from(place)).copied().ok_or_else(|| {
                    $crate::npu::wire::Malformed(format!(
                        concat!("{} is no ", stringify!($type)), place
                    ))
                })
            }
        }
    };
}

/// Declares an enum whose variants cross with a number before them.
macro_rules! wire_messages {
    ($(#[$meta:meta])* $visibility:vis enum $type:ident {
        $($(#[$of_variant:meta])* $tag:literal $variant:ident { $($field:ident: $of:ty),* }),* $(,)?
    }) => {
        $(#[$meta])*
        $visibility enum $type {
            $($(#[$of_variant])* $variant { $($field: $of),* }),*
        }

        impl $crate::npu::wire::Wire for $type {
            fn put(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant { $($field),* } => {
                        out.push($tag);
                        $($crate::npu::wire::Wire::put($field, out);)*
                    })*
                }
            }

            fn take(
                rest: &mut $crate::npu::wire::Rest<'_>,
            ) -> $crate::npu::wire::Taken<Self> {
                match u8::take(rest)? {
                    $($tag => Ok(Self::$variant {
                        $($field: $crate::npu::wire::Wire::take(rest)?),*
                    }),)*
                    other => Err($crate::npu::wire::Malformed(format!("a message {other}"))),
                }
            }
        }
    };
}
pub(in crate::npu) use {wire_enum, wire_messages, wire_struct};

/// A message in its frame.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] for one that is longer than a frame may be.
pub(in crate::npu) fn frame(put: impl FnOnce(&mut Vec<u8>)) -> io::Result<Vec<u8>> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&[0; 4]);
    put(&mut out);
    let length = out.len() - 8;
    if length > LONGEST {
        let message = format!("a message of {length} bytes, {LONGEST} are the most");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    out[4..8].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(out)
}

/// A frame as it arrives, in parts of any size.
#[derive(Debug, Default)]
pub(in crate::npu) struct Arriving {
    head: Vec<u8>,
    body: Vec<u8>,
    length: Option<usize>,
}

/// What a read of a part came to.
#[derive(Debug)]
pub(in crate::npu) enum Part {
    /// A whole message.
    Whole(Vec<u8>),
    /// More is to come.
    More,
    /// The other side has gone.
    Closed,
}

impl Arriving {
    /// Reads once.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] for what is no frame, and what reading reports.
    pub(in crate::npu) fn read(&mut self, from: &mut impl Read) -> io::Result<Part> {
        let Some(length) = self.length else {
            let mut head = [0; 8];
            let count = from.read(&mut head[self.head.len()..])?;
            if count == 0 {
                return self.closed();
            }
            let start = self.head.len();
            self.head.extend_from_slice(&head[start..][..count]);
            return self.begin();
        };
        let start = self.body.len();
        self.body.resize(start + (length - start).min(STEP), 0);
        let count = from.read(&mut self.body[start..]);
        self.body.truncate(start + *count.as_ref().unwrap_or(&0));
        if count? == 0 {
            return self.closed();
        }
        Ok(self.part(length))
    }

    fn begin(&mut self) -> io::Result<Part> {
        if !MAGIC.starts_with(&self.head[..self.head.len().min(4)]) {
            return Err(invalid(format!("expected a frame, found {:02x?}", self.head)));
        }
        if self.head.len() < 8 {
            return Ok(Part::More);
        }
        let length = [self.head[4], self.head[5], self.head[6], self.head[7]];
        let length = u32::from_le_bytes(length) as usize;
        if length > LONGEST {
            return Err(invalid(format!("a frame of {length} bytes, {LONGEST} are the most")));
        }
        self.length = Some(length);
        Ok(self.part(length))
    }

    fn part(&mut self, length: usize) -> Part {
        if self.body.len() < length {
            return Part::More;
        }
        self.head.clear();
        self.length = None;
        Part::Whole(std::mem::take(&mut self.body))
    }

    fn closed(&self) -> io::Result<Part> {
        match self.head.is_empty() {
            true => Ok(Part::Closed),
            // Of a process that died while it wrote, not of one that writes nonsense.
            false => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the end of the stream in the middle of a frame",
            )),
        }
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// A message from its bytes, all of them.
pub(in crate::npu) fn message<T: Wire>(bytes: &[u8]) -> Taken<T> {
    let mut rest = Rest::new(bytes);
    let message = T::take(&mut rest)?;
    rest.end()?;
    Ok(message)
}

#[cfg(test)]
mod tests;
