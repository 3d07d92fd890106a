/* prepare: which rows are left out and why, and what is stored of the others. */
#include "data/prepare/prepare.h"

#include <sys/stat.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/json.h"
#include "data/shards/shard_set.h"
#include "kernels/base/arena.h"
#include "tests/data/prepare/world.h"
#include "tests/harness.h"

TEST(prepare_leaves_out_what_cannot_be_used_and_says_why)
{
    World w;
    world_quirks(&w, "out");
    const char *report = world_path("report.json");
    w.o.report = report;
    PrepareResult r;
    REQUIRE_OK(prepare_run(&w.o, &r));
    CHECK(r.good == 10 && r.bad == 14 && r.shards == 3);
    static const struct {
        int row;
        const char *file, *id, *path, *reason;
    } WANTED[] = {
        {4, "rows.json", "4", "gone.jpg", "missing"},
        {5, "rows.json", "5", "empty.jpg", "corrupt"},
        {6, "rows.json", "6", "words.jpg", "corrupt"},
        {7, "rows.json", "7", "half.jpg", "truncated"},
        {8, "rows.json", "8", "link.jpg", "outside_root"},
        {9, "rows.json", "9", "../elsewhere/secret.jpg", "outside_root"},
        {10, "rows.json", "10", "/etc/passwd", "outside_root"},
        {15, "rows.json", "15", "", "no_trained_tokens"},
        {16, "rows.json", "16", "", "marker_mismatch"},
        {17, "rows.json", "17", "", "marker_mismatch"},
        {18, "rows.json", "18", "", "bad_turns"},
        {19, "rows.json", "19", "gone.jpg", "missing"},
        {1, "rows.jsonl", "a", "", "dup"},
        {2, "rows.jsonl", "", "", "bad_json"},
    };
    JsonDoc *doc;
    REQUIRE_OK(json_read_file(&doc, report));
    const Json *root = json_root(doc), *row = json_get(root, "bad_rows")->child;
    CHECK_STR(json_get(root, "schema")->string, "genllava.report/1");
    CHECK_INT(json_get(root, "good")->integer, 10);
    for (size_t i = 0; i < sizeof WANTED / sizeof *WANTED; i++, row = row->next) {
        REQUIRE(row != NULL);
        CHECK_INT(json_get(row, "row")->integer, WANTED[i].row);
        CHECK_STR(json_get(row, "file")->string, world_path(WANTED[i].file));
        CHECK_STR(json_get(row, "path")->string, WANTED[i].path);
        CHECK_STR(json_get(row, "reason")->string, WANTED[i].reason);
        CHECK(json_get(row, "message")->length > 5);
        if (strcmp(WANTED[i].reason, "dup"))
            CHECK_STR(json_get(row, "id")->string, WANTED[i].id);
    }
    CHECK(row == NULL);
    json_free(&doc);
    world_close(&w);
}

/* One row that draws or edits: task, more members, images, question, answer. */
#define DRAWS(uid, task, more, images, question, answer)                                                                         \
    "{\"uid\":\"" uid "\",\"task\":\"" task "\"," more "\"images\":[" images "],\"turns\":[{\"from\":\"human\",\"value\":\"" question  \
    "\"},{\"from\":\"gpt\",\"value\":\"" answer "\"}]}\n"
#define SHOWN(path, role) "{\"path\":\"" path "\",\"role\":\"" role "\"}"
#define SAYS "\"sd\":{\"prompt\":\"a thing\"},"

/* What rows that draw or edit lack is named and counted; of the last four one has nothing to draw, the second and the last are fine only
 * where no loss needs their prompts. */
static const char DRAWING[] = DRAWS("0", "generate", SAYS, SHOWN("gone.jpg", "target"), "Draw", "<gen>")
    DRAWS("1", "generate", SAYS, SHOWN("half.jpg", "target"), "Draw", "<gen>")
        DRAWS("2", "edit", "", SHOWN("gone.jpg", "input") "," SHOWN("good.jpg", "target"), "<image>", "<gen>")
            DRAWS("3", "edit", "", SHOWN("good.jpg", "target"), "Turn it", "<gen>")
                DRAWS("4", "generate", SAYS, SHOWN("good.jpg", "target"), "Draw", "<gen> <gen>")
                    DRAWS("5", "generate", SAYS, SHOWN("good.jpg", "target") "," SHOWN("good.jpg", "target"), "Draw", "<gen>")
                        DRAWS("6", "generate", SAYS, SHOWN("good.jpg", "target"), "Draw", "red red red red red red red red red red <gen>")
                            DRAWS("7", "generate", SAYS, SHOWN("good.jpg", "target"), "Draw", "<gen>")
                                DRAWS("8", "edit", "", SHOWN("good.jpg", "input") "," SHOWN("gif.jpg", "target"), "<image>", "<gen>")
                                    DRAWS("9", "generate", "", "", "Draw", "No.") DRAWS(
                                        "10", "generate", "\"sd\":{\"instruction\":\"no\"},", SHOWN("good.jpg", "target"), "Draw", "<gen>");

TEST(prepare_names_what_rows_that_draw_lack)
{
    static const struct {
        const char *reason, *message;
    } WANTED[] = {
        {"missing", "there is no such file in "},
        {"truncated", ""},
        {"missing", "there is no such file in "},
        {"marker_mismatch", "task edit, and no input image: there is nothing to edit (an image of role input, <image> in a human turn)"},
        {"marker_mismatch", "2 <gen> markers in gpt turns, 1 target image"},
        {"marker_mismatch", "1 <gen> marker in gpt turns, 2 target images"},
        {"too_long", "28 tokens, data.max_tokens is 23, and the cut would go through [IMG] tokens"},
        {"no_prompt", "task edit, and no words in \"sd\": {\"prompt\": text}, \"instruction\" there or the question: loss.edit compares "
                      "with what the text encoder makes of the first of them (\"noise\" needs none)"},
        {"marker_mismatch", "task generate, and no picture to draw (an image of role target, <gen> in an answer)"},
        {"no_prompt", "task generate without \"sd\": {\"prompt\": text}: loss.generate compares with what the text encoder makes of it "
                      "(\"noise\" needs none)"},
    };
    World w;
    world_quirks(&w, "out");
    mixture_free(&w.mixture);
    world_put_text("drawing.jsonl", DRAWING);
    world_open(&w, "[{\"name\":\"drawing\",\"files\":[\"drawing.jsonl\"],\"image_root\":\"images\"}]", "out");
    const char *report = world_path("report.json");
    w.o.report = report;
    w.o.encoder.max_tokens = 23;
    for (int prompts = 0; prompts < 2; prompts++) {
        PrepareResult r;
        JsonDoc *doc;
        const int lack = 2 * prompts;
        w.o.prompts[TASK_GENERATE] = w.o.prompts[TASK_EDIT] = prompts;
        REQUIRE_OK(prepare_run(&w.o, &r));
        CHECK(r.good == 3 - lack && r.bad == 8 + lack);
        REQUIRE_OK(json_read_file(&doc, report));
        const Json *row = json_get(json_root(doc), "bad_rows")->child;
        for (int i = 0; i < 8 + lack; i++, row = row->next) {
            const int k = i < 7 || prompts ? i : i + 1;
            REQUIRE(row != NULL);
            CHECK_STR(json_get(row, "reason")->string, WANTED[k].reason);
            CHECK_MSG(strstr(json_get(row, "message")->string, WANTED[k].message) != NULL, "%s", json_get(row, "message")->string);
        }
        json_free(&doc);
    }
    world_close(&w);
}

TEST(prepare_takes_paths_that_come_back_into_the_root)
{
    mkdir(world_path("images"), 0777);
    mkdir(world_path("images/sub"), 0777);
    mkdir(world_path("elsewhere"), 0777);
    world_copy_picture("rgb.jpg", "images/good.jpg", SIZE_MAX);
    world_copy_picture("rgb.jpg", "elsewhere/secret.jpg", SIZE_MAX);
    REQUIRE(!symlink("../elsewhere", world_path("images/away")));
    world_put_text("rows.json", "[" SEEN("0", "sub/../good.jpg") "," SEEN("1", "./sub/.././/good.jpg") "," SEEN("2", "none/../good.jpg") ","
                          SEEN("3", "sub/../../elsewhere/secret.jpg") "," SEEN("4", "./../images/good.jpg") ","
                          SEEN("5", "away/../elsewhere/secret.jpg") "," SEEN("6", "sub/..") "]");
    World w;
    world_open(&w, "[{\"name\":\"legacy\",\"files\":[\"rows.json\"],\"image_root\":\"images\"}]", "out");
    const char *report = world_path("report.json");
    w.o.report = report;
    PrepareResult r;
    REQUIRE_OK(prepare_run(&w.o, &r));
    CHECK_INT(r.good, 2);
    static const char *const WANTED[] = {"missing", "outside_root", "outside_root", "outside_root", "missing"};
    JsonDoc *doc;
    REQUIRE_OK(json_read_file(&doc, report));
    const Json *row = json_get(json_root(doc), "bad_rows")->child;
    for (int i = 0; i < 5; i++, row = row->next) {
        REQUIRE(row != NULL);
        CHECK_INT(json_get(row, "row")->integer, i + 2);
        CHECK_STR(json_get(row, "reason")->string, WANTED[i]);
    }
    json_free(&doc);
    world_close(&w);
}

TEST(prepare_stores_each_picture_once_and_numbers_records_in_file_order)
{
    World w;
    world_quirks(&w, "out");
    PrepareResult r;
    REQUIRE_OK(prepare_run(&w.o, &r));
    CHECK_INT(r.images, 4);
    static const uint32_t RECORDS[] = {0, 1, 2, 3, 11, 12, 13, 14, 20, 23};
    static const uint32_t IMAGES[] = {3, 1, 0}; /* good = again = inside, gif, png | turned | none that is not stored already */
    static const uint32_t REFS[][2] = {{0, 0}, {0, 1}, {0, 2}, {0, 0}, {0, 0}, {0, 0}, {1, 0}, {0, 0}}; /* shard, image */
    ShardSet set;
    int64_t at = 0, ref = 0;
    REQUIRE_OK(shards_open(&set, w.out, 1003, 0));
    CHECK(set.n == 3 && set.index.n_images == 4);
    for (int k = 0; k < 3; k++) {
        const Shard *s = set.shards[k];
        CHECK_INT(s->attr.n_images, IMAGES[k]);
        for (int64_t i = 0; i < s->attr.n_samples; i++)
            CHECK_INT(s->record[i], RECORDS[at++]);
        for (int64_t i = 0; i < s->attr.n_refs; i++, ref++)
            CHECK(s->ref_shard[i] == REFS[ref][0] && s->ref_image[i] == REFS[ref][1]);
    }
    CHECK(at == 10 && ref == 8);
    const Shard *s = set.shards[0];
    CHECK(s->image_fmt[0] == IMAGE_JPEG && s->image_fmt[1] == IMAGE_GIF && s->image_fmt[2] == IMAGE_PNG);
    char *text, *bytes, path[300];
    size_t n, m;
    REQUIRE_OK(shard_text(s, 1, &text, &n));
    CHECK(n == strlen(SEEN("1", "gif.jpg")) && !memcmp(text, SEEN("1", "gif.jpg"), n));
    snprintf(path, sizeof path, "%s", world_path("images/gif.jpg"));
    REQUIRE_OK(file_read(&bytes, &m, path, 1 << 20));
    uint8_t *stored = mem_alloc(m);
    CHECK(s->image_off[2] - s->image_off[1] == m && !shard_image(s, 1, stored) && !memcmp(stored, bytes, m));
    mem_free(text);
    mem_free(bytes);
    mem_free(stored);
    s = set.shards[1];
    CHECK(s->img_off[2] == 3 && s->image_orient[0] == 6 && s->image_wh[0][0] > 0);
    s = set.shards[2];
    CHECK(s->task[1] == TASK_GENERATE && s->weight[1] == 0.5f && s->ref_role[0] == ROLE_TARGET && s->flags[1] == FLAG_HAS_TARGET);
    shards_close(&set);
    world_close(&w);
}

#define DRAWN(id, n_images, answers)                                                                                       \
    "{\"prov\":{\"license\":\"cc-" id "\"},\"schema\":\"genllava.sample/1\",\"uid\":\"" id "\",\"task\":\"edit\","         \
    "\"sd\":{\"prompt\":\"x\"},\"images\":" n_images ",\"turns\":" answers "}\n"
#define TURN(from, value) "{\"from\":\"" from "\",\"value\":\"" value "\"}"
#define PICTURE(file, role) "{\"path\":\"" file "\",\"role\":\"" role "\"}"

TEST(prepare_names_each_license_once)
{
    char rows[4096];
    int n = 0;
    for (int i = 0; i < 6; i++)
        n += snprintf(rows + n, sizeof rows - (size_t)n,
                      "{\"prov\":{\"license\":\"cc-%c\"},\"uid\":\"u%d\",\"turns\":[" TURN("human", "Q") "," TURN("gpt", "A") "]}\n",
                      "babcab"[i], i);
    world_put_text("rows.jsonl", rows);
    World w;
    world_open(&w, "[{\"name\":\"rows\",\"files\":[\"rows.jsonl\"]}]", "out");
    w.o.shard_samples = 6;
    PrepareResult r;
    REQUIRE_OK(prepare_run(&w.o, &r));
    Shard *s;
    REQUIRE_OK(shard_open(&s, world_path("out/shard-00000-of-00001.h5")));
    CHECK_STR(s->attr.licenses, "[\"cc-a\",\"cc-b\",\"cc-c\"]");
    shard_close(&s);
    world_close(&w);
}

TEST(prepare_names_the_license_of_a_source_for_rows_that_name_none)
{
    world_put_text("rows.json", "[{\"conversations\":[" TURN("human", "Q") "," TURN("gpt", "A") "]},{\"license\":\"no such place\","
                                "\"conversations\":[" TURN("human", "Q") "," TURN("gpt", "A") "]}]");
    world_put_text("own.jsonl", "{\"prov\":{\"license\":\"own\"},\"turns\":[" TURN("human", "Q") "," TURN("gpt", "A") "]}\n"
                                "{\"prov\":{\"license\":null},\"turns\":[" TURN("human", "Q") "," TURN("gpt", "A") "]}\n");
    world_put_text("free.json", "[{\"conversations\":[" TURN("human", "Q") "," TURN("gpt", "A") "]}]");
    World w;
    world_open(&w, "[{\"files\":[\"rows.json\"],\"license\":\"theirs\"},{\"files\":\"own.jsonl\",\"license\":\"a source's\"},"
                   "{\"files\":\"free.json\",\"license\":null}]", "out");
    w.o.shard_samples = 8;
    PrepareResult r;
    REQUIRE_OK(prepare_run(&w.o, &r));
    Shard *s;
    REQUIRE_OK(shard_open(&s, world_path("out/shard-00000-of-00001.h5")));
    CHECK_STR(s->attr.licenses, "[\"a source's\",\"own\",\"theirs\"]");
    shard_close(&s);
    world_close(&w);
}

/* Rows of two rounds, with an input, a target and a mask each; the second round of the first row is too long. */
TEST(prepare_drops_the_pictures_of_rounds_that_were_cut)
{
    static const char ALL[] = "[" PICTURE("a.png", "input") "," PICTURE("b.png", "target") "," PICTURE("c.png",
            "mask") "," PICTURE("d.png", "input") ","
                              PICTURE("e.png", "target") "," PICTURE("f.png", "mask") "]";
    char rows[4096], longer[401] = "";
    memset(longer, 'x', sizeof longer - 1);
    int n = 0;
    for (int i = 0; i < 2; i++)
        n += snprintf(rows + n, sizeof rows - (size_t)n, DRAWN("u%d", "%s", "[" TURN("human", "<image>\\nred") "," TURN("gpt", "<gen>") ","
                      TURN("human", "<image>%s") "," TURN("gpt", "<gen>") "]"), 1 - i, i, ALL, i ? "" : longer);
    world_put_text("drawn.jsonl", rows);
    mkdir(world_path("images"), 0777);
    for (const char *c = "abcdef"; *c; c++) {
        char name[64], bytes[] = {*c};
        snprintf(name, sizeof name, "images/%c.png", *c);
        world_copy_picture("rgb.png", name, SIZE_MAX);
        FILE *f = fopen(world_path(name), "a"); /* so that no two are the same picture */
        REQUIRE(f && fwrite(bytes, 1, 1, f) == 1 && !fclose(f));
    }
    World w;
    world_open(&w, "[{\"name\":\"drawn\",\"files\":[\"drawn.jsonl\"],\"image_root\":\"images\"}]", "out");
    w.o.encoder.max_tokens = 100;
    PrepareResult r;
    REQUIRE_OK(prepare_run(&w.o, &r));
    Shard *s;
    REQUIRE_OK(shard_open(&s, world_path("out/shard-00000-of-00001.h5")));
    static const uint8_t ROLES[] = {ROLE_INPUT, ROLE_TARGET, ROLE_MASK, ROLE_INPUT, ROLE_TARGET, ROLE_MASK, ROLE_INPUT, ROLE_TARGET,
                                    ROLE_MASK};
    CHECK_STR(s->attr.licenses, "[\"cc-u0\",\"cc-u1\"]");
    CHECK_INT(s->img_off[1], 3);
    CHECK_INT(s->img_off[2], 9);
    CHECK(!memcmp(s->ref_role, ROLES, sizeof ROLES));
    for (int i = 0; i < 9; i++)
        CHECK_INT(s->ref_image[i], i < 3 ? i : i - 3);
    shard_close(&s);
    world_close(&w);
}
