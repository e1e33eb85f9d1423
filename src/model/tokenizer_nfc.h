/* tokenizer_nfc.h -- Unicode normalisation form C of a text of any size, in linear time. Internal
 * to the tokenizer: Qwen's published one normalises before it splits.
 *
 * By Unicode 9.0, as the published library does: newer marks stay where they are. */
#ifndef VT_MODEL_TOKENIZER_NFC_H
#define VT_MODEL_TOKENIZER_NFC_H

#include "base/buffer.h"

/* Append the NFC of `text`, which must be valid UTF-8. */
VT_MUSTUSE vt_status vt__nfc(vt_slice text, vt_buffer *out, vt_err *err);

#endif
