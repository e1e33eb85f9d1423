/* session_test.c -- engine/session: whatever way a sequence of tokens came about (synced, extended,
 * set back, interrupted), its logits are bit for bit those of a fresh session that was given the
 * tokens at once; limits are errors with numbers. Models: the tiny ones of tests/data/tiny, of
 * which gpt-oss has a sliding window of 24 positions, so that short steps make its KV cache a ring.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "engine/engine_parts.h"
#include "engine/kv.h"
#include "support/model_file.h"

static uint64_t random_state = 42;

static uint32_t random_below(uint32_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % n;
}

static vt_engine *open_tiny(const char *name)
{
    char path[512];
    vt_engine *e = NULL;
    vt_err err = {0};
    snprintf(path, sizeof path, VT_TEST_DATA "/tiny/%s.gguf", name);
    if (vt_engine_open(&(vt_engine_options){.path = path, .n_threads = 2}, &e, &err) != VT_OK)
        fail_msg("%s", err.msg);
    return e;
}

static vt_session *new_session(vt_engine *e, uint32_t n_ctx, uint32_t n_chunk, vt_kv_type type)
{
    vt_session *s = NULL;
    vt_err err = {0};
    const vt_session_options options = {.n_ctx = n_ctx, .n_chunk = n_chunk, .kv_type = type};
    if (vt_session_new(e, &options, &s, &err) != VT_OK) fail_msg("%s", err.msg);
    return s;
}

static void ok(vt_status st, const vt_err *err)
{
    if (st != VT_OK) fail_msg("status %d: %s", st, err->msg);
}

static void extend(vt_session *s, const int32_t *tokens, size_t n)
{
    vt_err err = {0};
    ok(vt_session_extend(s, tokens, n, NULL, &err), &err);
}

/* The session's tokens and logits are those of a fresh session. */
static void expect_as_fresh(const vt_session *s, vt_engine *e, vt_kv_type type)
{
    const uint32_t n_vocab = e->model->hyper.n_vocab;
    const size_t n = vt_session_n_tokens(s);
    vt_session *fresh = new_session(e, vt_session_n_ctx(s), 0, type);
    extend(fresh, vt_session_tokens(s), n);
    assert_memory_equal(vt_session_tokens(s), vt_session_tokens(fresh), n * sizeof(int32_t));
    assert_memory_equal(vt_session_logits(s), vt_session_logits(fresh), n_vocab * sizeof(float));
    vt_session_free(fresh);
}

/* A list that shares a random prefix with the old one. */
static size_t vary(int32_t *tokens, size_t n, size_t max, uint32_t n_vocab)
{
    size_t keep = random_below(3) == 0 ? random_below((uint32_t)n + 1)
                                       : n - random_below((uint32_t)(n < 60 ? n : 60) + 1);
    size_t more =
        random_below(4) == 0 ? random_below((uint32_t)(max - keep) + 1) : random_below(40);
    if (keep + more > max) more = max - keep;
    if (keep + more == 0) more = 1;
    for (size_t i = 0; i < more; i++) tokens[keep + i] = (int32_t)random_below(n_vocab);
    return keep + more;
}

static void random_syncs(const char *name, uint32_t n_chunk, vt_kv_type type, int n_rounds)
{
    enum { MAX = 300 };
    vt_engine *e = open_tiny(name);
    vt_session *s = new_session(e, MAX, n_chunk, type);
    int32_t tokens[MAX];
    size_t n = 0, n_reused_sum = 0;
    for (int round = 0; round < n_rounds; round++) {
        vt_err err = {0};
        size_t reused = 0;
        n = vary(tokens, n, MAX, e->model->hyper.n_vocab);
        ok(vt_session_sync(s, tokens, n, NULL, &reused, &err), &err);
        n_reused_sum += reused;
        assert_int_equal(vt_session_n_tokens(s), n);
        assert_memory_equal(vt_session_tokens(s), tokens, n * sizeof *tokens);
        expect_as_fresh(s, e, type);
        /* now and then a step by hand in between */
        size_t k = random_below(3);
        if (n + k > MAX) k = 0;
        for (size_t i = 0; i < k; i++) tokens[n + i] = (int32_t)i;
        if (k > 0) extend(s, tokens + n, k);
        n += k;
    }
    assert_true(n_reused_sum > 0);
    vt_session_free(s);
    vt_engine_close(e);
}

static void test_random_syncs_equal_fresh_sessions_with_full_attention(void **state)
{
    (void)state;
    random_syncs("llama", 7, VT_KV_F16, 15);
    random_syncs("llama", 64, VT_KV_F32, 15);
}

static void test_random_syncs_equal_fresh_sessions_with_a_ring(void **state)
{
    (void)state;
    random_syncs("gpt-oss", 1, VT_KV_F16, 20);
    random_syncs("gpt-oss", 33, VT_KV_F32, 20);
    random_syncs("gpt-oss-mxfp4", 5, VT_KV_F16, 10);
}

static void test_a_ring_is_a_ring_and_forgets(void **state)
{
    (void)state;
    enum { N = 290 };
    vt_engine *e = open_tiny("gpt-oss");
    vt_session *s = new_session(e, 300, 16, VT_KV_F16);
    vt_kv_memory kv;
    vt_err err = {0};
    ok(vt_kv_init(&kv, e->model, 300, 16, false, &err), &err);
    assert_int_equal(kv.view.layers[0].n_slots, 4); /* 24 and 16 positions, and both ends */
    assert_int_equal(kv.view.layers[1].n_slots, 10);
    /* written up to 290, tile 9: tiles 6 to 9 are there; position p sees from p - 23 on */
    assert_true(vt_kv_can_continue(&kv, e->model, 6 * 32 + 23, 290));
    assert_false(vt_kv_can_continue(&kv, e->model, 6 * 32 + 22, 290));
    assert_true(vt_kv_can_continue(&kv, e->model, 0, 128));
    assert_false(vt_kv_can_continue(&kv, e->model, 0, 129));
    vt_kv_deinit(&kv);
    int32_t tokens[N];
    for (int i = 0; i < N; i++) tokens[i] = i * 5 % 269;
    size_t reused;
    extend(s, tokens, N);
    ok(vt_session_sync(s, tokens, 216, NULL, &reused, &err), &err);
    assert_int_equal(reused, 215); /* the last one again, for its logits */
    expect_as_fresh(s, e, VT_KV_F16);
    extend(s, tokens + 216, N - 216);
    ok(vt_session_sync(s, tokens, 215, NULL, &reused, &err), &err);
    assert_int_equal(reused, 0); /* one back too many */
    expect_as_fresh(s, e, VT_KV_F16);
    vt_session_free(s);
    vt_engine_close(e);
}

static void test_a_kv_cache_larger_than_memory_is_an_error_with_numbers(void **state)
{
    (void)state;
    enum { LAYERS = 1000 };
    static vt_layer layers[LAYERS];
    static vt_model m = {
        .hyper = {.n_layers = LAYERS, .n_heads_kv = 64, .head_dim = 256, .n_ctx = 1 << 20},
        .layers = layers};
    vt_kv_memory kv;
    vt_err err = {0};
    /* 2^20 positions x 1000 layers x 64 heads x 256 x 2 x 2 bytes */
    assert_int_equal(vt_kv_init(&kv, &m, 1 << 20, 512, false, &err), VT_ELIMIT);
    assert_non_null(strstr(err.msg, "of 1048576 tokens needs 64000.0 GiB"));
    assert_null(kv.view.layers);
    m.hyper.n_layers = 2;
    ok(vt_kv_init(&kv, &m, 1 << 10, 512, false, &err), &err);
    vt_kv_deinit(&kv);
}

static void test_a_sync_to_what_is_there_computes_nothing(void **state)
{
    (void)state;
    vt_engine *e = open_tiny("qwen2");
    vt_session *s = new_session(e, 100, 0, VT_KV_F16);
    int32_t tokens[50];
    for (int i = 0; i < 50; i++) tokens[i] = i;
    vt_err err = {0};
    size_t reused = 99;
    ok(vt_session_sync(s, tokens, 50, NULL, &reused, &err), &err);
    assert_int_equal(reused, 0);
    const float *logits = vt_session_logits(s);
    ok(vt_session_sync(s, tokens, 50, NULL, &reused, &err), &err);
    assert_int_equal(reused, 50);
    assert_ptr_equal(vt_session_logits(s), logits);
    /* the session's own list may be handed back, also a part of it */
    ok(vt_session_sync(s, vt_session_tokens(s), 20, NULL, &reused, &err), &err);
    assert_int_equal(reused, 19);
    expect_as_fresh(s, e, VT_KV_F16);
    vt_session_free(s);
    vt_engine_close(e);
}

static void test_limits_are_errors_with_numbers_and_change_nothing(void **state)
{
    (void)state;
    vt_engine *e = open_tiny("llama");
    vt_session *s = NULL;
    vt_err err = {0};
    assert_int_equal(vt_session_new(e, &(vt_session_options){.n_ctx = 4000}, &s, &err), VT_ELIMIT);
    assert_non_null(strstr(err.msg, "4000"));
    assert_non_null(strstr(err.msg, "2048"));
    assert_null(s);
    s = new_session(e, 20, 0, VT_KV_F16);
    assert_null(vt_session_logits(s));
    int32_t tokens[30] = {1, 2, 3};
    extend(s, tokens, 15);
    assert_int_equal(vt_session_extend(s, tokens, 6, NULL, &err), VT_ELIMIT);
    assert_string_equal(err.msg,
                        "6 tokens do not fit: the context holds 20 (--ctx) and 15 are used");
    assert_int_equal(vt_session_extend(s, tokens, SIZE_MAX, NULL, &err), VT_ELIMIT);
    assert_int_equal(vt_session_sync(s, tokens, 21, NULL, NULL, &err), VT_ELIMIT);
    assert_string_equal(err.msg, "21 tokens do not fit into a context of 20 (--ctx)");
    assert_int_equal(vt_session_sync(s, tokens, 0, NULL, NULL, &err), VT_EINPUT);
    assert_int_equal(vt_session_extend(s, tokens, 0, NULL, &err), VT_EINPUT);
    assert_int_equal(vt_session_n_tokens(s), 15);
    expect_as_fresh(s, e, VT_KV_F16);
    extend(s, tokens, 5); /* full to the last one */
    expect_as_fresh(s, e, VT_KV_F16);
    vt_session_free(s);
    vt_engine_close(e);
}

static void test_token_ids_outside_the_vocabulary_are_refused(void **state)
{
    (void)state;
    vt_engine *e = open_tiny("llama");
    vt_session *s = new_session(e, 64, 8, VT_KV_F16);
    int32_t tokens[20] = {5, 6, 7};
    const int32_t bad[] = {-1, 283, INT32_MAX, INT32_MIN};
    vt_err err = {0};
    for (size_t i = 0; i < VT_COUNT(bad); i++) {
        tokens[11] = bad[i];
        assert_int_equal(vt_session_sync(s, tokens, 20, NULL, NULL, &err), VT_EINPUT);
        assert_non_null(strstr(err.msg, "is not in the vocabulary of 283"));
        assert_int_equal(vt_session_n_tokens(s), 8); /* the first step had been done */
        assert_null(vt_session_logits(s));
    }
    tokens[11] = 0;
    ok(vt_session_sync(s, tokens, 20, NULL, NULL, &err), &err);
    expect_as_fresh(s, e, VT_KV_F16);
    vt_session_free(s);
    vt_engine_close(e);
}

/* ---- sessions share the engine's pass ---- */

static void test_logits_stay_while_other_sessions_run_come_and_go(void **state)
{
    (void)state;
    enum { N = 5 };
    vt_engine *e = open_tiny("gpt-oss");
    vt_session *s[N] = {NULL};
    int32_t tokens[40];
    for (int i = 0; i < 40; i++) tokens[i] = i * 7 % 269;
    for (int round = 0; round < 40; round++) {
        const uint32_t i = random_below(N);
        const vt_kv_type type = i % 2 == 0 ? VT_KV_F16 : VT_KV_F32;
        if (s[i] == NULL) {
            /* chunks differ, so that the pass has to grow under sessions that have logits */
            s[i] = new_session(e, 300, 16 + (uint32_t)round * 6, type);
        } else if (random_below(6) == 0) {
            vt_session_free(s[i]);
            s[i] = NULL;
            continue;
        }
        if (vt_session_n_tokens(s[i]) < 200) extend(s[i], tokens + i, 1 + random_below(30));
        for (uint32_t k = 0; k < N; k++)
            if (s[k] != NULL) expect_as_fresh(s[k], e, k % 2 == 0 ? VT_KV_F16 : VT_KV_F32);
    }
    for (uint32_t i = 0; i < N; i++) vt_session_free(s[i]);
    vt_engine_close(e);
}

static void test_a_failed_pass_takes_the_logits_of_its_own_session_only(void **state)
{
    (void)state;
    vt_engine *e = open_tiny("llama");
    vt_session *a = new_session(e, 64, 8, VT_KV_F16), *b = new_session(e, 64, 8, VT_KV_F16);
    const int32_t tokens[] = {5, 6, 7, -1};
    vt_err err = {0};
    extend(a, tokens, 3);
    extend(b, tokens + 1, 2);
    assert_int_equal(vt_session_extend(b, tokens, 4, NULL, &err), VT_EINPUT);
    assert_null(vt_session_logits(b));
    expect_as_fresh(a, e, VT_KV_F16);
    vt_session_free(b);
    expect_as_fresh(a, e, VT_KV_F16);
    vt_session_free(a);
    vt_engine_close(e);
}

/* ---- trying ---- */

/* Guesses of which the first few are right; a walk by them is a walk by single steps. */
static void random_tries(const char *name, uint32_t n_chunk, vt_kv_type type)
{
    enum { MAX = 300 };
    vt_engine *e = open_tiny(name);
    vt_session *s = new_session(e, MAX, n_chunk, type), *other = new_session(e, 64, 0, type);
    const uint32_t n_vocab = e->model->hyper.n_vocab;
    int32_t truth[MAX + VT_TRY_MAX];
    size_t n_followed = 0, n_back = 0;
    vt_err err = {0};
    for (size_t i = 0; i < VT_COUNT(truth); i++) truth[i] = (int32_t)random_below(n_vocab);
    extend(s, truth, 5);
    while (vt_session_n_tokens(s) < MAX) {
        const size_t at = vt_session_n_tokens(s), most = vt_session_can_try(s);
        const size_t n = 1 + random_below((uint32_t)most), n_right = 1 + random_below((uint32_t)n);
        int32_t guess[VT_TRY_MAX];
        assert_true(most >= 1 && most <= VT_TRY_MAX && at + most <= MAX);
        memcpy(guess, truth + at, n * sizeof *guess);
        if (n_right < n) guess[n_right] = (guess[n_right] + 1) % (int32_t)n_vocab;
        ok(vt_session_try(s, guess, n, NULL, &err), &err);
        assert_int_equal(vt_session_n_tokens(s), at + 1);
        const size_t n_here = vt_session_n_tokens(s);
        const bool is_disturbed = random_below(5) == 0;
        if (is_disturbed) ok(vt_session_sync(other, truth, 9, NULL, NULL, &err), &err);
        if (is_disturbed) extend(other, truth, 1 + random_below(3));
        if (is_disturbed) assert_false(vt_session_follow(s, truth[n_here]));
        while (vt_session_follow(s, truth[vt_session_n_tokens(s)])) n_followed++;
        assert_int_equal(vt_session_n_tokens(s), is_disturbed ? at + 1 : at + n_right);
        assert_false(vt_session_follow(s, truth[vt_session_n_tokens(s)]));
        if (random_below(4) == 0) expect_as_fresh(s, e, type);
        if (n_back < 6 && random_below(20) == 0) {
            const size_t back = 1 + random_below((uint32_t)vt_session_n_tokens(s));
            ok(vt_session_sync(s, truth, back, NULL, NULL, &err), &err);
            assert_false(vt_session_follow(s, truth[back]));
            n_back++;
        }
    }
    expect_as_fresh(s, e, type);
    assert_true(n_chunk == 1 || n_followed > 50);
    assert_int_equal(vt_session_can_try(s), 0);
    assert_int_equal(vt_session_try(s, truth, 1, NULL, &err), VT_ELIMIT);
    vt_session_free(s);
    vt_session_free(other);
    vt_engine_close(e);
}

static void test_following_what_was_tried_is_extending_by_one(void **state)
{
    (void)state;
    random_tries("llama", 64, VT_KV_F16);
    random_tries("gpt-oss", 16, VT_KV_F16);
    random_tries("gpt-oss", 5, VT_KV_F32);
    random_tries("gpt-oss-mxfp4", 1, VT_KV_F16);
}

static void test_more_than_can_be_tried_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    vt_engine *e = open_tiny("llama");
    vt_session *s = new_session(e, 20, 0, VT_KV_F16);
    const int32_t tokens[VT_TRY_MAX + 1] = {1, 2, 3};
    vt_err err = {0};
    extend(s, tokens, 10);
    assert_int_equal(vt_session_can_try(s), 10);
    assert_int_equal(vt_session_try(s, tokens, 11, NULL, &err), VT_ELIMIT);
    assert_int_equal(vt_session_try(s, tokens, 0, NULL, &err), VT_EINPUT);
    assert_false(vt_session_follow(s, 0));
    assert_int_equal(vt_session_n_tokens(s), 10);
    expect_as_fresh(s, e, VT_KV_F16);
    vt_session_free(s);
    vt_engine_close(e);
}

/* ---- interruptions ---- */

typedef struct {
    atomic_bool is_cancelled;
    uint64_t at; /* tokens after which to cancel */
} canceller;

static void cancel_there(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    (void)what;
    canceller *c = ctx;
    assert_true(done <= total);
    if (done >= c->at) atomic_store(&c->is_cancelled, true);
}

static void test_a_cancelled_prefill_keeps_its_finished_steps_and_goes_on(void **state)
{
    (void)state;
    static const char *const models[] = {"llama", "gpt-oss"};
    int32_t tokens[200];
    for (int i = 0; i < 200; i++) tokens[i] = i * 3 % 250;
    for (size_t m = 0; m < VT_COUNT(models); m++) {
        vt_engine *e = open_tiny(models[m]);
        vt_session *s = new_session(e, 300, 16, VT_KV_F16);
        for (uint32_t at = 16; at < 200; at += 64) {
            canceller c = {.at = at};
            const vt_progress p = {.report = cancel_there, .ctx = &c, &c.is_cancelled};
            vt_err err = {0};
            ok(vt_session_sync(s, tokens + 1, 1, NULL, NULL, &err), &err);
            assert_int_equal(vt_session_sync(s, tokens, 200, &p, NULL, &err), VT_ECANCEL);
            assert_int_equal(vt_session_n_tokens(s), at);
            assert_null(vt_session_logits(s));
            extend(s, tokens + at, 200 - at);
            expect_as_fresh(s, e, VT_KV_F16);
        }
        vt_session_free(s);
        vt_engine_close(e);
    }
}

static vt_status stop_at_13(void *ctx, size_t position, const float *logits, vt_err *err)
{
    size_t *next = ctx;
    assert_int_equal(position, *next);
    assert_non_null(logits);
    ++*next;
    return position == 13 ? vt_fail(err, VT_EREFUSED, "enough") : VT_OK;
}

static void test_a_reader_of_logits_can_stop_and_sees_each_position_once(void **state)
{
    (void)state;
    vt_engine *e = open_tiny("qwen2");
    vt_session *s = new_session(e, 100, 8, VT_KV_F16);
    int32_t tokens[40] = {9, 8, 7};
    size_t next = 0;
    vt_err err = {0};
    assert_int_equal(vt_session_extend_all(s, tokens, 40, stop_at_13, &next, NULL, &err),
                     VT_EREFUSED);
    assert_int_equal(next, 14);
    assert_int_equal(vt_session_n_tokens(s), 16); /* whole steps */
    assert_null(vt_session_logits(s));
    size_t reused;
    ok(vt_session_sync(s, tokens, 16, NULL, &reused, &err), &err);
    assert_int_equal(reused, 15);
    expect_as_fresh(s, e, VT_KV_F16);
    extend(s, tokens + 16, 24);
    expect_as_fresh(s, e, VT_KV_F16);
    vt_session_free(s);
    vt_engine_close(e);
}

typedef struct {
    size_t next;
    size_t n_vocab;
    float *rows;
} row_keeper;

static vt_status keep_row(void *ctx, size_t position, const float *logits, vt_err *err)
{
    row_keeper *k = ctx;
    (void)err;
    assert_int_equal(position, k->next++);
    memcpy(k->rows + position * k->n_vocab, logits, k->n_vocab * sizeof *logits);
    return VT_OK;
}

static void test_all_logits_of_a_step_are_those_of_single_tokens(void **state)
{
    (void)state;
    enum { N = 83 };
    static const uint32_t chunks[] = {1, 2, 16, 17, 33, 64, 0};
    vt_engine *e = open_tiny("gpt-oss");
    const size_t n_vocab = e->model->hyper.n_vocab;
    float *want = malloc(N * n_vocab * sizeof *want), *got = malloc(N * n_vocab * sizeof *got);
    assert_true(want != NULL && got != NULL);
    int32_t tokens[N];
    for (int i = 0; i < N; i++) tokens[i] = i * 11 % 269;
    vt_session *s = new_session(e, 100, 0, VT_KV_F16);
    for (size_t i = 0; i < N; i++) {
        extend(s, tokens + i, 1);
        memcpy(want + i * n_vocab, vt_session_logits(s), n_vocab * sizeof *want);
    }
    vt_session_free(s);
    for (size_t c = 0; c < VT_COUNT(chunks); c++) {
        row_keeper k = {.n_vocab = n_vocab, .rows = got};
        vt_err err = {0};
        s = new_session(e, 100, chunks[c], VT_KV_F16);
        ok(vt_session_extend_all(s, tokens, N, keep_row, &k, NULL, &err), &err);
        assert_int_equal(k.next, N);
        assert_memory_equal(got, want, N * n_vocab * sizeof *got);
        assert_memory_equal(vt_session_logits(s), want + (N - 1) * n_vocab, n_vocab * sizeof *want);
        vt_session_free(s);
    }
    free(want);
    free(got);
    vt_engine_close(e);
}

static void test_a_failed_step_leaves_the_session_as_it_was(void **state)
{
    (void)state;
    /* the embedding of token 42 is broken, no other is used */
    model_file *f = model_file_new("gpt-oss");
    float nan = NAN;
    memcpy(model_file_tensor(f, "token_embd.weight")->data + 42 * 4 * MODEL_EMBD, &nan, 4);
    vt_engine *e = NULL;
    vt_err err = {0};
    ok(vt_engine_open(&(vt_engine_options){.path = model_file_save(f), .n_threads = 2}, &e, &err),
       &err);
    vt_session *s = new_session(e, 400, 16, VT_KV_F16);
    int32_t tokens[300];
    for (int i = 0; i < 300; i++) tokens[i] = i % 41;
    for (size_t n = 0; n < 280; n += 35) {
        extend(s, tokens + n, 35);
        const int32_t bad[3] = {1, 42, 2};
        assert_int_equal(vt_session_extend(s, bad, 3, NULL, &err), VT_EINPUT);
        assert_non_null(strstr(err.msg, "non-finite activation in layer 0"));
        assert_int_equal(vt_session_n_tokens(s), n + 35);
    }
    extend(s, tokens, 1);
    expect_as_fresh(s, e, VT_KV_F16);
    vt_session_free(s);
    vt_engine_close(e);
    model_file_free(f);
}

/* ---- several sessions ---- */

static void test_interleaved_sessions_do_not_disturb_each_other(void **state)
{
    (void)state;
    enum { SESSIONS = 4, MAX = 200 };
    static const uint32_t chunks[SESSIONS] = {1, 7, 64, 0};
    vt_engine *e = open_tiny("gpt-oss");
    vt_session *s[SESSIONS];
    int32_t tokens[SESSIONS][MAX];
    size_t n[SESSIONS] = {0};
    for (size_t i = 0; i < SESSIONS; i++)
        s[i] = new_session(e, MAX, chunks[i], i % 2 ? VT_KV_F32 : VT_KV_F16);
    for (int round = 0; round < 40; round++) {
        size_t i = random_below(SESSIONS);
        vt_err err = {0};
        n[i] = vary(tokens[i], n[i], MAX, 269);
        ok(vt_session_sync(s[i], tokens[i], n[i], NULL, NULL, &err), &err);
    }
    for (size_t i = 0; i < SESSIONS; i++) {
        if (n[i] > 0) expect_as_fresh(s[i], e, i % 2 ? VT_KV_F32 : VT_KV_F16);
        vt_session_free(s[i]);
    }
    vt_engine_close(e);
}

static void test_options_have_defaults_and_bounds(void **state)
{
    (void)state;
    vt_engine *e = open_tiny("llama");
    vt_session *s = NULL;
    vt_err err = {0};
    ok(vt_session_new(e, NULL, &s, &err), &err);
    assert_int_equal(vt_session_n_ctx(s), 2048); /* the model's, being below 8192 */
    uint64_t half = vt_session_kv_bytes(s);
    vt_session_free(s);
    s = new_session(e, 0, UINT32_MAX, VT_KV_F32);
    assert_true(vt_session_kv_bytes(s) == 2 * half);
    extend(s, (const int32_t[]){1, 2}, 2);
    vt_session_free(s);
    s = new_session(e, 1, 0, VT_KV_F16);
    extend(s, (const int32_t[]){3}, 1);
    expect_as_fresh(s, e, VT_KV_F16);
    vt_session_free(s);
    vt_session_free(NULL);
    vt_engine_close(e);
    vt_engine_close(NULL);
}

static void test_bad_engine_options_are_errors(void **state)
{
    (void)state;
    static const char path[] = VT_TEST_DATA "/tiny/llama.gguf";
    vt_engine *e = NULL;
    vt_err err = {0};
    assert_int_equal(vt_engine_open(&(vt_engine_options){.path = path, .isa = "sse9"}, &e, &err),
                     VT_EUNSUPPORTED);
    assert_non_null(strstr(err.msg, "\"sse9\""));
    assert_int_equal(vt_engine_open(&(vt_engine_options){.path = path, .n_threads = -1}, &e, &err),
                     VT_EINPUT);
    assert_int_equal(
        vt_engine_open(&(vt_engine_options){.path = path, .n_threads = 1000}, &e, &err), VT_EINPUT);
    assert_int_not_equal(
        vt_engine_open(&(vt_engine_options){.path = "/nonexistent/x.gguf"}, &e, &err), VT_OK);
    assert_non_null(strstr(err.msg, "/nonexistent/x.gguf"));
    assert_null(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_syncs_equal_fresh_sessions_with_full_attention),
        cmocka_unit_test(test_random_syncs_equal_fresh_sessions_with_a_ring),
        cmocka_unit_test(test_a_ring_is_a_ring_and_forgets),
        cmocka_unit_test(test_a_kv_cache_larger_than_memory_is_an_error_with_numbers),
        cmocka_unit_test(test_a_sync_to_what_is_there_computes_nothing),
        cmocka_unit_test(test_limits_are_errors_with_numbers_and_change_nothing),
        cmocka_unit_test(test_token_ids_outside_the_vocabulary_are_refused),
        cmocka_unit_test(test_logits_stay_while_other_sessions_run_come_and_go),
        cmocka_unit_test(test_a_failed_pass_takes_the_logits_of_its_own_session_only),
        cmocka_unit_test(test_following_what_was_tried_is_extending_by_one),
        cmocka_unit_test(test_more_than_can_be_tried_is_refused_and_changes_nothing),
        cmocka_unit_test(test_a_cancelled_prefill_keeps_its_finished_steps_and_goes_on),
        cmocka_unit_test(test_a_reader_of_logits_can_stop_and_sees_each_position_once),
        cmocka_unit_test(test_all_logits_of_a_step_are_those_of_single_tokens),
        cmocka_unit_test(test_a_failed_step_leaves_the_session_as_it_was),
        cmocka_unit_test(test_interleaved_sessions_do_not_disturb_each_other),
        cmocka_unit_test(test_options_have_defaults_and_bounds),
        cmocka_unit_test(test_bad_engine_options_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
