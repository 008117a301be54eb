/* vmware-authd after its greeting, and NFC, AIO and consoles behind it; fuzz_framed.h has the form
 * of the input. */
#include "fuzz_framed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    return framed_both(data, bytes, "220 VMware Authentication Daemon Version 1.0\r\n");
}
