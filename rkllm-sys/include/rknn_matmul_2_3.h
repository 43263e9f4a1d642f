/*
 * librknnrt 2.3.2: matrix products on the NPU.
 *
 * Written for this project from a description of the binary interface: names, offsets, sizes, values.
 * LP64 only. Every function is a type `NAME_fn`: nothing here is linked, all is looked up at run time.
 */
#ifndef RKLLM_SYS_RKNN_MATMUL_2_3_H
#define RKLLM_SYS_RKNN_MATMUL_2_3_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rknn_api_2_3.h"

/** A matmul's context. */
typedef rknn_context rknn_matmul_ctx;

/** Granularity of scales. */
typedef enum {
    RKNN_QUANT_TYPE_PER_LAYER_SYM = 0,
    RKNN_QUANT_TYPE_PER_LAYER_ASYM = 1,
    RKNN_QUANT_TYPE_PER_CHANNEL_SYM = 2,
    RKNN_QUANT_TYPE_PER_CHANNEL_ASYM = 3,
    RKNN_QUANT_TYPE_PER_GROUP_SYM = 4,
    RKNN_QUANT_TYPE_PER_GROUP_ASYM = 5,
} rknn_matmul_quant_type;

/** Types of A, B and C. */
typedef enum {
    RKNN_FLOAT16_MM_FLOAT16_TO_FLOAT32 = 1,
    RKNN_INT8_MM_INT8_TO_INT32 = 2,
    RKNN_INT8_MM_INT8_TO_INT8 = 3,
    RKNN_FLOAT16_MM_FLOAT16_TO_FLOAT16 = 4,
    RKNN_FLOAT16_MM_INT8_TO_FLOAT32 = 5,
    RKNN_FLOAT16_MM_INT8_TO_FLOAT16 = 6,
    RKNN_FLOAT16_MM_INT4_TO_FLOAT32 = 7,
    RKNN_FLOAT16_MM_INT4_TO_FLOAT16 = 8,
    RKNN_INT8_MM_INT8_TO_FLOAT32 = 9,
    RKNN_INT4_MM_INT4_TO_INT16 = 10,
    RKNN_INT8_MM_INT4_TO_INT32 = 11,
    RKNN_FLOAT16_MM_INT4_TO_BFLOAT16 = 12,
    RKNN_INT8_MM_INT4_TO_FLOAT16 = 15,
} rknn_matmul_type;

/** Order of elements. */
typedef enum {
    RKNN_MM_LAYOUT_NORM = 0,
    RKNN_MM_LAYOUT_NATIVE = 1,
    RKNN_MM_LAYOUT_TP_NORM = 2,
} rknn_matmul_layout;

/** Scales of A, B or C. */
typedef struct {
    /** Equals the name in io_attr. */
    char name[256];
    /** scale_len values. */
    float *scale;
    /** Values in scale. */
    int32_t scale_len;
    /** zp_len values, or NULL. */
    int32_t *zp;
    /** Values in zp. */
    int32_t zp_len;
} rknn_quant_params;

/** A, B or C as the library wants it. */
typedef struct {
    /** NUL-terminated. */
    char name[256];
    /** Entries of dims in use. */
    uint32_t n_dims;
    /** Sizes. */
    uint32_t dims[16];
    /** Bytes. */
    uint32_t size;
    /** Element type. */
    rknn_tensor_type type;
} rknn_matmul_tensor_attr;

/** All three. */
typedef struct {
    /** M x K. */
    rknn_matmul_tensor_attr A;
    /** K x N. */
    rknn_matmul_tensor_attr B;
    /** M x N. */
    rknn_matmul_tensor_attr C;
} rknn_matmul_io_attr;

/** One of the shapes of a dynamic context. */
typedef struct {
    /** Rows of A and C. */
    int32_t M;
    /** Columns of A, rows of B. */
    int32_t K;
    /** Columns of B and C. */
    int32_t N;
} rknn_matmul_shape;

/** What a matmul context computes; zero it first. */
typedef struct {
    /** Rows of A and C. */
    int32_t M;
    /** Columns of A, rows of B. */
    int32_t K;
    /** Columns of B and C. */
    int32_t N;
    /** Types of A, B and C. */
    rknn_matmul_type type;
    /** A rknn_matmul_layout value. */
    int16_t B_layout;
    /** A rknn_matmul_quant_type value. */
    int16_t B_quant_type;
    /** Normal or native, for A and C together. */
    int16_t AC_layout;
    /** Per layer. */
    int16_t AC_quant_type;
    /** 0..15. */
    int32_t iommu_domain_id;
    /** With B_quant_type per group. */
    int16_t group_size;
    /** Must be zero. */
    int8_t reserved[34];
} rknn_matmul_info;

/** Fills io_attr. */
typedef int rknn_matmul_create_fn(rknn_matmul_ctx *ctx, rknn_matmul_info *info, rknn_matmul_io_attr
    *io_attr);

/** M, K and N of info are ignored; io_attrs has shape_num entries. */
typedef int rknn_matmul_create_dynamic_shape_fn(rknn_matmul_ctx *ctx, rknn_matmul_info *info, int
    shape_num, rknn_matmul_shape dynamic_shapes[], rknn_matmul_io_attr io_attrs[]);

/** Binds A, B or C. */
typedef int rknn_matmul_set_io_mem_fn(rknn_matmul_ctx ctx, rknn_tensor_mem *mem,
    rknn_matmul_tensor_attr *attr);

/** One core; masks of several are refused. */
typedef int rknn_matmul_set_core_mask_fn(rknn_matmul_ctx context, rknn_core_mask core_mask);

/** Call once per tensor, before running. */
typedef int rknn_matmul_set_quant_params_fn(rknn_matmul_ctx context, rknn_quant_params *params);

typedef int rknn_matmul_get_quant_params_fn(rknn_matmul_ctx ctx, rknn_quant_params *params, float
    *scale);

typedef int rknn_matmul_set_dynamic_shape_fn(rknn_matmul_ctx ctx, rknn_matmul_shape *shape);

/** Blocks until done. */
typedef int rknn_matmul_run_fn(rknn_matmul_ctx ctx);

typedef int rknn_matmul_destroy_fn(rknn_matmul_ctx ctx);

/** Converts B on the CPU; B_output has io_attr.B.size bytes. */
typedef int rknn_B_normal_layout_to_native_layout_fn(void *B_input, void *B_output, int K, int N,
    rknn_matmul_info *info);

#endif /* RKLLM_SYS_RKNN_MATMUL_2_3_H */
