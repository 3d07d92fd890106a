/* crc32c.c: the Castagnoli checksum, by the SSE 4.2 instruction where there is one, else by table. For stored pictures (crc32c.h). */
#include "data/formats/crc32c.h"

#include <pthread.h>
#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t with_instruction(const uint8_t *p, size_t n)
{
    uint64_t c = UINT32_MAX;
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        c = _mm_crc32_u64(c, word);
    }
    for (; n; p++, n--)
        c = _mm_crc32_u8((uint32_t)c, *p);
    return ~(uint32_t)c;
}
#endif

static uint32_t table[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fill_table(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++)
            c = c & 1 ? c >> 1 ^ 0x82F63B78u : c >> 1;
        table[i] = c;
    }
}

uint32_t crc32c_portable(const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    pthread_once(&once, fill_table);
    uint32_t c = UINT32_MAX;
    for (size_t i = 0; i < n; i++)
        c = table[(c ^ p[i]) & 255] ^ c >> 8;
    return ~c;
}

uint32_t crc32c(const void *bytes, size_t n)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return with_instruction(bytes, n);
#endif
    return crc32c_portable(bytes, n);
}
