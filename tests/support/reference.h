/* reference.h -- the tiny models of tests/data/tiny (scripts/make-tiny-models) for tests: their
 * token sequence, their reference logits, and ways to run one through the engine. Static functions
 * in a header, as each test is a program of one file. A failure fails the test. */
#ifndef VT_TESTS_SUPPORT_REFERENCE_H
#define VT_TESTS_SUPPORT_REFERENCE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/file.h"
#include "engine/engine.h"

typedef struct {
    vt_buffer tokens_bytes;
    vt_buffer logits_bytes;
    const int32_t *tokens;
    const float *logits; /* [n][n_vocab] */
    size_t n;
    size_t n_vocab;
} reference;

static inline void reference_read(const char *name, const char *suffix, vt_buffer *out)
{
    char path[512];
    vt_err err = {0};
    snprintf(path, sizeof path, "%s/tiny/%s.%s", VT_TEST_DATA, name, suffix);
    vt_buffer_init(out, 0);
    if (vt_file_read(path, 16 << 20, out, &err) != VT_OK) fail_msg("%s", err.msg);
}

static inline reference reference_load(const char *name)
{
    reference r = {0};
    reference_read(name, "tokens", &r.tokens_bytes);
    reference_read(name, "logits", &r.logits_bytes);
    r.tokens = (const int32_t *)(const void *)r.tokens_bytes.ptr;
    r.logits = (const float *)(const void *)r.logits_bytes.ptr;
    r.n = r.tokens_bytes.len / sizeof(int32_t);
    r.n_vocab = r.logits_bytes.len / sizeof(float) / r.n;
    assert_true(r.n > 0 && r.n_vocab > 0);
    assert_int_equal(r.n * r.n_vocab * sizeof(float), r.logits_bytes.len);
    return r;
}

static inline void reference_free(reference *r)
{
    vt_buffer_deinit(&r->tokens_bytes);
    vt_buffer_deinit(&r->logits_bytes);
}

static inline vt_engine *reference_engine(const char *name, const char *isa, int n_threads)
{
    char path[512];
    vt_err err = {0};
    vt_engine *e = NULL;
    snprintf(path, sizeof path, "%s/tiny/%s.gguf", VT_TEST_DATA, name);
    vt_engine_options options = {.path = path, .n_threads = n_threads, .isa = isa};
    if (vt_engine_open(&options, &e, &err) != VT_OK) fail_msg("%s", err.msg);
    return e;
}

static inline vt_session *reference_session(vt_engine *e, uint32_t n_chunk, vt_kv_type kv_type)
{
    vt_err err = {0};
    vt_session *s = NULL;
    vt_session_options options = {.n_ctx = 512, .n_chunk = n_chunk, .kv_type = kv_type};
    if (vt_session_new(e, &options, &s, &err) != VT_OK) fail_msg("%s", err.msg);
    return s;
}

/* Where extend_all's logits go: row `position` of `rows`. */
typedef struct {
    float *rows;
    size_t n_vocab;
    size_t next; /* the position that must come now */
} reference_sink;

static inline vt_status reference_keep(void *ctx, size_t position, const float *logits, vt_err *err)
{
    (void)err;
    reference_sink *sink = ctx;
    assert_int_equal(position, sink->next);
    memcpy(sink->rows + position * sink->n_vocab, logits, sink->n_vocab * sizeof *logits);
    sink->next++;
    return VT_OK;
}

/* Append tokens [from, n) of r to the session that holds [0, from); their logits to rows. */
static inline void reference_extend(vt_session *s, const reference *r, size_t from, size_t n,
                                    float *rows)
{
    vt_err err = {0};
    reference_sink sink = {.rows = rows, .n_vocab = r->n_vocab, .next = from};
    assert_int_equal(vt_session_n_tokens(s), from);
    if (vt_session_extend_all(s, r->tokens + from, n - from, reference_keep, &sink, NULL, &err) !=
        VT_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(sink.next, n);
    assert_int_equal(vt_session_n_tokens(s), n);
}

/* Logits of the first n positions, in one go; vt_free. */
static inline float *reference_run(vt_engine *e, const reference *r, size_t n, vt_kv_type kv_type)
{
    assert_int_equal(vt_model_get_info(vt_engine_model(e))->n_vocab, r->n_vocab);
    float *rows = vt_alloc(n * r->n_vocab * sizeof *rows);
    assert_non_null(rows);
    vt_session *s = reference_session(e, 0, kv_type);
    reference_extend(s, r, 0, n, rows);
    vt_session_free(s);
    return rows;
}

/* The largest error at a position, in standard deviations of its reference; infinite for a NaN. */
static inline double reference_error(const reference *r, const float *rows, size_t position)
{
    const float *want = r->logits + position * r->n_vocab;
    const float *got = rows + position * r->n_vocab;
    double sum = 0;
    double squares = 0;
    double largest = 0;
    for (size_t i = 0; i < r->n_vocab; i++) {
        double error = fabs((double)got[i] - (double)want[i]);
        if (!isfinite(error)) return INFINITY;
        if (error > largest) largest = error;
        sum += (double)want[i];
        squares += (double)want[i] * (double)want[i];
    }
    double mean = sum / (double)r->n_vocab;
    return largest / sqrt(squares / (double)r->n_vocab - mean * mean);
}

#endif
