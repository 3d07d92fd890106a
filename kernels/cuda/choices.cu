/* choices.cu: the algorithms chosen for matmuls as text, so that a run that is resumed goes on with the same ones.
 *
 * The first line says what they were chosen for: library and device; elsewhere they mean nothing. Each other line is the largest shape of a
 * bucket (the members of MatmulKey in order) and the library's 64 bytes of the algorithm in hexadecimal. They are in the order in which the
 * shapes came, so that saving, loading and saving again gives the same text. */
#include "kernels/cuda/backend.cuh"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "kernels/base/log.h"

enum { ALGO_WORDS = sizeof(cublasLtMatmulAlgo_t) / sizeof(uint64_t), LINE = 512, NUMBERS = 16 };

static int write_line(char out[LINE], const MatmulChoice *p)
{
    const MatmulKey *k = &p->key;
    uint64_t word[ALGO_WORDS];
    memcpy(word, &p->algo, sizeof word);
    int n = snprintf(out, LINE, "%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %d %d %d %d %d %d %d %d %d %d ",
                     k->m, k->n, k->k, k->lda,
                     k->ldb, k->ldc, k->a_type, k->b_type, k->c_type, k->a_trans, k->b_trans, k->has_bias, k->align_a, k->align_b,
                             k->align_c, k->align_bias);
    for (int i = 0; i < (int)ALGO_WORDS; i++)
        n += snprintf(out + n, LINE - n, "%016" PRIx64, word[i]);
    return n + snprintf(out + n, LINE - n, "\n");
}

Status choices_save(Backend *b, char **text)
{
    const CudaState *s = cuda_state(&b->ctx);
    size_t n = 0;
    *text = (char *)mem_alloc(sizeof s->origin + 1 + (size_t)s->n_choices * LINE);
    if (!*text)
        return fail(ERR_NOMEM, "the chosen algorithms: out of memory");
    n += (size_t)snprintf(*text, sizeof s->origin + 1, "%s\n", s->origin);
    for (int i = 0; i < s->n_choices; i++)
        if ((s->choices[i].ready && !s->choices[i].plain) || s->choices[i].kept)
            n += (size_t)write_line(*text + n, &s->choices[i]);
    return OK;
}

static bool is_type(int64_t t) { return t == F32 || t == BF16; }
static bool is_operand(int64_t t) { return is_type(t) || t == U8; }
static bool is_flag(int64_t t) { return t == 0 || t == 1; }
static bool is_alignment(int64_t t) { return t > 0 && t <= (int64_t)ARENA_ALIGN && (t & (t - 1)) == 0; }

/* false: not what write_line writes. */
static bool read_line(const char *line, MatmulKey *k, cublasLtMatmulAlgo_t *algo)
{
    int64_t v[NUMBERS];
    uint64_t word[ALGO_WORDS];
    int used;
    for (int i = 0; i < (int)NUMBERS; i++, line += used)
        if (sscanf(line, "%" SCNd64 "%n", &v[i], &used) != 1)
            return false;
    line += *line == ' ';
    for (int i = 0; i < (int)ALGO_WORDS; i++, line += used)
        if (sscanf(line, "%16" SCNx64 "%n", &word[i], &used) != 1 || used != 16)
            return false;
    if (*line && *line != '\n')
        return false;
    for (int i = 0; i < 6; i++)
        if (v[i] <= 0)
            return false;
    if (!is_operand(v[6]) || !is_operand(v[7]) || !is_type(v[8]) || !is_flag(v[9]) || !is_flag(v[10]) || !is_flag(v[11]) ||
        !is_alignment(v[12]) ||
        !is_alignment(v[13]) || !is_alignment(v[14]) || (v[11] ? !is_alignment(v[15]) : v[15] != 0))
        return false;
    memset(k, 0, sizeof *k);
    k->m = v[0], k->n = v[1], k->k = v[2], k->lda = v[3], k->ldb = v[4], k->ldc = v[5];
    k->a_type = (uint8_t)v[6], k->b_type = (uint8_t)v[7], k->c_type = (uint8_t)v[8], k->a_trans = (uint8_t)v[9],
            k->b_trans = (uint8_t)v[10];
    k->has_bias = (uint8_t)v[11], k->align_a = (uint8_t)v[12], k->align_b = (uint8_t)v[13], k->align_c = (uint8_t)v[14],
            k->align_bias = (uint8_t)v[15];
    memcpy(algo, word, sizeof word);
    const MatmulKey top = matmul_bucket(k);
    return !memcmp(&top, k, sizeof top);
}

Status choices_load(Backend *b, const char *text)
{
    CudaState *s = cuda_state(&b->ctx);
    size_t n = strcspn(text, "\n");
    int unread = 0;
    if (n != strlen(s->origin) || strncmp(text, s->origin, n)) {
        log_info("the matmul algorithms kept with the run were chosen for %.*s; this is %s: they are chosen anew", (int)n, text, s->origin);
        return OK;
    }
    matmul_forget(s);
    s->offers = 0;
    for (const char *line = text + n; *line; line += strcspn(line, "\n")) {
        MatmulKey key;
        cublasLtMatmulAlgo_t algo;
        line++;
        if (!*line)
            break;
        if (!read_line(line, &key, &algo)) {
            unread++;
            continue;
        }
        MatmulChoice *c = matmul_choice(s, &key);
        if (c) {
            c->algo = algo;
            c->kept = true;
        }
    }
    if (unread)
        log_warn("%d of the matmul algorithms kept with the run cannot be read; they are chosen anew", unread);
    return OK;
}
