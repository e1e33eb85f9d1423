/* browser_page.c -- pages: escaping and wrapping. See browser_page.h.
 *
 * Wrapping follows Python's textwrap as the published tool calls it (width 80, white space kept): a
 * line is filled with chunks, which are runs of spaces, words, and parts of words that end at a
 * hyphen between letters; a chunk longer than a line is cut where the line is full. */
#include "agent/browser_page.h"

#include "agent/browser.h"
#include "base/alloc.h"
#include "base/utf8.h"

enum { TAB = 8, MAX_LINKS = 4096, MAX_FILES = 4096, PAGE_BYTES = 64 << 20 };

static vt_status no_memory(vt_err *err)
{
    return vt_fail(err, VT_ENOMEM, "no memory for a page of the browser");
}

vt_status vt__page_new(vt_slice title, vt_slice url, vt__page **out, vt_err *err)
{
    vt__page *p = vt_calloc(1, sizeof *p);
    if (p == NULL) return no_memory(err);
    vt_buffer name;
    vt_buffer_init(&p->text, PAGE_BYTES);
    vt_buffer_init(&name, 1 << 16);
    vt__append_escaped(title.len > 0 ? title : url, &name);
    p->title = name.failed ? NULL : vt_buffer_take(&name);
    vt_buffer_deinit(&name);
    p->url = vt_strdup(url);
    if (p->title == NULL || p->url == NULL) {
        vt__page_free(p);
        return no_memory(err);
    }
    *out = p;
    return VT_OK;
}

void vt__page_free(vt__page *p)
{
    if (p == NULL) return;
    for (size_t i = 0; i < p->n_files; i++) vt_free(p->files[i]);
    vt_free(p->files);
    vt_free(p->links);
    vt_free(p->lines);
    vt_buffer_deinit(&p->text);
    vt_free(p->title);
    vt_free(p->url);
    vt_free(p);
}

vt_status vt__page_file(vt__page *p, vt_slice file, int32_t *i, vt_err *err)
{
    for (size_t k = 0; k < p->n_files; k++) {
        if (!vt_slice_eq(vt_slice_cstr(p->files[k]), file)) continue;
        *i = (int32_t)k;
        return VT_OK;
    }
    if (!vt_grow((void **)&p->files, &p->cap_files, p->n_files + 1, sizeof p->files[0], MAX_FILES))
        return no_memory(err);
    char *copy = vt_strdup(file);
    if (copy == NULL) return no_memory(err);
    *i = (int32_t)p->n_files;
    p->files[p->n_files++] = copy;
    return VT_OK;
}

vt_status vt__page_link_add(vt__page *p, vt__page_link link, vt_err *err)
{
    if (!vt_grow((void **)&p->links, &p->cap_links, p->n_links + 1, sizeof p->links[0], MAX_LINKS))
        return no_memory(err);
    p->links[p->n_links++] = link;
    return VT_OK;
}

vt_status vt__page_add_raw(vt__page *p, vt_slice line, vt__page_origin origin, vt_err *err)
{
    if (p->n_lines >= VT_BROWSER_PAGE_LINES)
        return vt_fail(err, VT_ELIMIT, "a page of more than %d lines", VT_BROWSER_PAGE_LINES);
    if (!vt_grow((void **)&p->lines, &p->cap_lines, p->n_lines + 1, sizeof p->lines[0],
                 VT_BROWSER_PAGE_LINES))
        return no_memory(err);
    size_t start = p->text.len;
    vt_buffer_append(&p->text, line);
    vt_status st = vt_buffer_status(&p->text, "a page of the browser", err);
    if (st != VT_OK) return st;
    p->lines[p->n_lines++] = (vt__page_line){.start = start,
                                             .len = line.len,
                                             .i_file = origin.i_file,
                                             .page = origin.page,
                                             .number = origin.number};
    return VT_OK;
}

bool vt__append_escaped(vt_slice text, vt_buffer *out)
{
    static const struct {
        const char *mark, *instead;
    } table[] = {
        {"\xE3\x80\x90", "\xE3\x80\x96"}, /* 【 〖 */
        {"\xE3\x80\x91", "\xE3\x80\x97"}, /* 】 〗 */
        {"\xE2\x80\xA0", "\xE2\x80\xA1"}, /* † ‡ */
    };
    while (text.len > 0) {
        size_t i = 0;
        while (i < 3 && !vt_slice_starts(text, vt_slice_cstr(table[i].mark))) i++;
        if (i < 3) vt_buffer_append(out, vt_slice_cstr(table[i].instead));
        else vt_buffer_byte(out, text.ptr[0]);
        text = vt_slice_skip(text, i < 3 ? 3 : 1);
    }
    return !out->failed;
}

/* ---- wrapping ---- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\v' || c == '\f' || c == '\r';
}

static bool is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (unsigned char)c >= 0x80;
}

static bool is_word(char c)
{
    return is_letter(c) || (c >= '0' && c <= '9') || c == '_';
}

/* May a line be broken after the hyphen at i? */
static bool breaks_after(vt_slice s, size_t i)
{
    return s.ptr[i] == '-' && i >= 2 && is_letter(s.ptr[i - 1]) && is_word(s.ptr[i - 2]) &&
           i + 2 < s.len && is_word(s.ptr[i + 1]) && is_letter(s.ptr[i + 2]);
}

/* Bytes of the chunk at the start of s. */
static size_t chunk(vt_slice s)
{
    size_t n = 0;
    if (is_space(s.ptr[0])) {
        while (n < s.len && is_space(s.ptr[n])) n++;
        return n;
    }
    while (n < s.len && !is_space(s.ptr[n])) {
        n++;
        if (breaks_after(s, n - 1)) break;
    }
    return n;
}

static size_t columns(vt_slice s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        if (((unsigned char)s.ptr[i] & 0xC0) != 0x80) n++;
    return n;
}

static size_t bytes_of(vt_slice s, size_t n_columns)
{
    size_t i = 0;
    while (i < s.len && n_columns > 0) {
        i++;
        while (i < s.len && ((unsigned char)s.ptr[i] & 0xC0) == 0x80) i++;
        n_columns--;
    }
    return i;
}

static vt_status wrap(vt__page *p, vt_slice s, vt__page_origin origin, vt_err *err)
{
    if (s.len == 0) return vt__page_add_raw(p, s, origin, err);
    while (s.len > 0) {
        size_t used = 0, width = 0;
        for (;;) {
            vt_slice rest = vt_slice_skip(s, used);
            if (rest.len == 0) break;
            size_t n = chunk(rest);
            size_t w = columns(vt_slice_take(rest, n));
            if (width + w > VT_BROWSER_COLUMNS) {
                if (w > VT_BROWSER_COLUMNS) used += bytes_of(rest, VT_BROWSER_COLUMNS - width);
                break;
            }
            used += n;
            width += w;
        }
        vt_status st = vt__page_add_raw(p, vt_slice_take(s, used), origin, err);
        if (st != VT_OK) return st;
        s = vt_slice_skip(s, used);
    }
    return VT_OK;
}

vt_status vt__page_add(vt__page *p, vt_slice line, vt__page_origin origin, vt_err *err)
{
    vt_buffer escaped, spaced;
    vt_buffer_init(&escaped, PAGE_BYTES);
    vt_buffer_init(&spaced, PAGE_BYTES);
    vt__append_escaped(line, &escaped);
    size_t column = 0;
    for (size_t i = 0; i < escaped.len; i++) {
        char c = escaped.ptr[i];
        if (((unsigned char)c & 0xC0) != 0x80) column++;
        vt_buffer_byte(&spaced, c == '\t' ? ' ' : c);
        while (c == '\t' && column % TAB != 0) {
            vt_buffer_byte(&spaced, ' ');
            column++;
        }
    }
    vt_status st = vt_buffer_status(&escaped, "a line of a page", err);
    if (st == VT_OK) st = vt_buffer_status(&spaced, "a line of a page", err);
    if (st == VT_OK) st = wrap(p, vt_buffer_slice(&spaced), origin, err);
    vt_buffer_deinit(&escaped);
    vt_buffer_deinit(&spaced);
    return st;
}
