/* drawing.c: see drawing.h. Called by generate and evaluate. */
#include "eval/drawing.h"

#include "kernels/base/log.h"
#include "train/config/options.h"
#include "train/dist/signals.h"

#define SAMPLER_NAME(id, name, class) name,
const char *const DRAWING_SAMPLERS[] = {SAMPLER_LIST(SAMPLER_NAME) NULL};
#undef SAMPLER_NAME

static void say_progress(void *user, int64_t done, int64_t of)
{
    (void)user;
    log_progress("drawing: %lld of %lld evaluations", (long long)done, (long long)of);
    if (done == of)
        log_progress_end();
}

static double or_usual(double given, double usual) { return given == NOT_GIVEN ? usual : given; }

DrawOptions drawing_options(const DrawingArgs *d)
{
    DrawOptions o = DRAW_DEFAULTS;
    o.sampler = d->sampler == NOT_GIVEN ? SAMPLER_OF_FOLDER : (SamplerKind)(d->sampler + 1);
    o.steps = d->steps == NOT_GIVEN ? o.steps : d->steps;
    o.guidance = or_usual(d->guidance, o.guidance);
    o.image_guidance = or_usual(d->image_guidance, o.image_guidance);
    o.strength = or_usual(d->strength, o.strength);
    o.progress = say_progress;
    return o;
}

Status drawing_check(const DrawingArgs *d, const RunConfig *cfg, const char *program, const char *flag, const char *absent)
{
    const EditMode mode = cfg->model.diffusion.edit;
    const char *name = option_find("model.diffusion.edit")->names[mode];
    if (absent)
        return fail(cfg->model.diffusion.path ? ERR_MISSING : ERR_USAGE, "%s: %s: this model does not draw: %s", program, flag, absent);
    if (d->image_guidance != NOT_GIVEN && mode != EDIT_IP2P && mode != EDIT_TRAIN_CONV_IN)
        return fail(ERR_USAGE, "%s: --image-guidance is for a UNet that sees the picture; this run's model.diffusion.edit is \"%s\"",
                    program, name);
    if (d->strength != NOT_GIVEN && mode != EDIT_SDEDIT)
        return fail(ERR_USAGE, "%s: --strength is for model.diffusion.edit \"sdedit\"; this run's is \"%s\"", program, name);
    return OK;
}

void drawing_warn_random(const RunConfig *cfg, bool trained)
{
    if (cfg->draws && !cfg->captions && !trained && !cfg->model.gen_head.init)
        log_warn("the generation head is random: no checkpoint has trained it, and model.gen_head.init names no file; what is drawn has "
                 "nothing to do with the text");
}

Status drawing_open(DrawingModel *m, const Opening *o, const DrawingArgs *d, const char *flag, const DrawOptions *how)
{
    const char *const read[] = {"model.llm.path", "model.vision.path", "model.diffusion.path", NULL};
    RunConfig *cfg = &m->cfg;
    TRY(opening_read(o, cfg, m->checkpoint));
    TRY(drawing_check(d, cfg, o->program, flag, painter_absent(cfg)));
    cfg->draws = true;
    cfg->captions = d->captions;
    TRY(config_check_paths(cfg, read, NULL));
    TRY(opening_check_bases(o, cfg, m->checkpoint));
    drawing_warn_random(cfg, *m->checkpoint && cfg->model.gen_head.train != TRAIN_FROZEN);
    opening_name(m->name, sizeof m->name, cfg, m->checkpoint);
    TRY(opening_model(&m->answerer, o, cfg, m->checkpoint));
    Status s = painter_open(&m->painter, m->answerer, cfg, how, m->name);
    signals_hold();
    return s;
}

void drawing_close(DrawingModel *m)
{
    painter_close(&m->painter);
    answerer_close(&m->answerer);
    config_free(&m->cfg);
}
