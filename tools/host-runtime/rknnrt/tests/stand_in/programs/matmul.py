"""int8 products through ctypes, from four threads with a context each.

Usage: python3 matmul.py librknnrt.so
"""

import ctypes
import sys
import threading
from ctypes import POINTER, byref, c_char, c_int, c_int8, c_int16, c_int32, c_uint32, c_uint64, c_void_p


class Info(ctypes.Structure):
    _fields_ = [
        ("M", c_int32), ("K", c_int32), ("N", c_int32), ("type", c_int), ("B_layout", c_int16),
        ("B_quant_type", c_int16), ("AC_layout", c_int16), ("AC_quant_type", c_int16),
        ("iommu_domain_id", c_int32), ("group_size", c_int16), ("reserved", c_int8 * 34),
    ]


class TensorAttr(ctypes.Structure):
    _fields_ = [
        ("name", c_char * 256), ("n_dims", c_uint32), ("dims", c_uint32 * 16), ("size", c_uint32),
        ("type", c_int),
    ]


class IoAttr(ctypes.Structure):
    _fields_ = [("A", TensorAttr), ("B", TensorAttr), ("C", TensorAttr)]


class Mem(ctypes.Structure):
    _fields_ = [
        ("virt_addr", c_void_p), ("phys_addr", c_uint64), ("fd", c_int32), ("offset", c_int32),
        ("size", c_uint32), ("flags", c_uint32), ("priv_data", c_void_p),
    ]


assert (ctypes.sizeof(Info), ctypes.sizeof(TensorAttr), ctypes.sizeof(Mem)) == (64, 332, 40)

lib = ctypes.CDLL(sys.argv[1])
lib.rknn_create_mem.restype = POINTER(Mem)
lib.rknn_create_mem.argtypes = [c_uint64, c_uint32]
lib.rknn_destroy_mem.argtypes = [c_uint64, POINTER(Mem)]
lib.rknn_matmul_create.argtypes = [POINTER(c_uint64), POINTER(Info), POINTER(IoAttr)]
lib.rknn_matmul_set_io_mem.argtypes = [c_uint64, POINTER(Mem), POINTER(TensorAttr)]
lib.rknn_matmul_run.argtypes = [c_uint64]
lib.rknn_matmul_destroy.argtypes = [c_uint64]

M, K, N = 3, 64, 32


def product(seed):
    """C of normal A and B in TP layout, against a sum by hand."""
    a = [(i * 31 + seed) % 256 - 128 for i in range(M * K)]
    b = [(i * 17 + seed * 5) % 256 - 128 for i in range(N * K)]
    ctx, attr = c_uint64(0), IoAttr()
    info = Info(M=M, K=K, N=N, type=2, B_layout=2, AC_layout=0)
    assert lib.rknn_matmul_create(byref(ctx), byref(info), byref(attr)) == 0
    mems = []
    for tensor in (attr.A, attr.B, attr.C):
        mem = lib.rknn_create_mem(ctx, tensor.size)
        assert mem, "no memory"
        mems.append(mem)
        assert lib.rknn_matmul_set_io_mem(ctx, mem, byref(tensor)) == 0
    (c_int8 * len(a)).from_address(mems[0].contents.virt_addr)[:] = a
    (c_int8 * len(b)).from_address(mems[1].contents.virt_addr)[:] = b
    assert lib.rknn_matmul_run(ctx) == 0
    found = (c_int32 * (M * N)).from_address(mems[2].contents.virt_addr)[:]
    for mem in mems:
        assert lib.rknn_destroy_mem(ctx, mem) == 0
    assert lib.rknn_matmul_destroy(ctx) == 0
    assert lib.rknn_matmul_run(ctx) == -7
    wanted = [
        sum(a[m * K + k] * b[n * K + k] for k in range(K)) for m in range(M) for n in range(N)
    ]
    return found == wanted


right = []


def thread(seed):
    right.append(all(product(seed + i) for i in range(5)))


threads = [threading.Thread(target=thread, args=(seed,)) for seed in (1, 20, 300, 4000)]
for it in threads:
    it.start()
for it in threads:
    it.join()
assert right == [True] * 4, right
print("4 threads right")
