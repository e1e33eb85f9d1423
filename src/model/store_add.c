/* store_add.c -- see store.h: how a model comes into the store, by download or from a local file.
 *
 *     decide name and promise -> make DIR/NAME -> bring the files -> read the header -> digest
 *     -> manifest
 *
 * Until the manifest is written the model does not exist, so a crash at any point leaves at most
 * files that the next try of the same command uses or replaces, and that `remove` clears away. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fetch.h"
#include "base/file.h"
#include "base/parse.h"
#include "model/store_internal.h"
#include "model/summary.h"

enum { COPY_PIECE = 1 << 20 };

typedef struct {
    vt_store *store;
    const vt_store_add_options *options;
    const vt_catalogue_entry *known; /* NULL: not from the catalogue */
    const char *source;              /* URL or path of the first file */
    bool is_url;
    char name[VT_STORE_MAX_NAME + 1];
    char want[VT_SHA256_HEX + 1];  /* promised digest, or empty */
    char local[VT_SHA256_HEX + 1]; /* digest of the one source file, once it was computed */
    char *files[VT_STORE_MAX_FILES];
    size_t n_files;
    vt_store_added result;
} adding;

/* The last part of a path or URL, without query and fragment. */
static vt_slice base_name(vt_slice text, bool is_url)
{
    if (is_url) {
        text = vt_slice_take(text, vt_slice_find(text, VT_S("?")));
        text = vt_slice_take(text, vt_slice_find(text, VT_S("#")));
    }
    for (size_t i = text.len; i > 0; i--)
        if (text.ptr[i - 1] == '/') return vt_slice_skip(text, i);
    return text;
}

/* "x-00002-of-00005.gguf": the position of "00002" and the count; false for a single file. */
static bool split_position(vt_slice file, size_t *at, uint64_t *n_parts)
{
    uint64_t part = 0;
    uint64_t n = 0;
    if (!vt_slice_ends(file, VT_S(".gguf")) || file.len < 20) return false;
    size_t begin = file.len - 20; /* "-00001-of-00005.gguf" */
    vt_slice tail = vt_slice_skip(file, begin);
    if (tail.ptr[0] != '-' || memcmp(tail.ptr + 6, "-of-", 4) != 0) return false;
    if (!vt_parse_u64(vt_slice_of(tail.ptr + 1, 5), &part)) return false;
    if (!vt_parse_u64(vt_slice_of(tail.ptr + 10, 5), &n) || n == 0) return false;
    *at = begin + 1;
    *n_parts = n;
    return part >= 1 && part <= n;
}

/* A model's name from a file's: without ending and part number, in the letters that names have. */
static void name_from_file(vt_slice file, char name[VT_STORE_MAX_NAME + 1])
{
    size_t at = 0;
    uint64_t n_parts = 0;
    size_t used = 0;
    if (split_position(file, &at, &n_parts)) file = vt_slice_take(file, at - 1);
    else if (vt_slice_ends(file, VT_S(".gguf"))) file.len -= 5;
    for (size_t i = 0; i < file.len && used < VT_STORE_MAX_NAME; i++) {
        char c = file.ptr[i];
        if (c >= 'A' && c <= 'Z') c = (char)(c - 'A' + 'a');
        bool ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_';
        if (!ok) c = '-';
        if (used == 0 && (c == '.' || c == '-')) continue;
        name[used++] = c;
    }
    name[used] = '\0';
}

static bool hex_ok(const char *hex)
{
    return strlen(hex) == VT_SHA256_HEX && strspn(hex, "0123456789abcdefABCDEF") == VT_SHA256_HEX;
}

/* What is asked for, and under which name it will be known. */
static vt_status decide(adding *a, vt_err *err)
{
    const vt_store_add_options *o = a->options;
    vt_slice what = vt_slice_cstr(o->what);
    struct stat info;
    a->is_url = vt_slice_starts(what, VT_S("http://")) || vt_slice_starts(what, VT_S("https://"));
    bool is_file = !a->is_url && stat(o->what, &info) == 0;
    a->source = o->what;
    if (!a->is_url && !is_file) {
        a->known = vt_catalogue_find(what);
        if (a->known == NULL)
            return vt_fail(err, VT_ENOTFOUND, "'%.150s' is no known model, no address and no file",
                           o->what);
        if (a->known->url == NULL)
            return vt_fail(err, VT_EUNSUPPORTED,
                           "%s cannot be had without an account at its publisher; get %s there and "
                           "pull that file",
                           a->known->name, a->known->file_name);
        a->is_url = true;
        a->source = a->known->url;
    } else if (is_file && S_ISDIR(info.st_mode)) {
        return vt_fail(err, VT_EUNSUPPORTED,
                       "%.200s is a directory; this version takes GGUF files only", o->what);
    }
    if (o->sha256 != NULL && !hex_ok(o->sha256))
        return vt_fail(err, VT_EINPUT, "'%.80s' is no SHA-256: 64 hexadecimal digits", o->sha256);
    const char *want = o->sha256 ? o->sha256 : a->known ? a->known->sha256 : "";
    for (size_t i = 0; want[i] != '\0'; i++) {
        char c = want[i];
        a->want[i] = c >= 'A' && c <= 'F' ? (char)(c - 'A' + 'a') : c;
    }
    if (o->name != NULL) snprintf(a->name, sizeof a->name, "%.*s", VT_STORE_MAX_NAME, o->name);
    else if (a->known != NULL) snprintf(a->name, sizeof a->name, "%s", a->known->name);
    else name_from_file(base_name(what, a->is_url), a->name);
    if (o->name != NULL &&
        (strlen(o->name) > VT_STORE_MAX_NAME || !vt__store_name_ok(vt_slice_cstr(o->name))))
        return vt_fail(err, VT_EINPUT,
                       "'%.80s' cannot be a model's name: lower-case letters, digits, '.', '_' and "
                       "'-', at most %d",
                       o->name, VT_STORE_MAX_NAME);
    if (!vt__store_name_ok(vt_slice_cstr(a->name)))
        return vt_fail(err, VT_EINPUT, "cannot make a model's name from '%.100s': give --name",
                       o->what);
    return VT_OK;
}

/* The names of all the files: one, or all the parts of a split. */
static vt_status list_files(adding *a, vt_err *err)
{
    size_t at = 0;
    uint64_t n_parts = 1;
    vt_slice file = base_name(vt_slice_cstr(a->source), a->is_url);
    bool is_split = split_position(file, &at, &n_parts);
    if (n_parts > VT_STORE_MAX_FILES)
        return vt_fail(err, VT_ELIMIT, "a model of %llu files; the most is %d",
                       (unsigned long long)n_parts, VT_STORE_MAX_FILES);
    if (file.len == 0 || file.len > 200 || file.ptr[0] == '.')
        return vt_fail(err, VT_EINPUT, "'%.150s' ends in no file name", a->source);
    for (uint64_t i = 0; i < n_parts; i++) {
        char *name = vt_strdup(file);
        if (name == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
        if (is_split) {
            char digits[8];
            snprintf(digits, sizeof digits, "%05u", (unsigned)(i + 1) % 100000u);
            memcpy(name + at, digits, 5);
        }
        a->files[a->n_files++] = name;
    }
    return VT_OK;
}

/* The source of file i: a sibling of the first one. A URL's query is kept. */
static char *source_of(const adding *a, size_t i)
{
    vt_slice whole = vt_slice_cstr(a->source);
    vt_slice file = base_name(whole, a->is_url);
    size_t before = (size_t)(file.ptr - whole.ptr);
    vt_slice after = vt_slice_skip(whole, before + file.len);
    vt_buffer b;
    vt_buffer_init(&b, 65536);
    vt_buffer_printf(&b, "%.*s%s%.*s", VT_ARG(vt_slice_take(whole, before)), a->files[i],
                     VT_ARG(after));
    char *text = b.failed ? NULL : vt_buffer_take(&b);
    vt_buffer_deinit(&b);
    return text;
}

static vt_status copy_bytes(const char *from, int in, const char *to, const vt_progress *progress,
                            vt_err *err)
{
    struct stat info;
    vt_status st = VT_OK;
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    char *piece = vt_alloc(COPY_PIECE);
    if (out < 0 || piece == NULL || fstat(in, &info) != 0) {
        st = vt_fail_errno(err, VT_EIO, "cannot copy %.150s to %.150s", from, to);
        goto out;
    }
    if (ioctl(out, FICLONE, in) == 0) goto out; /* the file system shares the blocks */
    for (uint64_t done = 0, total = (uint64_t)info.st_size; done < total && st == VT_OK;) {
        size_t n = total - done < COPY_PIECE ? (size_t)(total - done) : COPY_PIECE;
        st = vt_file_pread(in, piece, n, done, err);
        if (st == VT_OK) st = vt_file_write_all(out, vt_slice_of(piece, n), err);
        done += n;
        vt_progress_report(progress, "copying", done, total);
        if (st == VT_OK && vt_progress_cancelled(progress))
            st = vt_fail(err, VT_ECANCEL, "stopped");
    }
    if (st == VT_OK && fsync(out) != 0) st = vt_fail_errno(err, VT_EIO, "cannot sync %.200s", to);

out:
    vt_free(piece);
    if (out >= 0) close(out);
    if (st != VT_OK) unlink(to);
    return st;
}

/* Bring a local file in: link, else reflink, else copy. */
static vt_status take_in(adding *a, const char *from, const char *to, vt_err *err)
{
    struct stat have;
    struct stat there;
    int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return vt_fail_errno(err, errno == ENOENT ? VT_ENOTFOUND : VT_EIO, "cannot open %.200s",
                             from);
    vt_status st = VT_OK;
    if (fstat(in, &have) != 0 || !S_ISREG(have.st_mode)) {
        st = vt_fail(err, VT_EINPUT, "%.200s is not a regular file", from);
    } else if (stat(to, &there) == 0 && there.st_dev == have.st_dev &&
               there.st_ino == have.st_ino) {
        a->result.was_linked = true; /* an earlier try brought it */
    } else {
        unlink(to); /* left by an earlier try */
        /* linkat follows the symbolic link: what is kept is the file, not a pointer to it. */
        if (linkat(AT_FDCWD, from, AT_FDCWD, to, AT_SYMLINK_FOLLOW) == 0)
            a->result.was_linked = true;
        else st = copy_bytes(from, in, to, a->options->progress, err);
    }
    close(in);
    return st;
}

static vt_status download(adding *a, const char *url, const char *to, vt_err *err)
{
    uint8_t sha256[VT_SHA256_BYTES];
    bool is_pinned = a->want[0] != '\0' && a->n_files == 1;
    for (size_t i = 0; is_pinned && i < VT_SHA256_BYTES; i++) {
        static const char digits[] = "0123456789abcdef";
        sha256[i] = (uint8_t)((strchr(digits, a->want[2 * i]) - digits) * 16 +
                              (strchr(digits, a->want[2 * i + 1]) - digits));
    }
    struct stat there;
    if (stat(to, &there) == 0 && (a->known == NULL || (uint64_t)there.st_size == a->known->n_bytes))
        return VT_OK; /* finished by an earlier try; the digest below judges it */
    vt_fetch_result got = {0};
    vt_fetch_options o = {
        .url = url,
        .path = to,
        .n_bytes = a->known ? a->known->n_bytes : 0,
        .sha256 = is_pinned ? sha256 : NULL,
        .pause_ms = a->options->pause_ms,
        .progress = a->options->progress,
    };
    vt_status st = vt_fetch_file(&o, &got, err);
    if (st != VT_OK) return st;
    a->result.n_resumed += got.n_resumed;
    if (a->n_files == 1) vt_sha256_hex(got.sha256, a->local); /* of the bytes on the disk */
    return st;
}

static vt_status bring_files(adding *a, vt_err *err)
{
    vt_status st = VT_OK;
    char *dir = vt__store_path(a->store, vt_slice_cstr(a->name), NULL);
    if (dir == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    st = vt_file_make_dirs(dir, err);
    vt_free(dir);
    for (size_t i = 0; i < a->n_files && st == VT_OK; i++) {
        char *from = source_of(a, i);
        char *to = vt__store_path(a->store, vt_slice_cstr(a->name), a->files[i]);
        if (from == NULL || to == NULL) st = vt_fail(err, VT_ENOMEM, "out of memory");
        else if (a->is_url) st = download(a, from, to, err);
        else st = take_in(a, from, to, err);
        vt_free(from);
        vt_free(to);
    }
    return st;
}

/* The digest of a local source; read once, it takes a second for each gigabyte. */
static vt_status hash_local(adding *a, vt_err *err)
{
    if (a->local[0] != '\0') return VT_OK;
    uint8_t stamp[VT_SHA256_BYTES];
    return vt__store_hash_gguf(a->source, a->local, stamp, a->options->progress, err);
}

/* Is the file at `path` a model (with its other parts, of a split one)? */
static vt_status read_header(const adding *a, const char *path, vt_model_summary *s, vt_err *err)
{
    vt_gguf *g = NULL;
    vt_status st = vt_gguf_open(path, &g, err);
    if (st == VT_OK && vt_gguf_packed(g) != NULL)
        st = vt_fail(err, VT_EUNSUPPORTED,
                     "%.200s is in vetro's packed form: pull the GGUF file and pack that",
                     a->source);
    if (st == VT_OK) st = vt_model_summarise(g, s, err);
    vt_gguf_close(g);
    return st;
}

/* What is no model is not even brought; and told by the name that the user knows it by. */
static vt_status check_local(const adding *a, vt_err *err)
{
    vt_model_summary s;
    return a->is_url ? VT_OK : read_header(a, a->source, &s, err);
}

/* The files are in place: are they a model, and the promised one? */
static vt_status judge(adding *a, vt_err *err)
{
    vt_store_entry *e = &a->result.entry;
    vt_model_summary s;
    e->path = vt__store_path(a->store, vt_slice_cstr(a->name), a->files[0]);
    if (e->path == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    vt_status st = read_header(a, e->path, &s, err);
    if (st != VT_OK) return st;
    if ((a->result.was_linked || a->is_url) && a->local[0] != '\0')
        memcpy(e->digest, a->local, sizeof a->local);
    else st = vt__store_hash_gguf(e->path, e->digest, e->stamp, a->options->progress, err);
    if (st != VT_OK) return st;
    if (a->want[0] != '\0' && memcmp(a->want, e->digest, VT_SHA256_HEX) != 0)
        return vt_fail(err, VT_EVERIFY, "%.100s: wrong SHA-256 %s, expected %s", a->options->what,
                       e->digest, a->want);
    const vt_catalogue_entry *known = vt_catalogue_by_digest(vt_slice_cstr(e->digest));
    char date[11];
    vt_clock_date(date);
    e->n_bytes = s.n_file_bytes;
    e->name = vt_strdup(vt_slice_cstr(a->name));
    e->source = a->is_url ? vt_strdup(vt_slice_cstr(a->source)) : NULL;
    if (!a->is_url) {
        char *full = realpath(a->source, NULL);
        e->source = vt_strdup(vt_slice_cstr(full ? full : a->source));
        free(full);
    }
    e->licence = vt_strdup(vt_slice_cstr(known ? known->licence : s.licence));
    e->added = vt_strdup(vt_slice_cstr(date));
    if (!e->name || !e->source || !e->licence || !e->added)
        return vt_fail(err, VT_ENOMEM, "out of memory");
    return VT_OK;
}

/* Take away what this call brought. A download that can go on is kept: its .part files. */
static void undo_files(const adding *a)
{
    for (size_t i = 0; i < a->n_files; i++) {
        char *path = vt__store_path(a->store, vt_slice_cstr(a->name), a->files[i]);
        if (path != NULL) unlink(path);
        vt_free(path);
    }
}

static void remove_empty_dir(const adding *a)
{
    char *dir = vt__store_path(a->store, vt_slice_cstr(a->name), NULL);
    if (dir != NULL) rmdir(dir); /* fails, as it should, when something is in it */
    vt_free(dir);
}

/* Is the name taken? By the same model: done already. By another: not silently replaced. */
static vt_status check_name(adding *a, bool *is_done, vt_err *err)
{
    vt_store_entry *e = &a->result.entry;
    vt_err why = {0};
    char have[VT_SHA256_HEX + 1] = "";
    *is_done = false;
    vt_status st = vt_store_find(a->store, vt_slice_cstr(a->name), e, &why);
    if (st == VT_ENOTFOUND) return VT_OK;
    if (st == VT_OK) st = vt_store_digest(a->store, e, a->options->progress, &why);
    if (st != VT_OK) {
        if (err != NULL) *err = why;
        return vt_fail_wrap(err, st, "remove it first ('vetro remove %s')", a->name);
    }
    if (a->want[0] != '\0') memcpy(have, a->want, sizeof have);
    else if (!a->is_url) {
        st = hash_local(a, err);
        if (st != VT_OK) return st;
        memcpy(have, a->local, sizeof have);
    } else if (strcmp(e->source, a->source) == 0) {
        memcpy(have, e->digest, sizeof have); /* the same address: already here */
    }
    if (strcmp(have, e->digest) == 0) {
        a->result.was_there = true;
        *is_done = true;
        return VT_OK;
    }
    return vt_fail(err, VT_EEXIST,
                   "another model is called %s: choose one with --name, or 'vetro remove %s' first",
                   a->name, a->name);
}

/* A local file of the catalogue, pulled without --name, gets the name it is known by. */
static vt_status recognise(adding *a, vt_err *err)
{
    struct stat info;
    size_t n;
    const vt_catalogue_entry *known = vt_catalogue_all(&n);
    if (a->is_url || a->options->name != NULL || stat(a->source, &info) != 0) return VT_OK;
    for (size_t i = 0; i < n; i++) {
        if (known[i].n_bytes != (uint64_t)info.st_size) continue; /* hash only what may be one */
        vt_status st = hash_local(a, err);
        if (st != VT_OK) return st;
        if (strcmp(a->local, known[i].sha256) == 0)
            snprintf(a->name, sizeof a->name, "%s", known[i].name);
    }
    return VT_OK;
}

vt_status vt_store_add(vt_store *store, const vt_store_add_options *options, vt_store_added *out,
                       vt_err *err)
{
    adding a = {.store = store, .options = options};
    bool is_done = false;
    bool has_brought = false;
    vt_status st = decide(&a, err);
    if (st == VT_OK) st = list_files(&a, err);
    if (st == VT_OK) st = check_local(&a, err);
    if (st == VT_OK) st = recognise(&a, err);
    if (st == VT_OK) st = check_name(&a, &is_done, err);
    if (st == VT_OK && !is_done) {
        vt_store_entry_deinit(&a.result.entry);
        st = bring_files(&a, err);
        has_brought = true;
    }
    if (st == VT_OK && !is_done) st = judge(&a, err);
    if (st == VT_OK && !is_done)
        st = vt__store_write_manifest(store, &a.result.entry, (const char *const *)a.files,
                                      a.n_files, err);
    if (st != VT_OK && has_brought) {
        if (!a.is_url || (st != VT_ECANCEL && st != VT_EIO)) undo_files(&a);
        remove_empty_dir(&a);
    }
    for (size_t i = 0; i < a.n_files; i++) vt_free(a.files[i]);
    if (st == VT_OK) *out = a.result;
    else vt_store_entry_deinit(&a.result.entry);
    return st;
}
