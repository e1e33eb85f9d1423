/* store_internal.h -- what store.c and store_add.c share. Not for others. */
#ifndef VT_MODEL_STORE_INTERNAL_H
#define VT_MODEL_STORE_INTERNAL_H

#include "base/json.h"
#include "model/store.h"

struct vt_store {
    char *dir;
};

/* "DIR/NAME" or "DIR/NAME/FILE" (file may be NULL); NULL when memory ran out. vt_free. */
char *vt__store_path(const vt_store *store, vt_slice name, const char *file);

/* Lower-case letters, digits, '.', '_', '-'; does not begin with '.' or '-'. */
bool vt__store_name_ok(vt_slice name);

/* Write the manifest of a model whose files are in place. */
VT_MUSTUSE vt_status vt__store_write_manifest(const vt_store *store, const vt_store_entry *entry,
                                              const char *const *files, size_t n_files,
                                              vt_err *err);

/* Digest of the files of a GGUF (all parts of a split, in order). */
VT_MUSTUSE vt_status vt__store_hash_gguf(const char *path, char digest[VT_SHA256_HEX + 1],
                                         uint8_t stamp[VT_SHA256_BYTES],
                                         const vt_progress *progress, vt_err *err);

#endif
