/* data/formats/sha256.h: HMAC against RFC 4231. */
#include "data/formats/sha256.h"

#include <string.h>

#include "tests/harness.h"

TEST(sha256_hmac_gives_what_rfc_4231_says)
{
    static const char *const CASES[][3] = {
        /* test cases 2 and 6 */
        {"Jefe", "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {NULL, "Test Using Larger Than Block-Size Key - Hash Key First",
         "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
    };
    char large[131], hex[65];
    uint8_t digest[32];
    memset(large, 0xaa, sizeof large);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        const char *key = CASES[i][0];
        sha256_hmac(key ? key : large, key ? strlen(key) : sizeof large, CASES[i][1], strlen(CASES[i][1]), digest);
        sha256_hex(digest, hex);
        CHECK_STR(hex, CASES[i][2]);
    }
}
