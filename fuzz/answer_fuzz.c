/* answer_fuzz.c -- what a model may write and a document may hold: citation marks, sentences,
 * atoms, the arguments of the browser's calls. The input is cut in two at its first newline: the
 * first part is the answer or the arguments, the second the document. */
#include <stdint.h>
#include <stdlib.h>

#include "agent/browse.h"
#include "agent/cites.h"
#include "agent/evidence.h"
#include "base/alloc.h"

static vt_slice document;

static vt_status lines(void *ctx, vt_slice file, int64_t first, int64_t last, vt_lines *out,
                       vt_err *err)
{
    vt_slice rest = document;
    (void)ctx;
    (void)file;
    (void)first;
    (void)last;
    *out = (vt_lines){.title = vt_strdup(VT_S("t")), .section = vt_strdup(VT_S(""))};
    out->items = vt_calloc(document.len + 1, sizeof out->items[0]);
    if (out->items == NULL) return vt_fail(err, VT_ENOMEM, "no memory");
    do {
        size_t len = vt_slice_find(rest, VT_S("\n"));
        vt_slice line = vt_slice_take(rest, len);
        out->items[out->n] = (vt_line){.number = (int64_t)out->n + 1, .text = vt_strdup(line)};
        out->n++;
        rest = vt_slice_skip(rest, len + 1);
    } while (rest.len > 0);
    return VT_OK;
}

static vt_status documents(void *ctx, vt_doc_infos *out, vt_err *err)
{
    (void)ctx;
    *out = (vt_doc_infos){.items = vt_calloc(1, sizeof out->items[0]), .n = 1};
    if (out->items == NULL) return vt_fail(err, VT_ENOMEM, "no memory");
    out->items[0] = (vt_doc_info){.file = vt_strdup(VT_S("d")), .title = vt_strdup(VT_S("t"))};
    return VT_OK;
}

static vt_status search(void *ctx, vt_slice query, size_t k, vt_passages *out, vt_err *err)
{
    (void)ctx;
    (void)query;
    (void)k;
    *out = (vt_passages){.items = vt_calloc(1, sizeof out->items[0]), .n = 1};
    if (out->items == NULL) return vt_fail(err, VT_ENOMEM, "no memory");
    out->items[0] = (vt_passage){.file = vt_strdup(VT_S("d")),
                                 .start_line = 1,
                                 .end_line = 1,
                                 .title = vt_strdup(VT_S("t")),
                                 .section = vt_strdup(document),
                                 .header = vt_strdup(VT_S("")),
                                 .text = vt_strdup(document)};
    return VT_OK;
}

static void call(vt_browser *b, vt_slice name, vt_slice arguments)
{
    vt_buffer out;
    vt_buffer_init(&out, 0);
    if (vt_browser_call(b, name, arguments, &out, NULL) != VT_OK) vt_buffer_clear(&out);
    vt_buffer_deinit(&out);
}

static void check_slices(vt_slice answer)
{
    vt_evidence e = {0};
    if (vt_evidence_add(&e, document, NULL) == VT_OK) {
        vt_slice bad = vt_evidence_unsupported(&e, answer, VT_STRICT_WORDS);
        VT_CHECK(bad.ptr == NULL ||
                 (bad.ptr >= answer.ptr && bad.ptr + bad.len <= answer.ptr + answer.len));
        (void)vt_evidence_subject(&e, answer);
    }
    vt_evidence_deinit(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vt_slice all = vt_slice_of(data, size);
    if (size > 4096 || memchr(data, 0, size) != NULL) return 0;
    size_t cut = vt_slice_find(all, VT_S("\n"));
    vt_slice answer = vt_slice_take(all, cut);
    document = vt_slice_skip(all, cut + 1);
    vt_source source = {.search = search, .lines = lines, .documents = documents};
    vt_browser *b = NULL;
    if (vt_browser_new(&source, &b, NULL) != VT_OK) return 0;
    call(b, VT_S("browser.open"), VT_S("{\"id\": \"d\"}"));
    call(b, VT_S("browser.search"), VT_S("{\"query\": \"q\"}"));
    call(b, VT_S("browser.search"), answer);
    call(b, VT_S("browser.open"), answer);
    call(b, VT_S("browser.find"), answer);
    vt_answer out = {0};
    if (vt_browse_check(b, VT_S("What is it?"), answer, &out, NULL) == VT_OK)
        if (vt_answer_finish(&out, NULL, NULL) != VT_OK) abort();
    vt_answer_deinit(&out);
    vt_browser_free(b);
    check_slices(answer);
    return 0;
}
