/* prefix_files.c -- single blocks of the directory. See prefix_files.h. */
#include "engine/prefix_files_inner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/replace.h"

enum {
    PREVIOUS_DIGITS = 16,
    BEGIN_DIGITS = 8,
    AT_BEGIN = PREVIOUS_DIGITS + 1,
    AT_KEY = AT_BEGIN + BEGIN_DIGITS + 1,
    AT_SUFFIX = AT_KEY + VT_SHA256_HEX,
    NAME_LEN = AT_SUFFIX + 3,
    /* Headers looked at for the nearest block: all of them share the first tokens already. */
    MAX_CANDIDATES = 64,
};
_Static_assert((int)NAME_LEN < (int)VT_PREFIX_NAME, "a name fits");

vt_status vt_prefix_files_open(const char *dir, bool create, vt_prefix_files **out, vt_err *err)
{
    vt_status st = VT_OK;
    if (create) st = vt_file_make_dirs(dir, err);
    if (st != VT_OK) return st;
    vt_prefix_files *f = vt_calloc(1, sizeof *f);
    if (f == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    f->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->dirfd < 0) {
        st = vt_fail_errno(err, errno == ENOENT ? VT_ENOTFOUND : VT_EIO,
                           "cannot open the prefix store %.200s", dir);
        vt_free(f);
        return st;
    }
    *out = f;
    return VT_OK;
}

void vt_prefix_files_close(vt_prefix_files *f)
{
    if (f == NULL) return;
    close(f->dirfd);
    vt_free(f);
}

/* FNV-1a over the first tokens: it only sorts names, the tokens themselves are compared later. */
static uint32_t hash_of_begin(const int32_t *tokens, size_t n)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n && i < VT_BLOCK_MIN_TOKENS; i++)
        for (int k = 0; k < 4; k++) h = (h ^ ((uint32_t)tokens[i] >> 8 * k & 255)) * 16777619u;
    return h;
}

/* "PREVIOUS-BEGIN-" */
static void name_begin(const vt_key *previous, const int32_t *tokens, size_t n,
                       char out[VT_PREFIX_NAME])
{
    char hex[VT_SHA256_HEX + 1];
    vt_sha256_hex(previous->bytes, hex);
    snprintf(out, VT_PREFIX_NAME, "%.*s-%08x-", PREVIOUS_DIGITS, hex, hash_of_begin(tokens, n));
}

void vt_prefix_file_name(const vt_block *b, char out[VT_PREFIX_NAME])
{
    char hex[VT_SHA256_HEX + 1];
    name_begin(&b->previous, b->tokens, b->n_tokens, out);
    vt_sha256_hex(b->key.bytes, hex);
    snprintf(out + AT_KEY, VT_PREFIX_NAME - AT_KEY, "%s.kv", hex);
}

static bool is_hex(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(text[i] >= '0' && text[i] <= '9') && !(text[i] >= 'a' && text[i] <= 'f'))
            return false;
    return true;
}

bool vt__prefix_is_name(const char *name)
{
    return strlen(name) == NAME_LEN && is_hex(name, PREVIOUS_DIGITS) && name[AT_BEGIN - 1] == '-' &&
           is_hex(name + AT_BEGIN, BEGIN_DIGITS) && name[AT_KEY - 1] == '-' &&
           is_hex(name + AT_KEY, VT_SHA256_HEX) && strcmp(name + AT_SUFFIX, ".kv") == 0;
}

DIR *vt__prefix_read_dir(const vt_prefix_files *f)
{
    int fd = openat(f->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return NULL;
    DIR *d = fdopendir(fd);
    if (d == NULL) close(fd);
    return d;
}

vt_status vt__prefix_open_file(const vt_prefix_files *f, const char *name, int *fd,
                               uint64_t *n_bytes, vt_err *err)
{
    struct stat info;
    *fd = openat(f->dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (*fd < 0)
        return vt_fail_errno(err, errno == ENOENT ? VT_ENOTFOUND : VT_EIO, "cannot open %s", name);
    if (fstat(*fd, &info) == 0 && S_ISREG(info.st_mode)) {
        *n_bytes = (uint64_t)info.st_size;
        return VT_OK;
    }
    close(*fd);
    return vt_fail(err, VT_ECORRUPT, "it is no plain file");
}

vt_status vt__prefix_read_head(int fd, uint64_t n_bytes, const char *name, vt_block *out,
                               vt_err *err)
{
    char head[VT_BLOCK_HEADER];
    char want[VT_PREFIX_NAME];
    vt_block b;
    if (n_bytes < sizeof head) return vt_fail(err, VT_ECORRUPT, "it is too short");
    vt_status st = vt_file_pread(fd, head, sizeof head, 0, err);
    if (st == VT_OK) st = vt_block_peek(vt_slice_of(head, sizeof head), n_bytes, &b, err);
    if (st != VT_OK) return st;
    vt_prefix_file_name(&b, want);
    if (strcmp(want, name) != 0)
        return vt_fail(err, VT_ECORRUPT, "its name is not that of what is in it");
    *out = b;
    return VT_OK;
}

static bool has_good_head(const vt_prefix_files *f, const char *name)
{
    vt_block b;
    uint64_t n_bytes = 0;
    int fd = -1;
    if (vt__prefix_open_file(f, name, &fd, &n_bytes, NULL) != VT_OK) return false;
    const bool is_good = vt__prefix_read_head(fd, n_bytes, name, &b, NULL) == VT_OK;
    close(fd);
    return is_good;
}

bool vt__prefix_has(const vt_prefix_files *f, const vt_key *key)
{
    char hex[VT_SHA256_HEX + 1];
    bool has = false;
    const struct dirent *e;
    DIR *d = vt__prefix_read_dir(f);
    vt_sha256_hex(key->bytes, hex);
    while (d != NULL && !has && (e = readdir(d)) != NULL)
        has = vt__prefix_is_name(e->d_name) &&
              strncmp(e->d_name + AT_KEY, hex, VT_SHA256_HEX) == 0 && has_good_head(f, e->d_name);
    if (d != NULL) closedir(d);
    return has;
}

vt_status vt_prefix_files_load(vt_prefix_files *f, vt_block *b, uint8_t *image, size_t room,
                               vt_err *err)
{
    char name[VT_PREFIX_NAME];
    vt_block got;
    uint64_t n = 0;
    int fd = -1;
    vt_prefix_file_name(b, name);
    vt_status st = vt__prefix_open_file(f, name, &fd, &n, err);
    if (st != VT_OK) return st;
    if (n > room) st = vt_fail(err, VT_ECORRUPT, "it is too long");
    if (st == VT_OK) st = vt_file_pread(fd, image, (size_t)n, 0, err);
    if (st == VT_OK) st = vt_block_open(vt_slice_of(image, (size_t)n), &got, err);
    if (st == VT_OK && (!vt_key_eq(&got.key, &b->key) || !vt_key_eq(&got.previous, &b->previous)))
        st = vt_fail(err, VT_ECORRUPT, "its name is not that of what is in it");
    /* Used now. When that can't be written it just seems older than it is. */
    if (st == VT_OK) (void)futimens(fd, NULL);
    close(fd);
    if (st == VT_OK) *b = got;
    return st;
}

/* The next of the directory's names with this beginning; NULL at the end. */
static const char *next_name(DIR *d, const char *begin)
{
    const struct dirent *e;
    while ((e = readdir(d)) != NULL)
        if (strncmp(e->d_name, begin, AT_KEY) == 0 && vt__prefix_is_name(e->d_name))
            return e->d_name;
    return NULL;
}

vt_status vt_prefix_files_nearest(vt_prefix_files *f, const vt_key *previous, const int32_t *tokens,
                                  size_t n, vt_block *out, vt_err *err)
{
    char begin[VT_PREFIX_NAME];
    const char *name;
    uint32_t best = 0;
    if (n < VT_BLOCK_MIN_TOKENS) return vt_fail(err, VT_ENOTFOUND, "too few tokens");
    name_begin(previous, tokens, n, begin);
    DIR *d = vt__prefix_read_dir(f);
    if (d == NULL) return vt_fail_errno(err, VT_EIO, "cannot read the prefix store");
    for (int i = 0; i < MAX_CANDIDATES && (name = next_name(d, begin)) != NULL; i++) {
        vt_block b;
        uint64_t n_bytes;
        uint32_t same = 0;
        int fd;
        if (vt__prefix_open_file(f, name, &fd, &n_bytes, NULL) != VT_OK) continue;
        vt_status st = vt__prefix_read_head(fd, n_bytes, name, &b, NULL);
        close(fd);
        if (st != VT_OK || !vt_key_eq(&b.previous, previous)) continue;
        while (same < b.n_tokens && same < n && b.tokens[same] == tokens[same]) same++;
        if (same < VT_BLOCK_MIN_TOKENS || same <= best) continue;
        best = same;
        *out = b;
    }
    closedir(d);
    return best > 0 ? VT_OK : vt_fail(err, VT_ENOTFOUND, "no block begins like that");
}

vt_status vt_prefix_files_save(vt_prefix_files *f, const vt_block *b, vt_slice image, vt_err *err)
{
    char name[VT_PREFIX_NAME];
    vt_prefix_file_name(b, name);
    return vt_file_replace(f->dirfd, name, image, err);
}

bool vt_prefix_files_touch(vt_prefix_files *f, const vt_block *b)
{
    char name[VT_PREFIX_NAME];
    vt_prefix_file_name(b, name);
    return utimensat(f->dirfd, name, NULL, AT_SYMLINK_NOFOLLOW) == 0;
}
