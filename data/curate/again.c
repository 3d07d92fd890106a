/* again.c: the line of a request that is sent once more (request_set.h). Its pictures pass through a small buffer. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/curate/request_set.h"
#include "data/formats/file.h"

/* As the inside of a JSON string. */
static const char STRICTER[] = "\\n\\nYour reply must be one JSON object and nothing else: no text before or after it, no code fences, "
                               "no comments, no trailing commas, and a straight double quote around every key and every text.";
/* What stands in a line before the limit, and before the user's text, of either API. */
static const char *const LIMITS[] = {"\"max_completion_tokens\":", "\"max_output_tokens\":"};
static const char *const TEXTS[] = {"{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"",
                                    "{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\""};

static Status open_lines(RequestSet *s, const Request *r)
{
    char path[PATH_MAX], name[40];
    if (s->file == r->file)
        return OK;
    if (s->lines >= 0)
        close(s->lines);
    s->file = s->lines = -1;
    snprintf(name, sizeof name, "requests-%05d.jsonl", r->file);
    TRY(file_open(&s->lines, file_join(path, s->folder, name)));
    s->file = r->file;
    return OK;
}

/* Behind the one of two words that comes first; NULL: neither is there. */
static char *find_either(char *text, const char *const words[2])
{
    char *one = strstr(text, words[0]), *other = strstr(text, words[1]);
    if (!one && !other)
        return NULL;
    return one && (!other || one < other) ? one + strlen(words[0]) : other + strlen(words[1]);
}

/* Fills head, replace and text from the beginning of a line; false: the place is not in it. */
static bool find_place(Again *a, char *start, Reason why)
{
    char *at = find_either(start, why == REASON_LENGTH ? LIMITS : TEXTS), *end = at;
    if (!at)
        return false;
    if (why == REASON_LENGTH) {
        const int64_t limit = strtoll(at, &end, 10);
        snprintf(a->text, sizeof a->text, "%" PRId64, 2 * limit);
        a->head = (size_t)(at - start);
        a->replace = (size_t)(end - at);
        return *end && end > at; /* the number ends in here */
    }
    while (*end && *end != '"')
        end += end[0] == '\\' && end[1] ? 2 : 1;
    snprintf(a->text, sizeof a->text, "%s", STRICTER);
    a->head = (size_t)(end - start);
    a->replace = 0;
    return *end == '"';
}

static Status fail_line(const RequestSet *s, const Request *r)
{
    return fail(ERR_DATA, "%s/requests-%05d.jsonl: byte %" PRId64 " does not begin the request %s, as records.jsonl says; make the "
                          "requests anew with curate request", s->folder, r->file, r->offset, r->custom_id);
}

Status request_again(RequestSet *s, Again *a, const Request *r, Reason why)
{
    enum { FIRST = 1 << 14 };
    char begins[64];
    const int n_begins = snprintf(begins, sizeof begins, "{\"custom_id\":\"%s\"", r->custom_id);
    *a = (Again){.n_bytes = r->bytes + 1};
    TRY(open_lines(s, r));
    if (r->bytes < n_begins)
        return fail_line(s, r);
    bool found = why != REASON_LENGTH && why != REASON_BAD_JSON;
    for (int64_t n = r->bytes < FIRST ? r->bytes : FIRST;; n = r->bytes < 2 * n ? r->bytes : 2 * n) {
        const LinePlace place = {.start = r->offset, .n = (uint32_t)n};
        TRY(line_read(s->lines, s->folder, &place, &s->head));
        if (memcmp(s->head.text, begins, (size_t)n_begins))
            return fail_line(s, r);
        found = found || find_place(a, s->head.text, why);
        if (found || n == r->bytes)
            break;
    }
    a->n_bytes += (int64_t)strlen(a->text) - (int64_t)a->replace;
    return found ? OK : fail_line(s, r);
}

static Status copy_bytes(const RequestSet *s, int64_t from, int64_t n, FILE *out)
{
    char piece[1 << 15];
    for (int64_t done = 0; done < n;) {
        const size_t k = n - done < (int64_t)sizeof piece ? (size_t)(n - done) : sizeof piece;
        TRY(file_read_at(s->lines, s->folder, piece, k, from + done));
        fwrite(piece, 1, k, out);
        done += (int64_t)k;
    }
    return OK;
}

Status request_write_again(RequestSet *s, const Again *a, const Request *r, FILE *out)
{
    const int64_t behind = (int64_t)(a->head + a->replace);
    TRY(copy_bytes(s, r->offset, (int64_t)a->head, out));
    fputs(a->text, out);
    TRY(copy_bytes(s, r->offset + behind, r->bytes - behind, out));
    fputc('\n', out);
    return OK;
}
