/* inspect_folder.c: what a folder is that is no single model, checkpoint, run or data set, and what to do with it: parts beside each other,
 * GGUF files, runs, samples, pictures. And what a folder of weights is to a run. Called by inspect.c and inspect_text.c (inspect.h). */
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "data/formats/file.h"
#include "data/formats/json_fields.h"
#include "data/pictures/image.h"
#include "kernels/base/utf8.h"
#include "tools/inspect/inspect.h"

enum { MEMBERS_MOST = 12 };

/* ---------------------------------------------------------------- folders of several things */

/* What the names in a folder say. */
typedef struct Members {
    const char *folder;
    int n, runs, pictures, texts, gguf, parts, loose, events, samples;
    bool settings, environment, head;
} Members;

static bool is_run(const char *folder)
{
    char path[PATH_MAX];
    return file_exists(file_join(path, folder, "config.resolved.json")) || file_exists(file_join(path, folder, "train.jsonl"));
}

static Status count_member(void *members, const char *name)
{
    static const char *const PARTS[] = {"llm", "vision", "adapter", "diffusion", "unet", "vae", "text_encoder", "language_model"};
    Members *m = members;
    char path[PATH_MAX];
    m->n++;
    m->runs += is_run(file_join(path, m->folder, name));
    m->pictures += image_is_named(name);
    m->texts += utf8_ends(name, ".txt");
    m->gguf += utf8_ends(name, ".gguf");
    m->loose += utf8_ends(name, ".safetensors");
    m->events += !strncmp(name, "events.out.tfevents", 19);
    m->samples += !strncmp(name, "step-", 5);
    m->head |= !strcmp(name, "gen_head.safetensors");
    m->settings |= !strcmp(name, "run.json");
    m->environment |= !strcmp(name, "environment.json") || !strcmp(name, "ranks");
    for (size_t i = 0; i < sizeof PARTS / sizeof *PARTS; i++)
        m->parts += !strcmp(name, PARTS[i]);
    return OK;
}

/* NULL: it is none of these. */
static const char *name_folder(const Members *m)
{
    if (m->settings && m->parts)
        return "parts of a model, as convert --to parts writes them (train --config goes on from the run.json in it)";
    if (m->gguf)
        return "a model in GGUF, for llama.cpp (llama-mtmd-cli -m takes the language model, --mmproj what sees)";
    if (m->head)
        return "a generation head, and what it was trained with of a Stable Diffusion (convert --to diffusers writes such a folder)";
    if (m->parts)
        return "parts of a model beside each other (model.llm.path, model.vision.path and model.diffusion.path take one each)";
    if (m->loose)
        return "parts of a model, a file each (the key \"init\" of a part takes one, as in model.projector.init)";
    if (m->runs)
        return "runs (report takes one, or several to compare; inspect tells more of one)";
    if (m->environment)
        return "a run that ended before its first step was logged (train begins it anew)";
    if (m->events)
        return "curves for TensorBoard (tensorboard --logdir takes it)";
    if (m->samples)
        return "samples of a run (report of the run's folder shows them)";
    if (m->pictures < m->n - m->pictures - m->texts) /* pictures for other things that are there */
        return NULL;
    if (m->pictures && m->texts)
        return "pictures with texts beside them (a source with \"format\": \"folder\" takes it as its root)";
    if (m->pictures)
        return "pictures (a source with \"format\": \"folder\" takes them with a text beside each; curate request --images "
               "asks others for texts)";
    return NULL;
}

bool inspect_is_folder_of_things(const char *path)
{
    Members m = {.folder = path};
    return file_list(path, count_member, &m) == OK && name_folder(&m);
}

typedef struct Listed {
    const InspectOptions *o;
    cJSON *json; /* NULL: text */
    int n, more;
} Listed;

static Status list_member(void *listed, const char *name)
{
    Listed *l = listed;
    char path[PATH_MAX], size[32], what[160] = "folder";
    struct stat st;
    if (l->n >= MEMBERS_MOST) {
        l->more++;
        return OK;
    }
    l->n++;
    if (stat(file_join(path, l->o->path, name), &st))
        return OK;
    if (!S_ISDIR(st.st_mode))
        snprintf(what, sizeof what, "%s", file_size_text(size, sizeof size, (size_t)st.st_size));
    else if (is_run(path))
        snprintf(what, sizeof what, "run");
    else
        inspect_role(path, what, sizeof what);
    if (l->json) {
        cJSON *member = json_add(l->json, NULL, cJSON_CreateObject());
        cJSON_AddStringToObject(member, "name", name);
        cJSON_AddStringToObject(member, "what", what);
        return OK;
    }
    fputs("  ", l->o->out);
    utf8_cell(l->o->out, name, 28);
    fprintf(l->o->out, "  %s\n", what);
    return OK;
}

Status inspect_folder(const InspectOptions *o)
{
    Members m = {.folder = o->path};
    TRY(file_list(o->path, count_member, &m));
    const char *what = name_folder(&m);
    if (!what)
        return fail(ERR_MISSING, "%s: what it held is gone", o->path);
    cJSON *j = o->json ? cJSON_CreateObject() : NULL;
    Listed l = {.o = o};
    if (j) {
        cJSON_AddStringToObject(j, "kind", "folder");
        cJSON_AddStringToObject(j, "what", what);
        l.json = cJSON_AddArrayToObject(j, "members");
    } else {
        utf8_cell(o->out, o->path, 0);
        fprintf(o->out, ": %s\n", what);
    }
    const Status s = file_list(o->path, list_member, &l);
    if (s) {
        cJSON_Delete(j);
        return s;
    }
    if (j)
        return json_print(o->out, &j, JSON_PRETTY, o->path);
    if (l.more)
        fprintf(o->out, "  and %d more\n", l.more);
    return OK;
}

/* ---------------------------------------------------------------- a folder of weights */

/* By the class of its config.json, or a part of its name. */
static const struct {
    const char *class_, *what;
} CLASSES[] = {
    {"LlavaForConditionalGeneration", "LLaVA in the form of transformers (convert --from it --to parts makes parts and a run.json of it)"},
    {"Llava", "LLaVA in its authors' form (convert --from it --to parts makes parts and a run.json of it)"},
    {"MistralForCausalLM", "a language model (model.llm.path takes it)"},
    {"LlamaForCausalLM", "a language model (model.llm.path takes it)"},
    {"Siglip", "SigLIP (model.vision.path takes it)"},
    {"CLIPTextModel", "a text encoder (model.diffusion.path takes the folder above)"},
    {"CLIP", "CLIP (model.vision.path takes it)"},
    {"UNet2DConditionModel", "a UNet (model.diffusion.path takes the folder above)"},
    {"AutoencoderKL", "an autoencoder (model.diffusion.path takes the folder above)"},
};

void inspect_role(const char *folder, char *what, size_t n)
{
    char path[PATH_MAX];
    JsonFields f;
    if (file_exists(file_join(path, folder, "adapter_config.json"))) {
        snprintf(what, n, "an adapter of PEFT (model.lora.init takes it; convert --from it merges it)");
        return;
    }
    if (file_exists(file_join(path, folder, "unet/config.json")) || file_exists(file_join(path, folder, "model_index.json"))) {
        snprintf(what, n, "a model of diffusers (model.diffusion.path takes it)");
        return;
    }
    if (!file_exists(file_join(path, folder, "config.json")) || fields_open(&f, folder, "config.json"))
        return;
    const Json *classes = json_get(f.top, "architectures"), *first = classes && classes->kind == JSON_ARRAY ? classes->child : NULL;
    const Json *name = first ? first : json_get(f.top, "_class_name");
    const char *class_ = name && name->kind == JSON_STRING ? name->string : "";
    for (size_t i = 0; i < sizeof CLASSES / sizeof *CLASSES; i++) {
        if (!strstr(class_, CLASSES[i].class_))
            continue;
        snprintf(what, n, "%s", CLASSES[i].what);
        break;
    }
    fields_close(&f);
}
