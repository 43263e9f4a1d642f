//! XXH64, by its public specification: open to every floor.
//!
//! It tells damage and mistakes apart from what was written; it is no defence against someone who
//! forges a file.

const PRIME_1: u64 = 0x9E37_79B1_85EB_CA87;
const PRIME_2: u64 = 0xC2B2_AE3D_27D4_EB4F;
const PRIME_3: u64 = 0x1656_67B1_9E37_79F9;
const PRIME_4: u64 = 0x85EB_CA77_C2B2_AE63;
const PRIME_5: u64 = 0x27D4_EB2F_1656_67C5;
const STRIPE: usize = 32;

/// A hash under way, with seed 0.
#[derive(Debug, Clone)]
pub(crate) struct Digest {
    lanes: [u64; 4],
    rest: [u8; STRIPE],
    held: usize,
    len: u64,
}

impl Digest {
    pub(crate) fn new() -> Self {
        let lanes = [PRIME_1.wrapping_add(PRIME_2), PRIME_2, 0, 0u64.wrapping_sub(PRIME_1)];
        Self { lanes, rest: [0; STRIPE], held: 0, len: 0 }
    }

    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        self.len = self.len.wrapping_add(bytes.len() as u64);
        if self.held > 0 {
            let taken = bytes.len().min(STRIPE - self.held);
            self.rest[self.held..self.held + taken].copy_from_slice(&bytes[..taken]);
            self.held += taken;
            bytes = &bytes[taken..];
            if self.held < STRIPE {
                return;
            }
            let stripe = self.rest;
            self.stripe(&stripe);
            self.held = 0;
        }
        let (stripes, rest) = bytes.as_chunks::<STRIPE>();
        stripes.iter().for_each(|stripe| self.stripe(stripe));
        self.rest[..rest.len()].copy_from_slice(rest);
        self.held = rest.len();
    }

    /// The same over numbers, little-endian.
    #[cfg(feature = "cpu")]
    pub(crate) fn update_u64(&mut self, values: impl IntoIterator<Item = u64>) {
        values.into_iter().for_each(|value| self.update(&value.to_le_bytes()));
    }

    pub(crate) fn finish(&self) -> u64 {
        let [a, b, c, d] = self.lanes;
        let mut hash = if self.len >= STRIPE as u64 {
            let mixed = a
                .rotate_left(1)
                .wrapping_add(b.rotate_left(7))
                .wrapping_add(c.rotate_left(12))
                .wrapping_add(d.rotate_left(18));
            self.lanes.iter().fold(mixed, |hash, &lane| {
                (hash ^ round(0, lane)).wrapping_mul(PRIME_1).wrapping_add(PRIME_4)
            })
        } else {
            PRIME_5
        };
        hash = hash.wrapping_add(self.len);
        let (words, rest) = self.rest[..self.held].as_chunks::<8>();
        for &word in words {
            hash ^= round(0, u64::from_le_bytes(word));
            hash = hash.rotate_left(27).wrapping_mul(PRIME_1).wrapping_add(PRIME_4);
        }
        let (halves, rest) = rest.as_chunks::<4>();
        for &half in halves {
            hash ^= u64::from(u32::from_le_bytes(half)).wrapping_mul(PRIME_1);
            hash = hash.rotate_left(23).wrapping_mul(PRIME_2).wrapping_add(PRIME_3);
        }
        for &byte in rest {
            hash ^= u64::from(byte).wrapping_mul(PRIME_5);
            hash = hash.rotate_left(11).wrapping_mul(PRIME_1);
        }
        hash = (hash ^ (hash >> 33)).wrapping_mul(PRIME_2);
        hash = (hash ^ (hash >> 29)).wrapping_mul(PRIME_3);
        hash ^ (hash >> 32)
    }

    fn stripe(&mut self, stripe: &[u8; STRIPE]) {
        let words = stripe.as_chunks::<8>().0;
        for (lane, &word) in self.lanes.iter_mut().zip(words) {
            *lane = round(*lane, u64::from_le_bytes(word));
        }
    }
}

fn round(lane: u64, word: u64) -> u64 {
    lane.wrapping_add(word.wrapping_mul(PRIME_2)).rotate_left(31).wrapping_mul(PRIME_1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(bytes: &[u8]) -> u64 {
        let mut digest = Digest::new();
        digest.update(bytes);
        digest.finish()
    }

    /// Values of the reference implementation.
    #[test]
    fn is_xxh64() {
        assert_eq!(hash(b""), 0xEF46_DB37_51D8_E999);
        assert_eq!(hash(b"a"), 0xD24E_C4F1_A98C_6E5B);
        assert_eq!(hash(b"abc"), 0x44BC_2CF5_AD77_0999);
        let text = b"Nobody inspects the spammish repetition";
        assert_eq!(hash(text), 0xFBCE_A83C_8A37_8BF1);
    }

    #[test]
    fn parts_do_not_matter() {
        let bytes: Vec<u8> = (0..200u32).map(|i| (i * 37 % 251) as u8).collect();
        for length in [0, 5, 31, 32, 33, 64, 100, 200] {
            let whole = hash(&bytes[..length]);
            for step in [1, 7, 32, 33] {
                let mut digest = Digest::new();
                bytes[..length].chunks(step).for_each(|part| digest.update(part));
                assert_eq!(digest.finish(), whole, "{length} bytes in steps of {step}");
            }
        }
    }
}
