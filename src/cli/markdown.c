/* markdown.c -- see markdown.h. md4c calls back for every block and span as it meets them; what has
 * to be known later (nesting of lists, where a line begins) is in the struct. */
#include "cli/markdown.h"

#include <md4c.h>

#include "base/utf8.h"

enum { MAX_LISTS = 16 };

#define BOLD   "\033[1m"
#define DIM    "\033[2m"
#define ITALIC "\033[3m"
#define UNDER  "\033[4m"
#define STRIKE "\033[9m"
#define CYAN   "\033[36m"
#define RESET  "\033[0m"

typedef struct {
    vt_buffer *out;
    unsigned numbers[MAX_LISTS]; /* next number of each list; 0: bullets */
    int n_lists;
    int n_quotes;
    int n_bold, n_italic, n_strike, n_code; /* styles may nest: count them */
    bool is_code_block;
    bool is_link;
    size_t link_begin; /* where its text begins in `out` */
    bool is_in_item;   /* the item's text has not begun: no paragraph break before it */
    bool at_line_start;
    bool needs_gap; /* an empty line before the next block */
    bool is_first_cell;
} renderer;

bool vt_terminal_safe(vt_slice text, vt_buffer *out)
{
    bool ok = true;
    while (text.len > 0 && ok) {
        uint32_t code;
        bool is_valid;
        size_t n = vt_utf8_decode(text, &code, &is_valid);
        bool is_control = !is_valid || vt_utf8_is_control(code);
        ok = vt_buffer_append(out, is_control ? VT_S("\xef\xbf\xbd") : vt_slice_take(text, n));
        text = vt_slice_skip(text, n);
    }
    return ok;
}

static void put(renderer *r, const char *text)
{
    vt_buffer_append(r->out, vt_slice_cstr(text));
}

/* What stands before every line: quotes, and the indentation of lists. */
static void begin_line(renderer *r)
{
    if (!r->at_line_start) return;
    r->at_line_start = false;
    for (int i = 0; i < r->n_quotes; i++) put(r, DIM "\xe2\x94\x82" RESET " ");
    int indent = r->n_lists > 0 && !r->is_in_item ? r->n_lists : r->n_lists - 1;
    for (int i = 0; i < indent; i++) put(r, "   ");
    if (r->is_code_block) put(r, "    ");
}

static void end_line(renderer *r)
{
    if (r->at_line_start) return;
    vt_buffer_byte(r->out, '\n');
    r->at_line_start = true;
}

/* Begin a block on a line of its own, an empty line away from the one before. */
static void begin_block(renderer *r)
{
    end_line(r);
    if (r->needs_gap && r->n_lists == 0) vt_buffer_byte(r->out, '\n');
    r->needs_gap = false;
}

static void styles(renderer *r)
{
    put(r, RESET);
    if (r->n_bold > 0) put(r, BOLD);
    if (r->n_italic > 0) put(r, ITALIC);
    if (r->n_strike > 0) put(r, STRIKE);
    if (r->n_code > 0) put(r, CYAN);
    if (r->is_link) put(r, UNDER);
}

static void begin_item(renderer *r)
{
    end_line(r);
    r->is_in_item = true;
    begin_line(r);
    int list = r->n_lists < MAX_LISTS ? r->n_lists : MAX_LISTS;
    unsigned *number = &r->numbers[list > 0 ? list - 1 : 0];
    if (*number > 0) vt_buffer_printf(r->out, "%u. ", (*number)++);
    else put(r, " \xe2\x80\xa2 ");
}

static void begin_list(renderer *r, unsigned first)
{
    if (r->n_lists == 0) begin_block(r);
    if (r->n_lists < MAX_LISTS) r->numbers[r->n_lists] = first;
    r->n_lists++;
}

static int enter_block(MD_BLOCKTYPE type, void *detail, void *ctx)
{
    renderer *r = ctx;
    switch (type) {
    case MD_BLOCK_QUOTE:
        begin_block(r);
        r->n_quotes++;
        break;
    case MD_BLOCK_UL: begin_list(r, 0); break;
    case MD_BLOCK_OL: begin_list(r, ((MD_BLOCK_OL_DETAIL *)detail)->start); break;
    case MD_BLOCK_LI: begin_item(r); break;
    case MD_BLOCK_HR:
        begin_block(r);
        begin_line(r);
        put(r, DIM "\xe2\x94\x80\xe2\x94\x80\xe2\x94\x80\xe2\x94\x80\xe2\x94\x80" RESET);
        r->needs_gap = true;
        break;
    case MD_BLOCK_H:
        begin_block(r);
        begin_line(r);
        r->n_bold++;
        styles(r);
        if (((MD_BLOCK_H_DETAIL *)detail)->level == 1) put(r, UNDER);
        break;
    case MD_BLOCK_CODE:
        begin_block(r);
        r->is_code_block = true;
        break;
    case MD_BLOCK_P:
        if (!r->is_in_item) begin_block(r);
        break;
    case MD_BLOCK_TABLE: begin_block(r); break;
    case MD_BLOCK_TR:
        end_line(r);
        begin_line(r);
        r->is_first_cell = true;
        break;
    case MD_BLOCK_TH:
    case MD_BLOCK_TD:
        if (!r->is_first_cell) put(r, DIM " \xe2\x94\x82 " RESET);
        r->is_first_cell = false;
        if (type == MD_BLOCK_TH) r->n_bold++;
        styles(r);
        break;
    default: break;
    }
    return 0;
}

static int leave_block(MD_BLOCKTYPE type, void *detail, void *ctx)
{
    renderer *r = ctx;
    (void)detail;
    switch (type) {
    case MD_BLOCK_QUOTE:
        end_line(r);
        r->n_quotes--;
        r->needs_gap = true;
        break;
    case MD_BLOCK_UL:
    case MD_BLOCK_OL:
        end_line(r);
        r->n_lists--;
        r->needs_gap = true;
        break;
    case MD_BLOCK_LI:
        end_line(r);
        r->is_in_item = false;
        break;
    case MD_BLOCK_H:
        r->n_bold--;
        put(r, RESET);
        end_line(r);
        r->needs_gap = true;
        break;
    case MD_BLOCK_CODE:
        end_line(r);
        r->is_code_block = false;
        r->needs_gap = true;
        break;
    case MD_BLOCK_P:
        end_line(r);
        r->is_in_item = false;
        r->needs_gap = true;
        break;
    case MD_BLOCK_TH:
        r->n_bold--;
        put(r, RESET);
        break;
    case MD_BLOCK_TR: end_line(r); break;
    case MD_BLOCK_TABLE: r->needs_gap = true; break;
    default: break;
    }
    return 0;
}

static int *span_count(renderer *r, MD_SPANTYPE type)
{
    switch (type) {
    case MD_SPAN_STRONG: return &r->n_bold;
    case MD_SPAN_EM: return &r->n_italic;
    case MD_SPAN_DEL: return &r->n_strike;
    case MD_SPAN_CODE: return &r->n_code;
    default: return NULL;
    }
}

static int enter_span(MD_SPANTYPE type, void *detail, void *ctx)
{
    renderer *r = ctx;
    int *count = span_count(r, type);
    (void)detail;
    begin_line(r);
    if (count != NULL) ++*count;
    if (type == MD_SPAN_A) r->is_link = true;
    styles(r);
    if (type == MD_SPAN_A) r->link_begin = r->out->len;
    return 0;
}

static int leave_span(MD_SPANTYPE type, void *detail, void *ctx)
{
    renderer *r = ctx;
    int *count = span_count(r, type);
    if (count != NULL) --*count;
    vt_slice shown = vt_slice_skip(vt_buffer_slice(r->out), r->link_begin);
    if (type == MD_SPAN_A) r->is_link = false;
    if (type == MD_SPAN_A) {
        const MD_SPAN_A_DETAIL *a = detail;
        vt_slice address = vt_slice_of(a->href.text, a->href.size);
        bool says_it = vt_slice_find(shown, address) < shown.len; /* the text is the address */
        put(r, RESET);
        if (address.len > 0 && !says_it)
            vt_buffer_printf(r->out, DIM " (%.*s)" RESET, VT_ARG(address));
    }
    styles(r);
    return 0;
}

/* Text line by line, each with what stands before its line. */
static void put_lines(renderer *r, vt_slice text)
{
    while (text.len > 0) {
        size_t n = vt_slice_find(text, VT_S("\n"));
        if (n > 0) {
            begin_line(r);
            if (r->is_code_block) put(r, CYAN);
            vt_buffer_append(r->out, vt_slice_take(text, n));
            if (r->is_code_block) put(r, RESET);
        }
        if (n < text.len) {
            if (r->at_line_start) vt_buffer_byte(r->out, '\n'); /* an empty line of code */
            else end_line(r);
        }
        text = vt_slice_skip(text, n + 1);
    }
}

static int on_text(MD_TEXTTYPE type, const MD_CHAR *text, MD_SIZE size, void *ctx)
{
    renderer *r = ctx;
    vt_slice s = vt_slice_of(text, size);
    switch (type) {
    case MD_TEXT_NULLCHAR: put(r, "\xef\xbf\xbd"); break;
    case MD_TEXT_BR:
    case MD_TEXT_SOFTBR: end_line(r); break;
    default:
        if (r->is_in_item && r->at_line_start) r->is_in_item = false; /* its second line */
        put_lines(r, s);
        break;
    }
    return 0;
}

bool vt_markdown_render(vt_slice text, vt_buffer *out)
{
    vt_buffer safe;
    vt_buffer_init(&safe, text.len * 3 + 16);
    renderer r = {.out = out, .at_line_start = true};
    const MD_PARSER parser = {
        .flags = MD_FLAG_NOHTML | MD_FLAG_TABLES | MD_FLAG_STRIKETHROUGH |
                 MD_FLAG_PERMISSIVEURLAUTOLINKS | MD_FLAG_NOINDENTEDCODEBLOCKS,
        .enter_block = enter_block,
        .leave_block = leave_block,
        .enter_span = enter_span,
        .leave_span = leave_span,
        .text = on_text,
    };
    bool ok = vt_terminal_safe(text, &safe) &&
              md_parse(safe.ptr ? safe.ptr : "", (MD_SIZE)safe.len, &parser, &r) == 0;
    end_line(&r);
    vt_buffer_deinit(&safe);
    return ok && !out->failed;
}
