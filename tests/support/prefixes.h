/* prefixes.h -- for tests of the prefix store: tiny models with a store, cold logits to compare
 * with, and directories. Static functions in a header, as each test is a program of one file. */
#ifndef VT_TESTS_SUPPORT_PREFIXES_H
#define VT_TESTS_SUPPORT_PREFIXES_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "engine/engine.h"
#include "engine/prefix.h"
#include "engine/prefix_files.h"

#define PREFIX_DIGEST       "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define PREFIX_OTHER_DIGEST "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

enum { PREFIX_MAX = 512 };

/* A model with a store, and what its last sync reported. */
typedef struct {
    vt_engine *engine;
    vt_prefix_report report;
    unsigned n_reports;
    char name[32];
} prefix_model;

static inline void prefix_ok(vt_status st, const vt_err *err)
{
    if (st != VT_OK) fail_msg("status %d: %s", st, err->msg);
}

static inline void prefix_keep_report(void *ctx, const vt_prefix_report *report)
{
    prefix_model *m = ctx;
    m->report = *report;
    m->n_reports++;
}

static inline vt_engine *prefix_engine(const char *name)
{
    char path[512];
    vt_engine *e = NULL;
    vt_err err = {0};
    snprintf(path, sizeof path, VT_TEST_DATA "/tiny/%s.gguf", name);
    prefix_ok(vt_engine_open(&(vt_engine_options){.path = path, .n_threads = 1}, &e, &err), &err);
    return e;
}

/* dir NULL: RAM only. Free with vt_engine_close(m->engine) and vt_free. */
static inline prefix_model *prefix_open(const char *name, const vt_prefix_options *wanted)
{
    prefix_model *m = vt_calloc(1, sizeof *m);
    vt_prefix_options options = *wanted;
    vt_err err = {0};
    assert_non_null(m);
    m->engine = prefix_engine(name);
    snprintf(m->name, sizeof m->name, "%s", name);
    options.on_sync = prefix_keep_report;
    options.ctx = m;
    if (options.dir != NULL && options.digest == NULL) options.digest = PREFIX_DIGEST;
    if (options.disk_bytes == 0) options.disk_bytes = UINT64_C(1) << 30;
    if (options.ram_bytes == 0) options.ram_bytes = 64 << 20;
    prefix_ok(vt_engine_keep_prefixes(m->engine, &options, &err), &err);
    return m;
}

static inline void prefix_close(prefix_model *m)
{
    vt_engine_close(m->engine);
    vt_free(m);
}

static inline vt_session *prefix_session(const prefix_model *m, uint32_t n_chunk, vt_kv_type type)
{
    vt_session *s = NULL;
    vt_err err = {0};
    const vt_session_options options = {.n_ctx = PREFIX_MAX, .n_chunk = n_chunk, .kv_type = type};
    prefix_ok(vt_session_new(m->engine, &options, &s, &err), &err);
    return s;
}

/* How many tokens were reused. */
static inline size_t prefix_sync(vt_session *s, const int32_t *tokens, size_t n)
{
    vt_err err = {0};
    size_t n_reused = SIZE_MAX;
    prefix_ok(vt_session_sync(s, tokens, n, NULL, &n_reused, &err), &err);
    assert_int_equal(vt_session_n_tokens(s), n);
    assert_memory_equal(vt_session_tokens(s), tokens, n * sizeof *tokens);
    return n_reused;
}

/* The session's logits are those of an engine without a store that was given the tokens at once. */
static inline void prefix_expect_cold(const prefix_model *m, vt_session *s, vt_kv_type type)
{
    vt_engine *e = prefix_engine(m->name);
    vt_session *cold = NULL;
    vt_err err = {0};
    const vt_session_options options = {.n_ctx = PREFIX_MAX, .kv_type = type};
    prefix_ok(vt_session_new(e, &options, &cold, &err), &err);
    prefix_ok(vt_session_extend(cold, vt_session_tokens(s), vt_session_n_tokens(s), NULL, &err),
              &err);
    const size_t n_vocab = vt_model_get_info(vt_engine_model(e))->n_vocab;
    assert_memory_equal(vt_session_logits(s), vt_session_logits(cold), n_vocab * sizeof(float));
    vt_session_free(cold);
    vt_engine_close(e);
}

/* n tokens of the models' vocabularies (269 ids and more), another sequence for each seed. */
static inline void prefix_tokens(int32_t *tokens, size_t n, uint64_t seed)
{
    uint64_t x = seed * 2 + 1;
    for (size_t i = 0; i < n; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        tokens[i] = (int32_t)((x >> 33) % 256);
    }
}

/* ---- directories ---- */

static inline void prefix_make_dir(char dir[64])
{
    snprintf(dir, 64, "/tmp/vetro-prefix-XXXXXX");
    assert_non_null(mkdtemp(dir));
}

static inline void prefix_remove_dir(const char *dir)
{
    DIR *d = opendir(dir);
    const struct dirent *e;
    while (d != NULL && (e = readdir(d)) != NULL)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            unlinkat(dirfd(d), e->d_name, 0);
    if (d != NULL) closedir(d);
    rmdir(dir);
}

static inline vt_prefix_files *prefix_files(const char *dir)
{
    vt_prefix_files *f = NULL;
    vt_err err = {0};
    prefix_ok(vt_prefix_files_open(dir, false, &f, &err), &err);
    return f;
}

static inline vt_prefix_listing prefix_list(const char *dir)
{
    vt_prefix_files *f = prefix_files(dir);
    vt_prefix_listing l = {0};
    vt_err err = {0};
    prefix_ok(vt_prefix_files_list(f, &l, &err), &err);
    vt_prefix_files_close(f);
    return l;
}

/* How many files fail their check. */
static inline size_t prefix_n_damaged(const char *dir)
{
    vt_prefix_files *f = prefix_files(dir);
    vt_prefix_listing l = prefix_list(dir);
    uint8_t *image = NULL;
    size_t room = 0, n = 0;
    for (size_t i = 0; i < l.n; i++) {
        vt_err err = {0};
        const vt_status st = vt_prefix_files_verify(f, &l.files[i], &image, &room, &err);
        if (st == VT_ECORRUPT) n++;
        else if (st != VT_OK) fail_msg("%s: %s", l.files[i].name, err.msg);
    }
    vt_free(image);
    vt_prefix_listing_deinit(&l);
    vt_prefix_files_close(f);
    return n;
}

#endif
