/* bnb.c: reads what bitsandbytes and transformers have saved of quantised linears (bnb.h; transformers: integrations/bitsandbytes.py,
 * bitsandbytes: QuantState.as_dict and Linear8bitLt._save_to_state_dict). */
#include "train/models/bnb.h"

#include <stdio.h>

#include "train/models/names.h"
#include "train/nn/coded.h"

/* ---------------------------------------------------------------- config.json */

static const FieldRule RULES[] = {
    {"_load_in_4bit", NULL},
    {"_load_in_8bit", NULL},
    {"bnb_4bit_compute_dtype", NULL}, /* the run has its own */
    {"bnb_4bit_quant_storage", "\"uint8\""},
    {"bnb_4bit_quant_type", NULL},
    {"bnb_4bit_use_double_quant", NULL}, /* the tensors tell */
    {"llm_int8_enable_fp32_cpu_offload", NULL},
    {"llm_int8_has_fp16_weight", ""},
    {"llm_int8_skip_modules", NULL}, /* what was left out is there in a float type */
    {"llm_int8_threshold", NULL},    /* of activations, which are not quantised here */
    {"load_in_4bit", NULL},
    {"load_in_8bit", NULL},
    {"quant_method", "\"bitsandbytes\""},
    {0},
};
static const FieldClass FIELDS = {.tables = {RULES}};

CodeFormat bnb_format(JsonFields *f, const Json *object)
{
    const Json *o = fields_object(f, object, "quantization_config");
    if (!o)
        return CODES_NONE;
    const char *method = fields_string(f, o, "quant_method", "");
    if (*method ? strcmp(method, "bitsandbytes") != 0 : !fields_get(o, "load_in_4bit") && !fields_get(o, "load_in_8bit")) {
        fields_refuse(f, o, "quantization_config", "is of %s; only nf4 and int8 of bitsandbytes are read",
                      *method ? method : "an unknown method");
        return CODES_NONE;
    }
    fields_known(f, o, &FIELDS);
    const char *type = fields_string(f, o, "bnb_4bit_quant_type", "fp4");
    const bool four = fields_bool(f, o, "load_in_4bit", false), eight = fields_bool(f, o, "load_in_8bit", false);
    if (four == eight)
        fields_refuse(f, o, "quantization_config",
                      "says neither load_in_4bit nor load_in_8bit, or both: which format its weights have is not known");
    else if (four && strcmp(type, "nf4"))
        fields_refuse(f, fields_get(o, "bnb_4bit_quant_type") ? fields_get(o, "bnb_4bit_quant_type") : o, "bnb_4bit_quant_type",
                      "is \"%s\", only \"nf4\" is supported", type);
    return four ? CODES_NF4 : CODES_INT8;
}

/* ---------------------------------------------------------------- tensors */

typedef struct Reader {
    const SafeTensors *st;
    bool *used;
    const StTensor *of; /* the codes */
} Reader;

/* The tensor NAME, or NULL. */
static const StTensor *look_up(const Reader *r, const char *name)
{
    const StTensor *t = safetensors_find(r->st, name);
    if (t)
        r->used[t - safetensors_at(r->st, 0)] = true;
    return t;
}

/* … of n elements of a type, behind the name of the codes. */
static Status find(const Reader *r, const char *suffix, DType type, int64_t n, const StTensor **out)
{
    char name[2 * WEIGHT_NAME_MAX];
    snprintf(name, sizeof name, "%s%s", r->of->name, suffix);
    *out = look_up(r, name);
    if (!*out)
        return fail(ERR_DATA, "%s: no tensor %s in it, which belongs to %s of bitsandbytes", r->of->file, name, r->of->name);
    if ((*out)->type != type || (*out)->n_elems != n)
        return fail(ERR_DATA, "%s: %s: holds %lld of %s, expected %lld of %s", (*out)->file, name, (long long)(*out)->n_elems,
                    dtype_name((*out)->type), (long long)n, dtype_name(type));
    return OK;
}

/* What quant_state says besides the scales' own. */
typedef struct Nf4State {
    bool nested;
    float offset;
    int64_t nested_block;
} Nf4State;

static Status read_state(const Reader *r, const Param *q, Nf4State *state)
{
    char name[2 * WEIGHT_NAME_MAX];
    JsonFields f;
    snprintf(name, sizeof name, "%s.quant_state.bitsandbytes__nf4", r->of->name);
    const StTensor *t = look_up(r, name);
    if (!t || t->type != U8)
        return fail(ERR_DATA, "%s: no tensor %s of U8 in it: only nf4 of bitsandbytes is supported in 4 bits", r->of->file, name);
    snprintf(name, sizeof name, "%s: %s.quant_state", r->of->file, r->of->name);
    TRY(fields_parse(&f, t->data, t->n_bytes, name));
    const int64_t block = fields_int(&f, f.top, "blocksize", FIELD_REQUIRED, 1, 1 << 20);
    const char *type = fields_string(&f, f.top, "quant_type", "");
    const Json *shape = fields_get(f.top, "shape"), *rows = shape && shape->kind == JSON_ARRAY && shape->length == 2 ? shape->child : NULL;
    *state = (Nf4State){.nested = fields_get(f.top, "nested_offset") != NULL,
                        .offset = (float)fields_real(&f, f.top, "nested_offset", 0),
                        .nested_block = fields_int(&f, f.top, "nested_blocksize", 256, 1, 1 << 20)};
    if (block != NF4_BLOCK)
        fields_refuse(&f, fields_get(f.top, "blocksize"), "blocksize", "is %lld, only %d is supported", (long long)block, NF4_BLOCK);
    if (strcmp(type, "nf4"))
        fields_refuse(&f, fields_get(f.top, "quant_type"), "quant_type", "is \"%s\", only \"nf4\" is supported", type);
    if (!rows || rows->integer != q->shape[0] || rows->next->integer != q->shape[1])
        fields_refuse(&f, shape, "shape", "is not that of the model, [%lld, %lld]", (long long)q->shape[0], (long long)q->shape[1]);
    Status s = f.status;
    fields_close(&f);
    return s;
}

static Status check_map(const Reader *r)
{
    static const float VALUES[NF4_CODES] = {NF4_VALUES};
    const StTensor *map;
    TRY(find(r, ".quant_map", F32, NF4_CODES, &map));
    return memcmp(map->data, VALUES, sizeof VALUES) ? fail(ERR_DATA, "%s: %s: holds other values than nf4 has", map->file, map->name) : OK;
}

/* Scales that are codes themselves: nested_quant_map[code] times the scale of their block, and an offset; all in f32. */
static Status nested_scales(const Reader *r, const Nf4State *state, float *scales, int64_t n)
{
    enum { MAP = 256 };
    float map[MAP];
    const StTensor *codes, *values, *blocks;
    TRY(find(r, ".absmax", U8, n, &codes));
    TRY(find(r, ".nested_quant_map", F32, MAP, &values));
    TRY(find(r, ".nested_absmax", F32, (n + state->nested_block - 1) / state->nested_block, &blocks));
    memcpy(map, values->data, sizeof map);
    for (int64_t i = 0; i < n; i++) {
        float block;
        memcpy(&block, (const char *)blocks->data + (size_t)(i / state->nested_block) * sizeof block, sizeof block);
        scales[i] = map[((const uint8_t *)codes->data)[i]] * block + state->offset;
    }
    return OK;
}

static Status load_nf4(const Reader *r, Params *p, Param *q, float *scales, int64_t n)
{
    Nf4State state;
    TRY(read_state(r, q, &state));
    TRY(check_map(r));
    if (state.nested)
        TRY(nested_scales(r, &state, scales, n));
    else {
        const StTensor *t;
        TRY(find(r, ".absmax", F32, n, &t));
        memcpy(scales, t->data, t->n_bytes);
    }
    return coded_set_codes(p, q, r->of->data, scales);
}

/* Beside NAME.weight: NAME.SCB, and NAME.weight_format, whose 0 is row by row. */
static Status load_int8(const Reader *r, Params *p, Param *q, float *scales, int64_t n)
{
    char name[2 * WEIGHT_NAME_MAX];
    const int stem = (int)(strlen(r->of->name) - strlen("weight"));
    snprintf(name, sizeof name, "%.*sSCB", stem, r->of->name);
    const StTensor *t = look_up(r, name);
    if (!t || t->type != F32 || t->n_elems != n)
        return fail(ERR_DATA, "%s: no tensor %s of %lld scales in F32 in it, which belongs to %s of bitsandbytes", r->of->file, name,
                    (long long)n, r->of->name);
    memcpy(scales, t->data, t->n_bytes);
    snprintf(name, sizeof name, "%.*sweight_format", stem, r->of->name);
    const StTensor *order = look_up(r, name);
    if (order && (order->type != U8 || order->n_elems != 1 || *(const uint8_t *)order->data))
        return fail(ERR_DATA, "%s: %s: the codes are not in rows, which is not supported: save the model with a newer bitsandbytes",
                    order->file, name);
    return coded_set_codes(p, q, r->of->data, scales);
}

Status bnb_load(const SafeTensors *st, bool *used, Params *p, Param *q, const StTensor *found)
{
    const CodeFormat format = q->coded.format;
    const Reader r = {.st = st, .used = used, .of = found};
    const int64_t rows = q->shape[0], cols = q->shape[1], n = codes_scales(format, rows, cols), n_bytes = codes_bytes(format, rows, cols);
    const DType type = format == CODES_NF4 ? U8 : I8;
    if (found->type != type || found->n_elems != n_bytes)
        return fail(ERR_DATA, "%s: %s: holds %lld of %s, expected %lld of %s: the codes of a matrix [%lld, %lld]", found->file, found->name,
                    (long long)found->n_elems, dtype_name(found->type), (long long)n_bytes, dtype_name(type), (long long)rows,
                    (long long)cols);
    float *scales = mem_alloc((size_t)n * sizeof *scales);
    if (!scales)
        return fail(ERR_NOMEM, "%s: no memory to read it", q->name);
    Status s = format == CODES_NF4 ? load_nf4(&r, p, q, scales, n) : load_int8(&r, p, q, scales, n);
    mem_free(scales);
    return s;
}
