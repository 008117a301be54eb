/* Puts the clear connections of a bench capture into TLS: the same messages, by the same clock.
 *
 *   seal CLEAR.pcap SEALED.pcap KEYS.log VERSION
 *
 * Both ends are libssl's. VERSION is 1.3 or 1.2; the suite is AES-128-GCM with SHA-256. A message,
 * which ends with PSH, is one write, so records hold up to 16 KiB, as servers make them. Reads what
 * generate.c writes: no packet is lost or out of order there, and headers have one size. Prints one
 * line of JSON: packets, bytes of the messages. */
#include <inttypes.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"

enum {
    CONNECTIONS_MAX = 1 << 16,
    MESSAGE_MAX = 1 << 16,
    RECORD_BYTES = 16,
    CLEAR_PORT = 80,
    TLS_PORT = 443,
    FIRST_PORT = 32768,
    CLIENTS = 256, /* of one /24 network */
};

enum side { CLIENT, SERVER };

struct connection {
    SSL *end[2];
    uint8_t headers[2][HEADERS_BYTES]; /* the latest of each side: a pattern for the next */
    uint32_t sequence[2];
    uint8_t message[2][MESSAGE_MAX];
    uint32_t message_bytes[2];
    bool established;
};

static struct connection *connections[CONNECTIONS_MAX];
static SSL_CTX *contexts[2];
static FILE *in, *out, *keys;
static uint32_t record[4]; /* of the packet read last: seconds, microseconds, lengths */
static uint64_t packets, http_bytes;

static void fail(const char *what)
{
    fprintf(stderr, "seal: %s\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void log_key(const SSL *ssl, const char *line)
{
    (void)ssl;
    fprintf(keys, "%s\n", line);
}

static void add_certificate(SSL_CTX *context)
{
    EVP_PKEY *key = EVP_RSA_gen(2048);
    X509 *x509 = X509_new();
    if (!key || !x509)
        fail("no key");
    X509_set_version(x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    X509_gmtime_adj(X509_getm_notBefore(x509), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x509), 86400);
    X509_set_pubkey(x509, key);
    X509_NAME *name = X509_get_subject_name(x509);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)"vc.example.test", -1, -1,
                               0);
    X509_set_issuer_name(x509, name);
    if (!X509_sign(x509, key, EVP_sha256()) || SSL_CTX_use_certificate(context, x509) != 1 ||
        SSL_CTX_use_PrivateKey(context, key) != 1)
        fail("no certificate");
    X509_free(x509);
    EVP_PKEY_free(key);
}

static void open_contexts(const char *version)
{
    int number = strcmp(version, "1.2") ? TLS1_3_VERSION : TLS1_2_VERSION;
    contexts[CLIENT] = SSL_CTX_new(TLS_client_method());
    contexts[SERVER] = SSL_CTX_new(TLS_server_method());
    for (int side = 0; side < 2; side++) {
        SSL_CTX *context = contexts[side];
        if (!context || !SSL_CTX_set_min_proto_version(context, number) ||
            !SSL_CTX_set_max_proto_version(context, number) ||
            !SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") ||
            !SSL_CTX_set_cipher_list(context, "ECDHE-RSA-AES128-GCM-SHA256"))
            fail("no context");
    }
    SSL_CTX_set_keylog_callback(contexts[CLIENT], log_key);
    add_certificate(contexts[SERVER]);
}

static struct connection *connection_of(const uint8_t *ip, const uint8_t *tcp, enum side from)
{
    uint32_t client = ip[from == CLIENT ? 15 : 19];
    const uint8_t *port = tcp + (from == CLIENT ? 0 : 2);
    uint32_t number = ((uint32_t)(port[0] << 8 | port[1]) - FIRST_PORT) * CLIENTS + client;
    if (number >= CONNECTIONS_MAX)
        fail("too many connections");
    struct connection **slot = &connections[number];
    if (!*slot && !(*slot = calloc(1, sizeof **slot)))
        fail("no memory");
    return *slot;
}

static void send_packet(struct connection *connection, enum side from, uint8_t flags,
                        const void *payload, uint32_t bytes)
{
    uint8_t frame[HEADERS_BYTES + SEGMENT_BYTES];
    uint8_t *tcp = frame + ETHERNET_BYTES + IP_BYTES;
    memcpy(frame, connection->headers[from], HEADERS_BYTES);
    put16(frame + ETHERNET_BYTES + 4, (uint32_t)packets & 0xffff);
    put16(tcp + (from == CLIENT ? 2 : 0), TLS_PORT);
    put32(tcp + 4, connection->sequence[from]);
    put32(tcp + 8, flags == SYN ? 0 : connection->sequence[!from]);
    tcp[13] = flags;
    if (bytes)
        memcpy(frame + HEADERS_BYTES, payload, bytes);
    finish_frame(frame, bytes);
    record[2] = record[3] = HEADERS_BYTES + bytes;
    if (fwrite(record, sizeof record, 1, out) != 1 || fwrite(frame, record[2], 1, out) != 1)
        fail("cannot write");
    connection->sequence[from] += bytes + ((flags & (SYN | FIN)) != 0);
    packets++;
}

/* What one end has to say, in segments; every second one of a server's is acknowledged. */
static void send_said(struct connection *connection, enum side from)
{
    char *said;
    BIO *bio = SSL_get_wbio(connection->end[from]);
    uint32_t bytes = (uint32_t)BIO_get_mem_data(bio, &said);
    for (uint32_t at = 0, number = 1; at < bytes; number++) {
        uint32_t part = bytes - at < SEGMENT_BYTES ? bytes - at : SEGMENT_BYTES;
        at += part;
        send_packet(connection, from, at < bytes ? ACK : PUSH | ACK, said + at - part, part);
        if (from == SERVER && number % 2 == 0 && at < bytes)
            send_packet(connection, CLIENT, ACK, NULL, 0);
    }
    if (!connection->established)
        BIO_write(SSL_get_rbio(connection->end[!from]), said, (int)bytes);
    (void)BIO_reset(bio);
}

static void start(struct connection *connection)
{
    for (int side = 0; side < 2; side++) {
        SSL *end = connection->end[side] = SSL_new(contexts[side]);
        if (!end)
            fail("no connection");
        SSL_set_bio(end, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    }
    SSL_set_connect_state(connection->end[CLIENT]);
    SSL_set_accept_state(connection->end[SERVER]);
    bool done[2] = {false, false};
    for (int turn = 0; turn < 8 && !(done[CLIENT] && done[SERVER]); turn++) {
        enum side from = turn % 2 ? SERVER : CLIENT;
        done[from] = SSL_do_handshake(connection->end[from]) == 1;
        send_said(connection, from);
    }
    if (!done[CLIENT] || !done[SERVER])
        fail("no handshake");
    connection->established = true;
}

static void take_data(struct connection *connection, enum side from, const uint8_t *data,
                      uint32_t bytes, bool last)
{
    if (bytes > MESSAGE_MAX - connection->message_bytes[from])
        fail("a message is too long");
    memcpy(connection->message[from] + connection->message_bytes[from], data, bytes);
    connection->message_bytes[from] += bytes;
    if (!last)
        return;
    int whole = (int)connection->message_bytes[from];
    if (SSL_write(connection->end[from], connection->message[from], whole) != whole)
        fail("cannot seal");
    send_said(connection, from);
    http_bytes += (uint64_t)whole;
    connection->message_bytes[from] = 0;
}

static void finish(struct connection *connection, enum side from)
{
    SSL_shutdown(connection->end[from]);
    send_said(connection, from);
    SSL_free(connection->end[from]);
    connection->end[from] = NULL;
}

static void take(const uint8_t *frame, uint32_t bytes)
{
    const uint8_t *ip = frame + ETHERNET_BYTES, *tcp = ip + IP_BYTES;
    uint8_t flags = tcp[13];
    enum side from = (tcp[2] << 8 | tcp[3]) == CLEAR_PORT ? CLIENT : SERVER;
    struct connection *connection = connection_of(ip, tcp, from);
    memcpy(connection->headers[from], frame, HEADERS_BYTES);
    if (flags & SYN)
        connection->sequence[from] = get32(tcp + 4);
    if (bytes > HEADERS_BYTES) {
        take_data(connection, from, frame + HEADERS_BYTES, bytes - HEADERS_BYTES, flags & PUSH);
        return;
    }
    if (flags & FIN)
        finish(connection, from);
    /* send_said acknowledges what is yet to be sealed. */
    if ((flags & (SYN | FIN)) || !connection->message_bytes[!from])
        send_packet(connection, from, flags, NULL, 0);
    if (flags == ACK && !connection->established)
        start(connection);
    else if (flags == ACK && !connection->end[SERVER])
        memset(connection, 0, sizeof *connection);
}

int main(int count, char **arguments)
{
    if (count != 5) {
        fprintf(stderr, "usage: seal CLEAR.pcap SEALED.pcap KEYS.log 1.2|1.3\n");
        return 2;
    }
    in = fopen(arguments[1], "rb");
    out = fopen(arguments[2], "wb");
    keys = fopen(arguments[3], "w");
    uint8_t header[24], frame[HEADERS_BYTES + SEGMENT_BYTES];
    if (!in || !out || !keys || fread(header, sizeof header, 1, in) != 1 ||
        fwrite(header, sizeof header, 1, out) != 1)
        fail("cannot open the files");
    open_contexts(arguments[4]);
    while (fread(record, sizeof record, 1, in) == 1) {
        uint32_t bytes = record[2];
        if (bytes < HEADERS_BYTES || bytes > sizeof frame || fread(frame, bytes, 1, in) != 1)
            fail("no capture of generate.c");
        take(frame, bytes);
    }
    if (fclose(out) || fclose(keys))
        fail("cannot write");
    printf("{\"packets\": %" PRIu64 ", \"http_bytes\": %" PRIu64 "}\n", packets, http_bytes);
    return 0;
}
