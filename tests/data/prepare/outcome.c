/* prepare: what it counts, says and refuses of the rows of each source. */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/json.h"
#include "data/prepare/prepare.h"
#include "data/shards/shard_set.h"
#include "kernels/base/arena.h"
#include "tests/data/prepare/world.h"
#include "tests/harness.h"

#define SCORED(id, score, rest) "{\"id\":\"" id "\",\"scores\":{\"clip\":" score "}," rest "}"

/* Ten rows: six that are good, three without an answer, one whose picture is missing. */
static void make_rows(const char *name)
{
    char text[4096] = "[", row[256];
    for (int i = 0; i < 10; i++) {
        if (i < 6)
            snprintf(row, sizeof row, "%s{\"id\":%d," TURNS("Question %d", "Answer") "}", i ? "," : "", i, i);
        else if (i < 9)
            snprintf(row, sizeof row, ",{\"id\":%d," TURNS("Question", "") "}", i);
        else
            snprintf(row, sizeof row, "," SEEN("9", "gone.jpg"));
        strcat(text, row);
    }
    strcat(text, "]");
    mkdir(world_path("images"), 0777);
    world_put_text(name, text);
}

/* The share is of the rows of one source; it may be reached, and is asked of shards that are there already too. */
TEST(prepare_refuses_a_source_with_too_many_bad_rows)
{
    static const char BOTH[] =
        "[{\"name\":\"poor\",\"files\":[\"poor.json\"],\"image_root\":\"images\"},{\"name\":\"rich\",\"files\":[\"rich.json\"]}]";
    static const char SAYS[] = "source \"poor\": 4 of 10 rows cannot be used (3 no_trained_tokens, 1 missing), and data.max_bad allows a "
                               "share of %s; mend the data, or raise data.max_bad";
    World w;
    PrepareResult r;
    RecordIndex index;
    bool fresh;
    const char *why;
    char says[512];
    make_rows("poor.json");
    world_put_text("rich.json", "[{\"id\":1," TURNS("Q", "A") "},{\"id\":2," TURNS("Q", "A") "}]");
    world_open(&w, BOTH, "out");
    w.o.report = world_path("report.json");
    static const struct {
        double max_bad;
        const char *share; /* NULL: passes */
    } CASES[] = {{0, "0"}, {0.39, "0.39"}, {0.4, NULL}, {0.5, NULL}, {1, NULL}, {0.2, "0.2"}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        w.o.max_bad = CASES[i].max_bad;
        for (int again = 0; again < 2; again++) {
            if (CASES[i].share) {
                snprintf(says, sizeof says, SAYS, CASES[i].share);
                CHECK_FAILS(prepare_run(&w.o, &r), ERR_DATA, says);
                CHECK_FAILS(prepare_index(&w.o, &index, &r), ERR_DATA, says);
                CHECK(!access(w.o.report, R_OK));
                unlink(w.o.report);
            } else {
                REQUIRE_OK(prepare_run(&w.o, &r));
                CHECK(r.good == 8 && r.bad == 4);
                REQUIRE_OK(prepare_is_fresh(&w.o, &fresh, &why, &r));
                CHECK(fresh && r.bad == 4);
            }
        }
    }
    CHECK_INT(prepare_is_fresh(&w.o, &fresh, &why, &r), ERR_DATA); /* 0.2 of the last case: the shards are there */
    w.o.max_bad = 0.2;
    w.o.strict = true;
    CHECK_FAILS(prepare_run(&w.o, &r), ERR_DATA, "4 of 12 rows cannot be used, and --strict allows none");
    world_close(&w);
    world_open(&w, "[{\"name\":\"rich\",\"files\":[\"rich.json\"]}]", "rich");
    w.o.max_bad = 0;
    w.o.strict = true;
    CHECK_OK(prepare_run(&w.o, &r));
    world_close(&w);
    world_put_text("hundred.json", "");
    FILE *f = fopen(world_path("hundred.json"), "w");
    for (int i = 0; i < 100; i++)
        fprintf(f, "{\"uid\":\"%d\",\"turns\":[{\"from\":\"human\",\"value\":\"Q\"},{\"from\":\"gpt\",\"value\":\"%s\"}]}\n", i,
                i < 29 ? "" : "A");
    REQUIRE(!fclose(f));
    world_open(&w, "[{\"name\":\"hundred\",\"files\":[\"hundred.json\"]}]", "hundred");
    w.o.max_bad = 0.29; /* 0.29 · 100 is below 29 in doubles */
    CHECK_OK(prepare_run(&w.o, &r));
    world_close(&w);
}

TEST(prepare_does_not_count_what_a_filter_leaves_out_as_bad)
{
    World w;
    PrepareResult r;
    world_put_text("scored.json",
                   "[" SCORED("0", "0.9", TURNS("Q", "A")) "," SCORED("1", "0.1", TURNS("Q", "A")) "," SCORED("2", "0.1",
                           TURNS("Q", "")) ","
                   SCORED("3", "0.1", "\"conversations\":5") "," SCORED("4", "0.1", "\"image\":\"gone.jpg\"," TURNS("<image>", "A")) ","
                   "{\"id\":\"5\"," TURNS("Q", "A") "}]");
    world_open(&w, "[{\"name\":\"scored\",\"files\":[\"scored.json\"],\"filter\":{\"clip\":[0.5,null]}}]", "out");
    w.o.max_bad = 0;
    w.o.strict = true;
    w.o.report = world_path("report.json");
    REQUIRE_OK(prepare_run(&w.o, &r));
    CHECK(r.good == 1 && r.bad == 0 && r.filtered == 5);
    JsonDoc *doc;
    REQUIRE_OK(json_read_file(&doc, w.o.report));
    CHECK_INT(json_get(json_get(json_root(doc), "left_out"), "filtered")->integer, 5);
    CHECK_INT(json_get(json_root(doc), "good")->integer, 1);
    CHECK_INT(json_get(json_root(doc), "bad_rows")->length, 0);
    json_free(&doc);
    world_close(&w);
    world_open(&w, "[{\"name\":\"scored\",\"files\":[\"scored.json\"],\"filter\":{\"clip\":[0.95,null]}}]", "none");
    CHECK_FAILS(prepare_run(&w.o, &r), ERR_DATA, "none of the 6 rows of the mixture can be used: the filters want none");
    world_close(&w);
}

static int64_t trained_in(const char *shards)
{
    ShardSet set;
    int64_t n = 0;
    REQUIRE_OK(shards_open(&set, shards, 1003, 0));
    for (int k = 0; k < set.n; k++)
        for (int64_t i = 0; i < set.shards[k]->attr.n_samples; i++)
            n += set.shards[k]->n_train[i];
    shards_close(&set);
    return n;
}

/* Rows of two rounds: the second is cut off, or a part of the only one. */
TEST(prepare_counts_rows_that_are_cut_and_what_it_costs)
{
    World w;
    PrepareResult whole, cut;
    char text[8192] = "[", row[1024], longer[301] = "";
    for (int i = 0; i < 300; i += 3)
        memcpy(longer + i, "a b", 3);
    for (int i = 0; i < 4; i++) {
        snprintf(row, sizeof row, "%s{\"id\":%d,\"conversations\":[{\"from\":\"human\",\"value\":\"Q\"},{\"from\":\"gpt\","
                                  "\"value\":\"%s\"},{\"from\":\"human\",\"value\":\"Q\"},{\"from\":\"gpt\",\"value\":\"%s\"}]}",
                                          i ? "," : "", i, i == 3 ? longer : "A", i ? longer : "A");
        strcat(text, row);
    }
    strcat(text, "]");
    world_put_text("long.json", text);
    world_open(&w, "[{\"name\":\"long\",\"files\":[\"long.json\"]}]", "whole");
    w.o.encoder.max_tokens = 4000;
    REQUIRE_OK(prepare_run(&w.o, &whole));
    CHECK(whole.good == 4 && whole.cut_rows == 0 && whole.cut_tokens == 0);
    snprintf(w.out, sizeof w.out, "%s", world_path("cut"));
    w.o.encoder.max_tokens = 100;
    w.o.report = world_path("report.json");
    REQUIRE_OK(prepare_run(&w.o, &cut));
    CHECK(cut.good == 4 && cut.bad == 0 && cut.cut_rows == 3);
    CHECK_INT(cut.cut_tokens, trained_in(world_path("whole")) - trained_in(world_path("cut")));
    JsonDoc *doc;
    REQUIRE_OK(json_read_file(&doc, w.o.report));
    CHECK_INT(json_get(json_root(doc), "cut_rows")->integer, 3);
    CHECK_INT(json_get(json_root(doc), "cut_trained_tokens")->integer, cut.cut_tokens);
    json_free(&doc);
    bool fresh; /* shards that are there tell it too */
    const char *why;
    PrepareResult known;
    REQUIRE_OK(prepare_is_fresh(&w.o, &fresh, &why, &known));
    CHECK(fresh && known.cut_rows == 3 && known.cut_tokens == cut.cut_tokens && known.tokens == cut.tokens);
    world_close(&w);
}

TEST(prepare_counts_pictures_found_under_another_ending_and_their_limit)
{
    World w;
    PrepareResult r;
    mkdir(world_path("images"), 0777);
    world_copy_picture("rgb.jpg", "images/a.jpg", SIZE_MAX);
    world_copy_picture("rgb.png", "images/fig1.png", SIZE_MAX);
    world_copy_picture("rgb.png", "images/fig1.2.png", SIZE_MAX);
    world_put_text("rows.json", "[" SEEN("0", "a.jpg") "," SEEN("1", "a.png") "," SEEN("2", "fig1.2") "," SEEN("3", "fig1.2") "," SEEN(
                                    "4", "fig1.3") "]");
    world_open(&w, "[{\"name\":\"rows\",\"files\":[\"rows.json\"],\"image_root\":\"images\"}]", "out");
    w.o.report = world_path("report.json");
    REQUIRE_OK(prepare_run(&w.o, &r));
    CHECK(r.good == 4 && r.bad == 1 && r.renamed == 2); /* "a.png" and "fig1.2" */
    JsonDoc *doc;
    REQUIRE_OK(json_read_file(&doc, w.o.report));
    CHECK_INT(json_get(json_root(doc), "renamed_pictures")->integer, 2);
    CHECK_STR(json_get(json_get(json_root(doc), "bad_rows")->child, "reason")->string, "missing");
    json_free(&doc);
    w.o.max_pixels = 100; /* rgb.jpg and rgb.png are larger */
    CHECK_INT(prepare_run(&w.o, &r), ERR_DATA);
    REQUIRE_OK(json_read_file(&doc, w.o.report));
    CHECK_STR(json_get(json_get(json_root(doc), "bad_rows")->child, "reason")->string, "too_large");
    CHECK(strstr(json_get(json_get(json_root(doc), "bad_rows")->child, "message")->string,
                 " in all are the most that is read (data.max_pixels)"));
    json_free(&doc);
    world_close(&w);
}

/* The row where a file was cut off is told of, however many others are bad. */
TEST(prepare_marks_the_row_where_a_file_was_cut_off)
{
    World w;
    PrepareResult r;
    world_put_text("cut.json", "[{\"id\":1," TURNS("Q", "A") "},5,5,5,5,{\"id\":2,\"conversations\":[{\"from\":\"hum");
    world_open(&w, "[{\"name\":\"cut\",\"files\":[\"cut.json\"]}]", "out");
    w.o.report = world_path("report.json");
    REQUIRE_OK(prepare_run(&w.o, &r));
    CHECK(r.good == 1 && r.bad == 5);
    JsonDoc *doc;
    REQUIRE_OK(json_read_file(&doc, w.o.report));
    const Json *row = json_get(json_root(doc), "bad_rows")->child;
    for (; row->next; row = row->next)
        CHECK(!json_get(row, "ends_file"));
    CHECK(json_get(row, "ends_file")->boolean);
    CHECK_INT(json_get(row, "row")->integer, 5);
    CHECK(strstr(json_get(row, "message")->string, "the file ends inside this row; the file was cut off"));
    json_free(&doc);
    world_close(&w);
}
