/* fixture.h -- a folder of documents for a test, made and removed by it. */
#ifndef TESTS_DOCS_FIXTURE_H
#define TESTS_DOCS_FIXTURE_H

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"

typedef struct {
    char path[64];
} folder;

static inline folder folder_new(void)
{
    folder f = {.path = "/tmp/vetro-docs-XXXXXX"};
    assert_non_null(mkdtemp(f.path));
    return f;
}

static inline int folder_remove_one(const char *path, const struct stat *info, int kind,
                                    struct FTW *ftw)
{
    (void)info;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static inline void folder_free(const folder *f)
{
    nftw(f->path, folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void folder_write(const folder *f, const char *name, vt_slice bytes)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", f->path, name);
    for (char *p = path + strlen(f->path) + 1; *p; p++) {
        if (*p != '/') continue;
        *p = '\0';
        mkdir(path, 0700);
        *p = '/';
    }
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes.ptr, 1, bytes.len, file), bytes.len);
    assert_int_equal(fclose(file), 0);
}

static inline void folder_text(const folder *f, const char *name, const char *text)
{
    folder_write(f, name, vt_slice_cstr(text));
}

#endif
