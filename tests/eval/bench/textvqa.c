/* eval/bench/textvqa.c: scores, the question in a prompt, texts that were read, damage. */
#include "tests/eval/bench/golden.h"

#define SHORT "\nAnswer the question using a single word or phrase."

TEST(textvqa_scores_as_llava_does) { golden("textvqa"); }
TEST(textvqa_file_cut_in_half) { golden_halves("textvqa", (const char *const[]){"TextVQA_0.5.1_val.json", NULL}); }

TEST(textvqa_asks_with_the_texts_in_the_picture)
{
    char out[4096];
    golden_write("TextVQA_0.5.1_val.json",
                 "{\"data\":[{\"image_id\":\"ab\",\"question\":\"Who?\"},{\"image_id\":\"c\",\"question\":\"Why?\"}]}");
    CHECK_OK(golden_questions(out, sizeof out, "textvqa", NULL));
    CHECK_STR(out, "ab|Who?" SHORT "||train_images/ab.jpg\nc|Why?" SHORT "||train_images/c.jpg\n");
    golden_write("TextVQA_Rosetta_OCR_v0.2_val.json",
                 "{\"data\":[{\"image_id\":\"c\",\"ocr_tokens\":[]},{\"image_id\":\"ab\",\"ocr_tokens\":[\"x\",\"Y z\"]}]}");
    CHECK_OK(golden_questions(out, sizeof out, "textvqa", NULL));
    CHECK_STR(out, "ab|Who?\nReference OCR token: x, Y z" SHORT "||train_images/ab.jpg\nc|Why?\nReference OCR token: " SHORT
                   "||train_images/c.jpg\n");
    golden_write("TextVQA_Rosetta_OCR_v0.2_val.json", "{\"data\":[{\"image_id\":\"c\",\"ocr_tokens\":[5]}]}");
    CHECK_INT(golden_questions(out, sizeof out, "textvqa", NULL), ERR_DATA);
    CHECK(strstr(status_message(), "_val.json:1:40: is an integer, expected a text"));
    golden_write("TextVQA_0.5.1_val.json", "{\"dat\":[]}");
    CHECK_INT(golden_questions(out, sizeof out, "textvqa", NULL), ERR_DATA);
    CHECK(strstr(status_message(), "_val.json: holds no \"data\", an array of objects"));
}

static void check_prompt(const char *members, Status wanted, const char *why)
{
    Scores s;
    char line[512];
    snprintf(line, sizeof line, "{\"question_id\":\"ab\",%s\"text\":\"x\"}\n", members);
    golden_write("answers.jsonl", line);
    Status status = golden_score(&s, "textvqa", NULL);
    CHECK_MSG(status == wanted && (!why || strstr(status_message(), why)), "%s: status %d: %s", members, (int)status, status_message());
    scores_free(&s);
}

TEST(textvqa_finds_the_question_in_a_prompt)
{
    golden_write("TextVQA_0.5.1_val.json", "{\"data\":[{\"image_id\":\"ab\",\"question\":\"Who É?\",\"answers\":[\"x\"]}]}");
    check_prompt("\"prompt\":\"WHO é?\\nshort\",", OK, NULL);
    check_prompt("\"prompt\":\"who é?\\nReference OCR token: a\\nshort\",", OK, NULL);
    check_prompt("\"prompt\":\"Reference OCR token: a\\nwho é?\\nshort\",", OK, NULL);
    check_prompt("\"prompt\":\"OCR tokens: a Question: who é? Short answer:\",", OK, NULL);
    check_prompt("", ERR_DATA, "answers.jsonl:1: has no \"prompt\", which tells the questions of a picture apart");
    static const char *const NONE[] = {"who é?", "a\\nb\\nc", "OCR tokens: who é? Short answer:", "OCR tokens: Question: who é?", ""};
    for (int i = 0; i < 5; i++) {
        char members[128];
        snprintf(members, sizeof members, "\"prompt\":\"%s\",", NONE[i]);
        check_prompt(members, ERR_DATA, "answers.jsonl:1: \"prompt\" is no question of TextVQA: expected two lines");
    }
    check_prompt("\"prompt\":\"Where?\\nshort\",", ERR_DATA, "answers.jsonl:1: answers \"ab\\nwhere?\", which is no question");
}
