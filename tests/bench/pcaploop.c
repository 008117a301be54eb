/* The bare libpcap read loop that the sensor's speed is measured against: touches every packet's
 * header and nothing else. Prints packets and captured bytes. */
#include <inttypes.h>
#include <pcap/pcap.h>
#include <stdio.h>

int main(int count, char **arguments)
{
    char error[PCAP_ERRBUF_SIZE];
    pcap_t *capture = count == 2 ? pcap_open_offline(arguments[1], error) : NULL;
    if (!capture) {
        fprintf(stderr, "pcaploop: %s\n", count == 2 ? error : "usage: pcaploop FILE");
        return 1;
    }
    struct pcap_pkthdr *header;
    const u_char *data;
    uint64_t packets = 0, bytes = 0;
    while (pcap_next_ex(capture, &header, &data) == 1) {
        packets++;
        bytes += header->caplen;
    }
    pcap_close(capture);
    printf("%" PRIu64 " packets, %" PRIu64 " bytes\n", packets, bytes);
    return 0;
}
