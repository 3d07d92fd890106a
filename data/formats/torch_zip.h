/* torch_zip.h: the members of a zip archive as torch.save writes it: all of them stored, none compressed. For torch_bin.c. */
#ifndef GENLLAVA_DATA_FORMATS_TORCH_ZIP_H
#define GENLLAVA_DATA_FORMATS_TORCH_ZIP_H

#include "data/formats/mapped.h"

typedef struct ZipMember {
    const char *name; /* in the mapping, without a NUL at its end */
    size_t name_bytes;
    const uint8_t *data; /* in the mapping */
    size_t n;
} ZipMember;

typedef struct ZipMembers {
    ZipMember *members; /* sorted by name; mem_free */
    int n;
} ZipMembers;

/* Central directory and local headers must agree, names differ, and every member lie in the file. */
MUST_USE Status torch_zip_members(ZipMembers *out, const Mapped *file);
const ZipMember *torch_zip_find(const ZipMembers *z, const char *name, size_t name_bytes); /* NULL when absent */
#endif
