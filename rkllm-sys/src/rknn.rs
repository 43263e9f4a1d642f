//! librknnrt 2.3: types, constants, functions of contexts and of matmul.
//!
//! Taken from 2.3.2. The export tables of real libraries were not seen: what matmul does not need may
//! be missing from one without its being refused.

pub use crate::bindings::rknn::*;
use crate::functions::functions;

functions! {
    /// The functions of librknnrt 2.3.
    required {
        rknn_query: rknn_query_fn,
        rknn_create_mem: rknn_create_mem_fn,
        rknn_destroy_mem: rknn_destroy_mem_fn,
        rknn_mem_sync: rknn_mem_sync_fn,
        rknn_matmul_create: rknn_matmul_create_fn,
        rknn_matmul_create_dynamic_shape: rknn_matmul_create_dynamic_shape_fn,
        rknn_matmul_set_io_mem: rknn_matmul_set_io_mem_fn,
        rknn_matmul_set_core_mask: rknn_matmul_set_core_mask_fn,
        rknn_matmul_set_quant_params: rknn_matmul_set_quant_params_fn,
        rknn_matmul_get_quant_params: rknn_matmul_get_quant_params_fn,
        rknn_matmul_set_dynamic_shape: rknn_matmul_set_dynamic_shape_fn,
        rknn_matmul_run: rknn_matmul_run_fn,
        rknn_matmul_destroy: rknn_matmul_destroy_fn,
        rknn_B_normal_layout_to_native_layout: rknn_B_normal_layout_to_native_layout_fn,
    }
    optional {
        rknn_init: rknn_init_fn,
        rknn_dup_context: rknn_dup_context_fn,
        rknn_destroy: rknn_destroy_fn,
        rknn_inputs_set: rknn_inputs_set_fn,
        rknn_set_batch_core_num: rknn_set_batch_core_num_fn,
        rknn_set_core_mask: rknn_set_core_mask_fn,
        rknn_run: rknn_run_fn,
        rknn_wait: rknn_wait_fn,
        rknn_outputs_get: rknn_outputs_get_fn,
        rknn_outputs_release: rknn_outputs_release_fn,
        rknn_create_mem_from_phys: rknn_create_mem_from_phys_fn,
        rknn_create_mem_from_fd: rknn_create_mem_from_fd_fn,
        rknn_create_mem_from_mb_blk: rknn_create_mem_from_mb_blk_fn,
        rknn_create_mem2: rknn_create_mem2_fn,
        rknn_set_weight_mem: rknn_set_weight_mem_fn,
        rknn_set_internal_mem: rknn_set_internal_mem_fn,
        rknn_set_io_mem: rknn_set_io_mem_fn,
        rknn_set_input_shape: rknn_set_input_shape_fn,
        rknn_set_input_shapes: rknn_set_input_shapes_fn,
    }
}
