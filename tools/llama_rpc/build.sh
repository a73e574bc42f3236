#!/bin/sh
# Compiles llama.cpp's RPC backend for the llama.cpp that is installed, or that LLM_LLAMA_LIBRARY names.
#
#   tools/llama_rpc/build.sh WORKSPACE DIRECTORY
#
# Copies llama.cpp's libraries to DIRECTORY, and adds libggml-rpc.so, which they load from beside them, and
# ggml-rpc-server, the program for the other machines. What lies there works wherever it is copied to. The sources, those
# of the pinned llama-cpp-python, stay in WORKSPACE. Honours PYTHON (one with llama-cpp-python), CXX and CXXFLAGS.
set -eu

mkdir -p "$1" "$2"
workspace=$(cd "$1" && pwd)
directory=$(cd "$2" && pwd)
project=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-python3}
version=$(sed -n 's/.*"llama-cpp-python==\([0-9.]*\)".*/\1/p' "$project/pyproject.toml")
source=$workspace/llama_cpp_python-$version
libraries=${LLM_LLAMA_LIBRARY:-$("$python" -c '
from importlib.util import find_spec
print(find_spec("llama_cpp").submodule_search_locations[0] + "/lib")')}

if [ ! -f "$source/.unpacked" ]; then
    "$python" -m pip download -q --no-deps --no-binary llama-cpp-python -d "$workspace" \
        "llama-cpp-python==$version"
    tar xzf "$source.tar.gz" -C "$workspace"
    touch "$source/.unpacked"
fi

for library in "$libraries"/*.so*; do
    case $library in
        *.so.*.*) ;;
        *) cp -P "$library" "$directory" ;;
    esac
done

ggml=$source/vendor/llama.cpp/ggml
# As ggml's CMakeLists.txt compiles a backend that is a plugin (GGML_BACKEND_DL).
compile() {
    # shellcheck disable=SC2086 # several options
    ${CXX:-c++} -std=gnu++17 -O2 -DNDEBUG -D_GNU_SOURCE -DGGML_SHARED -DGGML_BACKEND_SHARED -DGGML_BACKEND_DL \
        -I "$ggml/include" -I "$ggml/src" ${CXXFLAGS:-} "$@" \
        -L "$directory" -Wl,-rpath,'$ORIGIN' -l:libggml-base.so.0 -pthread
}
compile -fPIC -shared -DGGML_BACKEND_BUILD -o "$directory/libggml-rpc.so" \
    "$ggml/src/ggml-rpc/ggml-rpc.cpp" "$ggml/src/ggml-rpc/transport.cpp"
compile -o "$directory/ggml-rpc-server" -include "$project/tools/llama_rpc/keep_serving.h" \
    "$source/vendor/llama.cpp/tools/rpc/rpc-server.cpp" -l:libggml.so.0
echo "$directory"
