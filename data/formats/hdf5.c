/* hdf5.c: HDF5 files as plain arrays, over the library, which no other file includes. For shards (hdf5.h). */
#include "data/formats/hdf5.h"

#include <errno.h>
#include <hdf5.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "kernels/base/arena.h"

enum { DEFLATE_LEVEL = 4, DEFLATE_MOST = 1100 /* deflate cannot shrink further than 1:1032 */, MAX_TEXT = 1 << 30 };

struct HdfFile {
    hid_t id;
    char *path;
    bool writing;
    uint64_t file_bytes;
};

static const struct {
    const char *name;
    size_t size;
} TYPES[] = {[HDF_U8] = {"u8", 1},   [HDF_U16] = {"u16", 2}, [HDF_U32] = {"u32", 4}, [HDF_U64] = {"u64", 8},
             [HDF_I32] = {"i32", 4}, [HDF_F32] = {"f32", 4}, [HDF_I64] = {"i64", 8}};

size_t hdf_type_size(HdfType t) { return TYPES[t].size; }
const char *hdf_type_name(HdfType t) { return TYPES[t].name; }

/* The library's own names are variables: no table possible. Files are little-endian, as every machine this runs on. */
static hid_t native(HdfType t)
{
    switch (t) {
    case HDF_U8: return H5T_STD_U8LE;
    case HDF_U16: return H5T_STD_U16LE;
    case HDF_U32: return H5T_STD_U32LE;
    case HDF_U64: return H5T_STD_U64LE;
    case HDF_I32: return H5T_STD_I32LE;
    case HDF_F32: return H5T_IEEE_F32LE;
    case HDF_I64: return H5T_STD_I64LE;
    }
    return -1;
}

/* ---------------------------------------------------------------- errors */

typedef struct Innermost {
    char text[400];
    int found_errno;
} Innermost;

static herr_t take_entry(unsigned n, const H5E_error2_t *e, void *out)
{
    Innermost *in = out;
    if (n == 0)
        snprintf(in->text, sizeof in->text, "%s", e->desc ? e->desc : "unknown error");
    const char *p = e->desc ? strstr(e->desc, "errno = ") : NULL;
    if (p && !in->found_errno)
        sscanf(p, "errno = %d", &in->found_errno);
    return 0;
}

/* Turns the library's error stack into one sentence. A system error (disk full, …) is ERR_IO with its cause, anything else `kind`. */
static Status hdf_fail(const HdfFile *f, Status kind, const char *what)
{
    Innermost in = {"", 0};
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_entry, &in);
    H5Eclear2(H5E_DEFAULT);
    if (in.found_errno)
        return fail(ERR_IO, "%s: %s: %s", f->path, what, strerror(in.found_errno));
    return fail(kind, "%s: %s: %s", f->path, what, *in.text ? in.text : "refused by HDF5");
}

static void be_quiet(void) { H5Eset_auto2(H5E_DEFAULT, NULL, NULL); } /* of this thread: we print our own sentences */

static Status new_file(HdfFile **out, const char *path, bool writing)
{
    be_quiet();
    HdfFile *f = mem_alloc(sizeof *f);
    if (f)
        f->path = mem_strdup(path);
    if (!f || !f->path) {
        mem_free(f);
        return fail(ERR_NOMEM, "%s: no memory to open it", path);
    }
    f->id = -1;
    f->writing = writing;
    *out = f;
    return OK;
}

Status hdf_close(HdfFile **pf)
{
    HdfFile *f = *pf;
    *pf = NULL;
    if (!f)
        return OK;
    Status s = OK;
    if (f->id >= 0 && H5Fclose(f->id) < 0)
        s = hdf_fail(f, f->writing ? ERR_IO : ERR_DATA, "closing");
    mem_free(f->path);
    mem_free(f);
    return s;
}

/* No locks: shards are written under a temporary name by one process, read by many, also on file systems without locks. */
static hid_t access_list(void)
{
    hid_t fapl = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_libver_bounds(fapl, H5F_LIBVER_V110, H5F_LIBVER_V110);
    H5Pset_file_locking(fapl, 0, 1);
    H5Pset_fclose_degree(fapl, H5F_CLOSE_STRONG);
    return fapl;
}

/* ---------------------------------------------------------------- writing */

Status hdf_create(HdfFile **out, const char *path, uint64_t user_block)
{
    TRY(new_file(out, path, true));
    HdfFile *f = *out;
    hid_t fapl = access_list(), fcpl = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_userblock(fcpl, user_block);
    H5Pset_obj_track_times(fcpl, 0);
    H5Pset_attr_phase_change(fcpl, 0, 0); /* attributes of any size: dense from the first */
    f->id = H5Fcreate(path, H5F_ACC_TRUNC, fcpl, fapl);
    Status s = f->id < 0 ? hdf_fail(f, ERR_IO, "cannot create") : OK;
    H5Pclose(fcpl);
    H5Pclose(fapl);
    if (s)
        hdf_close(out);
    return s;
}

Status hdf_group(HdfFile *f, const char *name)
{
    hid_t gcpl = H5Pcreate(H5P_GROUP_CREATE);
    H5Pset_obj_track_times(gcpl, 0);
    hid_t g = H5Gcreate2(f->id, name, H5P_DEFAULT, gcpl, H5P_DEFAULT);
    H5Pclose(gcpl);
    if (g < 0 || H5Gclose(g) < 0)
        return hdf_fail(f, ERR_IO, name);
    return OK;
}

static hid_t space_of(uint64_t rows, uint64_t columns)
{
    hsize_t dims[2] = {rows, columns};
    return H5Screate_simple(columns > 1 ? 2 : 1, dims, NULL);
}

Status hdf_write(HdfFile *f, const HdfArray *a, const void *data)
{
    hid_t space = space_of(a->rows, a->columns), dcpl = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_obj_track_times(dcpl, 0);
    if (a->rows) {
        hsize_t chunk[2] = {a->chunk < a->rows ? a->chunk : a->rows, a->columns};
        H5Pset_chunk(dcpl, a->columns > 1 ? 2 : 1, chunk);
        if (a->deflate) {
            H5Pset_shuffle(dcpl);
            H5Pset_deflate(dcpl, DEFLATE_LEVEL);
        }
        H5Pset_fletcher32(dcpl);
    }
    hid_t d = H5Dcreate2(f->id, a->name, native(a->type), space, H5P_DEFAULT, dcpl, H5P_DEFAULT);
    bool bad = d < 0 || (a->rows && H5Dwrite(d, native(a->type), H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0);
    bad = (d >= 0 && H5Dclose(d) < 0) || bad;
    Status s = bad ? hdf_fail(f, ERR_IO, a->name) : OK;
    H5Pclose(dcpl);
    H5Sclose(space);
    return s;
}

Status hdf_reserve(HdfFile *f, const char *name, uint64_t n_bytes, uint64_t *offset)
{
    hid_t space = space_of(n_bytes, 1), dcpl = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_obj_track_times(dcpl, 0);
    H5Pset_layout(dcpl, H5D_CONTIGUOUS);
    H5Pset_alloc_time(dcpl, H5D_ALLOC_TIME_EARLY);
    H5Pset_fill_time(dcpl, H5D_FILL_TIME_NEVER);
    hid_t d = H5Dcreate2(f->id, name, native(HDF_U8), space, H5P_DEFAULT, dcpl, H5P_DEFAULT);
    haddr_t at = d >= 0 && n_bytes ? H5Dget_offset(d) : 0;
    bool bad = d < 0 || at == HADDR_UNDEF;
    bad = (d >= 0 && H5Dclose(d) < 0) || bad;
    Status s = bad ? hdf_fail(f, ERR_IO, name) : OK;
    *offset = at;
    H5Pclose(dcpl);
    H5Sclose(space);
    return s;
}

static Status set_attribute(HdfFile *f, const char *object, const char *name, hid_t type, const void *value)
{
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t a = H5Acreate_by_name(f->id, object, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    bool bad = a < 0 || H5Awrite(a, type, value) < 0;
    bad = (a >= 0 && H5Aclose(a) < 0) || bad;
    H5Sclose(space);
    return bad ? hdf_fail(f, ERR_IO, name) : OK;
}

Status hdf_set_text(HdfFile *f, const char *object, const char *name, const char *text)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, strlen(text) + 1);
    H5Tset_cset(type, H5T_CSET_UTF8);
    Status s = set_attribute(f, object, name, type, text);
    H5Tclose(type);
    return s;
}

Status hdf_set_int(HdfFile *f, const char *object, const char *name, int64_t value)
{
    return set_attribute(f, object, name, native(HDF_I64), &value);
}

/* ---------------------------------------------------------------- opening what may be foreign */

/* The first thing found wrong; the walk stops there. */
typedef struct Inspection {
    HdfFile *f;
    Status s;
} Inspection;

static bool plain_type(hid_t type)
{
    H5T_class_t c = H5Tget_class(type);
    return c == H5T_INTEGER || c == H5T_FLOAT || (c == H5T_STRING && H5Tis_variable_str(type) == 0);
}

static Status check_filters(HdfFile *f, const char *name, hid_t dcpl)
{
    int n = H5Pget_nfilters(dcpl);
    if (n < 0)
        return hdf_fail(f, ERR_DATA, name);
    for (unsigned i = 0; i < (unsigned)n; i++) {
        unsigned flags, config;
        size_t n_values = 0;
        H5Z_filter_t id = H5Pget_filter2(dcpl, i, &flags, &n_values, NULL, 0, NULL, &config);
        if (id != H5Z_FILTER_SHUFFLE && id != H5Z_FILTER_DEFLATE && id != H5Z_FILTER_FLETCHER32)
            return fail(ERR_DATA, "%s: /%s uses filter %d; only shuffle, deflate and fletcher32 are read", f->path, name, (int)id);
    }
    return OK;
}

static Status check_dataset(HdfFile *f, const char *name, hid_t d)
{
    hid_t type = H5Dget_type(d), dcpl = H5Dget_create_plist(d);
    Status s = OK;
    if (type < 0 || dcpl < 0)
        s = hdf_fail(f, ERR_DATA, name);
    else if (!plain_type(type))
        s = fail(ERR_DATA, "%s: /%s holds neither numbers nor fixed-length text (variable-length types are not read)", f->path, name);
    else if (H5Pget_external_count(dcpl) != 0)
        s = fail(ERR_DATA, "%s: /%s keeps its data in another file; external storage is not read", f->path, name);
    else if (H5Pget_layout(dcpl) != H5D_CONTIGUOUS && H5Pget_layout(dcpl) != H5D_CHUNKED)
        s = fail(ERR_DATA, "%s: /%s is neither contiguous nor chunked", f->path, name);
    else
        s = check_filters(f, name, dcpl);
    if (type >= 0)
        H5Tclose(type);
    if (dcpl >= 0)
        H5Pclose(dcpl);
    return s;
}

static herr_t check_attribute(hid_t object, const char *name, const H5A_info_t *info, void *out)
{
    (void)info;
    Inspection *in = out;
    hid_t a = H5Aopen(object, name, H5P_DEFAULT), type = a >= 0 ? H5Aget_type(a) : -1;
    if (type < 0)
        in->s = hdf_fail(in->f, ERR_DATA, name);
    else if (!plain_type(type))
        in->s = fail(ERR_DATA, "%s: attribute %s holds neither numbers nor fixed-length text (variable-length types are not read)",
                     in->f->path, name);
    if (type >= 0)
        H5Tclose(type);
    if (a >= 0)
        H5Aclose(a);
    return in->s ? 1 : 0;
}

static herr_t check_link(hid_t root, const char *name, const H5L_info_t *info, void *out)
{
    Inspection *in = out;
    if (info->type != H5L_TYPE_HARD) {
        in->s = fail(ERR_DATA, "%s: /%s is a link to somewhere else; links are not followed", in->f->path, name);
        return 1;
    }
    hid_t o = H5Oopen(root, name, H5P_DEFAULT);
    H5I_type_t kind = o >= 0 ? H5Iget_type(o) : H5I_BADID;
    if (kind == H5I_DATASET)
        in->s = check_dataset(in->f, name, o);
    else if (kind != H5I_GROUP)
        in->s = kind == H5I_BADID ? hdf_fail(in->f, ERR_DATA, name)
                                  : fail(ERR_DATA, "%s: /%s is neither a group nor an array", in->f->path, name);
    if (!in->s && H5Aiterate2(o, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, check_attribute, in) < 0)
        in->s = hdf_fail(in->f, ERR_DATA, name);
    if (o >= 0)
        H5Oclose(o);
    return in->s ? 1 : 0;
}

static Status check_everything(HdfFile *f)
{
    Inspection in = {f, OK};
    if (H5Lvisit(f->id, H5_INDEX_NAME, H5_ITER_NATIVE, check_link, &in) < 0)
        return hdf_fail(f, ERR_DATA, "damaged");
    if (!in.s && H5Aiterate2(f->id, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, check_attribute, &in) < 0)
        return hdf_fail(f, ERR_DATA, "damaged");
    return in.s;
}

Status hdf_open(HdfFile **out, const char *path)
{
    struct stat st;
    if (stat(path, &st))
        return fail(errno == ENOENT ? ERR_MISSING : ERR_IO, "%s: %s", path, strerror(errno));
    TRY(new_file(out, path, false));
    HdfFile *f = *out;
    f->file_bytes = (uint64_t)st.st_size;
    hid_t fapl = access_list();
    f->id = H5Fopen(path, H5F_ACC_RDONLY, fapl);
    H5Pclose(fapl);
    Status s = f->id < 0 ? hdf_fail(f, ERR_DATA, "not a readable HDF5 file") : check_everything(f);
    if (s)
        hdf_close(out);
    return s;
}

/* ---------------------------------------------------------------- reading */

/* Opens an array and checks it against what is expected; *rows is what it holds. */
static Status open_array(HdfFile *f, const HdfArray *a, hid_t *d, uint64_t *rows)
{
    if (H5Lexists(f->id, a->name, H5P_DEFAULT) <= 0) {
        H5Eclear2(H5E_DEFAULT);
        return fail(ERR_DATA, "%s: has no %s", f->path, a->name);
    }
    *d = H5Dopen2(f->id, a->name, H5P_DEFAULT);
    if (*d < 0)
        return hdf_fail(f, ERR_DATA, a->name);
    hid_t type = H5Dget_type(*d), space = H5Dget_space(*d);
    hsize_t dims[H5S_MAX_RANK] = {0};
    int n_dims = H5Sget_simple_extent_dims(space, dims, NULL), want = a->columns > 1 ? 2 : 1;
    Status s = OK;
    if (H5Tequal(type, native(a->type)) <= 0)
        s = fail(ERR_DATA, "%s: %s should hold %s", f->path, a->name, hdf_type_name(a->type));
    else if (n_dims != want || (want == 2 && dims[1] != a->columns))
        s = fail(ERR_DATA, "%s: %s has %d dimensions, should have %d", f->path, a->name, n_dims, want);
    else if (a->rows != UINT64_MAX && dims[0] != a->rows)
        s = fail(ERR_DATA, "%s: %s has %llu rows, should have %llu", f->path, a->name, (unsigned long long)dims[0],
                 (unsigned long long)a->rows);
    else if (dims[0] > (f->file_bytes + 1) * DEFLATE_MOST / (hdf_type_size(a->type) * a->columns))
        s = fail(ERR_DATA, "%s: %s announces %llu rows, more than the file can hold", f->path, a->name, (unsigned long long)dims[0]);
    *rows = dims[0];
    H5Tclose(type);
    H5Sclose(space);
    if (s)
        H5Dclose(*d);
    return s;
}

Status hdf_read(HdfFile *f, const HdfArray *a, void **data, uint64_t *rows)
{
    hid_t d;
    uint64_t n;
    TRY(open_array(f, a, &d, &n));
    Status s = OK;
    *data = mem_alloc(n * a->columns * hdf_type_size(a->type));
    if (!*data)
        s = fail(ERR_NOMEM, "%s: no memory for %s, %llu rows", f->path, a->name, (unsigned long long)n);
    else if (n && H5Dread(d, native(a->type), H5S_ALL, H5S_ALL, H5P_DEFAULT, *data) < 0)
        s = hdf_fail(f, ERR_DATA, a->name);
    H5Dclose(d);
    if (s) {
        mem_free(*data);
        *data = NULL;
    }
    if (rows)
        *rows = n;
    return s;
}

Status hdf_read_range(HdfFile *f, const HdfArray *a, uint64_t first, uint64_t n, void *data)
{
    hid_t d;
    uint64_t rows;
    TRY(open_array(f, a, &d, &rows));
    Status s = OK;
    if (first > rows || n > rows - first)
        s = fail(ERR_DATA, "%s: %s has %llu rows, %llu from %llu were asked for", f->path, a->name, (unsigned long long)rows,
                 (unsigned long long)n, (unsigned long long)first);
    else if (n) {
        hid_t file_space = H5Dget_space(d), memory = space_of(n, 1);
        H5Sselect_hyperslab(file_space, H5S_SELECT_SET, &(hsize_t){first}, NULL, &(hsize_t){n}, NULL);
        if (H5Dread(d, native(a->type), memory, file_space, H5P_DEFAULT, data) < 0)
            s = hdf_fail(f, ERR_DATA, a->name);
        H5Sclose(file_space);
        H5Sclose(memory);
    }
    H5Dclose(d);
    return s;
}

Status hdf_locate(HdfFile *f, const char *name, uint64_t *offset, uint64_t *n_bytes)
{
    const HdfArray a = {.name = name, .type = HDF_U8, .rows = UINT64_MAX, .columns = 1};
    hid_t d;
    TRY(open_array(f, &a, &d, n_bytes));
    hid_t dcpl = H5Dget_create_plist(d);
    Status s = OK;
    haddr_t at = *n_bytes ? H5Dget_offset(d) : 0;
    if (H5Pget_layout(dcpl) != H5D_CONTIGUOUS || at == HADDR_UNDEF)
        s = fail(ERR_DATA, "%s: %s is not contiguous", f->path, name);
    else if (at > f->file_bytes || *n_bytes > f->file_bytes - at)
        s = fail(ERR_DATA, "%s: %s reaches beyond the end of the file", f->path, name);
    *offset = at;
    H5Eclear2(H5E_DEFAULT);
    H5Pclose(dcpl);
    H5Dclose(d);
    return s;
}

static Status open_attribute(HdfFile *f, const char *name, hid_t *a, hid_t *type, H5T_class_t wanted)
{
    if (H5Aexists(f->id, name) <= 0) {
        H5Eclear2(H5E_DEFAULT);
        return fail(ERR_DATA, "%s: has no attribute %s", f->path, name);
    }
    *a = H5Aopen(f->id, name, H5P_DEFAULT);
    *type = *a >= 0 ? H5Aget_type(*a) : -1;
    if (*type < 0) {
        if (*a >= 0)
            H5Aclose(*a);
        return hdf_fail(f, ERR_DATA, name);
    }
    hid_t space = H5Aget_space(*a);
    bool scalar = H5Sget_simple_extent_npoints(space) == 1;
    H5Sclose(space);
    if (H5Tget_class(*type) == wanted && scalar)
        return OK;
    H5Tclose(*type);
    H5Aclose(*a);
    return fail(ERR_DATA, "%s: attribute %s should be %s", f->path, name, wanted == H5T_STRING ? "text" : "an integer");
}

Status hdf_get_int(HdfFile *f, const char *name, int64_t *value)
{
    hid_t a, type;
    TRY(open_attribute(f, name, &a, &type, H5T_INTEGER));
    Status s = H5Aread(a, H5T_NATIVE_INT64, value) < 0 ? hdf_fail(f, ERR_DATA, name) : OK;
    H5Tclose(type);
    H5Aclose(a);
    return s;
}

Status hdf_get_text(HdfFile *f, const char *name, char **text)
{
    hid_t a, type;
    TRY(open_attribute(f, name, &a, &type, H5T_STRING));
    Status s = OK;
    size_t n = H5Tget_size(type);
    bool sane = n < MAX_TEXT && n <= f->file_bytes;
    *text = sane ? mem_alloc(n + 1) : NULL;
    if (!sane)
        s = fail(ERR_DATA, "%s: attribute %s announces %zu bytes", f->path, name, n);
    else if (!*text)
        s = fail(ERR_NOMEM, "%s: no memory for attribute %s", f->path, name);
    else if (H5Aread(a, type, *text) < 0)
        s = hdf_fail(f, ERR_DATA, name);
    H5Tclose(type);
    H5Aclose(a);
    if (s) {
        mem_free(*text);
        *text = NULL;
    }
    return s;
}
