/* foreign.c: names and files of weights that come from elsewhere (foreign.h). */
#include "tools/convert/foreign.h"

#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "kernels/base/utf8.h"
#include "train/models/mistral.h"

static bool begins(const char *text, const char *with) { return !strncmp(text, with, strlen(with)); }

/* The rest behind a beginning; NULL: it begins otherwise. */
static const char *behind(const char *text, const char *beginning) { return begins(text, beginning) ? text + strlen(beginning) : NULL; }

static bool is_weight(const char *rest) { return !strcmp(rest, "weight"); }
static bool is_linear(const char *rest) { return is_weight(rest) || !strcmp(rest, "bias"); }

/* Layers of the projector, among which LLaVA counts the activations too: 0, 2, 4; a single one has no number. */
static ForeignName name_layer(char ours[WEIGHT_NAME_MAX], const char *rest)
{
    int k = 0, used = 0;
    if (sscanf(rest, "%6d.%n", &k, &used) != 1 || !used)
        k = used = 0;
    if (k < 0 || k % 2 || !is_linear(rest + used))
        return FOREIGN_UNKNOWN;
    snprintf(ours, WEIGHT_NAME_MAX, "multi_modal_projector.linear_%d.%s", k / 2 + 1, rest + used);
    return FOREIGN_NAMED;
}

/* "linear_2.bias", of the projector */
static bool is_of_projector(const char *rest)
{
    int k = 0, used = 0;
    return sscanf(rest, "linear_%6d.%n", &k, &used) == 1 && used && k > 0 && is_linear(rest + used);
}

/* Behind "model.": any other tensor, such as a bias or one more norm, would be of a network that this is not. */
static bool is_of_llm(const char *name)
{
    static const char *const NORMS[] = {"input_layernorm", "post_attention_layernorm"};
    const char *rest;
    int layer, used = 0;
    if (((rest = behind(name, "embed_tokens.")) || (rest = behind(name, "norm."))))
        return is_weight(rest);
    if (sscanf(name, "layers.%9d.%n", &layer, &used) != 1 || !used)
        return false;
    for (int i = 0; i < N_LINEARS + 2; i++) {
        rest = behind(name + used, i < N_LINEARS ? MISTRAL_LINEAR_NAME[i] : NORMS[i - N_LINEARS]);
        if (rest && *rest == '.' && is_weight(rest + 1))
            return true;
    }
    return false;
}

/* What a whole CLIP or SigLIP has beside its tower. */
static bool is_beside_tower(const char *name)
{
    return begins(name, "text_model.") || begins(name, "logit_") || begins(name, "text_projection.") || begins(name, "visual_projection.");
}

ForeignName foreign_name(char ours[WEIGHT_NAME_MAX], const char *theirs)
{
    const char *name = theirs, *rest;
    if (strlen(theirs) >= WEIGHT_NAME_MAX - 32)
        return FOREIGN_UNKNOWN;
    if (utf8_ends(name, "rotary_emb.inv_freq") || utf8_ends(name, "position_ids"))
        return FOREIGN_LEFT_OUT;
    if ((rest = behind(name, "base_model."))) /* of a model that PEFT had wrapped */
        name = begins(rest, "model.model.") ? rest + strlen("model.") : rest;
    if ((rest = behind(name, "language_model.")))
        name = rest;
    if (!strcmp(name, "lm_head.weight")) {
        snprintf(ours, WEIGHT_NAME_MAX, "%s", name);
        return FOREIGN_NAMED;
    }
    if ((rest = behind(name, "model.")))
        name = rest;
    if ((rest = behind(name, "language_model.")))
        name = rest;
    if (is_of_llm(name)) {
        snprintf(ours, WEIGHT_NAME_MAX, "model.%s", name);
        return FOREIGN_NAMED;
    }
    if ((rest = behind(name, "multi_modal_projector.")) && is_of_projector(rest)) {
        snprintf(ours, WEIGHT_NAME_MAX, "multi_modal_projector.%s", rest);
        return FOREIGN_NAMED;
    }
    if ((rest = behind(name, "mm_projector.")))
        return name_layer(ours, rest);
    const bool of_tower = begins(name, "vision_tower.");
    while ((rest = behind(name, "vision_tower.")))
        name = rest;
    if ((rest = behind(name, "vision_model.")))
        name = rest;
    else if (!of_tower)
        return is_beside_tower(name) ? FOREIGN_LEFT_OUT : FOREIGN_UNKNOWN;
    if (begins(name, "head."))
        return FOREIGN_LEFT_OUT;
    snprintf(ours, WEIGHT_NAME_MAX, "vision_model.%s", name);
    return FOREIGN_NAMED;
}

/* Names, and the first tensor that has none. */
typedef struct Naming {
    char unknown[WEIGHT_NAME_MAX];
} Naming;

static bool name_one(void *arg, char ours[WEIGHT_NAME_MAX], const char *theirs)
{
    Naming *n = arg;
    const ForeignName is = foreign_name(ours, theirs);
    if (is == FOREIGN_UNKNOWN && !*n->unknown)
        snprintf(n->unknown, sizeof n->unknown, "%.200s", theirs);
    return is == FOREIGN_NAMED;
}

Status foreign_add(Model *m, const char *folder, const char *stem, const char *torch_stem)
{
    Naming naming = {.unknown = ""};
    SafeTensors *st;
    TorchBin *bin;
    Status s = safetensors_open_folder(&st, folder, stem);
    if (!s) {
        s = stored_add_safetensors(&m->tensors, st, name_one, &naming);
    } else if (s == ERR_MISSING) {
        TRY(torch_bin_open_folder(&bin, folder, torch_stem));
        s = stored_add_torch(&m->tensors, bin, name_one, &naming);
    }
    TRY(s);
    return *naming.unknown
               ? fail(ERR_DATA, "%s: holds %s, which is no tensor of a language model, a vision tower or a projector that is known", folder,
                      naming.unknown)
               : OK;
}
