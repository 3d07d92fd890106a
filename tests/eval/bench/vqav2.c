/* eval/bench/vqav2.c, and soft.h which it shares: scores, submissions and damage. */
#include <math.h>

#include "eval/bench/soft.h"
#include "tests/eval/bench/golden.h"

TEST(vqav2_scores_as_its_authors_do) { golden("vqav2"); }

TEST(vqav2_submits_every_question_of_the_test)
{
    golden_submission("vqav2", "test2015", "submission.json");
    golden_submission("vqav2", "test-dev2015", "submission.json");
}

TEST(vqav2_files_cut_in_half) { golden_halves("vqav2", (const char *const[]){"v2_mscoco_val2014_annotations.json", NULL}); }

TEST(vqav2_asks_with_its_suffix)
{
    char out[1 << 16];
    golden_world("vqav2");
    CHECK_OK(golden_questions(out, sizeof out, "vqav2", NULL));
    CHECK(strstr(out,
                   "1000#|What is 0?\nAnswer the question using a single word or phrase.||val2014/COCO_val2014_000000000042.jpg\n"
                   "1007#|") == out);
    golden_write("v2_OpenEnded_mscoco_test-dev2015_questions.json",
                 "{\"questions\":[{\"question_id\":3,\"image_id\":7,\"question\":\"Who?\"}]}");
    CHECK_OK(golden_questions(out, sizeof out, "vqav2", "test-dev2015"));
    CHECK_STR(out, "3#|Who?\nAnswer the question using a single word or phrase.||test2015/COCO_test2015_000000000007.jpg\n");
}

static void refused(const char *annotations, const char *why)
{
    Scores s;
    char wanted[512];
    golden_write("v2_mscoco_val2014_annotations.json", annotations);
    snprintf(wanted, sizeof wanted, "%s/v2_mscoco_val2014_annotations.json%s", test_dir(), why);
    CHECK_FAILS(golden_score(&s, "vqav2", NULL), ERR_DATA, wanted);
    scores_free(&s);
}

TEST(vqav2_refuses_what_is_no_annotation)
{
    golden_world("vqav2");
    refused("{\"questions\":[]}", ": holds no \"annotations\", an array of objects");
    refused("{\"annotations\":[\n5]}", ":2:1: is an integer, expected an object");
    refused("{\"annotations\":[\n{\"answers\":[]}]}", ":2:1: \"question_id\" is absent, expected an integer");
    refused("{\"annotations\":[{\"question_id\":1}]}", ":1:17: has no \"answers\", so this split cannot be scored here");
    refused("{\"annotations\":[{\"question_id\":1,\"answers\":[{\"answer\":1}]}]}",
            ":1:45: expected an answer of an annotator: a text, or an object with a text \"answer\"");
}

TEST(vqav2_has_no_labels_of_the_test)
{
    Scores s;
    golden_world("vqav2");
    CHECK_FAILS(golden_score(&s, "vqav2", "test2015"), ERR_DATA,
                "vqav2: the labels of test2015 are not public; evaluate vqav2 submit writes what their server takes");
    scores_free(&s);
}

TEST(a_missing_answer_is_wrong_and_the_last_of_several_counts)
{
    Scores s;
    golden_world("vqav2");
    golden_write("v2_mscoco_val2014_annotations.json",
                 "{\"annotations\":[{\"question_id\":1,\"answers\":[\"a b\",\"a b\"]},"
                 "{\"question_id\":2,\"answers\":[\"\",\"\",\"\",\"\"]},"
                 "{\"question_id\":3,\"answers\":[\"Cat\",\"Cat\",\"Cat\",\"Cat\"]}]}");
    golden_write("answers.jsonl",
                 "{\"question_id\":1,\"text\":\"x\"}\n{\"question_id\":1,\"text\":\"a b\\n\"}\n{\"question_id\":3,\"text\":\"cat\"}\n");
    CHECK_OK(golden_score(&s, "vqav2", NULL));
    CHECK_INT(s.n, 3);
    CHECK_INT(s.n_missing, 1);
    CHECK(fabs(golden_value(&s, "overall") - 100.0 / 9) < 1e-12); /* one other of one said so; and agreed answers keep their capitals */
    scores_free(&s);
}

TEST(an_answer_to_no_question)
{
    Scores s;
    char wanted[512];
    golden_world("vqav2");
    golden_write("answers.jsonl", "{\"question_id\":1000,\"text\":\"x\"}\n{\"question_id\":\"none\",\"text\":\"x\"}\n");
    snprintf(wanted, sizeof wanted, "%s/answers.jsonl:2: answers \"none\", which is no question of this benchmark and split", test_dir());
    CHECK_FAILS(golden_score(&s, "vqav2", NULL), ERR_DATA, wanted);
    scores_free(&s);
}

TEST(soft_accuracy_of_ten)
{
    static const double WANTED[] = {0, 0.3, 0.6, 0.9, 1, 1, 1, 1, 1, 1, 1};
    for (int c = 0; c <= 10; c++) {
        Span truth[10];
        for (int i = 0; i < 10; i++)
            truth[i] = i < c ? SPAN("a") : SPAN("b");
        CHECK(fabs(soft_accuracy((Spans){truth, 10}, SPAN("a")) - WANTED[c]) < 1e-15);
    }
    CHECK(soft_accuracy((Spans){NULL, 0}, SPAN("a")) == 0);
}
