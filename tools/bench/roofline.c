/* roofline.c: a step's time on paper, from costs and a device's data sheet (roofline.h). Called by model-gpu and bench-gpu. */
#include "tools/bench/roofline.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/base/arena.h"

/* Tiles of the output go to the multiprocessors in waves, and the last one may be mostly empty; a long inner dimension can be cut up for
 * more of them. The share of the tiles' arithmetic that is wanted, times the share of the waves that is filled. */
static double filled(const Device *d, const Cost *c)
{
    enum { TILE = 128, CUT = 2048 };
    if (!c->m || !c->n || !c->k)
        return 1;
    double tiles_m = ceil((double)c->m / TILE), tiles_n = ceil((double)c->n / TILE), tiles = tiles_m * tiles_n;
    double wanted = (double)c->m * (double)c->n / (tiles * TILE * TILE);
    double cuts = tiles < d->processors ? ceil((double)c->k / CUT) : 1, units = tiles * cuts;
    return wanted * units / (ceil(units / d->processors) * d->processors);
}

/* Of cuBLASLt; of 8-bit operands twice the rate of bf16 is published. */
static bool is_matmul(Op op) { return op == OP_matmul || op == OP_matmul_fp8; }
static double published(Op op) { return op == OP_matmul_fp8 ? 2 : 1; }

static double peak(const Device *d, const Cost *c) { return 1e12 * (c->narrow ? d->bf16_tflops : d->f32_tflops); }

/* Of the published rate, in the products of an operator. */
static double rate_reached(const Reached *reached, const Device *d, Op op, const Cost *c)
{
    switch (op) {
    case OP_matmul:
    case OP_matmul_fp8: return published(op) * reached->matmul * filled(d, c);
    case OP_conv2d_fwd:
    case OP_conv2d_dx: return reached->convolution * filled(d, c);
    case OP_conv2d_dw: return reached->adapters * filled(d, c);
    case OP_adapter_down:
    case OP_adapter_down_grad:
    case OP_adapter_down_bwd:
    case OP_adapter_up_bwd: return reached->adapters;
    default: return reached->attention;
    }
}

/* Products and random numbers one after the other: that they overlap would have to be measured. */
static double arithmetic_seconds(const Device *d, const Reached *reached, Op op, const Cost *c)
{
    double rate = peak(d, c) * rate_reached(reached, d, op, c);
    return (c->flops > 0 ? c->flops / rate : 0) + (c->integer > 0 ? c->integer / (1e12 * d->integer_tops * reached->integer) : 0);
}

static double memory_seconds(const Device *d, const Reached *reached, const Cost *c)
{
    return (c->bytes_read + c->bytes_written) / (1e12 * d->tbytes * reached->bandwidth);
}

double roofline_seconds(const Device *d, const Reached *reached, Op op, const Cost *c)
{
    return fmax(arithmetic_seconds(d, reached, op, c), memory_seconds(d, reached, c)) + 1e-6 * reached->gap_us;
}

bool roofline_narrow(Op op, const Cost *c)
{
    return op == OP_matmul && (c->m <= ROOFLINE_NARROW || c->n <= ROOFLINE_NARROW || c->k <= ROOFLINE_NARROW);
}

static Line *line_of(Roofline *r, Op op, const Cost *c)
{
    for (int i = 0; i < r->n; i++) {
        Line *l = &r->lines[i];
        if (l->op == op && l->m == c->m && l->n == c->n && l->k == c->k)
            return l;
    }
    if (r->n == r->capacity) {
        int capacity = r->capacity ? 2 * r->capacity : 64;
        Line *more = mem_grow(r->lines, (size_t)capacity * sizeof *more);
        if (!more) {
            r->failed = true;
            return NULL;
        }
        r->lines = more;
        r->capacity = capacity;
    }
    r->lines[r->n] = (Line){.op = op, .m = c->m, .n = c->n, .k = c->k, .narrow = roofline_narrow(op, c)};
    return &r->lines[r->n++];
}

static void add(Roofline *r, Op op, const Cost *c)
{
    Line *l = line_of(r, op, c);
    if (!l)
        return;
    double arithmetic = arithmetic_seconds(r->device, &r->reached, op, c);
    l->launches++;
    l->flops += c->flops;
    l->bytes += c->bytes_read + c->bytes_written;
    l->seconds += roofline_seconds(r->device, &r->reached, op, c);
    l->ideal += is_matmul(op) ? c->flops / (published(op) * peak(r->device, c) * r->reached.matmul) : 0;
    l->memory_bound = memory_seconds(r->device, &r->reached, c) > arithmetic;
}

/* A matmul of two products is what the device runs for it. */
static void launched(void *arg, Op op, const void *args, const Cost *c)
{
    Matmul part[2];
    int n = op == OP_matmul ? matmul_parts(args, part) : 0;
    for (int i = 0; i < n; i++) {
        Cost cost;
        cost_matmul(&part[i], &cost);
        add(arg, op, &cost);
    }
    if (!n)
        add(arg, op, c);
}

Watcher roofline_watcher(Roofline *r) { return (Watcher){.arg = r, .after = launched}; }

static int by_seconds(const void *a, const void *b)
{
    const Line *x = a, *y = b;
    return (y->seconds > x->seconds) - (y->seconds < x->seconds);
}

void roofline_by_operator(Roofline *r)
{
    int n = 0;
    for (int i = 0; i < r->n; i++) {
        const Line *l = &r->lines[i];
        int j = 0;
        while (j < n && (r->lines[j].op != l->op || r->lines[j].narrow != l->narrow))
            j++;
        if (j == n) {
            Line first = *l;
            first.m = first.n = first.k = 0;
            r->lines[n++] = first;
            continue;
        }
        Line *sum = &r->lines[j];
        sum->launches += l->launches;
        sum->flops += l->flops;
        sum->bytes += l->bytes;
        sum->seconds += l->seconds;
        sum->ideal += l->ideal;
        sum->memory_bound &= l->memory_bound;
    }
    r->n = n;
    qsort(r->lines, (size_t)n, sizeof *r->lines, by_seconds);
}

void roofline_free(Roofline *r)
{
    mem_free(r->lines);
    *r = (Roofline){0};
}
