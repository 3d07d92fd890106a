/* eval/bench/seed.c: scores, prompts, ids of digits, the submission, damage. */
#include "data/formats/file.h"
#include "kernels/base/arena.h"
#include "tests/eval/bench/golden.h"

#define QUESTION(id, type, data)                                                      \
    "{\"question_id\":\"" id "\",\"question_type_id\":" type ",\"data_type\":\"" data \
    "\",\"data_id\":\"d\",\"question\":\"Who?\",\"choice_a\":\"1\","                  \
    "\"choice_b\":\"2\",\"choice_c\":\"3\",\"choice_d\":4,\"answer\":\"B\"}"
#define WORLD \
    "{\"question_type\":{\"Scene\":1,\"Action\":10},\"questions\":[" QUESTION("12", "1", "image") "," QUESTION("v1", "10", "video") "]}"
#define ASKED "Who?\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer with the option's letter from the given choices directly."

TEST(seed_scores_as_llava_does) { golden("seed"); }

TEST(seed_file_cut_in_half) { golden_halves("seed", (const char *const[]){"SEED-Bench.json", NULL}); }

TEST(seed_asks_of_pictures_and_of_frames)
{
    char out[4096];
    golden_write("SEED-Bench.json", WORLD);
    CHECK_OK(golden_questions(out, sizeof out, "seed", NULL));
    CHECK_STR(out, "12#|" ASKED "||SEED-Bench-image/d\nv1|" ASKED "||SEED-Bench-video-image/10_v1.png\n");
}

TEST(seed_counts_only_the_letter_itself)
{
    Scores s;
    golden_write("SEED-Bench.json", WORLD);
    golden_write("answers.jsonl", "{\"question_id\":12,\"text\":\"B\"}\n{\"question_id\":\"v1\",\"text\":\"B.\"}\n");
    REQUIRE_OK(golden_score(&s, "seed", NULL));
    CHECK(golden_value(&s, "total") == 50 && golden_value(&s, "image") == 100 && golden_value(&s, "video") == 0);
    CHECK(golden_value(&s, "type/Scene") == 100 && golden_value(&s, "type/Action") == 0);
    CHECK_INT(s.n, 2);
    CHECK_INT(s.n_missing, 0);
    scores_free(&s);
    golden_write("answers.jsonl", "{\"question_id\":\"v1\",\"text\":\"B\"}\n");
    REQUIRE_OK(golden_score(&s, "seed", NULL));
    CHECK(golden_value(&s, "total") == 50 && golden_value(&s, "image") == 0);
    CHECK_INT(s.n_missing, 1);
    scores_free(&s);
}

static Status submit(void)
{
    const Bench *b = bench_named("seed");
    const BenchData d = {.dir = test_dir(), .split = b->split};
    const char *file = golden_path("answers.jsonl");
    Answers *a;
    REQUIRE_OK(answers_read(&a, &file, 1, b->key));
    Status s = b->submit(&d, a, golden_path("written.jsonl"));
    answers_free(&a);
    return s;
}

TEST(seed_submits_every_question_with_the_id_of_the_file)
{
    char *ours, *theirs, wanted[512];
    size_t n, m;
    golden_world("seed");
    REQUIRE_OK(submit());
    REQUIRE_OK(file_read(&ours, &n, golden_path("written.jsonl"), 1 << 20));
    REQUIRE_OK(file_read(&theirs, &m, golden_path("submission.jsonl"), 1 << 20));
    CHECK_STR(ours, theirs);
    mem_free(ours);
    mem_free(theirs);
    REQUIRE_OK(file_remove(golden_path("written.jsonl")));
    golden_write("SEED-Bench.json", WORLD);
    golden_write("answers.jsonl", "{\"question_id\":12,\"text\":\"B\"}\n");
    snprintf(wanted, sizeof wanted, "question \"v1\" of %s/SEED-Bench.json has no answer, and a submission holds them all", test_dir());
    CHECK_FAILS(submit(), ERR_DATA, wanted);
    CHECK(!file_exists(golden_path("written.jsonl")));
}

static void refused(const char *text, const char *why)
{
    Scores s;
    char wanted[512];
    golden_write("SEED-Bench.json", text);
    golden_write("answers.jsonl", "");
    snprintf(wanted, sizeof wanted, "%s/SEED-Bench.json%s", test_dir(), why);
    CHECK_FAILS(golden_score(&s, "seed", NULL), ERR_DATA, wanted);
    scores_free(&s);
}

TEST(seed_refuses_what_is_no_question)
{
    refused("{}", ":1:1: \"question_type\" is absent, expected an object");
    refused("{\"question_type\":{}}", ":1:1: \"questions\" is absent, expected an array");
    refused("{\"question_type\":{},\"questions\":[4]}", ":1:34: is an integer, expected a question, an object");
    refused("{\"question_type\":{},\"questions\":[{\"question_id\":4}]}", ":1:49: \"question_id\" is 4, expected a string");
    refused("{\"question_type\":{\"x\":1},\"questions\":[" QUESTION("1", "2", "image") "]}",
            ":1:39: question_type_id is 2, which \"question_type\" does not name");
}
