"""Builds the hollow device into a virtual environment that has torch's CUDA build, and writes a command that starts it.

    python tests/hollow/build.py .venv-hollow      # then: .venv-hollow/hollow python -c 'import torch; …'

Needs gcc and nm. CUDA's headers are those that torch's own packages bring.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent

# cuBLAS is loaded with torch and does not start without a driver: all that torch calls of it answers "done" instead.
CUBLAS = {
    "cublasCreate_v2": "(void **h) { *h = malloc(8); return 0; }",
    "cublasLtGetVersion": "(void) { return 130000; }",
    "cublasGetMathMode": "(void *h, int *mode) { *mode = 0; return 0; }",
    "cublasGetPointerMode_v2": "(void *h, int *mode) { *mode = 0; return 0; }",
    "cublasLtMatmulAlgoGetHeuristic": (
        "(void *a, void *b, void *c, void *d, void *e, void *f, void *g, int n, char *found, int *count)"
        " { memset(found, 0, 128); *count = 1; return 0; }"
    ),
    **{
        f"cublasLt{what}Create": "(void **made) { *made = malloc(8); return 0; }"
        for what in ("MatmulDesc", "MatmulPreference", "MatrixLayout")
    },
    **{
        f"cublasLt{what}Destroy": "(void *made) { free(made); return 0; }"
        for what in ("MatmulDesc", "MatmulPreference", "MatrixLayout")
    },
}
# Called by inline functions of cublasLt.h, or by other libraries than torch's.
MORE = ("cublasLtMatmulPreferenceInit_internal", "cublasLtMatmulDescInit_internal", "cublasLtMatrixLayoutInit_internal")
ENTRY = "[torch.backends]\nhollow = hollow_torch:install\n"


def build(venv: Path) -> Path:
    """The command `<venv>/hollow`, with all that it needs beside it in `<venv>/hollow.d`.

    Raises:
        SystemExit: no CUDA build of torch there, or no compiler.
    """
    (packages,) = venv.glob("lib/python3.*/site-packages")
    headers = next((found.parent for found in packages.glob("triton/backends/nvidia/include/cuda_runtime_api.h")), None)
    torch = packages / "torch" / "lib"
    if headers is None or not (torch / "libtorch_cuda.so").is_file():
        sys.exit(f"{venv} holds no CUDA build of torch; pip install torch there")
    made = venv / "hollow.d"
    (made / "lib").mkdir(parents=True, exist_ok=True)
    (made / "cublas.c").write_text(_cublas(torch))
    _compile(HERE / "c" / "runtime.c", made / "runtime.so", f"-I{headers}")
    _compile(made / "cublas.c", made / "cublas.so")
    for source, name in (("driver.c", "libcuda.so.1"), ("nvml.c", "libnvidia-ml.so.1")):
        _compile(HERE / "c" / source, made / "lib" / name)
        shutil.copy(made / "lib" / name, made / "lib" / name.removesuffix(".1"))
    info = made / "site" / "hollow_torch-1.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hollow-torch\nVersion: 1\n")
    (info / "entry_points.txt").write_text(ENTRY)  # torch calls it when it is imported
    shutil.copy(HERE / "hollow_torch.py", made / "site")
    return _command(venv.resolve(), made.resolve())


def _cublas(torch: Path) -> str:
    listed = subprocess.run(
        ["nm", "-D", "--undefined-only", str(torch / "libtorch_cuda.so"), str(torch / "libtorch_cuda_linalg.so")],
        capture_output=True,
        text=True,
        check=True,
    )
    names = {line.split()[-1].partition("@")[0] for line in listed.stdout.splitlines() if " cublas" in line}
    functions = [f"int {name}{CUBLAS.get(name, '(void) { return 0; }')}" for name in sorted(names | {*CUBLAS, *MORE})]
    return "#include <stdlib.h>\n#include <string.h>\n" + "\n".join(functions) + "\n"


def _compile(source: Path, target: Path, *options: str) -> None:
    subprocess.run(["gcc", "-O1", "-w", "-shared", "-fPIC", *options, "-o", str(target), str(source)], check=True)


def _command(venv: Path, made: Path) -> Path:
    preload, library = f"{made / 'runtime.so'}:{made / 'cublas.so'}", made / "lib"
    command = venv / "hollow"
    command.write_text(
        "#!/bin/sh\n"
        "# Runs a command of this environment on the hollow device.\n"
        f"export LD_PRELOAD={shlex.quote(preload)} LD_LIBRARY_PATH={shlex.quote(str(library))}\n"
        f"export TRITON_LIBCUDA_PATH={shlex.quote(str(library))} PATH={shlex.quote(str(venv / 'bin'))}:$PATH\n"
        f"export PYTHONPATH={shlex.quote(str(made / 'site'))}${{PYTHONPATH:+:$PYTHONPATH}}\n"
        f"export HOLLOW_TABLE={shlex.quote(str(made / 'table'))}\n"
        'exec "$@"\n'
    )
    command.chmod(0o755)
    return command


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(build(Path(sys.argv[1])))
