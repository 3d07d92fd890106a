/* answer.c: finds the object in a reply's text and checks what it says (answer.h). */
#include "data/curate/answer.h"

#include <string.h>

#include "data/curate/wording.h"
#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"

/* ---------------------------------------------------------------- the object */

size_t answer_object_bytes(const char *text, size_t n)
{
    int64_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < n; i++) {
        if (in_string) {
            if (text[i] == '\\')
                i++;
            else
                in_string = text[i] != '"';
        } else if (text[i] == '"') {
            in_string = true;
        } else if (text[i] == '{') {
            depth++;
        } else if (text[i] == '}' && --depth == 0) {
            return i + 1;
        }
    }
    return 0;
}

/* *doc stays NULL when the text is no object. */
static Status parse_object(JsonDoc **doc, const char *text, size_t n)
{
    Status s = json_parse_loose(doc, text, n, "reply", 1, 1);
    if (s == OK && json_root(*doc)->kind != JSON_OBJECT)
        json_free(doc);
    return s == ERR_DATA ? OK : s;
}

static Status parse_piece(JsonDoc **doc, const char *text, size_t n)
{
    const char *brace = n ? memchr(text, '{', n) : NULL;
    const size_t piece = brace ? answer_object_bytes(brace, n - (size_t)(brace - text)) : 0;
    return piece ? parse_object(doc, brace, piece) : OK;
}

static bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

/* Whether the comma at text[i] has nothing between it and a closing brace or bracket. */
static bool is_trailing(const char *text, size_t n, size_t i)
{
    do
        i++;
    while (i < n && is_blank(text[i]));
    return i < n && (text[i] == '}' || text[i] == ']');
}

/* Curly double quotes made straight, in place; the bytes that are left. */
static size_t straighten(char *text, size_t n)
{
    size_t used = 0;
    for (size_t i = 0; i < n;) {
        const bool curly = n - i >= 3 && (!memcmp(text + i, "\xE2\x80\x9C", 3) || !memcmp(text + i, "\xE2\x80\x9D", 3));
        text[used++] = curly ? '"' : text[i];
        i += curly ? 3 : 1;
    }
    return used;
}

/* Commas before '}' and ']' dropped outside of strings, in place; the bytes that are left. */
static size_t drop_commas(char *text, size_t n)
{
    size_t used = 0;
    bool in_string = false;
    for (size_t i = 0; i < n; i++) {
        if (in_string && text[i] == '\\' && i + 1 < n)
            text[used++] = text[i++];
        else if (text[i] == '"')
            in_string = !in_string;
        if (in_string || text[i] != ',' || !is_trailing(text, n, i))
            text[used++] = text[i];
    }
    return used;
}

static Status parse_repaired(JsonDoc **doc, const char *text, size_t n)
{
    const char *brace = n ? memchr(text, '{', n) : NULL;
    if (!brace)
        return OK;
    n -= (size_t)(brace - text);
    char *copy = mem_alloc(n + 1);
    if (!copy)
        return fail(ERR_NOMEM, "no memory for a reply of %zu bytes", n);
    memcpy(copy, brace, n);
    n = drop_commas(copy, straighten(copy, n));
    Status s = parse_piece(doc, copy, n);
    mem_free(copy);
    return s;
}

/* ---------------------------------------------------------------- its texts */

static const char *key_name(const Recipe *r, const AnswerText *t) { return RECIPE_KINDS[r->kind].keys[t->key].key; }

/* The texts of one object. */
static void take_texts(Answer *a, Verdict *v, const KindRule *kind, const Json *object)
{
    for (int k = 0; k < REPLY_MOST_KEYS && kind->keys[k].key; k++) {
        const Json *value = json_get_last(object, kind->keys[k].key);
        const bool absent = !value || value->kind == JSON_NULL;
        if (absent && kind->keys[k].optional)
            continue;
        if (absent || value->kind != JSON_STRING) {
            verdict_set(v, REASON_KEYS, "\"%s\" is %s, expected a text", kind->keys[k].key,
                        value ? json_kind_name(value->kind) : "missing");
            return;
        }
        AnswerText *t = &a->texts[a->n++];
        *t = (AnswerText){k, value->string, value->length};
        utf8_strip(&t->text, &t->n);
    }
}

static Status find_texts(Answer *a, Verdict *v, const KindRule *kind)
{
    const Json *root = json_root(a->doc), *list = kind->list ? json_get_last(root, kind->list) : NULL;
    const bool is_list = list && list->kind == JSON_ARRAY && list->length;
    if (kind->list && !is_list) {
        verdict_set(v, REASON_KEYS, "\"%s\" is %s, expected a list of at least one", kind->list,
                    !list                      ? "missing"
                    : list->kind == JSON_ARRAY ? "empty"
                                               : json_kind_name(list->kind));
        return OK;
    }
    a->texts = mem_alloc((is_list ? list->length : 1) * REPLY_MOST_KEYS * sizeof *a->texts);
    if (!a->texts)
        return fail(ERR_NOMEM, "no memory for the texts of a reply");
    if (!is_list)
        take_texts(a, v, kind, root);
    for (const Json *turn = is_list ? list->child : NULL; turn && !v->reason; turn = turn->next)
        take_texts(a, v, kind, turn);
    return OK;
}

/* Each check goes over all texts before the next one. */
static void check_texts(const Answer *a, Verdict *v, const Recipe *r)
{
    const AnswerText *end = a->texts + a->n, *t;
    for (t = a->texts; t < end && !v->reason; t++)
        if (wording_words(t->text, t->n) < r->words[t->key].least)
            verdict_set(v, REASON_TOO_SHORT, "\"%s\" has %lld word%s, wanted at least %lld", key_name(r, t),
                        (long long)wording_words(t->text, t->n), status_plural(wording_words(t->text, t->n)),
                        (long long)r->words[t->key].least);
    for (t = a->texts; t < end && !v->reason; t++)
        if (wording_words(t->text, t->n) > r->words[t->key].most)
            verdict_set(v, REASON_TOO_LONG, "\"%s\" has %lld word%s, wanted at most %lld", key_name(r, t),
                        (long long)wording_words(t->text, t->n), status_plural(wording_words(t->text, t->n)),
                        (long long)r->words[t->key].most);
    for (t = a->texts; t < end && !v->reason; t++)
        if (wording_marker(t->text, t->n))
            verdict_set(v, REASON_MARKER, "\"%s\" holds the marker %s", key_name(r, t), wording_marker(t->text, t->n));
    for (t = a->texts; t < end && !v->reason; t++)
        if (wording_mention(t->text, t->n))
            verdict_set(v, REASON_MENTIONS, "\"%s\" speaks of \"%s\"", key_name(r, t), wording_mention(t->text, t->n));
    for (t = a->texts; t < end && !v->reason; t++)
        if (wording_is_damaged(t->text, t->n))
            verdict_set(v, REASON_ENCODING, "\"%s\" holds U+FFFD or a lone surrogate", key_name(r, t));
    for (t = a->texts; t < end && !v->reason; t++)
        if (wording_is_foreign(t->text, t->n))
            verdict_set(v, REASON_LANGUAGE, "more than a fifth of the letters of \"%s\" are not Latin", key_name(r, t));
}

const AnswerText *answer_find(const Answer *a, int key)
{
    for (int i = 0; i < a->n; i++)
        if (a->texts[i].key == key)
            return &a->texts[i];
    return NULL;
}

static bool is_same(const AnswerText *t, const char *caption)
{
    return caption && wording_same_caption(t->text, t->n, caption, strlen(caption));
}

static void check_edit(const Answer *a, Verdict *v, const char *src_prompt)
{
    const AnswerText *instruction = answer_find(a, 0), *output = answer_find(a, 1);
    if (is_same(output, src_prompt))
        verdict_set(v, REASON_SAME_AS_SOURCE, "the output says what the picture showed before");
    else if (wording_same_caption(instruction->text, instruction->n, output->text, output->n) || is_same(instruction, src_prompt))
        verdict_set(v, REASON_INSTRUCTION_IS_CAPTION, "the instruction is a description of a picture");
}

Status answer_read(Answer *a, Verdict *v, const Recipe *recipe, const char *src_prompt, const char *text, size_t n)
{
    *a = (Answer){.doc = NULL};
    TRY(parse_object(&a->doc, text, n));
    if (!a->doc)
        TRY(parse_piece(&a->doc, text, n));
    if (!a->doc)
        TRY(parse_repaired(&a->doc, text, n));
    if (!a->doc) {
        verdict_set(v, REASON_BAD_JSON, "the text holds no JSON object: \"%.*s\"", (int)utf8_whole(text, n < 100 ? n : 100), text);
        return OK;
    }
    TRY(find_texts(a, v, &RECIPE_KINDS[recipe->kind]));
    check_texts(a, v, recipe);
    if (recipe->kind == RECIPE_EDIT && !v->reason)
        check_edit(a, v, src_prompt);
    return OK;
}

void answer_free(Answer *a)
{
    json_free(&a->doc);
    mem_free(a->texts);
    *a = (Answer){.doc = NULL};
}
