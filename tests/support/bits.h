/* bits.h -- one result, everywhere (NUMERICS.md): run a tiny model in every way and compare bytes.
 *
 * The logits of all positions must be the same whatever the instruction set, the number of threads,
 * the size of prefill steps, token by token, and after going back to a shorter prefix. Not the full
 * product: 24 runs a model, in which each value of a factor meets each value of every other one.
 * The standard is scalar, one thread, one go. */
#ifndef VT_TESTS_SUPPORT_BITS_H
#define VT_TESTS_SUPPORT_BITS_H

#include "support/reference.h"

#include "kernels/kernels.h"

static const int bits_threads[] = {1, 2, 3, 8};
typedef enum {
    ONE_GO,
    CHUNKS_OF_64,
    CHUNKS_OF_7,
    CHUNKS_OF_1,
    EXTENDS_OF_1,
    AND_BACK,
    N_WAYS
} bits_way;

enum { BITS_MAX_TOKENS = 128 };

static inline void bits_extend_one_by_one(vt_session *s, const reference *r, size_t n, float *rows)
{
    vt_err err = {0};
    for (size_t i = 0; i < n; i++) {
        if (vt_session_extend(s, r->tokens + i, 1, NULL, &err) != VT_OK) fail_msg("%s", err.msg);
        memcpy(rows + i * r->n_vocab, vt_session_logits(s), r->n_vocab * sizeof *rows);
    }
}

/* The session becomes the first n tokens; row n - 1 becomes its logits. */
static inline void bits_sync_to(vt_session *s, const int32_t *tokens, const reference *r, size_t n,
                                float *rows)
{
    vt_err err = {0};
    size_t n_reused = SIZE_MAX;
    if (vt_session_sync(s, tokens, n, NULL, &n_reused, &err) != VT_OK) fail_msg("%s", err.msg);
    assert_true(n_reused <= n);
    assert_int_equal(vt_session_n_tokens(s), n);
    assert_memory_equal(vt_session_tokens(s), tokens, n * sizeof *tokens);
    memcpy(rows + (n - 1) * r->n_vocab, vt_session_logits(s), r->n_vocab * sizeof *rows);
}

/* Forward over other tokens, back by a little, forward, back by much, forward: what is left in
 * rows is from the last pass over each position. */
static inline void bits_go_back_and_forth(vt_session *s, const reference *r, size_t n, float *rows)
{
    int32_t other[BITS_MAX_TOKENS];
    memcpy(other, r->tokens, n * sizeof *other);
    for (size_t i = n / 2; i < n; i++) other[i] = (other[i] + 1) % (int32_t)r->n_vocab;
    bits_sync_to(s, other, r, n, rows);
    bits_sync_to(s, r->tokens, r, n, rows);
    bits_sync_to(s, r->tokens, r, n - 3, rows);
    reference_extend(s, r, n - 3, n, rows);
    bits_sync_to(s, r->tokens, r, n, rows);
    bits_sync_to(s, r->tokens, r, n / 3, rows);
    reference_extend(s, r, n / 3, n, rows);
    bits_sync_to(s, r->tokens, r, 1, rows);
    reference_extend(s, r, 1, n, rows);
}

static inline void bits_run(vt_engine *e, const reference *r, size_t n, bits_way how,
                            vt_kv_type kv_type, float *rows)
{
    static const uint32_t chunks[N_WAYS] = {512, 64, 7, 1, 512, 5};
    vt_session *s = reference_session(e, chunks[how], kv_type);
    if (how == EXTENDS_OF_1) bits_extend_one_by_one(s, r, n, rows);
    else if (how == AND_BACK) bits_go_back_and_forth(s, r, n, rows);
    else reference_extend(s, r, 0, n, rows);
    vt_session_free(s);
}

static inline void bits_compare(const char *name, const reference *r, size_t n, const float *want,
                                const float *got, const char *what)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(want + i * r->n_vocab, got + i * r->n_vocab, r->n_vocab * sizeof *want) != 0)
            fail_msg("%s: other bits at position %zu with %s", name, i, what);
}

/* KV types, from 0 on: Q8_0 needs heads of whole blocks. */
static inline size_t bits_n_kv_types(vt_engine *e)
{
    return vt_model_get_info(vt_engine_model(e))->head_dim % 32 == 0 ? 3 : 2;
}

/* The model's first n_most tokens in all those ways. */
static inline void bits_check(const char *name, size_t n_most)
{
    reference r = reference_load(name);
    size_t n = r.n < n_most ? r.n : n_most;
    assert_true(n <= BITS_MAX_TOKENS);
    size_t n_bytes = n * r.n_vocab * sizeof(float);
    float *got = vt_alloc(n_bytes);
    float *want[VT_KV_Q8_0 + 1] = {0};
    vt_engine *plain = reference_engine(name, "scalar", 1);
    const size_t n_types = bits_n_kv_types(plain);
    for (size_t i = 0; i < n_types; i++) want[i] = reference_run(plain, &r, n, (vt_kv_type)i);
    vt_engine_close(plain);
    int n_runs = 0;
    const vt_kernels *isas[VT_KERNELS_MOST];
    const size_t n_isas = vt_kernels_list(isas);
    for (size_t i = 0; i < n_isas; i++)
        for (size_t t = 0; t < VT_COUNT(bits_threads); t++) {
            vt_engine *e = reference_engine(name, isas[i]->name, bits_threads[t]);
            assert_string_equal(vt_engine_isa(e), isas[i]->name);
            for (size_t w = 0; w < N_WAYS; w++) {
                if ((t + w) % n_isas != i) continue;
                vt_kv_type kv = (vt_kv_type)((t + w / 3) % n_types);
                char what[96];
                snprintf(what, sizeof what, "%s, %d threads, way %zu, KV %d", isas[i]->name,
                         bits_threads[t], w, (int)kv);
                memset(got, 0xff, n_bytes); /* what is not written differs */
                bits_run(e, &r, n, (bits_way)w, kv, got);
                bits_compare(name, &r, n, want[kv], got, what);
                n_runs++;
            }
            vt_engine_close(e);
        }
    print_message("%s: %d runs, the same bits\n", name, n_runs);
    for (size_t i = 0; i < n_types; i++) vt_free(want[i]);
    vt_free(got);
    reference_free(&r);
}

#endif
