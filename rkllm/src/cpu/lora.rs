//! Low-rank adapters beside the weights of a layer.

use std::path::Path;
use std::sync::Arc;

use super::engine::Engine;
use super::linear::Device;
use crate::digest::Digest;
use crate::kernels::Columns;
use crate::model::{Load, Lora, LoraPart};
use crate::{Error, ErrorKind, Result};

/// Tokens a task takes at most.
const TILE: usize = 16;
/// Outputs a task takes at least.
const MIN_COLUMNS: usize = 64;

/// The adapters of an engine, of which one at most is in force.
#[derive(Default)]
pub(super) struct Loras {
    all: Vec<Loaded>,
    active: Option<usize>,
}

struct Loaded {
    name: String,
    lora: Arc<Lora>,
    /// The adapter's scaling times the caller's.
    scale: f32,
}

impl Engine {
    /// Reads a LoRA adapter of PEFT's format from `dir` and keeps it as `name`, to be chosen with
    /// [`Backend::set_lora`](crate::Backend::set_lora). `scale` is its strength: 1 for what it was
    /// trained to be. Its matrices are copied into memory.
    ///
    /// # Errors
    /// As [`Lora::open`] and [`Engine::add_lora`].
    pub fn load_lora(
        &mut self,
        name: impl Into<String>,
        dir: impl AsRef<Path>,
        scale: f32,
    ) -> Result<()> {
        let lora = Lora::open(dir, &self.weights.config, Load::Copy)?;
        self.add_lora(name, Arc::new(lora), scale)
    }

    /// The same with an adapter that is open, which engines can share.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for a name that is taken or a scale that is not finite,
    /// [`ErrorKind::Shape`] for another model's adapter.
    pub fn add_lora(&mut self, name: impl Into<String>, lora: Arc<Lora>, scale: f32) -> Result<()> {
        let name = name.into();
        if self.loras.find(&name).is_some() {
            return Err(Error::new(ErrorKind::Input, "an adapter of this name is loaded")
                .about(name)
                .with_hint("give it another name, or remove that one first"));
        }
        let scale = (lora.scaling() * f64::from(scale)) as f32;
        if !scale.is_finite() {
            return Err(Error::new(ErrorKind::Input, "the scale is not finite").about(name));
        }
        self.check_lora(&lora).map_err(|error| error.about(name.as_str()))?;
        self.loras.all.push(Loaded { name, lora, scale });
        Ok(())
    }

    /// Forgets an adapter; if it is in force, none is from now on. False if there is none of this name.
    pub fn remove_lora(&mut self, name: &str) -> bool {
        let Some(index) = self.loras.find(name) else { return false };
        self.loras.all.remove(index);
        self.loras.active = match self.loras.active {
            Some(active) if active == index => None,
            Some(active) if active > index => Some(active - 1),
            active => active,
        };
        true
    }

    /// The name of the adapter in force.
    pub fn lora(&self) -> Option<&str> {
        self.loras.active.map(|index| self.loras.all[index].name.as_str())
    }

    /// The names of the adapters, in the order they were added.
    pub fn loras(&self) -> impl ExactSizeIterator<Item = &str> {
        self.loras.all.iter().map(|loaded| loaded.name.as_str())
    }

    fn check_lora(&self, lora: &Lora) -> Result<()> {
        let layers = self.layers.len();
        if lora.layers.len() != layers {
            let message = format!("an adapter of {} layers, not {layers}", lora.layers.len());
            return Err(Error::new(ErrorKind::Shape, message)
                .with_hint("take an adapter that was made for this model"));
        }
        let mut sites = vec![(&lora.lm_head, &self.lm_head)];
        for (lora, layer) in lora.layers.iter().zip(&self.layers) {
            sites.push((&lora.qkv, &layer.qkv));
            sites.push((&lora.o_proj, &layer.o_proj));
            sites.push((&lora.gate_up, &layer.gate_up));
            sites.push((&lora.down_proj, &layer.down_proj));
        }
        for (parts, linear) in sites {
            for part in parts {
                let (n, k, _) = part.sizes();
                if k != linear.in_features() || part.first + n > linear.out_features() {
                    return Err(Error::new(
                        ErrorKind::Shape,
                        format!("[{n}, {k}] is no part of the layer's matrix"),
                    )
                    .about(&part.name)
                    .with_hint("take an adapter that was made for this model"));
                }
            }
        }
        Ok(())
    }
}

impl Loras {
    fn find(&self, name: &str) -> Option<usize> {
        self.all.iter().position(|loaded| loaded.name == name)
    }

    /// Puts the adapter `name` in force, or none.
    pub(super) fn choose(&mut self, name: Option<&str>) -> Result<()> {
        let Some(name) = name else {
            self.active = None;
            return Ok(());
        };
        let Some(index) = self.find(name) else {
            let known: Vec<&str> = self.all.iter().map(|loaded| loaded.name.as_str()).collect();
            return Err(Error::new(ErrorKind::Input, format!("no adapter {name:?} is loaded"))
                .with_hint(match known.is_empty() {
                    true => "load it first".into(),
                    false => format!("there is {}", known.join(", ")),
                }));
        };
        self.active = Some(index);
        Ok(())
    }

    /// Adds to the outputs `y` of a product with inputs `x` what the adapter in force says of it.
    pub(super) fn add(
        &self,
        device: &Device,
        site: impl FnOnce(&Lora) -> &[LoraPart],
        x: &[f32],
        y: &mut [f32],
    ) {
        let Some(Loaded { lora, scale, .. }) = self.active.map(|index| &self.all[index]) else {
            return;
        };
        for part in site(lora) {
            add_part(device, part, *scale, x, y);
        }
    }

    /// The adapter in force, if any, by its samples as `sample` takes them.
    pub(super) fn hash(&self, digest: &mut Digest, sample: impl Fn(&mut Digest, &[u8])) {
        let Some(Loaded { lora, scale, .. }) = self.active.map(|index| &self.all[index]) else {
            return;
        };
        digest.update(&scale.to_le_bytes());
        for part in lora.parts() {
            digest.update(part.name.as_bytes());
            sample(digest, &part.a.data);
            sample(digest, &part.b.data);
        }
    }
}

/// `y[m, first + n] += scale * dot16(t, B[n])` with `t[r] = dot16(x[m], A[r])`.
fn add_part(device: &Device, part: &LoraPart, scale: f32, x: &[f32], y: &mut [f32]) {
    let (n, k, rank) = part.sizes();
    let m = x.len() / k;
    let (first, row_bytes) = (part.first, rank * part.b.dtype.size());
    let ops = device.kernel.float();
    // Tiles of tokens keep every thread busy in prefill; in decoding, the outputs are split, and each
    // task computes the few values between the two matrices anew.
    let tiles = m.div_ceil(TILE);
    let blocks = device.pool.threads().div_ceil(tiles.max(1)).min(n.div_ceil(MIN_COLUMNS));
    let step = n.div_ceil(blocks);
    let y = Columns::new(y, y.len() / m);
    device.pool.run(tiles * blocks, &|_, task| {
        let (tokens, columns) = (task / blocks * TILE, task % blocks * step);
        let (count, len) = (TILE.min(m - tokens), step.min(n.saturating_sub(columns)));
        if len == 0 {
            return;
        }
        let mut between = vec![0.0; count * rank];
        let out = Columns::new(&mut between, rank).offset(0);
        let x = &x[tokens * k..(tokens + count) * k];
        // SAFETY: this task alone has `between`.
        unsafe { ops.rows(x, k, part.a.dtype, &part.a.data, 0..rank, out) };
        let mut delta = vec![0.0; count * len];
        let out = Columns::new(&mut delta, len).offset(0);
        let b = &part.b.data[columns * row_bytes..(columns + len) * row_bytes];
        // SAFETY: this task alone has `delta`.
        unsafe { ops.rows(&between, rank, part.b.dtype, b, 0..len, out) };
        for (token, delta) in delta.chunks_exact(len).enumerate() {
            // SAFETY: tasks have disjoint tokens or columns; `first + n` is inside a row.
            let y = unsafe {
                std::slice::from_raw_parts_mut(y.at(tokens + token, first + columns), len)
            };
            for (y, delta) in y.iter_mut().zip(delta) {
                *y += scale * delta;
            }
        }
    });
}
