/* torch_pickle.c: the machine that runs torch's pickles (torch_pickle.h). Opcodes: Lib/pickletools.py of Python; what torch writes:
 * torch/_utils.py and torch/serialization.py of PyTorch. */
#include "data/formats/torch_pickle.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "data/formats/mapped.h"
#include "kernels/base/arena.h"

enum { MAX_PICKLE = 64 << 20, MAX_STACK = 1000000, MAX_MEMO = 1000000, MAX_DEPTH = 64 };
#define MAX_VALUES ((size_t)256 << 20) /* bytes of all that a pickle makes */

/* UNSET: a place of the memo into which nothing was put. */
typedef enum Kind { UNSET, NOTHING, MARK, FLAG, INTEGER, TEXT, NAME, TUPLE, LIST, DICT, STORAGE, TENSOR } Kind;

typedef struct Value {
    uint8_t kind, depth; /* depth: 0, or one more than the deepest element's; of lists and dictionaries see Items */
    uint32_t n;          /* bytes of a text, elements of a tuple */
    union {
        int64_t integer; /* and the row of a name in NAMES */
        const char *text;
        const struct Value *tuple;
        struct Items *items;
        const struct Storage *storage;
        const PickledTensor *tensor;
    };
} Value;

/* Elements of a list; keys and values of a dictionary, in turn. */
typedef struct Items {
    Value *at;
    size_t n, room;
    int depth;
} Items;

typedef struct Storage {
    DType type;
    const char *key;
    size_t key_bytes;
    int64_t n_elems;
} Storage;

typedef struct Machine {
    const char *path;
    const uint8_t *at, *end;
    Value *stack, *memo;
    size_t n, stack_room, memo_room;
    Arena values; /* what lists, tuples and tensors hold */
} Machine;

typedef enum Role { MAKES_DICT, MAKES_TENSOR, MAKES_PARAMETER, IS_STORAGE } Role;
static const struct {
    const char *module, *name;
    Role role;
    DType type;
} NAMES[] = {
    {"collections", "OrderedDict", MAKES_DICT, 0},
    {"torch._utils", "_rebuild_tensor_v2", MAKES_TENSOR, 0},
    {"torch._utils", "_rebuild_parameter", MAKES_PARAMETER, 0},
    {"torch", "FloatStorage", IS_STORAGE, F32},
    {"torch", "DoubleStorage", IS_STORAGE, F64},
    {"torch", "HalfStorage", IS_STORAGE, F16},
    {"torch", "BFloat16Storage", IS_STORAGE, BF16},
    {"torch", "LongStorage", IS_STORAGE, I64},
    {"torch", "IntStorage", IS_STORAGE, I32},
    {"torch", "ShortStorage", IS_STORAGE, I16},
    {"torch", "CharStorage", IS_STORAGE, I8},
    {"torch", "ByteStorage", IS_STORAGE, U8},
    {"torch", "BoolStorage", IS_STORAGE, BOOL8},
};
enum { N_NAMES = sizeof NAMES / sizeof *NAMES };

static Status fail_pickle(const Machine *m, const char *problem) { return fail(ERR_DATA, "%s: refused: its pickle %s", m->path, problem); }
static Status fail_values(const Machine *m) { return fail_pickle(m, "makes more values than 256 MiB hold"); }
static Status fail_memory(const Machine *m) { return fail(ERR_NOMEM, "%s: no memory for the values of its pickle", m->path); }

/* ---------------------------------------------------------------- the pickle's bytes */

static Status take(Machine *m, const uint8_t **bytes, size_t n)
{
    if (n > (size_t)(m->end - m->at))
        return fail_pickle(m, "is cut short");
    *bytes = m->at;
    m->at += n;
    return OK;
}

static Status take_number(Machine *m, int n_bytes, uint64_t *value)
{
    const uint8_t *bytes = NULL;
    TRY(take(m, &bytes, (size_t)n_bytes));
    *value = mapped_number(bytes, n_bytes);
    return OK;
}

static Status take_line(Machine *m, const char **line, int *n)
{
    const uint8_t *end = memchr(m->at, '\n', (size_t)(m->end - m->at));
    if (!end)
        return fail_pickle(m, "is cut short");
    *line = (const char *)m->at;
    *n = (int)(end - m->at);
    m->at = end + 1;
    return OK;
}

/* ---------------------------------------------------------------- stack and memo */

static Status grow(const Machine *m, Value **array, size_t *room, size_t n)
{
    if (n <= *room)
        return OK;
    const size_t wanted = 2 * n;
    Value *grown = mem_grow(*array, wanted * sizeof *grown);
    if (!grown)
        return fail_memory(m);
    memset(grown + *room, 0, (wanted - *room) * sizeof *grown);
    *array = grown;
    *room = wanted;
    return OK;
}

static Status push(Machine *m, Value v)
{
    if (m->n == MAX_STACK)
        return fail_pickle(m, "has more than 1000000 values on its stack");
    TRY(grow(m, &m->stack, &m->stack_room, m->n + 1));
    m->stack[m->n++] = v;
    return OK;
}

static Status pop(Machine *m, Value *v)
{
    if (!m->n || m->stack[m->n - 1].kind == MARK)
        return fail_pickle(m, "takes a value from an empty stack");
    *v = m->stack[--m->n];
    return OK;
}

/* What lies above the last mark, which goes: *items stay valid until the next push. */
static Status pop_to_mark(Machine *m, const Value **items, size_t *n)
{
    size_t at = m->n;
    while (at && m->stack[at - 1].kind != MARK)
        at--;
    if (!at)
        return fail_pickle(m, "takes values down to a mark that is not there");
    *items = m->stack + at;
    *n = m->n - at;
    m->n = at - 1;
    return OK;
}

/* The value on top, which stays there. */
static Status peek(const Machine *m, Value *v)
{
    if (!m->n || m->stack[m->n - 1].kind == MARK)
        return fail_pickle(m, "takes a value from an empty stack");
    *v = m->stack[m->n - 1];
    return OK;
}

static Status memo_put(Machine *m, uint64_t i)
{
    Value v;
    TRY(peek(m, &v));
    if (i >= MAX_MEMO)
        return fail_pickle(m, "remembers more than 1000000 values");
    TRY(grow(m, &m->memo, &m->memo_room, (size_t)i + 1));
    m->memo[i] = v;
    return OK;
}

static Status memo_get(Machine *m, uint64_t i)
{
    if (i >= m->memo_room || m->memo[i].kind == UNSET)
        return fail_pickle(m, "recalls a value that it has not remembered");
    return push(m, m->memo[i]);
}

/* ---------------------------------------------------------------- values that hold values */

static int depth_of(const Value *v) { return v->kind == LIST || v->kind == DICT ? v->items->depth : v->depth; }

/* One more than the deepest of them. */
static Status nest(const Machine *m, const Value *items, size_t n, int *depth)
{
    for (size_t i = 0; i < n; i++)
        if (depth_of(&items[i]) >= *depth)
            *depth = depth_of(&items[i]) + 1;
    return *depth > MAX_DEPTH ? fail_pickle(m, "nests values more than 64 deep") : OK;
}

static Status make_tuple(Machine *m, const Value *items, size_t n)
{
    int depth = 1;
    TRY(nest(m, items, n, &depth));
    Value *copy = arena_push(&m->values, n * sizeof *copy);
    if (!copy)
        return fail_values(m);
    if (n)
        memcpy(copy, items, n * sizeof *copy);
    return push(m, (Value){.kind = TUPLE, .depth = (uint8_t)depth, .n = (uint32_t)n, .tuple = copy});
}

/* TUPLE1 to TUPLE3 */
static Status make_short_tuple(Machine *m, size_t n)
{
    Value items[3];
    for (size_t i = n; i-- > 0;)
        TRY(pop(m, &items[i]));
    return make_tuple(m, items, n);
}

static Status make_items(Machine *m, Kind kind)
{
    Items *items = arena_push(&m->values, sizeof *items);
    if (!items)
        return fail_values(m);
    *items = (Items){.depth = 1};
    return push(m, (Value){.kind = (uint8_t)kind, .items = items});
}

/* Adds to the list or dictionary on top. */
static Status add_items(Machine *m, Kind kind, const Value *items, size_t n)
{
    Value to = {0};
    TRY(peek(m, &to));
    if (to.kind != kind || (kind == DICT && n % 2))
        return fail_pickle(m, "adds to what is no list or dictionary");
    TRY(nest(m, items, n, &to.items->depth));
    if (n > to.items->room - to.items->n) {
        const size_t room = 2 * (to.items->n + n);
        Value *grown = arena_push(&m->values, room * sizeof *grown);
        if (!grown)
            return fail_values(m);
        if (to.items->n)
            memcpy(grown, to.items->at, to.items->n * sizeof *grown);
        to.items->at = grown;
        to.items->room = room;
    }
    if (n)
        memcpy(to.items->at + to.items->n, items, n * sizeof *items);
    to.items->n += n;
    return OK;
}

/* APPEND, SETITEM */
static Status add_popped(Machine *m, Kind kind, size_t n)
{
    Value items[2];
    for (size_t i = n; i-- > 0;)
        TRY(pop(m, &items[i]));
    return add_items(m, kind, items, n);
}

/* APPENDS, SETITEMS */
static Status add_marked(Machine *m, Kind kind)
{
    const Value *items;
    size_t n;
    TRY(pop_to_mark(m, &items, &n));
    return add_items(m, kind, items, n);
}

/* ---------------------------------------------------------------- what torch makes with them */

static bool is_text(const Value *v, const char *text) { return v->kind == TEXT && v->n == strlen(text) && !memcmp(v->text, text, v->n); }

static Status push_name(Machine *m)
{
    const char *module = NULL, *name = NULL;
    int n_module = 0, n_name = 0;
    TRY(take_line(m, &module, &n_module));
    TRY(take_line(m, &name, &n_name));
    for (int i = 0; i < N_NAMES; i++)
        if (n_module == (int)strlen(NAMES[i].module) && n_name == (int)strlen(NAMES[i].name) &&
            !memcmp(module, NAMES[i].module, (size_t)n_module) && !memcmp(name, NAMES[i].name, (size_t)n_name))
            return push(m, (Value){.kind = NAME, .integer = i});
    return fail(ERR_DATA, "%s: refused: it names %.*s.%.*s, which a file of tensors does not need", m->path,
                n_module < 100 ? n_module : 100, module, n_name < 100 ? n_name : 100, name);
}

/* ("storage", TYPE, key, device, elements) */
static Status push_storage(Machine *m)
{
    Value id = {0};
    TRY(pop(m, &id));
    const Value *v = id.tuple;
    if (id.kind != TUPLE || id.n != 5 || !is_text(&v[0], "storage") || v[1].kind != NAME || NAMES[v[1].integer].role != IS_STORAGE ||
        v[2].kind != TEXT || v[3].kind != TEXT || v[4].kind != INTEGER)
        return fail_pickle(m, "has a persistent id that is no storage of a tensor");
    Storage *s = arena_push(&m->values, sizeof *s);
    if (!s)
        return fail_values(m);
    *s = (Storage){.type = NAMES[v[1].integer].type, .key = v[2].text, .key_bytes = v[2].n, .n_elems = v[4].integer};
    return push(m, (Value){.kind = STORAGE, .storage = s});
}

static Status read_dims(const Machine *m, const Value *v, int64_t dims[ST_MAX_DIMS])
{
    if (v->n > ST_MAX_DIMS)
        return fail(ERR_DATA, "%s: a tensor in it has %u dimensions, at most %d are supported", m->path, v->n, ST_MAX_DIMS);
    for (uint32_t i = 0; i < v->n; i++) {
        if (v->tuple[i].kind != INTEGER)
            return fail_pickle(m, "has a shape or stride that is no integer");
        dims[i] = v->tuple[i].integer;
    }
    return OK;
}

/* (storage, offset, shape, stride, requires_grad, hooks), and perhaps a dictionary: of what a view does to its numbers, such as negating.
 */
static Status push_tensor(Machine *m, const Value *args)
{
    const Value *v = args->tuple;
    if (args->n < 6 || args->n > 7 || v[0].kind != STORAGE || v[1].kind != INTEGER || v[2].kind != TUPLE || v[3].kind != TUPLE ||
        v[2].n != v[3].n || v[4].kind != FLAG || v[5].kind != DICT)
        return fail_pickle(m, "calls _rebuild_tensor_v2 with other things than torch does");
    if (args->n == 7 && v[6].kind != NOTHING && (v[6].kind != DICT || v[6].items->n))
        return fail_pickle(m, "has a tensor that is more than its numbers (a negated or conjugated view)");
    PickledTensor *t = arena_push(&m->values, sizeof *t);
    if (!t)
        return fail_values(m);
    *t = (PickledTensor){.key = v[0].storage->key, .key_bytes = v[0].storage->key_bytes, .type = v[0].storage->type,
                         .storage = v[0].storage->n_elems, .offset = v[1].integer, .n_dims = (int)v[2].n};
    TRY(read_dims(m, &v[2], t->shape));
    TRY(read_dims(m, &v[3], t->stride));
    return push(m, (Value){.kind = TENSOR, .tensor = t});
}

static Status reduce(Machine *m)
{
    Value args = {0}, name = {0};
    TRY(pop(m, &args));
    TRY(pop(m, &name));
    if (name.kind != NAME || args.kind != TUPLE)
        return fail_pickle(m, "calls what has no name");
    switch (NAMES[name.integer].role) {
    case MAKES_DICT: return args.n ? fail_pickle(m, "calls OrderedDict with arguments") : make_items(m, DICT);
    case MAKES_TENSOR: return push_tensor(m, &args);
    case MAKES_PARAMETER:
        return args.n == 3 && args.tuple[0].kind == TENSOR ? push(m, args.tuple[0])
                                                           : fail_pickle(m, "calls _rebuild_parameter with other things than torch does");
    case IS_STORAGE: break;
    }
    return fail(ERR_DATA, "%s: refused: its pickle calls %s.%s", m->path, NAMES[name.integer].module, NAMES[name.integer].name);
}

/* A state_dict has its modules' versions as an attribute. */
static Status build(Machine *m)
{
    Value state = {0}, object = {0};
    TRY(pop(m, &state));
    TRY(peek(m, &object));
    if (object.kind != DICT || state.kind != DICT || state.items->n != 2 || !is_text(&state.items->at[0], "_metadata"))
        return fail_pickle(m, "gives an object another state than a state_dict's _metadata");
    return OK;
}

/* ---------------------------------------------------------------- opcodes */

static Status push_int(Machine *m, int n_bytes, bool is_signed)
{
    uint64_t v;
    TRY(take_number(m, n_bytes, &v));
    const int unused = 64 - 8 * n_bytes;
    const int64_t value = is_signed && n_bytes ? (int64_t)(v << unused) >> unused : (int64_t)v;
    return push(m, (Value){.kind = INTEGER, .integer = value});
}

static Status push_long(Machine *m)
{
    uint64_t n;
    TRY(take_number(m, 1, &n));
    return n > 8 ? fail_pickle(m, "has an integer of more than 64 bits") : push_int(m, (int)n, true);
}

static Status push_text(Machine *m)
{
    uint64_t n;
    const uint8_t *bytes = NULL;
    TRY(take_number(m, 4, &n));
    TRY(take(m, &bytes, (size_t)n));
    return push(m, (Value){.kind = TEXT, .n = (uint32_t)n, .text = (const char *)bytes});
}

static Status check_protocol(Machine *m)
{
    uint64_t version;
    TRY(take_number(m, 1, &version));
    return version == 2 ? OK : fail(ERR_DATA, "%s: refused: its pickle is of protocol %d; torch.save writes 2", m->path, (int)version);
}

static Status numbered(Machine *m, int n_bytes, Status use(Machine *, uint64_t))
{
    uint64_t i;
    TRY(take_number(m, n_bytes, &i));
    return use(m, i);
}

static Status make_marked_tuple(Machine *m)
{
    const Value *items;
    size_t n;
    TRY(pop_to_mark(m, &items, &n));
    return make_tuple(m, items, n);
}

/* The opcodes that a hostile or newer pickle is most likely to have, for the sentence. */
static const char *opcode_name(uint8_t code)
{
    switch (code) {
    case 'i': return " (INST)";
    case 'o': return " (OBJ)";
    case 'P': return " (PERSID)";
    case 'U': return " (SHORT_BINSTRING)";
    case 'T': return " (BINSTRING)";
    case 'G': return " (BINFLOAT)";
    case 0x81: return " (NEWOBJ)";
    case 0x93: return " (STACK_GLOBAL)";
    default: return "";
    }
}

static Status step(Machine *m, uint8_t code)
{
    switch (code) {
    case 0x80: return check_protocol(m);
    case '}': return make_items(m, DICT);
    case ']': return make_items(m, LIST);
    case ')': return make_tuple(m, NULL, 0);
    case '(': return push(m, (Value){.kind = MARK});
    case 'N': return push(m, (Value){.kind = NOTHING});
    case 0x88:
    case 0x89: return push(m, (Value){.kind = FLAG, .integer = code == 0x88});
    case 'X': return push_text(m);
    case 'K': return push_int(m, 1, false);
    case 'M': return push_int(m, 2, false);
    case 'J': return push_int(m, 4, true);
    case 0x8a: return push_long(m);
    case 'q': return numbered(m, 1, memo_put);
    case 'r': return numbered(m, 4, memo_put);
    case 'h': return numbered(m, 1, memo_get);
    case 'j': return numbered(m, 4, memo_get);
    case 't': return make_marked_tuple(m);
    case 0x85:
    case 0x86:
    case 0x87: return make_short_tuple(m, (size_t)(code - 0x84));
    case 's': return add_popped(m, DICT, 2);
    case 'u': return add_marked(m, DICT);
    case 'a': return add_popped(m, LIST, 1);
    case 'e': return add_marked(m, LIST);
    case 'c': return push_name(m);
    case 'Q': return push_storage(m);
    case 'R': return reduce(m);
    case 'b': return build(m);
    default:
        return fail(ERR_DATA, "%s: refused: its pickle has the opcode 0x%02x%s, which a file of tensors does not need", m->path, code,
                    opcode_name(code));
    }
}

/* Until STOP, which is the last byte. */
static Status run(Machine *m)
{
    if (m->at == m->end || *m->at != 0x80)
        return fail_pickle(m, "does not begin with its protocol");
    for (;;) {
        uint64_t code;
        TRY(take_number(m, 1, &code));
        if (code == '.')
            break;
        TRY(step(m, (uint8_t)code));
    }
    if (m->at != m->end)
        return fail_pickle(m, "goes on behind its end");
    if (m->n != 1 || m->stack[0].kind != DICT)
        return fail(ERR_DATA, "%s: holds something other than one dictionary of tensors", m->path);
    return OK;
}

/* ---------------------------------------------------------------- what it leaves */

static int count_tensors(const Items *dict)
{
    int n = 0;
    for (size_t i = 1; i < dict->n; i += 2)
        n += dict->at[i].kind == TENSOR;
    return n;
}

static Status fail_no_tensors(const Machine *m, const Items *dict)
{
    for (size_t i = 0; i + 1 < dict->n; i += 2)
        if (dict->at[i].kind == TEXT && dict->at[i + 1].kind == DICT && count_tensors(dict->at[i + 1].items))
            return fail(ERR_DATA, "%s: no tensor in its dictionary; those under \"%.*s\" are not looked for: save that part alone", m->path,
                        (int)(dict->at[i].n < 100 ? dict->at[i].n : 100), dict->at[i].text);
    return fail(ERR_DATA, "%s: no tensor in its dictionary", m->path);
}

static Status collect_tensors(const Machine *m, PickledTensor **out, int *n)
{
    const Items *dict = m->stack[0].items;
    const int wanted = count_tensors(dict);
    if (!wanted)
        return fail_no_tensors(m, dict);
    PickledTensor *t = mem_alloc((size_t)wanted * sizeof *t);
    if (!t)
        return fail_memory(m);
    *out = t;
    for (size_t i = 0; i + 1 < dict->n; i += 2) {
        const Value *key = &dict->at[i], *value = &dict->at[i + 1];
        if (value->kind != TENSOR)
            continue;
        if (key->kind != TEXT || !key->n || memchr(key->text, 0, key->n))
            return fail(ERR_DATA, "%s: a tensor in it has no name", m->path);
        t[*n] = *value->tensor;
        t[*n].name = key->text;
        t[(*n)++].name_bytes = key->n;
    }
    return OK;
}

Status torch_pickle_read(PickledTensor **out, int *n, const uint8_t *bytes, size_t n_bytes, const char *path)
{
    Machine m = {.path = path, .at = bytes, .end = bytes + n_bytes};
    *out = NULL;
    *n = 0;
    if (n_bytes > MAX_PICKLE)
        return fail(ERR_DATA, "%s: refused: its pickle has %zu bytes, and 64 MiB are allowed", path, n_bytes);
    /* An opcode takes a byte or more, and what it makes at most ARENA_ALIGN bytes and twice the room of the elements it moves. */
    const size_t most = 3 * ARENA_ALIGN * (n_bytes + 1);
    Status s = arena_create(&m.values, most < MAX_VALUES ? most : MAX_VALUES);
    if (!s)
        s = run(&m);
    if (!s)
        s = collect_tensors(&m, out, n);
    if (s) {
        mem_free(*out);
        *out = NULL;
    }
    mem_free(m.stack);
    mem_free(m.memo);
    arena_free(&m.values);
    return s;
}
