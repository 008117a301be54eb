#include "authd.h"

#include <string.h>
#include <strings.h>

#include "protocol_framed.h"

enum {
    LINE_BYTES_MAX = 1016,    /* VMware's own client allows no more (nfclib.py) */
    WAITING_BYTES_MAX = 8192, /* sent before the answer to PROXY or CONNECT: a ClientHello fits */
    SECRET_VERB_BYTES = 4,
    TLS_HANDSHAKE = 22, /* RFC 8446 section 5.1 */
};

enum authd_state {
    AUTHD_LINE,
    AUTHD_LOST,    /* until a line end */
    AUTHD_WAITING, /* for the answer that says what these bytes are */
};

static const char banner[] = "220 VMware Authentication Daemon";
static const char connected[] = "200 Connect";

/* Whose argument is no secret, or, of SESSION, needed: it is the ticket that joins this flow with
 * the call that issued it. The argument of any other verb is left out. The first ones are what a
 * client begins with. */
static const char *const verbs[] = {
    "USER",  "SESSION", "BANNER",    "THUMBPRINT",   "THUMBPRINT_SHA2", "PROXY",   "CONNECT",
    "HELP",  "QUIT",    "SESSIONID", "CONNECT_VPXA", "VERSION",         "GLOBAL",
};

enum { VERBS = sizeof verbs / sizeof *verbs, FIRST_VERBS = 5 };

enum start_verdict authd_banner(const uint8_t *data, uint32_t bytes)
{
    uint32_t length = sizeof banner - 1;
    if (memcmp(data, banner, bytes < length ? bytes : length) != 0)
        return START_NO;
    return bytes < length ? START_MORE : START_YES;
}

enum start_verdict authd_words(const uint8_t *data, uint32_t bytes)
{
    for (int i = 0; i < FIRST_VERBS; i++) {
        uint32_t length = (uint32_t)strlen(verbs[i]);
        if (strncasecmp((const char *)data, verbs[i], bytes < length ? bytes : length) != 0)
            continue;
        if (bytes <= length)
            return START_MORE;
        if (data[length] == ' ')
            return START_YES;
    }
    return START_NO;
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static bool is_word(struct slice word, const char *name)
{
    return word.bytes == strlen(name) &&
           strncasecmp((const char *)word.data, name, word.bytes) == 0;
}

static struct slice verb_of(struct slice line)
{
    uint32_t at = 0, end;
    while (at < line.bytes && is_blank(line.data[at]))
        at++;
    for (end = at; end < line.bytes && !is_blank(line.data[end]); end++)
        ;
    return (struct slice){line.data + at, end - at};
}

static bool may_be_told(struct slice verb)
{
    for (int i = 0; i < VERBS; i++) {
        if (is_word(verb, verbs[i]))
            return true;
    }
    return false;
}

static void end_client_line(struct framing *framing, struct slice line)
{
    struct framing_side *side = &framing->side[TO_SERVER];
    struct slice verb = verb_of(line);
    bool asks = is_word(verb, "PROXY") || is_word(verb, "CONNECT");
    if (!side->secret && !may_be_told(verb)) {
        uint32_t after = (uint32_t)(verb.data - line.data) + verb.bytes;
        if (after < line.bytes)
            side->flags |= FRAMED_BLANKED;
        line = verb;
    }
    framing_hand_up(framing, TO_SERVER, FRAMED_AUTHD, line);
    if (asks) {
        framing->asked = true;
        side->state = AUTHD_WAITING;
    }
}

/* The service was refused: what the client has said since are lines after all. */
static void go_on(struct framing *framing, uint64_t time_ns)
{
    struct framing_side *client = &framing->side[TO_SERVER];
    if (client->state != AUTHD_WAITING)
        return;
    struct kept held = client->held;
    uint64_t start_ns = client->message_bytes ? client->start_ns : time_ns;
    client->held = (struct kept){0};
    framing_drop(framing, client);
    if (held.bytes)
        authd_data(framing, TO_SERVER, held.data, held.bytes, start_ns);
    kept_free(&held, framing->shared->budget);
}

static void end_server_line(struct framing *framing, struct slice line, uint64_t time_ns)
{
    enum { CODE_BYTES = 3, CONNECTED_BYTES = sizeof connected - 1 };
    bool through = framing->asked && line.bytes >= CONNECTED_BYTES &&
                   strncasecmp((const char *)line.data, connected, CONNECTED_BYTES) == 0;
    bool refused = line.bytes >= CODE_BYTES && (line.data[0] == '4' || line.data[0] == '5');
    framing_hand_up(framing, TO_CLIENT, FRAMED_AUTHD, line);
    if (through)
        framing->turn = TURN_PASSED;
    else if (refused)
        go_on(framing, time_ns);
}

static void end_line(struct framing *framing, enum direction direction, uint64_t time_ns)
{
    struct framing_side *side = &framing->side[direction];
    uint64_t line_bytes = side->message_bytes - 1 - side->carriage_return;
    struct slice line = {side->held.data, side->held.bytes};
    if (!side->secret && side->carriage_return && line.bytes > line_bytes)
        line.bytes--;
    if (line.bytes > LINE_BYTES_MAX)
        line.bytes = LINE_BYTES_MAX;
    if (side->secret) {
        line = verb_of(line);
        if (line_bytes > side->held.bytes)
            side->flags |= FRAMED_BLANKED;
    } else if (line_bytes > line.bytes) {
        side->flags |= FRAMED_CUT;
    }
    if (!line.bytes)
        framing_drop(framing, side);
    else if (direction == TO_SERVER)
        end_client_line(framing, line);
    else
        end_server_line(framing, line, time_ns);
}

/* The verb of a password, from the moment it is whole: nothing after it is kept. */
static bool secret_begins(struct framing_side *side, uint8_t c)
{
    const struct kept *held = &side->held;
    if (is_blank(c) && side->blanks + 1 == held->bytes)
        side->blanks++;
    if (held->bytes - side->blanks != SECRET_VERB_BYTES)
        return false;
    const char *verb = (const char *)held->data + side->blanks;
    return strncasecmp(verb, "PASS", SECRET_VERB_BYTES) == 0 ||
           strncasecmp(verb, "XPAS", SECRET_VERB_BYTES) == 0;
}

static void take_text(struct framing *framing, enum direction direction, uint8_t c)
{
    struct framing_side *side = &framing->side[direction];
    if (side->held.bytes > LINE_BYTES_MAX) /* a line, and room for its CR */
        return;
    if (!framing_keep(framing, side, &c, 1)) {
        framing_drop(framing, side);
        side->state = AUTHD_LOST;
        return;
    }
    if (!side->known) {
        enum start_verdict verdict = framed_sniff(direction, side->held.data, side->held.bytes);
        if (verdict == START_YES)
            framing->turn = side->held.data[0] == TLS_HANDSHAKE ? TURN_DETECT : TURN_PASSED;
        if (verdict != START_NO)
            return;
        side->known = true;
        if (memchr(side->held.data, 0, side->held.bytes))
            framing->turn = TURN_OPAQUE;
    }
    if (c == 0) /* these are no lines any more */
        framing->turn = TURN_OPAQUE;
    if (direction == TO_SERVER)
        side->secret = secret_begins(side, c);
}

static void take_byte(struct framing *framing, enum direction direction, uint8_t c,
                      uint64_t time_ns)
{
    struct framing_side *side = &framing->side[direction];
    struct framing_side *client = &framing->side[TO_SERVER];
    if (side->state == AUTHD_LOST) {
        if (c == '\n') {
            side->state = AUTHD_LINE;
            count(framing->shared->counters, COUNT_framed_resynchronised, 1);
        }
        return;
    }
    if (direction == TO_CLIENT && client->loose_end)
        end_line(framing, TO_SERVER, time_ns);
    if (!side->message_bytes)
        side->start_ns = time_ns;
    side->message_bytes++;
    if (c == '\n' && (!side->secret || side->carriage_return)) {
        end_line(framing, direction, time_ns);
        return;
    }
    side->loose_end = side->secret && (side->loose_end || c == '\n');
    side->carriage_return = c == '\r';
    if (!side->secret)
        take_text(framing, direction, c);
}

/* Bytes that the answer of the server decides on. */
static void wait(struct framing *framing, const uint8_t *data, uint32_t bytes, uint64_t time_ns)
{
    struct framing_side *side = &framing->side[TO_SERVER];
    if (!side->message_bytes)
        side->start_ns = time_ns;
    side->message_bytes += bytes;
    if (side->message_bytes > WAITING_BYTES_MAX || !framing_keep(framing, side, data, bytes))
        framing->turn = TURN_OPAQUE;
}

uint32_t authd_data(struct framing *framing, enum direction direction, const uint8_t *data,
                    uint32_t bytes, uint64_t time_ns)
{
    struct framing_side *side = &framing->side[direction];
    if (side->state == AUTHD_LOST && direction == TO_SERVER &&
        tls_sniff(data, bytes) == TLS_SNIFF_HELLO)
        side->state = AUTHD_LINE;
    for (uint32_t at = 0; at < bytes; at++) {
        if (side->state == AUTHD_WAITING) {
            wait(framing, data + at, bytes - at, time_ns);
            return bytes;
        }
        take_byte(framing, direction, data[at], time_ns);
        if (framing->turn)
            return at + 1;
    }
    return bytes;
}

void authd_gap(struct framing *framing, enum direction direction)
{
    struct framing_side *side = &framing->side[direction];
    bool waiting = side->state == AUTHD_WAITING;
    framing_drop(framing, side);
    if (direction == TO_SERVER)
        framing->asked = true;
    side->state = waiting ? AUTHD_WAITING : AUTHD_LOST;
}
