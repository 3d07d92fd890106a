/* rounds.c: shares and sums over ranks (rounds.h). Called by sockets.c and mpi.c.
 *
 * Bytes go from rank r + 2^k to rank r. What all share goes round in steps that double what a rank has (Bruck et al. 1997): log2 n_ranks
 * steps. Sums go round a ring (Patarasu and Yuan 2009): each part of x is added up by rank after rank, then passed on by rank after rank;
 * each rank sends 2 (n_ranks - 1) / n_ranks of x, whatever their number, and the order of every sum is fixed by its place in x. */
#include "train/dist/rounds.h"

#include <string.h>

Span *flow_present(Flow *f) { return f->part[0].n ? &f->part[0] : &f->part[1]; }

void span_advance(Span *s, size_t n)
{
    s->at += n;
    s->n -= n;
}

int rounds_neighbour(const Rounds *r, int offset) { return (r->rank + offset + r->n_ranks) % r->n_ranks; }

void rounds_add(char *x, const char *y, size_t n_bytes, DType type)
{
    const size_t n = n_bytes / dtype_size(type);
    if (type == F64) {
        double *sum = (double *)(void *)x;
        for (size_t i = 0; i < n; i++)
            sum[i] += ((const double *)(const void *)y)[i];
    } else {
        float *sum = (float *)(void *)x;
        for (size_t i = 0; i < n; i++)
            sum[i] += ((const float *)(const void *)y)[i];
    }
}

/* n blocks of all, from that of rank `first` on. */
static Flow blocks(const Rounds *r, char *all, size_t n_bytes, int first, int n)
{
    const int straight = r->n_ranks - first < n ? r->n_ranks - first : n;
    return (Flow){{{all + (size_t)first * n_bytes, (size_t)straight * n_bytes}, {all, (size_t)(n - straight) * n_bytes}}};
}

Status rounds_share(const Rounds *r, const void *mine, size_t n_bytes, void *all)
{
    memcpy((char *)all + (size_t)r->rank * n_bytes, mine, n_bytes);
    for (int k = 0; k < r->n_links; k++) {
        const int has = 1 << k, missing = r->n_ranks - has, n = has < missing ? has : missing;
        TRY(r->move(r->state, k, blocks(r, all, n_bytes, r->rank, n), blocks(r, all, n_bytes, rounds_neighbour(r, has), n), NULL));
    }
    return OK;
}

/* Of n_ranks parts of x, that of a rank. */
static Flow part_of(const Rounds *r, char *x, int64_t n, DType type, int offset)
{
    const int64_t ranks = r->n_ranks, c = rounds_neighbour(r, offset);
    const int64_t begin = n / ranks * c + n % ranks * c / ranks, end = n / ranks * (c + 1) + n % ranks * (c + 1) / ranks;
    return (Flow){{{x + (size_t)begin * dtype_size(type), (size_t)(end - begin) * dtype_size(type)}, {NULL, 0}}};
}

Status rounds_sum(const Rounds *r, void *x, int64_t n, DType type)
{
    const int rounds = r->n_ranks - 1;
    for (int i = 0; i < rounds; i++)
        TRY(r->move(r->state, 0, part_of(r, x, n, type, i), part_of(r, x, n, type, i + 1), &type));
    for (int i = 0; i < rounds; i++) /* this rank has the whole sum of the part before its own */
        TRY(r->move(r->state, 0, part_of(r, x, n, type, i - 1), part_of(r, x, n, type, i), NULL));
    return OK;
}
