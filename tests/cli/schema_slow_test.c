/* schema_slow_test.c -- `run --schema` on real weights (smollm2-135m, as in real_slow_test.c):
 * whatever is sampled at temperature 1 is JSON that fits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>

#include "../support/child.h"
#include "base/json.h"

#define MODEL VT_SOURCE_DIR "/build/models/smollm2-135m.gguf"

static const char schema[] =
    "{\"properties\":{\"rivers\":{\"type\":\"array\",\"minItems\":2,\"maxItems\":2,\"items\":{"
    "\"properties\":{\"name\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":24},"
    "\"length_km\":{\"type\":\"integer\"},\"continent\":{\"enum\":[\"Africa\",\"Asia\"]}},"
    "\"required\":[\"name\",\"length_km\",\"continent\"]}},\"sure\":{\"type\":\"boolean\"}},"
    "\"required\":[\"rivers\",\"sure\"]}";

static void check_river(const json_t *river)
{
    const char *continent = json_string_value(json_object_get(river, "continent"));
    vt_slice name = vt_json_text(json_object_get(river, "name"));
    assert_int_equal(json_object_size(river), 3);
    assert_true(name.len >= 1 && name.len <= (size_t)4 * 24);
    assert_true(json_is_integer(json_object_get(river, "length_km")));
    assert_true(strcmp(continent, "Africa") == 0 || strcmp(continent, "Asia") == 0);
}

static void test_twenty_sampled_answers_fit_their_schema(void **state)
{
    (void)state;
    char path[] = "/tmp/vetro-schema-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, schema, sizeof schema - 1) == (ssize_t)sizeof schema - 1);
    close(fd);
    for (int i = 1; i <= 20; i++) {
        char seed[12];
        json_t *o = NULL;
        vt_err err = {0};
        snprintf(seed, sizeof seed, "%d", i);
        child_result r = child_vetro(&(child_options){.timeout_ms = 120000}, "run", MODEL,
                                     "Name two rivers.", "--schema", path, "--temperature", "1",
                                     "--top-p", "1", "--top-k", "0", "--seed", seed);
        assert_int_equal(r.code, 0);
        if (vt_json_parse(vt_slice_trim(vt_buffer_slice(&r.out)), &o, &err) != VT_OK)
            fail_msg("%s: %s", err.msg, r.out.ptr);
        const json_t *rivers = json_object_get(o, "rivers");
        assert_int_equal(json_array_size(rivers), 2);
        check_river(json_array_get(rivers, 0));
        check_river(json_array_get(rivers, 1));
        assert_true(json_is_boolean(json_object_get(o, "sure")));
        assert_int_equal(json_object_size(o), 2);
        json_decref(o);
        child_free(&r);
    }
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_twenty_sampled_answers_fit_their_schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
