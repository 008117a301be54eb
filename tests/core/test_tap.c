/* links: process.c tap.c tapped.c ring.c endpoints.c speaker.c errorline.c flow.c flow_key.c stream.c hole.c sequence.c held.c protocol*.c framing.c libvirt.c authd.c nfc*.c vix*.c tls*.c http*.c choice.c pending.c interest.c interest_match.c needles.c objects.c operations.c soap.c body.c block.c tokens.c kept.c */
/* From records of a ring to flows: sessions, losses, who serves, and what no kernel program writes. */
#include "tap_rig.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "endpoints.h"

static void test_a_session(void)
{
    struct rig rig;
    set_up(&rig);
    struct talk server = talk_of(&rig, 0x1000, TAP_ROLE_SERVER);
    struct talk client = talk_of(&rig, 0x2000, TAP_ROLE_CLIENT);
    reads(&server, "ask");
    writes(&client, "ask");
    reads(&client, "answer");
    writes(&server, "answer");
    CHECK(came(&rig, " 1>ask 2>ask 2<answer 1<answer"));
    closes(&client, false);
    closes(&client, false); /* freed after it was shut down */
    reads(&server, "more");
    CHECK(came(&rig, " 2>| 2<| 2. 1>more"));
    closes(&server, true);
    CHECK(came(&rig, " 1>| 1<| 1."));
    CHECK(counted(&rig, COUNT_tap_flows) == 2 && counted(&rig, COUNT_flows) == 2);
    CHECK(counted(&rig, COUNT_tap_events) == 8 && counted(&rig, COUNT_tap_malformed) == 0);
    CHECK(counted(&rig, COUNT_tap_bytes) == 22 && counted(&rig, COUNT_tap_gaps) == 0);
    CHECK(counted(&rig, COUNT_tap_flows_unplaced) == 2);
    tear_down(&rig);
}

/* The same address in another process, in another life of it, or through another tap. */
static void test_identity(void)
{
    struct rig rig;
    set_up(&rig);
    struct talk one = talk_of(&rig, 0x1000, TAP_ROLE_SERVER), other = one, later = one, tap = one;
    other.event.pid++;
    later.event.generation++;
    tap.event.tap++;
    reads(&one, "a");
    reads(&other, "b");
    reads(&later, "c");
    reads(&tap, "d");
    reads(&one, "A");
    CHECK(came(&rig, " 1>a 2>b 3>c 4>d 1>A"));
    ends(&one, 0); /* the process of all but `other` */
    take_all(&rig);
    CHECK(counted(&rig, COUNT_flows_expired) == 2);
    reads(&other, "B");
    rig.logged = 0;
    CHECK(came(&rig, " 2>B"));
    tear_down(&rig);
}

static void test_losses(void)
{
    struct rig rig;
    set_up(&rig);
    struct talk talk = talk_of(&rig, 0x1000, TAP_ROLE_SERVER);
    talk.offset[TAP_READ] = 5;
    reads(&talk, "abc");
    talk.offset[TAP_READ] += 1ull << 40;
    reads(&talk, "def");
    writes(&talk, "x");
    talk.offset[TAP_WRITTEN] += 9;
    CHECK(came(&rig, " 1>(5) 1>abc 1>(1099511627776) 1>def 1<x"));
    closes(&talk, true);
    CHECK(came(&rig, " 1<(9) 1>| 1<| 1."));
    CHECK(counted(&rig, COUNT_tap_gaps) == 3);
    CHECK(counted(&rig, COUNT_tap_gap_bytes) == (1ull << 40) + 14);
    tear_down(&rig);
}

/* What was lost at the end is a gap, before the end or with it, and once. */
static void test_losses_at_the_end(void)
{
    struct rig rig;
    set_up(&rig);
    struct talk talk = talk_of(&rig, 0x1000, TAP_ROLE_SERVER);
    reads(&talk, "abc");
    talk.offset[TAP_READ] += 4;
    talk.offset[TAP_WRITTEN] += 2;
    sums_up(&talk, TAP_TOTALS);
    CHECK(came(&rig, " 1>abc 1<(2) 1>(4)"));
    sums_up(&talk, TAP_TOTALS);
    reads(&talk, "def");
    sums_up(&talk, TAP_TOTALS);
    CHECK(came(&rig, " 1>def"));
    talk.offset[TAP_READ] += 1;
    sums_up(&talk, TAP_TOTALS);
    ends(&talk, 0);
    CHECK(came(&rig, " 1>(1) 1>| 1<| 1."));
    CHECK(counted(&rig, COUNT_tap_gap_bytes) == 7);
    tear_down(&rig);
}

/* A session of which nothing came is a flow with a gap; one that lost nothing is none. */
static void test_a_session_that_was_lost(void)
{
    struct rig rig;
    set_up(&rig);
    struct talk lost = talk_of(&rig, 0x1000, TAP_ROLE_SERVER);
    lost.offset[TAP_READ] = 100;
    lost.offset[TAP_WRITTEN] = 5;
    lost.told[TAP_READ] = 60; /* before it was forgotten here */
    closes(&lost, true);
    CHECK(came(&rig, " 1<(5) 1>(40) 1>| 1<| 1."));
    struct talk silent = talk_of(&rig, 0x2000, TAP_ROLE_SERVER);
    closes(&silent, true);
    silent.offset[TAP_READ] = silent.told[TAP_READ] = 50;
    closes(&silent, true);
    sums_up(&silent, TAP_TOTALS);
    CHECK(came(&rig, ""));
    CHECK(counted(&rig, COUNT_tap_gap_bytes) == 45);
    CHECK(counted(&rig, COUNT_tap_flows) == 1);
    tear_down(&rig);
}

/* The end of a process may be told late, when its number is another's. */
static void test_an_end_that_was_told_late(void)
{
    struct rig rig;
    set_up(&rig);
    struct talk before = talk_of(&rig, 0x1000, TAP_ROLE_SERVER), after = before;
    after.event.generation = 8;
    reads(&before, "abc");
    reads(&after, "def");
    ends(&before, 7);
    CHECK(came(&rig, " 1>abc 2>def 1>| 1<| 1."));
    ends(&before, 8);
    CHECK(came(&rig, " 2>| 2<| 2."));
    tear_down(&rig);
}

/* Bytes come once, whatever counts a program writes. */
static void test_bytes_that_come_again(void)
{
    struct rig rig;
    set_up(&rig);
    struct talk talk = talk_of(&rig, 0x1000, TAP_ROLE_CLIENT);
    writes(&talk, "abcdef");
    talk.offset[TAP_WRITTEN] = 2;
    writes(&talk, "cd");
    writes(&talk, "efgh");
    CHECK(came(&rig, " 1>abcdef 1>gh"));
    tear_down(&rig);
}

/* Counted once, whatever is said of it first. */
static void test_a_beginning_that_was_not_seen(void)
{
    struct rig rig;
    set_up(&rig);
    struct talk whole = talk_of(&rig, 0x1000, TAP_ROLE_CLIENT);
    struct talk late = talk_of(&rig, 0x2000, TAP_ROLE_CLIENT);
    late.event.late = 1;
    reads(&whole, "a");
    reads(&late, "b");
    writes(&late, "c");
    CHECK(came(&rig, " 1<a 2<b 2>c"));
    CHECK(counted(&rig, COUNT_tap_flows_late) == 1);
    tear_down(&rig);
}

/* A flow that was idle ends; what its session says later is no loss, but what it lost since is. */
static void test_a_session_outlives_its_flow(void)
{
    struct rig rig;
    set_up(&rig);
    struct talk talk = talk_of(&rig, 0x1000, TAP_ROLE_SERVER);
    reads(&talk, "abc");
    take_all(&rig);
    flow_table_advance(rig.flows, rig.last->last_ns + 60000000000ull);
    CHECK(came(&rig, " 1>abc 1>| 1<| 1."));
    reads(&talk, "def");
    CHECK(came(&rig, " 2>def"));
    CHECK(counted(&rig, COUNT_tap_gaps) == 0);
    flow_table_flush(rig.flows, 0);
    talk.offset[TAP_READ] += 9;
    closes(&talk, true);
    CHECK(came(&rig, " 2>| 2<| 2. 3>(9) 3>| 3<| 3."));
    tear_down(&rig);
}

#define REQUEST "GET / HTTP/1.1\r\n\r\n"
#define RESPONSE "HTTP/1.1 200 OK\r\n"
#define BANNER "220 VMware Authentication Daemon Version 1.10"
#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

static void test_who_serves(void)
{
    static const struct {
        uint8_t direction;
        const char *said[2]; /* first, and then in the other direction */
        bool serves;
    } rows[] = {
        {TAP_READ, {REQUEST}, true},
        {TAP_WRITTEN, {REQUEST}, false},
        {TAP_READ, {RESPONSE}, false}, /* the tap came while a request was under way */
        {TAP_WRITTEN, {RESPONSE}, true},
        {TAP_READ, {BANNER}, false}, /* a server that speaks first */
        {TAP_WRITTEN, {BANNER}, true},
        {TAP_READ, {"RFB 003.008\n"}, false},
        {TAP_WRITTEN, {"\1"}, true}, /* libvirtd took the client's certificate */
        {TAP_READ, {PREFACE}, true},
        {TAP_READ, {"???"}, true}, /* no words that are known: who speaks first asks */
        {TAP_WRITTEN, {"???"}, false},
        {TAP_READ, {"???", REQUEST}, false}, /* until words are heard that are */
        {TAP_WRITTEN, {"???", RESPONSE}, false},
        {TAP_WRITTEN, {"???", REQUEST}, true},
        {TAP_READ, {REQUEST, REQUEST}, true}, /* by then it is decided */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig rig;
        set_up(&rig);
        struct talk talk = talk_of(&rig, 0x1000, TAP_ROLE_UNKNOWN);
        for (size_t part = 0; part < 2 && rows[i].said[part]; part++) {
            const char *said = rows[i].said[part];
            says(&talk, rows[i].direction ^ (part != 0), said, (uint32_t)strlen(said));
        }
        take_all(&rig);
        CHECK(rig.last && rig.last->tap->serves == rows[i].serves);
        tear_down(&rig);
    }
}

/* HTTP/2 settings may overtake the preface; a role that is learned late counts, too. */
static void test_roles_and_frames(void)
{
    static const char settings[] = "\0\0\6\4\0\0\0\0\0\0\3\0\0\0\x64";
    struct rig rig;
    set_up(&rig);
    struct talk talk = talk_of(&rig, 0x1000, TAP_ROLE_UNKNOWN);
    says(&talk, TAP_WRITTEN, settings, sizeof settings - 1);
    take_all(&rig);
    CHECK(rig.last->tap->serves);
    struct talk late = talk_of(&rig, 0x2000, TAP_ROLE_UNKNOWN);
    reads(&late, "???");
    late.event.role = TAP_ROLE_CLIENT;
    reads(&late, "!!!");
    rig.logged = 0;
    CHECK(came(&rig, " 2>??? 2? 2<!!!"));
    tear_down(&rig);
}

/* Once it is told who is who, that is not unsaid. */
static void test_a_flow_that_was_told_stays(void)
{
    struct rig rig;
    set_up(&rig);
    struct talk talk = talk_of(&rig, 0x1000, TAP_ROLE_UNKNOWN);
    reads(&talk, "???");
    take_all(&rig);
    rig.last->announced = true;
    writes(&talk, REQUEST);
    take_all(&rig);
    CHECK(rig.last->tap->serves);
    tear_down(&rig);
}

static void put_address(struct talk *talk, const struct tap_address *address)
{
    talk->event.kind = TAP_ADDRESS;
    talk->event.size = sizeof *address;
    put_event(talk->rig, &talk->event, address);
}

static struct tap_address address_of(uint16_t family, const char *local, const char *remote)
{
    struct tap_address address = {
        .local_port_be = htons(443), .remote_port_be = htons(5555), .family = family};
    inet_pton(family, local, address.local);
    inet_pton(family, remote, address.remote);
    return address;
}

static void test_addresses(void)
{
    struct rig rig;
    set_up(&rig);
    struct tap_address address = address_of(AF_INET, "10.0.0.1", "10.0.0.2");
    struct talk server = talk_of(&rig, 0x1000, TAP_ROLE_SERVER);
    put_address(&server, &address);
    reads(&server, "a");
    take_all(&rig);
    static const uint8_t here[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1};
    CHECK(rig.last->tap->placed && rig.last->port[TO_SERVER] == 443);
    CHECK(memcmp(rig.last->address[TO_SERVER], here, sizeof here) == 0);
    CHECK(rig.last->ip_version == 4 && rig.last->port[TO_CLIENT] == 5555);

    /* before any word: the first one says which end is whose */
    struct talk unknown = talk_of(&rig, 0x2000, TAP_ROLE_UNKNOWN);
    put_address(&unknown, &address);
    reads(&unknown, REQUEST);
    take_all(&rig);
    CHECK(rig.last->tap->serves && rig.last->port[TO_SERVER] == 443);

    struct tap_address six = address_of(AF_INET6, "2001:db8::1", "2001:db8::2");
    struct talk client = talk_of(&rig, 0x3000, TAP_ROLE_CLIENT);
    writes(&client, "a");
    put_address(&client, &six);
    writes(&client, "b");
    take_all(&rig);
    CHECK(rig.last->tap->placed && rig.last->ip_version == 6);
    CHECK(rig.last->port[TO_SERVER] == 5555 && rig.last->address[TO_SERVER][0] == 0x20);

    struct talk told = talk_of(&rig, 0x4000, TAP_ROLE_CLIENT);
    writes(&told, "a");
    take_all(&rig);
    rig.last->announced = true;
    put_address(&told, &six);
    take_all(&rig);
    CHECK(!rig.last->tap->placed);
    tear_down(&rig);
}

/* Both ends of a connection of our own; [0] accepted. */
static void connect_to_ourselves(int ends[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t bytes = sizeof address;
    int listening = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(bind(listening, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(listen(listening, 1) == 0);
    CHECK(getsockname(listening, (struct sockaddr *)&address, &bytes) == 0);
    ends[1] = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connect(ends[1], (struct sockaddr *)&address, sizeof address) == 0);
    ends[0] = accept(listening, NULL, NULL);
    close(listening);
}

static void test_endpoints(void)
{
    int ends[2], pair[2];
    struct endpoints accepted, connected;
    uint32_t self = (uint32_t)getpid();
    connect_to_ourselves(ends);
    CHECK(endpoints_of(self, ends[0], &accepted) && endpoints_of(self, ends[1], &connected));
    CHECK(accepted.local_port == connected.peer_port && accepted.local_port != 0);
    CHECK(accepted.peer_port == connected.local_port && accepted.ip_version == 4);
    CHECK(memcmp(accepted.local, connected.peer, ADDRESS_BYTES) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK(!endpoints_of(self, pair[0], &accepted));
    CHECK(!endpoints_of(self, 0, &accepted) && !endpoints_of(self, -1, &accepted));
    close(ends[1]);
    CHECK(!endpoints_of(self, ends[1], &accepted) && !endpoints_of(1u << 30, 3, &accepted));
    close(ends[0]);
    close(pair[0]);
    close(pair[1]);
}

/* A descriptor is looked up after the event was written; it must still be what it was. */
static void test_a_descriptor_in_other_hands(void)
{
    struct rig rig;
    int ends[2];
    set_up(&rig);
    connect_to_ourselves(ends);
    struct talk talk = talk_of(&rig, 0x1000, TAP_ROLE_SERVER);
    talk.event.pid = (uint32_t)getpid();
    talk.event.fd = ends[0];
    struct talk closed = talk, reused = talk, other = talk;
    closed.event.session = 0x2000;
    reused.event.session = 0x3000;
    other.event.session = 0x4000;
    reads(&talk, "a");
    take_all(&rig);
    CHECK(rig.last->tap->placed && rig.last->ip_version == 4);
    reads(&closed, "a");
    closes(&closed, false);
    take_all(&rig);
    CHECK(counted(&rig, COUNT_tap_flows_unplaced) == 1);
    reads(&reused, "a");
    reads(&other, "a");
    take_all(&rig);
    CHECK(rig.last->tap->placed); /* the later one */
    flow_table_flush(rig.flows, 0);
    CHECK(counted(&rig, COUNT_tap_flows_unplaced) == 2);
    close(ends[0]);
    close(ends[1]);
    tear_down(&rig);
}

static void test_secrets(void)
{
    struct rig rig;
    set_up(&rig);
    struct talk talk = talk_of(&rig, 0x1000, TAP_ROLE_UNKNOWN);
    talk.event.kind = TAP_SECRET;
    talk.event.size = 12;
    put_event(&rig, &talk.event, "CLIENT_RANDO");
    CHECK(came(&rig, ""));
    CHECK(strcmp(rig.secret, "CLIENT_RANDO") == 0 && counted(&rig, COUNT_tap_secrets) == 1);
    tear_down(&rig);
}

static void test_events_that_no_program_writes(void)
{
    struct rig rig;
    set_up(&rig);
    const struct tap_event good = {
        .session = 1, .pid = 1, .size = 4, .fd = -1, .kind = TAP_DATA, .role = TAP_ROLE_SERVER};
    struct tap_event bad[9];
    for (size_t i = 0; i < 9; i++)
        bad[i] = good;
    bad[0].size = 5; /* of which 4 are there */
    bad[1].size = UINT32_MAX;
    bad[2].kind = 0;
    bad[3].kind = TAP_TOTALS + 1;
    bad[4].direction = TAP_READ + 1;
    bad[5].role = TAP_ROLE_SERVER + 1;
    bad[6].offset = UINT64_MAX - 3;
    bad[7].kind = TAP_ADDRESS;
    bad[8].kind = TAP_TOTALS;
    for (size_t i = 0; i < 9; i++) {
        uint8_t record[sizeof good + 4] = {0};
        memcpy(record, &bad[i], sizeof good);
        put_record(&rig, record, sizeof record, 0);
    }
    for (uint32_t bytes = 0; bytes < sizeof good; bytes++)
        put_record(&rig, &good, bytes, 0);
    CHECK(came(&rig, ""));
    CHECK(counted(&rig, COUNT_tap_malformed) == 9 + sizeof good);
    CHECK(counted(&rig, COUNT_tap_flows) == 0);
    tear_down(&rig);
}

static void test_busy_and_discarded(void)
{
    struct rig rig;
    set_up(&rig);
    struct talk talk = talk_of(&rig, 0x1000, TAP_ROLE_SERVER);
    put_record(&rig, "", 0, BPF_RINGBUF_DISCARD_BIT);
    reads(&talk, "a");
    uint64_t at = *position(&rig, true);
    reads(&talk, "b");
    uint32_t head;
    memcpy(&head, byte_at(&rig, at), sizeof head);
    head |= BPF_RINGBUF_BUSY_BIT;
    memcpy(byte_at(&rig, at), &head, sizeof head);
    reads(&talk, "c");
    CHECK(came(&rig, " 1>a"));
    CHECK(*position(&rig, false) == at);
    head &= ~(uint32_t)BPF_RINGBUF_BUSY_BIT;
    memcpy(byte_at(&rig, at), &head, sizeof head);
    CHECK(came(&rig, " 1>b 1>c"));
    CHECK(*position(&rig, false) == *position(&rig, true));
    tear_down(&rig);
}

static void test_a_broken_ring(void)
{
    static const struct {
        uint64_t ahead; /* of the producer's position */
        uint32_t length;
    } rows[] = {{RING_BYTES + 8, 16}, {4, 16}, {16, 16}, {RING_BYTES, RING_BYTES}, {16, 1u << 29}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig rig;
        struct packet packet;
        set_up(&rig);
        memcpy(byte_at(&rig, 0), &rows[i].length, sizeof rows[i].length);
        *position(&rig, true) = rows[i].ahead;
        CHECK(rig.source->ops->next(rig.source, &packet, 0) == SOURCE_ERROR);
        CHECK(strcmp(rig.source->error, "tap: the ring is broken at position 0") == 0);
        tear_down(&rig);
    }
    char error[SOURCE_ERROR_BYTES];
    CHECK(!tap_open(-1, error));
    int pipes[2];
    CHECK(pipe(pipes) == 0 && !tap_open(pipes[0], error));
    CHECK(strncmp(error, "tap: cannot map the ring", 24) == 0);
    close(pipes[0]);
    close(pipes[1]);
}

static void test_times(void)
{
    struct rig rig;
    struct packet packet;
    struct timespec now;
    set_up(&rig);
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t before_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    CHECK(rig.source->ops->next(rig.source, &packet, 0) == SOURCE_IDLE);
    CHECK(packet.time_ns > before_ns - 1000000000 && packet.time_ns < before_ns + 1000000000);
    struct talk talk = talk_of(&rig, 0x1000, TAP_ROLE_SERVER);
    talk.event.time_ns = UINT64_MAX; /* not yet */
    reads(&talk, "a");
    CHECK(rig.source->ops->next(rig.source, &packet, 0) == SOURCE_PACKET);
    CHECK(packet.time_ns >= before_ns && packet.time_ns < before_ns + 1000000000);
    tapped_event(rig.tapped, &packet);
    talk.event.time_ns = 1; /* long ago: on_data checks that the flow's time does not fall */
    reads(&talk, "b");
    CHECK(came(&rig, " 1>a 1>b"));
    tear_down(&rig);
}

static void test_bounds(void)
{
    struct rig rig;
    set_up(&rig);
    for (uint64_t i = 1; i <= 1000; i++) {
        struct talk talk = talk_of(&rig, i << 12, TAP_ROLE_SERVER);
        reads(&talk, "a");
        take_all(&rig);
    }
    CHECK(counted(&rig, COUNT_tap_flows) == 1000);
    CHECK(counted(&rig, COUNT_flows_evicted) == 1000 - 64);
    /* nothing to be had */
    flow_table_flush(rig.flows, 0);
    rig.budget.limit_bytes = rig.budget.used_bytes;
    struct talk talk = talk_of(&rig, 1, TAP_ROLE_SERVER);
    reads(&talk, "a");
    take_all(&rig);
    CHECK(counted(&rig, COUNT_tap_flows_shed) == 1);
    rig.budget.limit_bytes = 1 << 22;
    tear_down(&rig);
}

/* Sessions at random, their words cut at random, some of them lost, through a ring that wraps: of
 * each direction what was not lost comes, in order, with what was lost between. */
static void test_random_talks(unsigned seed)
{
    enum { TALKS = 8, WORDS = 4000 };
    struct rig rig;
    struct talk talks[TALKS];
    uint64_t expected[2] = {0}, lost = 0;
    uint32_t state = seed;
    set_up(&rig);
    rig.quiet = true;
    for (uint32_t i = 0; i < TALKS; i++)
        talks[i] = talk_of(&rig, 0x1000 * (i + 1), i & 1 ? TAP_ROLE_SERVER : TAP_ROLE_CLIENT);
    for (int i = 0; i < WORDS; i++) {
        static char data[TAP_DATA_BYTES_MAX];
        state = state * 1664525 + 1013904223;
        struct talk *talk = &talks[state >> 8 & 7];
        uint8_t direction = state >> 11 & 1;
        uint32_t bytes = 1 + (state >> 12 & (state & 1 << 30 ? TAP_DATA_BYTES_MAX - 1 : 63));
        if ((state >> 26) % 8 == 0) {
            talk->offset[direction] += bytes;
            lost += bytes;
            continue;
        }
        if (room(&rig) < TAP_DATA_BYTES_MAX + 256)
            take_all(&rig);
        memset(data, 'a' + i % 26, bytes);
        says(talk, direction, data, bytes);
        expected[direction] += bytes;
    }
    for (uint32_t i = 0; i < TALKS; i++)
        closes(&talks[i], true);
    take_all(&rig);
    CHECK(counted(&rig, COUNT_tap_bytes) == expected[0] + expected[1]);
    CHECK(counted(&rig, COUNT_tap_gap_bytes) == lost);
    CHECK(counted(&rig, COUNT_tap_flows) == TALKS && counted(&rig, COUNT_tap_malformed) == 0);
    tear_down(&rig);
}

int main(void)
{
    test_a_session();
    test_identity();
    test_losses();
    test_losses_at_the_end();
    test_a_session_that_was_lost();
    test_an_end_that_was_told_late();
    test_bytes_that_come_again();
    test_a_beginning_that_was_not_seen();
    test_a_session_outlives_its_flow();
    test_who_serves();
    test_roles_and_frames();
    test_a_flow_that_was_told_stays();
    test_addresses();
    test_endpoints();
    test_a_descriptor_in_other_hands();
    test_secrets();
    test_events_that_no_program_writes();
    test_busy_and_discarded();
    test_a_broken_ring();
    test_times();
    test_bounds();
    for (unsigned seed = 1; seed <= 8; seed++)
        test_random_talks(seed);
    return checks_report("tap");
}
