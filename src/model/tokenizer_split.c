/* tokenizer_split.c -- see tokenizer_split.h.
 *
 * The patterns, as published in tokenizer.json (and, o200k, in harmony's public_encodings.rs):
 *
 *   gpt2    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *   smollm  Digits(individual), then gpt2 in what lies between the digits
 *   llama3  (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}
 *           | ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 *   qwen2   as llama3, with \p{N} for \p{N}{1,3}
 *   o200k   [^\r\n\p{L}\p{N}]?U*B+C?|[^\r\n\p{L}\p{N}]?U+B*C?|\p{N}{1,3}
 *           | ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
 *           where U = [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}], B = [\p{Ll}\p{Lm}\p{Lo}\p{M}],
 *           C = (?i:'s|'t|'re|'ve|'m|'ll|'d)
 *
 * An alternation takes its first alternative that matches, so each scanner below tries them in
 * order; where a pattern would backtrack, the comment says where it ends up instead. No character
 * is looked at more than a constant number of times: a stretch that one alternative scans and gives
 * up is consumed by the next piece. */
#include "model/tokenizer_split.h"

#include "model/unicode.h"

enum {
    SPACE = 1 << VT_UNICODE_SPACE,
    NUMBER = 1 << VT_UNICODE_N,
    MARK = 1 << VT_UNICODE_M,
    ONLY_UPPER = 1 << VT_UNICODE_LU | 1 << VT_UNICODE_LT,
    ONLY_LOWER = 1 << VT_UNICODE_LL,
    CASELESS = 1 << VT_UNICODE_LM | 1 << VT_UNICODE_LO | MARK, /* in both U and B of o200k */
    UPPER = ONLY_UPPER | CASELESS,                             /* U */
    LOWER = ONLY_LOWER | CASELESS,                             /* B */
    LETTER = (UPPER | LOWER) & ~MARK,
    SYMBOL = 1 << VT_UNICODE_OTHER | MARK, /* [^\s\p{L}\p{N}] */
};

enum { LONG_S = 0x17F }; /* U+017F is an s when case is ignored */

typedef struct {
    uint32_t code;
    uint32_t bit; /* 1 << class; 0 at the end, so that it is in no set */
    size_t next;  /* where the character after it starts */
} character;

/* The character at pos. The text is known to be valid, so lengths come from the lead byte alone. */
static character at(const vt_splitter *s, size_t pos)
{
    if (pos >= s->end) return (character){.next = pos};
    const uint8_t *p = (const uint8_t *)s->text.ptr + pos;
    uint32_t code = p[0];
    size_t n = 1;
    if (code >= 0xF0) {
        code = (code & 7) << 18 | (p[1] & 0x3FU) << 12 | (p[2] & 0x3FU) << 6 | (p[3] & 0x3FU);
        n = 4;
    } else if (code >= 0xE0) {
        code = (code & 15) << 12 | (p[1] & 0x3FU) << 6 | (p[2] & 0x3FU);
        n = 3;
    } else if (code >= 0x80) {
        code = (code & 31) << 6 | (p[1] & 0x3FU);
        n = 2;
    }
    return (character){.code = code, .bit = 1U << vt_unicode_class_of(code), .next = pos + n};
}

/* Past the longest run of characters in `set` from pos, of `most` at most. */
static size_t run(const vt_splitter *s, size_t pos, uint32_t set, size_t most)
{
    character c = at(s, pos);
    while (most-- > 0 && (c.bit & set)) {
        pos = c.next;
        c = at(s, pos);
    }
    return pos;
}

static bool is_newline(character c)
{
    return c.code == '\r' || c.code == '\n'; /* the end has code 0, which is neither */
}

static uint32_t folded(character c)
{
    if (c.code == LONG_S) return 's';
    return c.code >= 'A' && c.code <= 'Z' ? c.code + ('a' - 'A') : c.code;
}

/* 's 't 're 've 'm 'll 'd: past it, or pos when there is none. */
static size_t contraction(const vt_splitter *s, size_t pos, bool any_case)
{
    character quote = at(s, pos);
    if (quote.code != '\'') return pos;
    character c1 = at(s, quote.next);
    uint32_t a = any_case ? folded(c1) : c1.code;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return c1.next;
    if (a != 'r' && a != 'v' && a != 'l') return pos;
    character c2 = at(s, c1.next);
    uint32_t b = any_case ? folded(c2) : c2.code;
    return b == (a == 'l' ? 'l' : 'e') ? c2.next : pos;
}

/* [\s*[\r\n]+ |] \s+(?!\S) | \s+ at a white space character. The first, where the pattern has it,
 * backtracks to end behind the last newline of the run; the second leaves the run's last character
 * to the word that follows, unless it is the only one. */
static size_t space(const vt_splitter *s, size_t pos, bool newlines_first)
{
    size_t last = pos;
    size_t end = pos;
    size_t newline_end = 0;
    for (character c = at(s, pos); c.bit & SPACE; c = at(s, end)) {
        last = end;
        end = c.next;
        if (is_newline(c)) newline_end = end;
    }
    if (newlines_first && newline_end > 0) return newline_end;
    return end == s->end || last == pos ? end : last;
}

/* ` ?SET+`: past it, or pos. */
static size_t spaced_run(const vt_splitter *s, size_t pos, uint32_t set)
{
    size_t start = at(s, pos).code == ' ' ? pos + 1 : pos;
    size_t end = run(s, start, set, SIZE_MAX);
    return end > start ? end : pos;
}

static size_t gpt2(const vt_splitter *s, size_t pos)
{
    size_t end = contraction(s, pos, false);
    if (end == pos) end = spaced_run(s, pos, LETTER);
    if (end == pos) end = spaced_run(s, pos, NUMBER);
    if (end == pos) end = spaced_run(s, pos, SYMBOL);
    return end == pos ? space(s, pos, false) : end;
}

/* ` ?[^\s\p{L}\p{N}]+[\r\n]*`, or with `/` in the last set; pos when it doesn't match. */
static size_t symbols(const vt_splitter *s, size_t pos, bool eats_slash)
{
    size_t end = spaced_run(s, pos, SYMBOL);
    if (end == pos) return pos;
    for (character c = at(s, end); is_newline(c) || (eats_slash && c.code == '/'); c = at(s, end))
        end = c.next;
    return end;
}

/* Where the letters start when [^\r\n\p{L}\p{N}]? takes a character: behind it, else at pos. */
static size_t behind_prefix(const vt_splitter *s, size_t pos)
{
    character c = at(s, pos);
    return (c.bit & (LETTER | NUMBER)) || is_newline(c) ? pos : c.next;
}

static size_t llama3(const vt_splitter *s, size_t pos, size_t most_digits)
{
    size_t end = contraction(s, pos, true);
    if (end > pos) return end;
    size_t letters = behind_prefix(s, pos);
    end = run(s, letters, LETTER, SIZE_MAX);
    if (end > letters) return end;
    end = run(s, pos, NUMBER, most_digits);
    if (end == pos) end = symbols(s, pos, false);
    return end == pos ? space(s, pos, true) : end;
}

/* U*B+ from pos: past it, or pos. U* is greedy: it takes the whole run of U. When what follows is
 * lower case, B+ is that. Else U* gives back characters until one of them is also in B, the last
 * caseless one, and B+ is that one alone (behind it come upper-case letters only). */
static size_t lower_word(const vt_splitter *s, size_t pos)
{
    size_t end = pos;
    size_t caseless_end = pos;
    character c = at(s, pos);
    for (; c.bit & UPPER; c = at(s, end)) {
        end = c.next;
        if (c.bit & CASELESS) caseless_end = end;
    }
    return c.bit & ONLY_LOWER ? run(s, end, LOWER, SIZE_MAX) : caseless_end;
}

static size_t o200k(const vt_splitter *s, size_t pos)
{
    size_t letters = behind_prefix(s, pos);
    size_t end = lower_word(s, letters);
    if (end > letters) return contraction(s, end, true);
    /* The optional prefix is given back: a mark may be prefix or part of the word. */
    end = lower_word(s, pos);
    if (end > pos) return contraction(s, end, true);
    /* U+B*: no lower_word was found, so here are upper-case letters only. */
    end = run(s, letters, UPPER, SIZE_MAX);
    if (end > letters) return contraction(s, end, true);
    end = run(s, pos, NUMBER, 3);
    if (end == pos) end = symbols(s, pos, true);
    return end == pos ? space(s, pos, true) : end;
}

/* Before the patterns see the text, smollm cuts it at each number character. */
static size_t smollm(vt_splitter *s, size_t pos)
{
    if (pos == s->end) { /* the stretch is used up: a number, or a new stretch */
        s->end = s->text.len;
        character c = at(s, pos);
        if (c.bit & NUMBER) return s->end = c.next;
        s->end = run(s, pos, ~(uint32_t)NUMBER, SIZE_MAX);
    }
    return gpt2(s, pos);
}

bool vt__split_next(vt_splitter *s, vt_slice *piece)
{
    size_t pos = s->pos;
    if (pos >= s->text.len) return false;
    if (s->kind != VT_SPLIT_SMOLLM) s->end = s->text.len;
    switch (s->kind) {
    case VT_SPLIT_GPT2: s->pos = gpt2(s, pos); break;
    case VT_SPLIT_SMOLLM: s->pos = smollm(s, pos); break;
    case VT_SPLIT_LLAMA3: s->pos = llama3(s, pos, 3); break;
    case VT_SPLIT_QWEN2: s->pos = llama3(s, pos, 1); break;
    case VT_SPLIT_O200K: s->pos = o200k(s, pos); break;
    }
    *piece = (vt_slice){s->text.ptr + pos, s->pos - pos};
    return true;
}
