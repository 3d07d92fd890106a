/* hdf5_tree.c: finds the groups, arrays and attributes of an HDF5 file that hdf5.c wrote (hdf5_read.h). No function calls itself, and every
 * loop has a limit: time and memory stay in proportion to the file. */
#include "data/formats/hdf5_tree.h"

#include <stdio.h>
#include <string.h>

#include "kernels/base/arena.h"

enum { MOST_MESSAGES = 256 /* of one object */, MOST_BLOCKS = 32 /* of one object's header */ };
#define NOWHERE UINT64_MAX

/* Types of header messages (format specification IV.A.2). */
enum {
    MESSAGE_NIL = 0x00,
    MESSAGE_SPACE = 0x01,
    MESSAGE_LINK_INFO = 0x02,
    MESSAGE_TYPE = 0x03,
    MESSAGE_FILL = 0x05,
    MESSAGE_LINK = 0x06,
    MESSAGE_LAYOUT = 0x08,
    MESSAGE_GROUP_INFO = 0x0a,
    MESSAGE_FILTERS = 0x0b,
    MESSAGE_ATTRIBUTE = 0x0c,
    MESSAGE_CONTINUATION = 0x10,
    MESSAGE_ATTRIBUTE_INFO = 0x15,
};

static Status refuse(const HdfTree *t, const char *object, const char *what)
{
    return fail(ERR_DATA, "%s: %s %s", t->path, *object ? object : "/", what);
}

/* ---------------------------------------------------------------- bytes */

const uint8_t *hdf_take_bytes(HdfCursor *c, uint64_t n)
{
    static const uint8_t none[HDF_MOST_NAME] = {0};
    c->bad = c->bad || n > (uint64_t)(c->end - c->at);
    if (c->bad)
        return none;
    c->at += n;
    return c->at - n;
}

uint64_t hdf_take(HdfCursor *c, int n)
{
    const uint8_t *b = hdf_take_bytes(c, (uint64_t)n);
    uint64_t v = 0;
    for (int i = n - 1; i >= 0; i--)
        v = v << 8 | b[i];
    return v;
}

static bool expect_bytes(HdfCursor *c, const void *wanted, size_t n)
{
    const uint8_t *b = hdf_take_bytes(c, n);
    return !c->bad && !memcmp(b, wanted, n);
}

static HdfCursor take_cursor(HdfCursor *c, uint64_t n)
{
    const uint8_t *from = hdf_take_bytes(c, n);
    return (HdfCursor){from, c->bad ? from : from + n, c->bad};
}

HdfCursor hdf_bytes_at(const HdfTree *t, uint64_t address, uint64_t n)
{
    const HdfBytes *b = &t->bytes;
    const uint64_t after = b->hole_offset + b->hole_bytes, from = address + b->user_block;
    if (address >= b->n_bytes || from > b->n_bytes || n > b->n_bytes - from)
        return (HdfCursor){NULL, NULL, true};
    if (!b->hole_bytes || from + n <= b->hole_offset)
        return (HdfCursor){b->data + from, b->data + from + n, false};
    if (from < after)
        return (HdfCursor){NULL, NULL, true};
    return (HdfCursor){b->data + (from - b->hole_bytes), b->data + (from - b->hole_bytes) + n, false};
}

HdfCursor hdf_block_at(const HdfTree *t, uint64_t address, const char signature[4], int version)
{
    const HdfBytes *b = &t->bytes;
    const uint64_t from = address < b->n_bytes ? address + b->user_block : b->n_bytes;
    uint64_t end = b->hole_bytes && from < b->hole_offset ? b->hole_offset : b->n_bytes;
    HdfCursor c = from < end ? hdf_bytes_at(t, address, end - from) : (HdfCursor){NULL, NULL, true};
    if (!expect_bytes(&c, signature, 4) || hdf_take(&c, 1) != (uint64_t)version)
        c.bad = true;
    return c;
}

static Status take_name(const HdfTree *t, const char *group, HdfCursor *c, uint64_t n, char out[HDF_MOST_NAME])
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
    const uint8_t *b = hdf_take_bytes(c, n);
    if (c->bad || n < 1 || n >= HDF_MOST_NAME)
        return refuse(t, group, "has something whose name is damaged");
    memcpy(out, b, n);
    out[n] = 0;
    return strspn(out, allowed) == n ? OK : refuse(t, group, "has something whose name prepare does not give");
}

/* ---------------------------------------------------------------- types, attributes */

/* Datatype messages as they are written (IV.A.2.d). */
static const struct {
    uint8_t bytes[20];
    uint8_t n;
} TYPE_BYTES[] = {
    [HDF_U8] = {{0x10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 8, 0}, 12},   [HDF_U16] = {{0x10, 0, 0, 0, 2, 0, 0, 0, 0, 0, 16, 0}, 12},
    [HDF_U32] = {{0x10, 0, 0, 0, 4, 0, 0, 0, 0, 0, 32, 0}, 12}, [HDF_U64] = {{0x10, 0, 0, 0, 8, 0, 0, 0, 0, 0, 64, 0}, 12},
    [HDF_I32] = {{0x10, 8, 0, 0, 4, 0, 0, 0, 0, 0, 32, 0}, 12}, [HDF_I64] = {{0x10, 8, 0, 0, 8, 0, 0, 0, 0, 0, 64, 0}, 12},
    [HDF_F32] = {{0x11, 0x20, 31, 0, 4, 0, 0, 0, 0, 0, 32, 0, 23, 8, 0, 23, 127, 0, 0, 0}, 20},
};

static int type_of(HdfCursor c)
{
    for (int k = 0; k < (int)(sizeof TYPE_BYTES / sizeof *TYPE_BYTES); k++)
        if (TYPE_BYTES[k].n == c.end - c.at && !memcmp(c.at, TYPE_BYTES[k].bytes, TYPE_BYTES[k].n))
            return k;
    return -1;
}

static Status add_attribute(HdfTree *t, HdfCursor c)
{
    static const uint8_t text[] = {0x13, 0x10, 0, 0}, scalar[] = {2, 0, 0, 0}; /* UTF-8 that ends with NUL */
    if (t->n_attributes == HDF_MOST_ATTRIBUTES)
        return refuse(t, "", "has more attributes than prepare writes");
    HdfAttribute *a = &t->attributes[t->n_attributes];
    bool plain = hdf_take(&c, 2) == 3; /* version 3, no flags */
    uint64_t name = hdf_take(&c, 2), type = hdf_take(&c, 2), space = hdf_take(&c, 2);
    hdf_take(&c, 1); /* character set of the name */
    if (c.bad || !plain || !name)
        return refuse(t, "", "has a damaged attribute");
    TRY(take_name(t, "", &c, name - 1, a->name)); /* with its NUL */
    hdf_take(&c, 1);
    HdfCursor kind = take_cursor(&c, type), shape = take_cursor(&c, space);
    uint64_t bytes = 8;
    a->is_text = !kind.bad && type_of(kind) != HDF_I64;
    if (a->is_text) {
        plain = expect_bytes(&kind, text, sizeof text);
        bytes = hdf_take(&kind, 4);
    }
    a->value = take_cursor(&c, bytes);
    if (!plain || kind.bad || !expect_bytes(&shape, scalar, sizeof scalar) || shape.at != shape.end || a->value.bad || !bytes)
        return fail(ERR_DATA, "%s: attribute %s is neither one i64 nor a text of fixed length", t->path, a->name);
    t->n_attributes++;
    return OK;
}

static Status add_link(HdfTree *t, const char *group, HdfCursor c)
{
    const bool of_root = !*group;
    enum { HAS_KIND = 8 }; /* absent: an object of this file */
    const uint64_t version = hdf_take(&c, 1), flags = hdf_take(&c, 1), kind = flags & HAS_KIND ? hdf_take(&c, 1) : 0;
    HdfFound f;
    if (of_root ? t->n_groups == HDF_MOST_GROUPS : t->n_children == HDF_MOST_ARRAYS)
        return refuse(t, group, "holds more than prepare writes");
    if (version != 1 || flags & ~(uint64_t)HAS_KIND) /* a name of at most 255 bytes, no order of creation */
        return refuse(t, group, "has a link that prepare does not make");
    TRY(take_name(t, group, &c, hdf_take(&c, 1), f.name));
    if (kind)
        return fail(ERR_DATA, "%s: %s/%s is a link to somewhere else; links are not followed", t->path, group, f.name);
    f.header = hdf_take(&c, HDF_ADDRESS);
    if (c.bad)
        return refuse(t, group, "has a damaged link");
    if (of_root)
        t->groups[t->n_groups++] = f;
    else
        t->children[t->n_children++] = f;
    return OK;
}

/* ---------------------------------------------------------------- many attributes or links: a heap, and a tree that lists what is in it */

typedef Status (*EachObject)(HdfTree *t, const char *group, HdfCursor object);

static Status add_root_attribute(HdfTree *t, const char *group, HdfCursor object)
{
    (void)group;
    return add_attribute(t, object);
}

/* The records of a B-tree that is no more than one leaf (III.A.2). */
static Status leaf_records(const HdfTree *t, const char *group, uint64_t tree, int type, uint64_t record_bytes, HdfCursor *records,
                           uint64_t *n)
{
    HdfCursor c = hdf_block_at(t, tree, "BTHD", 0);
    bool right = hdf_take(&c, 1) == (uint64_t)type;
    hdf_take(&c, 4); /* bytes of a node */
    right = hdf_take(&c, 2) == record_bytes && hdf_take(&c, 2) == 0 /* depth */ && right;
    hdf_take(&c, 2); /* when to split and join */
    uint64_t leaf = hdf_take(&c, HDF_ADDRESS);
    *n = hdf_take(&c, 2);
    HdfCursor l = hdf_block_at(t, leaf, "BTLF", 0);
    right = hdf_take(&l, 1) == (uint64_t)type && right;
    *records = take_cursor(&l, *n * record_bytes);
    return !right || c.bad || records->bad || *n > HDF_MOST_ATTRIBUTES
               ? refuse(t, group, "has an index of names that prepare does not write")
               : OK;
}

typedef struct Heap {
    uint64_t id_bytes, huge, root, start, largest;
    uint64_t width, rows; /* blocks of a row of the root; rows 0: the root is a block itself */
    int offset_bytes;
} Heap;

/* A fractal heap (III.G). */
static Status read_heap(const HdfTree *t, const char *group, uint64_t address, Heap *h)
{
    HdfCursor c = hdf_block_at(t, address, "FRHP", 0);
    *h = (Heap){.id_bytes = hdf_take(&c, 2)};
    bool filtered = hdf_take(&c, 2);
    hdf_take(&c, 1 + 4); /* flags, largest object in a block */
    hdf_take(&c, HDF_ADDRESS);
    h->huge = hdf_take(&c, HDF_ADDRESS);
    hdf_take_bytes(&c, 10 * HDF_ADDRESS); /* free space, and counts */
    h->width = hdf_take(&c, 2);
    h->start = hdf_take(&c, HDF_ADDRESS);
    h->largest = hdf_take(&c, HDF_ADDRESS);
    h->offset_bytes = (int)(hdf_take(&c, 2) + 7) / 8;
    hdf_take(&c, 2);
    h->root = hdf_take(&c, HDF_ADDRESS);
    h->rows = hdf_take(&c, 2);
    bool sane = !c.bad && !filtered && h->id_bytes >= 4 && h->id_bytes <= 8 && h->width >= 1 && h->width <= 16 && h->rows <= 16 &&
                h->start >= 64 && h->start <= 1 << 16 && h->largest <= 1 << 16 && h->offset_bytes >= 1 &&
                (uint64_t)h->offset_bytes + 2 < h->id_bytes;
    return sane ? OK : refuse(t, group, "has a heap that prepare does not write");
}

/* An object too large for a block stands by itself; a tree of (address, length, number) finds it (III.A.2, type 1). */
static HdfCursor huge_object(const HdfTree *t, const char *group, const Heap *h, uint64_t number)
{
    HdfCursor records;
    uint64_t n;
    if (leaf_records(t, group, h->huge, 1, 3 * HDF_ADDRESS, &records, &n))
        return (HdfCursor){NULL, NULL, true};
    for (uint64_t i = 0; i < n; i++) {
        uint64_t address = hdf_take(&records, HDF_ADDRESS), length = hdf_take(&records, HDF_ADDRESS);
        if (hdf_take(&records, HDF_ADDRESS) == number)
            return hdf_bytes_at(t, address, length);
    }
    return (HdfCursor){NULL, NULL, true};
}

/* Object of n bytes at an offset of the heap: blocks follow each other, `width` of a row have one size, which doubles from the third row
 * on. */
static HdfCursor managed_object(const HdfTree *t, const Heap *h, uint64_t offset, uint64_t n)
{
    if (!h->rows)
        return offset < h->start && n <= h->start - offset ? hdf_bytes_at(t, h->root + offset, n) : (HdfCursor){NULL, NULL, true};
    HdfCursor c = hdf_block_at(t, h->root, "FHIB", 0);
    hdf_take_bytes(&c, (uint64_t)(HDF_ADDRESS + h->offset_bytes)); /* the heap, the place of this block in it */
    uint64_t begin = 0;
    for (uint64_t i = 0; i < h->rows * h->width; i++) {
        const uint64_t row = i / h->width, size = row < 2 ? h->start : h->start << (row - 1), block = hdf_take(&c, HDF_ADDRESS);
        if (offset < begin + size)
            return c.bad || block == NOWHERE || size > h->largest || n > begin + size - offset
                       ? (HdfCursor){NULL, NULL, true}
                       : hdf_bytes_at(t, block + (offset - begin), n);
        begin += size;
    }
    return (HdfCursor){NULL, NULL, true};
}

static Status each_in_heap(HdfTree *t, const char *group, uint64_t heap, uint64_t tree, int type, EachObject visit)
{
    enum { LINKS = 5 };
    Heap h;
    HdfCursor records;
    uint64_t n;
    TRY(read_heap(t, group, heap, &h));
    /* The hash of a name comes first, or flags, order and hash of an attribute last. */
    const uint64_t before = type == LINKS ? 4 : 0, after = type == LINKS ? 0 : 9;
    TRY(leaf_records(t, group, tree, type, before + h.id_bytes + after, &records, &n));
    for (uint64_t i = 0; i < n; i++) {
        hdf_take(&records, (int)before);
        HdfCursor id = take_cursor(&records, h.id_bytes);
        hdf_take_bytes(&records, after);
        const uint64_t kind = hdf_take(&id, 1);
        HdfCursor object = {NULL, NULL, true};
        if (kind == 0x10) {
            object = huge_object(t, group, &h, hdf_take(&id, (int)h.id_bytes - 1));
        } else if (kind == 0) {
            uint64_t offset = hdf_take(&id, h.offset_bytes);
            object = managed_object(t, &h, offset, hdf_take(&id, 2));
        }
        if (object.bad)
            return refuse(t, group, "has a damaged heap");
        TRY(visit(t, group, object));
    }
    return OK;
}

/* ---------------------------------------------------------------- object headers */

typedef Status (*EachMessage)(HdfTree *t, void *object, int type, HdfCursor body);

/* Version 2 (IV.A.1.b): messages in blocks, the first of which the header holds itself. */
static Status each_message(HdfTree *t, const char *name, uint64_t address, EachMessage visit, void *object)
{
    enum { TIMES = 0x20, PHASE = 0x10, ORDER = 0x04 };
    HdfCursor c = hdf_block_at(t, address, "OHDR", 2), blocks[MOST_BLOCKS];
    const uint64_t flags = hdf_take(&c, 1);
    hdf_take_bytes(&c, flags & PHASE ? 4 : 0);
    int n_blocks = 1, n_messages = 0;
    blocks[0] = take_cursor(&c, hdf_take(&c, 1 << (flags & 3)));
    if (c.bad || flags & (TIMES | ORDER))
        return refuse(t, name, "is not an object that prepare writes");
    for (int k = 0; k < n_blocks; k++) {
        HdfCursor b = blocks[k];
        while (b.end - b.at >= 4) { /* fewer: a gap */
            const int type = (int)hdf_take(&b, 1);
            HdfCursor body = {NULL, NULL, true};
            uint64_t n = hdf_take(&b, 2), message_flags = hdf_take(&b, 1);
            body = take_cursor(&b, n);
            if (body.bad || message_flags & 2 /* shared */ || ++n_messages > MOST_MESSAGES)
                return refuse(t, name, "has a damaged header");
            if (type == MESSAGE_CONTINUATION) {
                uint64_t at = hdf_take(&body, HDF_ADDRESS), length = hdf_take(&body, HDF_ADDRESS);
                HdfCursor more = hdf_bytes_at(t, at, length);
                if (body.bad || length < 8 || !expect_bytes(&more, "OCHK", 4) || n_blocks == MOST_BLOCKS)
                    return refuse(t, name, "has a damaged header");
                more.end -= 4; /* its checksum */
                blocks[n_blocks++] = more;
            } else if (type != MESSAGE_NIL) {
                TRY(visit(t, object, type, body));
            }
        }
    }
    return OK;
}

/* What link info and attribute info share: flags, perhaps a largest order of creation, a heap and a tree, both nowhere when there are few.
 */
static Status read_many(HdfTree *t, const char *group, HdfCursor c, int type, EachObject visit)
{
    if (hdf_take(&c, 2)) /* version 0, no flags */
        return refuse(t, group, "keeps an order that prepare does not keep");
    uint64_t heap = hdf_take(&c, HDF_ADDRESS), tree = hdf_take(&c, HDF_ADDRESS);
    if (c.bad)
        return refuse(t, group, "has a damaged header");
    return heap == NOWHERE ? OK : each_in_heap(t, group, heap, tree, type, visit);
}

static Status group_message(HdfTree *t, void *object, int type, HdfCursor body)
{
    const char *group = object;
    const bool of_root = !*group;
    switch (type) {
    case MESSAGE_LINK: return add_link(t, group, body);
    case MESSAGE_LINK_INFO: return read_many(t, group, body, 5, add_link);
    case MESSAGE_ATTRIBUTE_INFO: return of_root ? read_many(t, group, body, 8, add_root_attribute) : OK;
    case MESSAGE_ATTRIBUTE: return of_root ? add_attribute(t, body) : OK; /* those of /enum are for people */
    case MESSAGE_GROUP_INFO: return OK;
    default: return refuse(t, group, "is not a group that prepare writes");
    }
}

/* Shape: version 2, simple, with limits that are the present sizes. */
static Status read_shape(const HdfTree *t, HdfFoundArray *a, HdfCursor c)
{
    bool plain = hdf_take(&c, 1) == 2;
    a->rank = (int)hdf_take(&c, 1);
    plain = hdf_take(&c, 2) == 0x0101 && plain && (a->rank == 1 || a->rank == 2);
    for (int i = 0; i < 2 * a->rank && plain; i++) {
        uint64_t n = hdf_take(&c, HDF_ADDRESS);
        plain = i < a->rank || n == a->dims[i - a->rank];
        a->dims[i % a->rank] = n;
    }
    return plain && !c.bad ? OK : refuse(t, a->name, "has a shape that prepare does not write");
}

/* Filters: version 2; fletcher32, before it shuffle and deflate or nothing. */
static Status read_filters(const HdfTree *t, HdfFoundArray *a, HdfCursor c)
{
    static const uint8_t shuffle[] = {2, 0, 1, 0, 1, 0}, deflate[] = {1, 0, 1, 0, 1, 0, 4, 0, 0, 0}, fletcher[] = {3, 0, 0, 0, 0, 0};
    const uint64_t version = hdf_take(&c, 1), n = hdf_take(&c, 1);
    a->filtered = true;
    a->deflate = n == 3;
    bool ours = version == 2 && (n == 1 || n == 3);
    if (a->deflate) {
        ours = expect_bytes(&c, shuffle, sizeof shuffle) && ours;
        a->element = (uint32_t)hdf_take(&c, 4);
        ours = expect_bytes(&c, deflate, sizeof deflate) && ours;
    }
    ours = expect_bytes(&c, fletcher, sizeof fletcher) && ours;
    return ours ? OK : refuse(t, a->name, "uses filters other than shuffle, deflate 4 and fletcher32");
}

/* HdfLayout: version 4; contiguous, or chunks behind filters, either one or a fixed array of them. */
static Status read_layout(const HdfTree *t, HdfFoundArray *a, HdfCursor c)
{
    enum { CONTIGUOUS = 1, CHUNKED = 2, SINGLE_INDEX = 1, FIXED_ARRAY = 3, FILTERED_SINGLE = 2 };
    bool ours = hdf_take(&c, 1) == 4;
    const uint64_t class = hdf_take(&c, 1);
    if (class == CONTIGUOUS) {
        a->layout = HDF_LAYOUT_CONTIGUOUS;
        a->address = hdf_take(&c, HDF_ADDRESS);
        a->stored = hdf_take(&c, HDF_ADDRESS);
    } else {
        const uint64_t flags = hdf_take(&c, 1), rank = hdf_take(&c, 1);
        const int bytes = (int)hdf_take(&c, 1);
        ours = ours && class == CHUNKED && (rank == 2 || rank == 3) && bytes >= 1 && bytes <= 8;
        for (uint64_t i = 0; i + 1 < rank && ours; i++)
            a->chunk[i] = hdf_take(&c, bytes);
        uint64_t element = ours ? hdf_take(&c, bytes) : 0, index = hdf_take(&c, 1);
        ours = ours && (!a->element || a->element == element);
        a->element = (uint32_t)element;
        a->layout = index == SINGLE_INDEX ? HDF_LAYOUT_ONE_CHUNK : HDF_LAYOUT_CHUNKS;
        if (index == SINGLE_INDEX) {
            a->stored = hdf_take(&c, HDF_ADDRESS);
            ours = flags == FILTERED_SINGLE && hdf_take(&c, 4) == 0 /* no filter was left out */ && ours;
        } else {
            ours = index == FIXED_ARRAY && flags == 0 && ours;
            hdf_take(&c, 1); /* bits of a page: the array's header has them too */
        }
        a->address = hdf_take(&c, HDF_ADDRESS);
    }
    return ours && !c.bad ? OK : refuse(t, a->name, "is neither contiguous nor chunked as prepare writes it");
}

static Status array_message(HdfTree *t, void *object, int type, HdfCursor body)
{
    HdfFoundArray *a = object;
    switch (type) {
    case MESSAGE_SPACE: return read_shape(t, a, body);
    case MESSAGE_TYPE: a->type = type_of(body); return a->type < 0 ? refuse(t, a->name, "holds no numbers that prepare writes") : OK;
    case MESSAGE_FILTERS: return read_filters(t, a, body);
    case MESSAGE_LAYOUT: return read_layout(t, a, body);
    case MESSAGE_FILL: return OK; /* every element is written */
    default: return refuse(t, a->name, "is not an array that prepare writes");
    }
}

/* ---------------------------------------------------------------- the tree */

static Status read_arrays(HdfTree *t, const char *group)
{
    for (int i = 0; i < t->n_children; i++) {
        if (t->n_arrays == HDF_MOST_ARRAYS)
            return refuse(t, group, "holds more than prepare writes");
        HdfFoundArray *a = &t->arrays[t->n_arrays++];
        *a = (HdfFoundArray){.type = -1};
        snprintf(a->name, sizeof a->name, "%s/%s", group, t->children[i].name);
        TRY(each_message(t, a->name, t->children[i].header, array_message, a));
        if (a->type < 0 || !a->rank || !a->layout || a->filtered != (a->layout > HDF_LAYOUT_CONTIGUOUS))
            return refuse(t, a->name, "is not an array that prepare writes");
    }
    return OK;
}

static Status read_tree(HdfTree *t)
{
    static const uint8_t signature[] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n', 3, HDF_ADDRESS, HDF_ADDRESS, 0};
    HdfCursor c = hdf_bytes_at(t, 0, 48);
    bool ours = expect_bytes(&c, signature, sizeof signature) && hdf_take(&c, HDF_ADDRESS) == t->bytes.user_block &&
                hdf_take(&c, HDF_ADDRESS) == NOWHERE && hdf_take(&c, HDF_ADDRESS) == t->bytes.n_bytes;
    uint64_t root = hdf_take(&c, HDF_ADDRESS);
    if (!ours || c.bad)
        return fail(ERR_DATA, "%s: does not begin as an HDF5 file that prepare writes (superblock version 3)", t->path);
    char group[HDF_MOST_NAME + 1] = "";
    TRY(each_message(t, group, root, group_message, group));
    for (int i = 0; i < t->n_groups; i++) {
        snprintf(group, sizeof group, "/%s", t->groups[i].name);
        t->n_children = 0;
        TRY(each_message(t, group, t->groups[i].header, group_message, group));
        TRY(read_arrays(t, group));
    }
    return OK;
}

Status hdf_tree_read(HdfTree **out, const char *path, const HdfBytes *bytes)
{
    HdfTree *t = *out = mem_alloc(sizeof *t);
    if (t)
        t->path = mem_strdup(path);
    if (!t || !t->path) {
        hdf_tree_free(out);
        return fail(ERR_NOMEM, "%s: no memory to open it", path);
    }
    t->bytes = *bytes;
    Status s = read_tree(t);
    if (s)
        hdf_tree_free(out);
    return s;
}

void hdf_tree_free(HdfTree **pt)
{
    if (*pt)
        mem_free((*pt)->path);
    mem_free(*pt);
    *pt = NULL;
}

const char *hdf_array_name(const HdfTree *t, int i) { return i < t->n_arrays ? t->arrays[i].name : NULL; }
