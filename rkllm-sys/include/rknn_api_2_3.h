/*
 * librknnrt 2.3.2: contexts, tensors, memory. The matmul half is rknn_matmul_2_3.h.
 *
 * Written for this project from a description of the binary interface: names, offsets, sizes, values.
 * LP64 only. Every function is a type `NAME_fn`: nothing here is linked, all is looked up at run time.
 */
#ifndef RKLLM_SYS_RKNN_2_3_H
#define RKLLM_SYS_RKNN_2_3_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __arm__
#error "only LP64 is described here"
#endif

/** A model's or a matmul's context (32 bits wide where __arm__ is defined, not declared here). */
typedef uint64_t rknn_context;

/** Flags of rknn_init. */
#define RKNN_FLAG_PRIOR_HIGH 0x0
#define RKNN_FLAG_PRIOR_MEDIUM 0x1
#define RKNN_FLAG_PRIOR_LOW 0x2
#define RKNN_FLAG_ASYNC_MASK 0x4
#define RKNN_FLAG_COLLECT_PERF_MASK 0x8
#define RKNN_FLAG_MEM_ALLOC_OUTSIDE 0x10
#define RKNN_FLAG_SHARE_WEIGHT_MEM 0x20
#define RKNN_FLAG_FENCE_IN_OUTSIDE 0x40
#define RKNN_FLAG_FENCE_OUT_OUTSIDE 0x80
#define RKNN_FLAG_COLLECT_MODEL_INFO_ONLY 0x100
#define RKNN_FLAG_INTERNAL_ALLOC_OUTSIDE 0x200
#define RKNN_FLAG_EXECUTE_FALLBACK_PRIOR_DEVICE_GPU 0x400
#define RKNN_FLAG_ENABLE_SRAM 0x800
#define RKNN_FLAG_SHARE_SRAM 0x1000
#define RKNN_FLAG_DISABLE_PROC_HIGH_PRIORITY 0x2000
#define RKNN_FLAG_DISABLE_FLUSH_INPUT_MEM_CACHE 0x4000
#define RKNN_FLAG_DISABLE_FLUSH_OUTPUT_MEM_CACHE 0x8000
#define RKNN_FLAG_MODEL_BUFFER_ZERO_COPY 0x10000

/** Flag of rknn_create_mem2: the context may be 0. */
#define RKNN_MEM_FLAG_ALLOC_NO_CONTEXT 0x20000

/** Return codes. */
#define RKNN_SUCC 0
#define RKNN_ERR_FAIL (-1)
#define RKNN_ERR_TIMEOUT (-2)
#define RKNN_ERR_DEVICE_UNAVAILABLE (-3)
#define RKNN_ERR_MALLOC_FAIL (-4)
#define RKNN_ERR_PARAM_INVALID (-5)
#define RKNN_ERR_MODEL_INVALID (-6)
#define RKNN_ERR_CTX_INVALID (-7)
#define RKNN_ERR_INPUT_INVALID (-8)
#define RKNN_ERR_OUTPUT_INVALID (-9)
#define RKNN_ERR_DEVICE_UNMATCH (-10)
#define RKNN_ERR_INCOMPATILE_PRE_COMPILE_MODEL (-11)
#define RKNN_ERR_INCOMPATILE_OPTIMIZATION_LEVEL_VERSION (-12)
#define RKNN_ERR_TARGET_PLATFORM_UNMATCH (-13)

/** Sizes of arrays. */
#define RKNN_MAX_DIMS 16
#define RKNN_MAX_NUM_CHANNEL 15
#define RKNN_MAX_NAME_LEN 256
#define RKNN_MAX_DYNAMIC_SHAPE_NUM 512

/** What rknn_query is asked for. */
typedef enum {
    RKNN_QUERY_IN_OUT_NUM = 0,
    RKNN_QUERY_INPUT_ATTR = 1,
    RKNN_QUERY_OUTPUT_ATTR = 2,
    RKNN_QUERY_PERF_DETAIL = 3,
    RKNN_QUERY_PERF_RUN = 4,
    RKNN_QUERY_SDK_VERSION = 5,
    RKNN_QUERY_MEM_SIZE = 6,
    RKNN_QUERY_CUSTOM_STRING = 7,
    RKNN_QUERY_NATIVE_INPUT_ATTR = 8,
    RKNN_QUERY_NATIVE_OUTPUT_ATTR = 9,
    RKNN_QUERY_NATIVE_NC1HWC2_INPUT_ATTR = 8,
    RKNN_QUERY_NATIVE_NC1HWC2_OUTPUT_ATTR = 9,
    RKNN_QUERY_NATIVE_NHWC_INPUT_ATTR = 10,
    RKNN_QUERY_NATIVE_NHWC_OUTPUT_ATTR = 11,
    RKNN_QUERY_DEVICE_MEM_INFO = 12,
    RKNN_QUERY_INPUT_DYNAMIC_RANGE = 13,
    RKNN_QUERY_CURRENT_INPUT_ATTR = 14,
    RKNN_QUERY_CURRENT_OUTPUT_ATTR = 15,
    RKNN_QUERY_CURRENT_NATIVE_INPUT_ATTR = 16,
    RKNN_QUERY_CURRENT_NATIVE_OUTPUT_ATTR = 17,
    RKNN_QUERY_CMD_MAX = 18,
} rknn_query_cmd;

/** Element type. */
typedef enum {
    RKNN_TENSOR_FLOAT32 = 0,
    RKNN_TENSOR_FLOAT16 = 1,
    RKNN_TENSOR_INT8 = 2,
    RKNN_TENSOR_UINT8 = 3,
    RKNN_TENSOR_INT16 = 4,
    RKNN_TENSOR_UINT16 = 5,
    RKNN_TENSOR_INT32 = 6,
    RKNN_TENSOR_UINT32 = 7,
    RKNN_TENSOR_INT64 = 8,
    RKNN_TENSOR_BOOL = 9,
    RKNN_TENSOR_INT4 = 10,
    RKNN_TENSOR_BFLOAT16 = 11,
    RKNN_TENSOR_TYPE_MAX = 12,
} rknn_tensor_type;

/** How a tensor is quantised. */
typedef enum {
    RKNN_TENSOR_QNT_NONE = 0,
    RKNN_TENSOR_QNT_DFP = 1,
    RKNN_TENSOR_QNT_AFFINE_ASYMMETRIC = 2,
    RKNN_TENSOR_QNT_MAX = 3,
} rknn_tensor_qnt_type;

/** Order of dimensions. */
typedef enum {
    RKNN_TENSOR_NCHW = 0,
    RKNN_TENSOR_NHWC = 1,
    RKNN_TENSOR_NC1HWC2 = 2,
    RKNN_TENSOR_UNDEFINED = 3,
    RKNN_TENSOR_FORMAT_MAX = 4,
} rknn_tensor_format;

/** NPU cores; masks of several cores are refused on matmul contexts. */
typedef enum {
    RKNN_NPU_CORE_AUTO = 0,
    RKNN_NPU_CORE_0 = 1,
    RKNN_NPU_CORE_1 = 2,
    RKNN_NPU_CORE_2 = 4,
    RKNN_NPU_CORE_0_1 = 3,
    RKNN_NPU_CORE_0_1_2 = 7,
    RKNN_NPU_CORE_ALL = 65535,
    RKNN_NPU_CORE_UNDEFINED = 65536,
} rknn_core_mask;

/** Where memory came from. */
typedef enum {
    RKNN_TENSOR_MEMORY_FLAGS_ALLOC_INSIDE = 1,
    RKNN_TENSOR_MEMORY_FLAGS_FROM_FD = 2,
    RKNN_TENSOR_MEMORY_FLAGS_FROM_PHYS = 3,
    RKNN_TENSOR_MEMORY_FLAGS_UNKNOWN = 4,
} rknn_tensor_mem_flags;

/** Flags of rknn_create_mem2. */
typedef enum {
    RKNN_FLAG_MEMORY_FLAGS_DEFAULT = 0,
    RKNN_FLAG_MEMORY_CACHEABLE = 1,
    RKNN_FLAG_MEMORY_NON_CACHEABLE = 2,
    RKNN_FLAG_MEMORY_TRY_ALLOC_SRAM = 4,
} rknn_mem_alloc_flags;

/** Direction of a cache operation. */
typedef enum {
    RKNN_MEMORY_SYNC_TO_DEVICE = 1,
    RKNN_MEMORY_SYNC_FROM_DEVICE = 2,
    RKNN_MEMORY_SYNC_BIDIRECTIONAL = 3,
} rknn_mem_sync_mode;

/** Answer to RKNN_QUERY_IN_OUT_NUM. */
typedef struct {
    /** Inputs. */
    uint32_t n_input;
    /** Outputs. */
    uint32_t n_output;
} rknn_input_output_num;

/** A tensor of a model. */
typedef struct {
    /** Position among the inputs or outputs. */
    uint32_t index;
    /** Entries of dims in use. */
    uint32_t n_dims;
    /** Sizes. */
    uint32_t dims[16];
    /** NUL-terminated. */
    char name[256];
    /** Elements. */
    uint32_t n_elems;
    /** Bytes. */
    uint32_t size;
    /** Order of dimensions. */
    rknn_tensor_format fmt;
    /** Element type. */
    rknn_tensor_type type;
    /** Quantisation. */
    rknn_tensor_qnt_type qnt_type;
    /** Fraction bits, for DFP. */
    int8_t fl;
    /** Zero point. */
    int32_t zp;
    /** Scale. */
    float scale;
    /** Elements from row to row; 0: the width. */
    uint32_t w_stride;
    /** Bytes including strides. */
    uint32_t size_with_stride;
    /** 1: hand the buffer over as it is. */
    uint8_t pass_through;
    /** Rows from plane to plane. */
    uint32_t h_stride;
} rknn_tensor_attr;

/** Shapes a dynamic input may take. */
typedef struct {
    /** Position among the inputs or outputs. */
    uint32_t index;
    /** Shapes in use. */
    uint32_t shape_number;
    /** Order of dimensions. */
    rknn_tensor_format fmt;
    /** NUL-terminated. */
    char name[256];
    /** The shapes. */
    uint32_t dyn_range[512][16];
    /** Entries of dims in use. */
    uint32_t n_dims;
} rknn_input_range;

/** Answer to RKNN_QUERY_PERF_DETAIL. */
typedef struct {
    /** Text. */
    char *perf_data;
    /** Its bytes. */
    uint64_t data_len;
} rknn_perf_detail;

/** Answer to RKNN_QUERY_PERF_RUN. */
typedef struct {
    /** Microseconds of the last run. */
    int64_t run_duration;
} rknn_perf_run;

/** Answer to RKNN_QUERY_SDK_VERSION. */
typedef struct {
    /** Of the library. */
    char api_version[256];
    /** Of the kernel driver. */
    char drv_version[256];
} rknn_sdk_version;

/** Answer to RKNN_QUERY_MEM_SIZE. */
typedef struct {
    /** Bytes. */
    uint32_t total_weight_size;
    /** Bytes. */
    uint32_t total_internal_size;
    /** Bytes. */
    uint64_t total_dma_allocated_size;
    /** Bytes. */
    uint32_t total_sram_size;
    /** Bytes. */
    uint32_t free_sram_size;
    /** Must be zero. */
    uint32_t reserved[10];
} rknn_mem_size;

/** Answer to RKNN_QUERY_CUSTOM_STRING. */
typedef struct {
    /** NUL-terminated. */
    char string[1024];
} rknn_custom_string;

/** Memory the NPU can reach. */
typedef struct {
    /** Where the process sees it; add `offset`. */
    void *virt_addr;
    /** Where the NPU sees it. */
    uint64_t phys_addr;
    /** dma-buf, or -1. */
    int32_t fd;
    /** Start inside the buffer, in bytes. */
    int32_t offset;
    /** Bytes. */
    uint32_t size;
    /** A rknn_tensor_mem_flags value. */
    uint32_t flags;
    /** The library's own. */
    void *priv_data;
} rknn_tensor_mem;

/** An input for rknn_inputs_set. */
typedef struct {
    /** Position among the inputs or outputs. */
    uint32_t index;
    /** The data. */
    void *buf;
    /** Bytes. */
    uint32_t size;
    /** 1: hand the buffer over as it is. */
    uint8_t pass_through;
    /** Element type. */
    rknn_tensor_type type;
    /** Order of dimensions. */
    rknn_tensor_format fmt;
} rknn_input;

/** An output of rknn_outputs_get. */
typedef struct {
    /** 1: as float32. */
    uint8_t want_float;
    /** 1: buf is the caller's. */
    uint8_t is_prealloc;
    /** Position among the inputs or outputs. */
    uint32_t index;
    /** The data. */
    void *buf;
    /** Bytes. */
    uint32_t size;
} rknn_output;

/** More settings of rknn_init. */
typedef struct {
    /** Context to share with. */
    rknn_context ctx;
    /** Start of the model inside the buffer. */
    int32_t real_model_offset;
    /** Bytes of the model. */
    uint32_t real_model_size;
    /** dma-buf of the model. */
    int32_t model_buffer_fd;
    /** Its flags. */
    uint32_t model_buffer_flags;
    /** Must be zero. */
    uint8_t reserved[112];
} rknn_init_extend;

/** More settings of rknn_run. */
typedef struct {
    /** Counts runs. */
    uint64_t frame_id;
    /** 1: return at once. */
    int32_t non_block;
    /** Milliseconds. */
    int32_t timeout_ms;
    /** Fence to wait for. */
    int32_t fence_fd;
} rknn_run_extend;

/** More results of rknn_outputs_get. */
typedef struct {
    /** Counts runs. */
    uint64_t frame_id;
} rknn_output_extend;

/** Loads a model from memory or, with size 0, from the file named by model. */
typedef int rknn_init_fn(rknn_context *context, void *model, uint32_t size, uint32_t flag,
    rknn_init_extend *extend);

typedef int rknn_dup_context_fn(rknn_context *context_in, rknn_context *context_out);

typedef int rknn_destroy_fn(rknn_context context);

/** Fills info, which has size bytes. */
typedef int rknn_query_fn(rknn_context context, rknn_query_cmd cmd, void *info, uint32_t size);

typedef int rknn_inputs_set_fn(rknn_context context, uint32_t n_inputs, rknn_input inputs[]);

typedef int rknn_set_batch_core_num_fn(rknn_context context, int core_num);

typedef int rknn_set_core_mask_fn(rknn_context context, rknn_core_mask core_mask);

typedef int rknn_run_fn(rknn_context context, rknn_run_extend *extend);

typedef int rknn_wait_fn(rknn_context context, rknn_run_extend *extend);

typedef int rknn_outputs_get_fn(rknn_context context, uint32_t n_outputs, rknn_output outputs[],
    rknn_output_extend *extend);

typedef int rknn_outputs_release_fn(rknn_context context, uint32_t n_ouputs, rknn_output outputs[]);

typedef rknn_tensor_mem *rknn_create_mem_from_phys_fn(rknn_context ctx, uint64_t phys_addr, void
    *virt_addr, uint32_t size);

typedef rknn_tensor_mem *rknn_create_mem_from_fd_fn(rknn_context ctx, int32_t fd, void *virt_addr,
    uint32_t size, int32_t offset);

typedef rknn_tensor_mem *rknn_create_mem_from_mb_blk_fn(rknn_context ctx, void *mb_blk, int32_t
    offset);

/** Cacheable memory. */
typedef rknn_tensor_mem *rknn_create_mem_fn(rknn_context ctx, uint32_t size);

/** Memory with flags. */
typedef rknn_tensor_mem *rknn_create_mem2_fn(rknn_context ctx, uint64_t size, uint64_t alloc_flags);

typedef int rknn_destroy_mem_fn(rknn_context ctx, rknn_tensor_mem *mem);

typedef int rknn_set_weight_mem_fn(rknn_context ctx, rknn_tensor_mem *mem);

typedef int rknn_set_internal_mem_fn(rknn_context ctx, rknn_tensor_mem *mem);

typedef int rknn_set_io_mem_fn(rknn_context ctx, rknn_tensor_mem *mem, rknn_tensor_attr *attr);

typedef int rknn_set_input_shape_fn(rknn_context ctx, rknn_tensor_attr *attr);

typedef int rknn_set_input_shapes_fn(rknn_context ctx, uint32_t n_inputs, rknn_tensor_attr attr[]);

/** Makes writes of one side visible to the other. */
typedef int rknn_mem_sync_fn(rknn_context context, rknn_tensor_mem *mem, rknn_mem_sync_mode mode);

#endif /* RKLLM_SYS_RKNN_2_3_H */
