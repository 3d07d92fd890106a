/* chat.c: questions and conversations on standard output (chat.h). Called by generate. */
#include "eval/chat.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/rows.h"
#include "eval/draw.h"
#include "kernels/base/arena.h"
#include "kernels/base/cli.h"
#include "kernels/base/log.h"
#include "kernels/base/utf8.h"

enum { CHAT_TURNS = 256, ANSWER_PICTURES = 64 };

typedef struct Chat {
    const Session *session;
    const char *const *images;
    int n_images;
    const char *file, *folder; /* where a picture goes: one file, or the next free name of a folder */
    char shown[PATH_MAX];      /* the picture last shown or drawn; "": none */
    int n_drawn;
    const Question *question;
    char *names[ANSWER_PICTURES]; /* of the pictures of the present answer */
    int n_names;
    RecordTurn turns[CHAT_TURNS];
    char *owned[CHAT_TURNS]; /* their texts */
    int n_turns;
} Chat;

static bool is_watched(void) { return isatty(STDOUT_FILENO); }

/* ---------------------------------------------------------------- pictures */

/* "FOLDER/picture-001.png", the first that is not there. */
static void next_name(Chat *c, char path[PATH_MAX])
{
    char name[32];
    if (c->file) {
        snprintf(path, PATH_MAX, "%s", c->file);
        return;
    }
    for (int i = 1;; i++) {
        snprintf(name, sizeof name, "picture-%03d.png", i);
        if (!strcmp(c->folder, "."))
            snprintf(path, PATH_MAX, "%s", name);
        else
            file_join(path, c->folder, name);
        if (!file_exists(path))
            return;
    }
}

/* Draws into the next file, which is the picture last shown from then on. context NULL: that of the question. */
static Status draw_next(Chat *c, Task task, const Question *q, const RecordTurn *prompt, const float *context)
{
    const Session *s = c->session;
    char path[PATH_MAX];
    const Picture what = {.task = task,
                          .prompt = {prompt->text, prompt->length},
                          .context = context,
                          .question = q,
                          .source = task == TASK_EDIT ? c->shown : NULL,
                          .seed = s->seed,
                          .index = (uint64_t)c->n_drawn};
    Image picture;
    TRY(painter_draw(s->painter, &what, &picture));
    next_name(c, path);
    Status status = painter_save(s->painter, &what, &picture, path);
    image_free(&picture);
    if (!status) {
        memcpy(c->shown, path, sizeof c->shown);
        c->n_drawn++;
    }
    return status;
}

/* ---------------------------------------------------------------- answers */

static void print_piece(void *user, const char *text, size_t n)
{
    const Chat *c = user;
    utf8_put(c->session->results, text, n, UTF8_TEXT);
    fflush(c->session->results);
}

/* An answer has begun a picture by itself. */
static Status draw_in_answer(void *user, const float *context)
{
    Chat *c = user;
    if (c->file && c->n_drawn) {
        log_warn("the answer draws another picture; --out names one file, so it is left out");
        return OK;
    }
    const RecordTurn *asked = &c->question->turns[c->question->n_turns - 1];
    TRY(draw_next(c, *c->shown ? TASK_EDIT : TASK_GENERATE, NULL, asked, context));
    if (is_watched()) {
        fprintf(c->session->results, " %s", c->shown);
        fflush(c->session->results);
    }
    char *name = c->n_names < ANSWER_PICTURES ? mem_strdup(c->shown) : NULL;
    if (name)
        c->names[c->n_names++] = name;
    return OK;
}

/* As it is, but for the names of pictures in the place of their markers. */
static void print_answer(const Chat *c, const char *text, size_t n)
{
    FILE *out = c->session->results;
    const char *end = text + n, *marker;
    for (int i = 0; i < c->n_names && (marker = memmem(text, (size_t)(end - text), GEN_MARKER, sizeof GEN_MARKER - 1)); i++) {
        fwrite(text, 1, (size_t)(marker - text), out);
        fputs(c->names[i], out);
        text = marker + sizeof GEN_MARKER - 1;
    }
    fwrite(text, 1, (size_t)(end - text), out);
}

/* On a terminal the answer appears as it grows, without anything that the terminal would obey; elsewhere it is printed whole, as it is. */
static Status ask(Chat *c, const Question *q, char **answer, size_t *n)
{
    const Session *s = c->session;
    const AnswerSink sink = {.text = is_watched() ? print_piece : NULL, .picture = s->painter ? draw_in_answer : NULL, .user = c};
    c->question = q;
    Status status = answerer_ask(s->answerer, q, &s->sampling, &sink, answer, n);
    if (!status && !is_watched())
        print_answer(c, *answer, *n);
    for (int i = 0; i < c->n_names; i++)
        mem_free(c->names[i]);
    c->n_names = 0;
    TRY(status);
    fputc('\n', s->results);
    return cli_flush();
}

static void show_last(Chat *c)
{
    if (c->n_images && strcmp(c->images[c->n_images - 1], "-"))
        snprintf(c->shown, sizeof c->shown, "%s", c->images[c->n_images - 1]);
}

Status chat_ask(const Session *s, const char *text, const char *const *images, int n_images, const char *out)
{
    const RecordTurn turn = {.human = true, .text = text, .length = strlen(text)};
    const Question q = {.system = s->system, .turns = &turn, .n_turns = 1, .images = images, .n_images = n_images};
    Chat c = {.session = s, .images = images, .n_images = n_images, .file = out};
    char *answer;
    size_t n;
    show_last(&c);
    Status status = ask(&c, &q, &answer, &n);
    mem_free(answer);
    if (!status && out && !c.n_drawn)
        log_warn("the answer draws no picture, so %s is not written; --draw TEXT draws one in any case", out);
    return status;
}

/* ---------------------------------------------------------------- conversations */

/* Adds a turn; its text is copied. */
static Status add_turn(Chat *c, bool human, const char *text, size_t n)
{
    char *copy = mem_alloc(n + 1);
    if (!copy)
        return fail(ERR_NOMEM, "no memory for the conversation");
    memcpy(copy, text, n);
    c->owned[c->n_turns] = copy;
    c->turns[c->n_turns++] = (RecordTurn){.human = human, .text = copy, .length = n};
    return OK;
}

static Status answer_line(Chat *c, const Row *line)
{
    TRY(add_turn(c, true, line->text, line->n));
    const Question q = {.system = c->session->system,
                        .turns = c->turns,
                        .n_turns = c->n_turns,
                        .images = c->images,
                        .n_images = c->n_images,
                        .index = (uint64_t)c->n_turns};
    char *answer;
    size_t n;
    Status s = ask(c, &q, &answer, &n);
    if (!s)
        s = add_turn(c, false, answer, n);
    mem_free(answer);
    return s;
}

/* As --draw and --edit would, whatever was said before; the conversation then goes on behind it. */
static Status draw_line(Chat *c, Task task, const char *text, size_t n)
{
    const char *const command = task == TASK_EDIT ? "/edit" : "/draw", *const source = c->shown;
    utf8_strip(&text, &n);
    if (!n || !c->session->painter || (task == TASK_EDIT && !*c->shown)) {
        log_warn("%s: %s%s", command,
                 !n                     ? "a text is missing, as in \"/draw a red star\""
                 : !c->session->painter ? "this model does not draw: "
                                        : "no picture was shown (--image FILE) or drawn (/draw TEXT) so far",
                 n && !c->session->painter ? c->session->absent : "");
        return OK;
    }
    const RecordTurn turn = {.human = true, .text = text, .length = n};
    const Question q = {.system = c->session->system, .turns = &turn, .n_turns = 1, .images = &source, .n_images = task == TASK_EDIT};
    Status s = draw_next(c, task, &q, &turn, NULL);
    if (s == ERR_DATA || s == ERR_MISSING || s == ERR_USAGE) { /* of this line: the conversation goes on */
        log_warn("%s: %s", command, status_message());
        return OK;
    }
    TRY(s);
    fprintf(c->session->results, "%s\n", c->shown);
    TRY(cli_flush());
    TRY(add_turn(c, true, text, n));
    return add_turn(c, false, GEN_MARKER, sizeof GEN_MARKER - 1);
}

/* The length of the command that a line begins with; 0: it does not. */
static size_t command_length(const Row *line, const char *command)
{
    size_t n = strlen(command);
    return line->n >= n && !memcmp(line->text, command, n) && (line->n == n || line->text[n] == ' ' || line->text[n] == '\t') ? n : 0;
}

static Status take_line(Chat *c, const Row *line)
{
    const size_t draw = command_length(line, "/draw"), edit = command_length(line, "/edit");
    const size_t word =
        line->n && line->text[0] == '/' ? strspn(line->text + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") : 0;
    if (word && !draw && !edit && (1 + word == line->n || line->text[1 + word] == ' ')) {
        log_warn("/%.*s is no command; there are /draw TEXT and /edit TEXT", (int)word, line->text + 1);
        return OK;
    }
    if (draw || edit)
        return draw_line(c, edit ? TASK_EDIT : TASK_GENERATE, line->text + draw + edit, line->n - draw - edit);
    return answer_line(c, line);
}

Status chat_run(const Session *session, const char *const *images, int n_images, const char *out)
{
    Chat c = {.session = session, .images = images, .n_images = n_images, .folder = out};
    Rows *in;
    Row line;
    bool end = false;
    if (session->painter)
        TRY(draw_make_folder(out, "pictures"));
    TRY(rows_open(&in, "-", ROWS_LINES));
    show_last(&c);
    Status s = OK;
    while (!s && c.n_turns + 2 <= CHAT_TURNS) {
        if (isatty(STDIN_FILENO))
            fputs("> ", stderr);
        s = rows_next(in, &line, &end);
        if (!s && line.error && !end)
            s = fail(ERR_DATA, "standard input:%s", line.error);
        if (s || end)
            break;
        s = take_line(&c, &line);
    }
    if (!s && !end)
        log_warn("the conversation is full: it takes %d questions", CHAT_TURNS / 2);
    for (int i = 0; i < c.n_turns; i++)
        mem_free(c.owned[i]);
    rows_close(&in);
    return s;
}
