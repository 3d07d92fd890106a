/* eval/bench/mmbench.c, tsv.c, xlsx.c, choice.c: both languages, tables as pandas reads them, the workbook, what a reply chooses. */
#include "data/formats/file.h"
#include "eval/bench/choice.h"
#include "eval/bench/tsv.h"
#include "eval/bench/xlsx.h"
#include "kernels/base/arena.h"
#include "tests/eval/bench/golden.h"

#define FILE_EN "mmbench_dev_20230712.tsv"
#define HEADER "index\tquestion\thint\tA\tB\tC\tD\tanswer\tcategory\timage\tl2-category\tsplit\n"
#define LETTER "\nAnswer with the option's letter from the given choices directly."

TEST(mmbench_scores_as_vlmevalkit_does) { golden("mmbench"); }
TEST(mmbench_cn_scores_as_vlmevalkit_does) { golden("mmbench-cn"); }
TEST(mmbench_file_cut_in_half) { golden_halves("mmbench", (const char *const[]){FILE_EN, NULL}); }
TEST(mmbench_cn_file_cut_in_half) { golden_halves("mmbench-cn", (const char *const[]){"mmbench_dev_cn_20231003.tsv", NULL}); }

/* ---------------------------------------------------------------- tables */

/* The fields of a table: rows end with ';', fields with '|'. */
static void check_table(const char *text, size_t n, const char *wanted)
{
    Tsv t;
    char found[512] = "";
    REQUIRE_OK(file_write(golden_path("t.tsv"), text, n));
    REQUIRE_OK(tsv_read(&t, golden_path("t.tsv")));
    for (int64_t i = 0; i < t.n_rows * t.n_columns; i++)
        snprintf(found + strlen(found), sizeof found - strlen(found), "%.*s%s", (int)t.field[i].n, t.field[i].s,
                 (i + 1) % t.n_columns ? "|" : ";");
    CHECK_STR(found, wanted);
    tsv_free(&t);
}
#define TABLE(text, wanted) check_table(text, sizeof text - 1, wanted)

TEST(tsv_reads_quotes_and_lines_as_pandas_does)
{
    TABLE("a\tb\n1\t2\n", "a|b;1|2;");
    TABLE("\xEF\xBB\xBF"
          "a\tb\r\n1\t2",
          "a|b;1|2;");
    TABLE("a\n\n\r\n1\r2\n", "a;1;2;");
    TABLE("a\tb\n\"x\ty\"\t\"line\nline\"\n", "a|b;x\ty|line\nline;");
    TABLE("a\tb\n\"say \"\"so\"\"\"\t5\"\"6\n", "a|b;say \"so\"|5\"\"6;");
    TABLE("a\tb\n\"x\"y \"z\t\"\"\n", "a|b;xy \"z|;");
    TABLE("a\tb\n\t\n", "a|b;|;");
}

static void refused_table(const char *text, const char *why)
{
    Tsv t;
    char wanted[512];
    golden_write("t.tsv", text);
    snprintf(wanted, sizeof wanted, "%s/t.tsv%s", test_dir(), why);
    CHECK_FAILS(tsv_read(&t, golden_path("t.tsv")), ERR_DATA, wanted);
}

TEST(tsv_refuses_what_is_cut_short)
{
    refused_table("", ": is empty, expected a header of names between tabs");
    refused_table("a\tb\n\"1\n\t2\"\t3\n4", ":4: has 1 fields, expected 2 as in the header");
    refused_table("a\tb\n1\t2\t3\n", ":2: has 3 fields, expected 2 as in the header");
    refused_table("a\tb\n1\t\"2\n3", ":2: nothing closes the quote of a field that begins here: the file is cut short");
}

TEST(tsv_misses_what_pandas_does)
{
    CHECK(tsv_is_missing(SPAN("")) && tsv_is_missing(SPAN("nan")) && tsv_is_missing(SPAN("None")) && tsv_is_missing(SPAN("<NA>")));
    CHECK(!tsv_is_missing(SPAN("none")) && !tsv_is_missing(SPAN("NAN")) && !tsv_is_missing(SPAN(" ")) && !tsv_is_missing(SPAN("0")));
}

/* ---------------------------------------------------------------- questions */

TEST(mmbench_asks_with_hint_and_the_options_that_are_there)
{
    char out[4096];
    golden_write(FILE_EN, HEADER "7\tWho?\tLook.\ta\tb\tnan\td\tA\tc\t/9j/\tl\tdev\n"
                                 "1000007\tWho?\tnone\tb\ta\tx\ty\tB\tc\t7\tl\tdev\n");
    CHECK_OK(golden_questions(out, sizeof out, "mmbench", NULL));
    CHECK_STR(out, "7#|Look.\nWho?\nA. a\nB. b|" LETTER "|-\n1000007#|Who?\nA. b\nB. a\nC. x\nD. y|" LETTER "|-\n");
    golden_write("mmbench_test_cn_20231003.tsv", HEADER "7\t谁?\t\ta\tb\t\t\tA\tc\t/9j/\tl\tdev\n");
    CHECK_OK(golden_questions(out, sizeof out, "mmbench-cn", "test"));
    CHECK_STR(out, "7#|谁?\nA. a\nB. b|\n请直接回答选项字母。|-\n");
}

static Status check_picture(void *arg, const BenchQuestion *q)
{
    int *n = arg;
    if (++*n < 3) /* the second row names the first's */
        CHECK(q->n_bytes == 3 && !memcmp(q->bytes, "\xFF\xD8\xFF", 3));
    else
        CHECK(q->bytes && q->n_bytes > 0); /* no picture, and whoever reads it finds so */
    CHECK(span_is(q->after_id, "\"round_id\": 0"));
    CHECK_MSG(span_is(q->after_text, "\"options\":[\"a\",\"say \\\"b\\\"\"],\"option_char\":[\"A\",\"B\"]"), "%s", q->after_text.s);
    return OK;
}

TEST(mmbench_hands_over_pictures_and_options)
{
    const Bench *b = bench_named("mmbench");
    const BenchData d = {.dir = test_dir(), .split = "dev"};
    int n = 0;
    golden_write(FILE_EN, HEADER "7\tWho?\t\ta\tsay \"b\"\t\t\tA\tc\t/9j/\tl\tdev\n"
                                 "1000007\tWho?\t\ta\tsay \"b\"\t\t\tB\tc\t7\tl\tdev\n8\tWho?\t\ta\tsay \"b\"\t\t\tB\tc\t!\tl\tdev\n");
    CHECK_OK(b->questions(&d, check_picture, &n));
    CHECK_INT(n, 3);
}

static void refused(const char *table, const char *why)
{
    Scores s;
    char wanted[512], out[64];
    golden_write(FILE_EN, table);
    golden_write("answers.jsonl", "");
    snprintf(wanted, sizeof wanted, "%s/" FILE_EN "%s", test_dir(), why);
    Status status = golden_score(&s, "mmbench", NULL);
    if (!status)
        status = golden_questions(out, sizeof out, "mmbench", NULL);
    CHECK_FAILS(status, ERR_DATA, wanted);
    scores_free(&s);
}

TEST(mmbench_refuses_what_is_no_table_of_questions)
{
    refused("question\tA\n", ":1: the header has no column \"index\"");
    refused("index\tquestion\tA\tB\tC\timage\n", ":1: the header has no column \"D\"");
    refused(HEADER "x\tWho?\t\ta\tb\t\t\tA\tc\t/9j/\tl\tdev\n", ":2: \"index\" is \"x\", expected the number of a question");
    refused(HEADER "1\tWho?\t\ta\tb\t\t\t\tc\t/9j/\tl\tdev\n",
            ":2: has no \"answer\": this split has no labels to score with; evaluate … submit writes what the benchmark's server takes");
    refused(HEADER "1\tWho?\t\ta\tb\t\t\tA\tc\t3\tl\tdev\n", ":2: \"image\" is 3, which is the index of no row");
}

/* ---------------------------------------------------------------- scores */

TEST(mmbench_wants_every_rotation_decided_and_right)
{
    Scores s;
    golden_write(FILE_EN, HEADER "7\tWho?\t\tcat\tdog\t\t\tA\tx\t/9j/\tl\tdev\n1000007\tWho?\t\tdog\tcat\t\t\tB\tx\t/9j/\tl\tdev\n"
                                 "8\tWho?\t\tcat\tdog\t\t\tA\ty\t/9j/\tl\tdev\n1000008\tWho?\t\tdog\tcat\t\t\tB\ty\t/9j/\tl\tdev\n");
    golden_write("answers.jsonl", "{\"question_id\":7,\"text\":\"A\"}\n{\"question_id\":1000007,\"text\":\"a cat\"}\n"
                                  "{\"question_id\":8,\"text\":\"A\"}\n{\"question_id\":1000008,\"text\":\"Who knows\"}\n");
    REQUIRE_OK(golden_score(&s, "mmbench", NULL));
    CHECK(golden_value(&s, "circular") == 50 && golden_value(&s, "vanilla") == 100);
    CHECK(golden_value(&s, "category/x") == 100 && golden_value(&s, "category/y") == 0 && golden_value(&s, "l2-category/l") == 50);
    CHECK(golden_value(&s, "parse/undecided") == 1 && golden_value(&s, "parse/base") == 2);
    CHECK_INT(s.n, 4);
    scores_free(&s);
}

TEST(choice_follows_letters_sentences_and_texts)
{
    static const struct {
        const char *text;
        char wanted;
    } CASES[] = {
        {"A", 'A'},
        {"(b)", 0},
        {"(B).", 'B'},
        {"D", 0},              /* there is no such option */
        {"B is it, I say", 0}, /* not among the last four */
        {"B is it, yes", 'B'},
        {"A or B", 0},
        {"A or B: the answer is B", 'B'},
        {"The correct answer  is **b**", 'B'},
        {"answer is banana", 'B'}, /* no word's end is looked for */
        {"answer is d", 0},
        {"answer\u3000is\u00a0*a", 'A'},
        {"Z", 'Z'},
        {"A Z", 'A'},
        {"Cannot determine the answer", 'Z'},
        {"I can't process this file. A", 'Z'},
        {"Failed to obtain answer via API", 0},
        {"Failed to obtain answer via API cat", 0}, /* longer than twice the options */
        {"a CAT!", 'A'},
        {"ÉTÉ", 'C'},
        {"cat, dog", 0},
        {"a cat on a long long mat here", 0},
        {"", 0},
    };
    const Span option[CHOICES] = {SPAN("Cat"), SPAN("dog"), SPAN("été"), {NULL, 0}};
    Pool pool = {0};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        const char found = choice_of(&pool, span_of(CASES[i].text), option);
        CHECK_MSG(found == CASES[i].wanted, "\"%s\": %d, wanted %d", CASES[i].text, found, CASES[i].wanted);
    }
    pool_free(&pool);
}

/* ---------------------------------------------------------------- the workbook */

static Status submit(const char *bench)
{
    const Bench *b = bench_named(bench);
    const BenchData d = {.dir = test_dir(), .split = b->split};
    const char *file = golden_path("answers.jsonl");
    Answers *a;
    REQUIRE_OK(answers_read(&a, &file, 1, b->key));
    Status s = b->submit(&d, a, golden_path("written.xlsx"));
    answers_free(&a);
    return s;
}

/* The fixture was opened by openpyxl and found to hold what pandas writes. */
static void check_workbook(const char *bench)
{
    char *ours, *theirs;
    size_t n, m;
    golden_world(bench);
    REQUIRE_OK(submit(bench));
    REQUIRE_OK(file_read(&ours, &n, golden_path("written.xlsx"), 1 << 20));
    REQUIRE_OK(file_read(&theirs, &m, golden_path("submission.xlsx"), 1 << 20));
    CHECK(n == m && !memcmp(ours, theirs, n));
    mem_free(ours);
    mem_free(theirs);
}

TEST(mmbench_submits_a_workbook) { check_workbook("mmbench"); }
TEST(mmbench_cn_submits_a_workbook) { check_workbook("mmbench-cn"); }

static bool holds(const char *bytes, size_t n, const char *text) { return memmem(bytes, n, text, strlen(text)) != NULL; }

TEST(mmbench_workbook_of_odd_texts_and_missing_answers)
{
    char *bytes;
    size_t n;
    golden_write(FILE_EN, HEADER "7\tA <b> & c\t\ta\tb\t\t\tA\tc\t/9j/\tl\tdev\n8\tWho?\t\ta\tb\t\t\tA\tc\t/9j/\tl\tdev\n");
    golden_write("answers.jsonl", "{\"question_id\":7,\"text\":\"x\\u0001\\r\\n\\ty\"}\n");
    REQUIRE_OK(submit("mmbench"));
    REQUIRE_OK(file_read(&bytes, &n, golden_path("written.xlsx"), 1 << 20));
    CHECK(holds(bytes, n,
                "<row r=\"2\"><c r=\"A2\"><v>7</v></c><c r=\"B2\" t=\"inlineStr\"><is><t xml:space=\"preserve\">A &lt;b&gt; &amp; c<"));
    CHECK(holds(bytes, n, "<c r=\"G1\" t=\"inlineStr\"><is><t xml:space=\"preserve\">prediction<"));
    CHECK(holds(bytes, n, "<c r=\"G2\" t=\"inlineStr\"><is><t xml:space=\"preserve\">x&#13;\n\ty<"));
    CHECK(holds(bytes, n, "<c r=\"D3\" t=\"inlineStr\"><is><t xml:space=\"preserve\">b</t></is></c><c r=\"H3\"")); /* nothing in between */
    mem_free(bytes);
    golden_write("answers.jsonl", "{\"question_id\":9,\"text\":\"A\"}\n");
    CHECK_INT(submit("mmbench"), ERR_DATA);
    CHECK(strstr(status_message(), "answers.jsonl:1: answers \"9\", which is no question of this benchmark and split"));
}

TEST(xlsx_cells_hold_what_excel_does)
{
    static char text[40000];
    char *bytes;
    size_t n;
    Xlsx x;
    XlsxCell cells[28] = {{{"", 0}, false}};
    FileDraft draft;
    for (int i = 0; i < 28; i++)
        cells[i].text = SPAN("");
    memset(text, 'a', sizeof text);
    cells[26].text = (Span){text, sizeof text};
    cells[27].text = SPAN("\xEF\xBF\xBF"
                          "b\xFF");
    REQUIRE_OK(xlsx_begin(&x));
    xlsx_row(&x, cells, 28);
    REQUIRE_OK(file_draft(&draft, golden_path("x.xlsx")));
    REQUIRE_OK(file_publish(&draft, xlsx_end(&x, draft.out, OK)));
    REQUIRE_OK(file_read(&bytes, &n, golden_path("x.xlsx"), 1 << 20));
    const char *row = memmem(bytes, n, "<row r=\"1\"><c r=\"AA1\"", 21), *first = row ? memmem(row, 200, ">aaaa", 5) : NULL;
    REQUIRE(first);
    CHECK(first[1 + 32766] == 'a' && first[1 + 32767] == '<');
    CHECK(holds(bytes, n, "<c r=\"AB1\" t=\"inlineStr\"><is><t xml:space=\"preserve\">b\xEF\xBF\xBD<"));
    mem_free(bytes);
}
