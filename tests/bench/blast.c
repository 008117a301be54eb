/* Sends the frames of a pcap file on an interface at a steady rate, in batches of one system call.
 *
 *   blast FILE INTERFACE PACKETS_PER_SECOND
 *
 * Prints how many were sent and the rate that was reached. Frames longer than the interface takes
 * are an error: the bench capture has none. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 32, FILE_HEADER_BYTES = 24, PACKET_HEADER_BYTES = 16 };

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int open_interface(const char *name)
{
    int wire = socket(AF_PACKET, SOCK_RAW, 0);
    struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                  .sll_ifindex = (int)if_nametoindex(name)};
    if (wire < 0 || !address.sll_ifindex || bind(wire, (void *)&address, sizeof address) != 0)
        fail(name);
    return wire;
}

/* Up to BATCH frames from *at on; 0 at the end of the file. */
static unsigned gather(const uint8_t *file, size_t bytes, size_t *at, struct mmsghdr *messages,
                       struct iovec *frames)
{
    unsigned count = 0;
    while (count < BATCH && bytes - *at >= PACKET_HEADER_BYTES) {
        uint32_t captured;
        memcpy(&captured, file + *at + 8, sizeof captured);
        *at += PACKET_HEADER_BYTES;
        if (captured > bytes - *at)
            return count;
        frames[count] = (struct iovec){(void *)(uintptr_t)(file + *at), captured};
        messages[count].msg_hdr = (struct msghdr){.msg_iov = &frames[count], .msg_iovlen = 1};
        *at += captured;
        count++;
    }
    return count;
}

static void send_all(int wire, struct mmsghdr *messages, unsigned count)
{
    for (unsigned done = 0; done < count;) {
        int sent = sendmmsg(wire, messages + done, count - done, 0);
        if (sent < 0)
            fail("sendmmsg");
        done += (unsigned)sent;
    }
}

int main(int count, char **arguments)
{
    if (count != 4) {
        fprintf(stderr, "usage: blast FILE INTERFACE PACKETS_PER_SECOND\n");
        return 2;
    }
    int descriptor = open(arguments[1], O_RDONLY);
    struct stat status;
    if (descriptor < 0 || fstat(descriptor, &status) != 0)
        fail(arguments[1]);
    size_t bytes = (size_t)status.st_size;
    const uint8_t *file = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE | MAP_POPULATE, descriptor, 0);
    if (file == MAP_FAILED)
        fail(arguments[1]);
    int wire = open_interface(arguments[2]);
    uint64_t rate = strtoull(arguments[3], NULL, 10), sent = 0, start_ns = now_ns();
    struct mmsghdr messages[BATCH] = {0};
    struct iovec frames[BATCH];
    size_t at = FILE_HEADER_BYTES;
    for (unsigned batch; (batch = gather(file, bytes, &at, messages, frames)) != 0; sent += batch) {
        while (now_ns() - start_ns < sent * 1000000000 / rate)
            ;
        send_all(wire, messages, batch);
    }
    double seconds = (double)(now_ns() - start_ns) / 1e9;
    printf("%" PRIu64 " %.0f\n", sent, (double)sent / seconds);
    return 0;
}
