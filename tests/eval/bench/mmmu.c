/* eval/bench/mmmu.c, mmmu_reply.c, pylist.c: letters and open answers, lists as Python writes them, prompts, subjects, damage. */
#include "data/formats/file.h"
#include "eval/bench/mmmu_reply.h"
#include "eval/bench/pylist.h"
#include "tests/eval/bench/golden.h"

#define LETTER "Answer with the option's letter from the given choices directly."

TEST(mmmu_scores_as_its_authors_do) { golden("mmmu"); }
TEST(mmmu_file_cut_in_half) { golden_halves("mmmu", (const char *const[]){"validation.jsonl", NULL}); }
TEST(mmmu_submits_letters_and_replies) { golden_submission("mmmu", NULL, "submission.json"); }

/* ---------------------------------------------------------------- lists */

static void check_list(const char *text, const char *wanted)
{
    Pool pool = {0};
    Spans list;
    char found[256] = "";
    if (!py_list(&pool, span_of(text), &list))
        snprintf(found, sizeof found, "no list");
    else
        for (int i = 0; i < list.n; i++)
            snprintf(found + strlen(found), sizeof found - strlen(found), "%.*s;", (int)list.item[i].n, list.item[i].s);
    CHECK_STR(found, wanted);
    pool_free(&pool);
}

TEST(pylist_reads_texts_as_python_does)
{
    check_list("[]", "");
    check_list(" [ 'a' , \"b\", ] ", "a;b;");
    check_list("['it\\'s', \"it's\", 'say \"x\"']", "it's;it's;say \"x\";");
    check_list("['\\x41\\u00e9\\U0001F642\\101\\n\\t\\\\']", "Aé🙂A\n\t\\;");
    check_list("['\\7', '\\q', 'a\\\nb']", "\a;\\q;ab;");
    check_list("['\\ud800', '\\U7FFFFFFF']", "\xEF\xBF\xBD;\xEF\xBF\xBD;");
    static const char *const NONE[] = {"",    "[",       "['a'",     "['a",       "['a' 'b']",     "[,]",      "['a',,]", "[1]",
                                       "'a'", "['a'] x", "['\\x4']", "['\\u12']", "['\\N{DASH}']", "['a\nb']", "['\\",    "[a]"};
    for (size_t i = 0; i < sizeof NONE / sizeof *NONE; i++)
        check_list(NONE[i], "no list");
}

/* ---------------------------------------------------------------- letters */

TEST(mmmu_reads_letters_in_brackets_then_spaced_then_texts)
{
    static const struct {
        const char *text;
        char wanted;
    } CASES[] = {
        {"B", 'B'},
        {"B.", 'B'},
        {",.B';", 'B'},
        {"'B.'", 0}, /* each is stripped once, in order */
        {"b", 0},
        {"(A) or (B)", 'B'},
        {"(B) or (A), not (B", 'A'},
        {"B then (A)", 'A'},
        {"A B A", 'A'},
        {"E", 0},
        {"I say Cat", 0}, /* fewer than six words */
        {"so it is a CAT or a dog", 'B'},
        {"so it is a dog, a cat is none", 'A'},
        {"nothing of these can be seen here", 0},
        {"", 0},
    };
    Pool pool = {0};
    Spans options = {(Span[]){SPAN("cat"), SPAN("Dog"), SPAN("bird")}, 3};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        const char found = mmmu_letter(&pool, span_of(CASES[i].text), options);
        CHECK_MSG(found == CASES[i].wanted, "\"%s\": %d, wanted %d", CASES[i].text, found, CASES[i].wanted);
    }
    pool_free(&pool);
}

/* ---------------------------------------------------------------- open answers */

static bool is_right(const char *reply, const char *answer)
{
    Pool pool = {0};
    const bool out = mmmu_is_right(&pool, span_of(reply), (Spans){(Span[]){span_of(answer)}, 1});
    pool_free(&pool);
    return out;
}

TEST(mmmu_finds_numbers_in_open_answers)
{
    CHECK(is_right("1,234.5", "1234.5"));
    CHECK(is_right("It is 1,234.5", "1234.5") && !is_right("It is 1,234.5 watts", "1234.5"));
    CHECK(is_right("It is 1,234.5 watts", "1234") && is_right("It is 1,234.5 watts", "234.5") && !is_right("It is 1,234.5 watts", "1"));
    CHECK(is_right("about 1e-3 of it", "0.001") && is_right("2E+5", "200000"));
    CHECK(is_right("36 watts", "36") && !is_right("36watts", "36"));
    CHECK(is_right("it is -.5", "-0.5") && is_right("--3", "-3"));
    CHECK(is_right("3.14, or so", "3") && !is_right("x 3.14, x", "3.14")); /* a comma may not follow */
    CHECK(is_right("12,345,678 men", "12345678") && !is_right("1,2345 men", "12345"));
    CHECK(is_right("0.126", "0.13") && is_right("0.125", "0.12")); /* to the even of equals */
    CHECK(is_right("nan", "nan") == false);
    CHECK(is_right("\u0663\u0664 x", "34")); /* digits of any script */
    CHECK(!is_right("3\u00b2", "3"));        /* a superscript is of the word */
    CHECK(is_right("$7", "7") && is_right("7_", "7") == false);
}

TEST(mmmu_finds_words_in_the_tails_of_open_answers)
{
    CHECK(is_right("It is the Red car.", "red car") && is_right("The answer is not seen", "answer") == false);
    CHECK(is_right("So the result is cat\nno", "cat"));
    CHECK(is_right("x = 5, y = cat", "cat") && is_right("y=cat\nit is so", "cat") == false);
    CHECK(is_right("nothing to be seen, cat", "cat")); /* no tail: the whole reply */
    CHECK(is_right("it is ", "is"));                   /* an empty tail is none */
    CHECK(is_right("it is :", "it"));                  /* nor is a sign alone */
    CHECK(is_right("a b", "b") && is_right("ab", "b") == false && is_right("b", "b"));
    CHECK(is_right("É", "é"));
}

/* ---------------------------------------------------------------- rows */

static void put_row(const char *id, const char *rest)
{
    char row[2048];
    snprintf(row, sizeof row, "{\"id\":\"%s\",\"question\":\"Who <image 1>?\",%s}\n", id, rest);
    golden_write("validation.jsonl", row);
}

static void check_prompt(const char *rest, const char *wanted)
{
    char out[2048];
    put_row("validation_Art_1", rest);
    CHECK_OK(golden_questions(out, sizeof out, "mmmu", NULL));
    CHECK_STR(out, wanted);
}

TEST(mmmu_asks_as_its_configuration_for_llava_does)
{
    check_prompt("\"question_type\":\"multiple-choice\",\"options\":\"['a', 'b']\",\"image_1\":\"p/1.png\"",
                 "validation_Art_1|Who <image 1>?\n\n(A) a\n(B) b\n\n\n" LETTER "||p/1.png\n");
    check_prompt("\"question_type\":\"multiple-choice\",\"options\":[\"a\"],\"image_1\":null",
                 "validation_Art_1|Who <image 1>?\n\n(A) a\n\n\n" LETTER "||-\n");
    check_prompt("\"question_type\":\"multiple-choice\",\"options\":\"['<image 1>', 'b']\",\"image_1\":\"p/1.png\"",
                 "validation_Art_1|Who <image 1>?\n\n(A) <image 1>\n(B) b\n\n\n" LETTER "||p/1.png\n");
    check_prompt("\"question_type\":\"multiple-choice\",\"options\":\"['<image 1>', '<image 2>']\",\"image_1\":\"p/1.png\"",
                 "validation_Art_1|Who <image 1>?\n\n(A) <image 1>\n(B) <image 2>\n\n\n" LETTER "||-\n");
    check_prompt("\"question_type\":\"open\",\"options\":\"[]\",\"image_1\":\"p/1.png\"",
                 "validation_Art_1|Who <image 1>?\n\nAnswer the question using a single word or phrase.||p/1.png\n");
}

static void refused(const char *id, const char *rest, const char *why)
{
    Scores s;
    char wanted[512];
    put_row(id, rest);
    golden_write("answers.jsonl", "");
    snprintf(wanted, sizeof wanted, "%s/validation.jsonl%s", test_dir(), why);
    CHECK_FAILS(golden_score(&s, "mmmu", NULL), ERR_DATA, wanted);
    scores_free(&s);
}

TEST(mmmu_refuses_what_is_no_row)
{
    refused("validation_Art_1", "\"x\":1", ":1:1: \"question_type\" is absent, expected a string");
    refused("validation_Art_1", "\"question_type\":\"multiple-choice\",\"options\":\"[1]\"",
            ":1:98: \"options\" is \"[1]\", expected a list of texts as Python writes it");
    refused("validation_Art_1", "\"question_type\":\"multiple-choice\",\"options\":\"[]\"",
            ":1: question \"validation_Art_1\" has 0 options, expected 1 to 26");
    refused("validation_Art_1", "\"question_type\":\"multiple-choice\",\"options\":[1]", ":1:99: is 1, expected a text");
    refused("validation_Arts_1", "\"question_type\":\"open\",\"answer\":\"x\"",
            ":1: \"id\" is \"validation_Arts_1\", expected SPLIT_SUBJECT_NUMBER with one of MMMU's thirty subjects");
    refused("Art", "\"question_type\":\"open\",\"answer\":\"x\"",
            ":1: \"id\" is \"Art\", expected SPLIT_SUBJECT_NUMBER with one of MMMU's thirty subjects");
    refused("validation_Art_1", "\"question_type\":\"open\",\"answer\":\"?\"",
            ":1: has no \"answer\": this split has no labels to score with; evaluate … submit writes what the benchmark's server takes");
}

TEST(mmmu_takes_any_of_several_answers)
{
    Scores s;
    put_row("validation_Energy_and_Power_1", "\"question_type\":\"open\",\"answer\":\"['cat', '7']\"");
    golden_write("answers.jsonl", "{\"question_id\":\"validation_Energy_and_Power_1\",\"text\":\"7.0\"}\n");
    REQUIRE_OK(golden_score(&s, "mmmu", NULL));
    CHECK(golden_value(&s, "overall") == 100 && golden_value(&s, "subject/Energy_and_Power") == 100);
    CHECK(golden_value(&s, "domain/Tech and Engineering") == 100);
    scores_free(&s);
    put_row("validation_Art_1", "\"question_type\":\"multiple-choice\",\"options\":\"['a', 'b']\",\"answer\":[\"A\",\"B\"]");
    golden_write("answers.jsonl", "{\"question_id\":\"validation_Art_1\",\"text\":\"(B)\"}\n");
    REQUIRE_OK(golden_score(&s, "mmmu", NULL));
    CHECK(golden_value(&s, "overall") == 100 && golden_value(&s, "parse/fallback") == 0);
    scores_free(&s);
    golden_write("answers.jsonl", "{\"question_id\":\"validation_Art_1\",\"text\":\"who knows\"}\n");
    REQUIRE_OK(golden_score(&s, "mmmu", NULL));
    CHECK(golden_value(&s, "overall") == 0 && golden_value(&s, "parse/fallback") == 1);
    scores_free(&s);
}
