/* Weights in several safetensors files: where one ends, the index, one file without index, pieces across files, what is missing. */
#include "data/formats/st_shards.h"

#include <stdio.h>
#include <sys/stat.h>

#include "data/formats/file.h"
#include "data/formats/json.h"
#include "tests/harness.h"

static const StSpec SPECS[] = {{"a", F16, 1, {4}},    {"b", U8, 2, {2, 3}}, {"none", F32, 1, {0}},
                               {"large", F32, 1, {9}}, {"c", U8, 1, {5}},    {"d", BF16, 0, {0}}};
enum { N = sizeof SPECS / sizeof *SPECS, BYTES = 8 + 6 + 36 + 5 + 2 };

static const char *path_of(const char *name)
{
    static char path[4096];
    return file_join(path, test_dir(), name);
}

/* Writes bytes 0, 1, 2… in pieces of that size. */
static void write_shards(uint64_t most, size_t piece)
{
    StShards *w;
    uint8_t bytes[BYTES];
    for (int i = 0; i < BYTES; i++)
        bytes[i] = (uint8_t)i;
    REQUIRE_OK(st_shards_open(&w, test_dir(), "model", SPECS, N, most));
    for (size_t at = 0; at < BYTES; at += piece)
        REQUIRE_OK(st_shards_write(w, bytes + at, piece < BYTES - at ? piece : BYTES - at));
    REQUIRE_OK(st_shards_close(&w));
    CHECK(!w);
}

static void check_read_back(void)
{
    SafeTensors *st;
    uint8_t next = 0;
    REQUIRE_OK(safetensors_open_folder(&st, test_dir(), "model"));
    CHECK_INT(safetensors_count(st), N);
    for (int i = 0; i < N; i++) {
        const StTensor *t = safetensors_find(st, SPECS[i].name);
        REQUIRE(t && t->type == SPECS[i].type);
        for (size_t k = 0; k < t->n_bytes; k++)
            CHECK_INT(((const uint8_t *)t->data)[k], next++);
    }
    CHECK_INT(next, BYTES);
    safetensors_close(&st);
}

TEST(st_shards_end_before_the_limit)
{
    for (size_t piece = 1; piece <= BYTES; piece += 7) {
        write_shards(14, piece);
        CHECK(!file_exists(path_of("model.safetensors")));
        check_read_back();
    }
    JsonDoc *doc;
    REQUIRE_OK(json_read_file(&doc, path_of("model.safetensors.index.json")));
    const Json *map = json_get(json_root(doc), "weight_map");
    CHECK_INT(json_get(json_get(json_root(doc), "metadata"), "total_size")->integer, BYTES);
    CHECK_STR(json_get(map, "a")->string, "model-00001-of-00003.safetensors");
    CHECK_STR(json_get(map, "none")->string, "model-00001-of-00003.safetensors");
    CHECK_STR(json_get(map, "large")->string, "model-00002-of-00003.safetensors");
    CHECK_STR(json_get(map, "d")->string, "model-00003-of-00003.safetensors");
    json_free(&doc);
}

TEST(st_shards_of_one_file_need_no_index)
{
    write_shards(BYTES, 3);
    CHECK(file_exists(path_of("model.safetensors")) && !file_exists(path_of("model.safetensors.index.json")));
    check_read_back();
}

TEST(st_shards_report_what_is_missing)
{
    StShards *w;
    char wanted[1024];
    REQUIRE_OK(st_shards_open(&w, test_dir(), "model", SPECS, N, 14));
    CHECK_OK(st_shards_write(w, "0123456789abcde", 15));
    snprintf(wanted, sizeof wanted, "%s: data came for 2 of 3 files of weights", test_dir());
    CHECK_FAILS(st_shards_close(&w), ERR_INTERNAL, wanted);
    CHECK(!w);
    snprintf(wanted, sizeof wanted, "%s: cannot be created: No such file or directory", path_of("no/model-00001-of-00003.safetensors"));
    CHECK_FAILS(st_shards_open(&w, path_of("no"), "model", SPECS, N, 14), ERR_CREATE, wanted);
    CHECK(!w);
}
