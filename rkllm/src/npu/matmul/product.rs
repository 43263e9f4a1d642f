//! `Matmul`: one context with its A and C.

use std::ffi::c_void;
use std::sync::Arc;

use rkllm_sys::rknn::{self, rknn_matmul_shape};

use super::attr::{Plan, Tensors};
use super::context::{Context, Memory, Weights};
use super::runtime::check;
use super::spec::{MatmulSpec, Shape, dimension};
use super::{Core, Runtime};
use crate::layout::{Chip, Element, Layout, NibbleOrder, Operand, TensorLayout, Word};
use crate::{Error, ErrorKind, Result};

/// The most shapes of one context; `RKNN_MAX_DYNAMIC_SHAPE_NUM`.
const MOST_SHAPES: usize = 512;

/// A product of fixed K and N on one core. Freed when dropped.
pub struct Matmul {
    spec: MatmulSpec,
    context: Arc<Context>,
    /// One, unless dynamic.
    shapes: Vec<Tensors>,
    current: usize,
    dynamic: bool,
    /// The shape in use is set and its A and C are bound.
    ready: bool,
    a: Memory,
    c: Memory,
    weights: Option<Arc<Weights>>,
}

impl Matmul {
    pub(super) fn create(runtime: &Runtime, spec: MatmulSpec) -> Result<Self> {
        let plan = Plan::new(&spec)?;
        let mut attr = rknn::rknn_matmul_io_attr::default();
        let context = Context::create_raw(runtime, &mut spec.info(plan.padded)?, &mut attr)
            .map_err(|(_, error)| about(error, &spec))?;
        Self::build(context, spec, vec![plan], &[attr], false)
    }

    pub(super) fn create_dynamic(
        runtime: &Runtime,
        spec: MatmulSpec,
        rows: &[usize],
    ) -> Result<Self> {
        let input = |message: String| Err(Error::new(ErrorKind::Input, message));
        if rows.is_empty() || rows.len() > MOST_SHAPES {
            return input(format!(
                "expected 1..={MOST_SHAPES} numbers of rows, found {}",
                rows.len()
            ));
        }
        if let Some(i) = (1..rows.len()).find(|&i| rows[..i].contains(&rows[i])) {
            return input(format!("{} rows are named twice", rows[i]));
        }
        let of = |&m: &usize| Plan::new(&spec.with_shape(Shape { m, ..spec.shape }));
        let plans = rows.iter().map(of).collect::<Result<Vec<_>>>()?;
        let shapes = plans.iter().map(|plan| raw(plan.padded));
        let mut shapes = shapes.collect::<Result<Vec<_>>>()?;
        let mut info = spec.info(plans[0].padded)?;
        let (context, attrs) = Context::create_dynamic(runtime, &mut info, &mut shapes)
            .map_err(|error| about(error, &spec))?;
        Self::build(context, spec, plans, &attrs, true)
    }

    /// From here on a failure drops, and so destroys, the context.
    fn build(
        context: Context,
        spec: MatmulSpec,
        plans: Vec<Plan>,
        attrs: &[rknn::rknn_matmul_io_attr],
        dynamic: bool,
    ) -> Result<Self> {
        let runtime = context.runtime().clone();
        let agree = |(plan, attr): (Plan, _)| plan.agree(&runtime, attr);
        let shapes = plans.into_iter().zip(attrs).map(agree).collect::<Result<Vec<_>>>()?;
        one_weight_layout(&shapes, &spec, &runtime)?;
        let context = Arc::new(context);
        if let Some(mask) = spec.core.mask() {
            context
                .call("rknn_matmul_set_core_mask", |functions, handle| {
                    // SAFETY: a context that is alive.
                    unsafe { (functions.rknn_matmul_set_core_mask)(handle, mask) }
                })
                .map_err(|error| about(error, &spec))?;
        }
        let largest = |i: usize| shapes.iter().map(|shape| shape.sizes[i]).max().unwrap_or(0);
        let (a, c) = (Memory::new(&context, largest(0))?, Memory::new(&context, largest(2))?);
        let mut new =
            Self { spec, context, shapes, current: 0, dynamic, ready: false, a, c, weights: None };
        new.choose(0).map_err(|error| about(error, &spec))?;
        Ok(new)
    }

    /// The shape in use, unpadded.
    pub fn shape(&self) -> Shape {
        self.tensors().shape
    }

    /// The chip, as the caller said.
    pub fn chip(&self) -> Chip {
        self.spec.chip
    }

    /// The core that computes.
    pub fn core(&self) -> Core {
        self.spec.core
    }

    /// How A, B or C of the shape in use lies on the device.
    pub fn layout(&self, operand: Operand) -> &TensorLayout {
        &self.tensors().layouts[operand as usize]
    }

    /// Takes M from those the context was created with. A must be written again.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if it is none of them; what the runtime reports. Then
    /// [`Matmul::run`] refuses until a further call succeeds.
    pub fn set_rows(&mut self, m: usize) -> Result<()> {
        let Some(i) = self.shapes.iter().position(|tensors| tensors.shape.m == m) else {
            let known: Vec<usize> = self.shapes.iter().map(|tensors| tensors.shape.m).collect();
            return Err(Error::new(
                ErrorKind::Input,
                format!("expected one of {known:?} rows, found {m}"),
            )
            .with_hint("name it in MatmulSpec::create_dynamic"));
        };
        self.choose(i)
    }

    /// Moves weights `(N, K)`, row-major, to memory of their own on the device.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for another length, [`ErrorKind::Dtype`] for another size of element (int4: see
    /// [`Matmul::weights_int4`]), [`ErrorKind::Memory`], [`ErrorKind::Runtime`].
    pub fn weights<T: Word>(&self, rows: &[T]) -> Result<Weights> {
        let b = *self.layout(Operand::B);
        expect_bits::<T>(&b)?;
        self.fill(|memory| b.pack(rows, whole(memory.values_mut(b.elements()))?))
    }

    /// The same of int4 rows as artifacts store them; see [`nibble`](crate::quant::nibble).
    ///
    /// # Errors
    /// As [`Matmul::weights`].
    pub fn weights_int4(&self, rows: &[u8], order: NibbleOrder) -> Result<Weights> {
        let b = *self.layout(Operand::B);
        self.fill(|memory| b.pack_int4(rows, whole(memory.values_mut(b.size_bytes()))?, order))
    }

    fn fill(&self, pack: impl FnOnce(&mut Memory) -> Result<()>) -> Result<Weights> {
        let mut memory = Memory::new(&self.context, self.weight_bytes())?;
        pack(&mut memory)?;
        memory.sync_to_npu()?;
        let MatmulSpec { matmul, domain, .. } = self.spec;
        Ok(Weights { memory, layout: *self.layout(Operand::B), matmul, domain })
    }

    /// Multiplies by these from now on. They may come from another context of the same type, K, N and
    /// domain.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for weights of another runtime, type, shape, layout or domain;
    /// [`ErrorKind::Unsupported`] if the context is dynamic and has others; what the runtime reports.
    pub fn set_weights(&mut self, weights: Arc<Weights>) -> Result<()> {
        let same_runtime = weights.memory.runtime().path() == self.context.runtime().path();
        let fits = weights.layout == *self.layout(Operand::B)
            && weights.matmul == self.spec.matmul
            && weights.memory.size() >= self.weight_bytes();
        if !same_runtime || !fits || weights.domain != self.spec.domain {
            let MatmulSpec { matmul, domain, .. } = self.spec;
            let of = |b: &TensorLayout, matmul, domain, bytes| {
                let ((n, k), layout) = (b.shape(), b.layout());
                format!(
                    "[N {n}, K {k}] of {matmul} in {layout} layout, {bytes} bytes, IOMMU domain {domain}"
                )
            };
            let elsewhere = if same_runtime { "" } else { ", of another library" };
            return Err(Error::new(
                ErrorKind::Input,
                format!(
                    "expected weights {}, found {}{elsewhere}",
                    of(self.layout(Operand::B), matmul, domain, self.weight_bytes()),
                    of(&weights.layout, weights.matmul, weights.domain, weights.memory.size()),
                ),
            )
            .with_hint("make them by a context of the same type, K, N and IOMMU domain"));
        }
        match &self.weights {
            Some(own) if Arc::ptr_eq(own, &weights) => return Ok(()),
            Some(_) if self.dynamic => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    "a dynamic context keeps the weights it has",
                )
                .with_hint("create a context for each, or one that is not dynamic"));
            }
            _ => {}
        }
        self.bind(Operand::B, &weights.memory)?;
        self.weights = Some(weights);
        Ok(())
    }

    /// Moves A `(M, K)`, row-major, to the device.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for another length, [`ErrorKind::Dtype`] for another size of element,
    /// [`ErrorKind::Runtime`].
    pub fn write_a<T: Word>(&mut self, rows: &[T]) -> Result<()> {
        let a = *self.layout(Operand::A);
        expect_bits::<T>(&a)?;
        a.pack(rows, whole(self.a.values_mut(a.elements()))?)?;
        self.a.sync_to_npu()
    }

    /// The same of int4 rows as artifacts store weights; see [`nibble`](crate::quant::nibble).
    ///
    /// # Errors
    /// As [`Matmul::write_a`].
    pub fn write_a_int4(&mut self, rows: &[u8], order: NibbleOrder) -> Result<()> {
        let a = *self.layout(Operand::A);
        a.pack_int4(rows, whole(self.a.values_mut(a.size_bytes()))?, order)?;
        self.a.sync_to_npu()
    }

    /// Multiplies; returns when C is there.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] before [`Matmul::set_weights`]; what the runtime reports.
    pub fn run(&mut self) -> Result<()> {
        if self.weights.is_none() {
            return Err(Error::new(ErrorKind::Input, "a matmul without weights")
                .with_hint("call Matmul::set_weights first"));
        }
        if !self.ready {
            return Err(Error::new(ErrorKind::Input, "a matmul whose last set_rows failed")
                .with_hint("call Matmul::set_rows again, or create another"));
        }
        self.context
            .call("rknn_matmul_run", |functions, handle| {
                // SAFETY: a context that is alive; A, B and C are bound to memories that `self` owns and
                // that are as large as io_attr says. C is nobody else's, and `self` is exclusive.
                unsafe { (functions.rknn_matmul_run)(handle) }
            })
            .map_err(|error| about(error, &self.spec))?;
        self.c.sync_from_npu()
    }

    /// Copies C `(M, N)`, row-major.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for another length, [`ErrorKind::Dtype`] for another size of element,
    /// [`ErrorKind::Format`] if what stands in padding is not zero: then the device lays C out otherwise.
    pub fn read_c<T: Word>(&self, rows: &mut [T]) -> Result<()> {
        let c = self.layout(Operand::C);
        expect_bits::<T>(c)?;
        c.unpack(whole(self.c.values(c.elements()))?, rows)
    }

    /// Gives librknnrt scales, and zero points or none, for one tensor; copied. Documented for types 2 and
    /// 3; used by the vendor's demo for 5, 7, 8 and 9, too. Without a call a scale is 1.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for another number of them than the granularity wants, what the runtime reports.
    pub fn set_quant_params(
        &mut self,
        operand: Operand,
        scales: &[f32],
        zero_points: &[i32],
    ) -> Result<()> {
        let tensors = self.tensors();
        self.spec.granularity.check(operand, tensors.padded, scales.len(), zero_points.len())?;
        // The library's arguments are not const: it gets copies.
        let (mut scales, mut zero_points) = (scales.to_vec(), zero_points.to_vec());
        let mut params = rknn::rknn_quant_params {
            name: tensors.attr_of(operand).name,
            scale: scales.as_mut_ptr(),
            scale_len: dimension(scales.len())?,
            ..Default::default()
        };
        if !zero_points.is_empty() {
            params.zp = zero_points.as_mut_ptr();
            params.zp_len = dimension(zero_points.len())?;
        }
        self.context.call("rknn_matmul_set_quant_params", |functions, handle| {
            // SAFETY: a context that is alive; two arrays of the lengths said, alive during the call. The
            // demo frees its arrays after the call, so they are copied.
            unsafe { (functions.rknn_matmul_set_quant_params)(handle, &raw mut params) }
        })
    }

    /// What librknnrt itself makes of weights: `normal` is `(K, N)`, padded, int4 with the even element low.
    /// To be compared with what [`TensorLayout::pack`] makes of them, on a board.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] unless B is native, [`ErrorKind::Shape`] for another length, what the runtime
    /// reports.
    pub fn convert_weights(&self, normal: &[u8]) -> Result<Vec<u8>> {
        let (tensors, b) = (self.tensors(), self.layout(Operand::B));
        if self.spec.b_layout != Layout::Native {
            return Err(Error::new(ErrorKind::Input, "the weights are not in native layout"));
        }
        let Shape { k, n, .. } = tensors.padded;
        let bytes = (k * n * b.element().bits()).div_ceil(8);
        if normal.len() != bytes {
            return Err(Error::new(
                ErrorKind::Shape,
                format!("expected {bytes} bytes of [K {k}, N {n}], found {}", normal.len()),
            ));
        }
        let mut from = normal.to_vec();
        let mut to = vec![0u8; tensors.sizes[1]];
        let (mut info, k, n) = (self.spec.info(tensors.padded)?, dimension(k)?, dimension(n)?);
        let convert = self.context.runtime().functions().rknn_B_normal_layout_to_native_layout;
        let (from, into) = (from.as_mut_ptr().cast::<c_void>(), to.as_mut_ptr().cast::<c_void>());
        // SAFETY: K x N elements to read, as checked, and io_attr.B.size bytes to write.
        check("rknn_B_normal_layout_to_native_layout", unsafe {
            convert(from, into, k, n, &raw mut info)
        })?;
        to.truncate(b.size_bytes());
        Ok(to)
    }

    /// What B takes at most, of the shapes that it is bound once for.
    fn weight_bytes(&self) -> usize {
        self.shapes.iter().map(|tensors| tensors.sizes[Operand::B as usize]).max().unwrap_or(0)
    }

    fn tensors(&self) -> &Tensors {
        &self.shapes[self.current]
    }

    /// Makes a shape the one in use, and binds A and C.
    fn choose(&mut self, i: usize) -> Result<()> {
        self.ready = false;
        if self.dynamic {
            let mut shape = raw(self.shapes[i].padded)?;
            self.context.call("rknn_matmul_set_dynamic_shape", |functions, handle| {
                // SAFETY: a context that is alive, and a struct of the declared layout.
                unsafe { (functions.rknn_matmul_set_dynamic_shape)(handle, &raw mut shape) }
            })?;
        }
        self.current = i;
        self.bind(Operand::A, &self.a)?;
        self.bind(Operand::C, &self.c)?;
        self.ready = true;
        Ok(())
    }

    fn bind(&self, operand: Operand, memory: &Memory) -> Result<()> {
        let mut attr = self.tensors().attr_of(operand);
        memory.with_face(|face| {
            self.context.call("rknn_matmul_set_io_mem", |functions, handle| {
                // SAFETY: context and memory are alive, the memory at least as large as `attr` says: A and C
                // were made for the largest shape, B was compared with the largest by `set_weights`.
                unsafe { (functions.rknn_matmul_set_io_mem)(handle, face, &raw mut attr) }
            })
        })
    }
}

/// Weights are packed and bound once, for whatever number of rows: their layout must not depend on it.
fn one_weight_layout(shapes: &[Tensors], spec: &MatmulSpec, runtime: &Runtime) -> Result<()> {
    let b = |tensors: &Tensors| tensors.layouts[Operand::B as usize];
    let Some(pair) = shapes.windows(2).find(|pair| b(&pair[0]) != b(&pair[1])) else {
        return Ok(());
    };
    let [one, other] = [&pair[0], &pair[1]].map(|tensors| (tensors.shape.m, b(tensors).dims()));
    let message = format!(
        "{} lays B out as {:?} for {} rows and as {:?} for {}",
        runtime.name(),
        one.1,
        one.0,
        other.1,
        other.0
    );
    let error =
        Error::new(ErrorKind::Abi, message).with_hint("create a context for each number of rows");
    Err(about(error, spec))
}

impl std::fmt::Debug for Matmul {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Matmul")
            .field("spec", &self.spec)
            .field("shape", &self.shape())
            .field("dynamic", &self.dynamic)
            .finish_non_exhaustive()
    }
}

fn raw(Shape { m, k, n }: Shape) -> Result<rknn_matmul_shape> {
    Ok(rknn_matmul_shape { M: dimension(m)?, K: dimension(k)?, N: dimension(n)? })
}

fn about(error: Error, spec: &MatmulSpec) -> Error {
    let Shape { m, k, n } = spec.shape;
    let core = match spec.core {
        Core::Auto => String::new(),
        core => format!(", core {core:?}"),
    };
    error.about(format!("{} [M {m}, K {k}, N {n}] on the {}{core}", spec.matmul, spec.chip))
}

/// Memory is as large as `io_attr` says, which was found to be enough.
fn whole<T>(values: Option<T>) -> Result<T> {
    values.ok_or_else(|| Error::new(ErrorKind::Memory, "a memory smaller than its tensor"))
}

/// Before a memory is looked at as values of this type.
fn expect_bits<T: Word>(layout: &TensorLayout) -> Result<()> {
    let (expected, found) = (layout.element().bits(), size_of::<T>() * 8);
    if expected == found {
        return Ok(());
    }
    let error = Error::new(
        ErrorKind::Dtype,
        format!(
            "{} is {}: expected values of {expected} bits, found {found}",
            layout.operand(),
            layout.element()
        ),
    );
    Err(match layout.element() {
        Element::Int4 => error.with_hint("use weights_int4 and write_a_int4"),
        _ => error,
    })
}
