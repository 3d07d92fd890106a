/* adapter_mma.cuh: the parts of a group and their masks in registers, for adapter_mma.cu. */
#ifndef GENLLAVA_KERNELS_CUDA_ADAPTER_MMA_CUH
#define GENLLAVA_KERNELS_CUDA_ADAPTER_MMA_CUH

#include "kernels/cuda/adapter.cuh"
#include "kernels/cuda/map.cuh"
#include "kernels/cuda/mma.cuh"

/* The part and the first of its ranks that tile number `tile` is of. */
template <int R> static __device__ __forceinline__ int find_part(const AdapterParts &p, int64_t tile, int64_t *rank0)
{
    int i = 0;
    for (; tile >= (p.part[i].r + R - 1) / R; i++)
        tile -= (p.part[i].r + R - 1) / R;
    *rank0 = tile * R;
    return i;
}

/* ---- masks ---- */

struct RowPlace {
    uint32_t pos, item;
};
static __device__ __forceinline__ RowPlace row_place(const AdapterParts &p, int64_t row)
{
    return RowPlace{(uint32_t)load_int(p.row_pos + row), (uint32_t)load_int(p.row_item + row)};
}

/* Eight neighbours. */
struct alignas(16) Words {
    uint32_t v[4];
};
static __device__ __forceinline__ Words load_words(const Bf16 *p)
{
    count_read(p, sizeof(Words));
    return *reinterpret_cast<const Words *>(p);
}
static __device__ __forceinline__ void store_words(Bf16 *shared, const Words &w)
{
    check_shared(shared, sizeof w);
    *reinterpret_cast<Words *>(shared) = w;
}

/* x with zeros where it is dropped. */
static __device__ __forceinline__ Words masked(Words x, const AdapterPart &part, const RowPlace &place, int64_t group)
{
    if (!part.threshold)
        return x;
    Philox4 numbers = philox4x32(part.key, (uint32_t)group, place.pos, place.item, 0);
    uint32_t threshold = part.threshold << 16;
    UNROLL
    for (int i = 0; i < 4; i++)
        x.v[i] &= (numbers.v[i] >= threshold ? 0xffff0000u : 0u) | (numbers.v[i] << 16 >= threshold ? 0xffffu : 0u);
    return x;
}

/* total += factor · m∘product, of eight columns. */
static __device__ __forceinline__ void add_masked(float total[8], const float *product, const AdapterPart &part, const RowPlace &place,
                                                  int64_t group)
{
    Philox4 numbers = {};
    if (part.threshold)
        numbers = philox4x32(part.key, (uint32_t)group, place.pos, place.item, 0);
    UNROLL
    for (int i = 0; i < 8; i++)
        total[i] += philox_half(&numbers, i) >= part.threshold ? part.factor * product[i] : 0.0f;
}
#endif
