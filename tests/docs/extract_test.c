/* extract_test.c -- each format to lines with their anchors, and what broken input does to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "docs/encoding.h"
#include "docs/extract.h"
#include "docs/split.h"

static void must(vt_status st, const vt_err *err)
{
    if (st != VT_OK) fail_msg("%s", err->msg);
}

static bool keep_going(void *ctx, const vt_piece *piece)
{
    assert_true(piece->text.len <= 2000);
    *(size_t *)ctx += piece->text.len;
    return true;
}

static void assert_line(const vt_document *doc, size_t number, vt_line_kind kind, const char *text)
{
    assert_true(number >= 1 && number <= doc->n_lines);
    vt_slice line = vt_document_line(doc, number - 1);
    if (!vt_slice_eq(line, vt_slice_cstr(text)))
        fail_msg("line %zu is \"%.*s\", not \"%s\"", number, VT_ARG(line), text);
    assert_int_equal(doc->lines[number - 1].kind, kind);
}

static const char *section_at(const vt_document *doc, size_t number)
{
    int32_t s = doc->lines[number - 1].section;
    return s < 0 ? "" : doc->sections[s].path;
}

static void test_text_lines_are_the_lines_of_the_file(void **state)
{
    (void)state;
    vt_document doc;
    vt_err err = {0};
    must(vt_extract_text(VT_S("one\r\n\r\nthree\n\nlast"), VT_DOC_TEXT, NULL, &doc, &err), &err);
    assert_int_equal(doc.n_lines, 5);
    assert_line(&doc, 1, VT_LINE_TEXT, "one");
    assert_line(&doc, 2, VT_LINE_BLANK, "");
    assert_line(&doc, 3, VT_LINE_TEXT, "three");
    assert_line(&doc, 5, VT_LINE_TEXT, "last");
    vt_document_deinit(&doc);
}

static void test_a_long_line_stays_one_line_and_gives_several_passages(void **state)
{
    (void)state;
    vt_buffer b;
    vt_buffer_init(&b, 1 << 20);
    for (int i = 0; i < 2000; i++) vt_buffer_append(&b, VT_S("word. "));
    vt_document doc;
    vt_err err = {0};
    must(vt_extract_text(vt_buffer_slice(&b), VT_DOC_TEXT, NULL, &doc, &err), &err);
    assert_int_equal(doc.n_lines, 1);
    assert_int_equal(doc.lines[0].len, b.len);
    size_t n_bytes = 0;
    must(vt_split(&doc, keep_going, &n_bytes, &err), &err);
    assert_true(n_bytes >= b.len - 100 && n_bytes <= b.len); /* all of it, less the spaces cut */
    vt_document_deinit(&doc);
    vt_buffer_deinit(&b);
}

static void test_markdown_headings_make_section_paths(void **state)
{
    (void)state;
    static const char text[] = "---\ntitle: \"The plant\"\n---\n"
                               "# Plant\n"
                               "## Pumps ##\n"
                               "Text.\n"
                               "\n"
                               "Underlined\n"
                               "==========\n"
                               "#no heading\n"
                               "```\n"
                               "# code, no heading\n"
                               "```\n"
                               "### Deep\n"
                               "More.\n";
    vt_document doc;
    vt_err err = {0};
    must(vt_extract_text(vt_slice_cstr(text), VT_DOC_MARKDOWN, NULL, &doc, &err), &err);
    assert_string_equal(doc.title, "The plant");
    assert_string_equal(section_at(&doc, 6), "Plant > Pumps");
    assert_line(&doc, 8, VT_LINE_HEADING, "Underlined");
    assert_line(&doc, 10, VT_LINE_TEXT, "#no heading");
    assert_line(&doc, 12, VT_LINE_CODE, "# code, no heading");
    assert_string_equal(section_at(&doc, 12), "Underlined");
    assert_string_equal(section_at(&doc, 15), "Underlined > Deep");
    vt_document_deinit(&doc);
}

static void test_markdown_tables_and_lists_are_seen(void **state)
{
    (void)state;
    static const char text[] = "| A | B |\n|---|:-:|\n| 1 | 2 |\n| 3 | 4 |\n\n"
                               "You need:\n\n- a spanner\n  of 13 mm\n* a torch\n12. a list\n";
    vt_document doc;
    vt_err err = {0};
    must(vt_extract_text(vt_slice_cstr(text), VT_DOC_MARKDOWN, NULL, &doc, &err), &err);
    assert_line(&doc, 1, VT_LINE_HEADER, "| A | B |");
    assert_line(&doc, 2, VT_LINE_RULE, "|---|:-:|");
    assert_line(&doc, 4, VT_LINE_ROW, "| 3 | 4 |");
    assert_int_equal(doc.lines[3].header, 0);
    assert_line(&doc, 8, VT_LINE_ITEM, "- a spanner");
    assert_line(&doc, 9, VT_LINE_MORE, "  of 13 mm");
    assert_line(&doc, 10, VT_LINE_ITEM, "* a torch");
    assert_line(&doc, 11, VT_LINE_ITEM, "12. a list");
    vt_buffer row;
    vt_buffer_init(&row, 0);
    assert_true(vt_split_render(&doc, 3, &row));
    assert_string_equal(row.ptr, "3 | 4");
    vt_buffer_deinit(&row);
    vt_document_deinit(&doc);
}

static void test_plain_text_columns_are_a_table(void **state)
{
    (void)state;
    static const char text[] = "PRICES\n\nItem      Price\nBolt       0.25\nNut        0.10\n";
    vt_document doc;
    vt_err err = {0};
    must(vt_extract_text(vt_slice_cstr(text), VT_DOC_TEXT, NULL, &doc, &err), &err);
    assert_line(&doc, 1, VT_LINE_HEADING, "PRICES");
    assert_line(&doc, 3, VT_LINE_HEADER, "Item      Price");
    assert_line(&doc, 5, VT_LINE_ROW, "Nut        0.10");
    assert_string_equal(section_at(&doc, 5), "PRICES");
    vt_buffer row;
    vt_buffer_init(&row, 0);
    assert_true(vt_split_render(&doc, 4, &row));
    assert_string_equal(row.ptr, "Nut | 0.10");
    vt_buffer_deinit(&row);
    vt_document_deinit(&doc);
}

static void row_is(const vt_document *doc, size_t number, const char *text)
{
    vt_buffer row;
    vt_buffer_init(&row, 0);
    assert_true(vt_split_render(doc, number - 1, &row));
    assert_string_equal(row.ptr, text);
    vt_buffer_deinit(&row);
}

static void test_csv_quotes_and_line_ends_inside_cells(void **state)
{
    (void)state;
    static const char text[] = "Item,Note,Price\r\n"
                               "\"Valve, brass\",\"two\r\nlines\",12.50\r\n"
                               "Hose,\"with \"\"quotes\"\"\",3.20\r\n";
    vt_document doc;
    vt_err err = {0};
    must(vt_extract_table(vt_slice_cstr(text), 0, NULL, &doc, &err), &err);
    assert_int_equal(doc.delimiter, ',');
    assert_int_equal(doc.n_lines, 4);
    assert_line(&doc, 1, VT_LINE_HEADER, "Item,Note,Price");
    assert_line(&doc, 2, VT_LINE_ROW, "\"Valve, brass\",\"two");
    assert_line(&doc, 3, VT_LINE_MORE, "lines\",12.50");
    assert_line(&doc, 4, VT_LINE_ROW, "Hose,\"with \"\"quotes\"\"\",3.20");
    assert_int_equal(doc.lines[3].header, 0);
    row_is(&doc, 2, "Valve, brass | two lines | 12.50");
    row_is(&doc, 4, "Hose | with \"quotes\" | 3.20");
    vt_document_deinit(&doc);
}

static void test_csv_delimiters_are_recognised(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        char delimiter;
    } cases[] = {
        {"a;b;c\n1,5;2;3\n2,5;3;4\n", ';'},
        {"a\tb\n1, or 2\tx\n3\ty\n", '\t'},
        {"a|b|c\n1|2|3\n", '|'},
        {"a,b\n1,2\n", ','},
        {"single\ncolumn\n", ','},
    };
    for (size_t i = 0; i < VT_COUNT(cases); i++) {
        vt_document doc;
        vt_err err = {0};
        must(vt_extract_table(vt_slice_cstr(cases[i].text), 0, NULL, &doc, &err), &err);
        assert_int_equal(doc.delimiter, cases[i].delimiter);
        vt_document_deinit(&doc);
    }
}

static void test_a_csv_without_names_has_no_header(void **state)
{
    (void)state;
    vt_document doc;
    vt_err err = {0};
    must(vt_extract_table(VT_S("1,2\n3,4\n"), 0, NULL, &doc, &err), &err);
    assert_line(&doc, 1, VT_LINE_ROW, "1,2");
    assert_int_equal(doc.lines[1].header, -1);
    vt_document_deinit(&doc);
}

static void test_a_quote_that_nothing_closes_costs_its_own_line_only(void **state)
{
    (void)state;
    vt_document doc;
    vt_err err = {0};
    must(vt_extract_table(VT_S("a,b\n\"open,1\nx,2\ny,3\n"), ',', NULL, &doc, &err), &err);
    assert_int_equal(doc.n_lines, 4);
    assert_int_equal(doc.lines[1].kind, VT_LINE_ROW);
    assert_int_equal(doc.lines[2].kind, VT_LINE_ROW);
    row_is(&doc, 4, "y | 3");
    vt_document_deinit(&doc);
}

static const char page[] =
    "<html><head><title> Opening\n hours </title><style>p{}</style></head><body>"
    "<script>evil()</script><template>hidden</template>"
    "<h1>Caf&eacute; Luna</h1><p>We are open <b>daily</b> from <a href=x>8 to 17</a>.</p>"
    "<h2>Menu</h2><table><thead><tr><th>Dish</th><th>Price</th></tr></thead>"
    "<tr><td rowspan=2>Pizza</td><td>9</td></tr><tr><td>11</td></tr></table>"
    "<ul><li>Wifi<br>free</li><li><p>Dogs &lt;allowed&gt;</p></li></ul>"
    "<pre>line 1\n  line 2</pre></body></html>";

static void test_html_text_headings_tables_and_lists(void **state)
{
    (void)state;
    vt_document doc;
    vt_err err = {0};
    must(vt_extract_html(vt_slice_cstr(page), NULL, &doc, &err), &err);
    assert_string_equal(doc.title, "Opening hours");
    assert_line(&doc, 1, VT_LINE_HEADING, "Caf\xC3\xA9 Luna");
    assert_line(&doc, 3, VT_LINE_TEXT, "We are open daily from 8 to 17.");
    assert_line(&doc, 5, VT_LINE_HEADING, "Menu");
    assert_line(&doc, 7, VT_LINE_HEADER, "Dish | Price");
    assert_line(&doc, 8, VT_LINE_ROW, "Pizza | 9");
    assert_line(&doc, 9, VT_LINE_ROW, "Pizza | 11");
    assert_int_equal(doc.lines[8].header, 6);
    assert_string_equal(section_at(&doc, 9), "Caf\xC3\xA9 Luna > Menu");
    assert_line(&doc, 11, VT_LINE_ITEM, "- Wifi free");
    assert_line(&doc, 12, VT_LINE_ITEM, "- Dogs <allowed>");
    assert_line(&doc, 14, VT_LINE_CODE, "line 1");
    assert_line(&doc, 15, VT_LINE_CODE, "  line 2");
    vt_slice all = vt_buffer_slice(&doc.text);
    assert_int_equal(vt_slice_find(all, VT_S("evil")), all.len);
    assert_int_equal(vt_slice_find(all, VT_S("hidden")), all.len);
    vt_document_deinit(&doc);
}

static void test_html_nested_a_hundred_thousand_deep_is_read(void **state)
{
    (void)state;
    static const char *const opening[] = {"<div>", "<b>", "<table><tr><td>", "<ul><li>", "<q><p>"};
    for (size_t k = 0; k < VT_COUNT(opening); k++) {
        vt_buffer b;
        vt_buffer_init(&b, 8 << 20);
        for (int i = 0; i < 100000; i++) vt_buffer_append(&b, vt_slice_cstr(opening[k]));
        vt_buffer_append(&b, VT_S("needle"));
        vt_document doc;
        vt_err err = {0};
        must(vt_extract_html(vt_buffer_slice(&b), NULL, &doc, &err), &err);
        vt_slice all = vt_buffer_slice(&doc.text);
        assert_true(vt_slice_find(all, VT_S("needle")) < all.len);
        vt_document_deinit(&doc);
        vt_buffer_deinit(&b);
    }
}

static void test_html_entities_of_a_document_are_not_expanded(void **state)
{
    (void)state;
    static const char text[] = "<!DOCTYPE html [<!ENTITY x SYSTEM \"file:///etc/passwd\">"
                               "<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]>"
                               "<p>before &x; &b; after</p>";
    vt_document doc;
    vt_err err = {0};
    must(vt_extract_html(vt_slice_cstr(text), NULL, &doc, &err), &err);
    vt_slice all = vt_buffer_slice(&doc.text);
    assert_int_equal(vt_slice_find(all, VT_S("root:")), all.len);
    assert_int_equal(vt_slice_find(all, VT_S("aaaaaaaaaaaaaaaaaaaa")), all.len);
    assert_true(vt_slice_find(all, VT_S("after")) < all.len);
    vt_document_deinit(&doc);
}

static void test_pdf_text_keeps_pages_tables_and_whole_words(void **state)
{
    (void)state;
    static const char text[] = "             Report of 2026\n\n\n"
                               "1. Furnace\n"
                               "It stood still because a thermocou-\nple had failed.\n\n"
                               "   Machine      Hours    Cost\n"
                               "   Lathe           14   3,250\n"
                               "   Press            4     420\n\n"
                               "           Page 1\n\f"
                               "\342\200\242    First item, which\n     goes on\n"
                               "\342\200\242    Second item\n\f";
    vt_document doc;
    vt_err err = {0};
    must(vt_extract_pdf_text(vt_slice_cstr(text), NULL, &doc, &err), &err);
    assert_int_equal(doc.n_pages, 2);
    assert_string_equal(doc.title, "Report of 2026");
    assert_line(&doc, 4, VT_LINE_HEADING, "1. Furnace");
    assert_line(&doc, 5, VT_LINE_TEXT, "It stood still because a thermocouple");
    assert_line(&doc, 6, VT_LINE_TEXT, "had failed.");
    assert_line(&doc, 8, VT_LINE_HEADER, "Machine | Hours | Cost");
    assert_line(&doc, 9, VT_LINE_ROW, "Lathe | 14 | 3,250");
    assert_int_equal(doc.lines[8].header, 7);
    assert_line(&doc, 12, VT_LINE_RULE, "Page 1");
    assert_line(&doc, 14, VT_LINE_ITEM, "\342\200\242 First item, which");
    assert_line(&doc, 15, VT_LINE_MORE, "goes on");
    assert_int_equal(doc.lines[13].page, 2);
    assert_int_equal(doc.lines[0].page, 1);
    vt_document_deinit(&doc);
}

static void test_pdf_columns_of_prose_are_read_one_after_the_other(void **state)
{
    (void)state;
    vt_buffer b;
    vt_buffer_init(&b, 0);
    for (int i = 0; i < 15; i++)
        vt_buffer_printf(
            &b, "left text of line %02d goes here   right text of line %02d goes there\n", i, i);
    vt_document doc;
    vt_err err = {0};
    must(vt_extract_pdf_text(vt_buffer_slice(&b), NULL, &doc, &err), &err);
    assert_line(&doc, 1, VT_LINE_TEXT, "left text of line 00 goes here");
    assert_line(&doc, 2, VT_LINE_TEXT, "left text of line 01 goes here");
    assert_line(&doc, 16, VT_LINE_TEXT, "right text of line 00 goes there");
    vt_document_deinit(&doc);
    vt_buffer_deinit(&b);
}

static void test_encodings_become_utf8(void **state)
{
    (void)state;
    const struct {
        vt_slice bytes;
        const char *text;
    } cases[] = {
        {VT_S("plain"), "plain"},
        {VT_S("\xEF\xBB\xBFwith mark"), "with mark"},
        {VT_S("\xFF\xFEh\0i\0"), "hi"},
        {VT_S("\xFE\xFF\0h\0i"), "hi"},
        {VT_S("n\0o\0 \0m\0a\0r\0k\0!\0"), "no mark!"},
        {VT_S("gr\xC3\xBC\xC3\x9F"
              "e und s\xC3\xBC\xC3\x9F"
              "e F\xC3\xBC\xC3\x9F"
              "e \xC3\xB6\xC3\xA4\xC3\xBC bad \xFF"),
         "gr\xC3\xBC\xC3\x9F"
         "e und s\xC3\xBC\xC3\x9F"
         "e F\xC3\xBC\xC3\x9F"
         "e \xC3\xB6\xC3\xA4\xC3\xBC bad \xEF\xBF\xBD"},
    };
    for (size_t i = 0; i < VT_COUNT(cases); i++) {
        vt_buffer b;
        vt_slice text;
        vt_err err = {0};
        vt_buffer_init(&b, 0);
        must(vt_encoding_to_utf8(cases[i].bytes, VT_S(""), &b, &text, &err), &err);
        if (!vt_slice_eq(text, vt_slice_cstr(cases[i].text)))
            fail_msg("case %zu gave \"%.*s\"", i, VT_ARG(text));
        vt_buffer_deinit(&b);
    }
}

static void test_latin_1_is_recognised_and_a_page_may_name_its_charset(void **state)
{
    (void)state;
    vt_buffer b;
    vt_slice text;
    vt_err err = {0};
    vt_buffer_init(&b, 0);
    must(vt_encoding_to_utf8(VT_S("Die Pr\xFC"
                                  "fung f\xFCr alle G\xE4ste, nat\xFCrlich sp\xE4ter"),
                             VT_S(""), &b, &text, &err),
         &err);
    assert_true(vt_slice_find(text, VT_S("Pr\xC3\xBC"
                                         "fung")) < text.len);
    vt_buffer_deinit(&b);

    vt_slice html = VT_S("<meta charset=\"windows-1251\"><p>\xCF\xF0\xE8\xE2\xE5\xF2");
    vt_slice charset = vt_encoding_of_html(html);
    assert_true(vt_slice_eq(charset, VT_S("windows-1251")));
    vt_buffer_init(&b, 0);
    must(vt_encoding_to_utf8(html, charset, &b, &text, &err), &err);
    assert_true(vt_slice_ends(text, VT_S("\xD0\x9F\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82")));
    vt_buffer_deinit(&b);
}

static void test_binary_files_are_no_text(void **state)
{
    (void)state;
    vt_buffer b;
    vt_slice text;
    vt_buffer_init(&b, 0);
    assert_int_equal(vt_encoding_to_utf8(VT_S("\x7f"
                                              "ELF\0\1\2"),
                                         VT_S(""), &b, &text, NULL),
                     VT_EUNSUPPORTED);
    assert_int_equal(vt_encoding_to_utf8(VT_S("\1\2\3\4\5\6\7\x10"), VT_S(""), &b, &text, NULL),
                     VT_EUNSUPPORTED);
    vt_buffer_deinit(&b);
}

static void test_limits_of_lines_and_bytes_are_named(void **state)
{
    (void)state;
    vt_document doc;
    vt_err err = {0};
    vt_doc_limits few = {.n_lines = 2};
    assert_int_equal(vt_extract_text(VT_S("1\n2\n3\n"), VT_DOC_TEXT, &few, &doc, &err), VT_ELIMIT);
    assert_non_null(strstr(err.msg, "2 lines"));
    vt_doc_limits small = {.text_bytes = 3};
    assert_int_equal(vt_extract_text(VT_S("1\n2\n3\n"), VT_DOC_TEXT, &small, &doc, &err),
                     VT_ELIMIT);
    assert_int_equal(vt_extract_html(VT_S("<p>long enough</p>"), &small, &doc, &err), VT_ELIMIT);
    assert_int_equal(vt_extract_table(VT_S("1,2\n3,4\n"), ',', &small, &doc, &err), VT_ELIMIT);
}

/* Extract and split with the n-th allocation failing, for every n. */
static void torture(vt_status (*extract)(vt_document *doc, vt_err *err))
{
    for (uint64_t n = 1; n < 4000; n++) {
        vt_document doc;
        vt_err err = {0};
        vt_alloc_fail_nth(n);
        vt_status st = extract(&doc, &err);
        if (st == VT_OK) {
            size_t n_bytes = 0;
            st = vt_split(&doc, keep_going, &n_bytes, &err);
            vt_document_deinit(&doc);
        }
        uint64_t made = vt_alloc_fail_nth(0);
        if (made < n) {
            assert_int_equal(st, VT_OK);
            return;
        }
        if (st != VT_OK) assert_true(st == VT_ENOMEM || st == VT_ELIMIT);
    }
}

static vt_status extract_page(vt_document *doc, vt_err *err)
{
    return vt_extract_html(vt_slice_cstr(page), NULL, doc, err);
}

static vt_status extract_markdown(vt_document *doc, vt_err *err)
{
    return vt_extract_text(VT_S("# A\n\n|a|b|\n|-|-|\n|1|2|\n\ntext:\n\n- x\n- y\n"),
                           VT_DOC_MARKDOWN, NULL, doc, err);
}

static vt_status extract_csv(vt_document *doc, vt_err *err)
{
    return vt_extract_table(VT_S("a,b\n\"x\ny\",2\n"), 0, NULL, doc, err);
}

static vt_status extract_pdf(vt_document *doc, vt_err *err)
{
    return vt_extract_pdf_text(
        VT_S("Title\n\n1. Head\ntext of a-\nline here\n\f  a   b  c\n  d   e  f\n"), NULL, doc,
        err);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    torture(extract_page);
    torture(extract_markdown);
    torture(extract_csv);
    torture(extract_pdf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_lines_are_the_lines_of_the_file),
        cmocka_unit_test(test_a_long_line_stays_one_line_and_gives_several_passages),
        cmocka_unit_test(test_markdown_headings_make_section_paths),
        cmocka_unit_test(test_markdown_tables_and_lists_are_seen),
        cmocka_unit_test(test_plain_text_columns_are_a_table),
        cmocka_unit_test(test_csv_quotes_and_line_ends_inside_cells),
        cmocka_unit_test(test_csv_delimiters_are_recognised),
        cmocka_unit_test(test_a_csv_without_names_has_no_header),
        cmocka_unit_test(test_a_quote_that_nothing_closes_costs_its_own_line_only),
        cmocka_unit_test(test_html_text_headings_tables_and_lists),
        cmocka_unit_test(test_html_nested_a_hundred_thousand_deep_is_read),
        cmocka_unit_test(test_html_entities_of_a_document_are_not_expanded),
        cmocka_unit_test(test_pdf_text_keeps_pages_tables_and_whole_words),
        cmocka_unit_test(test_pdf_columns_of_prose_are_read_one_after_the_other),
        cmocka_unit_test(test_encodings_become_utf8),
        cmocka_unit_test(test_latin_1_is_recognised_and_a_page_may_name_its_charset),
        cmocka_unit_test(test_binary_files_are_no_text),
        cmocka_unit_test(test_limits_of_lines_and_bytes_are_named),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
