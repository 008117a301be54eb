/* An interface through an AF_PACKET socket with a TPACKET_V3 ring;
 * Linux, Documentation/networking/packet_mmap.rst
 *
 * The ring is an array of blocks that the kernel and we own in turns. A block is given back at
 * the next() after its last packet, so what a packet points to stays valid in between.
 *
 * No packet slips in unfiltered: the socket is made for no protocol, so it receives nothing before
 * bind(); and from bind() until it has joined its fanout group a filter that drops everything is
 * attached, which the real one then replaces in one step. (libpcap, set_kernel_filter(), has to
 * drain its socket as well, since there packets may have come before the filter.) */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "cutter.h"
#include "errorline.h"
#include "kernelfilter.h"
#include "source.h"

enum {
    BLOCK_BYTES_MIN = 128 << 10, /* GRO super-packets reach 65,226 bytes */
    BLOCKS_MIN = 2,
    FRAME_BYTES = 2048, /* V3 packs frames as they come; the kernel only wants a divisor */
    ARPHRD_IP6GRE = 823, /* linux/if_arp.h, which cannot stand beside net/if.h */
    COUNT_EVERY_BLOCKS = 1024, /* the kernel's counters are 32 bits wide, and cleared by reading */
    LATE_MS = 20, /* two ticks of a 100 Hz kernel: how late the timer of a block may fire */
};

static const uint64_t millisecond_ns = 1000000, second_ns = 1000000000;

struct afpacket {
    struct source base;
    int fd;        /* owned; closed in afpacket_close, as the ring */
    uint8_t *ring; /* block_count blocks of block_bytes */
    uint32_t block_bytes, block_count;
    uint32_t block;       /* the one we read, or wait for */
    bool holds_block;     /* it is ours */
    uint32_t blocks_read; /* since the counters were read */
    uint32_t left;        /* packets of the block not delivered yet; `frame` is the first */
    const uint8_t *frame;
    uint64_t ordinal;
    uint32_t block_timeout_ms;
    uint16_t index;
    uint16_t link;
    bool skips_outgoing;
    bool over;         /* error[] holds the line */
    int down_errno;    /* the interface failed; what it had received is still read, */
    int64_t down_until_ms; /* until then */
    const struct cutter *cutter; /* borrowed; NULL: its program is not attached */
    struct source_stats *stats; /* owned; apart, since reading the kernel's counters changes them */
    char name[IFNAMSIZ];
};

static int64_t monotonic_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static uint64_t realtime_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * second_ns + (uint64_t)now.tv_nsec;
}

static void count_kernel(const struct afpacket *capture)
{
    struct tpacket_stats_v3 since;
    socklen_t bytes = sizeof since;

    if (getsockopt(capture->fd, SOL_PACKET, PACKET_STATISTICS, &since, &bytes) < 0)
        return;
    capture->stats->received += since.tp_packets; /* the dropped ones are among them */
    capture->stats->dropped += since.tp_drops;
    capture->stats->frozen += since.tp_freeze_q_cnt;
}

static struct tpacket_block_desc *block_of(const struct afpacket *capture)
{
    return (struct tpacket_block_desc *)(capture->ring +
                                         (size_t)capture->block * capture->block_bytes);
}

static void give_back(struct afpacket *capture)
{
    if (!capture->holds_block)
        return;
    /* Release: our reads of the block are done before the kernel may write. */
    __atomic_store_n(&block_of(capture)->hdr.bh1.block_status, TP_STATUS_KERNEL,
                     __ATOMIC_RELEASE);
    capture->holds_block = false;
    if (++capture->block == capture->block_count)
        capture->block = 0;
    if (++capture->blocks_read == COUNT_EVERY_BLOCKS) {
        capture->blocks_read = 0;
        count_kernel(capture);
    }
}

static bool take_block(struct afpacket *capture)
{
    struct tpacket_block_desc *block = block_of(capture);
    struct tpacket_hdr_v1 *header = &block->hdr.bh1;

    /* Acquire: what the kernel wrote before it handed the block over. */
    if (!(__atomic_load_n(&header->block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
        return false;
    capture->holds_block = true;
    capture->left = header->num_pkts;
    capture->frame = (const uint8_t *)block + header->offset_to_first_pkt;
    return true;
}

/* After POLLERR. What the kernel took before stays in its open block until the timer retires it. */
static void interface_failed(struct afpacket *capture)
{
    int cause = 0;
    socklen_t bytes = sizeof cause;

    if (getsockopt(capture->fd, SOL_SOCKET, SO_ERROR, &cause, &bytes) < 0)
        cause = errno;
    if (!cause || capture->down_errno)
        return;
    capture->down_errno = cause;
    capture->down_until_ms = monotonic_ms() + 2 * (int64_t)capture->block_timeout_ms + LATE_MS;
}

static enum source_verdict fail(struct afpacket *capture)
{
    errno = capture->down_errno;
    error_line(capture->base.error, "%s: %m", capture->name);
    capture->over = true;
    return SOURCE_ERROR;
}

/* A packet in a block that was open now - block_timeout_ms has been handed over by the timer. */
static enum source_verdict idle(const struct afpacket *capture, uint64_t now_ns,
                                struct packet *packet)
{
    uint64_t margin_ms = (uint64_t)capture->block_timeout_ms + LATE_MS;

    packet->time_ns = now_ns - margin_ms * millisecond_ns;
    return SOURCE_IDLE;
}

/* SOURCE_PACKET when a block is there to be read. */
static enum source_verdict await_block(struct afpacket *capture, struct packet *packet,
                                       int timeout_ms)
{
    struct pollfd ready = {.fd = capture->fd, .events = POLLIN};
    int64_t until_ms = timeout_ms < 0 ? INT64_MAX : monotonic_ms() + timeout_ms;
    bool polled = false;

    for (;;) {
        uint64_t now_ns = realtime_ns(); /* before the look: what comes after it is later */
        if (take_block(capture))
            return SOURCE_PACKET;
        int64_t now_ms = monotonic_ms();
        if (capture->down_errno && now_ms >= capture->down_until_ms)
            return fail(capture);
        if (polled && now_ms >= until_ms)
            return idle(capture, now_ns, packet);
        int64_t end_ms = until_ms;
        if (capture->down_errno && capture->down_until_ms < end_ms)
            end_ms = capture->down_until_ms;
        int64_t wait_ms = end_ms > now_ms ? end_ms - now_ms : 0;
        int events = poll(&ready, 1, wait_ms > INT32_MAX ? -1 : (int)wait_ms);
        if (events < 0) /* a signal, which the caller may want to look at */
            return idle(capture, now_ns, packet);
        if (events > 0 && (ready.revents & ~POLLIN))
            interface_failed(capture);
        polled = true;
    }
}

/* Takes the next frame of the block. False when it is to be passed over. */
static bool take_frame(struct afpacket *capture, struct packet *packet)
{
    const uint8_t *frame = capture->frame;
    const struct tpacket3_hdr *header = (const struct tpacket3_hdr *)frame;

    capture->left--;
    capture->frame += header->tp_next_offset;
    __builtin_prefetch(capture->frame); /* the next header, while the caller works on this packet */
    if (capture->skips_outgoing) {
        const struct sockaddr_ll *link =
            (const struct sockaddr_ll *)(frame + TPACKET_ALIGN(sizeof *header));
        if (link->sll_pkttype == PACKET_OUTGOING) {
            capture->stats->received--; /* it comes again, as received */
            return false;
        }
    }
    *packet = (struct packet){
        .data = frame + header->tp_mac,
        .captured_bytes = header->tp_snaplen,
        .wire_bytes = header->tp_len,
        .time_ns = header->tp_sec * second_ns + header->tp_nsec,
        .ordinal = capture->ordinal++,
        .link = capture->link,
        .source = capture->index,
    };
    if (header->tp_status & TP_STATUS_VLAN_VALID) {
        packet->has_vlan = true;
        packet->vlan_tci = (uint16_t)header->hv1.tp_vlan_tci;
        packet->vlan_tpid = header->tp_status & TP_STATUS_VLAN_TPID_VALID
                                ? header->hv1.tp_vlan_tpid
                                : ETH_P_8021Q;
    }
    if (!capture->cutter) /* it counts what it cuts, and a block holds whatever there is */
        capture->stats->truncated += packet->captured_bytes < packet->wire_bytes;
    capture->stats->last_ns = packet->time_ns;
    return true;
}

static enum source_verdict afpacket_next(struct source *source, struct packet *packet,
                                         int timeout_ms)
{
    struct afpacket *capture = (struct afpacket *)source;

    if (capture->over)
        return SOURCE_ERROR;
    for (;;) {
        while (capture->left)
            if (take_frame(capture, packet))
                return SOURCE_PACKET;
        give_back(capture);
        enum source_verdict verdict = await_block(capture, packet, timeout_ms);
        if (verdict != SOURCE_PACKET)
            return verdict;
    }
}

static void afpacket_stats(const struct source *source, struct source_stats *stats)
{
    const struct afpacket *capture = (const struct afpacket *)source;

    count_kernel(capture);
    *stats = *capture->stats;
    stats->cuts = capture->cutter != NULL;
    if (!capture->cutter)
        return;
    struct cutter_counts counts;
    cutter_count(capture->cutter, capture->index, &counts);
    stats->filtered = counts.filtered;
    stats->filtered_bytes = counts.filtered_bytes;
    stats->cut = counts.cut;
    stats->cut_bytes = counts.cut_bytes;
}

static const uint8_t *no_secret(const struct source *source, size_t index,
                                uint32_t *secrets_type, size_t *bytes)
{
    (void)source, (void)index, (void)secrets_type, (void)bytes;
    return NULL;
}

static int afpacket_descriptor(const struct source *source)
{
    return ((const struct afpacket *)source)->fd;
}

static void afpacket_close(struct source *source)
{
    struct afpacket *capture = (struct afpacket *)source;

    if (!capture)
        return;
    if (capture->ring)
        munmap(capture->ring, (size_t)capture->block_bytes * capture->block_count);
    if (capture->fd >= 0)
        close(capture->fd);
    free(capture->stats);
    free(capture);
}

static const struct source_ops afpacket_ops = {
    afpacket_next, afpacket_stats, no_secret, afpacket_descriptor, afpacket_close,
};

/* What an ARPHRD_ type gives us: frames as they are (SOCK_RAW), or from their IP header on
 * (SOCK_DGRAM). 0: neither. */
static int socket_type_of(unsigned short hardware, uint16_t *link)
{
    switch (hardware) {
    case ARPHRD_ETHER:
    case ARPHRD_LOOPBACK:
        *link = LINK_ETHERNET;
        return SOCK_RAW;
    case ARPHRD_NONE:
    case ARPHRD_PPP:
    case ARPHRD_TUNNEL:
    case ARPHRD_TUNNEL6:
    case ARPHRD_SIT:
    case ARPHRD_IPGRE:
    case ARPHRD_RAWIP:
    case ARPHRD_IP6GRE:
        *link = LINK_RAW;
        return SOCK_DGRAM;
    default:
        return 0;
    }
}

/* Makes capture->fd, a socket of the right type for the interface. */
static bool open_socket(struct afpacket *capture, int *interface, char *error)
{
    struct ifreq request;
    /* Any packet socket answers for any interface; whether it suits is known only afterwards. */
    int asking = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    int type = 0;

    if (asking < 0) {
        error_line(error, "%s: cannot open a packet socket: %m%s", capture->name,
                   errno == EPERM ? " (CAP_NET_RAW is needed)" : "");
        return false;
    }
    memset(&request, 0, sizeof request);
    memcpy(request.ifr_name, capture->name, IFNAMSIZ);
    *interface = (int)if_nametoindex(capture->name);
    if (!*interface || ioctl(asking, SIOCGIFHWADDR, &request) < 0) {
        error_line(error, "%s: %m", capture->name);
    } else {
        type = socket_type_of(request.ifr_hwaddr.sa_family, &capture->link);
        if (!type)
            error_line(error, "%s: link type %u (ARPHRD) is not supported", capture->name,
                       request.ifr_hwaddr.sa_family);
    }
    capture->skips_outgoing = request.ifr_hwaddr.sa_family == ARPHRD_LOOPBACK;
    if (type == SOCK_RAW) {
        capture->fd = asking;
        return true;
    }
    close(asking);
    if (!type)
        return false;
    capture->fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (capture->fd < 0)
        error_line(error, "%s: cannot open a packet socket: %m", capture->name);
    return capture->fd >= 0;
}

static bool open_ring(struct afpacket *capture, const struct afpacket_options *options,
                      char *error)
{
    uint32_t page_bytes = (uint32_t)sysconf(_SC_PAGESIZE);
    uint32_t block_bytes = options->block_bytes / page_bytes * page_bytes;
    int version = TPACKET_V3;

    if (block_bytes < BLOCK_BYTES_MIN || options->ring_bytes / block_bytes < BLOCKS_MIN) {
        error_line(error, "%s: a ring needs two blocks of at least %u bytes, not %u of %u",
                   capture->name, BLOCK_BYTES_MIN, options->ring_bytes, options->block_bytes);
        return false;
    }
    struct tpacket_req3 request = {
        .tp_block_size = block_bytes,
        .tp_block_nr = options->ring_bytes / block_bytes,
        .tp_frame_size = FRAME_BYTES,
        .tp_frame_nr = options->ring_bytes / block_bytes * (block_bytes / FRAME_BYTES),
        .tp_retire_blk_tov = options->block_timeout_ms,
    };
    size_t bytes = (size_t)block_bytes * request.tp_block_nr;
    if (setsockopt(capture->fd, SOL_PACKET, PACKET_VERSION, &version, sizeof version) < 0 ||
        setsockopt(capture->fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof request) < 0) {
        error_line(error, "%s: no ring of %zu bytes: %m", capture->name, bytes);
        return false;
    }
    void *ring =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, capture->fd, 0);
    if (ring == MAP_FAILED) {
        error_line(error, "%s: cannot map a ring of %zu bytes: %m", capture->name, bytes);
        return false;
    }
    capture->ring = ring;
    capture->block_bytes = block_bytes;
    capture->block_count = request.tp_block_nr;
    capture->block_timeout_ms = options->block_timeout_ms;
    return true;
}

static bool listen_to(struct afpacket *capture, int interface, bool promiscuous, char *error)
{
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(ETH_P_ALL),
        .sll_ifindex = interface,
    };
    struct packet_mreq membership = {.mr_ifindex = interface, .mr_type = PACKET_MR_PROMISC};
    int yes = 1;

    /* Since Linux 4.20; before, take_frame() does it. */
    if (capture->skips_outgoing &&
        setsockopt(capture->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof yes) == 0)
        capture->skips_outgoing = false;
    if (bind(capture->fd, (struct sockaddr *)&address, sizeof address) < 0) {
        error_line(error, "%s: cannot bind: %m", capture->name);
        return false;
    }
    interface_failed(capture); /* bind() to an interface that is down succeeds */
    if (capture->down_errno) {
        fail(capture);
        memcpy(error, capture->base.error, SOURCE_ERROR_BYTES);
        return false;
    }
    if (promiscuous && setsockopt(capture->fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &membership,
                                  sizeof membership) < 0) {
        error_line(error, "%s: no promiscuous mode: %m", capture->name);
        return false;
    }
    return true;
}

/* The hash is symmetric. Fragments hash by addresses alone, apart from the rest of their flow, so
 * the kernel puts IPv4 datagrams together first. Suricata asks for the same ("defrag: yes"). */
static bool join_fanout(struct afpacket *capture, uint16_t group, char *error)
{
    uint32_t fanout = group | (uint32_t)(PACKET_FANOUT_HASH | PACKET_FANOUT_FLAG_DEFRAG) << 16;

    if (!group ||
        setsockopt(capture->fd, SOL_PACKET, PACKET_FANOUT, &fanout, sizeof fanout) == 0)
        return true;
    error_line(error, "%s: cannot join fanout group %u: %m", capture->name, group);
    return false;
}

static bool close_filter(struct afpacket *capture, struct kernelfilter *filter, char *error)
{
    kernelfilter_build_closed(filter);
    if (kernelfilter_attach(filter, capture->fd))
        return true;
    error_line(error, "%s: cannot attach a filter: %m", capture->name);
    return false;
}

/* Without it everything is seen as well: why it was refused is for `hoptap check`. */
static bool open_cutter(struct afpacket *capture, const struct afpacket_options *options,
                        const struct kernelfilter *ports)
{
    char refusal[SOURCE_ERROR_BYTES];

    if (!options->cutter || !cutter_attach(options->cutter, capture->index, ports,
                                           capture->link == LINK_ETHERNET, capture->fd, refusal))
        return false;
    capture->cutter = options->cutter;
    return true;
}

static bool open_filter(struct afpacket *capture, const struct afpacket_options *options,
                        struct kernelfilter *filter, char *error)
{
    int unused = 0;

    if (!options->port_count) {
        if (open_cutter(capture, options, NULL) ||
            setsockopt(capture->fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused) == 0)
            return true;
    } else if (!kernelfilter_build(filter, capture->link == LINK_ETHERNET, options->ports,
                                   options->port_count)) {
        errno = E2BIG;
    } else if (open_cutter(capture, options, filter) ||
               kernelfilter_attach(filter, capture->fd)) {
        return true;
    }
    error_line(error, "%s: no filter for %zu ports: %m", capture->name, options->port_count);
    return false;
}

static bool open_parts(struct afpacket *capture, const struct afpacket_options *options,
                       struct kernelfilter *filter, char *error)
{
    int interface = 0;

    return open_socket(capture, &interface, error) && close_filter(capture, filter, error) &&
           open_ring(capture, options, error) &&
           listen_to(capture, interface, options->promiscuous, error) &&
           join_fanout(capture, options->fanout_group, error) &&
           open_filter(capture, options, filter, error);
}

struct source *afpacket_open(const struct afpacket_options *options,
                             char error[SOURCE_ERROR_BYTES])
{
    struct afpacket *capture = calloc(1, sizeof *capture);
    struct kernelfilter *filter = calloc(1, sizeof *filter);
    bool opened = false;

    if (capture) {
        capture->base.ops = &afpacket_ops;
        capture->base.live = true;
        capture->fd = -1;
        capture->index = options->index;
        capture->stats = calloc(1, sizeof *capture->stats);
    }
    if (!capture || !capture->stats || !filter) {
        error_line(error, "%s: out of memory", options->interface);
    } else if (strlen(options->interface) >= IFNAMSIZ) {
        error_line(error, "%s: no such interface", options->interface);
    } else {
        strcpy(capture->name, options->interface);
        opened = open_parts(capture, options, filter, error);
    }
    free(filter);
    if (opened)
        return &capture->base;
    afpacket_close(capture ? &capture->base : NULL);
    return NULL;
}
