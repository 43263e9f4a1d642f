// Written by examples/bindings.rs from include/rknn_matmul_2_3.h. Do not edit.
// The allow attributes are bindgen's: its layout assertions are indices into arrays, some by 0.


pub const RKNN_FLAG_PRIOR_HIGH: u32 = 0;
pub const RKNN_FLAG_PRIOR_MEDIUM: u32 = 1;
pub const RKNN_FLAG_PRIOR_LOW: u32 = 2;
pub const RKNN_FLAG_ASYNC_MASK: u32 = 4;
pub const RKNN_FLAG_COLLECT_PERF_MASK: u32 = 8;
pub const RKNN_FLAG_MEM_ALLOC_OUTSIDE: u32 = 16;
pub const RKNN_FLAG_SHARE_WEIGHT_MEM: u32 = 32;
pub const RKNN_FLAG_FENCE_IN_OUTSIDE: u32 = 64;
pub const RKNN_FLAG_FENCE_OUT_OUTSIDE: u32 = 128;
pub const RKNN_FLAG_COLLECT_MODEL_INFO_ONLY: u32 = 256;
pub const RKNN_FLAG_INTERNAL_ALLOC_OUTSIDE: u32 = 512;
pub const RKNN_FLAG_EXECUTE_FALLBACK_PRIOR_DEVICE_GPU: u32 = 1024;
pub const RKNN_FLAG_ENABLE_SRAM: u32 = 2048;
pub const RKNN_FLAG_SHARE_SRAM: u32 = 4096;
pub const RKNN_FLAG_DISABLE_PROC_HIGH_PRIORITY: u32 = 8192;
pub const RKNN_FLAG_DISABLE_FLUSH_INPUT_MEM_CACHE: u32 = 16384;
pub const RKNN_FLAG_DISABLE_FLUSH_OUTPUT_MEM_CACHE: u32 = 32768;
pub const RKNN_FLAG_MODEL_BUFFER_ZERO_COPY: u32 = 65536;
pub const RKNN_MEM_FLAG_ALLOC_NO_CONTEXT: u32 = 131072;
pub const RKNN_SUCC: u32 = 0;
pub const RKNN_ERR_FAIL: i32 = -1;
pub const RKNN_ERR_TIMEOUT: i32 = -2;
pub const RKNN_ERR_DEVICE_UNAVAILABLE: i32 = -3;
pub const RKNN_ERR_MALLOC_FAIL: i32 = -4;
pub const RKNN_ERR_PARAM_INVALID: i32 = -5;
pub const RKNN_ERR_MODEL_INVALID: i32 = -6;
pub const RKNN_ERR_CTX_INVALID: i32 = -7;
pub const RKNN_ERR_INPUT_INVALID: i32 = -8;
pub const RKNN_ERR_OUTPUT_INVALID: i32 = -9;
pub const RKNN_ERR_DEVICE_UNMATCH: i32 = -10;
pub const RKNN_ERR_INCOMPATILE_PRE_COMPILE_MODEL: i32 = -11;
pub const RKNN_ERR_INCOMPATILE_OPTIMIZATION_LEVEL_VERSION: i32 = -12;
pub const RKNN_ERR_TARGET_PLATFORM_UNMATCH: i32 = -13;
pub const RKNN_MAX_DIMS: u32 = 16;
pub const RKNN_MAX_NUM_CHANNEL: u32 = 15;
pub const RKNN_MAX_NAME_LEN: u32 = 256;
pub const RKNN_MAX_DYNAMIC_SHAPE_NUM: u32 = 512;
#[doc = " A model's or a matmul's context (32 bits wide where __arm__ is defined, not declared here)."]
pub type rknn_context = u64;
impl rknn_query_cmd {
    pub const RKNN_QUERY_IN_OUT_NUM: rknn_query_cmd = rknn_query_cmd(0);
    pub const RKNN_QUERY_INPUT_ATTR: rknn_query_cmd = rknn_query_cmd(1);
    pub const RKNN_QUERY_OUTPUT_ATTR: rknn_query_cmd = rknn_query_cmd(2);
    pub const RKNN_QUERY_PERF_DETAIL: rknn_query_cmd = rknn_query_cmd(3);
    pub const RKNN_QUERY_PERF_RUN: rknn_query_cmd = rknn_query_cmd(4);
    pub const RKNN_QUERY_SDK_VERSION: rknn_query_cmd = rknn_query_cmd(5);
    pub const RKNN_QUERY_MEM_SIZE: rknn_query_cmd = rknn_query_cmd(6);
    pub const RKNN_QUERY_CUSTOM_STRING: rknn_query_cmd = rknn_query_cmd(7);
    pub const RKNN_QUERY_NATIVE_INPUT_ATTR: rknn_query_cmd = rknn_query_cmd(8);
    pub const RKNN_QUERY_NATIVE_OUTPUT_ATTR: rknn_query_cmd = rknn_query_cmd(9);
    pub const RKNN_QUERY_NATIVE_NC1HWC2_INPUT_ATTR: rknn_query_cmd = rknn_query_cmd(8);
    pub const RKNN_QUERY_NATIVE_NC1HWC2_OUTPUT_ATTR: rknn_query_cmd = rknn_query_cmd(9);
    pub const RKNN_QUERY_NATIVE_NHWC_INPUT_ATTR: rknn_query_cmd = rknn_query_cmd(10);
    pub const RKNN_QUERY_NATIVE_NHWC_OUTPUT_ATTR: rknn_query_cmd = rknn_query_cmd(11);
    pub const RKNN_QUERY_DEVICE_MEM_INFO: rknn_query_cmd = rknn_query_cmd(12);
    pub const RKNN_QUERY_INPUT_DYNAMIC_RANGE: rknn_query_cmd = rknn_query_cmd(13);
    pub const RKNN_QUERY_CURRENT_INPUT_ATTR: rknn_query_cmd = rknn_query_cmd(14);
    pub const RKNN_QUERY_CURRENT_OUTPUT_ATTR: rknn_query_cmd = rknn_query_cmd(15);
    pub const RKNN_QUERY_CURRENT_NATIVE_INPUT_ATTR: rknn_query_cmd = rknn_query_cmd(16);
    pub const RKNN_QUERY_CURRENT_NATIVE_OUTPUT_ATTR: rknn_query_cmd = rknn_query_cmd(17);
    pub const RKNN_QUERY_CMD_MAX: rknn_query_cmd = rknn_query_cmd(18);
}
#[repr(transparent)]
#[doc = " What rknn_query is asked for."]
#[derive(Debug, Copy, Clone, Hash, PartialEq, Eq)]
pub struct rknn_query_cmd(pub ::std::os::raw::c_uint);
impl rknn_tensor_type {
    pub const RKNN_TENSOR_FLOAT32: rknn_tensor_type = rknn_tensor_type(0);
    pub const RKNN_TENSOR_FLOAT16: rknn_tensor_type = rknn_tensor_type(1);
    pub const RKNN_TENSOR_INT8: rknn_tensor_type = rknn_tensor_type(2);
    pub const RKNN_TENSOR_UINT8: rknn_tensor_type = rknn_tensor_type(3);
    pub const RKNN_TENSOR_INT16: rknn_tensor_type = rknn_tensor_type(4);
    pub const RKNN_TENSOR_UINT16: rknn_tensor_type = rknn_tensor_type(5);
    pub const RKNN_TENSOR_INT32: rknn_tensor_type = rknn_tensor_type(6);
    pub const RKNN_TENSOR_UINT32: rknn_tensor_type = rknn_tensor_type(7);
    pub const RKNN_TENSOR_INT64: rknn_tensor_type = rknn_tensor_type(8);
    pub const RKNN_TENSOR_BOOL: rknn_tensor_type = rknn_tensor_type(9);
    pub const RKNN_TENSOR_INT4: rknn_tensor_type = rknn_tensor_type(10);
    pub const RKNN_TENSOR_BFLOAT16: rknn_tensor_type = rknn_tensor_type(11);
    pub const RKNN_TENSOR_TYPE_MAX: rknn_tensor_type = rknn_tensor_type(12);
}
#[repr(transparent)]
#[doc = " Element type."]
#[derive(Debug, Copy, Clone, Hash, PartialEq, Eq)]
pub struct rknn_tensor_type(pub ::std::os::raw::c_uint);
impl rknn_tensor_qnt_type {
    pub const RKNN_TENSOR_QNT_NONE: rknn_tensor_qnt_type = rknn_tensor_qnt_type(0);
    pub const RKNN_TENSOR_QNT_DFP: rknn_tensor_qnt_type = rknn_tensor_qnt_type(1);
    pub const RKNN_TENSOR_QNT_AFFINE_ASYMMETRIC: rknn_tensor_qnt_type = rknn_tensor_qnt_type(2);
    pub const RKNN_TENSOR_QNT_MAX: rknn_tensor_qnt_type = rknn_tensor_qnt_type(3);
}
#[repr(transparent)]
#[doc = " How a tensor is quantised."]
#[derive(Debug, Copy, Clone, Hash, PartialEq, Eq)]
pub struct rknn_tensor_qnt_type(pub ::std::os::raw::c_uint);
impl rknn_tensor_format {
    pub const RKNN_TENSOR_NCHW: rknn_tensor_format = rknn_tensor_format(0);
    pub const RKNN_TENSOR_NHWC: rknn_tensor_format = rknn_tensor_format(1);
    pub const RKNN_TENSOR_NC1HWC2: rknn_tensor_format = rknn_tensor_format(2);
    pub const RKNN_TENSOR_UNDEFINED: rknn_tensor_format = rknn_tensor_format(3);
    pub const RKNN_TENSOR_FORMAT_MAX: rknn_tensor_format = rknn_tensor_format(4);
}
#[repr(transparent)]
#[doc = " Order of dimensions."]
#[derive(Debug, Copy, Clone, Hash, PartialEq, Eq)]
pub struct rknn_tensor_format(pub ::std::os::raw::c_uint);
impl rknn_core_mask {
    pub const RKNN_NPU_CORE_AUTO: rknn_core_mask = rknn_core_mask(0);
    pub const RKNN_NPU_CORE_0: rknn_core_mask = rknn_core_mask(1);
    pub const RKNN_NPU_CORE_1: rknn_core_mask = rknn_core_mask(2);
    pub const RKNN_NPU_CORE_2: rknn_core_mask = rknn_core_mask(4);
    pub const RKNN_NPU_CORE_0_1: rknn_core_mask = rknn_core_mask(3);
    pub const RKNN_NPU_CORE_0_1_2: rknn_core_mask = rknn_core_mask(7);
    pub const RKNN_NPU_CORE_ALL: rknn_core_mask = rknn_core_mask(65535);
    pub const RKNN_NPU_CORE_UNDEFINED: rknn_core_mask = rknn_core_mask(65536);
}
#[repr(transparent)]
#[doc = " NPU cores; masks of several cores are refused on matmul contexts."]
#[derive(Debug, Copy, Clone, Hash, PartialEq, Eq)]
pub struct rknn_core_mask(pub ::std::os::raw::c_uint);
impl rknn_tensor_mem_flags {
    pub const RKNN_TENSOR_MEMORY_FLAGS_ALLOC_INSIDE: rknn_tensor_mem_flags =
        rknn_tensor_mem_flags(1);
    pub const RKNN_TENSOR_MEMORY_FLAGS_FROM_FD: rknn_tensor_mem_flags = rknn_tensor_mem_flags(2);
    pub const RKNN_TENSOR_MEMORY_FLAGS_FROM_PHYS: rknn_tensor_mem_flags = rknn_tensor_mem_flags(3);
    pub const RKNN_TENSOR_MEMORY_FLAGS_UNKNOWN: rknn_tensor_mem_flags = rknn_tensor_mem_flags(4);
}
#[repr(transparent)]
#[doc = " Where memory came from."]
#[derive(Debug, Copy, Clone, Hash, PartialEq, Eq)]
pub struct rknn_tensor_mem_flags(pub ::std::os::raw::c_uint);
impl rknn_mem_alloc_flags {
    pub const RKNN_FLAG_MEMORY_FLAGS_DEFAULT: rknn_mem_alloc_flags = rknn_mem_alloc_flags(0);
    pub const RKNN_FLAG_MEMORY_CACHEABLE: rknn_mem_alloc_flags = rknn_mem_alloc_flags(1);
    pub const RKNN_FLAG_MEMORY_NON_CACHEABLE: rknn_mem_alloc_flags = rknn_mem_alloc_flags(2);
    pub const RKNN_FLAG_MEMORY_TRY_ALLOC_SRAM: rknn_mem_alloc_flags = rknn_mem_alloc_flags(4);
}
#[repr(transparent)]
#[doc = " Flags of rknn_create_mem2."]
#[derive(Debug, Copy, Clone, Hash, PartialEq, Eq)]
pub struct rknn_mem_alloc_flags(pub ::std::os::raw::c_uint);
impl rknn_mem_sync_mode {
    pub const RKNN_MEMORY_SYNC_TO_DEVICE: rknn_mem_sync_mode = rknn_mem_sync_mode(1);
    pub const RKNN_MEMORY_SYNC_FROM_DEVICE: rknn_mem_sync_mode = rknn_mem_sync_mode(2);
    pub const RKNN_MEMORY_SYNC_BIDIRECTIONAL: rknn_mem_sync_mode = rknn_mem_sync_mode(3);
}
#[repr(transparent)]
#[doc = " Direction of a cache operation."]
#[derive(Debug, Copy, Clone, Hash, PartialEq, Eq)]
pub struct rknn_mem_sync_mode(pub ::std::os::raw::c_uint);
#[doc = " Answer to RKNN_QUERY_IN_OUT_NUM."]
#[repr(C)]
#[derive(Debug, Default, Copy, Clone)]
pub struct rknn_input_output_num {
    #[doc = " Inputs."]
    pub n_input: u32,
    #[doc = " Outputs."]
    pub n_output: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of rknn_input_output_num"][::std::mem::size_of::<rknn_input_output_num>() - 8usize];
    ["Alignment of rknn_input_output_num"]
        [::std::mem::align_of::<rknn_input_output_num>() - 4usize];
    ["Offset of field: rknn_input_output_num::n_input"]
        [::std::mem::offset_of!(rknn_input_output_num, n_input) - 0usize];
    ["Offset of field: rknn_input_output_num::n_output"]
        [::std::mem::offset_of!(rknn_input_output_num, n_output) - 4usize];
};
#[doc = " A tensor of a model."]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct rknn_tensor_attr {
    #[doc = " Position among the inputs or outputs."]
    pub index: u32,
    #[doc = " Entries of dims in use."]
    pub n_dims: u32,
    #[doc = " Sizes."]
    pub dims: [u32; 16usize],
    #[doc = " NUL-terminated."]
    pub name: [::std::os::raw::c_char; 256usize],
    #[doc = " Elements."]
    pub n_elems: u32,
    #[doc = " Bytes."]
    pub size: u32,
    #[doc = " Order of dimensions."]
    pub fmt: rknn_tensor_format,
    #[doc = " Element type."]
    pub type_: rknn_tensor_type,
    #[doc = " Quantisation."]
    pub qnt_type: rknn_tensor_qnt_type,
    #[doc = " Fraction bits, for DFP."]
    pub fl: i8,
    #[doc = " Zero point."]
    pub zp: i32,
    #[doc = " Scale."]
    pub scale: f32,
    #[doc = " Elements from row to row; 0: the width."]
    pub w_stride: u32,
    #[doc = " Bytes including strides."]
    pub size_with_stride: u32,
    #[doc = " 1: hand the buffer over as it is."]
    pub pass_through: u8,
    #[doc = " Rows from plane to plane."]
    pub h_stride: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of rknn_tensor_attr"][::std::mem::size_of::<rknn_tensor_attr>() - 376usize];
    ["Alignment of rknn_tensor_attr"][::std::mem::align_of::<rknn_tensor_attr>() - 4usize];
    ["Offset of field: rknn_tensor_attr::index"]
        [::std::mem::offset_of!(rknn_tensor_attr, index) - 0usize];
    ["Offset of field: rknn_tensor_attr::n_dims"]
        [::std::mem::offset_of!(rknn_tensor_attr, n_dims) - 4usize];
    ["Offset of field: rknn_tensor_attr::dims"]
        [::std::mem::offset_of!(rknn_tensor_attr, dims) - 8usize];
    ["Offset of field: rknn_tensor_attr::name"]
        [::std::mem::offset_of!(rknn_tensor_attr, name) - 72usize];
    ["Offset of field: rknn_tensor_attr::n_elems"]
        [::std::mem::offset_of!(rknn_tensor_attr, n_elems) - 328usize];
    ["Offset of field: rknn_tensor_attr::size"]
        [::std::mem::offset_of!(rknn_tensor_attr, size) - 332usize];
    ["Offset of field: rknn_tensor_attr::fmt"]
        [::std::mem::offset_of!(rknn_tensor_attr, fmt) - 336usize];
    ["Offset of field: rknn_tensor_attr::type_"]
        [::std::mem::offset_of!(rknn_tensor_attr, type_) - 340usize];
    ["Offset of field: rknn_tensor_attr::qnt_type"]
        [::std::mem::offset_of!(rknn_tensor_attr, qnt_type) - 344usize];
    ["Offset of field: rknn_tensor_attr::fl"]
        [::std::mem::offset_of!(rknn_tensor_attr, fl) - 348usize];
    ["Offset of field: rknn_tensor_attr::zp"]
        [::std::mem::offset_of!(rknn_tensor_attr, zp) - 352usize];
    ["Offset of field: rknn_tensor_attr::scale"]
        [::std::mem::offset_of!(rknn_tensor_attr, scale) - 356usize];
    ["Offset of field: rknn_tensor_attr::w_stride"]
        [::std::mem::offset_of!(rknn_tensor_attr, w_stride) - 360usize];
    ["Offset of field: rknn_tensor_attr::size_with_stride"]
        [::std::mem::offset_of!(rknn_tensor_attr, size_with_stride) - 364usize];
    ["Offset of field: rknn_tensor_attr::pass_through"]
        [::std::mem::offset_of!(rknn_tensor_attr, pass_through) - 368usize];
    ["Offset of field: rknn_tensor_attr::h_stride"]
        [::std::mem::offset_of!(rknn_tensor_attr, h_stride) - 372usize];
};
impl Default for rknn_tensor_attr {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[doc = " Shapes a dynamic input may take."]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct rknn_input_range {
    #[doc = " Position among the inputs or outputs."]
    pub index: u32,
    #[doc = " Shapes in use."]
    pub shape_number: u32,
    #[doc = " Order of dimensions."]
    pub fmt: rknn_tensor_format,
    #[doc = " NUL-terminated."]
    pub name: [::std::os::raw::c_char; 256usize],
    #[doc = " The shapes."]
    pub dyn_range: [[u32; 16usize]; 512usize],
    #[doc = " Entries of dims in use."]
    pub n_dims: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of rknn_input_range"][::std::mem::size_of::<rknn_input_range>() - 33040usize];
    ["Alignment of rknn_input_range"][::std::mem::align_of::<rknn_input_range>() - 4usize];
    ["Offset of field: rknn_input_range::index"]
        [::std::mem::offset_of!(rknn_input_range, index) - 0usize];
    ["Offset of field: rknn_input_range::shape_number"]
        [::std::mem::offset_of!(rknn_input_range, shape_number) - 4usize];
    ["Offset of field: rknn_input_range::fmt"]
        [::std::mem::offset_of!(rknn_input_range, fmt) - 8usize];
    ["Offset of field: rknn_input_range::name"]
        [::std::mem::offset_of!(rknn_input_range, name) - 12usize];
    ["Offset of field: rknn_input_range::dyn_range"]
        [::std::mem::offset_of!(rknn_input_range, dyn_range) - 268usize];
    ["Offset of field: rknn_input_range::n_dims"]
        [::std::mem::offset_of!(rknn_input_range, n_dims) - 33036usize];
};
impl Default for rknn_input_range {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[doc = " Answer to RKNN_QUERY_PERF_DETAIL."]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct rknn_perf_detail {
    #[doc = " Text."]
    pub perf_data: *mut ::std::os::raw::c_char,
    #[doc = " Its bytes."]
    pub data_len: u64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of rknn_perf_detail"][::std::mem::size_of::<rknn_perf_detail>() - 16usize];
    ["Alignment of rknn_perf_detail"][::std::mem::align_of::<rknn_perf_detail>() - 8usize];
    ["Offset of field: rknn_perf_detail::perf_data"]
        [::std::mem::offset_of!(rknn_perf_detail, perf_data) - 0usize];
    ["Offset of field: rknn_perf_detail::data_len"]
        [::std::mem::offset_of!(rknn_perf_detail, data_len) - 8usize];
};
impl Default for rknn_perf_detail {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[doc = " Answer to RKNN_QUERY_PERF_RUN."]
#[repr(C)]
#[derive(Debug, Default, Copy, Clone)]
pub struct rknn_perf_run {
    #[doc = " Microseconds of the last run."]
    pub run_duration: i64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of rknn_perf_run"][::std::mem::size_of::<rknn_perf_run>() - 8usize];
    ["Alignment of rknn_perf_run"][::std::mem::align_of::<rknn_perf_run>() - 8usize];
    ["Offset of field: rknn_perf_run::run_duration"]
        [::std::mem::offset_of!(rknn_perf_run, run_duration) - 0usize];
};
#[doc = " Answer to RKNN_QUERY_SDK_VERSION."]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct rknn_sdk_version {
    #[doc = " Of the library."]
    pub api_version: [::std::os::raw::c_char; 256usize],
    #[doc = " Of the kernel driver."]
    pub drv_version: [::std::os::raw::c_char; 256usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of rknn_sdk_version"][::std::mem::size_of::<rknn_sdk_version>() - 512usize];
    ["Alignment of rknn_sdk_version"][::std::mem::align_of::<rknn_sdk_version>() - 1usize];
    ["Offset of field: rknn_sdk_version::api_version"]
        [::std::mem::offset_of!(rknn_sdk_version, api_version) - 0usize];
    ["Offset of field: rknn_sdk_version::drv_version"]
        [::std::mem::offset_of!(rknn_sdk_version, drv_version) - 256usize];
};
impl Default for rknn_sdk_version {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[doc = " Answer to RKNN_QUERY_MEM_SIZE."]
#[repr(C)]
#[derive(Debug, Default, Copy, Clone)]
pub struct rknn_mem_size {
    #[doc = " Bytes."]
    pub total_weight_size: u32,
    #[doc = " Bytes."]
    pub total_internal_size: u32,
    #[doc = " Bytes."]
    pub total_dma_allocated_size: u64,
    #[doc = " Bytes."]
    pub total_sram_size: u32,
    #[doc = " Bytes."]
    pub free_sram_size: u32,
    #[doc = " Must be zero."]
    pub reserved: [u32; 10usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of rknn_mem_size"][::std::mem::size_of::<rknn_mem_size>() - 64usize];
    ["Alignment of rknn_mem_size"][::std::mem::align_of::<rknn_mem_size>() - 8usize];
    ["Offset of field: rknn_mem_size::total_weight_size"]
        [::std::mem::offset_of!(rknn_mem_size, total_weight_size) - 0usize];
    ["Offset of field: rknn_mem_size::total_internal_size"]
        [::std::mem::offset_of!(rknn_mem_size, total_internal_size) - 4usize];
    ["Offset of field: rknn_mem_size::total_dma_allocated_size"]
        [::std::mem::offset_of!(rknn_mem_size, total_dma_allocated_size) - 8usize];
    ["Offset of field: rknn_mem_size::total_sram_size"]
        [::std::mem::offset_of!(rknn_mem_size, total_sram_size) - 16usize];
    ["Offset of field: rknn_mem_size::free_sram_size"]
        [::std::mem::offset_of!(rknn_mem_size, free_sram_size) - 20usize];
    ["Offset of field: rknn_mem_size::reserved"]
        [::std::mem::offset_of!(rknn_mem_size, reserved) - 24usize];
};
#[doc = " Answer to RKNN_QUERY_CUSTOM_STRING."]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct rknn_custom_string {
    #[doc = " NUL-terminated."]
    pub string: [::std::os::raw::c_char; 1024usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of rknn_custom_string"][::std::mem::size_of::<rknn_custom_string>() - 1024usize];
    ["Alignment of rknn_custom_string"][::std::mem::align_of::<rknn_custom_string>() - 1usize];
    ["Offset of field: rknn_custom_string::string"]
        [::std::mem::offset_of!(rknn_custom_string, string) - 0usize];
};
impl Default for rknn_custom_string {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[doc = " Memory the NPU can reach."]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct rknn_tensor_mem {
    #[doc = " Where the process sees it; add `offset`."]
    pub virt_addr: *mut ::std::os::raw::c_void,
    #[doc = " Where the NPU sees it."]
    pub phys_addr: u64,
    #[doc = " dma-buf, or -1."]
    pub fd: i32,
    #[doc = " Start inside the buffer, in bytes."]
    pub offset: i32,
    #[doc = " Bytes."]
    pub size: u32,
    #[doc = " A rknn_tensor_mem_flags value."]
    pub flags: u32,
    #[doc = " The library's own."]
    pub priv_data: *mut ::std::os::raw::c_void,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of rknn_tensor_mem"][::std::mem::size_of::<rknn_tensor_mem>() - 40usize];
    ["Alignment of rknn_tensor_mem"][::std::mem::align_of::<rknn_tensor_mem>() - 8usize];
    ["Offset of field: rknn_tensor_mem::virt_addr"]
        [::std::mem::offset_of!(rknn_tensor_mem, virt_addr) - 0usize];
    ["Offset of field: rknn_tensor_mem::phys_addr"]
        [::std::mem::offset_of!(rknn_tensor_mem, phys_addr) - 8usize];
    ["Offset of field: rknn_tensor_mem::fd"][::std::mem::offset_of!(rknn_tensor_mem, fd) - 16usize];
    ["Offset of field: rknn_tensor_mem::offset"]
        [::std::mem::offset_of!(rknn_tensor_mem, offset) - 20usize];
    ["Offset of field: rknn_tensor_mem::size"]
        [::std::mem::offset_of!(rknn_tensor_mem, size) - 24usize];
    ["Offset of field: rknn_tensor_mem::flags"]
        [::std::mem::offset_of!(rknn_tensor_mem, flags) - 28usize];
    ["Offset of field: rknn_tensor_mem::priv_data"]
        [::std::mem::offset_of!(rknn_tensor_mem, priv_data) - 32usize];
};
impl Default for rknn_tensor_mem {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[doc = " An input for rknn_inputs_set."]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct rknn_input {
    #[doc = " Position among the inputs or outputs."]
    pub index: u32,
    #[doc = " The data."]
    pub buf: *mut ::std::os::raw::c_void,
    #[doc = " Bytes."]
    pub size: u32,
    #[doc = " 1: hand the buffer over as it is."]
    pub pass_through: u8,
    #[doc = " Element type."]
    pub type_: rknn_tensor_type,
    #[doc = " Order of dimensions."]
    pub fmt: rknn_tensor_format,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of rknn_input"][::std::mem::size_of::<rknn_input>() - 32usize];
    ["Alignment of rknn_input"][::std::mem::align_of::<rknn_input>() - 8usize];
    ["Offset of field: rknn_input::index"][::std::mem::offset_of!(rknn_input, index) - 0usize];
    ["Offset of field: rknn_input::buf"][::std::mem::offset_of!(rknn_input, buf) - 8usize];
    ["Offset of field: rknn_input::size"][::std::mem::offset_of!(rknn_input, size) - 16usize];
    ["Offset of field: rknn_input::pass_through"]
        [::std::mem::offset_of!(rknn_input, pass_through) - 20usize];
    ["Offset of field: rknn_input::type_"][::std::mem::offset_of!(rknn_input, type_) - 24usize];
    ["Offset of field: rknn_input::fmt"][::std::mem::offset_of!(rknn_input, fmt) - 28usize];
};
impl Default for rknn_input {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[doc = " An output of rknn_outputs_get."]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct rknn_output {
    #[doc = " 1: as float32."]
    pub want_float: u8,
    #[doc = " 1: buf is the caller's."]
    pub is_prealloc: u8,
    #[doc = " Position among the inputs or outputs."]
    pub index: u32,
    #[doc = " The data."]
    pub buf: *mut ::std::os::raw::c_void,
    #[doc = " Bytes."]
    pub size: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of rknn_output"][::std::mem::size_of::<rknn_output>() - 24usize];
    ["Alignment of rknn_output"][::std::mem::align_of::<rknn_output>() - 8usize];
    ["Offset of field: rknn_output::want_float"]
        [::std::mem::offset_of!(rknn_output, want_float) - 0usize];
    ["Offset of field: rknn_output::is_prealloc"]
        [::std::mem::offset_of!(rknn_output, is_prealloc) - 1usize];
    ["Offset of field: rknn_output::index"][::std::mem::offset_of!(rknn_output, index) - 4usize];
    ["Offset of field: rknn_output::buf"][::std::mem::offset_of!(rknn_output, buf) - 8usize];
    ["Offset of field: rknn_output::size"][::std::mem::offset_of!(rknn_output, size) - 16usize];
};
impl Default for rknn_output {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[doc = " More settings of rknn_init."]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct rknn_init_extend {
    #[doc = " Context to share with."]
    pub ctx: rknn_context,
    #[doc = " Start of the model inside the buffer."]
    pub real_model_offset: i32,
    #[doc = " Bytes of the model."]
    pub real_model_size: u32,
    #[doc = " dma-buf of the model."]
    pub model_buffer_fd: i32,
    #[doc = " Its flags."]
    pub model_buffer_flags: u32,
    #[doc = " Must be zero."]
    pub reserved: [u8; 112usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of rknn_init_extend"][::std::mem::size_of::<rknn_init_extend>() - 136usize];
    ["Alignment of rknn_init_extend"][::std::mem::align_of::<rknn_init_extend>() - 8usize];
    ["Offset of field: rknn_init_extend::ctx"]
        [::std::mem::offset_of!(rknn_init_extend, ctx) - 0usize];
    ["Offset of field: rknn_init_extend::real_model_offset"]
        [::std::mem::offset_of!(rknn_init_extend, real_model_offset) - 8usize];
    ["Offset of field: rknn_init_extend::real_model_size"]
        [::std::mem::offset_of!(rknn_init_extend, real_model_size) - 12usize];
    ["Offset of field: rknn_init_extend::model_buffer_fd"]
        [::std::mem::offset_of!(rknn_init_extend, model_buffer_fd) - 16usize];
    ["Offset of field: rknn_init_extend::model_buffer_flags"]
        [::std::mem::offset_of!(rknn_init_extend, model_buffer_flags) - 20usize];
    ["Offset of field: rknn_init_extend::reserved"]
        [::std::mem::offset_of!(rknn_init_extend, reserved) - 24usize];
};
impl Default for rknn_init_extend {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[doc = " More settings of rknn_run."]
#[repr(C)]
#[derive(Debug, Default, Copy, Clone)]
pub struct rknn_run_extend {
    #[doc = " Counts runs."]
    pub frame_id: u64,
    #[doc = " 1: return at once."]
    pub non_block: i32,
    #[doc = " Milliseconds."]
    pub timeout_ms: i32,
    #[doc = " Fence to wait for."]
    pub fence_fd: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of rknn_run_extend"][::std::mem::size_of::<rknn_run_extend>() - 24usize];
    ["Alignment of rknn_run_extend"][::std::mem::align_of::<rknn_run_extend>() - 8usize];
    ["Offset of field: rknn_run_extend::frame_id"]
        [::std::mem::offset_of!(rknn_run_extend, frame_id) - 0usize];
    ["Offset of field: rknn_run_extend::non_block"]
        [::std::mem::offset_of!(rknn_run_extend, non_block) - 8usize];
    ["Offset of field: rknn_run_extend::timeout_ms"]
        [::std::mem::offset_of!(rknn_run_extend, timeout_ms) - 12usize];
    ["Offset of field: rknn_run_extend::fence_fd"]
        [::std::mem::offset_of!(rknn_run_extend, fence_fd) - 16usize];
};
#[doc = " More results of rknn_outputs_get."]
#[repr(C)]
#[derive(Debug, Default, Copy, Clone)]
pub struct rknn_output_extend {
    #[doc = " Counts runs."]
    pub frame_id: u64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of rknn_output_extend"][::std::mem::size_of::<rknn_output_extend>() - 8usize];
    ["Alignment of rknn_output_extend"][::std::mem::align_of::<rknn_output_extend>() - 8usize];
    ["Offset of field: rknn_output_extend::frame_id"]
        [::std::mem::offset_of!(rknn_output_extend, frame_id) - 0usize];
};
#[doc = " Loads a model from memory or, with size 0, from the file named by model."]
pub type rknn_init_fn = ::std::option::Option<
    unsafe extern "C" fn(
        context: *mut rknn_context,
        model: *mut ::std::os::raw::c_void,
        size: u32,
        flag: u32,
        extend: *mut rknn_init_extend,
    ) -> ::std::os::raw::c_int,
>;
pub type rknn_dup_context_fn = ::std::option::Option<
    unsafe extern "C" fn(
        context_in: *mut rknn_context,
        context_out: *mut rknn_context,
    ) -> ::std::os::raw::c_int,
>;
pub type rknn_destroy_fn =
    ::std::option::Option<unsafe extern "C" fn(context: rknn_context) -> ::std::os::raw::c_int>;
#[doc = " Fills info, which has size bytes."]
pub type rknn_query_fn = ::std::option::Option<
    unsafe extern "C" fn(
        context: rknn_context,
        cmd: rknn_query_cmd,
        info: *mut ::std::os::raw::c_void,
        size: u32,
    ) -> ::std::os::raw::c_int,
>;
pub type rknn_inputs_set_fn = ::std::option::Option<
    unsafe extern "C" fn(
        context: rknn_context,
        n_inputs: u32,
        inputs: *mut rknn_input,
    ) -> ::std::os::raw::c_int,
>;
pub type rknn_set_batch_core_num_fn = ::std::option::Option<
    unsafe extern "C" fn(
        context: rknn_context,
        core_num: ::std::os::raw::c_int,
    ) -> ::std::os::raw::c_int,
>;
pub type rknn_set_core_mask_fn = ::std::option::Option<
    unsafe extern "C" fn(context: rknn_context, core_mask: rknn_core_mask) -> ::std::os::raw::c_int,
>;
pub type rknn_run_fn = ::std::option::Option<
    unsafe extern "C" fn(
        context: rknn_context,
        extend: *mut rknn_run_extend,
    ) -> ::std::os::raw::c_int,
>;
pub type rknn_wait_fn = ::std::option::Option<
    unsafe extern "C" fn(
        context: rknn_context,
        extend: *mut rknn_run_extend,
    ) -> ::std::os::raw::c_int,
>;
pub type rknn_outputs_get_fn = ::std::option::Option<
    unsafe extern "C" fn(
        context: rknn_context,
        n_outputs: u32,
        outputs: *mut rknn_output,
        extend: *mut rknn_output_extend,
    ) -> ::std::os::raw::c_int,
>;
pub type rknn_outputs_release_fn = ::std::option::Option<
    unsafe extern "C" fn(
        context: rknn_context,
        n_ouputs: u32,
        outputs: *mut rknn_output,
    ) -> ::std::os::raw::c_int,
>;
pub type rknn_create_mem_from_phys_fn = ::std::option::Option<
    unsafe extern "C" fn(
        ctx: rknn_context,
        phys_addr: u64,
        virt_addr: *mut ::std::os::raw::c_void,
        size: u32,
    ) -> *mut rknn_tensor_mem,
>;
pub type rknn_create_mem_from_fd_fn = ::std::option::Option<
    unsafe extern "C" fn(
        ctx: rknn_context,
        fd: i32,
        virt_addr: *mut ::std::os::raw::c_void,
        size: u32,
        offset: i32,
    ) -> *mut rknn_tensor_mem,
>;
pub type rknn_create_mem_from_mb_blk_fn = ::std::option::Option<
    unsafe extern "C" fn(
        ctx: rknn_context,
        mb_blk: *mut ::std::os::raw::c_void,
        offset: i32,
    ) -> *mut rknn_tensor_mem,
>;
#[doc = " Cacheable memory."]
pub type rknn_create_mem_fn = ::std::option::Option<
    unsafe extern "C" fn(ctx: rknn_context, size: u32) -> *mut rknn_tensor_mem,
>;
#[doc = " Memory with flags."]
pub type rknn_create_mem2_fn = ::std::option::Option<
    unsafe extern "C" fn(ctx: rknn_context, size: u64, alloc_flags: u64) -> *mut rknn_tensor_mem,
>;
pub type rknn_destroy_mem_fn = ::std::option::Option<
    unsafe extern "C" fn(ctx: rknn_context, mem: *mut rknn_tensor_mem) -> ::std::os::raw::c_int,
>;
pub type rknn_set_weight_mem_fn = ::std::option::Option<
    unsafe extern "C" fn(ctx: rknn_context, mem: *mut rknn_tensor_mem) -> ::std::os::raw::c_int,
>;
pub type rknn_set_internal_mem_fn = ::std::option::Option<
    unsafe extern "C" fn(ctx: rknn_context, mem: *mut rknn_tensor_mem) -> ::std::os::raw::c_int,
>;
pub type rknn_set_io_mem_fn = ::std::option::Option<
    unsafe extern "C" fn(
        ctx: rknn_context,
        mem: *mut rknn_tensor_mem,
        attr: *mut rknn_tensor_attr,
    ) -> ::std::os::raw::c_int,
>;
pub type rknn_set_input_shape_fn = ::std::option::Option<
    unsafe extern "C" fn(ctx: rknn_context, attr: *mut rknn_tensor_attr) -> ::std::os::raw::c_int,
>;
pub type rknn_set_input_shapes_fn = ::std::option::Option<
    unsafe extern "C" fn(
        ctx: rknn_context,
        n_inputs: u32,
        attr: *mut rknn_tensor_attr,
    ) -> ::std::os::raw::c_int,
>;
#[doc = " Makes writes of one side visible to the other."]
pub type rknn_mem_sync_fn = ::std::option::Option<
    unsafe extern "C" fn(
        context: rknn_context,
        mem: *mut rknn_tensor_mem,
        mode: rknn_mem_sync_mode,
    ) -> ::std::os::raw::c_int,
>;
#[doc = " A matmul's context."]
pub type rknn_matmul_ctx = rknn_context;
impl rknn_matmul_quant_type {
    pub const RKNN_QUANT_TYPE_PER_LAYER_SYM: rknn_matmul_quant_type = rknn_matmul_quant_type(0);
    pub const RKNN_QUANT_TYPE_PER_LAYER_ASYM: rknn_matmul_quant_type = rknn_matmul_quant_type(1);
    pub const RKNN_QUANT_TYPE_PER_CHANNEL_SYM: rknn_matmul_quant_type = rknn_matmul_quant_type(2);
    pub const RKNN_QUANT_TYPE_PER_CHANNEL_ASYM: rknn_matmul_quant_type = rknn_matmul_quant_type(3);
    pub const RKNN_QUANT_TYPE_PER_GROUP_SYM: rknn_matmul_quant_type = rknn_matmul_quant_type(4);
    pub const RKNN_QUANT_TYPE_PER_GROUP_ASYM: rknn_matmul_quant_type = rknn_matmul_quant_type(5);
}
#[repr(transparent)]
#[doc = " Granularity of scales."]
#[derive(Debug, Copy, Clone, Hash, PartialEq, Eq)]
pub struct rknn_matmul_quant_type(pub ::std::os::raw::c_uint);
impl rknn_matmul_type {
    pub const RKNN_FLOAT16_MM_FLOAT16_TO_FLOAT32: rknn_matmul_type = rknn_matmul_type(1);
    pub const RKNN_INT8_MM_INT8_TO_INT32: rknn_matmul_type = rknn_matmul_type(2);
    pub const RKNN_INT8_MM_INT8_TO_INT8: rknn_matmul_type = rknn_matmul_type(3);
    pub const RKNN_FLOAT16_MM_FLOAT16_TO_FLOAT16: rknn_matmul_type = rknn_matmul_type(4);
    pub const RKNN_FLOAT16_MM_INT8_TO_FLOAT32: rknn_matmul_type = rknn_matmul_type(5);
    pub const RKNN_FLOAT16_MM_INT8_TO_FLOAT16: rknn_matmul_type = rknn_matmul_type(6);
    pub const RKNN_FLOAT16_MM_INT4_TO_FLOAT32: rknn_matmul_type = rknn_matmul_type(7);
    pub const RKNN_FLOAT16_MM_INT4_TO_FLOAT16: rknn_matmul_type = rknn_matmul_type(8);
    pub const RKNN_INT8_MM_INT8_TO_FLOAT32: rknn_matmul_type = rknn_matmul_type(9);
    pub const RKNN_INT4_MM_INT4_TO_INT16: rknn_matmul_type = rknn_matmul_type(10);
    pub const RKNN_INT8_MM_INT4_TO_INT32: rknn_matmul_type = rknn_matmul_type(11);
    pub const RKNN_FLOAT16_MM_INT4_TO_BFLOAT16: rknn_matmul_type = rknn_matmul_type(12);
    pub const RKNN_INT8_MM_INT4_TO_FLOAT16: rknn_matmul_type = rknn_matmul_type(15);
}
#[repr(transparent)]
#[doc = " Types of A, B and C."]
#[derive(Debug, Copy, Clone, Hash, PartialEq, Eq)]
pub struct rknn_matmul_type(pub ::std::os::raw::c_uint);
impl rknn_matmul_layout {
    pub const RKNN_MM_LAYOUT_NORM: rknn_matmul_layout = rknn_matmul_layout(0);
    pub const RKNN_MM_LAYOUT_NATIVE: rknn_matmul_layout = rknn_matmul_layout(1);
    pub const RKNN_MM_LAYOUT_TP_NORM: rknn_matmul_layout = rknn_matmul_layout(2);
}
#[repr(transparent)]
#[doc = " Order of elements."]
#[derive(Debug, Copy, Clone, Hash, PartialEq, Eq)]
pub struct rknn_matmul_layout(pub ::std::os::raw::c_uint);
#[doc = " Scales of A, B or C."]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct rknn_quant_params {
    #[doc = " Equals the name in io_attr."]
    pub name: [::std::os::raw::c_char; 256usize],
    #[doc = " scale_len values."]
    pub scale: *mut f32,
    #[doc = " Values in scale."]
    pub scale_len: i32,
    #[doc = " zp_len values, or NULL."]
    pub zp: *mut i32,
    #[doc = " Values in zp."]
    pub zp_len: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of rknn_quant_params"][::std::mem::size_of::<rknn_quant_params>() - 288usize];
    ["Alignment of rknn_quant_params"][::std::mem::align_of::<rknn_quant_params>() - 8usize];
    ["Offset of field: rknn_quant_params::name"]
        [::std::mem::offset_of!(rknn_quant_params, name) - 0usize];
    ["Offset of field: rknn_quant_params::scale"]
        [::std::mem::offset_of!(rknn_quant_params, scale) - 256usize];
    ["Offset of field: rknn_quant_params::scale_len"]
        [::std::mem::offset_of!(rknn_quant_params, scale_len) - 264usize];
    ["Offset of field: rknn_quant_params::zp"]
        [::std::mem::offset_of!(rknn_quant_params, zp) - 272usize];
    ["Offset of field: rknn_quant_params::zp_len"]
        [::std::mem::offset_of!(rknn_quant_params, zp_len) - 280usize];
};
impl Default for rknn_quant_params {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[doc = " A, B or C as the library wants it."]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct rknn_matmul_tensor_attr {
    #[doc = " NUL-terminated."]
    pub name: [::std::os::raw::c_char; 256usize],
    #[doc = " Entries of dims in use."]
    pub n_dims: u32,
    #[doc = " Sizes."]
    pub dims: [u32; 16usize],
    #[doc = " Bytes."]
    pub size: u32,
    #[doc = " Element type."]
    pub type_: rknn_tensor_type,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of rknn_matmul_tensor_attr"]
        [::std::mem::size_of::<rknn_matmul_tensor_attr>() - 332usize];
    ["Alignment of rknn_matmul_tensor_attr"]
        [::std::mem::align_of::<rknn_matmul_tensor_attr>() - 4usize];
    ["Offset of field: rknn_matmul_tensor_attr::name"]
        [::std::mem::offset_of!(rknn_matmul_tensor_attr, name) - 0usize];
    ["Offset of field: rknn_matmul_tensor_attr::n_dims"]
        [::std::mem::offset_of!(rknn_matmul_tensor_attr, n_dims) - 256usize];
    ["Offset of field: rknn_matmul_tensor_attr::dims"]
        [::std::mem::offset_of!(rknn_matmul_tensor_attr, dims) - 260usize];
    ["Offset of field: rknn_matmul_tensor_attr::size"]
        [::std::mem::offset_of!(rknn_matmul_tensor_attr, size) - 324usize];
    ["Offset of field: rknn_matmul_tensor_attr::type_"]
        [::std::mem::offset_of!(rknn_matmul_tensor_attr, type_) - 328usize];
};
impl Default for rknn_matmul_tensor_attr {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[doc = " All three."]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct rknn_matmul_io_attr {
    #[doc = " M x K."]
    pub A: rknn_matmul_tensor_attr,
    #[doc = " K x N."]
    pub B: rknn_matmul_tensor_attr,
    #[doc = " M x N."]
    pub C: rknn_matmul_tensor_attr,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of rknn_matmul_io_attr"][::std::mem::size_of::<rknn_matmul_io_attr>() - 996usize];
    ["Alignment of rknn_matmul_io_attr"][::std::mem::align_of::<rknn_matmul_io_attr>() - 4usize];
    ["Offset of field: rknn_matmul_io_attr::A"]
        [::std::mem::offset_of!(rknn_matmul_io_attr, A) - 0usize];
    ["Offset of field: rknn_matmul_io_attr::B"]
        [::std::mem::offset_of!(rknn_matmul_io_attr, B) - 332usize];
    ["Offset of field: rknn_matmul_io_attr::C"]
        [::std::mem::offset_of!(rknn_matmul_io_attr, C) - 664usize];
};
impl Default for rknn_matmul_io_attr {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[doc = " One of the shapes of a dynamic context."]
#[repr(C)]
#[derive(Debug, Default, Copy, Clone)]
pub struct rknn_matmul_shape {
    #[doc = " Rows of A and C."]
    pub M: i32,
    #[doc = " Columns of A, rows of B."]
    pub K: i32,
    #[doc = " Columns of B and C."]
    pub N: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of rknn_matmul_shape"][::std::mem::size_of::<rknn_matmul_shape>() - 12usize];
    ["Alignment of rknn_matmul_shape"][::std::mem::align_of::<rknn_matmul_shape>() - 4usize];
    ["Offset of field: rknn_matmul_shape::M"]
        [::std::mem::offset_of!(rknn_matmul_shape, M) - 0usize];
    ["Offset of field: rknn_matmul_shape::K"]
        [::std::mem::offset_of!(rknn_matmul_shape, K) - 4usize];
    ["Offset of field: rknn_matmul_shape::N"]
        [::std::mem::offset_of!(rknn_matmul_shape, N) - 8usize];
};
#[doc = " What a matmul context computes; zero it first."]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct rknn_matmul_info {
    #[doc = " Rows of A and C."]
    pub M: i32,
    #[doc = " Columns of A, rows of B."]
    pub K: i32,
    #[doc = " Columns of B and C."]
    pub N: i32,
    #[doc = " Types of A, B and C."]
    pub type_: rknn_matmul_type,
    #[doc = " A rknn_matmul_layout value."]
    pub B_layout: i16,
    #[doc = " A rknn_matmul_quant_type value."]
    pub B_quant_type: i16,
    #[doc = " Normal or native, for A and C together."]
    pub AC_layout: i16,
    #[doc = " Per layer."]
    pub AC_quant_type: i16,
    #[doc = " 0..15."]
    pub iommu_domain_id: i32,
    #[doc = " With B_quant_type per group."]
    pub group_size: i16,
    #[doc = " Must be zero."]
    pub reserved: [i8; 34usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of rknn_matmul_info"][::std::mem::size_of::<rknn_matmul_info>() - 64usize];
    ["Alignment of rknn_matmul_info"][::std::mem::align_of::<rknn_matmul_info>() - 4usize];
    ["Offset of field: rknn_matmul_info::M"][::std::mem::offset_of!(rknn_matmul_info, M) - 0usize];
    ["Offset of field: rknn_matmul_info::K"][::std::mem::offset_of!(rknn_matmul_info, K) - 4usize];
    ["Offset of field: rknn_matmul_info::N"][::std::mem::offset_of!(rknn_matmul_info, N) - 8usize];
    ["Offset of field: rknn_matmul_info::type_"]
        [::std::mem::offset_of!(rknn_matmul_info, type_) - 12usize];
    ["Offset of field: rknn_matmul_info::B_layout"]
        [::std::mem::offset_of!(rknn_matmul_info, B_layout) - 16usize];
    ["Offset of field: rknn_matmul_info::B_quant_type"]
        [::std::mem::offset_of!(rknn_matmul_info, B_quant_type) - 18usize];
    ["Offset of field: rknn_matmul_info::AC_layout"]
        [::std::mem::offset_of!(rknn_matmul_info, AC_layout) - 20usize];
    ["Offset of field: rknn_matmul_info::AC_quant_type"]
        [::std::mem::offset_of!(rknn_matmul_info, AC_quant_type) - 22usize];
    ["Offset of field: rknn_matmul_info::iommu_domain_id"]
        [::std::mem::offset_of!(rknn_matmul_info, iommu_domain_id) - 24usize];
    ["Offset of field: rknn_matmul_info::group_size"]
        [::std::mem::offset_of!(rknn_matmul_info, group_size) - 28usize];
    ["Offset of field: rknn_matmul_info::reserved"]
        [::std::mem::offset_of!(rknn_matmul_info, reserved) - 30usize];
};
impl Default for rknn_matmul_info {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[doc = " Fills io_attr."]
pub type rknn_matmul_create_fn = ::std::option::Option<
    unsafe extern "C" fn(
        ctx: *mut rknn_matmul_ctx,
        info: *mut rknn_matmul_info,
        io_attr: *mut rknn_matmul_io_attr,
    ) -> ::std::os::raw::c_int,
>;
#[doc = " M, K and N of info are ignored; io_attrs has shape_num entries."]
pub type rknn_matmul_create_dynamic_shape_fn = ::std::option::Option<
    unsafe extern "C" fn(
        ctx: *mut rknn_matmul_ctx,
        info: *mut rknn_matmul_info,
        shape_num: ::std::os::raw::c_int,
        dynamic_shapes: *mut rknn_matmul_shape,
        io_attrs: *mut rknn_matmul_io_attr,
    ) -> ::std::os::raw::c_int,
>;
#[doc = " Binds A, B or C."]
pub type rknn_matmul_set_io_mem_fn = ::std::option::Option<
    unsafe extern "C" fn(
        ctx: rknn_matmul_ctx,
        mem: *mut rknn_tensor_mem,
        attr: *mut rknn_matmul_tensor_attr,
    ) -> ::std::os::raw::c_int,
>;
#[doc = " One core; masks of several are refused."]
pub type rknn_matmul_set_core_mask_fn = ::std::option::Option<
    unsafe extern "C" fn(
        context: rknn_matmul_ctx,
        core_mask: rknn_core_mask,
    ) -> ::std::os::raw::c_int,
>;
#[doc = " Call once per tensor, before running."]
pub type rknn_matmul_set_quant_params_fn = ::std::option::Option<
    unsafe extern "C" fn(
        context: rknn_matmul_ctx,
        params: *mut rknn_quant_params,
    ) -> ::std::os::raw::c_int,
>;
pub type rknn_matmul_get_quant_params_fn = ::std::option::Option<
    unsafe extern "C" fn(
        ctx: rknn_matmul_ctx,
        params: *mut rknn_quant_params,
        scale: *mut f32,
    ) -> ::std::os::raw::c_int,
>;
pub type rknn_matmul_set_dynamic_shape_fn = ::std::option::Option<
    unsafe extern "C" fn(
        ctx: rknn_matmul_ctx,
        shape: *mut rknn_matmul_shape,
    ) -> ::std::os::raw::c_int,
>;
#[doc = " Blocks until done."]
pub type rknn_matmul_run_fn =
    ::std::option::Option<unsafe extern "C" fn(ctx: rknn_matmul_ctx) -> ::std::os::raw::c_int>;
pub type rknn_matmul_destroy_fn =
    ::std::option::Option<unsafe extern "C" fn(ctx: rknn_matmul_ctx) -> ::std::os::raw::c_int>;
#[doc = " Converts B on the CPU; B_output has io_attr.B.size bytes."]
pub type rknn_B_normal_layout_to_native_layout_fn = ::std::option::Option<
    unsafe extern "C" fn(
        B_input: *mut ::std::os::raw::c_void,
        B_output: *mut ::std::os::raw::c_void,
        K: ::std::os::raw::c_int,
        N: ::std::os::raw::c_int,
        info: *mut rknn_matmul_info,
    ) -> ::std::os::raw::c_int,
>;
