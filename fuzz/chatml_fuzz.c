/* chatml_fuzz.c -- any turn of a model in the chatml format: see chat_fuzz.h. */
#include "chat_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_chat("chatml", data, size);
    return 0;
}
