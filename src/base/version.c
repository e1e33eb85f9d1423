/* version.c -- see version.h. The header is written by the build (scripts/commit.cmake); only this
 * file is compiled anew when the commit changes. */
#include "base/version.h"

#include "vetro_commit.h"

const char *vt_version(void)
{
    return VETRO_VERSION;
}

const char *vt_commit(void)
{
    return VETRO_COMMIT;
}
