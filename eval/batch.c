/* batch.c: answers a file of questions, draws what it asks for, and writes answers.jsonl, pictures and bad_rows.jsonl beside it (batch.h).
 * Called by generate. */
#include "eval/batch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "data/formats/rows.h"
#include "data/records/row_fields.h"
#include "eval/draw.h"
#include "eval/text.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"
#include "kernels/base/utf8.h"

enum { MAX_IMAGES = 64, SAID_BAD_ROWS = 10 };

/* What is being answered, and where to. */
typedef struct BatchFile {
    const char *name;
    const char *image_root; /* what the pictures' paths may not leave, or NULL */
    char folder[PATH_MAX];  /* where relative paths start without one */
    char where[4352];       /* the present row, for people: its line from 1, or in an array its number from 0 */
    int64_t row;            /* the present one, from 0 */
    int64_t good, bad;      /* questions; a row that cannot be read is one */
    int64_t missing;        /* of the bad: a picture is not there beside the file */
    const Session *session;
    const char *out_dir;
    FileDraft out;
    FILE *bad_out; /* NULL until there is a bad row */
    const char *bad_path;
    Status first_kind; /* of the first bad row, and why */
    char first_message[512];
} BatchFile;

/* A question alone, or a record of several. */
typedef struct BatchRow {
    Record record; /* its strings are the document's */
    RowRoom room;
    bool is_record, of_llava; /* a question of LLaVA's question files: its "text" is asked */
    const char *key;          /* of a question alone: "ask", "draw" or "edit"; record.task says the same */
    int n_questions;          /* turn 2i is question i, turn 2i + 1 its given answer */
    Text *plain;              /* [turns], of a record: without image markers and outer blanks */
    RecordTurn *prompt;       /* [turns], as they are asked */
    int *markers;             /* [turns]: image markers up to and with this turn */
    char *images[MAX_IMAGES];
    int n_images;
} BatchRow;

static void row_free(BatchRow *r)
{
    for (int i = 0; i < r->n_images; i++)
        mem_free(r->images[i]);
    for (int i = 0; r->plain && i < r->record.n_turns; i++)
        mem_free(r->plain[i].bytes);
    mem_free(r->plain);
    mem_free(r->prompt);
    mem_free(r->markers);
    row_room_free(&r->record, &r->room);
    *r = (BatchRow){.is_record = false};
}

static Status wrong(const BatchFile *b, const char *what, const Json *found, const char *wanted)
{
    return fail(ERR_DATA, "%s: %s is %s; it takes %s", b->where, what, found ? json_kind_name(found->kind) : "missing", wanted);
}

static Status add_path(BatchFile *b, BatchRow *r, const char *path)
{
    if (r->n_images == MAX_IMAGES)
        return fail(ERR_DATA, "%s: more than %d images", b->where, MAX_IMAGES);
    char full[PATH_MAX];
    bool as_is = b->image_root || path[0] == '/';
    char *copy = mem_strdup(as_is ? path : file_join(full, b->folder, path));
    if (!copy)
        return fail(ERR_NOMEM, "no memory for a path");
    r->images[r->n_images++] = copy;
    return OK;
}

static Status add_image(BatchFile *b, BatchRow *r, const Json *path)
{
    return path->kind == JSON_STRING ? add_path(b, r, path->string) : wrong(b, "\"image\"", path, "a path or a list of paths");
}

static Status add_images(BatchFile *b, BatchRow *r, const Json *image)
{
    if (image && image->kind == JSON_ARRAY) {
        for (const Json *e = image->child; e; e = e->next)
            TRY(add_image(b, r, e));
        return OK;
    }
    bool none = !image || image->kind == JSON_NULL || (image->kind == JSON_STRING && !image->length); /* as in rows that are trained on */
    return none ? OK : add_image(b, r, image);
}

/* The text of a record's turn without its image markers, of which there are *markers, and outer blanks. */
static Status plain_text(Text *out, const RecordTurn *turn, int *markers)
{
    static const char MARKER[] = "<image>";
    const char *at = turn->text, *end = turn->text + turn->length, *next;
    size_t n = 0;
    TRY(text_copy(out, turn->text, turn->length));
    for (*markers = 0; (next = memmem(at, (size_t)(end - at), MARKER, sizeof MARKER - 1)); ++*markers) {
        memcpy(out->bytes + n, at, (size_t)(next - at));
        n += (size_t)(next - at);
        at = next + sizeof MARKER - 1;
    }
    memcpy(out->bytes + n, at, (size_t)(end - at));
    n += (size_t)(end - at);
    const char *text = out->bytes;
    utf8_strip(&text, &n);
    memmove(out->bytes, text, n);
    out->bytes[n] = 0;
    out->n = n;
    return OK;
}

/* Human and gpt in turn, as many markers as pictures, as in rows that are trained on. What a record has before its first question is no
 * part of it. */
static Status check_record(const BatchFile *b, const BatchRow *r)
{
    const Record *rec = &r->record;
    if (rec->n_turns == 0)
        return fail(ERR_DATA, "%s: a conversation without a turn from human", b->where);
    for (int i = 0; i < rec->n_turns; i++)
        if (rec->turns[i].human != (i % 2 == 0))
            return fail(ERR_DATA, "%s: a turn from %s follows one from the same", b->where, rec->turns[i].human ? "human" : "gpt");
    int markers = r->markers[rec->n_turns - 1];
    if (markers != r->n_images)
        return fail(ERR_DATA, "%s: %d <image> in the turns from human, %d image%s", b->where, markers, r->n_images,
                    status_plural(r->n_images));
    return OK;
}

/* A picture stands where its marker does. */
static Status prepare_turns(const BatchFile *b, BatchRow *r)
{
    const Record *rec = &r->record;
    const size_t n = (size_t)rec->n_turns + 1;
    r->plain = mem_alloc(n * sizeof *r->plain);
    r->prompt = mem_alloc(n * sizeof *r->prompt);
    r->markers = mem_alloc(n * sizeof *r->markers);
    if (!r->plain || !r->prompt || !r->markers)
        return fail(ERR_NOMEM, "no memory for a record of %d turns", rec->n_turns);
    for (int i = 0; i < rec->n_turns; i++) {
        const RecordTurn *turn = &rec->turns[i];
        int markers = 0;
        TRY(plain_text(&r->plain[i], turn, &markers));
        r->prompt[i] = turn->human && !markers ? (RecordTurn){true, r->plain[i].bytes, r->plain[i].n} : *turn;
        r->markers[i] = (i ? r->markers[i - 1] : 0) + (turn->human ? markers : 0);
    }
    r->n_questions = (rec->n_turns + 1) / 2;
    return check_record(b, r);
}

static Status read_record(BatchFile *b, BatchRow *r, const Json *o)
{
    static const MixtureSource NO_SOURCE = {.name = NULL};
    Record *rec = &r->record;
    const char *uid;
    r->is_record = true;
    rec->id = "";
    TRY(row_fields(rec, &r->room, o, &NO_SOURCE, &uid));
    if (rec->reject && rec->reject != REJECT_EXCLUDED) /* the rows that are not trained on are the ones to ask */
        return fail(ERR_DATA, "%s: %s", b->where, rec->message);
    for (int i = 0; i < rec->n_images; i++)
        if (rec->images[i].role == ROLE_INPUT)
            TRY(add_path(b, r, rec->images[i].path));
    if (rec->n_turns && !rec->turns[0].human) /* left out, as in rows that are trained on */
        memmove(rec->turns, rec->turns + 1, (size_t)--rec->n_turns * sizeof *rec->turns);
    return prepare_turns(b, r);
}

/* What a row asks for by itself, and the task that this is. */
static const struct {
    const char *key;
    Task task;
} ASKED[] = {{"ask", TASK_UNDERSTAND}, {"draw", TASK_GENERATE}, {"edit", TASK_EDIT}};
enum { N_ASKED = sizeof ASKED / sizeof *ASKED };

static Status check_pictures(const BatchFile *b, const BatchRow *r)
{
    if (r->record.task == TASK_GENERATE && r->n_images)
        return fail(ERR_DATA, "%s: \"draw\" begins without a picture, and there is an \"image\"; \"edit\" changes one", b->where);
    if (r->record.task == TASK_EDIT && !r->n_images)
        return fail(ERR_DATA, "%s: \"edit\" needs an \"image\", the path of the picture to change", b->where);
    return OK;
}

static Status read_question(BatchFile *b, BatchRow *r, const Json *o, int asked)
{
    const Json *text = json_get(o, ASKED[asked].key), *system = json_get(o, "system");
    char key[16];
    r->key = ASKED[asked].key;
    r->of_llava = !text;
    text = text ? text : json_get(o, "text");
    r->record.task = ASKED[asked].task;
    for (int i = asked + 1; i < N_ASKED; i++)
        if (json_get(o, ASKED[i].key))
            return fail(ERR_DATA, "%s: has \"%s\" and \"%s\"; a row asks for one thing", b->where, r->key, ASKED[i].key);
    snprintf(key, sizeof key, "\"%s\"", r->key);
    if (text->kind != JSON_STRING)
        return wrong(b, key, text, asked ? "a text" : "the text of a question");
    if (system && system->kind != JSON_STRING && system->kind != JSON_NULL)
        return wrong(b, "\"system\"", system, "what the model is told first");
    TRY(add_images(b, r, json_get(o, "image")));
    TRY(check_pictures(b, r));
    r->prompt = mem_alloc(sizeof *r->prompt);
    if (!r->prompt)
        return fail(ERR_NOMEM, "no memory for a question");
    r->prompt[0] = (RecordTurn){true, text->string, text->length};
    if (system && system->kind == JSON_STRING)
        r->record.system = (RecordText){system->string, system->length};
    r->n_questions = 1;
    return OK;
}

static Status read_row(BatchFile *b, BatchRow *r, const Json *o)
{
    if (o->kind != JSON_OBJECT)
        return wrong(b, "a question", o, "an object {\"ask\": text, \"image\": path}");
    for (int i = 0; i < N_ASKED; i++)
        if (json_get(o, ASKED[i].key))
            return read_question(b, r, o, i);
    if (json_get(o, "question_id") && json_get(o, "text"))
        return read_question(b, r, o, 0);
    if (json_get(o, "conversations") || json_get(o, "messages") || json_get(o, "turns"))
        return read_record(b, r, o);
    return fail(ERR_DATA,
                "%s: neither \"ask\", \"draw\" nor \"edit\", nor \"conversations\", \"messages\" or \"turns\"; "
                "a row is {\"ask\": text, \"image\": path} or a LLaVA record "
                "{\"conversations\": [{\"from\": \"human\", \"value\": text}, …], \"image\": path}",
                b->where);
}

/* Whether a question is answered by a picture: of a record that draws the unanswered ones, and those whose given answer has one. */
static bool is_drawn(const BatchRow *r, int question)
{
    const int answer = 2 * question + 1;
    return r->record.task != TASK_UNDERSTAND &&
           (!r->is_record || answer >= r->record.n_turns || record_count_marker(&r->record.turns[answer], GEN_MARKER));
}

/* A question as it is told: without markers and outer blanks, of a record. */
static RecordText asked_text(const BatchRow *r, int question)
{
    const RecordTurn *turn = &r->prompt[2 * question];
    const Text *plain = r->is_record ? &r->plain[2 * question] : NULL;
    return plain ? (RecordText){plain->bytes, plain->n} : (RecordText){turn->text, turn->length};
}

/* What of the object is written again under another name. */
static bool is_replaced(const BatchRow *r, const char *key)
{
    static const char *const KEYS[] = {"answer", "picture", "ask", "conversations", "messages", "turns", "turn", "expected"};
    const size_t n = r->is_record ? sizeof KEYS / sizeof *KEYS : 2; /* a question alone may bring what is expected */
    if (!r->is_record && !strcmp(key, r->of_llava ? "text" : r->key))
        return true;
    for (size_t i = 0; i < n; i++)
        if (!strcmp(key, KEYS[i]))
            return true;
    return false;
}

/* picture: the name of its file, NULL: none. What is drawn is not compared with an answer. */
static Status write_answer(const BatchFile *b, const Json *object, const BatchRow *r, int question, RecordText answer, const char *picture)
{
    cJSON *o = cJSON_CreateObject();
    const RecordText asked = asked_text(r, question);
    json_add_bytes(o, r->is_record ? "ask" : r->key, asked.text, asked.length);
    for (const Json *c = object->child; c; c = c->next)
        if (!is_replaced(r, c->key))
            json_add_value(o, c->key, c);
    if (r->is_record && !json_get(object, "id") && *r->record.id)
        json_add_text(o, "id", r->record.id);
    if (r->is_record)
        json_add_int(o, "turn", question);
    if (r->is_record && !picture && 2 * question + 1 < r->record.n_turns)
        json_add_bytes(o, "expected", r->plain[2 * question + 1].bytes, r->plain[2 * question + 1].n);
    json_add_bytes(o, "answer", answer.text, answer.length);
    if (picture)
        json_add_text(o, "picture", picture);
    return json_print(b->out.out, &o, JSON_LINE, b->out.path);
}

/* What a row can be to blame for; the others end the batch. */
static bool is_of_the_row(Status s) { return s == ERR_DATA || s == ERR_MISSING || s == ERR_IO || s == ERR_USAGE; }

/* A question (-1: a whole row) that cannot be answered is said, listed and left out: the present sentence says why. object: NULL when it is
 * not JSON. */
static Status leave_out(BatchFile *b, Status why, const Json *object, const BatchRow *r, int question)
{
    const char *message = status_message();
    b->missing += why == ERR_MISSING && r && r->n_images && !strncmp(r->images[0], b->folder, strlen(b->folder));
    if (++b->bad == 1) {
        b->first_kind = why;
        status_text(b->first_message, sizeof b->first_message, "%s", message);
    }
    if (b->bad <= SAID_BAD_ROWS)
        log_warn("%s", message);
    const Json *id = json_get(object, r && r->of_llava ? "question_id" : "id");
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "file", b->name);
    json_add_int(o, "row", b->row);
    if (id)
        json_add_value(o, "id", id);
    if (question >= 0 && r->is_record)
        json_add_int(o, "turn", question);
    cJSON_AddStringToObject(o, "path", r && r->n_images ? r->images[0] : "");
    cJSON_AddStringToObject(o, "message", message);
    Status s = b->bad_out ? OK : file_create_new(&b->bad_out, b->bad_path);
    if (s) {
        cJSON_Delete(o);
        return s;
    }
    return json_print(b->bad_out, &o, JSON_LINE, b->bad_path);
}

/* What the text encoder is told of a question, mem_free: a record's prompt of the picture that answers it, else the question itself. */
static Status caption_of(const BatchRow *r, int question, char **caption)
{
    const RecordText asked = asked_text(r, question);
    int targets = 0;
    for (int i = 1; i < 2 * question; i += 2)
        targets += record_count_marker(&r->record.turns[i], GEN_MARKER);
    if (r->is_record && 2 * question + 1 < r->record.n_turns)
        return record_prompt(&r->record, targets, caption);
    if (memchr(asked.text, 0, asked.length))
        return fail(ERR_DATA, "its text holds the character NUL, which the text encoder does not take");
    *caption = mem_alloc(asked.length + 1);
    if (!*caption)
        return fail(ERR_NOMEM, "no memory for a caption of %zu bytes", asked.length);
    memcpy(*caption, asked.text, asked.length);
    return OK;
}

static Status draw_question(const BatchFile *b, const Picture *what, Image *picture)
{
    if (!b->session->painter)
        return fail(ERR_USAGE, "this model does not draw: %s", b->session->absent);
    if (what->task == TASK_EDIT && !what->source)
        return fail(ERR_DATA, "a picture is to be changed, and none comes before");
    return painter_draw(b->session->painter, what, picture);
}

/* name: of the file, which is that of the row and of its question where it has several. */
static Status save_picture(const BatchFile *b, const BatchRow *r, int question, const Picture *what, const Image *picture, char name[48])
{
    char path[PATH_MAX];
    int n = snprintf(name, 48, "%06lld", (long long)b->row);
    if (r->n_questions > 1)
        n += snprintf(name + n, 48 - (size_t)n, "-%d", question);
    snprintf(name + n, 48 - (size_t)n, ".png");
    return painter_save(b->session->painter, what, picture, file_join(path, b->out_dir, name));
}

/* Asks one question of a row, after the questions before it with their given answers. */
static Status answer_question(BatchFile *b, const Json *object, const BatchRow *r, int question)
{
    const Session *session = b->session;
    char *answer = NULL, *caption = NULL, number[32] = "", name[48];
    size_t n_answer = 0;
    Image picture = {0};
    const int turn = 2 * question;
    const bool drawn = is_drawn(r, question);
    const Question q = {.system = r->record.system.length ? r->record.system : session->system,
                        .turns = r->prompt,
                        .n_turns = turn + 1,
                        .image_root = b->image_root,
                        .images = (const char *const *)r->images,
                        .n_images = r->is_record ? r->markers[turn] : r->n_images,
                        .index = (uint64_t)question << 40 | (uint64_t)b->row};
    Status s = drawn && session->captions ? caption_of(r, question, &caption) : OK;
    const Picture what = {.task = r->record.task,
                          .prompt = asked_text(r, question),
                          .question = &q,
                          .caption = caption,
                          .root = b->image_root,
                          .source = r->record.task == TASK_EDIT && q.n_images ? r->images[0] : NULL,
                          .seed = session->seed,
                          .index = q.index};
    if (r->n_questions > 1)
        snprintf(number, sizeof number, ": question %d", question);
    if (!s)
        s = drawn ? draw_question(b, &what, &picture) : answerer_ask(session->answerer, &q, &session->sampling, NULL, &answer, &n_answer);
    s = fail_context(s, "%s%s", b->where, number);
    if (is_of_the_row(s)) {
        s = leave_out(b, s, object, r, question);
    } else if (!s) {
        b->good++;
        s = drawn ? save_picture(b, r, question, &what, &picture, name) : OK;
        if (!s)
            s = drawn ? write_answer(b, object, r, question, (RecordText){GEN_MARKER, sizeof GEN_MARKER - 1}, name)
                      : write_answer(b, object, r, question, (RecordText){answer, n_answer}, NULL);
    }
    mem_free(answer);
    mem_free(caption);
    image_free(&picture);
    log_progress("%lld answers", (long long)b->good);
    return s;
}

static Status answer_object(BatchFile *b, const Json *object)
{
    BatchRow row = {.is_record = false};
    Status s = read_row(b, &row, object);
    const int n = s ? 0 : row.n_questions;
    if (is_of_the_row(s))
        s = leave_out(b, s, object, &row, -1);
    for (int i = 0; !s && i < n; i++)
        s = answer_question(b, object, &row, i);
    row_free(&row);
    return s;
}

static Status answer_row(BatchFile *b, const Row *row)
{
    JsonDoc *doc = NULL;
    if (row->element)
        snprintf(b->where, sizeof b->where, "%s: row %lld", b->name, (long long)b->row);
    else
        snprintf(b->where, sizeof b->where, "%s:%d", b->name, row->line);
    Status s =
        row->error ? fail(ERR_DATA, "%s:%s", b->name, row->error) : json_parse_at(&doc, row->text, row->n, b->name, row->line, row->column);
    s = s == ERR_DATA ? leave_out(b, s, NULL, NULL, -1) : s ? s : answer_object(b, json_root(doc));
    json_free(&doc);
    b->row++;
    return s;
}

static Status answer_file(BatchFile *b, Rows *in)
{
    for (bool end = false;;) {
        Row row;
        TRY(rows_next(in, &row, &end));
        if (end)
            break;
        TRY(answer_row(b, &row));
    }
    if (b->missing && !b->image_root)
        log_warn("relative paths of pictures start at %s, the folder of the questions; --image-root DIR says where else", b->folder);
    const long long all = b->good + b->bad;
    if (!all)
        return fail(ERR_DATA, "%s: holds no questions", b->name);
    if (!b->good)
        return fail(b->first_kind == ERR_USAGE ? ERR_USAGE : ERR_DATA, "none of the %lld questions of %s can be answered; the first: %s",
                    all, b->name, b->first_message);
    if (b->bad)
        log_warn("%lld of %lld questions left out; they are listed in %s", (long long)b->bad, all, b->bad_path);
    return OK;
}

/* "000002.png" or "000008-0.png", as save_picture names them. */
static bool is_picture_name(const char *name)
{
    const size_t row = strspn(name, "0123456789");
    const char *rest = name + row;
    rest += *rest == '-' ? 1 + strspn(rest + 1, "0123456789") : 0;
    return row >= 6 && !strcmp(rest, ".png");
}

/* The pictures that the answers of an earlier batch name: beside new answers they would look like theirs. */
static Status remove_pictures(const char *answers, const char *folder)
{
    Rows *in;
    Row row;
    bool end = false;
    char path[PATH_MAX];
    TRY(rows_open(&in, answers, ROWS_LINES));
    Status s = OK;
    while (!s && !(s = rows_next(in, &row, &end)) && !end) {
        JsonDoc *doc;
        Status parsed = row.error ? ERR_DATA : json_parse(&doc, row.text, row.n, answers);
        if (parsed == ERR_NOMEM)
            s = parsed;
        if (parsed)
            continue;
        const Json *picture = json_get(json_root(doc), "picture");
        if (picture && picture->kind == JSON_STRING && is_picture_name(picture->string))
            unlink(file_join(path, folder, picture->string));
        json_free(&doc);
    }
    rows_close(&in);
    return s;
}

Status batch_draws(const char *file, bool *draws)
{
    struct stat st;
    *draws = !strcmp(file, "-") || (!stat(file, &st) && !S_ISREG(st.st_mode)); /* a pipe cannot be read twice */
    return *draws ? OK : fail_context(painter_asked(file, ROWS_LINES_OR_ARRAY, draws), "--batch");
}

Status batch_answer(const Session *session, const char *file, const char *image_root, const char *out_dir)
{
    bool standard = !strcmp(file, "-");
    char bad[PATH_MAX];
    BatchFile b = {.name = standard ? "standard input" : file,
                   .image_root = image_root,
                   .folder = ".",
                   .session = session,
                   .out_dir = out_dir,
                   .bad_path = bad};
    if (!standard)
        file_folder(b.folder, file);
    TRY(draw_make_folder(out_dir, "answers.jsonl and pictures"));
    Rows *in;
    TRY_IN(rows_open(&in, file, ROWS_LINES_OR_ARRAY), "--batch");
    unlink(file_join(bad, out_dir, "bad_rows.jsonl")); /* of an earlier batch */
    char path[PATH_MAX];
    Status s = OK;
    if (file_exists(file_join(path, out_dir, "answers.jsonl"))) {
        log_warn("%s: is there already, of an earlier batch; the new answers take its place, and that of its pictures (--out DIR puts them "
                 "elsewhere)", path);
        s = remove_pictures(path, out_dir);
    }
    if (!s)
        s = file_draft(&b.out, path);
    if (!s)
        s = answer_file(&b, in);
    if (b.bad_out && fclose(b.bad_out) && !s)
        s = fail(ERR_IO, "%s: %s", bad, strerror(errno));
    s = file_publish(&b.out, s);
    rows_close(&in);
    return s;
}
