/* pixels.c: decodes and resizes pictures ahead of the step that needs them, in threads (pixels.h). Called by the loader. */
#include "data/loader/pixels.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "kernels/base/arena.h"
#include "kernels/base/processors.h"

enum { MOST_WORKERS = 64 };

typedef enum SlotState { SLOT_WAITING, SLOT_RUNNING, SLOT_DONE, SLOT_FAILED } SlotState;

/* One distinct picture of a step: decoded once, prepared for each eye that uses it. */
typedef struct PixelSlot {
    const Shard *shard;
    uint32_t image;
    int32_t uses[N_EYES]; /* still to come */
    SlotState state;
    uint8_t *rgb[N_EYES];
    Status status;
    char message[512];
} PixelSlot;

typedef struct PixelStep {
    int64_t step; /* -1: none */
    PixelSlot *slots;
    int32_t n_slots, next; /* next: the first that nobody works on */
    int32_t *slot_of;      /* [n_uses] */
    PixelEye *eye_of;      /* [n_uses] */
    int32_t n_uses, running;
} PixelStep;

struct Pixels {
    ImagePrep preps[N_EYES];
    int64_t max_pixels; /* the larger of the eyes' */
    size_t live_bytes;
    PixelStep *steps[2]; /* present, ahead: they change places, as threads hold on to a step while they work on it */
    PixelStep storage[2];
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    pthread_t threads[MOST_WORKERS];
    int n_threads;
    bool stop;
};

/* ---------------------------------------------------------------- one picture */

static size_t eye_bytes(const Pixels *p, PixelEye eye) { return (size_t)p->preps[eye].width * (size_t)p->preps[eye].height * 3; }

static Status prepare_for(const Pixels *p, PixelSlot *slot, PixelEye eye, const Image *im)
{
    slot->rgb[eye] = mem_alloc(eye_bytes(p, eye));
    return slot->rgb[eye] ? image_prepare(slot->rgb[eye], im, &p->preps[eye])
                          : fail(ERR_NOMEM, "no memory for a picture of %zu bytes", eye_bytes(p, eye));
}

static Status decode(const Pixels *p, PixelSlot *slot)
{
    const Shard *shard = slot->shard;
    uint64_t n = shard->image_off[slot->image + 1] - shard->image_off[slot->image];
    uint8_t *bytes = mem_alloc(n);
    Image im = {0};
    Reject why;
    Status s = bytes ? shard_image(shard, slot->image, bytes) : fail(ERR_NOMEM, "no memory for an image of %" PRIu64 " bytes", n);
    if (!s) {
        s = image_decode(&im, bytes, n, p->max_pixels, &why);
        if (s && s != ERR_NOMEM)
            s = fail(ERR_DATA, "%s: image %u: %s; run prepare again", shard->path, slot->image, status_message());
    }
    mem_free(bytes);
    for (PixelEye eye = 0; eye < N_EYES && !s; eye++)
        if (slot->uses[eye])
            s = prepare_for(p, slot, eye, &im);
    image_free(&im);
    return s;
}

/* With the lock held. */
static void drop(Pixels *p, PixelSlot *slot, PixelEye eye)
{
    p->live_bytes -= slot->rgb[eye] ? eye_bytes(p, eye) : 0;
    mem_free(slot->rgb[eye]);
    slot->rgb[eye] = NULL;
}

static void run(Pixels *p, PixelStep *step, PixelSlot *slot)
{
    slot->state = SLOT_RUNNING;
    step->running++;
    size_t bytes = 0;
    for (PixelEye eye = 0; eye < N_EYES; eye++)
        bytes += slot->uses[eye] ? eye_bytes(p, eye) : 0;
    p->live_bytes += bytes; /* while it is worked on: all of it */
    pthread_mutex_unlock(&p->lock);
    Status s = decode(p, slot);
    pthread_mutex_lock(&p->lock);
    p->live_bytes -= bytes;
    for (PixelEye eye = 0; eye < N_EYES; eye++) {
        p->live_bytes += slot->rgb[eye] ? eye_bytes(p, eye) : 0;
        if (s)
            drop(p, slot, eye);
    }
    slot->status = s;
    if (s)
        snprintf(slot->message, sizeof slot->message, "%s", status_message());
    slot->state = s ? SLOT_FAILED : SLOT_DONE;
    step->running--;
    pthread_cond_broadcast(&p->done);
}

/* ---------------------------------------------------------------- threads */

int pixels_workers(int64_t wanted)
{
    if (wanted >= 0)
        return (int)(wanted < MOST_WORKERS ? wanted : MOST_WORKERS);
    const int cores = processors_count();
    return cores <= 2 ? 0 : cores / 4 < 4 ? cores / 4 : 4;
}

static PixelSlot *next_job(Pixels *p, PixelStep **step)
{
    for (int i = 0; i < 2 && p->live_bytes < PIXELS_AHEAD_BYTES; i++)
        if (p->steps[i]->next < p->steps[i]->n_slots) {
            *step = p->steps[i];
            return &(*step)->slots[(*step)->next++];
        }
    return NULL;
}

static void *work(void *arg)
{
    Pixels *p = arg;
    pthread_mutex_lock(&p->lock);
    while (!p->stop) {
        PixelStep *step;
        PixelSlot *slot = next_job(p, &step);
        if (slot)
            run(p, step, slot);
        else
            pthread_cond_wait(&p->work, &p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

Status pixels_open(Pixels **out, const ImagePrep *preps, int workers)
{
    Pixels *p = mem_alloc(sizeof *p);
    *out = p;
    if (!p)
        return fail(ERR_NOMEM, "no memory for the decoder of pictures");
    memcpy(p->preps, preps, sizeof p->preps);
    for (PixelEye eye = 0; eye < N_EYES; eye++)
        p->max_pixels = preps[eye].max_pixels > p->max_pixels ? preps[eye].max_pixels : p->max_pixels;
    for (int i = 0; i < 2; i++) {
        p->steps[i] = &p->storage[i];
        p->steps[i]->step = -1;
    }
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->done, NULL);
    for (; p->n_threads < workers && p->n_threads < MOST_WORKERS; p->n_threads++)
        if (pthread_create(&p->threads[p->n_threads], NULL, work, p)) {
            pixels_close(out);
            return fail(ERR_NOMEM, "cannot start decoding thread %d (data.workers)", p->n_threads + 1);
        }
    return OK;
}

/* With the lock held: waits until nobody works on the step, and gives its memory back. */
static void forget(Pixels *p, PixelStep *s)
{
    s->next = s->n_slots;
    while (s->running)
        pthread_cond_wait(&p->done, &p->lock);
    for (int32_t i = 0; i < s->n_slots; i++)
        for (PixelEye eye = 0; eye < N_EYES; eye++)
            drop(p, &s->slots[i], eye);
    mem_free(s->slots);
    mem_free(s->slot_of);
    mem_free(s->eye_of);
    *s = (PixelStep){.step = -1};
}

void pixels_close(Pixels **pp)
{
    Pixels *p = *pp;
    *pp = NULL;
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->n_threads; i++)
        pthread_join(p->threads[i], NULL);
    pthread_mutex_lock(&p->lock);
    forget(p, p->steps[0]);
    forget(p, p->steps[1]);
    pthread_mutex_unlock(&p->lock);
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->done);
    pthread_mutex_destroy(&p->lock);
    mem_free(p);
}

/* ---------------------------------------------------------------- steps */

static bool is_of(const PixelSlot *slot, const PixelUse *use) { return slot->shard == use->shard && slot->image == use->image; }

/* Uses to distinct pictures, by a table with open addressing (0: empty, else slot + 1). */
static Status find_slots(PixelStep *s, const PixelUse *uses, int32_t n)
{
    size_t places = 16;
    while (places < 2 * (size_t)n)
        places *= 2;
    int32_t *table = mem_alloc(places * sizeof *table);
    s->slots = mem_alloc((size_t)n * sizeof *s->slots);
    s->slot_of = mem_alloc((size_t)n * sizeof *s->slot_of);
    s->eye_of = mem_alloc((size_t)n * sizeof *s->eye_of);
    if (!table || !s->slots || !s->slot_of || !s->eye_of) {
        mem_free(table);
        return fail(ERR_NOMEM, "no memory for the %d pictures of a step", n);
    }
    for (int32_t i = 0; i < n; i++) {
        const PixelUse *use = &uses[i];
        size_t at = ((uintptr_t)use->shard / sizeof(Shard) * 31 + use->image * 2654435761u) & (places - 1);
        while (table[at] && !is_of(&s->slots[table[at] - 1], use))
            at = (at + 1) & (places - 1);
        if (!table[at]) {
            s->slots[s->n_slots] = (PixelSlot){.shard = use->shard, .image = use->image};
            table[at] = ++s->n_slots;
        }
        s->slot_of[i] = table[at] - 1;
        s->eye_of[i] = use->eye;
        s->slots[table[at] - 1].uses[use->eye]++;
    }
    s->n_uses = n;
    mem_free(table);
    return OK;
}

Status pixels_want(Pixels *p, int64_t step, const PixelUse *uses, int32_t n, bool ahead)
{
    pthread_mutex_lock(&p->lock);
    if (!ahead) {
        forget(p, p->steps[0]);
        PixelStep *present = p->steps[1];
        p->steps[1] = p->steps[0];
        p->steps[0] = present;
    }
    PixelStep *to = p->steps[ahead];
    Status s = OK;
    if (ahead || to->step != step) {
        forget(p, to);
        s = find_slots(to, uses, n);
        if (s)
            forget(p, to);
        else
            to->step = step;
        pthread_cond_broadcast(&p->work);
    }
    pthread_mutex_unlock(&p->lock);
    return s;
}

Status pixels_take(Pixels *p, int32_t i, uint8_t *dst)
{
    pthread_mutex_lock(&p->lock);
    PixelStep *step = p->steps[0];
    if (i < 0 || i >= step->n_uses) {
        pthread_mutex_unlock(&p->lock);
        return fail(ERR_INTERNAL, "picture %d of a step with %d", i, step->n_uses);
    }
    PixelSlot *slot = &step->slots[step->slot_of[i]];
    const PixelEye eye = step->eye_of[i];
    while (slot->state == SLOT_WAITING || slot->state == SLOT_RUNNING) {
        if (slot->state == SLOT_WAITING) /* nobody has come to it yet: do the next ones here */
            run(p, step, &step->slots[step->next++]);
        else
            pthread_cond_wait(&p->done, &p->lock);
    }
    Status s = slot->status ? fail(slot->status, "%s", slot->message) : OK;
    if (!s)
        memcpy(dst, slot->rgb[eye], eye_bytes(p, eye));
    if (!s && --slot->uses[eye] == 0) {
        drop(p, slot, eye);
        pthread_cond_broadcast(&p->work);
    }
    pthread_mutex_unlock(&p->lock);
    return s;
}
