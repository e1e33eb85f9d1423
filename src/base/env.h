/* env.h -- the environment, read in this one place: VETRO_HOME, VETRO_ISA, VETRO_THREADS, and the
 * XDG base directories. Called by the command line only; the library takes what it needs as
 * arguments. */
#ifndef VT_BASE_ENV_H
#define VT_BASE_ENV_H

#include "base/error.h"

const char *vt_env_isa(void);     /* "scalar", "avx2", ... or NULL */
const char *vt_env_threads(void); /* text, or NULL */

/* Directories, as paths that the caller frees (vt_free). Nothing is created.
 *   VETRO_HOME set:  $VETRO_HOME/{config,data,cache}
 *   else             $XDG_CONFIG_HOME/vetro, $XDG_DATA_HOME/vetro, $XDG_CACHE_HOME/vetro with their
 * usual defaults. Relative XDG values are ignored, as its specification says. VT_ENOTFOUND when
 * there is no home directory. */
typedef enum { VT_DIR_CONFIG, VT_DIR_DATA, VT_DIR_CACHE } vt_dir_kind;
VT_MUSTUSE vt_status vt_env_dir(vt_dir_kind kind, char **out, vt_err *err);

#endif
