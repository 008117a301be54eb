/* links: merge.c pcapfile.c pcapng.c bytein.c unpack.c errorline.c */
#include <sys/eventfd.h>

#include "check.h"
#include "craft.h"

enum { SECOND_NS = 1000000000, MILLISECOND_NS = 1000000 };

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

/* A source of four-byte packets whose times are given: what an interface does, without one. */
struct scripted {
    struct source base;
    const uint64_t *times_ns; /* borrowed */
    size_t count, at;
    uint64_t quiet_ns; /* said when idle */
    bool follows_clock; /* idle means quiet until 5 ms ago */
    bool goes_on;      /* idle, not over, after the last packet */
    bool fails;        /* ends with an error */
    int event;         /* owned; never readable */
    uint16_t index;
    uint32_t data;
    bool *closed; /* borrowed */
};

static enum source_verdict scripted_next(struct source *source, struct packet *packet,
                                         int timeout_ms)
{
    struct scripted *scripted = (struct scripted *)source;

    (void)timeout_ms;
    if (scripted->at < scripted->count) {
        scripted->data = (uint32_t)scripted->at;
        *packet = (struct packet){
            .data = (const uint8_t *)&scripted->data,
            .captured_bytes = 4,
            .wire_bytes = 4,
            .time_ns = scripted->times_ns[scripted->at++],
            .source = scripted->index,
        };
        return SOURCE_PACKET;
    }
    packet->time_ns = scripted->follows_clock ? clock_ns(CLOCK_REALTIME) - 5 * MILLISECOND_NS
                                              : scripted->quiet_ns;
    if (scripted->goes_on)
        return SOURCE_IDLE;
    if (scripted->fails)
        snprintf(source->error, sizeof source->error, "input %u: broken", scripted->index);
    return scripted->fails ? SOURCE_ERROR : SOURCE_END;
}

static void scripted_stats(const struct source *source, struct source_stats *stats)
{
    *stats = (struct source_stats){
        .received = ((const struct scripted *)source)->at,
        .dropped = 1,
        .frozen = 2,
        .truncated = 3,
        .secrets_shed = 4,
    };
}

static const uint8_t *scripted_secret(const struct source *source, size_t index,
                                      uint32_t *secrets_type, size_t *bytes)
{
    const struct scripted *scripted = (const struct scripted *)source;

    if (index >= scripted->count)
        return NULL;
    *secrets_type = scripted->index;
    *bytes = index;
    return (const uint8_t *)&scripted->times_ns[index];
}

static int scripted_descriptor(const struct source *source)
{
    return ((const struct scripted *)source)->event;
}

static void scripted_close(struct source *source)
{
    struct scripted *scripted = (struct scripted *)source;

    if (scripted->closed)
        *scripted->closed = true;
    close(scripted->event);
    free(scripted);
}

static const struct source_ops scripted_ops = {
    scripted_next, scripted_stats, scripted_secret, scripted_descriptor, scripted_close,
};

static struct scripted *script(uint16_t index, const uint64_t *times_ns, size_t count)
{
    struct scripted *scripted = calloc(1, sizeof *scripted);

    if (!scripted)
        abort();
    scripted->base.ops = &scripted_ops;
    scripted->event = eventfd(0, 0);
    scripted->index = index;
    scripted->times_ns = times_ns;
    scripted->count = count;
    return scripted;
}

/* An interface: after its packets it is idle. */
static struct scripted *script_live(uint16_t index, const uint64_t *times_ns, size_t count)
{
    struct scripted *scripted = script(index, times_ns, count);

    scripted->base.live = scripted->goes_on = true;
    return scripted;
}

static struct source *merge_two(struct scripted *a, struct scripted *b)
{
    char error[SOURCE_ERROR_BYTES];
    struct source *sources[] = {&a->base, &b->base};
    struct source *merged = merge_open(sources, 2, error);

    if (!merged)
        abort();
    sources[0] = sources[1] = NULL; /* the array is ours again */
    return merged;
}

static void test_order(void)
{
    enum { SOURCES = 13, PACKETS = 200 };
    static uint64_t times_ns[SOURCES][PACKETS];

    srand(7);
    for (size_t count = 2; count <= SOURCES; count += 3) {
        struct source *sources[SOURCES];
        size_t next[SOURCES] = {0};
        char error[SOURCE_ERROR_BYTES];
        for (size_t i = 0; i < count; i++) {
            for (size_t k = 0; k < PACKETS; k++)
                times_ns[i][k] = (k ? times_ns[i][k - 1] : 0) + (uint64_t)(rand() % 3);
            sources[i] = &script((uint16_t)i, times_ns[i], i == 1 ? 0 : PACKETS)->base;
        }
        struct source *merged = merge_open(sources, count, error);
        struct packet packet;
        size_t wrong = 0, packets = 0;
        while (merged->ops->next(merged, &packet, 0) == SOURCE_PACKET) {
            /* The first of the least times that are left, in order of the sources. */
            size_t least = SIZE_MAX;
            for (size_t i = 0; i < count; i++)
                if (i != 1 && next[i] < PACKETS &&
                    (least == SIZE_MAX ||
                     times_ns[i][next[i]] < times_ns[least][next[least]]))
                    least = i;
            uint32_t number;
            memcpy(&number, packet.data, 4);
            wrong += least == SIZE_MAX || packet.source != least || number != next[least] ||
                     packet.ordinal != packets;
            packets++;
            if (least != SIZE_MAX)
                next[least]++;
        }
        CHECK(wrong == 0);
        CHECK(packets == (count - 1) * PACKETS);
        struct source_stats stats;
        merged->ops->stats(merged, &stats);
        CHECK(stats.received == packets && stats.dropped == count);
        CHECK(stats.frozen == 2 * count && stats.truncated == 3 * count);
        CHECK(stats.secrets_shed == 4 * count);
        merged->ops->close(merged);
    }
}

/* A source out of order is not reordered: its late packet goes out as soon as it is seen. */
static void test_time_going_back(void)
{
    static const uint64_t a_ns[] = {10, 5, 30}, b_ns[] = {7, 20};
    static const uint64_t expected_ns[] = {7, 10, 5, 20, 30};
    struct source *merged = merge_two(script(0, a_ns, 3), script(1, b_ns, 2));
    struct packet packet;

    for (size_t i = 0; i < 5; i++) {
        CHECK(merged->ops->next(merged, &packet, 0) == SOURCE_PACKET);
        CHECK(packet.time_ns == expected_ns[i]);
    }
    CHECK(merged->ops->next(merged, &packet, 0) == SOURCE_END);
    merged->ops->close(merged);
}

static void test_errors(void)
{
    static const uint64_t a_ns[] = {1, 4}, b_ns[] = {2, 3, 5};
    struct scripted *a = script(0, a_ns, 2), *b = script(1, b_ns, 3);
    struct packet packet;
    bool closed[2] = {false, false};

    a->closed = &closed[0];
    b->closed = &closed[1];
    a->fails = true;
    struct source *merged = merge_two(a, b);
    for (uint64_t time_ns = 1; time_ns <= 5; time_ns++) {
        CHECK(merged->ops->next(merged, &packet, 0) == SOURCE_PACKET);
        CHECK(packet.time_ns == time_ns);
        CHECK((strcmp(merged->error, "input 0: broken") == 0) == (time_ns == 5));
    }
    CHECK(!closed[0] && !closed[1]); /* their counters may still be read */
    CHECK(merged->ops->next(merged, &packet, 0) == SOURCE_ERROR);
    CHECK(merged->ops->next(merged, &packet, 0) == SOURCE_ERROR);
    merged->ops->close(merged);
    CHECK(closed[0] && closed[1]);

    a = script(0, NULL, 0);
    b = script(1, NULL, 0);
    a->fails = b->fails = true;
    merged = merge_two(a, b);
    CHECK(merged->ops->next(merged, &packet, 0) == SOURCE_ERROR);
    CHECK(strcmp(merged->error, "input 0: broken; input 1: broken") == 0);
    merged->ops->close(merged);
}

static void test_one_and_none(void)
{
    char error[SOURCE_ERROR_BYTES] = "";
    struct source *alone = &script(0, NULL, 0)->base;

    CHECK(merge_open(&alone, 1, error) == alone); /* costs nothing */
    alone->ops->close(alone);
    CHECK(!merge_open(NULL, 0, error) && strcmp(error, "no source to read") == 0);
}

static void test_secrets(void)
{
    static const uint64_t a_ns[] = {1, 2}, b_ns[] = {3};
    struct source *merged = merge_two(script(10, a_ns, 2), script(11, b_ns, 1));
    uint32_t type = 0;
    size_t bytes = 9;

    CHECK(merged->ops->secret(merged, 0, &type, &bytes) == (const uint8_t *)&a_ns[0]);
    CHECK(type == 10 && bytes == 0);
    CHECK(merged->ops->secret(merged, 1, &type, &bytes) == (const uint8_t *)&a_ns[1]);
    CHECK(merged->ops->secret(merged, 2, &type, &bytes) == (const uint8_t *)&b_ns[0]);
    CHECK(type == 11 && bytes == 0);
    CHECK(!merged->ops->secret(merged, 3, &type, &bytes));
    merged->ops->close(merged);
}

/* A packet waits until the idle interface is known quiet up to its time, or has an earlier one. */
static void test_quiet_interface(void)
{
    static const uint64_t a_ns[] = {100, 200, 300}, b_ns[] = {150, 250};
    struct scripted *a = script_live(0, a_ns, 2), *b = script_live(1, b_ns, 0);
    struct source *merged = merge_two(a, b);
    struct packet packet;

    b->quiet_ns = 50;
    CHECK(merged->ops->next(merged, &packet, 0) == SOURCE_IDLE && packet.time_ns < 100);
    b->quiet_ns = 100; /* still may have a packet of that very time, but it would come second */
    CHECK(merged->ops->next(merged, &packet, 0) == SOURCE_PACKET && packet.time_ns == 100);
    CHECK(merged->ops->next(merged, &packet, 0) == SOURCE_IDLE);
    CHECK(packet.time_ns < 200 && packet.time_ns >= 99);
    b->count = 1; /* 150 comes */
    CHECK(merged->ops->next(merged, &packet, 0) == SOURCE_PACKET && packet.time_ns == 150);
    CHECK(packet.source == 1 && packet.ordinal == 1);
    b->quiet_ns = 240;
    CHECK(merged->ops->next(merged, &packet, 0) == SOURCE_PACKET && packet.time_ns == 200);
    a->quiet_ns = 230; /* both are idle: quiet up to the lesser */
    CHECK(merged->ops->next(merged, &packet, 0) == SOURCE_IDLE);
    CHECK(packet.time_ns == 229 || packet.time_ns == 230);
    a->count = 3;
    b->count = 2;
    CHECK(merged->ops->next(merged, &packet, 0) == SOURCE_PACKET && packet.time_ns == 250);
    b->goes_on = false; /* gone: nobody to wait for */
    CHECK(merged->ops->next(merged, &packet, 0) == SOURCE_PACKET && packet.time_ns == 300);
    merged->ops->close(merged);
}

/* Within timeout_ms the wait is no longer than the idle interface's clock needs. */
static void test_wait_follows_clock(void)
{
    uint64_t now_ns = clock_ns(CLOCK_REALTIME);
    struct scripted *a = script_live(0, &now_ns, 1), *b = script_live(1, NULL, 0);
    struct source *merged = merge_two(a, b);
    struct packet packet;

    a->follows_clock = b->follows_clock = true;
    uint64_t start_ns = clock_ns(CLOCK_MONOTONIC);
    CHECK(merged->ops->next(merged, &packet, 60000) == SOURCE_PACKET);
    CHECK(packet.time_ns == now_ns);
    CHECK(clock_ns(CLOCK_MONOTONIC) - start_ns < 800ull * MILLISECOND_NS);
    start_ns = clock_ns(CLOCK_MONOTONIC);
    CHECK(merged->ops->next(merged, &packet, 20) == SOURCE_IDLE);
    CHECK(clock_ns(CLOCK_MONOTONIC) - start_ns >= 19 * MILLISECOND_NS);
    CHECK(packet.time_ns > now_ns);
    merged->ops->close(merged);
}

/* An interface whose clock stands still delays the others a second, once; not for ever. */
static void check_patience(struct scripted *busy, struct scripted *stuck)
{
    struct source *merged = stuck->index ? merge_two(busy, stuck) : merge_two(stuck, busy);
    struct packet packet;
    uint64_t start_ns = clock_ns(CLOCK_MONOTONIC);

    CHECK(merged->ops->next(merged, &packet, -1) == SOURCE_PACKET && packet.time_ns == 1000);
    CHECK(clock_ns(CLOCK_MONOTONIC) - start_ns >= 900ull * MILLISECOND_NS);
    CHECK(merged->ops->next(merged, &packet, 0) == SOURCE_PACKET && packet.time_ns == 2000);
    CHECK(merged->ops->next(merged, &packet, 0) == SOURCE_PACKET && packet.time_ns == 3000);
    CHECK(packet.ordinal == 2);
    merged->ops->close(merged);
}

static void test_patience(void)
{
    static const uint64_t a_ns[] = {1000, 2000, 3000};
    struct scripted *slow = script_live(1, NULL, 0);
    struct source *merged = merge_two(script_live(0, a_ns, 2), slow);
    struct packet packet;

    CHECK(merged->ops->next(merged, &packet, 0) == SOURCE_IDLE);
    slow->quiet_ns = 1500; /* in time */
    CHECK(merged->ops->next(merged, &packet, 0) == SOURCE_PACKET && packet.time_ns == 1000);

    check_patience(script_live(0, a_ns, 3), script_live(1, NULL, 0));
    check_patience(script_live(1, a_ns, 3), script_live(0, NULL, 0));

    /* The second that has passed is not held against it. */
    CHECK(merged->ops->next(merged, &packet, 0) == SOURCE_IDLE);
    merged->ops->close(merged);
}

static void add_record(struct bytes *file, uint32_t seconds)
{
    bytes_32(file, seconds);
    bytes_32(file, 0);
    bytes_32(file, 1);
    bytes_32(file, 1);
    bytes_fill(file, (uint8_t)seconds, 1);
}

static struct bytes file_of(const char *seconds)
{
    struct bytes file = {0};

    bytes_32(&file, 0xa1b2c3d4);
    bytes_32(&file, 2 | 4 << 16);
    bytes_fill(&file, 0, 8);
    bytes_32(&file, 65535);
    bytes_32(&file, 1);
    for (; *seconds; seconds++)
        add_record(&file, (uint32_t)(*seconds - '0'));
    return file;
}

/* A file waits for a pipe, however long: what comes through it may be earlier. */
static void test_file_and_pipe(void)
{
    struct bytes file = file_of("1358"), piped = file_of("24");
    char error[SOURCE_ERROR_BYTES];
    struct packet packet;

    write_file("merge.pcap", file.data, file.count);
    CHECK(mkfifo("merge.fifo", 0600) == 0);
    struct source *sources[] = {
        pcapfile_open("merge.pcap", 0, error),
        pcapfile_open("merge.fifo", 1, error),
    };
    CHECK(sources[0] && sources[1]);
    struct source *merged = merge_open(sources, 2, error);
    int fd = open("merge.fifo", O_WRONLY);
    CHECK(merged->ops->next(merged, &packet, 0) == SOURCE_IDLE);
    CHECK(merged->ops->next(merged, &packet, 5) == SOURCE_IDLE);
    CHECK(write(fd, piped.data, 24 + 17) == 24 + 17);
    for (uint64_t second = 1; second <= 2; second++) {
        CHECK(merged->ops->next(merged, &packet, -1) == SOURCE_PACKET);
        CHECK(packet.time_ns == second * SECOND_NS && packet.data[0] == second);
    }
    CHECK(merged->ops->next(merged, &packet, 0) == SOURCE_IDLE);
    CHECK(packet.time_ns <= 2ull * SECOND_NS);
    CHECK(write(fd, piped.data + 41, 17) == 17);
    for (uint64_t second = 3; second <= 4; second++) {
        CHECK(merged->ops->next(merged, &packet, -1) == SOURCE_PACKET);
        CHECK(packet.time_ns == second * SECOND_NS && packet.data[0] == second);
    }
    CHECK(merged->ops->next(merged, &packet, 0) == SOURCE_IDLE);
    close(fd);
    CHECK(merged->ops->next(merged, &packet, 0) == SOURCE_PACKET && packet.data[0] == 5);
    CHECK(merged->ops->next(merged, &packet, 0) == SOURCE_PACKET && packet.data[0] == 8);
    CHECK(merged->ops->next(merged, &packet, 0) == SOURCE_END);
    merged->ops->close(merged);
    unlink("merge.fifo");
    unlink("merge.pcap");
    bytes_free(&piped);
    bytes_free(&file);
}

int main(void)
{
    test_order();
    test_time_going_back();
    test_errors();
    test_one_and_none();
    test_secrets();
    test_quiet_interface();
    test_wait_follows_clock();
    test_patience();
    test_file_and_pipe();
    return checks_report("merge");
}
