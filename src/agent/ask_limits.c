/* ask_limits.c -- how sure a model has to be, by model. The figures come from scripts/eval-answers
 * on the development half of the questions (docs/answers.md); a model that was not measured gets
 * the cautious line at the end. */
#include "agent/ask.h"

static const struct {
    const char *name; /* in general.name, folded to lower case; all words of it must occur */
    const char *architecture;
    vt_ask_limits limits;
} table[] = {
    {"qwen2.5 coder 1.5b",
     "qwen2",
     {.min_states = 0.6,
      .min_confirms = 0.0,
      .min_together = 1.5,
      .clear_states = 2.0,
      .n_search = 12,
      .n_read = 5,
      .read_bytes = 1500,
      .calibrated_on = "qwen2.5-coder-1.5b"}},
};

static const vt_ask_limits standard = {
    .min_states = 0.6,
    .min_confirms = 0.0,
    .min_together = 1.5,
    .clear_states = 3.0,
    .n_search = 12,
    .n_read = 5,
    .read_bytes = 1500,
    .calibrated_on = "default",
};

static bool has_folded(vt_slice text, const char *word, size_t len)
{
    for (size_t i = 0; i + len <= text.len; i++) {
        size_t k = 0;
        while (k < len) {
            char c = text.ptr[i + k];
            if (c >= 'A' && c <= 'Z') c = (char)(c | 0x20);
            if (c != word[k]) break;
            k++;
        }
        if (k == len) return true;
    }
    return false;
}

static bool matches(vt_slice text, const char *name)
{
    while (*name != '\0') {
        const char *end = name;
        while (*end != '\0' && *end != ' ') end++;
        if (!has_folded(text, name, (size_t)(end - name))) return false;
        name = *end == ' ' ? end + 1 : end;
    }
    return true;
}

vt_ask_limits vt_ask_limits_for(vt_slice model_name, vt_slice architecture)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (vt_slice_eq(architecture, vt_slice_cstr(table[i].architecture)) &&
            matches(model_name, table[i].name))
            return table[i].limits;
    return standard;
}
