/* Finds, in a SOAP request that may still be incomplete, what it asks for: the operation (first
 * element of the Body), its `_this` and the operationID header. No tree, no allocation; each byte
 * is looked at once however the body arrives, because a scan goes on where it stopped. */
#ifndef HOPTAP_SOAP_H
#define HOPTAP_SOAP_H

#include <stdint.h>

enum soap_verdict {
    SOAP_MORE, /* undecided: call again with the same body grown */
    SOAP_FOUND,
    SOAP_NONE, /* no SOAP request, broken, or nothing within SOAP_SCAN_BYTES_MAX */
};

/* A WS-Security header with a SAML assertion and its signature is 5 to 20 KiB, with delegation and
 * groups a multiple of that. */
enum { SOAP_SCAN_BYTES_MAX = 256 * 1024 };
/* A longer name or id is not one of ours; the part stays empty. */
enum { SOAP_TEXT_BYTES_MAX = 1024 };

/* Part of the body; bytes 0: absent. */
struct soap_span {
    uint32_t at, bytes;
};

/* Zeroed before the first call. Results are valid when the verdict was SOAP_FOUND, and as far as
 * they were found when the body ended before. */
struct soap_scan {
    struct soap_span operation, this_type, this_id, operation_id;
    uint32_t operation_at; /* the '<' of the operation element */
    /* private */
    uint32_t at;      /* where to go on */
    uint32_t markup;  /* '<' of the markup at hand */
    uint32_t text_at; /* start of the text of the element being read */
    uint16_t depth;   /* elements open */
    struct soap_span cdata;
    uint8_t state, section, reading, text, quote;
};

enum soap_verdict soap_scan(struct soap_scan *scan, const uint8_t *body, uint32_t bytes);

#endif
