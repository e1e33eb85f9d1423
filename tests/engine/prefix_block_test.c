/* prefix_block_test.c -- the file of a stored block: its bytes are fixed, and every change of any
 * of them is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "engine/prefix_block.h"

enum { PAYLOAD = 4096, BYTES = VT_BLOCK_HEADER + PAYLOAD + VT_SHA256_BYTES };

static void ok(vt_status st, const vt_err *err)
{
    if (st != VT_OK) fail_msg("status %d: %s", st, err->msg);
}

/* A block of 20 tokens at the beginning of a prefix. */
static vt_block example(uint8_t image[BYTES])
{
    vt_block b = {.numerics = 1, .kv_code = 2, .n_tokens = 20, .payload_bytes = PAYLOAD};
    vt_err err = {0};
    for (int i = 0; i < VT_SHA256_BYTES; i++) b.model.bytes[i] = (uint8_t)i;
    for (int32_t i = 0; i < 20; i++) b.tokens[i] = 1000 * i + 1;
    for (int i = 0; i < PAYLOAD; i++) image[VT_BLOCK_HEADER + i] = (uint8_t)(i * 31);
    ok(vt_block_root(&b.model, b.numerics, b.kv_code, &b.previous, &err), &err);
    ok(vt_block_key(&b.previous, b.tokens, b.n_tokens, &b.key, &err), &err);
    ok(vt_block_seal(&b, image, &err), &err);
    return b;
}

static void expect_hex(const uint8_t *bytes, const char *want)
{
    char hex[VT_SHA256_HEX + 1];
    vt_sha256_hex(bytes, hex);
    assert_string_equal(hex, want);
}

static void test_the_bytes_of_a_block_are_those_of_version_1(void **state)
{
    (void)state;
    static const uint8_t head[40] = {'V', 'T', 'P', 'R', 'E', 'F', 'I', 'X', 1, 0, 0, 0, 1, 0,
                                     0,   0,   2,   0,   0,   0,   20,  0,   0, 0, 0, 0, 0, 0,
                                     0,   0,   0,   0,   0,   16,  0,   0,   0, 0, 0, 0};
    static const uint8_t tokens[12] = {1, 0, 0, 0, 0xe9, 3, 0, 0, 0xd1, 7, 0, 0};
    uint8_t image[BYTES];
    const vt_block b = example(image);
    assert_memory_equal(image, head, sizeof head);
    assert_memory_equal(image + 40, b.model.bytes, 32);
    assert_memory_equal(image + 72, b.previous.bytes, 32);
    assert_memory_equal(image + 104, b.key.bytes, 32);
    assert_memory_equal(image + 136, tokens, sizeof tokens);
    for (int i = 136 + 80; i < VT_BLOCK_HEADER; i++) assert_int_equal(image[i], 0);
    /* by Python's hashlib, from the description in prefix_block.h */
    expect_hex(b.previous.bytes,
               "bd854be20cdc0158349119f606eaaed0d5cfbe66577879d6cf5c2b62632f6ba3");
    expect_hex(b.key.bytes, "a5d58a35f57adadcbff9ff5d1e05b1fbb27dec827e11fbaaf48108af05693663");
    expect_hex(image + VT_BLOCK_HEADER + PAYLOAD,
               "2d63026babdfcdf08bd1bc479c4c464ea283e4ea0c78b69f954f7eb31d0dc251");
}

static void test_what_was_sealed_is_read_back(void **state)
{
    (void)state;
    uint8_t image[BYTES];
    vt_block b = example(image), whole, head;
    vt_err err = {0};
    ok(vt_block_open(vt_slice_of(image, BYTES), &whole, &err), &err);
    ok(vt_block_peek(vt_slice_of(image, VT_BLOCK_HEADER), BYTES, &head, &err), &err);
    assert_memory_equal(&whole, &b, sizeof b);
    assert_memory_equal(&head, &b, sizeof b);
    assert_int_equal(vt_block_bytes(&b), BYTES);
}

static void test_every_changed_bit_and_every_length_is_damage(void **state)
{
    (void)state;
    uint8_t image[BYTES + 1] = {0};
    vt_block b = example(image);
    const vt_block before = b;
    for (size_t i = 0; i < BYTES; i++) {
        vt_err err = {0};
        image[i] ^= (uint8_t)(1 << i % 8);
        assert_int_equal(vt_block_open(vt_slice_of(image, BYTES), &b, &err), VT_ECORRUPT);
        assert_true(err.msg[0] != '\0');
        image[i] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t n = 0; n <= BYTES + 1; n++)
        if (n != BYTES)
            assert_int_equal(vt_block_open(vt_slice_of(image, n), &b, NULL), VT_ECORRUPT);
    assert_memory_equal(&b, &before, sizeof b); /* untouched */
}

/* Sealed anew, so that the checksum holds: what is wrong is found all the same. */
static void test_a_block_that_contradicts_itself_is_damage_though_its_checksum_holds(void **state)
{
    (void)state;
    uint8_t image[BYTES];
    const vt_block good = example(image);
    vt_block b = good, out;
    b.tokens[3]++; /* not those of the key */
    ok(vt_block_seal(&b, image, NULL), NULL);
    assert_int_equal(vt_block_open(vt_slice_of(image, BYTES), &out, NULL), VT_ECORRUPT);
    b = good;
    b.model.bytes[0] ^= 1; /* the root is not that of the model */
    ok(vt_block_seal(&b, image, NULL), NULL);
    assert_int_equal(vt_block_open(vt_slice_of(image, BYTES), &out, NULL), VT_ECORRUPT);
    b = good;
    b.numerics++;
    ok(vt_block_seal(&b, image, NULL), NULL);
    assert_int_equal(vt_block_open(vt_slice_of(image, BYTES), &out, NULL), VT_ECORRUPT);
    b = good;
    b.position = 32; /* no multiple of 64 */
    ok(vt_block_seal(&b, image, NULL), NULL);
    assert_int_equal(vt_block_open(vt_slice_of(image, BYTES), &out, NULL), VT_ECORRUPT);
    ok(vt_block_seal(&good, image, NULL), NULL);
    ok(vt_block_open(vt_slice_of(image, BYTES), &out, NULL), NULL);
}

static void test_keys_differ_in_everything_they_depend_on(void **state)
{
    (void)state;
    vt_key model = {{1}}, other = {{2}}, keys[8];
    int32_t tokens[VT_BLOCK_TOKENS] = {5, 6, 7};
    ok(vt_block_root(&model, 1, 1, &keys[0], NULL), NULL);
    ok(vt_block_root(&other, 1, 1, &keys[1], NULL), NULL);
    ok(vt_block_root(&model, 2, 1, &keys[2], NULL), NULL);
    ok(vt_block_root(&model, 1, 2, &keys[3], NULL), NULL);
    ok(vt_block_key(&keys[0], tokens, 2, &keys[4], NULL), NULL);
    ok(vt_block_key(&keys[0], tokens, 3, &keys[5], NULL), NULL);
    ok(vt_block_key(&keys[1], tokens, 2, &keys[6], NULL), NULL);
    tokens[1] = 9;
    ok(vt_block_key(&keys[0], tokens, 2, &keys[7], NULL), NULL);
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < i; j++) assert_false(vt_key_eq(&keys[i], &keys[j]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_bytes_of_a_block_are_those_of_version_1),
        cmocka_unit_test(test_what_was_sealed_is_read_back),
        cmocka_unit_test(test_every_changed_bit_and_every_length_is_damage),
        cmocka_unit_test(test_a_block_that_contradicts_itself_is_damage_though_its_checksum_holds),
        cmocka_unit_test(test_keys_differ_in_everything_they_depend_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
