/* optim_reduce_early: buckets are sent in one order whatever a pass holds, each as soon as nothing is added to it any more. */
#include <stdio.h>

#include "tests/train/models/tiny.h"
#include "train/optim/optim.h"

enum { BUCKET = 512, SUMS_MOST = 4096, NOTICE_BYTES = 8192 };

/* Stands in for a device and its ranks, of which there is one: notes what is summed, and what the whole gradient was at that moment. */
typedef struct Noted {
    const Params *params;
    int n;
    int64_t at[SUMS_MOST], length[SUMS_MOST];
    float *whole[SUMS_MOST];
} Noted;

static Status share_with_nobody(void *state, const void *mine, size_t n_bytes, void *all)
{
    (void)state;
    memcpy(all, mine, n_bytes);
    return OK;
}

static Status note_sum(void *state, void *x, int64_t n, DType type, void *stream)
{
    Noted *s = state;
    const size_t n_bytes = (size_t)s->params->n_flat * sizeof(float);
    REQUIRE(s->n < SUMS_MOST && type == F32 && stream == s);
    s->at[s->n] = (float *)x - (float *)s->params->flat_grad;
    s->length[s->n] = n;
    s->whole[s->n] = mem_alloc(n_bytes);
    REQUIRE(s->whole[s->n]);
    memcpy(s->whole[s->n++], s->params->flat_grad, n_bytes);
    return OK;
}

static Noted noted;
static Status fork_to_noted(Backend *b, void **stream)
{
    (void)b;
    *stream = &noted;
    return OK;
}
static Status join_noted(Backend *b) { return b ? OK : ERR_INTERNAL; }

static void begin(TinyModel *m, Dist *d)
{
    static char notices[NOTICE_BYTES] __attribute__((aligned(16)));
    for (int i = 0; i < noted.n; i++)
        mem_free(noted.whole[i]);
    noted = (Noted){.params = genllava_params(m->g)};
    m->backend.fork = fork_to_noted;
    m->backend.join = join_noted;
    *d = (Dist){.n_ranks = 1, .notices = notices, .bucket = BUCKET, .overlaps = true,
                .transport = {.state = &noted, .on_device = true, .share = share_with_nobody, .sum = note_sum}};
}

static void run_pass(TinyModel *m, const Batch *b, EarlySum *early, Dist *d)
{
    LossResult r;
    tape_reset(m->tape, 7);
    if (early)
        optim_reduce_early(early, genllava_params(m->g), d, m->tape);
    REQUIRE_OK(genllava_loss(m->tape, m->g, b, &(LossRequest){.scale = {1, 1, 1}}, &r));
    REQUIRE_OK(tape_backward_all(m->tape, r.losses, N_LOSSES, 1));
}

/* A step of two passes; the last has pictures or none, or no rows at all. Returns how many sums were made while others had still to wait.
 */
static int check_step(TinyModel *m, bool pictures, bool rows)
{
    Params *p = genllava_params(m->g);
    ModelSizes sizes = *genllava_model_sizes(m->g);
    EarlySum early;
    Dist d;
    begin(m, &d);
    REQUIRE_OK(params_step_begin(p));
    run_pass(m, tiny_batch(&sizes), NULL, NULL);
    sizes.patches = pictures ? sizes.patches : 0;
    Batch last = *tiny_batch(&sizes);
    last.terms = rows ? last.terms : (LossTerms){0};
    run_pass(m, &last, &early, &d);
    CHECK_OK(optim_reduce(p, &d));
    int64_t end = p->n_flat;
    int ahead = 0;
    for (int i = 0; i < noted.n; i++) {
        const size_t at = (size_t)noted.at[i], n = (size_t)noted.length[i];
        CHECK_MSG(noted.at[i] + noted.length[i] == end && (noted.length[i] == BUCKET || !at), "sum %d: %d elements at %d", i, (int)n,
                  (int)at);
        end = noted.at[i];
        CHECK_MSG(!memcmp(noted.whole[i] + at, (float *)p->flat_grad + at, n * sizeof(float)), "sum %d of %d came too soon", i, noted.n);
        ahead += memcmp(noted.whole[i], p->flat_grad, (size_t)p->n_flat * sizeof(float)) != 0;
    }
    CHECK_INT(end, 0);
    return ahead;
}

/* least: the share of sums that are ahead of others, with pictures; without, half: what the tower has not to wait for comes last all the
 * same. */
static void check_model(const RunConfig *cfg, const char *what, double least)
{
    for (int mode = RECOMPUTE_NONE; mode <= RECOMPUTE_BLOCK; mode++)
        for (int joins = 0; joins < 2; joins++) {
            TinyModel m;
            tiny_joins = joins;
            REQUIRE_OK(tiny_open(&m, cfg, F32, (Recompute)mode));
            for (int pictures = 0; pictures < 2; pictures++) {
                int ahead = check_step(&m, pictures, true);
                CHECK_MSG(ahead >= (pictures ? least : 0.5) * noted.n, "%s, %s pictures: %d of %d sums were ahead of others", what,
                          pictures ? "with" : "without", ahead, noted.n);
            }
            CHECK_INT(check_step(&m, false, false), 0); /* no rows: nothing is known before the end, or left to wait for */
            tiny_close(&m);
        }
    tiny_joins = false;
}

TEST(early_sums_of_adapters)
{
    RunConfig cfg;
    tiny_folders();
    tiny_config(&cfg);
    cfg.model.lora.dropout = 0.1;
    check_model(&cfg, "adapters", 0.5);
}

TEST(early_sums_of_everything)
{
    RunConfig cfg;
    tiny_folders();
    tiny_config(&cfg);
    cfg.model.llm.train = cfg.model.vision.train = TRAIN_FULL;
    check_model(&cfg, "everything", 0.8);
}

/* The last gradients of a pass are those of the first in the flat buffer: otherwise nothing could be sent before them. */
TEST(the_flat_gradient_lies_in_the_order_of_a_pass)
{
    static const char *const ORDER[] = {"vision", "projector", "tokens", "llm", "lora"};
    RunConfig cfg;
    TinyModel m;
    int at = 0;
    tiny_folders();
    tiny_config(&cfg);
    REQUIRE_OK(tiny_open(&m, &cfg, F32, RECOMPUTE_NONE));
    const Params *p = genllava_params(m.g);
    for (int i = 0; i < p->n; i++) {
        while (at < 5 && strcmp(p->list[i]->group.part, ORDER[at]))
            at++;
        CHECK_MSG(at < 5, "%s of part %s comes too late", p->list[i]->name, p->list[i]->group.part);
    }
    tiny_close(&m);
}
