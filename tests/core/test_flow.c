/* links: flow.c flow_key.c stream.c hole.c sequence.c held.c */
#include "flow_bench.h"

struct who {
    const char *name;
    uint8_t protocol;
    unsigned flags;
    uint16_t from_port, to_port;
    enum direction direction;
};

static void test_who_is_the_server(void)
{
    static const struct who table[] = {
        {"SYN", PROTO_TCP, S, 443, 40000, TO_SERVER},
        {"SYN|ACK", PROTO_TCP, SA, 40000, 443, TO_CLIENT},
        {"to the lower port", PROTO_TCP, A, 40000, 443, TO_SERVER},
        {"from the lower port", PROTO_TCP, A, 443, 40000, TO_CLIENT},
        {"equal ports", PROTO_TCP, A, 500, 500, TO_SERVER},
        {"UDP to the lower port", PROTO_UDP, 0, 40000, 53, TO_SERVER},
        {"UDP from the lower port", PROTO_UDP, 0, 53, 40000, TO_CLIENT},
        {"ICMP", PROTO_ICMP, 0, 0, 8, TO_SERVER},
        {"GRE", 47, 0, 0, 0, TO_SERVER},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct bench bench;
        set_up(&bench);
        struct datagram datagram = datagram_of(table[i].protocol, 7, table[i].from_port, 8,
                                               table[i].to_port);
        datagram.tcp_flags = (uint8_t)table[i].flags;
        const struct flow *flow = see(&bench, &datagram);
        bool to_server = table[i].direction == TO_SERVER;
        CHECK(bench.direction == table[i].direction);
        CHECK(flow->address[TO_SERVER][15] == (to_server ? 8 : 7));
        CHECK(flow->address[TO_CLIENT][15] == (to_server ? 7 : 8));
        CHECK(flow->port[TO_SERVER] == (to_server ? table[i].to_port : table[i].from_port));
        CHECK(flow->port[TO_CLIENT] == (to_server ? table[i].from_port : table[i].to_port));
        tear_down(&bench);
    }
}

static void test_both_directions(void)
{
    struct bench bench;
    set_up(&bench);
    const struct flow *flow = connect_at(&bench, 100, 200);
    CHECK(tcp(&bench, CLIENT, A, 101, 201, "ab") == flow && bench.direction == TO_SERVER);
    CHECK(tcp(&bench, SERVER, A, 201, 103, "xyz") == flow && bench.direction == TO_CLIENT);
    CHECK(flow->packets[TO_SERVER] == 3 && flow->packets[TO_CLIENT] == 2);
    CHECK(flow->bytes[TO_SERVER] == 2 && flow->bytes[TO_CLIENT] == 3);
    CHECK(flow->number == 1 && strcmp(bench.log, "><") == 0);
    struct datagram there = segment_of(CLIENT, A, 0, 0, ""), back = segment_of(SERVER, A, 0, 0, "");
    CHECK(flow_hash(&there) == flow_hash(&back));
    struct datagram other = datagram_of(PROTO_TCP, CLIENT, 40001, SERVER, 443);
    CHECK(see(&bench, &other) != flow && flow_hash(&other) != flow_hash(&there));
    other = datagram_of(PROTO_UDP, CLIENT, 40000, SERVER, 443);
    CHECK(see(&bench, &other)->number == 3 && flow_hash(&other) != flow_hash(&there));
    other = datagram_of(PROTO_TCP, CLIENT, 443, SERVER, 40000); /* ports the other way round */
    CHECK(see(&bench, &other)->number == 4);
    tear_down(&bench);
}

/* A SYN that was overtaken corrects a wrong guess, as long as nobody was told. */
static void test_late_syn(void)
{
    struct bench bench;
    set_up(&bench);
    struct datagram data = datagram_of(PROTO_TCP, CLIENT, 300, SERVER, 8443);
    data.tcp_flags = A;
    data.tcp_sequence = 101;
    data.tcp_acknowledgement = 1;
    data.payload = (const uint8_t *)"ab";
    data.payload_bytes = data.payload_wire_bytes = 2;
    struct flow *flow = see(&bench, &data);
    CHECK(bench.direction == TO_CLIENT && bench.log[0] == 0);
    struct datagram syn = data;
    syn.tcp_flags = S;
    syn.tcp_sequence = 100;
    syn.payload_bytes = syn.payload_wire_bytes = 0;
    CHECK(see(&bench, &syn) == flow && bench.direction == TO_SERVER);
    CHECK(flow->port[TO_SERVER] == 8443 && flow->address[TO_SERVER][15] == SERVER);
    CHECK(flow->packets[TO_SERVER] == 2 && flow->packets[TO_CLIENT] == 0);
    struct datagram answer = datagram_of(PROTO_TCP, SERVER, 8443, CLIENT, 300);
    answer.tcp_flags = SA;
    answer.tcp_acknowledgement = 101;
    CHECK(see(&bench, &answer) == flow && strcmp(bench.log, ">") == 0);
    CHECK(see(&bench, &syn) == flow && bench.direction == TO_SERVER);

    syn.source_port = data.source_port = 301;
    flow = see(&bench, &data);
    flow->announced = true;
    CHECK(see(&bench, &syn) == flow && bench.direction == TO_CLIENT);
    tear_down(&bench);
}

static void test_port_reuse(void)
{
    struct bench bench;
    set_up(&bench);
    connect_at(&bench, 100, 200);
    CHECK(tcp(&bench, CLIENT, S, 100, 0, "")->number == 1); /* sent again */
    CHECK(tcp(&bench, SERVER, SA, 200, 101, "")->number == 1);
    CHECK(tcp(&bench, SERVER, SA, 300, 101, "")->number == 1); /* nothing of 200 was used yet */
    tcp(&bench, SERVER, A, 301, 101, "xy");
    CHECK(bench.log[0] == '<' && bench.log[1] == 0);
    CHECK(tcp(&bench, CLIENT, S, 5000, 0, "")->number == 2);
    CHECK(strcmp(bench.log, "<..1") == 0); /* the old flow ended first */
    tcp(&bench, SERVER, SA, 9000, 5001, "z");
    CHECK(tcp(&bench, SERVER, SA, 7000, 6001, "")->number == 3); /* whose SYN was lost */
    tear_down(&bench);
}

static void test_refused(void)
{
    struct bench bench;
    set_up(&bench);
    tcp(&bench, CLIENT, S, 100, 0, "");
    CHECK(tcp(&bench, SERVER, RA, 0, 101, "")->is_closed);
    CHECK(tcp(&bench, CLIENT, S, 100, 0, "")->number == 2); /* tried again, with the same number */
    tcp(&bench, SERVER, SA, 200, 101, "");
    tcp(&bench, CLIENT, A, 101, 201, "ab");
    CHECK(strcmp(bench.log, "..1>") == 0);
    tear_down(&bench);
}

static void test_closed(void)
{
    struct bench bench;
    set_up(&bench);
    connect_at(&bench, 100, 200);
    tcp(&bench, CLIENT, FA, 101, 201, "ab");
    struct flow *flow = tcp(&bench, SERVER, FA, 201, 104, "xy");
    CHECK(flow->is_closed && strcmp(bench.log, ">.<.") == 0);
    bench.now_ns += 499 * MS;
    CHECK(tcp(&bench, CLIENT, A, 104, 204, "") == flow); /* late packets belong to it */
    CHECK(tcp(&bench, CLIENT, A, 101, 201, "ab") == flow);
    CHECK(flow->packets[TO_SERVER] == 5 && strcmp(bench.log, ">.<.") == 0);
    bench.now_ns += MS;
    CHECK(tcp(&bench, CLIENT, A, 104, 204, "")->number == 2);
    CHECK(strcmp(bench.log, ">.<.1") == 0);
    tear_down(&bench);
}

static void test_closed_and_used_again(void)
{
    struct bench bench;
    set_up(&bench);
    connect_at(&bench, 100, 200);
    tcp(&bench, CLIENT, R, 101, 0, "");
    CHECK(tcp(&bench, CLIENT, S, 100, 0, "")->number == 1); /* a late copy */
    CHECK(connect_at(&bench, 101, 300)->number == 2);
    tcp(&bench, CLIENT, A, 102, 301, "ab");
    CHECK(strcmp(bench.log, "..1>") == 0);
    tear_down(&bench);
}

static void test_vlan(void)
{
    struct bench bench;
    set_up(&bench);
    struct datagram one = datagram_of(PROTO_UDP, CLIENT, 40000, SERVER, 53), two = one;
    one.vlan = 10;
    two.vlan = 20;
    const struct flow *flow = see(&bench, &one);
    CHECK(flow->vlan == 10 && see(&bench, &two)->number == 2);
    CHECK(see(&bench, &one)->number == 1 && see(&bench, &two)->number == 2);
    two.tunnel = one.tunnel = TUNNEL_VXLAN;
    one.tunnel_id = 5;
    CHECK(see(&bench, &one)->number == 3);
    one.tunnel = TUNNEL_ERSPAN; /* names the mirror, not the network */
    CHECK(see(&bench, &one)->number == 1);
    tear_down(&bench);
}

/* Where a router stands between the mirrored segments, the answer is on another VLAN. */
static void test_answer_on_another_vlan(void)
{
    struct bench bench;
    set_up(&bench);
    struct datagram question = datagram_of(PROTO_UDP, CLIENT, 40000, SERVER, 53);
    struct datagram answer = datagram_of(PROTO_UDP, SERVER, 53, CLIENT, 40000);
    question.vlan = 10;
    answer.vlan = 20;
    for (int i = 0; i < 3; i++)
        CHECK(see(&bench, &question)->number == 1 && see(&bench, &answer)->number == 1);

    struct datagram segment[5] = {
        segment_of(CLIENT, S, 100, 0, ""), segment_of(SERVER, SA, 200, 101, ""),
        segment_of(CLIENT, A, 101, 201, "ab"), segment_of(SERVER, A, 201, 103, "xy"),
        segment_of(CLIENT, A, 103, 203, "cd")};
    for (int i = 0; i < 5; i++) {
        segment[i].vlan = i % 2 ? 20 : 10;
        CHECK(see(&bench, &segment[i])->number == 2);
    }
    CHECK(strcmp(bench.log, "><>") == 0);
    /* another connection of the same 5-tuple, on the VLAN of neither */
    struct datagram other[3] = {segment_of(CLIENT, S, 50000000, 0, ""),
                                segment_of(SERVER, SA, 70000000, 50000001, ""),
                                segment_of(CLIENT, A, 50000001, 70000001, "ab")};
    for (int i = 0; i < 3; i++) {
        other[i].vlan = 30;
        CHECK(see(&bench, &other[i])->number == 3);
    }
    CHECK(see(&bench, &segment[2])->number == 2);
    tear_down(&bench);
}

static void uid_of(const struct flow *flow, char uid[FLOW_UID_CHARS + 1])
{
    flow_uid(flow, uid);
    CHECK(strlen(uid) == FLOW_UID_CHARS && uid[0] == 'C');
    CHECK(strspn(uid, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") ==
          FLOW_UID_CHARS);
}

/* The same connection has the same uid, whichever packet came first and whenever; another has
 * not. */
static void test_uid(void)
{
    char uid[4][FLOW_UID_CHARS + 1];
    struct bench bench;
    set_up(&bench);
    uid_of(tcp(&bench, CLIENT, S, 100, 0, ""), uid[0]);
    tear_down(&bench);
    set_up(&bench);
    bench.now_ns += 5;
    uid_of(tcp(&bench, SERVER, SA, 200, 101, ""), uid[1]);
    tear_down(&bench);
    set_up(&bench);
    tcp(&bench, CLIENT, A, 101, 201, "ab"); /* overtook the SYN */
    uid_of(tcp(&bench, CLIENT, S, 100, 0, ""), uid[2]);
    tear_down(&bench);
    set_up(&bench);
    uid_of(tcp(&bench, CLIENT, S, 101, 0, ""), uid[3]);
    tear_down(&bench);
    CHECK(strcmp(uid[0], uid[1]) == 0 && strcmp(uid[0], uid[2]) == 0);
    CHECK(strcmp(uid[0], uid[3]) != 0);
}

/* Thousands of flows at random, so that every list and bucket is exercised; each packet must find
 * the flow that the one before it with the same 5-tuple found. */
static void test_random(void)
{
    enum { PORTS = 300 };
    struct bench bench;
    uint32_t number[PORTS] = {0};
    set_up(&bench);
    bench.limits.flow_idle_timeout_ms = 100000;
    srandom(3);
    for (int i = 0; i < 20000; i++) {
        uint16_t port = (uint16_t)(random() % PORTS);
        bool back = random() % 2;
        struct datagram datagram =
            back ? datagram_of(PROTO_UDP, SERVER, 53, CLIENT, (uint16_t)(10000 + port))
                 : datagram_of(PROTO_UDP, CLIENT, (uint16_t)(10000 + port), SERVER, 53);
        const struct flow *flow = see(&bench, &datagram);
        CHECK(number[port] == 0 || flow->number == number[port]);
        CHECK(bench.direction == (back ? TO_CLIENT : TO_SERVER));
        number[port] = flow->number;
        bench.now_ns += (uint64_t)random() % (2 * MS);
    }
    CHECK(bench.counters.value[COUNT_flows] == PORTS);
    tear_down(&bench);
}

int main(void)
{
    test_who_is_the_server();
    test_both_directions();
    test_late_syn();
    test_port_reuse();
    test_refused();
    test_closed();
    test_closed_and_used_again();
    test_vlan();
    test_answer_on_another_vlan();
    test_uid();
    test_random();
    return checks_report("flow");
}
