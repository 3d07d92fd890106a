/* manifest.h: MANIFEST.json of a checkpoint: every file of the folder with its size and XXH3 hash, and a hash of the manifest itself at its
 * end. A folder without a manifest that verifies is not a checkpoint. */
#ifndef GENLLAVA_TRAIN_STORE_MANIFEST_H
#define GENLLAVA_TRAIN_STORE_MANIFEST_H

#include <stdint.h>

#include "kernels/base/status.h"

/* A file that was hashed where it was written, so that nobody else has to read it. */
typedef struct ManifestFile {
    char name[64], xxh3[33];
    int64_t bytes;
} ManifestFile;
MUST_USE Status manifest_hash(ManifestFile *out, const char *folder, const char *name);
/* Hashes what lies in the folder and writes MANIFEST.json, synced; the folders inside are made durable too, the folder itself when it is
 * published. known [n_known]: files that must be there, of these sizes, and are not read; ERR_IO where they are not. */
MUST_USE Status manifest_write(const char *folder, const ManifestFile *known, int n_known);
/* ERR_DATA or ERR_MISSING names the first file that is damaged, has another size, is a link or is not there; names lead nowhere else. A
 * file in a folder inside that the manifest does not name is refused too: others would read it. Beside the manifest it does not matter. */
MUST_USE Status manifest_verify(const char *folder);
/* ERR_DATA: the manifest does not name this file. */
MUST_USE Status manifest_require(const char *folder, const char *name);
#endif
