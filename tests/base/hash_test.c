/* SHA-256 against published vectors, whole and in pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"

static const struct {
    const char *text;
    const char *hex;
} vectors[] = {
    /* FIPS 180-4 examples */
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

static void test_digests_are_those_of_the_standard(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        uint8_t digest[VT_SHA256_BYTES];
        char hex[VT_SHA256_HEX + 1];
        assert_int_equal(vt_sha256_bytes(vt_slice_cstr(vectors[i].text), digest, NULL), VT_OK);
        vt_sha256_hex(digest, hex);
        assert_string_equal(hex, vectors[i].hex);
    }
}

static void test_pieces_give_the_digest_of_the_whole_wherever_it_is_cut(void **state)
{
    (void)state;
    vt_slice text = vt_slice_cstr(vectors[2].text);
    for (size_t cut = 0; cut <= text.len; cut++) {
        uint8_t digest[VT_SHA256_BYTES];
        char hex[VT_SHA256_HEX + 1];
        vt_sha256 *h = vt_sha256_new();
        assert_non_null(h);
        vt_sha256_update(h, vt_slice_take(text, cut));
        vt_sha256_update(h, (vt_slice){0});
        vt_sha256_update(h, vt_slice_skip(text, cut));
        vt_sha256_finish(h, digest);
        vt_sha256_free(h);
        vt_sha256_hex(digest, hex);
        assert_string_equal(hex, vectors[2].hex);
    }
}

static void test_a_million_bytes_give_the_published_digest(void **state)
{
    (void)state;
    char block[1000];
    memset(block, 'a', sizeof block);
    vt_sha256 *h = vt_sha256_new();
    assert_non_null(h);
    for (int i = 0; i < 1000; i++) vt_sha256_update(h, (vt_slice){block, sizeof block});
    uint8_t digest[VT_SHA256_BYTES];
    char hex[VT_SHA256_HEX + 1];
    vt_sha256_finish(h, digest);
    vt_sha256_free(h);
    vt_sha256_hex(digest, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void test_failing_memory_is_reported(void **state)
{
    (void)state;
    uint8_t digest[VT_SHA256_BYTES];
    (void)vt_alloc_fail_nth(1);
    assert_int_equal(vt_sha256_bytes(VT_S("abc"), digest, NULL), VT_ENOMEM);
    (void)vt_alloc_fail_nth(0);
    vt_sha256_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digests_are_those_of_the_standard),
        cmocka_unit_test(test_pieces_give_the_digest_of_the_whole_wherever_it_is_cut),
        cmocka_unit_test(test_a_million_bytes_give_the_published_digest),
        cmocka_unit_test(test_failing_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
