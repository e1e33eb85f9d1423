/* speculate_slow_test.c -- guessing ahead on real weights (smollm2-135m, as in real_slow_test.c):
 * the whole result of a run is the same with and without, and where the prompt asks for its own
 * text again some of what is guessed comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/child.h"
#include "base/json.h"

#define MODEL VT_TEST_MODELS "/smollm2-135m.gguf"

static const char again[] =
    "Repeat this text word for word, twice: The quick brown fox jumps over the lazy dog while the "
    "old clock in the tower of the town hall strikes twelve and the baker closes his shop.";
static const char prose[] = "Tell me about a lighthouse keeper who finds a letter.";

typedef struct {
    const char *prompt;
    const char *temperature;
    const char *seed;
    const char *penalty;
} plan;

static json_t *run(const plan *p, const char *mode)
{
    json_t *o = NULL;
    vt_err err = {0};
    child_result r =
        child_vetro(&(child_options){.timeout_ms = 120000}, "run", MODEL, p->prompt, "-n", "120",
                    "--json", "--logprobs", "3", "--temperature", p->temperature, "--seed", p->seed,
                    "--repetition-penalty", p->penalty, "--stop", "zebra", "--kv-store", "off",
                    "--speculate", mode);
    if (r.code != 0) fail_msg("code %d: %s", r.code, r.err.ptr);
    if (vt_json_parse(vt_slice_trim(vt_buffer_slice(&r.out)), &o, &err) != VT_OK)
        fail_msg("%s: %s", err.msg, r.out.ptr);
    child_free(&r);
    return o;
}

static json_int_t count(const json_t *o, const char *name)
{
    return json_integer_value(json_object_get(json_object_get(o, "timings"), name));
}

static void test_a_run_is_the_same_with_and_without_guessing(void **state)
{
    (void)state;
    static const plan plans[] = {
        {again, "0", "1", "1"},   {again, "0.7", "2", "1"}, {again, "1", "3", "1.1"},
        {prose, "0", "4", "1"},   {prose, "0.8", "5", "1"}, {prose, "1", "6", "1.2"},
        {again, "0.3", "7", "1"},
    };
    json_int_t drafted = 0, accepted = 0;
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
        json_t *plain = run(&plans[i], "off"), *guessed = run(&plans[i], "auto");
        assert_int_equal(count(plain, "drafted"), 0);
        drafted += count(guessed, "drafted");
        accepted += count(guessed, "accepted");
        json_object_del(plain, "timings");
        json_object_del(guessed, "timings");
        if (!json_equal(plain, guessed)) fail_msg("plan %zu: another result", i);
        json_decref(plain);
        json_decref(guessed);
    }
    print_message("%d tokens drafted, %d accepted\n", (int)drafted, (int)accepted);
    assert_true(accepted > 0 && accepted <= drafted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_run_is_the_same_with_and_without_guessing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
