/* What png_write writes is read back by our own decoder; texts, and the same bytes twice. */
#include "data/pictures/png_write.h"

#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"
#include "kernels/base/philox.h"
#include "tests/harness.h"

static Image make(int32_t width, int32_t height)
{
    size_t n = (size_t)width * (size_t)height * 3;
    Image im = {width, height, mem_alloc(n)};
    for (size_t i = 0; im.rgb && i < n; i++)
        im.rgb[i] = (uint8_t)(philox4x32(7, (uint32_t)(i / 64), 0, 0, 0).v[0] + 3 * i);
    return im;
}

static void read_back(const Image *im, const uint8_t *bytes, size_t n)
{
    Image back;
    Reject reject;
    CHECK_OK(image_decode(&back, bytes, n, IMAGE_MAX_PIXELS, &reject));
    CHECK_INT(back.width, im->width);
    CHECK_INT(back.height, im->height);
    CHECK(back.rgb && !memcmp(back.rgb, im->rgb, (size_t)im->width * (size_t)im->height * 3));
    image_free(&back);
}

TEST(a_png_is_read_back_as_it_was_and_is_the_same_bytes_twice)
{
    static const int32_t SIZES[][2] = {{1, 1}, {1, 7}, {5, 1}, {64, 64}, {513, 130}};
    static const PngText TEXTS[] = {{"prompt", "a red star"}, {"seed", "42"}};
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++) {
        Image im = make(SIZES[i][0], SIZES[i][1]);
        uint8_t *bytes[2];
        size_t n[2];
        for (int k = 0; k < 2; k++)
            CHECK_OK(png_encode(&bytes[k], &n[k], &im, TEXTS, 2));
        read_back(&im, bytes[0], n[0]);
        CHECK(n[0] == n[1] && !memcmp(bytes[0], bytes[1], n[0]));
        for (int k = 0; k < 2; k++)
            mem_free(bytes[k]);
        image_free(&im);
    }
}

/* Whether the file holds a chunk of this type whose data are these n bytes. */
static bool has_chunk(const uint8_t *bytes, size_t n, const char *type, const char *data, size_t n_data)
{
    for (size_t at = 8; at + 12 <= n;) {
        size_t length = (size_t)bytes[at] << 24 | (size_t)bytes[at + 1] << 16 | (size_t)bytes[at + 2] << 8 | bytes[at + 3];
        if (!memcmp(bytes + at + 4, type, 4) && length == n_data && !memcmp(bytes + at + 8, data, n_data))
            return true;
        at += 12 + length;
    }
    return false;
}

TEST(a_png_says_what_it_was_made_from_and_spells_other_letters_as_utf8)
{
    static const PngText TEXTS[] = {{"prompt", "ein roter St\xC3\xA9rn"}, {"seed", "42"}, {"steps", ""}};
    static const char SEED[] = "seed\00042", EMPTY[] = "steps\0", PROMPT[] = "prompt\0\0\0\0\0ein roter St\xC3\xA9rn";
    Image im = make(3, 2);
    uint8_t *bytes;
    size_t n;
    CHECK_OK(png_encode(&bytes, &n, &im, TEXTS, 3));
    CHECK(has_chunk(bytes, n, "tEXt", SEED, sizeof SEED - 1));
    CHECK(has_chunk(bytes, n, "tEXt", EMPTY, sizeof EMPTY - 1));
    CHECK(has_chunk(bytes, n, "iTXt", PROMPT, sizeof PROMPT - 1));
    read_back(&im, bytes, n);
    mem_free(bytes);
    image_free(&im);
}

TEST(a_png_file_appears_whole_or_not_at_all)
{
    char path[PATH_MAX], *bytes;
    size_t n;
    Image im = make(9, 4);
    CHECK_OK(png_write(file_join(path, test_dir(), "a.png"), &im, NULL, 0));
    CHECK_OK(file_read(&bytes, &n, path, 1 << 20));
    read_back(&im, (const uint8_t *)bytes, n);
    mem_free(bytes);
    CHECK_INT(png_write(file_join(path, test_dir(), "none/a.png"), &im, NULL, 0), ERR_CREATE);
    image_free(&im);
}
