/* links: stream.c hole.c sequence.c held.c */
#include "check.h"
#include "flow.h"

/* Each row is a conversation, packet by packet, and what the sink was told:
 *   >abc  bytes to the server      <abc  bytes to the client
 *   >(5)  a gap of five bytes      >.    the direction is over
 *   |     where the input ended and tcp_finish was called
 * Numbers are relative to the initial sequence numbers: the SYN is 0, the first byte 1. */

enum { STEPS_MAX = 14, LOG_BYTES = 512 };
enum { S = TCP_SYN, A = TCP_ACK, F = TCP_FIN, R = TCP_RST, SA = S | A, FA = F | A, RA = R | A };

static const uint64_t MS = 1000000;
static const uint64_t GAP_MS = 100;

struct step {
    char to; /* '>' or '<'; '@' only advances time; '!': from now on the flow is unread */
    unsigned flags;
    uint32_t sequence, acknowledgement;
    const char *text;
    uint32_t cut; /* bytes of the payload that the capture left out */
    uint64_t ms;  /* packet time; 0: as the step before */
};

struct row {
    const char *name;
    struct step step[STEPS_MAX];
    const char *log;
    uint32_t client_start, server_start; /* initial sequence numbers */
    uint64_t buffer_bytes, budget_bytes; /* 0: plenty */
    uint64_t retransmitted, conflicts, out_of_order, shed, unread;
};

/* Steps leave out what they do not need. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define HANDSHAKE {'>', S, 0, 0, "", 0, 1}, {'<', SA, 0, 1, "", 0, 0}, {'>', A, 1, 1, "", 0, 0}

static const struct row table[] = {
    {.name = "in order", .log = ">request<response>.<.|",
     .step = {HANDSHAKE, {'>', A, 1, 1, "request"}, {'<', A, 1, 8, "response"},
              {'>', FA, 8, 9, ""}, {'<', FA, 9, 9, ""}, {'>', A, 9, 10, ""}}},
    {.name = "idle to the end", .log = ">request|>.<.",
     .step = {HANDSHAKE, {'>', A, 1, 1, "request"}}},

    /* order */
    {.name = "reordered", .log = ">abcdef|>.<.", .out_of_order = 2,
     .step = {HANDSHAKE, {'>', A, 5, 1, "ef"}, {'>', A, 3, 1, "cd"}, {'>', A, 1, 1, "ab"}}},
    {.name = "handshake after data", .log = ">abcd|>.<.",
     .step = {{'>', A, 3, 1, "cd", 0, 1}, {'>', A, 1, 1, "ab"}, HANDSHAKE}},
    {.name = "SYN|ACK first", .log = ">ab<cd|>.<.",
     .step = {{'<', SA, 0, 1, "", 0, 1}, {'<', A, 1, 3, "cd"}, {'>', A, 1, 1, "ab"},
              {'>', S, 0, 0, ""}}},
    {.name = "FIN before its data", .log = ">ab>.|<.",
     .step = {HANDSHAKE, {'>', FA, 3, 1, ""}, {'>', A, 1, 1, "ab"}}},

    /* second copies */
    {.name = "retransmission", .log = ">abcd|>.<.", .retransmitted = 4,
     .step = {HANDSHAKE, {'>', A, 1, 1, "ab"}, {'>', A, 1, 1, "ab"}, {'>', A, 3, 1, "cd"},
              {'>', A, 3, 1, "cd"}}},
    {.name = "overlap of delivered bytes", .log = ">abcdef|>.<.", .retransmitted = 2,
     .step = {HANDSHAKE, {'>', A, 1, 1, "abcd"}, {'>', A, 3, 1, "XXef"}}},
    {.name = "one segment for two", .log = ">abcdef|>.<.", .retransmitted = 2,
     .step = {HANDSHAKE, {'>', A, 1, 1, "ab"}, {'>', A, 1, 1, "abcdef"}}},
    {.name = "held copy first wins", .log = ">abcdef|>.<.", .retransmitted = 2, .conflicts = 1,
     .out_of_order = 1,
     .step = {HANDSHAKE, {'>', A, 3, 1, "cd"}, {'>', A, 1, 1, "abXXef"}}},
    {.name = "overlap on the left of a held copy", .log = ">abcdef|>.<.", .retransmitted = 1,
     .out_of_order = 2, .step = {HANDSHAKE, {'>', A, 4, 1, "def"}, {'>', A, 2, 1, "bcd"},
                                 {'>', A, 1, 1, "a"}}},
    {.name = "overlap on the right of a held copy", .log = ">abcdef|>.<.", .retransmitted = 1,
     .conflicts = 1, .out_of_order = 2,
     .step = {HANDSHAKE, {'>', A, 2, 1, "bcd"}, {'>', A, 4, 1, "Xef"}, {'>', A, 1, 1, "a"}}},
    {.name = "between two held copies", .log = ">abcdefg|>.<.", .retransmitted = 4,
     .out_of_order = 3, .step = {HANDSHAKE, {'>', A, 2, 1, "bc"}, {'>', A, 6, 1, "fg"},
                                 {'>', A, 2, 1, "bcdefg"}, {'>', A, 1, 1, "a"}}},
    {.name = "inside a held copy", .log = ">abcdef|>.<.", .retransmitted = 2, .out_of_order = 2,
     .step = {HANDSHAKE, {'>', A, 2, 1, "bcdef"}, {'>', A, 3, 1, "cd"}, {'>', A, 1, 1, "a"}}},
    {.name = "over a held copy", .log = ">abcdef|>.<.", .retransmitted = 2, .conflicts = 1,
     .out_of_order = 2,
     .step = {HANDSHAKE, {'>', A, 3, 1, "cd"}, {'>', A, 2, 1, "bXXef"}, {'>', A, 1, 1, "a"}}},

    /* unread: followed, not told; what was not captured is no gap, what never came is one */
    {.name = "unread", .log = ">ab<.>.|", .unread = 9,
     .step = {HANDSHAKE, {'>', A, 1, 1, "ab"}, {'!'}, {'>', A, 3, 1, "cdef", 4},
              {'>', A, 7, 1, "gh"}, {'<', A, 1, 9, "xyz", 3}, {'<', FA, 4, 9, ""},
              {'>', FA, 9, 5, ""}}},
    {.name = "unread, reordered", .log = ">ab|>.<.", .unread = 8, .out_of_order = 2,
     .step = {HANDSHAKE, {'>', A, 1, 1, "ab"}, {'!'}, {'>', A, 7, 1, "ghij", 4},
              {'>', A, 5, 1, "ef", 2}, {'>', A, 3, 1, "cd"}}},
    {.name = "unread, again", .log = ">ab|>.<.", .unread = 4, .retransmitted = 6,
     .step = {HANDSHAKE, {'>', A, 1, 1, "ab"}, {'!'}, {'>', A, 3, 1, "cdef", 4},
              {'>', A, 3, 1, "cdef"}, {'>', A, 1, 1, "ab"}}},
    {.name = "unread, lost", .log = ">ab|>(2)>.<.", .unread = 2, .out_of_order = 1,
     .step = {HANDSHAKE, {'>', A, 1, 1, "ab"}, {'!'}, {'>', A, 5, 1, "ef", 2}}},
    {.name = "cut and read", .log = ">ab(2)ef|>.<.",
     .step = {HANDSHAKE, {'>', A, 1, 1, "abcd", 2}, {'>', A, 5, 1, "ef"}}},

    /* keep-alive */
    {.name = "keep-alive of no byte", .log = ">ab|>.<.",
     .step = {HANDSHAKE, {'>', A, 1, 1, "ab"}, {'>', A, 2, 1, ""}, {'<', A, 1, 3, ""}}},
    {.name = "keep-alive of one byte", .log = ">abc|>.<.",
     .step = {HANDSHAKE, {'>', A, 1, 1, "ab"}, {'>', A, 2, 1, "X"}, {'>', A, 3, 1, "c"}}},

    /* sequence numbers wrap */
    {.name = "wrap within a segment", .log = ">abcdef|>.<.", .client_start = 0xfffffffdu,
     .step = {HANDSHAKE, {'>', A, 1, 1, "abcd"}, {'>', A, 5, 1, "ef"}}},
    {.name = "wrap reordered", .log = ">abcdef<xy>.|<.", .client_start = 0xfffffffdu,
     .server_start = 0xffffffffu, .out_of_order = 2,
     .step = {HANDSHAKE, {'>', A, 5, 1, "ef"}, {'<', A, 1, 7, "xy"}, {'>', A, 3, 1, "cd"},
              {'>', A, 1, 1, "ab"}, {'>', FA, 7, 3, ""}}},
    {.name = "FIN at the wrap", .log = ">ab>.|<.", .client_start = 0xfffffffdu,
     .step = {HANDSHAKE, {'>', FA, 1, 1, "ab"}}},
    {.name = "old acknowledgement", .log = ">ab<xy>c|>.<.",
     .step = {HANDSHAKE, {'>', A, 1, 1, "ab"}, {'<', A, 1, 3, "xy"},
              {'>', A, 3, 0x80000010u, "c"}}},
    {.name = "other connection's numbers", .log = ">abcd|>.<.",
     .step = {HANDSHAKE, {'>', A, 1, 1, "ab"}, {'>', A, 0x60000000u, 1, "XX"},
              {'>', A, 0xa0000000u, 1, "XX"}, {'>', A, 3, 1, "cd"}}},

    /* how it begins */
    {.name = "SYN with data", .log = ">abcd|>.<.",
     .step = {{'>', S, 0, 0, "ab", 0, 1}, {'<', SA, 0, 3, ""}, {'>', A, 3, 1, "cd"}}},
    {.name = "SYN data refused and sent again", .log = ">abcd|>.<.", .retransmitted = 2,
     .step = {{'>', S, 0, 0, "ab", 0, 1}, {'<', SA, 0, 1, ""}, {'>', A, 1, 1, "ab"},
              {'>', A, 3, 1, "cd"}}},
    {.name = "SYN|ACK with data", .log = "<hi>ab|>.<.",
     .step = {{'>', S, 0, 0, "", 0, 1}, {'<', SA, 0, 1, "hi"}, {'>', A, 1, 3, "ab"}}},
    {.name = "SYN sent again", .log = ">ab|>.<.",
     .step = {{'>', S, 0, 0, "", 0, 1}, {'>', S, 0, 0, "", 0, 1}, {'<', SA, 0, 1, ""},
              {'<', SA, 0, 1, ""}, {'>', A, 1, 1, "ab"}, {'>', S, 0, 0, ""}}},
    {.name = "second answer with another number", .log = "<ab|>.<.",
     .step = {{'>', S, 0, 0, "", 0, 1}, {'<', SA, 5000, 1, ""}, {'<', SA, 0, 1, ""},
              {'<', A, 1, 1, "ab"}}},
    {.name = "SYN of another connection", .log = ">abcd|>.<.",
     .step = {HANDSHAKE, {'>', A, 1, 1, "ab"}, {'>', S, 5000, 1, "XX"}, {'>', A, 3, 1, "cd"}}},
    {.name = "SYN that nobody answered", .log = "|>abcd>.<.",
     .step = {{'>', S, 0x50000000u, 0, "", 0, 1}, {'>', A, 1, 1, "ab"}, {'>', A, 3, 1, "cd"}}},
    {.name = "met in the middle", .log = ">abcd<xy>ef|>.<.",
     .step = {{'>', A, 701, 901, "ab", 0, 1}, {'>', A, 703, 901, "cd"},
              {'<', A, 901, 705, "xy"}, {'@', .ms = 1 + 100}, {'>', A, 705, 903, "ef"}}},
    {.name = "met in the middle, response first", .log = "|>abcd<xy>.<.",
     .step = {{'<', A, 901, 705, "xy", 0, 1}, {'>', A, 703, 901, "cd"},
              {'>', A, 701, 901, "ab"}}},
    {.name = "met in the middle by a keep-alive", .log = ">ab|>.<.",
     .step = {{'>', A, 700, 901, "X", 0, 1}, {'<', A, 901, 701, ""}, {'@', .ms = 150},
              {'>', A, 701, 901, "ab"}}},
    {.name = "met in the middle, first data late", .log = ">ab<xy|>.<.",
     .step = {{'>', A, 701, 901, "", 0, 1}, {'<', A, 901, 701, ""},
              {'>', A, 701, 901, "ab", 0, 150}, {'<', A, 901, 703, "xy"}}},
    {.name = "met in the middle, first data lost", .log = ">(2)cd|>.<.", .out_of_order = 1,
     .step = {{'<', A, 901, 701, "", 0, 1}, {'>', A, 703, 901, "cd", 0, 200},
              {'@', .ms = 301}}},

    /* how it ends */
    {.name = "FIN with payload", .log = ">ab>.<xy<.|",
     .step = {HANDSHAKE, {'>', FA, 1, 1, "ab"}, {'<', FA, 1, 4, "xy"}, {'>', A, 4, 4, ""}}},
    {.name = "FIN sent again", .log = ">ab>.<xy<.|",
     .step = {HANDSHAKE, {'>', FA, 1, 1, "ab"}, {'>', FA, 1, 1, "ab"}, {'<', A, 1, 4, "xy"},
              {'>', FA, 3, 3, ""}, {'<', FA, 3, 4, ""}}},
    {.name = "data behind the FIN", .log = ">ab>.|<.",
     .step = {HANDSHAKE, {'>', FA, 1, 1, "ab"}, {'>', A, 3, 1, "XX"}, {'>', A, 4, 1, "XX"}}},
    {.name = "data behind a FIN that waits", .log = ">abcd>.|<.", .out_of_order = 1,
     .step = {HANDSHAKE, {'>', FA, 3, 1, "cd"}, {'>', A, 1, 1, "abcdXX"}}},
    {.name = "response after the client's FIN", .log = ">ab>.<xyz|<.",
     .step = {HANDSHAKE, {'>', FA, 1, 1, "ab"}, {'<', A, 1, 4, "xy"}, {'>', A, 4, 3, ""},
              {'<', A, 3, 4, "z"}}},
    {.name = "RST", .log = ">ab>.<.|",
     .step = {HANDSHAKE, {'>', A, 1, 1, "ab"}, {'>', R, 3, 0, ""}, {'@', .ms = 101},
              {'<', A, 1, 3, "XX"}}},
    {.name = "RST overtakes", .log = ">ab<xy>.<.|",
     .step = {HANDSHAKE, {'>', A, 1, 1, "ab"}, {'>', R, 3, 0, ""}, {'<', A, 1, 3, "xy"},
              {'@', .ms = 101}}},
    {.name = "RST that nobody sent", .log = ">abcd<xy>ef|>.<.",
     .step = {HANDSHAKE, {'>', A, 1, 1, "ab"}, {'>', R, 3, 0, ""}, {'>', A, 3, 1, "cd"},
              {'@', .ms = 101}, {'<', A, 1, 5, "xy"}, {'>', A, 5, 3, "ef"}}},
    {.name = "RST refuses", .log = ">.<.|",
     .step = {{'>', S, 0, 0, "", 0, 1}, {'<', RA, 0x12345678u, 1, ""}}},
    {.name = "RST before its data", .log = ">ab>.<.|",
     .step = {HANDSHAKE, {'>', RA, 3, 1, ""}, {'>', A, 1, 1, "ab"}, {'@', .ms = 101}}},
    {.name = "RST before the response it acknowledges", .log = ">ab<xy>.<.|",
     .step = {HANDSHAKE, {'>', A, 1, 1, "ab"}, {'>', RA, 3, 3, ""}, {'<', A, 1, 3, "xy"},
              {'@', .ms = 101}}},
    {.name = "RST whose data never came", .log = ">(2)>.<.|",
     .step = {HANDSHAKE, {'>', RA, 3, 1, ""}, {'@', .ms = 101}}},
    {.name = "RST that the stream passes", .log = ">abcdef|>.<.",
     .step = {HANDSHAKE, {'>', RA, 3, 1, ""}, {'>', A, 1, 1, "abcd"}, {'>', A, 5, 1, "ef"}}},
    {.name = "RST out of window", .log = ">abcd|>.<.",
     .step = {HANDSHAKE, {'>', A, 1, 1, "ab"}, {'>', R, 2, 0, ""}, {'>', R, 0x7000000u, 0, ""},
              {'>', A, 3, 1, "cd"}}},
    {.name = "RST after FIN", .log = ">ab>.<.|",
     .step = {HANDSHAKE, {'>', FA, 1, 1, "ab"}, {'>', R, 4, 0, ""}, {'@', .ms = 101},
              {'<', A, 1, 4, "XX"}}},
    {.name = "RST waits for a hole of the other side", .log = ">ab(2)ef>.<.|", .out_of_order = 1,
     .step = {HANDSHAKE, {'>', A, 1, 1, "ab"}, {'>', A, 5, 1, "ef"}, {'<', R, 1, 0, ""},
              {'@', .ms = 101}}},

    /* holes */
    {.name = "hole too old", .log = ">ab(2)ef|>.<.", .out_of_order = 1,
     .step = {HANDSHAKE, {'>', A, 1, 1, "ab"}, {'>', A, 5, 1, "ef"}, {'@', .ms = 100},
              {'@', .ms = 101}}},
    {.name = "hole not yet old", .log = ">ab|>(2)ef>.<.", .out_of_order = 1,
     .step = {HANDSHAKE, {'>', A, 1, 1, "ab"}, {'>', A, 5, 1, "ef"}, {'@', .ms = 100}}},
    {.name = "hole filled late", .log = ">ab(2)ef|>.<.", .out_of_order = 1, .retransmitted = 2,
     .step = {HANDSHAKE, {'>', A, 1, 1, "ab"}, {'>', A, 5, 1, "ef"}, {'@', .ms = 101},
              {'>', A, 3, 1, "cd"}}},
    {.name = "two holes, each with its own age", .log = ">(2)cd|>(2)gh>.<.", .out_of_order = 2,
     .step = {HANDSHAKE, {'>', A, 3, 1, "cd"}, {'>', A, 7, 1, "gh", 0, 50}, {'@', .ms = 101},
              {'@', .ms = 149}}},
    {.name = "hole before the FIN", .log = ">ab(2)>.|<.",
     .step = {HANDSHAKE, {'>', A, 1, 1, "ab"}, {'>', FA, 5, 1, ""}, {'@', .ms = 101}}},
    {.name = "end of the response lost", .log = ">ab<xy(2)|>.<.",
     .step = {HANDSHAKE, {'>', A, 1, 1, "ab"}, {'<', A, 1, 3, "xy"}, {'>', A, 3, 5, ""},
              {'@', .ms = 101}}},
    {.name = "FIN not captured", .log = ">ab<xy|>.<.",
     .step = {HANDSHAKE, {'>', A, 1, 1, "ab"}, {'<', A, 1, 4, "xy"}, {'@', .ms = 101}}},
    {.name = "one byte lost, not a FIN", .log = ">ab<xy>(1)cd|>.<.", .out_of_order = 1,
     .step = {HANDSHAKE, {'>', A, 1, 1, "ab"}, {'<', A, 1, 4, "xy"}, {'@', .ms = 101},
              {'>', A, 4, 3, "cd"}, {'@', .ms = 202}}},
    {.name = "payload cut by the capture", .log = ">ab(3)fg|>.<.",
     .step = {HANDSHAKE, {'>', A, 1, 1, "abcde", 3}, {'>', A, 6, 1, "fg"}}},
    {.name = "payload not captured", .log = ">(2)cd|>.<.",
     .step = {HANDSHAKE, {'>', A, 1, 1, "ab", 2}, {'>', A, 3, 1, "cd"}}},
    {.name = "held payload cut by the capture", .log = ">abc(2)fg|>.<.", .out_of_order = 2,
     .step = {HANDSHAKE, {'>', A, 6, 1, "fg"}, {'>', A, 3, 1, "cde", 2}, {'>', A, 1, 1, "ab"}}},
    {.name = "FIN behind a cut payload", .log = ">a(1)>.|<.",
     .step = {HANDSHAKE, {'>', FA, 1, 1, "ab", 1}}},

    /* what the other side had received */
    {.name = "response overtakes", .log = ">ab<xy|>.<.",
     .step = {HANDSHAKE, {'<', A, 1, 3, "xy"}, {'>', A, 1, 1, "ab"}}},
    {.name = "response overtakes half of the request", .log = ">abcd<xy|>.<.",
     .step = {HANDSHAKE, {'>', A, 1, 1, "ab"}, {'<', A, 1, 5, "xy"}, {'>', A, 3, 1, "cd"}}},
    {.name = "three messages backwards", .log = ">ab<xy>cd|>.<.", .out_of_order = 1,
     .step = {HANDSHAKE, {'>', A, 3, 3, "cd"}, {'<', A, 1, 3, "xy"}, {'>', A, 1, 1, "ab"}}},
    {.name = "request lost", .log = ">(2)<xy|>.<.",
     .step = {HANDSHAKE, {'<', A, 1, 3, "xy"}, {'@', .ms = 101}}},
    {.name = "request half lost", .log = ">(2)cd<xy|>.<.", .out_of_order = 1,
     .step = {HANDSHAKE, {'<', A, 1, 5, "xy"}, {'>', A, 3, 1, "cd"}, {'@', .ms = 101}}},
    {.name = "FIN overtakes the request", .log = ">ab<.|>.",
     .step = {HANDSHAKE, {'<', FA, 1, 3, ""}, {'>', A, 1, 1, "ab"}}},
    {.name = "other direction never captured", .log = ">(2)<xy>(3)<z|>.<.",
     .step = {{'<', SA, 0, 1, "", 0, 1}, {'<', A, 1, 3, "xy"}, {'@', .ms = 102},
              {'<', A, 3, 6, "z"}}},
    {.name = "other direction never captured, no SYN", .log = "<xyz|>.<.",
     .step = {{'<', A, 901, 701, "xy", 0, 1}, {'@', .ms = 101}, {'<', A, 903, 711, "z"}}},
    {.name = "acknowledgement of what comes later", .log = ">ab<xy|>.<.",
     .step = {HANDSHAKE, {'<', A, 1, 3, ""}, {'>', A, 1, 1, "ab"}, {'<', A, 1, 3, "xy"}}},
    {.name = "each waits for the other", .log = ">(2)<xy>cd<z|>.<.", .out_of_order = 2,
     .step = {HANDSHAKE, {'<', A, 1, 3, "xy"}, {'>', A, 3, 4, "cd"}, {'<', A, 3, 5, "z"},
              {'@', .ms = 301}, {'@', .ms = 601}}},

    /* bounds */
    {.name = "buffer full", .log = ">(2)cdefgh|>.<.", .buffer_bytes = 104, .out_of_order = 3,
     .shed = 2,
     .step = {HANDSHAKE, {'>', A, 3, 1, "cd"}, {'>', A, 5, 1, "ef"}, {'>', A, 7, 1, "gh"}}},
    {.name = "segment larger than the buffer", .log = ">(2)cd|>.<.", .buffer_bytes = 4,
     .out_of_order = 1, .shed = 2, .step = {HANDSHAKE, {'>', A, 3, 1, "cd"}}},
    {.name = "response larger than the buffer", .log = ">(2)<xy|>.<.", .buffer_bytes = 4,
     .shed = 2, .step = {HANDSHAKE, {'<', A, 1, 3, "xy"}, {'>', A, 1, 1, "ab"}},
     .retransmitted = 2},
    {.name = "memory short", .log = ">(2)cd(2)gh|>.<.", .budget_bytes = 8, .out_of_order = 2,
     .shed = 4, .step = {HANDSHAKE, {'>', A, 3, 1, "cd"}, {'>', A, 7, 1, "gh"}}},
    {.name = "memory short, met in the middle", .log = ">cd<xy|>.<.", .budget_bytes = 8,
     .step = {{'>', A, 3, 1, "cd", 0, 1}, {'<', A, 1, 5, "xy"}}},
};

struct bench {
    struct limits limits;
    struct budget budget;
    struct counters counters;
    struct reassembly reassembly;
    struct flow flow;
    char log[LOG_BYTES];
    char open; /* direction of the data at the end of the log; 0: none */
    uint64_t last_ns;
};

static void append(struct bench *bench, const char *text, size_t bytes)
{
    size_t used = strlen(bench->log);
    if (bytes < sizeof bench->log - used)
        memcpy(bench->log + used, text, bytes);
}

static void append_direction(struct bench *bench, enum direction direction)
{
    append(bench, direction == TO_SERVER ? ">" : "<", 1);
}

static void note_time(struct bench *bench, uint64_t time_ns)
{
    CHECK(time_ns >= bench->last_ns);
    bench->last_ns = time_ns;
}

static void on_data(void *context, struct flow *flow, enum direction direction,
                    const uint8_t *data, uint32_t bytes, uint64_t time_ns)
{
    struct bench *bench = context;
    char to = direction == TO_SERVER ? '>' : '<';
    CHECK(bytes > 0 && flow == &bench->flow);
    note_time(bench, time_ns);
    if (bench->open != to)
        append(bench, &to, 1);
    append(bench, (const char *)data, bytes);
    bench->open = to;
}

static void on_gap(void *context, struct flow *flow, enum direction direction, uint64_t bytes,
                   uint64_t time_ns)
{
    struct bench *bench = context;
    char text[24], to = direction == TO_SERVER ? '>' : '<';
    CHECK(bytes > 0 && flow == &bench->flow);
    note_time(bench, time_ns);
    if (bench->open != to)
        append(bench, &to, 1);
    append(bench, text, (size_t)snprintf(text, sizeof text, "(%llu)", (unsigned long long)bytes));
    bench->open = to;
}

static void on_close(void *context, struct flow *flow, enum direction direction, uint64_t time_ns)
{
    struct bench *bench = context;
    CHECK(flow == &bench->flow);
    note_time(bench, time_ns);
    append_direction(bench, direction);
    append(bench, ".", 1);
    bench->open = 0;
}

static void set_up(struct bench *bench, const struct row *row)
{
    memset(bench, 0, sizeof *bench);
    bench->limits.stream_gap_timeout_ms = GAP_MS;
    bench->limits.stream_buffer_bytes_max = row->buffer_bytes ? row->buffer_bytes : 1 << 20;
    bench->budget.limit_bytes = row->budget_bytes ? row->budget_bytes : 1 << 20;
    bench->reassembly = (struct reassembly){&bench->limits, &bench->budget, &bench->counters,
                                            {bench, on_data, on_gap, on_close}};
}

static void take(struct bench *bench, const struct row *row, const struct step *step,
                 uint64_t time_ns)
{
    enum direction direction = step->to == '>' ? TO_SERVER : TO_CLIENT;
    uint32_t start[2] = {row->client_start, row->server_start};
    uint32_t wire = (uint32_t)strlen(step->text), captured = wire - step->cut;
    struct datagram datagram = {
        .protocol = PROTO_TCP,
        .tcp_flags = (uint8_t)step->flags,
        .tcp_sequence = start[direction] + step->sequence,
        .tcp_acknowledgement = start[!direction] + step->acknowledgement,
        .payload = guarded(step->text, captured),
        .payload_bytes = captured,
        .payload_wire_bytes = wire,
    };
    if (!bench->flow.first_ns)
        bench->flow.first_ns = time_ns;
    tcp_segment(&bench->reassembly, &bench->flow, direction, &datagram, time_ns);
}

static void run_row(const struct row *row)
{
    struct bench bench;
    uint64_t time_ns = MS;
    const uint64_t *value = bench.counters.value;
    set_up(&bench, row);
    for (int i = 0; i < STEPS_MAX && row->step[i].to; i++) {
        const struct step *step = &row->step[i];
        if (step->ms)
            time_ns = step->ms * MS;
        if (step->to == '!')
            bench.flow.unread = true;
        else if (step->to == '@')
            tcp_advance(&bench.reassembly, &bench.flow, time_ns);
        else
            take(&bench, row, step, time_ns);
    }
    append(&bench, "|", 1);
    bench.open = 0;
    tcp_finish(&bench.reassembly, &bench.flow, time_ns);
    bool log_is_right = strcmp(bench.log, row->log) == 0;
    CHECK(log_is_right);
    if (!log_is_right)
        fprintf(stderr, "  row %s\n    wanted %s\n    got    %s\n", row->name, row->log, bench.log);
    CHECK(value[COUNT_tcp_retransmitted_bytes] == row->retransmitted);
    CHECK(value[COUNT_tcp_overlap_conflicts] == row->conflicts);
    CHECK(value[COUNT_tcp_out_of_order] == row->out_of_order);
    CHECK(value[COUNT_tcp_buffer_shed_bytes] == row->shed);
    CHECK(value[COUNT_tcp_unread_bytes] == row->unread);
    if (value[COUNT_tcp_retransmitted_bytes] != row->retransmitted ||
        value[COUNT_tcp_overlap_conflicts] != row->conflicts ||
        value[COUNT_tcp_out_of_order] != row->out_of_order ||
        value[COUNT_tcp_buffer_shed_bytes] != row->shed)
        fprintf(stderr, "  row %s\n", row->name);
    CHECK(bench.budget.used_bytes == 0);
    CHECK(bench.flow.tcp.stream[TO_SERVER].closed && bench.flow.tcp.stream[TO_CLIENT].closed);
}

/* Bytes that were held keep the time of their packet. */
static void test_times(void)
{
    static const struct row row = {.name = "times"};
    static const struct step steps[] = {HANDSHAKE};
    struct bench bench;
    set_up(&bench, &row);
    for (int i = 0; i < 3; i++)
        take(&bench, &row, &steps[i], MS);
    struct step response = {'<', A, 1, 3, "xy", 0, 0}, request = {'>', A, 1, 1, "ab", 0, 0};
    take(&bench, &row, &response, 5 * MS);
    CHECK(bench.last_ns == 0);
    take(&bench, &row, &request, 4 * MS); /* the file is not sorted */
    CHECK(bench.last_ns == 5 * MS);
    struct step late = {'>', A, 5, 3, "ef", 0, 0}, later = {'>', A, 3, 3, "cd", 0, 0};
    take(&bench, &row, &late, 6 * MS);
    take(&bench, &row, &later, 7 * MS);
    CHECK(bench.last_ns == 7 * MS); /* not back to 6 */
    struct step beyond = {'>', A, 9, 3, "ij", 0, 0};
    take(&bench, &row, &beyond, 8 * MS);
    CHECK(tcp_advance(&bench.reassembly, &bench.flow, 107 * MS));
    CHECK(!tcp_advance(&bench.reassembly, &bench.flow, 5000 * MS));
    CHECK(bench.last_ns == 8 * MS); /* the gap was noticed then, the bytes came then */
    tcp_finish(&bench.reassembly, &bench.flow, 5000 * MS);
}

/* A capture with no times at all loses nothing. */
static void test_time_zero(void)
{
    static const struct row row = {.name = "time 0"};
    static const struct step steps[] = {HANDSHAKE, {'>', A, 3, 1, "cd", 0, 0}};
    struct bench bench;
    set_up(&bench, &row);
    for (int i = 0; i < 4; i++)
        take(&bench, &row, &steps[i], 0);
    tcp_finish(&bench.reassembly, &bench.flow, 0);
    CHECK(strcmp(bench.log, ">(2)cd>.<.") == 0);
}

/* After an outage in which more than a window went by, the stream goes on where it is. */
static void test_outage(void)
{
    static const struct row row = {.name = "outage"};
    static const struct step steps[] = {HANDSHAKE, {'>', A, 1, 1, "ab", 0, 0}};
    struct bench bench;
    set_up(&bench, &row);
    for (int i = 0; i < 4; i++)
        take(&bench, &row, &steps[i], MS);
    struct step after = {'>', A, 0x50000003u, 1, "cd", 0, 0};
    take(&bench, &row, &after, 50 * MS);
    CHECK(strcmp(bench.log, ">ab") == 0);
    take(&bench, &row, &after, 101 * MS);
    CHECK(strcmp(bench.log, ">ab(1342177280)cd") == 0);
    tcp_finish(&bench.reassembly, &bench.flow, 101 * MS);
}

int main(void)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        run_row(&table[i]);
    test_times();
    test_time_zero();
    test_outage();
    return checks_report("stream");
}
