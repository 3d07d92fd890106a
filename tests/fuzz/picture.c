/* picture.c: picture files of every format: the header, then the pixels. Time and memory follow the number of pixels, so those of large
 * ones are left alone. Checksums of PNG are made right again, so that what lies behind them is reached. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "data/pictures/image.h"
#include "data/pictures/picture_file.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    enum { MOST_PIXELS = 1 << 18 };
    static const ImagePrep prep = {.width = 24, .height = 16, .pad = true, .fill = {1, 2, 3}, .filter = FILTER_BICUBIC};
    static uint8_t pixels[24 * 16 * 3];
    ImageHeader h;
    Image im;
    Reject why;
    uint64_t hash;
    Status s = image_header(&h, data, n, MOST_PIXELS, &why);
    fuzz_check(s);
    if (s)
        return 0;
    s = image_decode_over(&im, data, n, prep.fill, &why);
    fuzz_check(s);
    if (s)
        return 0;
    if (im.width != h.width || im.height != h.height)
        abort();
    fuzz_check(image_prepare(pixels, &im, &prep));
    fuzz_check(picture_dhash(&hash, &im));
    image_free(&im);
    return 0;
}

static uint32_t big_endian(const uint8_t *b) { return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3]; }

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t most, unsigned seed)
{
    (void)seed;
    n = LLVMFuzzerMutate(data, n, most);
    if (n < 8 || memcmp(data, "\x89PNG\r\n\x1a\n", 8))
        return n;
    for (size_t at = 8; at + 12 <= n;) {
        const size_t length = big_endian(data + at);
        if (length > n - at - 12)
            break;
        const uint32_t crc = (uint32_t)crc32(0, data + at + 4, (uInt)length + 4);
        for (int i = 0; i < 4; i++)
            data[at + 8 + length + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
        at += 12 + length;
    }
    return n;
}
