/* Handshake messages, put together from records. */
#include <string.h>

#include "tls_session.h"
#include "tls_wire.h"

enum {
    MESSAGE_BYTES_MAX = 128 << 10, /* OpenSSL takes certificate chains up to 100 KiB */
    MESSAGE_BYTES_FIRST = 2048,
};

void tls_message_clear(struct tls *tls, struct tls_side *side)
{
    tls_release(tls, side->message.data, side->message.room);
    side->message = (struct tls_message){0};
}

static bool message_room(struct tls *tls, struct tls_message *message, uint32_t bytes)
{
    uint32_t room = message->room ? message->room : MESSAGE_BYTES_FIRST;
    if (bytes <= message->room)
        return true;
    while (room < bytes)
        room *= 2;
    uint8_t *data = tls_allocate(tls, room);
    if (!data)
        return false;
    uint32_t kept = message->bytes;
    if (kept)
        memcpy(data, message->data, kept);
    tls_release(tls, message->data, message->room);
    *message = (struct tls_message){data, kept, room, 0};
    return true;
}

/* Adds to the message under way; *complete when that ended it. */
static bool gather(struct tls *tls, struct tls_side *side, struct wire *wire, bool *complete)
{
    struct tls_message *message = &side->message;
    *complete = false;
    while (wire->left) {
        uint32_t whole = TLS_MESSAGE_HEADER_BYTES;
        if (message->bytes >= TLS_MESSAGE_HEADER_BYTES)
            whole += wire_u24(message->data + 1);
        if (whole > MESSAGE_BYTES_MAX) {
            message->skip = whole - message->bytes;
            return true;
        }
        uint32_t missing = whole - message->bytes;
        uint32_t bytes = missing < wire->left ? missing : wire->left;
        if (!message_room(tls, message, message->bytes + bytes))
            return false;
        memcpy(message->data + message->bytes, wire_bytes(wire, bytes).data, bytes);
        message->bytes += bytes;
        if (message->bytes == TLS_MESSAGE_HEADER_BYTES && wire_u24(message->data + 1))
            continue;
        if (bytes == missing && message->bytes >= TLS_MESSAGE_HEADER_BYTES) {
            *complete = true;
            return true;
        }
    }
    return true;
}

/* After lost bytes a record may begin inside a message: only whole messages of known types
 * count. */
static bool whole_messages(struct slice data)
{
    struct wire wire = wire_of(data);
    while (wire.left) {
        uint32_t type = wire_number(&wire, 1);
        if (type != HANDSHAKE_NEW_SESSION_TICKET && type != HANDSHAKE_KEY_UPDATE)
            return false;
        wire_vector(&wire, 3);
    }
    return !wire.bad;
}

static void skip(struct tls *tls, struct tls_side *side, struct wire *wire)
{
    struct tls_message *message = &side->message;
    uint32_t bytes = message->skip < wire->left ? message->skip : wire->left;
    wire_bytes(wire, bytes);
    message->skip -= bytes;
    if (!message->skip)
        tls_message_clear(tls, side);
}

/* The message is taken out of the side first, since it may end the session the side is in. */
static bool take_gathered(struct tls *tls, enum direction direction, uint64_t time_ns)
{
    struct tls_side taken = {.message = tls->side[direction].message};
    tls->side[direction].message = (struct tls_message){0};
    struct slice whole = {taken.message.data, taken.message.bytes};
    bool good = tls_take_message(tls, direction, whole, time_ns);
    tls_message_clear(tls, &taken);
    return good;
}

bool tls_handshake_bytes(struct tls *tls, enum direction direction, struct slice data,
                         uint64_t time_ns)
{
    struct tls_side *side = &tls->side[direction];
    struct wire wire = wire_of(data);
    if (side->broken && !whole_messages(data))
        return true;
    side->broken = false;
    while (wire.left) {
        if (side->message.skip) {
            skip(tls, side, &wire);
            continue;
        }
        unsigned epoch = side->epoch;
        bool good = true, complete = false;
        uint32_t whole = UINT32_MAX;
        if (!side->message.bytes && wire.left >= TLS_MESSAGE_HEADER_BYTES)
            whole = TLS_MESSAGE_HEADER_BYTES + wire_u24(wire.at + 1);
        if (whole <= wire.left)
            good = tls_take_message(tls, direction, wire_bytes(&wire, whole), time_ns);
        else if (!gather(tls, side, &wire, &complete))
            return false;
        else if (complete)
            good = take_gathered(tls, direction, time_ns);
        /* RFC 8446 section 5.1: no message after one that changes the keys. */
        if (!good || (side->epoch != epoch && wire.left))
            return false;
    }
    return true;
}
