/* gguf_test.c -- model/gguf: what a sound file says, that every kind of damage gives its own
 * message, that no truncation or flipped byte does worse than an error, and that every failing
 * allocation is survived. Files are built here, byte by byte, by a small writer. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/replace.h"
#include "model/gguf.h"

/* ---- the writer ---- */

static void put(vt_buffer *b, uint64_t value, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++)
        assert_true(vt_buffer_byte(b, (char)(unsigned char)(value >> (8 * i))));
}

static void put_text(vt_buffer *b, vt_slice s)
{
    put(b, s.len, 8);
    assert_true(vt_buffer_append(b, s));
}

static void put_start(vt_buffer *b, uint32_t version, uint64_t n_tensors, uint64_t n_keys)
{
    vt_buffer_init(b, 0);
    assert_true(vt_buffer_append(b, VT_S("GGUF")));
    put(b, version, 4);
    put(b, n_tensors, 8);
    put(b, n_keys, 8);
}

static void put_key(vt_buffer *b, const char *key, vt_gguf_type type)
{
    put_text(b, vt_slice_cstr(key));
    put(b, type, 4);
}

static void put_number(vt_buffer *b, const char *key, vt_gguf_type type, uint64_t v, size_t n)
{
    put_key(b, key, type);
    put(b, v, n);
}

static void put_array(vt_buffer *b, const char *key, uint32_t type, uint64_t count)
{
    put_key(b, key, VT_GGUF_ARRAY);
    put(b, type, 4);
    put(b, count, 8);
}

static void put_tensor(vt_buffer *b, const char *name, uint64_t columns, uint64_t rows,
                       uint32_t format, uint64_t offset)
{
    put_text(b, vt_slice_cstr(name));
    put(b, 2, 4);
    put(b, columns, 8);
    put(b, rows, 8);
    put(b, format, 4);
    put(b, offset, 8);
}

/* Padding to 32, then n_bytes of data. */
static void put_data(vt_buffer *b, size_t n_bytes)
{
    while (b->len % 32 != 0) put(b, 0, 1);
    for (size_t i = 0; i < n_bytes; i++) put(b, 7 * i, 1);
}

/* One of everything. */
static void put_sample(vt_buffer *b, uint32_t version)
{
    put_start(b, version, 2, 15);
    put_key(b, "general.architecture", VT_GGUF_STRING);
    put_text(b, VT_S("llama"));
    put_number(b, "k.u8", VT_GGUF_U8, 200, 1);
    put_number(b, "k.i8", VT_GGUF_I8, 0x80, 1);
    put_number(b, "k.u16", VT_GGUF_U16, 65535, 2);
    put_number(b, "k.i16", VT_GGUF_I16, 0xfffe, 2);
    put_number(b, "k.u32", VT_GGUF_U32, 4000000000u, 4);
    put_number(b, "k.i32", VT_GGUF_I32, 0xffffffff, 4);
    put_number(b, "k.f32", VT_GGUF_F32, 0x3fc00000, 4);
    put_number(b, "k.bool", VT_GGUF_BOOL, 1, 1);
    put_number(b, "k.u64", VT_GGUF_U64, UINT64_MAX, 8);
    put_number(b, "k.i64", VT_GGUF_I64, (uint64_t)INT64_MIN, 8);
    put_number(b, "k.f64", VT_GGUF_F64, 0x4004000000000000u, 8);
    put_array(b, "k.words", VT_GGUF_STRING, 3);
    put_text(b, VT_S("one"));
    put_text(b, VT_S(""));
    put_text(b, VT_S("\xff\0z"));
    put_array(b, "k.numbers", VT_GGUF_I16, 3);
    put(b, 5, 2);
    put(b, 0xfffd, 2);
    put(b, 7, 2);
    put_array(b, "k.flags", VT_GGUF_BOOL, 2);
    put(b, 1, 1);
    put(b, 0, 1);
    put_tensor(b, "a.weight", 32, 2, 8, 0);
    put_tensor(b, "b.weight", 4, 2, 0, 96);
    put_data(b, 96 + 32);
}

static vt_gguf *parse_ok(const vt_buffer *b)
{
    vt_gguf *g = NULL;
    vt_err err = {0};
    vt_status st = vt_gguf_parse(vt_buffer_slice(b), b->len, &g, &err);
    if (st != VT_OK) fail_msg("%s", err.msg);
    return g;
}

/* Parsing must fail with this status and a message that holds `part`; b is used up. */
static void expect_broken(vt_buffer *b, vt_status status, const char *part)
{
    vt_gguf *g = NULL;
    vt_err err = {0};
    assert_false(b->failed);
    assert_int_equal(vt_gguf_parse(vt_buffer_slice(b), b->len, &g, &err), status);
    assert_null(g);
    if (strstr(err.msg, part) == NULL) fail_msg("'%s' lacks '%s'", err.msg, part);
    vt_buffer_deinit(b);
}

/* ---- sound files ---- */

static void check_sample(const vt_gguf *g)
{
    uint64_t u = 0;
    int64_t i = 0;
    double f = 0;
    bool flag = false;
    vt_slice s = {0};
    assert_true(vt_gguf_get_string(g, VT_S("general.architecture"), &s));
    assert_true(vt_slice_eq(s, VT_S("llama")));
    assert_true(vt_gguf_get_u64(g, VT_S("k.u8"), &u) && u == 200);
    assert_true(vt_gguf_get_i64(g, VT_S("k.i8"), &i) && i == -128);
    assert_true(vt_gguf_get_u64(g, VT_S("k.u16"), &u) && u == 65535);
    assert_true(vt_gguf_get_i64(g, VT_S("k.i16"), &i) && i == -2);
    assert_true(vt_gguf_get_i64(g, VT_S("k.u32"), &i) && i == 4000000000);
    assert_true(vt_gguf_get_i64(g, VT_S("k.i32"), &i) && i == -1);
    assert_true(vt_gguf_get_f64(g, VT_S("k.f32"), &f) && f == 1.5);
    assert_true(vt_gguf_get_bool(g, VT_S("k.bool"), &flag) && flag);
    assert_true(vt_gguf_get_u64(g, VT_S("k.u64"), &u) && u == UINT64_MAX);
    assert_true(vt_gguf_get_i64(g, VT_S("k.i64"), &i) && i == INT64_MIN);
    assert_true(vt_gguf_get_f64(g, VT_S("k.f64"), &f) && f == 2.5);
    assert_true(vt_gguf_get_f64(g, VT_S("k.i16"), &f) && f == -2);
}

static void test_gguf_reads_every_type_of_value(void **state)
{
    (void)state;
    for (uint32_t version = 2; version <= 3; version++) {
        vt_buffer b;
        put_sample(&b, version);
        vt_gguf *g = parse_ok(&b);
        vt_buffer_deinit(&b); /* the header is the reader's own copy */
        assert_int_equal(vt_gguf_version(g), version);
        assert_int_equal(vt_gguf_n_entries(g), 15);
        assert_int_equal(vt_gguf_n_files(g), 1);
        assert_int_equal(vt_gguf_fd(g, 0), -1);
        assert_true(vt_slice_eq(vt_gguf_entry_at(g, 1)->key, VT_S("k.u8")));
        check_sample(g);
        vt_gguf_close(g);
    }
}

static void test_gguf_gives_no_value_of_a_type_that_it_does_not_fit(void **state)
{
    (void)state;
    vt_buffer b;
    put_sample(&b, 3);
    vt_gguf *g = parse_ok(&b);
    uint64_t u = 42;
    int64_t i = 42;
    double f = 42;
    bool flag = true;
    vt_slice s = VT_S("42");
    assert_false(vt_gguf_get_u64(g, VT_S("k.i8"), &u));  /* negative */
    assert_false(vt_gguf_get_i64(g, VT_S("k.u64"), &i)); /* too large */
    assert_false(vt_gguf_get_u64(g, VT_S("k.f32"), &u));
    assert_false(vt_gguf_get_u64(g, VT_S("k.bool"), &u));
    assert_false(vt_gguf_get_bool(g, VT_S("k.u8"), &flag));
    assert_false(vt_gguf_get_f64(g, VT_S("general.architecture"), &f));
    assert_false(vt_gguf_get_string(g, VT_S("k.u8"), &s));
    assert_false(vt_gguf_get_string(g, VT_S("k.words"), &s));
    assert_false(vt_gguf_get_u64(g, VT_S("k.numbers"), &u));
    assert_false(vt_gguf_get_u64(g, VT_S("absent"), &u));
    assert_false(vt_gguf_get_u64(g, VT_S(""), &u));
    assert_true(u == 42 && i == 42 && f == 42 && flag && vt_slice_eq(s, VT_S("42")));
    vt_gguf_close(g);
    vt_buffer_deinit(&b);
}

static void test_gguf_gives_the_elements_of_arrays(void **state)
{
    (void)state;
    vt_buffer b;
    put_sample(&b, 3);
    vt_gguf *g = parse_ok(&b);
    const vt_gguf_entry *words = vt_gguf_find(g, VT_S("k.words"));
    const vt_gguf_entry *numbers = vt_gguf_find(g, VT_S("k.numbers"));
    const vt_gguf_entry *scalar = vt_gguf_find(g, VT_S("k.u8"));
    vt_slice s;
    int64_t i;
    uint64_t u;
    double f;
    assert_int_equal(words->count, 3);
    assert_int_equal(words->element_type, VT_GGUF_STRING);
    assert_true(vt_gguf_array_string(words, 0, &s) && vt_slice_eq(s, VT_S("one")));
    assert_true(vt_gguf_array_string(words, 1, &s) && s.len == 0);
    assert_true(vt_gguf_array_string(words, 2, &s) && vt_slice_eq(s, VT_S("\xff\0z")));
    assert_false(vt_gguf_array_string(words, 3, &s));
    assert_false(vt_gguf_array_i64(words, 0, &i));
    assert_true(vt_gguf_array_i64(numbers, 1, &i) && i == -3);
    assert_true(vt_gguf_array_u64(numbers, 2, &u) && u == 7);
    assert_true(vt_gguf_array_f64(numbers, 1, &f) && f == -3);
    assert_false(vt_gguf_array_u64(numbers, 1, &u));
    assert_false(vt_gguf_array_i64(numbers, 3, &i));
    assert_false(vt_gguf_array_string(numbers, 0, &s));
    assert_false(vt_gguf_array_u64(scalar, 0, &u));
    vt_gguf_close(g);
    vt_buffer_deinit(&b);
}

static void test_gguf_tells_where_each_tensor_lies(void **state)
{
    (void)state;
    vt_buffer b;
    put_sample(&b, 3);
    vt_gguf *g = parse_ok(&b);
    const vt_gguf_tensor *a = vt_gguf_find_tensor(g, VT_S("a.weight"));
    const vt_gguf_tensor *c = vt_gguf_find_tensor(g, VT_S("b.weight"));
    assert_int_equal(vt_gguf_n_tensors(g), 2);
    assert_ptr_equal(a, vt_gguf_tensor_at(g, 0));
    assert_int_equal(a->n_bytes, 68);
    assert_int_equal(a->n_dims, 2);
    assert_true(a->dims[0] == 32 && a->dims[1] == 2 && a->dims[2] == 1 && a->dims[3] == 1);
    assert_int_equal(a->offset % 32, 0);
    assert_int_equal(c->offset, a->offset + 96);
    assert_int_equal(c->offset + c->n_bytes, b.len);
    assert_null(vt_gguf_find_tensor(g, VT_S("c.weight")));
    vt_gguf_close(g);
    vt_buffer_deinit(&b);
}

static void test_gguf_keeps_tensors_of_formats_it_does_not_know(void **state)
{
    (void)state;
    vt_buffer b;
    put_start(&b, 3, 1, 0);
    put_tensor(&b, "a", 7, 1, 4711, 0);
    put_data(&b, 0);
    vt_gguf *g = parse_ok(&b);
    assert_int_equal(vt_gguf_tensor_at(g, 0)->format_id, 4711);
    assert_int_equal(vt_gguf_tensor_at(g, 0)->n_bytes, 0);
    vt_gguf_close(g);
    vt_buffer_deinit(&b);
}

static void test_gguf_follows_the_alignment_of_the_file(void **state)
{
    (void)state;
    vt_buffer b;
    put_start(&b, 3, 1, 1);
    put_number(&b, "general.alignment", VT_GGUF_U32, 256, 4);
    put_tensor(&b, "a", 1, 1, 0, 256);
    for (size_t i = b.len; i < 256 + 256 + 4; i++) put(&b, 0, 1);
    vt_gguf *g = parse_ok(&b);
    assert_int_equal(vt_gguf_tensor_at(g, 0)->offset, 512);
    vt_gguf_close(g);
    vt_buffer_deinit(&b);
}

/* ---- damage ---- */

static void test_gguf_refuses_an_empty_file(void **state)
{
    (void)state;
    vt_buffer b;
    vt_buffer_init(&b, 0);
    expect_broken(&b, VT_EINPUT, "empty");
}

static void test_gguf_says_what_a_file_is_that_is_no_gguf(void **state)
{
    (void)state;
    static const struct {
        vt_slice start;
        const char *part;
    } cases[] = {
        {{"PK\3\4..........", 14}, "ZIP"},
        {{"\x10\0\0\0\0\0\0\0{\"a\":0}......", 22}, "safetensors"},
        {{"version https://git-lfs.github.com/spec/v1", 42}, "Git LFS"},
        {{"<!DOCTYPE html>", 15}, "HTML"},
        {{"tjgg\1\0\0\0", 8}, "GGJT"},
        {{"\x1f\x8b\x08", 3}, "gzip"},
        {{"GGU", 3}, "not a GGUF file"},
        {{"hello", 5}, "not a GGUF file"},
    };
    for (size_t i = 0; i < VT_COUNT(cases); i++) {
        vt_buffer b;
        vt_buffer_init(&b, 0);
        assert_true(vt_buffer_append(&b, cases[i].start));
        expect_broken(&b, VT_EINPUT, cases[i].part);
    }
}

static void test_gguf_names_the_versions_it_cannot_read(void **state)
{
    (void)state;
    static const struct {
        uint32_t version;
        const char *part;
    } cases[] = {
        {0, "version 0"},
        {1, "version 1,"},
        {4, "version 4;"},
        {0x03000000, "big-endian"},
    };
    for (size_t i = 0; i < VT_COUNT(cases); i++) {
        vt_buffer b;
        put_start(&b, cases[i].version, 0, 0);
        expect_broken(&b, VT_EINPUT, cases[i].part);
    }
}

static void test_gguf_refuses_counts_that_the_file_cannot_hold(void **state)
{
    (void)state;
    vt_buffer b;
    put_start(&b, 3, UINT64_MAX, 0);
    expect_broken(&b, VT_EINPUT, "18446744073709551615 tensors");
    put_start(&b, 3, 0, UINT64_MAX / 2);
    expect_broken(&b, VT_EINPUT, "keys");
    put_start(&b, 3, 0, 2);
    put_number(&b, "k", VT_GGUF_U8, 0, 1);
    expect_broken(&b, VT_EINPUT, "2 keys, which");
}

static void test_gguf_names_its_limit_of_keys(void **state)
{
    (void)state;
    vt_buffer b;
    put_start(&b, 3, 0, 65537);
    for (size_t i = 0; i < 65537; i++) put_number(&b, "k", VT_GGUF_U8, 0, 1);
    expect_broken(&b, VT_ELIMIT, "65537 keys; at most 65536");
}

static void test_gguf_refuses_a_string_longer_than_the_file(void **state)
{
    (void)state;
    vt_buffer b;
    put_start(&b, 3, 0, 1);
    put_key(&b, "k", VT_GGUF_STRING);
    put(&b, UINT64_MAX - 3, 8);
    put(&b, 0, 8);
    expect_broken(&b, VT_EINPUT, "in the middle of a string");
}

static void test_gguf_refuses_an_array_longer_than_the_file(void **state)
{
    (void)state;
    static const uint32_t types[] = {VT_GGUF_U8, VT_GGUF_I32, VT_GGUF_F64, VT_GGUF_STRING};
    static const uint64_t counts[] = {1000, UINT64_MAX, UINT64_MAX / 8 + 1, (uint64_t)1 << 61};
    for (size_t t = 0; t < VT_COUNT(types); t++)
        for (size_t c = 0; c < VT_COUNT(counts); c++) {
            vt_buffer b;
            put_start(&b, 3, 0, 1);
            put_array(&b, "k", types[t], counts[c]);
            put(&b, 0, 8);
            expect_broken(&b, VT_EINPUT, types[t] == VT_GGUF_STRING ? "strings" : "a value");
        }
}

static void test_gguf_refuses_bad_keys(void **state)
{
    (void)state;
    static const struct {
        vt_slice key;
        const char *part;
    } cases[] = {
        {{"", 0}, "empty"},
        {{"bad\xff", 4}, "plain text"},
        {{"bad\x1b[2J", 7}, "plain text"},
        {{"nul\0", 4}, "plain text"},
        {{"c1\xc2\x9b", 4}, "plain text"},
    };
    for (size_t i = 0; i < VT_COUNT(cases); i++) {
        vt_buffer b;
        put_start(&b, 3, 0, 1);
        put_text(&b, cases[i].key);
        put(&b, VT_GGUF_U8, 4);
        put(&b, 0, 2);
        expect_broken(&b, VT_EINPUT, cases[i].part);
    }
}

static void test_gguf_refuses_a_key_of_more_than_65535_bytes(void **state)
{
    (void)state;
    for (size_t len = 65535; len <= 65536; len++) {
        vt_buffer b;
        put_start(&b, 3, 0, 1);
        put(&b, len, 8);
        for (size_t i = 0; i < len; i++) put(&b, 'k', 1);
        put(&b, VT_GGUF_U8, 4);
        put(&b, 0, 1);
        if (len == 65536) {
            expect_broken(&b, VT_EINPUT, "65536 bytes");
        } else {
            vt_gguf_close(parse_ok(&b));
            vt_buffer_deinit(&b);
        }
    }
}

static void test_gguf_refuses_a_key_that_is_there_twice(void **state)
{
    (void)state;
    vt_buffer b;
    put_start(&b, 3, 0, 2);
    put_number(&b, "same.key", VT_GGUF_U8, 1, 1);
    put_number(&b, "same.key", VT_GGUF_U8, 2, 1);
    expect_broken(&b, VT_EINPUT, "'same.key' is there twice (offset 53)");
}

static void test_gguf_refuses_unknown_types(void **state)
{
    (void)state;
    vt_buffer b;
    put_start(&b, 3, 0, 1);
    put_number(&b, "k", (vt_gguf_type)13, 0, 8);
    expect_broken(&b, VT_EINPUT, "key 'k' has the unknown type 13");
    put_start(&b, 3, 0, 1);
    put_array(&b, "k", 77, 0);
    expect_broken(&b, VT_EINPUT, "unknown type 77");
}

static void test_gguf_refuses_an_array_of_arrays(void **state)
{
    (void)state;
    vt_buffer b;
    put_start(&b, 3, 0, 1);
    put_array(&b, "k", VT_GGUF_ARRAY, 0);
    expect_broken(&b, VT_EINPUT, "array of arrays");
}

static void test_gguf_refuses_a_boolean_that_is_neither_0_nor_1(void **state)
{
    (void)state;
    vt_buffer b;
    put_start(&b, 3, 0, 1);
    put_number(&b, "k", VT_GGUF_BOOL, 2, 1);
    expect_broken(&b, VT_EINPUT, "a boolean is 2");
    put_start(&b, 3, 0, 1);
    put_array(&b, "k", VT_GGUF_BOOL, 2);
    put(&b, 0xff01, 2);
    expect_broken(&b, VT_EINPUT, "a boolean is 255");
}

static void test_gguf_refuses_a_bad_alignment(void **state)
{
    (void)state;
    static const uint32_t bad[] = {0, 1, 4, 24, 33, 2 << 20, UINT32_MAX};
    vt_buffer b;
    for (size_t i = 0; i < VT_COUNT(bad); i++) {
        put_start(&b, 3, 0, 1);
        put_number(&b, "general.alignment", VT_GGUF_U32, bad[i], 4);
        expect_broken(&b, VT_EINPUT, "general.alignment is");
    }
    put_start(&b, 3, 0, 1);
    put_number(&b, "general.alignment", VT_GGUF_U64, 32, 8);
    expect_broken(&b, VT_EINPUT, "32-bit");
}

static void test_gguf_refuses_a_tensor_of_no_or_five_dimensions(void **state)
{
    (void)state;
    for (uint32_t n_dims = 0; n_dims <= 5; n_dims += 5) {
        vt_buffer b;
        put_start(&b, 3, 1, 0);
        put_text(&b, VT_S("a"));
        put(&b, n_dims, 4);
        for (uint32_t i = 0; i < n_dims; i++) put(&b, 1, 8);
        put(&b, 0, 4);
        put(&b, 0, 8);
        put_data(&b, 32);
        expect_broken(&b, VT_EINPUT, "dimensions, not 1 to 4");
    }
}

static void expect_broken_tensor(uint64_t columns, uint64_t rows, uint32_t format, uint64_t offset,
                                 const char *part)
{
    vt_buffer b;
    put_start(&b, 3, 1, 0);
    put_tensor(&b, "a", columns, rows, format, offset);
    put_data(&b, 64);
    expect_broken(&b, VT_EINPUT, part);
}

static void test_gguf_refuses_a_tensor_whose_size_overflows(void **state)
{
    (void)state;
    uint64_t huge = (uint64_t)1 << 33;
    expect_broken_tensor(huge, huge, 0, 0, "weights");
    expect_broken_tensor(huge, huge, 4711, 0, "weights");
    expect_broken_tensor((uint64_t)1 << 62, 1, 0, 0, "2^64 bytes");
    expect_broken_tensor(UINT64_MAX - 31, 1, 8, 0, "2^64 bytes");
}

static void test_gguf_refuses_a_tensor_without_weights(void **state)
{
    (void)state;
    expect_broken_tensor(0, 1, 0, 0, "dimension of 0");
    expect_broken_tensor(UINT64_MAX, 0, 0, 0, "dimension of 0");
}

static void test_gguf_refuses_rows_that_are_no_whole_blocks(void **state)
{
    (void)state;
    expect_broken_tensor(33, 1, 8, 0, "rows of 33 weights, not in blocks of 32 (Q8_0)");
    expect_broken_tensor(128, 2, 12, 0, "blocks of 256 (Q4_K)");
}

static void test_gguf_refuses_a_tensor_past_the_end_of_the_file(void **state)
{
    (void)state;
    expect_broken_tensor(17, 1, 0, 0, "past the file's end");
    expect_broken_tensor(1, 1, 0, 64, "past the file's end");
    expect_broken_tensor(1, 1, 0, UINT64_MAX - 31, "past the file's end");
    expect_broken_tensor(1, 1, 4711, 96, "past the file's end");
}

static void test_gguf_refuses_a_tensor_that_is_not_aligned(void **state)
{
    (void)state;
    expect_broken_tensor(1, 1, 0, 4, "no multiple of the alignment 32");
}

static void test_gguf_refuses_tensors_that_overlap(void **state)
{
    (void)state;
    vt_buffer b;
    put_start(&b, 3, 2, 0);
    put_tensor(&b, "late", 8, 1, 0, 32);
    put_tensor(&b, "early", 9, 1, 0, 0);
    put_data(&b, 64);
    expect_broken(&b, VT_EINPUT, "'early' and 'late' overlap");
    put_start(&b, 3, 2, 0);
    put_tensor(&b, "a", 8, 1, 0, 0);
    put_tensor(&b, "b", 8, 1, 0, 0);
    put_data(&b, 64);
    expect_broken(&b, VT_EINPUT, "overlap");
}

static void test_gguf_refuses_two_tensors_of_one_name(void **state)
{
    (void)state;
    vt_buffer b;
    put_start(&b, 3, 2, 0);
    put_tensor(&b, "twin", 8, 1, 0, 0);
    put_tensor(&b, "twin", 8, 1, 0, 32);
    put_data(&b, 64);
    expect_broken(&b, VT_EINPUT, "tensor 'twin' is there twice");
}

/* ---- any damage at all ---- */

/* Read all there is to read; nothing may lie outside the header (ASan sees to that). */
static uint64_t walk(const vt_gguf *g)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < vt_gguf_n_entries(g); i++) {
        const vt_gguf_entry *e = vt_gguf_entry_at(g, i);
        vt_slice s = {0};
        uint64_t u = 0;
        assert_ptr_equal(vt_gguf_find(g, e->key), e);
        if (vt_gguf_get_string(g, e->key, &s))
            for (size_t k = 0; k < s.len; k++) sum += (unsigned char)s.ptr[k];
        if (vt_gguf_get_u64(g, e->key, &u)) sum += u;
        for (uint64_t k = 0; k < e->count; k++) {
            if (vt_gguf_array_u64(e, k, &u)) sum += u;
            if (vt_gguf_array_string(e, k, &s) && s.len > 0) sum += (unsigned char)s.ptr[s.len - 1];
        }
    }
    for (size_t i = 0; i < vt_gguf_n_tensors(g); i++) {
        const vt_gguf_tensor *t = vt_gguf_tensor_at(g, i);
        assert_ptr_equal(vt_gguf_find_tensor(g, t->name), t);
        assert_true(t->offset + t->n_bytes <= vt_gguf_file_size(g, t->i_file));
        sum += t->n_bytes;
    }
    return sum;
}

static void test_gguf_refuses_a_file_cut_off_anywhere(void **state)
{
    (void)state;
    vt_buffer b;
    put_sample(&b, 3);
    for (size_t len = 0; len < b.len; len++) {
        vt_gguf *g = NULL;
        vt_err err = {0};
        vt_slice cut = vt_slice_take(vt_buffer_slice(&b), len);
        assert_int_equal(vt_gguf_parse(cut, len, &g, &err), VT_EINPUT);
        assert_null(g);
        assert_true(err.msg[0] != '\0');
    }
    vt_buffer_deinit(&b);
}

static void test_gguf_survives_every_changed_byte(void **state)
{
    (void)state;
    static const unsigned char masks[] = {0x01, 0x80, 0xff};
    vt_buffer b;
    put_sample(&b, 3);
    size_t n_sound = 0;
    size_t n_broken = 0;
    for (size_t at = 0; at < b.len; at++)
        for (size_t m = 0; m < 2 + VT_COUNT(masks); m++) {
            vt_gguf *g = NULL;
            vt_err err = {0};
            char saved = b.ptr[at];
            unsigned char c = (unsigned char)saved;
            b.ptr[at] = (char)(m == 0 ? 0 : m == 1 ? 0xff : c ^ masks[m - 2]);
            vt_status st = vt_gguf_parse(vt_buffer_slice(&b), b.len, &g, &err);
            b.ptr[at] = saved;
            if (st == VT_OK) {
                walk(g);
                n_sound++;
            } else {
                assert_int_equal(st, VT_EINPUT);
                assert_null(g);
                n_broken++;
            }
            vt_gguf_close(g);
        }
    assert_true(n_sound > 100 && n_broken > 500); /* values may change; structure may not */
    vt_buffer_deinit(&b);
}

static void test_gguf_survives_every_failing_allocation(void **state)
{
    (void)state;
    vt_buffer b;
    put_sample(&b, 3);
    vt_status st = VT_ENOMEM;
    uint64_t nth = 0;
    while (st != VT_OK) {
        vt_gguf *g = NULL;
        vt_err err = {0};
        vt_alloc_fail_nth(++nth);
        st = vt_gguf_parse(vt_buffer_slice(&b), b.len, &g, &err);
        vt_alloc_fail_nth(0);
        if (st != VT_OK) assert_int_equal(st, VT_ENOMEM);
        vt_gguf_close(g);
    }
    assert_in_range(nth, 8, 100);
    vt_buffer_deinit(&b);
}

/* ---- on disk ---- */

static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/vetro-gguf-XXXXXX");
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int remove_dir(void **state)
{
    (void)state;
    static const char *const names[] = {"m-00001-of-00003.gguf",
                                        "m-00002-of-00003.gguf",
                                        "m-00003-of-00003.gguf",
                                        "plain.gguf",
                                        "fifo",
                                        "large.gguf"};
    char path[128];
    for (size_t i = 0; i < VT_COUNT(names); i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    return rmdir(dir);
}

static const char *in_dir(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void save(const char *name, vt_buffer *b)
{
    vt_err err = {0};
    assert_false(b->failed);
    if (vt_file_replace_path(in_dir(name), vt_buffer_slice(b), &err) != VT_OK)
        fail_msg("%s", err.msg);
    vt_buffer_deinit(b);
}

/* Part `no` of 3, with one tensor; the first has the metadata. */
static void save_part(uint32_t no, uint32_t count_said, uint32_t total, const char *tensor)
{
    vt_buffer b;
    char name[32];
    put_start(&b, 3, 1, no == 0 ? 4 : 3);
    put_number(&b, "split.no", VT_GGUF_U16, no, 2);
    put_number(&b, "split.count", VT_GGUF_U16, count_said, 2);
    put_number(&b, "split.tensors.count", VT_GGUF_I32, total, 4);
    if (no == 0) put_number(&b, "k", VT_GGUF_U8, 9, 1);
    put_tensor(&b, tensor, 8, no + 1, 0, 0);
    put_data(&b, 32 * (no + 1));
    snprintf(name, sizeof name, "m-%05u-of-00003.gguf", no + 1);
    save(name, &b);
}

static void save_split(void)
{
    static const char *const tensors[] = {"a", "b", "c"};
    for (uint32_t no = 0; no < 3; no++) save_part(no, 3, 3, tensors[no]);
}

static void expect_open_fails(const char *name, vt_status status, const char *part)
{
    vt_gguf *g = NULL;
    vt_err err = {0};
    assert_int_equal(vt_gguf_open(in_dir(name), &g, &err), status);
    assert_null(g);
    if (strstr(err.msg, part) == NULL) fail_msg("'%s' lacks '%s'", err.msg, part);
}

static void test_gguf_opens_a_file_and_names_it_in_errors(void **state)
{
    (void)state;
    vt_buffer b;
    vt_gguf *g = NULL;
    vt_err err = {0};
    put_sample(&b, 3);
    save("plain.gguf", &b);
    assert_int_equal(vt_gguf_open(in_dir("plain.gguf"), &g, &err), VT_OK);
    check_sample(g);
    walk(g);
    assert_true(vt_gguf_fd(g, 0) >= 0);
    assert_string_equal(vt_gguf_path(g, 0), in_dir("plain.gguf"));
    vt_gguf_close(g);

    put_sample(&b, 3);
    b.len -= 1;
    save("plain.gguf", &b);
    expect_open_fails("plain.gguf", VT_EINPUT, "plain.gguf: tensor 'b.weight' ends at");
}

static void test_gguf_reads_a_header_larger_than_its_first_step(void **state)
{
    (void)state;
    enum { N = 20000 };
    vt_buffer b;
    vt_gguf *g = NULL;
    vt_err err = {0};
    put_start(&b, 3, 1, 2);
    put_array(&b, "words", VT_GGUF_STRING, N);
    for (uint32_t i = 0; i < N; i++) {
        char word[16];
        snprintf(word, sizeof word, "word%u", i);
        put_text(&b, vt_slice_cstr(word));
    }
    put_number(&b, "k", VT_GGUF_U8, 7, 1);
    put_tensor(&b, "a", 1, 1, 0, 0);
    put_data(&b, 4);
    assert_true(b.len > 4 * 65536);
    save("large.gguf", &b);
    assert_int_equal(vt_gguf_open(in_dir("large.gguf"), &g, &err), VT_OK);
    const vt_gguf_entry *words = vt_gguf_find(g, VT_S("words"));
    vt_slice s;
    assert_true(vt_gguf_array_string(words, N - 1, &s) && vt_slice_eq(s, VT_S("word19999")));
    assert_true(vt_gguf_array_string(words, 3, &s) && vt_slice_eq(s, VT_S("word3")));
    assert_non_null(vt_gguf_find_tensor(g, VT_S("a")));
    vt_gguf_close(g);
}

static void test_gguf_refuses_a_header_over_its_limit_without_reading_it(void **state)
{
    (void)state;
    vt_buffer b;
    put_start(&b, 3, 0, 1);
    put_key(&b, "k", VT_GGUF_STRING);
    put(&b, (uint64_t)1 << 29, 8);
    save("large.gguf", &b);
    assert_int_equal(truncate(in_dir("large.gguf"), (off_t)1 << 30), 0); /* sparse */
    expect_open_fails("large.gguf", VT_ELIMIT, "limit of 256 MiB");
}

static void test_gguf_refuses_what_is_no_file(void **state)
{
    (void)state;
    expect_open_fails("", VT_EINPUT, "is a directory");
    expect_open_fails("missing.gguf", VT_ENOTFOUND, "missing.gguf");
    assert_int_equal(mkfifo(in_dir("fifo"), 0600), 0);
    expect_open_fails("fifo", VT_EINPUT, "not a regular file");
}

static void test_gguf_opens_all_parts_whichever_was_named(void **state)
{
    (void)state;
    static const char *const names[] = {"m-00001-of-00003.gguf", "m-00002-of-00003.gguf",
                                        "m-00003-of-00003.gguf"};
    save_split();
    for (size_t i = 0; i < 3; i++) {
        vt_gguf *g = NULL;
        vt_err err = {0};
        uint64_t k = 0;
        if (vt_gguf_open(in_dir(names[i]), &g, &err) != VT_OK) fail_msg("%s", err.msg);
        assert_int_equal(vt_gguf_n_files(g), 3);
        assert_int_equal(vt_gguf_n_tensors(g), 3);
        assert_true(vt_gguf_get_u64(g, VT_S("k"), &k) && k == 9);
        const vt_gguf_tensor *c = vt_gguf_find_tensor(g, VT_S("c"));
        assert_int_equal(c->i_file, 2);
        assert_int_equal(c->n_bytes, 96);
        assert_string_equal(vt_gguf_path(g, 2), in_dir(names[2]));
        walk(g);
        vt_gguf_close(g);
    }
}

static void test_gguf_refuses_a_split_that_makes_no_sense(void **state)
{
    (void)state;
    vt_buffer b;
    put_start(&b, 3, 0, 1);
    put_number(&b, "split.count", VT_GGUF_U16, 3, 2);
    save("plain.gguf", &b);
    expect_open_fails("plain.gguf", VT_EINPUT, "without split.no");
    put_start(&b, 3, 0, 2);
    put_number(&b, "split.count", VT_GGUF_U16, 3, 2);
    put_number(&b, "split.no", VT_GGUF_U16, 3, 2);
    save("plain.gguf", &b);
    expect_open_fails("plain.gguf", VT_EINPUT, "part 4 of 3");
}

static void test_gguf_names_the_part_that_is_missing(void **state)
{
    (void)state;
    save_split();
    unlink(in_dir("m-00002-of-00003.gguf"));
    expect_open_fails("m-00003-of-00003.gguf", VT_ENOTFOUND, "m-00002-of-00003.gguf");
}

static void test_gguf_refuses_parts_that_do_not_belong_together(void **state)
{
    (void)state;
    save_split();
    save_part(1, 4, 3, "b");
    expect_open_fails("m-00001-of-00003.gguf", VT_EINPUT, "should be part 2 of 3");
    save_part(1, 3, 3, "c");
    expect_open_fails("m-00001-of-00003.gguf", VT_EINPUT, "tensor 'c' is there twice");
    save_split();
    save_part(0, 3, 4, "a");
    expect_open_fails("m-00002-of-00003.gguf", VT_EINPUT, "split.tensors.count is 4");
}

static void test_gguf_refuses_a_part_under_a_name_that_hides_the_others(void **state)
{
    (void)state;
    save_split();
    char old[128];
    snprintf(old, sizeof old, "%s", in_dir("m-00001-of-00003.gguf"));
    assert_int_equal(rename(old, in_dir("plain.gguf")), 0);
    expect_open_fails("plain.gguf", VT_EINPUT, "-00001-of-00003.gguf");
}

static void test_gguf_survives_failing_allocations_while_opening_parts(void **state)
{
    (void)state;
    save_split();
    vt_status st = VT_ENOMEM;
    uint64_t nth = 0;
    char path[128];
    snprintf(path, sizeof path, "%s", in_dir("m-00002-of-00003.gguf"));
    while (st != VT_OK) {
        vt_gguf *g = NULL;
        vt_err err = {0};
        vt_alloc_fail_nth(++nth);
        st = vt_gguf_open(path, &g, &err);
        vt_alloc_fail_nth(0);
        if (st != VT_OK) assert_int_equal(st, VT_ENOMEM);
        vt_gguf_close(g);
    }
    assert_in_range(nth, 20, 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gguf_reads_every_type_of_value),
        cmocka_unit_test(test_gguf_gives_no_value_of_a_type_that_it_does_not_fit),
        cmocka_unit_test(test_gguf_gives_the_elements_of_arrays),
        cmocka_unit_test(test_gguf_tells_where_each_tensor_lies),
        cmocka_unit_test(test_gguf_keeps_tensors_of_formats_it_does_not_know),
        cmocka_unit_test(test_gguf_follows_the_alignment_of_the_file),
        cmocka_unit_test(test_gguf_refuses_an_empty_file),
        cmocka_unit_test(test_gguf_says_what_a_file_is_that_is_no_gguf),
        cmocka_unit_test(test_gguf_names_the_versions_it_cannot_read),
        cmocka_unit_test(test_gguf_refuses_counts_that_the_file_cannot_hold),
        cmocka_unit_test(test_gguf_names_its_limit_of_keys),
        cmocka_unit_test(test_gguf_refuses_a_string_longer_than_the_file),
        cmocka_unit_test(test_gguf_refuses_an_array_longer_than_the_file),
        cmocka_unit_test(test_gguf_refuses_bad_keys),
        cmocka_unit_test(test_gguf_refuses_a_key_of_more_than_65535_bytes),
        cmocka_unit_test(test_gguf_refuses_a_key_that_is_there_twice),
        cmocka_unit_test(test_gguf_refuses_unknown_types),
        cmocka_unit_test(test_gguf_refuses_an_array_of_arrays),
        cmocka_unit_test(test_gguf_refuses_a_boolean_that_is_neither_0_nor_1),
        cmocka_unit_test(test_gguf_refuses_a_bad_alignment),
        cmocka_unit_test(test_gguf_refuses_a_tensor_of_no_or_five_dimensions),
        cmocka_unit_test(test_gguf_refuses_a_tensor_whose_size_overflows),
        cmocka_unit_test(test_gguf_refuses_a_tensor_without_weights),
        cmocka_unit_test(test_gguf_refuses_rows_that_are_no_whole_blocks),
        cmocka_unit_test(test_gguf_refuses_a_tensor_past_the_end_of_the_file),
        cmocka_unit_test(test_gguf_refuses_a_tensor_that_is_not_aligned),
        cmocka_unit_test(test_gguf_refuses_tensors_that_overlap),
        cmocka_unit_test(test_gguf_refuses_two_tensors_of_one_name),
        cmocka_unit_test(test_gguf_refuses_a_file_cut_off_anywhere),
        cmocka_unit_test(test_gguf_survives_every_changed_byte),
        cmocka_unit_test(test_gguf_survives_every_failing_allocation),
        cmocka_unit_test(test_gguf_opens_a_file_and_names_it_in_errors),
        cmocka_unit_test(test_gguf_reads_a_header_larger_than_its_first_step),
        cmocka_unit_test(test_gguf_refuses_a_header_over_its_limit_without_reading_it),
        cmocka_unit_test(test_gguf_refuses_what_is_no_file),
        cmocka_unit_test(test_gguf_opens_all_parts_whichever_was_named),
        cmocka_unit_test(test_gguf_refuses_a_split_that_makes_no_sense),
        cmocka_unit_test(test_gguf_names_the_part_that_is_missing),
        cmocka_unit_test(test_gguf_refuses_parts_that_do_not_belong_together),
        cmocka_unit_test(test_gguf_refuses_a_part_under_a_name_that_hides_the_others),
        cmocka_unit_test(test_gguf_survives_failing_allocations_while_opening_parts),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
