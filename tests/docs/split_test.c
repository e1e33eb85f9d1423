/* split_test.c -- documents to passages: what stands together, and the context that comes with it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "docs/extract.h"
#include "docs/split.h"

typedef struct {
    size_t first, last;
    int32_t header;
    char text[1024];
} piece;

typedef struct {
    piece items[64];
    size_t n;
} pieces;

static bool collect(void *ctx, const vt_piece *p)
{
    pieces *all = ctx;
    assert_true(all->n < VT_COUNT(all->items));
    piece *out = &all->items[all->n++];
    *out = (piece){.first = p->first + 1, .last = p->last + 1, .header = p->header};
    memcpy(out->text, p->text.ptr, p->text.len < sizeof out->text ? p->text.len : 0);
    return true;
}

static pieces split(const char *text, vt_doc_kind kind)
{
    pieces all = {.n = 0};
    vt_document doc;
    vt_err err = {0};
    vt_status st = kind == VT_DOC_TABLE
                       ? vt_extract_table(vt_slice_cstr(text), 0, NULL, &doc, &err)
                       : vt_extract_text(vt_slice_cstr(text), kind, NULL, &doc, &err);
    if (st == VT_OK) st = vt_split(&doc, collect, &all, &err);
    if (st != VT_OK) fail_msg("%s", err.msg);
    vt_document_deinit(&doc);
    return all;
}

static void assert_piece(const pieces *all, size_t i, size_t first, size_t last, const char *text)
{
    assert_true(i < all->n);
    assert_string_equal(all->items[i].text, text);
    assert_int_equal(all->items[i].first, first);
    assert_int_equal(all->items[i].last, last);
}

static void test_a_paragraph_is_a_passage_and_its_heading_is_not(void **state)
{
    (void)state;
    pieces all = split("# Title\n\none\ntwo\n\nthree\n", VT_DOC_MARKDOWN);
    assert_int_equal(all.n, 2);
    assert_piece(&all, 0, 3, 4, "one\ntwo");
    assert_piece(&all, 1, 6, 6, "three");
}

static void test_a_heading_with_nothing_under_it_is_a_passage(void **state)
{
    (void)state;
    pieces all = split("# Empty\n# Full\ntext\n# Last\n", VT_DOC_MARKDOWN);
    assert_int_equal(all.n, 3);
    assert_piece(&all, 0, 1, 1, "# Empty");
    assert_piece(&all, 1, 3, 3, "text");
    assert_piece(&all, 2, 4, 4, "# Last");
}

static void test_each_row_is_a_passage_with_its_header(void **state)
{
    (void)state;
    pieces all = split("name,price\nbolt,1\nnut,2\n", VT_DOC_TABLE);
    assert_int_equal(all.n, 2);
    assert_piece(&all, 0, 2, 2, "bolt | 1");
    assert_int_equal(all.items[0].header, 0);
    assert_piece(&all, 1, 3, 3, "nut | 2");
    all = split("name,price\n", VT_DOC_TABLE);
    assert_int_equal(all.n, 1);
    assert_piece(&all, 0, 1, 1, "name | price");
}

static void test_a_short_list_stays_whole_with_the_line_that_introduces_it(void **state)
{
    (void)state;
    pieces all = split("You need:\n\n- a spanner\n- a torch\n", VT_DOC_MARKDOWN);
    assert_int_equal(all.n, 2);
    assert_piece(&all, 1, 3, 4, "- a spanner\n- a torch");
    assert_int_equal(all.items[1].header, 0);
}

static void test_a_long_list_gives_its_items(void **state)
{
    (void)state;
    vt_buffer b;
    vt_buffer_init(&b, 0);
    vt_buffer_append(&b, VT_S("Rules:\n"));
    for (int i = 0; i < 10; i++)
        vt_buffer_printf(&b, "- rule %d says that something long must be done\n  before noon\n", i);
    pieces all = split(b.ptr, VT_DOC_MARKDOWN);
    assert_int_equal(all.n, 11);
    assert_piece(&all, 1, 2, 3, "- rule 0 says that something long must be done\n  before noon");
    assert_int_equal(all.items[10].header, 0);
    vt_buffer_deinit(&b);
}

static void test_code_is_cut_at_blank_lines_and_covers_every_line(void **state)
{
    (void)state;
    vt_buffer b;
    vt_buffer_init(&b, 0);
    for (int i = 1; i <= 100; i++)
        vt_buffer_printf(&b, i % 15 == 0 ? "\n" : "    statement(%d);\n", i);
    pieces all = split(b.ptr, VT_DOC_SOURCE);
    bool is_covered[101] = {false};
    for (size_t i = 0; i < all.n; i++) {
        assert_true(all.items[i].last - all.items[i].first < 26);
        for (size_t l = all.items[i].first; l <= all.items[i].last; l++) is_covered[l] = true;
    }
    for (int l = 1; l <= 100; l++)
        if (l % 15 != 0) assert_true(is_covered[l]);
    assert_true(all.n >= 4 && all.n <= 9);
    vt_buffer_deinit(&b);
}

static bool stop_at_once(void *ctx, const vt_piece *p)
{
    (void)p;
    ++*(int *)ctx;
    return false;
}

static void test_the_caller_can_stop(void **state)
{
    (void)state;
    vt_document doc;
    int n = 0;
    assert_int_equal(vt_extract_text(VT_S("a\n\nb\n\nc\n"), VT_DOC_TEXT, NULL, &doc, NULL), VT_OK);
    assert_int_equal(vt_split(&doc, stop_at_once, &n, NULL), VT_ECANCEL);
    assert_int_equal(n, 1);
    vt_document_deinit(&doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_paragraph_is_a_passage_and_its_heading_is_not),
        cmocka_unit_test(test_a_heading_with_nothing_under_it_is_a_passage),
        cmocka_unit_test(test_each_row_is_a_passage_with_its_header),
        cmocka_unit_test(test_a_short_list_stays_whole_with_the_line_that_introduces_it),
        cmocka_unit_test(test_a_long_list_gives_its_items),
        cmocka_unit_test(test_code_is_cut_at_blank_lines_and_covers_every_line),
        cmocka_unit_test(test_the_caller_can_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
