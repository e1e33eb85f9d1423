/* bits_batch_test.c -- engine/batch: a sequence's bits never depend on its neighbours.
 *
 * Many sessions, of different lengths, prefill steps and kinds of KV cache, go on together in
 * batches of random composition and order; each one's logits are compared with those that the same
 * tokens give alone on plain kernels and one thread. gpt-oss has a sliding window of 24 positions,
 * so with short steps its caches are rings. */
#include "support/bits.h"

#include "engine/batch.h"

enum { MAX_SEQUENCES = 33, MAX_LENGTH = 80, MOST_TYPES = 3 };

static uint64_t random_state = 7;

static uint32_t random_below(uint32_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % n;
}

/* What each sequence gives alone. */
typedef struct {
    size_t n_vocab;
    size_t n; /* tokens of each */
    size_t n_types;
    int32_t tokens[MAX_SEQUENCES][MAX_LENGTH];
    float *rows[MOST_TYPES]; /* [MAX_SEQUENCES][n][n_vocab] */
} standard;

static standard *standard_new(const char *name, size_t n)
{
    standard *w = vt_calloc(1, sizeof *w);
    vt_engine *e = reference_engine(name, "scalar", 1);
    w->n = n;
    w->n_types = bits_n_kv_types(e);
    w->n_vocab = vt_model_get_info(vt_engine_model(e))->n_vocab;
    for (size_t i = 0; i < MAX_SEQUENCES; i++)
        for (size_t t = 0; t < n; t++)
            w->tokens[i][t] = (int32_t)random_below((uint32_t)w->n_vocab);
    for (size_t type = 0; type < w->n_types; type++) {
        w->rows[type] = vt_alloc(MAX_SEQUENCES * n * w->n_vocab * sizeof(float));
        assert_non_null(w->rows[type]);
        for (size_t i = 0; i < MAX_SEQUENCES; i++) {
            vt_session *s = reference_session(e, 0, (vt_kv_type)type);
            reference r = {.tokens = w->tokens[i], .n = n, .n_vocab = w->n_vocab};
            reference_extend(s, &r, 0, n, w->rows[type] + i * n * w->n_vocab);
            vt_session_free(s);
        }
    }
    vt_engine_close(e);
    return w;
}

static void standard_free(standard *w)
{
    for (size_t type = 0; type < w->n_types; type++) vt_free(w->rows[type]);
    vt_free(w);
}

typedef struct {
    const standard *want;
    vt_engine *engine;
    const char *what;
    vt_session *sessions[MAX_SEQUENCES];
    bool is_new[MAX_SEQUENCES]; /* no logits yet */
} crowd;

/* Neighbours differ in it. */
static vt_kv_type type_of(const standard *w, size_t i)
{
    return (vt_kv_type)(i % w->n_types);
}

static void expect_all_as_alone(const crowd *c, uint32_t n_items)
{
    const standard *w = c->want;
    for (size_t i = 0; i < MAX_SEQUENCES; i++) {
        if (c->is_new[i]) continue;
        const size_t n = vt_session_n_tokens(c->sessions[i]);
        const float *want = w->rows[type_of(w, i)] + (i * w->n + n - 1) * w->n_vocab;
        assert_memory_equal(vt_session_tokens(c->sessions[i]), w->tokens[i], n * sizeof(int32_t));
        if (memcmp(vt_session_logits(c->sessions[i]), want, w->n_vocab * sizeof *want) != 0)
            fail_msg("%s: other bits in sequence %zu at %zu, batch of %u", c->what, i, n, n_items);
    }
}

static size_t random_length(size_t room)
{
    static const uint32_t most[] = {1, 1, 1, 2, 7, 40};
    size_t n = 1 + random_below(most[random_below(VT_COUNT(most))]);
    return n < room ? n : room;
}

/* One batch of these many sequences; full ones are set back first. */
static void extend_some(crowd *c, uint32_t n_items)
{
    const standard *w = c->want;
    vt_batch_item items[MAX_SEQUENCES];
    size_t order[MAX_SEQUENCES];
    vt_err err = {0};
    for (size_t i = 0; i < MAX_SEQUENCES; i++) order[i] = i;
    for (size_t i = 0; i < n_items; i++) {
        const size_t k = i + random_below((uint32_t)(MAX_SEQUENCES - i)), moved = order[k];
        order[k] = order[i];
        order[i] = moved;
        vt_session *s = c->sessions[moved];
        if (vt_session_n_tokens(s) == w->n &&
            vt_session_sync(s, w->tokens[moved], 1 + random_below((uint32_t)w->n - 1), NULL, NULL,
                            &err) != VT_OK)
            fail_msg("%s", err.msg);
        const size_t n = vt_session_n_tokens(s);
        items[i] = (vt_batch_item){s, w->tokens[moved] + n, random_length(w->n - n)};
        c->is_new[moved] = false;
    }
    if (vt_batch_extend(c->engine, items, n_items, NULL, &err) != VT_OK) fail_msg("%s", err.msg);
    expect_all_as_alone(c, n_items);
}

static void run_crowd(const standard *w, const char *name, const char *isa, int n_threads)
{
    static const uint32_t sizes[] = {1, 2, 3, 33, 4, 5, 7, 8, 9, 12, 15, 16, 17, 24, 31, 32, 33};
    static const uint32_t chunks[] = {0, 7, 33, 1, 64};
    char what[96];
    snprintf(what, sizeof what, "%s, %s, %d threads", name, isa, n_threads);
    crowd c = {.want = w, .engine = reference_engine(name, isa, n_threads), .what = what};
    for (size_t i = 0; i < MAX_SEQUENCES; i++) {
        c.sessions[i] = reference_session(c.engine, chunks[i % VT_COUNT(chunks)], type_of(w, i));
        c.is_new[i] = true;
    }
    for (size_t i = 0; i < VT_COUNT(sizes); i++) extend_some(&c, sizes[i]);
    for (size_t i = 0; i < MAX_SEQUENCES; i++) vt_session_free(c.sessions[i]);
    vt_engine_close(c.engine);
}

static void check_batches_of(const char *name, size_t n)
{
    standard *w = standard_new(name, n);
    const vt_kernels *isas[VT_KERNELS_MOST];
    const size_t n_isas = vt_kernels_list(isas);
    for (size_t i = 0; i < n_isas; i++)
        for (size_t t = 0; t < VT_COUNT(bits_threads); t++)
            if ((i + t) % 2 == 0) run_crowd(w, name, isas[i]->name, bits_threads[t]);
    standard_free(w);
}

static void test_a_batch_gives_each_sequence_its_own_bits(void **state)
{
    (void)state;
    check_batches_of("llama", 50);
    check_batches_of("qwen2", 50);
}

static void test_a_batch_of_rings_gives_each_sequence_its_own_bits(void **state)
{
    (void)state;
    check_batches_of("gpt-oss", MAX_LENGTH);
    check_batches_of("gpt-oss-mxfp4", MAX_LENGTH);
}

static void test_a_batch_gives_the_same_bits_in_every_weight_format(void **state)
{
    (void)state;
    static const char *const names[] = {"format-F16",  "format-BF16", "format-Q8_0", "format-Q4_0",
                                        "format-Q4_1", "format-Q5_0", "format-Q4_K", "format-Q5_K",
                                        "format-Q6_K", "format-MXFP4"};
    for (size_t i = 0; i < VT_COUNT(names); i++) check_batches_of(names[i], 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_batch_gives_each_sequence_its_own_bits),
        cmocka_unit_test(test_a_batch_of_rings_gives_each_sequence_its_own_bits),
        cmocka_unit_test(test_a_batch_gives_the_same_bits_in_every_weight_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
