/* ask_slow_test.c -- `vetro ask` on real weights: smollm2-135m in build/models (make check puts it
 * there). That model is too small to answer well; what is tested is what does not depend on it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/child.h"
#include "base/json.h"

#define MODEL VT_SOURCE_DIR "/build/models/smollm2-135m.gguf"
#define CLUB  VT_TEST_DATA "/answers/club"

enum { MINUTES = 60000 };

static char home[] = "/tmp/vetro-ask-test-XXXXXX";

static json_t *ask(const char *question)
{
    child_options o = {.home = home, .timeout_ms = 4 * MINUTES};
    child_result r = child_vetro(&o, "ask", "-d", CLUB, "--model", MODEL, "--json", question);
    json_t *answer = NULL;
    if (r.code != 0) fail_msg("%s", r.err.ptr);
    assert_int_equal(vt_json_parse(vt_slice_trim(vt_buffer_slice(&r.out)), &answer, NULL), VT_OK);
    child_free(&r);
    return answer;
}

static void test_the_wrong_object_is_refused_whatever_the_model(void **state)
{
    (void)state;
    json_t *a = ask("How many seats does the boat Blue Heron have?");
    assert_true(json_is_false(json_object_get(a, "answered")));
    assert_string_equal(json_string_value(json_object_get(a, "answer")), "not in your documents");
    assert_int_equal(json_array_size(json_object_get(a, "citations")), 0);
    assert_true(json_array_size(json_object_get(a, "nearest")) > 0);
    json_decref(a);
}

/* Answered or not: every citation of a supported sentence is there, verified, and quotes its file.
 */
static void test_every_supported_sentence_has_verified_citations(void **state)
{
    (void)state;
    json_t *a = ask("Who trains the handball women?");
    json_t *citations = json_object_get(a, "citations");
    size_t i, k;
    json_t *sentence, *index;
    json_array_foreach(json_object_get(a, "sentences"), i, sentence)
    {
        if (!json_is_true(json_object_get(sentence, "supported"))) continue;
        json_t *cited = json_object_get(sentence, "citations");
        assert_true(json_array_size(cited) > 0);
        json_array_foreach(cited, k, index)
        {
            json_t *c = json_array_get(citations, (size_t)json_integer_value(index));
            assert_true(json_is_true(json_object_get(c, "verified")));
            assert_true(vt_json_text(json_object_get(c, "quote")).len > 0);
        }
    }
    assert_int_equal(json_string_length(json_object_get(a, "model")), 64);
    assert_true(json_is_object(json_object_get(a, "usage")));
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(a, "thresholds"), "calibrated_on")),
        "default");
    json_decref(a);
}

static void test_text_output_names_the_nearest_lines(void **state)
{
    (void)state;
    child_options o = {.home = home, .timeout_ms = 4 * MINUTES};
    child_result r = child_vetro(&o, "ask", "-d", CLUB, "--model", MODEL,
                                 "What is the value of the boat Night Owl?");
    assert_int_equal(r.code, 0);
    assert_non_null(strstr(r.out.ptr, "Not in your documents"));
    assert_non_null(strstr(r.out.ptr, "Nearest lines"));
    child_free(&r);
}

static int make_home(void **state)
{
    (void)state;
    return mkdtemp(home) == NULL;
}

static int remove_home(void **state)
{
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "%s", home);
    const char *const argv[] = {"/bin/rm", "-r", "-f", command, NULL};
    pid_t pid = fork();
    if (pid == 0) {
        execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return status;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_wrong_object_is_refused_whatever_the_model),
        cmocka_unit_test(test_every_supported_sentence_has_verified_citations),
        cmocka_unit_test(test_text_output_names_the_nearest_lines),
    };
    return cmocka_run_group_tests(tests, make_home, remove_home);
}
