/* records: both kinds of rows, streamed; uids; everything a row can have wrong; damage. */
#include "data/records/records.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/formats/json.h"
#include "data/records/uids.h"
#include "kernels/base/arena.h"
#include "tests/data/mutate.h"
#include "tests/harness.h"

#define FORMS \
    "\"conversations\" or \"messages\" (\"turns\" in unified JSONL), a list of {\"from\": \"human\" or \"gpt\", \"value\": text} or " \
    "{\"role\": \"user\" or \"assistant\", \"content\": text}"

static Mixture mixture;
static RecordReader *reader;
static const Record *rec;

static void write_file(const char *name, const void *bytes, size_t n)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", test_dir(), name);
    unlink(path); /* replacing a file's contents in place makes some file systems flush to disk */
    FILE *f = fopen(path, "wb");
    REQUIRE(f && fwrite(bytes, 1, n, f) == n && !fclose(f));
}

static void open_list(const char *list)
{
    records_close(&reader);
    mixture_free(&mixture);
    REQUIRE_OK(mixture_load(&mixture, "data.mixture", NULL, list, test_dir()));
    REQUIRE_OK(records_open(&reader, &mixture));
}

/* One file of that text, source "s". */
static void open_text(const char *text)
{
    write_file("a.json", text, strlen(text));
    open_list("[{\"name\":\"s\",\"files\":[\"a.json\"]}]");
}

static bool next(void)
{
    REQUIRE_OK(records_next(reader, &rec));
    return rec != NULL;
}

#define CHECK_REJECTED(why, sentence)            \
    do {                                         \
        REQUIRE(next());                         \
        CHECK_INT(rec->reject, why);             \
        CHECK_STR(rec->message, sentence);       \
    } while (0)
#define CHECK_GOOD() \
    do {             \
        REQUIRE(next()); \
        CHECK_MSG(!rec->reject, "rejected: %s: %s", reject_name(rec->reject), rec->message); \
    } while (0)

/* Rows that stand otherwise; their uids are used all the same, and max does not count them. */
TEST(records_of_excluded_pictures)
{
    static const char ROWS[] = "{\"id\":\"a\",\"image\":\"x/000000000139.jpg\",\"conversations\":[]}\n"
                               "{\"id\":\"a\",\"image\":[\"ok.png\",\"COCO_val2014_000000000139.jpg\"],\"conversations\":[]}\n"
                               "{\"id\":\"a\",\"image\":\"139.jpg\",\"conversations\":5}\n"
                               "{\"uid\":\"u\",\"images\":[{\"path\":\"139-mask2.png\",\"role\":\"mask\"}],\"turns\":[]}\n"
                               "{\"id\":\"a\",\"image\":\"1390.jpg\",\"conversations\":[]}\n{\"id\":\"b\",\"conversations\":[]}";
    char sentence[700];
    write_file("a.jsonl", ROWS, sizeof ROWS - 1);
    write_file("ids.txt", "139", 3);
    static const char LIST[] = "{\"exclude_image_ids\":\"ids.txt\",\"sources\":[{\"name\":\"s\",\"files\":\"a.jsonl\",\"max\":1}]}";
    write_file("mixture.json", LIST, sizeof LIST - 1);
    snprintf(sentence, sizeof sentence, "%s/mixture.json", test_dir());
    REQUIRE_OK(mixture_load(&mixture, "data.mixture", sentence, NULL, NULL));
    REQUIRE_OK(records_open(&reader, &mixture));
    snprintf(sentence, sizeof sentence, "its picture is on the list %s/ids.txt", test_dir());
    CHECK_REJECTED(REJECT_LISTED, sentence);
    CHECK_STR(rec->uid, "s/a");
    CHECK_REJECTED(REJECT_LISTED, sentence);
    CHECK_STR(rec->uid, "s/a#1");
    REQUIRE(next());
    CHECK_INT(rec->reject, REJECT_BAD_TURNS);
    CHECK_REJECTED(REJECT_LISTED, sentence);
    CHECK_GOOD();
    CHECK_STR(rec->uid, "s/a#3");
    CHECK(!next());
}

TEST(records_llava_array)
{
    open_text("\xEF\xBB\xBF \n[{\"id\":\"x\",\"image\":\"a/b.jpg\",\"conversations\":[{\"from\":\"human\","
              "\"value\":\"<image>\\nQ\\ud83e\\udd99\\ud800\"},{\"from\":\"gpt\",\"value\":\"A\"}],\"model\":\"\",\"bbox\":[1,{\"x\":2}]},"
              "\n{\"id\":12,\"image\":[\"a.png\",\"b.png\"],\"conversations\":[],\"task\":\"vqa\"} ,\n"
              "{\"conversations\":[{\"from\":\"system\",\"value\":\"S\"},{\"from\":\"human\",\"value\":\"\"}],\"image\":null,"
              "\"weight\":\"no\"}]\n");
    CHECK_GOOD();
    CHECK(rec->number == 0 && rec->row == 0 && rec->source == 0 && rec->task == TASK_UNDERSTAND && rec->weight == 1);
    CHECK_STR(rec->id, "x");
    CHECK_STR(rec->uid, "s/x");
    CHECK(rec->n_images == 1 && rec->images[0].role == ROLE_INPUT);
    CHECK_STR(rec->images[0].path, "a/b.jpg");
    CHECK(rec->n_turns == 2 && rec->turns[0].human && !rec->turns[1].human);
    CHECK_STR(rec->turns[0].text, "<image>\nQ\U0001f999\uFFFD");
    CHECK_INT(rec->turns[0].length, 16);
    CHECK(rec->json[0] == '{' && rec->json[rec->json_length - 1] == '}');
    CHECK_INT(records_replaced_surrogates(reader), 1);
    CHECK_GOOD();
    CHECK(rec->number == 1 && rec->row == 1 && rec->n_images == 2 && rec->n_turns == 0);
    CHECK_STR(rec->uid, "s/12");
    CHECK_STR(rec->id, "12");
    CHECK_GOOD();
    CHECK_STR(rec->uid, "s/2");
    CHECK_STR(rec->id, "");
    CHECK(rec->n_images == 0 && rec->n_turns == 1 && rec->turns[0].human);
    CHECK_INT(rec->system.length, 1);
    CHECK_STR(rec->system.text, "S");
    CHECK(!next());
    CHECK(!next());
}

TEST(records_unified_lines)
{
    open_text("\n{\"schema\":\"genllava.sample/1\",\"uid\":\"i/1\",\"source\":\"i\",\"task\":\"edit\",\"split\":\"train\","
              "\"images\":[{\"path\":\"a.jpg\",\"role\":\"input\"},{\"path\":\"b.jpg\",\"role\":\"target\"},{\"path\":\"m.png\","
              "\"role\":\"mask\"},{\"path\":\"c.jpg\"}],\"turns\":[{\"from\":\"human\",\"value\":\"<image>\\nx\"},{\"from\":\"gpt\","
              "\"value\":\"<gen>\"}],\"sd\":{\"prompt\":\"p\",\"instruction\":\"q\"},\"scores\":{\"clip\":0.3},\"prov\":{\"index\":132},"
              "\"weight\":0.5}\r\n   \r\n{\"turns\":[{\"from\":\"human\",\"value\":\"x\"}],\"id\":\"1\"}");
    CHECK_GOOD();
    CHECK_STR(rec->uid, "i/1");
    CHECK_STR(rec->id, "i/1");
    CHECK(rec->task == TASK_EDIT && rec->weight == 0.5f && rec->n_images == 4 && rec->n_turns == 2);
    CHECK(rec->images[1].role == ROLE_TARGET && rec->images[2].role == ROLE_MASK && rec->images[3].role == ROLE_INPUT);
    CHECK_STR(rec->sd_prompt, "p");
    CHECK_STR(rec->sd_instruction, "q");
    CHECK(rec->json[rec->json_length - 1] == '}');
    CHECK_GOOD();
    CHECK_STR(rec->uid, "s/1");
    CHECK(rec->row == 1 && !rec->sd_prompt && rec->n_images == 0);
    CHECK(!next());
}

TEST(records_system_texts)
{
    static const char PAIR[] = "{\"from\":\"human\",\"value\":\"Q\"},{\"from\":\"gpt\",\"value\":\"A\"}]}";
    static const struct {
        const char *start, *system; /* NULL: the row cannot be used */
        int n_turns;
    } CASES[] = {
        {"{\"turns\":[{\"from\":\"system\",\"value\":\"Be \\u0000 brief\"},", "Be ", 2},
        {"{\"conversations\":[{\"from\":\"system\",\"value\":\"<image>\"},", "<image>", 2},
        {"{\"system\":\"Be\",\"conversations\":[", "Be", 2},
        {"{\"system\":\"Be\",\"turns\":[", "Be", 2},
        {"{\"system\":\" \",\"turns\":[", " ", 2},
        {"{\"system\":\"\",\"turns\":[{\"from\":\"system\",\"value\":\"\"},", "", 2}, /* empty ones are none */
        {"{\"system\":null,\"turns\":[{\"from\":\"system\",\"value\":\"Be\"},", "Be", 2},
        {"{\"system\":\"Be\",\"turns\":[{\"from\":\"system\",\"value\":\"\"},", "Be", 2},
        {"{\"system\":\"Be\",\"turns\":[{\"from\":\"system\",\"value\":\"Be\"},", "Be", 2},
        {"{\"turns\":[{\"from\":\"system\",\"value\":\"Be\"},{\"from\":\"gpt\",\"value\":\"first\"},", "Be", 3},
        {"{\"system\":\"Be\",\"turns\":[{\"from\":\"system\",\"value\":\"Do\"},", NULL, 0},
        {"{\"turns\":[{\"from\":\"system\",\"value\":\"Be\"},{\"from\":\"system\",\"value\":\"\"},", NULL, 0},
        {"{\"turns\":[{\"from\":\"human\",\"value\":\"Q\"},{\"from\":\"system\",\"value\":\"Be\"},", NULL, 0},
        {"{\"turns\":[{\"from\":\"system\",\"value\":5},", NULL, 0},
        {"{\"system\":5,\"turns\":[", NULL, 0},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char row[512];
        snprintf(row, sizeof row, "%s%s", CASES[i].start, PAIR);
        open_text(row);
        REQUIRE(next());
        CHECK_MSG(rec->reject == (CASES[i].system ? REJECT_NONE : REJECT_BAD_TURNS), "%s: %s", row, rec->message);
        if (CASES[i].system)
            CHECK_INT(rec->n_turns, CASES[i].n_turns);
        if (CASES[i].system && rec->system.length)
            CHECK_STR(rec->system.text, CASES[i].system);
        else
            CHECK(!CASES[i].system || !*CASES[i].system);
        if (i == 0)
            CHECK_INT(rec->system.length, 10);
    }
}

TEST(records_uids_are_unique)
{
    static const char *const WANTED[] = {"s/a", "s/a#1", "s/b", "s/a#2", "s/4", "s/a#1#1", "s/a#3"};
    open_text("[{\"id\":\"a\",\"conversations\":[]},{\"id\":\"a\",\"conversations\":[]},{\"id\":\"b\",\"conversations\":[]},{\"id\":\"a\","
              "\"conversations\":[]},{\"conversations\":[]},{\"id\":\"a#1\",\"conversations\":[]},{\"id\":\"a\",\"conversations\":[]}]");
    for (size_t i = 0; i < sizeof WANTED / sizeof *WANTED; i++) {
        CHECK_GOOD();
        CHECK_STR(rec->uid, WANTED[i]);
    }
    open_text("{\"uid\":\"u\",\"turns\":[]}\n{\"uid\":\"u\",\"turns\":[]}\n{\"uid\":\"v\",\"turns\":[]}\n");
    CHECK_GOOD();
    CHECK_REJECTED(REJECT_DUP, "the uid \"u\" was used by an earlier row");
    CHECK_INT(rec->number, 1);
    CHECK_GOOD();
    CHECK_INT(rec->number, 2);
}

TEST(records_many_equal_ids_stay_cheap)
{
    enum { N = 200000 };
    Table u = {.kind = TABLE_SET};
    char out[64], wanted[64];
    for (int i = 0; i < N; i++)
        REQUIRE_OK(uids_add_numbered(&u, "s/0", out));
    snprintf(wanted, sizeof wanted, "s/0#%d", N - 1);
    CHECK_STR(out, wanted);
    CHECK_INT(u.n, N);
    CHECK_MSG(u.capacity * sizeof *u.slots <= 16 * N, "%zu bytes for %d uids", u.capacity * sizeof *u.slots, N);
    table_free(&u);
}

TEST(records_of_several_sources)
{
    static const char A[] = "[{\"id\":1,\"conversations\":[]},{\"id\":2},{\"id\":3,\"conversations\":[]},{\"id\":4,\"conversations\":[]}]";
    static const char C[] = "{\"id\":1,\"conversations\":[],\"task\":\"understand\"}\n{\"id\":2,\"conversations\":[]}\n";
    write_file("a.json", A, sizeof A - 1);
    write_file("b.json", "", 0);
    write_file("c.jsonl", C, sizeof C - 1);
    open_list("[{\"name\":\"s\",\"files\":[\"a.json\"],\"max\":2},{\"name\":\"t\",\"files\":[\"b.json\",\"c.jsonl\",\"c.jsonl\"],"
              "\"task\":\"edit\"}]");
    static const struct {
        int64_t row;
        int source;
        Task task;
        const char *uid;
    } WANTED[] = {{0, 0, TASK_UNDERSTAND, "s/1"}, {1, 0, TASK_UNDERSTAND, "s/2"}, {2, 0, TASK_UNDERSTAND, "s/3"},
                  {0, 1, TASK_UNDERSTAND, "t/1"},
                  {1, 1, TASK_EDIT, "t/2"},       {0, 1, TASK_UNDERSTAND, "t/1#1"}, {1, 1, TASK_EDIT, "t/2#1"}};
    for (int i = 0; i < 7; i++) {
        REQUIRE(next());
        CHECK(rec->number == i && rec->row == WANTED[i].row && rec->source == WANTED[i].source && rec->task == WANTED[i].task);
        CHECK_STR(rec->uid, WANTED[i].uid);
        CHECK_INT(rec->reject, i == 1 ? REJECT_BAD_TURNS : REJECT_NONE);
    }
    CHECK(!next());
}

#define CUT_OFF "; the file was cut off"
#define ONE_BEFORE ", 1 row came before"
#define LOST "; the file cannot be read any further"

TEST(records_say_what_is_wrong_with_a_row)
{
    static const struct {
        const char *row;
        Reject why;
        const char *says;
    } CASES[] = {
        {"{\"id\":1,}", REJECT_BAD_JSON, "1:8: trailing comma: remove the ',' before '}'"},
        {"{\"id\":1,\"id\":2}", REJECT_BAD_JSON, "1:9: the key \"id\" stands twice in this object"},
        {"{\"id\":1}", REJECT_BAD_TURNS, "no \"conversations\", expected " FORMS},
        {"{\"conversations\":5}", REJECT_BAD_TURNS, "1:18: \"conversations\" is 5, expected " FORMS},
        {"{\"ask\":\"x\"}", REJECT_BAD_TURNS, "no \"conversations\", expected " FORMS},
        {"{\"conversations\":[\"x\"]}", REJECT_BAD_TURNS, "turn 0 does not say from whom it is"},
        {"{\"conversations\":[{\"from\":\"human\"}]}", REJECT_BAD_TURNS, "turn 0 has no text: its \"value\" is absent"},
        {"{\"conversations\":[{\"from\":\"human\",\"value\":5}]}", REJECT_BAD_TURNS, "turn 0 has no text: its \"value\" is an integer"},
        {"{\"conversations\":[{\"from\":\"humen\",\"value\":\"\"},{\"from\":\"human\",\"value\":\"\"}]}", REJECT_BAD_TURNS,
         "turn 0 is from \"humen\", expected human or gpt, or user or assistant"},
        {"{\"conversations\":[{\"from\":\"human\",\"value\":\"\"},{\"from\":\"tool\",\"value\":\"\"}]}", REJECT_BAD_TURNS,
         "turn 1 is from \"tool\", expected human or gpt, or user or assistant"},
        {"{\"conversations\":[{\"from\":\"human\",\"value\":\"\"},{\"from\":\"system\",\"value\":\"\"}]}", REJECT_BAD_TURNS,
         "turn 1 is from system, which only the first may be"},
        {"{\"system\":5,\"conversations\":[]}", REJECT_BAD_TURNS, "1:11: \"system\" is 5, expected a text"},
        {"{\"system\":\"a\",\"turns\":[{\"from\":\"system\",\"value\":\"b\"}]}", REJECT_BAD_TURNS,
         "another system text in the first turn than beside the turns"},
        {"{\"image\":5,\"conversations\":[]}", REJECT_BAD_JSON, "1:10: \"image\" is 5, expected a file name"},
        {"{\"image\":[\"a\",null],\"conversations\":[]}", REJECT_BAD_JSON, "1:15: \"image\" is null, expected a file name"},
        {"{\"sd\":{\"prompt\":\"a\\u0000b\"},\"turns\":[]}", REJECT_BAD_JSON,
         "1:17: \"prompt\" is \"a\", expected a text without U+0000"},
        {"{\"uid\":5,\"turns\":[]}", REJECT_BAD_JSON, "1:8: \"uid\" is 5, expected a string that is not empty"},
        {"{\"schema\":\"genllava.sample/2\",\"turns\":[]}", REJECT_BAD_JSON,
         "1:11: \"schema\" is \"genllava.sample/2\", expected \"genllava.sample/1\""},
        {"{\"task\":\"draw\",\"turns\":[]}", REJECT_BAD_JSON, "1:9: \"task\" is \"draw\", expected understand, generate or edit"},
        {"{\"weight\":-1,\"turns\":[]}", REJECT_BAD_JSON, "1:11: \"weight\" is -1, expected a number from 0"},
        {"{\"weight\":1e300,\"turns\":[]}", REJECT_BAD_JSON, "1:11: \"weight\" is 1e+300, expected a number from 0"},
        {"{\"images\":{},\"turns\":[]}", REJECT_BAD_JSON, "1:11: \"images\" is an object, expected an array"},
        {"{\"images\":[{}],\"turns\":[]}", REJECT_BAD_JSON, "1:12: this image has no \"path\""},
        {"{\"images\":[{\"path\":\"\"}],\"turns\":[]}", REJECT_BAD_JSON, "1:20: \"path\" is \"\", expected a file name"},
        {"{\"images\":[{\"path\":\"a\",\"role\":\"x\"}],\"turns\":[]}", REJECT_BAD_JSON,
         "1:31: \"role\" is \"x\", expected input, target or mask"},
        {"{\"split\":\"test\",\"turns\":[]}", REJECT_EXCLUDED, "its split is test"},
        {"{\"turns\":[]", REJECT_BAD_JSON, "1:12: expected ',' or '}' after a value, found the end of the file" CUT_OFF},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        open_text(CASES[i].row);
        CHECK_REJECTED(CASES[i].why, CASES[i].says);
        CHECK(!next());
    }
}

TEST(records_filter_by_scores)
{
    static const char LINES[] = "{\"uid\":\"a\",\"turns\":[],\"scores\":{\"clip\":0.2}}\n{\"uid\":\"b\",\"turns\":[],"
                                "\"scores\":{\"clip\":0.1}}\n{\"uid\":\"c\",\"turns\":[]}\n{\"uid\":\"d\",\"turns\":[],"
                                "\"scores\":{\"clip\":7}}\n";
    write_file("a.jsonl", LINES, strlen(LINES));
    open_list("[{\"files\":\"a.jsonl\",\"filter\":{\"clip\":[0.2,1]}}]");
    CHECK_GOOD();
    CHECK_REJECTED(REJECT_FILTERED, "the score \"clip\" is 0.1, wanted 0.2 to 1");
    CHECK_REJECTED(REJECT_FILTERED, "no score \"clip\"");
    CHECK(!rec->note);
    CHECK_REJECTED(REJECT_FILTERED, "the score \"clip\" is 7, wanted 0.2 to 1");
    CHECK(!next());
    open_list("[{\"files\":\"a.jsonl\",\"filter\":{\"clpi\":[null,1]}}]");
    CHECK_REJECTED(REJECT_FILTERED, "no score \"clpi\"; it has clip; did you mean \"clip\"?");
    CHECK_STR(rec->note, rec->message);
    open_list("[{\"files\":\"a.jsonl\",\"filter\":{\"aesthetics\":[null,1]}}]");
    CHECK_REJECTED(REJECT_FILTERED, "no score \"aesthetics\"; it has clip");
}

TEST(records_read_on_after_damage)
{
    open_text("[\n{\"id\":1,\"conversations\":[]},\n{\"id\":\"2,\n "
              "\"conversations\":[]},\n{\"id\":3,\"conversations\":[]}\n{\"id\":4,\"conversations\":[]},,7,\n{\"id\":5,"
              "\"conversations\":[]},]");
    CHECK_GOOD();
    CHECK_REJECTED(REJECT_BAD_JSON, "3:7: this string has no closing quote on its line (a line break inside is written \\n)");
    CHECK_GOOD();
    CHECK_STR(rec->uid, "s/3");
    CHECK_INT(rec->row, 2);
    CHECK_REJECTED(REJECT_BAD_JSON, "6:1: expected ',' or ']' after a row, found '{'");
    CHECK_GOOD();
    CHECK_STR(rec->uid, "s/4");
    CHECK_REJECTED(REJECT_BAD_JSON, "6:29: expected a row, found ','");
    CHECK_REJECTED(REJECT_BAD_JSON, "6:30: a row is an integer, expected an object");
    CHECK_GOOD();
    CHECK_STR(rec->uid, "s/5");
    CHECK_REJECTED(REJECT_BAD_JSON, "7:28: trailing comma: remove the ',' before ']'");
    CHECK(!next());
    open_text("[{\"id\":\"1\n{ \\\" 2\n3\" ,\"conversations\":[]},{\"id\":4,\"conversations\":[]}]");
    CHECK_REJECTED(REJECT_BAD_JSON, "1:8: this string has no closing quote on its line (a line break inside is written \\n)");
    CHECK_GOOD();
    CHECK_STR(rec->uid, "s/4");
    static const char *const CASES[][2] = {
        {"[{\"id\":1,\"conv", "1:2: the file ends inside this row" CUT_OFF},
        {"[", "1:2: expected a row, found the end of the file" CUT_OFF},
        {"[{}", "no \"conversations\", expected " FORMS},
        {"[] x", "1:4: expected nothing after the array, found 'x'" LOST},
        {"PAR1\x15", "1:1: this is a Parquet file; python3 -c \"import pandas; pandas.read_parquet('FILE').to_json('FILE.jsonl', "
                     "orient='records', lines=True)\" makes rows of it" LOST},
        {"\x1f\x8b\x08", "1:1: this is a gzip file; gunzip FILE unpacks it" LOST},
        {"hello", "1:1: expected '[' of a JSON array or '{' of JSON lines, found 'h'" LOST},
        {"\xFF[", "1:1: expected '[' of a JSON array or '{' of JSON lines, found the byte 0xff" LOST},
        {"\xFF\xFE[", "1:1: this is a UTF-16 file; iconv -f UTF-16 -t UTF-8 FILE > FILE.utf8 makes UTF-8 of it" LOST},
        {"\u00e9", "1:1: expected '[' of a JSON array or '{' of JSON lines, found 'é'" LOST},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        open_text(CASES[i][0]);
        REQUIRE(next());
        CHECK_STR(rec->message, CASES[i][1]);
        CHECK_INT(rec->ends_file, i != 2);
    }
    open_text("[{\"conversations\":[]}]\n [{\"conversations\":[]}] []"); /* arrays that were put together are read one after the other */
    CHECK_GOOD();
    CHECK_GOOD();
    CHECK(!next());
    open_text("[{\"conversations\":[]}"); /* cut off behind a row */
    CHECK_GOOD();
    CHECK_REJECTED(REJECT_BAD_JSON, "1:22: expected ',' or ']' after a row, found the end of the file" CUT_OFF ONE_BEFORE);
    CHECK(rec->ends_file && !next());
    open_text("{\"turns\":[]}\n{\"turns\":[{\"from\":\"hum"); /* and inside a line */
    CHECK_GOOD();
    CHECK_REJECTED(REJECT_BAD_JSON, "2:19: this string has no closing quote" CUT_OFF ONE_BEFORE);
    CHECK(rec->ends_file && !next());
    open_text("{\"turns\":[]}\n{\"turns\":[}"); /* only wrong */
    CHECK_GOOD();
    CHECK_REJECTED(REJECT_BAD_JSON, "2:11: expected a value, found '}'");
    CHECK(!rec->ends_file && !next());
    open_text("{\"turns\":[],\"uid\":\"a\"}\nnot json\n{\"turns\":[],\"uid\":\"b\"}\n");
    CHECK_GOOD();
    CHECK_REJECTED(REJECT_BAD_JSON, "2:1: expected a value, found 'n'");
    CHECK_GOOD();
}

TEST(records_missing_inputs_are_named)
{
    char wanted[1024];
    REQUIRE_OK(mixture_load(&mixture, "data.mixture",
                            NULL, "[{\"name\":\"s\",\"files\":[\"absent.json\"],\"image_root\":\"gone\"},{\"name\":\"t\","
                                            "\"files\":[\"here.json\",\".\",\"/dev/zero\",\"*.json\",\"https://a/b.json\"]}]", test_dir()));
    write_file("here.json", "[]", 2);
    snprintf(wanted, sizeof wanted,
             "%1$s/absent.json: cannot be opened: No such file or directory (a file of source \"s\" of the mixture)\n"
             "%1$s: is a folder, expected a JSON file (source \"t\" of the mixture)\n"
             "/dev/zero: is a device, expected a JSON file (source \"t\" of the mixture)\n"
             "%1$s/*.json: cannot be opened: No such file or directory; wildcards are not read, list the files (a file of source \"t\" of "
             "the mixture)\n"
             "%1$s/https://a/b.json: cannot be opened: No such file or directory; addresses are not fetched (a file of source \"t\" of the "
             "mixture)\n"
             "%1$s/gone: No such file or directory (image_root of source \"s\" of the mixture)", test_dir());
    CHECK_FAILS(records_open(&reader, &mixture), ERR_MISSING, wanted);
    static const char TEXT_ROW[] = "[{\"conversations\":[]},", PICTURE_ROW[] = "{\"image\":\"a.png\",\"conversations\":[]}]";
    char both[sizeof TEXT_ROW + sizeof PICTURE_ROW];
    snprintf(both, sizeof both, "%s%s", TEXT_ROW, PICTURE_ROW);
    write_file("a.json", both, strlen(both));
    mixture_free(&mixture);
    REQUIRE_OK(mixture_load(&mixture, "data.mixture", NULL, "[{\"name\":\"s\",\"files\":[\"a.json\"],\"image_root\":\"pictures\"},"
                                            "{\"name\":\"t\",\"files\":[\"here.json\"],\"image_root\":\"a.json\"}]", test_dir()));
    snprintf(wanted, sizeof wanted,
             "%1$s/pictures: No such file or directory (image_root of source \"s\" of the mixture)\n"
             "%1$s/a.json: is not a folder (image_root of source \"t\" of the mixture)", test_dir());
    REQUIRE_OK(records_open(&reader, &mixture));
    REQUIRE_OK(records_next(reader, &rec)); /* text needs no folder */
    CHECK_FAILS(records_next(reader, &rec), ERR_MISSING, wanted);
    records_close(&reader);
    mixture_free(&mixture);
}

/* ---------------------------------------------------------------- size and damage */

TEST(records_memory_does_not_grow_with_the_file)
{
    enum { ROWS = 40000, TEXT = 2000, MOST = 8 << 20 };
    char path[512], *text = mem_alloc(TEXT + 1);
    snprintf(path, sizeof path, "%s/big.json", test_dir());
    FILE *f = fopen(path, "w");
    REQUIRE(f && text);
    memset(text, 'x', TEXT);
    for (int i = 0; i < ROWS; i++)
        fprintf(f, "%s{\"id\":\"%d\",\"conversations\":[{\"from\":\"human\",\"value\":\"%s\"}]}", i ? "," : "[", i, text);
    fprintf(f, "]");
    REQUIRE(!fclose(f));
    open_list("[{\"files\":\"big.json\"}]");
    size_t before = mallinfo2().uordblks, most = 0;
    for (int i = 0; i < ROWS; i++) {
        CHECK_GOOD();
        size_t now = mallinfo2().uordblks + mallinfo2().hblkhd;
        most = now > most ? now : most;
    }
    CHECK(!next());
    CHECK_MSG(most - before < MOST, "%zu bytes held for a file of %d rows", most - before, ROWS);
    mem_free(text);
}

/* Every file that is still JSON gives all its rows; every other one ends, with sentences. */
static void damage(const char *sample, size_t n, uint32_t rounds, bool array)
{
    char *text = mem_alloc(n + 64);
    int whole = 0;
    REQUIRE(text);
    for (uint32_t round = 0; round < rounds; round++) {
        memcpy(text, sample, n);
        size_t m = mutate(text, n, round), rows = 0, bad = 0;
        write_file("a.json", text, m);
        open_list("[{\"name\":\"s\",\"files\":[\"a.json\"]}]");
        for (; next(); rows++) {
            bad += rec->reject == REJECT_BAD_JSON;
            CHECK(!rec->reject || *rec->message);
            CHECK(rows < m);
        }
        JsonDoc *d;
        if (array && !json_parse(&d, text, m, "x")) {
            if (json_root(d)->kind == JSON_ARRAY) {
                whole++;
                CHECK_MSG(rows == json_root(d)->length, "round %u: %zu rows of %zu", round, rows, json_root(d)->length);
            }
            json_free(&d);
        } else if (array) {
            CHECK_MSG(bad || !m || !memchr(text, '[', m), "round %u: nothing said about %.*s", round, (int)m, text);
        }
    }
    CHECK(!array || whole > 100);
    mem_free(text);
}

TEST(records_damaged_arrays_end_with_sentences)
{
    static const char SAMPLE[] = "[{\"id\":\"x\",\"image\":\"a/b.jpg\",\"conversations\":[{\"from\":\"human\",\"value\":\"<image>\\nQ\"},"
                                 "{\"from\":\"gpt\",\"value\":\"A\"}]},\n "
                                 "{\"id\":12,\"image\":[\"a.png\"],\"conversations\":[{\"from\":\"human\",\"value\":\"é\"}]}]";
    damage(SAMPLE, sizeof SAMPLE - 1, 4000, true);
}

TEST(records_damaged_lines_end_with_sentences)
{
    static const char SAMPLE[] = "{\"uid\":\"x\",\"task\":\"edit\",\"images\":[{\"path\":\"a\",\"role\":\"input\"}],"
                                 "\"turns\":[{\"from\":\"human\",\"value\":\"x\"}]}\n{\"uid\":\"y\",\"turns\":[{\"from\":\"human\","
                                 "\"value\":\"x\"},{\"from\":\"gpt\",\"value\":\"x\"}],\"weight\":0.5}\n";
    damage(SAMPLE, sizeof SAMPLE - 1, 4000, false);
}
