/* prefix_gc.c -- the whole directory: what is in it, what is damaged, and what has to go. See
 * prefix_files.h.
 *
 * A block without the one before it can't be used, so a block counts as used when one that follows
 * it was: removing the least recently used, and at equal times the later positions first, then
 * never takes a parent before its children. */
#include "engine/prefix_files_inner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/replace.h"
#include "kernels/kernels.h"

enum { MAX_FILES = 1 << 22 };

#define NO_PARENT UINT32_MAX

/* ---- listing ---- */

static int64_t time_of(const struct stat *info)
{
    return (int64_t)info->st_mtim.tv_sec * 1000000000 + info->st_mtim.tv_nsec;
}

static int by_position(const void *a, const void *b)
{
    const vt_prefix_file *x = a, *y = b;
    if (x->block.position != y->block.position)
        return x->block.position < y->block.position ? -1 : 1;
    return strcmp(x->name, y->name);
}

static const vt_prefix_file *at(const vt_prefix_file *files, const uint32_t *order, size_t i)
{
    return &files[order[i]];
}

/* The file with this key, by halving `order`: n indices sorted by key, and NO_PARENT at the end. */
static uint32_t find_key(const vt_prefix_file *files, const uint32_t *order, size_t n,
                         const vt_key *key)
{
    size_t low = 0;
    while (n > 0) {
        const size_t half = n / 2;
        if (memcmp(at(files, order, low + half)->block.key.bytes, key->bytes, VT_SHA256_BYTES) <
            0) {
            low += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    const uint32_t i = order[low];
    return i != NO_PARENT && vt_key_eq(&files[i].block.key, key) ? i : NO_PARENT;
}

static int by_key(const void *a, const void *b, void *ctx)
{
    const vt_prefix_file *files = ctx;
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return memcmp(files[x].block.key.bytes, files[y].block.key.bytes, VT_SHA256_BYTES);
}

static bool is_root(const vt_block *b)
{
    vt_key root;
    return b->position == 0 &&
           vt_block_root(&b->model, b->numerics, b->kv_code, &root, NULL) == VT_OK &&
           vt_key_eq(&root, &b->previous);
}

/* Parents, leaves, lost blocks, and times handed up from the children. */
static vt_status link_files(const vt_prefix_files *f, vt_prefix_listing *l, vt_err *err)
{
    if (l->n == 0) return VT_OK;
    uint32_t *order = vt_calloc(l->n + 1, sizeof *order);
    if (order == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    qsort(l->files, l->n, sizeof *l->files, by_position);
    for (size_t i = 0; i < l->n; i++) order[i] = (uint32_t)i;
    qsort_r(order, l->n, sizeof *order, by_key, l->files);
    order[l->n] = NO_PARENT; /* find_key may look one past the end */
    for (size_t i = 0; i < l->n; i++) {
        vt_prefix_file *file = &l->files[i];
        file->parent = NO_PARENT;
        file->is_leaf = true;
        if (file->problem[0] != '\0') continue;
        const uint32_t parent = find_key(l->files, order, l->n, &file->block.previous);
        /* parents stand before: smaller positions */
        if (parent != NO_PARENT &&
            l->files[parent].block.position + VT_BLOCK_TOKENS == file->block.position)
            file->parent = parent;
        /* One that was written while the directory was read may have been missed. */
        file->is_lost = file->parent == NO_PARENT
                            ? !is_root(&file->block) && !vt__prefix_has(f, &file->block.previous)
                            : l->files[parent].is_lost;
    }
    for (size_t i = l->n; i-- > 0;) {
        const vt_prefix_file *file = &l->files[i];
        if (file->parent == NO_PARENT) continue;
        vt_prefix_file *parent = &l->files[file->parent];
        parent->is_leaf = false;
        if (parent->used_ns < file->used_ns) parent->used_ns = file->used_ns;
    }
    vt_free(order);
    return VT_OK;
}

static vt_status add_file(vt_prefix_files *f, const char *name, vt_prefix_listing *l, size_t *cap,
                          vt_err *err)
{
    struct stat info;
    uint64_t n_bytes = 0;
    vt_err problem = {0};
    int fd = -1;
    if (!vt_grow((void **)&l->files, cap, l->n + 1, sizeof *l->files, MAX_FILES))
        return vt_fail(err, VT_ELIMIT, "the prefix store has too many files to list");
    vt_prefix_file *file = &l->files[l->n];
    *file = (vt_prefix_file){.parent = NO_PARENT};
    memcpy(file->name, name, strlen(name) + 1); /* vt__prefix_is_name saw to it that it fits */
    vt_status st = vt__prefix_open_file(f, name, &fd, &n_bytes, &problem);
    if (st == VT_ENOTFOUND) return VT_OK; /* another process has just removed it */
    if (st == VT_OK) {
        st = vt__prefix_read_head(fd, n_bytes, name, &file->block, &problem);
        if (fstat(fd, &info) == 0) file->used_ns = time_of(&info);
        close(fd);
    }
    if (st != VT_OK) snprintf(file->problem, sizeof file->problem, "%.120s", problem.msg);
    file->n_bytes = n_bytes;
    l->n_bytes += n_bytes;
    l->n++;
    return VT_OK;
}

/* The temporary form of a block's name? */
static bool is_temporary(const char *entry)
{
    char name[VT_PREFIX_NAME];
    const char *end = strstr(entry, ".kv.");
    if (entry[0] != '.' || end == NULL || end + 3 - (entry + 1) >= VT_PREFIX_NAME) return false;
    snprintf(name, sizeof name, "%.*s", (int)(end + 3 - (entry + 1)), entry + 1);
    return vt__prefix_is_name(name) && vt_replacement_is_temp(entry, vt_slice_cstr(name));
}

vt_status vt_prefix_files_list(vt_prefix_files *f, vt_prefix_listing *out, vt_err *err)
{
    vt_prefix_listing l = {0};
    vt_status st = VT_OK;
    size_t cap = 0;
    const struct dirent *e;
    struct stat info;
    DIR *d = vt__prefix_read_dir(f);
    if (d == NULL) return vt_fail_errno(err, VT_EIO, "cannot read the prefix store");
    while (st == VT_OK && (e = readdir(d)) != NULL) {
        if (vt__prefix_is_name(e->d_name)) {
            st = add_file(f, e->d_name, &l, &cap, err);
        } else if (is_temporary(e->d_name) &&
                   fstatat(f->dirfd, e->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0) {
            l.n_temporary++;
            l.n_bytes += (uint64_t)info.st_size;
        }
    }
    closedir(d);
    if (st == VT_OK) st = link_files(f, &l, err);
    if (st == VT_OK) *out = l;
    else vt_prefix_listing_deinit(&l);
    return st;
}

void vt_prefix_listing_deinit(vt_prefix_listing *l)
{
    vt_free(l->files);
    *l = (vt_prefix_listing){0};
}

vt_status vt_prefix_files_verify(vt_prefix_files *f, const vt_prefix_file *file, uint8_t **image,
                                 size_t *room, vt_err *err)
{
    vt_block b;
    uint64_t n = 0;
    int fd = -1;
    vt_status st = vt__prefix_open_file(f, file->name, &fd, &n, err);
    if (st != VT_OK) return st;
    st = vt__prefix_read_head(fd, n, file->name, &b, err); /* the size is then bounded */
    if (st == VT_OK && n > *room) {
        vt_free(*image);
        *image = vt_alloc((size_t)n);
        *room = *image != NULL ? (size_t)n : 0;
        if (*image == NULL) st = vt_fail(err, VT_ENOMEM, "out of memory");
    }
    if (st == VT_OK) st = vt_file_pread(fd, *image, (size_t)n, 0, err);
    if (st == VT_OK) st = vt_block_open(vt_slice_of(*image, (size_t)n), &b, err);
    close(fd);
    return st;
}

/* ---- the budget ---- */

vt_status vt_prefix_files_bytes(vt_prefix_files *f, uint64_t *out, vt_err *err)
{
    uint64_t sum = 0;
    const struct dirent *e;
    struct stat info;
    DIR *d = vt__prefix_read_dir(f);
    if (d == NULL) return vt_fail_errno(err, VT_EIO, "cannot read the prefix store");
    while ((e = readdir(d)) != NULL)
        if (strstr(e->d_name, ".kv") != NULL &&
            fstatat(f->dirfd, e->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode))
            sum += (uint64_t)info.st_size;
    closedir(d);
    *out = sum;
    return VT_OK;
}

uint64_t vt_prefix_files_budget(const vt_prefix_files *f, uint64_t wanted, uint64_t used)
{
    struct statvfs s;
    if (fstatvfs(f->dirfd, &s) != 0) return wanted;
    const uint64_t tenth = ((uint64_t)s.f_bavail * s.f_frsize + used) / 10;
    return wanted < tenth ? wanted : tenth;
}

/* Is it gone now? What another process has just removed is, and counts for that one. */
static bool remove_file(vt_prefix_files *f, vt_prefix_file *file, vt_prefix_gc_result *r)
{
    if (file->is_stuck) return false;
    if (unlinkat(f->dirfd, file->name, 0) == 0) {
        r->n_removed++;
        r->n_damaged += file->problem[0] != '\0';
        r->bytes_removed += file->n_bytes;
        return true;
    }
    if (errno == ENOENT) return true;
    if (r->n_failed++ == 0) (void)vt_fail_errno(&r->why, VT_EIO, "%s", file->name);
    file->is_stuck = true;
    return false;
}

size_t vt_prefix_files_tidy(vt_prefix_files *f, uint64_t *n_bytes)
{
    size_t n = 0;
    uint64_t n_file = 0;
    const struct dirent *e;
    DIR *d = vt__prefix_read_dir(f);
    *n_bytes = 0;
    while (d != NULL && (e = readdir(d)) != NULL) {
        if (!is_temporary(e->d_name) || !vt_replacement_remove_left(f->dirfd, e->d_name, &n_file))
            continue;
        n++;
        *n_bytes += n_file;
    }
    if (d != NULL) closedir(d);
    return n;
}

/* A tail whose tokens another block after the same one begins with: that one serves as well. */
static bool is_superseded(const vt_prefix_listing *l, const uint32_t *by_parent, size_t i)
{
    const vt_block *tail = &l->files[by_parent[i]].block;
    if (tail->n_tokens == VT_BLOCK_TOKENS) return false;
    for (int step = -1; step <= 1; step += 2)
        for (size_t k = i + (size_t)step; k < l->n; k += (size_t)step) {
            const vt_block *other = &l->files[by_parent[k]].block;
            if (!vt_key_eq(&other->previous, &tail->previous)) break;
            if (other->n_tokens > tail->n_tokens &&
                memcmp(other->tokens, tail->tokens, tail->n_tokens * sizeof *tail->tokens) == 0)
                return true;
        }
    return false;
}

static int by_previous(const void *a, const void *b, void *ctx)
{
    const vt_prefix_file *files = ctx;
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return memcmp(files[x].block.previous.bytes, files[y].block.previous.bytes, VT_SHA256_BYTES);
}

/* Marks as lost what another block serves for. */
static vt_status find_superseded(vt_prefix_listing *l, vt_err *err)
{
    uint32_t *order = vt_calloc(l->n + 1, sizeof *order);
    if (order == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    for (size_t i = 0; i < l->n; i++) order[i] = (uint32_t)i;
    qsort_r(order, l->n, sizeof *order, by_previous, l->files);
    for (size_t i = 0; i < l->n; i++)
        if (is_superseded(l, order, i)) l->files[order[i]].is_lost = true;
    vt_free(order);
    return VT_OK;
}

static bool is_useless(const vt_prefix_file *file)
{
    return file->problem[0] != '\0' || file->is_lost;
}

static bool is_gone(const vt_prefix_file *file)
{
    return file->name[0] == '\0';
}

/* Gives every file that does not fit its checksum, or can't be read, its problem. */
static vt_status check_files(vt_prefix_files *f, vt_prefix_listing *l, const vt_prefix_gc *o,
                             vt_err *err)
{
    uint8_t *image = NULL;
    size_t room = 0;
    vt_status st = VT_OK;
    for (size_t i = 0; i < l->n && st == VT_OK; i++) {
        vt_prefix_file *file = &l->files[i];
        vt_err why = {0};
        if (vt_progress_cancelled(o->progress)) st = vt_fail(err, VT_ECANCEL, "cancelled");
        else if (file->problem[0] == '\0') {
            const vt_status found = vt_prefix_files_verify(f, file, &image, &room, &why);
            if (vt_prefix_is_damage(found)) {
                snprintf(file->problem, sizeof file->problem, "%.120s", why.msg);
                file->block.n_tokens = 0; /* serves for no other */
            }
        }
        vt_progress_report(o->progress, "checking", i + 1, l->n);
    }
    vt_free(image);
    return st;
}

/* What can never be used again, whatever the budget; sets used_ns to 0 where it is of no use to
 * this program (another numerics version), so that it goes first. */
static vt_status remove_useless(vt_prefix_files *f, vt_prefix_listing *l, const vt_prefix_gc *o,
                                vt_prefix_gc_result *r, vt_err *err)
{
    vt_status st = o->checks ? check_files(f, l, o, err) : VT_OK;
    if (st == VT_OK) st = find_superseded(l, err);
    for (size_t i = 0; i < l->n && st == VT_OK; i++) {
        vt_prefix_file *file = &l->files[i];
        if (file->block.numerics != VT_NUMERICS_VERSION) file->used_ns = 0;
        /* parents stand before their children; one that could not be removed is no better */
        if (file->parent != NO_PARENT && is_useless(&l->files[file->parent])) file->is_lost = true;
        const bool is_unwanted = o->forgets != NULL && vt_key_eq(o->forgets, &file->block.model);
        if (!is_useless(file) && !is_unwanted) continue;
        if (remove_file(f, file, r)) file->name[0] = '\0';
    }
    return st;
}

static int least_recent(const void *a, const void *b, void *ctx)
{
    const vt_prefix_file *files = ctx;
    const vt_prefix_file *x = &files[*(const uint32_t *)a], *y = &files[*(const uint32_t *)b];
    if (x->used_ns != y->used_ns) return x->used_ns < y->used_ns ? -1 : 1;
    if (x->block.position != y->block.position)
        return x->block.position > y->block.position ? -1 : 1;
    return strcmp(x->name, y->name);
}

static void mark_kept(vt_prefix_listing *l, const vt_key *end)
{
    uint32_t i = 0;
    while (i < l->n && !vt_key_eq(&l->files[i].block.key, end)) i++;
    if (i == l->n) return;
    for (; i != NO_PARENT; i = l->files[i].parent) l->files[i].is_kept = true;
}

static vt_status keep_to_budget(vt_prefix_files *f, const vt_prefix_listing *l, uint64_t max_bytes,
                                vt_prefix_gc_result *r, vt_err *err)
{
    uint64_t left = 0;
    uint32_t *order = vt_calloc(l->n + 1, sizeof *order);
    if (order == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    for (size_t i = 0; i < l->n; i++) {
        order[i] = (uint32_t)i;
        if (!is_gone(&l->files[i])) left += l->files[i].n_bytes;
    }
    qsort_r(order, l->n, sizeof *order, least_recent, l->files);
    for (size_t i = 0; i < l->n; i++) {
        vt_prefix_file *file = &l->files[order[i]];
        if (is_gone(file)) continue;
        if (left > max_bytes && !file->is_kept && remove_file(f, file, r)) left -= file->n_bytes;
        else r->n_left++;
    }
    r->bytes_left = left;
    vt_free(order);
    return VT_OK;
}

vt_status vt_prefix_files_gc(vt_prefix_files *f, const vt_prefix_gc *options,
                             vt_prefix_gc_result *out, vt_err *err)
{
    vt_prefix_listing l = {0};
    vt_prefix_gc_result r = {0};
    int lock = openat(f->dirfd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (lock < 0) return vt_fail_errno(err, VT_EIO, "cannot open the prefix store's lock");
    vt_status st = VT_OK;
    if (flock(lock, options->waits ? LOCK_EX : LOCK_EX | LOCK_NB) != 0)
        st = errno == EWOULDBLOCK
                 ? vt_fail(err, VT_EEXIST, "another process is cleaning the prefix store")
                 : vt_fail_errno(err, VT_EIO, "cannot lock the prefix store");
    if (st == VT_OK) r.n_unfinished = vt_prefix_files_tidy(f, &r.bytes_removed);
    if (st == VT_OK) st = vt_prefix_files_list(f, &l, err);
    if (st == VT_OK) st = remove_useless(f, &l, options, &r, err);
    if (st == VT_OK && options->kept_end != NULL) mark_kept(&l, options->kept_end);
    if (st == VT_OK) st = keep_to_budget(f, &l, options->all ? 0 : options->max_bytes, &r, err);
    vt_prefix_listing_deinit(&l);
    close(lock);
    if (st == VT_OK) *out = r;
    return st;
}
