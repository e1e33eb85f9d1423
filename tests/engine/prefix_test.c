/* prefix_test.c -- engine/prefix: whatever is restored, from RAM or from disk, whole or in part,
 * the logits are bit for bit those of a cold start; what is stored keeps to its budget; what can't
 * be used is not, and the report says why. Models: the tiny ones; gpt-oss has a window of 24
 * positions, so that short steps make its cache a ring. The store's writer is a thread
 * (pthread_create): TSan runs these. */
#include "support/prefixes.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
/* A cache that grows and one with rings: the others take the same ways, and time. */
static const char *const models[] = {"llama", "gpt-oss"};
#else
static const char *const models[] = {"llama", "qwen2", "gpt-oss", "gpt-oss-mxfp4"};
#endif
static const vt_kv_type types[] = {VT_KV_F16, VT_KV_F32, VT_KV_Q8_0};

static uint64_t random_state = 7;

static uint32_t random_below(uint32_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % n;
}

/* It needs heads of whole blocks. */
static bool takes_q8_0(const prefix_model *m)
{
    return vt_model_get_info(vt_engine_model(m->engine))->head_dim % 32 == 0;
}

/* Type i of those that the model takes. */
static vt_kv_type type_of(const char *name, size_t i)
{
    prefix_model *m = prefix_open(name, &(vt_prefix_options){0});
    const size_t n_types = VT_COUNT(types) - !takes_q8_0(m);
    prefix_close(m);
    return types[i % n_types];
}

/* ---- bits ---- */

static void test_another_session_of_the_engine_goes_on_from_ram(void **state)
{
    (void)state;
    int32_t tokens[PREFIX_MAX];
    prefix_tokens(tokens, PREFIX_MAX, 1);
    for (size_t i = 0; i < VT_COUNT(models); i++)
        for (size_t k = 0; k < VT_COUNT(types); k++) {
            prefix_model *m = prefix_open(models[i], &(vt_prefix_options){0});
            if (types[k] == VT_KV_Q8_0 && !takes_q8_0(m)) {
                prefix_close(m);
                continue;
            }
            vt_session *a = prefix_session(m, 33, types[k]), *b = prefix_session(m, 0, types[k]);
            assert_int_equal(prefix_sync(a, tokens, 200), 0);
            /* 3 blocks and a tail of 8; the last token of a prompt is run again */
            assert_int_equal(prefix_sync(b, tokens, 200), 199);
            assert_int_equal(m->report.n_ram, 199);
            prefix_expect_cold(m, b, types[k]);
            /* parts in the middle of the third block; its first half is used */
            tokens[150] ^= 1;
            vt_session *c = prefix_session(m, 5, types[k]);
            assert_int_equal(prefix_sync(c, tokens, 170), 150);
            prefix_expect_cold(m, c, types[k]);
            tokens[150] ^= 1;
            /* ends within it */
            vt_session *d = prefix_session(m, 64, types[k]);
            assert_int_equal(prefix_sync(d, tokens, 101), 100);
            prefix_expect_cold(m, d, types[k]);
            vt_session_free(a);
            vt_session_free(b);
            vt_session_free(c);
            vt_session_free(d);
            prefix_close(m);
        }
}

/* A new start on the first n tokens of a prompt that was stored with 280, changed at part_at (0:
 * not at all). */
static void expect_from_disk(const char *name, vt_kv_type type, uint32_t n, uint32_t part_at,
                             uint32_t want)
{
    char dir[64];
    int32_t tokens[PREFIX_MAX];
    prefix_tokens(tokens, PREFIX_MAX, 2);
    prefix_make_dir(dir);
    for (int again = 0; again < 2; again++) {
        prefix_model *m = prefix_open(name, &(vt_prefix_options){.dir = dir});
        vt_session *s = prefix_session(m, again ? 40 : 16, type);
        if (again && part_at > 0) tokens[part_at] ^= 1;
        const size_t reused = prefix_sync(s, tokens, again ? n : 280); /* 4 blocks, a tail of 24 */
        assert_int_equal(reused, again ? want : 0);
        assert_int_equal(m->report.n_disk, reused);
        assert_int_equal(m->report.n_session + m->report.n_ram, 0);
        if (again) prefix_expect_cold(m, s, type);
        vt_session_free(s);
        prefix_close(m);
    }
    assert_int_equal(prefix_n_damaged(dir), 0);
    prefix_remove_dir(dir);
}

static void test_a_new_engine_goes_on_from_disk(void **state)
{
    (void)state;
    static const struct {
        uint32_t n, part_at, reused;
    } cases[] = {
        {280, 0, 279},   {350, 0, 280},   {256, 0, 255}, {257, 0, 256},
        {350, 256, 256}, {350, 180, 180}, {90, 0, 89},   {350, 275, 275},
        {350, 200, 200}, {350, 197, 192}, /* less than 8 tokens of
                            a block: not looked for
                          */
    };
    for (size_t i = 0; i < VT_COUNT(models); i++)
        for (size_t c = 0; c < VT_COUNT(cases); c++)
            expect_from_disk(models[i], type_of(models[i], i + c), cases[c].n, cases[c].part_at,
                             cases[c].reused);
}

/* Sessions of other step sizes, prompts that share random prefixes, steps by hand in between, room
 * for a few blocks only: after every sync the bits of a cold start. */
static void random_syncs(const char *name, vt_kv_type type, const char *dir, uint64_t ram_bytes,
                         int n_rounds)
{
    static const uint32_t chunks[] = {1, 16, 33, 100};
    enum { N_PROMPTS = 5 };
    static int32_t prompts[N_PROMPTS][PREFIX_MAX];
    const vt_prefix_options options = {.dir = dir, .ram_bytes = ram_bytes};
    prefix_model *m = prefix_open(name, &options);
    vt_session *sessions[VT_COUNT(chunks)];
    size_t n_ram = 0, n_disk = 0;
    for (size_t i = 0; i < VT_COUNT(chunks); i++) sessions[i] = prefix_session(m, chunks[i], type);
    for (size_t i = 0; i < N_PROMPTS; i++) prefix_tokens(prompts[i], PREFIX_MAX, i);
    for (int round = 0; round < n_rounds; round++) {
        vt_session *s = sessions[random_below(VT_COUNT(chunks))];
        int32_t *prompt = prompts[random_below(N_PROMPTS)];
        const uint32_t n = 1 + random_below(random_below(4) == 0 ? 60 : 350);
        if (random_below(3) == 0) { /* it now begins like another one */
            const int32_t *other = prompts[random_below(N_PROMPTS)];
            memmove(prompt, other, random_below(300) * sizeof *prompt);
        }
        if (random_below(3) == 0) prompt[random_below(n)] = (int32_t)random_below(256);
        const size_t reused = prefix_sync(s, prompt, n);
        assert_int_equal(reused, m->report.n_session + m->report.n_ram + m->report.n_disk);
        assert_true(reused < n);
        n_ram += m->report.n_ram;
        n_disk += m->report.n_disk;
        prefix_expect_cold(m, s, type);
        vt_err err = {0};
        const uint32_t more = random_below(3) == 0 ? random_below(100) : 0;
        for (uint32_t i = 0; i < more; i++)
            prefix_ok(vt_session_extend(s, prompt + n + i, 1, NULL, &err), &err);
        if (dir != NULL && random_below(3) == 0) vt_engine_flush_prefixes(m->engine, 10000);
    }
    print_message("%s: %zu tokens from RAM, %zu from disk\n", name, n_ram, n_disk);
    assert_true(n_ram > 0);
    if (dir != NULL) assert_true(n_disk > 0);
    for (size_t i = 0; i < VT_COUNT(chunks); i++) vt_session_free(sessions[i]);
    prefix_close(m);
}

static void test_random_syncs_give_the_bits_of_cold_starts(void **state)
{
    (void)state;
    for (size_t i = 0; i < VT_COUNT(models); i++) {
        char dir[64];
        prefix_make_dir(dir);
        random_syncs(models[i], type_of(models[i], i), NULL, 0, 25);
        random_syncs(models[i], type_of(models[i], i + 1), NULL, 1, 25); /* the fewest blocks */
        random_syncs(models[i], type_of(models[i], i + 2), dir, 1, 40);
        assert_int_equal(prefix_n_damaged(dir), 0);
        prefix_remove_dir(dir);
    }
}

/* Set back by more than the ring of the window holds. */
static void test_a_ring_that_has_moved_on_is_refilled_from_the_store(void **state)
{
    (void)state;
    int32_t tokens[PREFIX_MAX];
    prefix_tokens(tokens, PREFIX_MAX, 3);
    prefix_model *m = prefix_open("gpt-oss", &(vt_prefix_options){0});
    vt_session *s = prefix_session(m, 16, VT_KV_F16);
    prefix_sync(s, tokens, 400);
    assert_int_equal(prefix_sync(s, tokens, 101), 100);
    assert_int_equal(m->report.n_lost, 100);
    assert_int_equal(m->report.n_ram, 100);
    prefix_expect_cold(m, s, VT_KV_F16);
    /* back again: the answer's place in the ring was overwritten, the store has it */
    assert_int_equal(prefix_sync(s, tokens, 400), 399);
    prefix_expect_cold(m, s, VT_KV_F16);
    vt_session_free(s);
    prefix_close(m);
}

/* What was decoded is in RAM as it becomes whole blocks, and on disk when a prompt goes on from it.
 */
static void test_an_answer_is_stored_when_a_prompt_goes_on_from_it(void **state)
{
    (void)state;
    char dir[64];
    int32_t tokens[PREFIX_MAX];
    vt_err err = {0};
    prefix_tokens(tokens, PREFIX_MAX, 4);
    prefix_make_dir(dir);
    for (size_t i = 0; i < VT_COUNT(models); i++) {
        tokens[0] = (int32_t)i;
        prefix_model *m = prefix_open(models[i], &(vt_prefix_options){.dir = dir});
        vt_session *s = prefix_session(m, 16, VT_KV_F16);
        prefix_sync(s, tokens, 150);
        for (int k = 150; k < 330; k++)
            prefix_ok(vt_session_extend(s, tokens + k, 1, NULL, &err), &err);
        assert_true(vt_engine_flush_prefixes(m->engine, 20000));
        vt_prefix_listing l = prefix_list(dir);
        size_t n_ours = 0;
        for (size_t k = 0; k < l.n; k++) n_ours += l.files[k].block.position < 150;
        assert_int_equal(n_ours, l.n); /* nothing of the answer yet */
        vt_prefix_listing_deinit(&l);
        vt_session *t = prefix_session(m, 0, VT_KV_F16);
        assert_int_equal(prefix_sync(t, tokens, 350),
                         320); /* 5 blocks: the tail comes with a sync */
        prefix_expect_cold(m, t, VT_KV_F16);
        assert_int_equal(prefix_sync(s, tokens, 350), 349); /* the next turn: 330 and the store's */
        assert_int_equal(m->report.n_session, 330);
        vt_session_free(s);
        vt_session_free(t);
        prefix_close(m);
        m = prefix_open(models[i], &(vt_prefix_options){.dir = dir});
        s = prefix_session(m, 0, VT_KV_F16);
        assert_int_equal(prefix_sync(s, tokens, 350), 349);
        prefix_expect_cold(m, s, VT_KV_F16);
        vt_session_free(s);
        prefix_close(m);
        prefix_remove_dir(dir);
        mkdir(dir, 0700);
    }
    prefix_remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_another_session_of_the_engine_goes_on_from_ram),
        cmocka_unit_test(test_a_new_engine_goes_on_from_disk),
        cmocka_unit_test(test_a_ring_that_has_moved_on_is_refilled_from_the_store),
        cmocka_unit_test(test_an_answer_is_stored_when_a_prompt_goes_on_from_it),
        cmocka_unit_test(test_random_syncs_give_the_bits_of_cold_starts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
