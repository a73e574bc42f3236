// Included before every file of llama.cpp that this project compiles (-include).
//
// GCC before 12.4, 13.3 and 14 reads only 8 of the 64 bytes of a tile configuration (PR target/114098), takes the stores
// to the others for dead, and the first AMX instruction of llama.cpp dies of SIGSEGV.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>
#define _tile_loadconfig(config) __asm__ volatile("ldtilecfg %0" ::"m"(*(const char(*)[64])(config)))
#endif

// Tells the service that this build's AMX kernels work (backends/llama/devices.py).
#ifdef __cplusplus
extern "C"
#endif
__attribute__((weak, used, visibility("default"))) int llm_inference_api_amx_works = 1;
