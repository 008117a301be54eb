#include "framing.h"

#include <stdlib.h>
#include <string.h>

#include "authd.h"
#include "flow.h"
#include "libvirt.h"
#include "nfc.h"
#include "vix.h"

struct framing *framing_open(const struct protocol_shared *shared, struct flow *flow,
                             enum framed_protocol kind)
{
    struct framing *framing = NULL;
    if (budget_take(shared->budget, sizeof *framing)) {
        framing = calloc(1, sizeof *framing);
        if (!framing)
            budget_give(shared->budget, sizeof *framing);
    }
    if (!framing) {
        count(shared->counters, COUNT_memory_shed, 1);
        return NULL;
    }
    framing->shared = shared;
    framing->flow = flow;
    framing->kind = (uint8_t)kind;
    return framing;
}

static void tell(struct framing *framing, enum direction direction, const struct framed *framed)
{
    const struct protocol_sink *sink = &framing->shared->sink;
    sink->message(sink->context, framing->flow, direction, framed);
}

static uint8_t common_flags(const struct framing *framing)
{
    return framing->decrypted ? FRAMED_DECRYPTED : 0;
}

static void tell_bulk(struct framing *framing, enum direction direction,
                      enum framed_protocol protocol)
{
    struct framing_side *side = &framing->side[direction];
    if (!side->bulk_bytes || (protocol == FRAMED_CONSOLE && !framing->certain))
        return;
    const struct framed framed = {
        .protocol = (uint8_t)protocol,
        .flags = (uint8_t)(FRAMED_BULK | common_flags(framing)),
        .session = framing->session,
        .size_bytes = side->bulk_bytes,
        .start_ns = side->bulk_ns,
    };
    side->bulk_bytes = 0;
    tell(framing, direction, &framed);
}

static enum counter counter_of(enum framed_protocol protocol)
{
    switch (protocol) {
    case FRAMED_AUTHD:
        return COUNT_framed_authd;
    case FRAMED_NFC:
        return COUNT_framed_nfc;
    case FRAMED_NFC_AIO:
        return COUNT_framed_nfc_aio;
    case FRAMED_VIX:
        return COUNT_framed_vix;
    case FRAMED_LIBVIRT:
        return COUNT_framed_libvirt;
    case FRAMED_CONSOLE:
        break;
    }
    return COUNT_framed_consoles;
}

void framing_hand_up(struct framing *framing, enum direction direction,
                     enum framed_protocol protocol, struct slice data)
{
    struct framing_side *side = &framing->side[direction];
    struct counters *counters = framing->shared->counters;
    tell_bulk(framing, direction, protocol);
    const struct framed framed = {
        .protocol = (uint8_t)protocol,
        .flags = (uint8_t)(side->flags | common_flags(framing)),
        .session = framing->session,
        .size_bytes = side->message_bytes,
        .start_ns = side->start_ns,
        .data = data,
    };
    count(counters, counter_of(protocol), 1);
    count(counters, COUNT_framed_blanked, (side->flags & FRAMED_BLANKED) != 0);
    count(counters, COUNT_framed_cut, (side->flags & FRAMED_CUT) != 0);
    tell(framing, direction, &framed);
    framing_drop(framing, side);
}

void framing_hand_up_held(struct framing *framing, enum direction direction,
                          enum framed_protocol protocol)
{
    const struct kept *held = &framing->side[direction].held;
    framing_hand_up(framing, direction, protocol, (struct slice){held->data, held->bytes});
}

void framing_bulk(struct framing *framing, enum direction direction, uint64_t bytes,
                  uint64_t time_ns)
{
    struct framing_side *side = &framing->side[direction];
    if (!side->bulk_bytes)
        side->bulk_ns = time_ns;
    side->bulk_bytes += bytes;
    count(framing->shared->counters, COUNT_framed_bulk_bytes, bytes);
}

bool framing_keep(struct framing *framing, struct framing_side *side, const uint8_t *data,
                  uint32_t bytes)
{
    if (kept_append(&side->held, framing->shared->budget, data, bytes))
        return true;
    count(framing->shared->counters, COUNT_memory_shed, 1);
    return false;
}

bool framing_keep_within(struct framing *framing, struct framing_side *side, struct slice data,
                         uint32_t limit)
{
    uint32_t room = side->held.bytes < limit ? limit - side->held.bytes : 0;
    return framing_keep(framing, side, data.data, data.bytes < room ? data.bytes : room);
}

struct slice framing_take(struct framing_side *side, struct slice data)
{
    uint32_t bytes = side->left < data.bytes ? (uint32_t)side->left : data.bytes;
    side->left -= bytes;
    side->message_bytes += bytes;
    return (struct slice){data.data, bytes};
}

void framing_drop(struct framing *framing, struct framing_side *side)
{
    kept_free(&side->held, framing->shared->budget);
    side->message_bytes = 0;
    side->left = 0;
    side->blanks = side->keep = 0;
    side->auth_data = false;
    explicit_bzero(side->head, sizeof side->head);
    side->head_bytes = 0;
    side->state = 0;
    side->flags = 0;
    side->known = side->secret = side->carriage_return = side->loose_end = false;
}

void framing_pass(struct framing *framing, enum direction direction)
{
    struct framing_side *side = &framing->side[direction];
    uint64_t bytes = side->message_bytes, start_ns = side->start_ns;
    framing_drop(framing, side);
    if (bytes)
        framing_bulk(framing, direction, bytes, start_ns);
}

void framing_lose(struct framing *framing, enum direction direction, uint8_t seek_state)
{
    framing_pass(framing, direction);
    framing->side[direction].state = seek_state;
    count(framing->shared->counters, COUNT_framed_lost, 1);
}

uint32_t framing_fill_head(struct framing_side *side, struct slice data, uint32_t need,
                           uint64_t time_ns)
{
    uint32_t bytes = need - side->head_bytes < data.bytes ? need - side->head_bytes : data.bytes;
    if (!side->message_bytes)
        side->start_ns = time_ns;
    memcpy(side->head + side->head_bytes, data.data, bytes);
    side->head_bytes = (uint8_t)(side->head_bytes + bytes);
    side->message_bytes += bytes;
    return bytes;
}

void framing_shift(struct framing *framing, enum direction direction, uint64_t time_ns)
{
    struct framing_side *side = &framing->side[direction];
    memmove(side->head, side->head + 1, --side->head_bytes);
    side->message_bytes--;
    side->start_ns = time_ns;
    framing_bulk(framing, direction, 1, time_ns);
}

static bool may_begin(const struct framing_side *side, struct slice beginning)
{
    uint32_t bytes = side->head_bytes < beginning.bytes ? side->head_bytes : beginning.bytes;
    return memcmp(side->head, beginning.data, bytes) == 0;
}

static void shift_to(struct framing *framing, enum direction direction, struct slice beginning,
                     uint64_t time_ns)
{
    while (!may_begin(&framing->side[direction], beginning))
        framing_shift(framing, direction, time_ns);
}

uint32_t framing_seek(struct framing *framing, enum direction direction, struct slice data,
                      struct slice beginning, uint32_t need, uint64_t time_ns)
{
    struct framing_side *side = &framing->side[direction];
    if (!side->head_bytes) {
        const uint8_t *found = memchr(data.data, beginning.data[0], data.bytes);
        uint32_t before = found ? (uint32_t)(found - data.data) : data.bytes;
        if (before) {
            framing_bulk(framing, direction, before, time_ns);
            return before;
        }
    }
    uint32_t used = framing_fill_head(side, (struct slice){data.data, 1}, need, time_ns);
    shift_to(framing, direction, beginning, time_ns);
    return used;
}

void framing_seek_on(struct framing *framing, enum direction direction, struct slice beginning,
                     uint64_t time_ns)
{
    framing_shift(framing, direction, time_ns);
    shift_to(framing, direction, beginning, time_ns);
}

enum { CONSOLE_VERSION_BYTES = 12 }; /* "RFB 003.008\n", RFC 6143 section 7.1.1 */
enum console_state { CONSOLE_VERSION, CONSOLE_CONTENTS };

enum start_verdict console_start(const uint8_t *data, uint32_t bytes)
{
    static const char version[] = "RFB 0";
    uint32_t length = sizeof version - 1;
    if (memcmp(data, version, bytes < length ? bytes : length) != 0)
        return START_NO;
    return bytes < length ? START_MORE : START_YES;
}

/* The server says what it speaks; all else is counted. A client may begin with the number that
 * binds this channel to the dialogue before (esxclient, VMwareMksVncProxy.swift). */
static uint32_t console_data(struct framing *framing, enum direction direction,
                             const uint8_t *data, uint32_t bytes, uint64_t time_ns)
{
    struct framing_side *side = &framing->side[direction];
    if (direction == TO_SERVER || side->state == CONSOLE_CONTENTS) {
        framing_bulk(framing, direction, bytes, time_ns);
        return bytes;
    }
    uint32_t used = framing_fill_head(side, (struct slice){data, bytes}, CONSOLE_VERSION_BYTES,
                                      time_ns);
    if (console_start(side->head, side->head_bytes) == START_NO) {
        framing->turn = TURN_OPAQUE;
    } else if (side->head_bytes == CONSOLE_VERSION_BYTES) {
        framing->certain = true;
        framing_hand_up(framing, direction, FRAMED_CONSOLE,
                        (struct slice){side->head, CONSOLE_VERSION_BYTES});
        side->state = CONSOLE_CONTENTS;
    }
    return used;
}

uint32_t framing_data(struct framing *framing, enum direction direction, const uint8_t *data,
                      uint32_t bytes, uint64_t time_ns)
{
    switch ((enum framed_protocol)framing->kind) {
    case FRAMED_AUTHD:
        return authd_data(framing, direction, data, bytes, time_ns);
    case FRAMED_NFC:
    case FRAMED_NFC_AIO:
        return nfc_data(framing, direction, data, bytes, time_ns);
    case FRAMED_VIX:
        return vix_data(framing, direction, data, bytes, time_ns);
    case FRAMED_LIBVIRT:
        return libvirt_data(framing, direction, data, bytes, time_ns);
    case FRAMED_CONSOLE:
        break;
    }
    return console_data(framing, direction, data, bytes, time_ns);
}

static void console_gap(struct framing *framing, enum direction direction)
{
    struct framing_side *side = &framing->side[direction];
    framing_drop(framing, side);
    side->state = CONSOLE_CONTENTS;
}

void framing_gap(struct framing *framing, enum direction direction, uint64_t time_ns)
{
    (void)time_ns;
    if (framing->kind == FRAMED_AUTHD)
        authd_gap(framing, direction);
    else if (framing->kind == FRAMED_NFC)
        nfc_gap(framing, direction);
    else if (framing->kind == FRAMED_VIX)
        vix_gap(framing, direction);
    else if (framing->kind == FRAMED_LIBVIRT)
        libvirt_gap(framing, direction);
    else
        console_gap(framing, direction);
}

void framing_end(struct framing *framing, enum direction direction)
{
    tell_bulk(framing, direction, framing->kind);
}

void framing_close(struct framing *framing)
{
    if (!framing)
        return;
    struct budget *budget = framing->shared->budget;
    for (int each = TO_SERVER; each <= TO_CLIENT; each++) {
        framing_end(framing, (enum direction)each);
        framing_drop(framing, &framing->side[each]);
    }
    explicit_bzero(framing, sizeof *framing);
    free(framing);
    budget_give(budget, sizeof *framing);
}
