/* What a picture is drawn from: the context of a question equals that of a training step of PyTorch's (tests/fixtures/parity), and answers
 * that reach [IMG0] by themselves. On the CPU, and in test-cuda-host on the emulated device. */
#include "train/infer/answer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/safetensors.h"
#include "train/nn/params.h"
#include "tests/harness.h"

enum { QUERIES_MAX = 16, CONTEXT_MAX = 64 };

static Answerer *open_case(RunConfig *cfg, const char *name)
{
    static const char *const SETS[] = {"device=auto"};
    char path[128];
    Answerer *a;
    snprintf(path, sizeof path, "parity/%s/config.json", name);
    REQUIRE_OK(config_load(cfg, test_fixture(path), SETS, 1));
    cfg->draws = true;
    REQUIRE_OK(answerer_open(&a, cfg, NULL));
    return a;
}

/* Row `row` of the context that the first step of the case expects: [queries,C]. */
static int64_t expected(const char *name, int row, double *out)
{
    char path[128];
    SafeTensors *st;
    snprintf(path, sizeof path, "parity/%s/expected/step-000000.safetensors", name);
    REQUIRE_OK(safetensors_open(&st, test_fixture(path)));
    const StTensor *t = safetensors_find(st, "context");
    REQUIRE(t && t->n_dims == 3 && row < t->shape[0]);
    int64_t n = t->shape[1] * t->shape[2];
    REQUIRE(n <= QUERIES_MAX * CONTEXT_MAX);
    for (int64_t i = 0; i < n; i++)
        out[i] = t->type == F64 ? ((const double *)t->data)[row * n + i] : (double)((const float *)t->data)[row * n + i];
    safetensors_close(&st);
    return n;
}

static void check_context(const char *name, int row, Task task, const char *text, const char *image)
{
    RunConfig cfg;
    static double wanted[QUERIES_MAX * CONTEXT_MAX];
    static float found[QUERIES_MAX * CONTEXT_MAX];
    char folder[128], root[512];
    snprintf(folder, sizeof folder, "parity/%s/images", name);
    snprintf(root, sizeof root, "%s", test_fixture(folder));
    Answerer *a = open_case(&cfg, name);
    const RecordTurn turn = {.human = true, .text = text, .length = strlen(text)};
    const Question q = {.turns = &turn, .n_turns = 1, .image_root = root, .images = &image, .n_images = image != NULL};
    int64_t n = expected(name, row, wanted);
    CHECK_INT(n, genllava_model_sizes(answerer_model(a))->queries * genllava_model_sizes(answerer_model(a))->context);
    REQUIRE_OK(answerer_context(a, &q, task, found));
    double error = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        error += pow((double)found[i] - wanted[i], 2);
        size += pow(wanted[i], 2);
    }
    CHECK_MSG(sqrt(error) <= 1e-5 * sqrt(size), "%s: the context is off by %.3g of its size", name, sqrt(error / size));
    answerer_close(&a);
    config_free(&cfg);
}

TEST(a_question_that_draws_gives_the_context_of_a_training_step)
{
    check_context("noise_frozen", 0, TASK_GENERATE, "Draw a cat", NULL);
    check_context("noise_edit", 2, TASK_GENERATE, "Draw a cat", NULL);
}

TEST(a_question_that_edits_gives_the_context_of_a_training_step)
{
    check_context("noise_frozen", 4, TASK_EDIT, "remove the hat", "b.png");
    check_context("noise_edit", 1, TASK_EDIT, "remove the hat", "b.png");
}

/* What an answer's pictures were, and its text as it grew, a GEN_MARKER for each. */
typedef struct Watched {
    int n_pictures;
    float first[QUERIES_MAX * CONTEXT_MAX];
    int64_t n_context;
    char text[1024];
    size_t n_text;
} Watched;

static void watch_text(void *user, const char *text, size_t n)
{
    Watched *w = user;
    REQUIRE(w->n_text + n < sizeof w->text);
    memcpy(w->text + w->n_text, text, n);
    w->n_text += n;
}

static Status watch_picture(void *user, const float *context)
{
    Watched *w = user;
    if (!w->n_pictures++)
        memcpy(w->first, context, (size_t)w->n_context * sizeof *context);
    watch_text(w, " " GEN_MARKER, sizeof GEN_MARKER);
    return OK;
}

/* Multiplies the head's row of the k-th visual output token, so that it is chosen where its logit has the sign of `by`. */
static void scale_visual(Answerer *a, const RunConfig *cfg, int64_t k, float by)
{
    Params *p = genllava_params(answerer_model(a));
    const int64_t width = genllava_model_sizes(answerer_model(a))->hidden;
    Param *head = params_find(p, "token_rows.lm_head");
    REQUIRE(head);
    float *values = mem_alloc((size_t)head->t.n_elems * sizeof *values);
    REQUIRE(values);
    REQUIRE_OK(params_get(p, head, values));
    for (int64_t i = 0; i < width; i++)
        values[head->t.n_elems - (cfg->model.tokens.image - k) * width + i] *= by;
    REQUIRE_OK(params_set(p, head, values, F32));
    mem_free(values);
}

static char *ask(Answerer *a, const char *text, Watched *w, size_t *n)
{
    static const Sampling HOW = {.top_p = 1, .max_new_tokens = 12};
    const ModelSizes *sizes = genllava_model_sizes(answerer_model(a));
    const RecordTurn turn = {.human = true, .text = text, .length = strlen(text)};
    const Question q = {.turns = &turn, .n_turns = 1};
    char *answer;
    if (w)
        *w = (Watched){.n_context = (int64_t)sizes->queries * sizes->context};
    REQUIRE_OK(answerer_ask(a, &q, &HOW, w ? &(AnswerSink){watch_text, watch_picture, w} : NULL, &answer, n));
    return answer;
}

TEST(an_answer_that_begins_a_picture_goes_on_behind_its_tokens)
{
    RunConfig cfg;
    static Watched w;
    static float context[QUERIES_MAX * CONTEXT_MAX];
    static const RecordTurn CAT = {.human = true, .text = "Draw a cat", .length = 10};
    size_t n, n_alone;
    Answerer *a = open_case(&cfg, "noise_frozen");
    scale_visual(a, &cfg, 0, -9);
    char *answer = ask(a, "one two three", &w, &n), *alone = ask(a, "one two three", NULL, &n_alone);
    CHECK_INT(w.n_pictures, 2);
    CHECK_MSG(n == w.n_text && !memcmp(answer, w.text, n), "the answer \"%s\" has grown to \"%.*s\"", answer, (int)w.n_text, w.text);
    CHECK(n_alone == n && !memcmp(alone, answer, n)); /* with nobody who draws */
    CHECK(!strncmp(answer, "a <gen> ", 8));
    mem_free(answer);
    mem_free(alone);
    answer = ask(a, "Draw a cat", &w, &n); /* begins it at once: as if it stood there */
    CHECK(!strncmp(answer, "<gen> ", 6));
    REQUIRE_OK(answerer_context(a, &(Question){.turns = &CAT, .n_turns = 1}, TASK_UNDERSTAND, context));
    CHECK(!memcmp(context, w.first, (size_t)w.n_context * sizeof *context));
    mem_free(answer);
    answerer_close(&a);
    config_free(&cfg);
}

TEST(a_picture_cannot_begin_with_a_later_token)
{
    RunConfig cfg;
    size_t n, n_scaled;
    Answerer *a = open_case(&cfg, "noise_frozen");
    char *answer = ask(a, "Draw a cat", NULL, &n);
    for (int sign = -1; sign <= 1; sign += 2) {
        scale_visual(a, &cfg, 1, (float)(sign * 1000));
        char *scaled = ask(a, "Draw a cat", NULL, &n_scaled);
        CHECK(n_scaled == n && !memcmp(answer, scaled, n));
        mem_free(scaled);
    }
    mem_free(answer);
    answerer_close(&a);
    config_free(&cfg);
}

/* ---------------------------------------------------------------- many questions together */

enum { MANY = 11, PICTURE_MOST = 1 << 16 };
/* Numbers of pictures: 9 has none, 3 is not there. */
static const struct {
    const char *text;
    int picture;
} MANY_ASKED[MANY] = {{"one two three", 9}, {"Draw a cat", 9}, {"What?", 0}, {"Why?", 0}, {"How many?", 3}, {"And this?", 1},
                      {"Draw a cat", 1}, {"a", 9}, {"What is it, and why is it there?", 0}, {"Who?", 0}, {"Draw a dog", 9}};

typedef struct Many {
    const ImagePrep *prep;
    RecordTurn turn;
    uint8_t pixels[PICTURE_MOST];
    char *text[MANY];
    size_t n[MANY];
    int64_t n_told, n_loaded;
} Many;

static Status many_question(void *user, int64_t i, Question *q)
{
    Many *m = user;
    m->turn = (RecordTurn){.human = true, .text = MANY_ASKED[i].text, .length = strlen(MANY_ASKED[i].text)};
    *q = (Question){.turns = &m->turn, .n_turns = 1, .n_images = MANY_ASKED[i].picture < 9, .index = (uint64_t)i};
    return OK;
}

static Status many_pictures(void *user, int64_t i, Question *q, int64_t *which)
{
    static const char *const NAMES[] = {"a.jpg", "b.png", NULL, "none.png"};
    Many *m = user;
    char root[512];
    snprintf(root, sizeof root, "%s", test_fixture("parity/noise_edit/images"));
    m->n_loaded++;
    q->pixels = m->pixels;
    *which = MANY_ASKED[i].picture;
    return answer_picture(m->prep, root, NAMES[*which], m->pixels);
}

static Status many_answer(void *user, int64_t i, Status why, const char *text, size_t n)
{
    Many *m = user;
    m->n_told++;
    CHECK_INT(why, MANY_ASKED[i].picture == 3 ? ERR_MISSING : OK);
    CHECK(!m->text[i]);
    m->text[i] = mem_alloc(n + 1);
    REQUIRE(m->text[i]);
    m->n[i] = n;
    if (n)
        memcpy(m->text[i], text, n);
    return OK;
}

/* One question by itself, with the same numbers for its randomness. */
static void check_alone(Answerer *a, const Many *m, int64_t i, const Sampling *how)
{
    static Many alone;
    Question q;
    int64_t which;
    char *answer;
    size_t n;
    alone.prep = m->prep;
    REQUIRE_OK(many_question(&alone, i, &q));
    if (MANY_ASKED[i].picture == 3)
        return;
    if (q.n_images)
        REQUIRE_OK(many_pictures(&alone, i, &q, &which));
    REQUIRE_OK(answerer_ask(a, &q, how, NULL, &answer, &n));
    CHECK_MSG(n == m->n[i] && !memcmp(answer, m->text[i], n), "question %d: \"%s\" alone, \"%.*s\" among others", (int)i, answer,
              (int)m->n[i], m->text[i]);
    mem_free(answer);
}

static void check_many(const Sampling *how)
{
    RunConfig cfg;
    static Many m;
    Answerer *a = open_case(&cfg, "noise_edit");
    REQUIRE(answerer_picture_bytes(a) <= PICTURE_MOST);
    scale_visual(a, &cfg, 0, -9);
    for (int at_once = 1; at_once <= DECODER_SEQUENCES; at_once += 2) {
        m = (Many){.prep = answerer_prep(a)};
        const QuestionList list = {.n = MANY, .user = &m, .question = many_question, .pictures = many_pictures, .answer = many_answer};
        REQUIRE_OK(answerer_ask_all(a, &list, how, at_once));
        CHECK_INT(m.n_told, MANY);
        for (int64_t i = 0; i < MANY; i++) {
            check_alone(a, &m, i, how);
            mem_free(m.text[i]);
        }
    }
    answerer_close(&a);
    config_free(&cfg);
}

TEST(questions_asked_together_have_the_answers_of_one_at_a_time) { check_many(&(Sampling){.top_p = 1, .max_new_tokens = 12}); }

TEST(questions_asked_together_draw_the_same_random_numbers)
{
    check_many(&(Sampling){.temperature = 1.5, .top_p = 0.9, .seed = 7, .max_new_tokens = 9});
}

static size_t memory_left;
static Status say_memory(Backend *b, DeviceMemory *out)
{
    (void)b;
    *out = (DeviceMemory){.available = memory_left};
    return OK;
}

/* Answers that come in the order of their questions come from one sequence, or from luck. */
static Status note_order(void *user, int64_t i, Status why, const char *text, size_t n)
{
    Many *m = user;
    (void)why;
    (void)text;
    (void)n;
    m->n_told += i == m->n_told;
    return OK;
}

TEST(questions_are_asked_one_after_the_other_where_memory_is_short)
{
    RunConfig cfg;
    static Many m;
    static const int32_t IDS[40] = {1, ID_IMAGE, 3, 3};
    const Sampling how = {.top_p = 1, .max_new_tokens = 400};
    const QuestionList list = {.n = MANY, .user = &m, .question = many_question, .pictures = many_pictures, .answer = note_order};
    Answerer *a = open_case(&cfg, "noise_edit");
    m.prep = answerer_prep(a);
    answerer_backend(a)->memory = say_memory;
    REQUIRE_OK(decoder_measure(&memory_left, answerer_model(a), 1, 480, IDS, 40, 1, false)); /* more than any of them takes */
    REQUIRE_OK(answerer_ask_all(a, &list, &how, 8));
    CHECK_INT(m.n_told, MANY);
    memory_left = 1000;
    CHECK_INT(answerer_ask_all(a, &list, &how, 8), ERR_NOMEM);
    CHECK(strstr(status_message(), "the answer needs ") && strstr(status_message(), "cache of 4"));
    memory_left = 1 << 30;
    m.n_told = 0;
    REQUIRE_OK(answerer_ask_all(a, &list, &how, 8));
    CHECK(m.n_told < MANY); /* several at a time end out of order */
    answerer_close(&a);
    config_free(&cfg);
}

static Status give_nothing(void *user, int64_t i, Question *q)
{
    (void)user;
    (void)i;
    static char text[300000];
    static RecordTurn turn;
    for (size_t k = 0; k < sizeof text; k++)
        text[k] = k % 2 ? ' ' : 'a';
    turn = (RecordTurn){.human = true, .text = text, .length = sizeof text};
    *q = (Question){.turns = &turn, .n_turns = 1};
    return OK;
}

static Status note_refusal(void *user, int64_t i, Status why, const char *text, size_t n)
{
    (void)text;
    CHECK_INT(why, ERR_DATA);
    CHECK_INT(n, 0);
    CHECK(strstr(status_message(), "the question takes "));
    *(int64_t *)user += i + 1;
    return OK;
}

static const char *stop_at_once(void) { return "a reason"; }

TEST(questions_that_are_all_too_long_are_all_told)
{
    RunConfig cfg;
    int64_t told = 0;
    Answerer *a = open_case(&cfg, "noise_edit");
    REQUIRE_OK(answerer_ask_all(a, &(QuestionList){.n = 3, .user = &told, .question = give_nothing, .answer = note_refusal},
                                &(Sampling){.top_p = 1, .max_new_tokens = 4}, 8));
    CHECK_INT(told, 6);
    told = 0;
    CHECK_FAILS(answerer_ask_all(a, &(QuestionList){.n = 3, .user = &told, .question = give_nothing, .answer = note_refusal},
                                 &(Sampling){.top_p = 1, .max_new_tokens = 4, .stopped = stop_at_once}, 8), ERR_PREEMPTED, "a reason");
    CHECK_INT(told, 0);
    REQUIRE_OK(answerer_ask_all(a, &(QuestionList){.n = 0}, &(Sampling){.top_p = 1, .max_new_tokens = 4}, 8));
    answerer_close(&a);
    config_free(&cfg);
}
