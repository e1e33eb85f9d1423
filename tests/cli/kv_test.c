/* kv_test.c -- prompts that are kept on disk as a user has them: `run`, `chat` and --explain-cache,
 * `kv list`, `kv verify`, `kv gc`, on a tiny random model whose tokens are bytes. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "../support/child_json.h"

#define MODEL VT_TEST_DATA "/cli/tiny-chat.gguf"

/* Some 400 tokens. */
#define LONG_SYSTEM                                                                             \
    "The quick brown fox jumps over the lazy dog, and then it does so again and again, until "  \
    "nobody looks any more. The dog sleeps. The fox begins to wonder whether jumping was the "  \
    "point of it all, or whether a dog that sleeps is better company than one that barks, and " \
    "what the crow in the tree would say to that, if crows said anything to foxes these days."

static char home[64];
static const child_options options = {.home = home};

static int make_home(void **state)
{
    (void)state;
    snprintf(home, sizeof home, "/tmp/vetro-kv-XXXXXX");
    if (mkdtemp(home) == NULL) return 1;
    child_result r = child_vetro(&options, "pull", MODEL, "--name", "tiny");
    const int code = r.code;
    child_free(&r);
    return code;
}

static int remove_home(void **state)
{
    (void)state;
    child_result r = child_run(NULL, (const char *const[]){"/bin/rm", "-rf", "--", home, NULL});
    const int code = r.code;
    child_free(&r);
    return code;
}

static bool contains(const vt_buffer *b, const char *text)
{
    return strstr(b->ptr, text) != NULL;
}

static json_int_t integer(const json_t *o, const char *key)
{
    assert_true(json_is_integer(json_object_get(o, key)));
    return json_integer_value(json_object_get(o, key));
}

static void empty_store(void)
{
    child_result r = child_vetro(&options, "kv", "gc", "--all");
    assert_int_equal(r.code, 0);
    child_free(&r);
}

/* One answer to `question` after the long system message. */
static child_result ask(const char *question, const char *extra, const char *value)
{
    return child_vetro(&options, "run", "tiny", question, "--system", LONG_SYSTEM, "-n", "20",
                       "--temperature", "0", "--explain-cache", extra, value);
}

static json_t *kv_json(const char *action, int want_code)
{
    child_result r = child_vetro(&options, "kv", action, "--json");
    assert_int_equal(r.code, want_code);
    json_t *o = child_json(&r);
    child_free(&r);
    return o;
}

static void test_a_second_start_reads_nothing_twice(void **state)
{
    (void)state;
    empty_store();
    child_result cold = ask("why?", "--seed", "1");
    assert_int_equal(cold.code, 0);
    assert_true(contains(&cold.err, "cache: 0 of "));
    assert_true(contains(&cold.err, "nothing stored begins like this prompt"));
    child_result again = ask("why?", "--seed", "1");
    assert_true(contains(&again.err, "session 0, memory 0, disk "));
    assert_true(contains(&again.err, "everything but the last token was stored"));
    assert_string_equal(again.out.ptr, cold.out.ptr);
    child_result other = ask("wherefore?", "--seed", "1");
    assert_true(contains(&other.err, "the stored prefix goes on differently"));
    assert_true(contains(&other.err, "user\\nw\" stored \"hy?"));
    assert_true(contains(&other.err, "here \"herefore?"));
    assert_false(contains(&other.err, "cache: 0 of "));
    child_result off = ask("wherefore?", "--kv-store", "off");
    assert_true(contains(&off.err, "cache: off"));
    assert_string_equal(other.out.ptr, off.out.ptr);
    child_free(&cold);
    child_free(&again);
    child_free(&other);
    child_free(&off);
}

static void expect_text(const json_t *o, const char *key, const char *want)
{
    const char *got = json_string_value(json_object_get(o, key));
    if (got == NULL || strcmp(got, want) != 0)
        fail_msg("\"%s\" is %s, not %s", key, got != NULL ? got : "missing", want);
}

/* The one explanation in what `run --json --explain-cache` printed; *answer owns it. */
static const json_t *explained(const char *question, const char *where, json_t **answer)
{
    child_result r =
        child_vetro(&options, "run", "tiny", question, "--system", LONG_SYSTEM, "-n", "3",
                    "--temperature", "0", "--explain-cache", "--json", "--kv-store", where);
    assert_int_equal(r.code, 0);
    *answer = child_json(&r);
    child_free(&r);
    const json_t *list = json_object_get(*answer, "cache");
    assert_true(json_is_array(list));
    return json_array_get(list, 0);
}

static void test_the_explanation_is_in_the_json_too(void **state)
{
    (void)state;
    json_t *cold = NULL, *same = NULL, *other = NULL, *ram = NULL, *off = NULL;
    empty_store();
    const json_t *c = explained("why?", "disk", &cold);
    expect_text(c, "miss", "nothing");
    expect_text(c, "reason", "nothing stored begins like this prompt");
    assert_int_equal(integer(c, "position"), 0);
    assert_true(json_is_true(json_object_get(c, "on_disk")));
    const json_int_t n = integer(c, "prompt_tokens");
    assert_int_equal(n, integer(json_object_get(cold, "usage"), "prompt_tokens"));
    c = explained("why?", "disk", &same);
    const json_t *reused = json_object_get(c, "reused");
    assert_int_equal(integer(reused, "session"), 0);
    assert_int_equal(integer(reused, "memory"), 0);
    assert_int_equal(integer(reused, "disk"), n - 1);
    assert_int_equal(integer(json_object_get(same, "usage"), "cached_tokens"), n - 1);
    expect_text(c, "miss", "none");
    assert_null(json_object_get(c, "here"));
    c = explained("wherefore?", "disk", &other);
    expect_text(c, "miss", "parts");
    expect_text(c, "after", "\n<|im_start|>user\nw");
    expect_text(c, "stored", "hy?<|im_end|>\n<|im_start|>as");
    expect_text(c, "here", "herefore?");
    assert_true(integer(json_object_get(c, "reused"), "disk") <= integer(c, "position"));
    assert_true(child_number(c, "seconds") >= 0);
    c = explained("why?", "ram", &ram);
    expect_text(c, "miss", "nothing");
    assert_true(json_is_false(json_object_get(c, "on_disk")));
    assert_null(explained("why?", "off", &off));
    json_decref(cold);
    json_decref(same);
    json_decref(other);
    json_decref(ram);
    json_decref(off);
    child_result plain = child_vetro(&options, "run", "tiny", "why?", "-n", "1", "--json");
    json_t *o = child_json(&plain);
    assert_null(json_object_get(o, "cache"));
    json_decref(o);
    child_free(&plain);
}

static void test_a_conversation_goes_on_from_what_another_process_said(void **state)
{
    (void)state;
    empty_store();
    child_result r[2];
    for (int i = 0; i < 2; i++)
        r[i] = child_run(&(child_options){.home = home,
                                          .input = "a question of which the tokens are bytes, so "
                                                   "that it is long\nand another one\n"},
                         (const char *const[]){VT_BINARY, "chat", "tiny", "--system", LONG_SYSTEM,
                                               "-n", "30", "--temperature", "0", "--explain-cache",
                                               NULL});
    for (int i = 0; i < 2; i++) assert_int_equal(r[i].code, 0);
    assert_string_equal(r[0].out.ptr, r[1].out.ptr);
    /* within one process the session has what was said before */
    assert_true(contains(&r[0].err, "memory 0, disk 0"));
    assert_false(contains(&r[0].err, "disk 1"));
    assert_true(contains(&r[1].err, "everything but the last token was stored"));
    child_free(&r[0]);
    child_free(&r[1]);
}

static void test_another_kv_type_is_another_prefix_and_that_is_said(void **state)
{
    (void)state;
    empty_store();
    child_result a = ask("why?", "--kv-type", "f16"), b = ask("why?", "--kv-type", "f32");
    assert_true(contains(&b.err, "cache: 0 of "));
    assert_true(contains(&b.err, "stored with another --kv-type"));
    child_free(&a);
    child_free(&b);
}

static void test_short_prompts_and_stores_in_ram_leave_nothing_on_disk(void **state)
{
    (void)state;
    empty_store();
    child_result a = child_vetro(&options, "run", "tiny", "hi", "-n", "3");
    child_result b = ask("why?", "--kv-store", "ram");
    child_result c = ask("why?", "--kv-store", "off");
    child_result d = child_vetro(&options, "run", MODEL, "hi", "--system", LONG_SYSTEM, "-n", "3",
                                 "--explain-cache");
    assert_true(contains(&b.err, "nothing is kept on disk"));
    /* the file of a stored model is that model, by whatever path */
    assert_false(contains(&d.err, "nothing is kept on disk"));
    json_t *o = kv_json("list", 0);
    assert_int_equal(json_array_size(json_object_get(o, "prefixes")), 1);
    json_decref(o);
    child_free(&a);
    child_free(&b);
    child_free(&c);
    child_free(&d);
}

static void test_list_says_which_model_how_long_and_how_it_begins(void **state)
{
    (void)state;
    empty_store();
    child_result a = ask("why?", "--seed", "1"), b = ask("wherefore?", "--seed", "1");
    json_t *o = kv_json("list", 0);
    const json_t *prefixes = json_object_get(o, "prefixes");
    assert_int_equal(json_array_size(prefixes), 2);
    for (size_t i = 0; i < 2; i++) {
        const json_t *p = json_array_get(prefixes, i);
        assert_string_equal(json_string_value(json_object_get(p, "name")), "tiny");
        assert_int_equal(strlen(json_string_value(json_object_get(p, "model"))), 64);
        assert_string_equal(json_string_value(json_object_get(p, "kv_type")), "f16");
        assert_true(integer(p, "tokens") > 350 && integer(p, "bytes") > 0);
        assert_true(integer(p, "last_used") > 1700000000);
        assert_true(json_is_true(json_object_get(p, "usable")));
        assert_non_null(strstr(json_string_value(json_object_get(p, "begins")), "The"));
    }
    /* what the two share is stored once */
    assert_true(integer(o, "bytes") < integer(json_array_get(prefixes, 0), "bytes") +
                                          integer(json_array_get(prefixes, 1), "bytes"));
    json_decref(o);
    child_result table = child_vetro(&options, "kv", "list");
    assert_true(contains(&table.out, "tiny") && contains(&table.out, "2 prefixes"));
    child_free(&a);
    child_free(&b);
    child_free(&table);
}

/* Change one byte in the middle of one stored file. */
static void damage_a_file(void)
{
    char path[512];
    struct dirent *e;
    struct stat info;
    snprintf(path, sizeof path, "%s/data/kv", home);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    DIR *d = opendir(path);
    assert_non_null(d);
    while ((e = readdir(d)) != NULL && strstr(e->d_name, ".kv") == NULL) {}
    assert_non_null(e);
    snprintf(path, sizeof path, "%s/data/kv/%s", home, e->d_name);
    closedir(d);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    int fd = open(path, O_RDWR);
    char c;
    assert_int_equal(pread(fd, &c, 1, info.st_size / 2), 1);
    c = (char)(c ^ 0x10);
    assert_int_equal(pwrite(fd, &c, 1, info.st_size / 2), 1);
    close(fd);
}

static void test_a_damaged_file_is_not_used_and_verify_finds_it_and_gc_removes_it(void **state)
{
    (void)state;
    empty_store();
    child_result good = ask("why?", "--seed", "1");
    json_t *o = kv_json("verify", 0);
    const json_int_t n_blocks = integer(o, "blocks");
    assert_true(json_is_true(json_object_get(o, "verified")) && n_blocks > 2);
    json_decref(o);
    damage_a_file();
    o = kv_json("verify", 4);
    assert_true(json_is_false(json_object_get(o, "verified")));
    assert_int_equal(json_array_size(json_object_get(o, "damaged")), 1);
    json_decref(o);
    child_result text = child_vetro(&options, "kv", "verify");
    assert_int_equal(text.code, 4);
    assert_true(contains(&text.out, "its checksum differs") && contains(&text.out, "1 damaged"));
    o = kv_json("gc", 0);
    assert_int_equal(integer(o, "damaged"), 1);
    json_decref(o);
    json_decref(kv_json("verify", 0));
    /* what is used meanwhile gives the same answer, and heals it */
    child_result first = ask("why?", "--seed", "1");
    damage_a_file();
    child_result second = ask("why?", "--seed", "1");
    assert_string_equal(first.out.ptr, good.out.ptr);
    assert_string_equal(second.out.ptr, good.out.ptr);
    child_free(&good);
    child_free(&text);
    child_free(&first);
    child_free(&second);
}

/* Cut every stored block to 100 bytes. */
static void cut_all_files(void)
{
    char path[512];
    const struct dirent *e;
    snprintf(path, sizeof path, "%s/data/kv", home);
    DIR *d = opendir(path);
    assert_non_null(d);
    while ((e = readdir(d)) != NULL) {
        if (strstr(e->d_name, ".kv") == NULL) continue;
        snprintf(path, sizeof path, "%s/data/kv/%s", home, e->d_name);
        assert_int_equal(truncate(path, 100), 0);
    }
    closedir(d);
}

static void test_list_says_how_many_blocks_cannot_be_used(void **state)
{
    (void)state;
    empty_store();
    child_result a = ask("why?", "--seed", "1");
    json_t *o = kv_json("list", 0);
    const json_int_t n = integer(o, "blocks");
    char want[64];
    assert_int_equal(integer(o, "unusable"), 0);
    json_decref(o);
    cut_all_files();
    o = kv_json("list", 0);
    assert_int_equal(integer(o, "unusable"), n);
    assert_int_equal(json_array_size(json_object_get(o, "prefixes")), 0);
    json_decref(o);
    child_result text = child_vetro(&options, "kv", "list");
    assert_int_equal(text.code, 0);
    snprintf(want, sizeof want, "%lld of the blocks can't be used: 'vetro kv verify'",
             (long long)n);
    assert_true(contains(&text.out, want));
    assert_false(contains(&text.out, "no prefixes are stored yet"));
    child_free(&text);
    empty_store();
    text = child_vetro(&options, "kv", "list");
    assert_true(contains(&text.out, "no prefixes are stored yet"));
    child_free(&text);
    child_free(&a);
}

/* Root may read everything: there is nothing to be seen then. */
static void test_a_file_that_may_not_be_read_is_not_called_damaged(void **state)
{
    (void)state;
    char path[512];
    if (geteuid() == 0) skip();
    empty_store();
    child_result a = ask("why?", "--seed", "1");
    snprintf(path, sizeof path, "%s/data/kv", home);
    DIR *d = opendir(path);
    const struct dirent *e;
    assert_non_null(d);
    while ((e = readdir(d)) != NULL && strstr(e->d_name, ".kv") == NULL) {}
    assert_non_null(e);
    snprintf(path, sizeof path, "%s/data/kv/%s", home, e->d_name);
    closedir(d);
    assert_int_equal(chmod(path, 0), 0);
    child_result r = child_vetro(&options, "kv", "verify");
    assert_int_equal(r.code, 1);
    assert_true(contains(&r.out, "0 damaged") && contains(&r.err, "Permission denied"));
    child_free(&r);
    json_t *o = kv_json("verify", 1);
    assert_int_equal(integer(o, "unreadable"), 1);
    assert_int_equal(json_array_size(json_object_get(o, "damaged")), 0);
    json_decref(o);
    assert_int_equal(chmod(path, 0600), 0);
    json_decref(kv_json("verify", 0));
    child_free(&a);
}

static void test_gc_keeps_to_a_size_and_all_removes_everything(void **state)
{
    (void)state;
    empty_store();
    child_result a = ask("why?", "--seed", "1");
    json_t *o = kv_json("list", 0);
    const json_int_t before = integer(o, "bytes");
    json_decref(o);
    char half[32];
    snprintf(half, sizeof half, "%lld", (long long)before / 2);
    child_result r = child_vetro(&options, "kv", "gc", "--max", half, "--json");
    o = child_json(&r);
    assert_true(integer(o, "bytes") > 0 && integer(o, "bytes") <= before / 2);
    assert_int_equal(integer(o, "bytes") + integer(o, "bytes_removed"), before);
    json_decref(o);
    child_free(&r);
    json_decref(kv_json("verify", 0));
    empty_store();
    o = kv_json("list", 0);
    assert_int_equal(integer(o, "blocks"), 0);
    assert_int_equal(integer(o, "bytes"), 0);
    json_decref(o);
    child_free(&a);
}

static void test_gc_removes_what_a_killed_process_left_and_says_so(void **state)
{
    (void)state;
    char path[512];
    empty_store();
    snprintf(path, sizeof path,
             "%s/data/kv/.0123456789abcdef-01234567-"
             "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.kv.1.0",
             home);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("half", f);
    fclose(f);
    json_t *o = kv_json("verify", 0);
    assert_int_equal(integer(o, "unfinished"), 1);
    json_decref(o);
    o = kv_json("gc", 0);
    assert_int_equal(integer(o, "unfinished"), 1);
    assert_int_equal(integer(o, "removed"), 0);
    assert_int_equal(integer(o, "bytes_removed"), 4);
    json_decref(o);
    assert_int_equal(access(path, F_OK), -1);
}

static void test_gc_says_what_it_could_not_remove(void **state)
{
    (void)state;
    char path[512];
    empty_store();
    /* a folder where a block would be: unlink refuses it, even to root */
    snprintf(path, sizeof path,
             "%s/data/kv/0123456789abcdef-01234567-"
             "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.kv",
             home);
    assert_int_equal(mkdir(path, 0700), 0);
    child_result r = child_vetro(&options, "kv", "gc", "--all");
    assert_int_equal(r.code, 1);
    assert_true(contains(&r.err, "1 blocks could not be removed") &&
                contains(&r.err, "Is a directory"));
    assert_true(contains(&r.out, "removed 0 blocks"));
    child_free(&r);
    json_t *o = kv_json("gc", 1);
    assert_int_equal(integer(o, "failed"), 1);
    assert_int_equal(integer(o, "blocks"), 1);
    json_decref(o);
    assert_int_equal(rmdir(path), 0);
    empty_store();
}

static void test_wrong_usage_is_told_before_a_model_is_loaded(void **state)
{
    (void)state;
    child_result r[] = {
        child_vetro(&options, "kv"),
        child_vetro(&options, "kv", "polish"),
        child_vetro(&options, "kv", "list", "--all"),
        child_vetro(&options, "kv", "gc", "--max", "many"),
        child_vetro(&options, "kv", "gc", "--max", "1G", "--all"),
        child_vetro(&options, "run", "tiny", "hi", "--kv-store", "cloud"),
        child_vetro(&options, "run", "tiny", "hi", "--kv-store-size", "-1G"),
    };
    for (size_t i = 0; i < sizeof r / sizeof *r; i++) {
        if (r[i].code != 2) fail_msg("%zu: code %d: %s", i, r[i].code, r[i].err.ptr);
        assert_true(r[i].err.len > 0);
        child_free(&r[i]);
    }
}

static void test_a_store_that_cannot_be_written_is_a_note_not_a_failure(void **state)
{
    (void)state;
    char path[512];
    empty_store();
    snprintf(path, sizeof path, "%s/data/kv", home);
    child_result rm = child_run(NULL, (const char *const[]){"/bin/rm", "-rf", "--", path, NULL});
    FILE *f = fopen(path, "w"); /* a file where the directory should be */
    assert_non_null(f);
    fclose(f);
    child_result r = ask("why?", "--seed", "1");
    assert_int_equal(r.code, 0);
    assert_true(contains(&r.err, "prompts are not kept on disk: cannot create directory"));
    unlink(path);
    child_free(&rm);
    child_free(&r);
}

static void test_what_could_not_be_written_is_said_at_the_end(void **state)
{
    (void)state;
    empty_store();
    child_result small = ask("why?", "--kv-store-size", "1K");
    assert_int_equal(small.code, 0);
    assert_true(contains(&small.err, "cache: not written: the budget of 0.0 MB holds no block"));
    child_free(&small);
    small = child_vetro(&options, "run", "tiny", "why?", "--system", LONG_SYSTEM, "-n", "3",
                        "--explain-cache", "--json", "--kv-store-size", "1K");
    json_t *o = child_json(&small);
    const json_t *cache = json_array_get(json_object_get(o, "cache"), 0);
    const char *problem = json_string_value(json_object_get(cache, "problem"));
    assert_non_null(problem);
    assert_non_null(strstr(problem, "holds no block"));
    json_decref(o);
    child_free(&small);
    small =
        child_run(&(child_options){.home = home, .input = "why?\n"},
                  (const char *const[]){VT_BINARY, "chat", "tiny", "--system", LONG_SYSTEM, "-n",
                                        "3", "--explain-cache", "--kv-store-size", "1K", NULL});
    assert_true(contains(&small.err, "cache: not written: the budget"));
    child_free(&small);
    child_result enough = ask("why?", "--kv-store-size", "1G");
    assert_false(contains(&enough.err, "not written"));
    child_free(&enough);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_second_start_reads_nothing_twice),
        cmocka_unit_test(test_the_explanation_is_in_the_json_too),
        cmocka_unit_test(test_a_conversation_goes_on_from_what_another_process_said),
        cmocka_unit_test(test_another_kv_type_is_another_prefix_and_that_is_said),
        cmocka_unit_test(test_short_prompts_and_stores_in_ram_leave_nothing_on_disk),
        cmocka_unit_test(test_list_says_which_model_how_long_and_how_it_begins),
        cmocka_unit_test(test_a_damaged_file_is_not_used_and_verify_finds_it_and_gc_removes_it),
        cmocka_unit_test(test_list_says_how_many_blocks_cannot_be_used),
        cmocka_unit_test(test_a_file_that_may_not_be_read_is_not_called_damaged),
        cmocka_unit_test(test_gc_keeps_to_a_size_and_all_removes_everything),
        cmocka_unit_test(test_gc_removes_what_a_killed_process_left_and_says_so),
        cmocka_unit_test(test_gc_says_what_it_could_not_remove),
        cmocka_unit_test(test_wrong_usage_is_told_before_a_model_is_loaded),
        cmocka_unit_test(test_what_could_not_be_written_is_said_at_the_end),
        cmocka_unit_test(test_a_store_that_cannot_be_written_is_a_note_not_a_failure),
    };
    return cmocka_run_group_tests(tests, make_home, remove_home);
}
