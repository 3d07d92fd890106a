/* answer_many.c: answers many questions, several at a time (answerer_ask_all of answer.h). Called by ask.c of eval.
 *
 * Each question has a sequence of the decoder and goes a token further with every step; one that is done makes room for the next. */
#include <string.h>

#include "train/infer/answerer.h"

typedef struct Asking {
    Answerer *a;
    const QuestionList *list;
    const Sampling *sampling;
    Decoder *decoder;
    int sequences;
    int64_t next;                   /* question */
    Reply reply[DECODER_SEQUENCES]; /* rules NULL: the sequence is free */
    int64_t number[DECODER_SEQUENCES];
    int32_t id[DECODER_SEQUENCES]; /* the token it goes on with; -1: it is free */
    int64_t seen;                  /* the pictures last looked at, by their number; -1: none, or they have none */
} Asking;

/* What is wrong with a question is that question's answer; anything else ends the asking. */
static bool is_of_the_question(Status s) { return s == ERR_DATA || s == ERR_MISSING; }

static Status tell(const Asking *k, int64_t i, Status why, const char *text, size_t n)
{
    return k->list->answer(k->list->user, i, why, text, n);
}

static Status look(Asking *k, int64_t i, Question *q)
{
    int64_t which = -1;
    if (k->list->pictures)
        TRY(k->list->pictures(k->list->user, i, q, &which));
    if (which >= 0 && which == k->seen)
        return OK;
    k->seen = -1;
    TRY(answerer_look(k->a, k->decoder, q));
    k->seen = which;
    return OK;
}

static Status begin(Asking *k, int sequence, int64_t i)
{
    Answerer *a = k->a;
    Question q;
    TRY(k->list->question(k->list->user, i, &q));
    TRY(answerer_encode(a, &q, TASK_UNDERSTAND));
    if (q.n_images)
        TRY(look(k, i, &q));
    TRY(decoder_prompt(k->decoder, sequence, a->prompt.id, a->prompt.n, q.n_images));
    k->number[sequence] = i;
    return reply_begin(&k->reply[sequence], &a->rules, k->sampling, a->prompt.id, a->prompt.n, answerer_positions_left(a), q.index);
}

static void leave(Asking *k, int sequence)
{
    reply_free(&k->reply[sequence]);
    k->id[sequence] = -1;
}

/* Chooses the sequence's next token, or tells its answer. */
static Status go_on(Asking *k, int sequence)
{
    Reply *r = &k->reply[sequence];
    ReplyState state;
    char *text;
    size_t n;
    do
        TRY(reply_next(r, decoder_logits(k->decoder, sequence), &state, &k->id[sequence]));
    while (state == REPLY_PICTURE);
    if (state == REPLY_GOES_ON)
        return OK;
    TRY(reply_text(r, &text, &n));
    leave(k, sequence);
    Status s = tell(k, k->number[sequence], OK, text, n);
    mem_free(text);
    return s;
}

/* Begins questions until the sequence has one that takes another token, or there are no more. */
static Status fill(Asking *k, int sequence)
{
    while (k->id[sequence] < 0 && k->next < k->list->n) {
        const char *why = k->sampling->stopped ? k->sampling->stopped() : NULL;
        if (why) /* also where no question comes to a token */
            return fail(ERR_PREEMPTED, "%s", why);
        const int64_t i = k->next++;
        Status s = begin(k, sequence, i);
        if (!s)
            s = go_on(k, sequence);
        else if (is_of_the_question(s))
            s = tell(k, i, s, NULL, 0);
        TRY(s);
    }
    return OK;
}

static Status ask_all(Asking *k)
{
    for (;;) {
        bool any = false;
        for (int i = 0; i < k->sequences; i++) {
            TRY(fill(k, i));
            any |= k->id[i] >= 0;
        }
        if (!any)
            return OK;
        TRY(decoder_step(k->decoder, k->id));
        for (int i = 0; i < k->sequences; i++)
            if (k->id[i] >= 0)
                TRY(go_on(k, i));
    }
}

/* The question with the longest prompt, and its length; *number -1: none can be asked. */
static Status find_longest(Answerer *a, const QuestionList *list, int64_t *number, int64_t *longest)
{
    Question q;
    *number = -1;
    *longest = 0;
    for (int64_t i = 0; i < list->n; i++) {
        Status s = list->question(list->user, i, &q);
        if (!s)
            s = answerer_encode(a, &q, TASK_UNDERSTAND);
        if (s && !is_of_the_question(s))
            return s;
        if (!s && a->prompt.expanded > *longest) {
            *longest = a->prompt.expanded;
            *number = i;
        }
    }
    return OK;
}

/* As many sequences as can be of use. */
static int sequences_for(const QuestionList *list, int at_once)
{
    const int64_t most = list->n < at_once ? list->n : at_once;
    return most < DECODER_SEQUENCES ? (int)most : DECODER_SEQUENCES;
}

static int64_t positions_for(const Answerer *a, int64_t longest, const Sampling *s)
{
    return longest + s->max_new_tokens + a->rules.n_visual;
}

/* A decoder of as many sequences as there is room for, up to most. */
static Status open_decoder(Asking *k, int64_t number, int64_t longest, int most)
{
    Answerer *a = k->a;
    Question q;
    const int64_t positions = positions_for(a, longest, k->sampling);
    decoder_free(&a->decoder);
    a->capacity = 0;
    TRY(k->list->question(k->list->user, number, &q));
    TRY(answerer_encode(a, &q, TASK_UNDERSTAND));
    k->sequences = most;
    Status s;
    while ((s = answerer_room(a, k->sequences, positions, a->prompt.id, a->prompt.n, q.n_images, false)) == ERR_NOMEM && k->sequences > 1)
        k->sequences /= 2;
    return s ? s : decoder_create(&k->decoder, a->model, k->sequences, positions);
}

Status answerer_ask_all(Answerer *a, const QuestionList *list, const Sampling *s, int at_once)
{
    Asking k = {.a = a, .list = list, .sampling = s, .seen = -1};
    int64_t number, longest;
    for (int i = 0; i < DECODER_SEQUENCES; i++)
        k.id[i] = -1;
    TRY(find_longest(a, list, &number, &longest));
    Status status = number < 0 ? OK : open_decoder(&k, number, longest, sequences_for(list, at_once));
    if (number < 0)
        k.sequences = list->n ? 1 : 0; /* to tell what is wrong with each */
    if (!status)
        status = ask_all(&k);
    for (int i = 0; i < k.sequences; i++)
        leave(&k, i);
    decoder_free(&k.decoder);
    return status;
}

Status answerer_all_bytes(Answerer *a, const QuestionList *list, const Sampling *s, int at_once, size_t *n_bytes)
{
    int64_t number, longest;
    Question q;
    *n_bytes = 0;
    TRY(find_longest(a, list, &number, &longest));
    if (number < 0)
        return OK;
    TRY(list->question(list->user, number, &q));
    TRY(answerer_encode(a, &q, TASK_UNDERSTAND));
    return decoder_measure(n_bytes, a->model, sequences_for(list, at_once), positions_for(a, longest, s), a->prompt.id, a->prompt.n,
                           q.n_images, false);
}
