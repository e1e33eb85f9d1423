/* damage_test.c -- a model file with bytes changed at random, in its header and in its weights:
 * opening it and running some tokens ends in logits that are numbers, or in an error with a
 * message, never in a crash (run under ASan and UBSan, which make reads past an end one). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/engine.h"
#include "support/model_file.h"

static uint64_t random_state;

static uint32_t random_u32(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33);
}

typedef struct {
    unsigned n_opened, n_run;
} tally;

static void try_file(const char *path, tally *t)
{
    vt_engine *e = NULL;
    vt_session *s = NULL;
    int32_t tokens[10];
    for (int i = 0; i < 10; i++) tokens[i] = i * 4 % MODEL_VOCAB;
    vt_err err = {0};
    vt_status st = vt_engine_open(&(vt_engine_options){.path = path, .n_threads = 1}, &e, &err);
    if (st == VT_OK) {
        t->n_opened++;
        const vt_model_info *info = vt_model_get_info(vt_engine_model(e));
        uint32_t n_ctx = info->n_ctx_train < 64 ? info->n_ctx_train : 64;
        st = vt_session_new(e, &(vt_session_options){.n_ctx = n_ctx, .n_chunk = 4}, &s, &err);
        if (st == VT_OK) st = vt_session_extend(s, tokens, 10, NULL, &err);
        if (st == VT_OK) {
            t->n_run++;
            assert_true(vt_all_below(vt_session_logits(s), info->n_vocab, INFINITY));
        }
    }
    if (st != VT_OK && (err.code != st || err.msg[0] == '\0'))
        fail_msg("status %d with code %d and message '%s'", st, err.code, err.msg);
    vt_session_free(s);
    vt_engine_close(e);
}

/* n_files files with 1 to 4 changes each among bytes [begin, end). */
static void damage(const char *architecture, vt_format format, bool in_header, int n_files,
                   tally *t)
{
    model_file *f = model_file_new_of(architecture, format);
    vt_buffer bytes;
    size_t header;
    model_file_save(f);
    model_file_bytes(f, &bytes, &header);
    const size_t begin = in_header ? 4 : header, end = in_header ? header : bytes.len;
    for (int i = 0; i < n_files; i++) {
        size_t at[4];
        char kept[4];
        const uint32_t n = 1 + random_u32() % 4;
        for (uint32_t k = 0; k < n; k++) {
            at[k] = begin + random_u32() % (end - begin);
            kept[k] = bytes.ptr[at[k]];
            /* a flipped bit, a random byte, or one that makes exponents and counts extreme */
            const uint32_t kind = random_u32() % 3;
            const unsigned char old = (unsigned char)kept[k];
            const uint32_t now = kind == 0   ? old ^ 1u << random_u32() % 8
                                 : kind == 1 ? random_u32()
                                             : (random_u32() % 2 ? 0x7F : 0xFF);
            bytes.ptr[at[k]] = (char)(unsigned char)now;
        }
        model_file_write(f->path, vt_buffer_slice(&bytes));
        try_file(f->path, t);
        for (uint32_t k = n; k-- > 0;) bytes.ptr[at[k]] = kept[k];
    }
    vt_buffer_deinit(&bytes);
    model_file_free(f);
}

static void test_bytes_changed_in_the_header_never_crash(void **state)
{
    (void)state;
    tally t = {0};
    random_state = 1;
    damage("llama", VT_FORMAT_Q8_0, true, 400, &t);
    damage("gpt-oss", VT_FORMAT_MXFP4, true, 400, &t);
    print_message("%u opened, %u ran\n", t.n_opened, t.n_run);
    assert_true(t.n_opened < 800);
}

static void test_numbers_of_the_header_at_their_extremes_never_crash(void **state)
{
    (void)state;
    static const uint32_t extremes[] = {0,   1,   2,    3,    8,     15,      16,      17,
                                        24,  31,  32,   33,   48,    64,      128,     255,
                                        256, 257, 4096, 1024, 65535, 1 << 20, 1 << 22, UINT32_MAX};
    static const char *const architectures[] = {"llama", "gpt-oss"};
    tally t = {0};
    for (size_t a = 0; a < VT_COUNT(architectures); a++) {
        model_file *f = model_file_new(architectures[a]);
        for (size_t k = 0; k < f->n_keys; k++) {
            const model_key kept = f->keys[k];
            for (size_t i = 0; i < VT_COUNT(extremes); i++) {
                /* also as the bits of a float: 1e-45, NaN, ... */
                f->keys[k].bits = extremes[i];
                if (kept.type == VT_GGUF_STRING) continue;
                try_file(model_file_save(f), &t);
            }
            f->keys[k] = kept;
        }
        model_file_free(f);
    }
    print_message("%u opened, %u ran\n", t.n_opened, t.n_run);
    assert_true(t.n_run > 50);
}

static void test_bytes_changed_in_the_weights_never_crash(void **state)
{
    (void)state;
    static const vt_format formats[] = {VT_FORMAT_F32, VT_FORMAT_F16, VT_FORMAT_Q8_0,
                                        VT_FORMAT_MXFP4};
    tally t = {0};
    random_state = 2;
    for (size_t i = 0; i < VT_COUNT(formats); i++) {
        damage("qwen2", formats[i], false, 60, &t);
        damage("gpt-oss", formats[i], false, 60, &t);
    }
    print_message("%u opened, %u ran\n", t.n_opened, t.n_run);
    assert_true(t.n_opened > 0 && t.n_run > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_changed_in_the_header_never_crash),
        cmocka_unit_test(test_numbers_of_the_header_at_their_extremes_never_crash),
        cmocka_unit_test(test_bytes_changed_in_the_weights_never_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
