/* stop_test.c -- text on its way out, split at every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/utf8.h"
#include "engine/stop.h"

static void append(vt_buffer *b, vt_slice s)
{
    assert_true(vt_buffer_append(b, s));
    assert_true(vt_utf8_is_valid(s)); /* each piece by itself is whole characters */
}

/* Everything that comes out when `text` goes in cut into pieces at the set bits of `cuts`. */
static void run(const vt_slice *stops, size_t n, vt_slice text, uint64_t cuts, vt_buffer *all)
{
    vt_stop_filter f;
    vt_slice out;
    assert_int_equal(vt_stop_init(&f, stops, n, NULL), VT_OK);
    size_t begin = 0;
    for (size_t i = 1; i <= text.len; i++) {
        if (i < text.len && (cuts >> (i % 64) & 1) == 0) continue;
        assert_int_equal(vt_stop_push(&f, vt_slice_of(text.ptr + begin, i - begin), &out, NULL),
                         VT_OK);
        append(all, out);
        begin = i;
    }
    assert_int_equal(vt_stop_finish(&f, &out, NULL), VT_OK);
    append(all, out);
    vt_stop_deinit(&f);
}

static void check(const vt_slice *stops, size_t n, vt_slice text, vt_slice want)
{
    uint64_t x = 88172645463325252u;
    for (int round = 0; round < 200; round++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        vt_buffer all;
        vt_buffer_init(&all, 0);
        vt_buffer_append(&all, VT_S(""));
        run(stops, n, text, round == 0 ? ~(uint64_t)0 : round == 1 ? 0 : x, &all);
        assert_int_equal(all.len, want.len);
        assert_memory_equal(all.ptr, want.ptr, want.len);
        vt_buffer_deinit(&all);
    }
}

static void test_a_stop_string_never_leaks_however_the_text_is_cut(void **state)
{
    (void)state;
    const vt_slice end = VT_S("</end>");
    check(&end, 1, VT_S("one </en two</end> three"), VT_S("one </en two"));
    check(&end, 1, VT_S("</end>"), VT_S(""));
    check(&end, 1, VT_S("<</</e</end></end>"), VT_S("<</</e"));
}

static void test_what_only_began_a_stop_string_comes_out_at_the_end(void **state)
{
    (void)state;
    const vt_slice end = VT_S("</end>");
    check(&end, 1, VT_S("a </en"), VT_S("a </en"));
}

static void test_of_several_stop_strings_the_one_that_is_complete_first_counts(void **state)
{
    (void)state;
    const vt_slice stops[] = {VT_S("\n\n"), VT_S("User:"), VT_S("ser")};
    check(stops, 3, VT_S("ab\ncd User: x\n\n"), VT_S("ab\ncd U"));
    check(stops, 3, VT_S("observe"), VT_S("ob"));
}

static void test_characters_come_out_whole_and_bad_bytes_replaced(void **state)
{
    (void)state;
    check(NULL, 0, VT_S("na\xc3\xafve \xf0\x9f\x8d\x8e \xe2\x82\xac"),
          VT_S("na\xc3\xafve \xf0\x9f\x8d\x8e \xe2\x82\xac"));
    check(NULL, 0, VT_S("x\xff\xe2\x82"), VT_S("x\xef\xbf\xbd\xef\xbf\xbd"));
    const vt_slice apple = VT_S("\xf0\x9f\x8d\x8e");
    check(&apple, 1, VT_S("red \xf0\x9f\x8d\x8d\xf0\x9f\x8d\x8e!"), VT_S("red \xf0\x9f\x8d\x8d"));
}

static void test_empty_long_and_many_stop_strings_are_refused(void **state)
{
    (void)state;
    vt_stop_filter f;
    char text[VT_STOP_MAX_LEN + 1] = {0};
    vt_slice many[VT_STOP_MAX + 1];
    for (size_t i = 0; i <= VT_STOP_MAX; i++) many[i] = VT_S("x");
    vt_slice empty = VT_S("");
    vt_slice long_one = vt_slice_of(text, sizeof text);
    assert_int_equal(vt_stop_init(&f, &empty, 1, NULL), VT_EINPUT);
    assert_int_equal(vt_stop_init(&f, &long_one, 1, NULL), VT_ELIMIT);
    assert_int_equal(vt_stop_init(&f, many, VT_STOP_MAX + 1, NULL), VT_ELIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stop_string_never_leaks_however_the_text_is_cut),
        cmocka_unit_test(test_what_only_began_a_stop_string_comes_out_at_the_end),
        cmocka_unit_test(test_of_several_stop_strings_the_one_that_is_complete_first_counts),
        cmocka_unit_test(test_characters_come_out_whole_and_bad_bytes_replaced),
        cmocka_unit_test(test_empty_long_and_many_stop_strings_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
