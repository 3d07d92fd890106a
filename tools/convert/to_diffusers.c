/* to_diffusers.c: what draws, for those who bring a language model of their own: the generation head, and the UNet where it was trained.
 * Row "diffusers" of convert.c. */
#include "kernels/base/log.h"
#include "tools/convert/drawing.h"
#include "tools/convert/to.h"

Status to_diffusers_check(const Model *m, const WriteOptions *o)
{
    (void)o;
    if (!m->cfg.model.diffusion.path)
        return fail(ERR_DATA, "%s: draws no pictures (it has no generation head and no UNet); --to hf or hf-llava takes what it has",
                    m->path);
    log_warn("diffusers holds what draws: the language model, the vision tower and the projector are left out");
    return OK;
}

Status to_diffusers(Model *m, const WriteOptions *o, const char *folder)
{
    (void)o;
    return drawing_write(m, folder, false);
}
