/* tensorboard.h: the frames and the events inside, decoded by hand. (TensorBoard's own EventAccumulator reads these files: make parity.) */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>

#include "data/formats/crc32c.h"
#include "data/formats/file.h"
#include "kernels/base/arena.h"
#include "tests/harness.h"
#include "train/log/runlog.h"
#include "train/log/tensorboard.h"

static char found[PATH_MAX];

static Status note(void *folder, const char *name)
{
    file_join(found, folder, name);
    return OK;
}

static uint32_t unmask(uint32_t masked)
{
    uint32_t rotated = masked - 0xa282ead8u;
    return (rotated >> 17) | (rotated << 15);
}

/* Checks the frame at *at and returns its data; moves on. */
static const unsigned char *frame(const char *bytes, size_t n, size_t *at, size_t *length)
{
    uint64_t len;
    uint32_t head, tail;
    REQUIRE(*at + 12 <= n);
    memcpy(&len, bytes + *at, 8);
    memcpy(&head, bytes + *at + 8, 4);
    REQUIRE(unmask(head) == crc32c_portable(bytes + *at, 8));
    REQUIRE(*at + 12 + len + 4 <= n);
    memcpy(&tail, bytes + *at + 12 + len, 4);
    REQUIRE(unmask(tail) == crc32c_portable(bytes + *at + 12, len));
    const unsigned char *data = (const unsigned char *)bytes + *at + 12;
    *at += 16 + len;
    *length = len;
    return data;
}

TEST(tensorboard_events)
{
    char folder[PATH_MAX], *bytes;
    size_t n, at = 0, len;
    TensorBoard *t;
    file_join(folder, test_dir(), "tb");
    REQUIRE_OK(tensorboard_open(&t, folder, 7));
    REQUIRE_OK(tensorboard_scalar(t, "loss/all", 300, 1.5));
    tensorboard_close(&t);
    REQUIRE_OK(file_list(folder, note, folder));
    CHECK(strstr(found, "/events.out.tfevents."));
    REQUIRE_OK(file_read(&bytes, &n, found, 1 << 20));
    const unsigned char *e = frame(bytes, n, &at, &len);
    CHECK(len == 9 + 2 + 15 && !memcmp(e + 9,
                                       "\x10\0\x1a\x0d"
                                       "brain.Event:2",
                                       17));
    e = frame(bytes, n, &at, &len); /* session start at step 7 */
    CHECK(len == 9 + 2 + 4 && !memcmp(e + 9, "\x10\x07\x3a\x02\x08\x01", 6));
    e = frame(bytes, n, &at, &len);
    static const unsigned char WANTED[] = "\x10\xac\x02\x2a\x11\x0a\x0f\x0a\x08loss/all\x15\0\0\xc0\x3f";
    CHECK(len == 9 + sizeof WANTED - 1 && !memcmp(e + 9, WANTED, sizeof WANTED - 1));
    CHECK(at == n);
    mem_free(bytes);
}

TEST(tensorboard_pictures)
{
    static const char PNG[300] = "\x89PNG";
    char folder[PATH_MAX], *bytes;
    size_t n, at = 0, len;
    TensorBoard *t;
    file_join(folder, test_dir(), "tb");
    REQUIRE_OK(tensorboard_open(&t, folder, 7));
    REQUIRE_OK(tensorboard_image(t, "samples/000000", 9, 64, 20, PNG, sizeof PNG));
    tensorboard_close(&t);
    REQUIRE_OK(file_list(folder, note, folder));
    REQUIRE_OK(file_read(&bytes, &n, found, 1 << 20));
    frame(bytes, n, &at, &len);
    frame(bytes, n, &at, &len);
    const unsigned char *e = frame(bytes, n, &at, &len);
    /* summary of 331 bytes { value of 328 { tag, image of 309 { height 20, width 64, 3 colours, 300 bytes } } } */
    static const unsigned char WANTED[] =
        "\x10\x09\x2a\xcb\x02\x0a\xc8\x02\x0a\x0esamples/000000\x22\xb5\x02\x08\x14\x10\x40\x18\x03\x22\xac\x02";
    CHECK(len == 9 + sizeof WANTED - 1 + sizeof PNG && !memcmp(e + 9, WANTED, sizeof WANTED - 1));
    CHECK(!memcmp(e + len - sizeof PNG, PNG, sizeof PNG) && at == n);
    mem_free(bytes);
}

/* Of the event's data: its field 2. The time before it takes 9 bytes. */
static int step_of_event(const unsigned char *e) { return e[9] == 0x10 ? e[10] : -1; }

TEST(tensorboard_steps_are_finished_updates)
{
    RunConfig cfg = {.log = {.every = 1, .tensorboard = true}};
    char folder[PATH_MAX], *bytes;
    size_t n, at = 0, len;
    RunLog *log;
    REQUIRE_OK(runlog_open(&log, test_dir(), &cfg, 3, 9));
    REQUIRE_OK(runlog_step(log, &(StepRecord){.step = 4, .losses = {.total = 1}}));
    runlog_close(&log);
    file_join(folder, test_dir(), "tb");
    REQUIRE_OK(file_list(folder, note, folder));
    REQUIRE_OK(file_read(&bytes, &n, found, 1 << 20));
    frame(bytes, n, &at, &len);
    CHECK_INT(step_of_event(frame(bytes, n, &at, &len)), 4); /* from here on earlier files are void */
    while (at < n)
        CHECK_INT(step_of_event(frame(bytes, n, &at, &len)), 4);
    mem_free(bytes);
}
