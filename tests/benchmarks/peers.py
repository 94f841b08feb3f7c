"""Compare mxtrain with other libraries, interleaved in one process, and write docs/performance.md.

Every library uses all cores: torch, jax, BLAS and mxtrain each start one thread per core.
"""

import os
import sys
import time

import compile_time
import extras
import limits
import many_arrays
import memory
import modern_rules
import one_array
import report
import torch
import training

PACKAGES = ("mxtrain", "numpy", "numba", "torch", "jax", "jaxlib", "optax", "thinc", "scikit-learn")
PARTS = (limits, one_array, modern_rules, many_arrays, training, extras, memory, compile_time)


def main() -> None:
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    begin = time.perf_counter()
    texts = [f"{report.machine()}\n{report.versions(PACKAGES)}"]
    chosen = sys.argv[1:]
    for part in PARTS:
        if not chosen or part.__name__ in chosen:
            texts.append(part.section().text())
            print(f"{texts[-1]}\n\n({time.perf_counter() - begin:.0f} s so far)\n", flush=True)
    if not chosen:
        report.write("peers", "\n\n".join(texts))


if __name__ == "__main__":
    main()
