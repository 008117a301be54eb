/* links: flow.c flow_key.c stream.c hole.c sequence.c held.c */
/* When a flow ends, and when a hole in it becomes a gap. */
#include "flow_bench.h"

static void test_idle(void)
{
    struct bench bench;
    set_up(&bench);
    struct datagram one = datagram_of(PROTO_UDP, CLIENT, 40000, SERVER, 53);
    struct datagram two = datagram_of(PROTO_UDP, CLIENT, 40001, SERVER, 53);
    see(&bench, &one);
    see(&bench, &two);
    bench.now_ns += 6399 * MS;
    CHECK(see(&bench, &one)->number == 1 && bench.log[0] == 0);
    bench.now_ns += MS;
    flow_table_advance(bench.table, bench.now_ns);
    CHECK(strcmp(bench.log, "2") == 0);
    bench.now_ns += 6399 * MS;
    flow_table_advance(bench.table, bench.now_ns);
    CHECK(strcmp(bench.log, "21") == 0 && bench.counters.value[COUNT_flows_expired] == 2);
    CHECK(see(&bench, &one)->number == 3);
    tear_down(&bench);
}

/* A flow that is busy moves rarely in the list; so another one may end a grain late, never
 * early. */
static void test_idle_behind_a_busy_flow(void)
{
    struct bench bench;
    set_up(&bench);
    struct datagram busy = datagram_of(PROTO_UDP, CLIENT, 40000, SERVER, 53);
    struct datagram quiet = datagram_of(PROTO_UDP, CLIENT, 40001, SERVER, 53);
    see(&bench, &busy);
    see(&bench, &quiet);
    for (int i = 0; i < 640; i++) {
        bench.now_ns += 10 * MS;
        see(&bench, &busy);
    }
    CHECK(strcmp(bench.log, "2") == 0);
    bench.now_ns += 6400 * MS - 10 * MS;
    flow_table_advance(bench.table, bench.now_ns);
    CHECK(strcmp(bench.log, "2") == 0);
    bench.now_ns += 100 * MS;
    flow_table_advance(bench.table, bench.now_ns);
    CHECK(strcmp(bench.log, "21") == 0);
    tear_down(&bench);
}

/* The table's clock does not go back with a file whose times do. */
static void test_times_that_fall(void)
{
    struct bench bench;
    set_up(&bench);
    struct datagram datagram = datagram_of(PROTO_UDP, CLIENT, 40000, SERVER, 53);
    see(&bench, &datagram);
    bench.now_ns -= 500 * MS;
    const struct flow *flow = see(&bench, &datagram);
    CHECK(flow->number == 1 && flow->last_ns == 1000 * MS && flow->packets[TO_SERVER] == 2);
    flow_table_advance(bench.table, 1000 * MS + 6399 * MS);
    CHECK(bench.log[0] == 0);
    tear_down(&bench);
}

static void test_evicted(void)
{
    struct bench bench;
    set_up(&bench);
    bench.limits.flows_max = 3;
    struct datagram datagram[5];
    for (uint16_t i = 0; i < 5; i++)
        datagram[i] = datagram_of(PROTO_UDP, CLIENT, (uint16_t)(40000 + i), SERVER, 53);
    for (int i = 0; i < 3; i++)
        see(&bench, &datagram[i]);
    bench.now_ns += MS;
    see(&bench, &datagram[0]);
    see(&bench, &datagram[3]);
    CHECK(strcmp(bench.log, "2") == 0 && bench.counters.value[COUNT_flows_evicted] == 1);
    tcp(&bench, CLIENT, S, 100, 0, "");
    tcp(&bench, SERVER, RA, 0, 101, ""); /* closed: the next to go */
    see(&bench, &datagram[4]);
    CHECK(strcmp(bench.log, "23..5") == 0);
    tear_down(&bench);
}

static void test_memory_short(void)
{
    struct bench bench;
    set_up(&bench);
    bench.budget.limit_bytes = 64 * sizeof(struct flow) + 4096;
    struct datagram datagram;
    for (uint16_t i = 0; i < 65; i++) {
        datagram = datagram_of(PROTO_UDP, CLIENT, (uint16_t)(40000 + i), SERVER, 53);
        CHECK(see(&bench, &datagram) != NULL);
    }
    CHECK(strcmp(bench.log, "1") == 0 && bench.counters.value[COUNT_memory_shed] == 1);
    tear_down(&bench);

    set_up(&bench);
    bench.budget.limit_bytes = 100;
    CHECK(see(&bench, &datagram) == NULL && bench.counters.value[COUNT_memory_shed] == 1);
    tear_down(&bench);
}

/* Time passes in small steps, as it does when nothing comes. */
static void pass_time(struct bench *bench, uint64_t ms)
{
    for (; ms > 0; ms--) {
        bench->now_ns += MS;
        flow_table_advance(bench->table, bench->now_ns);
    }
}

static void test_holes(void)
{
    struct bench bench;
    set_up(&bench);
    connect_at(&bench, 100, 200);
    pass_time(&bench, 10);
    tcp(&bench, CLIENT, A, 103, 201, "cd");
    pass_time(&bench, 159);
    CHECK(bench.log[0] == 0);
    pass_time(&bench, 1);
    CHECK(strcmp(bench.log, "(>") == 0);
    pass_time(&bench, 1000);
    tcp(&bench, CLIENT, A, 107, 201, "gh");
    tcp(&bench, CLIENT, A, 105, 201, "ef"); /* filled in time */
    pass_time(&bench, 1000);
    CHECK(strcmp(bench.log, "(>>>") == 0);
    tear_down(&bench);
}

/* After a silence the next packets may be the missing ones: holes are judged a few packets
 * later, or when the time-out has passed once more. */
static void test_hole_over_a_silence(void)
{
    struct bench bench;
    set_up(&bench);
    connect_at(&bench, 100, 200);
    tcp(&bench, CLIENT, A, 103, 201, "cd");
    bench.now_ns += 1000 * MS;
    tcp(&bench, SERVER, A, 201, 101, "");
    tcp(&bench, CLIENT, A, 101, 201, "ab");
    CHECK(strcmp(bench.log, ">>") == 0);
    tcp(&bench, CLIENT, A, 107, 201, "gh");
    bench.now_ns += 1000 * MS;
    for (int i = 0; i < 32; i++)
        tcp(&bench, SERVER, A, 201, 101, "");
    CHECK(strcmp(bench.log, ">>") == 0);
    tcp(&bench, SERVER, A, 201, 101, "");
    CHECK(strcmp(bench.log, ">>(>") == 0);
    tcp(&bench, CLIENT, A, 111, 201, "kl");
    bench.now_ns += 1000 * MS;
    flow_table_advance(bench.table, bench.now_ns);
    pass_time(&bench, 159);
    CHECK(strcmp(bench.log, ">>(>") == 0);
    pass_time(&bench, 1);
    CHECK(strcmp(bench.log, ">>(>(>") == 0);
    tear_down(&bench);
}

/* Many flows with holes of all ages: each becomes a gap, no more than a sixteenth too late. */
static void test_many_holes(void)
{
    struct bench bench;
    set_up(&bench);
    uint64_t gaps = 0;
    for (uint16_t i = 0; i < 500; i++) {
        struct datagram syn = datagram_of(PROTO_TCP, CLIENT, (uint16_t)(10000 + i), SERVER, 443);
        syn.tcp_flags = S;
        see(&bench, &syn);
        struct datagram answer = datagram_of(PROTO_TCP, SERVER, 443, CLIENT, syn.source_port);
        answer.tcp_flags = SA;
        answer.tcp_acknowledgement = 1;
        see(&bench, &answer);
        struct datagram late = syn;
        late.tcp_flags = A;
        late.tcp_sequence = 5;
        late.tcp_acknowledgement = 1;
        late.payload = (const uint8_t *)"x";
        late.payload_bytes = late.payload_wire_bytes = 1;
        see(&bench, &late);
        gaps = bench.counters.value[COUNT_tcp_gaps];
        uint64_t least = i > 170 ? i - 170u : 0, most = i > 159 ? i - 159u : 0;
        CHECK(gaps >= least && gaps <= most);
        bench.now_ns += MS;
    }
    pass_time(&bench, 170);
    CHECK(bench.counters.value[COUNT_tcp_gaps] == 500);
    tear_down(&bench);
}

static void test_flush(void)
{
    struct bench bench;
    set_up(&bench);
    connect_at(&bench, 100, 200);
    tcp(&bench, CLIENT, A, 103, 201, "cd");
    struct datagram datagram = datagram_of(PROTO_UDP, CLIENT, 40000, SERVER, 53);
    see(&bench, &datagram);
    flow_table_flush(bench.table, bench.now_ns);
    CHECK(strcmp(bench.log, "(>..12") == 0);
    flow_table_flush(bench.table, bench.now_ns);
    CHECK(strcmp(bench.log, "(>..12") == 0);
    tear_down(&bench);
    CHECK(strcmp(bench.log, "(>..12") == 0);
    flow_table_close(NULL);
}

int main(void)
{
    test_idle();
    test_idle_behind_a_busy_flow();
    test_times_that_fall();
    test_evicted();
    test_memory_short();
    test_holes();
    test_hole_over_a_silence();
    test_many_holes();
    test_flush();
    return checks_report("flow_end");
}
