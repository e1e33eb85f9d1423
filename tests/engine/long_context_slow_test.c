/* Contexts of more than one group of key tiles (8,192 positions): there a decoded token's attention
 * is cut into pieces for the threads, and a prefilled one's is not. The bits must be the same. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "engine/engine.h"
#include "kernels/kernels.h"
#include "support/model_file.h"

enum { N_TOKENS = 2 * VT_ATTEND_GROUP + 21, N_DECODED = 5 };

static int32_t tokens[N_TOKENS];

/* Logits after each of the last N_DECODED tokens, which come in steps of n_step. */
static void run(const char *path, const char *isa, int n_threads, vt_kv_type type, size_t n_step,
                float logits[N_DECODED][MODEL_VOCAB])
{
    vt_engine *e = NULL;
    vt_session *s = NULL;
    vt_err err = {0};
    const vt_engine_options options = {.path = path, .n_threads = n_threads, .isa = isa};
    const vt_session_options session = {.n_ctx = N_TOKENS, .kv_type = type};
    const size_t before = N_TOKENS - N_DECODED;
    vt_status st = vt_engine_open(&options, &e, &err);
    if (st == VT_OK) st = vt_session_new(e, &session, &s, &err);
    if (st == VT_OK) st = vt_session_extend(s, tokens, before, NULL, &err);
    for (size_t i = 0; i < N_DECODED && st == VT_OK; i += n_step) {
        st = vt_session_extend(s, tokens + before + i, n_step, NULL, &err);
        if (st == VT_OK) memcpy(logits[i + n_step - 1], vt_session_logits(s), sizeof logits[0]);
    }
    if (st != VT_OK) fail_msg("%s", err.msg);
    vt_session_free(s);
    vt_engine_close(e);
}

static void check(const char *architecture, vt_kv_type type)
{
    static float want[N_DECODED][MODEL_VOCAB], got[N_DECODED][MODEL_VOCAB];
    char key[64];
    model_file *f = model_file_new(architecture);
    snprintf(key, sizeof key, "%s.context_length", architecture);
    model_file_set(f, key, N_TOKENS);
    const char *path = model_file_save(f);
    const char *best = vt_kernels_select(NULL)->name;
    run(path, best, 1, type, 1, want);
    for (int n_threads = 2; n_threads <= 5; n_threads += 3) {
        run(path, best, n_threads, type, 1, got);
        assert_memory_equal(want, got, sizeof want);
    }
    /* five at once are too many to be cut up */
    run(path, best, 2, type, N_DECODED, got);
    assert_memory_equal(want[N_DECODED - 1], got[N_DECODED - 1], sizeof got[0]);
    model_file_free(f);
}

static void test_attention_in_pieces_gives_the_same_bits(void **state)
{
    (void)state;
    check("llama", VT_KV_F16);
    check("llama", VT_KV_Q8_0);
}

static void test_so_it_does_with_sinks_and_windows(void **state)
{
    (void)state;
    check("gpt-oss", VT_KV_F16);
}

int main(void)
{
    for (size_t i = 0; i < N_TOKENS; i++) tokens[i] = (int32_t)(i * i * 31 % MODEL_VOCAB);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attention_in_pieces_gives_the_same_bits),
        cmocka_unit_test(test_so_it_does_with_sinks_and_windows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
