#include "nfc.h"

#include <string.h>

enum {
    KEPT_BYTES_MAX = 64 << 10,     /* of a message and its texts */
    EXTRA_BYTES_MAX = 16 << 20,    /* more is no length */
    TRANSFER_BYTES_MAX = 1 << 20,  /* nfclib.py sends 256 KiB at once */
    DATA_HEADER_BYTES = 8,
    FSSRVR_WRITE = 1,
    SESPARSE = 1 << 14, /* conversion flag: a grain size of 32 bytes follows (nfclib.py) */
    GRAIN_SIZE_BYTES = 32,
};

static const uint32_t data_magic = 0xabcdefab; /* nfclib.py */

/* Numbers are VMware's own (NfcClient.java, nfclib.py); 51 and above were seen with ESXi 8. */
enum nfc_type {
    NFC_FILE_PUT = 1,
    NFC_FILE_GET = 2,
    NFC_FILE_COMPLETE = 3,
    NFC_SESSION_COMPLETE = 4,
    NFC_RATE_CONTROL = 6,
    NFC_FILE_DATA = 7,
    NFC_PING = 8,
    NFC_ERROR = 20,
    NFC_FSSRVR_OPEN = 21,
    NFC_FSSRVR_IO = 23,
    NFC_FILE_DELETE = 31,
    NFC_FILE_RENAME = 32,
    NFC_FILE_COPY = 33,
    NFC_FILE_CREATEDIR = 34,
    NFC_FILEOP_STATUS = 36,
    NFC_FSSRVR_MULTIIO = 39,
    NFC_CLIENTRANDOM = 43,
    NFC_FSSRVR_IO_EX = 46,
    NFC_FSSRVR_MULTIIO_EX = 47,
    NFC_AIO_SESSION = 52,
    NFC_CONNECTION_DATA = 54,
    NFC_TYPE_MAX = 55,
};

/* What may follow these is not published: the next message cannot be found for certain. */
static bool has_unknown_rest(uint32_t type)
{
    static const uint8_t types[] = {25, 26, 28, 29, 30, 37, 38, 39, 40, 41,
                                    42, 44, 45, 46, 47, 49, 50, 53};
    return memchr(types, (int)type, sizeof types) != NULL;
}

static bool is_type(uint32_t type)
{
    return (type >= NFC_FILE_PUT && type <= NFC_PING && type != 5) ||
           (type >= NFC_ERROR && type <= NFC_TYPE_MAX && type != 35);
}

/* Once AIO frames flow, only these come between them, and with nothing in them. */
static bool is_type_among_aio(uint32_t type)
{
    return type == NFC_SESSION_COMPLETE || type == NFC_PING;
}

enum start_verdict nfc_start(const uint8_t *data, uint32_t bytes)
{
    for (uint32_t i = 1; i < bytes && i < NFC_TYPE_BYTES; i++) {
        if (data[i])
            return START_NO;
    }
    if (bytes && !is_type(data[0]))
        return START_NO;
    return bytes < NFC_TYPE_BYTES ? START_MORE : START_YES;
}

void nfc_lose(struct framing *framing, enum direction direction)
{
    framing_lose(framing, direction, NFC_SEEK);
}

/* Texts behind the 264 bytes. False: there is no such length. */
static bool extra_bytes(const uint8_t *message, uint64_t *extra)
{
    uint64_t grain = little32(message + 8) & SESPARSE ? GRAIN_SIZE_BYTES : 0;
    *extra = 0;
    switch (little32(message)) {
    case NFC_FILE_PUT: /* packed: a byte at 40 */
        *extra = (uint64_t)little32(message + 12) + little32(message + 32) +
                 little32(message + 36) + little32(message + 41) + grain;
        break;
    case NFC_FILE_GET:
        *extra = little32(message + 8);
        break;
    case NFC_ERROR:
        *extra = little32(message + 12);
        break;
    case NFC_FSSRVR_OPEN:
    case NFC_FILE_DELETE:
    case NFC_FILE_RENAME:
    case NFC_FILE_COPY: /* unverified; all zeros in ESXi 8, where it negotiates the session */
    case NFC_FILE_CREATEDIR:
        *extra = little32(message + 4);
        break;
    case NFC_FILEOP_STATUS:
    case NFC_CONNECTION_DATA:
        *extra = (uint64_t)little32(message + 4) + little32(message + 8);
        break;
    }
    return *extra <= EXTRA_BYTES_MAX;
}

/* Of a read or write through FSSRVR_IO: the request of a write carries its data (NfcClient.java).
 * Whether the answer to a read does is unverified: after one, the server's side is not followed. */
static void take_fssrvr_io(struct framing *framing, enum direction direction)
{
    struct framing_side *side = &framing->side[direction];
    const uint8_t *message = side->held.data;
    bool write = little32(message + 4) == FSSRVR_WRITE;
    uint32_t length = little32(message + 16);
    if (direction == TO_SERVER && !write)
        framing->reads = true;
    bool lost = (direction == TO_CLIENT && framing->reads) || length > TRANSFER_BYTES_MAX;
    if (lost) {
        nfc_lose(framing, direction);
        return;
    }
    framing_pass(framing, direction);
    side->left = direction == TO_SERVER && write ? length : 0;
    side->state = side->left ? NFC_BULK : NFC_BOUNDARY;
}

static bool is_empty(const uint8_t *message)
{
    for (uint32_t i = NFC_TYPE_BYTES; i < NFC_MESSAGE_BYTES; i++) {
        if (message[i])
            return false;
    }
    return true;
}

static void hand_up(struct framing *framing, enum direction direction, uint32_t type)
{
    framing_hand_up_held(framing, direction, FRAMED_NFC);
    if (type == NFC_AIO_SESSION && direction == TO_CLIENT)
        framing->aio = true;
    if (has_unknown_rest(type))
        nfc_lose(framing, direction);
}

/* The 264 bytes are there. */
static void take_fixed(struct framing *framing, enum direction direction)
{
    struct framing_side *side = &framing->side[direction];
    uint32_t type = little32(side->held.data);
    uint64_t extra;
    if (framing->aio && !is_empty(side->held.data)) {
        nfc_lose(framing, direction);
    } else if (type == NFC_FILE_DATA) {
        kept_free(&side->held, framing->shared->budget);
        side->state = NFC_DATA;
    } else if (type == NFC_FSSRVR_IO) {
        take_fssrvr_io(framing, direction);
    } else if (!extra_bytes(side->held.data, &extra)) {
        nfc_lose(framing, direction);
    } else if (extra) {
        side->left = extra;
        side->state = NFC_EXTRA;
    } else {
        hand_up(framing, direction, type);
    }
}

static uint32_t step_boundary(struct framing *framing, enum direction direction,
                              struct slice data, uint64_t time_ns)
{
    struct framing_side *side = &framing->side[direction];
    uint32_t used = framing_fill_head(side, data, NFC_TYPE_BYTES, time_ns);
    if (side->head_bytes < NFC_TYPE_BYTES)
        return used;
    if (aio_start(side->head, side->head_bytes) != START_NO) {
        side->state = NFC_AIO_HEADER;
        return used;
    }
    uint32_t type = little32(side->head);
    if (!(framing->aio ? is_type_among_aio(type) : is_type(type)) ||
        !framing_keep(framing, side, side->head, side->head_bytes)) {
        nfc_lose(framing, direction);
        return used;
    }
    side->state = NFC_FIXED;
    return used;
}

static uint32_t step_fixed(struct framing *framing, enum direction direction, struct slice data)
{
    struct framing_side *side = &framing->side[direction];
    uint32_t need = NFC_MESSAGE_BYTES - side->held.bytes;
    uint32_t bytes = need < data.bytes ? need : data.bytes;
    side->message_bytes += bytes;
    if (!framing_keep(framing, side, data.data, bytes))
        nfc_lose(framing, direction);
    else if (bytes == need)
        take_fixed(framing, direction);
    return bytes;
}

uint32_t nfc_take_extra(struct framing *framing, enum direction direction, struct slice data,
                        enum framed_protocol protocol)
{
    struct framing_side *side = &framing->side[direction];
    struct slice part = framing_take(side, data);
    uint32_t held = side->held.bytes;
    if (!(side->flags & FRAMED_CUT) &&
        (!framing_keep_within(framing, side, part, KEPT_BYTES_MAX) ||
         side->held.bytes - held < part.bytes))
        side->flags |= FRAMED_CUT;
    if (side->left)
        return part.bytes;
    if (protocol == FRAMED_NFC)
        hand_up(framing, direction, little32(side->held.data));
    else
        framing_hand_up_held(framing, direction, protocol);
    return part.bytes;
}

/* The header of file data, behind its 264 bytes: nfclib.py. */
static uint32_t step_data(struct framing *framing, enum direction direction, struct slice data,
                          uint64_t time_ns)
{
    struct framing_side *side = &framing->side[direction];
    uint32_t used = framing_fill_head(side, data, NFC_TYPE_BYTES + DATA_HEADER_BYTES, time_ns);
    if (side->head_bytes < NFC_TYPE_BYTES + DATA_HEADER_BYTES)
        return used;
    uint32_t length = little32(side->head + 8);
    if (little32(side->head + 4) != data_magic || length > TRANSFER_BYTES_MAX) {
        nfc_lose(framing, direction);
        return used;
    }
    framing_pass(framing, direction);
    side->left = length;
    side->state = length ? NFC_BULK : NFC_BOUNDARY;
    return used;
}

static uint32_t step_bulk(struct framing *framing, enum direction direction, struct slice data,
                          uint64_t time_ns)
{
    struct framing_side *side = &framing->side[direction];
    uint32_t bytes = side->left < data.bytes ? (uint32_t)side->left : data.bytes;
    framing_bulk(framing, direction, bytes, time_ns);
    side->left -= bytes;
    if (!side->left)
        side->state = NFC_BOUNDARY;
    return bytes;
}

static uint32_t step(struct framing *framing, enum direction direction, struct slice data,
                     uint64_t time_ns)
{
    switch ((enum nfc_state)framing->side[direction].state) {
    case NFC_BOUNDARY:
        return step_boundary(framing, direction, data, time_ns);
    case NFC_FIXED:
        return step_fixed(framing, direction, data);
    case NFC_EXTRA:
        return nfc_take_extra(framing, direction, data, FRAMED_NFC);
    case NFC_DATA:
        return step_data(framing, direction, data, time_ns);
    case NFC_BULK:
        return step_bulk(framing, direction, data, time_ns);
    case NFC_AIO_HEADER:
    case NFC_AIO_PAYLOAD:
    case NFC_AIO_IO:
    case NFC_AIO_EXTRA:
    case NFC_SEEK:
        break;
    }
    return aio_step(framing, direction, data, time_ns);
}

uint32_t nfc_data(struct framing *framing, enum direction direction, const uint8_t *data,
                  uint32_t bytes, uint64_t time_ns)
{
    for (uint32_t at = 0; at < bytes;)
        at += step(framing, direction, (struct slice){data + at, bytes - at}, time_ns);
    return bytes;
}

/* A message of classic framing cannot be told from contents: only AIO is found again. */
void nfc_gap(struct framing *framing, enum direction direction)
{
    nfc_lose(framing, direction);
}
