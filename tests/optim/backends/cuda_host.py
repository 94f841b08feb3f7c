"""CUDA kernels of passes on the host: a module in place of CuPy whose arrays are in host memory.

A kernel is compiled by the C++ compiler, unchanged. Its 128 threads are contexts that switch at `__syncthreads()`; they
run backwards in every other block, so that a missing barrier changes the result.
"""

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from mxtrain.optim.backends.codegen_cuda import CUDA_COMPOSED_OPERATIONS, CUDA_PREAMBLE
from mxtrain.optim.ir.summation import LANES

COMPILER = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
CAN_RUN_KERNELS = bool(COMPILER) and sys.platform == "linux"
"""Whether kernels can run here: the contexts are those of glibc."""

HOST_PREAMBLE = """
#define __device__
template <typename T> T mx_add(T a, T b) { return a + b; }
template <typename T> T mx_subtract(T a, T b) { return a - b; }
template <typename T> T mx_multiply(T a, T b) { return a * b; }
template <typename T> T mx_divide(T a, T b) { return a / b; }
inline float mx_sqrt(float a) { return __builtin_sqrtf(a); }
inline double mx_sqrt(double a) { return __builtin_sqrt(a); }
inline float mx_absolute(float a) { return __builtin_fabsf(a); }
inline double mx_absolute(double a) { return __builtin_fabs(a); }
template <typename T> T mx_negative(T a) { return -a; }
template <typename T> bool mx_less(T a, T b) { return a < b; }
template <typename T> bool mx_less_equal(T a, T b) { return a <= b; }
template <typename T> double mx_to_double(T a) { return a; }
template <typename T> void mx_round(double a, T& r) { r = (T)a; }
"""

THREADS = f"""
#include <ucontext.h>
#define __global__
#define __shared__ static
static struct {{ unsigned x; }} threadIdx, blockIdx;
static ucontext_t scheduler, threads[{LANES}];
static bool has_ended[{LANES}];
static char stacks[{LANES}][1 << 15];
static void __syncthreads() {{ swapcontext(&threads[threadIdx.x], &scheduler); }}
"""

LAUNCH = f"""
static const double *h_, *records_; static const long long* table_; static int rows_; static double* partials_;
static long long stride_;
static void run_thread() {{
  KERNEL(h_, records_, table_, rows_, partials_, stride_);
  has_ended[threadIdx.x] = true;
}}
extern "C" int launch(unsigned blocks, const double* h, const double* records, const long long* table, int rows,
                      double* partials, long long stride) {{
  h_ = h; records_ = records; table_ = table; rows_ = rows; partials_ = partials; stride_ = stride;
  for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x) {{
    for (unsigned j = 0; j < {LANES}; ++j) {{
      getcontext(&threads[j]);
      threads[j].uc_stack.ss_sp = stacks[j];
      threads[j].uc_stack.ss_size = sizeof stacks[j];
      threads[j].uc_link = &scheduler;
      makecontext(&threads[j], run_thread, 0);
      has_ended[j] = false;
    }}
    for (unsigned ended = 0; ended == 0;) {{
      for (unsigned j = 0; j < {LANES}; ++j) {{
        threadIdx.x = blockIdx.x % 2 ? j : {LANES - 1} - j;
        swapcontext(&scheduler, &threads[threadIdx.x]);
        ended += has_ended[threadIdx.x];
      }}
      if (ended != 0 && ended != {LANES}) return 1;  // some threads wait at a barrier, others have ended
    }}
  }}
  return 0;
}}
"""


class Device:
    """A device, by its number; the current one within `with`."""

    stack: list["Device"] = []  # noqa: RUF012 - shared on purpose

    def __init__(self, number: int) -> None:
        self.id = number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self) -> int:
        return self.id

    def __enter__(self) -> None:
        Device.stack.append(self)

    def __exit__(self, *_: object) -> None:
        Device.stack.pop()


def current_device() -> Device:
    return Device.stack[-1] if Device.stack else Device(0)


class DeviceArray(np.ndarray):
    """Host memory with the attributes of a CuPy array; `copy` moves to the current device."""

    _device: Device

    def __array_finalize__(self, source: Any) -> None:
        self._device = getattr(source, "_device", None) or current_device()

    @property
    def device(self) -> Any:
        return self._device

    @property
    def data(self) -> Any:
        return Pointer(self.ctypes.data)

    def get(self) -> Any:
        return np.array(self)

    def copy(self, order: Any = "C") -> Any:
        copied = super().copy(order).view(DeviceArray)
        copied._device = current_device()
        return copied


class Pointer:
    def __init__(self, address: int) -> None:
        self.ptr = address


def on_device(array: Any, device: Device) -> DeviceArray:
    """Return a view of an array that claims to be on a device."""
    view = np.asarray(array).view(DeviceArray)
    view._device = device
    return view


class HostCuPy:
    """The functions of CuPy that passes need."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.launches = 0

    def asarray(self, array: Any) -> DeviceArray:
        return on_device(np.array(array), current_device())

    def ascontiguousarray(self, array: Any) -> DeviceArray:
        return on_device(np.ascontiguousarray(array).reshape(array.shape), current_device())

    def zeros(self, shape: Any) -> DeviceArray:
        return on_device(np.zeros(shape), current_device())

    def RawKernel(self, code: str, name: str, options: tuple[str, ...]) -> Any:  # noqa: N802 - the name in CuPy
        assert COMPILER
        assert options == ("--fmad=false",)
        assert code.startswith(CUDA_PREAMBLE)
        files = len(list(self.folder.iterdir()))
        source, library = (self.folder / f"kernel{files}{end}" for end in (".cpp", ".so"))
        parts = [HOST_PREAMBLE, CUDA_COMPOSED_OPERATIONS, THREADS, code.removeprefix(CUDA_PREAMBLE), LAUNCH]
        source.write_text("\n".join(parts).replace("KERNEL(", f"{name}("), encoding="utf-8")
        flags = ["-O1", "-ffp-contract=off", "-fno-math-errno", "-fPIC", "-shared"]
        subprocess.run([COMPILER, *flags, "-o", str(library), str(source)], check=True)
        launch = ctypes.CDLL(str(library)).launch

        def kernel(grid: tuple[int], block: tuple[int], args: tuple[Any, ...]) -> None:
            assert block == (LANES,)
            arrays = [each for each in args if isinstance(each, np.ndarray)]
            assert all(each.device == current_device() and each.flags.c_contiguous for each in arrays)
            h, records, table, rows, partials, stride = args
            pointers = [ctypes.c_void_p(each.ctypes.data) for each in (h, records, table, partials)]
            rest = pointers[3], ctypes.c_longlong(int(stride))
            assert launch(ctypes.c_uint(grid[0]), *pointers[:3], ctypes.c_int(int(rows)), *rest) == 0
            self.launches += 1

        return kernel
