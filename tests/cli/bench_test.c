/* bench_test.c -- `vetro bench` on a tiny model: what it prints, not how fast it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <libxml/parser.h>

#include "../support/child_json.h"
#include "base/file.h"

#define TINY VT_TEST_DATA "/cli/tiny-chat.gguf"

static const child_options home = {.home = "/tmp/vetro-no-such-home"};

static void expect_usage_error(const child_result *r, const char *part)
{
    assert_int_equal(r->code, 2);
    if (strstr(r->err.ptr, part) == NULL) fail_msg("'%s' lacks '%s'", r->err.ptr, part);
}

static void test_every_length_depth_and_number_of_threads_is_a_test(void **state)
{
    (void)state;
    static const char *const names[] = {"pp8", "pp5", "tg3", "pp8@d16", "pp5@d16", "tg3@d16"};
    child_result r = child_vetro(&home, "bench", TINY, "-p", "8,5", "-n", "3", "-d", "0,16", "-t",
                                 "1,2", "-r", "2", "--json");
    json_t *o = child_json(&r);
    const json_t *tests = json_object_get(o, "tests");
    assert_int_equal(json_array_size(tests), 2 * VT_COUNT(names));
    for (size_t i = 0; i < json_array_size(tests); i++) {
        const json_t *t = json_array_get(tests, i);
        assert_string_equal(json_string_value(json_object_get(t, "name")),
                            names[i % VT_COUNT(names)]);
        assert_true(child_number(t, "threads") == (double)(1 + i / VT_COUNT(names)));
        assert_true(child_number(t, "runs") == 2);
        assert_true(child_number(t, "min") > 0);
        assert_true(child_number(t, "min") <= child_number(t, "tokens_per_second"));
        assert_true(child_number(t, "tokens_per_second") <= child_number(t, "max"));
        assert_true(child_number(json_object_get(t, "work"), "bytes") > 0);
        assert_null(json_object_get(t, "share")); /* without --limits nobody knows */
    }
    assert_true(json_is_true(json_object_get(o, "complete")));
    assert_true(child_number(o, "threads") == 2);
    assert_true(child_number(o, "memory_high_water") > 1e6);
    assert_int_equal(strlen(json_string_value(json_object_get(o, "digest"))), 64);
    assert_true(strlen(json_string_value(json_object_get(o, "commit"))) > 0);
    assert_true(strlen(json_string_value(json_object_get(o, "isa"))) > 0);
    assert_int_equal(strlen(json_string_value(json_object_get(o, "date"))), 10);
    json_decref(o);
    child_free(&r);
}

static void test_sequences_that_generate_together_count_all_their_tokens(void **state)
{
    (void)state;
    static const char *const names[] = {"tg4", "tg4@b8", "tg4@d16", "tg4@b8@d16"};
    child_result r = child_vetro(&home, "bench", TINY, "-p", "0", "-n", "4", "-d", "0,16", "-b",
                                 "1,8", "-t", "1", "-r", "3", "--json");
    json_t *o = child_json(&r);
    const json_t *tests = json_object_get(o, "tests");
    assert_int_equal(json_array_size(tests), VT_COUNT(names));
    for (size_t i = 0; i < VT_COUNT(names); i++)
        assert_string_equal(json_string_value(json_object_get(json_array_get(tests, i), "name")),
                            names[i]);
    json_decref(o);
    child_free(&r);
}

static void test_loading_is_measured_in_its_parts(void **state)
{
    (void)state;
    child_result r =
        child_vetro(&home, "bench", TINY, "-p", "0", "-n", "0", "--load", "-r", "3", "--json");
    json_t *o = child_json(&r);
    const json_t *load = json_object_get(o, "load");
    assert_int_equal(json_array_size(json_object_get(o, "tests")), 0);
    assert_true(child_number(load, "runs") == 3);
    assert_true(child_number(load, "open") > 0 && child_number(load, "first_token") > 0);
    assert_true(child_number(load, "min") <= child_number(load, "seconds"));
    assert_true(child_number(load, "seconds") <= child_number(load, "max"));
    assert_true(child_number(load, "max") > child_number(load, "open"));
    json_decref(o);
    child_free(&r);
}

static void test_the_table_names_model_and_memory(void **state)
{
    (void)state;
    static const char *const parts[] = {"peak memory", "tiny-chat", "KV cache f16",
                                        "load to first token", "\npp8 "};
    child_result r = child_vetro(&home, "bench", TINY, "-p", "8", "-n", "0", "-r", "1", "-t", "1");
    assert_int_equal(r.code, 0);
    for (size_t i = 0; i < VT_COUNT(parts); i++)
        if (strstr(r.out.ptr, parts[i]) == NULL) fail_msg("'%s' lacks '%s'", r.out.ptr, parts[i]);
    child_free(&r);
}

static void test_the_picture_is_xml_with_a_line_for_every_series(void **state)
{
    (void)state;
    char path[] = "/tmp/vetro-bench-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    child_result r = child_vetro(&home, "bench", TINY, "-p", "8", "-n", "4", "-b", "1,4", "-d",
                                 "0,16", "-t", "1,2", "-r", "2", "--svg", path);
    if (r.code != 0) fail_msg("%s", r.err.ptr);
    child_free(&r);
    vt_buffer svg;
    vt_buffer_init(&svg, 1 << 20);
    assert_int_equal(vt_file_read(path, 1 << 20, &svg, NULL), VT_OK);
    unlink(path);
    xmlDoc *doc = xmlReadMemory(svg.ptr, (int)svg.len, NULL, "UTF-8", XML_PARSE_NONET);
    assert_non_null(doc);
    assert_string_equal((const char *)xmlDocGetRootElement(doc)->name, "svg");
    xmlFreeDoc(doc);
    /* 4 panels; pp8 in two of them, tg4 and tg4@b4 in the other two; 2 points each */
    static const struct {
        const char *text;
        size_t n;
    } parts[] = {{"tokens per second by", 4}, {">pp8</text>", 2}, {">tg4</text>", 2},
                 {">tg4@b4</text>", 2},       {"<circle ", 12},   {"class=\"limit", 0}};
    for (size_t i = 0; i < VT_COUNT(parts); i++) {
        size_t n = 0;
        for (const char *p = svg.ptr; (p = strstr(p, parts[i].text)) != NULL; p++) n++;
        if (n != parts[i].n) fail_msg("%zu of %s", n, parts[i].text);
    }
    vt_buffer_deinit(&svg);
    r = child_vetro(&home, "bench", TINY, "--svg", path);
    expect_usage_error(&r, "--svg draws lines");
    child_free(&r);
    r = child_vetro(&home, "bench", TINY, "-d", "4,4", "-t", "1,1", "--svg", path);
    expect_usage_error(&r, "--svg draws lines"); /* of some width */
    child_free(&r);
}

static void test_a_packed_file_that_is_named_by_its_path_is_called_packed(void **state)
{
    (void)state;
    char path[64];
    snprintf(path, sizeof path, "/tmp/vetro-bench-%ld.packed", (long)getpid());
    child_result r = child_vetro(&home, "pack", TINY, "-o", path);
    assert_int_equal(r.code, 0);
    child_free(&r);
    const char *const models[] = {TINY, path};
    for (size_t i = 0; i < VT_COUNT(models); i++) {
        r = child_vetro(&home, "bench", models[i], "-p", "1", "-n", "0", "-r", "1", "--json");
        json_t *o = child_json(&r);
        const json_t *packed = json_object_get(o, "packed");
        assert_true(i == 0 ? json_is_false(packed) : json_is_true(packed));
        json_decref(o);
        child_free(&r);
    }
    unlink(path);
}

static void test_wrong_lists_and_a_missing_model_are_refused(void **state)
{
    (void)state;
    child_result r = child_vetro(&home, "bench", TINY, "-p", "512,x");
    expect_usage_error(&r, "--prompt: \"512,x\" is not a list");
    child_free(&r);
    r = child_vetro(&home, "bench", TINY, "-t", "257");
    expect_usage_error(&r, "--threads: \"257\" is not a list of up to 16 numbers to 256");
    child_free(&r);
    r = child_vetro(&home, "bench", TINY, "-b", "65");
    expect_usage_error(&r, "--batch: \"65\" is not a list of up to 16 numbers to 64");
    child_free(&r);
    r = child_vetro(&home, "bench", TINY, "-b", "4,0");
    expect_usage_error(&r, "--batch: 0 sequences");
    child_free(&r);
    r = child_vetro(&home, "bench");
    expect_usage_error(&r, "MODEL is missing");
    child_free(&r);
    r = child_vetro(&home, "bench", "--limits", "--load");
    expect_usage_error(&r, "MODEL is missing");
    child_free(&r);
}

static void test_a_depth_past_the_models_context_is_an_error_with_numbers(void **state)
{
    (void)state;
    /* said before what would fit is measured */
    child_result r = child_vetro(&home, "bench", TINY, "-d", "0,1000000", "-r", "1");
    assert_int_equal(r.code, 1);
    assert_int_equal(r.out.len, 0);
    assert_non_null(strstr(r.err.ptr, "a context of 1000512 tokens was asked for"));
    child_free(&r);
    /* loading, too */
    r = child_vetro(&home, "bench", TINY, "-d", "0,1000000", "-r", "1", "--load", "--json");
    assert_int_equal(r.code, 1);
    assert_int_equal(r.out.len, 0);
    child_free(&r);
}

static void test_a_picture_that_cannot_be_written_is_known_before_anything_is_measured(void **state)
{
    (void)state;
    child_result r = child_vetro(&home, "bench", TINY, "-p", "0", "-n", "1", "-d", "0,16", "-r",
                                 "1", "--svg", "/no/such/folder/x.svg");
    assert_int_equal(r.code, 1);
    assert_int_equal(r.out.len, 0);
    assert_non_null(strstr(r.err.ptr, "cannot write /no/such/folder/x.svg"));
    child_free(&r);
    /* one that was begun is not left empty */
    char path[64];
    snprintf(path, sizeof path, "/tmp/vetro-bench-%ld.svg", (long)getpid());
    r = child_vetro(&home, "bench", TINY, "-p", "0", "-n", "1", "-d", "0,1000000", "-r", "1",
                    "--svg", path);
    assert_int_equal(r.code, 1);
    assert_int_equal(access(path, F_OK), -1);
    child_free(&r);
}

static void test_what_was_measured_before_ctrl_c_is_printed(void **state)
{
    (void)state;
    static const char *const formats[] = {NULL, "--json"};
    for (size_t i = 0; i < VT_COUNT(formats); i++) {
        child_result r = {0};
        /* The first test takes moments, all of them minutes. */
        for (int ms = 250; ms < 60000; ms *= 2) {
            const child_options o = {.home = home.home, .interrupt_after_ms = ms};
            r = child_vetro(&o, "bench", TINY, "-p", "0", "-n", "1,2000", "-r", "100", "-b", "64",
                            "-t", "1", formats[i]);
            if (r.out.len > 0) break;
            assert_int_equal(r.code, 128 + SIGINT);
            child_free(&r);
        }
        assert_int_equal(r.code, 128 + SIGINT);
        if (formats[i] == NULL) {
            assert_non_null(strstr(r.out.ptr, "\ntg1@b64 "));
        } else {
            json_t *o = child_json(&r);
            assert_true(json_is_false(json_object_get(o, "complete")));
            assert_int_equal(json_array_size(json_object_get(o, "tests")), 1);
            json_decref(o);
        }
        child_free(&r);
    }
}

/* Run bench with --json, and Ctrl-C later and later until it has something to print. */
static json_t *interrupted_json(const char *const *arguments, size_t n)
{
    const char *argv[16] = {VT_BINARY, "bench", TINY, "--json"};
    for (size_t i = 0; i < n; i++) argv[4 + i] = arguments[i];
    for (int ms = 40; ms < 60000; ms += ms / 2) {
        const child_options o = {.home = home.home, .interrupt_after_ms = ms};
        child_result r = child_run(&o, argv);
        json_t *printed = r.out.len > 0 ? child_json(&r) : NULL;
        assert_int_equal(r.code, 128 + SIGINT);
        child_free(&r);
        if (printed != NULL) return printed;
    }
    fail();
    return NULL;
}

/* The test takes moments, the limits seconds. */
static void test_limits_that_were_broken_off_are_not_complete(void **state)
{
    (void)state;
    static const char *const arguments[] = {"-p", "0", "-n", "1", "-r", "1", "-t", "1", "--limits"};
    json_t *o = interrupted_json(arguments, VT_COUNT(arguments));
    assert_int_equal(json_array_size(json_object_get(o, "tests")), 1);
    assert_true(json_is_false(json_object_get(o, "complete")));
    json_decref(o);
}

static void test_loading_that_was_broken_off_names_its_model(void **state)
{
    (void)state;
    static const char *const arguments[] = {"--load", "-r", "100", "-p", "100000", "-n", "0"};
    json_t *o = interrupted_json(arguments, VT_COUNT(arguments));
    assert_true(json_is_false(json_object_get(o, "complete")));
    assert_true(strlen(json_string_value(json_object_get(o, "format"))) > 0);
    json_decref(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_length_depth_and_number_of_threads_is_a_test),
        cmocka_unit_test(test_sequences_that_generate_together_count_all_their_tokens),
        cmocka_unit_test(test_loading_is_measured_in_its_parts),
        cmocka_unit_test(test_the_table_names_model_and_memory),
        cmocka_unit_test(test_the_picture_is_xml_with_a_line_for_every_series),
        cmocka_unit_test(test_a_packed_file_that_is_named_by_its_path_is_called_packed),
        cmocka_unit_test(test_limits_that_were_broken_off_are_not_complete),
        cmocka_unit_test(test_loading_that_was_broken_off_names_its_model),
        cmocka_unit_test(test_wrong_lists_and_a_missing_model_are_refused),
        cmocka_unit_test(
            test_a_picture_that_cannot_be_written_is_known_before_anything_is_measured),
        cmocka_unit_test(test_what_was_measured_before_ctrl_c_is_printed),
        cmocka_unit_test(test_a_depth_past_the_models_context_is_an_error_with_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
