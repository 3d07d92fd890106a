/* Pictures in every form against what Pillow saw in them (tests/fixtures/images/make.py), and damaged ones. */
#include "data/pictures/image.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "kernels/base/arena.h"
#include "tests/data/digest.h"
#include "tests/data/mutate.h"
#include "tests/harness.h"

enum { ROOM = 1 << 14, MUTATE_SLACK = 64 };

static uint8_t file[ROOM];

static const char *picture_path(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "images/%s", name);
    return test_fixture(path);
}

/* Into `file`. */
static size_t load(const char *name)
{
    FILE *f = fopen(picture_path(name), "rb");
    CHECK_MSG(f, "%s is missing", name);
    if (!f)
        return 0;
    size_t n = fread(file, 1, sizeof file, f);
    fclose(f);
    CHECK(n < sizeof file - MUTATE_SLACK);
    return n;
}

/* Calls visit for each line of pictures.txt. */
static void each_picture(void (*visit)(const char *name, int width, int height, const char *hex))
{
    FILE *f = fopen(picture_path("pictures.txt"), "r");
    REQUIRE(f);
    char line[256], name[128], hex[32];
    int width, height, n = 0;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "%127[^# ] %d %d %31s", name, &width, &height, hex) == 4) {
            visit(name, width, height, hex);
            n++;
        }
    fclose(f);
    CHECK_INT(n, 41);
}

static void decode_one(const char *name, int width, int height, const char *hex)
{
    Image im;
    Reject reject;
    size_t n = load(name);
    Status s = image_decode(&im, file, n, IMAGE_MAX_PIXELS, &reject);
    CHECK_MSG(!s && im.width == width && im.height == height, "%s: %s; %dx%d, wanted %dx%d", name, s ? status_message() : "", im.width,
              im.height, width, height);
    if (s)
        return;
    Digest found = digest(im.rgb, (size_t)width * (size_t)height * 3, 16);
    CHECK_MSG(!strcmp(found.hex, hex), "%s: its pixels are not Pillow's", name);
    image_free(&im);
}

TEST(image_decodes_every_form_as_pillow_does) { each_picture(decode_one); }

TEST(image_header_knows_format_and_orientation)
{
    static const struct { const char *name; ImageFormat format; int orientation; } CASES[] = {
        {"sub2.jpg", IMAGE_JPEG, 1},  {"exif6.jpg", IMAGE_JPEG, 6},     {"rgb.png", IMAGE_PNG, 1},
        {"plain.gif", IMAGE_GIF, 1},  {"gif_named.jpg", IMAGE_GIF, 1}, {"alpha.webp", IMAGE_WEBP, 1},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        ImageHeader h;
        Reject reject;
        size_t n = load(CASES[i].name);
        CHECK_OK(image_header(&h, file, n, IMAGE_MAX_PIXELS, &reject));
        CHECK_MSG(h.format == CASES[i].format && h.orientation == CASES[i].orientation && h.width == 21 && h.height == 13,
                  "%s: %s, orientation %d, %dx%d", CASES[i].name, image_format_name(h.format), h.orientation, h.width, h.height);
    }
}

TEST(image_lays_a_png_on_a_colour)
{
    static const uint8_t WHITE[3] = {255, 255, 255};
    Image plain, over;
    Reject reject;
    size_t n = load("rgba.png");
    REQUIRE_OK(image_decode(&plain, file, n, IMAGE_MAX_PIXELS, &reject));
    REQUIRE_OK(image_decode_over(&over, file, n, WHITE, &reject));
    int lighter = 0;
    for (size_t i = 0; i < 21 * 13 * 3; i++) {
        CHECK(over.rgb[i] >= plain.rgb[i]);
        lighter += over.rgb[i] > plain.rgb[i];
    }
    CHECK(lighter > 700); /* the alpha of this picture is random */
    image_free(&plain);
    image_free(&over);
    CHECK_INT(image_decode_over(&over, file, n / 2, WHITE, &reject), ERR_DATA);
    CHECK_INT(reject, REJECT_CORRUPT);
    n = load("sub2.jpg");
    REQUIRE_OK(image_decode_over(&over, file, n, WHITE, &reject));
    image_free(&over);
}

static void fails(const char *what, size_t n, Reject wanted, const char *sentence)
{
    Image im;
    Reject reject;
    Status s = image_decode(&im, file, n, IMAGE_MAX_PIXELS, &reject);
    CHECK_MSG(s == ERR_DATA && reject == wanted && !im.rgb, "%s: status %d, reject %d, wanted %d", what, (int)s, (int)reject, (int)wanted);
    CHECK_STR(status_message(), sentence);
    if (!s)
        image_free(&im);
}

TEST(image_says_what_is_wrong_with_a_file)
{
    fails("nothing", 0, REJECT_CORRUPT, "the file is empty");
    memcpy(file, "hello world", 11);
    fails("text", 11, REJECT_CORRUPT, "its first bytes are not those of a JPEG, PNG, WebP or GIF picture");
    memcpy(file, "BM6789", 6);
    fails("BMP", 6, REJECT_CORRUPT, "it is a BMP picture; JPEG, PNG, WebP and GIF are read: \"mogrify -format png FILE\" converts it");
    memcpy(file, "II*\0\x08\0", 6);
    fails("TIFF", 6, REJECT_CORRUPT, "it is a TIFF picture; JPEG, PNG, WebP and GIF are read: \"mogrify -format png FILE\" converts it");
    memcpy(file,
           "\0\0\0\x18"
           "ftypheic",
           12);
    fails("HEIC", 12, REJECT_CORRUPT, "it is a HEIC picture; JPEG, PNG, WebP and GIF are read: \"heif-convert FILE FILE.png\" converts it");
    fails("half a JPEG", load("sub2.jpg") / 2, REJECT_TRUNCATED, "JPEG: Premature end of input file");
    fails("the first bytes of a JPEG", 9, REJECT_TRUNCATED, "JPEG: it ends after 9 bytes, inside a header");
    fails("a JPEG without its last bytes", load("sub2.jpg") - 2, REJECT_TRUNCATED, "JPEG: Premature end of input file");
    fails("half a progressive JPEG", load("progressive.jpg") * 3 / 4, REJECT_TRUNCATED, "JPEG: Premature end of input file");
    fails("half a PNG", load("rgba.png") / 2, REJECT_TRUNCATED, "PNG: the file ends before the picture does");
    fails("half a GIF", load("plain.gif") / 2, REJECT_TRUNCATED, "GIF: the file ends before the picture does");
    fails("half a WebP", load("lossy.webp") / 2, REJECT_TRUNCATED, "WebP: it ends after 118 bytes");
    size_t n = load("rgb.png");
    file[n - 20] ^= 1;
    fails("a PNG with a flipped bit", n, REJECT_CORRUPT, "PNG: IDAT: incorrect data check");
}

/* Where the frame header of a JPEG holds height and width, two bytes each. */
static uint8_t *jpeg_size(size_t n)
{
    for (size_t i = 0; i + 9 < n; i++)
        if (file[i] == 0xff && file[i + 1] == 0xc0)
            return file + i + 5;
    REQUIRE(false);
    return NULL;
}

TEST(image_refuses_sizes_before_decoding)
{
    size_t n = load("sub2.jpg");
    uint8_t *size = jpeg_size(n);
    memcpy(size, "\xea\x60\xea\x60", 4); /* 60000 */
    clock_t start = clock();
    fails("60000x60000", n, REJECT_TOO_LARGE, "60000x60000 pixels: 89478485 in all are the most that is read (data.max_pixels)");
    CHECK(clock() - start < CLOCKS_PER_SEC / 100);
    memcpy(size, "\xff\xff\x00\x01", 4);
    fails("1x65535", n, REJECT_TOO_LARGE, "1x65535 pixels: a side may have 65500 at most");
    memcpy(size, "\x00\x07\x02\xbd", 4);
    fails("701x7", n, REJECT_TOO_LARGE, "701x7 pixels: one side is more than 100 times the other");
    memcpy(size, "\x00\x00\x00\x10", 4);
    fails("16x0", n, REJECT_CORRUPT, "the header says 16x0 pixels");
    n = load("rgb.png");
    memcpy(file + 16, "\x00\x00\xea\x60\x00\x00\xea\x60", 8);
    fails("PNG 60000x60000", n, REJECT_TOO_LARGE, "60000x60000 pixels: 89478485 in all are the most that is read (data.max_pixels)");
}

static void damage_one(const char *name, int width, int height, const char *hex)
{
    (void)width, (void)height, (void)hex;
    static char damaged[ROOM];
    size_t n = load(name);
    /* Every cut is found; but the last byte of a GIF is only its trailer, and of two frames the second is not read. */
    size_t must_fail = strstr(name, "animated.gif") ? n / 2 : n - 1;
    for (uint32_t round = 0; round < n + 300; round++) {
        memcpy(damaged, file, n);
        size_t m = mutate(damaged, n, round);
        if (round >= n) /* most flips of the header are refused there: let the pixels have their share */
            memcpy(damaged, file, round % 2 ? 24 : 12);
        uint8_t *exact = mem_alloc(m); /* so that a sanitizer sees the end */
        REQUIRE(exact);
        memcpy(exact, damaged, m);
        Image im;
        Reject reject;
        Status s = image_decode(&im, exact, m, IMAGE_MAX_PIXELS, &reject);
        bool good = s ? s == ERR_DATA && reject : im.rgb != NULL;
        CHECK_MSG(good && (round >= must_fail || s), "%s, damage %u: status %d, reject %d: %s", name, round, (int)s, (int)reject,
                  s ? status_message() : "");
        if (!s)
            image_free(&im);
        mem_free(exact);
    }
}

TEST(image_survives_damage) { each_picture(damage_one); }

TEST(image_writes_ppm_and_jpeg)
{
    enum { W = 20, H = 12 };
    uint8_t rgb[W * H * 3];
    for (size_t i = 0; i < sizeof rgb; i++)
        rgb[i] = (uint8_t)(40 + i / 9);
    char path[512];
    snprintf(path, sizeof path, "%s/a.ppm", test_dir());
    REQUIRE_OK(image_write_ppm(path, rgb, W, H));
    FILE *f = fopen(path, "rb");
    size_t n = fread(file, 1, sizeof file, f);
    fclose(f);
    CHECK(n == 13 + sizeof rgb && !memcmp(file, "P6\n20 12\n255\n", 13) && !memcmp(file + 13, rgb, sizeof rgb));
    CHECK_FAILS(image_write_ppm("/no/such/folder/a.ppm", rgb, W, H), ERR_CREATE,
                "/no/such/folder/a.ppm: cannot create: No such file or directory");
    uint8_t *jpeg;
    Image im;
    Reject reject;
    REQUIRE_OK(image_encode_jpeg(rgb, W, H, 90, &jpeg, &n));
    REQUIRE_OK(image_decode(&im, jpeg, n, IMAGE_MAX_PIXELS, &reject));
    int worst = 0;
    for (size_t i = 0; i < sizeof rgb; i++)
        worst = im.rgb[i] > rgb[i] + worst ? im.rgb[i] - rgb[i] : rgb[i] > im.rgb[i] + worst ? rgb[i] - im.rgb[i] : worst;
    CHECK_MSG(worst <= 12, "a grey ramp comes back with an error of %d", worst);
    image_free(&im);
    mem_free(jpeg);
}
