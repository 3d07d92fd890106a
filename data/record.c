/* record.c: what the turns of a row say about its pictures (record.h). Called by the encoder, prepare, the loader and curate. */
#include "data/record.h"

#include <string.h>

#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"

int record_count_marker(const RecordTurn *t, const char *marker)
{
    const size_t n = strlen(marker);
    int count = 0;
    const char *at = t->text, *end = t->text + t->length;
    while ((at = memmem(at, (size_t)(end - at), marker, n))) {
        count++;
        at += n;
    }
    return count;
}

size_t record_question(char *out, const RecordTurn *t)
{
    static const size_t MARKER = sizeof IMAGE_MARKER - 1;
    const char *end = t->text + t->length, *marker, *text = out;
    size_t n = 0;
    for (const char *at = t->text; at < end; at = marker ? marker + MARKER : end) {
        marker = memmem(at, (size_t)(end - at), IMAGE_MARKER, MARKER);
        size_t k = (size_t)((marker ? marker : end) - at);
        memcpy(out + n, at, k);
        n += k;
    }
    utf8_strip(&text, &n);
    memmove(out, text, n);
    return n;
}

size_t record_comparable(char *out, const char *text, size_t n, const char *closing)
{
    const size_t marker = strlen(IMAGE_MARKER);
    size_t used = 0;
    bool blank = false; /* before the next character */
    for (size_t i = 0; i < n;) {
        if (n - i >= marker && !memcmp(text + i, IMAGE_MARKER, marker)) {
            i += marker;
            continue;
        }
        uint32_t c = 0;
        const size_t k = (size_t)utf8_decode(text + i, n - i, &c);
        if (utf8_is_space(c)) {
            blank = used > 0;
        } else {
            if (blank)
                out[used++] = ' ';
            blank = false;
            for (size_t j = 0; j < k; j++)
                out[used++] = text[i + j] >= 'A' && text[i + j] <= 'Z' ? (char)(text[i + j] + 32) : text[i + j];
        }
        i += k;
    }
    while (used && out[used - 1] && strchr(closing, out[used - 1]))
        used--;
    return used;
}

/* The turn with the marker of target k, or NULL. A first turn that is not from human is no part of the conversation. */
static const RecordTurn *answer_of_target(const Record *rec, int k)
{
    for (int i = 1; i < rec->n_turns; i++) {
        int markers = rec->turns[i].human ? 0 : record_count_marker(&rec->turns[i], GEN_MARKER);
        if (k < markers)
            return &rec->turns[i];
        k -= markers;
    }
    return NULL;
}

/* The prompt of all targets, or NULL. */
static const char *given_prompt(const Record *rec)
{
    return rec->sd_prompt ? rec->sd_prompt : rec->task == TASK_EDIT ? rec->sd_instruction : NULL;
}

static bool has_words(const char *text, size_t n)
{
    utf8_strip(&text, &n);
    return n > 0;
}

/* Between its image markers. */
static bool asks_something(const RecordTurn *question)
{
    const char *at = question->text, *end = at + question->length, *marker;
    while ((marker = memmem(at, (size_t)(end - at), IMAGE_MARKER, sizeof IMAGE_MARKER - 1))) {
        if (has_words(at, (size_t)(marker - at)))
            return true;
        at = marker + sizeof IMAGE_MARKER - 1;
    }
    return has_words(at, (size_t)(end - at));
}

bool record_has_prompts(const Record *rec, int n)
{
    const char *given = given_prompt(rec);
    if (given)
        return has_words(given, strlen(given));
    for (int k = 0; k < n; k++) {
        const RecordTurn *answer = answer_of_target(rec, k);
        if (!answer || !asks_something(answer - 1))
            return false;
    }
    return true;
}

Status record_prompt(const Record *rec, int k, char **out)
{
    const RecordTurn *answer = answer_of_target(rec, k);
    const char *said = given_prompt(rec);
    if (!answer)
        return fail(ERR_DATA, "the turns have no " GEN_MARKER " number %d", k + 1);
    const RecordTurn *question = answer - 1;
    *out = said ? mem_strdup(said) : mem_alloc(question->length + 1);
    if (!*out)
        return fail(ERR_NOMEM, "no memory for the prompt of a picture");
    if (!said)
        (*out)[record_question(*out, question)] = 0;
    return OK;
}
