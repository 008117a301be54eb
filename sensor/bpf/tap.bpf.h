/* What the kernel programs share: the ring, who is in which call, sessions, and what was lost.
 *
 * Compiled by BCC in front of the programs, with headers of the running kernel or of another one:
 * it uses pt_regs and UAPI types alone. Where a kernel structure is needed (a socket's addresses),
 * the loader gives its offsets from the running kernel's BTF.
 *
 * Invariant: an entry of `calls` is the one that its return removes. It is named by where the
 * return address lies on the stack, so calls may nest, and several sessions may share a thread.
 */
#include <uapi/linux/ptrace.h>
#include <uapi/linux/bpf.h>
#include "tap_event.h"

#define INLINE static inline __attribute__((always_inline))

#define AF_INET 2
#define AF_INET6 10
#define FD_MAX (1 << 20) /* fs.nr_open by default */

#define CALLS_MAX 65536 /* each goroutine that waits for data is in one */
#define SESSIONS_MAX 65536
#define PROCESSES_MAX 8192
#define UNSAID_MAX 32768
#define UNSAID_AT_ONCE 64 /* of one on_room */
#define TAPS_MAX 64
#define NAMES_MAX 1024
#define PIECES_MAX 256 /* of one call: 4 MiB */

/* How far the stack pointer is above a call's when it has returned. */
#ifdef __x86_64__
#define RETURNED_BYTES 8
#else
#define RETURNED_BYTES 0
#endif

enum loss {
    LOST_RING,       /* no room: the sensor was too slow */
    LOST_UNREADABLE, /* the process' memory could not be read */
    LOST_LONG,       /* of one call, beyond PIECES_MAX */
    LOST_CALL,       /* a call's end without its beginning: CALLS_MAX, or attached in between */
    LOST_FORK,       /* a connection that a fork used before it was traced, of TLS or not */
    LOSSES,
};

struct lost {
    u64 events;
    u64 bytes;
};

struct call_key {
    u64 stack; /* of C: where the return address lies. Of Go: its distance from the stack's top */
    u64 routine; /* of Go: the goroutine, whose stack may move */
    u32 pid;
    u32 pad;
};

struct call {
    u64 time_ns;
    u64 session;
    u64 buffer;
    u64 count_at; /* where the library writes how many bytes it were; 0: it returns the count */
    u32 direction;
    u32 pad;
};

struct session_key {
    u64 address;
    u32 pid;
    u32 pad;
};

/* Whose forks are followed, by process. */
struct traced {
    u64 taps;       /* a bit for each */
    u32 tap;        /* one of them, whose loss it is */
    u32 fork_waits; /* until the sensor has attached to it; else they are traced from the first */
};

struct connection_key {
    u64 sock;
    u64 process;
};

struct session {
    u64 generation;
    u64 bytes[2]; /* by tap_direction, as below */
    u64 told[2];  /* bytes that came before the end of the last that were told */
    s32 fd;
    u8 role;
    u8 addressed; /* its TAP_ADDRESS was sent */
    u8 behind;    /* the last bytes were lost, which `unsaid` will say */
    u8 late;      /* of tap_event */
};

struct process {
    u64 since_ns; /* of its first session */
    u32 tap;
    u32 pad;
};

/* The call whose system calls show the socket of a session. */
struct seeker {
    u64 stack;
    u64 session;
    u32 tap;
    u32 pad;
};

/* What a probed function does; libraries.py has the same numbers. */
enum function {
    READS,       /* (session, buffer, size): the count is returned */
    READS_INTO,  /* (session, buffer, size, &count) */
    WRITES,      /* as READS */
    WRITES_INTO, /* as READS_INTO */
    CONNECTS,    /* (session): as a client */
    ACCEPTS,     /* (session): as a server */
    SETS_SOCKET, /* (session, descriptor) */
    BEGINS,      /* (&session, flags of gnutls_init) */
    CLEARS,      /* (session): it may serve another connection */
    ENDS,        /* (session) */
    RETURNS,     /* of Go: a RET of what reads or writes */
    SENDS_FILE,  /* (session, file, offset, size): the count is returned, the bytes stay unseen */
    WRITES_WITH, /* (session, buffer, size, flags, &count) */
};

/* What an attachment says to its programs, by bpf_get_attach_cookie. */
struct cookie {
    u8 tap;
    u8 function;
    u8 selective; /* it is attached to a file: only of `traced` processes, and their forks */
    u16 state_at;  /* of a session: where the pointer to its state lies; 0: it is the state */
    u16 random_at; /* in the state: the client's random */
    u16 server_at; /* of a session: an int that is not 0 in a server; 0: not known where */
};

struct totals_record {
    struct tap_event event;
    struct tap_totals totals;
};

/* As the kernel calls a process, TASK_COMM_LEN. */
struct name {
    char text[16];
};

BPF_RINGBUF_OUTPUT(ring, RING_PAGES);
BPF_TABLE("lru_hash", struct call_key, struct call, calls, CALLS_MAX);
BPF_TABLE("lru_hash", struct session_key, struct session, sessions, SESSIONS_MAX);
BPF_TABLE("lru_hash", u64, struct seeker, seekers, PROCESSES_MAX); /* by thread */
BPF_TABLE("lru_hash", u32, struct process, processes, PROCESSES_MAX); /* that have a session */
BPF_TABLE("hash", u32, struct traced, traced, PROCESSES_MAX);
BPF_TABLE("hash", u32, struct traced, forked, PROCESSES_MAX); /* by the kernel's own number */
BPF_TABLE("array", u32, u64, forks, 1);                       /* how many `forked` has */
BPF_TABLE("lru_hash", struct connection_key, u8, unseen, SESSIONS_MAX);
/* Names that processes to be traced have; in `births`, each that began under one. */
BPF_TABLE("hash", struct name, struct traced, names, NAMES_MAX);
BPF_RINGBUF_OUTPUT(births, 1);
BPF_TABLE("percpu_array", u32, struct lost, losses, TAPS_MAX *LOSSES);
/* Ends, and totals of who is behind, that the ring had no room for: in order, said by on_room. */
BPF_QUEUE(unsaid, struct totals_record, UNSAID_MAX);

INLINE struct cookie cookie_of(void *ctx)
{
    u64 value = bpf_get_attach_cookie(ctx);
    struct cookie cookie = {};
    cookie.tap = value & 0xff;
    cookie.function = value >> 8 & 0x7f;
    cookie.selective = value >> 15 & 1;
    cookie.state_at = value >> 16 & 0xffff;
    cookie.random_at = value >> 32 & 0xffff;
    cookie.server_at = value >> 48;
    return cookie;
}

/* The process that makes the call, as the sensor's namespace numbers it where that can be told. */
INLINE u32 process_id(void)
{
#ifdef PID_NAMESPACE
    struct bpf_pidns_info known = {};
    if (bpf_get_ns_current_pid_tgid(PID_NAMESPACE_DEVICE, PID_NAMESPACE, &known, sizeof known) == 0)
        return known.tgid;
#endif
    return bpf_get_current_pid_tgid() >> 32;
}

INLINE bool is_wanted(const struct cookie *cookie)
{
    u32 pid = process_id(), number = bpf_get_current_pid_tgid() >> 32;
    if (!cookie->selective)
        return true;
    struct traced *found = traced.lookup(&pid);
    if (!found)
        found = forked.lookup(&number);
    return found && found->taps >> (cookie->tap & (TAPS_MAX - 1)) & 1;
}

INLINE void lose(u32 tap, enum loss reason, u64 bytes)
{
    u32 at = tap * LOSSES + reason;
    struct lost *lost = losses.lookup(&at);
    if (!lost)
        return;
    /* A program may be interrupted by one of another process, on the same CPU. */
    __sync_fetch_and_add(&lost->events, 1);
    __sync_fetch_and_add(&lost->bytes, bytes);
}

/* --- sessions */

INLINE struct session *session_of(u32 pid, u64 address, u32 tap)
{
    struct session_key key = {.address = address, .pid = pid};
    struct session *session = sessions.lookup(&key);
    struct process *process = processes.lookup(&pid);
    /* One from before belongs to a process that ended, whose number another has. */
    if (session && process && session->generation >= process->since_ns)
        return session;
    struct session new = {.generation = bpf_ktime_get_ns(), .fd = -1};
    if (!process) {
        struct process first = {.since_ns = new.generation, .tap = tap};
        processes.update(&pid, &first);
    }
    sessions.update(&key, &new);
    return sessions.lookup(&key);
}

/* What came so far: read when all of a call is told or lost, so that no bytes are between. */
INLINE void count_up(struct tap_totals *totals, const struct session *session)
{
    totals->told[TAP_WRITTEN] = session->told[TAP_WRITTEN];
    totals->told[TAP_READ] = session->told[TAP_READ];
    totals->bytes[TAP_WRITTEN] = session->bytes[TAP_WRITTEN];
    totals->bytes[TAP_READ] = session->bytes[TAP_READ];
}

/* As soon as there is room, and after what waits for that already. */
INLINE void say_later(const struct totals_record *record)
{
    if (unsaid.push(record, BPF_ANY))
        lose(record->event.tap, LOST_RING, 0);
}

INLINE void say(const struct totals_record *what, bool others_wait)
{
    struct totals_record *record =
        others_wait ? NULL : ring.ringbuf_reserve(sizeof(struct totals_record));
    if (!record) {
        say_later(what);
        return;
    }
    *record = *what;
    ring.ringbuf_submit(record, 0);
}

INLINE void end_session(u32 pid, u64 address, u32 tap)
{
    struct session_key key = {.address = address, .pid = pid};
    struct session *session = sessions.lookup(&key);
    if (!session)
        return;
    struct totals_record closed = {
        .event = {.time_ns = bpf_ktime_get_ns(), .session = address,
                  .generation = session->generation, .pid = pid, .size = sizeof closed.totals,
                  .fd = session->fd, .tap = tap, .kind = TAP_CLOSE, .role = session->role}};
    count_up(&closed.totals, session);
    say(&closed, session->behind);
    sessions.delete(&key);
}

/* Bytes were lost, and nothing that came since shows it: it may be the last that is heard. */
INLINE void fall_behind(const struct tap_event *event, struct session *session)
{
    struct totals_record behind = {.event = *event};
    if (session->behind)
        return;
    session->behind = 1;
    behind.event.kind = TAP_TOTALS;
    behind.event.size = sizeof behind.totals;
    count_up(&behind.totals, session);
    say_later(&behind);
}

/* --- the socket's addresses: offsets of kernel structures are given by the loader, from BTF */

#ifdef TASK_FILES
INLINE u64 follow(u64 address, u32 offset)
{
    u64 value = 0;
    if (!address || bpf_probe_read_kernel(&value, sizeof value, (void *)(address + offset)))
        return 0;
    return value;
}

/* struct sock of a descriptor of this process; 0 if it is none. */
INLINE u64 sock_of(s32 fd)
{
    u64 table = follow(follow(bpf_get_current_task(), TASK_FILES), FILES_TABLE);
    u32 most = 0;
    if (!table || bpf_probe_read_kernel(&most, sizeof most, (void *)(table + TABLE_MAX_FDS)))
        return 0;
    if (fd < 0 || (u32)fd >= most)
        return 0;
    u64 file = follow(follow(table, TABLE_FD), fd * sizeof(u64));
    u64 socket = follow(file, FILE_PRIVATE);
    return file && follow(socket, SOCKET_FILE) == file ? follow(socket, SOCKET_SOCK) : 0;
}

INLINE void read_sock(struct tap_address *address, u64 sock)
{
    u16 port = 0;
    bpf_probe_read_kernel(&address->family, 2, (void *)(sock + SOCK_FAMILY));
    bpf_probe_read_kernel(&address->remote_port_be, 2, (void *)(sock + SOCK_REMOTE_PORT));
    bpf_probe_read_kernel(&port, 2, (void *)(sock + SOCK_LOCAL_PORT));
    address->local_port_be = bpf_htons(port);
    if (address->family == AF_INET6) {
        bpf_probe_read_kernel(address->local, 16, (void *)(sock + SOCK_LOCAL6));
        bpf_probe_read_kernel(address->remote, 16, (void *)(sock + SOCK_REMOTE6));
        u32 mapped = 0;
        __builtin_memcpy(&mapped, address->remote + 8, sizeof mapped);
        u64 zeros = 0;
        __builtin_memcpy(&zeros, address->remote, sizeof zeros);
        if (zeros == 0 && mapped == bpf_htonl(0xffff))
            address->family = AF_INET;
    }
    if (address->family == AF_INET) {
        bpf_probe_read_kernel(address->local, 4, (void *)(sock + SOCK_LOCAL));
        bpf_probe_read_kernel(address->remote, 4, (void *)(sock + SOCK_REMOTE));
    }
}

/* Not a file, as of a key log that is written within a call. */
INLINE bool is_internet(s32 fd)
{
    u16 family = 0;
    u64 sock = sock_of(fd);
    if (!sock || bpf_probe_read_kernel(&family, sizeof family, (void *)(sock + SOCK_FAMILY)))
        return false;
    return family == AF_INET || family == AF_INET6;
}

struct address_record {
    struct tap_event event;
    struct tap_address address;
};

/* Tells the session's addresses once, when its socket is connected. */
INLINE void tell_address(const struct tap_event *event, struct session *session)
{
    if (session->addressed || session->fd < 0)
        return;
    u64 sock = sock_of(session->fd);
    if (!sock)
        return;
    struct tap_address address = {};
    read_sock(&address, sock);
    if ((address.family != AF_INET && address.family != AF_INET6) || !address.remote_port_be)
        return;
    struct address_record *record = ring.ringbuf_reserve(sizeof(struct address_record));
    if (!record)
        return; /* tried again with the next data */
    record->event = *event;
    record->event.kind = TAP_ADDRESS;
    record->event.size = sizeof address;
    record->address = address;
    ring.ringbuf_submit(record, 0);
    session->addressed = 1;
}
#else
INLINE bool is_internet(s32 fd)
{
    return true;
}

INLINE void tell_address(const struct tap_event *event, struct session *session)
{
}
#endif

/* --- plaintext */

/* What is no loss as a verdict. */
#define TOLD LOSSES

/* Copies the data behind the header of a record that has room for `limit` bytes of it. */
INLINE int fill(struct tap_event *record, const struct tap_event *event, u64 buffer, u64 limit)
{
    u64 size = event->size;
    if (!record)
        return LOST_RING;
    *record = *event;
    asm volatile("" : "+r"(size)); /* the verifier does not follow the bound through the caller */
    if (size > limit)
        size = limit;
    if (bpf_probe_read_user(record + 1, size, (void *)buffer)) {
        ring.ringbuf_discard(record, 0);
        return LOST_UNREADABLE;
    }
    ring.ringbuf_submit(record, 0);
    return TOLD;
}

/* The size of a record must be constant where it is reserved, so there are few. */
INLINE int put(const struct tap_event *event, u64 buffer)
{
    u64 size = event->size;
    if (size <= 256)
        return fill(ring.ringbuf_reserve(sizeof(struct tap_event) + 256), event, buffer, 256);
    if (size <= 1024)
        return fill(ring.ringbuf_reserve(sizeof(struct tap_event) + 1024), event, buffer, 1024);
    if (size <= 4096)
        return fill(ring.ringbuf_reserve(sizeof(struct tap_event) + 4096), event, buffer, 4096);
    return fill(ring.ringbuf_reserve(sizeof(struct tap_event) + TAP_DATA_BYTES_MAX), event, buffer,
                TAP_DATA_BYTES_MAX);
}

INLINE void put_piece(struct tap_event *event, u64 buffer, u64 size, u64 *told)
{
    event->size = size;
    int verdict = put(event, buffer);
    event->offset += size;
    if (verdict == TOLD)
        *told = event->offset;
    else
        lose(event->tap, verdict, size);
}

/* What a call moved, in as many events as it takes; what is lost leaves a gap in the offsets. */
INLINE void put_data(struct tap_event *event, u64 buffer, u64 size, u64 *told)
{
    u64 left = size;
#pragma clang loop unroll(disable)
    for (u32 piece = 0; piece < PIECES_MAX && left > TAP_DATA_BYTES_MAX; piece++) {
        put_piece(event, buffer, TAP_DATA_BYTES_MAX, told);
        buffer += TAP_DATA_BYTES_MAX;
        left -= TAP_DATA_BYTES_MAX;
    }
    if (left > TAP_DATA_BYTES_MAX)
        lose(event->tap, LOST_LONG, left);
    else
        put_piece(event, buffer, left, told);
}

INLINE void moved(u32 tap, u32 pid, const struct call *call, u64 size)
{
    struct session *session = session_of(pid, call->session, tap);
    if (!session) {
        lose(tap, LOST_CALL, size);
        return;
    }
    if (session->role == TAP_ROLE_UNKNOWN) /* which the beginning tells */
        session->late = 1;
    u32 direction = call->direction & 1;
    struct tap_event event = {.time_ns = direction == TAP_WRITTEN ? call->time_ns
                                                                  : bpf_ktime_get_ns(),
                              .session = call->session, .generation = session->generation,
                              .pid = pid, .fd = session->fd, .tap = tap, .kind = TAP_DATA,
                              .direction = direction, .role = session->role,
                              .late = session->late};
    tell_address(&event, session);
    event.offset = session->bytes[direction];
    put_data(&event, call->buffer, size, &session->told[direction]);
    session->bytes[direction] += size;
    if (session->told[direction] != session->bytes[direction])
        fall_behind(&event, session);
}

/* --- calls */

INLINE struct call_key key_of_call(struct pt_regs *ctx, u32 returned_bytes)
{
    struct call_key key = {};
    key.stack = PT_REGS_SP(ctx) - returned_bytes;
    key.pid = process_id();
    return key;
}

/* Its system calls show the socket of this session, where that is not known yet. */
INLINE void seek_socket(u64 stack, u32 pid, u64 address, u32 tap)
{
    struct session_key key = {.address = address, .pid = pid};
    struct session *session = sessions.lookup(&key);
    if (session && session->fd >= 0)
        return;
    u64 thread = bpf_get_current_pid_tgid();
    struct seeker seeker = {.stack = stack, .session = address, .tap = tap};
    seekers.update(&thread, &seeker);
}

INLINE int enter_call(struct pt_regs *ctx, u32 tap, u64 buffer, u64 count_at, u32 direction)
{
    struct call_key key = key_of_call(ctx, 0);
    struct call call = {.time_ns = bpf_ktime_get_ns(), .session = PT_REGS_PARM1(ctx),
                        .buffer = buffer, .count_at = count_at, .direction = direction};
    calls.update(&key, &call);
    seek_socket(key.stack, key.pid, call.session, tap);
    return 0;
}

/* The call of which this is the return, removed from `calls`; false if there is none. */
INLINE bool leave(struct pt_regs *ctx, struct call_key *key, struct call *call)
{
    *key = key_of_call(ctx, RETURNED_BYTES);
    u64 thread = bpf_get_current_pid_tgid();
    struct seeker *seeker = seekers.lookup(&thread);
    if (seeker && seeker->stack <= key->stack)
        seekers.delete(&thread);
    struct call *found = calls.lookup(key);
    if (!found)
        return false;
    *call = *found;
    calls.delete(key);
    return true;
}

/* The process said itself which socket it is. */
INLINE int learn_socket(struct pt_regs *ctx, u32 tap, u64 fd)
{
    struct session *session = session_of(process_id(), PT_REGS_PARM1(ctx), tap);
    if (session && fd > 0 && fd < FD_MAX && session->fd != fd) {
        session->fd = fd;
        session->addressed = 0;
    }
    return 0;
}

INLINE int learn_role(struct pt_regs *ctx, u32 tap, u8 role)
{
    struct session *session = session_of(process_id(), PT_REGS_PARM1(ctx), tap);
    if (session)
        session->role = role;
    return 0;
}
