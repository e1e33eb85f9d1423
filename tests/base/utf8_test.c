/* UTF-8 against a brute-force reading of the Unicode Standard, and at every split of a stream. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>

#include <cmocka.h>

#include <string.h>

#include "base/utf8.h"

/* Every well-formed character, written down by the definition: the shortest form of a scalar value.
 */
static size_t encode_by_definition(uint32_t c, uint8_t out[4])
{
    if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) return 0;
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t mark[5] = {0, 0x00, 0xC0, 0xE0, 0xF0};
    for (size_t i = n - 1; i > 0; i--) {
        out[i] = (uint8_t)(0x80 | (c & 0x3F));
        c >>= 6;
    }
    out[0] = (uint8_t)(mark[n] | c);
    return n;
}

static void test_every_scalar_value_goes_there_and_back(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        uint8_t expected[4];
        size_t n = encode_by_definition(c, expected);
        if (n == 0) continue;
        char bytes[4];
        uint32_t back;
        bool is_valid;
        if (vt_utf8_encode(c, bytes) != n || memcmp(bytes, expected, n) != 0)
            fail_msg("encode U+%04X", c);
        if (vt_utf8_decode((vt_slice){bytes, n}, &back, &is_valid) != n || !is_valid || back != c)
            fail_msg("decode U+%04X", c);
        if (!vt_utf8_is_valid((vt_slice){bytes, n})) fail_msg("valid U+%04X", c);
    }
}

static bool is_well_formed_character(const uint8_t *bytes, size_t n)
{
    if (n == 0 || n > 4) return false;
    static const uint8_t mask[5] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    uint32_t c = bytes[0] & mask[n];
    for (size_t i = 1; i < n; i++) c = c << 6 | (bytes[i] & 0x3F);
    uint8_t again[4];
    return encode_by_definition(c, again) == n && memcmp(again, bytes, n) == 0;
}

static bool is_prefix_of_a_character(const uint8_t *bytes, size_t n)
{
    /* Smallest and largest completions cover the range that the missing bits span. */
    for (size_t whole = n; whole <= 4; whole++) {
        uint8_t low[4], high[4];
        memcpy(low, bytes, n);
        memcpy(high, bytes, n);
        for (size_t i = n; i < whole; i++) {
            low[i] = 0x80;
            high[i] = 0xBF;
        }
        /* second byte at its own bounds: E0 A0, F0 90 start late, ED 9F, F4 8F end early */
        for (int second = 0x80; second <= 0xBF; second++) {
            if (n == 1 && whole > 1) low[1] = high[1] = (uint8_t)second;
            if (is_well_formed_character(low, whole) || is_well_formed_character(high, whole))
                return true;
        }
    }
    return false;
}

/* The Standard's rule: the longest prefix of a well-formed character, at least one byte. */
static size_t maximal_subpart(const uint8_t *bytes, size_t n)
{
    size_t best = 1;
    for (size_t k = 1; k <= n && k <= 4 && is_prefix_of_a_character(bytes, k); k++) best = k;
    return best;
}

static void test_all_pairs_and_many_quadruples_decode_as_the_standard_says(void **state)
{
    (void)state;
    static const uint8_t edges[] = {0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF,
                                    0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE,
                                    0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF};
    enum { N = sizeof edges };
    for (size_t i = 0; i < 256 * 256 + (size_t)N * N * N * N; i++) {
        uint8_t b[4];
        size_t len = 2;
        if (i < 256 * 256) {
            b[0] = (uint8_t)(i >> 8);
            b[1] = (uint8_t)i;
        } else {
            size_t k = i - 256 * 256;
            for (int j = 0; j < 4; j++, k /= N) b[j] = edges[k % N];
            len = 4;
            if (b[0] < 0xE0) continue; /* one or two bytes: seen above */
        }
        uint32_t code;
        bool is_valid;
        size_t n = vt_utf8_decode(vt_slice_of(b, len), &code, &is_valid);
        size_t whole = 0;
        for (size_t k = 1; k <= len; k++)
            if (is_well_formed_character(b, k)) whole = k;
        size_t expected = whole ? whole : maximal_subpart(b, len);
        if (is_valid != (whole > 0) || n != expected || (!is_valid && code != VT_UTF8_REPLACEMENT))
            fail_msg("%02x %02x %02x %02x (%zu)", b[0], b[1], len > 2 ? b[2] : 0,
                     len > 2 ? b[3] : 0, len);
    }
}

static void test_replacing_gives_one_mark_for_each_maximal_subpart(void **state)
{
    (void)state;
    const struct {
        vt_slice in, out;
    } cases[] = {
        /* the Standard's examples (3.9, tables 3-8 to 3-11) and the plain ones */
        {VT_S("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"),
         VT_S("\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\x41")},
        {VT_S("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41"),
         VT_S("\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\x41")},
        {VT_S("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"),
         VT_S("\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\x41\uFFFD\uFFFD\x42")},
        {VT_S("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), VT_S("\uFFFD\uFFFD\uFFFD\uFFFD\x41")},
        {VT_S(""), VT_S("")},
        {VT_S("caffè\0perché"), VT_S("caffè\0perché")},
        {VT_S("\xE2\x82"), VT_S("\uFFFD")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        vt_buffer out;
        vt_buffer_init(&out, 0);
        assert_true(vt_utf8_replace_invalid(cases[i].in, &out));
        assert_true(vt_slice_eq(vt_buffer_slice(&out), cases[i].out));
        assert_true(vt_utf8_is_valid(vt_buffer_slice(&out)));
        assert_int_equal(vt_utf8_is_valid(cases[i].in), vt_slice_eq(cases[i].in, cases[i].out));
        vt_buffer_deinit(&out);
    }
}

static void test_replacing_stops_at_the_ceiling(void **state)
{
    (void)state;
    vt_buffer out;
    vt_buffer_init(&out, 2);
    assert_false(vt_utf8_replace_invalid(VT_S("\xFF"), &out));
    vt_buffer_deinit(&out);
}

static void test_what_could_command_a_terminal_is_made_printable(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"", ""},
        {"plain \u00df\u20ac\U0001F600", NULL},
        {"two\nlines\tand a tab", "two lines and a tab"},
        {"\033[2Jgone\007\x7f", "?[2Jgone??"},
        {"\xc2\x9b"
         "31m",
         "??31m"},                                    /* CSI as one character */
        {"a\u202etxt.exe\u2066b", "a???txt.exe???b"}, /* turned around */
        {"\xff\xfe!\xe2\x28", "?"
                              "?!?("},
        {"cut \xe2\x82", "cut "},
        {"\xf0\x9f\x98", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[80];
        snprintf(text, sizeof text, "%s", cases[i].in);
        vt_utf8_make_printable(text);
        assert_string_equal(text, cases[i].out != NULL ? cases[i].out : cases[i].in);
    }
}

static void test_a_stream_cut_anywhere_holds_back_just_the_unfinished_character(void **state)
{
    (void)state;
    vt_slice text = VT_S("aß€\U0001F600z\xFF\xE2\x28\xF0\x9F\x92");
    for (size_t cut = 0; cut <= text.len; cut++) {
        vt_slice head = vt_slice_take(text, cut);
        size_t held = vt_utf8_incomplete_tail(head);
        assert_true(held <= 3);
        const uint8_t *tail = (const uint8_t *)head.ptr + (head.len - held);
        if (held > 0)
            assert_true(is_prefix_of_a_character(tail, held) &&
                        !is_well_formed_character(tail, held));
        /* printing what is not held back never splits a character: both parts replaced one by one
         * give what the whole gives */
        vt_buffer parts, whole;
        vt_buffer_init(&parts, 0);
        vt_buffer_init(&whole, 0);
        assert_true(vt_utf8_replace_invalid(vt_slice_take(text, cut - held), &parts));
        assert_true(vt_utf8_replace_invalid(vt_slice_skip(text, cut - held), &parts));
        assert_true(vt_utf8_replace_invalid(text, &whole));
        assert_true(vt_slice_eq(vt_buffer_slice(&parts), vt_buffer_slice(&whole)));
        vt_buffer_deinit(&parts);
        vt_buffer_deinit(&whole);
    }
    assert_int_equal(vt_utf8_incomplete_tail((vt_slice){0}), 0);
    assert_int_equal(vt_utf8_incomplete_tail(VT_S("\x80\x80\x80\x80")), 0);
    assert_int_equal(vt_utf8_incomplete_tail(VT_S("\xF0\x9F\x98\x80")), 0);
    assert_int_equal(vt_utf8_incomplete_tail(VT_S("\xC0")), 0);
    assert_int_equal(vt_utf8_incomplete_tail(VT_S("\xED\xA0")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_scalar_value_goes_there_and_back),
        cmocka_unit_test(test_all_pairs_and_many_quadruples_decode_as_the_standard_says),
        cmocka_unit_test(test_replacing_gives_one_mark_for_each_maximal_subpart),
        cmocka_unit_test(test_replacing_stops_at_the_ceiling),
        cmocka_unit_test(test_what_could_command_a_terminal_is_made_printable),
        cmocka_unit_test(test_a_stream_cut_anywhere_holds_back_just_the_unfinished_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
