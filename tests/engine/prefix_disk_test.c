/* prefix_disk_test.c -- the prefix store's directory under everything that can happen to it: bytes
 * changed, files cut, exchanged, forged, removed, budgets, disks that take no more. What is
 * restored is always right, and the report says why it was not more. For TSan, the writer is a
 * thread (pthread_create). */
#include "support/prefixes.h"

#include <signal.h>
#include <sys/resource.h>

#include "kernels/kernels.h"

enum { N = 300 }; /* four blocks and a tail of 44 */

static int32_t prompt[PREFIX_MAX];

/* A directory in which the prompt of this seed is stored, for the tiny llama. */
static void store_prompt(const char *dir, uint64_t seed, const char *digest, vt_kv_type type)
{
    int32_t tokens[PREFIX_MAX];
    prefix_tokens(tokens, PREFIX_MAX, seed);
    prefix_model *m = prefix_open("llama", &(vt_prefix_options){.dir = dir, .digest = digest});
    vt_session *s = prefix_session(m, 0, type);
    prefix_sync(s, tokens, N);
    vt_session_free(s);
    prefix_close(m);
}

static void make_stored(char dir[64])
{
    prefix_make_dir(dir);
    prefix_tokens(prompt, PREFIX_MAX, 11);
    store_prompt(dir, 11, NULL, VT_KV_F16);
}

/* A new start on the prompt: how much is reused, and why not more; the bits are always right. */
static prefix_model *start(const char *dir, const char *digest, size_t want_reused,
                           vt_prefix_miss want_miss)
{
    prefix_model *m =
        prefix_open("llama", &(vt_prefix_options){.dir = dir, .digest = digest, .explains = true});
    vt_session *s = prefix_session(m, 0, VT_KV_F16);
    const size_t reused = prefix_sync(s, prompt, N);
    if (reused != want_reused || m->report.miss != want_miss)
        fail_msg("%zu tokens reused, not %zu; %s", reused, want_reused,
                 vt_prefix_miss_text(m->report.miss));
    assert_int_equal(m->report.n_disk, reused);
    prefix_expect_cold(m, s, VT_KV_F16);
    vt_session_free(s);
    return m;
}

/* The file that holds `position` of the prompt, as a path. */
static vt_prefix_file path_of(const char *dir, uint32_t position, char path[256])
{
    vt_prefix_listing l = prefix_list(dir);
    vt_prefix_file found = {0};
    for (size_t i = 0; i < l.n; i++)
        if (l.files[i].block.position == position &&
            memcmp(l.files[i].block.tokens, prompt + position, 16 * sizeof *prompt) == 0)
            found = l.files[i];
    assert_true(found.name[0] != '\0');
    snprintf(path, 256, "%s/%s", dir, found.name);
    vt_prefix_listing_deinit(&l);
    return found;
}

static uint8_t *read_file(const char *path, size_t n)
{
    uint8_t *bytes = vt_alloc(n);
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0 && bytes != NULL);
    assert_int_equal(read(fd, bytes, n), n);
    close(fd);
    return bytes;
}

static void write_file(const char *path, const uint8_t *bytes, size_t n)
{
    int fd = open(path, O_WRONLY | O_TRUNC | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, n), n);
    close(fd);
}

/* ---- damage ---- */

static void test_a_changed_byte_anywhere_ends_what_is_restored_there_and_is_healed(void **state)
{
    (void)state;
    char dir[64], path[256];
    make_stored(dir);
    const vt_prefix_file file = path_of(dir, 128, path);
    const size_t n = (size_t)file.n_bytes;
    uint8_t *bytes = read_file(path, n);
    /* every field of the header, keys, values, checksum */
    const size_t at[] = {0,   8,   12,  16,  20,  24,  28,    32,     40,     72,
                         104, 136, 391, 392, 511, 512, n / 2, n - 33, n - 32, n - 1};
    for (size_t i = 0; i < VT_COUNT(at); i++) {
        bytes[at[i]] ^= 4;
        write_file(path, bytes, n);
        bytes[at[i]] ^= 4;
        assert_int_equal(prefix_n_damaged(dir), 1);
        prefix_close(start(dir, NULL, 128, VT_MISS_DAMAGED));
        assert_int_equal(prefix_n_damaged(dir), 0); /* computed, and written again */
        prefix_close(start(dir, NULL, N - 1, VT_MISS_NONE));
    }
    vt_free(bytes);
    prefix_remove_dir(dir);
}

static void test_a_file_of_another_length_is_not_used(void **state)
{
    (void)state;
    char dir[64], path[256];
    make_stored(dir);
    const vt_prefix_file file = path_of(dir, 64, path);
    const size_t n = (size_t)file.n_bytes;
    uint8_t *bytes = read_file(path, n);
    const size_t lengths[] = {0, 1, 511, 512, 543, 544, n / 2, n - 1};
    for (size_t i = 0; i < VT_COUNT(lengths); i++) {
        write_file(path, bytes, lengths[i]);
        prefix_close(start(dir, NULL, 64, VT_MISS_DAMAGED));
    }
    write_file(path, bytes, n);
    int fd = open(path, O_WRONLY | O_APPEND);
    assert_int_equal(write(fd, "x", 1), 1);
    close(fd);
    prefix_close(start(dir, NULL, 64, VT_MISS_DAMAGED));
    vt_free(bytes);
    prefix_remove_dir(dir);
}

static void test_files_that_changed_places_are_not_used(void **state)
{
    (void)state;
    char dir[64], a[256], b[256], temp[256];
    make_stored(dir);
    (void)path_of(dir, 64, a);
    (void)path_of(dir, 128, b);
    snprintf(temp, sizeof temp, "%s/x", dir);
    assert_true(rename(a, temp) == 0 && rename(b, a) == 0 && rename(temp, b) == 0);
    assert_int_equal(prefix_n_damaged(dir), 2);
    prefix_close(start(dir, NULL, 64, VT_MISS_DAMAGED));
    prefix_close(start(dir, NULL, N - 1, VT_MISS_NONE));
    prefix_remove_dir(dir);
}

/* Whole, with a checksum that holds, under the right name: made by hand. */
static void test_a_forged_block_of_another_kind_is_not_used(void **state)
{
    (void)state;
    char dir[64], path[256];
    make_stored(dir);
    const vt_prefix_file file = path_of(dir, 64, path);
    uint8_t *good = read_file(path, (size_t)file.n_bytes);
    for (int i = 0; i < 5; i++) {
        uint8_t *bytes = vt_alloc((size_t)file.n_bytes);
        memcpy(bytes, good, (size_t)file.n_bytes);
        vt_block b = file.block;
        if (i == 0) b.kv_code++;
        if (i == 1) b.numerics++;
        if (i == 2) b.model.bytes[31] ^= 1;
        if (i == 3) b.position += 64;
        if (i == 4) b.payload_bytes /= 2; /* not the tiles of this model */
        vt_err err = {0};
        prefix_ok(vt_block_seal(&b, bytes, &err), &err);
        write_file(path, bytes, vt_block_bytes(&b));
        assert_int_equal(prefix_n_damaged(dir), 0);
        prefix_close(start(dir, NULL, 64, VT_MISS_DAMAGED));
        prefix_close(start(dir, NULL, N - 1, VT_MISS_NONE));
        vt_free(bytes);
    }
    vt_free(good);
    prefix_remove_dir(dir);
}

static void test_what_is_no_plain_file_is_not_used(void **state)
{
    (void)state;
    char dir[64], path[256];
    make_stored(dir);
    (void)path_of(dir, 64, path);
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    prefix_close(start(dir, NULL, 64, VT_MISS_DAMAGED)); /* and nobody waits for a writer */
    unlink(path);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    prefix_close(start(dir, NULL, 64, VT_MISS_EVICTED));
    prefix_remove_dir(dir);
}

/* ---- what else is stored ---- */

static void test_blocks_of_another_model_or_kv_type_are_not_taken_and_the_report_says_so(
    void **state)
{
    (void)state;
    char dir[64];
    make_stored(dir);
    prefix_close(start(dir, PREFIX_OTHER_DIGEST, 0, VT_MISS_OTHER_MODEL));
    prefix_remove_dir(dir);
    prefix_make_dir(dir);
    store_prompt(dir, 11, NULL, VT_KV_F32);
    prefix_close(start(dir, NULL, 0, VT_MISS_OTHER_KV_TYPE));
    prefix_remove_dir(dir);
}

/* As a vetro of the next numerics version would leave it. */
static void make_other_numerics(const char *dir)
{
    char path[256];
    const vt_prefix_file file = path_of(dir, 0, path);
    uint8_t *bytes = read_file(path, (size_t)file.n_bytes);
    vt_block b = file.block;
    vt_err err = {0};
    char name[VT_PREFIX_NAME];
    b.numerics++;
    prefix_ok(vt_block_root(&b.model, b.numerics, b.kv_code, &b.previous, &err), &err);
    prefix_ok(vt_block_key(&b.previous, b.tokens, b.n_tokens, &b.key, &err), &err);
    prefix_ok(vt_block_seal(&b, bytes, &err), &err);
    vt_prefix_file_name(&b, name);
    snprintf(path, sizeof path, "%s/%s", dir, name);
    write_file(path, bytes, vt_block_bytes(&b));
    vt_free(bytes);
}

static void test_blocks_of_another_numerics_version_are_not_taken_and_go_first(void **state)
{
    (void)state;
    char dir[64];
    make_stored(dir);
    make_other_numerics(dir);
    vt_prefix_listing l = prefix_list(dir);
    assert_int_equal(l.n, 6);
    prefix_close(start(dir, NULL, N - 1, VT_MISS_NONE));
    vt_prefix_files *f = prefix_files(dir);
    vt_prefix_gc_result r;
    vt_err err = {0};
    prefix_ok(vt_prefix_files_gc(f, &(vt_prefix_gc){.max_bytes = l.n_bytes - 1}, &r, &err), &err);
    assert_int_equal(r.n_removed, 1);
    prefix_close(start(dir, NULL, N - 1, VT_MISS_NONE));
    /* alone there, it is the reason */
    make_other_numerics(dir);
    for (size_t i = 0; i < l.n; i++) {
        char path[256];
        if (l.files[i].block.numerics != VT_NUMERICS_VERSION) continue;
        snprintf(path, sizeof path, "%s/%s", dir, l.files[i].name);
        unlink(path);
    }
    prefix_close(start(dir, NULL, 0, VT_MISS_OTHER_NUMERICS));
    vt_prefix_listing_deinit(&l);
    vt_prefix_files_close(f);
    prefix_remove_dir(dir);
}

static void test_the_report_shows_where_prompts_part(void **state)
{
    (void)state;
    char dir[64];
    make_stored(dir);
    const int32_t was = prompt[197];
    prompt[197] = (was + 1) % 256;
    prefix_model *m = start(dir, NULL, 192, VT_MISS_PARTS); /* five tokens more are too few */
    assert_int_equal(m->report.position, 197);
    assert_int_equal(m->report.n_stored, VT_PREFIX_SHOWN);
    assert_int_equal(m->report.stored[0], was);
    assert_int_equal(m->report.stored[1], prompt[198]);
    assert_int_equal(m->report.n_tokens, N);
    vt_buffer text;
    vt_buffer_init(&text, 0);
    vt_prefix_explain(&m->report, NULL, &text);
    assert_non_null(strstr(text.ptr, "cache: 192 of 300 prompt tokens reused (session 0, memory 0, "
                                     "disk 192)"));
    assert_non_null(strstr(text.ptr, "at token 197: the stored prefix goes on differently"));
    vt_buffer_deinit(&text);
    prefix_close(m);
    prompt[197] = was;
    prompt[0] ^= 1;
    prefix_close(start(dir, NULL, 0, VT_MISS_NOTHING));
    prompt[0] ^= 1;
    prefix_remove_dir(dir);
}

static void test_a_longer_prompt_goes_on_from_the_tail(void **state)
{
    (void)state;
    char dir[64];
    make_stored(dir);
    prefix_model *m = prefix_open("llama", &(vt_prefix_options){.dir = dir, .explains = true});
    vt_session *s = prefix_session(m, 0, VT_KV_F16);
    assert_int_equal(prefix_sync(s, prompt, 400), N);
    assert_int_equal(m->report.miss, VT_MISS_ENDS);
    assert_int_equal(m->report.position, N);
    prefix_expect_cold(m, s, VT_KV_F16);
    vt_session_free(s);
    prefix_close(m);
    /* the whole block that has taken the tail's place makes it superfluous */
    vt_prefix_files *f = prefix_files(dir);
    vt_prefix_gc_result r;
    vt_err err = {0};
    prefix_ok(vt_prefix_files_gc(f, &(vt_prefix_gc){.max_bytes = 1 << 30}, &r, &err), &err);
    assert_int_equal(r.n_removed, 1);
    assert_int_equal(r.n_left, 7); /* 6 blocks and a tail of 16 */
    vt_prefix_files_close(f);
    prefix_remove_dir(dir);
}

/* A tree of four blocks is full when a block that begins like the prompt comes from disk, damaged:
 * what RAM has of the same place, until then the first to go, must still be there afterwards. */
static void test_a_damaged_block_does_not_take_the_place_of_what_is_used_instead(void **state)
{
    (void)state;
    char dir[64], path[256];
    int32_t near[PREFIX_MAX], other[PREFIX_MAX], wanted[PREFIX_MAX];
    make_stored(dir);
    const vt_prefix_file file = path_of(dir, 64, path);
    uint8_t *bytes = read_file(path, (size_t)file.n_bytes);
    bytes[600] ^= 4;
    write_file(path, bytes, (size_t)file.n_bytes);
    prefix_tokens(near, PREFIX_MAX, 21);
    memcpy(near, prompt, 74 * sizeof *near);
    near[74] = (prompt[74] + 1) % 256;
    prefix_tokens(other, PREFIX_MAX, 22);
    prefix_tokens(wanted, PREFIX_MAX, 23);
    memcpy(wanted, prompt, 104 * sizeof *wanted);
    prefix_model *m =
        prefix_open("llama", &(vt_prefix_options){.dir = dir, .ram_bytes = 1, .explains = true});
    vt_session *s = prefix_session(m, 0, VT_KV_F16);
    prefix_sync(s, near, 104);
    vt_session_free(s);
    s = prefix_session(m, 0, VT_KV_F16);
    prefix_sync(s, other, 104);
    vt_session_free(s);
    assert_true(vt_engine_flush_prefixes(m->engine, 20000)); /* what is being written stays */
    s = prefix_session(m, 0, VT_KV_F16);
    assert_int_equal(prefix_sync(s, wanted, 140), 74);
    assert_int_equal(m->report.miss, VT_MISS_DAMAGED);
    prefix_expect_cold(m, s, VT_KV_F16);
    vt_session_free(s);
    prefix_close(m);
    vt_free(bytes);
    prefix_remove_dir(dir);
}

static void test_what_another_process_removed_is_written_again(void **state)
{
    (void)state;
    char dir[64];
    vt_prefix_gc_result r;
    vt_err err = {0};
    prefix_make_dir(dir);
    prefix_tokens(prompt, PREFIX_MAX, 11);
    prefix_model *m = prefix_open("llama", &(vt_prefix_options){.dir = dir});
    vt_session *s = prefix_session(m, 0, VT_KV_F16);
    prefix_sync(s, prompt, 200);
    assert_true(vt_engine_flush_prefixes(m->engine, 20000));
    vt_prefix_files *f = prefix_files(dir);
    prefix_ok(vt_prefix_files_gc(f, &(vt_prefix_gc){.all = true}, &r, &err), &err);
    assert_int_equal(r.n_removed, 4);
    vt_prefix_files_close(f);
    prefix_sync(s, prompt, N);
    vt_session_free(s);
    prefix_close(m);
    prefix_close(start(dir, NULL, N - 1, VT_MISS_NONE));
    prefix_remove_dir(dir);
}

/* ---- budgets ---- */

static void collect(const char *dir, uint64_t max_bytes, vt_prefix_gc_result *r)
{
    vt_prefix_files *f = prefix_files(dir);
    vt_err err = {0};
    prefix_ok(vt_prefix_files_gc(f, &(vt_prefix_gc){.max_bytes = max_bytes}, r, &err), &err);
    vt_prefix_files_close(f);
}

static void test_what_was_not_used_for_longest_goes_ends_of_prefixes_first(void **state)
{
    (void)state;
    char dir[64];
    make_stored(dir);
    vt_prefix_listing l = prefix_list(dir);
    const uint64_t one = l.n_bytes;
    vt_prefix_listing_deinit(&l);
    store_prompt(dir, 12, NULL, VT_KV_F16);
    store_prompt(dir, 13, NULL, VT_KV_F16);
    prefix_close(start(dir, NULL, N - 1, VT_MISS_NONE)); /* seed 11 is now the one used last */
    vt_prefix_gc_result r;
    collect(dir, one * 2, &r);
    assert_int_equal(r.bytes_left, one * 2);
    prefix_close(start(dir, NULL, N - 1, VT_MISS_NONE));
    prefix_tokens(prompt, PREFIX_MAX, 12);
    prefix_close(start(dir, NULL, 0, VT_MISS_NOTHING)); /* and is stored again */
    prefix_tokens(prompt, PREFIX_MAX, 13);
    collect(dir, one * 2 + 1, &r); /* that of 13 goes, but for what fits */
    l = prefix_list(dir);
    for (size_t i = 0; i < l.n; i++) assert_false(l.files[i].is_lost);
    vt_prefix_listing_deinit(&l);
    prefix_close(start(dir, NULL, 0, VT_MISS_NOTHING));
    prefix_remove_dir(dir);
}

static void test_a_missing_block_is_told_from_the_end_and_what_is_behind_it_is_collected(
    void **state)
{
    (void)state;
    char dir[64], path[256];
    make_stored(dir);
    (void)path_of(dir, 64, path);
    unlink(path);
    vt_prefix_gc_result r;
    vt_prefix_listing l = prefix_list(dir);
    assert_int_equal(l.n, 4);
    for (size_t i = 0; i < l.n; i++)
        assert_int_equal(l.files[i].is_lost, l.files[i].block.position > 0);
    vt_prefix_listing_deinit(&l);
    prefix_close(start(dir, NULL, 64, VT_MISS_EVICTED)); /* and filled in */
    l = prefix_list(dir);
    assert_int_equal(l.n, 5);
    for (size_t i = 0; i < l.n; i++) assert_false(l.files[i].is_lost);
    vt_prefix_listing_deinit(&l);
    unlink(path);
    collect(dir, 1 << 30, &r);
    assert_int_equal(r.n_removed, 3);
    assert_int_equal(r.n_left, 1);
    prefix_remove_dir(dir);
}

static void test_what_is_behind_a_damaged_header_goes_in_the_same_run(void **state)
{
    (void)state;
    char dir[64], path[256];
    const uint8_t bytes[100] = {0};
    make_stored(dir);
    (void)path_of(dir, 64, path);
    write_file(path, bytes, sizeof bytes);
    vt_prefix_listing l = prefix_list(dir);
    assert_int_equal(l.n, 5);
    for (size_t i = 0; i < l.n; i++)
        assert_int_equal(l.files[i].is_lost, l.files[i].block.position > 64);
    vt_prefix_listing_deinit(&l);
    vt_prefix_gc_result r;
    collect(dir, 1 << 30, &r);
    assert_int_equal(r.n_removed, 4);
    assert_int_equal(r.n_damaged, 1);
    assert_int_equal(r.n_left, 1);
    collect(dir, 1 << 30, &r);
    assert_int_equal(r.n_removed, 0);
    prefix_close(start(dir, NULL, 64, VT_MISS_ENDS));
    prefix_remove_dir(dir);
}

static void test_the_writer_keeps_to_its_budget(void **state)
{
    (void)state;
    char dir[64];
    make_stored(dir);
    vt_prefix_listing l = prefix_list(dir);
    const uint64_t budget = l.n_bytes * 5 / 2;
    vt_prefix_listing_deinit(&l);
    prefix_model *m = prefix_open("llama", &(vt_prefix_options){.dir = dir, .disk_bytes = budget});
    vt_session *s = prefix_session(m, 0, VT_KV_F16);
    for (uint64_t seed = 20; seed < 32; seed++) {
        prefix_tokens(prompt, PREFIX_MAX, seed);
        prefix_sync(s, prompt, N);
        assert_true(vt_engine_flush_prefixes(m->engine, 20000));
        uint64_t bytes = 0;
        vt_err err = {0};
        vt_prefix_files *f = prefix_files(dir);
        prefix_ok(vt_prefix_files_bytes(f, &bytes, &err), &err);
        vt_prefix_files_close(f);
        assert_true(bytes > 0 && bytes <= budget);
    }
    vt_session_free(s);
    prefix_close(m);
    prefix_close(start(dir, NULL, N - 1, VT_MISS_NONE)); /* the last one is there */
    assert_int_equal(prefix_n_damaged(dir), 0);
    prefix_remove_dir(dir);
}

/* The first n tokens of the prompt, kept within `budget`; NULL: nothing prevents it. */
static void sync_within(const char *dir, uint64_t budget, size_t n, const char *want_problem)
{
    char problem[192];
    prefix_model *m = prefix_open("llama", &(vt_prefix_options){.dir = dir, .disk_bytes = budget});
    vt_session *s = prefix_session(m, 0, VT_KV_F16);
    prefix_sync(s, prompt, n);
    assert_int_equal(vt_engine_flush_prefixes(m->engine, 20000), want_problem == NULL);
    assert_int_equal(vt_engine_prefix_problem(m->engine, problem, sizeof problem),
                     want_problem != NULL);
    if (want_problem != NULL) assert_string_equal(problem, want_problem);
    vt_session_free(s);
    s = prefix_session(m, 0, VT_KV_F16);
    prefix_sync(s, prompt, n); /* reported by the next sync */
    assert_int_equal(m->report.problem != NULL, want_problem != NULL);
    vt_session_free(s);
    prefix_close(m);
}

static void test_a_prompt_larger_than_the_budget_keeps_its_beginning(void **state)
{
    (void)state;
    char dir[64], path[256], problem[160];
    make_stored(dir);
    const uint64_t one = path_of(dir, 0, path).n_bytes;
    store_prompt(dir, 12, NULL, VT_KV_F16);
    prefix_tokens(prompt, PREFIX_MAX, 13);
    /* the others go, and three blocks of this one are left */
    const uint64_t budget = 3 * one + one / 2;
    snprintf(problem, sizeof problem, "the budget of %.1f MB holds only the first 192 tokens",
             (double)budget / 1e6);
    sync_within(dir, budget, 400, problem);
    vt_prefix_listing l = prefix_list(dir);
    assert_int_equal(l.n, 3);
    for (size_t i = 0; i < l.n; i++) {
        assert_false(l.files[i].is_lost);
        assert_int_equal(l.files[i].block.position, 64 * i);
    }
    vt_prefix_listing_deinit(&l);
    /* and stay, written anew in another process or not */
    sync_within(dir, budget, 400, problem);
    sync_within(dir, budget, 150, NULL);
    assert_int_equal(prefix_n_damaged(dir), 0);
    prefix_close(start(dir, NULL, 192, VT_MISS_ENDS));
    prefix_remove_dir(dir);
}

static void test_a_path_without_room_does_not_end_the_writing_of_others(void **state)
{
    (void)state;
    char dir[64], path[256];
    make_stored(dir);
    const uint64_t one = path_of(dir, 0, path).n_bytes;
    prefix_model *m =
        prefix_open("llama", &(vt_prefix_options){.dir = dir, .disk_bytes = 3 * one + one / 2});
    vt_session *s = prefix_session(m, 0, VT_KV_F16);
    prefix_tokens(prompt, PREFIX_MAX, 21);
    prefix_sync(s, prompt, 400);
    assert_false(vt_engine_flush_prefixes(m->engine, 20000));
    prefix_tokens(prompt, PREFIX_MAX, 22);
    prefix_sync(s, prompt, 192);
    assert_true(vt_engine_flush_prefixes(m->engine, 20000));
    vt_session_free(s);
    prefix_close(m);
    prefix_close(start(dir, NULL, 192, VT_MISS_ENDS));
    prefix_remove_dir(dir);
}

static void test_a_budget_without_room_for_one_block_is_told(void **state)
{
    (void)state;
    char dir[64];
    prefix_make_dir(dir);
    prefix_tokens(prompt, PREFIX_MAX, 13);
    sync_within(dir, 1000, 400, "the budget of 0.0 MB holds no block, of 0.0 MB each");
    vt_prefix_listing l = prefix_list(dir);
    assert_int_equal(l.n, 0);
    vt_prefix_listing_deinit(&l);
    prefix_remove_dir(dir);
}

static void test_a_budget_is_no_more_than_a_tenth_of_what_is_free(void **state)
{
    (void)state;
    char dir[64];
    prefix_make_dir(dir);
    vt_prefix_files *f = prefix_files(dir);
    assert_int_equal(vt_prefix_files_budget(f, 1000, 0), 1000);
    const uint64_t most = vt_prefix_files_budget(f, UINT64_MAX, 0);
    assert_true(most < UINT64_MAX);
    assert_true(vt_prefix_files_budget(f, UINT64_MAX, UINT64_C(10) << 30) > most);
    vt_prefix_files_close(f);
    prefix_remove_dir(dir);
}

static void test_a_small_tree_gives_up_the_ends_that_were_not_used_for_longest(void **state)
{
    (void)state;
    int32_t a[PREFIX_MAX], b[PREFIX_MAX];
    prefix_tokens(a, PREFIX_MAX, 1);
    prefix_tokens(b, PREFIX_MAX, 2);
    /* as few blocks as there are: four */
    prefix_model *m = prefix_open("llama", &(vt_prefix_options){.ram_bytes = 1});
    vt_session *s = prefix_session(m, 0, VT_KV_F16), *t = prefix_session(m, 0, VT_KV_F16);
    prefix_sync(s, a, 257);
    assert_int_equal(prefix_sync(t, a, 257), 256);
    prefix_sync(s, b, 129); /* takes the place of a's last two */
    vt_session_free(t);
    t = prefix_session(m, 0, VT_KV_F16);
    assert_int_equal(prefix_sync(t, a, 257), 128);
    prefix_expect_cold(m, t, VT_KV_F16);
    vt_session_free(s);
    vt_session_free(t);
    prefix_close(m);
}

/* ---- failure ---- */

static void test_a_disk_that_takes_no_more_makes_no_sync_fail(void **state)
{
    (void)state;
    char dir[64];
    struct rlimit old, small;
    make_stored(dir);
    prefix_tokens(prompt, PREFIX_MAX, 50);
    getrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_IGN);
    small = (struct rlimit){1000, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small); /* a write past 1,000 bytes fails, as on a full disk */
    prefix_model *m = start(dir, NULL, 0, VT_MISS_NOTHING);
    assert_false(vt_engine_flush_prefixes(m->engine, 10000));
    vt_session *s = prefix_session(m, 0, VT_KV_F16);
    assert_int_equal(prefix_sync(s, prompt, N), N - 1);
    assert_int_equal(m->report.n_ram, N - 1);
    assert_non_null(m->report.problem);
    vt_session_free(s);
    prefix_close(m);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(prefix_n_damaged(dir), 0);
    vt_prefix_listing l = prefix_list(dir);
    assert_int_equal(l.n_temporary, 0);
    vt_prefix_listing_deinit(&l);
    prefix_remove_dir(dir);
}

static void test_memory_that_runs_out_makes_no_sync_wrong(void **state)
{
    (void)state;
    char dir[64];
    make_stored(dir);
    unsigned n_failed = 0;
    for (uint64_t nth = 1; nth < 200; nth++) {
        vt_err err = {0};
        prefix_model *m = prefix_open("llama", &(vt_prefix_options){.dir = dir, .explains = true});
        vt_session *s = prefix_session(m, 0, VT_KV_F16);
        (void)vt_alloc_fail_nth(nth);
        const vt_status st = vt_session_sync(s, prompt, N, NULL, NULL, &err);
        const uint64_t n_made = vt_alloc_fail_nth(0);
        prefix_ok(st, &err); /* a store never makes a sync fail */
        prefix_expect_cold(m, s, VT_KV_F16);
        vt_session_free(s);
        prefix_close(m);
        n_failed++;
        if (n_made < nth) break;
    }
    print_message("%u allocations failed in turn\n", n_failed - 1);
    assert_true(n_failed > 5);
    assert_int_equal(prefix_n_damaged(dir), 0);
    prefix_remove_dir(dir);
}

static void test_wrong_options_are_errors(void **state)
{
    (void)state;
    vt_err err = {0};
    vt_engine *e = prefix_engine("llama");
    assert_int_equal(
        vt_engine_keep_prefixes(e, &(vt_prefix_options){.dir = "/tmp", .digest = "abc"}, &err),
        VT_EINPUT);
    assert_int_equal(
        vt_engine_keep_prefixes(
            e, &(vt_prefix_options){.dir = "/proc/no/such", .digest = PREFIX_DIGEST}, &err),
        VT_EIO);
    /* nothing was changed: it may be asked again */
    prefix_ok(vt_engine_keep_prefixes(e, &(vt_prefix_options){0}, &err), &err);
    assert_true(vt_engine_flush_prefixes(e, 0));
    vt_engine_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_changed_byte_anywhere_ends_what_is_restored_there_and_is_healed),
        cmocka_unit_test(test_a_file_of_another_length_is_not_used),
        cmocka_unit_test(test_files_that_changed_places_are_not_used),
        cmocka_unit_test(test_a_forged_block_of_another_kind_is_not_used),
        cmocka_unit_test(test_what_is_no_plain_file_is_not_used),
        cmocka_unit_test(
            test_blocks_of_another_model_or_kv_type_are_not_taken_and_the_report_says_so),
        cmocka_unit_test(test_blocks_of_another_numerics_version_are_not_taken_and_go_first),
        cmocka_unit_test(test_the_report_shows_where_prompts_part),
        cmocka_unit_test(test_a_longer_prompt_goes_on_from_the_tail),
        cmocka_unit_test(test_a_damaged_block_does_not_take_the_place_of_what_is_used_instead),
        cmocka_unit_test(test_what_another_process_removed_is_written_again),
        cmocka_unit_test(test_what_was_not_used_for_longest_goes_ends_of_prefixes_first),
        cmocka_unit_test(
            test_a_missing_block_is_told_from_the_end_and_what_is_behind_it_is_collected),
        cmocka_unit_test(test_what_is_behind_a_damaged_header_goes_in_the_same_run),
        cmocka_unit_test(test_the_writer_keeps_to_its_budget),
        cmocka_unit_test(test_a_prompt_larger_than_the_budget_keeps_its_beginning),
        cmocka_unit_test(test_a_path_without_room_does_not_end_the_writing_of_others),
        cmocka_unit_test(test_a_budget_without_room_for_one_block_is_told),
        cmocka_unit_test(test_a_budget_is_no_more_than_a_tenth_of_what_is_free),
        cmocka_unit_test(test_a_small_tree_gives_up_the_ends_that_were_not_used_for_longest),
        cmocka_unit_test(test_a_disk_that_takes_no_more_makes_no_sync_fail),
        cmocka_unit_test(test_memory_that_runs_out_makes_no_sync_wrong),
        cmocka_unit_test(test_wrong_options_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
