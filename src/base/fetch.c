/* fetch.c -- see fetch.h. One transfer at a time by libcurl's easy interface.
 *
 *     open part, lock it -> [ask for the rest -> append]* -> size, SHA-256 -> fsync -> rename
 *
 * The note beside the part is written before the first byte of a new response, so a part is never
 * longer than what its note answers for. */
#include "base/fetch.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/replace.h"

enum { MAX_IDLE_TRIES = 4, MAX_VALIDATOR = 256, HASH_PIECE = 1 << 20 };

typedef struct {
    const vt_fetch_options *options;
    char *part_path;
    char *note_path;
    int fd;
    uint64_t n_have;               /* bytes in the part */
    char validator[MAX_VALIDATOR]; /* of the part; empty: none known */
    uint64_t total;                /* as the server says; 0: not known */

    /* the response under way */
    long status;
    char new_validator[MAX_VALIDATOR];
    bool has_etag;
    uint64_t content_length;
    uint64_t range_start;
    uint64_t range_total;
    bool has_range;
    bool has_begun; /* its head was judged and its body is being taken */
    uint64_t n_received;
    vt_err failure; /* why we stopped it ourselves */
} fetch;

/* ---- the response's head ---- */

static bool header_is(vt_slice line, const char *name, vt_slice *value)
{
    size_t n = strlen(name);
    if (line.len <= n || line.ptr[n] != ':') return false;
    for (size_t i = 0; i < n; i++) {
        char c = line.ptr[i];
        if (c >= 'A' && c <= 'Z') c = (char)(c - 'A' + 'a');
        if (c != name[i]) return false;
    }
    *value = vt_slice_trim(vt_slice_skip(line, n + 1));
    return true;
}

/* "bytes 100-199/200", or with a star in place of the range. */
static void read_content_range(fetch *f, vt_slice value)
{
    if (!vt_slice_starts(value, VT_S("bytes "))) return;
    value = vt_slice_skip(value, 6);
    size_t slash = vt_slice_find(value, VT_S("/"));
    uint64_t total = 0;
    if (vt_parse_u64(vt_slice_skip(value, slash + 1), &total)) f->range_total = total;
    vt_slice range = vt_slice_take(value, slash);
    uint64_t start = 0;
    if (vt_parse_u64(vt_slice_take(range, vt_slice_find(range, VT_S("-"))), &start)) {
        f->range_start = start;
        f->has_range = true;
    }
}

static void keep_validator(fetch *f, vt_slice value, bool is_etag)
{
    if (value.len == 0 || value.len >= MAX_VALIDATOR) return;
    if (is_etag && vt_slice_starts(value, VT_S("W/"))) return; /* weak: not fit for ranges */
    if (f->has_etag && !is_etag) return;
    memcpy(f->new_validator, value.ptr, value.len);
    f->new_validator[value.len] = '\0';
    f->has_etag = is_etag;
}

static size_t on_header(char *text, size_t size, size_t n, void *ctx)
{
    fetch *f = ctx;
    vt_slice line = vt_slice_of(text, size * n);
    vt_slice value;
    if (vt_slice_starts(line, VT_S("HTTP/"))) { /* a new response: after a redirect, too */
        f->new_validator[0] = '\0';
        f->has_etag = false;
        f->content_length = 0;
        f->range_total = 0;
        f->has_range = false;
    } else if (header_is(line, "etag", &value)) keep_validator(f, value, true);
    else if (header_is(line, "last-modified", &value)) keep_validator(f, value, false);
    else if (header_is(line, "content-range", &value)) read_content_range(f, value);
    else if (header_is(line, "content-length", &value)) {
        uint64_t length = 0;
        if (vt_parse_u64(value, &length)) f->content_length = length;
    }
    return size * n;
}

/* ---- the note beside the part ---- */

static vt_status write_note(fetch *f, vt_err *err)
{
    vt_buffer text;
    vt_buffer_init(&text, 65536);
    json_t *note = json_pack("{s:i, s:s, s:s}", "version", 1, "url", f->options->url, "validator",
                             f->validator);
    vt_status st = note ? vt_json_write(note, &text, err)
                        : vt_fail(err, VT_EINPUT, "the address is not valid UTF-8");
    if (st == VT_OK) st = vt_file_replace_path(f->note_path, vt_buffer_slice(&text), err);
    json_decref(note);
    vt_buffer_deinit(&text);
    return st;
}

/* What an earlier call left: false when there is no note of this address. A broken note counts as
 * none: then everything is fetched anew, which is always right. */
static bool read_note(fetch *f)
{
    vt_buffer text;
    vt_buffer_init(&text, 0);
    json_t *note = NULL;
    bool ok =
        vt_file_read(f->note_path, 65536, &text, NULL) == VT_OK &&
        vt_json_parse(vt_buffer_slice(&text), &note, NULL) == VT_OK &&
        json_integer_value(json_object_get(note, "version")) == 1 &&
        vt_slice_eq(vt_json_text(json_object_get(note, "url")), vt_slice_cstr(f->options->url));
    if (ok) {
        vt_slice validator = vt_json_text(json_object_get(note, "validator"));
        ok = validator.len < MAX_VALIDATOR && memchr(validator.ptr, '\n', validator.len) == NULL;
        if (ok) snprintf(f->validator, sizeof f->validator, "%.*s", VT_ARG(validator));
    }
    json_decref(note);
    vt_buffer_deinit(&text);
    return ok;
}

static vt_status start_over(fetch *f, vt_err *err)
{
    if (ftruncate(f->fd, 0) != 0)
        return vt_fail_errno(err, VT_EIO, "cannot empty %.200s", f->part_path);
    f->n_have = 0;
    f->validator[0] = '\0';
    return VT_OK;
}

static vt_status open_part(fetch *f, vt_err *err)
{
    f->fd = open(f->part_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (f->fd < 0) return vt_fail_errno(err, VT_EIO, "cannot create %.200s", f->part_path);
    if (flock(f->fd, LOCK_EX | LOCK_NB) != 0)
        return vt_fail(err, VT_EEXIST, "another process is downloading %.200s", f->options->path);
    struct stat info;
    if (fstat(f->fd, &info) != 0)
        return vt_fail_errno(err, VT_EIO, "cannot read %.200s", f->part_path);
    f->n_have = (uint64_t)info.st_size;
    bool is_known = read_note(f);
    bool is_judged = f->validator[0] != '\0' || f->options->sha256 != NULL;
    bool is_too_long = f->options->n_bytes != 0 && f->n_have > f->options->n_bytes;
    if (!is_known || !is_judged || is_too_long) return start_over(f, err);
    return VT_OK;
}

/* ---- the response's body ---- */

/* The first body byte of a good response: does it go on, or does it begin? */
static vt_status begin_body(fetch *f, vt_err *err)
{
    vt_status st = VT_OK;
    if (f->status == 206) {
        if (!f->has_range || f->range_start != f->n_have)
            return vt_fail(err, VT_EIO, "%.200s: the server sent another range than asked for",
                           f->options->url);
        f->total = f->range_total;
    } else {
        f->total = f->content_length;
        st = start_over(f, err);
    }
    if (st != VT_OK) return st;
    if (f->options->n_bytes != 0 && f->total != 0 && f->total != f->options->n_bytes)
        return vt_fail(err, VT_EVERIFY, "%.200s: the server has %llu bytes, not the expected %llu",
                       f->options->url, (unsigned long long)f->total,
                       (unsigned long long)f->options->n_bytes);
    memcpy(f->validator, f->new_validator, sizeof f->validator);
    return write_note(f, err);
}

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
    fetch *f = ctx;
    size_t len = size * n;
    if (f->status != 200 && f->status != 206) return len; /* an error page */
    if (!f->has_begun) {
        if (begin_body(f, &f->failure) != VT_OK) return 0;
        f->has_begun = true;
    }
    uint64_t limit = f->options->n_bytes ? f->options->n_bytes : UINT64_MAX;
    if (len > limit - f->n_have) {
        vt_fail(&f->failure, VT_EVERIFY, "%.200s: more than the expected %llu bytes arrived",
                f->options->url, (unsigned long long)limit);
        return 0;
    }
    for (size_t done = 0; done < len;) {
        ssize_t got = pwrite(f->fd, data + done, len - done, (off_t)(f->n_have + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            vt_fail_errno(&f->failure, VT_EIO, "cannot write %.200s", f->part_path);
            return 0;
        }
        done += (size_t)got;
    }
    f->n_have += len;
    f->n_received += len;
    return len;
}

/* curl calls this some times a second, also while nothing arrives. */
static int on_tick(void *ctx, curl_off_t dl_total, curl_off_t dl_now, curl_off_t ul_total,
                   curl_off_t ul_now)
{
    fetch *f = ctx;
    (void)dl_total, (void)dl_now, (void)ul_total, (void)ul_now;
    uint64_t total = f->options->n_bytes ? f->options->n_bytes : f->total;
    vt_progress_report(f->options->progress, "downloading", f->n_have, total);
    return vt_progress_cancelled(f->options->progress) ? 1 : 0;
}

/* curl knows the status of the final response; take it when the body begins. */
typedef struct {
    fetch *f;
    CURL *curl;
} body_context;

static size_t on_body_entry(char *data, size_t size, size_t n, void *ctx)
{
    body_context *b = ctx;
    curl_easy_getinfo(b->curl, CURLINFO_RESPONSE_CODE, &b->f->status);
    return on_body(data, size, n, b->f);
}

static bool set_options(fetch *f, CURL *curl, body_context *body, struct curl_slist **headers)
{
    const vt_fetch_options *o = f->options;
    bool is_https = vt_slice_starts(vt_slice_cstr(o->url), VT_S("https://"));
    long stall = o->stall_seconds ? (long)o->stall_seconds : 60;
    bool ok = curl_easy_setopt(curl, CURLOPT_URL, o->url) == CURLE_OK &&
              curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
              curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR,
                               is_https ? "https" : "http,https") == CURLE_OK &&
              curl_easy_setopt(curl, CURLOPT_USERAGENT, "vetro") == CURLE_OK;
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 10L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 30L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, stall);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, f);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body_entry);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_tick);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, f);
    if (f->n_have == 0 || !ok) return ok;
    char text[MAX_VALIDATOR + 64];
    snprintf(text, sizeof text, "Range: bytes=%llu-", (unsigned long long)f->n_have);
    struct curl_slist *list = curl_slist_append(NULL, text);
    if (list != NULL && f->validator[0] != '\0') {
        snprintf(text, sizeof text, "If-Range: %s", f->validator);
        struct curl_slist *longer = curl_slist_append(list, text);
        if (longer == NULL) curl_slist_free_all(list);
        list = longer;
    }
    *headers = list;
    return list != NULL && curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list) == CURLE_OK;
}

typedef enum { TRY_DONE, TRY_AGAIN, TRY_FAILED } try_result;

static try_result judge_status(fetch *f, vt_err *err)
{
    const char *url = f->options->url;
    switch (f->status) {
    case 200:
    case 206: return TRY_DONE;
    case 416: { /* nothing after n_have: complete, or the file became shorter */
        uint64_t total = f->range_total ? f->range_total : f->options->n_bytes;
        if (f->n_have > 0 && f->n_have == total) return TRY_DONE;
        return start_over(f, err) == VT_OK ? TRY_AGAIN : TRY_FAILED;
    }
    case 401:
    case 403:
        vt_fail(err, VT_EREFUSED, "%.200s: the server wants an authorisation (HTTP %ld)", url,
                f->status);
        return TRY_FAILED;
    case 404:
    case 410:
        vt_fail(err, VT_ENOTFOUND, "%.200s: not found on the server (HTTP %ld)", url, f->status);
        return TRY_FAILED;
    default:
        vt_fail(err, VT_EIO, "%.200s: the server answered HTTP %ld", url, f->status);
        return f->status == 429 || f->status >= 500 ? TRY_AGAIN : TRY_FAILED;
    }
}

static try_result try_once(fetch *f, vt_err *err)
{
    struct curl_slist *headers = NULL;
    CURL *curl = curl_easy_init();
    body_context body = {.f = f, .curl = curl};
    f->status = 0;
    f->has_begun = false;
    f->failure = (vt_err){0};
    try_result result = TRY_FAILED;
    if (curl == NULL || !set_options(f, curl, &body, &headers)) {
        vt_fail(err, VT_ENOMEM, "cannot prepare a download of %.200s", f->options->url);
        goto out;
    }
    CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &f->status);
    if (f->failure.code != VT_OK) {
        if (err != NULL) *err = f->failure;
    } else if (code == CURLE_ABORTED_BY_CALLBACK) {
        vt_fail(err, VT_ECANCEL, "download stopped; the same command goes on from here");
    } else if (code == CURLE_OK) {
        result = judge_status(f, err);
        if (result == TRY_DONE && !f->has_begun && f->status == 200)
            result = begin_body(f, err) == VT_OK ? TRY_DONE : TRY_FAILED; /* an empty file */
    } else {
        vt_fail(err, VT_EIO, "cannot download %.200s: %s", f->options->url,
                curl_easy_strerror(code));
        bool may_pass = code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR ||
                        code == CURLE_SEND_ERROR || code == CURLE_GOT_NOTHING ||
                        code == CURLE_OPERATION_TIMEDOUT || code == CURLE_HTTP2 ||
                        code == CURLE_HTTP2_STREAM;
        /* A name that cannot be resolved at the first try means no network: say so at once. */
        if (may_pass || f->n_received > 0) result = TRY_AGAIN;
    }

out:
    curl_slist_free_all(headers);
    if (curl != NULL) curl_easy_cleanup(curl);
    return result;
}

/* Sleep, but wake up for a cancellation. */
static bool pause_for(const vt_progress *progress, uint64_t ms)
{
    for (; ms > 0 && !vt_progress_cancelled(progress); ms -= ms < 50 ? ms : 50) {
        struct timespec t = {.tv_nsec = (long)(ms < 50 ? ms : 50) * 1000000};
        nanosleep(&t, NULL);
    }
    return !vt_progress_cancelled(progress);
}

static vt_status download(fetch *f, vt_err *err)
{
    vt_err why = {0};
    uint64_t pause_ms = f->options->pause_ms ? f->options->pause_ms : 1000;
    uint64_t pause = pause_ms;
    for (int idle_tries = 0;;) {
        if (f->options->n_bytes != 0 && f->n_have == f->options->n_bytes) return VT_OK;
        uint64_t before = f->n_have;
        try_result result = try_once(f, &why);
        if (result == TRY_DONE) return VT_OK;
        if (result == TRY_AGAIN) {
            bool got_on = f->n_have > before;
            idle_tries = got_on ? 0 : idle_tries + 1;
            pause = got_on ? pause_ms : pause * 2;
            if (idle_tries < MAX_IDLE_TRIES && pause_for(f->options->progress, pause)) continue;
            if (vt_progress_cancelled(f->options->progress))
                vt_fail(&why, VT_ECANCEL, "download stopped; the same command goes on from here");
        }
        if (err != NULL) *err = why;
        return why.code != VT_OK ? why.code : vt_fail(err, VT_EIO, "download failed");
    }
}

vt_status vt_fetch_hash_fd(vt_sha256 *hash, int fd, uint64_t n_bytes, const vt_progress *progress,
                           vt_err *err)
{
    vt_status st = VT_OK;
    char *piece = vt_alloc(HASH_PIECE);
    if (piece == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    for (uint64_t done = 0; done < n_bytes && st == VT_OK;) {
        size_t n = n_bytes - done < HASH_PIECE ? (size_t)(n_bytes - done) : HASH_PIECE;
        st = vt_file_pread(fd, piece, n, done, err);
        if (st == VT_OK) vt_sha256_update(hash, vt_slice_of(piece, n));
        done += n;
        vt_progress_report(progress, "checking", done, n_bytes);
        if (st == VT_OK && vt_progress_cancelled(progress))
            st = vt_fail(err, VT_ECANCEL, "stopped");
    }
    vt_free(piece);
    return st;
}

/* The part is complete: is it right? */
static vt_status verify(fetch *f, vt_fetch_result *result, vt_err *err)
{
    const vt_fetch_options *o = f->options;
    if (o->n_bytes != 0 && f->n_have != o->n_bytes)
        return vt_fail(err, VT_EVERIFY, "%.200s: %llu bytes arrived, not the expected %llu", o->url,
                       (unsigned long long)f->n_have, (unsigned long long)o->n_bytes);
    vt_sha256 *hash = vt_sha256_new();
    if (hash == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    vt_status st = vt_fetch_hash_fd(hash, f->fd, f->n_have, o->progress, err);
    if (st == VT_OK) vt_sha256_finish(hash, result->sha256);
    vt_sha256_free(hash);
    if (st != VT_OK || o->sha256 == NULL) return st;
    if (memcmp(result->sha256, o->sha256, VT_SHA256_BYTES) == 0) return VT_OK;
    char want[VT_SHA256_HEX + 1];
    char have[VT_SHA256_HEX + 1];
    vt_sha256_hex(o->sha256, want);
    vt_sha256_hex(result->sha256, have);
    return vt_fail(err, VT_EVERIFY, "%.100s: wrong SHA-256 %s, expected %s", o->url, have, want);
}

static vt_status make_paths(fetch *f, vt_err *err)
{
    vt_buffer b;
    vt_buffer_init(&b, 4096);
    if (vt_buffer_printf(&b, "%s.part", f->options->path)) f->part_path = vt_buffer_take(&b);
    if (f->part_path && vt_buffer_printf(&b, "%s.json", f->part_path))
        f->note_path = vt_buffer_take(&b);
    vt_buffer_deinit(&b);
    if (f->note_path == NULL)
        return vt_fail(err, VT_ELIMIT, "path too long: %.100s", f->options->path);
    return VT_OK;
}

vt_status vt_fetch_file(const vt_fetch_options *options, vt_fetch_result *result, vt_err *err)
{
    vt_slice url = vt_slice_cstr(options->url);
    if (!vt_slice_starts(url, VT_S("http://")) && !vt_slice_starts(url, VT_S("https://")))
        return vt_fail(err, VT_EINPUT, "not an http or https address: %.200s", options->url);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        return vt_fail(err, VT_EIO, "cannot initialise libcurl");
    fetch f = {.options = options, .fd = -1};
    vt_fetch_result r = {0};
    vt_err why = {0};
    vt_status st = make_paths(&f, &why);
    if (st == VT_OK) st = open_part(&f, &why);
    if (st != VT_OK) goto out;
    uint64_t n_before = f.n_have;
    st = download(&f, &why);
    if (st == VT_OK) st = verify(&f, &r, &why);
    if (st == VT_OK && fsync(f.fd) != 0)
        st = vt_fail_errno(&why, VT_EIO, "cannot sync %.200s", f.part_path);
    if (st == VT_OK && rename(f.part_path, options->path) != 0)
        st = vt_fail_errno(&why, VT_EIO, "cannot rename %.200s", f.part_path);
    if (st == VT_EVERIFY) unlink(f.part_path); /* never go on from wrong bytes */
    if (st == VT_OK || st == VT_EVERIFY) unlink(f.note_path);
    if (st != VT_OK && f.n_have == 0 && st != VT_EVERIFY) { /* nothing to go on from */
        unlink(f.part_path);
        unlink(f.note_path);
    }
    if (st == VT_OK) {
        r.n_bytes = f.n_have;
        r.n_resumed = f.n_have - f.n_received;
        if (r.n_resumed > n_before) r.n_resumed = n_before;
        *result = r;
    }

out:
    if (st != VT_OK && err != NULL) *err = why;
    if (f.fd >= 0) close(f.fd);
    vt_free(f.part_path);
    vt_free(f.note_path);
    curl_global_cleanup();
    return st;
}
