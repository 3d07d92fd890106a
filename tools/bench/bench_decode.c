/* How fast text is generated: the prompts of several sequences, then a token of each at a time, the likeliest. For tools/bench/bench.sh,
 * which times transformers' generate beside it.
 *
 * usage: bench-decode RUN.json SEQUENCES PROMPT TOKENS   prompts of PROMPT tokens, then TOKENS more of each; computes in f32 on the CPU.
 *        Prints the median seconds. */
#include <stdio.h>
#include <stdlib.h>

#include "tools/bench/bench_clock.h"
#include "train/config/config.h"
#include "train/models/genllava.h"

enum { WARM_UP = 1, RUNS = 3, MOST = 1 << 12 };

typedef struct Shape {
    int32_t sequences, prompt, tokens;
} Shape;

static int32_t likeliest(const float *logits, int32_t n)
{
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        best = logits[i] > logits[best] ? i : best;
    return best;
}

static Status generate(Decoder *d, const Shape *shape, int32_t n_logits)
{
    int32_t prompt[MOST], next[DECODER_SEQUENCES];
    for (int32_t s = 0; s < shape->sequences; s++) {
        for (int32_t i = 0; i < shape->prompt; i++)
            prompt[i] = 3 + (7 * i + s) % (n_logits - 3);
        TRY(decoder_prompt(d, s, prompt, shape->prompt, 0));
    }
    for (int32_t n = 1; n <= shape->tokens; n++) {
        for (int32_t s = 0; s < shape->sequences; s++)
            next[s] = likeliest(decoder_logits(d, s), n_logits);
        if (n < shape->tokens)
            TRY(decoder_step(d, next));
    }
    return OK;
}

static Status time_runs(double *seconds, GenLlava *g, const Shape *shape)
{
    const ModelSizes *sizes = genllava_model_sizes(g);
    double times[RUNS];
    Decoder *d;
    TRY(decoder_create(&d, g, shape->sequences, shape->prompt + shape->tokens));
    Status s = OK;
    for (int i = -WARM_UP; i < RUNS && s == OK; i++) {
        const double start = bench_now();
        s = generate(d, shape, sizes->vocab_size + sizes->added_rows);
        if (i >= 0)
            times[i] = bench_now() - start;
    }
    decoder_free(&d);
    if (s == OK)
        *seconds = bench_median(times, RUNS);
    return s;
}

static Status run(double *seconds, const char *config, const Shape *shape)
{
    RunConfig cfg;
    Backend backend;
    GenLlava *g = NULL;
    TRY(config_load(&cfg, config, NULL, 0));
    Status s = cpu_open(&backend);
    if (s == OK) {
        s = genllava_open_to_answer(&g, &backend, F32, &cfg, NULL);
        if (s == OK)
            s = time_runs(seconds, g, shape);
        genllava_close(&g);
        backend.close(&backend);
    }
    config_free(&cfg);
    return s;
}

static int32_t number(const char *text, int32_t most)
{
    char *end;
    const long n = strtol(text, &end, 10);
    return *end || n < 1 || n > most ? 0 : (int32_t)n;
}

int main(int argc, char **argv)
{
    double seconds;
    Shape shape = {0};
    if (argc == 5)
        shape = (Shape){number(argv[2], DECODER_SEQUENCES), number(argv[3], MOST), number(argv[4], MOST)};
    if (!shape.sequences || !shape.prompt || !shape.tokens) {
        fprintf(stderr, "usage: bench-decode RUN.json SEQUENCES PROMPT TOKENS\n");
        return status_exit_code(ERR_USAGE);
    }
    Status s = run(&seconds, argv[1], &shape);
    if (s)
        fprintf(stderr, "bench-decode: %s\n", status_message());
    else
        printf("%.4f\n", seconds);
    return status_exit_code(s);
}
