/* draft.c: see draft.h. */
#include "data/records/draft.h"

#include <stdarg.h>
#include <string.h>

#include "data/records/parsed.h"
#include "data/records/requests.h"
#include "data/records/unified.h"
#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"

static const char CAPTION[] = "{caption}";

static RecordText stripped(RecordText t)
{
    if (t.text)
        utf8_strip(&t.text, &t.length);
    return t;
}

static void reject(Record *rec, Reject why, const char *message)
{
    rec->reject = why;
    snprintf(rec->message, sizeof rec->message, "%s", message);
}

/* ---------------------------------------------------------------- texts */

/* Where the texts of a record begin in its stream, each with a NUL behind it. */
typedef enum Place { HUMAN, GPT, PROMPT, SRC_PROMPT, INSTRUCTION, N_PLACES } Place;
typedef struct Places {
    size_t at[N_PLACES], n[N_PLACES];
} Places;

static Status begin_stream(FILE **stream, char **text, size_t *n)
{
    if (*stream)
        rewind(*stream);
    else
        *stream = open_memstream(text, n);
    return *stream ? OK : fail(ERR_NOMEM, "no memory for the text of a row");
}

static void begin_text(FILE *out, Places *p, Place which) { p->at[which] = (size_t)ftello(out); }

static void end_text(FILE *out, Places *p, Place which)
{
    p->n[which] = (size_t)ftello(out) - p->at[which];
    fputc(0, out);
}

static void put_text(FILE *out, Places *p, Place which, RecordText t)
{
    begin_text(out, p, which);
    fwrite(t.text ? t.text : "", 1, t.length, out);
    end_text(out, p, which);
}

/* A marker for each input, then the text. */
static void put_question(FILE *out, Places *p, const Draft *d, RecordText text)
{
    begin_text(out, p, HUMAN);
    for (int i = 0; i < d->n_images; i++)
        if (d->images[i].role == ROLE_INPUT)
            fputs(IMAGE_MARKER "\n", out);
    fwrite(text.text, 1, text.length, out);
    end_text(out, p, HUMAN);
}

/* The request for a picture, with its caption. */
static void put_request(FILE *out, Places *p, const char *request, RecordText caption)
{
    const char *gap = strstr(request, CAPTION);
    begin_text(out, p, HUMAN);
    fwrite(request, 1, (size_t)(gap - request), out);
    fwrite(caption.text, 1, caption.length, out);
    fputs(gap + sizeof CAPTION - 1, out);
    end_text(out, p, HUMAN);
}

static void put_texts(FILE *out, Places *p, const Record *rec, const Draft *d, const MixtureSource *s)
{
    static const RecordText DRAWN = {GEN_MARKER, sizeof GEN_MARKER - 1};
    const RecordText caption = stripped(d->caption), instruction = stripped(d->instruction);
    if (rec->task == TASK_EDIT) {
        put_question(out, p, d, instruction);
    } else {
        const char *request = requests_for(s->requests, rec->task, rec->uid);
        if (rec->task == TASK_GENERATE)
            put_request(out, p, request, caption);
        else
            put_question(out, p, d, (RecordText){request, strlen(request)});
    }
    put_text(out, p, GPT, rec->task == TASK_UNDERSTAND ? caption : DRAWN);
    put_text(out, p, PROMPT, rec->task == TASK_EDIT ? stripped(d->sd_prompt) : rec->task == TASK_GENERATE ? caption : (RecordText){0});
    put_text(out, p, SRC_PROMPT, stripped(d->sd_src_prompt));
    put_text(out, p, INSTRUCTION, instruction);
}

/* ---------------------------------------------------------------- the record */

static void take_texts(Record *rec, const Places *p, const char *text)
{
    rec->turns[0] = (RecordTurn){true, text + p->at[HUMAN], p->n[HUMAN]};
    rec->turns[1] = (RecordTurn){false, text + p->at[GPT], p->n[GPT]};
    rec->n_turns = 2;
    rec->sd_prompt = p->n[PROMPT] ? text + p->at[PROMPT] : NULL;
    rec->sd_src_prompt = p->n[SRC_PROMPT] ? text + p->at[SRC_PROMPT] : NULL;
    rec->sd_instruction = p->n[INSTRUCTION] ? text + p->at[INSTRUCTION] : NULL;
}

enum { PLACE_BYTES = 32 };

/* "3:14: ", or "" where the draft's place is not known. */
static const char *place(char buf[PLACE_BYTES], const Draft *d)
{
    *buf = 0;
    if (d->line)
        snprintf(buf, PLACE_BYTES, "%d:%d: ", d->line, d->column);
    return buf;
}

void draft_reject(Draft *d, Reject why, const char *format, ...)
{
    if (d->reject)
        return;
    va_list args;
    va_start(args, format);
    status_text_of(d->message, sizeof d->message, format, args);
    va_end(args);
    d->reject = why;
}

void draft_picture(Draft *d, const MixtureSource *s, const char *file)
{
    char buf[PLACE_BYTES];
    if (!file || !*file) {
        draft_reject(d, REJECT_MISSING, "%sthe row names no picture", place(buf, d));
        return;
    }
    if (parsed_no_file(file)) {
        draft_reject(d, REJECT_MISSING, "%sits picture %s", place(buf, d), parsed_no_file(file));
        utf8_show(d->reject_path, sizeof d->reject_path, file, strlen(file), UTF8_VALID);
        return;
    }
    d->images[d->n_images++] = (RecordImage){file, s->as == TASK_GENERATE ? ROLE_TARGET : ROLE_INPUT};
}

static bool has_nul(RecordText t) { return t.length && memchr(t.text, 0, t.length); }

/* What a diffusion model is told ends at a NUL. */
static bool is_cut(const Record *rec, const Draft *d)
{
    const RecordText told = rec->task == TASK_EDIT ? d->instruction : rec->task == TASK_GENERATE ? d->caption : (RecordText){0};
    return has_nul(told) || has_nul(d->sd_prompt) || has_nul(d->sd_src_prompt);
}

static void check_texts(Record *rec, const Draft *d)
{
    const bool edit = rec->task == TASK_EDIT;
    char text[64], buf[PLACE_BYTES];
    if (!stripped(edit ? d->instruction : d->caption).length) {
        snprintf(text, sizeof text, "%sits %s is empty", place(buf, d), edit ? "instruction" : "caption");
        reject(rec, edit ? REJECT_BAD_TURNS : rec->task == TASK_GENERATE ? REJECT_NO_PROMPT : REJECT_NO_TRAINED, text);
    } else if (is_cut(rec, d)) {
        snprintf(text, sizeof text, "%swhat is to be drawn holds U+0000", place(buf, d));
        reject(rec, REJECT_BAD_JSON, text);
    }
}

/* A row that is no JSON, or is bad with all of its folder, has no scores; any other one that a filter leaves out need not be as it should.
 */
static void judge(Record *rec, const Draft *d, const MixtureSource *s)
{
    if (d->reject != REJECT_BAD_JSON && !d->unscored)
        row_check_filters(rec, s, d->scores, d->n_scores);
    if (!rec->reject && d->reject) {
        reject(rec, d->reject, d->message);
        snprintf(rec->reject_path, sizeof rec->reject_path, "%s", d->reject_path);
    }
    if (!rec->reject)
        check_texts(rec, d);
}

bool draft_stands(const Draft *d, const MixtureSource *s)
{
    Record rec = {.task = s->as};
    judge(&rec, d, s);
    return !rec.reject;
}

static Status write_json(Record *rec, DraftText *t, const MixtureSource *s)
{
    TRY(begin_stream(&t->json, &t->json_text, &t->json_n));
    unified_write(t->json, rec, s->name, NULL);
    if (fflush(t->json))
        return fail(ERR_NOMEM, "no memory for the text of a row");
    rec->json = t->json_text;
    rec->json_length = t->json_n;
    return OK;
}

Status draft_record(Record *rec, RowRoom *room, DraftText *t, const Draft *d, const MixtureSource *s)
{
    Places places;
    rec->task = s->as;
    rec->ends_file = d->ends_file;
    rec->note = d->note;
    rec->split = d->split;
    rec->prov = d->prov;
    rec->prov.license = d->prov.license ? d->prov.license : s->license;
    TRY(row_room(rec, room, d->n_images, 2, d->n_scores));
    if (d->n_scores)
        memcpy(rec->scores, d->scores, (size_t)d->n_scores * sizeof *rec->scores);
    rec->n_scores = d->n_scores;
    judge(rec, d, s);
    if (rec->reject)
        return OK;
    memcpy(rec->images, d->images, (size_t)d->n_images * sizeof *rec->images);
    rec->n_images = d->n_images;
    TRY(begin_stream(&t->turns, &t->turns_text, &t->turns_n));
    put_texts(t->turns, &places, rec, d, s);
    if (fflush(t->turns))
        return fail(ERR_NOMEM, "no memory for the text of a row");
    take_texts(rec, &places, t->turns_text);
    return write_json(rec, t, s);
}

void draft_text_free(DraftText *t)
{
    if (t->turns)
        fclose(t->turns);
    if (t->json)
        fclose(t->json);
    mem_free(t->turns_text);
    mem_free(t->json_text);
    *t = (DraftText){0};
}
