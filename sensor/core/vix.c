#include "vix.h"

#include <string.h>

enum {
    TOTAL_BYTES_MAX = 16 << 20,    /* VIX_COMMAND_MAX_SIZE */
    REQUEST_BYTES_MAX = 64 << 10,  /* VIX_COMMAND_MAX_REQUEST_SIZE */
    ANSWER_BODY_BYTES_MAX = 4096,
    HEADER_BYTES_MAX = 1024,       /* the longest known is of 55 */
    AUTH_DATA_BYTES = 44,          /* VixMsgAuthDataV1 */
    HAS_AUTH_DATA = 0x010,         /* request flag */
    OPCODE_AT = 23,
    REQUEST_FLAGS_AT = 27,
    CREDENTIAL_TYPE_AT = 47,
};

enum vix_state {
    VIX_BOUNDARY, /* before a message, or in its first bytes */
    VIX_MESSAGE,
    VIX_AUTH_DATA, /* behind a message that did not count it */
    VIX_SEEK,
};

/* The magic number and the version. */
static const uint8_t beginning[] = {0x01, 0x00, 0x0d, 0xd0, 0x05, 0x00};

static bool begins(const uint8_t *data, uint32_t bytes)
{
    return memcmp(data, beginning, bytes < sizeof beginning ? bytes : sizeof beginning) == 0;
}

/* As VixMsg_ValidateMessage, VixMsg_ValidateRequestMsg and VixMsg_ValidateResponseMsg do. */
static bool parse(enum direction direction, const uint8_t *data, struct vix_layout *layout)
{
    *layout = (struct vix_layout){
        .total_bytes = little32(data + 6),
        .header_bytes = little32(data + 10),
        .body_bytes = little32(data + 14),
        .credential_bytes = little32(data + 18),
        .request = data[22] & VIX_REQUEST,
    };
    uint32_t total = layout->total_bytes, header = layout->header_bytes;
    return begins(data, VIX_COMMON_BYTES) && total <= TOTAL_BYTES_MAX &&
           header >= VIX_HEADER_BYTES && header <= HEADER_BYTES_MAX && header <= total &&
           layout->body_bytes <= total - header &&
           layout->credential_bytes <= total - header - layout->body_bytes &&
           layout->request == (direction == TO_SERVER);
}

enum start_verdict vix_start(enum direction direction, const uint8_t *data, uint32_t bytes)
{
    struct vix_layout layout;
    if (!begins(data, bytes))
        return START_NO;
    if (bytes < VIX_COMMON_BYTES)
        return START_MORE;
    return parse(direction, data, &layout) ? START_YES : START_NO;
}

static void lose(struct framing *framing, enum direction direction)
{
    framing_lose(framing, direction, VIX_SEEK);
}

/* Of a request all, or, where it is longer than one may be, its header; of an answer the header and
 * the beginning of the body. */
static uint32_t bytes_to_keep(const struct vix_layout *layout)
{
    uint32_t body = layout->body_bytes;
    if (layout->request)
        return layout->total_bytes <= REQUEST_BYTES_MAX ? layout->total_bytes
                                                        : layout->header_bytes;
    return layout->header_bytes + (body < ANSWER_BODY_BYTES_MAX ? body : ANSWER_BODY_BYTES_MAX);
}

/* The common header is there. */
static void take_common(struct framing *framing, enum direction direction)
{
    struct framing_side *side = &framing->side[direction];
    struct vix_layout layout;
    if (!parse(direction, side->head, &layout) ||
        !framing_keep(framing, side, side->head, side->head_bytes)) {
        lose(framing, direction);
        return;
    }
    side->left = layout.total_bytes - side->head_bytes;
    side->keep = bytes_to_keep(&layout);
    if (side->keep < layout.total_bytes)
        side->flags |= FRAMED_CUT;
    side->state = VIX_MESSAGE;
}

/* What follows the header of a request, in place. */
static bool blank_request(struct kept *held, const struct vix_layout *layout)
{
    uint8_t *body = held->data + layout->header_bytes;
    uint8_t *credential = body + layout->body_bytes;
    uint8_t *rest = credential + layout->credential_bytes;
    bool any = vix_zero(held->data + VIX_HEADER_BYTES, layout->header_bytes - VIX_HEADER_BYTES);
    any |= vix_blank_body(body, layout->body_bytes, little32(held->data + OPCODE_AT));
    any |= vix_blank_credential(credential, layout->credential_bytes,
                                little32(held->data + CREDENTIAL_TYPE_AT));
    return vix_zero(rest, (uint32_t)(held->data + held->bytes - rest)) || any;
}

static void hand_up(struct framing *framing, enum direction direction)
{
    struct framing_side *side = &framing->side[direction];
    struct kept *held = &side->held;
    struct vix_layout layout;
    parse(direction, held->data, &layout);
    bool whole = held->bytes == layout.total_bytes;
    bool counts_no_more = layout.total_bytes - layout.header_bytes - layout.body_bytes ==
                          layout.credential_bytes;
    bool auth = layout.request && counts_no_more &&
                (little32(held->data + REQUEST_FLAGS_AT) & HAS_AUTH_DATA);
    if (layout.request && !whole)
        kept_shorten(held, held->bytes - VIX_HEADER_BYTES);
    else if (layout.request && blank_request(held, &layout))
        side->flags |= FRAMED_BLANKED;
    framing_hand_up_held(framing, direction, FRAMED_VIX);
    side->auth_data = auth;
}

static uint32_t step_boundary(struct framing *framing, enum direction direction,
                              struct slice data, uint64_t time_ns)
{
    struct framing_side *side = &framing->side[direction];
    uint32_t need = side->head_bytes < sizeof beginning ? sizeof beginning : VIX_COMMON_BYTES;
    uint32_t used = framing_fill_head(side, data, need, time_ns);
    bool fits = begins(side->head, side->head_bytes);
    if (side->head_bytes < need)
        return used;
    if (!fits && side->auth_data) {
        side->auth_data = false;
        side->left = AUTH_DATA_BYTES - side->head_bytes;
        side->state = VIX_AUTH_DATA;
    } else if (!fits) {
        lose(framing, direction);
    } else if (side->head_bytes == VIX_COMMON_BYTES) {
        side->auth_data = false;
        take_common(framing, direction);
    }
    return used;
}

static uint32_t step_message(struct framing *framing, enum direction direction, struct slice data)
{
    struct framing_side *side = &framing->side[direction];
    struct slice part = framing_take(side, data);
    if (!framing_keep_within(framing, side, part, side->keep))
        lose(framing, direction);
    else if (!side->left)
        hand_up(framing, direction);
    return part.bytes;
}

/* Whether the message counts its authentication data is unverified: both is taken. */
static uint32_t step_auth_data(struct framing *framing, enum direction direction,
                               struct slice data)
{
    struct framing_side *side = &framing->side[direction];
    struct slice part = framing_take(side, data);
    if (!side->left)
        framing_pass(framing, direction);
    return part.bytes;
}

static uint32_t step_seek(struct framing *framing, enum direction direction, struct slice data,
                          uint64_t time_ns)
{
    struct framing_side *side = &framing->side[direction];
    const struct slice sought = {beginning, sizeof beginning};
    uint32_t used = framing_seek(framing, direction, data, sought, VIX_COMMON_BYTES, time_ns);
    if (side->head_bytes < VIX_COMMON_BYTES)
        return used;
    if (vix_start(direction, side->head, side->head_bytes) == START_YES) {
        count(framing->shared->counters, COUNT_framed_resynchronised, 1);
        take_common(framing, direction);
    } else {
        framing_seek_on(framing, direction, sought, time_ns);
    }
    return used;
}

uint32_t vix_data(struct framing *framing, enum direction direction, const uint8_t *data,
                  uint32_t bytes, uint64_t time_ns)
{
    for (uint32_t at = 0; at < bytes;) {
        struct slice rest = {data + at, bytes - at};
        switch ((enum vix_state)framing->side[direction].state) {
        case VIX_BOUNDARY:
            at += step_boundary(framing, direction, rest, time_ns);
            break;
        case VIX_MESSAGE:
            at += step_message(framing, direction, rest);
            break;
        case VIX_AUTH_DATA:
            at += step_auth_data(framing, direction, rest);
            break;
        case VIX_SEEK:
            at += step_seek(framing, direction, rest, time_ns);
            break;
        }
    }
    return bytes;
}

void vix_gap(struct framing *framing, enum direction direction)
{
    lose(framing, direction);
}
