/* encoding.h -- bytes of unknown encoding to UTF-8 text.
 *
 * In this order: byte order marks; strict UTF-8; UTF-16 without a mark, by where its zero bytes
 * are; UTF-8 with a few broken bytes (each becomes U+FFFD); the charset that the caller knows of
 * (an HTML page's own word); uchardet's guess; Windows-1252. A guess on short text is a guess.
 *
 * Failure  VT_EUNSUPPORTED "not a text file" for bytes that hold NUL or many control characters;
 * VT_ELIMIT past out's ceiling. Threads safe. */
#ifndef VT_DOCS_ENCODING_H
#define VT_DOCS_ENCODING_H

#include "base/buffer.h"

/* *text is the text without byte order mark: a part of `bytes` when they are UTF-8 already, else
 * the content of `out`. `charset` may be empty. */
VT_MUSTUSE vt_status vt_encoding_to_utf8(vt_slice bytes, vt_slice charset, vt_buffer *out,
                                         vt_slice *text, vt_err *err);

/* What a page says about its charset in its first 1024 bytes (<meta charset=...>); empty: nothing.
 */
vt_slice vt_encoding_of_html(vt_slice bytes);

#endif
