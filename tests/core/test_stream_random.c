/* links: stream.c hole.c sequence.c held.c */
#include <stdlib.h>

#include "check.h"
#include "flow.h"

/* Random conversations, cut in segments and sent with the acknowledgements a real peer would
 * send; then reordered, repeated, overlapped, lost. Whatever happened on the way, each direction
 * must be the bytes that were sent, less explicit gaps, and no byte may come before what its
 * sender had received. */

enum {
    PACKETS_MAX = 1024,
    STREAM_BYTES_MAX = 1 << 16,
    WINDOW = 6, /* no packet is displaced by more places */
};

static const uint64_t PACKET_NS = 100000;
static const uint64_t GAP_MS = 5; /* many times longer than any displacement */

struct sent {
    enum direction direction;
    uint8_t flags;
    uint32_t at, bytes; /* in the stream; the SYN is number 0 */
    uint32_t acknowledgement;
    uint64_t place; /* sort key of the order in which they are captured */
};

struct conversation {
    uint8_t data[2][STREAM_BYTES_MAX];
    uint32_t needs[2][STREAM_BYTES_MAX]; /* what the sender of a byte had received by then */
    uint32_t bytes[2]; /* sent */
    uint32_t start[2]; /* initial sequence numbers */
    struct sent sent[PACKETS_MAX];
    int packets;
};

struct sink {
    const struct conversation *conversation;
    uint64_t at[2]; /* place in the stream, gaps included; UINT64_MAX: not known yet */
    uint64_t gap_bytes[2];
    bool closed[2];
    uint32_t slack; /* one lost byte at the end of what was sent is taken for a FIN */
    bool wrong_byte, wrong_order, after_close, time_fell;
    uint64_t last_ns;
};

static uint32_t below(uint32_t limit)
{
    return (uint32_t)random() % limit;
}

/* Where in the stream these bytes are: streams are random bytes, so eight of them are unique. */
static uint64_t place_of(const struct conversation *conversation, enum direction direction,
                         const uint8_t *data, uint32_t bytes)
{
    const uint8_t *all = conversation->data[direction];
    const uint8_t *found = memmem(all, conversation->bytes[direction], data, bytes);
    return found && bytes >= 8 ? (uint64_t)(found - all) : UINT64_MAX;
}

static void note_time(struct sink *sink, enum direction direction, uint64_t time_ns)
{
    sink->time_fell |= time_ns < sink->last_ns;
    sink->after_close |= sink->closed[direction];
    sink->last_ns = time_ns;
}

static void on_data(void *context, struct flow *flow, enum direction direction,
                    const uint8_t *data, uint32_t bytes, uint64_t time_ns)
{
    (void)flow;
    struct sink *sink = context;
    const struct conversation *conversation = sink->conversation;
    note_time(sink, direction, time_ns);
    if (sink->at[direction] == UINT64_MAX)
        sink->at[direction] = place_of(conversation, direction, data, bytes);
    uint64_t at = sink->at[direction];
    if (at == UINT64_MAX && bytes < 8)
        return;
    if (at > conversation->bytes[direction] || bytes > conversation->bytes[direction] - at ||
        memcmp(conversation->data[direction] + at, data, bytes) != 0) {
        sink->wrong_byte = true;
        return;
    }
    uint64_t other = sink->at[!direction];
    for (uint32_t i = 0; i < bytes && other != UINT64_MAX; i++)
        sink->wrong_order |= conversation->needs[direction][at + i] > other + sink->slack;
    sink->at[direction] += bytes;
}

static void on_gap(void *context, struct flow *flow, enum direction direction, uint64_t bytes,
                   uint64_t time_ns)
{
    (void)flow;
    struct sink *sink = context;
    note_time(sink, direction, time_ns);
    sink->gap_bytes[direction] += bytes;
    if (sink->at[direction] != UINT64_MAX)
        sink->at[direction] += bytes;
}

static void on_close(void *context, struct flow *flow, enum direction direction, uint64_t time_ns)
{
    (void)flow;
    struct sink *sink = context;
    note_time(sink, direction, time_ns);
    sink->closed[direction] = true;
}

static void send_packet(struct conversation *conversation, enum direction direction, uint8_t flags,
                        uint32_t at, uint32_t bytes, const uint32_t received[2])
{
    if (conversation->packets == PACKETS_MAX)
        return;
    conversation->sent[conversation->packets] = (struct sent){
        direction, flags, at, bytes, received[!direction],
        (uint64_t)conversation->packets * 2 * WINDOW};
    conversation->packets++;
}

/* A message of some segments; the other side acknowledges now and then. */
static void send_message(struct conversation *conversation, enum direction direction,
                         uint32_t received[2])
{
    uint32_t bytes = 1 + below(below(4) ? 300 : 6000);
    uint32_t largest = below(3) ? 1448 : 1 + below(100);
    while (bytes > 0) {
        uint32_t at = conversation->bytes[direction];
        uint32_t part = 1 + below(largest);
        if (part > bytes)
            part = bytes;
        if (part > STREAM_BYTES_MAX - at || conversation->packets > PACKETS_MAX - 16)
            return;
        for (uint32_t i = at; i < at + part; i++) {
            conversation->data[direction][i] = (uint8_t)random();
            conversation->needs[direction][i] = received[!direction] - 1;
        }
        conversation->bytes[direction] += part;
        send_packet(conversation, direction, TCP_ACK, at + 1, part, received);
        received[direction] = at + 1 + part;
        if (below(2))
            send_packet(conversation, !direction, TCP_ACK, received[!direction], 0, received);
        bytes -= part;
    }
}

static void converse(struct conversation *conversation)
{
    uint32_t received[2] = {1, 1}; /* next expected of each direction, relative */
    conversation->packets = 0;
    for (int direction = TO_SERVER; direction <= TO_CLIENT; direction++) {
        conversation->bytes[direction] = 0;
        conversation->start[direction] =
            below(2) ? (uint32_t)random() * 2 + below(2) : 0u - below(20000);
    }
    send_packet(conversation, TO_SERVER, TCP_SYN, 0, 0, received);
    send_packet(conversation, TO_CLIENT, TCP_SYN | TCP_ACK, 0, 0, received);
    send_packet(conversation, TO_SERVER, TCP_ACK, 1, 0, received);
    for (uint32_t i = 2 + below(20); i > 0; i--)
        send_message(conversation, i % 2 ? TO_CLIENT : TO_SERVER, received);
    enum direction first = below(2) ? TO_SERVER : TO_CLIENT;
    bool reset = below(4) == 0;
    if (reset) {
        send_packet(conversation, first, TCP_RST | TCP_ACK, received[first], 0, received);
        return;
    }
    for (int i = 0; i < 2; i++) {
        enum direction direction = i ? !first : first;
        send_packet(conversation, direction, TCP_FIN | TCP_ACK, received[direction], 0, received);
        received[direction]++;
    }
    send_packet(conversation, first, TCP_ACK, received[first], 0, received);
}

static int by_place(const void *one, const void *other)
{
    uint64_t a = ((const struct sent *)one)->place, b = ((const struct sent *)other)->place;
    return a < b ? -1 : a > b;
}

/* Repeats packets, whole or as an overlap of the stream around them, up to some places later. */
static void repeat(struct conversation *conversation, uint32_t percent, bool overlaps)
{
    for (int i = conversation->packets - 1; i >= 0; i--) {
        struct sent again = conversation->sent[i];
        if (conversation->packets == PACKETS_MAX || below(100) >= percent)
            continue;
        if (overlaps && again.bytes && below(2)) { /* more on the left, fewer on the right */
            uint32_t more = below(again.at), fewer = below(again.bytes);
            again.at -= more;
            again.bytes += more - fewer;
        }
        again.place += below(WINDOW * 2 * WINDOW);
        conversation->sent[conversation->packets++] = again;
    }
}

static void displace(struct conversation *conversation)
{
    for (int i = 0; i < conversation->packets; i++)
        conversation->sent[i].place += below(WINDOW * 2 * WINDOW);
}

static void lose(struct conversation *conversation, uint32_t percent, int first)
{
    int kept = first;
    for (int i = first; i < conversation->packets; i++)
        if (below(100) >= percent)
            conversation->sent[kept++] = conversation->sent[i];
    conversation->packets = kept;
}

struct treatment {
    const char *name;
    uint32_t repeat_percent, lose_percent;
    bool displaces, lose_handshake;
    bool overlaps; /* with loss the first sending is unknown then, and with it the order */
    uint64_t budget_bytes;
};

static void play(const struct conversation *conversation, const struct treatment *treatment,
                 struct sink *sink, struct counters *counters)
{
    struct limits limits = {.stream_gap_timeout_ms = GAP_MS,
                            .stream_buffer_bytes_max = 1 << 20};
    struct budget budget = {.limit_bytes = treatment->budget_bytes};
    struct reassembly reassembly = {&limits, &budget, counters, {sink, on_data, on_gap, on_close}};
    struct flow flow = {.first_ns = PACKET_NS};
    static uint8_t payload[STREAM_BYTES_MAX];
    uint64_t time_ns = PACKET_NS;
    for (int i = 0; i < conversation->packets; i++, time_ns += PACKET_NS) {
        const struct sent *sent = &conversation->sent[i];
        if (sent->bytes)
            memcpy(payload, conversation->data[sent->direction] + sent->at - 1, sent->bytes);
        struct datagram datagram = {
            .protocol = PROTO_TCP,
            .tcp_flags = sent->flags,
            .tcp_sequence = conversation->start[sent->direction] + sent->at,
            .tcp_acknowledgement = conversation->start[!sent->direction] + sent->acknowledgement,
            .payload = payload,
            .payload_bytes = sent->bytes,
            .payload_wire_bytes = sent->bytes};
        tcp_advance(&reassembly, &flow, time_ns);
        tcp_segment(&reassembly, &flow, sent->direction, &datagram, time_ns);
        memset(payload, 0xee, sent->bytes); /* whoever keeps a pointer to it will be found out */
    }
    tcp_finish(&reassembly, &flow, time_ns);
    CHECK(budget.used_bytes == 0);
}

static bool is_complete(const struct conversation *conversation, const struct sink *sink)
{
    for (int direction = TO_SERVER; direction <= TO_CLIENT; direction++)
        if (sink->at[direction] != conversation->bytes[direction] || !sink->closed[direction])
            return false;
    return true;
}

static void run(const struct treatment *treatment, long seed)
{
    static struct conversation conversation;
    struct sink sink = {.conversation = &conversation};
    struct counters counters = {0};
    srandom((unsigned)seed);
    converse(&conversation);
    sink.slack = treatment->lose_percent > 0 || treatment->budget_bytes < STREAM_BYTES_MAX;
    if (treatment->lose_handshake)
        sink.at[0] = sink.at[1] = UINT64_MAX;
    repeat(&conversation, treatment->repeat_percent, treatment->overlaps);
    if (treatment->displaces)
        displace(&conversation);
    if (treatment->lose_handshake) /* the first three that were sent are the first three here */
        memmove(conversation.sent, conversation.sent + 3,
                (size_t)(conversation.packets -= 3) * sizeof *conversation.sent);
    lose(&conversation, treatment->lose_percent, treatment->lose_handshake ? 0 : 3);
    qsort(conversation.sent, (size_t)conversation.packets, sizeof *conversation.sent, by_place);
    play(&conversation, treatment, &sink, &counters);

    uint64_t gap_bytes = sink.gap_bytes[0] + sink.gap_bytes[1];
    bool lossless = treatment->lose_percent == 0 && !treatment->lose_handshake &&
                    treatment->budget_bytes > STREAM_BYTES_MAX;
    bool right = !sink.wrong_byte && !sink.wrong_order && !sink.after_close && !sink.time_fell &&
                 gap_bytes == counters.value[COUNT_tcp_gap_bytes] &&
                 counters.value[COUNT_tcp_overlap_conflicts] == 0 &&
                 (!lossless || (gap_bytes == 0 && is_complete(&conversation, &sink)));
    /* a FIN that is lost together with the bytes before it counts as one of them */
    for (int direction = TO_SERVER; direction <= TO_CLIENT && !treatment->lose_handshake;
         direction++)
        right = right && sink.at[direction] <= conversation.bytes[direction] + sink.slack;
    CHECK(right);
    if (!right)
        fprintf(stderr,
                "  %s, seed %ld: byte %d order %d close %d time %d; at %llu/%u %llu/%u gaps %llu\n",
                treatment->name, seed, sink.wrong_byte, sink.wrong_order, sink.after_close,
                sink.time_fell, (unsigned long long)sink.at[0], conversation.bytes[0],
                (unsigned long long)sink.at[1], conversation.bytes[1],
                (unsigned long long)gap_bytes);
}

static const struct treatment treatments[] = {
    {"clean", 0, 0, false, false, false, 1 << 20},
    {"reordered", 0, 0, true, false, false, 1 << 20},
    {"repeated", 30, 0, false, false, true, 1 << 20},
    {"reordered and repeated", 30, 0, true, false, true, 1 << 20},
    {"lossy", 0, 5, false, false, false, 1 << 20},
    {"lossy, reordered and repeated", 30, 5, true, false, false, 1 << 20},
    {"mostly lost", 30, 60, true, false, false, 1 << 20},
    {"no handshake", 0, 0, false, true, false, 1 << 20},
    {"no handshake, lossy and reordered", 20, 5, true, true, false, 1 << 20},
    {"memory short", 10, 2, true, false, false, 4096},
};

static void count_data(void *context, struct flow *flow, enum direction direction,
                       const uint8_t *data, uint32_t bytes, uint64_t time_ns)
{
    (void)flow;
    struct sink *sink = context;
    note_time(sink, direction, time_ns);
    sink->wrong_byte |= bytes == 0 || data[0] != 0x55 || data[bytes - 1] != 0x55;
    sink->at[direction] += bytes;
}

/* Segments that no stack would send: any flags, numbers near each other and far, cut payloads. It
 * must come to an end, keep time in order, call nobody after close, and give all memory back. */
static void run_noise(long seed)
{
    static uint8_t payload[2048];
    struct sink sink = {0};
    struct counters counters = {0};
    srandom((unsigned)seed);
    struct limits limits = {.stream_gap_timeout_ms = GAP_MS,
                            .stream_buffer_bytes_max = 100u << below(14)};
    struct budget budget = {.limit_bytes = 100u << below(14)};
    struct reassembly reassembly = {&limits, &budget, &counters,
                                    {&sink, count_data, on_gap, on_close}};
    struct flow flow = {.first_ns = PACKET_NS};
    uint32_t start[2] = {0u - below(3000), (uint32_t)random()};
    uint64_t time_ns = PACKET_NS;
    memset(payload, 0x55, sizeof payload);
    for (uint32_t i = below(300); i > 0; i--) {
        enum direction direction = below(2) ? TO_SERVER : TO_CLIENT;
        struct datagram datagram = {
            .protocol = PROTO_TCP,
            .tcp_flags = (uint8_t)(below(4) ? TCP_ACK : below(256)),
            .tcp_sequence = below(40) ? start[direction] + below(4000) : (uint32_t)random() * 2,
            .tcp_acknowledgement =
                below(40) ? start[!direction] + below(4000) : (uint32_t)random() * 2,
            .payload = payload,
            .payload_wire_bytes = below(3) ? below(sizeof payload) : below(3)};
        datagram.payload_bytes = below(10) ? datagram.payload_wire_bytes
                                           : below(datagram.payload_wire_bytes + 1);
        tcp_segment(&reassembly, &flow, direction, &datagram, time_ns);
        if (below(4) == 0)
            tcp_advance(&reassembly, &flow, time_ns);
        time_ns += below(20) ? PACKET_NS : GAP_MS * 1000000;
    }
    tcp_finish(&reassembly, &flow, time_ns);
    CHECK(!sink.wrong_byte && !sink.after_close && !sink.time_fell);
    CHECK(sink.closed[TO_SERVER] && sink.closed[TO_CLIENT] && budget.used_bytes == 0);
}

int main(int argc, char **argv)
{
    long rounds = argc > 1 ? atol(argv[1]) : 300;
    for (size_t i = 0; i < sizeof treatments / sizeof *treatments; i++)
        for (long seed = 1; seed <= rounds; seed++)
            run(&treatments[i], seed);
    for (long seed = 1; seed <= 10 * rounds; seed++)
        run_noise(seed);
    return checks_report("stream_random");
}
