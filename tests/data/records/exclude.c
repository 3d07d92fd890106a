/* exclude: which pictures a list of ids means. */
#include "data/records/exclude.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/formats/file.h"
#include "tests/harness.h"

static Exclude list;

static void load(const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/ids.txt", test_dir());
    REQUIRE_OK(file_write(path, text, strlen(text)));
    exclude_free(&list);
    REQUIRE_OK(exclude_load(&list, path));
}

TEST(a_number_fits_the_names_that_sets_give_its_picture)
{
    load("\xEF\xBB\xBF# of POPE\n\n  33471 \r\n0007\n0");
    CHECK_INT(list.ids.n, 3);
    static const char *const FIT[] = {"33471.jpg", "train2017/000000033471.jpg", "COCO_val2014_000000033471.jpg",
                                      "a/COCO_train2014_33471.png", "33471/33471-input.png",
                                      "33471-output1.png", "33471-mask12.png", "33471", "7.jpg", "000.png"};
    static const char *const OTHERS[] = {"334710.jpg", "133471.jpg", "x33471.jpg", "33471-x.jpg", "33471-output.png", "33471-mask.png",
                                         "33471-output1x.png", "COCO_val2014_33471-input.png", "val_33471.jpg", "70.jpg", "", "33471/8.jpg",
                                         "33471.jpg/8.jpg"};
    for (size_t i = 0; i < sizeof FIT / sizeof *FIT; i++)
        CHECK_MSG(exclude_fits(&list, FIT[i]), "%s is not excluded", FIT[i]);
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++)
        CHECK_MSG(!exclude_fits(&list, OTHERS[i]), "%s is excluded", OTHERS[i]);
    exclude_free(&list);
}

TEST(other_text_fits_a_name_with_or_without_its_ending)
{
    load("sa_12.jpg\nCOCO_val2014_000000000042\n00012.png\n.hidden\n");
    CHECK(exclude_fits(&list, "sam/images/sa_12.jpg"));
    CHECK(!exclude_fits(&list, "sa_12.png"));
    CHECK(exclude_fits(&list, "COCO_val2014_000000000042.jpg"));
    CHECK(!exclude_fits(&list, "000000000042.jpg"));
    CHECK(exclude_fits(&list, "x/00012.png"));
    CHECK(!exclude_fits(&list, "12.png"));
    CHECK(exclude_fits(&list, ".hidden"));
    exclude_free(&list);
}

TEST(a_list_that_is_not_there_is_missing)
{
    char path[512], text[600];
    snprintf(path, sizeof path, "%s/none.txt", test_dir());
    snprintf(text, sizeof text, "%s: cannot be opened: No such file or directory", path);
    CHECK_FAILS(exclude_load(&list, path), ERR_MISSING, text);
}

TEST(lines_that_hold_something_else_are_noticed)
{
    static const struct {
        const char *text, *odd; /* NULL: nothing is */
        int64_t n, line;
    } CASES[] = {
        {"33471\nsa_12.jpg\n# 3, 4 of a/b\nmy picture, 2.jpg\n3#\n", NULL, 0, 0},
        {"1\n3, 4, 5\n6 7\n", "holds several ids, expected an id a line", 2, 2},
        {"[3,4]", "looks like JSON, expected an id a line", 1, 1},
        {"\"3\",\n", "looks like JSON, expected an id a line", 1, 1},
        {"\xEF\xBB\xBF# x\ntrain2017/1.jpg\n", "names a folder, and names are compared without", 1, 2},
        {"1.jpg # of POPE\n", "has # behind an id, and comments are lines of their own", 1, 1},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        load(CASES[i].text);
        CHECK_INT(list.n_odd, CASES[i].n);
        CHECK_INT(list.odd_line, CASES[i].line);
        CHECK_STR(list.odd ? list.odd : "", CASES[i].odd ? CASES[i].odd : "");
    }
    exclude_free(&list);
}

TEST(a_list_that_is_no_text_is_bad)
{
    char path[512], text[700];
    snprintf(path, sizeof path, "%s/ids.jpg", test_dir());
    snprintf(text, sizeof text, "%s:2: is no text in UTF-8 (it has zero bytes), expected an id of a picture a line", path);
    REQUIRE_OK(file_write(path, "1\n2\0003\n", 6));
    CHECK_FAILS(exclude_load(&list, path), ERR_DATA, text);
    snprintf(text, sizeof text, "%s:1:1: this is a gzip file; gunzip FILE unpacks it", path);
    REQUIRE_OK(file_write(path, "\x1f\x8b\x08\0\n", 5));
    CHECK_FAILS(exclude_load(&list, path), ERR_DATA, text);
}

/* A line may be longer than any path; it is the name of no picture. */
TEST(long_lines_exclude_nothing)
{
    enum { LONG = 70000 };
    char *text = malloc(LONG + 8), name[256];
    REQUIRE(text);
    memset(text, 'a', LONG);
    strcpy(text + LONG, "\n7\n");
    load(text);
    memset(name, 'a', 255);
    name[255] = 0;
    CHECK(list.ids.n == 2 && exclude_fits(&list, "7.jpg") && !exclude_fits(&list, name));
    exclude_free(&list);
    free(text);
}
