/* JA3, JA3S, JA4 and JA4S: how a client or a server words its hello. */
#ifndef HOPTAP_TLS_FINGERPRINT_H
#define HOPTAP_TLS_FINGERPRINT_H

#include "tls.h"
#include "tls_hello.h"
#include "tls_library.h"

/* Each writes the empty text when the hello has more entries than any client sends (1024). */

/* https://github.com/salesforce/ja3 (BSD) */
void tls_ja3(struct tls_library *library, const struct tls_client_hello *hello,
             char ja3[TLS_MD5_CHARS + 1]);
void tls_ja3s(struct tls_library *library, const struct tls_server_hello *hello,
              char ja3s[TLS_MD5_CHARS + 1]);
/* https://github.com/FoxIO-LLC/ja4, technical_details/JA4.md (BSD) */
void tls_ja4(struct tls_library *library, const struct tls_client_hello *hello,
             char ja4[TLS_JA4_CHARS + 1]);
/* JA4S.md there, under the FoxIO License 1.1: in a file of its own, computed only when asked for */
void tls_ja4s(struct tls_library *library, const struct tls_server_hello *hello,
              char ja4s[TLS_JA4S_CHARS + 1]);

enum { TLS_ENTRIES_MAX = 1024, TLS_TEXT_BYTES_MAX = 16 << 10 };

/* Text in the making; `full` when it did not fit. */
struct tls_text {
    char *at;
    uint32_t left;
    bool full;
};

void tls_text_add(struct tls_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Two characters for the version, two for the protocol, as JA4 and JA4S have them. */
const char *tls_ja4_version(uint16_t version);
void tls_ja4_protocol(struct slice protocol, char two[3]);

#endif
