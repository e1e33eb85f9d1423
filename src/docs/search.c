/* search.c -- ranking passages for a query: vt_library_search.
 *
 * Two steps. FTS5 finds candidates: passages that hold a word of the query (by stem), the best
 * CANDIDATES of each folder by its own BM25. Then all candidates are scored anew, from their text,
 * with counts over all folders, so that the scores compare:
 *
 *   score = sum over terms of idf(t) * saturate(tf(t)) * form(t)  +  pairs, over the best possible
 *
 * BM25 (Robertson and Zaragoza 2009) with the context (title, section, header row) counted at a
 * lower weight than the text, a small loss for words that agree in their stem only, and a bonus for
 * words that follow each other as in the query. A code ("A-113", "10.5") is one term: its parts
 * must stand together. scripts/bench-search measures the constants on the Cranfield collection. */
#include "docs/search.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "docs/words.h"

enum { MAX_TERMS = 32, MAX_PARTS = 6, CANDIDATES = 200, COMMON_MIN = 2000 };

static const double K1 = 1.8;
static const double B = 0.7;
static const double CONTEXT_WEIGHT = 0.5;
static const double NAME_WEIGHT = 0.25;
static const double STEM_ONLY = 0.88; /* of the score of the very word */
static const double DOCUMENT_SHARE = 0.3;
static const double PAIR_BONUS = 0.25; /* of the smaller idf of two words that follow each other */

typedef struct {
    char text[VT_WORD_MAX + 1];
    char stem[VT_WORD_MAX + 1];
    size_t len, stem_len;
    bool is_pair;
} part;

typedef struct {
    part parts[MAX_PARTS]; /* more than one: a code, whose parts must stand together */
    int n_parts;
    bool is_prefix;    /* one character of a script without spaces */
    size_t start, end; /* in the query */
    double df;
    double idf;
} term;

typedef struct {
    term terms[MAX_TERMS];
    int n_terms;
    double n_passages;
    double mean_words;
    double best; /* the highest score there could be */
} query;

typedef struct {
    size_t i_index;
    int64_t id;
    double score;
    double gains[MAX_TERMS]; /* by term */
    vt_passage passage;
} candidate;

typedef struct {
    candidate *items;
    size_t n;
    size_t cap;
} candidates;

static bool same_term(const term *a, const term *b)
{
    if (a->n_parts != b->n_parts) return false;
    for (int i = 0; i < a->n_parts; i++)
        if (strcmp(a->parts[i].stem, b->parts[i].stem) != 0) return false;
    return true;
}

static part part_of(const vt_word *w)
{
    part p = {.len = w->len, .is_pair = w->is_pair};
    memcpy(p.text, w->text, (size_t)w->len + 1);
    if (w->is_pair) {
        memcpy(p.stem, w->text, (size_t)w->len + 1);
        p.stem_len = w->len;
    } else {
        p.stem_len = vt_word_stem(w->text, w->len, p.stem);
    }
    return p;
}

static bool joins_code(const term *t, const vt_word *w, vt_slice text)
{
    if (w->is_pair || t->parts[t->n_parts - 1].is_pair || t->n_parts >= MAX_PARTS) return false;
    if (w->start != t->end + 1) return false;
    return strchr(".-/:,_'", text.ptr[t->end]) != NULL && text.ptr[t->end] != '\0';
}

static bool has_digit(const term *t)
{
    for (int i = 0; i < t->n_parts; i++)
        for (size_t k = 0; k < t->parts[i].len; k++)
            if (t->parts[i].text[k] >= '0' && t->parts[i].text[k] <= '9') return true;
    return false;
}

static void add_term(query *q, const term *t)
{
    for (int i = 0; i < q->n_terms; i++)
        if (same_term(&q->terms[i], t)) return;
    if (q->n_terms < MAX_TERMS) q->terms[q->n_terms++] = *t;
}

/* A chunk like "boundary-layer" gives its words, one like "A-113" stays whole. */
static void add_chunk(query *q, const term *t)
{
    if (t->n_parts == 0) return;
    if (t->n_parts == 1 || has_digit(t)) {
        add_term(q, t);
        return;
    }
    for (int i = 0; i < t->n_parts; i++) {
        term one = {.n_parts = 1, .start = t->start, .end = t->end};
        one.parts[0] = t->parts[i];
        add_term(q, &one);
    }
}

static void cut_query(query *q, vt_slice text, bool keep_stops)
{
    vt_words words = vt_words_of(text);
    vt_word w;
    term chunk = {.n_parts = 0};
    size_t pair_end = 0;
    q->n_terms = 0;
    while (vt_words_next(&words, &w)) {
        bool ends_run = w.is_pair && pair_end == w.end;
        pair_end = w.is_pair ? w.end : 0;
        if (ends_run) continue; /* the last character of a run: its pair says it already */
        if (chunk.n_parts > 0 && joins_code(&chunk, &w, text)) {
            chunk.parts[chunk.n_parts++] = part_of(&w);
            chunk.end = w.end;
            continue;
        }
        add_chunk(q, &chunk);
        chunk.n_parts = 0;
        if (!keep_stops && !w.is_pair && vt_word_is_stop(w.text, w.len)) continue;
        chunk = (term){.n_parts = 1, .start = w.start, .end = w.end};
        chunk.parts[0] = part_of(&w);
        uint32_t n_chars = 0;
        for (size_t i = 0; i < w.len; i++) n_chars += ((unsigned char)w.text[i] & 0xC0) != 0x80;
        chunk.is_prefix = w.is_pair && n_chars == 1;
    }
    add_chunk(q, &chunk);
}

/* How many passages hold a stem, over all folders. */
static vt_status count_term(vt_index *indexes, size_t n_indexes, term *t, vt_err *err)
{
    double rarest = -1;
    for (int i = 0; i < t->n_parts; i++) {
        double df = 0;
        for (size_t k = 0; k < n_indexes; k++) {
            sqlite3_stmt *s = NULL;
            const char *sql = t->is_prefix
                                  ? "SELECT sum(doc) FROM vocab WHERE term>=?1 AND term<?1||x'f7'"
                                  : "SELECT doc FROM vocab WHERE term=?1";
            vt_status st = vt_index_prepare(&indexes[k], sql, &s, err);
            if (st != VT_OK) return st;
            sqlite3_bind_text(s, 1, t->parts[i].stem, (int)t->parts[i].stem_len, SQLITE_STATIC);
            int rc = sqlite3_step(s);
            if (rc == SQLITE_ROW) df += sqlite3_column_double(s, 0);
            sqlite3_finalize(s);
            if (rc != SQLITE_ROW && rc != SQLITE_DONE)
                return vt_index_fail(&indexes[k], rc, "count a word", err);
        }
        if (rarest < 0 || df < rarest) rarest = df;
    }
    t->df = rarest;
    return VT_OK;
}

static vt_status count_all(vt_index *indexes, size_t n_indexes, query *q, vt_err *err)
{
    double n_words = 0;
    for (size_t k = 0; k < n_indexes; k++) {
        sqlite3_stmt *s = NULL;
        vt_status st = vt_index_prepare(
            &indexes[k], "SELECT ifnull(sum(n_passages),0), ifnull(sum(n_words),0) FROM document",
            &s, err);
        if (st != VT_OK) return st;
        int rc = sqlite3_step(s);
        if (rc == SQLITE_ROW) {
            q->n_passages += sqlite3_column_double(s, 0);
            n_words += sqlite3_column_double(s, 1);
        }
        sqlite3_finalize(s);
        if (rc != SQLITE_ROW) return vt_index_fail(&indexes[k], rc, "count words", err);
    }
    q->mean_words = q->n_passages > 0 ? n_words / q->n_passages : 1;
    if (q->mean_words < 1) q->mean_words = 1;
    for (int i = 0; i < q->n_terms; i++) {
        term *t = &q->terms[i];
        vt_status st = count_term(indexes, n_indexes, t, err);
        if (st != VT_OK) return st;
        double df = t->df < q->n_passages ? t->df : q->n_passages;
        t->idf = log(1 + (q->n_passages - df + 0.5) / (df + 0.5));
        q->best += t->idf * (K1 + 1);
    }
    return VT_OK;
}

/* "w1" OR "w2 w3" OR "c"*: words only, so that nothing of the user's text is FTS5 syntax. */
static bool build_match(const query *q, vt_buffer *out)
{
    bool has_rare = false;
    for (int i = 0; i < q->n_terms; i++)
        has_rare |= q->terms[i].df > 0 && q->terms[i].df <= 0.4 * q->n_passages;
    bool is_first = true;
    for (int i = 0; i < q->n_terms; i++) {
        const term *t = &q->terms[i];
        if (t->df <= 0) continue;
        /* A word of most passages finds nothing that the rare ones don't, at the price of reading
         * its whole list; it still counts in the score. */
        if (has_rare && q->n_passages > (double)COMMON_MIN && t->df > 0.4 * q->n_passages) continue;
        vt_buffer_append(out, is_first ? VT_S("\"") : VT_S(" OR \""));
        for (int k = 0; k < t->n_parts; k++) {
            if (k > 0) vt_buffer_byte(out, ' ');
            vt_buffer_append(out, vt_slice_cstr(t->parts[k].text));
        }
        vt_buffer_append(out, t->is_prefix ? VT_S("\"*") : VT_S("\""));
        is_first = false;
    }
    return !is_first;
}

static bool fits(const part *p, const vt_word *w, const char *stem, bool is_prefix, bool *is_exact)
{
    if (w->is_pair != p->is_pair) return false;
    if (w->is_pair) {
        *is_exact = true;
        return is_prefix ? strncmp(w->text, p->text, p->len) == 0 : strcmp(w->text, p->text) == 0;
    }
    if (strcmp(stem, p->stem) != 0) return false;
    *is_exact = strcmp(w->text, p->text) == 0;
    return true;
}

typedef struct {
    double tf[MAX_TERMS];      /* weighted counts */
    bool is_exact[MAX_TERMS];  /* the very word was seen */
    bool is_joined[MAX_TERMS]; /* right after the term before it, as in the query */
    int last_term;             /* that ended at the last word; -1 */
} counts;

static void count_in(const query *q, vt_slice text, double weight, counts *c)
{
    vt_words words = vt_words_of(text);
    vt_word w;
    int progress[MAX_TERMS] = {0};
    int previous = -1;
    while (vt_words_next(&words, &w)) {
        char stem[VT_WORD_MAX + 1];
        if (w.is_pair) stem[0] = '\0';
        else vt_word_stem(w.text, w.len, stem);
        int hit = -1;
        for (int i = 0; i < q->n_terms; i++) {
            const term *t = &q->terms[i];
            bool is_exact = false;
            if (!fits(&t->parts[progress[i]], &w, stem, t->is_prefix, &is_exact)) {
                progress[i] = 0;
                if (t->n_parts == 1 || !fits(&t->parts[0], &w, stem, false, &is_exact)) continue;
            }
            if (++progress[i] < t->n_parts) continue;
            progress[i] = 0;
            c->tf[i] += weight;
            c->is_exact[i] |= is_exact;
            if (previous == i - 1 && i > 0) c->is_joined[i] = true;
            hit = i;
        }
        previous = hit;
    }
}

/* The passage's own score, 0 to 1; what each term gives to it is kept for share_documents. */
static double score_of(const query *q, candidate *c)
{
    counts n = {.last_term = -1};
    const vt_passage *p = &c->passage;
    count_in(q, vt_slice_cstr(p->text), 1, &n);
    double n_words = (double)strlen(p->text) / 6 + 1; /* close enough for a length norm */
    count_in(q, vt_slice_cstr(p->section), CONTEXT_WEIGHT, &n);
    count_in(q, vt_slice_cstr(p->header), CONTEXT_WEIGHT, &n);
    count_in(q, vt_slice_cstr(p->title), CONTEXT_WEIGHT, &n);
    count_in(q, vt_slice_cstr(p->file), NAME_WEIGHT, &n);
    double norm = K1 * (1 - B + B * n_words / q->mean_words);
    double score = 0;
    for (int i = 0; i < q->n_terms; i++) {
        double tf = n.tf[i];
        if (tf <= 0) continue;
        c->gains[i] =
            q->terms[i].idf * (K1 + 1) * tf / (tf + norm) * (n.is_exact[i] ? 1 : STEM_ONLY);
        score += c->gains[i];
        if (i > 0 && n.is_joined[i]) {
            double a = q->terms[i - 1].idf;
            double b = q->terms[i].idf;
            score += PAIR_BONUS * (a < b ? a : b);
        }
    }
    double share = q->best > 0 ? score / q->best : 0;
    return share > 1 ? 1 : share;
}

static int by_file(const void *a, const void *b)
{
    const candidate *x = a;
    const candidate *y = b;
    int order = strcmp(x->passage.file, y->passage.file);
    if (order != 0) return order;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* A passage counts for more in a document whose other passages have the query's other words: its
 * score is blended with that of the document's best gain for each term. */
static void share_documents(const query *q, candidates *all)
{
    if (q->best <= 0) return;
    if (all->n > 1) qsort(all->items, all->n, sizeof *all->items, by_file);
    for (size_t first = 0, end; first < all->n; first = end) {
        double best[MAX_TERMS] = {0};
        double sum = 0;
        end = first;
        while (end < all->n &&
               strcmp(all->items[end].passage.file, all->items[first].passage.file) == 0) {
            for (int i = 0; i < q->n_terms; i++)
                if (all->items[end].gains[i] > best[i]) best[i] = all->items[end].gains[i];
            end++;
        }
        for (int i = 0; i < q->n_terms; i++) sum += best[i];
        double document = sum / q->best < 1 ? sum / q->best : 1;
        for (size_t k = first; k < end; k++)
            all->items[k].score =
                (1 - DOCUMENT_SHARE) * all->items[k].score + DOCUMENT_SHARE * document;
    }
}

static char *column(sqlite3_stmt *s, int i)
{
    const void *text = sqlite3_column_text(s, i);
    return vt_strdup(vt_slice_of(text, text ? (size_t)sqlite3_column_bytes(s, i) : 0));
}

static void passage_deinit(vt_passage *p)
{
    vt_free(p->file);
    vt_free(p->title);
    vt_free(p->section);
    vt_free(p->header);
    vt_free(p->text);
}

static vt_status load(const vt_index *ix, sqlite3_stmt *s, candidates *all, size_t i_index,
                      vt_err *err)
{
    const void *path = sqlite3_column_blob(s, 1);
    candidate c = {
        .i_index = i_index,
        .id = sqlite3_column_int64(s, 0),
        .passage = {.file = vt_index_shown_name(
                        ix, vt_slice_of(path, (size_t)sqlite3_column_bytes(s, 1))),
                    .start_line = sqlite3_column_int64(s, 2),
                    .end_line = sqlite3_column_int64(s, 3),
                    .page = sqlite3_column_int(s, 4),
                    .title = column(s, 5),
                    .section = column(s, 6),
                    .header = column(s, 7),
                    .text = column(s, 8),
                    .header_line = sqlite3_column_int64(s, 9)},
    };
    const vt_passage *p = &c.passage;
    if (!p->file || !p->title || !p->section || !p->header || !p->text ||
        !vt_grow((void **)&all->items, &all->cap, all->n + 1, sizeof *all->items, SIZE_MAX / 2)) {
        passage_deinit(&c.passage);
        return vt_fail(err, VT_ENOMEM, "out of memory");
    }
    all->items[all->n++] = c;
    return VT_OK;
}

static vt_status find(const vt_index *ix, size_t i_index, vt_slice match, size_t n, candidates *all,
                      vt_err *err)
{
    static const char sql[] =
        "SELECT p.id, d.path, p.start_line, p.end_line, p.page, d.title, s.text, h.text, p.text,"
        " ifnull(h.line,0)"
        " FROM (SELECT rowid AS id FROM fts WHERE fts MATCH ?1 AND rank MATCH 'bm25(1.0,0.5)'"
        " ORDER BY rank LIMIT ?2) AS hit"
        " JOIN passage p ON p.id=hit.id JOIN document d ON d.id=p.document"
        " LEFT JOIN label s ON s.id=p.section LEFT JOIN label h ON h.id=p.header";
    sqlite3_stmt *s = NULL;
    vt_status st = vt_index_prepare(ix, sql, &s, err);
    if (st != VT_OK) return st;
    sqlite3_bind_text(s, 1, match.ptr, (int)match.len, SQLITE_STATIC);
    sqlite3_bind_int64(s, 2, (int64_t)n);
    int rc;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW && st == VT_OK) st = load(ix, s, all, i_index, err);
    if (st == VT_OK && rc != SQLITE_DONE) st = vt_index_fail(ix, rc, "search", err);
    sqlite3_finalize(s);
    return st;
}

static int best_first(const void *a, const void *b)
{
    const candidate *x = a;
    const candidate *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    int order = strcmp(x->passage.file, y->passage.file);
    if (order != 0) return order;
    if (x->passage.start_line != y->passage.start_line)
        return x->passage.start_line < y->passage.start_line ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static vt_status hand_over(candidates *all, size_t k, vt_passages *out, vt_err *err)
{
    size_t n = all->n < k ? all->n : k;
    vt_passage *items = vt_calloc(n, sizeof *items);
    if (items == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        items[i] = all->items[i].passage;
        items[i].score = all->items[i].score;
        all->items[i].passage = (vt_passage){0};
    }
    *out = (vt_passages){items, n};
    return VT_OK;
}

vt_status vt_search(vt_index *indexes, size_t n_indexes, vt_slice text, size_t k, vt_passages *out,
                    vt_err *err)
{
    vt_buffer match;
    candidates all = {0};
    *out = (vt_passages){0};
    vt_buffer_init(&match, 1 << 20);
    query *q = vt_calloc(1, sizeof *q);
    if (q == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");

    /* Stop words say nothing, unless there is nothing else ("who", "the who"). */
    cut_query(q, text, false);
    if (q->n_terms == 0) cut_query(q, text, true);
    vt_status st = count_all(indexes, n_indexes, q, err);
    if (st == VT_OK && build_match(q, &match)) {
        st = vt_buffer_status(&match, "the query", err);
        size_t n = k > CANDIDATES ? k : CANDIDATES;
        for (size_t i = 0; i < n_indexes && st == VT_OK; i++)
            st = find(&indexes[i], i, vt_buffer_slice(&match), n, &all, err);
        for (size_t i = 0; i < all.n; i++) all.items[i].score = score_of(q, &all.items[i]);
        share_documents(q, &all);
        if (all.n > 1) qsort(all.items, all.n, sizeof *all.items, best_first);
        if (st == VT_OK) st = hand_over(&all, k, out, err);
    }
    for (size_t i = 0; i < all.n; i++) passage_deinit(&all.items[i].passage);
    vt_free(all.items);
    vt_free(q);
    vt_buffer_deinit(&match);
    return st;
}

void vt_passages_deinit(vt_passages *passages)
{
    for (size_t i = 0; i < passages->n; i++) passage_deinit(&passages->items[i]);
    vt_free(passages->items);
    *passages = (vt_passages){0};
}
