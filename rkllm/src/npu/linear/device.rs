//! `NpuDevice`: the contexts that all layers share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::NpuLinear;
use crate::layout::{Chip, MatmulType, Tile};
use crate::model::LinearWeights;
use crate::npu::matmul::{Core, Matmul, MatmulSpec, Runtime, Shape};
use crate::{ByRows, Error, ErrorKind, Linear, Result};

const MATMUL: MatmulType = MatmulType::I8I8I32;
/// Where the length of a K segment is not documented: the shortest that is.
const K_LIMIT: usize = 4096;

/// A context that several layers use in turn.
pub(super) type SharedMatmul = Arc<Mutex<Matmul>>;

/// How linear layers use an NPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NpuDeviceOptions {
    chip: Chip,
    cores: Vec<Core>,
    rows: Vec<usize>,
    domain: u8,
    k_limit: Option<usize>,
    trust: bool,
}

impl NpuDeviceOptions {
    /// All cores of the chip, products of 32 or 128 rows, IOMMU domain 0.
    pub fn new(chip: Chip) -> Self {
        let cores = Core::of(chip).to_vec();
        Self { chip, cores, rows: vec![32, 128], domain: 0, k_limit: None, trust: false }
    }

    /// The cores to use, each at most once.
    #[must_use]
    pub fn with_cores(mut self, cores: &[Core]) -> Self {
        self.cores = cores.to_vec();
        self
    }

    /// The numbers of rows a product may have. Inputs are cut into pieces of the largest and padded to the
    /// smallest that holds them; w4a16 takes two rows per token. Each number costs contexts.
    #[must_use]
    pub fn with_rows(mut self, rows: &[usize]) -> Self {
        self.rows = rows.to_vec();
        self.rows.sort_unstable();
        self.rows.dedup();
        self
    }

    /// The IOMMU domain of all memory, 0..=15. Each has 4 GiB: larger models take several devices.
    #[must_use]
    pub fn with_iommu_domain(mut self, domain: u8) -> Self {
        self.domain = domain;
        self
    }

    /// The longest K of one product; the chip's K segment (8192 on the RK3588) where nothing is said, so that
    /// no product depends on how segments lie.
    #[must_use]
    pub fn with_k_limit(mut self, k: usize) -> Self {
        self.k_limit = Some(k);
        self
    }

    /// See [`MatmulSpec::with_io_attr_trusted`]. The known product of [`NpuDevice::open`] still has to come out.
    #[must_use]
    pub fn with_io_attr_trusted(mut self) -> Self {
        self.trust = true;
        self
    }
}

/// An NPU for linear layers. Cheap to clone; contexts are shared by all layers of one shape, which are computed
/// one after the other on a core. A context keeps the last weights it used until it uses others, also those of a
/// layer that was dropped.
#[derive(Clone)]
pub struct NpuDevice(Arc<Inner>);

struct Inner {
    runtime: Runtime,
    options: NpuDeviceOptions,
    tile: Tile,
    k_limit: usize,
    contexts: Mutex<HashMap<(Core, Shape), SharedMatmul>>,
}

impl NpuDevice {
    /// Asks the runtime whether the chip multiplies int8, and has every core multiply numbers whose product is
    /// known, by two weights in turn.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for options that cannot be, [`ErrorKind::Unsupported`] if chip or runtime do not
    /// multiply int8, [`ErrorKind::Runtime`] if the product is wrong, and those of [`MatmulSpec::create`].
    pub fn open(runtime: &Runtime, options: NpuDeviceOptions) -> Result<Self> {
        let tiles = options.chip.tiles(MATMUL)?;
        let k_limit = options.k_limit.or(tiles.k_segment).unwrap_or(K_LIMIT);
        check(&options, k_limit, tiles.b)?;
        if !runtime.supports(MATMUL)? {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("the NPU does not take {MATMUL}"),
            )
            .about(runtime.path().display().to_string())
            .with_hint("leave all layers to the CPU"));
        }
        let runtime = runtime.clone();
        let inner = Inner { runtime, options, tile: tiles.b, k_limit, contexts: Mutex::default() };
        let device = Self(Arc::new(inner));
        for &core in device.cores() {
            device.prove(core)?;
        }
        Ok(device)
    }

    /// The CPU's layer for one row (decoding), the NPU's for more (prefill); the CPU's alone for float
    /// weights. What [`Engine::with_linears`](crate::cpu::Engine::with_linears) asks for.
    ///
    /// # Errors
    /// As [`NpuLinear::new`].
    pub fn for_prefill(
        &self,
        parts: &[LinearWeights],
        cpu: Box<dyn Linear>,
    ) -> Result<Box<dyn Linear>> {
        if parts.iter().any(|part| part.quantized_as().is_none()) {
            return Ok(cpu);
        }
        let npu = Box::new(NpuLinear::new(parts, self)?);
        Ok(Box::new(ByRows::new(cpu, npu, 2)?))
    }

    /// The cores it uses.
    pub fn cores(&self) -> &[Core] {
        &self.0.options.cores
    }

    /// The numbers of rows of its products, ascending.
    pub fn rows(&self) -> &[usize] {
        &self.0.options.rows
    }

    /// Contexts alive.
    pub fn contexts(&self) -> usize {
        self.0.contexts.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// What N and K are padded to.
    pub(super) fn tile(&self) -> Tile {
        self.0.tile
    }

    pub(super) fn k_limit(&self) -> usize {
        self.0.k_limit
    }

    /// The context of a padded shape on a core, made if there is none yet.
    pub(super) fn matmul(&self, core: Core, m: usize, k: usize, n: usize) -> Result<SharedMatmul> {
        let shape = Shape { m, k, n };
        let mut contexts = self.0.contexts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = contexts.get(&(core, shape)) {
            return Ok(Arc::clone(known));
        }
        let made = Arc::new(Mutex::new(self.spec(core, shape).create(&self.0.runtime)?));
        contexts.insert((core, shape), Arc::clone(&made));
        Ok(made)
    }

    fn spec(&self, core: Core, shape: Shape) -> MatmulSpec {
        let options = &self.0.options;
        let spec = MatmulSpec::new(options.chip, MATMUL, shape)
            .with_core(core)
            .with_iommu_domain(options.domain);
        if options.trust { spec.with_io_attr_trusted() } else { spec }
    }

    /// Multiplies by two weights in turn on two contexts, and compares with the CPU. Among what it would
    /// find: other tiles, a B that is not bound anew, caches that are not synchronised, saturation.
    fn prove(&self, core: Core) -> Result<()> {
        let Tile { rows, cols } = self.0.tile;
        let (k, n) = (2 * cols, 2 * rows);
        let value = |i: usize, factor: usize| (i * factor % 256) as u8 as i8;
        let weights: [Vec<i8>; 2] =
            [31, 87].map(|factor| (0..n * k).map(|i| value(i + i / k, factor)).collect());
        let mut on_device = Vec::new();
        for m in [3, 4] {
            let mut matmul = self.spec(core, Shape { m, k, n }).create(&self.0.runtime)?;
            if on_device.is_empty() {
                for weights in &weights {
                    on_device.push(Arc::new(matmul.weights(weights)?));
                }
            }
            let a: Vec<i8> = (0..m * k).map(|i| value(i + i / k, 57)).collect();
            matmul.write_a(&a)?;
            for which in [0, 1, 0] {
                matmul.set_weights(Arc::clone(&on_device[which]))?;
                matmul.run()?;
                let mut found = vec![0; m * n];
                matmul.read_c(&mut found)?;
                let expected = plain(&a, &weights[which], k);
                if let Some(i) = (0..m * n).find(|&i| found[i] != expected[i]) {
                    return Err(Error::new(
                        ErrorKind::Runtime,
                        format!(
                            "core {core:?} multiplies wrongly: C[{}, {}] of a known product is {}, found {}",
                            i / n,
                            i % n,
                            expected[i],
                            found[i]
                        ),
                    )
                    .about(self.0.runtime.path().display().to_string())
                    .with_hint("leave all layers to the CPU, and report chip, driver and runtime version"));
                }
            }
        }
        Ok(())
    }
}

/// `C[m, n] = sum a[m, k] * w[n, k]`.
fn plain(a: &[i8], w: &[i8], k: usize) -> Vec<i32> {
    let dot =
        |a: &[i8], w: &[i8]| a.iter().zip(w).map(|(&a, &w)| i32::from(a) * i32::from(w)).sum();
    a.chunks_exact(k).flat_map(|a| w.chunks_exact(k).map(move |w| dot(a, w))).collect()
}

fn check(options: &NpuDeviceOptions, k_limit: usize, tile: Tile) -> Result<()> {
    let input = |message: String| Err(Error::new(ErrorKind::Input, message));
    let NpuDeviceOptions { cores, rows, .. } = options;
    if cores.is_empty() || (1..cores.len()).any(|i| cores[..i].contains(&cores[i])) {
        return input(format!("expected NPU cores, each once, found {cores:?}"));
    }
    if rows.is_empty() || rows[0] < 2 {
        return input(format!("expected numbers of rows of 2 or more, found {rows:?}"));
    }
    if k_limit == 0 || !k_limit.is_multiple_of(tile.cols) {
        return input(format!(
            "expected a K limit that is a multiple of {}, found {k_limit}",
            tile.cols
        ));
    }
    Ok(())
}

impl std::fmt::Debug for NpuDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NpuDevice")
            .field("runtime", &self.0.runtime.path())
            .field("options", &self.0.options)
            .finish_non_exhaustive()
    }
}
