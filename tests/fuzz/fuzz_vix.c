/* VIX from the first byte of a stream on; fuzz_framed.h has the form of the input. */
#include "fuzz_framed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    return framed_both(data, bytes, "");
}
