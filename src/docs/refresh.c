/* refresh.c -- bringing one folder's index up to date: see index.h and library.h.
 *
 * The folder's files and the index's rows are both sorted by path and compared like two lists:
 *   in both, same size, time and inode       unchanged: nothing is read
 *   in both, but different                   read; same SHA-256: only the row's stat is renewed
 *   only in the folder                       read; same SHA-256 as a row whose file is gone:
 * renamed only in the index                        removed, after the renames had their chance A
 * file changed within two seconds of being looked at counts as different next time: its clock may
 * not tell the next change.
 *
 * Reading happens outside of transactions, writing in batches; before a batch is written, a row may
 * have come from another process doing the same, and is then left alone. */
#include "docs/index.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "docs/extract.h"
#include "docs/docstore.h"
#include "docs/walk.h"

enum { BATCH_BYTES = 8 << 20, BATCH_FILES = 256, MAX_KNOWN = VT_WALK_FILES };
static const double BATCH_SECONDS = 1.0;
static const int64_t RACY_NS = 2000000000;

typedef struct {
    int64_t id;
    char *path;
    int64_t size, mtime_ns, inode, checked_ns;
    vt_file_outcome outcome;
    char *reason;
    bool has_sha256;
    uint8_t sha256[VT_SHA256_BYTES];
    bool is_gone; /* its file isn't in the folder any more */
} known;

typedef struct {
    vt_index *ix;
    vt_extract_options extract;
    const vt_progress *progress;
    vt_report *report;
    vt_docstore store;
    vt_walk walk;
    known *rows;
    size_t n_rows;
    size_t cap_rows;
    known **gone; /* by SHA-256, those that a rename may take */
    size_t n_gone;
    bool in_batch;
    double batch_start;
    size_t batch_files, batch_bytes;
    vt_buffer bytes; /* the file being read */
    double last_report;
} refresher;

static vt_status exec(refresher *r, const char *sql, const char *doing, vt_err *err)
{
    int rc = sqlite3_exec(r->ix->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? VT_OK : vt_index_fail(r->ix, rc, doing, err);
}

static vt_status begin(refresher *r, vt_err *err)
{
    if (r->in_batch) return VT_OK;
    vt_status st = exec(r, "BEGIN IMMEDIATE", "begin a batch", err);
    if (st != VT_OK) return st;
    r->in_batch = true;
    r->batch_start = vt_clock_seconds();
    r->batch_files = r->batch_bytes = 0;
    return VT_OK;
}

static vt_status commit(refresher *r, vt_err *err)
{
    if (!r->in_batch) return VT_OK;
    vt_status st = exec(r, "COMMIT", "commit a batch", err);
    if (st == VT_OK) r->in_batch = false;
    return st;
}

static vt_status commit_when_full(refresher *r, vt_err *err)
{
    bool is_full = r->batch_files >= BATCH_FILES || r->batch_bytes >= BATCH_BYTES ||
                   vt_clock_seconds() - r->batch_start > BATCH_SECONDS;
    return is_full ? commit(r, err) : VT_OK;
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static vt_status load_row(refresher *r, sqlite3_stmt *s, vt_err *err)
{
    if (!vt_grow((void **)&r->rows, &r->cap_rows, r->n_rows + 1, sizeof *r->rows, MAX_KNOWN))
        return vt_fail(err, VT_ENOMEM, "out of memory");
    known k = {
        .id = sqlite3_column_int64(s, 0),
        .size = sqlite3_column_int64(s, 2),
        .mtime_ns = sqlite3_column_int64(s, 3),
        .inode = sqlite3_column_int64(s, 4),
        .checked_ns = sqlite3_column_int64(s, 5),
        .outcome = (vt_file_outcome)sqlite3_column_int(s, 6),
    };
    const void *path = sqlite3_column_blob(s, 1);
    k.path = vt_strdup(vt_slice_of(path, (size_t)sqlite3_column_bytes(s, 1)));
    const char *reason = (const char *)sqlite3_column_text(s, 7);
    k.reason = reason ? vt_strdup(vt_slice_cstr(reason)) : NULL;
    if (sqlite3_column_bytes(s, 8) == VT_SHA256_BYTES) {
        memcpy(k.sha256, sqlite3_column_blob(s, 8), VT_SHA256_BYTES);
        k.has_sha256 = true;
    }
    if (k.path == NULL || (reason != NULL && k.reason == NULL)) {
        vt_free(k.path);
        vt_free(k.reason);
        return vt_fail(err, VT_ENOMEM, "out of memory");
    }
    r->rows[r->n_rows++] = k;
    return VT_OK;
}

static vt_status load_rows(refresher *r, vt_err *err)
{
    sqlite3_stmt *s = NULL;
    vt_status st = vt_index_prepare(r->ix,
                                    "SELECT id, path, size, mtime_ns, inode, checked_ns, outcome,"
                                    " reason, sha256 FROM document ORDER BY path",
                                    &s, err);
    if (st != VT_OK) return st;
    int rc;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW && st == VT_OK) st = load_row(r, s, err);
    if (st == VT_OK && rc != SQLITE_DONE) st = vt_index_fail(r->ix, rc, "list documents", err);
    sqlite3_finalize(s);
    return st;
}

static int by_sha256(const void *a, const void *b)
{
    return memcmp((*(known *const *)a)->sha256, (*(known *const *)b)->sha256, VT_SHA256_BYTES);
}

/* Both lists are sorted; marks rows without a file. */
static vt_status find_gone(refresher *r, vt_err *err)
{
    size_t i_file = 0;
    size_t n = 0;
    for (size_t i = 0; i < r->n_rows; i++) {
        while (i_file < r->walk.n && strcmp(r->walk.items[i_file].path, r->rows[i].path) < 0)
            i_file++;
        r->rows[i].is_gone =
            i_file >= r->walk.n || strcmp(r->walk.items[i_file].path, r->rows[i].path) != 0;
        n += r->rows[i].is_gone && r->rows[i].has_sha256 && r->rows[i].outcome == VT_FILE_READ;
    }
    r->gone = vt_calloc(n, sizeof *r->gone);
    if (r->gone == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    for (size_t i = 0; i < r->n_rows; i++) {
        known *k = &r->rows[i];
        if (k->is_gone && k->has_sha256 && k->outcome == VT_FILE_READ) r->gone[r->n_gone++] = k;
    }
    if (r->n_gone > 1) qsort(r->gone, r->n_gone, sizeof *r->gone, by_sha256);
    return VT_OK;
}

/* A row whose file is gone and had this content; it is taken. */
static known *take_renamed(refresher *r, const vt_docstore_file *file)
{
    known key;
    memcpy(key.sha256, file->sha256, VT_SHA256_BYTES);
    size_t low = 0;
    size_t high = r->n_gone;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (memcmp(r->gone[mid]->sha256, key.sha256, VT_SHA256_BYTES) < 0) low = mid + 1;
        else high = mid;
    }
    for (; low < r->n_gone && memcmp(r->gone[low]->sha256, key.sha256, VT_SHA256_BYTES) == 0;
         low++) {
        vt_doc_kind before;
        const char *reason;
        if (!r->gone[low]->is_gone) continue; /* taken already */
        /* The same bytes as .txt and as .md are different documents. */
        if (!vt_extract_kind(vt_slice_cstr(r->gone[low]->path), &before, &reason) ||
            before != file->kind)
            continue;
        r->gone[low]->is_gone = false;
        return r->gone[low];
    }
    return NULL;
}

static void note(refresher *r, const char *path, const char *reason, bool is_error)
{
    vt_report_note(r->report, vt_index_shown_name(r->ix, vt_slice_cstr(path)), reason, is_error);
}

/* Opens and reads the file into r->bytes; fills in what fstat says. The reason for VT_EIO and
 * VT_ELIMIT is the file's own trouble. */
static vt_status read_bytes(refresher *r, int *fd, vt_docstore_file *file, vt_err *err)
{
    struct stat info;
    vt_buffer_clear(&r->bytes);
    *fd = vt_walk_open(r->ix->dirfd, file->path.ptr, false);
    if (*fd < 0) {
        if (errno == ENOENT) return vt_fail(err, VT_ENOTFOUND, "it vanished");
        return vt_fail(err, VT_EIO, "%s", strerrordesc_np(errno));
    }
    if (fstat(*fd, &info) != 0 || !S_ISREG(info.st_mode))
        return vt_fail(err, VT_EIO, "not a regular file");
    file->size = info.st_size;
    file->mtime_ns = vt_walk_mtime_ns(&info);
    file->inode = (int64_t)info.st_ino;
    uint64_t limit = r->extract.limits.file_bytes;
    if ((uint64_t)info.st_size > limit)
        return vt_fail(err, VT_ELIMIT, "%lld bytes are over the limit of %llu",
                       (long long)info.st_size, (unsigned long long)limit);
    for (;;) {
        if (r->bytes.len > limit)
            return vt_fail(err, VT_ELIMIT, "it grew over the limit of %llu bytes",
                           (unsigned long long)limit);
        /* One byte more than the rest: the read that finds the end. */
        size_t want =
            r->bytes.len < (size_t)info.st_size ? (size_t)info.st_size - r->bytes.len + 1 : 65536;
        if (!vt_buffer_reserve(&r->bytes, want)) return vt_fail(err, VT_ENOMEM, "out of memory");
        ssize_t n = read(*fd, r->bytes.ptr + r->bytes.len, want);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return vt_fail(err, VT_EIO, "%s", strerrordesc_np(errno));
        if (n == 0) break;
        r->bytes.len += (size_t)n;
    }
    r->bytes.ptr[r->bytes.len] = '\0';
    vt_status st = vt_sha256_bytes(vt_buffer_slice(&r->bytes), file->sha256, err);
    file->has_sha256 = st == VT_OK;
    return st;
}

/* Puts the outcome in the index in place of what was there. */
static vt_status write_file(refresher *r, const vt_docstore_file *file, const vt_document *doc,
                            vt_err *err)
{
    int64_t id;
    bool is_same;
    vt_status st = begin(r, err);
    if (st == VT_OK) st = vt_docstore_find(&r->store, file, &id, &is_same, err);
    if (st != VT_OK) return st;
    if (is_same && file->outcome == VT_FILE_READ) {
        r->report->n_unchanged++; /* by another process, meanwhile */
        st = vt_docstore_touch(&r->store, id, file, err);
    } else {
        if (id != 0) st = vt_docstore_remove(&r->store, id, err);
        if (st == VT_OK) st = vt_docstore_add(&r->store, file, doc, err);
        if (file->outcome == VT_FILE_READ) {
            if (id != 0) r->report->n_updated++;
            else r->report->n_added++;
        }
    }
    r->batch_files++;
    r->batch_bytes += doc ? doc->text.len : 0;
    return st == VT_OK ? commit_when_full(r, err) : st;
}

static vt_status touch(refresher *r, int64_t id, const vt_docstore_file *file, vt_err *err)
{
    vt_status st = begin(r, err);
    if (st == VT_OK) st = vt_docstore_touch(&r->store, id, file, err);
    r->batch_files++;
    return st == VT_OK ? commit_when_full(r, err) : st;
}

/* What an extractor's failure means for the file: noted and remembered, noted and tried again next
 * time, or the end of the refresh. */
static vt_status settle_failure(refresher *r, vt_status why, vt_docstore_file *file,
                                const vt_err *reason, vt_err *err)
{
    bool is_lasting = why == VT_EINPUT || why == VT_ELIMIT || why == VT_EUNSUPPORTED;
    if (why == VT_ENOMEM || why == VT_ECANCEL) return vt_fail(err, why, "%s", reason->msg);
    bool is_error = why != VT_EUNSUPPORTED;
    note(r, file->path.ptr, reason->msg, is_error);
    file->outcome = is_error ? VT_FILE_FAILED : VT_FILE_SKIPPED;
    file->reason = reason->msg;
    if (is_lasting) return write_file(r, file, NULL, err);
    /* Not readable now: what the index has of it can't be checked any more, so it goes. */
    int64_t id;
    bool is_same;
    vt_status st = begin(r, err);
    if (st == VT_OK) st = vt_docstore_find(&r->store, file, &id, &is_same, err);
    if (st == VT_OK && id != 0) {
        st = vt_docstore_remove(&r->store, id, err);
        r->report->n_removed++;
    }
    return st;
}

/* One file that is new (row NULL) or looks different from its row. */
static vt_status refresh_file(refresher *r, const vt_walk_file *found, const known *row,
                              vt_err *err)
{
    vt_err reason = {0};
    const char *why_not;
    int fd = -1;
    vt_document doc;
    vt_document_init(&doc, VT_DOC_TEXT, &r->extract.limits);
    vt_docstore_file file = {
        .path = vt_slice_cstr(found->path),
        .size = found->size,
        .mtime_ns = found->mtime_ns,
        .inode = found->inode,
        .checked_ns = now_ns(),
        .outcome = VT_FILE_READ,
    };
    if (!vt_extract_kind(file.path, &file.kind, &why_not)) {
        note(r, found->path, why_not, false);
        return VT_OK;
    }
    vt_status st = read_bytes(r, &fd, &file, &reason);
    if (st != VT_OK) {
        st = settle_failure(r, st, &file, &reason, err);
        goto out;
    }
    if (row != NULL && row->has_sha256 && row->outcome == VT_FILE_READ &&
        memcmp(row->sha256, file.sha256, VT_SHA256_BYTES) == 0) {
        r->report->n_unchanged++;
        st = touch(r, row->id, &file, err);
        goto out;
    }
    const known *renamed = row == NULL ? take_renamed(r, &file) : NULL;
    if (renamed != NULL) {
        r->report->n_renamed++;
        st = touch(r, renamed->id, &file, err);
        goto out;
    }
    /* A reader in the sandbox may take long: no lock is held meanwhile. */
    if (file.kind == VT_DOC_PDF) st = commit(r, err);
    if (st != VT_OK) goto out;
    st = vt_extract_file(fd, vt_buffer_slice(&r->bytes), file.path, &r->extract, &doc, &reason);
    if (st == VT_OK) {
        file.kind = doc.kind;
        st = write_file(r, &file, &doc, err);
    } else {
        st = settle_failure(r, st, &file, &reason, err);
    }

out:
    if (fd >= 0) close(fd);
    vt_document_deinit(&doc);
    return st;
}

static bool is_unchanged(const vt_walk_file *f, const known *k)
{
    return f->size == k->size && f->mtime_ns == k->mtime_ns && f->inode == k->inode &&
           f->mtime_ns + RACY_NS < k->checked_ns;
}

static void report_progress(refresher *r, size_t done)
{
    double now = vt_clock_seconds();
    if (now - r->last_report < 0.1 && done != r->walk.n) return;
    r->last_report = now;
    vt_progress_report(r->progress, "indexing", done, r->walk.n);
}

static vt_status refresh_files(refresher *r, vt_err *err)
{
    vt_status st = VT_OK;
    size_t i_row = 0;
    for (size_t i = 0; i < r->walk.n && st == VT_OK; i++) {
        const vt_walk_file *f = &r->walk.items[i];
        while (i_row < r->n_rows && strcmp(r->rows[i_row].path, f->path) < 0) i_row++;
        const known *row =
            i_row < r->n_rows && strcmp(r->rows[i_row].path, f->path) == 0 ? &r->rows[i_row] : NULL;
        report_progress(r, i);
        if (vt_progress_cancelled(r->progress)) return vt_fail(err, VT_ECANCEL, "cancelled");
        if (row != NULL && is_unchanged(f, row)) {
            if (row->outcome == VT_FILE_READ) r->report->n_unchanged++;
            else note(r, f->path, row->reason ? row->reason : "", row->outcome == VT_FILE_FAILED);
            continue;
        }
        st = refresh_file(r, f, row, err);
    }
    if (st == VT_OK) report_progress(r, r->walk.n);
    return st;
}

static vt_status remove_gone(refresher *r, vt_err *err)
{
    vt_status st = VT_OK;
    for (size_t i = 0; i < r->n_rows && st == VT_OK; i++) {
        if (!r->rows[i].is_gone) continue;
        st = begin(r, err);
        if (st == VT_OK) st = vt_docstore_remove(&r->store, r->rows[i].id, err);
        if (r->rows[i].outcome == VT_FILE_READ) r->report->n_removed++;
        r->batch_files++;
        if (st == VT_OK) st = commit_when_full(r, err);
        if (st == VT_OK && vt_progress_cancelled(r->progress))
            st = vt_fail(err, VT_ECANCEL, "cancelled");
    }
    return st;
}

static vt_status count(refresher *r, vt_err *err)
{
    sqlite3_stmt *s = NULL;
    vt_status st = vt_index_prepare(r->ix,
                                    "SELECT count(*), ifnull(sum(n_passages),0),"
                                    " ifnull(sum(n_lines),0) FROM document WHERE outcome=0",
                                    &s, err);
    if (st != VT_OK) return st;
    int rc = sqlite3_step(s);
    if (rc == SQLITE_ROW) {
        r->report->n_documents += (uint64_t)sqlite3_column_int64(s, 0);
        r->report->n_passages += (uint64_t)sqlite3_column_int64(s, 1);
        r->report->n_lines += (uint64_t)sqlite3_column_int64(s, 2);
    } else {
        st = vt_index_fail(r->ix, rc, "count documents", err);
    }
    sqlite3_finalize(s);
    return st;
}

static void deinit(refresher *r)
{
    vt_docstore_close(&r->store);
    if (r->in_batch) sqlite3_exec(r->ix->db, "ROLLBACK", NULL, NULL, NULL);
    for (size_t i = 0; i < r->n_rows; i++) {
        vt_free(r->rows[i].path);
        vt_free(r->rows[i].reason);
    }
    vt_free(r->rows);
    vt_free(r->gone);
    vt_walk_deinit(&r->walk);
    vt_buffer_deinit(&r->bytes);
}

vt_status vt_index_refresh(vt_index *ix, const vt_library_options *options,
                           const vt_progress *progress, vt_report *report, vt_err *err)
{
    refresher r = {
        .ix = ix,
        .extract = {.limits = vt_doc_limits_default(&options->limits),
                    .sandbox = options->sandbox,
                    .is_cancelled = progress ? progress->is_cancelled : NULL},
        .progress = progress,
        .report = report,
    };
    vt_buffer_init(&r.bytes, r.extract.limits.file_bytes + (1 << 20));
    vt_status st = vt_walk_folder(ix, progress, &r.walk, report, err);
    if (st == VT_OK) st = load_rows(&r, err);
    if (st == VT_OK) st = find_gone(&r, err);
    if (st == VT_OK) st = vt_docstore_open(&r.store, ix, err);
    if (st == VT_OK) st = refresh_files(&r, err);
    if (st == VT_OK) st = remove_gone(&r, err);
    /* What was done before a cancel is whole files: keep it. */
    if (st == VT_OK) st = commit(&r, err);
    else if (st == VT_ECANCEL) {
        vt_status kept = commit(&r, NULL);
        (void)kept;
    }
    if (st == VT_OK || st == VT_ECANCEL) {
        vt_status counted = count(&r, st == VT_OK ? err : NULL);
        if (st == VT_OK) st = counted;
    }
    deinit(&r);
    return st;
}
