/* shard.c: shards that somebody made: the input is what lies below the seal of a shard, and it is sealed again. All that a shard gives is
 * then read. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/kinds.h"
#include "data/shards/shard_set.h"
#include "data/shards/shard_writer.h"
#include "kernels/base/arena.h"
#include "tests/fuzz/fuzz.h"

/* Where the images of tests/fuzz/run.sh's shard lie. */
enum { IMAGE_OFFSET = 2560 };

static void read_all(const Shard *s)
{
    for (int64_t i = 0; i < s->attr.n_samples && i < 8; i++) {
        char *text;
        size_t n;
        Status r = shard_text(s, i, &text, &n);
        fuzz_check(r);
        if (!r)
            mem_free(text);
        for (uint64_t t = s->tok_off[i]; t < s->tok_off[i + 1]; t++)
            if (s->id[t] != ID_IMAGE && (s->id[t] < 0 || s->id[t] >= s->n_ids))
                abort();
    }
    for (int64_t i = 0; i < s->attr.n_images && i < 8; i++) {
        uint8_t *image = mem_alloc(s->image_off[i + 1] - s->image_off[i]);
        fuzz_check(shard_image(s, i, image));
        mem_free(image);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const uint8_t seal[SEAL_BYTES] = {0};
    Shard *s;
    ShardSet set;
    uint64_t image_bytes = 0;
    if (n < 2)
        return 0;
    memcpy(&image_bytes, data, 2); /* the first two bytes say how many bytes are images, the rest is the file after its seal */
    data += 2;
    n -= 2;
    const char *path = fuzz_path("shard-00000-of-00001.h5");
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, seal, sizeof seal) != sizeof seal || write(fd, data, n) != (ssize_t)n)
        abort();
    const uint64_t room = n + SEAL_BYTES > IMAGE_OFFSET ? n + SEAL_BYTES - IMAGE_OFFSET : 0;
    image_bytes = image_bytes < room ? image_bytes : room;
    fuzz_require(shard_seal(fd, path, image_bytes ? IMAGE_OFFSET : 0, image_bytes));
    close(fd);
    Status r = shard_open(&s, path);
    fuzz_check(r);
    if (r)
        return 0;
    read_all(s);
    shard_close(&s);
    r = shards_open(&set, fuzz_path(""), 1000, 0);
    fuzz_check(r);
    if (!r)
        shards_close(&set);
    return 0;
}
