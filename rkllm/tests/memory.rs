//! The memory plan against what is really allocated.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rkllm::cpu::{Engine, EngineOptions, MemoryPlan};
use rkllm::{Backend, Want};

/// The system's allocator, counting.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grown(bytes: usize) {
    let now = NOW.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(now, Ordering::Relaxed);
}

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // In place or by pages moved: the system does not hold large blocks twice.
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        grown(size);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One measurement at a time: the counters are the process's.
static ONE: Mutex<()> = Mutex::new(());

/// Planned bytes of an engine beside the model, and the most that was allocated for it.
fn planned_and_taken(scheme: &str, options: EngineOptions, want: Want) -> (u64, u64) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tutor-nano");
    let weights = common::weights(&dir, scheme.parse().ok());
    let plan = MemoryPlan::new(&weights, &options, want);
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let mut engine = Engine::new(Arc::clone(&weights), options).unwrap();
    if want == Want::Last {
        assert_eq!(engine.memory_plan(), plan);
    }
    assert_eq!(engine.kv_cache_bytes() as u64, plan.kv_cache);
    let tokens: Vec<u32> = (0..options.context as u32).map(|i| 5 + i % 200).collect();
    let (prompt, rest) = tokens.split_at(tokens.len() - 4);
    // A second input that is a little longer makes no buffer twice as long.
    engine.forward(&prompt[1..], want, &mut |_, _| Ok(())).unwrap();
    engine.reset();
    engine.forward(prompt, want, &mut |_, _| Ok(())).unwrap();
    for token in rest {
        engine.forward(&[*token], want, &mut |_, _| Ok(())).unwrap();
    }
    (plan.engine(), (PEAK.load(Ordering::Relaxed) - before) as u64)
}

#[test]
fn an_engine_takes_what_was_planned() {
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // A float model takes the same buffers, without quantised activations; its plan is tested below.
    for scheme in ["w8a8", "w4a16_g128"] {
        for (threads, context, chunk, want) in
            [(1, 320, 256, Want::Last), (2, 512, 64, Want::Last), (2, 320, 256, Want::All)]
        {
            let options = EngineOptions { threads, context, prefill_chunk: chunk };
            // Threads keep what they prepared: a fresh one has nothing yet.
            let (planned, taken) = std::thread::scope(|scope| {
                scope.spawn(|| planned_and_taken(scheme, options, want)).join().unwrap()
            });
            // Names of layers, thread handles, the vectors' own sizes: not of the shapes.
            let small = 96 << 10;
            let what = format!("{scheme} {options:?} {want:?}: planned {planned}, taken {taken}");
            println!("{what}");
            assert!(taken <= planned + planned / 20 + small, "{what}");
            assert!(taken + planned / 20 + small >= planned, "{what}");
        }
    }
}

/// Inputs of any length in any order, whatever is wanted of them, take no more than the plan for all.
#[test]
fn no_order_of_inputs_takes_more_than_was_planned() {
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tutor-nano");
    for scheme in ["w8a8", "w4a16"] {
        let weights = common::weights(&dir, scheme.parse().ok());
        let options = EngineOptions { threads: 2, context: 300, prefill_chunk: 96 };
        let plan = MemoryPlan::new(&weights, &options, Want::All);
        let before = NOW.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        let mut engine = Engine::new(Arc::clone(&weights), options).unwrap();
        let tokens: Vec<u32> = (0..300).map(|i| 5 + i % 200).collect();
        let wants = [Want::Nothing, Want::All, Want::Last];
        for (index, len) in [1, 95, 2, 300, 17, 97, 16, 96, 1, 299, 33].into_iter().enumerate() {
            engine.reset();
            engine.forward(&tokens[..len], wants[index % 3], &mut |_, _| Ok(())).unwrap();
        }
        let taken = (PEAK.load(Ordering::Relaxed) - before) as u64;
        let planned = plan.engine();
        let what = format!("{scheme}: planned {planned}, taken {taken}");
        println!("{what}");
        assert!(taken <= planned + planned / 20 + (96 << 10), "{what}");
    }
}

#[test]
fn a_chunk_longer_than_the_context_plans_for_the_context() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tutor-nano");
    let weights = common::weights(&dir, None);
    let plan = |chunk| {
        let options = EngineOptions { threads: 1, context: 64, prefill_chunk: chunk };
        MemoryPlan::new(&weights, &options, Want::Last)
    };
    assert_eq!(plan(64), plan(usize::MAX));
    assert!(plan(32).activations < plan(64).activations);
    assert_eq!(plan(64).total(), plan(64).model() + plan(64).engine());
    assert_eq!(plan(64).quantized_activations, 0, "a float model quantises nothing");
}
