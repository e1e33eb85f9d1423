/* command_pack.c -- `vetro pack`: a model's packed form, which is mapped instead of loaded:
 * written, checked, taken away. What it is: model/packed.h. */
#include "cli/models.h"

#include <stdio.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "cli/output.h"
#include "cli/prefixes.h"
#include "model/network.h"
#include "model/packed.h"

typedef struct {
    const vt_args *args;
    vt_store *store;
    vt_store_entry entry;
    const char *path; /* of the packed file */
    char *own_path;   /* the same, when it is the store's; NULL: --output named it */
    uint64_t n_bytes;
    bool was_there;
} packing;

static void digest_of_text(const char hex[VT_SHA256_HEX + 1], uint8_t out[VT_SHA256_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < VT_SHA256_BYTES; i++)
        out[i] = (uint8_t)((strchr(digits, hex[2 * i]) - digits) * 16 +
                           (strchr(digits, hex[2 * i + 1]) - digits));
}

static const char *model_name(const packing *p)
{
    return p->entry.name != NULL ? p->entry.name : p->entry.path;
}

/* What is at the path already? The packed form of this very model is kept. Beside a model's files
 * in the store nothing else can be; elsewhere other things are not touched without --force. */
static vt_status look_at_target(packing *p, const uint8_t source[VT_SHA256_BYTES], vt_err *err)
{
    vt_packed *there = NULL;
    struct stat info;
    /* In the store it may be a link: whoever has put it there wants the packed form elsewhere. */
    vt_status st = p->own_path != NULL ? VT_OK : vt_cli_check_output(p->path, p->entry.path, err);
    if (st != VT_OK) return st;
    if (stat(p->path, &info) != 0) return VT_OK;
    if (!S_ISREG(info.st_mode))
        return vt_fail(err, VT_EINPUT, "%.200s is no regular file", p->path);
    if (vt_args_flag(p->args, "force")) return VT_OK;
    if (vt_packed_open(p->path, &there, NULL) == VT_OK &&
        memcmp(there->header.source, source, VT_SHA256_BYTES) == 0) {
        p->was_there = true;
        p->n_bytes = there->header.n_file_bytes;
    }
    vt_packed_close(there);
    if (p->was_there || p->own_path != NULL) return VT_OK;
    return vt_fail(err, VT_EEXIST, "%.200s is there already, and is not this model's packed form",
                   p->path);
}

/* Load the model as a run would, and write it. */
static vt_status write_packed(packing *p, const uint8_t source[VT_SHA256_BYTES], int n_threads,
                              const vt_progress *progress, vt_err *err)
{
    vt_pool *pool = NULL;
    vt_model *model = NULL;
    vt_status st = vt_pool_new(n_threads, &pool, err);
    if (st == VT_OK) st = vt_model_open(p->entry.path, pool, progress, &model, err);
    if (st == VT_OK) st = vt_store_recheck(p->store, &p->entry, err);
    if (st == VT_OK) st = vt_model_pack(model, p->path, source, pool, progress, &p->n_bytes, err);
    vt_model_close(model);
    vt_pool_free(pool);
    return st;
}

static const char *remedy_for(vt_status st)
{
    switch (st) {
    case VT_EEXIST: return "--force replaces it; -o FILE writes another one";
    case VT_ELIMIT: return "free some space, or write elsewhere with -o FILE";
    default: return NULL;
    }
}

static int print_result(const packing *p)
{
    char size[VT_CLI_SIZE_TEXT];
    if (vt_args_flag(p->args, "json"))
        return vt_cli_print_json(json_pack(
            "{s:o, s:s, s:o, s:I, s:b, s:b}", "model", vt_json_string(vt_slice_cstr(model_name(p))),
            "digest", p->entry.digest, "path", vt_json_string(vt_slice_cstr(p->path)), "bytes",
            (json_int_t)p->n_bytes, "was_there", p->was_there, "is_used", p->own_path != NULL));
    printf("%s%s: %s\n", p->path, p->was_there ? " is there already" : "",
           vt_cli_size_text(p->n_bytes, size));
    if (p->own_path != NULL) printf("every command that runs %s uses it\n", model_name(p));
    else printf("try: vetro run %s \"Why is the sky blue?\"\n", p->path);
    return VT_EXIT_OK;
}

static int pack(packing *p, int n_threads)
{
    vt_cli_progress bar;
    vt_err err = {0};
    uint8_t source[VT_SHA256_BYTES] = {0};
    vt_cli_progress_begin(&bar);
    vt_status st = VT_OK;
    if (vt_packed_is_one(p->entry.path))
        st = vt_fail(&err, VT_EINPUT, "%.200s is packed already", p->entry.path);
    if (st == VT_OK) st = vt_store_digest(p->store, &p->entry, &bar.progress, &err);
    if (st == VT_OK) {
        digest_of_text(p->entry.digest, source);
        st = look_at_target(p, source, &err);
    }
    if (st == VT_OK && !p->was_there) st = write_packed(p, source, n_threads, &bar.progress, &err);
    if (st == VT_OK && p->own_path != NULL)
        st = vt_store_set_packed(p->store, &p->entry, true, &err);
    vt_cli_progress_end(&bar);
    /* Nobody knows what was wrong with the one that had to be replaced. */
    if (st == VT_OK && vt_args_flag(p->args, "force")) vt_cli_forget_prefixes(source);
    if (st == VT_OK) return print_result(p);
    if (st == VT_EVERIFY && p->entry.is_stale)
        return vt_cli_fail(&err, "'vetro remove %s', then pull it again", p->entry.name);
    const char *remedy = remedy_for(st);
    return vt_cli_fail(&err, remedy ? "%s" : NULL, remedy);
}

/* Whatever the manifest says: -o may have put it there, or somebody have taken it away. */
static bool is_there(const packing *p)
{
    struct stat info;
    return lstat(p->path, &info) == 0;
}

/* --verify: MODEL is a packed file, or a model that has one. */
static vt_status verify_bytes(const packing *p, int n_threads, char source[VT_SHA256_HEX + 1],
                              vt_err *err)
{
    bool is_damaged = false;
    vt_cli_progress bar;
    vt_pool *pool = NULL;
    vt_packed *packed = NULL;
    vt_cli_progress_begin(&bar);
    vt_status st = vt_pool_new(n_threads, &pool, err);
    if (st == VT_OK && p->own_path != NULL && !is_there(p))
        st = vt_fail(err, VT_ENOTFOUND, "%s has no packed form", p->entry.name);
    if (st == VT_OK) st = vt_packed_open(p->path, &packed, err);
    /* What should be a packed file and does not look like one is damaged. */
    if (p->own_path != NULL && st == VT_EINPUT) st = VT_ECORRUPT;
    if (st == VT_OK) {
        st = vt_packed_verify(packed, pool, &bar.progress, err);
        if (st == VT_EIO) st = VT_ECORRUPT; /* a sector that can't be read */
        is_damaged = st == VT_ECORRUPT;
    }
    vt_cli_progress_end(&bar);
    if (is_damaged) vt_cli_forget_prefixes(packed->header.source);
    if (st == VT_OK) vt_sha256_hex(packed->header.source, source);
    vt_packed_close(packed);
    vt_pool_free(pool);
    return st;
}

/* The message, with a command that puts it right. */
static int fail_verify(const packing *p, vt_status st, const vt_err *err)
{
    const char *name = p->entry.name;
    if (st == VT_ENOTFOUND && name != NULL)
        return vt_cli_fail(err, "'vetro pack %s' writes one", name);
    if (st != VT_ECORRUPT) return vt_cli_fail(err, NULL);
    if (p->own_path != NULL)
        return vt_cli_fail(err, "'vetro pack --force %s' writes it anew", name);
    return vt_cli_fail(
        err,
        "'vetro pack --force MODEL -o %s' writes it anew, from the model that it was "
        "made from",
        p->path);
}

static int verify(const packing *p, int n_threads)
{
    vt_err err = {0};
    char source[VT_SHA256_HEX + 1] = "";
    const bool as_json = vt_args_flag(p->args, "json");
    const vt_status st = verify_bytes(p, n_threads, source, &err);
    int code = VT_EXIT_OK;
    if (st != VT_OK) {
        code = fail_verify(p, st, &err);
        if (st != VT_ECORRUPT) return code;
        code = VT_EXIT_UNVERIFIED;
    }
    if (as_json) {
        json_t *o = json_pack("{s:o, s:b}", "path", vt_json_string(vt_slice_cstr(p->path)),
                              "verified", st == VT_OK);
        if (st == VT_OK) json_object_set_new(o, "digest", json_string(source));
        else json_object_set_new(o, "reason", vt_json_string(vt_slice_cstr(err.msg)));
        const int printed = vt_cli_print_json(o);
        return code != VT_EXIT_OK ? code : printed;
    }
    if (st == VT_OK)
        printf("%s: every byte is as it was written, from the model with SHA-256 %s\n", p->path,
               source);
    return code;
}

static int remove_packed(packing *p)
{
    vt_err err = {0};
    char size[VT_CLI_SIZE_TEXT];
    const bool was_there =
        p->entry.packed != NULL || p->entry.packed_problem != NULL || is_there(p);
    struct stat info;
    uint64_t n_bytes = stat(p->path, &info) == 0 ? (uint64_t)info.st_size : 0;
    if (was_there && vt_store_set_packed(p->store, &p->entry, false, &err) != VT_OK)
        return vt_cli_fail(&err, NULL);
    if (vt_args_flag(p->args, "json"))
        return vt_cli_print_json(json_pack("{s:s, s:b, s:I}", "model", p->entry.name, "removed",
                                           was_there, "bytes_freed", (json_int_t)n_bytes));
    if (was_there)
        printf("the packed form of %s is gone: %s freed\n", p->entry.name,
               vt_cli_size_text(n_bytes, size));
    else printf("%s has no packed form\n", p->entry.name);
    return VT_EXIT_OK;
}

/* Which file it is about. */
static int choose_path(packing *p)
{
    const char *output = vt_args_text(p->args, "output");
    bool verifies = vt_args_flag(p->args, "verify");
    if (p->entry.name == NULL && vt_args_flag(p->args, "remove"))
        return vt_cli_usage(p->args, "--remove is for models of the store; delete the file");
    if (output != NULL && (verifies || vt_args_flag(p->args, "remove")))
        return vt_cli_usage(p->args, "-o names a file to write; --verify and --remove write none");
    if (output == NULL && p->entry.name == NULL && !verifies)
        return vt_cli_usage(p->args,
                            "%.200s is not in the store: -o FILE says where its packed form "
                            "goes, 'vetro pull FILE' brings it into the store",
                            p->entry.path);
    p->path = output != NULL ? output : p->entry.path;
    if (output != NULL || p->entry.name == NULL) return VT_EXIT_OK;
    p->own_path = vt_store_packed_path(p->store, &p->entry);
    if (p->own_path == NULL) {
        vt_err err = {.code = VT_ENOMEM};
        return vt_cli_fail(&err, NULL);
    }
    p->path = p->own_path;
    return VT_EXIT_OK;
}

static int run_pack(const vt_args *args)
{
    packing p = {.args = args};
    int n_threads = 0;
    if (!vt_args_threads(args, &n_threads)) return VT_EXIT_USAGE;
    if (vt_args_flag(args, "verify") + vt_args_flag(args, "remove") + vt_args_flag(args, "force") >
        1)
        return vt_cli_usage(args, "--force, --verify and --remove: one of them");
    int code = vt_cli_open_store(&p.store);
    if (code == VT_EXIT_OK)
        code = vt_cli_resolve_model(p.store, vt_args_operand(args, 0), &p.entry);
    if (code == VT_EXIT_OK) code = choose_path(&p);
    if (code == VT_EXIT_OK) {
        if (vt_args_flag(args, "verify")) code = verify(&p, n_threads);
        else if (vt_args_flag(args, "remove")) code = remove_packed(&p);
        else code = pack(&p, n_threads);
    }
    vt_free(p.own_path);
    vt_store_entry_deinit(&p.entry);
    vt_store_close(p.store);
    return code;
}

static const vt_option options[] = {
    {.name = "output",
     .letter = 'o',
     .argument = "FILE",
     .kind = VT_OPTION_TEXT,
     .help = "write to FILE (else beside the model's files in the store, where every command "
             "finds it)"},
    {.name = "force", .help = "write it again, and over whatever is at its place"},
    {.name = "verify",
     .help = "check every byte of a packed file, or of a model's packed form (exit 4 when one "
             "differs); takes a second for each gigabyte, so a start does not"},
    {.name = "remove", .help = "take the model's packed form away"},
    {.name = "threads",
     .letter = 't',
     .argument = "N",
     .kind = VT_OPTION_INT,
     .max = VT_POOL_MAX_THREADS,
     .standard = "0",
     .help = "threads to work with (0: the CPUs this process may use)"},
    {.name = "json", .help = "print the result as JSON"},
    {0},
};

const vt_command vt_command_pack = {
    .name = "pack",
    .summary = "make a model start at once: its weights as the processor reads them",
    .usage = "[OPTION]... MODEL",
    .description =
        "Writes the model's packed form, a second file of about the same size. It is mapped "
        "instead of loaded: a start takes no time once it is in the page cache, and processes "
        "that run the same model share its memory. Answers are the same to the bit, and the "
        "model's digest stays that of the original. The file is there whole or not at all.",
    .examples = "vetro pack qwen2.5-coder-1.5b\n"
                "vetro pack qwen2.5-coder-1.5b --verify\n"
                "vetro pack ./model.gguf -o model.packed && vetro run ./model.packed \"Hello\"\n"
                "vetro pack qwen2.5-coder-1.5b --remove\n",
    .options = options,
    .min_operands = 1,
    .max_operands = 1,
    .run = run_pack,
};
