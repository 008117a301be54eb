/* AIO frames: a header, a payload of the length that the header says, and then what it does not
 * count. That, and the layout of reads and writes, is known from one public source (OpenVixDiskLib
 * docs/nfc_open.md, nfc_read.md, nfc_write.md) and unverified otherwise: where the next frame does
 * not begin where it should, it is looked for by its magic, its type, the length of that type, and
 * the operation's number. */
#include "nfc.h"

#include <string.h>

enum {
    PAYLOAD_BYTES_MAX = 4096, /* the longest known is 60 */
    PATH_BYTES_MAX = 64 << 10,
    IO_BYTES = 44,
    IO_EXTRA_BYTES_MAX = 1 << 20, /* 64 KiB is what VDDK negotiates */
    OPERATIONS_APART_MAX = 1 << 16,
};

enum aio_type {
    AIO_OPEN_SESSION = 2,
    AIO_CLOSE_SESSION = 3,
    AIO_OPEN_FILE = 4,
    AIO_CLOSE_FILE = 5,
    AIO_IO = 7,
    AIO_SET_SOCK_OPTS = 9,
    AIO_DDB_GET = 11,
    AIO_SET_RES_POOL = 22,
    AIO_TYPE_MAX = 255,
};

enum aio_operation { AIO_WRITE, AIO_READ };

static const uint8_t magic[AIO_MAGIC_BYTES] = {0x7a, 0xda, 0x00, 0xa1};

enum start_verdict aio_start(const uint8_t *data, uint32_t bytes)
{
    if (memcmp(data, magic, bytes < sizeof magic ? bytes : sizeof magic) != 0)
        return START_NO;
    return bytes < sizeof magic ? START_MORE : START_YES;
}

/* Of the payload; 0: not known. */
static uint32_t known_bytes(uint32_t type)
{
    switch ((enum aio_type)type) {
    case AIO_OPEN_SESSION:
    case AIO_DDB_GET:
        return 16;
    case AIO_CLOSE_SESSION:
    case AIO_SET_RES_POOL:
        return 4;
    case AIO_OPEN_FILE:
        return 60;
    case AIO_CLOSE_FILE:
        return 8;
    case AIO_IO:
        return IO_BYTES;
    case AIO_SET_SOCK_OPTS:
        return 12;
    case AIO_TYPE_MAX:
        break;
    }
    return 0;
}

/* Enough to find a frame among contents. */
static bool is_certain(const struct framing *framing, const uint8_t *header)
{
    uint32_t type = little32(header + 4), apart = little32(header + 12) - framing->operation;
    return known_bytes(type) && little32(header + 8) == known_bytes(type) &&
           (apart <= OPERATIONS_APART_MAX || -apart <= OPERATIONS_APART_MAX);
}

/* The payload is there. The key behind a DDB_GET has no published length: the next frame is looked
 * for. */
static void take_payload(struct framing *framing, enum direction direction)
{
    struct framing_side *side = &framing->side[direction];
    const uint8_t *frame = side->held.data;
    uint32_t type = little32(frame + 4), path = 0;
    bool whole = side->held.bytes >= AIO_HEADER_BYTES + known_bytes(type);
    if (type == AIO_OPEN_FILE && whole && direction == TO_SERVER)
        path = little32(frame + AIO_HEADER_BYTES);
    if (path && path <= PATH_BYTES_MAX) {
        side->left = path;
        side->state = NFC_AIO_EXTRA;
        return;
    }
    framing_hand_up_held(framing, direction, FRAMED_NFC_AIO);
    if (path || type == AIO_DDB_GET)
        side->state = NFC_SEEK;
}

static void take_header(struct framing *framing, enum direction direction)
{
    struct framing_side *side = &framing->side[direction];
    uint32_t type = little32(side->head + 4), bytes = little32(side->head + 8);
    framing->aio = true;
    if (type > AIO_TYPE_MAX || bytes > PAYLOAD_BYTES_MAX) {
        nfc_lose(framing, direction);
        return;
    }
    framing->operation = little32(side->head + 12);
    side->left = bytes;
    if (type == AIO_IO && bytes == IO_BYTES) {
        side->state = NFC_AIO_IO;
    } else if (!framing_keep(framing, side, side->head, side->head_bytes)) {
        nfc_lose(framing, direction);
    } else {
        side->state = NFC_AIO_PAYLOAD;
        if (!bytes)
            take_payload(framing, direction);
    }
}

static uint32_t step_header(struct framing *framing, enum direction direction, struct slice data,
                            uint64_t time_ns)
{
    struct framing_side *side = &framing->side[direction];
    uint32_t used = framing_fill_head(side, data, AIO_HEADER_BYTES, time_ns);
    if (side->head_bytes == AIO_HEADER_BYTES)
        take_header(framing, direction);
    return used;
}

static uint32_t step_payload(struct framing *framing, enum direction direction, struct slice data)
{
    struct framing_side *side = &framing->side[direction];
    struct slice part = framing_take(side, data);
    if (!framing_keep(framing, side, part.data, part.bytes))
        nfc_lose(framing, direction);
    else if (!side->left)
        take_payload(framing, direction);
    return part.bytes;
}

/* Contents follow a write's request and a read's answer. */
static void take_io(struct framing *framing, enum direction direction)
{
    struct framing_side *side = &framing->side[direction];
    const uint8_t *payload = side->head + AIO_HEADER_BYTES;
    uint32_t operation = little32(payload + 8), extra = little32(payload + 36);
    bool carries = operation == (direction == TO_SERVER ? AIO_WRITE : AIO_READ);
    bool known = operation <= AIO_READ && (!carries || extra <= IO_EXTRA_BYTES_MAX);
    framing_pass(framing, direction);
    side->left = carries ? extra : 0;
    if (!known)
        side->state = NFC_SEEK;
    else
        side->state = side->left ? NFC_BULK : NFC_BOUNDARY;
}

static uint32_t step_io(struct framing *framing, enum direction direction, struct slice data,
                        uint64_t time_ns)
{
    struct framing_side *side = &framing->side[direction];
    uint32_t used = framing_fill_head(side, data, AIO_HEADER_BYTES + IO_BYTES, time_ns);
    if (side->head_bytes == AIO_HEADER_BYTES + IO_BYTES)
        take_io(framing, direction);
    return used;
}

static uint32_t step_seek(struct framing *framing, enum direction direction, struct slice data,
                          uint64_t time_ns)
{
    struct framing_side *side = &framing->side[direction];
    const struct slice sought = {magic, sizeof magic};
    uint32_t used = framing_seek(framing, direction, data, sought, AIO_HEADER_BYTES, time_ns);
    if (side->head_bytes < AIO_HEADER_BYTES)
        return used;
    if (is_certain(framing, side->head)) {
        count(framing->shared->counters, COUNT_framed_resynchronised, 1);
        take_header(framing, direction);
    } else {
        framing_seek_on(framing, direction, sought, time_ns);
    }
    return used;
}

uint32_t aio_step(struct framing *framing, enum direction direction, struct slice data,
                  uint64_t time_ns)
{
    switch ((enum nfc_state)framing->side[direction].state) {
    case NFC_AIO_PAYLOAD:
        return step_payload(framing, direction, data);
    case NFC_AIO_IO:
        return step_io(framing, direction, data, time_ns);
    case NFC_AIO_EXTRA:
        return nfc_take_extra(framing, direction, data, FRAMED_NFC_AIO);
    case NFC_SEEK:
        return step_seek(framing, direction, data, time_ns);
    default:
        return step_header(framing, direction, data, time_ns);
    }
}
