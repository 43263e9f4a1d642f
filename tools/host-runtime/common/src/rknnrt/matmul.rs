//! Matmul contexts.

use std::sync::{Arc, Weak};

use rkllm_sys::rknn::{
    RKNN_MAX_DYNAMIC_SHAPE_NUM, rknn_matmul_info, rknn_matmul_io_attr, rknn_matmul_shape,
    rknn_matmul_tensor_attr, rknn_tensor_mem,
};

use super::element::{Element, elements};
use super::memory::{self, Memory};
use super::product::Product;
use super::quant::{Granularity, Params};
use super::settings;
use super::soc::Soc;
use super::tensor::Tensor;
use super::{Answer, Code, contexts, fault, log};

/// No K is larger; header 2.3.2.
const LARGEST_K: i32 = 10240;
const NAMES: [&str; 3] = ["A", "B", "C"];

/// What a context computes.
#[derive(Debug, Clone)]
struct Kind {
    id: u32,
    /// Of A, B and C.
    elements: [Element; 3],
    b_layout: i16,
    native: bool,
    granularity: Granularity,
    /// B may have zero points.
    asymmetric: bool,
}

/// M, K, N and the tensors of them.
struct Shape {
    dims: [i32; 3],
    tensors: [Tensor; 3],
}

pub(super) struct Matmul {
    kind: Kind,
    /// One, unless dynamic.
    shapes: Vec<Shape>,
    /// `None` before the first shape of a dynamic context is set.
    current: Option<usize>,
    /// A, B, C: the memory, and where in it.
    bound: [Option<(Weak<Memory>, usize)>; 3],
    params: [Params; 3],
}

fn refuse<T>(text: String) -> Answer<T> {
    Err(log::refuse(Code::PARAM_INVALID, format_args!("{text}")))
}

impl Kind {
    fn new(soc: &Soc, info: &rknn_matmul_info) -> Answer<Self> {
        let id = info.type_.0;
        let Some(elements) = elements(id).filter(|_| soc.types.contains(&id)) else {
            return refuse(format!(
                "unsupported matmul dtype in this platform, type: {id}, {}",
                soc.name
            ));
        };
        let (b_layout, ac) = (info.B_layout, info.AC_layout);
        if !(0..=2).contains(&b_layout) || !(0..=1).contains(&ac) {
            return refuse(format!("unsupported layout, B_layout: {b_layout}, AC_layout: {ac}"));
        }
        if id == 10 && b_layout != 1 {
            return refuse(format!("B_layout must be native for type 10, found {b_layout}"));
        }
        if !(0..=1).contains(&info.AC_quant_type) {
            return refuse(format!(
                "A and C are quantised per layer, found {}",
                info.AC_quant_type
            ));
        }
        if !(0..=15).contains(&info.iommu_domain_id) {
            log::warn(format_args!(
                "iommu_domain_id {} is none of 0..15: a board keeps the one it has",
                info.iommu_domain_id
            ));
        }
        let granularity = granularity(soc, id, elements, info)?;
        let asymmetric = info.B_quant_type % 2 == 1;
        Ok(Self { id, elements, b_layout, native: ac == 1, granularity, asymmetric })
    }

    fn shape(&self, soc: &Soc, dims: [i32; 3]) -> Answer<Shape> {
        let [m, k, n] = dims;
        let [a, b, c] = self.elements;
        let (of_a, of_b) = (soc.grain(a), soc.grain(b));
        if dims.iter().any(|dim| *dim <= 0) || k > LARGEST_K {
            return refuse(format!(
                "M {m}, K {k}, N {n}: expected 1 or more, K of {LARGEST_K} or less"
            ));
        }
        let [m, k, n] = dims.map(|dim| dim as usize);
        let k_grain = of_a.k.max(of_b.k);
        if !k.is_multiple_of(k_grain) || !n.is_multiple_of(of_b.n) {
            return refuse(format!(
                "K {k} should be aligned with {k_grain}, N {n} with {}",
                of_b.n
            ));
        }
        if let Granularity::Group(size) = self.granularity
            && !k.is_multiple_of(size)
        {
            return refuse(format!("group_size {size} does not divide K {k}"));
        }
        let tensors = [
            Tensor::a(soc, a, (m, k), self.native),
            Tensor::b(soc, b, (n, k), self.b_layout).ok_or(Code::PARAM_INVALID)?,
            Tensor::c(soc, c, (m, n), self.native),
        ];
        if tensors.iter().any(|tensor| tensor.bytes().is_none()) {
            return refuse(format!("M {m}, K {k}, N {n}: a tensor of more than 4 GiB"));
        }
        Ok(Shape { dims, tensors })
    }

    /// How many scales and zero points a tensor has.
    fn counts(&self, which: usize, [_, k, n]: [i32; 3]) -> (usize, usize) {
        let (k, n) = (k as usize, n as usize);
        match self.granularity {
            Granularity::Channel if which == 1 => (n, n),
            Granularity::Group(size) if which == 1 => (k / size * n, k / size * n),
            _ => (1, 1),
        }
    }
}

/// What shares a scale, if the SoC has it for the type.
fn granularity(
    soc: &Soc,
    id: u32,
    [a, _, c]: [Element; 3],
    info: &rknn_matmul_info,
) -> Answer<Granularity> {
    let quant = info.B_quant_type;
    let raw = matches!(id, 1 | 4 | 10);
    if raw && quant != 0 {
        return refuse(format!("type {id} is not quantised, found B_quant_type {quant}"));
    }
    let granularity = match quant {
        0 | 1 => return Ok(Granularity::Layer),
        2 | 3 => {
            if id == 9 || soc.few_channel_types && !matches!(id, 2 | 3) {
                return refuse(format!("per channel quantisation: only types 2 and 3, found {id}"));
            }
            Granularity::Channel
        }
        4 | 5 => {
            let floats = matches!(c, Element::F32 | Element::F16 | Element::Bf16);
            let size = usize::try_from(info.group_size).unwrap_or(0);
            if !floats || size == 0 {
                return refuse(format!("per group quantisation of type {id}, group_size {size}"));
            }
            Granularity::Group(size)
        }
        _ => return refuse(format!("unsupported B_quant_type {quant}")),
    };
    if soc.few_channel_types && a.is_integer() {
        log::warn(format_args!(
            "on the {} others report zeros for scales per channel and per group: count on B_quant_type 0",
            soc.name
        ));
    }
    Ok(granularity)
}

impl Shape {
    fn io_attr(&self) -> rknn_matmul_io_attr {
        let [a, b, c] = [0, 1, 2].map(|i| {
            let tensor = &self.tensors[i];
            let mut attr = rknn_matmul_tensor_attr {
                size: tensor.bytes().unwrap_or_default(),
                type_: tensor.element.id(),
                ..Default::default()
            };
            attr.name[0] = NAMES[i].as_bytes()[0].cast_signed() as _;
            let dims = tensor.dims();
            attr.n_dims = dims.len() as u32;
            for (to, dim) in attr.dims.iter_mut().zip(dims) {
                *to = dim as u32;
            }
            attr
        });
        rknn_matmul_io_attr { A: a, B: b, C: c }
    }
}

/// `rknn_matmul_create`: the id, and what to write to `io_attr`.
///
/// # Errors
/// What the SoC refuses; faults.
pub fn create_matmul(info: &rknn_matmul_info) -> Answer<(u64, rknn_matmul_io_attr)> {
    let shape = rknn_matmul_shape { M: info.M, K: info.K, N: info.N };
    let (id, attrs) = create(info, &[shape], false)?;
    Ok((id, attrs[0]))
}

/// `rknn_matmul_create_dynamic_shape`: the id, and what to write to `io_attrs`. M alone may vary, as the
/// header says.
///
/// # Errors
/// As [`create_matmul`]; none or too many shapes, or another K or N.
pub fn create_dynamic_matmul(
    info: &rknn_matmul_info,
    shapes: &[rknn_matmul_shape],
) -> Answer<(u64, Vec<rknn_matmul_io_attr>)> {
    if shapes.is_empty() || shapes.len() > RKNN_MAX_DYNAMIC_SHAPE_NUM as usize {
        return refuse(format!("1..=512 dynamic shapes, found {}", shapes.len()));
    }
    if shapes.iter().any(|shape| (shape.K, shape.N) != (shapes[0].K, shapes[0].N)) {
        return refuse("only M may vary in dynamic shapes".to_owned());
    }
    create(info, shapes, true)
}

fn create(
    info: &rknn_matmul_info,
    shapes: &[rknn_matmul_shape],
    dynamic: bool,
) -> Answer<(u64, Vec<rknn_matmul_io_attr>)> {
    let null = fault::creating()?;
    let soc = settings::get().soc;
    let kind = Kind::new(soc, info)?;
    let made = shapes.iter().map(|shape| kind.shape(soc, [shape.M, shape.K, shape.N]));
    let shapes = made.collect::<Answer<Vec<_>>>()?;
    let attrs = shapes.iter().map(Shape::io_attr).collect();
    log::inform(format_args!(
        "matmul type {}, M, K, N {:?}, B_layout {}, AC native {}, {:?}",
        kind.id,
        shapes.iter().map(|shape| shape.dims).collect::<Vec<_>>(),
        kind.b_layout,
        kind.native,
        kind.granularity
    ));
    if null {
        return Ok((0, attrs));
    }
    let current = (!dynamic).then_some(0);
    let matmul =
        Matmul { kind, shapes, current, bound: Default::default(), params: Default::default() };
    Ok((contexts::add_matmul(matmul), attrs))
}

/// `rknn_matmul_set_dynamic_shape`: A and C have to be bound again.
///
/// # Errors
/// A dead context; a shape that is none of its.
pub fn set_dynamic_shape(id: u64, shape: &rknn_matmul_shape) -> Answer {
    let wanted = [shape.M, shape.K, shape.N];
    contexts::with_matmul(id, |matmul| {
        let Some(i) = matmul.shapes.iter().position(|shape| shape.dims == wanted) else {
            return refuse(format!("M, K, N {wanted:?} is none of the shapes the context has"));
        };
        matmul.current = Some(i);
        matmul.bound[0] = None;
        matmul.bound[2] = None;
        Ok(())
    })
}

/// The tensor a NUL-terminated name stands for.
fn which(name: &[u8]) -> Answer<usize> {
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    match NAMES.iter().position(|known| known.as_bytes() == name) {
        Some(i) => Ok(i),
        None => refuse(format!("no tensor {:?}", String::from_utf8_lossy(name))),
    }
}

/// `rknn_matmul_set_io_mem`, of the tensor of this name: `size` is what the client's attributes say.
///
/// # Errors
/// A dead context or memory, an unknown name, too small a memory, no shape set yet.
pub fn bind(id: u64, face: *const rknn_tensor_mem, name: &[u8], size: u32) -> Answer {
    let Some(memory) = memory::find(face) else {
        return refuse(format!("rknn_matmul_set_io_mem: {face:p} is no memory that lives"));
    };
    let i = which(name)?;
    contexts::with_matmul(id, |matmul| {
        let Some(shape) = matmul.current.map(|current| &matmul.shapes[current]) else {
            return Err(log::refuse(
                Code::FAIL,
                format_args!("rknn_matmul_set_io_mem before rknn_matmul_set_dynamic_shape"),
            ));
        };
        let needed = shape.tensors[i].bytes().unwrap_or_default();
        if size != needed {
            log::warn(format_args!("{} of {size} bytes, io_attr said {needed}", NAMES[i]));
        }
        let Some(at) = memory.range(needed as usize) else {
            return refuse(format!(
                "{} needs {needed} bytes from its memory's offset on, there are less",
                NAMES[i]
            ));
        };
        matmul.bound[i] = Some((Arc::downgrade(&memory), at));
        Ok(())
    })
}

/// `rknn_matmul_set_core_mask`: one core, or the driver's choice.
///
/// # Errors
/// A dead context; several cores, or one there is not; any where the SoC has one.
pub fn set_matmul_core(id: u64, mask: u32) -> Answer {
    contexts::with_matmul(id, |_| {
        let soc = settings::get().soc;
        let one = (0..soc.matmul_cores).any(|core| mask == 1 << core);
        if soc.matmul_cores > 0 && (mask == 0 || one) {
            return Ok(());
        }
        Err(log::refuse(
            Code::FAIL,
            format_args!("Not support core mask: {mask}, fallback to single core auto mode"),
        ))
    })
}

/// `rknn_matmul_set_quant_params`, of the tensor of this name.
///
/// # Errors
/// A dead context, an unknown name, other numbers of values, a type without scales.
pub fn set_quant_params(id: u64, name: &[u8], params: Params) -> Answer {
    let i = which(name)?;
    contexts::with_matmul(id, |matmul| {
        let kind = &matmul.kind;
        if matches!(kind.id, 1 | 4 | 10) {
            return refuse(format!("type {} has no quant params", kind.id));
        }
        let (scales, zeros) = kind.counts(i, matmul.shapes[0].dims);
        params.check(NAMES[i], scales, zeros, i == 2)?;
        if i == 1 && !kind.asymmetric && params.zeros.iter().any(|zero| *zero != 0) {
            return refuse("zero points for a symmetric B_quant_type".to_owned());
        }
        matmul.params[i] = params;
        Ok(())
    })
}

/// `rknn_matmul_get_quant_params`: B's scales with the largest as 1, and the largest.
///
/// # Errors
/// A dead context; anything but type 2 with scales per channel.
pub fn get_quant_params(id: u64) -> Answer<(Vec<f32>, f32)> {
    contexts::with_matmul(id, |matmul| {
        if matmul.kind.id != 2 || matmul.kind.granularity != Granularity::Channel {
            return refuse("rknn_matmul_get_quant_params: only type 2 per channel".to_owned());
        }
        let n = matmul.shapes[0].dims[2] as usize;
        let scales: Vec<f32> = (0..n).map(|i| matmul.params[1].scale(i)).collect();
        let largest = scales.iter().fold(0.0_f32, |most, scale| most.max(scale.abs()));
        let weight = |scale: &f32| if largest == 0.0 { 1.0 } else { scale / largest };
        Ok((scales.iter().map(weight).collect(), if largest == 0.0 { 1.0 } else { largest }))
    })
}

/// `rknn_matmul_run`.
///
/// # Errors
/// A dead context, A or B (-8) or C (-9) without memory that lives, no shape set yet, faults.
pub fn run_matmul(id: u64) -> Answer {
    contexts::with_matmul(id, |matmul| {
        let results = fault::running()?;
        let Some(shape) = matmul.current.map(|current| &matmul.shapes[current]) else {
            return Err(log::refuse(
                Code::FAIL,
                format_args!("rknn_matmul_run before rknn_matmul_set_dynamic_shape"),
            ));
        };
        let (a, b) = (matmul.bytes_of(shape, 0)?, matmul.bytes_of(shape, 1)?);
        let (to, at) = matmul.memory_of(2)?;
        let words = matmul.multiply(shape, &a, &b)?;
        let mut bytes = shape.tensors[2].lay_out(&words)?;
        results.spoil(&mut bytes);
        to.write(at, &bytes);
        Ok(())
    })
}

impl Matmul {
    fn memory_of(&self, i: usize) -> Answer<(Arc<Memory>, usize)> {
        let bound = self.bound[i].as_ref();
        bound.and_then(|(memory, at)| Some((memory.upgrade()?, *at))).ok_or_else(|| {
            let code = if i == 2 { Code::OUTPUT_INVALID } else { Code::INPUT_INVALID };
            log::refuse(code, format_args!("rknn_matmul_run: {} has no memory", NAMES[i]))
        })
    }

    fn bytes_of(&self, shape: &Shape, i: usize) -> Answer<Vec<u8>> {
        let (memory, at) = self.memory_of(i)?;
        memory.read(at, shape.tensors[i].bytes().unwrap_or_default() as usize)
    }

    fn multiply(&self, shape: &Shape, a: &[u8], b: &[u8]) -> Answer<Vec<u32>> {
        let [m, k, n] = shape.dims.map(|dim| dim as usize);
        let [of_a, of_b, of_c] = &shape.tensors;
        let product = Product {
            m,
            k,
            n,
            b: of_b.element,
            c: of_c.element,
            granularity: self.kind.granularity,
            params: &self.params,
        };
        if of_a.element.is_integer() {
            return product.integers(&of_a.integers(a)?, &of_b.integers(b)?);
        }
        let mut b = of_b.floats(b, true)?;
        product.floats(&of_a.floats(a, false)?, &mut b, of_b.element.is_integer())
    }
}

/// `rknn_B_normal_layout_to_native_layout`: B of `k` rows and `n` columns, normal, and a buffer that is
/// asked for by both sizes; int4 packed in both.
///
/// # Errors
/// A type or shape the SoC refuses.
pub fn convert_b(
    info: &rknn_matmul_info,
    (k, n): (i32, i32),
    read: impl FnOnce(usize, usize) -> Answer<Vec<u8>>,
) -> Answer<Vec<u8>> {
    let soc = settings::get().soc;
    let kind = Kind::new(soc, &rknn_matmul_info { B_layout: 1, ..*info })?;
    let shape = kind.shape(soc, [1, k, n])?;
    let native = &shape.tensors[1];
    let normal =
        Tensor::b(soc, native.element, (native.rows, native.cols), 0).ok_or(Code::PARAM_INVALID)?;
    let size = |tensor: &Tensor| tensor.bytes().unwrap_or_default() as usize;
    let bytes = read(size(&normal), size(native))?;
    native.lay_out_anew(&normal, &bytes)
}
