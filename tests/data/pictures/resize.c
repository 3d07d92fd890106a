/* Resampling against Pillow: golden hashes, published coefficients' effects, a few hundred odd sizes, and the fast loops against C. */
#include "data/pictures/resize.h"

#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/pictures/image.h"
#include "kernels/base/arena.h"
#include "kernels/base/philox.h"
#include "tests/data/digest.h"
#include "tests/harness.h"

static const uint8_t GREY[3] = {127, 127, 127};

/* pixel(y,x,c) = (7x + 13y + 29c + xy mod 31) mod 256 */
static Image synthetic(int32_t width, int32_t height)
{
    Image im = {width, height, mem_alloc((size_t)width * (size_t)height * 3)};
    REQUIRE(im.rgb);
    uint8_t *p = im.rgb;
    for (int32_t y = 0; y < height; y++)
        for (int32_t x = 0; x < width; x++)
            for (int32_t c = 0; c < 3; c++)
                *p++ = (uint8_t)(7 * x + 13 * y + 29 * c + x * y % 31);
    return im;
}

static uint8_t *prepare(const Image *in, int32_t width, int32_t height, ImageFilter filter, bool pad, const uint8_t fill[3])
{
    ImagePrep prep = {.width = width, .height = height, .pad = pad, .filter = filter};
    memcpy(prep.fill, fill, 3);
    uint8_t *out = mem_alloc((size_t)width * (size_t)height * 3);
    REQUIRE(out);
    REQUIRE_OK(image_prepare(out, in, &prep));
    return out;
}

static void check_digest(int w, int h, int new_w, int new_h, ImageFilter filter, bool pad, const uint8_t fill[3], const char *hex)
{
    Image im = synthetic(w, h);
    uint8_t *out = prepare(&im, new_w, new_h, filter, pad, fill);
    Digest d = digest(out, (size_t)new_w * (size_t)new_h * 3, strlen(hex));
    CHECK_MSG(!strcmp(d.hex, hex), "%dx%d to %dx%d, filter %d, pad %d: %s, wanted %s", w, h, new_w, new_h, (int)filter, pad, d.hex, hex);
    mem_free(out);
    image_free(&im);
}

TEST(resize_gives_the_golden_bytes)
{
    static const struct { int w, h, new_w, new_h; const char *bicubic, *lanczos; } CASES[] = {
        {640, 480, 384, 384, "f0d52036678c8ec301609f82a7458dfe", "4f35a6697a761bae29d90ecd61527ac7"},
        {333, 500, 384, 384, "d4d1908dc9b910594973c4cfc2301244", "fce80bff77928ad82842cd9fd697419e"},
        {97, 61, 384, 384, "af88f42df3dbfe931ffd62b09f7164d1", "4e2b84736e3cb180a759d097bfedc0e4"},
        {512, 512, 256, 256, "cb1249a8994ec7a1c19e5e88decd1bcf", "9eb0b28bba9a6beb36674f156f40fecc"},
        {480, 640, 512, 683, "75537e9c5cf11a97108791971d368c12", "9ee49e01ed355ea27060cb50e8887d23"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        check_digest(CASES[i].w, CASES[i].h, CASES[i].new_w, CASES[i].new_h, FILTER_BICUBIC, false, GREY, CASES[i].bicubic);
        check_digest(CASES[i].w, CASES[i].h, CASES[i].new_w, CASES[i].new_h, FILTER_LANCZOS, false, GREY, CASES[i].lanczos);
    }
    check_digest(640, 480, 384, 384, FILTER_BICUBIC, true, GREY, "ac6acc833dc626e8c6944116143bd6bb");
    Image im = synthetic(640, 480);
    uint8_t *plain = prepare(&im, 384, 384, FILTER_BICUBIC, false, GREY), *padded = prepare(&im, 384, 384, FILTER_BICUBIC, true, GREY);
    size_t last = (384 * 384 - 1) * 3, middle = (192 * 384 + 192) * 3;
    CHECK(plain[0] == 4 && plain[1] == 33 && plain[2] == 62);
    CHECK(plain[last] == 215 && plain[last + 1] == 244 && plain[last + 2] == 1);
    CHECK(padded[middle] == 147 && padded[middle + 1] == 33 && padded[middle + 2] == 63);
    mem_free(plain);
    mem_free(padded);
    image_free(&im);
}

TEST(resize_gives_the_published_rows)
{
    static const struct { int n; ImageFilter filter; uint8_t out[8]; } CASES[] = {
        {2, FILTER_BICUBIC, {19, 210}},
        {3, FILTER_BICUBIC, {0, 103, 252}},
        {8, FILTER_BICUBIC, {0, 0, 0, 48, 158, 225, 249, 255}},
        {2, FILTER_LANCZOS, {15, 213}},
        {3, FILTER_LANCZOS, {0, 102, 255}},
        {8, FILTER_LANCZOS, {6, 0, 0, 48, 153, 232, 255, 255}},
    };
    uint8_t row[12] = {0, 0, 0, 10, 10, 10, 200, 200, 200, 255, 255, 255};
    Image across = {4, 1, row}, down = {1, 4, row};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        Image a, d;
        REQUIRE_OK(image_resize(&a, &across, CASES[i].n, 1, CASES[i].filter));
        REQUIRE_OK(image_resize(&d, &down, 1, CASES[i].n, CASES[i].filter));
        for (int x = 0; x < CASES[i].n; x++)
            CHECK_MSG(a.rgb[3 * x] == CASES[i].out[x] && d.rgb[3 * x] == CASES[i].out[x], "case %zu, output %d: %d and %d, wanted %d", i, x,
                      a.rgb[3 * x], d.rgb[3 * x], CASES[i].out[x]);
        image_free(&a);
        image_free(&d);
    }
}

/* A picture of the fixtures, or "-": the synthetic one of that size. */
static Image picture_named(const char *name, int width, int height)
{
    Image im;
    char path[96], *bytes;
    size_t n;
    Reject reject;
    if (!strcmp(name, "-"))
        return synthetic(width, height);
    snprintf(path, sizeof path, "images/%s", name);
    REQUIRE_OK(file_read(&bytes, &n, test_fixture(path), 1 << 20));
    REQUIRE_OK(image_decode(&im, (const uint8_t *)bytes, n, IMAGE_MAX_PIXELS, &reject));
    REQUIRE(im.width == width && im.height == height);
    mem_free(bytes);
    return im;
}

TEST(resize_cuts_the_middle_that_pillow_and_torchvision_cut)
{
    FILE *f = fopen(test_fixture("images/middle.txt"), "r");
    REQUIRE(f);
    char line[256], name[64], hex[32];
    int w, h, side, n = 0;
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "%63[^# ] %d %d %d %31s", name, &w, &h, &side, hex) != 5)
            continue;
        Image im = picture_named(name, w, h);
        const ImagePrep prep = {.width = side, .height = side, .shorter = side, .rounds = true, .filter = FILTER_BILINEAR};
        const size_t bytes = (size_t)side * (size_t)side * 3;
        uint8_t *out = mem_alloc(bytes);
        REQUIRE(out);
        REQUIRE_OK(image_prepare(out, &im, &prep));
        Digest d = digest(out, bytes, strlen(hex));
        CHECK_MSG(!strcmp(d.hex, hex), "%s %dx%d to %d: %s, wanted %s", name, w, h, side, d.hex, hex);
        mem_free(out);
        image_free(&im);
        n++;
    }
    fclose(f);
    CHECK_INT(n, 110);
}

TEST(resize_cuts_the_middle_that_clips_processor_cuts)
{
    FILE *f = fopen(test_fixture("images/crop.txt"), "r");
    REQUIRE(f);
    char line[256], hex[32];
    int w, h, shorter, side, n = 0;
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "%d %d %d %d %31s", &w, &h, &shorter, &side, hex) != 5)
            continue;
        Image im = synthetic(w, h);
        const ImagePrep prep = {.width = side, .height = side, .shorter = shorter, .filter = FILTER_BICUBIC};
        const size_t bytes = (size_t)side * (size_t)side * 3;
        uint8_t *out = mem_alloc(bytes);
        REQUIRE(out);
        REQUIRE_OK(image_prepare(out, &im, &prep));
        Digest d = digest(out, bytes, strlen(hex));
        CHECK_MSG(!strcmp(d.hex, hex), "%dx%d to %d, of which %d: %s, wanted %s", w, h, shorter, side, d.hex, hex);
        mem_free(out);
        image_free(&im);
        n++;
    }
    fclose(f);
    CHECK_INT(n, 46);
}

TEST(resize_equals_pillow_at_odd_sizes)
{
    static const uint8_t FILL[3] = {127, 120, 110};
    FILE *f = fopen(test_fixture("images/resize.txt"), "r");
    REQUIRE(f);
    char line[256], hex[32];
    int w, h, new_w, new_h, filter, pad, n = 0;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "%d %d %d %d %d %d %31s", &w, &h, &new_w, &new_h, &filter, &pad, hex) == 7) {
            check_digest(w, h, new_w, new_h, (ImageFilter)filter, pad, FILL, hex);
            n++;
        }
    fclose(f);
    CHECK_INT(n, 216);
}

/* An axis of random windows and weights. */
static ResizeAxis random_axis(int32_t in, int32_t out, int32_t taps, uint32_t seed)
{
    size_t n = (size_t)(out + RESIZE_GROUP) * (size_t)taps;
    ResizeAxis a = {.in = in, .out = out, .taps = taps, .narrow = true};
    a.first = mem_alloc((size_t)(out + RESIZE_GROUP) * sizeof *a.first);
    a.weight = mem_alloc(n * sizeof *a.weight);
    a.high = mem_alloc(n * sizeof *a.high);
    a.low = mem_alloc(n * sizeof *a.low);
    REQUIRE(a.first && a.weight && a.high && a.low);
    for (int32_t i = 0; i < out + RESIZE_GROUP; i++)
        a.first[i] = in > taps ? (int32_t)(philox4x32(seed, 1, (uint32_t)i, 0, 0).v[0] % (uint32_t)(in - taps)) : 0;
    for (size_t i = 0; i < n; i++) {
        int32_t w = (int32_t)(philox4x32(seed, 2, (uint32_t)i, 0, 0).v[0] % (1u << 23)) - (1 << 22); /* up to 1 either way */
        w /= taps / 2;
        a.weight[i] = w;
        a.high[i] = (int16_t)(w >> 8);
        a.low[i] = (int16_t)(w & 255);
    }
    return a;
}

static void axis_release(ResizeAxis *a)
{
    mem_free(a->first);
    mem_free(a->weight);
    mem_free(a->high);
    mem_free(a->low);
}

TEST(resize_loops_agree_with_plain_c)
{
    enum { IN = 60, MOST = 97, ROWS = 12 };
    const ResizeLoops *fast = resize_loops();
    uint8_t in[ROWS][3 * IN + RESIZE_SLACK], a[2][3 * MOST + RESIZE_SLACK], b[2][3 * MOST + RESIZE_SLACK];
    for (int r = 0; r < ROWS; r++)
        for (uint32_t i = 0; i < sizeof in[0]; i++)
            in[r][i] = (uint8_t)philox4x32(3, (uint32_t)r, i, 0, 0).v[0];
    for (int32_t taps = RESIZE_GROUP; taps <= ROWS; taps += RESIZE_GROUP)
        for (int32_t out = 1; out <= MOST; out += 8) {
            ResizeAxis axis = random_axis(IN, out, taps, (uint32_t)(100 * taps + out));
            const uint8_t *rows[ROWS];
            for (int r = 0; r < ROWS; r++)
                rows[r] = in[r];
            fast->across((uint8_t *[]){a[0], a[1]}, rows, &axis);
            RESIZE_PLAIN.across((uint8_t *[]){b[0], b[1]}, rows, &axis);
            CHECK_MSG(!memcmp(a[0], b[0], 3 * (size_t)out) && !memcmp(a[1], b[1], 3 * (size_t)out),
                      "across, %d taps, %d outputs: %s differs", taps, out, fast->name);
            for (int32_t y = 0; y < out; y += 5) {
                size_t n = (size_t)(3 * IN - y);
                fast->down(a[0], rows, n, &axis, y);
                RESIZE_PLAIN.down(b[0], rows, n, &axis, y);
                CHECK_MSG(!memcmp(a[0], b[0], n), "down, %d taps, %zu bytes: %s differs", taps, n, fast->name);
            }
            axis_release(&axis);
        }
}

TEST(resize_pads_a_long_picture_without_a_canvas)
{
    /* 65500x655 on its square would be 12.9 GB. */
    Image im = synthetic(65500, 655);
    uint8_t *out = prepare(&im, 32, 32, FILTER_BICUBIC, true, GREY);
    CHECK(out[0] == 127 && out[(32 * 32 - 1) * 3] == 127);
    mem_free(out);
    image_free(&im);
    Image bad = {0};
    CHECK_FAILS(image_resize(&bad, &(Image){4, 4, (uint8_t[48]){0}}, 0, 3, FILTER_BICUBIC), ERR_INTERNAL,
                "resizing 4x4 to 0x3 pixels: sides must be positive");
}
