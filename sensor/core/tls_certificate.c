#include "tls_certificate.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <string.h>

#include "tls_wire.h"

enum { DER_INTEGER = 0x02, DER_SEQUENCE = 0x30, DER_VERSION = 0xa0 };

struct slice tls_certificate_first(struct slice body, uint16_t version)
{
    struct wire wire = wire_of(body);
    if (version == TLS_1_3)
        wire_vector(&wire, 1); /* certificate_request_context, RFC 8446 section 4.4.2 */
    struct wire list = wire_of(wire_vector(&wire, 3));
    struct slice der = wire_vector(&list, 3);
    return wire.bad || list.bad ? (struct slice){NULL, 0} : der;
}

/* RFC 4514 text, UTF-8 as it is, cut at a character. */
static void write_name(const X509_NAME *name, char text[TLS_SUBJECT_CHARS + 1])
{
    char *data = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    unsigned long flags = XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB;
    long bytes = 0;
    if (bio && X509_NAME_print_ex(bio, name, 0, flags) >= 0)
        bytes = BIO_get_mem_data(bio, &data);
    if (bytes > TLS_SUBJECT_CHARS) {
        bytes = TLS_SUBJECT_CHARS;
        while (bytes && ((uint8_t)data[bytes] & 0xc0) == 0x80)
            bytes--;
    }
    if (bytes > 0)
        memcpy(text, data, (size_t)bytes);
    text[bytes > 0 ? bytes : 0] = '\0';
    BIO_free(bio);
}

/* The next DER element (X.690 section 8.1): its content; *whole with its header. */
static struct slice der_element(struct wire *wire, uint8_t tag, struct slice *whole)
{
    const uint8_t *start = wire->at;
    bool fits = wire_number(wire, 1) == tag;
    uint32_t bytes = wire_number(wire, 1);
    if (bytes > 0x80 && bytes <= 0x84)
        bytes = wire_number(wire, bytes - 0x80);
    else if (bytes >= 0x80)
        fits = false;
    struct slice content = wire_bytes(wire, bytes);
    wire->bad |= !fits;
    *whole = (struct slice){start, (uint32_t)(wire->at - start)};
    return content;
}

struct der_parts {
    struct slice issuer, subject, key;
};

/* RFC 5280 section 4.1. By hand, because d2i_X509 decodes the public key too, which takes longer
 * than all the rest of a handshake, and few sessions need it. */
static bool find_parts(struct slice der, struct der_parts *parts)
{
    struct slice whole;
    struct wire outer = wire_of(der);
    struct wire certificate = wire_of(der_element(&outer, DER_SEQUENCE, &whole));
    struct wire signed_part = wire_of(der_element(&certificate, DER_SEQUENCE, &whole));
    if (signed_part.left && *signed_part.at == DER_VERSION)
        der_element(&signed_part, DER_VERSION, &whole);
    der_element(&signed_part, DER_INTEGER, &whole);
    der_element(&signed_part, DER_SEQUENCE, &whole); /* signature algorithm */
    der_element(&signed_part, DER_SEQUENCE, &parts->issuer);
    der_element(&signed_part, DER_SEQUENCE, &whole); /* validity */
    der_element(&signed_part, DER_SEQUENCE, &parts->subject);
    der_element(&signed_part, DER_SEQUENCE, &parts->key);
    return !outer.bad && !certificate.bad && !signed_part.bad;
}

static void read_name(struct slice der, char text[TLS_SUBJECT_CHARS + 1])
{
    const unsigned char *at = der.data;
    X509_NAME *name = d2i_X509_NAME(NULL, &at, der.bytes);
    if (name)
        write_name(name, text);
    X509_NAME_free(name);
}

void tls_certificate_read(struct tls_library *library, struct slice der,
                          struct tls_certificate *certificate)
{
    struct der_parts parts;
    certificate->subject[0] = certificate->issuer[0] = certificate->fingerprint[0] = '\0';
    certificate->key = NULL;
    if (!der.bytes)
        return;
    tls_digest_hex(library, TLS_SHA256, der, certificate->fingerprint);
    if (find_parts(der, &parts)) {
        const unsigned char *at = parts.key.data;
        read_name(parts.subject, certificate->subject);
        read_name(parts.issuer, certificate->issuer);
        if (certificate->wants_key)
            certificate->key = d2i_PUBKEY_ex(NULL, &at, parts.key.bytes, library->context, NULL);
    }
    ERR_clear_error();
}
