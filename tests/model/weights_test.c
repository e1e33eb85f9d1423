/* weights_test.c -- model/weights: tensors found, checked, and read into tiles by any number of
 * threads; the first error stays; a file that shrinks under us is an error, not a crash. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "model/weights.h"
#include "support/model_file.h"

/* A file with matrices of every kind that model_file.h makes. Too large for one chunk: "wide". */
static model_file *make_file(void)
{
    model_file *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->random = 7;
    model_file_set_text(f, "general.architecture", "test");
    model_file_add(f, "a.3.plain.weight", VT_FORMAT_F32, 1.0f, (uint64_t[4]){37, 21});
    model_file_add(f, "half.weight", VT_FORMAT_F16, 1.0f, (uint64_t[4]){40, 16});
    model_file_add(f, "blocks.weight", VT_FORMAT_Q8_0, 1.0f, (uint64_t[4]){96, 33});
    model_file_add(f, "stack.weight", VT_FORMAT_MXFP4, 1.0f, (uint64_t[4]){64, 19, 3});
    model_file_add(f, "wide.weight", VT_FORMAT_F32, 1.0f, (uint64_t[4]){1000, 700});
    model_file_add(f, "vector.weight", VT_FORMAT_F32, 1.0f, (uint64_t[4]){5, 7});
    model_file_add(f, "halves.bias", VT_FORMAT_F16, 1.0f, (uint64_t[4]){9});
    model_file_add(f, "bare", VT_FORMAT_F32, 1.0f, (uint64_t[4]){3});
    model_file_save(f);
    return f;
}

typedef struct {
    vt_gguf *gguf;
    vt_weights *w;
    vt_matrix plain, half, blocks, stack, wide;
    const float *vector, *halves, *bare;
} loaded;

static void bind_all(loaded *l, const char *path)
{
    vt_err err = {0};
    *l = (loaded){0};
    if (vt_gguf_open(path, &l->gguf, &err) != VT_OK) fail_msg("%s", err.msg);
    assert_int_equal(vt_weights_new(l->gguf, &l->w, &err), VT_OK);
    vt_weights_matrix(l->w, "a.%u.plain", 3, 21, 37, &l->plain);
    vt_weights_float_matrix(l->w, "half", 0, 16, 40, &l->half);
    vt_weights_matrix(l->w, "blocks", 0, 33, 96, &l->blocks);
    vt_weights_stack(l->w, "stack", 0, 3, 19, 64, &l->stack);
    vt_weights_matrix(l->w, "wide", 0, 700, 1000, &l->wide);
    vt_weights_vector(l->w, "vector", 0, ".weight", 35, &l->vector);
    vt_weights_vector(l->w, "halves", 0, ".bias", 9, &l->halves);
    vt_weights_vector(l->w, "bare", 0, "", 3, &l->bare);
    if (vt_weights_status(l->w, &err) != VT_OK) fail_msg("%s", err.msg);
}

static vt_status load_with(loaded *l, int n_threads, vt_err *err)
{
    vt_pool *pool = NULL;
    assert_int_equal(vt_pool_new(n_threads, &pool, err), VT_OK);
    vt_status st = vt_weights_load(l->w, pool, NULL, err);
    vt_pool_free(pool);
    return st;
}

static void release(loaded *l)
{
    vt_weights_free(l->w);
    vt_gguf_close(l->gguf);
}

/* The tiles are those of vt_tile_pack, whose layout has its own test. */
static void check_matrix(const vt_matrix *m, const model_tensor *t)
{
    const vt_format_info *format = vt_format_by_id(t->format);
    const size_t row_bytes = (size_t)t->dims[0] / format->block_len * format->block_bytes;
    const size_t tile_bytes = vt_tile_bytes(m->format, m->n_cols);
    uint8_t *want = aligned_alloc(64, tile_bytes);
    assert_non_null(want);
    assert_int_equal(m->format, t->format);
    assert_int_equal((uintptr_t)m->tiles % VT_TILE_ALIGN, 0);
    const uint8_t *tile = m->tiles;
    for (uint32_t s = 0; s < m->n_stack; s++)
        for (uint32_t r = 0; r < m->n_rows; r += VT_TILE_ROWS, tile += tile_bytes) {
            uint32_t n = m->n_rows - r < VT_TILE_ROWS ? m->n_rows - r : VT_TILE_ROWS;
            vt_tile_pack(m->format, t->data + ((size_t)s * m->n_rows + r) * row_bytes, n, m->n_cols,
                         want);
            assert_memory_equal(tile, want, tile_bytes);
        }
    free(want);
}

static void test_any_number_of_threads_loads_the_same_tiles(void **state)
{
    (void)state;
    model_file *f = make_file();
    for (int n_threads = 1; n_threads <= 5; n_threads += 2) {
        loaded l;
        vt_err err = {0};
        bind_all(&l, f->path);
        uint64_t n_bytes = vt_weights_bytes(l.w);
        if (load_with(&l, n_threads, &err) != VT_OK) fail_msg("%s", err.msg);
        assert_true(n_bytes >= 1000 * 704 * 4);
        check_matrix(&l.plain, model_file_tensor(f, "a.3.plain.weight"));
        check_matrix(&l.half, model_file_tensor(f, "half.weight"));
        check_matrix(&l.blocks, model_file_tensor(f, "blocks.weight"));
        check_matrix(&l.stack, model_file_tensor(f, "stack.weight"));
        check_matrix(&l.wide, model_file_tensor(f, "wide.weight"));
        assert_memory_equal(l.vector, model_file_tensor(f, "vector.weight")->data, 35 * 4);
        assert_memory_equal(l.bare, model_file_tensor(f, "bare")->data, 3 * 4);
        for (size_t i = 0; i < 9; i++) {
            uint16_t h;
            memcpy(&h, model_file_tensor(f, "halves.bias")->data + 2 * i, 2);
            assert_true(l.halves[i] == vt_f16_to_f32(h));
        }
        release(&l);
    }
    model_file_free(f);
}

static void test_formats_are_listed_by_their_bytes_and_unused_tensors_counted(void **state)
{
    (void)state;
    model_file *f = make_file();
    vt_gguf *g = NULL;
    vt_weights *w = NULL;
    vt_matrix m;
    char formats[64];
    size_t n;
    assert_int_equal(vt_gguf_open(f->path, &g, NULL), VT_OK);
    assert_int_equal(vt_weights_new(g, &w, NULL), VT_OK);
    vt_weights_matrix(w, "half", 0, 16, 40, &m);   /* 1,280 bytes */
    vt_weights_matrix(w, "blocks", 0, 33, 96, &m); /* 3,366 bytes */
    vt_weights_formats(w, formats, sizeof formats);
    assert_string_equal(formats, "Q8_0, F16");
    vt_weights_formats(w, formats, 6);
    assert_string_equal(formats, "Q8_0,");
    assert_true(vt_weights_has(w, "a.%u.plain", 3, ".weight"));
    assert_false(vt_weights_has(w, "a.%u.plain", 4, ".weight"));
    const vt_gguf_tensor *unused = vt_weights_unused(w, &n);
    assert_int_equal(n, 6);
    assert_true(vt_slice_eq(unused->name, VT_S("a.3.plain.weight")));
    vt_weights_free(w);
    vt_gguf_close(g);
    model_file_free(f);
}

static void test_the_first_error_stays(void **state)
{
    (void)state;
    model_file *f = make_file();
    vt_pool *pool = NULL;
    vt_gguf *g = NULL;
    vt_weights *w = NULL;
    vt_matrix m = {0};
    const float *v = NULL;
    vt_err err = {0};
    assert_int_equal(vt_pool_new(2, &pool, NULL), VT_OK);
    assert_int_equal(vt_gguf_open(f->path, &g, NULL), VT_OK);
    assert_int_equal(vt_weights_new(g, &w, NULL), VT_OK);
    vt_weights_matrix(w, "half", 0, 17, 40, &m);
    vt_weights_matrix(w, "nothing", 0, 1, 1, &m);
    vt_weights_vector(w, "bare", 0, "", 3, &v);
    assert_int_equal(vt_weights_status(w, &err), VT_EINPUT);
    assert_string_equal(err.msg, "tensor half.weight is 40 x 16, but the hyper-parameters ask for "
                                 "40 x 17");
    assert_int_equal(vt_weights_bytes(w), 0);
    assert_int_equal(vt_weights_load(w, pool, NULL, &err), VT_EINPUT);
    assert_true(m.tiles == NULL && v == NULL);
    vt_weights_free(w);
    vt_gguf_close(g);
    vt_pool_free(pool);
    model_file_free(f);
}

static void test_a_file_that_shrinks_after_it_was_opened_is_an_error(void **state)
{
    (void)state;
    model_file *f = make_file();
    loaded l;
    vt_err err = {0};
    bind_all(&l, f->path);
    assert_int_equal(truncate(f->path, 100000), 0);
    assert_int_equal(load_with(&l, 3, &err), VT_EIO);
    assert_non_null(strstr(err.msg, "tensor "));
    assert_null(l.plain.tiles);
    release(&l);
    model_file_free(f);
}

static void test_a_vector_with_a_nan_is_refused_by_name(void **state)
{
    (void)state;
    model_file *f = make_file();
    loaded l;
    vt_err err = {0};
    const uint16_t nan = 0x7E01;
    memcpy(model_file_tensor(f, "halves.bias")->data + 6, &nan, 2);
    model_file_save(f);
    bind_all(&l, f->path);
    assert_int_equal(load_with(&l, 2, &err), VT_EINPUT);
    assert_string_equal(err.msg, "tensor halves.bias holds a value that is not finite");
    release(&l);
    model_file_free(f);
}

typedef struct {
    uint64_t n_calls, last;
    bool is_sane;
} seen;

static void note(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    seen *s = ctx;
    s->n_calls++;
    if (done > total || done < s->last || what[0] == '\0') s->is_sane = false;
    s->last = done;
}

static void test_progress_grows_up_to_its_total(void **state)
{
    (void)state;
    model_file *f = make_file();
    loaded l;
    vt_pool *pool = NULL;
    seen s = {.is_sane = true};
    const vt_progress progress = {.report = note, .ctx = &s};
    bind_all(&l, f->path);
    assert_int_equal(vt_pool_new(1, &pool, NULL), VT_OK);
    assert_int_equal(vt_weights_load(l.w, pool, &progress, NULL), VT_OK);
    assert_true(s.is_sane && s.n_calls >= 1);
    vt_pool_free(pool);
    release(&l);
    model_file_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_number_of_threads_loads_the_same_tiles),
        cmocka_unit_test(test_formats_are_listed_by_their_bytes_and_unused_tensors_counted),
        cmocka_unit_test(test_the_first_error_stays),
        cmocka_unit_test(test_a_file_that_shrinks_after_it_was_opened_is_an_error),
        cmocka_unit_test(test_a_vector_with_a_nan_is_refused_by_name),
        cmocka_unit_test(test_progress_grows_up_to_its_total),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
