/* eval/bench/pope.c: scores, ids with and without LLaVA's merged file, damage. */
#include "data/formats/file.h"
#include "tests/eval/bench/golden.h"

static const char *const FILES[] = {"coco/coco_pope_adversarial.json", "coco/coco_pope_popular.json", "coco/coco_pope_random.json"};
#define SHORT "\\nAnswer the question using a single word or phrase."

TEST(pope_scores_as_its_authors_do) { golden("pope"); }

TEST(pope_files_cut_in_half) { golden_halves("pope", (const char *const[]){FILES[0], FILES[1], FILES[2], "llava_pope_test.jsonl", NULL}); }

/* One question a category: "yes", "no", "yes". */
static void small_world(const char *folder)
{
    static const char *const NAMES[] = {"adversarial", "popular", "random"}, *const LABELS[] = {"yes", "no", "yes"};
    for (int i = 0; i < 3; i++) {
        char name[128], text[256];
        snprintf(name, sizeof name, "%scoco_pope_%s.json", folder, NAMES[i]);
        snprintf(text, sizeof text, "{\"question_id\":1,\"image\":\"%d.jpg\",\"text\":\"Is it?\",\"label\":\"%s\"}\n", i, LABELS[i]);
        golden_write(name, text);
    }
}

TEST(pope_counts_ids_without_the_merged_file)
{
    char out[4096];
    Scores s;
    small_world("");
    CHECK_OK(golden_questions(out, sizeof out, "pope", NULL));
    CHECK_STR(out, "1#|Is it?\nAnswer the question using a single word or phrase.||val2014/0.jpg\n"
                   "2#|Is it?\nAnswer the question using a single word or phrase.||val2014/1.jpg\n"
                   "3#|Is it?\nAnswer the question using a single word or phrase.||val2014/2.jpg\n");
    golden_write("answers.jsonl", "{\"question_id\":1,\"text\":\"\"}\n{\"question_id\":2,\"text\":\"no\"}\n");
    CHECK_OK(golden_score(&s, "pope", NULL));
    CHECK_INT(s.n_missing, 1);
    CHECK(golden_value(&s, "adversarial/f1") == 100 && golden_value(&s, "popular/f1") == 0 && golden_value(&s, "random/recall") == 0);
    CHECK(golden_value(&s, "popular/accuracy") == 100 && golden_value(&s, "popular/precision") == 0); /* nobody said yes */
    CHECK(golden_value(&s, "random/accuracy") == 0);
    scores_free(&s);
}

static void refused(const char *file, const char *text, const char *why)
{
    Scores s;
    small_world("");
    golden_write("answers.jsonl", "");
    golden_write(file, text);
    CHECK_INT(golden_score(&s, "pope", NULL), ERR_DATA);
    CHECK_MSG(strstr(status_message(), file) && strstr(status_message(), why), "%s, wanted %s", status_message(), why);
    scores_free(&s);
}

TEST(pope_refuses_what_does_not_fit_together)
{
    refused("coco_pope_random.json", "{\"image\":\"\",\"text\":\"\",\"label\":\"Yes\"}",
            ":1:1: \"label\" is \"Yes\", expected \"yes\" or \"no\"");
    refused("coco_pope_random.json", "\n", ": holds no rows");
#define LINE(category) "{\"question_id\":\"q\",\"image\":\"0.jpg\",\"text\":\"Is it?" SHORT "\",\"category\":\"" category "\"}\n"
    refused("llava_pope_test.jsonl", LINE("other"), ":1:1: \"category\" is \"other\", expected adversarial, popular or random");
    refused("llava_pope_test.jsonl", LINE("random") LINE("random"),
            ":2: is question 2 of random, and coco_pope_random.json has 1 labels: they are of different revisions");
    refused("llava_pope_test.jsonl", LINE("popular"),
            ": has 0 questions of adversarial, and coco_pope_adversarial.json has 1 labels: they are of different revisions");
}

TEST(pope_needs_all_three_files)
{
    char out[256];
    small_world("");
    REQUIRE_OK(file_remove(golden_path("coco_pope_popular.json")));
    CHECK_INT(golden_questions(out, sizeof out, "pope", NULL), ERR_MISSING);
    CHECK(strstr(status_message(), "coco_pope_popular.json"));
}
