/* bench_picture.c -- `vetro bench --svg`: speed against depth and against threads, as one picture
 * that stands alone: no script, no font, no other file. See bench.h.
 *
 *              against depth            against threads
 *   prompts    [panel]                  [panel]
 *   answers    [panel]                  [panel]
 *
 * A panel is there when some series has two points to draw; rows and columns without any are left
 * out. A series is one kind of test (pp512, tg64, tg64@b16): against depth with the most threads,
 * against threads at the least depth. Axes begin at zero, so that heights compare. Thin marks show
 * the least and the most of the runs; where the limits of the machine were measured, a dashed line
 * shows what it could do at most with that test. Colours follow the reader's light or dark theme.
 */
#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "base/version.h"
#include "cli/bench.h"

enum { MAX_SERIES = 6 }; /* of a panel; colours, too */

static const double panel_width = 420, panel_height = 300, margin = 28, head_height = 64;
/* Within a panel, for the labels of its axes and the names of its lines. */
static const double left_side = 52, right_side = 72, top_side = 34, bottom_side = 42;
static const double label_height = 12;

typedef struct {
    const vt_bench_test *points[VT_BENCH_VALUES];
    size_t n;
} line;

typedef struct {
    const vt_bench *b;
    vt_buffer *svg;
    bool is_answer, by_threads;
    line lines[MAX_SERIES];
    size_t n_lines;
    double x, y;           /* of its upper left corner */
    double most_x, most_y; /* of the axes */
} panel;

/* ---- what is drawn ---- */

static double limit_rate(const vt_bench *b, const vt_bench_test *t)
{
    const char *name;
    vt_bench_share share = vt_bench_share_of(b, t);
    double most = vt_bench_closest(&share, &name);
    return most > 0 ? vt_bench_median(&t->rates) / most : 0;
}

static double place_of(const panel *p, const vt_bench_test *t)
{
    return p->by_threads ? (double)t->n_threads : (double)t->depth;
}

static bool is_same_series(const vt_bench_test *a, const vt_bench_test *b)
{
    return a->length == b->length && a->n_sequences == b->n_sequences;
}

/* Does the test belong to a panel, given which threads and depths are wanted there? */
static bool belongs(const panel *p, const vt_bench_test *t, int most_threads, uint32_t least_depth)
{
    if (t->is_answer != p->is_answer) return false;
    return p->by_threads ? t->depth == least_depth : t->n_threads == most_threads;
}

static void add_point(panel *p, const vt_bench_test *t)
{
    size_t i = 0;
    while (i < p->n_lines && !is_same_series(p->lines[i].points[0], t)) i++;
    if (i == p->n_lines) {
        if (i == MAX_SERIES) return; /* more would not be readable */
        p->lines[p->n_lines++] = (line){0};
    }
    line *l = &p->lines[i];
    size_t at = l->n;
    if (at == VT_BENCH_VALUES) return;
    while (at > 0 && place_of(p, l->points[at - 1]) > place_of(p, t)) {
        l->points[at] = l->points[at - 1];
        at--;
    }
    l->points[at] = t;
    l->n++;
}

/* False when it would be empty. */
static bool fill_panel(panel *p)
{
    int most_threads = 0;
    uint32_t least_depth = UINT32_MAX;
    bool has_line = false;
    for (size_t i = 0; i < p->b->n_tests; i++) {
        const vt_bench_test *t = &p->b->tests[i];
        if (t->n_threads > most_threads) most_threads = t->n_threads;
        if (t->depth < least_depth) least_depth = t->depth;
    }
    for (size_t i = 0; i < p->b->n_tests; i++)
        if (belongs(p, &p->b->tests[i], most_threads, least_depth)) add_point(p, &p->b->tests[i]);
    for (size_t l = 0; l < p->n_lines; l++)
        for (size_t i = 0; i < p->lines[l].n; i++) {
            const vt_bench_test *t = p->lines[l].points[i];
            p->most_x = fmax(p->most_x, place_of(p, t));
            p->most_y = fmax(p->most_y, t->rates.values[t->rates.n - 1]);
            p->most_y = fmax(p->most_y, limit_rate(p->b, t));
            /* They are in order. A place that was asked for twice makes no line. */
            has_line = has_line || place_of(p, t) > place_of(p, p->lines[l].points[0]);
        }
    p->most_y *= 1.08; /* room for the highest label */
    return has_line && p->most_x > 0;
}

/* ---- drawing ---- */

static double x_of(const panel *p, double value)
{
    return p->x + left_side + value / p->most_x * (panel_width - left_side - right_side);
}

static double y_of(const panel *p, double value)
{
    return p->y + panel_height - bottom_side -
           value / p->most_y * (panel_height - top_side - bottom_side);
}

/* Text for XML: what a model or a CPU is called comes from outside. */
static void append_text(vt_buffer *svg, vt_slice text)
{
    while (text.len > 0) {
        uint32_t code;
        bool is_valid;
        size_t n = vt_utf8_decode(text, &code, &is_valid);
        if (code == '<') vt_buffer_append(svg, VT_S("&lt;"));
        else if (code == '&') vt_buffer_append(svg, VT_S("&amp;"));
        else if (!is_valid || code < 0x20 || code == 0xFFFE || code == 0xFFFF)
            vt_buffer_append(svg, VT_S("\xEF\xBF\xBD"));
        else vt_buffer_append(svg, vt_slice_take(text, n));
        text = vt_slice_skip(text, n);
    }
}

/* 1, 2 or 5 times a power of ten, so that about four of them make up `most`. */
static double nice_step(double most)
{
    double power = pow(10, floor(log10(most / 4)));
    double rest = most / 4 / power;
    return power * (rest < 1.5 ? 1 : rest < 3.5 ? 2 : rest < 7.5 ? 5 : 10);
}

static const char *rate_text(double rate, char out[24])
{
    snprintf(out, 24, "%.*f", rate < 9.95 ? 2 : rate < 99.5 ? 1 : 0, rate);
    return out;
}

/* 4096 as "4k": depths are mostly powers of two. */
static const char *place_text(double value, char out[24])
{
    const uint32_t n = (uint32_t)value;
    if (n >= 1024 && n % 1024 == 0) snprintf(out, 24, "%uk", n / 1024);
    else snprintf(out, 24, "%u", n);
    return out;
}

static void draw_axes(const panel *p)
{
    char text[24];
    const double step = nice_step(p->most_y), left = p->x + left_side;
    const double right = p->x + panel_width - right_side,
                 bottom = p->y + panel_height - bottom_side;
    for (int i = 0; i * step <= p->most_y; i++) {
        double y = y_of(p, i * step);
        vt_buffer_printf(p->svg, "<path class=\"%s\" d=\"M%.1f %.1fH%.1f\"/>\n",
                         i == 0 ? "axis" : "grid", left, y, right);
        vt_buffer_printf(p->svg, "<text class=\"soft\" x=\"%.1f\" y=\"%.1f\" %s>%g</text>\n",
                         left - 8, y + 4, "text-anchor=\"end\"", i * step);
    }
    double last = -1e9; /* where the last label was */
    for (size_t i = 0; i < p->lines[0].n; i++) {
        double value = place_of(p, p->lines[0].points[i]), x = x_of(p, value);
        vt_buffer_printf(p->svg, "<path class=\"axis\" d=\"M%.1f %.1fv5\"/>\n", x, bottom);
        if (x - last < 30) continue;
        last = x;
        vt_buffer_printf(p->svg, "<text class=\"soft\" x=\"%.1f\" y=\"%.1f\" %s>%s</text>\n", x,
                         bottom + 18, "text-anchor=\"middle\"", place_text(value, text));
    }
    vt_buffer_printf(p->svg, "<text class=\"soft\" x=\"%.1f\" y=\"%.1f\" %s>%s</text>\n",
                     (left + right) / 2, bottom + 35, "text-anchor=\"middle\"",
                     p->by_threads ? "threads" : "tokens in the context");
}

static void draw_path(const panel *p, size_t i_line, bool is_limit)
{
    const line *l = &p->lines[i_line];
    if (l->n < 2) return;
    vt_buffer_printf(p->svg, "<path class=\"%s c%zu\" d=\"", is_limit ? "limit" : "line", i_line);
    for (size_t i = 0; i < l->n; i++) {
        const vt_bench_test *t = l->points[i];
        double rate = is_limit ? limit_rate(p->b, t) : vt_bench_median(&t->rates);
        vt_buffer_printf(p->svg, "%c%.1f %.1f", i == 0 ? 'M' : 'L', x_of(p, place_of(p, t)),
                         y_of(p, rate));
    }
    vt_buffer_append(p->svg, VT_S("\"/>\n"));
}

/* A label's height, moved so that it touches none of those already there at this x. */
static double free_height(double wanted, double taken[], size_t *n)
{
    for (size_t i = 0; i < *n; i++)
        if (fabs(wanted - taken[i]) < label_height) {
            wanted = taken[i] - label_height;
            i = (size_t)-1; /* look at all of them again */
        }
    taken[(*n)++] = wanted;
    return wanted;
}

/* The i-th point of every line: its mark, its runs, its figure. */
static void draw_points(const panel *p, size_t i)
{
    char text[24];
    double taken[2 * MAX_SERIES]; /* by the marks, then by figures */
    size_t n_taken = 0;
    for (size_t l = 0; l < p->n_lines; l++)
        if (i < p->lines[l].n)
            taken[n_taken++] = y_of(p, vt_bench_median(&p->lines[l].points[i]->rates)) + 4;
    for (size_t l = 0; l < p->n_lines; l++) {
        if (i >= p->lines[l].n) continue;
        const vt_bench_test *t = p->lines[l].points[i];
        const double rate = vt_bench_median(&t->rates), x = x_of(p, place_of(p, t));
        const double least = y_of(p, t->rates.values[0]);
        const double most = y_of(p, t->rates.values[t->rates.n - 1]);
        vt_buffer_printf(p->svg, "<path class=\"line c%zu\" d=\"M%.1f %.1fV%.1f\"/>\n", l, x, least,
                         most);
        vt_buffer_printf(p->svg, "<circle class=\"c%zu\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"/>\n", l,
                         x, y_of(p, rate));
        const bool is_at_axis = place_of(p, t) == 0; /* to the right, off the axis' own labels */
        vt_buffer_printf(p->svg, "<text class=\"figure t%zu\" x=\"%.1f\" y=\"%.1f\" %s>%s</text>\n",
                         l, is_at_axis ? x + 5 : x, free_height(most - 8, taken, &n_taken),
                         is_at_axis ? "" : "text-anchor=\"middle\"", rate_text(rate, text));
    }
}

static void draw_names(const panel *p)
{
    double taken[MAX_SERIES + 1];
    size_t n_taken = 0;
    for (size_t l = 0; l < p->n_lines; l++) {
        const vt_bench_test *t = p->lines[l].points[p->lines[l].n - 1];
        double y = free_height(y_of(p, vt_bench_median(&t->rates)) + 4, taken, &n_taken);
        char batch[24] = "";
        if (t->n_sequences > 1) snprintf(batch, sizeof batch, "@b%u", t->n_sequences);
        vt_buffer_printf(p->svg, "<text class=\"name t%zu\" x=\"%.1f\" y=\"%.1f\">%s%u%s</text>\n",
                         l, x_of(p, place_of(p, t)) + 24, y, t->is_answer ? "tg" : "pp", t->length,
                         batch);
    }
}

static void draw_panel(const panel *p)
{
    vt_buffer_printf(p->svg, "<text class=\"name\" x=\"%.1f\" y=\"%.1f\">%s, tokens per second%s",
                     p->x + 8, p->y + 14, p->is_answer ? "Writing" : "Reading a prompt",
                     p->by_threads ? " by threads" : " by depth");
    vt_buffer_append(p->svg, VT_S("</text>\n"));
    draw_axes(p);
    size_t n_points = 0;
    for (size_t l = 0; l < p->n_lines; l++) {
        const vt_bench_test *t = p->lines[l].points[0];
        if (vt_bench_limits(p->b, t->n_threads) != NULL) draw_path(p, l, true);
        draw_path(p, l, false);
        if (p->lines[l].n > n_points) n_points = p->lines[l].n;
    }
    for (size_t i = 0; i < n_points; i++) draw_points(p, i);
    draw_names(p);
}

/* ---- the whole ---- */

static const char style[] =
    "<style>\n"
    "text { font: 12px system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2328; }\n"
    ".title { font-size: 16px; font-weight: 600; }\n"
    ".name { font-weight: 600; }\n"
    ".figure { font-size: 11px; paint-order: stroke; stroke: #ffffff; stroke-width: 3px; }\n"
    ".soft { font-size: 11px; fill: #656d76; }\n"
    ".paper { fill: #ffffff; }\n"
    ".grid, .axis, .line, .limit { fill: none; stroke-width: 1; }\n"
    ".grid { stroke: #e4e7eb; }\n"
    ".axis { stroke: #8b949e; }\n"
    ".line { stroke-width: 2; stroke-linejoin: round; }\n"
    ".limit { stroke-dasharray: 5 4; }\n"
    ".c0 { stroke: #0b7285; } .c1 { stroke: #c2410c; } .c2 { stroke: #6d28d9; }\n"
    ".c3 { stroke: #2f855a; } .c4 { stroke: #b83280; } .c5 { stroke: #8a6d00; }\n"
    "circle.c0, .t0 { fill: #0b7285; } circle.c1, .t1 { fill: #c2410c; }\n"
    "circle.c2, .t2 { fill: #6d28d9; } circle.c3, .t3 { fill: #2f855a; }\n"
    "circle.c4, .t4 { fill: #b83280; } circle.c5, .t5 { fill: #8a6d00; }\n"
    "@media (prefers-color-scheme: dark) {\n"
    "text { fill: #e6edf3; } .soft { fill: #9198a1; } .paper { fill: #0d1117; }\n"
    ".figure { stroke: #0d1117; }\n"
    ".grid { stroke: #262c36; } .axis { stroke: #6e7681; }\n"
    ".c0 { stroke: #4cc9d9; } .c1 { stroke: #ff9a5c; } .c2 { stroke: #b794f6; }\n"
    ".c3 { stroke: #68d391; } .c4 { stroke: #f687b3; } .c5 { stroke: #e3c04b; }\n"
    "circle.c0, .t0 { fill: #4cc9d9; } circle.c1, .t1 { fill: #ff9a5c; }\n"
    "circle.c2, .t2 { fill: #b794f6; } circle.c3, .t3 { fill: #68d391; }\n"
    "circle.c4, .t4 { fill: #f687b3; } circle.c5, .t5 { fill: #e3c04b; }\n"
    "}\n"
    "</style>\n";

static void draw_head(const vt_bench *b, vt_buffer *svg)
{
    char date[11];
    vt_slice name = vt_slice_cstr(b->model.name != NULL ? b->model.name : b->model.path);
    const char *slash = memrchr(name.ptr, '/', name.len);
    if (slash != NULL) name = vt_slice_skip(name, (size_t)(slash + 1 - name.ptr));
    vt_clock_date(date);
    vt_buffer_printf(svg, "<text class=\"title\" x=\"%.0f\" y=\"%.0f\">", margin + 8, margin + 10);
    append_text(svg, name);
    vt_buffer_printf(svg, "</text>\n<text class=\"soft\" x=\"%.0f\" y=\"%.0f\">", margin + 8,
                     margin + 29);
    append_text(svg, vt_slice_cstr(b->format));
    vt_buffer_printf(svg, " · %s · ", b->isa);
    append_text(svg, vt_slice_cstr(b->cpu.model));
    vt_buffer_printf(svg, " · vetro %s · %s", vt_commit(), date);
    if (b->limits[0].n_threads > 0) vt_buffer_printf(svg, " · dashed: the limit of this machine");
    vt_buffer_append(svg, VT_S("</text>\n"));
}

/* Which panels there are, and where. Returns the number of rows, and in *n_columns that of
 * columns. */
static int arrange(const vt_bench *b, vt_buffer *svg, panel panels[2][2], bool is_there[2][2],
                   int *n_columns)
{
    int n_rows = 0;
    for (int i = 0; i < 4; i++) {
        panel *p = &panels[i / 2][i % 2];
        *p = (panel){.b = b, .svg = svg, .is_answer = i / 2 == 1, .by_threads = i % 2 == 1};
        is_there[i / 2][i % 2] = fill_panel(p);
    }
    const bool has_depths = is_there[0][0] || is_there[1][0];
    for (int row = 0; row < 2; row++) {
        for (int column = 0; column < 2; column++) {
            panels[row][column].x = margin + (column == 1 && has_depths ? panel_width : 0);
            panels[row][column].y = margin + head_height + n_rows * (panel_height + margin);
        }
        n_rows += is_there[row][0] || is_there[row][1];
    }
    *n_columns = has_depths + (is_there[0][1] || is_there[1][1]);
    return n_rows;
}

vt_status vt_bench_picture(const vt_bench *b, vt_buffer *svg, vt_err *err)
{
    panel panels[2][2];
    bool is_there[2][2];
    int n_columns;
    const int n_rows = arrange(b, svg, panels, is_there, &n_columns);
    if (n_rows == 0)
        return vt_fail(err, VT_EINPUT, "no test has two points to draw a line through");
    const double width = 2 * margin + panel_width * n_columns;
    const double height = margin + head_height + n_rows * (panel_height + margin);
    vt_buffer_printf(svg,
                     "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
                     "viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"tokens per second\">\n",
                     width, height, width, height);
    vt_buffer_append(svg, vt_slice_cstr(style));
    vt_buffer_printf(svg, "<rect class=\"paper\" width=\"%.0f\" height=\"%.0f\" rx=\"10\"/>\n",
                     width, height);
    draw_head(b, svg);
    for (int i = 0; i < 4; i++)
        if (is_there[i / 2][i % 2]) draw_panel(&panels[i / 2][i % 2]);
    vt_buffer_append(svg, VT_S("</svg>\n"));
    return vt_buffer_status(svg, "the picture", err);
}
