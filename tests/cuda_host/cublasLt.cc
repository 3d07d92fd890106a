/* cublasLt.cc: the part of cuBLASLt that kernels/cuda calls, computed on the host (cublasLt.h). */
#include <cublasLt.h>

#include <algorithm>
#include <vector>

#include "kernels/ops/fp8.h"

namespace {

/* What the library offers, best first. Data of an algorithm: MAGIC, its number here. */
struct Offer {
    uint32_t scheme;
    uint32_t alignment; /* of every address and row */
    size_t workspace;
    bool backwards; /* sums from the end of k: other bits */
    bool broken;    /* offered, with a state that says it will not run */
    bool tf32;      /* takes f32 operands with the digits of TF32 */
    double seconds; /* that a product takes by the device's clock, whatever its size */
};
constexpr uint64_t MAGIC = 0x6375626c61734c74;
const Offer OFFERS[] = {
    {CUBLASLT_REDUCTION_SCHEME_NONE, 2, 0, false, true, false, 0.01},
    {CUBLASLT_REDUCTION_SCHEME_INPLACE, 2, 4096, false, false, false, 0.01},
    {CUBLASLT_REDUCTION_SCHEME_NONE, 2, (size_t)1 << 40, false, false, false, 0.01},
    {CUBLASLT_REDUCTION_SCHEME_NONE, 4, 0, false, false, true, 0.01},
    {CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, 16, 4096, false, false, false, 0.3},
    {CUBLASLT_REDUCTION_SCHEME_NONE, 2, 0, true, false, false, 0.1},
};
CublasHostCounters counted;
constexpr int N_OFFERS = sizeof OFFERS / sizeof *OFFERS;

const Offer *offer_of(const cublasLtMatmulAlgo_t *algo)
{
    return algo->data[0] == MAGIC && algo->data[1] < (uint64_t)N_OFFERS ? &OFFERS[algo->data[1]] : nullptr;
}

int capability()
{
    cudaDeviceProp p;
    cudaGetDeviceProperties(&p, 0);
    return 10 * p.major + p.minor;
}

/* Of fp8: both operands along k, whole vectors, no epilogue; scaled by rows and columns both, or not at all. */
bool is_fp8_supported(cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c)
{
    const int32_t outer = CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
    bool scaled = desc->a_scale_mode == outer, known = desc->a_scale_mode == desc->b_scale_mode && (scaled || !desc->a_scale_mode);
    bool told = (desc->a_scale != nullptr) == scaled && (desc->b_scale != nullptr) == scaled;
    return capability() >= 89 && (!scaled || capability() == 90) && known && told && desc->transpose_a == CUBLAS_OP_T &&
           desc->transpose_b == CUBLAS_OP_N && a->rows % 16 == 0 && a->cols % 16 == 0 && a->ld % 16 == 0 && b->ld % 16 == 0 &&
           c->ld * (c->type == CUDA_R_32F ? 4 : 2) % 16 == 0 && desc->epilogue == CUBLASLT_EPILOGUE_DEFAULT;
}

/* A and B of one type; f32 gives f32, bf16 either, and so does fp8; the bias is of the result's type. */
bool are_supported(cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                   cublasLtMatrixLayout_t d)
{
    bool result = c->type == d->type && (a->type != CUDA_R_32F || d->type == CUDA_R_32F);
    if (a->type == CUDA_R_8F_E4M3 && !is_fp8_supported(desc, a, b, c))
        return false;
    return a->type == b->type && result && (desc->epilogue != CUBLASLT_EPILOGUE_BIAS || desc->bias_type == d->type);
}

bool told_to(const char *what)
{
    const char *order = getenv("CUDA_HOST_CUBLAS");
    return order && !strcmp(order, what);
}

size_t size_of(cudaDataType_t t) { return t == CUDA_R_32F ? 4 : t == CUDA_R_16BF ? 2 : 1; }

bool is_aligned_to(uint32_t n, const void *p, const CublasLtHostLayout &l)
{
    return (uintptr_t)p % n == 0 && (l.cols < 2 || (size_t)l.ld * size_of(l.type) % n == 0);
}

float tf32(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits &= 0xffffe000u;
    memcpy(&x, &bits, sizeof x);
    return x;
}

float get(const void *p, cudaDataType_t type, int64_t i)
{
    if (type == CUDA_R_8F_E4M3)
        return fp8_to_f32(((const uint8_t *)p)[i]);
    return type == CUDA_R_32F ? ((const float *)p)[i] : bf16_to_f32(((const bf16 *)p)[i]);
}

/* Everything by value: it runs when the stream gets there. */
struct Product {
    CublasLtHostDesc desc;
    CublasLtHostLayout la, lb, lc, ld;
    const void *a, *b, *c;
    void *d;
    float scale, keep;
    bool backwards, narrow;

    void run() const;
};

/* op(X) as a packed row-major f32 matrix [rows, cols]. */
std::vector<float> operand(const void *x, const CublasLtHostLayout &l, bool transpose)
{
    int64_t rows = (int64_t)(transpose ? l.cols : l.rows), cols = (int64_t)(transpose ? l.rows : l.cols);
    std::vector<float> m((size_t)(rows * cols));
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            m[(size_t)(i * cols + j)] = get(x, l.type, transpose ? i * l.ld + j : j * l.ld + i);
    return m;
}

void Product::run() const
{
    int64_t m = (int64_t)ld.rows, n = (int64_t)ld.cols, k = (int64_t)(desc.transpose_a == CUBLAS_OP_T ? la.rows : la.cols);
    std::vector<float> x = operand(a, la, desc.transpose_a == CUBLAS_OP_T);
    std::vector<float> y = operand(b, lb, desc.transpose_b != CUBLAS_OP_T); /* op(B)ᵀ, so that both are walked along k */
    if (backwards) {
        for (int64_t i = 0; i < m; i++)
            std::reverse(&x[(size_t)(i * k)], &x[(size_t)(i * k)] + k);
        for (int64_t j = 0; j < n; j++)
            std::reverse(&y[(size_t)(j * k)], &y[(size_t)(j * k)] + k);
    }
    if (narrow) {
        for (float &v : x)
            v = tf32(v);
        for (float &v : y)
            v = tf32(v);
    }
    for (int64_t j = 0; j < n; j++)
        for (int64_t i = 0; i < m; i++) {
            const float *p = &x[(size_t)(i * k)], *q = &y[(size_t)(j * k)];
            float v = scale * (la.type != CUDA_R_32F ? cuda_host_tensor_core(0, p, q, k) : cuda_host_dot(p, q, k));
            if (desc.a_scale)
                v *= desc.a_scale[i] * desc.b_scale[j];
            if (keep != 0)
                v += keep * get(c, lc.type, j * lc.ld + i);
            if (desc.epilogue == CUBLASLT_EPILOGUE_BIAS)
                v += get(desc.bias, desc.bias_type, i);
            if (ld.type == CUDA_R_32F)
                ((float *)d)[j * ld.ld + i] = v;
            else
                ((bf16 *)d)[j * ld.ld + i] = f32_to_bf16(v);
        }
}

} // namespace

CublasHostCounters cublas_host_counters() { return counted; }

size_t cublasLtGetVersion() { return 130000; }
cublasStatus_t cublasLtCreate(cublasLtHandle_t *h)
{
    *h = nullptr;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t) { return CUBLAS_STATUS_SUCCESS; }

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *p)
{
    *p = new CublasLtHostPreference{0, 7, {256, 256, 256, 256}};
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p)
{
    delete p;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p, cublasLtMatmulPreferenceAttributes_t a, const void *v,
                                                    size_t n)
{
    void *where[] = {&p->workspace, &p->schemes, &p->align[0], &p->align[1], &p->align[2], &p->align[3]};
    if (n != (a == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES ? sizeof p->workspace : sizeof p->schemes))
        return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(where[a], v, n);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *d, cublasComputeType_t, cudaDataType_t)
{
    *d = new CublasLtHostDesc{CUBLAS_OP_N, CUBLAS_OP_N, CUBLASLT_EPILOGUE_DEFAULT, nullptr, CUDA_R_32F, nullptr, nullptr, 0, 0};
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d)
{
    delete d;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t a, const void *v, size_t n)
{
    void *where[] = {&d->transpose_a, &d->transpose_b, &d->epilogue, &d->bias, &d->bias_type, &d->a_scale, &d->b_scale,
                     &d->a_scale_mode, &d->b_scale_mode};
    size_t size[] = {sizeof d->transpose_a, sizeof d->transpose_b, sizeof d->epilogue, sizeof d->bias, sizeof d->bias_type,
                     sizeof d->a_scale, sizeof d->b_scale, sizeof d->a_scale_mode, sizeof d->b_scale_mode};
    if (n != size[a])
        return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(where[a], v, n);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *l, cudaDataType_t type, uint64_t rows, uint64_t cols, int64_t ld)
{
    if (!rows || !cols || ld < (int64_t)rows)
        return CUBLAS_STATUS_INVALID_VALUE;
    *l = new CublasLtHostLayout{type, rows, cols, ld};
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l)
{
    delete l;
    return CUBLAS_STATUS_SUCCESS;
}

static bool is_offered(const Offer &o, cublasLtMatmulPreference_t p, cudaDataType_t type)
{
    bool aligned = (!o.tf32 || type == CUDA_R_32F) && (o.alignment >= 16 || type != CUDA_R_8F_E4M3);
    for (uint32_t a : p->align)
        aligned = aligned && o.alignment <= a;
    return aligned && (!o.scheme || (o.scheme & p->schemes)) && o.workspace <= p->workspace;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
                                              cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t p, int wanted, cublasLtMatmulHeuristicResult_t *results,
                                              int *found)
{
    *found = 0;
    counted.asked++;
    if (told_to("BROKEN"))
        return CUBLAS_STATUS_EXECUTION_FAILED;
    if (told_to("FULL"))
        return CUBLAS_STATUS_ALLOC_FAILED;
    if (told_to("NONE") || !are_supported(desc, a, b, c, d))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    for (int i = 0; i < N_OFFERS && *found < wanted; i++) {
        int at = told_to("REVERSED") ? N_OFFERS - 1 - i : i;
        if (is_offered(OFFERS[at], p, a->type) && (!told_to("ALIGNED") || OFFERS[at].alignment >= 16))
            results[(*found)++] = {{{MAGIC, (uint64_t)at}}, OFFERS[at].workspace,
                                   OFFERS[at].broken ? CUBLAS_STATUS_NOT_SUPPORTED : CUBLAS_STATUS_SUCCESS};
    }
    return *found ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                       cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d, const cublasLtMatmulAlgo_t *algo,
                                       cublasLtMatmulHeuristicResult_t *result)
{
    const Offer *o = offer_of(algo);
    if (!o)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (o->broken || !are_supported(desc, a, b, c, d))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    result->workspaceSize = o->workspace;
    return result->state = CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t *algo, cublasLtMatmulAlgoConfigAttributes_t, void *v,
                                                    size_t n, size_t *written)
{
    const Offer *o = offer_of(algo);
    if (!o || n != sizeof o->scheme)
        return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(v, &o->scheme, n);
    *written = n;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoCapGetAttribute(const cublasLtMatmulAlgo_t *algo, cublasLtMatmulAlgoCapAttributes_t, void *v, size_t n,
                                                 size_t *written)
{
    const Offer *o = offer_of(algo);
    uint64_t flags = o && o->tf32 ? CUBLASLT_NUMERICAL_IMPL_FLAGS_INPUT_TF32 : 0;
    if (!o || n != sizeof flags)
        return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(v, &flags, n);
    *written = n;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t desc, const void *alpha, const void *a, cublasLtMatrixLayout_t la,
                              const void *b, cublasLtMatrixLayout_t lb, const void *beta, const void *c, cublasLtMatrixLayout_t lc, void *d,
                              cublasLtMatrixLayout_t ld, const cublasLtMatmulAlgo_t *algo, void *workspace, size_t workspace_bytes,
                              cudaStream_t stream)
{
    const Offer *o = offer_of(algo);
    bool ta = desc->transpose_a == CUBLAS_OP_T, tb = desc->transpose_b == CUBLAS_OP_T;
    uint64_t m = ta ? la->cols : la->rows, ka = ta ? la->rows : la->cols, kb = tb ? lb->cols : lb->rows, n = tb ? lb->rows : lb->cols;
    if (!o || workspace_bytes < o->workspace || ka != kb || m != ld->rows || n != ld->cols || lc->rows != m || lc->cols != n)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (o->broken || told_to("REFUSED") || !are_supported(desc, la, lb, lc, ld))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if (told_to("ALL_FAILING") || (told_to("FAILING") && o->alignment >= 16))
        return CUBLAS_STATUS_INTERNAL_ERROR;
    if (!is_aligned_to(o->alignment, a, *la) || !is_aligned_to(o->alignment, b, *lb) || !is_aligned_to(o->alignment, c, *lc) ||
        !is_aligned_to(o->alignment, d, *ld))
        cuda_host_fault("a matmul whose algorithm was chosen for matrices of a larger alignment");
    if (desc->epilogue == CUBLASLT_EPILOGUE_BIAS && (uintptr_t)desc->bias % 16) /* not refused: the device's kernels read whole vectors */
        cuda_host_fault("a matmul's bias at an address that is not a multiple of 16");
    if (workspace_bytes && (uintptr_t)workspace % 256)
        cuda_host_fault("a matmul's workspace at an address that is not a multiple of 256");
    if (o->scheme == CUBLASLT_REDUCTION_SCHEME_INPLACE)
        cuda_host_fault("a matmul whose partial sums are added in the order of their arrival");
    Product p = {*desc, *la, *lb, *lc, *ld, a, b, c, d, *(const float *)alpha, *(const float *)beta, o->backwards, o->tf32};
    const double seconds = o->seconds;
    counted.products++;
    cuda_host_enqueue(stream, "cublasLtMatmul", [p, seconds] {
        p.run();
        cuda_host_spend(seconds);
    });
    return cudaPeekAtLastError() == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}
