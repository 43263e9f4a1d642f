//! Values come back as they went; nothing else comes back at all.

use proptest::prelude::*;

use super::*;

fn whole(mut bytes: &[u8]) -> io::Result<Part> {
    let mut arriving = Arriving::default();
    loop {
        match arriving.read(&mut bytes)? {
            Part::More => {}
            other => return Ok(other),
        }
    }
}

#[test]
fn values_come_back_to_the_bit() {
    let nan = f32::from_bits(0x7fc0_1234);
    let value = (vec![Some(nan), None, Some(-0.0)], (String::from("汉"), 3usize..9));
    let bytes = frame(|out| value.put(out)).unwrap();
    let Part::Whole(body) = whole(&bytes).unwrap() else { panic!("not whole") };
    type Back = (Vec<Option<f32>>, (String, Range<usize>));
    let back: Back = message(&body).unwrap();
    assert_eq!(back.1, value.1);
    let bits = |of: &[Option<f32>]| of.iter().map(|v| v.map(f32::to_bits)).collect::<Vec<_>>();
    assert_eq!(bits(&back.0), bits(&value.0));
}

#[test]
fn paths_become_absolute_and_keep_their_bytes() {
    let mut bytes = Vec::new();
    let path = PathBuf::from(OsStr::from_bytes(b"a/\xff.rkllm"));
    path.put(&mut bytes);
    let back: PathBuf = message(&bytes).unwrap();
    assert_eq!(back, std::env::current_dir().unwrap().join(path));
    let mut empty = Vec::new();
    PathBuf::new().put(&mut empty);
    assert_eq!(message::<PathBuf>(&empty).unwrap(), PathBuf::new());
}

#[test]
fn hostile_lengths_are_refused_before_memory_is_taken() {
    let mut frame = b"RKW1".to_vec();
    frame.extend_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(whole(&frame).unwrap_err().kind(), io::ErrorKind::InvalidData);
    // The longest that is let through, of which nothing follows.
    let mut arriving = Arriving::default();
    let mut bytes = &[b"RKW1".as_slice(), &(LONGEST as u32).to_le_bytes(), b"xy"].concat()[..];
    arriving.read(&mut bytes).unwrap();
    arriving.read(&mut bytes).unwrap();
    assert!(arriving.body.capacity() <= 2 * STEP, "{}", arriving.body.capacity());
    // Who sent it has died, which is no nonsense.
    assert_eq!(arriving.read(&mut bytes).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    let count = u32::MAX.to_le_bytes();
    assert!(message::<Vec<u32>>(&count).is_err());
    assert!(message::<String>(&count).is_err());
    assert!(message::<u32>(&[0; 5]).is_err(), "bytes after the end");
    assert!(matches!(whole(b"").unwrap(), Part::Closed));
    assert!(whole(b"E rkllm: hello").is_err());
}

proptest! {
    #[test]
    fn cuts_do_not_matter(text in ".{0,40}", cut in 1usize..9) {
        let bytes = frame(|out| text.clone().put(out)).unwrap();
        let mut arriving = Arriving::default();
        let mut found = None;
        for part in bytes.chunks(cut) {
            let mut part = part;
            while !part.is_empty() {
                if let Part::Whole(body) = arriving.read(&mut part).unwrap() {
                    found = Some(message::<String>(&body).unwrap());
                }
            }
        }
        prop_assert_eq!(found, Some(text));
    }

    #[test]
    fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = whole(&bytes);
        let _ = whole(&[b"RKW1".as_slice(), &bytes].concat());
        let _ = message::<Vec<Option<(String, f32)>>>(&bytes);
        let _ = message::<(bool, (usize, Vec<PathBuf>))>(&bytes);
    }
}
