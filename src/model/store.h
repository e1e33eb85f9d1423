/* store.h -- the models of this machine: a directory that holds their files and says what they are.
 *
 *     DIR/NAME/manifest.json   what it is (below); a model is there when this file is
 *     DIR/NAME/FILE            the weights, under the name they came with (parts of a split find
 *                              each other by it)
 *     DIR/NAME/FILE.part ...   a download under way (base/fetch.h)
 *     DIR/NAME/NAME.packed     its packed form, where it has one (packed.h)
 *
 * manifest.json, written by crash-safe replace, one object:
 *
 *     "version"   1
 *     "name", "source" (URL or path it came from), "licence", "added" ("2026-11-24")
 *     "digest"    SHA-256 of the bytes of all files in order: the name of the model everywhere
 *     "files"     [{"name", "bytes", "mtime_ns", "inode"}]
 *     "packed"    true when it was packed
 *     "checksum"  SHA-256 of the object without this field, written compactly
 *
 * The digest was computed from the bytes; it is believed as long as length, time of change and
 * inode of every file are as the manifest says (computing it again takes a second for each
 * gigabyte).
 *
 * A local file is taken in by a hard link when the file system allows it, else by a copy that
 * shares its blocks (reflink), else by a plain copy: no disk space is used twice where that can be
 * avoided, and the model stays when the original name goes.
 *
 * Ownership  entries own their texts: vt_store_entry_deinit.
 * Threads    one thread at a time for a vt_store; several processes may share the directory.
 * Failure    VT_ENOTFOUND no such model; VT_EEXIST the name is taken by another model; VT_EVERIFY
 *            size or digest differ; VT_ECORRUPT a manifest or file was damaged. */
#ifndef VT_MODEL_STORE_H
#define VT_MODEL_STORE_H

#include "base/hash.h"
#include "base/progress.h"
#include "model/catalogue.h"

typedef struct vt_store vt_store;

enum { VT_STORE_MAX_FILES = 256, VT_STORE_MAX_NAME = 64 };

typedef struct {
    char *name;
    char *path; /* what vt_gguf_open and vt_engine_open take: the first file */
    char *source;
    char *licence;
    char *added;
    uint64_t n_bytes; /* of all files */
    char digest[VT_SHA256_HEX + 1];
    uint8_t stamp[VT_SHA256_BYTES]; /* which files the digest was computed from, and of when */
    bool is_stamped;                /* by vt_store_digest, when it was not the manifest's */
    bool is_stale;         /* a file was touched since: the digest has to be computed again */
    char *packed;          /* path of the packed form of this very model; NULL: none to use */
    uint64_t packed_bytes; /* its length */
    char *packed_problem;  /* why one that should be there is not used; NULL: no reason */
    char *problem;         /* only in lists: why this one cannot be used; NULL: it can */
} vt_store_entry;

void vt_store_entry_deinit(vt_store_entry *entry);

/* `dir` need not exist: then the store is empty, and adding creates it. */
VT_MUSTUSE vt_status vt_store_open(const char *dir, vt_store **out, vt_err *err);
void vt_store_close(vt_store *store);

/* By name; a model that is damaged is in the list with its problem. No bytes are read: whether
 * those of a stale entry were changed, vt_store_digest tells. Free each entry and the array
 * (vt_free). */
VT_MUSTUSE vt_status vt_store_list(vt_store *store, vt_store_entry **out, size_t *n, vt_err *err);
VT_MUSTUSE vt_status vt_store_find(vt_store *store, vt_slice name, vt_store_entry *out,
                                   vt_err *err);

/* The one place where MODEL becomes a file. In this order: a path (it has a '/', or ends in .gguf
 * and exists), a name in the store, any other existing file or directory. For a path that is the
 * file of a stored model, the entry is that model's; for another one name, digest and so on are
 * NULL or empty. A miss is VT_ENOTFOUND, and the message names the near ones, or the command that
 * gets it. */
VT_MUSTUSE vt_status vt_store_resolve(vt_store *store, const char *model, vt_store_entry *out,
                                      vt_err *err);

/* The model's digest: from the manifest while its files are untouched, else from the bytes (and
 * then kept in the manifest when nothing differs; VT_EVERIFY when something does). Also for entries
 * of plain paths. Updates entry->digest, and the packed form of an entry that was stale. */
VT_MUSTUSE vt_status vt_store_digest(vt_store *store, vt_store_entry *entry,
                                     const vt_progress *progress, vt_err *err);

/* For who has read the model's files since its digest was said: are they still those? Another
 * program may have replaced them meanwhile. VT_EVERIFY when they are not, or nobody can say. */
VT_MUSTUSE vt_status vt_store_recheck(vt_store *store, const vt_store_entry *entry, vt_err *err);

/* Where the packed form of a model belongs, there or not; NULL when memory ran out (vt_free). */
char *vt_store_packed_path(const vt_store *store, const vt_store_entry *entry);

/* Note in the manifest that the packed form is there (it has been written), or take it away. The
 * entry is updated. */
VT_MUSTUSE vt_status vt_store_set_packed(vt_store *store, vt_store_entry *entry, bool is_there,
                                         vt_err *err);

typedef struct {
    const char *what;   /* catalogue name, URL or path of a file; for a split, of its first part */
    const char *name;   /* NULL: the catalogue's, else made from the file's name */
    const char *sha256; /* hexadecimal digest that the model must have; NULL: the catalogue's */
    uint32_t pause_ms;  /* vt_fetch_options; 0: its default */
    const vt_progress *progress;
} vt_store_add_options;

typedef struct {
    vt_store_entry entry;
    bool was_there;     /* nothing was done: this very model is in the store */
    bool was_linked;    /* a local file was taken in without using disk space */
    uint64_t n_resumed; /* bytes that an earlier download had left */
} vt_store_added;

/* Download or take in a model, check it, and only then write its manifest. What is no readable GGUF
 * is refused. */
VT_MUSTUSE vt_status vt_store_add(vt_store *store, const vt_store_add_options *options,
                                  vt_store_added *out, vt_err *err);

/* Remove the model and what its downloads left. *n_freed: bytes that the file system has back (a
 * file that has another hard link frees nothing). */
VT_MUSTUSE vt_status vt_store_remove(vt_store *store, vt_slice name, uint64_t *n_freed,
                                     vt_err *err);

#endif
