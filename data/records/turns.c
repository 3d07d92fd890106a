/* turns.c: see turns.h. */
#include "data/records/turns.h"

#include <string.h>

#include "data/records/parsed.h"
#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"

static const char FORMS[] = "\"conversations\" or \"messages\" (\"turns\" in unified JSONL), a list of {\"from\": \"human\" or \"gpt\", "
                            "\"value\": text} or {\"role\": \"user\" or \"assistant\", \"content\": text}";
static const char MARKER_LINE[] = IMAGE_MARKER "\n";
enum { MARKER_BYTES = sizeof MARKER_LINE - 1 };

typedef enum Speaker { HUMAN, GPT, SYSTEM, NOBODY } Speaker;

/* What the turns of a row are made into. */
typedef struct Turns {
    Record *rec;
    bool parts; /* a content may be a list */
    /* the next picture beside the turns, its key, and whether it is the only one */
    const Json *beside;
    const char *beside_key;
    bool single;
    char *text; /* of contents that are put together: room for all of the row's */
    size_t n;
} Turns;

static bool is_null(const Json *v) { return !v || v->kind == JSON_NULL; }
static bool is_empty(const Json *v) { return is_null(v) || (v->kind == JSON_STRING && !v->length); }

/* ---------------------------------------------------------------- pictures */

/* What a value under one of several keys is; NULL: none of them has one. */
static const Json *first_of(const Json *o, const char *const *keys, const char **key)
{
    for (; *keys; keys++) {
        const Json *v = json_get(o, *keys);
        if (!is_null(v)) {
            *key = *keys;
            return v;
        }
    }
    return NULL;
}

/* A name, or an object that holds one, as Hugging Face's pictures and OpenAI's addresses. */
static void add_picture(Turns *t, const Json *v, const char *key)
{
    static const char *const INSIDE[] = {"path", "url", NULL};
    static const char FILE_URL[] = "file://";
    Record *rec = t->rec;
    const Json *name = v->kind == JSON_OBJECT ? first_of(v, INSIDE, &key) : v;
    if (!parsed_is_name(name)) {
        row_wrong(rec, REJECT_BAD_JSON, name ? name : v, key, "a file name");
        return;
    }
    const char *path = name->string;
    path += strncmp(path, FILE_URL, sizeof FILE_URL - 1) ? 0 : sizeof FILE_URL - 1;
    if (parsed_no_file(path)) {
        row_reject(rec, REJECT_MISSING, "%d:%d: \"%s\" %s", name->line, name->column, key, parsed_no_file(path));
        utf8_show(rec->reject_path, sizeof rec->reject_path, path, name->length < 120 ? strlen(path) : 120, UTF8_VALID);
        return;
    }
    rec->images[rec->n_images++] = (RecordImage){path, ROLE_INPUT};
}

/* The next picture beside the turns, if there is one left. */
static void take_beside(Turns *t)
{
    const Json *v = t->beside;
    if (!v)
        return;
    t->beside = t->single ? NULL : v->next;
    add_picture(t, v, t->beside_key);
}

/* "image": a name, or a list of names; absent, null and "" are a row without. "images": the same, where there is no "image". */
static size_t find_beside(Turns *t, const Json *row)
{
    const Json *image = json_get(row, "image"), *images = json_get(row, "images");
    const Json *v = is_empty(image) ? images : image;
    if (is_empty(v))
        return 0;
    t->beside_key = v == images ? "images" : "image";
    t->single = v->kind != JSON_ARRAY;
    t->beside = t->single ? v : v->child;
    return t->single ? 1 : v->length;
}

/* ---------------------------------------------------------------- contents */

static void put(Turns *t, const char *text, size_t n)
{
    memcpy(t->text + t->n, text, n);
    t->n += n;
}

/* Each marker in the text of a question is the place of a picture. */
static void take_marked(Turns *t, Speaker who, RecordText text)
{
    int markers = who == HUMAN ? record_count_marker(&(RecordTurn){true, text.text, text.length}, IMAGE_MARKER) : 0;
    for (; markers && t->beside; markers--)
        take_beside(t);
}

/* {"type": "image"} is the next picture beside the turns; others name theirs under a key that depends on who wrote them. */
static void put_picture(Turns *t, const Json *part, Speaker who, int i)
{
    static const char *const KEYS[] = {"image", "image_url", "path", "url", NULL};
    const char *key;
    const Json *v = first_of(part, KEYS, &key);
    if (who != HUMAN) {
        row_reject(t->rec, REJECT_BAD_TURNS,
                   "turn %d: a picture that is not in a turn from human or user; pictures to draw are told by "
                   "unified rows",
                   i);
        return;
    }
    if (v)
        add_picture(t, v, key);
    else
        take_beside(t);
    put(t, MARKER_LINE, MARKER_BYTES);
}

static void put_part(Turns *t, const Json *part, Speaker who, int i)
{
    const Json *type = json_get(part, "type"), *text = json_get(part, "text");
    char found[80];
    if (!type || type->kind != JSON_STRING)
        row_reject(t->rec, REJECT_BAD_TURNS, "%d:%d: a part of turn %d has no \"type\", expected text or image", part->line, part->column,
                   i);
    else if (!strcmp(type->string, "image") || !strcmp(type->string, "image_url"))
        put_picture(t, part, who, i);
    else if (strcmp(type->string, "text") != 0)
        row_reject(t->rec, REJECT_BAD_TURNS, "%d:%d: a part of turn %d is of the type %s, expected text or image", type->line, type->column,
                   i, json_show(type, found, sizeof found));
    else if (!text || text->kind != JSON_STRING)
        row_reject(t->rec, REJECT_BAD_TURNS, "%d:%d: a part of turn %d has no \"text\"", part->line, part->column, i);
    else {
        take_marked(t, who, (RecordText){text->string, text->length});
        put(t, text->string, text->length);
    }
}

static RecordText content_of(Turns *t, const Json *content, Speaker who, int i)
{
    RecordText text = {content->string, content->length};
    if (content->kind == JSON_STRING) {
        take_marked(t, who, text);
        return text;
    }
    const size_t start = t->n;
    for (const Json *part = content->child; part && !t->rec->reject; part = part->next)
        put_part(t, part, who, i);
    return (RecordText){t->text + start, t->n - start};
}

/* ---------------------------------------------------------------- turns */

/* From a first turn, or from beside the turns: a row that has both must say the same. */
static void set_system(Record *rec, RecordText given)
{
    if (rec->system.length && given.length && (rec->system.length != given.length || memcmp(rec->system.text, given.text, given.length)))
        row_reject(rec, REJECT_BAD_TURNS, "another system text in the first turn than beside the turns");
    else if (given.length)
        rec->system = given;
}

static void read_system(Record *rec, const Json *system)
{
    if (is_null(system))
        return;
    if (system->kind == JSON_STRING)
        set_system(rec, (RecordText){system->string, system->length});
    else
        row_wrong(rec, REJECT_BAD_TURNS, system, "system", "a text");
}

static Speaker speaker_of(const Json *from)
{
    static const struct {
        const char *name;
        Speaker who;
    } NAMES[] = {{"human", HUMAN}, {"user", HUMAN}, {"gpt", GPT}, {"assistant", GPT}, {"system", SYSTEM}};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (!strcmp(from->string, NAMES[i].name))
            return NAMES[i].who;
    return NOBODY;
}

static bool calls_tools(const Json *turn)
{
    static const char *const KEYS[] = {"tool_calls", "function_call", NULL};
    const char *key;
    const Json *v = first_of(turn, KEYS, &key);
    return v && (v->kind == JSON_OBJECT || v->kind == JSON_ARRAY) && v->length;
}

/* axolotl's and OpenAI's marks of a turn that is not to be learned. */
static bool is_untrained(const Json *turn)
{
    const Json *weight = json_get(turn, "weight"), *train = json_get(turn, "train");
    return (weight && (weight->kind == JSON_INT || weight->kind == JSON_REAL) && weight->real == 0) ||
           (train && train->kind == JSON_BOOL && !train->boolean);
}

/* A first turn from gpt is skipped later, as LLaVA skips it. */
static void add_turn(Turns *t, const Json *turn, int i)
{
    static const char *const WHO[] = {"from", "role", NULL}, *const WHAT[] = {"value", "content", NULL};
    Record *rec = t->rec;
    const char *who_key = "from", *key = NULL;
    const Json *from = first_of(turn, WHO, &who_key), *value = first_of(turn, WHAT, &key);
    key = key ? key : !strcmp(who_key, "role") ? "content" : "value";
    if (!from || from->kind != JSON_STRING) {
        row_reject(rec, REJECT_BAD_TURNS, "turn %d does not say from whom it is", i);
        return;
    }
    const Speaker who = speaker_of(from);
    if (who == SYSTEM && i)
        row_reject(rec, REJECT_BAD_TURNS, "turn %d is from system, which only the first may be", i);
    else if (who == NOBODY)
        row_reject(rec, REJECT_BAD_TURNS, "turn %d is from \"%.*s\", expected human or gpt, or user or assistant", i,
                   (int)utf8_whole(from->string, from->length < 60 ? from->length : 60), from->string);
    else if (calls_tools(turn))
        row_reject(rec, REJECT_BAD_TURNS, "turn %d calls tools, which the model has none of", i);
    else if (who == GPT && t->parts && is_untrained(turn))
        row_reject(rec, REJECT_BAD_TURNS, "turn %d is marked as not to be trained, and every answer is: leave it out, or the mark", i);
    else if (!value || (value->kind != JSON_STRING && !(t->parts && value->kind == JSON_ARRAY)))
        row_reject(rec, REJECT_BAD_TURNS, "turn %d has no text: its \"%s\" is %s", i, key,
                   json_get(turn, key) ? json_kind_name(json_get(turn, key)->kind) : "absent");
    if (rec->reject)
        return;
    const RecordText text = content_of(t, value, who, i);
    if (who == SYSTEM)
        set_system(rec, text);
    else
        rec->turns[rec->n_turns++] = (RecordTurn){who == HUMAN, text.text, text.length};
}

/* The list of turns; NULL, with the row's reject, where there is none. */
static const Json *list_of(Record *rec, const Json *row, const char *key)
{
    const Json *list = json_get(row, key);
    if (list && list->kind == JSON_ARRAY)
        return list;
    if (is_null(list) && (json_get(row, "caption") || json_get(row, "annotations")))
        row_reject(rec, REJECT_BAD_TURNS, "no \"%s\": a source whose rows are captions has \"format\": \"captions\"", key);
    else if (is_null(list))
        row_reject(rec, REJECT_BAD_TURNS, "no \"%s\", expected %s", key, FORMS);
    else
        row_wrong(rec, REJECT_BAD_TURNS, list, key, FORMS);
    return NULL;
}

static void add_turns(Turns *t, const Json *list)
{
    int i = 0;
    for (const Json *turn = list->child; turn && !t->rec->reject; turn = turn->next)
        add_turn(t, turn, i++);
}

Status turns_unified(Record *rec, RowRoom *room, const Json *row, const char *key)
{
    Turns t = {.rec = rec};
    read_system(rec, json_get(row, "system"));
    const Json *list = list_of(rec, row, key);
    if (!list)
        return OK;
    TRY(row_room(rec, room, 0, list->length, 0));
    add_turns(&t, list);
    return OK;
}

/* ---------------------------------------------------------------- rows with pictures beside */

/* Memory for what the contents are put together from: every text of a part, a marker for each part and picture. */
static Status make_room(Turns *t, RowRoom *room, const Json *list, size_t n_beside)
{
    size_t bytes = n_beside * MARKER_BYTES + 1, longest = 0, pictures = n_beside;
    for (const Json *turn = list->child; turn; turn = turn->next) {
        const char *key;
        const Json *content = first_of(turn, (const char *const[]){"value", "content", NULL}, &key);
        const bool parts = content && content->kind == JSON_ARRAY;
        const size_t before = bytes;
        for (const Json *part = parts ? content->child : NULL; part; part = part->next) {
            const Json *text = json_get(part, "text");
            bytes += MARKER_BYTES + (text && text->kind == JSON_STRING ? text->length : 0);
            pictures++;
        }
        const size_t n = content && content->kind == JSON_STRING ? content->length : bytes - before;
        longest = n > longest ? n : longest;
    }
    bytes += longest; /* the first question once more, with markers before it */
    TRY(row_room(t->rec, room, pictures, list->length, 0));
    if (bytes > room->text_bytes) {
        char *text = mem_grow(room->text, bytes);
        if (!text)
            return fail(ERR_NOMEM, "no memory for a row with %zu bytes of text", bytes);
        room->text = text;
        room->text_bytes = bytes;
    }
    t->text = room->text;
    return OK;
}

/* Pictures that no turn speaks of: before the first question. */
static void put_pictures_first(Turns *t)
{
    Record *rec = t->rec;
    RecordTurn *first = NULL;
    for (int i = 0; i < rec->n_turns; i++) {
        RecordTurn *turn = &rec->turns[i];
        if (turn->human && record_count_marker(turn, IMAGE_MARKER))
            return;
        first = !first && turn->human ? turn : first;
    }
    if (!first || !rec->n_images)
        return;
    const size_t start = t->n;
    for (int i = 0; i < rec->n_images; i++)
        put(t, MARKER_LINE, MARKER_BYTES);
    put(t, first->text, first->length);
    *first = (RecordTurn){true, t->text + start, t->n - start};
}

Status turns_of_row(Record *rec, RowRoom *room, const Json *row, const char *key)
{
    Turns t = {.rec = rec, .parts = true};
    const size_t n_beside = find_beside(&t, row);
    read_system(rec, json_get(row, "system"));
    const Json *list = list_of(rec, row, key);
    if (!list)
        return OK;
    TRY(make_room(&t, room, list, n_beside));
    add_turns(&t, list);
    while (t.beside && !rec->reject)
        take_beside(&t);
    if (!strcmp(key, "messages") && !rec->reject)
        put_pictures_first(&t);
    return OK;
}
