/* prepare --export: the rows of the shards as unified lines, and the same shards from them. */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/json.h"
#include "data/shards/shard_layout.h"
#include "data/shards/shard_set.h"
#include "kernels/base/arena.h"
#include "tests/data/prepare/world.h"
#include "tests/harness.h"

#define PICTURE(path, role) "{\"path\":\"" path "\",\"role\":\"" role "\"}"
#define HUMAN(text) "{\"from\":\"human\",\"value\":\"" text "\"}"
#define GPT(text) "{\"from\":\"gpt\",\"value\":\"" text "\"}"

/* Rows with everything that a unified row can say, some of them cut, and rows that the shards do not hold. */
static void make_rich(void)
{
    world_put_text("rich.jsonl",
                   "{\"uid\":\"rich/edit\",\"source\":\"elsewhere\",\"task\":\"edit\",\"split\":\"val\",\"images\":["
                   PICTURE("images/good.jpg", "input") "," PICTURE("images/turned.jpg", "target") ","
                   PICTURE("images/gif.jpg", "mask") "],\"turns\":[" HUMAN("<image>\\nMake it \\\"red\\\" \\u00fc\\ud83d\\ude00.") ","
                   GPT("Sure: <gen>") "],\"sd\":{\"prompt\":\"a red thing\",\"src_prompt\":\"a thing\",\"instruction\":\"red\"},"
                   "\"scores\":{\"clip\":0.1,\"n\":3},\"prov\":{\"file\":\"f.json\",\"index\":7,\"license\":\"cc0\",\"curator\":\"c\","
                   "\"model\":\"m\",\"template\":\"t\",\"request\":\"q\"},\"weight\":0.3}\n"
                   "{\"uid\":\"rich/talk\",\"system\":\"Be brief.\",\"images\":[" PICTURE("images/renamed.jpg", "input") "],\"turns\":["
                   GPT("Hello") "," HUMAN("Look: <image>\\n") "," GPT("Yes.") "," HUMAN("And\\u0000now?") "," GPT("Zeros stay.")
                   "]}\n"
                   "{\"uid\":\"rich/long\",\"turns\":[" HUMAN("Say it") "," GPT("One. Two. Three. Four. Five. Six.") "," HUMAN("More")
                   "," GPT("Seven. Eight. Nine. Ten. Eleven. Twelve. Thirteen. Fourteen. Fifteen. Sixteen. Seventeen. Eighteen.") "]}\n"
                   "{\"uid\":\"rich/gone\",\"images\":[" PICTURE("gone.jpg", "input") "],\"turns\":[" HUMAN("<image>") "," GPT("x")
                   "]}\n"
                   "{\"uid\":\"rich/drawn\",\"task\":\"generate\",\"images\":[" PICTURE("images/inside.jpg", "target")
                   "],\"turns\":[" HUMAN("Draw") "," GPT("<gen>") "],\"sd\":{\"prompt\":\"a drawing\"},\"weight\":0}\n");
}

static const char ALL[] = "[{\"name\":\"legacy\",\"files\":[\"rows.json\"],\"image_root\":\"images\","
                          "\"license\":\"cc-by-4.0\",\"weight\":3},"
                          "{\"name\":\"rich\",\"files\":[\"rich.jsonl\"],\"weight\":0}]";

static void open_all(World *w, const char *out)
{
    World quirks;
    world_quirks(&quirks, "unused");
    world_close(&quirks);
    make_rich();
    world_open(w, ALL, out);
    w->o.encoder.max_tokens = 100;
}

/* Everything but what tells where a row came from and how it was written. */
static void same_shards(const char *a, const char *b)
{
    static const char *const OWN[] = {"/sample/source", "/sample/record", "/text/off"};
    ShardSet x, y;
    REQUIRE_OK(shards_open(&x, a, 1003, 0));
    REQUIRE_OK(shards_open(&y, b, 1003, 0));
    REQUIRE(x.n == y.n);
    for (int64_t k = 0; k < x.n; k++) {
        int own = 0;
        for (int i = 0; i < N_SHARD_ARRAYS; i++) {
            const ShardArray *array = &SHARD_ARRAYS[i];
            bool differs = false;
            for (int o = 0; o < 3; o++)
                differs |= !strcmp(array->name, OWN[o]);
            own += differs;
            const HdfArray p = shard_array(array, &x.shards[k]->attr), q = shard_array(array, &y.shards[k]->attr);
            const void *const *at = (const void *const *)(const void *)((const char *)x.shards[k] + array->member),
                              *const *to = (const void *const *)(const void *)((const char *)y.shards[k] + array->member);
            CHECK_MSG(differs || (p.rows == q.rows && !memcmp(*at, *to, p.rows * p.columns * hdf_type_size(p.type))), "%s differs",
                      array->name);
        }
        CHECK_INT(own, 3);
    }
    shards_close(&x);
    shards_close(&y);
}

/* What the shards hold, and pictures found under another ending or by a link; absolute paths lie inside "/". */
TEST(prepare_export_read_back_makes_the_same_shards)
{
    World w, back;
    PrepareResult made, exported, again;
    open_all(&w, "out");
    REQUIRE_OK(prepare_run(&w.o, &made));
    REQUIRE_OK(prepare_export(&w.o, world_path("export.jsonl"), &exported));
    CHECK(made.good == 12 && exported.good == made.good && exported.bad == made.bad && exported.cut_rows == made.cut_rows);
    CHECK(made.cut_rows == 1);
    world_close(&w);
    world_open(&back, "[{\"files\":[\"export.jsonl\"],\"image_root\":\"/\"}]", "back");
    back.o.encoder.max_tokens = 100;
    back.o.strict = true;
    REQUIRE_OK(prepare_run(&back.o, &again));
    CHECK(again.good == made.good && again.images == made.images && again.cut_tokens == made.cut_tokens);
    same_shards(world_path("out"), world_path("back"));
    REQUIRE_OK(prepare_export(&back.o, world_path("twice.jsonl"), &again));
    world_close(&back);
    char *once, *twice;
    size_t n_once, n_twice;
    REQUIRE_OK(file_read(&once, &n_once, world_path("export.jsonl"), 1 << 24));
    REQUIRE_OK(file_read(&twice, &n_twice, world_path("twice.jsonl"), 1 << 24));
    CHECK(n_once == n_twice && !memcmp(once, twice, n_once));
    mem_free(once);
    mem_free(twice);
}

/* A line by its uid: the document. */
static JsonDoc *line_of(const char *path, const char *uid)
{
    char *text;
    size_t n;
    JsonDoc *found = NULL;
    REQUIRE_OK(file_read(&text, &n, path, 1 << 24));
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        JsonDoc *doc;
        REQUIRE_OK(json_parse(&doc, line, (size_t)(end - line), "line"));
        if (!strcmp(json_get(json_root(doc), "uid")->string, uid))
            found = doc;
        else
            json_free(&doc);
    }
    mem_free(text);
    REQUIRE(found != NULL);
    return found;
}

TEST(prepare_export_writes_texts_as_they_stand_and_all_that_a_row_says)
{
    World w;
    PrepareResult r;
    open_all(&w, "out");
    REQUIRE_OK(prepare_export(&w.o, world_path("export.jsonl"), &r));
    JsonDoc *doc = line_of(world_path("export.jsonl"), "rich/long");
    const Json *turns = json_get(json_root(doc), "turns");
    CHECK_INT(turns->length, 4); /* also what the encoder cuts */
    json_free(&doc);
    doc = line_of(world_path("export.jsonl"), "rich/talk");
    turns = json_get(json_root(doc), "turns");
    CHECK_INT(turns->length, 5);
    CHECK_STR(json_get(json_root(doc), "system")->string, "Be brief.");
    CHECK_INT(json_get(turns->child->next->next->next, "value")->length, 8);
    json_free(&doc);
    doc = line_of(world_path("export.jsonl"), "rich/edit");
    const Json *row = json_root(doc), *mask = json_get(row, "images")->child->next->next, *prov = json_get(row, "prov");
    CHECK_STR(json_get(row, "source")->string, "elsewhere");
    CHECK_STR(json_get(row, "split")->string, "val");
    CHECK_STR(json_get(mask, "role")->string, "mask");
    CHECK_STR(json_get(mask, "path")->string, world_path("images/gif.jpg"));
    CHECK(json_get(row, "weight")->real == (double)0.3f && json_get(json_get(row, "scores"), "clip")->real == 0.1);
    CHECK_STR(json_get(prov, "request")->string, "q");
    CHECK_INT(json_get(prov, "index")->integer, 7);
    CHECK_STR(json_get(json_get(row, "sd"), "src_prompt")->string, "a thing");
    json_free(&doc);
    doc = line_of(world_path("export.jsonl"), "legacy/13#1");
    CHECK_STR(json_get(json_get(json_root(doc), "prov"), "license")->string, "cc-by-4.0");
    json_free(&doc);
    world_close(&w);
}

TEST(prepare_export_gives_the_same_bytes_with_any_number_of_jobs)
{
    char *text[3];
    size_t n[3];
    World w;
    open_all(&w, "out");
    for (int i = 0; i < 3; i++) {
        PrepareResult r;
        w.o.jobs = i + 1;
        REQUIRE_OK(prepare_export(&w.o, world_path("export.jsonl"), &r));
        REQUIRE_OK(file_read(&text[i], &n[i], world_path("export.jsonl"), 1 << 24));
        CHECK(n[0] == n[i] && !memcmp(text[0], text[i], n[0]));
    }
    for (int i = 0; i < 3; i++)
        mem_free(text[i]);
    world_close(&w);
}

/* What is refused leaves the file that was there. */
TEST(prepare_export_that_fails_leaves_the_old_file)
{
    World w;
    PrepareResult r;
    char *text;
    size_t n;
    open_all(&w, "out");
    world_put_text("export.jsonl", "old");
    w.o.strict = true;
    CHECK_INT(prepare_export(&w.o, world_path("export.jsonl"), &r), ERR_DATA);
    REQUIRE_OK(file_read(&text, &n, world_path("export.jsonl"), 100));
    CHECK_STR(text, "old");
    mem_free(text);
    CHECK_INT(prepare_export(&w.o, world_path("no/export.jsonl"), &r), ERR_CREATE);
    CHECK(access(world_path("no"), F_OK) != 0);
    world_close(&w);
}
