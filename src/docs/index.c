/* index.c -- opening, creating and rebuilding the database: see index.h. */
#include "docs/index.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utf8proc.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"

/* Rules of words.c and stem.c: raised when they change, so that old indexes are built anew. */
enum { WORD_RULES = 2, BUSY_MS = 20000, RETRY_MS = 5 };

static const char schema[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT) STRICT, WITHOUT ROWID;"
    "CREATE TABLE document(id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, size INTEGER NOT "
    "NULL,"
    " mtime_ns INTEGER NOT NULL, inode INTEGER NOT NULL, checked_ns INTEGER NOT NULL, sha256 BLOB,"
    " kind INTEGER NOT NULL, outcome INTEGER NOT NULL, reason TEXT, title TEXT,"
    " n_lines INTEGER NOT NULL, n_pages INTEGER NOT NULL, n_passages INTEGER NOT NULL,"
    " n_words INTEGER NOT NULL) STRICT;"
    "CREATE INDEX document_sha256 ON document(sha256);"
    "CREATE TABLE label(id INTEGER PRIMARY KEY, document INTEGER NOT NULL, line INTEGER NOT NULL,"
    " is_section INTEGER NOT NULL, text TEXT NOT NULL) STRICT;"
    "CREATE INDEX label_document ON label(document, line);"
    "CREATE TABLE passage(id INTEGER PRIMARY KEY, document INTEGER NOT NULL,"
    " start_line INTEGER NOT NULL, end_line INTEGER NOT NULL, page INTEGER NOT NULL,"
    " section INTEGER, header INTEGER, n_words INTEGER NOT NULL, text TEXT NOT NULL) STRICT;"
    "CREATE INDEX passage_document ON passage(document);"
    "CREATE TABLE chunk(id INTEGER PRIMARY KEY, document INTEGER NOT NULL,"
    " first_line INTEGER NOT NULL, n_lines INTEGER NOT NULL, page INTEGER NOT NULL,"
    " text TEXT NOT NULL) STRICT;"
    "CREATE UNIQUE INDEX chunk_line ON chunk(document, first_line);"
    "CREATE VIRTUAL TABLE fts USING fts5(text, context, content='', tokenize='vetro');";

vt_status vt_index_fail(const vt_index *ix, int rc, const char *doing, vt_err *err)
{
    vt_status st = VT_EIO;
    switch (rc & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT: st = VT_ECORRUPT; break;
    case SQLITE_NOMEM: st = VT_ENOMEM; break;
    case SQLITE_TOOBIG: st = VT_ELIMIT; break;
    case SQLITE_INTERRUPT: st = VT_ECANCEL; break;
    default: break;
    }
    return vt_fail(err, st, "cannot %s in the index %.120s: %.100s", doing, ix->db_path,
                   ix->db != NULL ? sqlite3_errmsg(ix->db) : sqlite3_errstr(rc));
}

vt_status vt_index_prepare(const vt_index *ix, const char *sql, sqlite3_stmt **out, vt_err *err)
{
    int rc = sqlite3_prepare_v2(ix->db, sql, -1, out, NULL);
    /* A statement that doesn't fit means tables that aren't ours: as good as damaged. */
    if (rc == SQLITE_ERROR) {
        vt_index_fail(ix, rc, "prepare a query", err);
        return vt_fail_wrap(err, VT_ECORRUPT, "unexpected tables");
    }
    return rc == SQLITE_OK ? VT_OK : vt_index_fail(ix, rc, "prepare a query", err);
}

static int exec(vt_index *ix, const char *sql)
{
    return sqlite3_exec(ix->db, sql, NULL, NULL, NULL);
}

/* What the index was built with; it is used only when all of it is equal. */
static bool describe_rules(char *out, size_t size)
{
    int n =
        snprintf(out, size, "%d.%d.%s", (int)VT_INDEX_VERSION, (int)WORD_RULES, utf8proc_version());
    return n > 0 && (size_t)n < size;
}

static int read_rules(vt_index *ix, char *out, size_t size)
{
    sqlite3_stmt *stmt = NULL;
    out[0] = '\0';
    int rc =
        sqlite3_prepare_v2(ix->db, "SELECT value FROM meta WHERE key='rules'", -1, &stmt, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(stmt);
        if (rc == SQLITE_ROW) {
            const char *text = (const char *)sqlite3_column_text(stmt, 0);
            if (text != NULL) snprintf(out, size, "%s", text);
        }
    }
    int end = sqlite3_finalize(stmt);
    return rc == SQLITE_ROW ? SQLITE_OK : end;
}

static vt_status create_schema(vt_index *ix, vt_err *err)
{
    char rules[80];
    char sql[160];
    if (!describe_rules(rules, sizeof rules))
        return vt_fail(err, VT_EIO, "cannot name the version");
    int rc = exec(ix, "BEGIN IMMEDIATE");
    if (rc != SQLITE_OK) return vt_index_fail(ix, rc, "create tables", err);
    /* Another process may have been faster. */
    char found[80];
    (void)read_rules(ix, found, sizeof found);
    if (found[0] == '\0') {
        rc = exec(ix, schema);
        snprintf(sql, sizeof sql, "INSERT INTO meta VALUES('rules', '%s')", rules);
        if (rc == SQLITE_OK) rc = exec(ix, sql);
    }
    vt_status st = rc == SQLITE_OK ? VT_OK : vt_index_fail(ix, rc, "create tables", err);
    rc = exec(ix, st == VT_OK ? "COMMIT" : "ROLLBACK");
    if (st == VT_OK && rc != SQLITE_OK) st = vt_index_fail(ix, rc, "create tables", err);
    return st;
}

/* Of several processes that change a new file to WAL at once, all but one are told SQLITE_BUSY:
 * each holds a shared lock while it asks for more, so SQLite doesn't let its busy handler wait. */
static int set_up(vt_index *ix)
{
    int rc;
    double deadline = vt_clock_seconds() + 1e-3 * (double)BUSY_MS;
    do {
        rc = exec(ix, "PRAGMA cell_size_check=ON; PRAGMA journal_mode=WAL;"
                      "PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY;"
                      "PRAGMA cache_size=-16384;");
        if ((rc & 0xff) == SQLITE_BUSY) sqlite3_sleep(RETRY_MS);
    } while ((rc & 0xff) == SQLITE_BUSY && vt_clock_seconds() < deadline);
    return rc;
}

static bool has_tables(vt_index *ix, int *rc)
{
    sqlite3_stmt *stmt = NULL;
    *rc = sqlite3_prepare_v2(ix->db, "SELECT 1 FROM sqlite_schema LIMIT 1", -1, &stmt, NULL);
    bool found = *rc == SQLITE_OK && (*rc = sqlite3_step(stmt)) == SQLITE_ROW;
    int end = sqlite3_finalize(stmt);
    *rc = end != SQLITE_OK ? end : SQLITE_OK;
    return found;
}

/* VT_ECORRUPT when the file is damaged or of other rules. */
static vt_status open_db(vt_index *ix, vt_err *err)
{
    int rc = sqlite3_open_v2(ix->db_path, &ix->db,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                                 SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE,
                             NULL);
    if (rc != SQLITE_OK) return vt_index_fail(ix, rc, "open the database", err);
    sqlite3_busy_timeout(ix->db, BUSY_MS);
    sqlite3_db_config(ix->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(ix->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(ix->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_db_config(ix->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    rc = vt_tokenizer_register(ix->db);
    if (rc == SQLITE_OK) rc = set_up(ix);
    if (rc != SQLITE_OK) return vt_index_fail(ix, rc, "set up the database", err);

    if (!has_tables(ix, &rc)) {
        if (rc != SQLITE_OK) return vt_index_fail(ix, rc, "read the tables", err);
        vt_status st = create_schema(ix, err);
        if (st != VT_OK) return st;
    }
    char rules[80];
    char found[80];
    rc = read_rules(ix, found, sizeof found);
    if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_ERROR)
        return vt_index_fail(ix, rc, "read its version", err);
    if (!describe_rules(rules, sizeof rules) || strcmp(rules, found) != 0)
        return vt_fail(err, VT_ECORRUPT, "the index %.120s is of another version", ix->db_path);
    rc = exec(ix, "CREATE VIRTUAL TABLE temp.vocab USING fts5vocab(main, fts, row)");
    return rc == SQLITE_OK ? VT_OK : vt_index_fail(ix, rc, "open the word list", err);
}

static void close_db(vt_index *ix)
{
    sqlite3_close(ix->db);
    ix->db = NULL;
}

vt_status vt_index_rebuild(vt_index *ix, vt_err *err)
{
    static const char *const tails[] = {"", "-wal", "-shm", "-journal"};
    close_db(ix);
    for (size_t i = 0; i < VT_COUNT(tails); i++) {
        vt_buffer b;
        vt_buffer_init(&b, 8192);
        vt_buffer_printf(&b, "%s%s", ix->db_path, tails[i]);
        vt_status st = vt_buffer_status(&b, "the path of the index", err);
        if (st == VT_OK) unlink(b.ptr);
        vt_buffer_deinit(&b);
        if (st != VT_OK) return st;
    }
    ix->was_rebuilt = true;
    return open_db(ix, err);
}

/* Whether FOLDER/.vetro is there, or can be made, as a real directory of ours that we may write. */
static bool own_directory(int dirfd)
{
    if (mkdirat(dirfd, ".vetro", 0700) != 0 && faccessat(dirfd, ".vetro", F_OK, 0) != 0)
        return false;
    int fd = openat(dirfd, ".vetro", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return false;
    struct stat info;
    bool is_ours = fstat(fd, &info) == 0 && info.st_uid == geteuid() &&
                   faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) == 0;
    close(fd);
    return is_ours;
}

static vt_status choose_path(vt_index *ix, const vt_library_options *options, vt_err *err)
{
    vt_buffer b;
    vt_buffer_init(&b, 8192);
    vt_status st = VT_OK;
    if (own_directory(ix->dirfd)) {
        vt_buffer_printf(&b, "%s/.vetro/index.db", ix->path);
    } else if (options->data_dir == NULL) {
        st = vt_fail(err, VT_EIO, "cannot write an index into %.200s/.vetro", ix->path);
    } else {
        uint8_t digest[VT_SHA256_BYTES];
        char hex[VT_SHA256_HEX + 1];
        st = vt_sha256_bytes(vt_slice_cstr(ix->path), digest, err);
        vt_sha256_hex(digest, hex);
        vt_buffer_printf(&b, "%s/index", options->data_dir);
        if (st == VT_OK) st = vt_buffer_status(&b, "the path of the index", err);
        if (st == VT_OK) st = vt_file_make_dirs(b.ptr, err);
        /* SQLite follows no link, so the path must hold none. */
        char *real = st == VT_OK ? realpath(b.ptr, NULL) : NULL;
        if (st == VT_OK && real == NULL)
            st = vt_fail_errno(err, VT_EIO, "cannot open %.200s", b.ptr);
        if (st == VT_OK) {
            vt_buffer_clear(&b);
            vt_buffer_printf(&b, "%s/%s.db", real, hex);
        }
        free(real); /* realpath's own allocation */
    }
    if (st == VT_OK) st = vt_buffer_status(&b, "the path of the index", err);
    if (st == VT_OK) ix->db_path = vt_buffer_take(&b);
    vt_buffer_deinit(&b);
    return st;
}

/* "docs/" -> "docs", "./x" -> "x", "." -> "". */
static char *tidy(const char *folder)
{
    vt_slice s = vt_slice_cstr(folder);
    while (s.len > 1 && s.ptr[s.len - 1] == '/') s.len--;
    while (vt_slice_starts(s, VT_S("./"))) {
        s = vt_slice_skip(s, 2);
        while (s.len > 0 && s.ptr[0] == '/') s = vt_slice_skip(s, 1);
    }
    if (vt_slice_eq(s, VT_S("."))) s.len = 0;
    return vt_strdup(s);
}

vt_status vt_index_open(const char *folder, const vt_library_options *options, vt_index *out,
                        vt_err *err)
{
    vt_index ix = {.dirfd = -1};
    vt_status st = VT_OK;
    char *real = realpath(folder, NULL);
    if (real == NULL)
        return vt_fail_errno(err, VT_ENOTFOUND, "cannot open the folder %.200s", folder);
    ix.given = tidy(folder);
    ix.path = vt_strdup(vt_slice_cstr(real));
    free(real); /* realpath's own allocation */
    if (ix.given == NULL || ix.path == NULL) {
        st = vt_fail(err, VT_ENOMEM, "out of memory");
        goto out;
    }
    ix.dirfd = open(ix.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (ix.dirfd < 0) {
        st = vt_fail_errno(err, VT_ENOTFOUND, "cannot open the folder %.200s", folder);
        goto out;
    }
    st = choose_path(&ix, options, err);
    if (st == VT_OK) st = open_db(&ix, err);
    if (st == VT_ECORRUPT) st = vt_index_rebuild(&ix, err);

out:
    if (st != VT_OK) vt_index_close(&ix);
    else *out = ix;
    return st;
}

void vt_index_close(vt_index *ix)
{
    close_db(ix);
    if (ix->dirfd >= 0) close(ix->dirfd);
    vt_free(ix->given);
    vt_free(ix->path);
    vt_free(ix->db_path);
    *ix = (vt_index){.dirfd = -1};
}

char *vt_index_shown_name(const vt_index *ix, vt_slice path)
{
    vt_buffer b;
    vt_buffer_init(&b, 1 << 20);
    if (ix->given[0] != '\0') {
        vt_buffer_append(&b, vt_slice_cstr(ix->given));
        if (strcmp(ix->given, "/") != 0) vt_buffer_byte(&b, '/');
    }
    vt_buffer_append(&b, path);
    char *name = b.failed ? NULL : vt_buffer_take(&b);
    vt_buffer_deinit(&b);
    return name;
}
