"""Measures ik_llama.cpp: one test in one process, for bench/peers/compare, run by the Python that has the package
ik-llama-cpp-python. Its C functions are called directly, because the package's own classes offer neither batches
nor the flags that make it fast.

usage: ik_llama.py MODEL TEST THREADS FLAGS

TEST is as compare names it: pp512, tg64, tg32@d4096, tg32@b16, load. FLAGS is a list like "repack,fa": repack (the
programs' -rtr, row-interleaved weights), fa (flash attention), qkv (merged q, k and v), thp (huge pages); "-" is
none. Prints one JSON object: tokens_per_second, or seconds for load, counted from the call that opens the model.
"""
import json
import os
import re
import sys
import time

os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # it logs a lot
from ik_llama_cpp import _ctypes_api as C  # noqa: E402


def open_model(path, flags):
    C.llama_backend_init()
    params = C.llama_model_default_params()
    params.n_gpu_layers = 0
    params.use_mmap = "repack" not in flags  # repacked weights need memory of their own
    params.repack_tensors = "repack" in flags
    params.merge_qkv = "qkv" in flags
    params.use_thp = "thp" in flags
    model = C.llama_model_load_from_file(path.encode(), params)
    if not model:
        sys.exit("cannot load the model")
    return model


def open_context(model, n_ctx, n_sequences, threads, flags):
    params = C.llama_context_default_params()
    params.n_ctx = n_ctx
    params.n_batch = max(512, n_sequences)
    params.n_ubatch = max(512, n_sequences)
    params.n_seq_max = n_sequences
    params.n_threads = threads
    params.n_threads_batch = threads
    params.flash_attn = "fa" in flags
    context = C.llama_init_from_model(model, params)
    if not context:
        sys.exit("cannot make a context")
    return context


def decode(context, tokens):
    """tokens: (id, position, sequence), the last one of each sequence with logits."""
    batch = C.llama_batch_init(len(tokens), 0, 1)
    batch.n_tokens = len(tokens)
    last = {sequence: i for i, (_, _, sequence) in enumerate(tokens)}
    for i, (token, position, sequence) in enumerate(tokens):
        batch.token[i] = token
        batch.pos[i] = position
        batch.n_seq_id[i] = 1
        batch.seq_id[i][0] = sequence
        batch.logits[i] = last[sequence] == i
    code = C.llama_decode(context, batch)
    C.llama_batch_free(batch)
    if code != 0:
        sys.exit(f"decode failed: {code}")
    C.llama_get_logits_ith(context, -1)


def read(context, ids, first, n, sequence=0):
    for i in range(0, n, 512):
        decode(context, [(ids[(first + k) % len(ids)], first + k, sequence) for k in range(i, min(i + 512, n))])


def main():
    path, test, threads, flags = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4].split(",")
    start = time.monotonic()
    model = open_model(path, flags)
    if test == "load":
        decode(open_context(model, 8192, 1, threads, flags), [(1, 0, 0)])
        print(json.dumps({"seconds": time.monotonic() - start}))
        return
    found = re.fullmatch(r"(pp|tg)(\d+)(?:@b(\d+))?(?:@d(\d+))?", test)
    kind, n = found.group(1), int(found.group(2))
    n_sequences, depth = int(found.group(3) or 1), int(found.group(4) or 0)
    n_vocab = C.llama_vocab_n_tokens(C.llama_model_get_vocab(model))
    ids = [(12345 + 7919 * i) % n_vocab for i in range(4096)]
    context = open_context(model, (depth + n + 16) * n_sequences, n_sequences, threads, flags)
    for is_measured in (False, True):  # the first one warms up
        C.llama_kv_cache_clear(context)
        for sequence in range(n_sequences if depth else 0):
            read(context, ids, 0, depth, sequence)
        start = time.monotonic()
        if kind == "pp":
            read(context, ids, depth, n)
        else:
            for i in range(n):
                decode(context, [(ids[(depth + i + 61 * s) % 4096], depth + i, s) for s in range(n_sequences)])
        seconds = time.monotonic() - start
    print(json.dumps({"tokens_per_second": n * n_sequences / seconds}))


main()
