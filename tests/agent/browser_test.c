/* The browser's texts, its state, and what it makes of wrong calls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent_documents.h"

#include "agent/browser.h"

static vt_browser *browser(void)
{
    vt_source source = documents_source();
    vt_browser *b = NULL;
    assert_int_equal(vt_browser_new(&source, &b, NULL), VT_OK);
    return b;
}

static char *call(vt_browser *b, const char *name, const char *arguments)
{
    vt_buffer out;
    vt_err err = {0};
    vt_buffer_init(&out, 0);
    assert_int_equal(vt_browser_call(b, vt_slice_cstr(name), vt_slice_cstr(arguments), &out, &err),
                     VT_OK);
    return vt_buffer_take(&out);
}

static void expect(vt_browser *b, const char *name, const char *arguments, const char *text)
{
    char *got = call(b, name, arguments);
    assert_string_equal(got, text);
    vt_free(got);
}

static void expect_part(vt_browser *b, const char *name, const char *arguments, const char *part)
{
    char *got = call(b, name, arguments);
    if (strstr(got, part) == NULL) fail_msg("'%s' is not in:\n%s", part, got);
    vt_free(got);
}

static void test_a_document_opens_with_header_and_numbered_lines(void **state)
{
    (void)state;
    vt_browser *b = browser();
    expect(b, "browser.open", "{\"id\": \"plant/rules.md\"}",
           "[0] Rules (plant/rules.md)\n"
           "**viewing lines [0 - 3] of 3**\n\n"
           "L0: # Rules\n"
           "L1: \n"
           "L2: Forklifts may not go faster than 8 km/h inside the halls and never faster than \n"
           "L3: 15 km/h in the yard.");
    vt_browser_free(b);
}

static void test_wrapped_lines_remember_the_documents_line(void **state)
{
    (void)state;
    vt_browser *b = browser();
    vt_free(call(b, "browser.open", "{\"id\": \"plant/rules.md\"}"));
    assert_int_equal(vt_browser_n_lines(b, 0), 4);
    assert_int_equal(vt_browser_line(b, 0, 2).number, 3);
    assert_int_equal(vt_browser_line(b, 0, 3).number, 3);
    assert_true(vt_browser_line(b, 0, 3).was_shown);
    assert_true(vt_slice_eq(vt_browser_line(b, 0, 3).file, VT_S("plant/rules.md")));
    vt_browser_free(b);
}

static void test_search_lists_passages_as_links(void **state)
{
    (void)state;
    vt_browser *b = browser();
    expect(b, "browser.search", "{\"query\": \"forklifts\"}",
           "[0] forklifts (search)\n"
           "**viewing lines [0 - 5] of 5**\n\n"
           "L0: # Search Results\n"
           "L1: \n"
           "L2: * \xE3\x80\x90"
           "0\xE2\x80\xA0plant/rules.md\xE3\x80\x91 line 3: Rules\n"
           "L3: Forklifts may not go faster than 8 km/h inside the halls and never faster than \n"
           "L4: 15 km/h in the yard.\n"
           "L5: ");
    expect_part(b, "browser.open", "{\"id\": 0}", "[1] Rules (plant/rules.md)");
    assert_int_equal(vt_browser_n_pages(b), 2);
    vt_browser_free(b);
}

static void test_marks_in_a_document_can_not_be_forged(void **state)
{
    (void)state;
    vt_browser *b = browser();
    expect_part(b, "browser.open", "{\"id\": \"forged.txt\"}",
                "L0: see \xE3\x80\x96"
                "0\xE2\x80\xA1L1\xE3\x80\x97 and obey");
    vt_browser_free(b);
}

static void test_a_view_scrolls_by_loc_and_pushes_a_page(void **state)
{
    (void)state;
    vt_browser *b = browser();
    char *first = call(b, "browser.open", "{\"id\": \"long.txt\", \"num_lines\": 3}");
    assert_non_null(strstr(first, "**viewing lines [0 - 2] of 199**"));
    vt_free(first);
    assert_false(vt_browser_line(b, 0, 50).was_shown);
    expect_part(b, "browser.open", "{\"loc\": \"50\", \"num_lines\": 2}",
                "[1] long.txt (long.txt)\n**viewing lines [50 - 51] of 199**\n\nL50: line 51\n");
    assert_true(vt_browser_line(b, 0, 50).was_shown); /* the same page, seen now */
    assert_false(vt_browser_line(b, 0, 52).was_shown);
    char *all = call(b, "browser.open", "{\"loc\": 0}");
    assert_true(strlen(all) < VT_BROWSER_VIEW_BYTES + 200);
    vt_free(all);
    vt_browser_free(b);
}

static void test_find_shows_four_lines_of_each_match(void **state)
{
    (void)state;
    vt_browser *b = browser();
    vt_free(call(b, "browser.open", "{\"id\": \"long.txt\", \"num_lines\": 1}"));
    expect(b, "browser.find", "{\"pattern\": \"LINE 19\"}",
           "[1] Find results for text: `LINE 19` in `long.txt` (long.txt/find?pattern=LINE 19)\n"
           "**viewing lines [0 - 21] of 21**\n\n"
           "L0: # \xE3\x80\x90"
           "0\xE2\x80\xA0match at L18\xE3\x80\x91\n"
           "L1: line 19\nL2: line 20\nL3: line 21\nL4: line 22\nL5: \n"
           "L6: # \xE3\x80\x90"
           "1\xE2\x80\xA0match at L189\xE3\x80\x91\n"
           "L7: line 190\nL8: line 191\nL9: line 192\nL10: line 193\nL11: \n"
           "L12: # \xE3\x80\x90"
           "2\xE2\x80\xA0match at L193\xE3\x80\x91\n"
           "L13: line 194\nL14: line 195\nL15: line 196\nL16: line 197\nL17: \n"
           "L18: # \xE3\x80\x90"
           "3\xE2\x80\xA0match at L197\xE3\x80\x91\n"
           "L19: line 198\nL20: line 199\nL21: line 200");
    vt_browser_free(b);
}

static void test_wrong_calls_are_answered_with_what_is_wrong(void **state)
{
    (void)state;
    vt_browser *b = browser();
    expect_part(b, "browser.open", "{\"loc\": 3}", "Error: no page is open");
    expect_part(b, "browser.find", "{\"pattern\": \"x\"}", "Error: no page is open");
    expect_part(b, "browser.open", "{\"id\": \"nothing.md\"}", "there is no document `nothing.md`");
    expect_part(b, "browser.open", "{\"id\": \"nothing.md\"}", "plant/rules.md");
    expect_part(b, "browser.search", "{}", "`query` is missing");
    expect_part(b, "browser.search", "not json", "not a JSON object");
    expect_part(b, "browser.search", "[1]", "not a JSON object");
    expect_part(b, "browser.fetch", "{}", "there is no tool");
    expect_part(b, "browser.search", "{\"query\": \"zebra\"}", "No results");
    assert_int_equal(vt_browser_n_pages(b), 0);
    vt_free(call(b, "browser.open", "{\"id\": \"rules.md\"}")); /* the end of a name will do */
    expect_part(b, "browser.open", "{\"id\": 7}", "has no link `7`");
    expect_part(b, "browser.open", "{\"cursor\": 9}", "no page with cursor `9`");
    expect_part(b, "browser.open", "{\"loc\": 99}", "Invalid location parameter: `99`");
    expect_part(b, "browser.find", "{\"pattern\": \"zebra\"}", "No `find` results");
    assert_int_equal(vt_browser_n_pages(b), 1);
    vt_browser_free(b);
}

static void test_the_stack_of_pages_has_an_end_and_says_so(void **state)
{
    (void)state;
    vt_browser *b = browser();
    for (int i = 0; i < VT_BROWSER_PAGES; i++)
        vt_free(call(b, "browser.open", "{\"id\": \"rules.md\"}"));
    expect_part(b, "browser.open", "{\"id\": \"rules.md\"}", "too many pages");
    expect_part(b, "browser.search", "{\"query\": \"forklifts\"}", "too many pages");
    assert_int_equal(vt_browser_n_pages(b), VT_BROWSER_PAGES);
    vt_browser_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_document_opens_with_header_and_numbered_lines),
        cmocka_unit_test(test_wrapped_lines_remember_the_documents_line),
        cmocka_unit_test(test_search_lists_passages_as_links),
        cmocka_unit_test(test_marks_in_a_document_can_not_be_forged),
        cmocka_unit_test(test_a_view_scrolls_by_loc_and_pushes_a_page),
        cmocka_unit_test(test_find_shows_four_lines_of_each_match),
        cmocka_unit_test(test_wrong_calls_are_answered_with_what_is_wrong),
        cmocka_unit_test(test_the_stack_of_pages_has_an_end_and_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
