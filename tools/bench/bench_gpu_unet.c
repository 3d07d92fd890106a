/* bench_gpu_unet.c: the lines of bench-gpu about a UNet (bench_gpu.h). Called by bench_gpu.c. */
#include "data/formats/file.h"
#include "tools/bench/bench_gpu.h"
#include "tools/bench/unet_step.h"

static Status work(Bench *x, const void *arg)
{
    (void)x;
    return unet_step_run((UnetStep *)(uintptr_t)arg);
}

static Status time_unet(Bench *x, const RunConfig *cfg, const char *folder, int i)
{
    static const char *const ROW[] = {"G12", "G12b"};
    const int64_t images = x->sizes->unet[i].images, side = x->sizes->unet[i].side;
    UnetStep step;
    double seconds;
    Status s = unet_step_open(&step, &x->w.b, folder, bench_gpu_compute(cfg), images, side);
    if (s == OK)
        s = bench_gpu_time(x, work, &step, &seconds);
    if (s == OK)
        bench_gpu_result(ROW[i], (double)images / seconds, "images/s",
                         "the UNet of %s forwards and back to the context, %lld pictures of %lld latents a side: %.1f ms", cfg->name,
                         (long long)images, (long long)side, 1e3 * seconds);
    unet_step_close(&step);
    return s;
}

Status bench_gpu_unet(Bench *x, const RunConfig *cfg)
{
    char folder[PATH_MAX];
    if (!cfg->model.diffusion.path)
        return fail(ERR_USAGE, "--only unet needs a run with model.diffusion.path, whose UNet is timed; %s has none", cfg->name);
    file_join(folder, cfg->model.diffusion.path, "unet");
    for (int i = 0; i < 2; i++)
        TRY(time_unet(x, cfg, folder, i));
    return OK;
}
