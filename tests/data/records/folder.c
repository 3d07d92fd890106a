/* The layout of a folder of pictures with a text of the same name beside each, and what is wrong with its files. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/records/records.h"
#include "tests/harness.h"

static Mixture mixture;
static RecordReader *reader;
static const Record *rec;

static void put(const char *name, const char *text)
{
    char path[PATH_MAX], folder[PATH_MAX];
    snprintf(path, sizeof path, "%s/photos/%s", test_dir(), name);
    REQUIRE_OK(file_make_folders(file_folder(folder, path)));
    REQUIRE_OK(file_write(path, text, strlen(text)));
}

static void open_folder(const char *more)
{
    char list[256];
    snprintf(list, sizeof list, "[{\"format\":\"folder\",\"root\":\"photos\"%s}]", more);
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

static void check_row(const char *uid, const char *picture, const char *prompt)
{
    REQUIRE(next());
    CHECK_STR(rec->uid, uid);
    CHECK_STR(reject_name(rec->reject), "");
    CHECK_INT(rec->task, TASK_GENERATE);
    REQUIRE(rec->n_images == 1);
    CHECK_STR(rec->images[0].path, picture);
    CHECK_INT(rec->images[0].role, ROLE_TARGET);
    CHECK_STR(rec->sd_prompt, prompt);
}

static void check_bad(const char *uid, const char *why, const char *sentence)
{
    REQUIRE(next());
    CHECK_STR(rec->uid, uid);
    CHECK_STR(reject_name(rec->reject), why);
    CHECK_STR(rec->message, sentence);
}

/* A byte order mark, lines of Windows, blank lines, upper case, dots in names; two pictures may share a text. */
TEST(folder_has_a_row_for_each_caption)
{
    put("b.jpg", "");
    put("b.txt", "\xEF\xBB\xBF  a red door\r\n\r\n a blue door\r\n");
    put("a.JPG", "");
    put("a.TXT", "a cat");
    put("c.v2.png", "");
    put("c.v2.txt", "a hat\n");
    put("c.v2.webp", "");
    put(".hidden", "");
    open_folder("");
    check_row("photos/a.JPG", "a.JPG", "a cat");
    check_row("photos/b.jpg", "b.jpg", "a red door");
    CHECK_STR(rec->prov.file, "b.txt");
    CHECK_INT(rec->prov.index, 0);
    check_row("photos/b.jpg#1", "b.jpg", "a blue door");
    CHECK_INT(rec->prov.index, 2);
    check_row("photos/c.v2.png", "c.v2.png", "a hat");
    check_row("photos/c.v2.webp", "c.v2.webp", "a hat");
    CHECK(!next());
    open_folder(",\"each\":1,\"as\":\"understand\"");
    for (int i = 0; i < 4; i++)
        REQUIRE(next());
    CHECK(!next());
    open_folder(",\"as\":\"understand\"");
    REQUIRE(next());
    CHECK_INT(rec->task, TASK_UNDERSTAND);
    CHECK_INT(rec->images[0].role, ROLE_INPUT);
    CHECK_INT((int)rec->turns[1].length, 5);
    CHECK(!memcmp(rec->turns[1].text, "a cat", 5));
}

TEST(folder_names_pictures_and_texts_that_stand_alone)
{
    put("a.jpg", "");
    put("b.jpg", "");
    put("b.txt", " \n\t\n");
    put("c.jpg", "");
    put("c.txt", "fine\na caf\xE9\n");
    put("lost.txt", "a dog");
    put("more/d.jpg", "");
    put("secret", "s");
    put("../passwords", "s");
    REQUIRE(!symlink("../passwords", file_join((char[PATH_MAX]){0}, test_dir(), "photos/secret.txt")));
    open_folder("");
    check_bad("photos/a.jpg", "no_prompt", "no caption is beside it, expected one in a.txt");
    check_bad("photos/b.jpg", "no_prompt", "the text is empty, expected a caption of b.jpg");
    check_row("photos/c.jpg", "c.jpg", "fine");
    check_bad("photos/c.jpg#1", "bad_json", "line 2: expected UTF-8, found the byte 0xe9");
    check_bad("photos/lost.txt", "missing", "no picture of this name is beside it");
    check_bad("photos/more", "no_prompt", "no caption is beside it, expected one in more.txt");
    REQUIRE(next());
    CHECK_STR(reject_name(rec->reject), "outside_root");
    CHECK(!next());
}
