/* to_hf.c: the language model as one, as transformers' causal language models and vLLM read it. Row "hf" of convert.c. */
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "kernels/base/log.h"
#include "tools/convert/llm_files.h"
#include "tools/convert/merge.h"
#include "tools/convert/out.h"
#include "tools/convert/to.h"

Status to_hf_check(const Model *m, const WriteOptions *o)
{
    (void)o;
    if (m->vision)
        log_warn("hf holds the language model alone: the vision tower and the projector are left out (--to hf-llava takes them)");
    if (m->cfg.model.diffusion.path)
        log_warn("hf holds no pictures' side: the generation head is left out (--to diffusers or parts takes it)");
    return OK;
}

Status to_hf(Model *m, const WriteOptions *o, const char *folder)
{
    OutList list = {0};
    Status s = OK;
    for (int i = 0; i < m->whole.n && !s; i++)
        s = out_add(&list, m->whole.list[i].name, out_dtype(o->type), &m->whole.list[i]);
    if (!s)
        s = out_safetensors(&list, folder, "model", o->max_shard);
    out_free(&list);
    cJSON *config = s ? NULL : llm_config(m, o, model_rows(m));
    char path[PATH_MAX];
    if (!s)
        s = json_save(file_join(path, folder, "config.json"), &config);
    return s ? s : llm_companions(m, folder, NULL, NULL);
}
