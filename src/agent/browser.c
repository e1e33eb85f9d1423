/* browser.c -- search, open and find over a stack of pages. See browser.h. */
#include "agent/browser.h"

#include <stdio.h>
#include <utf8proc.h>

#include "agent/browser_page.h"
#include "base/alloc.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/utf8.h"

enum {
    SEARCH_RESULTS = 10,
    MAX_SEARCH_RESULTS = 50,
    FIND_RESULTS = 50,
    FIND_LINES = 4,
    NAMES_LISTED = 20,
};

/* Views of one page share it: scrolling pushes the page again. */
struct vt_browser {
    vt_source source;
    vt__page *pages[VT_BROWSER_PAGES]; /* each once */
    size_t n_owned;
    vt__page *stack[VT_BROWSER_PAGES];
    size_t n_stack;
};

static const vt__page_origin own_line = {.i_file = -1};

vt_status vt_browser_new(const vt_source *source, vt_browser **out, vt_err *err)
{
    vt_browser *b = vt_calloc(1, sizeof *b);
    if (b == NULL) return vt_fail(err, VT_ENOMEM, "no memory for the browser");
    b->source = *source;
    *out = b;
    return VT_OK;
}

void vt_browser_free(vt_browser *b)
{
    if (b == NULL) return;
    for (size_t i = 0; i < b->n_owned; i++) vt__page_free(b->pages[i]);
    vt_free(b);
}

size_t vt_browser_n_pages(const vt_browser *b)
{
    return b->n_stack;
}

size_t vt_browser_n_lines(const vt_browser *b, size_t cursor)
{
    return cursor < b->n_stack ? b->stack[cursor]->n_lines : 0;
}

vt_slice vt_browser_title(const vt_browser *b, size_t cursor)
{
    return cursor < b->n_stack ? vt_slice_cstr(b->stack[cursor]->title) : (vt_slice){NULL, 0};
}

vt_page_line vt_browser_line(const vt_browser *b, size_t cursor, size_t i)
{
    if (i >= vt_browser_n_lines(b, cursor)) return (vt_page_line){0};
    const vt__page *p = b->stack[cursor];
    const vt__page_line *l = &p->lines[i];
    return (vt_page_line){.text = vt__page_text(p, i),
                          .file = l->i_file >= 0 ? vt_slice_cstr(p->files[l->i_file])
                                                 : (vt_slice){NULL, 0},
                          .number = l->number,
                          .page = l->page,
                          .was_shown = l->was_shown};
}

/* ---- arguments ---- */

/* A number, also as a text ("3"): models write both. */
static int64_t int_argument(const json_t *arguments, const char *name, int64_t standard)
{
    const json_t *value = json_object_get(arguments, name);
    int64_t n = standard;
    if (json_is_integer(value)) return json_integer_value(value);
    if (json_is_string(value)) vt_parse_i64(vt_json_text(value), &n);
    return n;
}

/* A text that is no number. */
static vt_slice text_argument(const json_t *arguments, const char *name)
{
    vt_slice text = vt_json_text(json_object_get(arguments, name));
    int64_t n = 0;
    return vt_parse_i64(text, &n) ? (vt_slice){NULL, 0} : text;
}

static vt_status say(vt_buffer *out, vt_err *err, const char *fmt, ...) VT_PRINTF(3, 4);

/* A message instead of a page: what was wrong with the call. */
static vt_status say(vt_buffer *out, vt_err *err, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    vt_buffer clean;
    vt_buffer_init(&clean, 4096);
    vt_utf8_replace_invalid(vt_slice_cstr(text), &clean);
    vt__append_escaped(vt_buffer_slice(&clean), out);
    vt_buffer_deinit(&clean);
    return vt_buffer_status(out, "a result of the browser", err);
}

/* ---- showing ---- */

static bool has_room(const vt_browser *b)
{
    return b->n_stack < VT_BROWSER_PAGES;
}

/* How many lines from loc on a view shows: `wanted`, or what fits, at least one. */
static size_t view_end(const vt__page *p, size_t loc, int64_t wanted)
{
    size_t budget = wanted > 0 ? 4 * VT_BROWSER_VIEW_BYTES : VT_BROWSER_VIEW_BYTES;
    size_t end = loc;
    size_t used = 0;
    while (end < p->n_lines && (wanted <= 0 || end - loc < (size_t)wanted)) {
        used += p->lines[end].len + 8;
        if (used > budget && end > loc) break;
        end++;
    }
    return end;
}

/* Push the page and show it from loc on. */
static vt_status show(vt_browser *b, vt__page *p, size_t loc, int64_t n_lines, vt_buffer *out,
                      vt_err *err)
{
    size_t end = view_end(p, loc, n_lines);
    size_t last = p->n_lines - 1;
    vt_buffer_printf(out, "[%zu] %s (", b->n_stack, p->title);
    vt__append_escaped(vt_slice_cstr(p->url), out);
    vt_buffer_printf(out, ")\n**viewing lines [%zu - %zu] of %zu**\n\n", loc, end - 1, last);
    for (size_t i = loc; i < end; i++) {
        vt_buffer_printf(out, "%sL%zu: ", i > loc ? "\n" : "", i);
        vt_buffer_append(out, vt__page_text(p, i));
    }
    vt_status st = vt_buffer_status(out, "a view of a page", err);
    if (st != VT_OK) return st;
    for (size_t i = loc; i < end; i++) p->lines[i].was_shown = true;
    b->stack[b->n_stack++] = p;
    return VT_OK;
}

/* A new page: the browser owns it from here on, whatever happens. */
static vt_status show_new(vt_browser *b, vt__page *p, size_t loc, int64_t n_lines, vt_buffer *out,
                          vt_err *err)
{
    b->pages[b->n_owned++] = p;
    if (loc >= p->n_lines)
        return say(out, err,
                   "Error: Invalid location parameter: `%zu`. Cannot exceed page maximum of %zu.",
                   loc, p->n_lines - 1);
    return show(b, p, loc, n_lines, out, err);
}

static const char no_room[] =
    "Error: too many pages are open. Answer from what you have seen, without further calls.";

/* ---- search ---- */

static vt_status add_result(vt__page *p, const vt_passage *found, size_t i, vt_err *err)
{
    int32_t i_file = -1;
    vt_buffer line;
    vt_buffer_init(&line, 1 << 16);
    vt_status st = vt__page_file(p, vt_slice_cstr(found->file), &i_file, err);
    if (st == VT_OK)
        st = vt__page_link_add(p, (vt__page_link){.i_file = i_file, .number = found->start_line},
                               err);
    vt_buffer_printf(&line, "* \xE3\x80\x90%zu\xE2\x80\xA0", i);
    vt__append_escaped(vt_slice_cstr(found->file), &line);
    vt_buffer_printf(&line, "\xE3\x80\x91");
    if (found->page > 0) vt_buffer_printf(&line, " page %d,", found->page);
    vt_buffer_printf(&line, " line %lld", (long long)found->start_line);
    if (found->section[0] != '\0') vt_buffer_printf(&line, ": ");
    vt__append_escaped(vt_slice_cstr(found->section), &line);
    if (st == VT_OK) st = vt_buffer_status(&line, "a search result", err);
    if (st == VT_OK) st = vt__page_add_raw(p, vt_buffer_slice(&line), own_line, err);
    vt_buffer_deinit(&line);
    if (st == VT_OK && found->header_line > 0)
        st = vt__page_add(p, vt_slice_cstr(found->header),
                          (vt__page_origin){.i_file = i_file, .number = found->header_line}, err);
    vt_slice rest = vt_slice_cstr(found->text);
    for (int64_t n = found->start_line; st == VT_OK && rest.len > 0; n++) {
        size_t len = vt_slice_find(rest, VT_S("\n"));
        vt__page_origin origin = {.i_file = i_file,
                                  .page = found->page,
                                  .number = n < found->end_line ? n : found->end_line};
        st = vt__page_add(p, vt_slice_take(rest, len), origin, err);
        rest = vt_slice_skip(rest, len + 1);
    }
    return st == VT_OK ? vt__page_add_raw(p, VT_S(""), own_line, err) : st;
}

static vt_status do_search(vt_browser *b, const json_t *arguments, vt_buffer *out, vt_err *err)
{
    vt_slice query = vt_slice_trim(vt_json_text(json_object_get(arguments, "query")));
    int64_t k = int_argument(arguments, "topn", SEARCH_RESULTS);
    vt_passages found = {0};
    vt__page *p = NULL;
    if (query.len == 0) return say(out, err, "Error: `query` is missing.");
    if (!has_room(b)) return say(out, err, "%s", no_room);
    if (k < 1 || k > MAX_SEARCH_RESULTS) k = SEARCH_RESULTS;
    vt_status st = b->source.search(b->source.ctx, query, (size_t)k, &found, err);
    if (st != VT_OK) return st;
    if (found.n == 0) {
        st = say(out, err, "No results for `%.*s`. Try other words.",
                 VT_ARG(vt_slice_take(query, 200)));
        goto out;
    }
    st = vt__page_new(query, VT_S("search"), &p, err);
    if (st == VT_OK) st = vt__page_add_raw(p, VT_S("# Search Results"), own_line, err);
    if (st == VT_OK) st = vt__page_add_raw(p, VT_S(""), own_line, err);
    for (size_t i = 0; i < found.n && st == VT_OK; i++) st = add_result(p, &found.items[i], i, err);
    if (st == VT_OK) st = show_new(b, p, 0, -1, out, err);
    else vt__page_free(p);

out:
    vt_passages_deinit(&found);
    return st;
}

/* ---- open ---- */

static vt_status load(vt_browser *b, vt_slice file, vt__page **out, vt_err *err)
{
    vt_lines lines = {0};
    vt__page *p = NULL;
    int32_t i_file = -1;
    vt_status st = b->source.lines(b->source.ctx, file, 1, INT64_MAX, &lines, err);
    if (st != VT_OK) return st;
    st = vt__page_new(vt_slice_cstr(lines.title), file, &p, err);
    if (st == VT_OK) st = vt__page_file(p, file, &i_file, err);
    for (size_t i = 0; i < lines.n && st == VT_OK; i++) {
        const vt_line *l = &lines.items[i];
        vt__page_origin origin = {.i_file = i_file, .page = l->page, .number = l->number};
        st = vt__page_add(p, vt_slice_cstr(l->text), origin, err);
    }
    if (st == VT_OK && p->n_lines == 0) st = vt__page_add_raw(p, VT_S(""), own_line, err);
    vt_lines_deinit(&lines);
    if (st == VT_OK) *out = p;
    else vt__page_free(p);
    return st;
}

/* A page of this file that is open already, or a new one; *is_new tells. */
static vt_status page_of(vt_browser *b, vt_slice file, vt__page **out, bool *is_new, vt_err *err)
{
    *is_new = false;
    for (size_t i = 0; i < b->n_owned; i++) {
        if (!vt_slice_eq(vt_slice_cstr(b->pages[i]->url), file)) continue;
        *out = b->pages[i];
        return VT_OK;
    }
    *is_new = true;
    return load(b, file, out, err);
}

/* The document that a model means by a name: all of it, or its end. Empty: none or several, and
 * `out` says so. */
static vt_status find_document(vt_browser *b, vt_slice wanted, vt_buffer *name, vt_buffer *out,
                               vt_err *err)
{
    vt_doc_infos docs = {0};
    vt_status st = b->source.documents(b->source.ctx, &docs, err);
    if (st != VT_OK) return st;
    size_t n_ends = 0;
    const char *hit = NULL;
    for (size_t i = 0; i < docs.n; i++) {
        vt_slice file = vt_slice_cstr(docs.items[i].file);
        if (vt_slice_eq(file, wanted)) {
            hit = docs.items[i].file;
            n_ends = 1;
            break;
        }
        if (!vt_slice_ends(file, wanted) || wanted.len >= file.len ||
            file.ptr[file.len - wanted.len - 1] != '/')
            continue;
        hit = docs.items[i].file;
        n_ends++;
    }
    if (n_ends == 1) vt_buffer_append(name, vt_slice_cstr(hit));
    else {
        st = say(out, err, "Error: %s `%.*s`. Documents:",
                 n_ends == 0 ? "there is no document" : "several documents are called",
                 VT_ARG(vt_slice_take(wanted, 200)));
        for (size_t i = 0; i < docs.n && i < NAMES_LISTED && st == VT_OK; i++)
            st = say(out, err, "\n%.300s", docs.items[i].file);
        if (docs.n > NAMES_LISTED && st == VT_OK)
            st = say(out, err, "\nand %zu more", docs.n - NAMES_LISTED);
    }
    vt_doc_infos_deinit(&docs);
    return st == VT_OK ? vt_buffer_status(name, "a file name", err) : st;
}

/* The page's first line that is line `number` of `file`, or of a later one. */
static size_t line_at(const vt__page *p, int64_t number)
{
    for (size_t i = 0; i < p->n_lines; i++)
        if (p->lines[i].number >= number) return i;
    return 0;
}

static vt_status show_file(vt_browser *b, vt_slice file, int64_t number, const json_t *arguments,
                           vt_buffer *out, vt_err *err)
{
    int64_t loc = int_argument(arguments, "loc", -1);
    int64_t n_lines = int_argument(arguments, "num_lines", -1);
    vt__page *p = NULL;
    bool is_new = false;
    vt_status st = page_of(b, file, &p, &is_new, err);
    if (st == VT_ENOTFOUND)
        return say(out, err, "Error: `%.*s` is not there any more.",
                   VT_ARG(vt_slice_take(file, 200)));
    if (st == VT_ELIMIT)
        return say(out, err, "Error: `%.*s` is too long to open. Use search.",
                   VT_ARG(vt_slice_take(file, 200)));
    if (st != VT_OK) return st;
    size_t at = loc >= 0 ? (size_t)loc : number > 0 ? line_at(p, number) : 0;
    if (is_new) return show_new(b, p, at, n_lines, out, err);
    if (at >= p->n_lines)
        return say(out, err,
                   "Error: Invalid location parameter: `%zu`. Cannot exceed page maximum of %zu.",
                   at, p->n_lines - 1);
    return show(b, p, at, n_lines, out, err);
}

/* The page of the `cursor` argument (default: the last one); NULL with a message in out. */
static vt__page *page_argument(const vt_browser *b, const json_t *arguments, vt_buffer *out,
                               vt_err *err, vt_status *st)
{
    int64_t cursor = int_argument(arguments, "cursor", -1);
    *st = VT_OK;
    if (b->n_stack == 0) *st = say(out, err, "Error: no page is open. Use search first.");
    else if (cursor < 0) return b->stack[b->n_stack - 1];
    else if ((uint64_t)cursor < b->n_stack) return b->stack[cursor];
    else
        *st = say(out, err, "Error: there is no page with cursor `%lld`; the last one is `%zu`.",
                  (long long)cursor, b->n_stack - 1);
    return NULL;
}

static vt_status do_open(vt_browser *b, const json_t *arguments, vt_buffer *out, vt_err *err)
{
    vt_slice named = vt_slice_trim(text_argument(arguments, "id"));
    int64_t id = int_argument(arguments, "id", -1);
    vt_status st = VT_OK;
    if (!has_room(b)) return say(out, err, "%s", no_room);
    if (named.len > 0) {
        vt_buffer name;
        vt_buffer_init(&name, 1 << 16);
        st = find_document(b, named, &name, out, err);
        if (st == VT_OK && name.len > 0)
            st = show_file(b, vt_buffer_slice(&name), 0, arguments, out, err);
        vt_buffer_deinit(&name);
        return st;
    }
    vt__page *p = page_argument(b, arguments, out, err, &st);
    if (p == NULL) return st;
    if (id >= 0) {
        if ((uint64_t)id >= p->n_links)
            return say(out, err, "Error: page `%s` has no link `%lld`.", p->title, (long long)id);
        vt__page_link link = p->links[id];
        return show_file(b, vt_slice_cstr(p->files[link.i_file]), link.number, arguments, out, err);
    }
    int64_t loc = int_argument(arguments, "loc", 0);
    size_t at = loc > 0 ? (size_t)loc : 0;
    if (at >= p->n_lines)
        return say(out, err,
                   "Error: Invalid location parameter: `%zu`. Cannot exceed page maximum of %zu.",
                   at, p->n_lines - 1);
    return show(b, p, at, int_argument(arguments, "num_lines", -1), out, err);
}

/* ---- find ---- */

static uint32_t lower_at(vt_slice s, size_t *at)
{
    uint32_t code = 0;
    bool valid = false;
    *at += vt_utf8_decode(vt_slice_skip(s, *at), &code, &valid);
    return valid ? (uint32_t)utf8proc_tolower((utf8proc_int32_t)code) : code;
}

static bool contains(vt_slice line, vt_slice pattern)
{
    for (size_t start = 0; start < line.len;) {
        size_t i = start, k = 0;
        while (k < pattern.len && i < line.len) {
            size_t i_before = i, k_before = k;
            if (lower_at(line, &i) != lower_at(pattern, &k)) {
                i = i_before;
                k = k_before;
                break;
            }
        }
        if (k == pattern.len) return true;
        lower_at(line, &start);
    }
    return false;
}

static vt_status add_match(vt__page *found, const vt__page *p, size_t at, size_t i, vt_err *err)
{
    vt_buffer mark;
    vt_buffer_init(&mark, 256);
    vt_buffer_printf(&mark, "# \xE3\x80\x90%zu\xE2\x80\xA0match at L%zu\xE3\x80\x91", i, at);
    vt_status st = vt_buffer_status(&mark, "a match", err);
    if (st == VT_OK && i > 0) st = vt__page_add_raw(found, VT_S(""), own_line, err);
    if (st == VT_OK) st = vt__page_add_raw(found, vt_buffer_slice(&mark), own_line, err);
    vt_buffer_deinit(&mark);
    for (size_t k = at; k < at + FIND_LINES && k < p->n_lines && st == VT_OK; k++) {
        const vt__page_line *l = &p->lines[k];
        vt__page_origin origin = {.i_file = -1, .page = l->page, .number = l->number};
        if (l->i_file >= 0)
            st = vt__page_file(found, vt_slice_cstr(p->files[l->i_file]), &origin.i_file, err);
        if (st == VT_OK) st = vt__page_add_raw(found, vt__page_text(p, k), origin, err);
    }
    const vt__page_line *l = &p->lines[at];
    vt__page_link link = {.i_file = 0, .number = l->number};
    if (st == VT_OK && l->i_file >= 0)
        st = vt__page_file(found, vt_slice_cstr(p->files[l->i_file]), &link.i_file, err);
    if (st == VT_OK && l->i_file >= 0) st = vt__page_link_add(found, link, err);
    return st;
}

static vt_status do_find(vt_browser *b, const json_t *arguments, vt_buffer *out, vt_err *err)
{
    vt_slice pattern = vt_json_text(json_object_get(arguments, "pattern"));
    vt_status st = VT_OK;
    vt__page *found = NULL;
    vt_buffer title, url;
    if (pattern.len == 0) return say(out, err, "Error: `pattern` is missing.");
    if (!has_room(b)) return say(out, err, "%s", no_room);
    vt__page *p = page_argument(b, arguments, out, err, &st);
    if (p == NULL) return st;
    vt_buffer_init(&title, 1 << 16);
    vt_buffer_init(&url, 1 << 16);
    vt_buffer_printf(&title, "Find results for text: `%.*s` in `%s`", VT_ARG(pattern), p->title);
    vt_buffer_printf(&url, "%s/find?pattern=%.*s", p->url, VT_ARG(pattern));
    st = vt_buffer_status(&title, "a title", err);
    if (st == VT_OK) st = vt_buffer_status(&url, "a title", err);
    if (st == VT_OK) st = vt__page_new(vt_buffer_slice(&title), vt_buffer_slice(&url), &found, err);
    size_t n = 0;
    for (size_t i = 0; st == VT_OK && i < p->n_lines && n < FIND_RESULTS;) {
        if (!contains(vt__page_text(p, i), pattern)) {
            i++;
            continue;
        }
        st = add_match(found, p, i, n++, err);
        i += FIND_LINES;
    }
    if (st == VT_OK && n == 0) {
        st = say(out, err, "No `find` results for pattern: `%.*s`",
                 VT_ARG(vt_slice_take(pattern, 200)));
        vt__page_free(found);
    } else if (st == VT_OK) st = show_new(b, found, 0, -1, out, err);
    else vt__page_free(found);
    vt_buffer_deinit(&title);
    vt_buffer_deinit(&url);
    return st;
}

vt_status vt_browser_call(vt_browser *b, vt_slice name, vt_slice arguments, vt_buffer *out,
                          vt_err *err)
{
    json_t *parsed = NULL;
    vt_err why = {0};
    vt_status st = vt_json_parse(arguments, &parsed, &why);
    if (st == VT_ENOMEM) return vt_fail(err, st, "no memory for a call's arguments");
    if (st != VT_OK || !json_is_object(parsed))
        st = say(out, err, "Error: the arguments are not a JSON object%s%s.",
                 why.msg[0] != '\0' ? ": " : "", why.msg);
    else if (vt_slice_eq(name, VT_S("browser.search"))) st = do_search(b, parsed, out, err);
    else if (vt_slice_eq(name, VT_S("browser.open"))) st = do_open(b, parsed, out, err);
    else if (vt_slice_eq(name, VT_S("browser.find"))) st = do_find(b, parsed, out, err);
    else st = say(out, err, "Error: there is no tool `%.*s`.", VT_ARG(vt_slice_take(name, 200)));
    json_decref(parsed);
    return st;
}
