/* encode: ids and masks equal to LLaVA's own method, added ids, cutting, refusals. */
#include "data/text/encode.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "data/formats/file.h"
#include "data/formats/json.h"
#include "data/text/template.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"
#include "tests/harness.h"

enum { MOST_TURNS = 16, MOST_IMAGES = 16, V = 420 };

static Tokenizer *tok;
static EncodedSample sample;

static EncoderOptions options(ChatTemplate chat)
{
    if (!tok)
        REQUIRE_OK(tokenizer_open(&tok, test_fixture("vocabulary/tokenizer.model")));
    return (EncoderOptions){
        .chat = chat, .vocab_size = V, .task_text = {"[I2T]", "[T2I]", "[I2I]"}, .n_visual = 4, .max_tokens = 1 << 20, .patches = 9};
}

/* A record in one line: turns in order, human first, NULL at the end. */
static Record *record(Task task, int inputs, int targets, const char *const *texts)
{
    static RecordTurn turns[MOST_TURNS];
    static RecordImage images[MOST_IMAGES];
    static Record rec;
    rec = (Record){.task = task, .weight = 1, .turns = turns, .images = images};
    for (; texts[rec.n_turns]; rec.n_turns++)
        turns[rec.n_turns] = (RecordTurn){rec.n_turns % 2 == 0, texts[rec.n_turns], strlen(texts[rec.n_turns])};
    for (int i = 0; i < inputs + targets; i++)
        images[rec.n_images++] = (RecordImage){"x.png", i < inputs ? ROLE_INPUT : ROLE_TARGET};
    return &rec;
}
#define TEXTS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Pieces with trained ones starred: "<s> ▁[ INST ] *</s>"; added ids as their text, images as <image>. */
static const char *shown(const EncoderOptions *o)
{
    static char text[1 << 16];
    size_t n = 0;
    for (int64_t i = 0; i < sample.n; i++) {
        char buf[16];
        int32_t id = sample.id[i];
        const char *piece = id == ID_IMAGE ? "<image>"
                            : id >= V      ? encoder_added_text(o, id - V, buf, sizeof buf)
                                           : tokenizer_piece(tok, id);
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s%s", i ? " " : "", sample.mask[i] & MASK_TRAINED ? "*" : "", piece);
    }
    return text;
}

static Reject encode(const EncoderOptions *o, const Record *rec, char message[256])
{
    Reject reject;
    REQUIRE_OK(encode_record(&sample, o, tok, rec, &reject, message));
    return reject;
}

static const char *encoded(const EncoderOptions *o, const Record *rec)
{
    char message[256];
    Reject r = encode(o, rec, message);
    CHECK_MSG(!r, "rejected: %s: %s", reject_name(r), message);
    return shown(o);
}

#define CHECK_REJECTS(o, rec, why, sentence)      \
    do {                                          \
        char message_[256];                       \
        CHECK_INT(encode(o, rec, message_), why); \
        CHECK_STR(message_, sentence);            \
    } while (0)

/* ---------------------------------------------------------------- other implementations */

static ChatTemplate template_named(const char *name)
{
    int t = 0;
    while (strcmp(chat_format((ChatTemplate)t)->name, name))
        t++;
    return (ChatTemplate)t;
}

static Record *record_of(const Json *e)
{
    const char *texts[MOST_TURNS + 1] = {0};
    int n = 0;
    const Json *task = json_get(e, "task"), *targets = json_get(e, "targets");
    for (const Json *t = json_get(e, "turns")->child; t; t = t->next)
        texts[n++] = t->string;
    return record(task && task->kind == JSON_INT ? (Task)task->integer : TASK_UNDERSTAND, (int)json_get(e, "images")->integer,
                  targets ? (int)targets->integer : 0, texts);
}

static void check_same(const Json *e, const char *mask, unsigned bits)
{
    bool same = json_get(e, "ids")->length == (size_t)sample.n && strlen(mask) == (size_t)sample.n;
    const Json *id = json_get(e, "ids")->child;
    for (int64_t i = 0; same && i < sample.n; i++, id = id->next)
        same = sample.id[i] == id->integer && (sample.mask[i] & bits) == (unsigned)(mask[i] - '0');
    CHECK_MSG(same, "%s: other ids or masks for \"%s\"", json_get(e, "template")->string, json_get(e, "turns")->child->string);
}

TEST(encode_equals_llava)
{
    JsonDoc *d;
    int n = 0;
    REQUIRE_OK(json_read_file(&d, test_fixture("vocabulary/encodings.json")));
    for (const Json *e = json_get(json_root(d), "dialogues")->child; e; e = e->next, n++) {
        EncoderOptions o = options(template_named(json_get(e, "template")->string));
        memset(o.task_text, 0, sizeof o.task_text);
        encoded(&o, record_of(e));
        check_same(e, json_get(e, "trained")->string, MASK_TRAINED);
    }
    CHECK(n > 100);
    json_free(&d);
}

TEST(encode_equals_the_clean_rule)
{
    JsonDoc *d;
    int n = 0;
    REQUIRE_OK(json_read_file(&d, test_fixture("vocabulary/encodings.json")));
    for (const Json *e = json_get(json_root(d), "clean")->child; e; e = e->next, n++) {
        EncoderOptions o = options(template_named(json_get(e, "template")->string));
        encoded(&o, record_of(e));
        check_same(e, json_get(e, "mask")->string, 7);
        CHECK_INT(sample.n_images, json_get(e, "images")->integer);
        CHECK_INT(sample.expanded, sample.n + 8 * sample.n_images);
    }
    CHECK(n > 80);
    json_free(&d);
}

TEST(encode_puts_a_system_text_where_llava_has_it)
{
    JsonDoc *d;
    int n = 0;
    REQUIRE_OK(json_read_file(&d, test_fixture("vocabulary/encodings.json")));
    for (const Json *e = json_get(json_root(d), "system")->child; e; e = e->next, n++) {
        EncoderOptions o = options(template_named(json_get(e, "template")->string));
        Record *r = record_of(e);
        r->system = (RecordText){json_get(e, "system")->string, json_get(e, "system")->length};
        encoded(&o, r);
        check_same(e, json_get(e, "mask")->string, 7);
    }
    CHECK_INT(n, 48);
    json_free(&d);
}

/* ---------------------------------------------------------------- by hand */

TEST(encode_added_ids_in_order)
{
    EncoderOptions o = options(CHAT_MISTRAL_INSTRUCT);
    char buf[16];
    CHECK_INT(encoder_added_count(&o), 7);
    CHECK_INT(encoder_task_id(&o, TASK_EDIT), V + 2);
    CHECK_INT(encoder_visual_id(&o, 3), V + 6);
    CHECK_INT(encoder_visual_id(&o, 4), -1);
    o.task_text[TASK_GENERATE] = NULL;
    CHECK_INT(encoder_added_count(&o), 6);
    CHECK_INT(encoder_task_id(&o, TASK_GENERATE), -1);
    CHECK_INT(encoder_task_id(&o, TASK_EDIT), V + 1);
    CHECK_INT(encoder_visual_id(&o, 0), V + 2);
    CHECK_STR(encoder_added_text(&o, 1, buf, sizeof buf), "[I2I]");
    CHECK_STR(encoder_added_text(&o, 5, buf, sizeof buf), "[IMG3]");
    CHECK_OK(encoder_check(&o, tok, "t.model"));
    o.vocab_size = 400;
    CHECK_FAILS(encoder_check(&o, tok, "t.model"), ERR_DATA,
                "t.model: 420 pieces, but the language model's config.json says vocab_size 400: they do not belong together");
    o.vocab_size = 500; /* padded */
    log_level(LOG_QUIET);
    CHECK_OK(encoder_check(&o, tok, "t.model"));
}

/* The vocabulary with one more piece, a control piece. */
TEST(encode_refuses_a_vocabulary_that_has_the_templates_text_as_a_token)
{
    static const char PIECE[] = "\x0a\x0f\x0a\x06[INST]\x15\0\0\0\0\x18\x03";
    EncoderOptions o = options(CHAT_MISTRAL_INSTRUCT);
    char path[300], *bytes;
    size_t n;
    REQUIRE_OK(file_read(&bytes, &n, test_fixture("vocabulary/tokenizer.model"), 1 << 20));
    snprintf(path, sizeof path, "%s/t.model", test_dir());
    FILE *f = fopen(path, "wb");
    REQUIRE(f && fwrite(bytes, 1, n, f) == n && fwrite(PIECE, 1, sizeof PIECE - 1, f) == sizeof PIECE - 1 && !fclose(f));
    mem_free(bytes);
    Tokenizer *newer;
    REQUIRE_OK(tokenizer_open(&newer, path));
    CHECK_INT(tokenizer_info(newer)->n_pieces, V + 1);
    o.vocab_size = V + 1;
    CHECK_FAILS(encoder_check(&o, newer, "t.model"), ERR_DATA,
                "t.model: [INST] is a token of its own here, as in Mistral 0.3, but the template writes it as text, as versions 0.1 and "
                "0.2 do; take one of those as base model, or another data.template");
    o.chat = CHAT_V1;
    CHECK_OK(encoder_check(&o, newer, "t.model"));
    CHECK_INT(tokenizer_control(newer, "</s>"), 2);
    CHECK_INT(tokenizer_control(newer, "the"), -1);
    tokenizer_close(&newer);
}

TEST(encode_places_task_tokens_and_runs)
{
    EncoderOptions o = options(CHAT_MISTRAL_INSTRUCT);
    CHECK_STR(encoded(&o, record(TASK_UNDERSTAND, 1, 0, TEXTS("What?\n<image>", "red"))),
              "<s> ▁[ INST ] [I2T] <image> ▁ <0x0A> W hat ? ▁ [/ INST ] *▁red *▁ *</s>");
    CHECK_STR(encoded(&o, record(TASK_GENERATE, 0, 1, TEXTS("the red star", "<gen>"))),
              "<s> ▁[ INST ] [T2I] ▁the ▁red ▁star ▁ [/ INST ] *[IMG0] *[IMG1] *[IMG2] *[IMG3] *</s>");
    CHECK_STR(encoded(&o, record(TASK_EDIT, 1, 1, TEXTS("<image>", "the star. <gen>"))),
              "<s> ▁[ INST ] [I2I] <image> ▁▁ [/ INST ] *▁the *▁star *. *[IMG0] *[IMG1] *[IMG2] *[IMG3] *</s>");
    /* No image, no task token; the second turn gets none. */
    CHECK_STR(encoded(&o, record(TASK_UNDERSTAND, 0, 0, TEXTS("red", "blue"))), "<s> ▁[ INST ] ▁red ▁ [/ INST ] *▁blue *▁ *</s>");
    CHECK_STR(encoded(&o, record(TASK_UNDERSTAND, 1, 0, TEXTS("red", "blue", "<image>", "on"))),
              "<s> ▁[ INST ] [I2T] ▁red ▁ [/ INST ] *▁blue *▁ *</s> ▁[ INST ] ▁ <image> ▁▁ [/ INST ] *▁on *▁ *</s>");
    o = options(CHAT_LLAVA_LLAMA_2);
    CHECK(strstr(encoded(&o, record(TASK_UNDERSTAND, 1, 0, TEXTS("<image>", "red"))),
                 "<0x0A> <0x0A> [I2T] <image> ▁▁ [/ INST ] *▁red *▁ *</s>"));
    o = options(CHAT_PLAIN);
    CHECK_STR(encoded(&o, record(TASK_UNDERSTAND, 2, 0, TEXTS("<image> what <image>?", "red"))), "<s> <image> <image> *▁red *<0x0A>");
    CHECK_STR(encoded(&o, record(TASK_UNDERSTAND, 0, 0, TEXTS("what?", "red"))), "<s> *▁red *<0x0A>");
}

TEST(encode_puts_a_system_text_before_task_token_and_images)
{
    EncoderOptions o = options(CHAT_MISTRAL_INSTRUCT);
    Record *r = record(TASK_UNDERSTAND, 1, 0, TEXTS("<image>\nWhat?", "red", "on", "blue"));
    r->system = (RecordText){"the <image>", 11};
    CHECK_STR(encoded(&o, r), "<s> ▁[ INST ] ▁the ▁ <0x3C> i m a g e <0x3E> <0x0A> <0x0A> [I2T] <image> "
                              "▁ <0x0A> W hat ? ▁ [/ INST ] *▁red *▁ *</s> ▁[ INST ] "
                              "▁on ▁ [/ INST ] *▁blue *▁ *</s>");
    CHECK_INT(sample.n_images, 1);
    r = record(TASK_UNDERSTAND, 0, 0, TEXTS("red", "blue"));
    r->system = (RecordText){"on", 2};
    CHECK_STR(encoded(&o, r), "<s> ▁[ INST ] ▁on <0x0A> <0x0A> red ▁ [/ INST ] *▁blue *▁ *</s>");
    o = options(CHAT_V1);
    CHECK_STR(encoded(&o, r), "<s> ▁on ▁USER : ▁red ▁ASSISTANT : *▁blue *</s>");
    o = options(CHAT_LLAVA_LLAMA_2);
    CHECK_STR(encoded(&o, r), "<s> ▁[ INST ] ▁ <0x3C> <0x3C> S <0x59> S <0x3E> <0x3E> <0x0A> o n <0x0A> "
                              "<0x3C> <0x3C> / S <0x59> S <0x3E> "
                              "<0x3E> <0x0A> <0x0A> red ▁ [/ INST ] *▁blue *▁ *</s>");
    o = options(CHAT_PLAIN);
    CHECK_REJECTS(&o, r, REJECT_BAD_TURNS, "a system text, and the template plain has no place for one");
    CHECK_FAILS(encode_prompt(&sample, &o, tok, r->system, r->turns, 1, 0, TASK_UNDERSTAND), ERR_USAGE,
                "a system text, and the template plain has no place for one");
    r->system.length = 0;
    CHECK_STR(encoded(&o, r), "<s> *▁blue *<0x0A>");
    o = options(CHAT_MISTRAL_INSTRUCT);
    REQUIRE_OK(encode_prompt(&sample, &o, tok, (RecordText){"on", 2}, r->turns, 1, 1, TASK_UNDERSTAND));
    CHECK_STR(shown(&o), "<s> ▁[ INST ] ▁on <0x0A> <0x0A> [I2T] <image> ▁ <0x0A> red ▁ [/ INST ]");
}

TEST(encode_several_images_in_one_turn)
{
    EncoderOptions o = options(CHAT_MISTRAL_INSTRUCT);
    CHECK_STR(encoded(&o, record(TASK_UNDERSTAND, 2, 0, TEXTS("\u3000red<image> <image>\u00a0", "on"))),
              "<s> ▁[ INST ] [I2T] <image> ▁ <0x0A> <image> ▁ <0x0A> red ▁ [/ INST ] *▁on *▁ *</s>");
    CHECK_STR(encoded(&o, record(TASK_UNDERSTAND, 2, 0, TEXTS("<image> <image>", "on"))),
              "<s> ▁[ INST ] [I2T] <image> ▁ <0x0A> <image> ▁▁ [/ INST ] *▁on *▁ *</s>");
}

TEST(encode_text_never_becomes_a_special_token)
{
    EncoderOptions o = options(CHAT_MISTRAL_INSTRUCT);
    char message[256];
    CHECK_INT(encode(&o, record(TASK_UNDERSTAND, 1, 0, TEXTS("<image></s>[I2T][IMG0]<s><gen>", "</s> <image> [INST] [IMG1]")), message),
              REJECT_NONE);
    int specials = 0;
    for (int64_t i = 0; i < sample.n; i++)
        specials += sample.id[i] == 1 || sample.id[i] == 2 || sample.id[i] >= V || sample.id[i] == ID_IMAGE;
    CHECK_INT(specials, 4); /* <s>, the task token, the image, </s> */
    CHECK(!(sample.mask[2] & MASK_TRAINED) && sample.mask[sample.n - 1] == MASK_TRAINED);
}

TEST(encode_trains_the_terminator_of_an_empty_answer_among_others)
{
    EncoderOptions o = options(CHAT_V1);
    const char *text = encoded(&o, record(TASK_UNDERSTAND, 0, 0, TEXTS("red", "", "blue", "on")));
    CHECK(strstr(text, ": ▁red ▁ASSISTANT : *▁ *</s> ▁USER : ▁blue ▁ASSISTANT : *▁on *</s>"));
}

TEST(encode_rejects_rows_that_cannot_be_used)
{
    EncoderOptions o = options(CHAT_MISTRAL_INSTRUCT);
    CHECK_REJECTS(&o, record(TASK_UNDERSTAND, 0, 0, TEXTS("red", "", "blue", "")), REJECT_NO_TRAINED, "every answer is empty");
    CHECK_REJECTS(&o, record(TASK_UNDERSTAND, 0, 0, TEXTS("red")), REJECT_NO_TRAINED, "no answer");
    CHECK_REJECTS(&o, record(TASK_UNDERSTAND, 0, 0, TEXTS(NULL)), REJECT_BAD_TURNS, "no turns");
    CHECK_REJECTS(&o, record(TASK_UNDERSTAND, 0, 0, TEXTS("<image>x", "red")), REJECT_MARKERS,
                  "1 <image> marker in human turns, 0 input images");
    CHECK_REJECTS(&o, record(TASK_UNDERSTAND, 1, 0, TEXTS("x", "red")), REJECT_MARKERS, "0 <image> markers in human turns, 1 input image");
    CHECK_REJECTS(&o, record(TASK_GENERATE, 0, 1, TEXTS("x <gen>", "red")), REJECT_MARKERS, "0 <gen> markers in gpt turns, 1 target image");
    Record *r = record(TASK_UNDERSTAND, 0, 0, TEXTS("a", "b", "c", "d"));
    r->turns[2].human = false;
    CHECK_REJECTS(&o, r, REJECT_BAD_TURNS, "turn 2 is from gpt again, expected human");
    r = record(TASK_UNDERSTAND, 0, 0, TEXTS("a", "b", "c", "d"));
    r->turns[1].human = true;
    CHECK_REJECTS(&o, r, REJECT_BAD_TURNS, "turn 1 is from human again, expected gpt");
    r = record(TASK_UNDERSTAND, 0, 0, TEXTS("a"));
    r->turns[0].human = false;
    CHECK_REJECTS(&o, r, REJECT_BAD_TURNS, "no turn after the first, which is not from human");
    o.n_visual = 0;
    CHECK_REJECTS(&o, record(TASK_GENERATE, 0, 1, TEXTS("x", "<gen>")), REJECT_MARKERS, "<gen> in a gpt turn, but model.tokens.image is 0");
    o = options(CHAT_PLAIN);
    CHECK_REJECTS(&o, record(TASK_UNDERSTAND, 0, 0, TEXTS("a", "b", "c")), REJECT_BAD_TURNS,
                  "3 turns, and the template plain takes one human and one gpt turn");
}

TEST(encode_skips_a_first_answer_and_drops_a_last_question)
{
    EncoderOptions o = options(CHAT_MISTRAL_INSTRUCT);
    Record *r = record(TASK_UNDERSTAND, 1, 0, TEXTS("blue", "red", "on", "<image>"));
    r->turns[0].human = r->turns[2].human = false;
    r->turns[1].human = r->turns[3].human = true;
    CHECK_STR(encoded(&o, r), "<s> ▁[ INST ] [I2T] ▁red ▁ [/ INST ] *▁on *▁ *</s>");
    CHECK_INT(sample.n_images, 0); /* the dropped question's image goes with it */
}

TEST(encode_cuts_whole_rounds_first)
{
    EncoderOptions o = options(CHAT_MISTRAL_INSTRUCT);
    Record *r = record(TASK_UNDERSTAND, 2, 0, TEXTS("<image>", "red", "blue", "on", "<image>", "red"));
    static const char FIRST[] = "<s> ▁[ INST ] [I2T] <image> ▁▁ [/ INST ] *▁red *▁ *</s>";
    static const char SECOND[] = "<s> ▁[ INST ] [I2T] <image> ▁▁ [/ INST ] *▁red *▁ *</s> "
                                 "▁[ INST ] ▁blue ▁ [/ INST ] *▁on *▁ *</s>";
    encoded(&o, r);
    int64_t whole = sample.expanded;
    o.max_tokens = whole - 1;
    CHECK_STR(encoded(&o, r), SECOND);
    CHECK_INT(sample.n_images, 1);
    o.max_tokens = sample.expanded;
    CHECK_STR(encoded(&o, r), SECOND);
    o.max_tokens = sample.expanded - 1;
    CHECK_STR(encoded(&o, r), FIRST);
    CHECK_INT(sample.n_trained, 3);
    o.max_tokens = sample.expanded - 1; /* now a plain cut */
    CHECK_STR(encoded(&o, r), "<s> ▁[ INST ] [I2T] <image> ▁▁ [/ INST ] *▁red *▁");
    CHECK_INT(sample.expanded, o.max_tokens);
    CHECK_INT(sample.n_trained, 2);
    o.max_tokens = 18;
    CHECK_REJECTS(&o, r, REJECT_NO_TRAINED, "nothing of the answer is left within data.max_tokens = 18");
    o.max_tokens = 13; /* the image takes rows 5 to 13 */
    CHECK_REJECTS(&o, r, REJECT_TOO_LONG, "21 tokens, data.max_tokens is 13, and the cut would go through an image");
    r = record(TASK_GENERATE, 0, 1, TEXTS("red", "on <gen>")); /* the run takes rows 11 to 14, </s> 15 */
    for (o.max_tokens = 9; o.max_tokens < 15; o.max_tokens++) {
        char wanted[256];
        snprintf(wanted, sizeof wanted, "16 tokens, data.max_tokens is %d, and the cut would go through [IMG] tokens", (int)o.max_tokens);
        CHECK_REJECTS(&o, r, REJECT_TOO_LONG, wanted);
    }
    CHECK_STR(encoded(&o, r), "<s> ▁[ INST ] [T2I] ▁red ▁ [/ INST ] *▁on *[IMG0] *[IMG1] *[IMG2] *[IMG3]");
    r = record(TASK_GENERATE, 0, 3, TEXTS("red", "<gen> <gen>", "on", "<gen>"));
    o.max_tokens = 1 << 20;
    encoded(&o, r);
    CHECK_INT(sample.n_runs, 3);
    o.max_tokens = sample.expanded - 1;
    encoded(&o, r);
    CHECK_INT(sample.n_runs, 2);
}

/* What is cut off costs as many trained tokens as the same row has without a limit. */
TEST(encode_counts_the_trained_tokens_that_a_cut_costs)
{
    EncoderOptions o = options(CHAT_MISTRAL_INSTRUCT);
    const Record *r = record(TASK_UNDERSTAND, 1, 0, TEXTS("<image>", "red", "blue", "on the red star", "the", "red"));
    encoded(&o, r);
    const int64_t whole = sample.expanded;
    const int32_t trained = sample.n_trained;
    CHECK_INT(sample.n_cut, 0);
    for (o.max_tokens = whole; o.max_tokens >= 19; o.max_tokens--) {
        encoded(&o, r);
        CHECK_INT(sample.n_cut, trained - sample.n_trained);
        CHECK((sample.n_cut > 0) == (o.max_tokens < whole) && sample.expanded <= o.max_tokens);
    }
    CHECK_INT(sample.n_trained, 1); /* of a plain cut through "red ▁ </s>" */
}

/* A row of many MB costs little more than its text, and its time grows no faster. */
TEST(encode_takes_as_much_of_a_long_row_as_it_can_keep)
{
    static const char WORDS[] = "the red star on a blue ring "; /* 7 tokens */
    enum { BYTES = 15 << 20, MOST_GROWTH = 160 << 10 /* KiB */, PERIOD = sizeof WORDS - 1, SHORT = BYTES % PERIOD + PERIOD };
    EncoderOptions o = options(CHAT_MISTRAL_INSTRUCT);
    char *text = mem_alloc(BYTES), message[256];
    REQUIRE(text);
    for (size_t i = 0; i < BYTES; i++)
        text[i] = WORDS[i % PERIOD];
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    Record *r = record(TASK_UNDERSTAND, 0, 0, TEXTS("red", "", "on", "on"));
    r->turns[1] = (RecordTurn){false, text, SHORT};
    CHECK_INT(encode(&o, r, message), REJECT_NONE);
    const int64_t short_trained = sample.n_trained;
    r->turns[1].length = r->turns[2].length = BYTES;
    r->turns[2].text = text;
    o.max_tokens = 100;
    CHECK_INT(encode(&o, r, message), REJECT_NONE);
    CHECK(sample.n == 100 && sample.n_trained == 91 && sample.capacity < 1000);
    CHECK_INT(sample.n_cut, short_trained + 7 * ((int64_t)(BYTES - SHORT) / PERIOD) - 91);
    CHECK_INT(encode(&o, record(TASK_UNDERSTAND, 0, 0, TEXTS("red", "on")), message), REJECT_NONE);
    r = record(TASK_UNDERSTAND, 0, 0, TEXTS("", "red"));
    r->turns[0] = (RecordTurn){true, text, BYTES};
    CHECK_REJECTS(&o, r, REJECT_NO_TRAINED, "nothing of the answer is left within data.max_tokens = 100");
    memset(text, 'x', BYTES); /* one word */
    CHECK_REJECTS(&o, r, REJECT_TOO_LONG, "a word of more than 1 MiB (words are what spaces separate): it is not tokenised");
    r = record(TASK_UNDERSTAND, 0, 0, TEXTS("red", "on", "red", "on"));
    r->turns[2] = (RecordTurn){true, text, BYTES};
    CHECK_STR(encoded(&o, r), "<s> ▁[ INST ] ▁red ▁ [/ INST ] *▁on *▁ *</s>");
    getrusage(RUSAGE_SELF, &after);
#ifndef __SANITIZE_ADDRESS__ /* whose own memory is not ours to know */
    CHECK_MSG(after.ru_maxrss - before.ru_maxrss < MOST_GROWTH, "%ld KiB more", after.ru_maxrss - before.ru_maxrss);
#endif
    CHECK_FAILS(encode_prompt(&sample, &o, tok, (RecordText){0}, r->turns + 2, 1, 0, TASK_UNDERSTAND), ERR_USAGE,
                "a word of more than 1 MiB (words are what spaces separate): it is not tokenised");
    mem_free(text);
}

TEST(encode_prompts_end_where_the_answer_starts)
{
    EncoderOptions o = options(CHAT_MISTRAL_INSTRUCT);
    RecordTurn turns[3] = {{true, " red ", 5}, {false, "on", 2}, {true, "blue", 4}};
    REQUIRE_OK(encode_prompt(&sample, &o, tok, (RecordText){0}, turns, 1, 1, TASK_UNDERSTAND));
    CHECK_STR(shown(&o), "<s> ▁[ INST ] [I2T] <image> ▁ <0x0A> red ▁ [/ INST ]");
    CHECK_INT(sample.expanded, sample.n + 8);
    REQUIRE_OK(encode_prompt(&sample, &o, tok, (RecordText){0}, turns, 3, 0, TASK_UNDERSTAND));
    CHECK_STR(shown(&o), "<s> ▁[ INST ] ▁▁ red ▁▁ [/ INST ] ▁on ▁ </s> ▁[ INST ] ▁blue ▁ [/ INST ]");
    REQUIRE_OK(encode_prompt(&sample, &o, tok, (RecordText){0}, turns + 2, 1, 0, TASK_GENERATE));
    CHECK_STR(shown(&o), "<s> ▁[ INST ] [T2I] ▁blue ▁ [/ INST ]");
    o = options(CHAT_V1);
    REQUIRE_OK(encode_prompt(&sample, &o, tok, (RecordText){0}, turns + 2, 1, 0, TASK_UNDERSTAND));
    CHECK(strstr(shown(&o), "▁USER : ▁blue ▁ASSISTANT :"));
    CHECK_FAILS(encode_prompt(&sample, &o, tok, (RecordText){0}, turns, 2, 0, TASK_UNDERSTAND), ERR_USAGE,
                "the dialogue has no question at its end");
    turns[2] = (RecordTurn){true, "<image>", 7};
    CHECK_FAILS(encode_prompt(&sample, &o, tok, (RecordText){0}, turns, 3, 2, TASK_UNDERSTAND), ERR_USAGE,
                "1 <image> marker in the questions, 2 images given");
    encoded_free(&sample);
    tokenizer_close(&tok);
}
