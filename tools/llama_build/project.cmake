# Included after llama-cpp-python's project() (CMAKE_PROJECT_llama_cpp_INCLUDE): builds libllama alone, and faster.

# A normal variable takes precedence over the cache entry that llama-cpp-python forces (CMP0126): without llama-common,
# which nothing here uses, the build takes half the time.
set(LLAMA_BUILD_COMMON OFF)

# One file of many model graphs each: their headers are parsed once. Not for ggml-cpu, which defines some names twice.
cmake_language(DEFER DIRECTORY ${CMAKE_SOURCE_DIR}
    CALL set_target_properties llama PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 16)
