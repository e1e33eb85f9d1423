/* library.c -- see library.h. Each call runs on the folders' indexes; one that turns out damaged is
 * rebuilt and refreshed, and the call made again. */
#include "docs/library.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "docs/index.h"
#include "docs/search.h"

enum { MAX_FOLDERS = 64, MAX_SHOWN_LINES = 1 << 20 };

struct vt_library {
    vt_library_options options;
    char *data_dir;
    vt_index *indexes;
    size_t n;
};

vt_status vt_library_open(const char *const *folders, size_t n_folders,
                          const vt_library_options *options, vt_library **out, vt_err *err)
{
    if (n_folders == 0 || n_folders > MAX_FOLDERS)
        return vt_fail(err, VT_EINPUT, "1 to %d folders can be searched together, not %zu",
                       (int)MAX_FOLDERS, n_folders);
    vt_status st = VT_OK;
    vt_library *lib = vt_calloc(1, sizeof *lib);
    if (lib == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    lib->options = *options;
    lib->indexes = vt_calloc(n_folders, sizeof *lib->indexes);
    if (options->data_dir != NULL) lib->data_dir = vt_strdup(vt_slice_cstr(options->data_dir));
    lib->options.data_dir = lib->data_dir;
    if (lib->indexes == NULL || (options->data_dir != NULL && lib->data_dir == NULL))
        st = vt_fail(err, VT_ENOMEM, "out of memory");
    for (size_t i = 0; i < n_folders && st == VT_OK; i++) {
        st = vt_index_open(folders[i], &lib->options, &lib->indexes[lib->n], err);
        if (st != VT_OK) break;
        lib->n++;
        /* The same folder twice would give each passage twice. */
        for (size_t k = 0; k + 1 < lib->n; k++) {
            if (strcmp(lib->indexes[k].path, lib->indexes[lib->n - 1].path) != 0) continue;
            vt_index_close(&lib->indexes[--lib->n]);
            break;
        }
    }
    if (st != VT_OK) vt_library_close(lib);
    else *out = lib;
    return st;
}

void vt_library_close(vt_library *lib)
{
    if (lib == NULL) return;
    for (size_t i = 0; i < lib->n; i++) vt_index_close(&lib->indexes[i]);
    vt_free(lib->indexes);
    vt_free(lib->data_dir);
    vt_free(lib);
}

bool vt_report_note(vt_report *report, char *file, const char *reason, bool is_error)
{
    if (is_error) report->n_errors++;
    else report->n_skipped++;
    char *copy = vt_strdup(vt_slice_cstr(reason));
    if (file == NULL || copy == NULL ||
        !vt_grow((void **)&report->notes, &report->cap_notes, report->n_notes + 1,
                 sizeof *report->notes, VT_REPORT_NOTES)) {
        vt_free(file);
        vt_free(copy);
        return false;
    }
    report->notes[report->n_notes++] = (vt_note){file, copy, is_error};
    return true;
}

static void drop_notes(vt_report *report, size_t from)
{
    while (report->n_notes > from) {
        vt_note *n = &report->notes[--report->n_notes];
        vt_free(n->file);
        vt_free(n->reason);
    }
}

void vt_report_deinit(vt_report *report)
{
    drop_notes(report, 0);
    vt_free(report->notes);
    *report = (vt_report){0};
}

/* One folder; a damaged index is rebuilt once, and the report starts over for this folder. */
static vt_status refresh_one(vt_library *lib, vt_index *ix, const vt_progress *progress,
                             vt_report *report, vt_err *err)
{
    vt_report before = *report;
    vt_status st = vt_index_refresh(ix, &lib->options, progress, report, err);
    if (st == VT_ECORRUPT) {
        drop_notes(report, before.n_notes);
        vt_note *notes = report->notes;
        size_t cap = report->cap_notes;
        *report = before;
        report->notes = notes;
        report->cap_notes = cap;
        st = vt_index_rebuild(ix, err);
        if (st == VT_OK) st = vt_index_refresh(ix, &lib->options, progress, report, err);
    }
    if (ix->was_rebuilt) report->was_rebuilt = true;
    return st;
}

vt_status vt_library_refresh(vt_library *lib, const vt_progress *progress, vt_report *report,
                             vt_err *err)
{
    vt_report own = {0};
    vt_report *r = report ? report : &own;
    double start = vt_clock_seconds();
    vt_status st = VT_OK;
    *r = (vt_report){0};
    for (size_t i = 0; i < lib->n && st == VT_OK; i++)
        st = refresh_one(lib, &lib->indexes[i], progress, r, err);
    r->seconds = vt_clock_seconds() - start;
    vt_report_deinit(&own);
    return st;
}

/* Rebuilds every index that fails its check: a search can't tell whose damage it met. */
static vt_status repair(vt_library *lib, vt_err *err)
{
    vt_report report = {0};
    vt_status st = VT_OK;
    for (size_t i = 0; i < lib->n && st == VT_OK; i++) {
        vt_index *ix = &lib->indexes[i];
        sqlite3_stmt *s = NULL;
        int rc = ix->db ? sqlite3_prepare_v2(ix->db, "PRAGMA quick_check(1)", -1, &s, NULL)
                        : SQLITE_CORRUPT;
        bool is_fine = rc == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW &&
                       sqlite3_column_text(s, 0) != NULL &&
                       strcmp((const char *)sqlite3_column_text(s, 0), "ok") == 0;
        sqlite3_finalize(s);
        if (is_fine && ix->db != NULL)
            is_fine = sqlite3_exec(ix->db, "INSERT INTO fts(fts) VALUES('integrity-check')", NULL,
                                   NULL, NULL) == SQLITE_OK;
        if (is_fine) continue;
        st = vt_index_rebuild(ix, err);
        if (st == VT_OK) st = vt_index_refresh(ix, &lib->options, NULL, &report, err);
    }
    vt_report_deinit(&report);
    return st;
}

vt_status vt_library_search(vt_library *lib, vt_slice query, size_t k, vt_passages *out,
                            vt_err *err)
{
    vt_status st = vt_search(lib->indexes, lib->n, query, k, out, err);
    if (st != VT_ECORRUPT) return st;
    st = repair(lib, err);
    return st == VT_OK ? vt_search(lib->indexes, lib->n, query, k, out, err) : st;
}

/* The path below the folder when a shown name is of this index; false: it isn't. */
static bool path_below(const vt_index *ix, vt_slice file, vt_slice *path)
{
    vt_slice given = vt_slice_cstr(ix->given);
    while (vt_slice_starts(file, VT_S("./"))) file = vt_slice_skip(file, 2);
    if (given.len == 0) {
        *path = file;
        return true;
    }
    if (!vt_slice_starts(file, given)) return false;
    vt_slice rest = vt_slice_skip(file, given.len);
    if (!vt_slice_eq(given, VT_S("/"))) {
        if (rest.len == 0 || rest.ptr[0] != '/') return false;
        rest = vt_slice_skip(rest, 1);
    }
    *path = rest;
    return true;
}

typedef struct {
    int64_t id, n_lines;
    char *title;
} found_document;

static vt_status find_document(const vt_index *ix, vt_slice path, found_document *out, vt_err *err)
{
    sqlite3_stmt *s = NULL;
    vt_status st = vt_index_prepare(
        ix, "SELECT id, n_lines, title FROM document WHERE path=?1 AND outcome=0", &s, err);
    if (st != VT_OK) return st;
    sqlite3_bind_blob64(s, 1, path.ptr ? path.ptr : "", path.len, SQLITE_STATIC);
    int rc = sqlite3_step(s);
    *out = (found_document){0};
    if (rc == SQLITE_ROW) {
        out->id = sqlite3_column_int64(s, 0);
        out->n_lines = sqlite3_column_int64(s, 1);
        out->title = vt_strdup(vt_slice_cstr((const char *)sqlite3_column_text(s, 2)));
        if (out->title == NULL) st = vt_fail(err, VT_ENOMEM, "out of memory");
    } else if (rc != SQLITE_DONE) {
        st = vt_index_fail(ix, rc, "look a document up", err);
    }
    sqlite3_finalize(s);
    return st;
}

/* Hands out the lines of one chunk that are asked for. */
static bool take_lines(sqlite3_stmt *s, int64_t first, int64_t last, vt_lines *out)
{
    int64_t number = sqlite3_column_int64(s, 0);
    int page = sqlite3_column_int(s, 1);
    const void *bytes = sqlite3_column_text(s, 2);
    vt_slice text = vt_slice_of(bytes, (size_t)sqlite3_column_bytes(s, 2));
    int64_t n = sqlite3_column_int64(s, 3);
    for (int64_t i = 0; i < n && number <= last; i++, number++) {
        size_t len = vt_slice_find(text, VT_S("\n"));
        if (number >= first) {
            char *copy = vt_strdup(vt_slice_take(text, len));
            if (copy == NULL) return false;
            out->items[out->n++] = (vt_line){number, page, copy};
        }
        text = vt_slice_skip(text, len + 1);
    }
    return true;
}

static vt_status load_lines(const vt_index *ix, int64_t id, int64_t first, int64_t last,
                            vt_lines *out, vt_err *err)
{
    sqlite3_stmt *s = NULL;
    vt_status st = vt_index_prepare(ix,
                                    "SELECT first_line, page, text, n_lines FROM chunk WHERE"
                                    " document=?1 AND first_line<=?3 AND first_line+n_lines>?2 AND"
                                    " first_line>?2-?4 ORDER BY first_line",
                                    &s, err);
    if (st != VT_OK) return st;
    sqlite3_bind_int64(s, 1, id);
    sqlite3_bind_int64(s, 2, first);
    sqlite3_bind_int64(s, 3, last);
    sqlite3_bind_int64(s, 4, VT_CHUNK_LINES);
    int rc;
    bool is_ok = true;
    while (is_ok && (rc = sqlite3_step(s)) == SQLITE_ROW) is_ok = take_lines(s, first, last, out);
    if (!is_ok) st = vt_fail(err, VT_ENOMEM, "out of memory");
    else if (rc != SQLITE_DONE) st = vt_index_fail(ix, rc, "read lines", err);
    sqlite3_finalize(s);
    return st;
}

static vt_status load_section(const vt_index *ix, int64_t id, int64_t line, char **out, vt_err *err)
{
    sqlite3_stmt *s = NULL;
    vt_status st = vt_index_prepare(ix,
                                    "SELECT text FROM label WHERE document=?1 AND line<=?2 AND"
                                    " is_section ORDER BY line DESC, id DESC LIMIT 1",
                                    &s, err);
    if (st != VT_OK) return st;
    sqlite3_bind_int64(s, 1, id);
    sqlite3_bind_int64(s, 2, line);
    int rc = sqlite3_step(s);
    const char *text = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(s, 0) : NULL;
    *out = vt_strdup(vt_slice_cstr(text));
    sqlite3_finalize(s);
    return *out ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory");
}

static vt_status lines_of(const vt_index *ix, found_document *d, int64_t first, int64_t last,
                          vt_lines *out, vt_err *err)
{
    if (last > d->n_lines) last = d->n_lines;
    if (last - first >= MAX_SHOWN_LINES)
        return vt_fail(err, VT_ELIMIT, "more than %d lines at once", (int)MAX_SHOWN_LINES);
    out->n_total = d->n_lines;
    out->items = vt_calloc((size_t)(last - first + 1), sizeof *out->items);
    if (out->items == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    vt_status st = load_lines(ix, d->id, first, last, out, err);
    if (st == VT_OK) st = load_section(ix, d->id, first, &out->section, err);
    out->title = d->title;
    d->title = NULL;
    return st;
}

vt_status vt_library_lines(vt_library *lib, vt_slice file, int64_t first, int64_t last,
                           vt_lines *out, vt_err *err)
{
    *out = (vt_lines){0};
    if (first < 1 || last < first)
        return vt_fail(err, VT_EINPUT, "lines %lld to %lld: they count from 1 upwards",
                       (long long)first, (long long)last);
    for (size_t i = 0; i < lib->n; i++) {
        vt_slice path;
        found_document d = {0};
        if (!path_below(&lib->indexes[i], file, &path)) continue;
        vt_status st = find_document(&lib->indexes[i], path, &d, err);
        if (st == VT_OK && d.id == 0) continue;
        if (st == VT_OK && first > d.n_lines)
            st = vt_fail(err, VT_ENOTFOUND, "%.200s has %lld lines, no line %lld",
                         lib->indexes[i].given[0] ? lib->indexes[i].given : "the file",
                         (long long)d.n_lines, (long long)first);
        if (st == VT_OK) st = lines_of(&lib->indexes[i], &d, first, last, out, err);
        vt_free(d.title);
        if (st != VT_OK) vt_lines_deinit(out);
        return st;
    }
    return vt_fail(err, VT_ENOTFOUND, "no document %.*s in the index", VT_ARG(file));
}

void vt_lines_deinit(vt_lines *lines)
{
    for (size_t i = 0; i < lines->n; i++) vt_free(lines->items[i].text);
    vt_free(lines->items);
    vt_free(lines->title);
    vt_free(lines->section);
    *lines = (vt_lines){0};
}

static vt_status load_info(const vt_index *ix, sqlite3_stmt *s, vt_doc_infos *out, size_t *cap,
                           vt_err *err)
{
    const void *path = sqlite3_column_blob(s, 0);
    vt_doc_info info = {
        .file = vt_index_shown_name(ix, vt_slice_of(path, (size_t)sqlite3_column_bytes(s, 0))),
        .kind = (vt_doc_kind)sqlite3_column_int(s, 1),
        .title = vt_strdup(vt_slice_cstr((const char *)sqlite3_column_text(s, 2))),
        .n_lines = sqlite3_column_int64(s, 3),
        .n_pages = sqlite3_column_int64(s, 4),
        .n_passages = sqlite3_column_int64(s, 5),
        .n_bytes = (uint64_t)sqlite3_column_int64(s, 6),
    };
    if (info.file == NULL || info.title == NULL ||
        !vt_grow((void **)&out->items, cap, out->n + 1, sizeof *out->items, SIZE_MAX / 2)) {
        vt_free(info.file);
        vt_free(info.title);
        return vt_fail(err, VT_ENOMEM, "out of memory");
    }
    out->items[out->n++] = info;
    return VT_OK;
}

vt_status vt_library_documents(vt_library *lib, vt_doc_infos *out, vt_err *err)
{
    vt_status st = VT_OK;
    size_t cap = 0;
    *out = (vt_doc_infos){0};
    for (size_t i = 0; i < lib->n && st == VT_OK; i++) {
        sqlite3_stmt *s = NULL;
        const vt_index *ix = &lib->indexes[i];
        st = vt_index_prepare(ix,
                              "SELECT path, kind, title, n_lines, n_pages, n_passages, size"
                              " FROM document WHERE outcome=0 ORDER BY path",
                              &s, err);
        int rc = SQLITE_DONE;
        while (st == VT_OK && (rc = sqlite3_step(s)) == SQLITE_ROW)
            st = load_info(ix, s, out, &cap, err);
        if (st == VT_OK && rc != SQLITE_DONE) st = vt_index_fail(ix, rc, "list documents", err);
        sqlite3_finalize(s);
    }
    if (st != VT_OK) vt_doc_infos_deinit(out);
    return st;
}

void vt_doc_infos_deinit(vt_doc_infos *infos)
{
    for (size_t i = 0; i < infos->n; i++) {
        vt_free(infos->items[i].file);
        vt_free(infos->items[i].title);
    }
    vt_free(infos->items);
    *infos = (vt_doc_infos){0};
}
