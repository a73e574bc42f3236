#!/bin/sh
# Compiles llama-cpp-python with its backends as plugins: one for each kind of processor of this architecture, of which
# the best one is chosen at run time. Writes the wheel into DIRECTORY.
#
#   tools/cpu_variants/build_wheel.sh DIRECTORY [CMAKE_OPTION]...
#
# Needs a C++ compiler and Python with venv. Dockerfile and `make cpu-variants` both run this.
set -eu

directory=$1
shift
project=$(cd "$(dirname "$0")/../.." && pwd)
version=$(sed -n 's/.*"llama-cpp-python==\([0-9.]*\)".*/\1/p' "$project/pyproject.toml")
workspace=$(mktemp -d)
trap 'rm -rf "$workspace"' EXIT

# llama-cpp-python installs only the targets that it knows by name, and the variants are not among them: llama.cpp itself
# puts them into BINDIR. With all three directories inside the package, every library lies there once, beside libllama.
CMAKE_ARGS="-DLLAVA_BUILD=OFF -DLLAMA_BUILD_TOOLS=OFF -DGGML_RPC=OFF \
-DGGML_NATIVE=OFF -DGGML_BACKEND_DL=ON -DGGML_CPU_ALL_VARIANTS=ON \
-DCMAKE_INSTALL_BINDIR=llama_cpp/lib -DCMAKE_INSTALL_LIBDIR=llama_cpp/lib -DCMAKE_INSTALL_INCLUDEDIR=llama_cpp/include $*"
# GCC 12 breaks llama.cpp's AMX kernels without it.
CXXFLAGS="${CXXFLAGS:-} -include $project/tools/llama_build/amx_config.h"
export CMAKE_ARGS CXXFLAGS

"${PYTHON:-python3}" -m venv "$workspace/venv"
"$workspace/venv/bin/pip" wheel --no-cache-dir --no-deps -w "$directory" "llama-cpp-python==$version" \
    -C "build.targets=llama;llama-common" \
    -C "wheel.exclude=llama_cpp/include/**;llama_cpp/lib/cmake/**;llama_cpp/lib/pkgconfig/**;llama_cpp/lib/libllama-common*;llama_cpp/lib/*.so.*.*"
