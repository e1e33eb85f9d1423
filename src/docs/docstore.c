/* docstore.c -- see docstore.h. */
#include "docs/docstore.h"

#include "base/alloc.h"
#include "docs/split.h"
#include "docs/words.h"

enum {
    ADD_DOCUMENT,
    ADD_LABEL,
    ADD_PASSAGE,
    ADD_CHUNK,
    ADD_WORDS,
    COUNT_DOCUMENT,
    REMOVE_WORDS,
    REMOVE_PASSAGES,
    REMOVE_LABELS,
    REMOVE_CHUNKS,
    REMOVE_DOCUMENT,
    FIND_DOCUMENT,
};

/* A header row is the context of each of its rows, in the index and in prompts: a table of
 * thousands of columns must not make every row as expensive as all of them. */
enum { MAX_HEADER_BYTES = 1000 };

/* What the full-text table holds of a passage: computed alike for adding and for removing, since a
 * contentless table is told what to forget. */
#define WORDS_OF_DOCUMENT                                                                    \
    " p.text, ifnull(d.title,'')||char(10)||ifnull(s.text,'')||char(10)||ifnull(h.text,'')"  \
    " FROM passage p JOIN document d ON d.id=p.document LEFT JOIN label s ON s.id=p.section" \
    " LEFT JOIN label h ON h.id=p.header WHERE p.document=?1"

static const char *const sql[VT_DOCSTORE_STATEMENTS] = {
    [ADD_DOCUMENT] = "INSERT INTO document(path,size,mtime_ns,inode,checked_ns,sha256,kind,outcome,"
                     "reason,title,n_lines,n_pages,n_passages,n_words)"
                     " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,0,0)",
    [ADD_LABEL] = "INSERT INTO label(document,line,is_section,text) VALUES(?1,?2,?3,?4)",
    [ADD_PASSAGE] = "INSERT INTO passage(document,start_line,end_line,page,section,header,n_words,"
                    "text) VALUES(?1,?2,?3,?4,?5,?6,?7,?8)",
    [ADD_CHUNK] = "INSERT INTO chunk(document,first_line,n_lines,page,text) VALUES(?1,?2,?3,?4,?5)",
    [ADD_WORDS] = "INSERT INTO fts(rowid,text,context) SELECT p.id," WORDS_OF_DOCUMENT,
    [COUNT_DOCUMENT] = "UPDATE document SET n_passages=?2, n_words=?3 WHERE id=?1",
    [REMOVE_WORDS] =
        "INSERT INTO fts(fts,rowid,text,context) SELECT 'delete',p.id," WORDS_OF_DOCUMENT,
    [REMOVE_PASSAGES] = "DELETE FROM passage WHERE document=?1",
    [REMOVE_LABELS] = "DELETE FROM label WHERE document=?1",
    [REMOVE_CHUNKS] = "DELETE FROM chunk WHERE document=?1",
    [REMOVE_DOCUMENT] = "DELETE FROM document WHERE id=?1",
    [FIND_DOCUMENT] = "SELECT id, outcome, sha256 FROM document WHERE path=?1",
};

vt_status vt_docstore_open(vt_docstore *store, const vt_index *ix, vt_err *err)
{
    *store = (vt_docstore){.ix = ix};
    for (int i = 0; i < VT_DOCSTORE_STATEMENTS; i++) {
        vt_status st = vt_index_prepare(ix, sql[i], &store->statements[i], err);
        if (st != VT_OK) {
            vt_docstore_close(store);
            return st;
        }
    }
    return VT_OK;
}

void vt_docstore_close(vt_docstore *store)
{
    for (int i = 0; i < VT_DOCSTORE_STATEMENTS; i++) sqlite3_finalize(store->statements[i]);
    *store = (vt_docstore){0};
}

static void bind_text(sqlite3_stmt *s, int i, vt_slice text)
{
    sqlite3_bind_text64(s, i, text.ptr ? text.ptr : "", text.len, SQLITE_STATIC, SQLITE_UTF8);
}

/* Runs a statement that gives no rows. */
static vt_status run(vt_docstore *store, int which, const char *doing, vt_err *err)
{
    sqlite3_stmt *s = store->statements[which];
    int rc = sqlite3_step(s);
    vt_status st = VT_OK;
    if (rc != SQLITE_DONE && rc != SQLITE_ROW) st = vt_index_fail(store->ix, rc, doing, err);
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
    return st;
}

typedef struct {
    vt_docstore *store;
    const vt_document *doc;
    int64_t id;
    int64_t first_section; /* label id of section 0; the others follow */
    int32_t header;        /* line index of the label `header_label`; -1: none yet */
    int64_t header_label;
    int64_t n_passages;
    int64_t n_words;
    vt_buffer scratch;
    vt_status status;
    vt_err *err;
} adder;

static vt_status add_label(adder *a, size_t i_line, bool is_section, vt_slice text, int64_t *id)
{
    sqlite3_stmt *s = a->store->statements[ADD_LABEL];
    sqlite3_bind_int64(s, 1, a->id);
    sqlite3_bind_int64(s, 2, (int64_t)i_line + 1);
    sqlite3_bind_int(s, 3, is_section);
    bind_text(s, 4, text);
    vt_status st = run(a->store, ADD_LABEL, "add a section", a->err);
    *id = sqlite3_last_insert_rowid(a->store->ix->db);
    return st;
}

/* Rows of one table follow each other, so remembering the last header is enough. */
static vt_status header_label(adder *a, int32_t header)
{
    if (header == a->header) return VT_OK;
    vt_buffer_clear(&a->scratch);
    if (!vt_split_render(a->doc, (size_t)header, &a->scratch))
        return vt_buffer_status(&a->scratch, "a header row", a->err);
    a->header = header;
    vt_slice text = vt_slice_trim(vt_buffer_slice(&a->scratch));
    if (text.len > MAX_HEADER_BYTES) {
        text.len = MAX_HEADER_BYTES;
        while (text.len > 0 && ((unsigned char)text.ptr[text.len] & 0xC0) == 0x80) text.len--;
    }
    return add_label(a, (size_t)header, false, text, &a->header_label);
}

static int64_t count_words(vt_slice text)
{
    vt_words words = vt_words_of(text);
    vt_word w;
    int64_t n = 0;
    while (vt_words_next(&words, &w)) n++;
    return n;
}

static bool add_passage(void *ctx, const vt_piece *piece)
{
    adder *a = ctx;
    if (piece->header >= 0) a->status = header_label(a, piece->header);
    if (a->status != VT_OK) return false;
    int64_t n_words = count_words(piece->text);
    sqlite3_stmt *s = a->store->statements[ADD_PASSAGE];
    sqlite3_bind_int64(s, 1, a->id);
    sqlite3_bind_int64(s, 2, (int64_t)piece->first + 1);
    sqlite3_bind_int64(s, 3, (int64_t)piece->last + 1);
    sqlite3_bind_int(s, 4, piece->page);
    if (piece->section >= 0) sqlite3_bind_int64(s, 5, a->first_section + piece->section);
    if (piece->header >= 0) sqlite3_bind_int64(s, 6, a->header_label);
    sqlite3_bind_int64(s, 7, n_words);
    bind_text(s, 8, piece->text);
    a->status = run(a->store, ADD_PASSAGE, "add a passage", a->err);
    a->n_passages++;
    a->n_words += n_words;
    return a->status == VT_OK;
}

static vt_status add_chunks(adder *a)
{
    const vt_document *doc = a->doc;
    vt_status st = VT_OK;
    for (size_t i = 0; i < doc->n_lines && st == VT_OK;) {
        size_t start = doc->lines[i].start;
        size_t n = 1;
        while (n < VT_CHUNK_LINES && i + n < doc->n_lines &&
               doc->lines[i + n].page == doc->lines[i].page &&
               doc->lines[i + n].start + doc->lines[i + n].len - start <= VT_CHUNK_BYTES)
            n++;
        const vt_doc_line *last = &doc->lines[i + n - 1];
        sqlite3_stmt *s = a->store->statements[ADD_CHUNK];
        sqlite3_bind_int64(s, 1, a->id);
        sqlite3_bind_int64(s, 2, (int64_t)i + 1);
        sqlite3_bind_int64(s, 3, (int64_t)n);
        sqlite3_bind_int(s, 4, doc->lines[i].page);
        bind_text(s, 5, (vt_slice){doc->text.ptr + start, last->start + last->len - start});
        st = run(a->store, ADD_CHUNK, "add lines", a->err);
        i += n;
    }
    return st;
}

static vt_status add_content(adder *a)
{
    vt_status st = VT_OK;
    for (size_t i = 0; i < a->doc->n_sections && st == VT_OK; i++) {
        int64_t id;
        const vt_doc_section *section = &a->doc->sections[i];
        st = add_label(a, (size_t)section->i_line, true, vt_slice_cstr(section->path), &id);
        if (i == 0) a->first_section = id;
    }
    if (st == VT_OK) st = add_chunks(a);
    if (st == VT_OK) {
        st = vt_split(a->doc, add_passage, a, a->err);
        if (a->status != VT_OK) st = a->status;
    }
    if (st != VT_OK) return st;
    sqlite3_bind_int64(a->store->statements[ADD_WORDS], 1, a->id);
    st = run(a->store, ADD_WORDS, "add words", a->err);
    sqlite3_stmt *s = a->store->statements[COUNT_DOCUMENT];
    sqlite3_bind_int64(s, 1, a->id);
    sqlite3_bind_int64(s, 2, a->n_passages);
    sqlite3_bind_int64(s, 3, a->n_words);
    return st != VT_OK ? st : run(a->store, COUNT_DOCUMENT, "count passages", a->err);
}

static void bind_file(sqlite3_stmt *s, const vt_docstore_file *file)
{
    sqlite3_bind_blob64(s, 1, file->path.ptr, file->path.len, SQLITE_STATIC);
    sqlite3_bind_int64(s, 2, file->size);
    sqlite3_bind_int64(s, 3, file->mtime_ns);
    sqlite3_bind_int64(s, 4, file->inode);
    sqlite3_bind_int64(s, 5, file->checked_ns);
}

vt_status vt_docstore_add(vt_docstore *store, const vt_docstore_file *file, const vt_document *doc,
                          vt_err *err)
{
    sqlite3_stmt *s = store->statements[ADD_DOCUMENT];
    bind_file(s, file);
    if (file->has_sha256) sqlite3_bind_blob(s, 6, file->sha256, VT_SHA256_BYTES, SQLITE_STATIC);
    sqlite3_bind_int(s, 7, (int)file->kind);
    sqlite3_bind_int(s, 8, (int)file->outcome);
    if (file->reason != NULL) bind_text(s, 9, vt_slice_cstr(file->reason));
    if (doc != NULL && doc->title != NULL) bind_text(s, 10, vt_slice_cstr(doc->title));
    sqlite3_bind_int64(s, 11, doc ? (int64_t)doc->n_lines : 0);
    sqlite3_bind_int(s, 12, doc ? doc->n_pages : 0);
    vt_status st = run(store, ADD_DOCUMENT, "add a document", err);
    if (st != VT_OK || doc == NULL) return st;

    adder a = {
        .store = store,
        .doc = doc,
        .id = sqlite3_last_insert_rowid(store->ix->db),
        .header = -1,
        .err = err,
    };
    vt_buffer_init(&a.scratch, 64 << 20);
    st = add_content(&a);
    vt_buffer_deinit(&a.scratch);
    return st;
}

vt_status vt_docstore_remove(vt_docstore *store, int64_t id, vt_err *err)
{
    for (int i = REMOVE_WORDS; i <= REMOVE_DOCUMENT; i++) {
        sqlite3_bind_int64(store->statements[i], 1, id);
        vt_status st = run(store, i, "remove a document", err);
        if (st != VT_OK) return st;
    }
    return VT_OK;
}

vt_status vt_docstore_touch(vt_docstore *store, int64_t id, const vt_docstore_file *file,
                            vt_err *err)
{
    sqlite3_stmt *s = NULL;
    vt_status st = vt_index_prepare(store->ix,
                                    "UPDATE document SET path=?1, size=?2, mtime_ns=?3, inode=?4,"
                                    " checked_ns=?5 WHERE id=?6",
                                    &s, err);
    if (st != VT_OK) return st;
    bind_file(s, file);
    sqlite3_bind_int64(s, 6, id);
    int rc = sqlite3_step(s);
    if (rc != SQLITE_DONE) st = vt_index_fail(store->ix, rc, "update a document", err);
    sqlite3_finalize(s);
    return st;
}

vt_status vt_docstore_find(vt_docstore *store, const vt_docstore_file *file, int64_t *id,
                           bool *is_same, vt_err *err)
{
    sqlite3_stmt *s = store->statements[FIND_DOCUMENT];
    sqlite3_bind_blob64(s, 1, file->path.ptr, file->path.len, SQLITE_STATIC);
    int rc = sqlite3_step(s);
    *id = 0;
    *is_same = false;
    vt_status st = VT_OK;
    if (rc == SQLITE_ROW) {
        *id = sqlite3_column_int64(s, 0);
        const void *sha = sqlite3_column_blob(s, 2);
        *is_same = file->has_sha256 && sqlite3_column_int(s, 1) == VT_FILE_READ && sha != NULL &&
                   sqlite3_column_bytes(s, 2) == VT_SHA256_BYTES &&
                   memcmp(sha, file->sha256, VT_SHA256_BYTES) == 0;
    } else if (rc != SQLITE_DONE) {
        st = vt_index_fail(store->ix, rc, "look a document up", err);
    }
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
    return st;
}
