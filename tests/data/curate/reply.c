/* reply, answer: what a line of a reply says, and the stage and reason of what it does not. tests/oracle draws them at random. */
#include "data/curate/reply.h"

#include <stdio.h>
#include <string.h>

#include "data/curate/answer.h"
#include "data/curate/replies.h"
#include "tests/harness.h"

/* The kind's default bounds. */
static Recipe recipe_of(RecipeKind kind)
{
    Recipe r = {.kind = kind};
    for (int i = 0; i < REPLY_MOST_KEYS; i++)
        r.words[i] = (WordBounds){RECIPE_KINDS[kind].keys[i].least, RECIPE_KINDS[kind].keys[i].most};
    return r;
}

/* "stage.reason", with "!" where the request is sent again; "" when it comes through. */
static const char *outcome(const Verdict *v)
{
    static char text[64];
    snprintf(text, sizeof text, "%s%s%s%s", stage_name(reason_stage(v->reason)), v->reason ? "." : "", reason_name(v->reason),
             v->retry ? "!" : "");
    return text;
}

static void check_line(RecipeKind kind, const char *line, const char *wanted)
{
    const Recipe r = recipe_of(kind);
    Judged j = {.doc = NULL};
    REQUIRE_OK(judge_line(&j, &r, "A street.", line, strlen(line)));
    CHECK_MSG(!strcmp(outcome(&j.verdict), wanted), "%s\n  ends as %s (%s), wanted %s", line, outcome(&j.verdict), j.verdict.message,
              wanted);
    CHECK(!j.verdict.reason == !*j.verdict.message);
    judged_free(&j);
}

#define CHAT(choice) "{\"response\":{\"status_code\":200,\"body\":{\"choices\":[" choice "]}},\"error\":null}"
#define CONTENT(text) CHAT("{\"finish_reason\":\"stop\",\"message\":{\"content\":" text ",\"refusal\":null}}")
#define RESPONSES(members) "{\"response\":{\"status_code\":200,\"body\":{" members "}}}"
#define MESSAGE(parts) "\"status\":\"completed\",\"output\":[{\"type\":\"reasoning\"},{\"type\":\"message\",\"content\":[" parts "]}]"
#define GOOD "\"{\\\"description\\\":\\\"one two three four five\\\"}\""

TEST(replies_end_in_the_transport)
{
    static const char *const CASES[][2] = {
        {"{}", "transport.error!"},
        {"{\"response\":null,\"error\":{\"code\":\"batch_expired\"}}", "transport.error!"},
        {"{\"response\":{\"status_code\":200,\"body\":{}},\"error\":{}}", "transport.error!"},
        {"{\"response\":{\"status_code\":400,\"body\":null}}", "transport.http"},
        {"{\"response\":{\"status_code\":404}}", "transport.http"},
        {"{\"response\":{\"status_code\":0}}", "transport.http!"},
        {"{\"response\":{\"status_code\":408}}", "transport.http!"},
        {"{\"response\":{\"status_code\":409}}", "transport.http!"},
        {"{\"response\":{\"status_code\":429}}", "transport.http!"},
        {"{\"response\":{\"status_code\":499}}", "transport.http"},
        {"{\"response\":{\"status_code\":500}}", "transport.http!"},
        {"{\"response\":{\"status_code\":529}}", "transport.http!"},
        {CHAT("{\"finish_reason\":\"length\",\"message\":{\"content\":" GOOD "}}"), "transport.length!"},
        {CHAT("{\"finish_reason\":\"content_filter\"}"), "transport.content_filter"},
        {CHAT("{\"finish_reason\":\"tool_calls\",\"message\":{\"content\":" GOOD "}}"), "transport.finish"},
        {CHAT("{\"message\":{\"content\":" GOOD "}}"), "transport.finish"},
        {CHAT(""), "transport.empty!"},
        {RESPONSES(""), "transport.empty!"},
        {CONTENT("null"), "transport.empty!"},
        {CONTENT("\" \\n\""), "transport.empty!"},
        {RESPONSES("\"status\":\"incomplete\",\"incomplete_details\":{\"reason\":\"max_output_tokens\"}"), "transport.length!"},
        {RESPONSES("\"status\":\"incomplete\",\"incomplete_details\":{\"reason\":\"content_filter\"}"), "transport.content_filter"},
        {RESPONSES("\"status\":\"incomplete\",\"incomplete_details\":null"), "transport.finish"},
        {RESPONSES("\"status\":\"failed\",\"output\":[]"), "transport.finish"},
        {RESPONSES("\"status\":\"failed\",\"error\":null,\"output\":[]"), "transport.finish"},
        {RESPONSES("\"status\":\"failed\",\"error\":{\"code\":\"server_error\",\"message\":\"m\"},\"output\":[]"), "transport.error!"},
        {RESPONSES("\"status\":\"completed\",\"error\":{},\"output\":[]"), "transport.empty!"},
        {RESPONSES("\"status\":\"completed\",\"output\":[]"), "transport.empty!"},
        {RESPONSES(MESSAGE("{\"type\":\"output_text\",\"text\":" GOOD "}")), ""},
        {RESPONSES(MESSAGE("{\"type\":\"output_text\",\"text\":\"{\\\"description\\\":\\\"one two thr\"},"
                           "{\"type\":\"output_text\",\"text\":\"ee four five\\\"}\"}")), ""},
        {CONTENT(GOOD), ""},
        {CONTENT("[{\"type\":\"text\",\"text\":" GOOD "},{\"type\":\"x\",\"text\":\"y\"},5]"), ""},
        {CONTENT("[{\"type\":\"refusal\",\"refusal\":\"No.\"}]"), "refusal.refusal"},
        {CONTENT("[{\"type\":\"output_text\",\"text\":" GOOD "}]"), "transport.empty!"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        check_line(RECIPE_DETAIL, CASES[i][0], CASES[i][1]);
}

TEST(replies_that_refuse)
{
    check_line(RECIPE_DETAIL, CHAT("{\"finish_reason\":\"stop\",\"message\":{\"content\":" GOOD ",\"refusal\":\"\"}}"), "refusal.refusal");
    check_line(RECIPE_DETAIL, RESPONSES(MESSAGE("{\"type\":\"refusal\",\"refusal\":\"No.\"}")), "refusal.refusal");
    check_line(RECIPE_DETAIL, CONTENT("\"I\u2019m sorry, no.\""), "refusal.refusal");
    static const char *const REFUSE[] = {"I'm sorry", "I AM SORRY.", "sorry", "I cannot", "I can\u2019t", "I can not", "I won\u2018t",
                                         "i'm unable", "I am unable", "I'm not able", "I am not able", "I apologize", "I'm afraid",
                                         "Unable to", "As an AI", " *\"\u201c'\u2018**Sorry**"};
    static const char *const OTHERS[] = {"I see", "{sorry}", "Sorry {", "Im sorry", "", "Well, sorry", "-Sorry", "I can"};
    char text[256] = "sorry";
    for (size_t i = 0; i < sizeof REFUSE / sizeof *REFUSE; i++)
        CHECK_MSG(batch_reply_refuses(REFUSE[i], strlen(REFUSE[i])), "\"%s\" refuses", REFUSE[i]);
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++)
        CHECK_MSG(!batch_reply_refuses(OTHERS[i], strlen(OTHERS[i])), "\"%s\" does not refuse", OTHERS[i]);
    memset(text + 5, 'y', 195);
    CHECK(batch_reply_refuses(text, 199)); /* characters */
    CHECK(!batch_reply_refuses(text, 200));
    memcpy(text + 197, "\u00e9", 2);
    CHECK(batch_reply_refuses(text, 200)); /* 199 of them */
}

/* The object in a text, as the value of "a" of a reasoning's question. */
static void check_object(const char *text, const char *wanted)
{
    Recipe r = recipe_of(RECIPE_DETAIL);
    Answer a;
    Verdict v = {.reason = REASON_NONE};
    r.words[0] = (WordBounds){0, 99};
    REQUIRE_OK(answer_read(&a, &v, &r, NULL, text, strlen(text)));
    if (!wanted)
        CHECK_MSG(v.reason == REASON_BAD_JSON && v.retry, "%s: %s", text, outcome(&v));
    else if (v.reason)
        CHECK_MSG(false, "%s: %s (%s)", text, outcome(&v), v.message);
    else
        CHECK_MSG(a.texts[0].n == strlen(wanted) && !memcmp(a.texts[0].text, wanted, a.texts[0].n), "%s: \"%.*s\", wanted \"%s\"", text,
                  (int)a.texts[0].n, a.texts[0].text, wanted);
    answer_free(&a);
}

TEST(an_object_is_found_in_a_reply)
{
    check_object(" {\"description\": \" a \"}\n", "a");
    check_object("```json\n{\"description\": \"b\"}\n```", "b");
    check_object("It's \"this\": {\"description\": \"c } \\\" \\\\\", \"x\": {}} or {not}", "c } \" \\");
    check_object("{\"description\": \"d\",}", "d");
    check_object("{\"description\": \"e\", \"x\": [1, 2 ,\n\t],\n}", "e");
    check_object("{\u201cdescription\u201d: \u201cf\u201d}", "f");
    check_object("Here: {\u201cdescription\": \"g, ]\",}.", "g, ]");
    check_object("{\"description\": \"\u201ch,}\u201d\"}", "\u201ch,}\u201d"); /* nothing to repair */
    check_object("{\"description\": \"x\", \"description\": \"i\"}", "i");
    check_object("[{\"description\": \"j\"}", "j");
    static const char *const BAD[] = {"", "none", "{\"description\": \"a\"", "{x} {\"description\": \"a\"}", "{\"description\": \"a\",,}",
                                      "{'description': 'a'}", "{\"description\": \"\u201ca\u201d\",}", "{\"description\": NaN}", "}{"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        check_object(BAD[i], NULL);
}

static void check_answer(RecipeKind kind, const char *text, const char *wanted)
{
    const Recipe r = recipe_of(kind);
    Answer a;
    Verdict v = {.reason = REASON_NONE};
    REQUIRE_OK(answer_read(&a, &v, &r, "A quiet street.", text, strlen(text)));
    CHECK_MSG(!strcmp(outcome(&v), wanted), "%s\n  ends as %s (%s), wanted %s", text, outcome(&v), v.message, wanted);
    answer_free(&a);
}

TEST(answers_keep_to_the_schema)
{
    static const char *const DETAIL[][2] = {
        {"one two three four five", ""},
        {"\\u00a0one\\u2003two three\\nfour \\tfive\\u3000", ""},
        {"one two three four", "schema.too_short"},
        {"see <image> one two three", "schema.marker"},
        {"<gen> a b c d", "schema.marker"},
        {"[IMG3] a b c d", "schema.marker"},
        {"a <s> b c d", "schema.marker"},
        {"a </s> b c d", "schema.marker"},
        {"a [INST] b c d", "schema.marker"},
        {"a [/INST] b c d", "schema.marker"},
        {"a <Image> b [img c d", ""},
        {"the CapTion says so here", "schema.mentions"},
        {"a Bounding  Box is no box", ""},
        {"a Bounding Box is a box", "schema.mentions"},
        {"as the Description provided says", "schema.mentions"},
        {"<s> the caption is not here", "schema.marker"},
        {"a b c d \\ud800", "schema.encoding"},
        {"a b c d \\ufffd", "schema.encoding"},
        {"a b c d \\u0000", "schema.encoding"},
        {"a caption \\ufffd c d e", "schema.mentions"},
        {"aaaa aaaa aaaa aaaa \\u8857\\u8857\\u8857\\u8857", ""},                  /* 4 of 20 */
        {"aaaa aaaa aaaa aaaa \\u8857\\u8857\\u8857\\u8857\\u8857", "schema.language"}, /* 5 of 21 */
        {"aaaa \\u00e9\\u00e9\\u024f\\u00c0 aaaa aaaa \\u0250\\u0250\\u0250\\u0250", ""},
        {"\\u2026 \\u2bff \\ufe0f \\ud83d\\ude00 \\ud83e\\udeff", ""}, /* no letters at all */
        {"1 2 3 4 \\u0250", "schema.language"},
        {"1 2 3 4 \\u024f", ""},
    };
    char text[512];
    for (size_t i = 0; i < sizeof DETAIL / sizeof *DETAIL; i++) {
        snprintf(text, sizeof text, "{\"description\": \"%s\"}", DETAIL[i][0]);
        check_answer(RECIPE_DETAIL, text, DETAIL[i][1]);
    }
    check_answer(RECIPE_DETAIL, "{\"text\": \"a\"}", "schema.keys");
    check_answer(RECIPE_DETAIL, "{\"description\": null}", "schema.keys");
    check_answer(RECIPE_REASONING, "{\"question\": \"What is it?\"}", "schema.keys");
    check_answer(RECIPE_REASONING, "{\"question\": \"What is it?\", \"answer\": \"It.\"}", "");
    check_answer(RECIPE_REASONING, "{\"question\": \"What?\", \"answer\": \"<s>\"}", "schema.too_short"); /* before markers of any text */
    check_answer(RECIPE_CONVERSATION, "{\"question\": \"What is it?\", \"answer\": \"It.\"}", "schema.keys");
    check_answer(RECIPE_CONVERSATION, "{\"turns\": []}", "schema.keys");
    check_answer(RECIPE_CONVERSATION, "{\"turns\": [{\"question\": \"What is it?\", \"answer\": \"It.\"}, 5]}", "schema.keys");
    check_answer(RECIPE_CONVERSATION, "{\"turns\": [{\"question\": \"What is it?\", \"answer\": \"It.\"}]}", "");
}

TEST(edits_are_consistent)
{
#define EDIT(instruction, output) "{\"instruction\": \"" instruction "\", \"output\": \"" output "\"}"
    check_answer(RECIPE_EDIT, EDIT("Make it noisy now.", "A noisy street in a town."), "");
    check_answer(RECIPE_EDIT, "{\"instruction\": \"Make it noisy.\", \"output\": \"a b c d e\", \"expressive\": null}", "");
    check_answer(RECIPE_EDIT, "{\"instruction\": \"Make it noisy.\", \"output\": \"a b c d e\", \"expressive\": \"\"}", "schema.too_short");
    check_answer(RECIPE_EDIT, "{\"instruction\": \"Make it noisy.\", \"output\": \"a b c d e\", \"expressive\": 5}", "schema.keys");
    check_answer(RECIPE_EDIT, EDIT("A b C d \u00c9!", "?a B c D \u00e9"), "consistency.instruction_is_caption");
    check_answer(RECIPE_EDIT, EDIT("a quiet street", "A noisy street in a town."), "consistency.instruction_is_caption");
    Recipe r = recipe_of(RECIPE_EDIT);
    Answer a;
    r.words[1].least = 1;
    static const char *const SAME[] = {"A quiet STREET!?", "  .a quiet street"}, *const OTHER[] = {"A quiet street .", "A  quiet street"};
    for (int i = 0; i < 4; i++) {
        Verdict v = {.reason = REASON_NONE};
        char text[128];
        snprintf(text, sizeof text, EDIT("Make it noisy.", "%s"), i < 2 ? SAME[i] : OTHER[i - 2]);
        REQUIRE_OK(answer_read(&a, &v, &r, "A quiet street.", text, strlen(text)));
        CHECK_STR(outcome(&v), i < 2 ? "consistency.same_as_source" : ""); /* full stops go after blanks, as in InstructPix2Pix */
        answer_free(&a);
    }
}

TEST(objects_end_at_their_own_brace)
{
    static const char *const TEXTS[] = {"{}x", "{\"}\":{\"\\\"}\":1}}}", "{", "{\"}", "{\"a\\\\\"}\"", "{\"\\"};
    static const size_t WANTED[] = {2, 15, 0, 0, 7, 0};
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++)
        CHECK_INT(answer_object_bytes(TEXTS[i], strlen(TEXTS[i])), WANTED[i]);
}
