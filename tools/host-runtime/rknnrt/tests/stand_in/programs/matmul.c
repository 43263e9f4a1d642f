/* Three products against librknnrt.so, checked by plain loops. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rknn_matmul_2_3.h"

rknn_matmul_create_fn rknn_matmul_create;
rknn_matmul_set_io_mem_fn rknn_matmul_set_io_mem;
rknn_matmul_set_core_mask_fn rknn_matmul_set_core_mask;
rknn_matmul_run_fn rknn_matmul_run;
rknn_matmul_destroy_fn rknn_matmul_destroy;
rknn_B_normal_layout_to_native_layout_fn rknn_B_normal_layout_to_native_layout;
rknn_create_mem_fn rknn_create_mem;
rknn_destroy_mem_fn rknn_destroy_mem;
rknn_mem_sync_fn rknn_mem_sync;
rknn_query_fn rknn_query;

#define EXPECT(what)                                                           \
    do {                                                                       \
        if (!(what)) {                                                         \
            fprintf(stderr, "line %d: %s\n", __LINE__, #what);                 \
            exit(1);                                                           \
        }                                                                      \
    } while (0)

enum { M = 5, K = 64, N = 96 };

static signed char a[M * K], b[K * N];

/* int8 in; int32, int8 or float32 out. A and C normal, B native by the library's own conversion. */
static void product(rknn_matmul_type type)
{
    rknn_matmul_info info;
    rknn_matmul_io_attr attr;
    rknn_matmul_ctx ctx = 0;
    memset(&info, 0, sizeof info);
    memset(&attr, 0, sizeof attr);
    info.M = M;
    info.K = K;
    info.N = N;
    info.type = type;
    info.B_layout = RKNN_MM_LAYOUT_NATIVE;
    EXPECT(rknn_matmul_create(&ctx, &info, &attr) == 0);
    EXPECT(ctx != 0);
    EXPECT(attr.A.size == M * K && attr.B.size == K * N);
    EXPECT(attr.B.n_dims == 4 && attr.B.dims[2] == 32 && attr.B.dims[3] == 32);

    rknn_tensor_mem *ma = rknn_create_mem(ctx, attr.A.size);
    rknn_tensor_mem *mb = rknn_create_mem(ctx, attr.B.size);
    rknn_tensor_mem *mc = rknn_create_mem(ctx, attr.C.size);
    EXPECT(ma && mb && mc);
    memcpy(ma->virt_addr, a, sizeof a);
    EXPECT(rknn_B_normal_layout_to_native_layout(b, mb->virt_addr, K, N, &info) == 0);
    EXPECT(rknn_mem_sync(ctx, ma, RKNN_MEMORY_SYNC_TO_DEVICE) == 0);
    EXPECT(rknn_matmul_set_io_mem(ctx, ma, &attr.A) == 0);
    EXPECT(rknn_matmul_set_io_mem(ctx, mb, &attr.B) == 0);
    EXPECT(rknn_matmul_set_io_mem(ctx, mc, &attr.C) == 0);
    EXPECT(rknn_matmul_set_core_mask(ctx, RKNN_NPU_CORE_1) == 0);
    EXPECT(rknn_matmul_run(ctx) == 0);
    EXPECT(rknn_mem_sync(ctx, mc, RKNN_MEMORY_SYNC_FROM_DEVICE) == 0);

    for (int m = 0; m < M; m++) {
        for (int n = 0; n < N; n++) {
            int sum = 0;
            for (int k = 0; k < K; k++)
                sum += a[m * K + k] * b[k * N + n];
            if (type == RKNN_INT8_MM_INT8_TO_INT32)
                EXPECT(((int *)mc->virt_addr)[m * N + n] == sum);
            else if (type == RKNN_INT8_MM_INT8_TO_FLOAT32)
                EXPECT(((float *)mc->virt_addr)[m * N + n] == (float)sum);
            else
                EXPECT(((signed char *)mc->virt_addr)[m * N + n]
                       == (sum < -128 ? -128 : sum > 127 ? 127 : sum));
        }
    }
    EXPECT(rknn_destroy_mem(ctx, ma) == 0);
    EXPECT(rknn_destroy_mem(ctx, mb) == 0);
    EXPECT(rknn_destroy_mem(ctx, mc) == 0);
    EXPECT(rknn_destroy_mem(ctx, mc) == RKNN_ERR_PARAM_INVALID);
    EXPECT(rknn_matmul_destroy(ctx) == 0);
    EXPECT(rknn_matmul_destroy(ctx) == RKNN_ERR_CTX_INVALID);
}

int main(void)
{
    for (int i = 0; i < M * K; i++)
        a[i] = (signed char)(i * 37);
    for (int i = 0; i < K * N; i++)
        b[i] = (signed char)(i * 91 + i / 7);

    rknn_matmul_info info;
    rknn_matmul_io_attr attr;
    rknn_matmul_ctx ctx = 0;
    memset(&info, 0, sizeof info);
    info.M = info.K = info.N = 64;
    info.type = RKNN_FLOAT16_MM_FLOAT16_TO_FLOAT32;
    EXPECT(rknn_matmul_create(&ctx, &info, &attr) == 0);
    rknn_sdk_version version;
    EXPECT(rknn_query(ctx, RKNN_QUERY_SDK_VERSION, &version, sizeof version) == 0);
    printf("%.5s\n", version.api_version);
    EXPECT(rknn_matmul_destroy(ctx) == 0);

    product(RKNN_INT8_MM_INT8_TO_INT32);
    product(RKNN_INT8_MM_INT8_TO_INT8);
    product(RKNN_INT8_MM_INT8_TO_FLOAT32);
    printf("3 types right\n");
    return 0;
}
