/* Sends the frames of a pcap file on an interface at a steady rate, in batches of one system call.
 *
 *   blast FILE INTERFACE PACKETS_PER_SECOND
 *
 * Prints how many were sent and the rate that was reached. Frames longer than the interface takes
 * are an error: the bench capture has none. */
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>

#include "sending.h"

enum { BATCH = 32, FILE_HEADER_BYTES = 24, PACKET_HEADER_BYTES = 16 };

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
    int wire = open_interface(arguments[2], 0);
    uint64_t rate = strtoull(arguments[3], NULL, 10), sent = 0, start_ns = now_ns(CLOCK_MONOTONIC);
    struct mmsghdr messages[BATCH] = {0};
    struct iovec frames[BATCH];
    size_t at = FILE_HEADER_BYTES;
    for (unsigned batch; (batch = gather(file, bytes, &at, messages, frames)) != 0; sent += batch) {
        while (now_ns(CLOCK_MONOTONIC) - start_ns < sent * 1000000000 / rate)
            ;
        send_all(wire, messages, batch);
    }
    double seconds = (double)(now_ns(CLOCK_MONOTONIC) - start_ns) / 1e9;
    printf("%" PRIu64 " %.0f\n", sent, (double)sent / seconds);
    return 0;
}
