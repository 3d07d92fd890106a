/* base64: the vectors of RFC 4648, and bytes of every value. */
#include "data/formats/base64.h"

#include <string.h>

#include "tests/harness.h"

static void check(const char *bytes, const char *wanted)
{
    char out[64] = {0};
    CHECK_INT(base64_length(strlen(bytes)), strlen(wanted));
    base64_encode(out, (const uint8_t *)bytes, strlen(bytes));
    CHECK_STR(out, wanted);
}

TEST(base64_of_the_rfc)
{
    check("", "");
    check("f", "Zg==");
    check("fo", "Zm8=");
    check("foo", "Zm9v");
    check("foob", "Zm9vYg==");
    check("fooba", "Zm9vYmE=");
    check("foobar", "Zm9vYmFy");
}

TEST(base64_of_every_letter)
{
    static const char LETTERS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t bytes[48] = {0};
    char out[65] = {0};
    for (unsigned i = 0; i < 64; i++) /* six bits each, the highest first */
        for (unsigned b = 0; b < 6; b++)
            bytes[(6 * i + b) / 8] |= (uint8_t)((i >> (5 - b) & 1) << (7 - (6 * i + b) % 8));
    base64_encode(out, bytes, sizeof bytes);
    CHECK_STR(out, LETTERS);
}

static void check_decoded(const char *letters, const char *wanted, size_t n_wanted)
{
    uint8_t out[64];
    size_t n;
    REQUIRE(base64_decode(out, &n, letters, strlen(letters)));
    CHECK(n == n_wanted && !memcmp(out, wanted, n));
}

TEST(base64_is_read_back)
{
    check_decoded("", "", 0);
    check_decoded("Zg==", "f", 1);
    check_decoded("Zm8=", "fo", 2);
    check_decoded("Zm9v", "foo", 3);
    check_decoded(" Zm9v\r\nYmFy\t", "foobar", 6);
    check_decoded("+/+/", "\xFB\xFF\xBF", 3);
}

TEST(base64_that_is_none_is_refused)
{
    static const char *const BAD[] = {"Z", "Zg", "Zg=", "Z===", "=AAA", "Zg=a", "Zg==Zg", "Zm9*", "Zm-_"};
    uint8_t out[64];
    size_t n;
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        CHECK_MSG(!base64_decode(out, &n, BAD[i], strlen(BAD[i])), "%s is read", BAD[i]);
    CHECK(!base64_decode(out, &n, "Zm\0v", 4));
}
