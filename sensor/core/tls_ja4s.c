/* JA4S is a method of FoxIO, LLC under the FoxIO License 1.1, which forbids monetisation; it is
 * not covered by this project's licence. Nothing else depends on this file: a site or
 * distributor who cannot accept those terms leaves tls_shared.ja4s false, or removes the file
 * and its one call. */
#include <stdio.h>
#include <string.h>

#include "tls_fingerprint.h"
#include "tls_wire.h"

void tls_ja4s(struct tls_library *library, const struct tls_server_hello *hello,
              char ja4s[TLS_JA4S_CHARS + 1])
{
    char start[TLS_TEXT_BYTES_MAX], protocol[3], hex[TLS_FINGERPRINT_CHARS + 1];
    struct tls_text text = {start, sizeof start, false};
    struct wire wire = wire_of(hello->extensions);
    uint32_t count = 0;
    ja4s[0] = '\0';
    while (wire.left) {
        uint32_t type = wire_number(&wire, 2);
        wire_vector(&wire, 2);
        if (!wire.bad)
            tls_text_add(&text, "%s%04x", count++ ? "," : "", type);
    }
    struct slice types = {(const uint8_t *)start, (uint32_t)(text.at - start)};
    if (text.full)
        return;
    memcpy(hex, "000000000000", 13);
    if (count && !tls_digest_hex(library, TLS_SHA256, types, hex))
        return;
    tls_ja4_protocol(hello->protocol, protocol);
    snprintf(ja4s, TLS_JA4S_CHARS + 1, "t%s%02u%s_%04x_%.12s", tls_ja4_version(hello->version),
             count < 99 ? count : 99, protocol, hello->suite, hex);
}
