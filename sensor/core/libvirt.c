#include "libvirt.h"

#include <string.h>

enum {
    MESSAGE_BYTES_MAX = 32 << 20, /* VIR_NET_MESSAGE_MAX of virnetprotocol.x, and its length */
    CALL_BYTES_MAX = 64 << 10,    /* handed up; a domain's XML is of 2 to 10 KiB */
    ANSWER_BYTES_MAX = 4096,      /* an error or an object; lists and XML are not needed */
    PROCEDURE_MAX = 4096,         /* there are fewer than 500 */
    VERSION = 1,
    CERTIFICATE_TAKEN = 1, /* virNetServerClient, after it has checked the certificate */
};

enum program {
    PROGRAM_REMOTE = 0x20008086,
    PROGRAM_QEMU = 0x20008087,
    PROGRAM_LXC = 0x20008088,
    PROGRAM_ADMIN = 0x06900690,
    PROGRAM_KEEPALIVE = 0x6b656570,
};

/* enum virNetMessageType */
enum type { CALL, REPLY, EVENT, STREAM, CALL_WITH_FDS, REPLY_WITH_FDS, STREAM_HOLE };

enum libvirt_state {
    LIBVIRT_BOUNDARY, /* before a message, or in its header */
    LIBVIRT_MESSAGE,
    LIBVIRT_PASSING, /* a message that nobody wants */
    LIBVIRT_SEEK,
};

struct header {
    uint32_t bytes, program, version, procedure, type, serial, status;
};

static uint32_t big32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static struct header read_header(const uint8_t *data)
{
    return (struct header){big32(data),      big32(data + 4),  big32(data + 8), big32(data + 12),
                           big32(data + 16), big32(data + 20), big32(data + 24)};
}

static bool goes(enum direction direction, const struct header *header)
{
    switch (header->type) {
    case CALL:
    case CALL_WITH_FDS:
        return direction == TO_SERVER;
    case REPLY:
    case REPLY_WITH_FDS:
        return direction == TO_CLIENT;
    case EVENT:
        return direction == TO_CLIENT || header->program == PROGRAM_KEEPALIVE;
    default:
        return header->type <= STREAM_HOLE;
    }
}

static bool known(uint32_t program)
{
    return program == PROGRAM_REMOTE || program == PROGRAM_QEMU || program == PROGRAM_LXC ||
           program == PROGRAM_ADMIN || program == PROGRAM_KEEPALIVE;
}

static bool fits(enum direction direction, const uint8_t *data)
{
    const struct header header = read_header(data);
    return header.bytes >= LIBVIRT_HEADER_BYTES && header.bytes <= MESSAGE_BYTES_MAX &&
           known(header.program) && header.version == VERSION &&
           header.procedure <= PROCEDURE_MAX && header.status <= 2 && goes(direction, &header);
}

enum start_verdict libvirt_start(bool decrypted, enum direction direction, const uint8_t *data,
                                 uint32_t bytes)
{
    static const uint8_t program[] = {PROGRAM_REMOTE >> 24, PROGRAM_REMOTE >> 16 & 0xff,
                                      PROGRAM_REMOTE >> 8 & 0xff, PROGRAM_REMOTE & 0xff};
    if (decrypted && direction == TO_CLIENT && bytes && data[0] == CERTIFICATE_TAKEN) {
        data++;
        bytes--;
    }
    if (!bytes)
        return decrypted ? START_MORE : START_NO;
    uint32_t have = bytes < 4 ? 0 : bytes - 4;
    if (data[0] > MESSAGE_BYTES_MAX >> 24 ||
        memcmp(data + 4, program, have < sizeof program ? have : sizeof program) != 0)
        return START_NO;
    if (bytes < LIBVIRT_HEADER_BYTES)
        return START_MORE;
    return fits(direction, data) ? START_YES : START_NO;
}

/* What is here is no message: bytes that SASL has sealed, or an error of ours. */
static void give_up(struct framing *framing, enum direction direction)
{
    framing_pass(framing, direction);
    count(framing->shared->counters, COUNT_framed_lost, 1);
    framing->turn = TURN_OPAQUE;
}

static bool is_wanted(const struct header *header)
{
    return header->program != PROGRAM_KEEPALIVE &&
           (header->type == CALL || header->type == CALL_WITH_FDS || header->type == REPLY ||
            header->type == REPLY_WITH_FDS);
}

/* Of a stream the bytes are counted; events and pings pass. */
static void finish(struct framing *framing, enum direction direction)
{
    struct framing_side *side = &framing->side[direction];
    uint32_t type = read_header(side->head).type;
    if (type == STREAM || type == STREAM_HOLE)
        framing_pass(framing, direction);
    else
        framing_drop(framing, side);
}

static void take_header(struct framing *framing, enum direction direction)
{
    struct framing_side *side = &framing->side[direction];
    const struct header header = read_header(side->head);
    uint32_t keep = direction == TO_SERVER ? CALL_BYTES_MAX : ANSWER_BYTES_MAX;
    side->left = header.bytes - LIBVIRT_HEADER_BYTES;
    if (!is_wanted(&header)) {
        side->state = LIBVIRT_PASSING;
        if (!side->left)
            finish(framing, direction);
        return;
    }
    if (!framing_keep(framing, side, side->head, LIBVIRT_HEADER_BYTES)) {
        side->state = LIBVIRT_PASSING;
        return;
    }
    side->keep = header.bytes < keep ? header.bytes : keep;
    if (side->keep < header.bytes)
        side->flags |= FRAMED_CUT;
    side->state = LIBVIRT_MESSAGE;
    if (!side->left)
        framing_hand_up_held(framing, direction, FRAMED_LIBVIRT);
}

static uint32_t step_boundary(struct framing *framing, enum direction direction,
                              struct slice data, uint64_t time_ns)
{
    struct framing_side *side = &framing->side[direction];
    bool first = direction == TO_CLIENT && !framing->certain;
    if (first)
        framing->certain = true;
    if (first && framing->decrypted && data.data[0] == CERTIFICATE_TAKEN)
        return 1;
    uint32_t used = framing_fill_head(side, data, LIBVIRT_HEADER_BYTES, time_ns);
    if (side->head_bytes < LIBVIRT_HEADER_BYTES)
        return used;
    if (fits(direction, side->head))
        take_header(framing, direction);
    else
        give_up(framing, direction);
    return used;
}

static uint32_t step_message(struct framing *framing, enum direction direction, struct slice data)
{
    struct framing_side *side = &framing->side[direction];
    struct slice part = framing_take(side, data);
    if (side->state == LIBVIRT_MESSAGE && !framing_keep_within(framing, side, part, side->keep))
        side->state = LIBVIRT_PASSING;
    if (side->left)
        return part.bytes;
    if (side->state == LIBVIRT_MESSAGE)
        framing_hand_up_held(framing, direction, FRAMED_LIBVIRT);
    else
        finish(framing, direction);
    return part.bytes;
}

/* A header is looked for byte by byte: its program stands behind a length that may be any. */
static uint32_t step_seek(struct framing *framing, enum direction direction, struct slice data,
                          uint64_t time_ns)
{
    struct framing_side *side = &framing->side[direction];
    uint32_t used = framing_fill_head(side, data, LIBVIRT_HEADER_BYTES, time_ns);
    if (side->head_bytes < LIBVIRT_HEADER_BYTES)
        return used;
    if (fits(direction, side->head)) {
        count(framing->shared->counters, COUNT_framed_resynchronised, 1);
        take_header(framing, direction);
        return used;
    }
    framing_shift(framing, direction, time_ns);
    return used;
}

uint32_t libvirt_data(struct framing *framing, enum direction direction, const uint8_t *data,
                      uint32_t bytes, uint64_t time_ns)
{
    uint32_t at = 0;
    while (at < bytes && !framing->turn) {
        struct slice rest = {data + at, bytes - at};
        switch ((enum libvirt_state)framing->side[direction].state) {
        case LIBVIRT_BOUNDARY:
            at += step_boundary(framing, direction, rest, time_ns);
            break;
        case LIBVIRT_MESSAGE:
        case LIBVIRT_PASSING:
            at += step_message(framing, direction, rest);
            break;
        case LIBVIRT_SEEK:
            at += step_seek(framing, direction, rest, time_ns);
            break;
        }
    }
    return at;
}

void libvirt_gap(struct framing *framing, enum direction direction)
{
    framing_lose(framing, direction, LIBVIRT_SEEK);
}
