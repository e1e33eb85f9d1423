/* library_test.c -- folders indexed, refreshed and searched, through the interface that `ask` uses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"

#include "docs/library.h"

static const char plant[] = "# Plant handbook\n"
                            "\n"
                            "## Pumps\n"
                            "The cooling pump P-113 delivers 40 litres per minute.\n"
                            "It must be inspected every 14 days.\n"
                            "\n"
                            "| Part | Price |\n"
                            "|------|------:|\n"
                            "| Bolt M8 | 0.25 |\n"
                            "| Gasket 10.5 mm | 1.90 |\n";

static vt_library *open_library(const folder *f)
{
    vt_library *lib = NULL;
    vt_err err = {0};
    const char *paths[] = {f->path};
    if (vt_library_open(paths, 1, &(vt_library_options){0}, &lib, &err) != VT_OK)
        fail_msg("%s", err.msg);
    return lib;
}

static vt_report refresh(vt_library *lib)
{
    vt_report report = {0};
    vt_err err = {0};
    if (vt_library_refresh(lib, NULL, &report, &err) != VT_OK) fail_msg("%s", err.msg);
    return report;
}

static vt_passages search(vt_library *lib, const char *query)
{
    vt_passages found = {0};
    vt_err err = {0};
    if (vt_library_search(lib, vt_slice_cstr(query), 8, &found, &err) != VT_OK)
        fail_msg("%s", err.msg);
    return found;
}

static void test_a_question_finds_the_lines_that_answer_it_with_their_section(void **state)
{
    (void)state;
    folder f = folder_new();
    folder_text(&f, "plant.md", plant);
    folder_text(&f, "other.txt", "Nothing of interest here.\n");
    vt_library *lib = open_library(&f);
    vt_report report = refresh(lib);
    assert_int_equal(report.n_documents, 2);
    assert_int_equal(report.n_added, 2);
    vt_report_deinit(&report);

    vt_passages p = search(lib, "How often must the cooling pump be inspected?");
    assert_true(p.n >= 1);
    assert_int_equal(p.items[0].start_line, 4);
    assert_int_equal(p.items[0].end_line, 5);
    assert_string_equal(p.items[0].section, "Plant handbook > Pumps");
    assert_true(p.items[0].score > 0 && p.items[0].score <= 1);
    vt_passages_deinit(&p);
    vt_library_close(lib);
    folder_free(&f);
}

static void test_a_table_row_comes_with_its_header_row(void **state)
{
    (void)state;
    folder f = folder_new();
    folder_text(&f, "plant.md", plant);
    vt_library *lib = open_library(&f);
    vt_report report = refresh(lib);
    vt_report_deinit(&report);
    vt_passages p = search(lib, "price of the gasket");
    assert_true(p.n >= 1);
    assert_string_equal(p.items[0].text, "Gasket 10.5 mm | 1.90");
    assert_string_equal(p.items[0].header, "Part | Price");
    assert_int_equal(p.items[0].start_line, 10);
    assert_int_equal(p.items[0].header_line, 7);
    vt_passages_deinit(&p);
    vt_library_close(lib);
    folder_free(&f);
}

static void test_a_refresh_reads_only_what_changed(void **state)
{
    (void)state;
    folder f = folder_new();
    folder_text(&f, "a.txt", "alpha\n");
    folder_text(&f, "b.txt", "bravo\n");
    folder_text(&f, "c.txt", "charlie is the longest\n");
    vt_library *lib = open_library(&f);
    vt_report r = refresh(lib);
    assert_int_equal(r.n_added, 3);
    vt_report_deinit(&r);

    char from[128];
    char to[128];
    snprintf(from, sizeof from, "%s/c.txt", f.path);
    snprintf(to, sizeof to, "%s/d.txt", f.path);
    assert_int_equal(rename(from, to), 0);
    folder_text(&f, "a.txt", "alpha two\n");
    snprintf(from, sizeof from, "%s/b.txt", f.path);
    assert_int_equal(unlink(from), 0);
    r = refresh(lib);
    assert_int_equal(r.n_updated, 1);
    assert_int_equal(r.n_renamed, 1);
    assert_int_equal(r.n_removed, 1);
    assert_int_equal(r.n_added, 0);
    assert_int_equal(r.n_documents, 2);
    vt_report_deinit(&r);

    vt_passages p = search(lib, "bravo");
    assert_int_equal(p.n, 0);
    vt_passages_deinit(&p);
    p = search(lib, "charlie");
    assert_int_equal(p.n, 1);
    assert_true(strstr(p.items[0].file, "/d.txt") != NULL);
    vt_passages_deinit(&p);
    p = search(lib, "two");
    assert_int_equal(p.n, 1);
    vt_passages_deinit(&p);
    vt_library_close(lib);
    folder_free(&f);
}

static void test_lines_are_those_of_the_file(void **state)
{
    (void)state;
    folder f = folder_new();
    folder_text(&f, "plant.md", plant);
    vt_library *lib = open_library(&f);
    vt_report r = refresh(lib);
    vt_report_deinit(&r);
    char name[128];
    vt_lines lines;
    vt_err err = {0};
    snprintf(name, sizeof name, "%s/plant.md", f.path);
    assert_int_equal(vt_library_lines(lib, vt_slice_cstr(name), 4, 99, &lines, &err), VT_OK);
    assert_int_equal(lines.n, 7);
    assert_int_equal(lines.n_total, 10);
    assert_int_equal(lines.items[0].number, 4);
    assert_string_equal(lines.items[0].text,
                        "The cooling pump P-113 delivers 40 litres per minute.");
    assert_string_equal(lines.items[6].text, "| Gasket 10.5 mm | 1.90 |");
    assert_string_equal(lines.section, "Plant handbook > Pumps");
    vt_lines_deinit(&lines);
    assert_int_equal(vt_library_lines(lib, vt_slice_cstr(name), 11, 11, &lines, &err),
                     VT_ENOTFOUND);
    assert_int_equal(vt_library_lines(lib, VT_S("nowhere.md"), 1, 1, &lines, &err), VT_ENOTFOUND);
    vt_library_close(lib);
    folder_free(&f);
}

static void test_no_text_of_the_user_is_query_syntax(void **state)
{
    (void)state;
    static const char *const queries[] = {
        "\"",         "'; DROP TABLE document; --",
        "pump AND (", "NEAR(pump, 2)",
        "text:pump",  "pump*",
        "^pump",      "- - -",
        "",           "\xff\xfe",
        "pump OR \"", "{pump}",
        "the of and",
    };
    folder f = folder_new();
    folder_text(&f, "plant.md", plant);
    vt_library *lib = open_library(&f);
    vt_report r = refresh(lib);
    vt_report_deinit(&r);
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
        vt_passages p = search(lib, queries[i]);
        if (strstr(queries[i], "pump")) assert_true(p.n >= 1);
        vt_passages_deinit(&p);
    }
    vt_library_close(lib);
    folder_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_question_finds_the_lines_that_answer_it_with_their_section),
        cmocka_unit_test(test_a_table_row_comes_with_its_header_row),
        cmocka_unit_test(test_a_refresh_reads_only_what_changed),
        cmocka_unit_test(test_lines_are_those_of_the_file),
        cmocka_unit_test(test_no_text_of_the_user_is_query_syntax),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
