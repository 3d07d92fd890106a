/* clip_net.c: CLIP's features: the class token behind the vision tower's last norm, and the end token behind the text encoder's, each
 * projected (network.h). As transformers' CLIPModel has get_image_features and get_text_features. */
#include <inttypes.h>

#include "data/formats/file.h"
#include "eval/features/network.h"
#include "train/models/config_keys.h"
#include "train/models/generation.h"

static const FieldRule RULES[] = {
    {"initializer_factor", NULL},
    {"logit_scale_init_value", NULL},
    {"model_type", "\"clip\""},
    {"projection_dim", NULL},
    {"text_config", NULL},
    {"text_config_dict", NULL},
    {"vision_config", NULL},
    {"vision_config_dict", NULL},
    {0},
};
static const FieldClass FIELDS = {{RULES, CONFIG_RULES}, GENERATION_RULES};

/* ---------------------------------------------------------------- settings */

/* The settings of the text encoder; the second of these files of the first releases counts where it is there. */
static const Json *text_settings(JsonFields *f)
{
    const Json *older = fields_object(f, f->top, "text_config_dict"), *o = older ? older : fields_object(f, f->top, "text_config");
    if (!o)
        fields_refuse(f, NULL, "text_config", "is missing: expected the folder of a whole CLIPModel, with its text encoder");
    return o;
}

static Status configure(PictureNet *n, JsonFields *f)
{
    fields_known(f, f->top, &FIELDS);
    n->info.width = fields_int(f, f->top, "projection_dim", 512, 1, 1 << 24);
    const Json *text = text_settings(f);
    if (!fields_object(f, f->top, "vision_config"))
        fields_refuse(f, NULL, "vision_config", "is missing: expected the folder of a whole CLIPModel, with its vision tower");
    TRY(f->status);
    siglip_read(f, &n->tower.config);
    clip_text_read(f, text, &n->text.config);
    n->end_token = fields_int(f, text, "eos_token_id", 49407, 0, INT32_MAX);
    TRY(f->status);
    TRY(preprocessor_load(&n->preprocessor, n->path, false));
    return clip_text_open_tokenizer(&n->text, n->path, n->path);
}

/* ---------------------------------------------------------------- weights */

static Status declare(PictureNet *n)
{
    const Declare d = {.p = &n->params};
    TRY(siglip_declare_in(&n->params, &n->tower));
    TRY(clip_text_declare_in(&n->params, &n->text));
    declare_norm(&d, "vision_model.post_layernorm", n->tower.config.hidden, &n->norm_w, &n->norm_b);
    n->picture_projection = declare_linear_unbiased(&d, "visual_projection", n->info.width, n->tower.config.hidden);
    n->text_projection = declare_linear_unbiased(&d, "text_projection", n->info.width, n->text.config.hidden);
    return OK;
}

static const Spelling SPELLINGS[] = {{.rules = {{"", ""}}}};
/* The temperature of the training loss; positions 0, 1, 2, … */
static const char *const QUIET[] = {"logit_scale", "vision_model.embeddings.position_ids", "text_model.embeddings.position_ids", NULL};
static const NameTable NAMES = {.spellings = SPELLINGS, .n = 1, .quiet = QUIET};

static Status load(PictureNet *n)
{
    TRY(weights_open_folder(&n->weights, n->path, "model"));
    return weights_load_part(&n->weights, &n->params, n->kind->type, &NAMES);
}

/* ---------------------------------------------------------------- forward */

static Tensor *pictures(Tape *t, const PictureNet *n, const void *pixels, int64_t items)
{
    const PatchSpec spec = tower_pixels(t, n, pixels, items);
    Tensor *x = siglip_sequences(t, &n->tower, &spec); /* [items·(N+1),D] */
    x = nn_layernorm(t, tower_class_rows(t, n, x, items), NULL, n->norm_w, n->norm_b, n->tower.config.eps, NULL);
    return nn_linear(t, x, &n->picture_projection, 1, NULL); /* [items,width] */
}

/* Where a text's feature stands. Files that say 2 have another end token, which is the highest id. */
static int32_t end_of(const PictureNet *n, const int32_t *ids)
{
    int32_t at = 0;
    for (int32_t i = 0; i < n->text.config.length; i++) {
        if (n->end_token != CLIP_HIGHEST_ID && ids[i] == n->end_token)
            return i;
        if (n->end_token == CLIP_HIGHEST_ID && ids[i] > ids[at])
            at = i;
    }
    return at;
}

static Tensor *texts(Tape *t, const PictureNet *n, const int32_t *ids, int64_t items)
{
    const int64_t length = n->text.config.length;
    Tensor *x = clip_text_forward(t, &n->text, ids, items); /* [items·length,D] */
    int32_t *row = tape_host(t, (size_t)items * sizeof *row);
    for (int64_t i = 0; row && ids && i < items; i++)
        row[i] = (int32_t)(i * length) + end_of(n, ids + i * length);
    x = nn_gather_rows(t, x, tape_ints(t, row, items), items);
    return nn_linear(t, x, &n->text_projection, 1, NULL); /* [items,width] */
}

const NetworkKind CLIP_NET = {.type = "clip", .reads_texts = true, .configure = configure, .declare = declare, .load = load,
                              .prepare = tower_prepare, .pictures = pictures, .texts = texts};
