//! What `io_attr` says of A, B and C, held against what `layout` says.

use rkllm_sys::rknn::{rknn_matmul_io_attr, rknn_matmul_tensor_attr, rknn_tensor_type};

use super::Runtime;
use super::spec::{MatmulSpec, Shape};
use crate::layout::{Chip, Element, Layout, MatmulType, Operand, TensorLayout, Tile};
use crate::{Error, ErrorKind, Result};

const OPERANDS: [Operand; 3] = [Operand::A, Operand::B, Operand::C];

/// The three tensors of one shape, as `layout` expects them.
pub(super) struct Plan {
    spec: MatmulSpec,
    /// The shape to give to librknnrt.
    pub(super) padded: Shape,
    /// `None` where nothing documents the tiles.
    tensors: [Option<TensorLayout>; 3],
}

/// One shape of a context.
pub(super) struct Tensors {
    pub(super) shape: Shape,
    pub(super) padded: Shape,
    /// A, B, C.
    pub(super) layouts: [TensorLayout; 3],
    /// Bytes that librknnrt wants for each.
    pub(super) sizes: [usize; 3],
    pub(super) attr: rknn_matmul_io_attr,
}

impl Plan {
    pub(super) fn new(spec: &MatmulSpec) -> Result<Self> {
        let MatmulSpec { chip, matmul, shape: Shape { m, k, n }, b_layout, ac_layout, .. } = *spec;
        spec.check()?;
        let known = chip.tiles(matmul).is_ok();
        let plan = |operand: Operand, layout: Layout, shape: (usize, usize)| {
            let planned = match operand {
                // Without tiles nothing is known of padding: the shape has to be one the chip takes.
                _ if !known && layout != Layout::Native => {
                    TensorLayout::unpadded(operand, matmul.element(operand), layout, shape)
                }
                Operand::A => TensorLayout::a(chip, matmul, layout, m, k),
                Operand::B => TensorLayout::b(chip, matmul, layout, n, k),
                Operand::C => TensorLayout::c(chip, matmul, layout, m, n),
            };
            match planned {
                Ok(layout) => Ok(Some(layout)),
                Err(error) if error.kind() == ErrorKind::Unsupported => Ok(None),
                Err(error) => Err(error),
            }
        };
        let tensors = [
            plan(Operand::A, ac_layout, (m, k))?,
            plan(Operand::B, b_layout, (n, k))?,
            plan(Operand::C, ac_layout, (m, n))?,
        ];
        let (n, k) = tensors[1].map_or((n, k), |b| b.padded());
        Ok(Self { spec: *spec, padded: Shape { m, k, n }, tensors })
    }

    /// The tensors as they are, if librknnrt agrees.
    pub(super) fn agree(self, runtime: &Runtime, attr: &rknn_matmul_io_attr) -> Result<Tensors> {
        let Shape { m, k, n } = self.spec.shape;
        let shapes = [(m, k), (n, k), (m, n)];
        let mut layouts = Vec::with_capacity(3);
        let mut sizes = [0; 3];
        for (i, attr) in [&attr.A, &attr.B, &attr.C].into_iter().enumerate() {
            let seen = Seen::new(attr).ok_or_else(|| damaged(OPERANDS[i], runtime))?;
            sizes[i] = seen.size;
            layouts.push(self.agree_on(i, shapes[i], seen, runtime)?);
        }
        let layouts = layouts.try_into().expect("three operands");
        Ok(Tensors { shape: self.spec.shape, padded: self.padded, layouts, sizes, attr: *attr })
    }

    fn agree_on(
        &self,
        i: usize,
        shape: (usize, usize),
        seen: Seen,
        runtime: &Runtime,
    ) -> Result<TensorLayout> {
        let (operand, MatmulSpec { chip, matmul, trust, .. }) = (OPERANDS[i], &self.spec);
        let element = matmul.element(operand);
        let layout = if operand == Operand::B { self.spec.b_layout } else { self.spec.ac_layout };
        if let Some(planned) = self.tensors[i] {
            // How segments of K show in the dimensions is not documented; their size is as any other's.
            let segmented = operand == Operand::B
                && layout == Layout::Native
                && k_segment(*chip).is_some_and(|limit| self.padded.k > limit);
            let dims = segmented || seen.dims == planned.dims();
            let bytes = planned.size_bytes();
            let size = seen.size == bytes || *trust && seen.size > bytes;
            if dims && size && seen.element == Some(element) {
                return Ok(planned);
            }
            if !trust || layout != Layout::Native || seen.element != Some(element) {
                return Err(self.disagreement(planned, &seen, runtime));
            }
        }
        let tile = match (operand, &seen.dims[..]) {
            (Operand::B, &[_, _, rows, cols]) => Tile { rows, cols },
            (Operand::A | Operand::C, &[_, _, cols]) => Tile { rows: shape.0, cols },
            _ => return Err(self.unusable(operand, &seen, runtime)),
        };
        let read = TensorLayout::with_tile(operand, element, shape, tile, k_segment(*chip))?;
        // Segments and padding of tiles that are not documented are not either.
        let known = k_segment(*chip).is_none_or(|limit| self.padded.k <= limit);
        let same = read.dims() == seen.dims && read.size_bytes() <= seen.size;
        match known && same && seen.element == Some(element) {
            true => Ok(read),
            false => Err(self.unusable(operand, &seen, runtime)),
        }
    }

    fn disagreement(&self, planned: TensorLayout, seen: &Seen, runtime: &Runtime) -> Error {
        let spec = &self.spec;
        Error::new(
            ErrorKind::Abi,
            format!(
                "{} of {} in {} layout on the {}: rkllm::layout has {:?} of {}, {} bytes; {} has {seen}",
                planned.operand(),
                spec.matmul,
                planned.layout(),
                spec.chip,
                planned.dims(),
                planned.element(),
                planned.size_bytes(),
                runtime.name(),
            ),
        )
        .with_hint(
            "check that this is the chip of the board (`rkllm doctor`); if it is, this release lays tensors out \
             anew: trust io_attr, and compare a product with a known one",
        )
    }

    fn unusable(&self, operand: Operand, seen: &Seen, runtime: &Runtime) -> Error {
        let Shape { m, k, n } = self.spec.shape;
        Error::new(
            ErrorKind::Unsupported,
            format!(
                "{operand} of {} [M {m}, K {k}, N {n}]: {} has {seen}, which are no whole tiles known here",
                self.spec.matmul,
                runtime.name(),
            ),
        )
        .with_hint("use M, K and N that are multiples of 64, K at most 4096, or the normal layout")
    }
}

impl Tensors {
    /// What `rknn_matmul_set_io_mem` is to be given.
    pub(super) fn attr_of(&self, operand: Operand) -> rknn_matmul_tensor_attr {
        match operand {
            Operand::A => self.attr.A,
            Operand::B => self.attr.B,
            Operand::C => self.attr.C,
        }
    }
}

/// The longest K that native B has in one piece.
fn k_segment(chip: Chip) -> Option<usize> {
    chip.tiles(MatmulType::I8I8I32).ok().and_then(|tiles| tiles.k_segment)
}

/// A `rknn_matmul_tensor_attr`, read.
struct Seen {
    dims: Vec<usize>,
    size: usize,
    /// `None` for a type that no operand has.
    element: Option<Element>,
    type_id: u32,
}

impl Seen {
    /// `None` if it has more dimensions than there is room for.
    fn new(attr: &rknn_matmul_tensor_attr) -> Option<Self> {
        let dims = attr.dims.get(..attr.n_dims as usize)?;
        Some(Self {
            dims: dims.iter().map(|&dim| dim as usize).collect(),
            size: attr.size as usize,
            element: element(attr.type_),
            type_id: attr.type_.0,
        })
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} of ", self.dims)?;
        match self.element {
            Some(element) => write!(f, "{element}")?,
            None => write!(f, "rknn_tensor_type {}", self.type_id)?,
        }
        write!(f, ", {} bytes", self.size)
    }
}

fn damaged(operand: Operand, runtime: &Runtime) -> Error {
    Error::new(
        ErrorKind::Abi,
        format!("{} gave io_attr.{operand} more than 16 dimensions", runtime.name()),
    )
    .with_hint("this librknnrt is not the 2.3 it says it is; install 2.3.2")
}

fn element(id: rknn_tensor_type) -> Option<Element> {
    Some(match id {
        rknn_tensor_type::RKNN_TENSOR_FLOAT32 => Element::Float32,
        rknn_tensor_type::RKNN_TENSOR_FLOAT16 => Element::Float16,
        rknn_tensor_type::RKNN_TENSOR_BFLOAT16 => Element::Bfloat16,
        rknn_tensor_type::RKNN_TENSOR_INT32 => Element::Int32,
        rknn_tensor_type::RKNN_TENSOR_INT16 => Element::Int16,
        rknn_tensor_type::RKNN_TENSOR_INT8 => Element::Int8,
        rknn_tensor_type::RKNN_TENSOR_INT4 => Element::Int4,
        _ => return None,
    })
}
