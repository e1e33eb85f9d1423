/* markdown_test.c -- Markdown as a terminal shows it, and what must never reach a terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The program's files are in no library: take the one under test. */
#include "../../src/cli/markdown.c"

/* Rendered, with ANSI sequences as <numbers>. */
static const char *render(const char *text)
{
    static char shown[4096];
    vt_buffer b;
    vt_buffer_init(&b, 65536);
    assert_true(vt_markdown_render(vt_slice_cstr(text), &b));
    size_t n = 0;
    for (size_t i = 0; i < b.len && n + 2 < sizeof shown; i++) {
        if (b.ptr[i] == '\033') {
            assert_int_equal(b.ptr[i + 1], '[');
            shown[n++] = '<';
            for (i += 2; b.ptr[i] != 'm'; i++) shown[n++] = b.ptr[i];
            shown[n++] = '>';
        } else shown[n++] = b.ptr[i];
    }
    shown[n] = '\0';
    vt_buffer_deinit(&b);
    return shown;
}

static void test_headings_and_emphasis_have_styles(void **state)
{
    (void)state;
    assert_string_equal(render("## Two"), "<0><1>Two<0>\n");
    assert_string_equal(render("a **b** c"), "a <0><1>b<0> c\n");
    assert_string_equal(render("`x` *y*"), "<0><36>x<0> <0><3>y<0>\n");
}

static void test_code_keeps_its_lines_and_its_stars(void **state)
{
    (void)state;
    assert_string_equal(render("```c\nint *p;\n\nreturn *p;\n```"),
                        "    <36>int *p;<0>\n\n    <36>return *p;<0>\n");
}

static void test_lists_have_marks_numbers_and_nesting(void **state)
{
    (void)state;
    assert_string_equal(render("- a\n- b\n  - c"),
                        " \xe2\x80\xa2 a\n \xe2\x80\xa2 b\n    \xe2\x80\xa2 c\n");
    assert_string_equal(render("3. x\n4. y"), "3. x\n4. y\n");
}

static void test_a_link_shows_its_address_once(void **state)
{
    (void)state;
    assert_non_null(strstr(render("[docs](http://x.org/a)"), "docs<0><2> (http://x.org/a)"));
    assert_null(strstr(render("http://x.org/a"), "("));
}

static void test_control_characters_never_reach_the_terminal(void **state)
{
    (void)state;
    vt_buffer b;
    vt_buffer_init(&b, 4096);
    vt_slice evil = VT_S("a\033]0;title\007b\r\xc2\x9b"
                         "2Jc\x7f\xff\n\td\0e");
    assert_true(vt_terminal_safe(evil, &b));
    for (size_t i = 0; i < b.len; i++)
        assert_true((unsigned char)b.ptr[i] >= 0x20 || b.ptr[i] == '\n' || b.ptr[i] == '\t');
    assert_int_equal(vt_slice_find(vt_buffer_slice(&b), VT_S("\xc2\x9b")), b.len);
    assert_true(vt_utf8_is_valid(vt_buffer_slice(&b)));
    vt_buffer_deinit(&b);
    assert_null(strchr(render("x \033[31m y\n\n```\n\033c\n```"), '\033'));
}

static void test_any_bytes_are_rendered_without_harm(void **state)
{
    (void)state;
    static const char parts[] = "*_`#->[]()|~\n\n 1.\\<&;\"ab\xc3\xa9\xff";
    uint32_t x = 7;
    for (int round = 0; round < 2000; round++) {
        char text[64];
        size_t n = 0;
        vt_buffer b;
        for (; n < sizeof text - 1; n++) {
            x = x * 1664525u + 1013904223u;
            text[n] = parts[(x >> 16) % (sizeof parts - 1)];
        }
        vt_buffer_init(&b, 1 << 20);
        assert_true(vt_markdown_render(vt_slice_of(text, n), &b));
        assert_true(b.len == 0 || b.ptr[b.len - 1] == '\n' || b.ptr[b.len - 1] == 'm');
        vt_buffer_deinit(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headings_and_emphasis_have_styles),
        cmocka_unit_test(test_code_keeps_its_lines_and_its_stars),
        cmocka_unit_test(test_lists_have_marks_numbers_and_nesting),
        cmocka_unit_test(test_a_link_shows_its_address_once),
        cmocka_unit_test(test_control_characters_never_reach_the_terminal),
        cmocka_unit_test(test_any_bytes_are_rendered_without_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
