/* runner.c: memory and passes of frozen networks (runner.h). */
#include "eval/features/runner.h"

#include "kernels/base/arena.h"
#include "train/dist/device.h"
#include "train/dist/room.h"

Status runner_open(Runner *r, DeviceChoice device)
{
    DType compute;
    RunConfig cfg = {.device = device};
    cfg.train.compute = COMPUTE_F32;
    *r = (Runner){.tape = NULL};
    return device_open(&r->backend, &cfg, 0, &compute);
}

static void release(Runner *r)
{
    tape_free(&r->tape);
    device_arena_free(&r->keep, &r->backend);
    device_arena_free(&r->scratch, &r->backend);
    r->keep = r->scratch = (Arena){0};
}

void runner_close(Runner *r)
{
    if (!r->backend.close)
        return;
    release(r);
    r->backend.close(&r->backend);
}

static Status create_tape(Tape **t, Backend *b, Arena *keep, Arena *scratch)
{
    b->ctx.scratch = scratch;
    return tape_create(t, &(TapeOptions){.backend = b, .keep = keep, .scratch = scratch, .compute = F32, .winograd = true});
}

static Status measure(Runner *r, size_t *keep, size_t *scratch, EvaluateFn fn, const void *arg)
{
    Backend null;
    Arena arenas[2];
    Tape *t = NULL;
    TRY(r->backend.measure ? r->backend.measure(&r->backend, &null) : null_open(&null));
    arena_measure(&arenas[0]);
    arena_measure(&arenas[1]);
    Status s = create_tape(&t, &null, &arenas[0], &arenas[1]);
    if (!s) {
        nn_evaluate(t, fn, arg, NULL);
        s = tape_status(t);
    }
    tape_free(&t);
    null.close(&null);
    *keep = arenas[0].peak;
    *scratch = arenas[1].peak;
    return s;
}

Status runner_reserve(Runner *r, const char *who, int64_t besides, EvaluateFn fn, const void *arg)
{
    size_t keep, scratch;
    TRY(measure(r, &keep, &scratch, fn, arg));
    if (r->tape && keep <= r->keep.capacity && scratch <= r->scratch.capacity)
        return OK;
    if (r->keep.capacity > keep)
        keep = r->keep.capacity;
    if (r->scratch.capacity > scratch)
        scratch = r->scratch.capacity;
    release(r);
    TRY(room_check(&(RoomNeed){.needed = besides + (r->backend.host_memory ? (int64_t)(keep + scratch) : 0), .processes = 1, .who = who,
                               .plan = "what a few pictures are computed in", .change = "use a larger machine"}));
    TRY(device_arena_create(&r->keep, &r->backend, keep));
    TRY(device_arena_create(&r->scratch, &r->backend, scratch));
    return create_tape(&r->tape, &r->backend, &r->keep, &r->scratch);
}

Status runner_run(Runner *r, EvaluateFn fn, const void *arg, float *out)
{
    tape_reset(r->tape, 0);
    nn_evaluate(r->tape, fn, arg, out);
    return tape_status(r->tape);
}
