"""CUDA kernels tested without a GPU: the body gives the bits of NumPy on the host, and the kernel compiles for CUDA."""

import ctypes
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mxtrain
from mxtrain.optim.backends.arrays import round_scalars
from mxtrain.optim.backends.codegen_cuda import (
    CUDA_COMPOSED_OPERATIONS,
    CUDA_PREAMBLE,
    generate_cuda_pass_source,
    generate_cuda_source,
)
from mxtrain.optim.backends.cupy_backend import CuPyPassRun
from mxtrain.optim.ir import MultiPassProgram, Program, UpdateProgram, sqrt, trace, where
from tests.optim.backends.cuda_host import COMPILER, HOST_PREAMBLE, Device, HostCuPy, on_device
from tests.tables import CONFIGS, GOLDEN, STAGES, special_arrays, with_stage


def host_source(program: Program) -> str:
    """Wrap the kernel body in a C++ loop for the host."""
    arrays = range(len(program.arrays))
    arguments = ", ".join(["std::size_t n", "const T* s", *(f"T* p{i}" for i in arrays)])
    scalars = "\n".join(f"const T s{i} = s[{i}];" for i in range(len(program.scalars)))
    elements = "\n".join(f"T& a{i} = p{i}[i];" for i in arrays)
    calls = ", ".join(["n", "s", *(f"p{i}" for i in arrays)])
    return f"""#include <cstddef>{HOST_PREAMBLE}{CUDA_COMPOSED_OPERATIONS}
template <typename T> void run({arguments}) {{
{scalars}
for (std::size_t i = 0; i < n; ++i) {{
{elements}
{generate_cuda_source(program)}
}} }}
extern "C" void run_float32({arguments.replace("T*", "float*")}) {{ run<float>({calls}); }}
extern "C" void run_float64({arguments.replace("T*", "double*")}) {{ run<double>({calls}); }}
"""


class HostBackend:
    """Backend that runs kernel bodies, and the kernels of passes, on the host."""

    name = "host"
    kinds = ("numpy",)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.libraries: dict[Program, Any] = {}
        self.cupy = HostCuPy(folder)

    def run(self, program: Program, groups: Any, scalars: Any) -> None:
        library = self.libraries.get(program)
        if library is None:
            library = self.libraries[program] = self.compile(program)
        for arrays in groups:
            function = getattr(library, f"run_{arrays[0].dtype}")
            constants = round_scalars(scalars, arrays[0].dtype)
            pointers = [ctypes.c_void_p(array.ctypes.data) for array in (constants, *arrays)]
            function(ctypes.c_size_t(arrays[0].size), *pointers)

    def start_passes(self, program: MultiPassProgram, groups: Any, scalars: Any) -> CuPyPassRun:
        on_device_0 = [[on_device(array, Device(0)) for array in arrays] for arrays in groups]
        return CuPyPassRun(self.cupy, program, on_device_0, scalars)

    def compile(self, program: Program) -> Any:
        assert COMPILER
        source, library = (self.folder / f"program{len(self.libraries)}{end}" for end in (".cpp", ".so"))
        source.write_text(host_source(program))
        flags = ["-O2", "-ffp-contract=off", "-fno-math-errno", "-fPIC", "-shared"]
        subprocess.run([COMPILER, *flags, "-o", str(library), str(source)], check=True)
        return ctypes.CDLL(str(library))


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> HostBackend:
    if not COMPILER:
        pytest.skip("this machine has no C++ compiler")
    return HostBackend(tmp_path_factory.mktemp("host"))


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: f"{case['optimizer']}, {case['what']}")
def test_the_body_gives_the_golden_values(case: Any, host: HostBackend) -> None:
    optimizer = mxtrain.Optimizer(mxtrain.build(case["config"]).rule, host)
    weight = np.array(GOLDEN["weight"], dtype="float32")
    for t, gradient in enumerate(GOLDEN["gradients"], start=1):
        optimizer.update(0, np.array(gradient, dtype="float32"), weight)
        expected = case["weights_after"]["float32"].get(str(t))
        if expected:
            assert weight.tobytes() == np.array(expected, dtype="float32").tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_the_body_gives_numpys_bits(config: Any, dtype: str, host: HostBackend) -> None:
    config = with_stage(config, STAGES["all"])
    weight, *gradients = special_arrays(1000, dtype, count=4)
    other = weight.copy()
    numpy = mxtrain.build(config, backend="numpy", on_nonfinite="ignore")
    same = mxtrain.Optimizer(numpy.rule, host, "ignore")
    for gradient in gradients:
        numpy.step({"W": weight}, {"W": gradient})
        same.step({"W": other}, {"W": gradient})
    both_nan = np.isnan(weight) & np.isnan(other)
    assert (both_nan | (weight.view(f"u{weight.itemsize}") == other.view(f"u{other.itemsize}"))).all()


WHERE = trace("choice", lambda W, g: {"W": where(g < 0, -W, sqrt(g))}, ("W", "g"), ())
PROGRAMS = {
    **{name: mxtrain.build(with_stage(config, STAGES["all"])).rule.program() for name, config in CONFIGS.items()},
    "where": WHERE,
}


def elementwise_kernel(program: Program, ctype: str) -> str:
    """Wrap the body in a kernel like those of CuPy's ElementwiseKernel."""
    arrays, scalars = range(len(program.arrays)), range(len(program.scalars))
    parameters = ", ".join([*(f"T* p{i}" for i in arrays), *(f"T s{i}" for i in scalars), "size_t n"])
    elements = "\n".join(f"T& a{i} = p{i}[i];" for i in arrays)
    return f"""typedef {ctype} T;
{CUDA_PREAMBLE}
extern "C" __global__ void kernel({parameters}) {{
size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x;
if (i >= n) return;
{elements}
{generate_cuda_source(program)}
}}
"""


def kernel_sources(program: UpdateProgram, ctype: str) -> list[str]:
    """Return the kernel of a program, or those of its passes."""
    if isinstance(program, Program):
        return [elementwise_kernel(program, ctype)]
    return [CUDA_PREAMBLE + generate_cuda_pass_source(program, each, ctype) for each in program.passes]


class Compiler:
    """NVIDIA's runtime compiler NVRTC, called through its C interface."""

    def __init__(self) -> None:
        nvidia = pytest.importorskip("nvidia", reason="the package nvidia-cuda-nvrtc is not installed here")
        found = sorted(path for root in nvidia.__path__ for path in Path(root).rglob("libnvrtc.so*"))
        if not found:
            pytest.skip("the package nvidia-cuda-nvrtc is not installed here")
        self.library = ctypes.CDLL(str(found[0]))

    def ptx(self, source: str, architecture: str) -> str:
        program, size = ctypes.c_void_p(), ctypes.c_size_t()
        self.library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None)
        # The options that CuPy appends, and the architecture.
        options = [b"--fmad=false", b"-ftz=true", b"-std=c++14", f"--gpu-architecture={architecture}".encode()]
        failed = self.library.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
        result = "ProgramLog" if failed else "PTX"
        getattr(self.library, f"nvrtcGet{result}Size")(program, ctypes.byref(size))
        text = ctypes.create_string_buffer(size.value)
        getattr(self.library, f"nvrtcGet{result}")(program, text)
        assert not failed, text.value.decode()
        return text.value.decode()


@pytest.fixture(scope="module")
def nvrtc() -> Compiler:
    return Compiler()


@pytest.mark.parametrize("architecture", ["compute_80", "compute_90"])
@pytest.mark.parametrize("ctype", ["float", "double"])
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_the_kernel_compiles_and_rounds_every_operation(
    program: UpdateProgram, ctype: str, architecture: str, nvrtc: Compiler
) -> None:
    ptx = "\n".join(nvrtc.ptx(source, architecture) for source in kernel_sources(program, ctype))
    instructions = re.findall(r"\b(?:add|sub|mul|div|sqrt|abs|neg|fma|mad)\.[\w.]*f(?:32|64)", ptx)
    assert instructions
    assert not re.findall(r"\bcvt\.[\w.]*ftz", ptx), "denormal numbers are flushed to zero"
    for instruction in instructions:
        assert not instruction.startswith(("fma", "mad")), "an operation was contracted"
        assert ".ftz" not in instruction, "denormal numbers are flushed to zero"
        assert ".rn." in instruction or instruction.startswith(("abs", "neg")), "a result is not rounded to nearest"
