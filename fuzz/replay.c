/* replay.c -- main for a fuzz target in builds without libFuzzer: runs every file of the folders
 * named on the command line through it, and once no bytes at all. A crash or a sanitizer's report
 * is the failure; a folder that is missing or empty fails too, so that a target without seeds is
 * noticed. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_SEED = 64 << 20 };

static int replay_file(const char *path)
{
    vt_err err;
    vt_buffer bytes;
    vt_buffer_init(&bytes, MAX_SEED + 65536);
    vt_status st = vt_file_read(path, MAX_SEED, &bytes, &err);
    if (st != VT_OK) fprintf(stderr, "replay: %s\n", err.msg);
    else LLVMFuzzerTestOneInput((const uint8_t *)bytes.ptr, bytes.len);
    vt_buffer_deinit(&bytes);
    return st == VT_OK ? 0 : -1;
}

static int replay_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        fprintf(stderr, "replay: cannot open the folder %s\n", folder);
        return -1;
    }
    int n = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[4096];
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (replay_file(path) != 0) {
            n = -1;
            break;
        }
        n++;
    }
    closedir(dir);
    if (n == 0) fprintf(stderr, "replay: no seeds in %s\n", folder);
    if (n > 0) printf("%s: %d seeds\n", folder, n);
    return n > 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++)
        if (replay_folder(argv[i]) != 0) return 1;
    return 0;
}
