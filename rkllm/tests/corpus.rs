//! The fuzzers' corpora as an ordinary test, with simple deterministic mutations of each file.
//! More: `cd rkllm && cargo +nightly fuzz run config` (or `safetensors`, `artifact`, `vendor_file`).

#[path = "corpus/targets.rs"]
mod targets;

use std::path::Path;

/// Mutations per file.
const MUTATIONS: usize = 300;

fn run(name: &str, target: fn(&[u8]) -> bool) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut files: Vec<_> =
        std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut accepted = 0;
    for file in files {
        let data = std::fs::read(&file).unwrap();
        accepted += usize::from(target(&data));
        let mut random = Random(data.len() as u64);
        for _ in 0..MUTATIONS {
            target(&mutated(&data, &mut random));
        }
    }
    // Seeds that are refused at the door would test only the door.
    assert!(accepted >= 5, "only {accepted} good files in {}", dir.display());
}

/// A linear congruential generator, so that a failure is the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((self.0 >> 33) as usize) % end.max(1)
    }
}

fn mutated(data: &[u8], random: &mut Random) -> Vec<u8> {
    let mut data = data.to_vec();
    for _ in 0..1 + random.below(3) {
        if data.is_empty() {
            break;
        }
        // Half of the changes fall on the first kilobyte, where lengths and headers are.
        let end = if random.below(2) == 0 { data.len().min(1024) } else { data.len() };
        let at = random.below(end);
        match random.below(6) {
            0 => data[at] ^= 1 << random.below(8),
            1 => {
                data[at] = [0, 1, 0x7f, 0x80, 0xff, b'0', b'9', b'"', b'}', b','][random.below(10)]
            }
            2 => data.truncate(at),
            3 => drop(data.remove(at)),
            4 => {
                let part = data[at..(at + random.below(40)).min(data.len())].to_vec();
                let to = random.below(data.len());
                data.splice(to..to, part);
            }
            _ if data[at].is_ascii_digit() => data[at] = b'0' + random.below(10) as u8,
            _ => data.insert(at, b'9'),
        }
    }
    data
}

#[test]
fn configurations() {
    run("config", targets::config);
}

#[test]
fn safetensors_files() {
    run("safetensors", targets::safetensors);
}

#[test]
fn artifacts() {
    run("artifact", targets::artifact);
}

#[cfg(feature = "npu")]
#[test]
fn vendor_files() {
    run("vendor_file", targets::vendor_file);
}
