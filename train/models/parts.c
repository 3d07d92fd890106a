/* parts.c: the table of parts (parts.h), and the walks over it that open a model. */
#include "train/models/parts.h"

#include <stdio.h>
#include <stdlib.h>

#include "data/formats/file.h"
#include "data/formats/mistakes.h"
#include "data/formats/safetensors.h"
#include "kernels/base/log.h"
#include "train/config/options.h"
#include "train/config/plan.h"
#include "train/models/model.h"

/* ---------------------------------------------------------------- the table */

static bool has_vision(const RunConfig *cfg) { return cfg->model.vision.path != NULL; }
static bool has_adapters(const RunConfig *cfg) { return cfg->model.llm.train == TRAIN_LORA; }
static bool has_added_rows(const RunConfig *cfg) { return token_rows_count(cfg) > 0; }
static bool draws(const RunConfig *cfg) { return cfg->model.diffusion.path != NULL; }
static bool decodes_pictures(const RunConfig *cfg) { return cfg->model.diffusion.path && cfg->draws; }
static bool trains_conv_in(const RunConfig *cfg) { return plan_predicts_noise(cfg) && cfg->model.diffusion.unet == TRAIN_CONV_IN; }
static const char *widened(const RunConfig *cfg) { return cfg->model.diffusion.edit == EDIT_TRAIN_CONV_IN ? "unet.conv_in.weight" : NULL; }

static bool caches_latents(const RunConfig *cfg) { return plan_caches(cfg, CACHE_LATENTS); }
static bool caches_states(const RunConfig *cfg) { return plan_caches(cfg, CACHE_CLIP_TEXT); }
static bool encodes_pictures(const RunConfig *cfg)
{
    bool to_learn = plan_predicts_noise(cfg) && !caches_latents(cfg);
    return to_learn || (cfg->model.diffusion.path && cfg->draws && cfg->model.diffusion.edit != EDIT_LLM_ONLY);
}
/* The text encoder's states are compared with, or drawn of. */
static bool encodes_prompts(const RunConfig *cfg)
{
    bool to_learn = plan_compares_prompts(cfg) && (cfg->draws || !caches_states(cfg));
    return to_learn || (plan_diffuses(cfg) && cfg->captions);
}

#define KEY(member) {#member, offsetof(RunConfig, member)}

/* In the order in which they are loaded and reported. */
const Part PARTS[] = {
    {
        .name = "llm",
        .title = "the language model",
        .after = "tokens",
        .path = KEY(model.llm.path),
        .init = KEY(model.llm.init),
        .train = KEY(model.llm.train),
        .lr = KEY(optim.lr),
        .form = PART_FOLDER,
        .saved = "llm",
        .files = {{"config.json", "the sizes of the model are read from", false, false, NULL},
                  {"tokenizer.model", "the tokenizer is read from", false, true, NULL}},
        .names = &MISTRAL_NAMES,
        .configure = mistral_configure,
        .declare = mistral_declare,
        .free = mistral_free,
    },
    {
        .name = "vision",
        .title = "the vision tower",
        .path = KEY(model.vision.path),
        .init = KEY(model.vision.init),
        .train = KEY(model.vision.train),
        .lr = KEY(optim.lr_vision),
        .form = PART_FOLDER,
        .saved = "vision",
        .files = {{"config.json", "the sizes of the model are read from", false, false, NULL},
                  {"preprocessor_config.json", "how pictures are prepared is read from", true, true, preprocessor_file}},
        .names = &SIGLIP_NAMES,
        .wanted = has_vision,
        .configure = siglip_configure,
        .declare = siglip_declare,
        .free = siglip_free,
    },
    {
        .name = "projector",
        .title = "the projector",
        .after = "vision",
        .init = KEY(model.projector.init),
        .train = KEY(model.projector.train),
        .lr = KEY(optim.lr_projector),
        .saved = "projector.safetensors",
        .names = &PROJECTOR_NAMES,
        .wanted = has_vision,
        .declare = projector_declare,
        .load = projector_load,
        .free = projector_free,
    },
    {
        .name = "lora",
        .title = "the adapters",
        .after = "llm",
        .init = KEY(model.lora.init),
        .lr = KEY(optim.lr),
        .form = PART_ADAPTER,
        .saved = LORA_FILE,
        .names = &LORA_NAMES,
        .wanted = has_adapters,
        .unwanted = "model.llm.train is not \"lora\"",
        .declare = lora_declare,
        .load = lora_load,
        .described = "adapter_config.json",
        .describe = lora_describe,
    },
    {
        .name = "tokens",
        .title = "the token rows",
        .after = "projector", /* what a pass embeds before the first layer */
        .init = KEY(model.tokens.init),
        .train = KEY(model.tokens.train),
        .lr = KEY(optim.lr_tokens),
        .saved = "token_rows.safetensors",
        .wanted = has_added_rows,
        .declare = token_rows_declare,
        .draw = token_rows_draw,
        .described = "token_rows.json",
        .describe = token_rows_describe,
        .updated = token_rows_updated,
    },
    {
        .name = "gen_head",
        .title = "the generation head",
        .after = "lora", /* it reads states of the adapted language model */
        .only_for_pictures = true,
        .init = KEY(model.gen_head.init),
        .train = KEY(model.gen_head.train),
        .lr = KEY(optim.lr_gen_head),
        .saved = "gen_head.safetensors",
        .names = &GEN_HEAD_NAMES,
        .wanted = draws,
        .unwanted = "model.diffusion.path is null",
        .configure = gen_head_configure,
        .declare = gen_head_declare,
        .load = gen_head_load,
        .described = "gen_head_config.json",
        .describe = gen_head_describe,
        .free = gen_head_free,
    },
    {
        .name = "text_encoder",
        .title = "the text encoder",
        .only_for_pictures = true,
        .path = KEY(model.diffusion.path),
        .subfolder = "text_encoder",
        .beside = "../tokenizer",
        .form = PART_FOLDER,
        .saved = "text_encoder",
        .files = {{"config.json", "the sizes of the model are read from", false, false, NULL},
                  {"../tokenizer/vocab.json", "the tokenizer of prompts is read from", true, false, clip_tokenizer_file}},
        .names = &CLIP_TEXT_NAMES,
        .wanted = encodes_prompts,
        .cached = caches_states,
        .configure = clip_text_configure,
        .declare = clip_text_declare,
        .load = clip_text_load,
        .free = clip_text_free,
    },
    {
        .name = "unet",
        .title = "the UNet",
        .after = "gen_head",
        .only_for_pictures = true,
        .path = KEY(model.diffusion.path),
        .subfolder = "unet",
        .beside = "../scheduler",
        .stem = "diffusion_pytorch_model",
        .train = KEY(model.diffusion.unet),
        .lr = KEY(optim.lr_unet),
        .form = PART_FOLDER,
        .saved = "unet",
        .files = {{"config.json", "the sizes of the model are read from", false, false, NULL},
                  {"../scheduler/scheduler_config.json", "how noise is mixed in is read from", false, false, NULL}},
        .names = &UNET_NAMES,
        .wanted = plan_diffuses,
        .widened = widened,
        .configure = diffusion_configure,
        .declare = diffusion_declare,
        .described = "unet/config.json",
        .describe = diffusion_describe,
        .free = diffusion_free,
    },
    {
        .name = "unet_conv_in",
        .counted = "unet",
        .title = "the UNet's first convolution",
        .after = "unet",
        .only_for_pictures = true,
        .path = KEY(model.diffusion.path),
        .subfolder = "unet",
        .stem = "diffusion_pytorch_model",
        .lr = KEY(optim.lr_unet),
        .saved = "unet_conv_in.safetensors",
        .names = &UNET_CONV_IN_NAMES,
        .wanted = trains_conv_in,
        .widened = widened,
        .declare = diffusion_declare_conv_in,
    },
    {
        .name = "vae",
        .title = "the autoencoder's encoder",
        .only_for_pictures = true,
        .path = KEY(model.diffusion.path),
        .subfolder = "vae",
        .stem = "diffusion_pytorch_model",
        .form = PART_FOLDER,
        .saved = "vae",
        .files = {{"config.json", "the sizes of the model are read from", false, false, NULL}},
        .names = &VAE_NAMES,
        .wanted = encodes_pictures,
        .cached = caches_latents,
        .configure = vae_configure,
        .declare = vae_declare,
        .free = vae_free,
    },
    {
        .name = "vae_decoder",
        .counted = "vae",
        .title = "the autoencoder's decoder",
        .only_for_pictures = true,
        .path = KEY(model.diffusion.path),
        .subfolder = "vae",
        .stem = "diffusion_pytorch_model",
        .form = PART_FOLDER,
        .saved = "vae",
        .names = &VAE_DECODER_NAMES,
        .wanted = decodes_pictures,
        .configure = vae_configure,
        .declare = vae_declare_decoder,
        .count = vae_count_decoder,
    },
};
const int N_PARTS = sizeof PARTS / sizeof *PARTS;
_Static_assert(sizeof PARTS / sizeof *PARTS <= PARTS_MAX, "raise PARTS_MAX");

/* ---------------------------------------------------------------- what the settings say of a part */

static const void *value_at(const RunConfig *cfg, PartKey key) { return (const char *)cfg + key.offset; }
static const char *text_at(const RunConfig *cfg, PartKey key) { return key.name ? *(char *const *)value_at(cfg, key) : NULL; }

const Part *part_find(const char *name)
{
    for (int i = 0; i < N_PARTS; i++)
        if (!strcmp(PARTS[i].name, name))
            return &PARTS[i];
    return NULL;
}

bool part_wanted(const Part *part, const RunConfig *cfg) { return part->declare && (!part->wanted || part->wanted(cfg)); }

bool part_cached(const Part *part, const RunConfig *cfg) { return !part_wanted(part, cfg) && part->cached && part->cached(cfg); }

bool part_trained(const Part *part, const RunConfig *cfg)
{
    if (!part->train.name)
        return !part->path.name || part->form == PART_FILE;
    TrainMode mode = *(const TrainMode *)value_at(cfg, part->train);
    return mode == TRAIN_FULL || mode == TRAIN_ROWS; /* with adapters, or conv_in, another part trains and the folder's own is frozen */
}

const char *part_folder(const Part *part, const RunConfig *cfg, char path[PATH_MAX])
{
    const char *folder = text_at(cfg, part->path);
    return folder && part->subfolder ? file_join(path, folder, part->subfolder) : folder;
}

const char *part_stem(const Part *part) { return part->stem ? part->stem : "model"; }

static bool drawn_by_choice(const Part *part, const RunConfig *cfg)
{
    if (part->path.name)
        return part->init.name && *(const InitChoice *)value_at(cfg, part->init) == INIT_AT_RANDOM;
    return !text_at(cfg, part->init);
}

/* A plan takes a folder without weights as if they were drawn. */
static bool unchecked(const Part *part, const RunConfig *cfg)
{
    char room[PATH_MAX];
    const char *folder = cfg->plan_only ? part_folder(part, cfg, room) : NULL;
    return folder && !drawn_by_choice(part, cfg) && safetensors_folder_is_bare(folder, part_stem(part));
}

bool part_drawn(const Part *part, const RunConfig *cfg) { return drawn_by_choice(part, cfg) || unchecked(part, cfg); }

static double rate_of(const Part *part, const RunConfig *cfg)
{
    return part->lr.name ? *(const double *)value_at(cfg, part->lr) : cfg->optim.lr;
}

/* What its learning rate is called: as its key, or as the part where several have optim.lr. */
static const char *rate_name(const Part *part)
{
    const char *key = part->lr.name ? part->lr.name : "optim.lr";
    return strcmp(key, "optim.lr") ? key + strlen("optim.lr_") : part->name;
}

int parts_rates(const RunConfig *cfg, PartRate rates[PARTS_MAX])
{
    int n = 0;
    for (const Part *part = PARTS; part < PARTS + N_PARTS; part++)
        if (part_wanted(part, cfg) && part_trained(part, cfg))
            rates[n++] = (PartRate){part->name, rate_name(part), rate_of(part, cfg)};
    return n;
}

static bool is_idle_rate(const RunConfig *cfg, const char *key)
{
    const Option *o = option_find(key);
    bool idle = cfg->places[o - OPTIONS].given && *(const double *)value_at(cfg, (PartKey){key, o->offset}) != strtod(o->fallback, NULL);
    for (const Part *part = PARTS; part < PARTS + N_PARTS; part++)
        if (part_wanted(part, cfg) && part_trained(part, cfg) && !strcmp(part->lr.name ? part->lr.name : "optim.lr", key))
            idle = false;
    return idle;
}

void parts_warn_of_idle_rates(const RunConfig *cfg)
{
    for (int i = 0; i < N_OPTIONS; i++)
        if (OPTIONS[i].kind == OPTION_REAL && !strncmp(OPTIONS[i].key, "optim.lr", strlen("optim.lr")) && is_idle_rate(cfg, OPTIONS[i].key))
            log_warn("%s is set, but nothing that it is the learning rate of is trained", OPTIONS[i].key);
}

static Status check_file(const Part *part, const RunConfig *cfg, const PartFile *f)
{
    char room[PATH_MAX], path[PATH_MAX];
    const char *folder = part_folder(part, cfg, room);
    if (!folder || !file_exists(text_at(cfg, part->path)) || (f->with_weights && part_drawn(part, cfg)) ||
        file_exists(file_join_beside(path, folder, f->name)) || (f->stands_in && f->stands_in(folder)))
        return OK;
    return fail(ERR_MISSING, "%s: %s: there is no such file; %s there", part->path.name, path, f->what);
}

void parts_say_unchecked(const RunConfig *cfg)
{
    char room[PATH_MAX];
    for (int i = 0; i < N_PARTS; i++)
        if (part_wanted(&PARTS[i], cfg) && unchecked(&PARTS[i], cfg))
            log_warn("weights not checked: %s holds none; %s is planned as if drawn", part_folder(&PARTS[i], cfg, room), PARTS[i].title);
}

enum { FILES_MAX = sizeof PARTS[0].files / sizeof(PartFile) };

static Status check_weights(const Part *part, const RunConfig *cfg)
{
    char room[PATH_MAX];
    const char *folder = part_folder(part, cfg, room);
    if (part->form != PART_FOLDER || !folder || !file_exists(folder) || part_drawn(part, cfg))
        return OK;
    TRY_IN(safetensors_check_folder(folder, part_stem(part)), "%s", part->path.name);
    return OK;
}

Status parts_check_files(const RunConfig *cfg, bool weights, PartVisit visit, void *arg)
{
    static const PartFile WEIGHTS = {.name = "weights"};
    for (int i = 0; i < N_PARTS; i++) {
        const Part *part = &PARTS[i];
        if (!part_wanted(part, cfg))
            continue;
        for (const PartFile *f = part->files; f < part->files + FILES_MAX && f->name; f++) {
            Status s = check_file(part, cfg, f);
            if (s)
                TRY(visit(arg, f, s));
        }
        Status s = weights ? check_weights(part, cfg) : OK;
        if (s)
            TRY(visit(arg, &WEIGHTS, s));
    }
    return OK;
}

Status part_count(const Part *part, const GenLlava *g, int64_t *n)
{
    *n = genllava_count(g, part->name);
    return !*n && part->count && genllava_count(g, part->counted) ? part->count(g, n) : OK;
}

/* ---------------------------------------------------------------- opening */

static bool is_opened(const GenLlava *g, const Part *part, const RunConfig *cfg)
{
    if (g->only)
        return !strcmp(part->name, g->only);
    return part_wanted(part, cfg) && !(g->params.answers && part->only_for_pictures && !cfg->draws);
}

static Status configure_part(GenLlava *g, const RunConfig *cfg, const Part *part)
{
    for (const PartFile *f = part->files; f < part->files + FILES_MAX && f->name; f++)
        if (f->with_weights) /* what it says has to be that of the weights */
            TRY(check_file(part, cfg, f));
    return part->configure(g, cfg);
}

Status parts_configure(GenLlava *g, const RunConfig *cfg)
{
    Mistakes wrong = {.n = 0};
    Status s = OK;
    for (int i = 0; i < N_PARTS && !s; i++)
        if (is_opened(g, &PARTS[i], cfg) && PARTS[i].configure)
            s = mistakes_gather(&wrong, ERR_DATA, configure_part(g, cfg, &PARTS[i]));
    if (s)
        mistakes_add_line(&wrong, status_message());
    return mistakes_end(&wrong, s ? s : ERR_DATA, "the folders of the model");
}

static Status declare_part(GenLlava *g, const RunConfig *cfg, const Part *part, bool declared[PARTS_MAX])
{
    if (declared[part - PARTS])
        return OK;
    declared[part - PARTS] = true;
    if (part->declare && (!part->title || !part->saved || !part->described != !part->describe || (part->after && !part_find(part->after))))
        return fail(ERR_INTERNAL,
                    "parts.c: the row of \"%s\" has no title, no saved, one of described and describe, or after names no part", part->name);
    if (part->after)
        TRY(declare_part(g, cfg, part_find(part->after), declared));
    if (!is_opened(g, part, cfg))
        return part->unwanted && !part_wanted(part, cfg) && text_at(cfg, part->init)
                   ? fail(ERR_USAGE, "%s is set, but %s", part->init.name, part->unwanted)
                   : OK;
    g->params.group = (ParamGroup){.part = part->name, .trainable = part_trained(part, cfg), .lr = rate_of(part, cfg)};
    return part->declare(g, cfg);
}

/* What is declared together lies together in the flat buffers, in the order in which a pass reaches it. */
Status parts_declare(GenLlava *g, const RunConfig *cfg)
{
    bool declared[PARTS_MAX] = {false};
    for (int i = 0; i < N_PARTS; i++)
        TRY(declare_part(g, cfg, &PARTS[i], declared));
    return OK;
}

/* The file or folder that a part starts from; NULL: it is drawn. */
static const char *find_start(char path[PATH_MAX], const Part *part, const RunConfig *cfg)
{
    return part_drawn(part, cfg) ? NULL : part->path.name ? part_folder(part, cfg, path) : text_at(cfg, part->init);
}

/* Whether a part's weights are read from a checkpoint: when it was trained there, or was drawn and lies there frozen: rows drawn like a
 * language model that has been trained since could not be drawn again. */
static bool from_checkpoint(const Part *part, const RunConfig *cfg, const char *checkpoint)
{
    char path[PATH_MAX], saved[PATH_MAX];
    /* Not there where it has become trained since (train --change). */
    return file_exists(file_join(saved, checkpoint, part->saved)) && (part_trained(part, cfg) || !find_start(path, part, cfg));
}

const Part *parts_find_dropped(const RunConfig *there, const RunConfig *cfg, const char *checkpoint)
{
    for (const Part *part = PARTS; part < PARTS + N_PARTS; part++)
        if (part_wanted(part, there) && part_trained(part, there) && !(part_wanted(part, cfg) && from_checkpoint(part, cfg, checkpoint)))
            return part;
    return NULL;
}

const char *part_source(char path[PATH_MAX], const Part *part, const RunConfig *cfg, const char *checkpoint)
{
    if (!checkpoint || !from_checkpoint(part, cfg, checkpoint))
        return find_start(path, part, cfg);
    return part->form == PART_ADAPTER ? checkpoint : file_join(path, checkpoint, part->saved);
}

static Status fill_part(GenLlava *g, const Part *part)
{
    for (int i = 0; i < g->params.n; i++)
        if (params_of(g->params.list[i], part->name))
            TRY(g->fill->set(g->fill->arg, &g->params, g->params.list[i]));
    return OK;
}

static Status load_part(GenLlava *g, int i, const RunConfig *cfg, const char *checkpoint)
{
    const Part *part = &PARTS[i];
    Weights *w = &g->files[i];
    uint64_t seed = (uint64_t)cfg->seed;
    char path[PATH_MAX], room[PATH_MAX];
    const char *from = part_source(path, part, cfg, checkpoint);
    if (!from && part->draw)
        return part->draw(g, seed);
    if (!from)
        return g->fill ? fill_part(g, part) : params_draw_part(&g->params, part->name, seed);
    if (part->load)
        return part->load(g, cfg, from);
    const char *folder = part_folder(part, cfg, room);
    bool in_folder = part->form == PART_FOLDER || (folder && !strcmp(from, folder));
    TRY(in_folder ? weights_open_folder(w, from, part_stem(part)) : weights_open(w, from));
    w->widened = part->widened ? part->widened(cfg) : NULL;
    Status s = weights_load_part(w, &g->params, part->name, part->names);
    if (part->form != PART_FOLDER)
        weights_close(w);
    return s;
}

Status parts_load(GenLlava *g, const RunConfig *cfg, const char *checkpoint)
{
    for (int i = 0; i < N_PARTS; i++)
        if (is_opened(g, &PARTS[i], cfg))
            TRY_IN(load_part(g, i, cfg, checkpoint), "reading %s", PARTS[i].title);
    return OK;
}

Status parts_updated(GenLlava *g)
{
    for (int i = 0; i < N_PARTS; i++)
        if (PARTS[i].updated)
            TRY(PARTS[i].updated(g));
    return OK;
}

void parts_free(GenLlava *g)
{
    for (int i = 0; i < N_PARTS; i++) {
        if (PARTS[i].free)
            PARTS[i].free(g);
        weights_close(&g->files[i]);
    }
}
