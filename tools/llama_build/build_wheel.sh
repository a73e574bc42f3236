#!/bin/sh
# Compiles llama-cpp-python for this machine and writes its wheel into DIRECTORY.
#
#   tools/llama_build/build_wheel.sh DIRECTORY
#
# Honours PYTHON, CMAKE_ARGS and CXXFLAGS; with -DLLAMA_BUILD=OFF the wheel has the bindings and no library. Shows how far it is; the whole output goes to DIRECTORY/build.log.
set -eu

directory=$1
here=$(cd "$(dirname "$0")" && pwd)
version=$(sed -n 's/.*"llama-cpp-python==\([0-9.]*\)".*/\1/p' "$here/../../pyproject.toml")
mkdir -p "$directory"
workspace=$(mktemp -d)
trap 'rm -rf "$workspace"' EXIT
log=$directory/build.log

# GCC 12 breaks llama.cpp's AMX kernels without the header.
CXXFLAGS="${CXXFLAGS:-} -include $here/amx_config.h"
export CXXFLAGS
case ${CMAKE_ARGS:-} in
    *LLAMA_BUILD=OFF*) set -- ;;
    *) set -- -C "build.targets=llama" -C "cmake.define.CMAKE_PROJECT_llama_cpp_INCLUDE=$here/project.cmake" ;;
esac
"${PYTHON:-python3}" -m venv "$workspace/venv"
{
    "$workspace/venv/bin/pip" wheel -v --no-cache-dir --no-deps -w "$directory" "llama-cpp-python==$version" \
        -C "wheel.exclude=lib/**;include/**;bin/**" "$@" 2>&1 \
        || echo "build failed"
} | tee "$log" | awk '
    match($0, /\[[0-9]+\/[0-9]+\]/) {
        split(substr($0, RSTART + 1, RLENGTH - 2), of, "/")
        percent = int(100 * of[1] / of[2])
        if (percent >= next_percent) { print "  compiling llama.cpp: " percent " %"; fflush(); next_percent = percent + 10 }
    }
    /Downloading .*tar/ { print "  " $0; fflush() }'
if ! ls "$directory"/llama_cpp_python-*.whl > /dev/null 2>&1; then
    tail -n 30 "$log" >&2
    echo "llama.cpp could not be compiled; $log has the whole output" >&2
    exit 1
fi
