/* What every sender of frames on an interface does: a clock, a packet socket, batches. */
#ifndef SENDING_H
#define SENDING_H

#include <linux/if_packet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

static uint64_t now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* `protocol` in network byte order: of what offloads are for; 0 says nothing. */
static int open_interface(const char *name, uint16_t protocol)
{
    int wire = socket(AF_PACKET, SOCK_RAW, 0);
    struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                  .sll_protocol = protocol,
                                  .sll_ifindex = (int)if_nametoindex(name)};
    if (wire < 0 || !address.sll_ifindex || bind(wire, (void *)&address, sizeof address) != 0)
        fail(name);
    return wire;
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

#endif
