/* run_test.c -- run, chat, tokenize, logits and perplexity as a user has them, on a tiny random
 * model with a tokenizer (scripts/make-cli-model): it speaks random bytes, and never stops by
 * itself. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../support/child_json.h"
#include "base/utf8.h"

#define MODEL VT_TEST_DATA "/cli/tiny-chat.gguf"
/* 258 to 260 are its control tokens, 260 ends a turn. */
#define PLAIN VT_TEST_DATA "/tiny/llama.gguf" /* no tokenizer */

static bool contains(const vt_buffer *b, const char *text)
{
    return strstr(b->ptr, text) != NULL;
}

static json_int_t integer_at(const json_t *o, const char *outer, const char *inner)
{
    return json_integer_value(json_object_get(json_object_get(o, outer), inner));
}

/* ---- run ---- */

static void test_run_streams_valid_characters_though_the_model_speaks_bytes(void **state)
{
    (void)state;
    child_result r = child_vetro(NULL, "run", MODEL, "--raw", "hi", "-n", "200", "--temperature",
                                 "1.5", "--seed", "3", "--logit-bias", "260=-100");
    assert_int_equal(r.code, 0);
    assert_true(r.out.len > 100);
    assert_true(vt_utf8_is_valid(vt_buffer_slice(&r.out)));
    assert_true(contains(&r.out, "\xef\xbf\xbd")); /* it did speak invalid bytes */
    child_free(&r);
}

static void test_run_gives_the_same_answer_for_the_same_seed_only(void **state)
{
    (void)state;
    const char *seeds[] = {"7", "7", "8"};
    child_result r[3];
    for (int i = 0; i < 3; i++)
        r[i] = child_vetro(NULL, "run", MODEL, "hi", "-n", "40", "--temperature", "2", "--seed",
                           seeds[i]);
    assert_string_equal(r[0].out.ptr, r[1].out.ptr);
    assert_string_not_equal(r[0].out.ptr, r[2].out.ptr);
    for (int i = 0; i < 3; i++) child_free(&r[i]);
}

static void test_run_json_has_the_fields_of_the_contract(void **state)
{
    (void)state;
    child_result r = child_vetro(NULL, "run", MODEL, "hi", "-n", "12", "--json", "--logprobs", "3",
                                 "--seed", "5");
    assert_int_equal(r.code, 0);
    json_t *o = child_json(&r);
    assert_true(json_is_string(json_object_get(o, "text")));
    assert_string_equal(json_string_value(json_object_get(o, "finish_reason")), "length");
    assert_int_equal(integer_at(o, "usage", "completion_tokens"), 12);
    assert_true(integer_at(o, "usage", "prompt_tokens") > 2);
    assert_int_equal(integer_at(o, "usage", "cached_tokens"), 0);
    assert_true(json_is_real(json_object_get(json_object_get(o, "timings"), "load")));
    assert_true(json_is_real(json_object_get(json_object_get(o, "timings"), "prefill_tps")));
    assert_true(json_is_real(json_object_get(json_object_get(o, "timings"), "decode_tps")));
    assert_true(integer_at(o, "timings", "accepted") <= integer_at(o, "timings", "drafted"));
    const json_t *logprobs = json_object_get(o, "logprobs");
    assert_int_equal(json_array_size(logprobs), 12);
    for (size_t i = 0; i < 12; i++) {
        const json_t *token = json_array_get(logprobs, i);
        const json_t *top = json_object_get(token, "top");
        assert_int_equal(json_array_size(top), 3);
        /* greedy: the token is the first of the likeliest */
        assert_int_equal(json_integer_value(json_object_get(token, "id")),
                         json_integer_value(json_object_get(json_array_get(top, 0), "id")));
        assert_true(json_real_value(json_object_get(token, "logprob")) < 0);
    }
    json_decref(o);
    child_free(&r);
}

static void test_guessing_ahead_can_be_switched_off_and_changes_no_answer(void **state)
{
    (void)state;
    static const char *const modes[] = {"auto", "off"};
    json_t *o[2];
    for (int i = 0; i < 2; i++) {
        child_result r = child_vetro(NULL, "run", MODEL, "hi hi hi", "-n", "120", "--json",
                                     "--seed", "5", "--speculate", modes[i]);
        assert_int_equal(r.code, 0);
        o[i] = child_json(&r);
        child_free(&r);
    }
    assert_int_equal(integer_at(o[1], "timings", "drafted"), 0);
    json_object_del(o[0], "timings");
    json_object_del(o[1], "timings");
    assert_true(json_equal(o[0], o[1]));
    for (int i = 0; i < 2; i++) json_decref(o[i]);
    child_result r = child_vetro(NULL, "run", MODEL, "hi", "--speculate", "always");
    assert_int_equal(r.code, 2);
    child_free(&r);
}

static char *greedy_text(const char *stop, char *finish, size_t size)
{
    child_result r =
        stop ? child_vetro(NULL, "run", MODEL, "hi", "-n", "60", "--json", "--stop", stop)
             : child_vetro(NULL, "run", MODEL, "hi", "-n", "60", "--json");
    assert_int_equal(r.code, 0);
    json_t *o = child_json(&r);
    char *text = strdup(json_string_value(json_object_get(o, "text")));
    snprintf(finish, size, "%s", json_string_value(json_object_get(o, "finish_reason")));
    json_decref(o);
    child_free(&r);
    return text;
}

static void test_a_stop_string_over_several_tokens_ends_the_answer_before_it(void **state)
{
    (void)state;
    char finish[16];
    char *whole = greedy_text(NULL, finish, sizeof finish);
    assert_string_equal(finish, "length");
    /* Four ASCII letters in a row are four tokens of this vocabulary. */
    char stop[5] = "";
    for (const char *p = whole; *p != '\0' && stop[0] == '\0'; p++) {
        size_t n = 0;
        while (n < 4 && p[n] > ' ' && p[n] < 0x7f) n++;
        if (n == 4) memcpy(stop, p, 4);
    }
    assert_int_equal(strlen(stop), 4);
    char *cut = greedy_text(stop, finish, sizeof finish);
    assert_string_equal(finish, "stop");
    size_t want = (size_t)(strstr(whole, stop) - whole);
    assert_int_equal(strlen(cut), want);
    assert_memory_equal(cut, whole, want);
    free(whole);
    free(cut);
}

static void test_a_full_context_is_said_with_numbers(void **state)
{
    (void)state;
    child_result r = child_vetro(NULL, "run", MODEL, "hi", "--ctx", "40");
    assert_int_equal(r.code, 0);
    assert_true(contains(&r.err, "the context of 40 tokens is full"));
    child_free(&r);
    r = child_vetro(NULL, "run", MODEL, "hello hello hello", "--ctx", "10");
    assert_int_equal(r.code, 1);
    assert_true(contains(&r.err, "the prompt has"));
    assert_true(contains(&r.err, "a context of 10"));
    assert_int_equal(r.out.len, 0);
    child_free(&r);
}

static void test_the_prompt_may_come_from_standard_input(void **state)
{
    (void)state;
    child_result a = child_vetro(&(child_options){.input = "hi"}, "run", MODEL, "-n", "20");
    child_result b = child_vetro(NULL, "run", MODEL, "hi", "-n", "20");
    assert_int_equal(a.code, 0);
    assert_string_equal(a.out.ptr, b.out.ptr);
    child_free(&a);
    child_free(&b);
}

/* A tiny random model would never write this by itself. */
static void test_run_with_a_schema_prints_json_that_fits(void **state)
{
    (void)state;
    char path[] = "/tmp/vetro-schema-XXXXXX";
    int fd = mkstemp(path);
    static const char schema[] = "{\"properties\":{\"a\":{\"enum\":[1,2]},\"b\":{\"type\":"
                                 "\"boolean\"}},\"required\":[\"a\",\"b\"]}";
    assert_true(fd >= 0 && write(fd, schema, sizeof schema - 1) == (ssize_t)sizeof schema - 1);
    close(fd);
    child_result r = child_vetro(NULL, "run", MODEL, "hi", "--schema", path, "-n", "200");
    assert_int_equal(r.code, 0);
    json_t *o = child_json(&r);
    assert_true(json_is_integer(json_object_get(o, "a")));
    assert_true(json_is_boolean(json_object_get(o, "b")));
    json_decref(o);
    child_free(&r);
    r = child_vetro(NULL, "run", MODEL, "hi", "--schema", path, "-n", "2");
    assert_int_equal(r.code, 0);
    assert_true(contains(&r.err, "its JSON is not complete"));
    child_free(&r);
    fd = open(path, O_WRONLY | O_TRUNC);
    assert_true(fd >= 0 && write(fd, "{\"minimum\":1}", 13) == 13);
    close(fd);
    r = child_vetro(NULL, "run", MODEL, "hi", "--schema", path);
    assert_int_equal(r.code, 1);
    assert_true(contains(&r.err, "'minimum' is not supported, at #"));
    child_free(&r);
    unlink(path);
}

static void test_wrong_usage_is_told_before_any_model_is_loaded(void **state)
{
    (void)state;
    const char *const cases[][6] = {
        {"run", MODEL, "", NULL},
        {"run", MODEL, "x", "--logprobs", "2", NULL},
        {"run", MODEL, "x", "--temperature", "-1", NULL},
        {"run", MODEL, "x", "--temperature", "nan", NULL},
        {"run", MODEL, "x", "--top-p", "1.1", NULL},
        {"run", "no-such", "x", "--stop", "", NULL},
        {"run", "no-such", "x", "--logit-bias", "one=2", NULL},
        {"run", "no-such", "x", "--date", "tomorrow", NULL},
        {"run", "no-such", "x", "--format", "jinja", NULL},
        {"run", "no-such", "x", "--raw", "--reasoning", NULL},
        {"chat", "no-such", "--format", "jinja", NULL},
        {"chat", "no-such", "--stop", "", NULL},
        {"run", MODEL, "x", "y", NULL},
        {"run", NULL},
        {"run", MODEL, "x", "--kv-type", "f64", NULL},
        {"run", MODEL, "x", "--threads", "0.5", NULL},
        {"run", MODEL, "x", "-n", NULL},
        {"logits", MODEL, NULL},
        {"tokenize", MODEL, "x", "--chat", "y", NULL},
        {"tokenize", MODEL, "x", "--date", "2026-01-01", NULL},
        {"perplexity", MODEL, NULL},
        {"pull", "x.gguf", "--sha256", "abc", NULL},
    };
    child_result missing = child_vetro(NULL, "perplexity", "no-such", "/no/such/text");
    assert_int_equal(missing.code, 1);
    assert_true(contains(&missing.err, "/no/such/text"));
    child_free(&missing);
    for (size_t i = 0; i < VT_COUNT(cases); i++) {
        const char *argv[8] = {VT_BINARY};
        for (int k = 0; k < 6 && cases[i][k] != NULL; k++) argv[k + 1] = cases[i][k];
        child_result r = child_run(NULL, argv);
        if (r.code != 2) print_error("case %zu: %d %s\n", i, r.code, r.err.ptr);
        assert_int_equal(r.code, 2);
        assert_int_equal(r.out.len, 0);
        assert_true(r.err.len > 10);
        child_free(&r);
    }
}

static void test_what_is_no_model_is_one_clear_message(void **state)
{
    (void)state;
    const char *const cases[][2] = {
        {"/no/such/file.gguf", "No such file"},
        {"/tmp", "directory"},
        {VT_TEST_DATA "/cli/../tiny/llama.tokens", "GGUF"},
        {"no-such-model", "no model"},
        {"smolm2-135m", "did you mean 'smollm2-135m'"},
        {"qwen2.5-coder-1.5b", "vetro pull qwen2.5-coder-1.5b"},
    };
    const char *const commands[] = {"run", "show", "tokenize"};
    for (size_t c = 0; c < VT_COUNT(commands); c++)
        for (size_t i = 0; i < VT_COUNT(cases); i++) {
            child_result r = child_run(
                &(child_options){.home = "/tmp/vetro-no-such-home"},
                (const char *const[]){VT_BINARY, commands[c], cases[i][0],
                                      strcmp(commands[c], "show") == 0 ? NULL : "hi", NULL});
            if (r.code != 1 || !contains(&r.err, cases[i][1]))
                print_error("%s %s: %d %s\n", commands[c], cases[i][0], r.code, r.err.ptr);
            assert_int_equal(r.code, 1);
            assert_true(contains(&r.err, cases[i][1]));
            assert_memory_equal(r.err.ptr, "vetro: ", 7);
            child_free(&r);
        }
}

static void test_pull_names_the_file_it_was_given_and_leaves_it_alone(void **state)
{
    (void)state;
    char dir[] = "/tmp/vetro-pull-XXXXXX";
    const char zeros[] = "0000000000000000000000000000000000000000000000000000000000000000";
    assert_non_null(mkdtemp(dir));
    const child_options o = {.home = dir};
    child_result r = child_vetro(&o, "pull", VT_TEST_DATA "/tiny/llama.tokens");
    assert_int_equal(r.code, 1);
    if (!contains(&r.err, VT_TEST_DATA "/tiny/llama.tokens") || contains(&r.err, dir))
        fail_msg("%s", r.err.ptr);
    child_free(&r);
    r = child_vetro(&o, "pull", PLAIN, "--sha256", zeros);
    assert_int_equal(r.code, 4);
    if (!contains(&r.err, PLAIN ": wrong SHA-256") || contains(&r.err, "deleted"))
        fail_msg("%s", r.err.ptr);
    assert_true(contains(&r.err, "the file is left as it is"));
    child_free(&r);
    r = child_run(NULL, (const char *const[]){"/bin/rm", "-rf", dir, NULL});
    child_free(&r);
}

static void test_a_model_without_a_tokenizer_serves_logits_only(void **state)
{
    (void)state;
    child_result r = child_vetro(NULL, "run", PLAIN, "hi");
    assert_int_equal(r.code, 1);
    assert_true(contains(&r.err, "tokenizer"));
    child_free(&r);
}

static void test_interrupting_ends_a_run_cleanly_and_as_shells_expect(void **state)
{
    (void)state;
    /* Hundreds of thousands of tokens: it would go on for minutes. */
    child_result r =
        child_vetro(&(child_options){.interrupt_after = 20}, "run", MODEL, "--raw", "hi", "--ctx",
                    "200000", "--temperature", "1", "--seed", "1", "--logit-bias", "260=-100");
    assert_int_equal(r.code, 128 + SIGINT);
    assert_true(r.out.len >= 20);
    assert_true(vt_utf8_is_valid(vt_buffer_slice(&r.out)));
    assert_int_equal(r.out.ptr[r.out.len - 1], '\n');
    child_free(&r);
}

static void test_a_reader_that_goes_away_ends_the_run(void **state)
{
    (void)state;
    child_result r = child_run(
        NULL, (const char *const[]){
                  "/bin/sh", "-c",
                  "\"$0\" run \"$1\" --raw hi --ctx 200000 --logit-bias 260=-100 --temperature 1 "
                  "--seed 1 2>/dev/null | head -c 10 | wc -c",
                  VT_BINARY, MODEL, NULL});
    assert_int_equal(r.code, 0);
    assert_true(contains(&r.out, "10"));
    child_free(&r);
}

/* ---- chat ---- */

static void test_chat_reads_messages_from_a_pipe_and_uses_its_cache(void **state)
{
    (void)state;
    child_result r = child_vetro(&(child_options){.input = "hi\n\"\"\"two\nlines\"\"\"\n/stats\n"},
                                 "chat", MODEL, "-n", "5");
    assert_int_equal(r.code, 0);
    const char *stats = strstr(r.out.ptr, "prompt ");
    assert_non_null(stats);
    assert_null(strstr(stats, "(0 from the cache)"));
    assert_non_null(strstr(stats, "answer 5 tokens"));
    child_free(&r);
}

static void test_chat_saves_what_tokenize_takes(void **state)
{
    (void)state;
    char path[] = "/tmp/vetro-chat-XXXXXX.json";
    int fd = mkstemps(path, 5);
    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    char input[256];
    snprintf(input, sizeof input, "/system Be brief.\nhi\n/save %s\n/save %s\n/exit\nnever\n", path,
             path);
    child_result r = child_vetro(&(child_options){.input = input}, "chat", MODEL, "-n", "5");
    assert_int_equal(r.code, 1); /* the second /save overwrites nothing */
    assert_true(contains(&r.err, "saved to"));
    assert_true(contains(&r.err, "File exists"));
    child_result t = child_vetro(NULL, "tokenize", MODEL, "--chat", path, "--json");
    assert_int_equal(t.code, 0);
    json_t *o = child_json(&t);
    assert_true(json_array_size(json_object_get(o, "ids")) > 20);
    assert_string_equal(json_string_value(json_array_get(json_object_get(o, "pieces"), 0)),
                        "<|im_start|>");
    json_decref(o);
    unlink(path);
    child_free(&t);
    child_free(&r);
}

static void test_chat_says_what_no_longer_fits_and_goes_on(void **state)
{
    (void)state;
    child_result r = child_vetro(&(child_options){.input = "hello hello hello hello hello\n"},
                                 "chat", MODEL, "--ctx", "20");
    assert_int_equal(r.code, 1);
    assert_true(contains(&r.err, "a context of 20"));
    assert_true(contains(&r.err, "/clear"));
    child_free(&r);
}

static void test_a_script_of_messages_ends_at_the_first_that_fails(void **state)
{
    (void)state;
    static const struct {
        const char *input;
        int code;
        const char *says;
    } cases[] = {{"/retry\nhi\n", 2, "nothing to answer"},
                 {"/polish\nhi\n", 2, "no command /polish"},
                 {"hello\n/system hello hello hello hello hello\nhi\nhi\n", 1, "/clear"}};
    for (size_t i = 0; i < VT_COUNT(cases); i++) {
        child_result r = child_vetro(&(child_options){.input = cases[i].input}, "chat", MODEL,
                                     "--ctx", "30", "-n", "3");
        if (r.code != cases[i].code || !contains(&r.err, cases[i].says))
            fail_msg("case %zu: %d %s", i, r.code, r.err.ptr);
        child_free(&r);
    }
}

static void test_sigterm_ends_a_chat_and_sigint_an_answer(void **state)
{
    (void)state;
    static const int signals[] = {SIGTERM, SIGINT};
    for (size_t i = 0; i < VT_COUNT(signals); i++) {
        const child_options o = {
            .input = "hi\n/stats\n", .interrupt_after = 200, .signal_number = signals[i]};
        child_result r = child_vetro(&o, "chat", MODEL, "--ctx", "200000", "--temperature", "1",
                                     "--seed", "1", "--logit-bias", "260=-100");
        assert_int_equal(r.code, signals[i] == SIGTERM ? 128 + SIGTERM : 0);
        assert_int_equal(contains(&r.out, "context "), signals[i] == SIGINT);
        child_free(&r);
    }
}

/* ---- tokenize ---- */

static void test_tokenize_goes_there_and_back(void **state)
{
    (void)state;
    const char *text = "the caf\xc3\xa9 <|im_start|> \xf0\x9f\x8d\x8e";
    child_result ids = child_vetro(NULL, "tokenize", MODEL, text);
    assert_int_equal(ids.code, 0);
    assert_null(strstr(ids.out.ptr, "259")); /* <|im_start|> is text here */
    child_result back =
        child_vetro(&(child_options){.input = ids.out.ptr}, "tokenize", MODEL, "--decode");
    assert_string_equal(back.out.ptr, text);
    child_result json = child_vetro(NULL, "tokenize", MODEL, "the", "--json");
    json_t *o = child_json(&json);
    assert_int_equal(json_array_size(json_object_get(o, "ids")), 2);
    assert_string_equal(json_string_value(json_array_get(json_object_get(o, "pieces"), 0)), "th");
    json_decref(o);
    child_result bad = child_vetro(NULL, "tokenize", MODEL, "--decode", "1 2 9999");
    assert_int_equal(bad.code, 1);
    assert_true(contains(&bad.err, "'9999'"));
    child_free(&ids);
    child_free(&back);
    child_free(&json);
    child_free(&bad);
}

/* ---- logits ---- */

static void write_ids(const char *path, const int32_t *ids, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(ids, 4, n, f), n);
    fclose(f);
}

static void test_logits_come_whole_or_not_at_all(void **state)
{
    (void)state;
    char dir[] = "/tmp/vetro-logits-XXXXXX";
    char tokens[64];
    char out[64];
    assert_non_null(mkdtemp(dir));
    snprintf(tokens, sizeof tokens, "%s/t", dir);
    snprintf(out, sizeof out, "%s/o", dir);
    write_ids(tokens, (const int32_t[]){1, 2, 3, 4, 5}, 5);
    child_result r = child_vetro(NULL, "logits", PLAIN, "--tokens", tokens, "--out", out, "--json");
    assert_int_equal(r.code, 0);
    json_t *o = child_json(&r);
    assert_int_equal(json_integer_value(json_object_get(o, "tokens")), 5);
    json_int_t n_vocab = json_integer_value(json_object_get(o, "vocabulary"));
    json_decref(o);
    FILE *f = fopen(out, "rb");
    fseek(f, 0, SEEK_END);
    assert_int_equal(ftell(f), 5 * 4 * n_vocab);
    fclose(f);
    unlink(out);
    child_free(&r);
    write_ids(tokens, (const int32_t[]){1, 2, 1 << 30}, 3);
    r = child_vetro(NULL, "logits", PLAIN, "--tokens", tokens, "--out", out);
    assert_int_equal(r.code, 1);
    assert_true(contains(&r.err, "at position 2"));
    child_free(&r);
    write_ids(tokens, (const int32_t[]){1}, 1);
    assert_int_equal(truncate(tokens, 3), 0);
    r = child_vetro(NULL, "logits", PLAIN, "--tokens", tokens, "--out", out);
    assert_int_equal(r.code, 1);
    assert_int_equal(access(out, F_OK), -1);
    child_free(&r);
    unlink(tokens);
    assert_int_equal(rmdir(dir), 0); /* no temporary file is left */
}

/* What is at `out` is refused with a message that says `says`, and is what it was. */
static void must_refuse_output(const child_options *o, const char *model, const char *tokens,
                               const char *out, const char *says)
{
    struct stat before = {0};
    struct stat after = {0};
    const bool was_there = lstat(out, &before) == 0;
    child_result r = child_vetro(o, "logits", model, "--tokens", tokens, "--out", out);
    if (r.code != 1 || !contains(&r.err, says)) fail_msg("%s: %d %s", out, r.code, r.err.ptr);
    child_free(&r);
    assert_int_equal(lstat(out, &after) == 0, was_there);
    assert_true(before.st_ino == after.st_ino && before.st_mode == after.st_mode &&
                before.st_size == after.st_size);
}

static void test_logits_replace_only_regular_files_and_never_the_model(void **state)
{
    (void)state;
    char dir[] = "/tmp/vetro-logits-XXXXXX";
    char tokens[64], fifo[64], hanging[64], to_file[64], to_model[64], file[64], missing[64];
    char stored[128], packed[128];
    assert_non_null(mkdtemp(dir));
    const child_options o = {.home = dir};
    snprintf(tokens, sizeof tokens, "%s/t", dir);
    snprintf(fifo, sizeof fifo, "%s/fifo", dir);
    snprintf(hanging, sizeof hanging, "%s/hanging", dir);
    snprintf(to_file, sizeof to_file, "%s/to-file", dir);
    snprintf(to_model, sizeof to_model, "%s/to-model", dir);
    snprintf(file, sizeof file, "%s/file", dir);
    snprintf(missing, sizeof missing, "%s/no/file", dir);
    snprintf(packed, sizeof packed, "%s/data/models/m/m.packed", dir);
    write_ids(tokens, (const int32_t[]){1, 2}, 2);
    write_ids(file, (const int32_t[]){3}, 1);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(symlink("nowhere", hanging), 0);
    assert_int_equal(symlink(file, to_file), 0);
    assert_int_equal(symlink(PLAIN, to_model), 0);
    child_result r = child_vetro(&o, "pull", PLAIN, "--name", "m");
    assert_int_equal(r.code, 0);
    child_free(&r);
    r = child_vetro(&o, "pack", "m");
    assert_int_equal(r.code, 0);
    child_free(&r);
    const char *name = strrchr(PLAIN, '/') + 1;
    snprintf(stored, sizeof stored, "%s/data/models/m/%s", dir, name);
    must_refuse_output(&o, PLAIN, tokens, fifo, "is no regular file");
    must_refuse_output(&o, PLAIN, tokens, hanging, "is a symbolic link");
    must_refuse_output(&o, PLAIN, tokens, to_file, "is a symbolic link");
    must_refuse_output(&o, PLAIN, tokens, dir, "is a directory");
    must_refuse_output(&o, PLAIN, tokens, to_model, "is the model itself");
    must_refuse_output(&o, "m", tokens, stored, "is the model itself");
    must_refuse_output(&o, "m", tokens, packed, "is the model itself");
    must_refuse_output(&o, packed, tokens, packed, "is the model itself");
    must_refuse_output(&o, PLAIN, tokens, missing, "cannot open directory");
    r = child_vetro(&o, "logits", PLAIN, "--tokens", tokens, "--out", file);
    assert_int_equal(r.code, 0); /* a file is replaced, as ever */
    child_free(&r);
    r = child_run(NULL, (const char *const[]){"/bin/rm", "-rf", dir, NULL});
    child_free(&r);
}

/* ---- perplexity ---- */

static void test_perplexity_scores_the_second_half_of_each_window(void **state)
{
    (void)state;
    child_result r = child_vetro(NULL, "perplexity", MODEL, VT_SOURCE_DIR "/CMakeLists.txt",
                                 "--ctx", "64", "--windows", "3", "--json");
    assert_int_equal(r.code, 0);
    json_t *o = child_json(&r);
    assert_int_equal(json_integer_value(json_object_get(o, "windows")), 3);
    assert_int_equal(json_integer_value(json_object_get(o, "tokens")), 3 * 31);
    assert_true(json_real_value(json_object_get(o, "perplexity")) > 1);
    json_decref(o);
    child_free(&r);
    r = child_vetro(&(child_options){.input = "short"}, "perplexity", MODEL, "-");
    assert_int_equal(r.code, 1);
    assert_true(contains(&r.err, "less than one window of 512"));
    child_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run_streams_valid_characters_though_the_model_speaks_bytes),
        cmocka_unit_test(test_run_gives_the_same_answer_for_the_same_seed_only),
        cmocka_unit_test(test_run_json_has_the_fields_of_the_contract),
        cmocka_unit_test(test_guessing_ahead_can_be_switched_off_and_changes_no_answer),
        cmocka_unit_test(test_a_stop_string_over_several_tokens_ends_the_answer_before_it),
        cmocka_unit_test(test_a_full_context_is_said_with_numbers),
        cmocka_unit_test(test_the_prompt_may_come_from_standard_input),
        cmocka_unit_test(test_run_with_a_schema_prints_json_that_fits),
        cmocka_unit_test(test_wrong_usage_is_told_before_any_model_is_loaded),
        cmocka_unit_test(test_what_is_no_model_is_one_clear_message),
        cmocka_unit_test(test_pull_names_the_file_it_was_given_and_leaves_it_alone),
        cmocka_unit_test(test_a_model_without_a_tokenizer_serves_logits_only),
        cmocka_unit_test(test_interrupting_ends_a_run_cleanly_and_as_shells_expect),
        cmocka_unit_test(test_a_reader_that_goes_away_ends_the_run),
        cmocka_unit_test(test_chat_reads_messages_from_a_pipe_and_uses_its_cache),
        cmocka_unit_test(test_chat_saves_what_tokenize_takes),
        cmocka_unit_test(test_chat_says_what_no_longer_fits_and_goes_on),
        cmocka_unit_test(test_a_script_of_messages_ends_at_the_first_that_fails),
        cmocka_unit_test(test_sigterm_ends_a_chat_and_sigint_an_answer),
        cmocka_unit_test(test_tokenize_goes_there_and_back),
        cmocka_unit_test(test_logits_come_whole_or_not_at_all),
        cmocka_unit_test(test_logits_replace_only_regular_files_and_never_the_model),
        cmocka_unit_test(test_perplexity_scores_the_second_half_of_each_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
