/* env.c -- see env.h. The one file that calls getenv. */
#include "base/env.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/buffer.h"

const char *vt_env_isa(void)
{
    return getenv("VETRO_ISA");
}

const char *vt_env_threads(void)
{
    return getenv("VETRO_THREADS");
}

vt_status vt_env_dir(vt_dir_kind kind, char **out, vt_err *err)
{
    static const struct {
        const char *below_home; /* below VETRO_HOME */
        const char *xdg;
        const char *fallback; /* below HOME */
    } dirs[] = {
        [VT_DIR_CONFIG] = {"config", "XDG_CONFIG_HOME", ".config"},
        [VT_DIR_DATA] = {"data", "XDG_DATA_HOME", ".local/share"},
        [VT_DIR_CACHE] = {"cache", "XDG_CACHE_HOME", ".cache"},
    };
    vt_buffer b;
    vt_buffer_init(&b, 4096);
    const char *own = getenv("VETRO_HOME");
    const char *xdg = getenv(dirs[kind].xdg);
    const char *home = getenv("HOME");
    if (own != NULL && own[0] != '\0') vt_buffer_printf(&b, "%s/%s", own, dirs[kind].below_home);
    else if (xdg != NULL && xdg[0] == '/') vt_buffer_printf(&b, "%s/vetro", xdg);
    else if (home != NULL && home[0] == '/')
        vt_buffer_printf(&b, "%s/%s/vetro", home, dirs[kind].fallback);
    else return vt_fail(err, VT_ENOTFOUND, "no home directory: set HOME or VETRO_HOME");
    vt_status st = vt_buffer_status(&b, "the path of vetro's directory", err);
    if (st == VT_OK) *out = vt_buffer_take(&b);
    vt_buffer_deinit(&b);
    return st;
}
