/* sources: the public layouts whose rows are captions, beside an independent reading of the same files (tests/oracle/sources.py), and what
 * is wrong with files and rows of them. */
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json.h"
#include "data/formats/json_compare.h"
#include "data/formats/rows.h"
#include "data/records/format.h"
#include "data/records/records.h"
#include "data/records/unified.h"
#include "kernels/base/arena.h"
#include "tests/harness.h"

static Mixture mixture;
static RecordReader *reader;
static const Record *rec;

static void put_file(const char *name, const char *text)
{
    char path[PATH_MAX];
    REQUIRE_OK(file_write(file_join(path, test_dir(), name), text, strlen(text)));
}

static void open_list(const char *list)
{
    records_close(&reader);
    mixture_free(&mixture);
    REQUIRE_OK(mixture_load(&mixture, "data.mixture", NULL, list, test_dir()));
    REQUIRE_OK(records_open(&reader, &mixture));
}

static bool next(void)
{
    REQUIRE_OK(records_next(reader, &rec));
    return rec != NULL;
}

/* ---------------------------------------------------------------- by the book */

/* The next line of a file of the independent reading; NULL: there is none. */
static JsonDoc *next_line(Rows *rows)
{
    Row row;
    bool end;
    JsonDoc *doc;
    REQUIRE_OK(rows_next(rows, &row, &end));
    if (end)
        return NULL;
    REQUIRE_OK(json_parse(&doc, row.text, row.n, "line"));
    return doc;
}

static Status tell_difference(void *text, const char *path, const Json *there, const Json *here)
{
    return json_difference_print(text, path, there, here);
}

static void check_same(JsonDoc *wanted, const char *text, size_t n)
{
    JsonDoc *found;
    char *told = NULL;
    size_t told_n = 0;
    REQUIRE_OK(json_parse(&found, text, n, "record"));
    FILE *out = open_memstream(&told, &told_n);
    REQUIRE_OK(json_compare(json_root(wanted), json_root(found), tell_difference, out));
    REQUIRE(!fclose(out));
    CHECK_MSG(!told_n, "%s: %s", rec->uid, told);
    mem_free(told);
    json_free(&found);
}

static void check_record(Rows *expected)
{
    char *text = NULL;
    size_t n = 0;
    JsonDoc *wanted = next_line(expected);
    REQUIRE(wanted);
    FILE *out = open_memstream(&text, &n);
    unified_write(out, rec, mixture.sources[rec->source].name, NULL);
    REQUIRE(!fclose(out));
    check_same(wanted, text, n);
    if (mixture.sources[rec->source].format->feed[mixture.sources[rec->source].as]) /* a draft brings that text along */
        CHECK_MSG(n == rec->json_length && !memcmp(text, rec->json, n), "%.*s", (int)rec->json_length, rec->json);
    mem_free(text);
    json_free(&wanted);
}

static void check_rejected(Rows *rejected)
{
    JsonDoc *wanted = next_line(rejected);
    REQUIRE(wanted);
    const Json *o = json_root(wanted);
    CHECK_STR(mixture.sources[rec->source].name, json_get(o, "source")->string);
    CHECK_STR(strrchr(rec->file, '/') + 1, json_get(o, "file")->string);
    CHECK_INT(rec->row, json_get(o, "row")->integer);
    CHECK_STR(rec->id, json_get(o, "id")->string);
    CHECK_STR(reject_name(rec->reject), json_get(o, "reason")->string);
    CHECK(*rec->message);
    json_free(&wanted);
}

TEST(sources_are_read_by_the_book)
{
    char path[PATH_MAX];
    Rows *expected, *rejected;
    snprintf(path, sizeof path, "%s/", test_fixture("sources"));
    const size_t root = strlen(path);
    snprintf(path + root, sizeof path - root, "expected.jsonl");
    REQUIRE_OK(rows_open(&expected, path, ROWS_LINES));
    snprintf(path + root, sizeof path - root, "rejected.jsonl");
    REQUIRE_OK(rows_open(&rejected, path, ROWS_LINES));
    snprintf(path + root, sizeof path - root, "mixture.json");
    REQUIRE_OK(mixture_load(&mixture, "data.mixture", path, NULL, NULL));
    for (int i = 0; i < mixture.n_sources; i++) { /* pictures are not looked at */
        mem_free(mixture.sources[i].image_root);
        mixture.sources[i].image_root = NULL;
    }
    REQUIRE_OK(records_open(&reader, &mixture));
    for (int64_t number = 0; next(); number++) {
        CHECK_INT(rec->number, number);
        if (rec->reject)
            check_rejected(rejected);
        else
            check_record(expected);
    }
    CHECK(!next_line(expected) && !next_line(rejected));
    CHECK_INT(records_replaced_surrogates(reader), 1);
    rows_close(&expected);
    rows_close(&rejected);
    records_close(&reader);
    mixture_free(&mixture);
}

/* ---------------------------------------------------------------- what is wrong with files and rows */

#define CHECK_REJECTED(why, sentence)      \
    do {                                   \
        REQUIRE(next());                   \
        CHECK_INT(rec->reject, why);       \
        CHECK_STR(rec->message, sentence); \
    } while (0)

TEST(sources_name_bad_rows_with_their_place)
{
    put_file("a.tsv", "a\tb.jpg\n\nc\td\xff\n\te.jpg\nf\nh\t\x01https://x/y.jpg\ni\thttps://x/y.jpg\n");
    open_list("[{\"format\":\"captions\",\"files\":\"a.tsv\"}]");
    REQUIRE(next() && !rec->reject);
    CHECK_REJECTED(REJECT_BAD_JSON, "3:4: expected UTF-8, found the byte 0xff");
    CHECK_REJECTED(REJECT_NO_PROMPT, "4:1: its caption is empty");
    CHECK_REJECTED(REJECT_MISSING, "5:1: no field for a file; between caption and file is a tab");
    CHECK_REJECTED(REJECT_MISSING, "6:1: its picture is an address, expected the name of a file that was fetched from there");
    CHECK_STR(rec->reject_path, "\x01https://x/y.jpg");
    CHECK_REJECTED(REJECT_MISSING, "7:1: its picture is an address, expected the name of a file that was fetched from there");
    CHECK_STR(rec->reject_path, "https://x/y.jpg");
    CHECK(!next());
    put_file("a.jsonl", "{\"caption\":\"x\",\"file\":5}\n{\"caption\":5}\n[1]\n{\"caption\":\"x\",\"scores\":{\"a\":1},"
                        "\"file\":\"a\\u0000\"}\n"
                        "{\"caption\":\"x\"}\n{\"file\":\"a\"}\n{\"caption\":\"x\",\"file\":");
    open_list("[{\"format\":\"laion-gpt4v\",\"as\":\"understand\",\"files\":\"a.jsonl\"}]");
    CHECK_REJECTED(REJECT_BAD_JSON, "1:23: \"file\" is 5, expected a file name");
    CHECK_REJECTED(REJECT_BAD_JSON, "2:12: \"caption\" is 5, expected a text");
    CHECK_REJECTED(REJECT_BAD_JSON, "3:1: a row is an array, expected an object");
    CHECK_REJECTED(REJECT_BAD_JSON, "4:40: \"file\" is \"a\", expected a file name");
    CHECK_REJECTED(REJECT_MISSING, "5:1: no \"file\"; the row has \"caption\"");
    CHECK_REJECTED(REJECT_NO_TRAINED, "6:1: no \"caption\"; the row has \"file\"");
    CHECK_REJECTED(REJECT_BAD_JSON, "7:23: expected a value, found the end of the file; the file was cut off, 6 rows came before");
    CHECK(rec->ends_file);
    CHECK(!next());
    put_file("a.jsonl", "{\"text\":\"x\",\"file\":\"a\",\"b\":1,\"c\":1,\"d\":1,\"e\":1}\n{}\n{\"caption\":null,\"file\":\"a\"}\n"
                        "{\"caption\":\"x\",\"file\":null}\n{\"caption\":\"x\\u0000y\",\"file\":\"a\"}\n");
    open_list("[{\"format\":\"captions\",\"files\":\"a.jsonl\"}]");
    CHECK_REJECTED(REJECT_NO_PROMPT, "1:1: no \"caption\"; the row has \"text\", \"file\", \"b\", \"c\", \"d\", …");
    CHECK_REJECTED(REJECT_NO_PROMPT, "2:1: no \"caption\"; the row has no keys");
    CHECK_REJECTED(REJECT_NO_PROMPT, "3:1: its caption is empty");
    CHECK_REJECTED(REJECT_MISSING, "4:1: the row names no picture");
    CHECK_REJECTED(REJECT_BAD_JSON, "5:1: what is to be drawn holds U+0000");
    put_file("instances.json", "{\"images\":[{\"id\":1,\"file_name\":\"a\"}],\"annotations\":[{\"id\":2,\"image_id\":1,\"bbox\":[]}]}");
    open_list("[{\"format\":\"captions\",\"files\":\"instances.json\"}]");
    CHECK_REJECTED(REJECT_NO_PROMPT, "1:53: no \"caption\"; the row has \"id\", \"image_id\", \"bbox\"");
    put_file("a.tsv", "Image\tCAPTION\na.jpg\tx\nCaption\tImage\n");
    open_list("[{\"format\":\"captions\",\"files\":\"a.tsv\"}]");
    REQUIRE(next() && !rec->reject);
    CHECK_STR(rec->images[0].path, "a.jpg");
    REQUIRE(next() && !rec->reject);
    CHECK_STR(rec->images[0].path, "Caption");
    put_file("a.json", "[{\"id\":1,\"conversations\":[]},\n{\"image\":[\"a\",\"b\"],\"conversations\":[{\"from\":\"human\",\"value\":\"\"},"
                       "{\"from\":\"gpt\",\"value\":\"x\"}]},\n{\"image\":\"a\",\"conversations\":[{\"from\":\"cat\",\"value\":\"\"}]},"
                       "{\"image\":\"a\",\"system\":\"s\",\"conversations\":[{\"from\":\"human\",\"value\":\"\"}]},"
                       "{\"schema\":\"genllava.sample/1\",\"uid\":\"u\",\"images\":[{\"path\":\"a\",\"role\":\"target\"}],\"turns\":["
                       "{\"from\":\"human\",\"value\":\"\"},{\"from\":\"gpt\",\"value\":\"<gen>\"}]}");
    open_list("[{\"name\":\"r\",\"format\":\"llava-reversed\",\"files\":\"a.json\"}]");
    CHECK_REJECTED(REJECT_BAD_TURNS, "1:2: 0 turns, expected one from human and one from gpt, which is the caption");
    CHECK_REJECTED(REJECT_BAD_TURNS, "2:1: 2 pictures, expected one, which the answer describes");
    CHECK_REJECTED(REJECT_BAD_TURNS, "turn 0 is from \"cat\", expected human or gpt, or user or assistant");
    CHECK_REJECTED(REJECT_BAD_TURNS, "3:59: a system text and 1 turn, expected one from human and one from gpt, which is the caption");
    CHECK_REJECTED(REJECT_BAD_TURNS, "3:132: 1 pictures, expected one, which the answer describes");
    CHECK_STR(rec->uid, "r/u");
    CHECK_REJECTED(REJECT_BAD_JSON,
                   "3:281: expected ',' or ']' after a row, found the end of the file; the file was cut off, 5 rows came before");
    CHECK(!next());
    put_file("a.json", "[{\"image\":\"https://x/y.jpg\",\"conversations\":[]}]");
    open_list("[{\"format\":\"llava-reversed\",\"files\":\"a.json\"}]");
    CHECK_REJECTED(REJECT_MISSING, "1:11: \"image\" is an address, expected the name of a file that was fetched from there");
    CHECK_STR(rec->reject_path, "https://x/y.jpg");
    CHECK(!next());
}

TEST(sources_of_coco_say_what_is_wrong_with_them)
{
    static const char COCO[] = "; COCO's captions are one object with \"images\" and \"annotations\"";
    static const struct {
        const char *text, *says;
        bool of_the_file;
    } CASES[] = {
        {"[]", ":1:1: expected '{' of a JSON object, found '['", true},
        {"{\"images\":[]", ":1:13: expected ',' or '}' after a value, found the end of the file", true},
        {"{\"images\":[],\"annotations\":[{\"id\":1,\"im", ":1:29: the file ends inside this row", true},
        {"{\"images\":[],\"annotations\":[],", ":1:31: expected a key, found the end of the file", true},
        {"{\"images\":[{\"id\":1,}],\"annotations\":[]}", ":1:19: trailing comma: remove the ',' before '}'", false},
        {"{\"images\":[{}]}", ": nothing in its \"annotations\", expected COCO's captions, one object with \"images\" and "
         "\"annotations\"", false},
        {"{\"images\":[]}", ": nothing in its \"images\", expected COCO's captions, one object with \"images\" and \"annotations\"", false},
        {"{\"annotations\":[1]}", ": nothing in its \"images\", expected COCO's captions, one object with \"images\" and "
         "\"annotations\"", false},
    };
    char wanted[1024];
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        put_file("a.json", CASES[i].text);
        open_list("[{\"format\":\"captions\",\"files\":\"a.json\"}]");
        snprintf(wanted, sizeof wanted, "%s/a.json%s%s", test_dir(), CASES[i].says, CASES[i].of_the_file ? COCO : "");
        CHECK_FAILS(records_next(reader, &rec), ERR_DATA, wanted);
    }
    put_file("a.json", "{\"images\":[{\"id\":1,\"file_name\":\"a.jpg\"},{\"id\":1,\"file_name\":\"b.jpg\"},7],\n\"annotations\":["
                       "{\"id\":1,\"image_id\":1,\"caption\":\"x\"},7,{\"id\":2,\"caption\":\"x\"},{\"image_id\":\"2\",\"caption\":\"x\"},"
                       "{\"id\":3,},{\"id\":4,\"image_id\":\"1\",\"caption\":\"y\"}]}");
    open_list("[{\"format\":\"captions\",\"files\":\"a.json\",\"name\":\"c\"}]");
    REQUIRE(next() && !rec->reject);
    CHECK_STR(rec->images[0].path, "a.jpg");
    CHECK_STR(rec->uid, "c/1");
    CHECK_REJECTED(REJECT_BAD_JSON, "2:52: a row is an integer, expected an object");
    CHECK_STR(rec->id, ""); /* what cannot be read has no number to be known by */
    CHECK_REJECTED(REJECT_BAD_JSON, "2:54: this annotation has no \"image_id\", a number or a text");
    CHECK_REJECTED(REJECT_MISSING, "2:89: \"images\" has no file_name for the image_id 2");
    CHECK_REJECTED(REJECT_BAD_JSON, "2:115: trailing comma: remove the ',' before '}'");
    REQUIRE(next() && !rec->reject);
    CHECK_STR(rec->uid, "c/4");
    CHECK_INT(rec->row, 5);
    CHECK(!next());
}

/* ---------------------------------------------------------------- size */

/* Reads to the end; the most memory held on the way beyond what was held before. */
static size_t most_memory(const char *list, int64_t rows)
{
    const size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    size_t most = 0;
    int64_t n = 0;
    open_list(list);
    for (; next(); n++) {
        const size_t now = n % 512 ? 0 : mallinfo2().uordblks + mallinfo2().hblkhd;
        most = now > most ? now : most;
        CHECK_MSG(!rec->reject, "%s", rec->message);
    }
    CHECK_INT(n, rows);
    records_close(&reader);
    mixture_free(&mixture);
    return most - before;
}

/* `each` counts a picture over the files of its source, and anew in the next source. */
TEST(sources_keep_so_many_rows_of_a_picture)
{
    static const struct {
        const char *name, *text;
    } FILES[] = {{"one.tsv", "a\t1.jpg\nb\t1.jpg\nc\t2.jpg\n"}, {"two.jsonl", "{\"caption\":\"d\",\"file\":\"1.jpg\"}\n"
                                                                    "{\"caption\":\"e\",\"file\":\"2.jpg\"}\n"}};
    char path[PATH_MAX], found[16] = "";
    for (int i = 0; i < 2; i++)
        REQUIRE_OK(file_write(file_join(path, test_dir(), FILES[i].name), FILES[i].text, strlen(FILES[i].text)));
    open_list("[{\"format\":\"captions\",\"files\":[\"one.tsv\",\"two.jsonl\"],\"each\":1},{\"name\":\"again\","
              "\"format\":\"captions\",\"files\":[\"two.jsonl\"],\"each\":1},{\"name\":\"max\",\"format\":\"captions\","
              "\"files\":[\"one.tsv\",\"two.jsonl\"],\"each\":2,\"max\":1}]");
    while (next())
        strncat(found, rec->sd_prompt, 1);
    CHECK_STR(found, "acdea");
    records_close(&reader);
    mixture_free(&mixture);
}

TEST(sources_hold_no_more_than_names_in_memory)
{
    enum { PICTURES = 20000, EACH = 5, TEXT = 600, ROWS = PICTURES * EACH, IDS = 20 * ROWS, NAMES = 100 * PICTURES, FIXED = 4 << 20 };
    char path[PATH_MAX], *text = mem_alloc(TEXT + 1);
    memset(text, 'x', TEXT);
    FILE *coco = fopen(file_join(path, test_dir(), "big.json"), "w"), *table = fopen(file_join(path, test_dir(), "big.tsv"), "w");
    REQUIRE(text && coco && table);
    fprintf(coco, "{\"annotations\":[");
    for (int i = 0; i < ROWS; i++) {
        fprintf(coco, "%s{\"id\":%d,\"image_id\":%d,\"caption\":\"%s\"}", i ? "," : "", i, i % PICTURES, text);
        fprintf(table, "%s\t%09d.jpg\n", text, i % PICTURES);
    }
    fprintf(coco, "],\"images\":[");
    for (int i = 0; i < PICTURES; i++)
        fprintf(coco, "%s{\"id\":%d,\"file_name\":\"%012d.jpg\"}", i ? "," : "", i, i);
    fprintf(coco, "]}");
    REQUIRE(!fclose(coco) && !fclose(table));
    size_t n = most_memory("[{\"format\":\"captions\",\"files\":\"big.json\"}]", ROWS);
    CHECK_MSG(n < FIXED + IDS + NAMES, "%zu bytes for COCO's %d captions", n, ROWS);
    n = most_memory("[{\"format\":\"captions\",\"files\":\"big.tsv\"}]", ROWS);
    CHECK_MSG(n < FIXED + IDS, "%zu bytes for a table of %d captions", n, ROWS);
    n = most_memory("[{\"format\":\"captions\",\"files\":[\"big.json\",\"big.tsv\"],\"each\":2}]", 4 * PICTURES);
    CHECK_MSG(n < FIXED + IDS + NAMES, "%zu bytes with two captions a picture", n);
    mem_free(text);
}
