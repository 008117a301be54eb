/* NFC, network file copy: classic messages of 264 bytes and what follows them (nfc.c), and the AIO
 * frames of ESXi 8 (nfc_aio.c). Contents of disks and files are counted, never kept. */
#ifndef HOPTAP_NFC_H
#define HOPTAP_NFC_H

#include "framing.h"

enum {
    NFC_MESSAGE_BYTES = 264,
    NFC_TYPE_BYTES = 4,
    AIO_HEADER_BYTES = 16,
    AIO_MAGIC_BYTES = 4,
};

enum nfc_state {
    NFC_BOUNDARY, /* before a message, or in its first bytes */
    NFC_FIXED,    /* in the 264 bytes */
    NFC_EXTRA,    /* texts behind them */
    NFC_DATA,     /* in the header of file data */
    NFC_BULK,     /* `left` bytes of contents */
    NFC_AIO_HEADER,
    NFC_AIO_PAYLOAD, /* of a frame that is handed up */
    NFC_AIO_IO,      /* of a read or write */
    NFC_AIO_EXTRA,   /* the path of a file */
    NFC_SEEK,        /* the next AIO frame is looked for, all else is counted */
};

/* Whether a stream that authd has let through begins with a classic message. */
enum start_verdict nfc_start(const uint8_t *data, uint32_t bytes);
/* Whether an AIO frame begins here. */
enum start_verdict aio_start(const uint8_t *data, uint32_t bytes);
uint32_t nfc_data(struct framing *framing, enum direction direction, const uint8_t *data,
                  uint32_t bytes, uint64_t time_ns);
void nfc_gap(struct framing *framing, enum direction direction);

/* Between nfc.c and nfc_aio.c: one step, bytes taken. */
uint32_t aio_step(struct framing *framing, enum direction direction, struct slice data,
                  uint64_t time_ns);
/* What is in side->head is no message, nor what follows: it is counted. */
void nfc_lose(struct framing *framing, enum direction direction);
/* Keeps what there is room for of `left` bytes, and hands the message up with the last. */
uint32_t nfc_take_extra(struct framing *framing, enum direction direction, struct slice data,
                        enum framed_protocol protocol);

#endif
