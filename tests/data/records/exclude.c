/* exclude: which pictures a list of ids means. */
#include "data/records/exclude.h"

#include <stdio.h>

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
