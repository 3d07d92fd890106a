/* sent_picture: own bytes or a smaller JPEG, and what cannot be sent. */
#include "data/curate/sent_picture.h"

#include <stdio.h>
#include <stdlib.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"
#include "tests/harness.h"

/* A gradient as a JPEG in test_dir(). */
static const char *draw(const char *name, int32_t width, int32_t height)
{
    char path[512];
    uint8_t *rgb = mem_alloc((size_t)width * (size_t)height * 3), *bytes;
    size_t n;
    REQUIRE(rgb);
    for (int32_t y = 0; y < height; y++)
        for (int32_t x = 0; x < width; x++) {
            uint8_t *p = rgb + 3 * ((size_t)y * (size_t)width + (size_t)x);
            p[0] = (uint8_t)(255 * x / width);
            p[1] = (uint8_t)(255 * y / height);
            p[2] = 100;
        }
    REQUIRE_OK(image_encode_jpeg(rgb, width, height, 95, &bytes, &n));
    snprintf(path, sizeof path, "%s/%s", test_dir(), name);
    REQUIRE_OK(file_write(path, bytes, n));
    mem_free(rgb);
    mem_free(bytes);
    return name;
}

static void check_size(const char *name, int32_t max_side, int32_t width, int32_t height)
{
    SentPicture p = {.n = 0};
    Image im;
    Reject why;
    REQUIRE_OK(sent_picture_load(&p, test_dir(), name, max_side));
    CHECK_STR(p.mime, "image/jpeg");
    REQUIRE_OK(image_decode(&im, p.bytes, p.n, IMAGE_MAX_PIXELS, &why));
    CHECK_INT(im.width, width);
    CHECK_INT(im.height, height);
    const uint8_t *right = im.rgb + 3 * ((size_t)im.width * ((size_t)im.height / 2) + (size_t)im.width * 9 / 10); /* it shows the same */
    CHECK_MSG(abs(right[0] - 229) < 12 && abs(right[1] - 127) < 12 && abs(right[2] - 100) < 12, "%s at 9/10: %d %d %d", name, right[0],
              right[1], right[2]);
    image_free(&im);
    sent_picture_free(&p);
}

TEST(sent_picture_sizes)
{
    draw("wide.jpg", 300, 201);
    draw("tall.jpg", 151, 1000);
    check_size("wide.jpg", 300, 300, 201);
    check_size("wide.jpg", 299, 299, 200); /* 200.33 */
    check_size("wide.jpg", 100, 100, 67);
    check_size("wide.jpg", 150, 150, 101); /* 100.5 */
    check_size("tall.jpg", 768, 116, 768); /* 115.97 */
}

TEST(sent_picture_of_other_kinds)
{
    static const struct {
        const char *file, *mime;
    } CASES[] = {
        {"rgb.png", "image/png"},   {"lossy.webp", "image/webp"}, {"plain.gif", "image/gif"}, {"gif_named.jpg", "image/gif"},
        {"cmyk.jpg", "image/jpeg"},
    };
    SentPicture p = {.n = 0};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char path[512], *bytes;
        size_t n;
        snprintf(path, sizeof path, "tests/fixtures/images/%s", CASES[i].file);
        REQUIRE_OK(file_read(&bytes, &n, path, 1 << 20));
        REQUIRE_OK(sent_picture_load(&p, "tests/fixtures/images", CASES[i].file, 768));
        CHECK_STR(p.mime, CASES[i].mime);
        CHECK(p.n == n && !memcmp(p.bytes, bytes, n));
        mem_free(bytes);
        REQUIRE_OK(sent_picture_load(&p, "tests/fixtures/images", CASES[i].file, 5));
        CHECK_STR(p.mime, "image/jpeg");
        CHECK(image_identify(p.bytes, p.n) == IMAGE_JPEG);
    }
    CHECK_FAILS(sent_picture_load(&p, "tests/fixtures/images", "make.py", 768), ERR_DATA,
                "picture make.py: its first bytes are not those of a JPEG, PNG, WebP or GIF picture");
    CHECK(sent_picture_load(&p, "tests/fixtures/images", "none.jpg", 768) == ERR_MISSING);
    CHECK(sent_picture_load(&p, "tests/fixtures/images", "../unicode.txt", 768) == ERR_DATA);
    sent_picture_free(&p);
}
