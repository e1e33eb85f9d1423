/* packed_test.c -- model/packed: the file's bytes, what opening refuses, what verifying finds, and
 * that a killed or cancelled writer leaves nothing that opens. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/alloc.h"
#include "base/file.h"
#include "kernels/matrix.h"
#include "model/network.h"
#include "model/packed.h"
#include "support/model_file.h"

static const uint8_t source[VT_SHA256_BYTES] = "a digest of thirty-two bytes...";

/* ---- the head ---- */

static const vt_packed_tensor two[] = {
    {.name = {"first", 5},
     .format_id = 12,
     .n_dims = 2,
     .dims = {256, 20, 1, 1},
     .offset = 2 << 20,
     .n_bytes = 4608,
     .sha256 = {0x11}},
    {.name = {"second.bias", 11},
     .format_id = 0,
     .n_dims = 1,
     .dims = {7, 1, 1, 1},
     .offset = (2 << 20) + 4608,
     .n_bytes = 28,
     .sha256 = {0x22}},
};
/* one GGUF key: "k" = U32 5 */
static const char keys[] = "\1\0\0\0\0\0\0\0k\4\0\0\0\5\0\0\0";

static void build(vt_buffer *head)
{
    vt_err err = {0};
    vt_buffer_init(head, 0);
    if (vt_packed_build_head(vt_slice_of(keys, sizeof keys - 1), 1, two, 2, 2 << 20, source, head,
                             &err) != VT_OK)
        fail_msg("%s", err.msg);
}

static void check_bytes(const vt_buffer *b, size_t at, const void *want, size_t n)
{
    assert_true(at + n <= b->len);
    assert_memory_equal(b->ptr + at, want, n);
}

static void test_the_head_has_exactly_the_bytes_of_its_description(void **state)
{
    (void)state;
    vt_buffer head;
    uint8_t sum[VT_SHA256_BYTES];
    static const char zeros[40];
    build(&head);
    assert_int_equal(head.len, 192 + 48 + 2 * 96 + 16);
    check_bytes(&head, 0, "VETROPAK\1\0\0\0\1\0\0\0", 16);
    check_bytes(&head, 16, "\0\0\x40\0\0\0\0\0", 8); /* the file: 4 MiB */
    check_bytes(&head, 24, "\x29\0\0\0\0\0\0\0", 8); /* metadata: 24 + 17 */
    check_bytes(&head, 32, "\x10\0\0\0\0\0\0\0", 8); /* names */
    check_bytes(&head, 40, "\2\0\0\0\0\0\0\0", 8);   /* tensors */
    check_bytes(&head, 48, "\0\0\x20\0\0\0\0\0", 8); /* tiles at 2 MiB */
    check_bytes(&head, 56, source, 32);
    assert_int_equal(vt_sha256_bytes(vt_slice_of(head.ptr + 192, head.len - 192), sum, NULL),
                     VT_OK);
    check_bytes(&head, 88, sum, 32);
    assert_int_equal(vt_sha256_bytes(vt_slice_of(head.ptr, 120), sum, NULL), VT_OK);
    check_bytes(&head, 120, sum, 32);
    check_bytes(&head, 152, zeros, 40);
    check_bytes(&head, 192, "GGUF\3\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0", 24);
    check_bytes(&head, 216, keys, 17);
    check_bytes(&head, 233, zeros, 7);
    check_bytes(&head, 240, "\0\0\0\0\5\0\0\0\x0c\0\0\0\2\0\0\0", 16);
    check_bytes(&head, 256, "\0\1\0\0\0\0\0\0\x14\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0",
                32);
    check_bytes(&head, 288, "\0\0\x20\0\0\0\0\0\0\x12\0\0\0\0\0\0\x11", 17);
    check_bytes(&head, 336, "\5\0\0\0\x0b\0\0\0\0\0\0\0\1\0\0\0\7\0\0\0", 20);
    check_bytes(&head, 384, "\0\x12\x20\0\0\0\0\0\x1c\0\0\0\0\0\0\0\x22", 17);
    check_bytes(&head, 432, "firstsecond.bias", 16);
    vt_packed *p = NULL;
    assert_int_equal(vt_packed_parse(vt_buffer_slice(&head), 4 << 20, &p, NULL), VT_OK);
    assert_int_equal(p->header.n_tensors, 2);
    assert_true(vt_slice_eq(p->tensors[1].name, VT_S("second.bias")));
    assert_int_equal(p->tensors[0].dims[1], 20);
    assert_int_equal(p->metadata.len, 41);
    vt_packed_close(p);
    vt_buffer_deinit(&head);
}

static void test_a_flipped_bit_anywhere_in_the_head_is_refused(void **state)
{
    (void)state;
    vt_buffer head;
    build(&head);
    for (size_t at = 0; at < head.len; at++) {
        if (at >= 152 && at < 192) continue; /* says nothing */
        for (int bit = 0; bit < 8; bit += 3) {
            vt_packed *p = NULL;
            vt_err err = {0};
            head.ptr[at] = (char)(head.ptr[at] ^ 1 << bit);
            vt_status st = vt_packed_parse(vt_buffer_slice(&head), 4 << 20, &p, &err);
            assert_true(st == VT_ECORRUPT || st == VT_EINPUT || st == VT_EUNSUPPORTED);
            assert_true(err.msg[0] != '\0');
            head.ptr[at] = (char)(head.ptr[at] ^ 1 << bit);
        }
    }
    vt_buffer_deinit(&head);
}

static void test_a_head_that_is_cut_off_or_of_another_length_is_refused(void **state)
{
    (void)state;
    vt_buffer head;
    vt_packed *p = NULL;
    build(&head);
    for (size_t n = 0; n < head.len; n++) {
        vt_status st = vt_packed_parse(vt_slice_of(head.ptr, n), 4 << 20, &p, NULL);
        assert_int_equal(st, n < 8 ? VT_EINPUT : VT_ECORRUPT);
    }
    assert_int_equal(vt_packed_parse(vt_buffer_slice(&head), (4 << 20) - 1, &p, NULL), VT_ECORRUPT);
    assert_int_equal(vt_packed_parse(vt_buffer_slice(&head), 6 << 20, &p, NULL), VT_ECORRUPT);
    vt_buffer_deinit(&head);
}

/* The head with `n` bytes of it changed and both checksums made to fit again. */
static vt_status parse_changed(size_t at, const char *bytes, size_t n, vt_err *err)
{
    vt_buffer head;
    vt_packed *p = NULL;
    build(&head);
    memcpy(head.ptr + at, bytes, n);
    uint8_t *sums = (uint8_t *)head.ptr;
    assert_int_equal(vt_sha256_bytes(vt_slice_of(head.ptr + 192, head.len - 192), sums + 88, NULL),
                     VT_OK);
    assert_int_equal(vt_sha256_bytes(vt_slice_of(head.ptr, 120), sums + 120, NULL), VT_OK);
    vt_status st = vt_packed_parse(vt_buffer_slice(&head), 4 << 20, &p, err);
    vt_packed_close(p);
    vt_buffer_deinit(&head);
    return st;
}

static void test_impossible_values_are_refused_though_the_checksums_fit(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        size_t at;
        const char *bytes;
        size_t n;
        vt_status want;
    } changes[] = {
        {"nothing", 0, "V", 1, VT_OK},
        {"a later format", 8, "\2", 1, VT_EUNSUPPORTED},
        {"another tile layout", 12, "\x63", 1, VT_EUNSUPPORTED},
        {"metadata without end", 24, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, VT_ECORRUPT},
        {"names without end", 32, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, VT_ECORRUPT},
        {"tensors without end", 40, "\xff\xff\xff\xff\xff\xff\xff\x0f", 8, VT_ECORRUPT},
        {"a tensor more", 40, "\3", 1, VT_ECORRUPT},
        {"a tensor less", 40, "\1", 1, VT_ECORRUPT},
        {"tiles inside the head", 48, "\0\0\0\0", 4, VT_ECORRUPT},
        {"tiles off their alignment", 48, "\0\0\x10\0", 4, VT_ECORRUPT},
        {"tiles behind the end", 48, "\0\0\0\1", 4, VT_ECORRUPT},
        {"a name elsewhere", 240, "\1", 1, VT_ECORRUPT},
        {"a name that is too long", 244, "\x7f", 1, VT_ECORRUPT},
        {"no name", 244, "\0", 1, VT_ECORRUPT},
        {"a control character in a name", 433, "\x1b", 1, VT_ECORRUPT},
        {"no dims", 252, "\0", 1, VT_ECORRUPT},
        {"five dims", 252, "\5", 1, VT_ECORRUPT},
        {"a dim of 0", 256, "\0\0", 2, VT_ECORRUPT},
        {"an unused dim", 272, "\2", 1, VT_ECORRUPT},
        {"more weights than 2^64", 259, "\xff\xff\xff\xff\xff\0\0\0\0\0\x01", 11, VT_ECORRUPT},
        {"a tensor in the head", 288, "\0\0\0\0", 4, VT_ECORRUPT},
        {"a tensor off its alignment", 288, "\x20", 1, VT_ECORRUPT},
        {"a tensor that overlaps", 384, "\0\x11", 2, VT_ECORRUPT},
        {"a tensor behind the end", 296, "\0\0\0\1", 4, VT_ECORRUPT},
        {"a tensor that wraps around", 296, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, VT_ECORRUPT},
        {"an empty tensor", 392, "\0", 1, VT_ECORRUPT},
    };
    for (size_t i = 0; i < VT_COUNT(changes); i++) {
        vt_err err = {0};
        vt_status st = parse_changed(changes[i].at, changes[i].bytes, changes[i].n, &err);
        if (st != changes[i].want) fail_msg("%s: %d, %s", changes[i].what, (int)st, err.msg);
    }
}

static void test_parsing_fails_cleanly_at_every_allocation(void **state)
{
    (void)state;
    vt_buffer head;
    vt_packed *p = NULL;
    build(&head);
    (void)vt_alloc_fail_nth(0);
    assert_int_equal(vt_packed_parse(vt_buffer_slice(&head), 4 << 20, &p, NULL), VT_OK);
    uint64_t n = vt_alloc_fail_nth(0);
    vt_packed_close(p);
    assert_true(n >= 3);
    for (uint64_t i = 1; i <= n; i++) {
        vt_err err = {0};
        (void)vt_alloc_fail_nth(i);
        assert_int_equal(vt_packed_parse(vt_buffer_slice(&head), 4 << 20, &p, &err), VT_ENOMEM);
    }
    (void)vt_alloc_fail_nth(0);
    vt_buffer_deinit(&head);
}

/* ---- files ---- */

typedef struct {
    model_file *gguf;
    char dir[32];
    char path[48];
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    f->gguf = model_file_new_of("gpt-oss", VT_FORMAT_MXFP4);
    /* Rows of 64 and 96: whole blocks. */
    model_file_save(f->gguf);
    snprintf(f->dir, sizeof f->dir, "/tmp/vetro-packed-XXXXXX");
    if (mkdtemp(f->dir) == NULL) return -1;
    snprintf(f->path, sizeof f->path, "%s/m.packed", f->dir);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    DIR *dir = opendir(f->dir);
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;)
        if (e->d_name[0] != '.' || strlen(e->d_name) > 2) unlinkat(dirfd(dir), e->d_name, 0);
    closedir(dir);
    rmdir(f->dir);
    model_file_free(f->gguf);
    free(f);
    return 0;
}

static vt_status pack(const fixture *f, const vt_progress *progress, vt_err *err)
{
    vt_pool *pool = NULL;
    vt_model *m = NULL;
    uint64_t n_bytes = 0;
    vt_status st = vt_pool_new(2, &pool, err);
    if (st == VT_OK) st = vt_model_open(f->gguf->path, pool, NULL, &m, err);
    if (st == VT_OK) st = vt_model_pack(m, f->path, source, pool, progress, &n_bytes, err);
    vt_model_close(m);
    vt_pool_free(pool);
    struct stat info;
    if (st == VT_OK) assert_true(stat(f->path, &info) == 0 && (uint64_t)info.st_size == n_bytes);
    return st;
}

static vt_status open_model(const fixture *f, vt_err *err)
{
    vt_pool *pool = NULL;
    vt_model *m = NULL;
    vt_status st = vt_pool_new(2, &pool, err);
    if (st == VT_OK) st = vt_model_open(f->path, pool, NULL, &m, err);
    vt_model_close(m);
    vt_pool_free(pool);
    return st;
}

static vt_status verify(const fixture *f, vt_err *err)
{
    vt_pool *pool = NULL;
    vt_packed *p = NULL;
    vt_status st = vt_pool_new(2, &pool, err);
    if (st == VT_OK) st = vt_packed_open(f->path, &p, err);
    if (st == VT_OK) st = vt_packed_verify(p, pool, NULL, err);
    vt_packed_close(p);
    vt_pool_free(pool);
    return st;
}

static void flip(const fixture *f, uint64_t at)
{
    FILE *file = fopen(f->path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)at, SEEK_SET), 0);
    int c = fgetc(file);
    assert_int_equal(fseek(file, (long)at, SEEK_SET), 0);
    fputc(c ^ 0x20, file);
    assert_int_equal(fclose(file), 0);
}

static size_t count_files(const char *path)
{
    size_t n = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    while (readdir(dir) != NULL) n++;
    closedir(dir);
    return n - 2;
}

static void must_pack(const fixture *f)
{
    vt_err err = {0};
    if (pack(f, NULL, &err) != VT_OK) fail_msg("%s", err.msg);
}

static void test_a_packed_file_has_the_keys_and_the_tiles_of_its_source(void **state)
{
    fixture *f = *state;
    vt_gguf *g = NULL, *p = NULL;
    vt_err err = {0};
    must_pack(f);
    assert_int_equal(count_files(f->dir), 1);
    assert_int_equal(vt_gguf_open(f->gguf->path, &g, &err), VT_OK);
    if (vt_gguf_open(f->path, &p, &err) != VT_OK) fail_msg("%s", err.msg);
    assert_null(vt_gguf_packed(g));
    const vt_packed *packed = vt_gguf_packed(p);
    assert_memory_equal(packed->header.source, source, sizeof source);
    assert_true(vt_slice_eq(vt_gguf_entries_bytes(g), vt_gguf_entries_bytes(p)));
    assert_int_equal(vt_gguf_n_entries(p), vt_gguf_n_entries(g));
    assert_int_equal(vt_gguf_n_tensors(p), vt_gguf_n_tensors(g));
    for (size_t i = 0; i < f->gguf->n_tensors; i++) {
        const model_tensor *t = &f->gguf->tensors[i];
        const vt_gguf_tensor *there = vt_gguf_find_tensor(p, vt_slice_cstr(t->name));
        assert_non_null(there);
        assert_int_equal(there->format_id, t->format);
        assert_int_equal(there->n_dims, t->n_dims);
        assert_int_equal(there->offset % 64, 0);
        if (t->n_dims == 1) { /* a vector of floats: as it was */
            vt_err why = {0};
            uint8_t *bytes = malloc(t->n_bytes);
            assert_int_equal(there->n_bytes, t->n_bytes);
            assert_int_equal(
                vt_file_pread(vt_gguf_fd(p, 0), bytes, t->n_bytes, there->offset, &why), VT_OK);
            assert_memory_equal(bytes, t->data, t->n_bytes);
            free(bytes);
        }
    }
    vt_gguf_close(g);
    vt_gguf_close(p);
}

static void test_a_split_model_becomes_one_packed_file(void **state)
{
    fixture *f = *state;
    vt_err err = {0};
    vt_packed *whole = NULL, *joined = NULL;
    must_pack(f);
    assert_int_equal(vt_packed_open(f->path, &whole, &err), VT_OK);
    model_file *second = model_file_split(f->gguf, f->dir);
    must_pack(f);
    if (vt_packed_open(f->path, &joined, &err) != VT_OK) fail_msg("%s", err.msg);
    assert_int_equal(open_model(f, &err), VT_OK);
    assert_int_equal(verify(f, &err), VT_OK);
    assert_int_equal(joined->header.n_tensors, whole->header.n_tensors);
    for (uint64_t i = 0; i < whole->header.n_tensors; i++) {
        assert_true(vt_slice_eq(joined->tensors[i].name, whole->tensors[i].name));
        assert_memory_equal(joined->tensors[i].sha256, whole->tensors[i].sha256, VT_SHA256_BYTES);
    }
    vt_packed_close(whole);
    vt_packed_close(joined);
    model_file_free(second);
}

static void test_damage_in_the_head_is_refused_and_damage_in_the_weights_found(void **state)
{
    fixture *f = *state;
    vt_err err = {0};
    vt_packed *p = NULL;
    must_pack(f);
    assert_int_equal(open_model(f, &err), VT_OK);
    assert_int_equal(verify(f, &err), VT_OK);
    assert_int_equal(vt_packed_open(f->path, &p, &err), VT_OK);
    uint64_t table_at = 192 + (p->header.n_metadata_bytes + 7) / 8 * 8;
    uint64_t names_at = table_at + p->header.n_tensors * 96;
    const uint64_t in_head[] = {17, 60, 90, 121, 192 + 40, table_at + 50, names_at + 3};
    const size_t n_tensors = (size_t)p->header.n_tensors;
    uint64_t in_tensor[128];
    assert_true(n_tensors <= VT_COUNT(in_tensor));
    for (size_t i = 0; i < n_tensors; i++)
        in_tensor[i] = p->tensors[i].offset + i * 37 % p->tensors[i].n_bytes;
    vt_packed_close(p);
    for (size_t i = 0; i < VT_COUNT(in_head); i++) {
        flip(f, in_head[i]);
        assert_int_equal(open_model(f, &err), VT_ECORRUPT);
        assert_true(strstr(err.msg, f->path) != NULL);
        flip(f, in_head[i]);
    }
    for (size_t i = 0; i < n_tensors; i++) {
        flip(f, in_tensor[i]);
        assert_int_equal(verify(f, &err), VT_ECORRUPT);
        flip(f, in_tensor[i]);
    }
    assert_int_equal(verify(f, &err), VT_OK);
}

static void test_a_file_that_was_cut_off_is_refused(void **state)
{
    fixture *f = *state;
    struct stat info;
    vt_err err = {0};
    must_pack(f);
    assert_int_equal(stat(f->path, &info), 0);
    const off_t lengths[] = {info.st_size - 1, info.st_size / 2, 1000, 192, 100, 8};
    for (size_t i = 0; i < VT_COUNT(lengths); i++) {
        assert_int_equal(truncate(f->path, lengths[i]), 0);
        assert_int_equal(open_model(f, &err), VT_ECORRUPT);
    }
    assert_int_equal(truncate(f->path, 0), 0);
    assert_int_equal(open_model(f, &err), VT_EINPUT);
}

/* Head and weights fit their checksums, and yet it is another model's shape. */
static void test_tensors_of_other_sizes_than_their_tiles_are_refused(void **state)
{
    fixture *f = *state;
    vt_err err = {0};
    vt_gguf *g = NULL;
    vt_weights *w = NULL;
    vt_matrix m;
    const float *v;
    must_pack(f);
    assert_int_equal(vt_gguf_open(f->path, &g, &err), VT_OK);
    assert_int_equal(vt_weights_new(g, &w, &err), VT_OK);
    vt_weights_matrix(w, "token_embd", 0, MODEL_VOCAB, MODEL_EMBD, &m);
    vt_weights_vector(w, "output_norm", 0, ".weight", MODEL_EMBD, &v);
    assert_int_equal(vt_weights_status(w, &err), VT_OK);
    vt_weights_matrix(w, "output", 0, MODEL_VOCAB + 1, MODEL_EMBD, &m);
    assert_int_equal(vt_weights_status(w, &err), VT_EINPUT);
    vt_weights_free(w);
    vt_gguf_close(g);
}

static void cancel_at_writing(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    (void)done;
    (void)total;
    if (strcmp(what, "waiting for the disk") != 0) atomic_store((atomic_bool *)ctx, true);
}

static void test_a_cancelled_writer_leaves_nothing_and_the_old_file_alone(void **state)
{
    fixture *f = *state;
    vt_err err = {0};
    atomic_bool is_cancelled = true;
    vt_progress progress = {cancel_at_writing, &is_cancelled, &is_cancelled};
    assert_int_equal(pack(f, &progress, &err), VT_ECANCEL);
    assert_int_equal(count_files(f->dir), 0);
    must_pack(f);
    assert_int_equal(pack(f, &progress, &err), VT_ECANCEL);
    assert_int_equal(count_files(f->dir), 1);
    assert_int_equal(verify(f, &err), VT_OK);
}

static void sleep_us(long us)
{
    struct timespec t = {0, us * 1000};
    nanosleep(&t, NULL);
}

static void test_a_writer_killed_at_any_moment_leaves_a_whole_file_or_none(void **state)
{
    fixture *f = *state;
    uint32_t random = 7;
    size_t n_there = 0;
    enum { ROUNDS = 24 };
    for (int i = 0; i < ROUNDS; i++) {
        vt_err err = {0};
        if (i % 2 == 0) unlink(f->path);
        random = random * 1664525u + 1013904223u;
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            for (int k = 0; k < 1000; k++)
                if (pack(f, NULL, NULL) != VT_OK) _exit(1);
            _exit(0);
        }
        sleep_us(2000 + (long)(random >> 8) % 60000);
        assert_int_equal(kill(child, SIGKILL), 0);
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        if (access(f->path, F_OK) != 0) continue;
        n_there++;
        if (verify(f, &err) != VT_OK || open_model(f, &err) != VT_OK) fail_msg("%s", err.msg);
    }
    assert_true(n_there > 0);
    must_pack(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_head_has_exactly_the_bytes_of_its_description),
        cmocka_unit_test(test_a_flipped_bit_anywhere_in_the_head_is_refused),
        cmocka_unit_test(test_a_head_that_is_cut_off_or_of_another_length_is_refused),
        cmocka_unit_test(test_impossible_values_are_refused_though_the_checksums_fit),
        cmocka_unit_test(test_parsing_fails_cleanly_at_every_allocation),
        cmocka_unit_test_setup_teardown(test_a_packed_file_has_the_keys_and_the_tiles_of_its_source,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_split_model_becomes_one_packed_file, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            test_damage_in_the_head_is_refused_and_damage_in_the_weights_found, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_file_that_was_cut_off_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tensors_of_other_sizes_than_their_tiles_are_refused,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_a_cancelled_writer_leaves_nothing_and_the_old_file_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_a_writer_killed_at_any_moment_leaves_a_whole_file_or_none, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
