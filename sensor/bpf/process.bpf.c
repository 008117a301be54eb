/* What is seen of a traced process beside its library: the socket that a call uses, and its end. */

/* System calls that move bytes through a socket, as asm/unistd_64.h numbers them. */
INLINE bool moves_bytes(u64 number)
{
#ifdef __x86_64__
    return number == 0 || number == 1 || number == 19 || number == 20 ||
           (number >= 44 && number <= 47);
#else /* asm-generic/unistd.h: read, write, readv, writev, sendto, recvfrom, sendmsg, recvmsg */
    return (number >= 63 && number <= 66) || number == 206 || number == 207 || number == 211 ||
           number == 212;
#endif
}

/* A fork is traced from now on, has ended, or runs another program. */
INLINE void grow_up(u32 number)
{
    u32 only = 0;
    u64 *count = forks.lookup(&only);
    if (count && forked.delete(&number) == 0)
        __sync_fetch_and_add(count, -1);
}

/* Of who was forked and is not traced yet: another connection that it uses is lost. */
INLINE void count_unseen(u32 number, struct pt_regs *regs)
{
#ifdef TASK_FILES
    struct traced *fork = forked.lookup(&number);
    u32 pid = process_id();
    if (!fork || !fork->fork_waits)
        return;
    if (traced.lookup(&pid)) {
        grow_up(number);
        return;
    }
    u16 port = 0;
    u64 fd = PT_REGS_PARM1(regs);
    struct connection_key key = {.sock = fd < FD_MAX ? sock_of(fd) : 0, .process = number};
    u8 seen = 1;
    if (!key.sock || !is_internet(fd) || unseen.lookup(&key) ||
        bpf_probe_read_kernel(&port, sizeof port, (void *)(key.sock + SOCK_REMOTE_PORT)) || !port)
        return;
    unseen.update(&key, &seen);
    lose(fork->tap, LOST_FORK, 0);
#endif
}

/* Raw tracepoint sys_enter: of every process, so what is no matter of ours ends early. */
int on_system_call(struct bpf_raw_tracepoint_args *ctx)
{
    u64 thread = bpf_get_current_pid_tgid();
    u32 only = 0;
    if (!moves_bytes(ctx->args[1]))
        return 0;
    u64 *young = forks.lookup(&only);
    bool any_young = young && *young;
    struct seeker *seeker = seekers.lookup(&thread);
    if (!seeker && !any_young)
        return 0;
    struct pt_regs regs = {};
    if (bpf_probe_read_kernel(&regs, sizeof regs, (void *)ctx->args[0]))
        return 0;
    if (any_young)
        count_unseen(thread >> 32, &regs);
    if (!seeker)
        return 0;
    /* Made by the call, so further down its stack. */
    bool nested = PT_REGS_SP(&regs) < seeker->stack;
    u64 fd = PT_REGS_PARM1(&regs);
    if (!nested || fd >= FD_MAX || !is_internet(fd))
        return 0;
    struct session *session = session_of(process_id(), seeker->session, seeker->tap);
    if (session)
        session->fd = fd;
    seekers.delete(&thread);
    return 0;
}

/* Its sessions end with it, whether it freed them or not. */
INLINE int end_process(void)
{
    u32 pid = process_id();
    struct process *process = processes.lookup(&pid);
    if (!process)
        return 0;
    struct totals_record first;
    u64 now_ns = bpf_ktime_get_ns();
    struct totals_record ended = {.event = {.time_ns = now_ns, .generation = now_ns, .pid = pid,
                                            .fd = -1, .tap = process->tap, .kind = TAP_CLOSE}};
    say(&ended, unsaid.peek(&first) == 0); /* which may be of its sessions */
    processes.delete(&pid);
    return 0;
}

/* Of its process the first thread may end before others. */
INLINE bool is_last_thread(u64 task)
{
#ifdef TASK_SIGNAL
    u64 signal = 0;
    u32 live = 0;
    return bpf_probe_read_kernel(&signal, sizeof signal, (void *)(task + TASK_SIGNAL)) == 0 &&
           bpf_probe_read_kernel(&live, sizeof live, (void *)(signal + SIGNAL_LIVE)) == 0 && !live;
#else /* as long as it is the first that ends last */
    u64 thread = bpf_get_current_pid_tgid();
    return thread >> 32 == (u32)thread;
#endif
}

/* Raw tracepoint sched_process_exit: of a thread, which do_exit() does not count any more. */
int on_exit(struct bpf_raw_tracepoint_args *ctx)
{
    u32 pid = process_id();
    if (!is_last_thread(ctx->args[0]))
        return 0;
    traced.delete(&pid);
    grow_up(bpf_get_current_pid_tgid() >> 32);
    return end_process();
}

struct birth {
    u32 parent; /* as the sensor numbers it; 0: this is an exec */
    u32 child;  /* 0: its number there is not known */
};

/* Wakes the sensor, which looks itself who it is. Without room it is awake already. */
INLINE struct traced *tell_birth(u32 parent, u32 child)
{
    struct name name = {};
    bpf_get_current_comm(name.text, sizeof name.text);
    struct traced *named = names.lookup(&name);
    if (!named)
        return NULL;
    struct birth *birth = births.ringbuf_reserve(sizeof(struct birth));
    if (!birth)
        return named;
    birth->parent = parent;
    birth->child = child;
    births.ringbuf_submit(birth, 0);
    return named;
}

/* Raw tracepoint sched_process_exec: another program, with none of the sessions. */
int on_exec(struct bpf_raw_tracepoint_args *ctx)
{
    u32 pid = process_id();
    end_process();
    grow_up(bpf_get_current_pid_tgid() >> 32);
    struct traced *named = tell_birth(0, 0);
    if (named && named->taps && !named->fork_waits)
        traced.update(&pid, named);
    else
        traced.delete(&pid);
    return 0;
}

/* Raw tracepoint sched_process_fork, in the parent, before the child runs. */
int on_fork(struct bpf_raw_tracepoint_args *ctx)
{
    u32 parent = process_id(), number = bpf_get_current_pid_tgid() >> 32, child = 0;
#ifdef TASK_TGID
    if (bpf_probe_read_kernel(&child, sizeof child, (void *)(ctx->args[1] + TASK_TGID)) ||
        child == number)
        return 0; /* a thread */
    u32 only = 0;
    u64 *count = forks.lookup(&only);
    struct traced *follow = traced.lookup(&parent);
    if (!follow)
        follow = forked.lookup(&number);
    if (follow && count) {
        struct traced fork = *follow;
        if (forked.update(&child, &fork) == 0)
            __sync_fetch_and_add(count, 1);
    }
#endif
#ifdef PID_NAMESPACE
    child = 0;
#endif
    tell_birth(parent, child);
    return 0;
}

/* How far a session has come now, if it has not ended; what was said since may show it already. */
INLINE void renew(struct totals_record *record)
{
    struct session_key key = {.address = record->event.session, .pid = record->event.pid};
    struct session *session = sessions.lookup(&key);
    if (!session || session->generation != record->event.generation)
        return;
    session->behind = 0; /* first: what is lost from now on is to be said again */
    count_up(&record->totals, session);
}

/* By BPF_PROG_RUN, by one at a time. How many were said: less than UNSAID_AT_ONCE are all, or all
 * that there is room for. */
int on_room(struct bpf_raw_tracepoint_args *ctx)
{
    u32 said = 0;
#pragma clang loop unroll(disable)
    for (; said < UNSAID_AT_ONCE; said++) {
        struct totals_record next = {};
        if (unsaid.peek(&next))
            break;
        struct totals_record *record = ring.ringbuf_reserve(sizeof(struct totals_record));
        if (!record)
            break;
        if (next.event.kind == TAP_TOTALS)
            renew(&next);
        next.event.time_ns = bpf_ktime_get_ns(); /* events are in the order of their times */
        *record = next;
        ring.ringbuf_submit(record, 0);
        unsaid.pop(&next);
    }
    return said;
}
