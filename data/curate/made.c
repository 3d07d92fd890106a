/* made.c: turns, prompts and provenance of a record from a model's reply (made.h). */
#include "data/curate/made.h"

#include <stdio.h>
#include <string.h>

#include "kernels/base/arena.h"

static const char INPUT_LINE[] = IMAGE_MARKER "\n";

/* ---------------------------------------------------------------- text */

static int count_role(const Request *r, ImageRole role)
{
    int n = 0;
    for (int i = 0; i < r->n_images; i++)
        n += r->images[i].role == role;
    return n;
}

/* Room for everything that will be copied, so that it stays where it is. */
static Status make_room(Made *m, const Recipe *recipe, const Request *request, const Answer *answer)
{
    enum { PARTS = 16 }; /* blanks and NULs between */
    size_t n = PARTS + strlen(recipe->name) + strlen(request->uid) + strlen(recipe->question ? recipe->question : "");
    n += (size_t)request->n_images * (sizeof INPUT_LINE + sizeof GEN_MARKER);
    for (int i = 0; i < answer->n; i++)
        n += 2 * (answer->texts[i].n + 1);
    if (n > m->text_room) {
        char *grown = mem_grow(m->text, 2 * n);
        if (!grown)
            return fail(ERR_NOMEM, "no memory for a record of %zu bytes", n);
        m->text = grown;
        m->text_room = 2 * n;
    }
    if (answer->n + 2 > m->turns_room) {
        const int room = 2 * answer->n + 2;
        RecordTurn *grown = mem_grow(m->turns, (size_t)room * sizeof *grown);
        if (!grown)
            return fail(ERR_NOMEM, "no memory for a record of %d turns", room);
        m->turns = grown;
        m->turns_room = room;
    }
    m->text_n = 0;
    return OK;
}

static void put(Made *m, const char *text, size_t n)
{
    memcpy(m->text + m->text_n, text, n);
    m->text_n += n;
}

/* A copy of its own, ended by NUL. */
static const char *keep(Made *m, const char *text, size_t n)
{
    const char *start = m->text + m->text_n;
    put(m, text, n);
    put(m, "", 1);
    return start;
}

/* ---------------------------------------------------------------- turns */

static void add_turn(Made *m, bool human, const char *text, size_t n)
{
    Record *rec = &m->record;
    m->turns[rec->n_turns++] = (RecordTurn){human, text, n};
}

/* A turn whose text was put together since `start`. */
static void end_turn(Made *m, bool human, size_t start) { add_turn(m, human, m->text + start, m->text_n - start); }

/* The first question, behind the pictures. */
static void add_question(Made *m, const Request *request, const char *text, size_t n)
{
    const size_t start = m->text_n;
    for (int i = 0; i < count_role(request, ROLE_INPUT); i++)
        put(m, INPUT_LINE, strlen(INPUT_LINE));
    put(m, text, n);
    end_turn(m, true, start);
}

/* A picture for each target, behind what is said about it. */
static void add_picture(Made *m, const Request *request, const AnswerText *said)
{
    const size_t start = m->text_n;
    if (said) {
        put(m, said->text, said->n);
        put(m, " ", 1);
    }
    for (int i = 0; i < count_role(request, ROLE_TARGET); i++)
        put(m, GEN_MARKER, strlen(GEN_MARKER));
    end_turn(m, false, start);
}

static void add_conversation(Made *m, const Request *request, const Answer *answer)
{
    add_question(m, request, answer->texts[0].text, answer->texts[0].n);
    for (int i = 1; i < answer->n; i++)
        add_turn(m, i % 2 == 0, answer->texts[i].text, answer->texts[i].n);
}

static void add_turns(Made *m, const Recipe *recipe, const Request *request, const Answer *answer)
{
    Record *rec = &m->record;
    const AnswerText *first = answer_find(answer, 0), *second = answer_find(answer, 1);
    switch (recipe->kind) {
    case RECIPE_DETAIL:
        add_question(m, request, recipe->question, strlen(recipe->question));
        add_turn(m, false, first->text, first->n);
        break;
    case RECIPE_DRAW:
        add_turn(m, true, first->text, first->n);
        add_picture(m, request, NULL);
        rec->sd_prompt = keep(m, second->text, second->n);
        break;
    case RECIPE_EDIT:
        add_question(m, request, first->text, first->n);
        add_picture(m, request, answer_find(answer, 2));
        rec->sd_prompt = keep(m, second->text, second->n);
        rec->sd_src_prompt = request->src_prompt;
        rec->sd_instruction = keep(m, first->text, first->n);
        break;
    default: add_conversation(m, request, answer); break; /* questions and answers */
    }
}

/* ---------------------------------------------------------------- the record */

Status made_fill(Made *m, const Recipe *recipe, const Request *request, const Answer *answer, const char *model)
{
    TRY(make_room(m, recipe, request, answer));
    Record *rec = &m->record;
    *rec = (Record){.task = RECIPE_KINDS[recipe->kind].task, .weight = 1, .turns = m->turns, .scores = m->scores};
    const size_t start = m->text_n;
    put(m, recipe->name, strlen(recipe->name));
    put(m, "/", 1);
    keep(m, request->uid, strlen(request->uid));
    rec->uid = rec->id = m->text + start;
    rec->images = request->images;
    rec->n_images = request->n_images;
    rec->split = request->split;
    rec->prov = (RecordProvenance){.index = -1, .license = request->license, .curator = recipe->name, .model = model,
                                   .template_sha256 = recipe->template_sha256, .request = request->custom_id};
    add_turns(m, recipe, request, answer);
    return OK;
}

void made_score(Made *m, const double score[N_CLIP_SCORES])
{
    for (ClipScore i = 0; i < N_CLIP_SCORES; i++)
        if (features_has_score(m->record.task, i))
            m->scores[m->record.n_scores++] = (RecordScore){CLIP_SCORE_NAMES[i], score[i]};
}

void made_free(Made *m)
{
    mem_free(m->turns);
    mem_free(m->text);
    *m = (Made){.text = NULL};
}
