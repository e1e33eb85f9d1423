/* pack_test.c -- `vetro pack` as a user has it: in the store, elsewhere, over other files, damaged,
 * interrupted and killed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../support/child.h"
#include "../support/model_file.h"
#include "base/file.h"
#include "base/json.h"

#define GGUF  VT_TEST_DATA "/cli/tiny-chat.gguf"
#define OTHER VT_TEST_DATA "/tiny/format-Q4_0.gguf"

typedef struct {
    char home[48];
    char packed[160];   /* where "tiny" has its packed form */
    char original[160]; /* and its file: a copy of ours, which tests may spoil */
    child_options options;
} fixture;

static bool contains(const vt_buffer *b, const char *text)
{
    return strstr(b->ptr, text) != NULL;
}

static void copy_file(const char *from, const char *to)
{
    vt_buffer b;
    vt_buffer_init(&b, 1 << 24);
    assert_int_equal(vt_file_read(from, 1 << 24, &b, NULL), VT_OK);
    FILE *file = fopen(to, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(b.ptr, 1, b.len, file), b.len);
    assert_int_equal(fclose(file), 0);
    vt_buffer_deinit(&b);
}

static int setup(void **state)
{
    char copy[96];
    fixture *f = calloc(1, sizeof *f);
    snprintf(f->home, sizeof f->home, "/tmp/vetro-pack-XXXXXX");
    if (mkdtemp(f->home) == NULL) return -1;
    snprintf(f->packed, sizeof f->packed, "%s/data/models/tiny/tiny.packed", f->home);
    snprintf(f->original, sizeof f->original, "%s/data/models/tiny/copy.gguf", f->home);
    f->options.home = f->home;
    snprintf(copy, sizeof copy, "%s/copy.gguf", f->home);
    copy_file(GGUF, copy);
    child_result r = child_vetro(&f->options, "pull", copy, "--name", "tiny");
    assert_int_equal(r.code, 0);
    child_free(&r);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    child_result r = child_run(NULL, (const char *const[]){"/bin/rm", "-rf", f->home, NULL});
    child_free(&r);
    free(f);
    return 0;
}

/* Eight greedy tokens; the answer and what was said on stderr. */
static child_result run(const fixture *f, const char *model)
{
    return child_vetro(&f->options, "run", model, "--raw", "hello", "-n", "8", "--temperature",
                       "0");
}

static void must_pack(const fixture *f)
{
    child_result r = child_vetro(&f->options, "pack", "tiny");
    if (r.code != 0) fail_msg("%s", r.err.ptr);
    child_free(&r);
}

static void flip(const char *path, long at)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    int c = fgetc(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    fputc(c ^ 1, file);
    assert_int_equal(fclose(file), 0);
}

/* Zeros over the last half, with the time of change as it was. */
static void spoil(const char *path)
{
    static const char zeros[4096];
    struct stat info;
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(fseek(file, (long)info.st_size / 2, SEEK_SET), 0);
    for (long at = info.st_size / 2; at + 4096 < info.st_size; at += 4096)
        assert_int_equal(fwrite(zeros, 1, sizeof zeros, file), sizeof zeros);
    assert_int_equal(fclose(file), 0);
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, info.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void test_a_packed_model_is_listed_used_and_removed(void **state)
{
    fixture *f = *state;
    child_result before = run(f, "tiny");
    assert_int_equal(before.code, 0);
    child_result r = child_vetro(&f->options, "pack", "tiny", "--json");
    assert_int_equal(r.code, 0);
    assert_true(contains(&r.out, "\"was_there\":false") && contains(&r.out, f->packed));
    child_free(&r);
    r = child_vetro(&f->options, "pack", "tiny");
    assert_int_equal(r.code, 0);
    assert_true(contains(&r.out, "is there already"));
    child_free(&r);
    r = child_vetro(&f->options, "list");
    assert_true(contains(&r.out, "4.0 MiB"));
    child_free(&r);
    r = child_vetro(&f->options, "show", "tiny");
    assert_true(contains(&r.out, f->packed));
    child_free(&r);
    /* Used: the original's weights may be spoiled behind the manifest's back, and the answer is the
     * same until the packed form goes. */
    spoil(f->original);
    r = run(f, "tiny");
    assert_int_equal(r.code, 0);
    assert_true(vt_slice_eq(vt_buffer_slice(&r.out), vt_buffer_slice(&before.out)));
    assert_false(contains(&r.err, "packed"));
    child_free(&r);
    r = child_vetro(&f->options, "pack", "tiny", "--remove");
    assert_int_equal(r.code, 0);
    child_free(&r);
    assert_int_equal(access(f->packed, F_OK), -1);
    r = run(f, "tiny");
    assert_false(vt_slice_eq(vt_buffer_slice(&r.out), vt_buffer_slice(&before.out)));
    child_free(&r);
    r = child_vetro(&f->options, "pack", "tiny", "--remove");
    assert_true(contains(&r.out, "has no packed form"));
    child_free(&r);
    must_pack(f);
    r = child_vetro(&f->options, "remove", "tiny");
    assert_int_equal(r.code, 0);
    assert_int_equal(access(f->packed, F_OK), -1);
    child_free(&r);
    child_free(&before);
}

static void test_a_damaged_packed_form_gives_way_to_the_original_with_a_note(void **state)
{
    fixture *f = *state;
    child_result want = run(f, "tiny");
    static const struct {
        long at;
        const char *says;
    } damage[] = {{20, "checksum"}, {8, "version"}, {0, "no packed model"}, {300, "checksum"}};
    must_pack(f);
    for (size_t i = 0; i < VT_COUNT(damage); i++) {
        flip(f->packed, damage[i].at);
        child_result r = run(f, "tiny");
        assert_int_equal(r.code, 0);
        assert_true(vt_slice_eq(vt_buffer_slice(&r.out), vt_buffer_slice(&want.out)));
        if (!contains(&r.err, damage[i].says) || !contains(&r.err, "vetro pack"))
            fail_msg("damage at %ld: %s", damage[i].at, r.err.ptr);
        child_free(&r);
        must_pack(f); /* as the note says */
        r = run(f, "tiny");
        assert_false(contains(&r.err, "packed"));
        child_free(&r);
    }
    child_free(&want);
}

static void test_a_model_whose_files_were_touched_is_looked_at_and_used(void **state)
{
    fixture *f = *state;
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1234567890}};
    must_pack(f);
    assert_int_equal(utimensat(AT_FDCWD, f->original, times, 0), 0);
    child_result r = run(f, "tiny"); /* the bytes are the same: so is what was packed */
    assert_int_equal(r.code, 0);
    assert_false(contains(&r.err, "packed"));
    child_free(&r);
    assert_int_equal(utimensat(AT_FDCWD, f->original, NULL, 0), 0);
    r = child_vetro(&f->options, "list");
    assert_int_equal(r.code, 0);
    assert_false(contains(&r.out, "damaged") || contains(&r.out, "stale"));
    child_free(&r);
}

/* Never used under its old digest, packed or not; named by its path, too. */
static void test_every_command_refuses_a_model_that_was_changed(void **state)
{
    fixture *f = *state;
    char text[96], ids[96], out[96];
    snprintf(text, sizeof text, "%s/text", f->home);
    snprintf(ids, sizeof ids, "%s/ids", f->home);
    snprintf(out, sizeof out, "%s/out", f->home);
    copy_file(GGUF, text);
    copy_file(GGUF, ids);
    for (int is_packed = 0; is_packed < 2; is_packed++) {
        if (is_packed) must_pack(f);
        struct stat info;
        assert_int_equal(stat(f->original, &info), 0);
        flip(f->original, (long)info.st_size / 2);
        const child_result all[] = {
            run(f, "tiny"),
            run(f, f->original),
            child_vetro(&f->options, "run", "tiny", "hi", "-n", "3", "--json"),
            child_vetro(&f->options, "chat", "tiny"),
            child_vetro(&f->options, "perplexity", "tiny", text),
            child_vetro(&f->options, "logits", "tiny", "--tokens", ids, "--out", out),
            child_vetro(&f->options, "ask", "-m", "tiny", "-d", f->home, "why?"),
            child_vetro(&f->options, "tokenize", "tiny", "hi"),
            child_vetro(&f->options, "bench", "tiny", "-p", "1", "-n", "0", "-r", "1"),
            child_vetro(&f->options, "show", "tiny"),
            child_vetro(&f->options, "pack", "tiny"),
        };
        for (size_t i = 0; i < VT_COUNT(all); i++) {
            child_result r = all[i];
            if (r.code != 4 || !contains(&r.err, "model tiny was changed since it was pulled"))
                fail_msg("%zu, packed %d: %d %s%s", i, is_packed, r.code, r.out.ptr, r.err.ptr);
            if (!contains(&r.err, "'vetro remove tiny'")) fail_msg("%zu: %s", i, r.err.ptr);
            assert_int_equal(r.out.len, 0);
            child_free(&r);
        }
        child_result r = child_vetro(&f->options, "list");
        assert_true(contains(&r.out, "damaged") && contains(&r.out, "was changed since"));
        child_free(&r);
        r = child_vetro(&f->options, "list", "--json");
        assert_true(contains(&r.out, "\"problem\"") && !contains(&r.out, "\"digest\""));
        child_free(&r);
        flip(f->original, (long)info.st_size / 2); /* as it was: all is well again */
        r = run(f, "tiny");
        assert_int_equal(r.code, 0);
        child_free(&r);
    }
}

static void test_verify_finds_a_flipped_bit_in_the_weights(void **state)
{
    fixture *f = *state;
    must_pack(f);
    child_result r = child_vetro(&f->options, "pack", "tiny", "--verify");
    assert_int_equal(r.code, 0);
    assert_true(contains(&r.out, "every byte"));
    child_free(&r);
    flip(f->packed, (2 << 20) + 1000);
    r = child_vetro(&f->options, "pack", "tiny", "--verify");
    assert_int_equal(r.code, 4);
    assert_true(contains(&r.err, "token_embd.weight"));
    child_free(&r);
    r = child_vetro(&f->options, "pack", "tiny", "--force");
    assert_int_equal(r.code, 0);
    child_free(&r);
    r = child_vetro(&f->options, "pack", f->packed, "--verify", "--json");
    assert_int_equal(r.code, 0);
    assert_true(contains(&r.out, "\"verified\":true"));
    child_free(&r);
}

/* Whoever computes with damaged weights must not find that again after they were put right. */
static void test_what_was_computed_with_a_damaged_packed_form_is_forgotten(void **state)
{
    fixture *f = *state;
    static const char *const repairs[] = {"--verify", "--force"};
    static const char words[] = "one two three ";
    char prompt[60 * (sizeof words - 1) + 1] = "";
    for (size_t at = 0; at + sizeof words <= sizeof prompt; at += sizeof words - 1)
        memcpy(prompt + at, words, sizeof words);
    for (size_t i = 0; i < VT_COUNT(repairs); i++) {
        must_pack(f);
        spoil(f->packed);
        child_result r = child_vetro(&f->options, "run", "tiny", "--raw", prompt, "-n", "1");
        assert_int_equal(r.code, 0);
        child_free(&r);
        r = child_vetro(&f->options, "kv", "list");
        assert_true(contains(&r.out, "tiny"));
        child_free(&r);
        r = child_vetro(&f->options, "pack", "tiny", repairs[i]);
        assert_int_equal(r.code, i == 0 ? 4 : 0);
        assert_true(contains(&r.err, "stored blocks of prompts were removed"));
        child_free(&r);
        r = child_vetro(&f->options, "kv", "list");
        assert_true(contains(&r.out, "no prefixes are stored"));
        child_free(&r);
        r = child_vetro(&f->options, "pack", "tiny", "--remove");
        child_free(&r);
    }
}

static void test_verify_and_remove_print_json_and_codes_for_every_end(void **state)
{
    fixture *f = *state;
    static const long damage[] = {0, 20, 300, (2 << 20) + 1000};
    for (size_t i = 0; i < VT_COUNT(damage); i++) {
        must_pack(f);
        flip(f->packed, damage[i]);
        child_result r = child_vetro(&f->options, "pack", "tiny", "--verify", "--json");
        if (r.code != 4) fail_msg("damage at %ld: %d %s", damage[i], r.code, r.err.ptr);
        assert_true(contains(&r.out, "\"verified\":false") && contains(&r.out, "\"reason\""));
        child_free(&r);
        r = child_vetro(&f->options, "pack", "tiny", "--force");
        assert_int_equal(r.code, 0);
        child_free(&r);
    }
    for (int i = 0; i < 2; i++) {
        child_result r = child_vetro(&f->options, "pack", "tiny", "--remove", "--json");
        assert_int_equal(r.code, 0);
        assert_true(contains(&r.out, i == 0 ? "\"removed\":true" : "\"removed\":false"));
        child_free(&r);
    }
    child_result r = child_vetro(&f->options, "pack", "tiny", "--verify", "--remove");
    assert_int_equal(r.code, 2);
    child_free(&r);
    r = child_vetro(&f->options, "pack", GGUF, "--verify"); /* a GGUF is no damaged packed file */
    assert_int_equal(r.code, 1);
    child_free(&r);
}

static void test_what_a_failed_verify_says_to_do_puts_it_right(void **state)
{
    fixture *f = *state;
    char path[96], says[160];
    child_result r = child_vetro(&f->options, "pack", "tiny", "--verify");
    assert_int_equal(r.code, 1);
    assert_true(contains(&r.err, "tiny has no packed form") &&
                contains(&r.err, "'vetro pack tiny'"));
    child_free(&r);
    must_pack(f); /* as it says */
    flip(f->packed, (2 << 20) + 1000);
    r = child_vetro(&f->options, "pack", "tiny", "--verify");
    assert_int_equal(r.code, 4);
    assert_true(contains(&r.err, "'vetro pack --force tiny'"));
    child_free(&r);
    /* elsewhere */
    snprintf(path, sizeof path, "%s/my.packed", f->home);
    snprintf(says, sizeof says, "'vetro pack --force MODEL -o %s'", path);
    r = child_vetro(&f->options, "pack", "tiny", "-o", path);
    assert_int_equal(r.code, 0);
    child_free(&r);
    FILE *file = fopen(path, "ab");
    assert_non_null(file);
    fputs("more", file);
    assert_int_equal(fclose(file), 0);
    r = child_vetro(&f->options, "pack", path, "--verify");
    assert_int_equal(r.code, 4);
    if (!contains(&r.err, "appended") || contains(&r.err, "cut off") || !contains(&r.err, says))
        fail_msg("%s", r.err.ptr);
    child_free(&r);
    r = child_vetro(&f->options, "pack", "--force", "tiny", "-o", path);
    assert_int_equal(r.code, 0);
    child_free(&r);
    r = child_vetro(&f->options, "pack", path, "--verify");
    assert_int_equal(r.code, 0);
    child_free(&r);
}

static void test_remove_takes_what_output_put_into_the_store(void **state)
{
    fixture *f = *state;
    child_result r = child_vetro(&f->options, "pack", "tiny", "-o", f->packed);
    assert_int_equal(r.code, 0);
    child_free(&r);
    r = child_vetro(&f->options, "pack", "tiny", "--remove");
    assert_int_equal(r.code, 0);
    assert_true(contains(&r.out, "is gone"));
    child_free(&r);
    assert_int_equal(access(f->packed, F_OK), -1);
}

/* None of the files of a split model is, --force or not. */
static void own_parts_are_not_written_over(const fixture *f)
{
    char dir[] = "/tmp/vetro-split-XXXXXX", first[64], second[64];
    struct stat before, after;
    model_file *m = model_file_new("llama");
    assert_non_null(mkdtemp(dir));
    model_file *rest = model_file_split(m, dir);
    snprintf(first, sizeof first, "%s", m->path);
    snprintf(second, sizeof second, "%s", rest->path);
    assert_int_equal(stat(second, &before), 0);
    child_result r = child_vetro(&f->options, "pack", first, "-o", second, "--force");
    assert_int_equal(r.code, 1);
    assert_true(contains(&r.err, "is a part of the model itself"));
    child_free(&r);
    assert_int_equal(stat(second, &after), 0);
    assert_true(before.st_ino == after.st_ino && before.st_size == after.st_size);
    model_file_free(m);
    model_file_free(rest);
    assert_int_equal(rmdir(dir), 0);
}

static void test_a_file_elsewhere_is_a_model_of_its_own_and_not_overwritten(void **state)
{
    fixture *f = *state;
    char path[96];
    snprintf(path, sizeof path, "%s/my.packed", f->home);
    child_result r = child_vetro(&f->options, "pack", OTHER);
    assert_int_equal(r.code, 2); /* where to? */
    child_free(&r);
    r = child_vetro(&f->options, "pack", GGUF, "-o", path);
    if (r.code != 0) fail_msg("%s", r.err.ptr);
    child_free(&r);
    child_result want = run(f, GGUF);
    r = run(f, path);
    assert_int_equal(r.code, 0);
    assert_true(vt_slice_eq(vt_buffer_slice(&r.out), vt_buffer_slice(&want.out)));
    child_free(&r);
    child_free(&want);
    /* the digest is the original's */
    child_result packed = child_vetro(&f->options, "show", path, "--json");
    child_result original = child_vetro(&f->options, "show", GGUF, "--json");
    json_t *a = NULL, *b = NULL;
    assert_int_equal(vt_json_parse(vt_slice_trim(vt_buffer_slice(&packed.out)), &a, NULL), VT_OK);
    assert_int_equal(vt_json_parse(vt_slice_trim(vt_buffer_slice(&original.out)), &b, NULL), VT_OK);
    assert_string_equal(json_string_value(json_object_get(a, "digest")),
                        json_string_value(json_object_get(b, "digest")));
    json_decref(a);
    json_decref(b);
    child_free(&packed);
    child_free(&original);
    r = child_vetro(&f->options, "pack", OTHER, "-o", path);
    assert_int_equal(r.code, 1);
    assert_true(contains(&r.err, "--force"));
    child_free(&r);
    r = child_vetro(&f->options, "pack", OTHER, "-o", path, "--force");
    assert_int_equal(r.code, 0);
    child_free(&r);
    r = child_vetro(&f->options, "pack", OTHER, "-o", f->home, "--force");
    assert_int_equal(r.code, 1);
    assert_true(contains(&r.err, "is a directory"));
    child_free(&r);
    /* nor is a link to another file replaced */
    char link[96];
    snprintf(link, sizeof link, "%s/link", f->home);
    assert_int_equal(symlink(path, link), 0);
    r = child_vetro(&f->options, "pack", OTHER, "-o", link, "--force");
    assert_int_equal(r.code, 1);
    assert_true(contains(&r.err, "is a symbolic link"));
    child_free(&r);
    /* a link leads to the model's own file, which --force must not replace either */
    char own[256];
    snprintf(own, sizeof own, "%s/own.gguf", f->home);
    assert_int_equal(symlink(OTHER, own), 0);
    r = child_vetro(&f->options, "pack", OTHER, "-o", own, "--force");
    assert_int_equal(r.code, 1);
    assert_true(contains(&r.err, "is the model itself"));
    child_free(&r);
    own_parts_are_not_written_over(f);
    r = child_vetro(&f->options, "pack", path, "-o", "/dev/null");
    assert_int_equal(r.code, 1);
    assert_true(contains(&r.err, "packed already"));
    child_free(&r);
    r = child_vetro(&f->options, "pull", path);
    assert_int_equal(r.code, 1);
    assert_true(contains(&r.err, "pull the GGUF"));
    child_free(&r);
}

/* Start `vetro pack tiny --force` and send it `signal_number` after `us` microseconds. */
static int signal_packing(const fixture *f, int signal_number, long us)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 1);
        dup2(null, 2);
        setenv("VETRO_HOME", f->home, 1);
        execl(VT_BINARY, VT_BINARY, "pack", "tiny", "--force", (char *)NULL);
        _exit(127);
    }
    nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
    kill(child, signal_number);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void test_killed_or_interrupted_packing_never_leaves_something_wrong(void **state)
{
    fixture *f = *state;
    child_result want = run(f, "tiny");
    uint32_t random = 5;
    for (int i = 0; i < 12; i++) {
        random = random * 1664525u + 1013904223u;
        if (i % 4 == 0) unlink(f->packed);
        int status =
            signal_packing(f, i % 2 ? SIGKILL : SIGINT, 1000 + (long)(random >> 8) % 50000);
        assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
        child_result r = run(f, "tiny");
        assert_int_equal(r.code, 0);
        assert_true(vt_slice_eq(vt_buffer_slice(&r.out), vt_buffer_slice(&want.out)));
        child_free(&r);
        if (access(f->packed, F_OK) != 0) continue;
        r = child_vetro(&f->options, "pack", f->packed, "--verify");
        assert_int_equal(r.code, 0);
        child_free(&r);
    }
    child_free(&want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_packed_model_is_listed_used_and_removed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            test_a_damaged_packed_form_gives_way_to_the_original_with_a_note, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_model_whose_files_were_touched_is_looked_at_and_used,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_command_refuses_a_model_that_was_changed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_verify_finds_a_flipped_bit_in_the_weights, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_what_a_failed_verify_says_to_do_puts_it_right, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_remove_takes_what_output_put_into_the_store, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            test_what_was_computed_with_a_damaged_packed_form_is_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(test_verify_and_remove_print_json_and_codes_for_every_end,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_a_file_elsewhere_is_a_model_of_its_own_and_not_overwritten, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_killed_or_interrupted_packing_never_leaves_something_wrong, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
