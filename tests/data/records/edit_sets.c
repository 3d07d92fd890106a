/* The layouts of InstructPix2Pix and MagicBrush: rows beside those of an independent reading (tests/oracle/edit_sets.py), and what is wrong
 * with their files. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/json.h"
#include "data/formats/rows.h"
#include "data/records/records.h"
#include "kernels/base/arena.h"
#include "tests/harness.h"

static Mixture mixture;
static RecordReader *reader;
static const Record *rec;

static const char *in_dir(const char *name)
{
    static char path[PATH_MAX];
    return file_join(path, test_dir(), name);
}

static const char *in_fixture(const char *name)
{
    static char path[PATH_MAX];
    REQUIRE(realpath(test_fixture("edit_sets"), path));
    strcat(strcat(path, "/"), name);
    return path;
}

static void write_text(const char *name, const char *text)
{
    char path[PATH_MAX], folder[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", test_dir(), name);
    REQUIRE_OK(file_make_folders(file_folder(folder, path)));
    REQUIRE_OK(file_write(path, text, strlen(text)));
}

static Status load(const char *format, const char *root, const char *more)
{
    char list[2 * PATH_MAX];
    snprintf(list, sizeof list, "[{\"name\":\"%s\",\"format\":\"%s\",\"root\":\"%s\"%s}]", *format == 'm' ? "magic" : "ip2p", format, root,
             more);
    records_close(&reader);
    mixture_free(&mixture);
    TRY(mixture_load(&mixture, "data.mixture", NULL, list, test_dir()));
    return records_open(&reader, &mixture);
}

static bool next(void)
{
    REQUIRE_OK(records_next(reader, &rec));
    return rec != NULL;
}

static const char *text_in(const Json *o, const char *key)
{
    const Json *v = json_get(o, key);
    return v && v->kind == JSON_STRING ? v->string : "";
}

/* A line that holds a whole row holds exactly its text. */
static void compare_row(const Row *line)
{
    JsonDoc *doc;
    REQUIRE_OK(json_parse(&doc, line->text, line->n, "expected"));
    CHECK_STR(rec->uid, text_in(json_root(doc), "uid"));
    CHECK_STR(reject_name(rec->reject), text_in(json_root(doc), "bad"));
    if (json_get(json_root(doc), "schema") && !rec->reject)
        CHECK_MSG(rec->json_length == line->n && !memcmp(rec->json, line->text, line->n), "a row of %s\n  is     %.*s\n  wanted %.*s",
                  rec->uid, (int)rec->json_length, rec->json, (int)line->n, line->text);
    json_free(&doc);
}

/* The rows of a source are those of the fixture's file EXPECTED.jsonl, no more and no fewer. */
static void check_rows(const char *format, const char *root, const char *more, const char *expected)
{
    char name[128];
    Rows *rows;
    Row line;
    bool end = false;
    snprintf(name, sizeof name, "edit_sets/%s.jsonl", expected);
    REQUIRE_OK(rows_open(&rows, test_fixture(name), ROWS_LINES));
    REQUIRE_OK(load(format, root, more));
    int n = 0;
    for (; next(); n++) {
        REQUIRE_OK(rows_next(rows, &line, &end));
        REQUIRE(!end);
        compare_row(&line);
    }
    REQUIRE_OK(rows_next(rows, &line, &end));
    CHECK_MSG(end && n, "%s: %d rows, wanted more", expected, n);
    rows_close(&rows);
}

/* ---------------------------------------------------------------- InstructPix2Pix */

TEST(edit_sets_instructpix2pix_rows)
{
    const char *root = in_fixture("instructpix2pix");
    check_rows("instructpix2pix", root, "", "ip2p-train");
    check_rows("instructpix2pix", root, ",\"split\":\"val\",\"license\":\"mit\"", "ip2p-val");
    check_rows("instructpix2pix", root, ",\"filter\":{\"clip_sim_dir\":[0.2,null]},\"each\":1", "ip2p-best");
    check_rows("instructpix2pix", root, ",\"each\":2", "ip2p-two");
}

static void copy_folder(const char *from, const char *to);

typedef struct Copy {
    const char *from, *to;
} Copy;

static Status copy_one(void *arg, const char *name)
{
    const Copy *c = arg;
    char from[PATH_MAX], to[PATH_MAX];
    struct stat st;
    REQUIRE(!stat(file_join(from, c->from, name), &st));
    if (S_ISDIR(st.st_mode))
        copy_folder(from, file_join(to, c->to, name));
    else
        REQUIRE_OK(file_copy(from, file_join(to, c->to, name)));
    return OK;
}

static void copy_folder(const char *from, const char *to)
{
    REQUIRE_OK(file_make_folders(to));
    REQUIRE_OK(file_list(from, copy_one, &(Copy){from, to}));
}

TEST(edit_sets_instructpix2pix_without_seeds_json)
{
    char root[PATH_MAX];
    file_join(root, test_dir(), "set");
    copy_folder(in_fixture("instructpix2pix"), root);
    REQUIRE(!unlink(in_dir("set/seeds.json")));
    check_rows("instructpix2pix", root, "", "ip2p-rebuilt");
    check_rows("instructpix2pix", root, ",\"split\":\"val\"", "ip2p-rebuilt-val");
}

TEST(edit_sets_instructpix2pix_says_what_is_wrong_with_a_row)
{
    char wanted[PATH_MAX + 64];
    const char *root = in_fixture("instructpix2pix");
    static const struct {
        const char *id, *path, *message; /* path "": the row stays, message is its note */
        Reject why;
    } CASES[] = {
        {"0000004/41", "0000004/prompt.json", "1:35: this string has no closing quote", REJECT_BAD_JSON},
        {"0000005", "0000005/prompt.json", "cannot be opened: No such file or directory", REJECT_MISSING},
        {"0000008/81", "", "0000008/metadata.jsonl:2:", REJECT_NONE},
        {"../outside/5", "../outside/prompt.json", "leads by \"..\" out of the folder ", REJECT_OUTSIDE_ROOT},
    };
    size_t met = 0;
    REQUIRE_OK(load("instructpix2pix", root, ""));
    while (next()) {
        for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
            if (strncmp(rec->id, CASES[i].id, strlen(CASES[i].id)))
                continue;
            snprintf(wanted, sizeof wanted, "%s%s", CASES[i].message, CASES[i].why == REJECT_OUTSIDE_ROOT ? root : "");
            CHECK_INT(rec->reject, CASES[i].why);
            CHECK_STR(rec->reject_path, CASES[i].path);
            if (CASES[i].why)
                CHECK_MSG(!strncmp(rec->message, wanted, 200), "%s: %s", rec->id, rec->message);
            else
                CHECK_MSG(rec->note && !strncmp(rec->note, wanted, strlen(wanted)), "%s: %s", rec->id, rec->note);
            met++;
        }
        if (!strcmp(rec->id, "0000008/82"))
            CHECK(!rec->n_scores && !rec->note);
    }
    CHECK_INT(met, sizeof CASES / sizeof *CASES);
}

TEST(edit_sets_instructpix2pix_prompts_of_any_kind)
{
    static const struct {
        const char *prompt, *message; /* NULL: the row is fine */
        Reject why;
    } CASES[] = {
        {"{\"edit\":\"x\"}", NULL, REJECT_NONE},
        {"\xEF\xBB\xBF{\"edit\":\"x\",\"output\":null,\"input\":null,\"url\":5}", NULL, REJECT_NONE},
        {"{\"edit\":\" \\n\"}", "its instruction is empty", REJECT_BAD_TURNS},
        {"{\"output\":\"x\"}", "its instruction is empty", REJECT_BAD_TURNS},
        {"{\"edit\":5}", "1:9: \"edit\" is 5, expected a text", REJECT_BAD_JSON},
        {"{\"edit\":\"x\",\n\"output\":[]}", "2:10: \"output\" is an array, expected a text", REJECT_BAD_JSON},
        {"{\"edit\":\"x\",\"caption\":true}", "1:23: \"caption\" is true, expected a text", REJECT_BAD_JSON},
        {"{\"edit\":\"x\\u0000\"}", "what is to be drawn holds U+0000", REJECT_BAD_JSON},
        {"{\"edit\":\"x\",\"output\":\"\\u0000y\"}", "what is to be drawn holds U+0000", REJECT_BAD_JSON},
        {"[]", "1:1: expected an object with \"edit\", found an array", REJECT_BAD_JSON},
        {"", "1:1: expected a value, found the end of the file", REJECT_BAD_JSON},
    };
    write_text("set/seeds.json", "[[\"a\", [\"1\"]], [\"b\", []]]");
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        write_text("set/a/prompt.json", CASES[i].prompt);
        REQUIRE_OK(load("instructpix2pix", "set", ""));
        REQUIRE(next());
        CHECK_INT(rec->reject, CASES[i].why);
        CHECK_STR(rec->message, CASES[i].message ? CASES[i].message : "");
        CHECK_STR(rec->uid, "ip2p/a/1");
        CHECK(CASES[i].why || (rec->prov.index == -1 && !rec->sd_prompt && !rec->sd_src_prompt));
        CHECK(!next());
    }
}

TEST(edit_sets_instructpix2pix_scores_of_any_kind)
{
    write_text("set/seeds.json", "[[\"7\", [\"3\", \"0007\", \"4000000000\", \"3\"]], [\"b\", []]]");
    write_text("set/7/prompt.json", "{\"edit\":\"x\"}");
    write_text("set/7/metadata.jsonl", "{\"seed\":3,\"a\":1}\r\n\n{\"seed\":7,\"a\":2}\n5\n{\"seed\":4000000000.0,\"b\":0.5,\"c\":\"x\","
                                       "\"d\":true,\"seed_of\":4}\n{\"a\":9}\n{\"seed\":3,\"e\":3e-5}");
    REQUIRE_OK(load("instructpix2pix", "set", ""));
    REQUIRE(next());
    CHECK(rec->n_scores == 1 && rec->scores[0].value == 3e-5 && rec->prov.index == 7);
    CHECK_STR(rec->scores[0].name, "e");
    REQUIRE(next());
    CHECK(rec->n_scores == 0); /* the seed's name is its number in decimal */
    REQUIRE(next());
    CHECK(rec->n_scores == 2 && rec->scores[0].value == 0.5 && rec->scores[1].value == 4);
    REQUIRE(next());
    CHECK_STR(rec->uid, "ip2p/7/3#1");
    CHECK(rec->n_scores == 1 && rec->scores[0].value == 3e-5);
    CHECK(!next());
}

/* Boundaries in whole numbers: floor(0.9 N) and floor(0.95 N). */
TEST(edit_sets_instructpix2pix_splits_by_position)
{
    static const int CASES[][3] = {{1, 0, 0}, {2, 1, 0}, {10, 9, 0}, {19, 17, 1}, {20, 18, 1}, {21, 18, 1}, {40, 36, 2}, {100, 90, 5}};
    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++) {
        char text[8192] = "[";
        for (int i = 0; i < CASES[c][0]; i++)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s[\"%d\",[\"1\"]]", i ? "," : "", i);
        strcat(text, "]");
        write_text("set/seeds.json", text);
        for (int val = 0; val < 2; val++) {
            int n = 0;
            REQUIRE_OK(load("instructpix2pix", "set", val ? ",\"split\":\"val\"" : ""));
            for (; next(); n++) {
                char id[16];
                snprintf(id, sizeof id, "%d/1", n + (val ? CASES[c][1] : 0));
                CHECK_STR(rec->id, id);
                CHECK_STR(rec->split, val ? "val" : "train");
            }
            CHECK_MSG(n == CASES[c][1 + val], "%d folders, val %d: %d rows, wanted %d", CASES[c][0], val, n, CASES[c][1 + val]);
        }
    }
}

static void check_run_ends(const char *format, const char *root, Status kind, const char *sentence)
{
    char wanted[PATH_MAX + 256];
    REQUIRE_OK(load(format, root, ""));
    snprintf(wanted, sizeof wanted, "%s/%s", test_dir(), sentence);
    CHECK_FAILS(records_next(reader, &rec), kind, wanted);
}

TEST(edit_sets_instructpix2pix_broken_listings_end_the_run)
{
    static const struct {
        const char *text, *sentence;
    } CASES[] = {
        {"", "lists no folder, expected [[\"0000000\", [\"1234567\", …]], …]"},
        {"[]", "lists no folder, expected [[\"0000000\", [\"1234567\", …]], …]"},
        {"7", "1:1: expected '[' of a JSON array or '{' of JSON lines, found '7'"},
        {"{\"a\":[\"1\"]}", "1:1: expected a folder and its seeds, [\"0000000\", [\"1234567\", …]], found an object"},
        {"[[\"a\",[\"1\"]],\n[\"b\",[\"2\"", "2:1: the file ends inside this row"},
        {"[[\"a\",[\"1\"]]", "1:13: expected ',' or ']' after a row, found the end of the file"},
        {"[[\"a\",[\"1\"]],[\"b\"]]", "1:14: expected a folder and its seeds, [\"0000000\", [\"1234567\", …]], found an array"},
        {"[[\"a\",[\"1\"]],[7,[\"2\"]]]", "1:15: expected the name of a folder, found 7"},
        {"[[\"a\",[\"1\"]],[\"\",[\"2\"]]]", "1:15: expected the name of a folder, found \"\""},
        {"[[\"a\",\"1\"]]", "1:7: expected a list of seeds, found \"1\""},
        {"[[\"a\",[1]]]", "1:8: expected a seed, a string, found 1"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char sentence[512];
        write_text("set/seeds.json", CASES[i].text);
        snprintf(sentence, sizeof sentence, "set/seeds.json:%s%s", i < 2 ? " " : "", CASES[i].sentence);
        check_run_ends("instructpix2pix", "set", ERR_DATA, sentence);
    }
    REQUIRE(!unlink(in_dir("set/seeds.json")));
    write_text("set/a/prompt.json", "{}");
    check_run_ends("instructpix2pix", "set", ERR_DATA,
                   "set: has no seeds.json, and no folder in it has pictures SEED_0.jpg and SEED_1.jpg");
}

/* A link that leads out is followed by nobody. */
TEST(edit_sets_instructpix2pix_links_out_of_the_root)
{
    write_text("elsewhere/prompt.json", "{\"edit\":\"x\"}");
    write_text("set/seeds.json", "[[\"a\",[\"1\"]],[\"b\",[\"2\"]],[\"c\",[]]]");
    write_text("set/b/prompt.json", "{\"edit\":\"x\"}");
    write_text("elsewhere/scores", "{\"seed\":2,\"a\":1}");
    REQUIRE(!symlink("../elsewhere", in_dir("set/a")));
    REQUIRE(!symlink("../../elsewhere/scores", in_dir("set/b/metadata.jsonl")));
    REQUIRE_OK(load("instructpix2pix", "set", ""));
    REQUIRE(next());
    CHECK_INT(rec->reject, REJECT_OUTSIDE_ROOT);
    REQUIRE(next());
    CHECK(!rec->reject && !rec->n_scores && rec->note && !strncmp(rec->note, "b/metadata.jsonl: leads by a link out of", 40));
}

/* ---------------------------------------------------------------- MagicBrush */

TEST(edit_sets_magicbrush_rows)
{
    const char *root = in_fixture("magicbrush");
    check_rows("magicbrush", root, ",\"license\":\"cc-by-4.0\"", "magic-train");
    check_rows("magicbrush", root, ",\"license\":\"cc-by-4.0\",\"split\":\"val\"", "magic-val");
    check_rows("magicbrush", in_fixture("magicbrush/dev"), ",\"license\":\"cc-by-4.0\",\"split\":\"val\"", "magic-dev");
}

TEST(edit_sets_magicbrush_says_what_is_wrong_with_a_row)
{
    write_text("set/edit_sessions.json", "{\"1\":[{\"instruction\":7},\n{\"instruction\":\"x\",\"mask\":[]},\"y\",{\"instruction\":\"x\","
                                         "\"output\":\"../../../z.png\"},{\"input\":\"i.png\",\"instruction\":null}]}");
    static const struct {
        const char *message;
        Reject why;
    } CASES[] = {
        {"1:22: \"instruction\" is 7, expected a text", REJECT_BAD_JSON},
        {"2:27: \"mask\" is an array, expected a file name", REJECT_BAD_JSON},
        {"2:31: a turn is \"y\", expected an object", REJECT_BAD_JSON},
        {"leads by \"..\" out of the folder ", REJECT_OUTSIDE_ROOT},
        {"its instruction is empty", REJECT_BAD_TURNS},
    };
    REQUIRE_OK(load("magicbrush", "set", ""));
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        REQUIRE(next());
        CHECK_INT(rec->reject, CASES[i].why);
        CHECK_MSG(!strncmp(rec->message, CASES[i].message, strlen(CASES[i].message)), "%s", rec->message);
    }
    CHECK(!next());
}

TEST(edit_sets_magicbrush_captions_are_taken_from_the_first_file)
{
    static const char *const FILES[] = {"local_descriptions", "local_captions", "global_captions", "global_description",
                                        "global_descriptions"};
    write_text("set/edit_sessions.json", "{\"1\":[{\"instruction\":\"x\"}]}");
    for (int i = 0; i < 5; i++) {
        char name[64], text[128];
        snprintf(name, sizeof name, "set/%s.json", FILES[i]);
        snprintf(text, sizeof text, i % 2 ? "{\"1-output1.png\":\"%s\"}" : "{\"1\":{\"1-output1.png\":\"%s\",\"1-input.png\":\"no\"}}",
                 FILES[i]);
        write_text(name, text);
        REQUIRE_OK(load("magicbrush", "set", ""));
        REQUIRE(next());
        CHECK_STR(rec->sd_prompt, FILES[i]);
        CHECK(!rec->sd_src_prompt);
    }
}

/* Captions are read where they stand: in any order, of both forms in one file, behind a byte order mark; null says nothing. */
TEST(edit_sets_magicbrush_captions_are_found_wherever_they_stand)
{
    static const char *const WANTED[] = {"of 1", "flat", "x", "of 2, \xc3\xa4\n", "whole", "of 2"};
    write_text("set/edit_sessions.json", "{\"1\":[{\"instruction\":\"x\"},{\"instruction\":\"x\"},{\"instruction\":\"x\"}],"
                                         "\"2\":[{\"instruction\":\"x\"},{\"instruction\":\"x\"},{\"instruction\":\"x\"}]}");
    write_text("set/global_descriptions.json",
               "\xEF\xBB\xBF{\"2-output2.png\": \"no\", \"2\" :\n{\"2-output1.png\":\"of 2, \\u00e4\\n\",\"2-output3.png\":\"of 2\"},\n"
               "\"1-output2.png\":\"flat\" ,\"2/2-output2.png\":\"whole\",\"1\":{\"1-output2.png\":null,\"1-output1.png\":\"of 1\"},"
               "\"1\":{\"1-output1.png\":\"later\"}}");
    REQUIRE_OK(load("magicbrush", "set", ""));
    for (size_t i = 0; i < sizeof WANTED / sizeof *WANTED; i++) {
        REQUIRE(next());
        char wanted[32];
        snprintf(wanted, sizeof wanted, "%s", WANTED[i]);
        wanted[strcspn(wanted, "\n")] = 0; /* white space at the end goes */
        CHECK_STR(rec->sd_prompt, wanted);
    }
}

TEST(edit_sets_magicbrush_broken_files_end_the_run)
{
#define CAPTION "; expected an object of captions, {\"IMG_ID\": {\"FILE\": text}} or {\"FILE\": text}"
#define OBJECT "; expected an object of sessions, {\"IMG_ID\": [turns]}"
    static const char SESSIONS[] = "{\"1\":[{\"instruction\":\"x\"}]}";
    static const struct {
        const char *file, *text, *sentence;
    } CASES[] = {
        {"edit_sessions", "{\"1\":[{\"instruction\":", "1:7: the file ends inside this row" OBJECT},
        {"edit_sessions", "{\"1\":[{\"instruction\":tru}]}", "1:22: expected a value, found 't'"},
        {"edit_sessions", "{\"1\":[],\"2\"}", "1:12: expected ':' after a key, found '}'" OBJECT},
        {"edit_sessions", "[]", "1:1: expected '{' of a JSON object, found '['" OBJECT},
        {"edit_sessions", "{\"1\":[],\"2\":{}}", "1:13: expected the turns of a session, a list, found an object"},
        {"global_captions", "{\"1\":", "1:6: expected a value, found the end of the file" CAPTION},
        {"global_captions", "{\"1\":{\"a\":tru}}", "1:11: expected a value, found 't'"},
        {"global_captions", "[]", "1:1: expected '{' of a JSON object, found '['" CAPTION},
        {"global_captions", "{\"1\":5}", "1:6: expected a caption, found 5"},
        {"global_captions", "{\"1\":{\"a.png\":[]}}", "1:15: expected a caption, found an array"},
        {"global_captions", "{\"1\":[\"a\"]}", "1:7: expected a caption, or an object of the captions of a session, and no list, found "
                                                "\"a\""},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char name[64], sentence[512];
        write_text("set/edit_sessions.json", SESSIONS);
        snprintf(name, sizeof name, "set/%s.json", CASES[i].file);
        write_text(name, CASES[i].text);
        snprintf(sentence, sizeof sentence, "%s:%s", name, CASES[i].sentence);
        check_run_ends("magicbrush", "set", ERR_DATA, sentence);
    }
    REQUIRE_OK(file_make_folders(in_dir("none")));
    check_run_ends("magicbrush", "none", ERR_MISSING, "none/train/edit_sessions.json: cannot be opened: No such file or directory");
}

TEST(edit_sets_are_named_by_their_folder)
{
    char wanted[PATH_MAX];
    write_text("sets/pairs/seeds.json", "[[\"a\",[\"1\"]],[\"b\",[]]]");
    records_close(&reader);
    mixture_free(&mixture);
    REQUIRE_OK(mixture_load(&mixture, "data.mixture", NULL, "[{\"format\":\"instructpix2pix\",\"root\":\"./sets/pairs//\"}]", test_dir()));
    REQUIRE_OK(records_open(&reader, &mixture));
    REQUIRE(next());
    CHECK_STR(rec->uid, "pairs/a/1");
    snprintf(wanted, sizeof wanted, "%s/sets/pairs", test_dir());
    CHECK_STR(rec->file, wanted);
    CHECK_STR(mixture.sources[0].image_root, wanted);
}

TEST(edit_sets_magicbrush_never_reads_a_folder_called_test)
{
    static const char SENTENCE[] = "root leads to a folder called \"test\": the authors of MagicBrush ask that its test split is never "
                                   "trained on; expected the folder of train or dev, or the one above them";
    static const char *const ROOTS[] = {"test", "test/", "./test/.", "sub/test", "TEST", "link", "above", "none/test"};
    char wanted[512];
    write_text("test/edit_sessions.json", "{}");
    write_text("sub/test/edit_sessions.json", "{}");
    write_text("above/other/x", "");
    REQUIRE(!symlink("test", in_dir("link")));
    REQUIRE(!symlink("../test", in_dir("above/train")));
    for (size_t i = 0; i < sizeof ROOTS / sizeof *ROOTS; i++) {
        Status s = load("magicbrush", ROOTS[i], "");
        snprintf(wanted, sizeof wanted, "data.mixture:1:%d: %s", 47, SENTENCE);
        CHECK_MSG(s == ERR_USAGE && !strcmp(status_message(), wanted), "%s: %d: %s", ROOTS[i], s, status_message());
    }
    CHECK_INT(load("magicbrush", "above", ",\"split\":\"test\""), ERR_USAGE);
    write_text("contest/edit_sessions.json", "{}");
    CHECK_OK(load("magicbrush", "contest", ""));
}
