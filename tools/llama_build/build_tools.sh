#!/bin/sh
# Compiles tools of llama.cpp, such as llama-perplexity, from the source that llama-cpp-python of this version contains.
#
#   tools/llama_build/build_tools.sh DIRECTORY TARGET...
#
# Writes the programs to DIRECTORY/bin. For comparisons: the service does not use them.
set -eu

directory=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
version=$(sed -n 's/.*"llama-cpp-python==\([0-9.]*\)".*/\1/p' "$here/../../pyproject.toml")
mkdir -p "$directory"
cd "$directory"
if [ ! -d "llama_cpp_python-$version" ]; then
    "${PYTHON:-python3}" -m pip download -q --no-deps --no-binary llama-cpp-python "llama-cpp-python==$version"
    tar xzf "llama_cpp_python-$version.tar.gz"
fi
if [ ! -x venv/bin/cmake ]; then
    "${PYTHON:-python3}" -m venv venv
    venv/bin/pip install -q cmake ninja
fi
cp "$here/amx_config.h" .  # The build outlives this checkout.
export PATH="$directory/venv/bin:$PATH"
cmake -S "llama_cpp_python-$version/vendor/llama.cpp" -B build -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_CXX_FLAGS="${CXXFLAGS:-} -include $directory/amx_config.h" \
    -DLLAMA_CURL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_SERVER=ON -DLLAMA_BUILD_UI=OFF > cmake.log
for target in "$@"; do
    cmake --build build --target "$target"
done
ln -sfn build/bin bin
