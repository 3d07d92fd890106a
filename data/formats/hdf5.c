/* hdf5.c: writes and reads HDF5 files through the library, which no other file includes (hdf5.h). */
#include "data/formats/hdf5.h"

#include <errno.h>
#include <hdf5.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"

enum { DEFLATE_LEVEL = 4 };

struct HdfFile {
    hid_t id;
    char *path;
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

/* Turns the library's error stack into one sentence, with the cause of a system error (disk full, …). */
static Status hdf_fail(const HdfFile *f, const char *what)
{
    Innermost in = {"", 0};
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_entry, &in);
    H5Eclear2(H5E_DEFAULT);
    if (in.found_errno)
        return fail(ERR_IO, "%s: %s: %s", f->path, what, strerror(in.found_errno));
    return fail(ERR_IO, "%s: %s: %s", f->path, what, *in.text ? in.text : "refused by HDF5");
}

static void be_quiet(void) { H5Eset_auto2(H5E_DEFAULT, NULL, NULL); } /* of this thread: we print our own sentences */

static Status new_file(HdfFile **out, const char *path)
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
        s = hdf_fail(f, "closing");
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
    TRY(new_file(out, path));
    HdfFile *f = *out;
    hid_t fapl = access_list(), fcpl = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_userblock(fcpl, user_block);
    H5Pset_obj_track_times(fcpl, 0);
    H5Pset_attr_phase_change(fcpl, 0, 0); /* attributes of any size: dense from the first */
    f->id = H5Fcreate(path, H5F_ACC_EXCL, fcpl, fapl);
    Status s = f->id < 0 ? hdf_fail(f, "cannot create") : OK;
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
        return hdf_fail(f, name);
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
    Status s = bad ? hdf_fail(f, a->name) : OK;
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
    Status s = bad ? hdf_fail(f, name) : OK;
    *offset = at;
    H5Pclose(dcpl);
    H5Sclose(space);
    return s;
}

Status hdf_write_texts(HdfFile *f, const char *name, const char *const *texts, uint64_t n)
{
    size_t size = 1;
    for (uint64_t i = 0; i < n; i++)
        size = strlen(texts[i]) + 1 > size ? strlen(texts[i]) + 1 : size;
    char *all = mem_alloc((size_t)n * size);
    if (!all)
        return fail(ERR_NOMEM, "%s: no memory for its texts", f->path);
    for (uint64_t i = 0; i < n; i++)
        memcpy(all + i * size, texts[i], strlen(texts[i]));
    hid_t type = H5Tcopy(H5T_C_S1), space = space_of(n, 1), dcpl = H5Pcreate(H5P_DATASET_CREATE);
    H5Tset_size(type, size);
    H5Tset_cset(type, H5T_CSET_UTF8);
    H5Pset_obj_track_times(dcpl, 0);
    hid_t d = H5Dcreate2(f->id, name, type, space, H5P_DEFAULT, dcpl, H5P_DEFAULT);
    bool bad = d < 0 || (n && H5Dwrite(d, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, all) < 0);
    bad = (d >= 0 && H5Dclose(d) < 0) || bad;
    Status s = bad ? hdf_fail(f, name) : OK;
    H5Pclose(dcpl);
    H5Sclose(space);
    H5Tclose(type);
    mem_free(all);
    return s;
}

Status hdf_rows_create(HdfFile *f, HdfRows *r, const char *name, uint64_t rows, uint64_t columns)
{
    const hsize_t shape[2] = {rows, columns};
    hid_t space = H5Screate_simple(2, shape, NULL), dcpl = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_obj_track_times(dcpl, 0);
    hid_t d = H5Dcreate2(f->id, name, native(HDF_F32), space, H5P_DEFAULT, dcpl, H5P_DEFAULT);
    H5Pclose(dcpl);
    H5Sclose(space);
    *r = (HdfRows){name, d, rows, columns};
    return d < 0 ? hdf_fail(f, name) : OK;
}

Status hdf_rows_write(HdfFile *f, const HdfRows *r, uint64_t first, uint64_t n, const float *numbers)
{
    const hsize_t start[2] = {first, 0}, count[2] = {n, r->columns};
    hid_t here = H5Screate_simple(2, count, NULL), there = H5Dget_space(r->id);
    const bool good = H5Sselect_hyperslab(there, H5S_SELECT_SET, start, NULL, count, NULL) >= 0 &&
                      H5Dwrite(r->id, native(HDF_F32), here, there, H5P_DEFAULT, numbers) >= 0;
    Status s = good ? OK : hdf_fail(f, r->name);
    H5Sclose(there);
    H5Sclose(here);
    return s;
}

static Status set_attribute(HdfFile *f, const char *object, const char *name, hid_t type, const void *value)
{
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t a = H5Acreate_by_name(f->id, object, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    bool bad = a < 0 || H5Awrite(a, type, value) < 0;
    bad = (a >= 0 && H5Aclose(a) < 0) || bad;
    H5Sclose(space);
    return bad ? hdf_fail(f, name) : OK;
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

/* ---------------------------------------------------------------- reading */

enum { MAX_TEXT_BYTES = 1 << 16, BATCH_BYTES = 1 << 20 };

/* What the file holds cannot be used. */
static Status refuse(const HdfFile *f, const char *name, const char *what)
{
    H5Eclear2(H5E_DEFAULT);
    return fail(ERR_DATA, "%s: %s %s", f->path, name, what);
}

/* The library's own sentence, about a file that is damaged or cannot be read. */
static Status fail_reading(const HdfFile *f, const char *name)
{
    Status s = hdf_fail(f, name);
    return s == ERR_IO ? fail(ERR_DATA, "%s", status_message()) : s;
}

Status hdf_open(HdfFile **out, const char *path)
{
    int fd;
    *out = NULL;
    TRY(file_open(&fd, path));
    close(fd);
    TRY(new_file(out, path));
    hid_t fapl = access_list();
    (*out)->id = H5Fopen(path, H5F_ACC_RDONLY, fapl);
    H5Pclose(fapl);
    Status s = (*out)->id < 0 ? fail_reading(*out, "cannot be opened as an HDF5 file") : OK;
    if (s == ERR_DATA && H5Fis_hdf5(path) > 0)
        s = fail(ERR_DATA,
                 "%s; it is damaged, or of a version after 1.10: h5py.File(NAME, \"w\", libver=(\"earliest\", \"v110\")) writes one "
                 "that is read", status_message());
    if (s)
        hdf_close(out);
    return s;
}

/* Opens an array that lies in this very file. *type is the caller's to close, as is the array. */
static Status open_array(HdfFile *f, const char *name, hid_t *d, hid_t *type)
{
    H5L_info_t link;
    if (H5Lget_info(f->id, name, &link, H5P_DEFAULT) < 0)
        return refuse(f, name, "is missing; the file needs uid, image0, image1, text0 and text1");
    if (link.type != H5L_TYPE_HARD)
        return refuse(f, name, "is a link to another place, expected the array itself");
    *d = H5Oopen(f->id, name, H5P_DEFAULT);
    if (*d < 0)
        return fail_reading(f, name);
    if (H5Iget_type(*d) != H5I_DATASET) {
        H5Oclose(*d);
        return refuse(f, name, "is no array");
    }
    hid_t how = H5Dget_create_plist(*d);
    const bool elsewhere = how < 0 || H5Pget_layout(how) == H5D_VIRTUAL || H5Pget_external_count(how) > 0;
    H5Pclose(how);
    *type = H5Dget_type(*d);
    if (!elsewhere && *type >= 0)
        return OK;
    H5Tclose(*type);
    H5Dclose(*d);
    return refuse(f, name, "keeps its numbers in other files, expected the array itself");
}

/* Of an attribute of fixed or variable length. */
static bool read_text(hid_t a, char *out, size_t room)
{
    hid_t stored = H5Aget_type(a), type = H5Tcopy(H5T_C_S1), space = H5Aget_space(a);
    const bool variable = H5Tis_variable_str(stored) > 0;
    const size_t size = variable ? 0 : H5Tget_size(stored) + 1;
    char *text = NULL, *whole = size && size <= MAX_TEXT_BYTES ? mem_alloc(size) : NULL;
    bool good = H5Tget_class(stored) == H5T_STRING && H5Sget_simple_extent_npoints(space) == 1 && (variable || whole);
    H5Tset_size(type, variable ? H5T_VARIABLE : size);
    H5Tset_cset(type, H5Tget_cset(stored) < 0 ? H5T_CSET_ASCII : H5Tget_cset(stored));
    good = good && H5Aread(a, type, variable ? (void *)&text : whole) >= 0;
    if (good)
        snprintf(out, room, "%s", !variable ? whole : text ? text : "");
    if (text)
        H5free_memory(text);
    mem_free(whole);
    H5Sclose(space);
    H5Tclose(type);
    H5Tclose(stored);
    return good;
}

Status hdf_text_of(HdfFile *f, const char *object, const char *name, char *out, size_t room, bool *found)
{
    *found = H5Aexists_by_name(f->id, object, name, H5P_DEFAULT) > 0;
    *out = 0;
    if (!*found)
        return OK;
    hid_t a = H5Aopen_by_name(f->id, object, name, H5P_DEFAULT, H5P_DEFAULT);
    const bool good = a >= 0 && read_text(a, out, room);
    if (a >= 0)
        H5Aclose(a);
    return good ? OK : refuse(f, name, "is no text");
}

bool hdf_has(HdfFile *f, const char *name) { return H5Lexists(f->id, name, H5P_DEFAULT) > 0; }

/* False unless it has that many dimensions. */
static bool read_shape(hid_t d, int n, hsize_t shape[2])
{
    hid_t space = H5Dget_space(d);
    const bool fits =
        H5Sis_simple(space) > 0 && H5Sget_simple_extent_ndims(space) == n && H5Sget_simple_extent_dims(space, shape, NULL) == n;
    H5Sclose(space);
    return fits;
}

/* `rows` rows from `first` on, of `columns` (0: of one dimension). */
static bool read_block(hid_t d, hid_t type, uint64_t first, uint64_t rows, uint64_t columns, void *out)
{
    const hsize_t start[2] = {first, 0}, count[2] = {rows, columns};
    const int n = columns ? 2 : 1;
    hid_t here = H5Screate_simple(n, count, NULL), there = H5Dget_space(d);
    const bool done =
        H5Sselect_hyperslab(there, H5S_SELECT_SET, start, NULL, count, NULL) >= 0 && H5Dread(d, type, here, there, H5P_DEFAULT, out) >= 0;
    H5Sclose(there);
    H5Sclose(here);
    return done;
}

/* Texts first … first+n-1, in `buffer`: their bytes, each `size` long and ended by NUL, or pointers to them (size 0). */
static Status visit_texts(HdfFile *f, const char *name, hid_t d, hid_t type, uint64_t first, uint64_t n, size_t size, void *buffer,
                          HdfVisit visit, void *arg)
{
    if (!read_block(d, type, first, n, 0, buffer))
        return fail_reading(f, name);
    Status s = OK;
    for (uint64_t i = 0; i < n && !s; i++) {
        const char *text = size ? (const char *)buffer + i * size : ((char **)buffer)[i];
        s = visit(arg, text ? text : "");
    }
    if (!size) {
        hsize_t count = n;
        hid_t space = H5Screate_simple(1, &count, NULL);
        H5Dvlen_reclaim(type, space, H5P_DEFAULT, buffer);
        H5Sclose(space);
    }
    return s;
}

Status hdf_each_text(HdfFile *f, const char *name, uint64_t *n, HdfVisit visit, void *arg)
{
    hid_t d, stored;
    hsize_t shape[2] = {0};
    TRY(open_array(f, name, &d, &stored));
    const bool variable = H5Tis_variable_str(stored) > 0;
    const size_t size = variable ? 0 : H5Tget_size(stored) + 1;
    Status s = H5Tget_class(stored) != H5T_STRING || !read_shape(d, 1, shape) ? refuse(f, name, "is no list of texts, expected [n] strings")
               : size > MAX_TEXT_BYTES                                        ? refuse(f, name, "has texts of more than 64 KiB")
                                                                              : OK;
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, variable ? H5T_VARIABLE : size);
    H5Tset_cset(type, H5Tget_cset(stored) < 0 ? H5T_CSET_ASCII : H5Tget_cset(stored));
    const uint64_t batch = BATCH_BYTES / (variable ? 64 : size);
    char *buffer = s ? NULL : mem_alloc(batch * (variable ? sizeof(char *) : size));
    if (!s && !buffer)
        s = fail(ERR_NOMEM, "%s: no memory for its texts", f->path);
    for (uint64_t i = 0; i < shape[0] && !s; i += batch)
        s = visit_texts(f, name, d, type, i, shape[0] - i < batch ? shape[0] - i : batch, size, buffer, visit, arg);
    mem_free(buffer);
    H5Tclose(type);
    H5Tclose(stored);
    H5Dclose(d);
    *n = shape[0];
    return s;
}

Status hdf_rows_open(HdfFile *f, HdfRows *r, const char *name)
{
    hid_t d, stored;
    hsize_t shape[2] = {0};
    TRY(open_array(f, name, &d, &stored));
    Status s = OK;
    if (H5Tget_class(stored) != H5T_FLOAT || H5Tget_size(stored) != sizeof(float))
        s = refuse(f, name, "holds another type of numbers, expected f32");
    else if (!read_shape(d, 2, shape) || !shape[1])
        s = refuse(f, name, "has another shape, expected [n, d]");
    H5Tclose(stored);
    if (s)
        H5Dclose(d);
    *r = (HdfRows){name, d, shape[0], shape[1]};
    return s;
}

Status hdf_rows_read(HdfFile *f, const HdfRows *r, uint64_t row, float *out)
{
    return read_block(r->id, native(HDF_F32), row, 1, r->columns, out) ? OK : fail_reading(f, r->name);
}
