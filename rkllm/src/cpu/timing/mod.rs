//! How fast this machine reads and multiplies, and how near each kernel comes to that.
//!
//! Everything is measured in one run, on the same threads, and interleaved: the bandwidth again beside each
//! kernel, since machines are shared and clocks move. Layers run as the engine runs them, quantising their
//! activations included.

mod bandwidth;
mod fork;
mod layers;
mod peak;

use std::time::{Duration, Instant};

use super::cores::Cores;
use super::linear::Device;
use super::pool::Pool;
use crate::kernels::fpenv::FpEnv;
use crate::kernels::{Kernel, int};
use crate::{Bytes, Error, ErrorKind, Result};

pub use peak::peak_macs_per_s;

/// Passes over the buffer before anything else; another one goes before each kernel and each layer.
const PASSES: usize = 3;

/// What is measured.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TimingOptions {
    /// Threads, the calling one included.
    pub threads: usize,
    /// Bytes of weights that take turns, and of the buffer whose reading is the limit: more than the caches
    /// hold, or what comes out is no limit of memory.
    pub bytes: usize,
    /// Time for each figure.
    pub time: Duration,
    /// Tokens of a prefill step; kernels that would take seconds for it get fewer.
    pub prefill: usize,
    /// (K, N) of the layers; none to measure the machine's limits alone.
    pub shapes: Vec<(usize, usize)>,
}

impl TimingOptions {
    /// Layers of Qwen2.5-0.5B and TinyLlama-1.1B; some seconds for each kernel.
    pub fn new(threads: usize) -> Self {
        Self {
            threads,
            bytes: 256 << 20,
            time: Duration::from_millis(250),
            prefill: 128,
            shapes: vec![(896, 4864), (4864, 896), (2048, 5632), (5632, 2048)],
        }
    }

    /// The limits alone, reading a buffer of `bytes`.
    pub fn limits(threads: usize, bytes: usize) -> Self {
        Self { bytes, shapes: Vec::new(), time: Duration::from_millis(50), ..Self::new(threads) }
    }

    /// One small layer and no time: that it runs, not how fast.
    pub fn quick(threads: usize) -> Self {
        Self {
            bytes: 4 << 20,
            time: Duration::from_millis(2),
            prefill: 16,
            shapes: vec![(896, 256)],
            ..Self::new(threads)
        }
    }
}

/// Everything that was measured.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Timing {
    /// Threads that worked.
    pub threads: usize,
    /// How many threads, where and why.
    pub placement: String,
    /// Bytes of the buffer that was read.
    pub buffer_bytes: usize,
    /// Reading it in the fastest of several patterns, in 10^9 bytes per second.
    pub read_gb_per_s: Spread,
    /// That pattern.
    pub read_pattern: String,
    /// A fork to every thread and its end, without work, one after another, in microseconds.
    pub fork_us: Spread,
    /// The same after a pause in which the threads fell asleep.
    pub fork_after_sleep_us: Spread,
    /// Every kernel this build knows, the preferred one last.
    pub kernels: Vec<KernelTiming>,
}

/// A kernel, and if it runs here how fast.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct KernelTiming {
    /// Its name.
    pub name: &'static str,
    /// Why it cannot run here; `None` if it can.
    pub unavailable: Option<String>,
    /// True of the one that the engine takes.
    pub active: bool,
    /// What its multiply instruction does on registers alone, all threads together, in 10^9 int8
    /// multiply-accumulates per second.
    pub peak_gmacs_per_s: Option<f64>,
    /// Its layers; none where it cannot run.
    pub layers: Vec<LayerTiming>,
}

/// One layer, decoding or in prefill.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LayerTiming {
    /// The scheme's name.
    pub scheme: &'static str,
    /// Tokens: 1 is decode.
    pub m: usize,
    /// Input features.
    pub k: usize,
    /// Output features.
    pub n: usize,
    /// Time of one product, in microseconds.
    pub us: Spread,
    /// Weights and scales read, in 10^9 bytes per second, by the median time.
    pub gb_per_s: f64,
    /// That, of the read bandwidth; for decode.
    pub of_read_bandwidth: Option<f64>,
    /// int8 multiply-accumulates, in 10^9 per second, by the median time; w4a16 takes two for a weight.
    pub gmacs_per_s: f64,
    /// That, of the kernel's peak.
    pub of_peak: Option<f64>,
}

/// What a figure was, over and over.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Spread {
    /// The middle one.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// 99 of 100 are at most this.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of at least one value.
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        let at = |part: usize| values[(values.len() - 1) * part / 100];
        Self { median: at(50), min: at(0), p99: at(99), max: at(100) }
    }
}

/// Measures everything; `on_step` is told what comes next.
///
/// # Errors
/// [`ErrorKind::Kernel`] if `RKLLM_KERNEL` cannot be honoured, [`ErrorKind::Input`] for options of zero,
/// [`ErrorKind::Memory`] if the buffer cannot be had or threads cannot be started.
pub fn measure(options: &TimingOptions, on_step: &mut dyn FnMut(&str)) -> Result<Timing> {
    if options.threads == 0 || options.prefill == 0 || options.bytes < 1 << 20 {
        return Err(Error::new(ErrorKind::Input, "no threads, tokens or bytes to measure with"));
    }
    let _env = FpEnv::enter();
    let active = Kernel::active()?.name();
    let placement = Cores::system().placement(Some(options.threads));
    let pool = Pool::new(options.threads).map_err(|error| {
        Error::new(ErrorKind::Memory, format!("cannot start {} threads: {error}", options.threads))
            .with_hint("ask for fewer threads")
    })?;
    pool.confine(placement.confined);
    let _confined = pool.confine_caller();
    on_step("memory");
    let buffer = bandwidth::buffer(options.bytes, &pool)?;
    let mut reads = bandwidth::Reads::new(&buffer, &pool);
    for _ in 0..PASSES {
        reads.pass(&buffer, &pool);
    }
    on_step("fork and join");
    let (fork_us, fork_after_sleep_us) = fork::measure(&pool, options.time);
    // The kernel is chosen for each; the threads are the same.
    let any = Kernel::available()[0];
    let mut device = Device::new(any, pool);
    let mut kernels = Vec::new();
    for &name in Kernel::names() {
        let unavailable = int::refusal(name);
        let mut timing = KernelTiming {
            name,
            active: name == active,
            peak_gmacs_per_s: None,
            layers: Vec::new(),
            unavailable,
        };
        if timing.unavailable.is_none() {
            on_step(name);
            let kernel = Kernel::by_name(name)?;
            reads.pass(&buffer, &device.pool);
            timing.peak_gmacs_per_s = peak::on(&device.pool, name, options.time).map(|m| m / 1e9);
            device.kernel = kernel;
            let of = layers::Machine { device: device.clone(), buffer: &buffer, options };
            timing.layers = layers::measure(&of, &mut reads, timing.peak_gmacs_per_s)?;
        }
        kernels.push(timing);
    }
    let (read, read_pattern) = reads.best();
    for layer in kernels.iter_mut().flat_map(|kernel| &mut kernel.layers).filter(|l| l.m == 1) {
        layer.of_read_bandwidth = Some(layer.gb_per_s / read.median);
    }
    Ok(Timing {
        threads: options.threads,
        placement: placement.to_string(),
        buffer_bytes: buffer.len(),
        read_gb_per_s: read,
        read_pattern,
        fork_us,
        fork_after_sleep_us,
        kernels,
    })
}

/// Times `work` until `time` is over, at least once; seconds each.
fn repeat(time: Duration, most: usize, mut work: impl FnMut()) -> Vec<f64> {
    let begun = Instant::now();
    let mut times = Vec::new();
    while times.is_empty() || (times.len() < most && begun.elapsed() < time) {
        let started = Instant::now();
        work();
        // A clock that did not move would make a rate infinite.
        times.push(started.elapsed().as_secs_f64().max(1e-9));
    }
    times
}

/// Memory that is there and not the kernel's one page of zeros.
type Buffer = Bytes;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_are_of_sorted_values() {
        let spread = Spread::of((1..=200).rev().map(f64::from).collect());
        assert_eq!((spread.median, spread.min, spread.p99, spread.max), (100.0, 1.0, 198.0, 200.0));
        let one = Spread::of(vec![3.0]);
        assert_eq!((one.median, one.p99), (3.0, 3.0));
    }

    #[test]
    fn limits_are_measured_without_layers() {
        let timing = measure(&TimingOptions::limits(2, 1 << 20), &mut |_| {}).unwrap();
        assert_eq!((timing.threads, timing.buffer_bytes), (2, 1 << 20));
        assert!(timing.read_gb_per_s.median > 0.0 && timing.read_pattern.contains("streams"));
        for kernel in &timing.kernels {
            let runs = Kernel::available().iter().any(|known| known.name() == kernel.name);
            assert_eq!(kernel.unavailable.is_none(), runs, "{}", kernel.name);
            assert!(kernel.layers.is_empty());
        }
    }

    #[test]
    fn nothing_to_measure_with_is_refused() {
        for options in [
            TimingOptions { threads: 0, ..TimingOptions::quick(1) },
            TimingOptions { prefill: 0, ..TimingOptions::quick(1) },
            TimingOptions { bytes: 100, ..TimingOptions::quick(1) },
        ] {
            assert_eq!(measure(&options, &mut |_| {}).unwrap_err().kind(), ErrorKind::Input);
        }
    }
}
