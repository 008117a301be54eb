/* A file of any content: pcap, pcapng, gzip, zstd, or none. Every packet it yields is read to its
 * last byte. */
#include "fuzz.h"
#include "source.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    int file = memfd_create("capture", 0);
    if (file < 0 || write(file, data, bytes) != (ssize_t)bytes || lseek(file, 0, SEEK_SET) != 0)
        abort();
    char path[64], error[SOURCE_ERROR_BYTES] = "";
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    struct source *source = pcapfile_open(path, 0, error);
    if (!source && !error[0])
        abort(); /* refused without a reason */
    enum source_verdict verdict = source ? SOURCE_PACKET : SOURCE_END;
    uint32_t sum = 0;
    while (verdict == SOURCE_PACKET) {
        struct packet packet;
        verdict = source->ops->next(source, &packet, 0);
        for (uint32_t at = 0; verdict == SOURCE_PACKET && at < packet.captured_bytes; at++)
            sum += packet.data[at];
    }
    if (source) {
        if (verdict == SOURCE_ERROR && !source->error[0])
            abort();
        source->ops->close(source);
    }
    close(file);
    return (int)(sum & 0);
}
