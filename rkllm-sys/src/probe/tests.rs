//! The guard against functions that write what each release writes, and what none does.

use super::*;

/// A function that returns `$bytes` bytes: `$fields` set, the rest zero.
macro_rules! creates {
    ($name:ident, $words:literal, [$(($at:literal, $value:expr)),* $(,)?]) => {
        mod $name {
            #[repr(C)]
            pub(super) struct Result([u64; $words]);

            pub(super) extern "C" fn create() -> Result {
                let mut bytes = [0u8; $words * 8];
                $(
                    for (i, byte) in $value.to_le_bytes().into_iter().enumerate() {
                        bytes[$at + i] = byte;
                    }
                )*
                let mut words = [0u64; $words];
                for (word, eight) in words.iter_mut().zip(bytes.chunks_exact(8)) {
                    *word = u64::from_le_bytes(eight.try_into().unwrap());
                }
                Result(words)
            }
        }
    };
}

/// Runs the guard on a function that returns a struct by value.
macro_rules! written {
    ($name:ident) => {{
        // SAFETY: only the type of the result is forgotten, which is what the guard is for.
        let create = unsafe {
            std::mem::transmute::<extern "C" fn() -> $name::Result, CreateDefaultParam>(
                $name::create,
            )
        };
        // SAFETY: returns a struct of more than 16 and fewer than 4096 bytes.
        unsafe { Written::by(create) }
    }};
}

creates!(of_1_1, 25, [(20, 0.9f32)]);
creates!(of_1_2, 26, [(16, 40i32), (24, 0.9f32), (28, 0.8f32), (93, 4u8), (100, 1u8)]);
creates!(of_1_3, 23, [(16, 40i32), (24, 0.9f32), (28, 0.8f32), (65, 4u8), (72, 1u8)]);
creates!(later, 40, [(24, 0.9f32)]);
creates!(hot, 23, [(24, 7.5f32)]);
creates!(no_number, 23, [(28, f32::NAN)]);
creates!(many_cpus, 26, [(93, 200u8)]);
creates!(odd_flag, 23, [(58, 3u8)]);

#[test]
fn the_extent_is_what_was_written() {
    for (extent, size) in [
        (written!(of_1_1).extent(), 200),
        (written!(of_1_2).extent(), 208),
        (written!(of_1_3).extent(), 184),
        (written!(later).extent(), 320),
    ] {
        assert_eq!(extent, size);
    }
}

#[test]
fn only_the_layout_of_the_release_passes() {
    assert_eq!(written!(of_1_2).check(Abi::V1_2), Ok(()));
    assert_eq!(written!(of_1_3).check(Abi::V1_3), Ok(()));
    let (expected, found) = written!(of_1_2).check(Abi::V1_3).unwrap_err();
    assert!(expected.contains("184") && found.contains("208"), "{expected}; {found}");
    let (expected, found) = written!(of_1_3).check(Abi::V1_2).unwrap_err();
    assert!(expected.contains("208") && found.contains("184"), "{expected}; {found}");
    assert!(written!(of_1_1).check(Abi::V1_2).is_err());
    assert!(written!(of_1_1).check(Abi::V1_3).is_err());
    assert!(written!(later).check(Abi::V1_2).is_err());
    assert!(written!(later).check(Abi::V1_3).is_err());
}

#[test]
fn defaults_have_to_be_possible() {
    assert!(written!(hot).check(Abi::V1_3).unwrap_err().0.contains("top_p"));
    assert!(written!(no_number).check(Abi::V1_3).unwrap_err().0.contains("temperature"));
    assert!(written!(many_cpus).check(Abi::V1_2).unwrap_err().0.contains("enabled_cpus_num"));
    assert!(written!(odd_flag).check(Abi::V1_3).unwrap_err().0.contains("flag"));
}

/// What a function leaves that assigns field by field.
fn assigned(fields: &[(usize, &[u8])]) -> Written {
    let mut it = Written { bytes: vec![0x5a; BUFFER], written: vec![false; BUFFER] };
    for (at, bytes) in fields {
        it.bytes[*at..at + bytes.len()].copy_from_slice(bytes);
        it.written[*at..at + bytes.len()].fill(true);
    }
    it
}

#[test]
fn assigned_field_by_field_the_cores_tell() {
    let top_p = 0.9f32.to_le_bytes();
    let of_1_2 = assigned(&[(24, &top_p), (93, &[4]), (100, &[1])]);
    assert_eq!(of_1_2.check(Abi::V1_2), Ok(()));
    assert!(of_1_2.check(Abi::V1_3).is_err());
    let of_1_3 = assigned(&[(24, &top_p), (65, &[4]), (72, &[1])]);
    assert_eq!(of_1_3.check(Abi::V1_3), Ok(()));
    assert!(of_1_3.check(Abi::V1_2).is_err());
    assert!(assigned(&[]).check(Abi::V1_3).is_err());
    // All fields, without the padding at the end.
    let whole = assigned(&[(0, &[0; 178])]);
    assert_eq!(whole.check(Abi::V1_3), Ok(()));
    assert!(assigned(&[(0, &[0; 177])]).check(Abi::V1_3).is_err());
}
