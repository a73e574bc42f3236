#!/bin/sh
# Writes the libraries of the newest llama-cpp-python wheel in WHEELS to DIRECTORY, each once, for LLM_LLAMA_LIBRARY.
#
#   tools/cpu_variants/pack_library.sh WHEELS DIRECTORY
set -eu

wheel=$(ls -t "$1"/llama_cpp_python-*.whl | head -n 1)
directory=$2
workspace=$(mktemp -d)
trap 'rm -rf "$workspace"' EXIT
"${PYTHON:-python3}" -m zipfile -e "$wheel" "$workspace"
rm -rf "$directory"
mkdir -p "$directory"
cp "$workspace"/llama_cpp/lib/*.so* "$directory"
# A wheel cannot hold links: libllama.so and libllama.so.0 are copies there.
for copy in "$directory"/*.so.*; do
    library=${copy%%.so.*}.so
    if cmp -s "$copy" "$library"; then ln -sf "$(basename "$library")" "$copy"; fi
done
echo "$directory"
