/* links: protocol*.c framing.c libvirt.c authd.c nfc*.c vix*.c tls*.c http*.c choice.c pending.c interest.c interest_match.c needles.c objects.c operations.c soap.c body.c block.c tokens.c kept.c */
/* VIX messages, on any port and behind authd: framing, and what of a request is handed up. */
#include "conversation.h"
#include "vix.h"

enum { ROOM_BYTES = 1 << 18 };

/* What a message is made of. Lengths of 0 for texts that end in NUL: their own. */
struct message {
    uint32_t opcode, request_flags, type;
    const char *body;
    uint32_t body_bytes;
    const char *credential;
    uint32_t credential_bytes;
    const char *rest; /* counted in the total */
    uint32_t rest_bytes;
};

static char room[ROOM_BYTES];
static uint32_t used;

static void put(uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        room[used++] = (char)(value >> 8 * i);
}

static void put_text(const char *text, uint32_t bytes)
{
    if (bytes)
        memcpy(room + used, text, bytes);
    used += bytes;
}

static void put_common(uint32_t total, uint32_t body, uint32_t credential, uint8_t flags)
{
    put(0xd00d0001, 4);
    put(5, 2);
    put(total, 4);
    put(51, 4);
    put(body, 4);
    put(credential, 4);
    put(flags, 1);
}

static struct piece request(const struct message *message)
{
    uint32_t from = used;
    put_common(51 + message->body_bytes + message->credential_bytes + message->rest_bytes,
               message->body_bytes, message->credential_bytes, 1);
    put(message->opcode, 4);
    put(message->request_flags, 4);
    put(UINT32_MAX, 4);
    put(77, 8);
    put(1, 4);
    put(message->type, 4);
    put_text(message->body, message->body_bytes);
    put_text(message->credential, message->credential_bytes);
    put_text(message->rest, message->rest_bytes);
    return (struct piece){PIECE_DATA, TO_SERVER, room + from, used - from};
}

static struct piece answer(const char *body, uint32_t body_bytes)
{
    uint32_t from = used;
    put_common(51 + body_bytes, body_bytes, 0, 0);
    put(77, 8);
    put(0, 4);
    put(0, 4);
    put(0, 4);
    put(0, 4);
    put(0, 4);
    put_text(body, body_bytes);
    return (struct piece){PIECE_DATA, TO_CLIENT, room + from, used - from};
}

/* Of the messages handed up: how many, their bytes one after another, their flags together. */
struct seen {
    uint32_t count;
    uint32_t bytes;
    uint64_t bulk_bytes;
    uint8_t flags;
    uint8_t data[ROOM_BYTES];
};

static struct seen seen;

static void see(void *context, struct flow *flow, enum direction direction,
                const struct framed *framed)
{
    (void)context, (void)flow, (void)direction;
    seen.flags |= framed->flags;
    if (framed->flags & FRAMED_BULK) {
        seen.bulk_bytes += framed->size_bytes;
        return;
    }
    CHECK(framed->protocol == FRAMED_VIX);
    seen.count++;
    memcpy(seen.data + seen.bytes, framed->data.data, framed->data.bytes);
    seen.bytes += framed->data.bytes;
}

static struct counters feed(const struct piece *pieces, uint32_t count, enum feeding feeding,
                            uint64_t seed)
{
    struct budget budget = {.limit_bytes = 1 << 20};
    struct counters counters = {0};
    struct limits limits = test_limits();
    struct flow flow = {.protocol = PROTO_TCP, .port = {61525, 50000}};
    struct interest *interest = interest_open();
    struct result result = {.run = -1};
    struct operations *operations = operations_open(&limits, &counters);
    struct protocol_shared shared = {
        .limits = &limits,
        .interest = interest,
        .budget = &budget,
        .counters = &counters,
        .operations = operations,
        .sink = {&result, on_transaction, on_proxy_header, on_chunk, on_gap, NULL, see},
    };
    seen = (struct seen){0};
    struct protocol *protocol = protocol_open(&shared, &flow);
    for (uint32_t i = 0; i < count; i++)
        feed_piece(protocol, &pieces[i], i + 1, feeding, &seed);
    protocol_close(protocol, 99);
    CHECK(budget.used_bytes == 0);
    operations_close(operations);
    interest_close(interest);
    return counters;
}

static bool contains(const void *data, uint32_t bytes, const char *text, uint32_t text_bytes)
{
    return memmem(data, bytes, text, text_bytes) != NULL;
}

#define TEXT(text) text, sizeof(text) - 1

/* Credentials, and what must be left of them: the same number of bytes. */
static const struct credential {
    const char *name;
    uint32_t type;
    const char *sent;
    uint32_t sent_bytes;
    const char *left;
    uint32_t left_bytes;
} credentials[] = {
    {"name and password in base64", 1, TEXT("\3\0\0\0\1\0\0\0Ym9iAHgA\0"),
     TEXT("\3\0\0\0\1\0\0\0Ym9iAAAA\0")},
    {"the NUL is in the middle of a group", 4, TEXT("\4\0\0\0\3\0\0\0Ym9iYgBoaWQA\0"),
     TEXT("\4\0\0\0\3\0\0\0Ym9iYgAA\0\0\0\0\0")},
    {"the NUL is the last of a group", 8, TEXT("\2\0\0\0\6\0\0\0Ym8AaHVudGVyMgA=\0"),
     TEXT("\2\0\0\0\6\0\0\0Ym8A\0\0\0\0\0\0\0\0\0\0\0\0\0")},
    {"without lengths", 1, TEXT("Ym9iAGh1bnRlcjIA\0"), TEXT("Ym9iAAAA\0\0\0\0\0\0\0\0\0")},
    {"escaped", 1, TEXT("\3\0\0\0\1\0\0\0Ym\\9iAHgA\0"),
     TEXT("\3\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0")},
    {"both as they are", 1, TEXT("\3\0\0\0\7\0\0\0bob\0hunter2\0"),
     TEXT("\3\0\0\0\7\0\0\0bob\0\0\0\0\0\0\0\0\0")},
    {"both as they are, a name that could be base64", 1,
     TEXT("\4\0\0\0\7\0\0\0root\0hunter2\0"), TEXT("\4\0\0\0\7\0\0\0root\0\0\0\0\0\0\0\0\0")},
    {"both as they are, with other lengths", 1, TEXT("\5\0\0\0\7\0\0\0bob\0hunter2\0"),
     TEXT("\5\0\0\0\7\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")},
    {"base64 of one text", 1, TEXT("\3\0\0\0\1\0\0\0aHVudGVyMg==\0"),
     TEXT("\3\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")},
    {"what begins within a password", 1, TEXT("d29yZAA=\0"), TEXT("\0\0\0\0\0\0\0\0\0")},
    {"an empty password", 1, TEXT("Ym9iAAA=\0"), TEXT("Ym9iAAAA\0")},
    {"no text at all", 1, TEXT("\377\376\375\374"), TEXT("\0\0\0\0")},
    {"shorter than its lengths", 1, TEXT("\3\0\0\0\1"), TEXT("\0\0\0\0\0")},
    {"a host's secret", 6, TEXT("\3\0\0\0\1\0\0\0Ym9iAHgA\0"),
     TEXT("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")},
    {"a type nobody knows", 99, TEXT("hunter2"), TEXT("\0\0\0\0\0\0\0")},
    {"a ticket", 9, TEXT("\4\0\0\0abcd\0"), TEXT("\4\0\0\0abcd\0")},
};

static void check_credentials(void)
{
    for (size_t i = 0; i < sizeof credentials / sizeof *credentials; i++) {
        const struct credential *at = &credentials[i];
        uint8_t *region = guarded(at->sent, at->sent_bytes);
        bool changed = memcmp(at->sent, at->left, at->sent_bytes) != 0;
        bool told = vix_blank_credential(region, at->sent_bytes, at->type);
        bool same = at->sent_bytes == at->left_bytes && !memcmp(region, at->left, at->left_bytes);
        CHECK(same);
        CHECK(told || !changed);
        if (!same)
            fprintf(stderr, "%s\n", at->name);
    }
}

/* Every name and password, at every length: nothing of the password in any place, all of the name
 * where it was. */
static void check_every_length(void)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (uint32_t name = 1; name < 12; name++) {
        for (uint32_t password = 1; password < 12; password++) {
            uint8_t plain[32] = {0}, region[64] = {0};
            memset(plain, 'n', name);
            memset(plain + name + 1, '!', password);
            uint32_t bytes = name + password + 2, coded = 0;
            region[0] = (uint8_t)name;
            region[4] = (uint8_t)password;
            for (uint32_t at = 0; at < bytes; at += 3) {
                uint32_t group = (uint32_t)plain[at] << 16 | (uint32_t)plain[at + 1] << 8 |
                                 plain[at + 2];
                for (int i = 0; i < 4; i++)
                    region[8 + coded++] = (uint8_t)alphabet[group >> (18 - 6 * i) & 63];
            }
            uint8_t *sent = guarded(region, 8 + coded + 1);
            CHECK(vix_blank_credential(sent, 8 + coded + 1, 1));
            uint32_t kept = (name + 3) / 3 * 4, whole = name / 3 * 4;
            CHECK(!memcmp(sent + 8, region + 8, whole));
            for (uint32_t at = 8 + kept; at < 8 + coded + 1; at++)
                CHECK(sent[at] == 0);
            /* The group of the NUL holds the rest of the name and zeros. */
            uint32_t group = 0;
            for (uint32_t i = 0; i < 4; i++)
                group = group << 6 |
                        (uint32_t)(strchr(alphabet, sent[8 + kept - 4 + i]) - alphabet);
            uint32_t expected = 0;
            for (uint32_t i = 0; i < 3; i++)
                expected = expected << 8 | (i < name % 3 ? 'n' : 0u);
            CHECK(group == expected);
        }
    }
}

static void check_bodies(void)
{
    static const struct {
        uint32_t opcode;
        const char *sent;
        uint32_t sent_bytes;
        const char *left;
        uint32_t left_bytes;
    } rows[] = {
        {4, TEXT("\0\0\0\0\3\0\0\0\7\0\0\0ls\0hunter2\0"),
         TEXT("\0\0\0\0\3\0\0\0\7\0\0\0ls\0\0\0\0\0\0\0\0\0")},
        {4, TEXT("\0\0\0\0\2\0\0\0\7\0\0\0ls\0hunter2\0"),
         TEXT("\0\0\0\0\2\0\0\0\7\0\0\0ls\0\0\0\0\0\0\0\0\0")},
        {4, TEXT("\0\0\0\0\5\0\0\0\7\0\0\0ls\0hunter2\0"),
         TEXT("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")},
        {185, TEXT("\0\3\0\0\0\7\0\0\0\0\0\0\0\1\0\0\0\3\0\0\0ls\0hunter2\0\0A=\0"),
         TEXT("\0\3\0\0\0\7\0\0\0\0\0\0\0\1\0\0\0\3\0\0\0ls\0\0\0\0\0\0\0\0\0\0\0\0\0")},
        {76, TEXT("\0\0\0\0\2\0\0\0\2\0\0\0\0\0\0\0a\0b\0\0"),
         TEXT("\0\0\0\0\2\0\0\0\2\0\0\0\0\0\0\0a\0b\0\0")},
        {47, TEXT("hunter2\0[d] a/a.vmx\0hunter2"),
         TEXT("\0\0\0\0\0\0\0\0[d] a/a.vmx\0\0\0\0\0\0\0\0")},
        {110, TEXT("hunter2"), TEXT("\0\0\0\0\0\0\0")},
        {78, "", 0, "", 0},
        {85, TEXT("\5\0\0\0\0\0\0\0\1\0\0\0hunter2"),
         TEXT("\5\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0")},
        {4, TEXT("ls"), TEXT("\0\0")},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t *body = guarded(rows[i].sent, rows[i].sent_bytes);
        bool changed = memcmp(rows[i].sent, rows[i].left, rows[i].sent_bytes) != 0;
        CHECK(vix_blank_body(body, rows[i].sent_bytes, rows[i].opcode) == changed);
        CHECK(rows[i].sent_bytes == rows[i].left_bytes &&
              !memcmp(body, rows[i].left, rows[i].left_bytes));
    }
}

static const struct message login = {
    .opcode = 78, .type = 1, .credential = "\3\0\0\0\1\0\0\0Ym9iAGh1bnRlcjIA", .credential_bytes = 25};

static void check_framing(void)
{
    static const char auth[44] = "hunter2 hunter2 hunter2 hunter2 hunter2 hun";
    struct message counted = login, uncounted = login;
    uint32_t pieces = 0;
    struct piece at[PIECES_MAX] = {{0}};
    used = 0;
    counted.rest = auth;
    counted.rest_bytes = sizeof auth;
    counted.request_flags = uncounted.request_flags = 0x010;
    at[pieces++] = request(&login);
    at[pieces++] = answer("abc", 3);
    at[pieces++] = request(&counted);
    at[pieces++] = request(&uncounted);
    uint32_t from = used;
    put_text(auth, sizeof auth);
    at[pieces++] = (struct piece){PIECE_DATA, TO_SERVER, room + from, sizeof auth};
    at[pieces++] = request(&uncounted);
    at[pieces++] = request(&login);
    at[pieces++] = answer("", 0);
    for (int feeding = FEED_WHOLE; feeding <= FEED_RANDOM; feeding++) {
        struct counters counters = feed(at, pieces, (enum feeding)feeding, 11);
        CHECK(seen.count == 7 && counters.value[COUNT_framed_vix] == 7);
        CHECK(counters.value[COUNT_framed_blanked] == 5);
        CHECK(counters.value[COUNT_framed_lost] == 0);
        CHECK(seen.bulk_bytes == sizeof auth);
        CHECK(seen.bytes == 5 * 76 + 44 + 54 + 51);
        CHECK(!contains(seen.data, seen.bytes, TEXT("GhbnRl")));
        CHECK(!contains(seen.data, seen.bytes, TEXT("h1bnR")));
        CHECK(!contains(seen.data, seen.bytes, TEXT("hunter2")));
        CHECK(contains(seen.data, seen.bytes, TEXT("Ym9iAAAA")));
    }
}

static void check_loss(void)
{
    struct piece at[PIECES_MAX] = {{0}};
    used = 0;
    at[0] = request(&login);
    at[1] = request(&login);
    at[1].bytes -= 10;
    at[2] = (struct piece){PIECE_GAP, TO_SERVER, NULL, 10};
    uint32_t from = used;
    put_text(TEXT("hunter2\1\0\x0d\xd0\5\0\1\0\x0d"));
    at[3] = (struct piece){PIECE_DATA, TO_SERVER, room + from, used - from};
    at[4] = request(&login);
    from = used;
    put_text(TEXT("hunter2 hunter2 hunter2"));
    at[5] = (struct piece){PIECE_DATA, TO_SERVER, room + from, used - from};
    for (int feeding = FEED_WHOLE; feeding <= FEED_RANDOM; feeding++) {
        struct counters counters = feed(at, 6, (enum feeding)feeding, 13);
        CHECK(seen.count == 2);
        CHECK(counters.value[COUNT_framed_resynchronised] == 1);
        CHECK(counters.value[COUNT_framed_lost] == 2);
        CHECK(seen.bulk_bytes == 66 + 16 + 23);
        CHECK(!contains(seen.data, seen.bytes, TEXT("hunter2")));
    }
}

/* A request longer than one may be: its header alone. An answer: the beginning of its body. */
static void check_cut(void)
{
    enum { LONG_BYTES = 70000 };
    static char text[LONG_BYTES];
    struct message large = login;
    struct piece at[PIECES_MAX] = {{0}};
    used = 0;
    memset(text, 'x', sizeof text);
    memcpy(text, "hunter2", 7);
    large.body = text;
    large.body_bytes = LONG_BYTES;
    at[0] = request(&large);
    at[1] = answer(text, LONG_BYTES);
    at[2] = request(&login);
    for (int feeding = FEED_WHOLE; feeding <= FEED_RANDOM; feeding++) {
        struct counters counters = feed(at, 3, (enum feeding)feeding, 17);
        CHECK(seen.count == 3 && counters.value[COUNT_framed_cut] == 2);
        CHECK(seen.bytes == 51 + 51 + 4096 + 76);
        CHECK(!contains(seen.data, 51, TEXT("hunter2")));
    }
}

/* What is almost a message begins nothing. */
static void check_no_message(void)
{
    static const struct {
        uint32_t at;
        uint8_t value;
    } changes[] = {{0, 2}, {4, 6}, {9, 1}, {10, 50}, {17, 1}, {21, 1}, {22, 0}};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        used = 0;
        struct piece at = request(&login);
        room[changes[i].at] = (char)changes[i].value;
        for (int feeding = FEED_WHOLE; feeding <= FEED_RANDOM; feeding++) {
            feed(&at, 1, (enum feeding)feeding, 19);
            CHECK(seen.count == 0 && seen.bulk_bytes == 0);
        }
    }
}

int main(void)
{
    check_credentials();
    check_every_length();
    check_bodies();
    check_framing();
    check_loss();
    check_cut();
    check_no_message();
    return checks_report("vix");
}
