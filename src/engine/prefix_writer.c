/* prefix_writer.c -- the thread that writes blocks to disk while the model goes on.
 *
 * It starts with the first block. It runs at the lowest priority of CPU and disk, so that it takes
 * what the compute threads leave; a block it holds can't be evicted, so a slow disk ends in blocks
 * that are not stored, never in a wait. Order: as queued, a parent before its children, so that
 * whatever is cut off (an exit, a kill) leaves prefixes that can be used.
 *
 * A path that has no room in the budget even alone ends where the budget does: its beginning is
 * kept, as nothing could use the rest without it. */
#include "engine/prefix_parts.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"

/* ioprio_set(2), which has no header: this thread, the lowest of the normal class. In the idle
 * class a sync may never come to an end while others use the disk, and closing waits for it. */
enum { IOPRIO_WHO_PROCESS = 1, IOPRIO_LOWEST = 2 << 13 | 7 };

static void lower_priority(void)
{
    /* When it can't be lowered it is as before. On Linux both are per thread. */
    (void)setpriority(PRIO_PROCESS, 0, 19);
    (void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_LOWEST);
}

/* Room for the block; when there is none, removes those least recently used, but none that stands
 * before it. VT_ELIMIT: that is not enough. */
static vt_status make_room(vt_prefix_writer *w, const vt_block *b, vt_err *err)
{
    const uint64_t n = vt_block_bytes(b);
    vt_status st = VT_OK;
    uint64_t n_left = 0;
    if (!w->knows_used) (void)vt_prefix_files_tidy(w->files, &n_left);
    if (!w->knows_used) st = vt_prefix_files_bytes(w->files, &w->used_bytes, err);
    if (st != VT_OK) return st;
    w->knows_used = true;
    w->written_bytes = 0;
    const uint64_t budget = vt_prefix_files_budget(w->files, w->max_bytes, w->used_bytes);
    if (w->used_bytes + n <= budget) return VT_OK;
    if (n > budget)
        return vt_fail(err, VT_ELIMIT, "the budget of %.1f MB holds no block, of %.1f MB each",
                       (double)budget / 1e6, (double)n / 1e6);
    /* a tenth more than needed, so that this is not done for every block */
    const uint64_t target = budget - n;
    const vt_prefix_gc gc = {.max_bytes = target - target / 10, .kept_end = &b->previous};
    vt_prefix_gc_result r = {0};
    st = vt_prefix_files_gc(w->files, &gc, &r, err);
    if (st == VT_EEXIST) {
        w->knows_used = false; /* another process makes room */
        return VT_OK;
    }
    if (st != VT_OK) return st;
    w->used_bytes = r.bytes_left;
    if (r.bytes_left <= target) return VT_OK;
    return vt_fail(err, VT_ELIMIT, "the budget of %.1f MB holds only the first %u tokens",
                   (double)budget / 1e6, b->position);
}

static vt_status write_block(vt_prefix_writer *w, const vt_prefix_job *job, bool is_on_disk,
                             vt_err *err)
{
    const vt_block *b = &job->tree->nodes[job->node].block;
    uint8_t *image = vt__prefix_image(job->tree, job->node);
    if (w->is_path_full && vt_key_eq(&b->previous, &w->left_out)) {
        w->left_out = b->key;
        return VT_ELIMIT; /* as said before */
    }
    if (is_on_disk && vt_prefix_files_touch(w->files, b)) return VT_OK;
    vt_status st = make_room(w, b, err);
    if (st == VT_ELIMIT) {
        w->is_path_full = true;
        w->left_out = b->key;
    }
    if (st == VT_OK) st = vt_block_seal(b, image, err);
    if (st == VT_OK)
        st = vt_prefix_files_save(w->files, b, vt_slice_of(image, vt_block_bytes(b)), err);
    if (st == VT_OK) {
        w->used_bytes += vt_block_bytes(b);
        w->written_bytes += vt_block_bytes(b);
    }
    /* Other processes write into the same directory: look again now and then. */
    if (w->written_bytes > w->max_bytes / 16) w->knows_used = false;
    return st;
}

static void *writer_main(void *arg)
{
    vt_prefix_writer *w = arg;
    lower_priority();
    pthread_mutex_lock(&w->mutex);
    for (;;) {
        while (w->n_jobs == 0 && !w->stops) pthread_cond_wait(&w->has_work, &w->mutex);
        if (w->stops) break;
        const vt_prefix_job job = w->jobs[w->first];
        vt_prefix_node *node = &job.tree->nodes[job.node];
        const bool is_on_disk = node->is_on_disk;
        vt_err err = {0};
        w->first = (w->first + 1) % VT_PREFIX_QUEUE;
        w->n_jobs--;
        w->is_busy = true;
        vt_status st = VT_ECANCEL;
        if (!w->has_failed) {
            pthread_mutex_unlock(&w->mutex);
            st = write_block(w, &job, is_on_disk, &err);
            pthread_mutex_lock(&w->mutex);
        }
        const bool begins = node->block.position == 0;
        if (begins && !w->has_failed) w->problem[0] = '\0'; /* that was another path */
        /* no text: the same as that of the block before, or of the one that has failed */
        if (st != VT_OK && err.msg[0] != '\0')
            snprintf(w->problem, sizeof w->problem, "%.180s", err.msg);
        if (st != VT_OK && st != VT_ELIMIT) w->has_failed = true;
        node->is_on_disk = st == VT_OK;
        node->is_queued = false;
        w->is_busy = false;
        if (w->n_jobs == 0) pthread_cond_broadcast(&w->is_idle);
    }
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

vt_status vt__prefix_writer_init(vt_prefix_writer *w, vt_prefix_files *files, uint64_t max_bytes,
                                 vt_err *err)
{
    pthread_condattr_t monotonic;
    *w = (vt_prefix_writer){.files = files, .max_bytes = max_bytes};
    w->jobs = vt_calloc(VT_PREFIX_QUEUE, sizeof *w->jobs);
    if (w->jobs == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    VT_CHECK(pthread_condattr_init(&monotonic) == 0 &&
             pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    VT_CHECK(pthread_mutex_init(&w->mutex, NULL) == 0 &&
             pthread_cond_init(&w->has_work, NULL) == 0 &&
             pthread_cond_init(&w->is_idle, &monotonic) == 0);
    pthread_condattr_destroy(&monotonic);
    return VT_OK;
}

void vt__prefix_writer_push(vt_prefix_writer *w, vt_prefix_tree *tree, uint32_t node)
{
    if (!w->is_running) w->is_running = pthread_create(&w->thread, NULL, writer_main, w) == 0;
    if (!w->is_running) return; /* no thread, nothing on disk */
    pthread_mutex_lock(&w->mutex);
    if (w->n_jobs < VT_PREFIX_QUEUE && !tree->nodes[node].is_queued && !w->has_failed) {
        w->jobs[(w->first + w->n_jobs++) % VT_PREFIX_QUEUE] = (vt_prefix_job){tree, node};
        tree->nodes[node].is_queued = true;
        pthread_cond_signal(&w->has_work);
    }
    pthread_mutex_unlock(&w->mutex);
}

bool vt__prefix_writer_holds(vt_prefix_writer *w, const vt_prefix_node *node)
{
    if (!w->is_running) return false;
    pthread_mutex_lock(&w->mutex);
    const bool holds = node->is_queued;
    pthread_mutex_unlock(&w->mutex);
    return holds;
}

bool vt__prefix_writer_problem(vt_prefix_writer *w, char *out, size_t size)
{
    if (!w->is_running) return false;
    pthread_mutex_lock(&w->mutex);
    const bool has_problem = w->problem[0] != '\0';
    if (has_problem) snprintf(out, size, "%s", w->problem);
    pthread_mutex_unlock(&w->mutex);
    return has_problem;
}

bool vt__prefix_writer_flush(vt_prefix_writer *w, uint32_t timeout_ms)
{
    struct timespec until;
    if (!w->is_running) return true;
    VT_CHECK(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&w->mutex);
    int result = 0;
    while (result != ETIMEDOUT && (w->n_jobs > 0 || w->is_busy))
        result = pthread_cond_timedwait(&w->is_idle, &w->mutex, &until);
    const bool is_done = w->n_jobs == 0 && !w->is_busy && w->problem[0] == '\0';
    pthread_mutex_unlock(&w->mutex);
    return is_done;
}

void vt__prefix_writer_deinit(vt_prefix_writer *w, uint32_t timeout_ms)
{
    if (w->jobs == NULL) return;
    (void)vt__prefix_writer_flush(w, timeout_ms);
    if (w->is_running) {
        pthread_mutex_lock(&w->mutex);
        w->stops = true;
        pthread_cond_signal(&w->has_work);
        pthread_mutex_unlock(&w->mutex);
        pthread_join(w->thread, NULL);
    }
    pthread_mutex_destroy(&w->mutex);
    pthread_cond_destroy(&w->has_work);
    pthread_cond_destroy(&w->is_idle);
    vt_free(w->jobs);
    *w = (vt_prefix_writer){0};
}
