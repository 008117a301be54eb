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

/* Raw tracepoint sys_enter: of every process, so what is no matter of ours ends early. */
int on_system_call(struct bpf_raw_tracepoint_args *ctx)
{
    u64 thread = bpf_get_current_pid_tgid();
    if (!moves_bytes(ctx->args[1]))
        return 0;
    struct seeker *seeker = seekers.lookup(&thread);
    if (!seeker)
        return 0;
    struct pt_regs regs = {};
    if (bpf_probe_read_kernel(&regs, sizeof regs, (void *)ctx->args[0]))
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
    struct tap_event *event = ring.ringbuf_reserve(sizeof(struct tap_event));
    if (event) {
        struct tap_event ended = {.time_ns = bpf_ktime_get_ns(), .pid = pid, .fd = -1,
                                  .tap = process->tap, .kind = TAP_CLOSE};
        *event = ended;
        ring.ringbuf_submit(event, 0);
    } else {
        lose(process->tap, LOST_RING, 0);
    }
    processes.delete(&pid);
    return 0;
}

/* Raw tracepoint sched_process_exit. */
int on_exit(struct bpf_raw_tracepoint_args *ctx)
{
    u64 thread = bpf_get_current_pid_tgid();
    return thread >> 32 == (u32)thread ? end_process() : 0;
}

/* Wakes the sensor, which looks itself who it is. Without room it is awake already. */
INLINE int tell_birth(void)
{
    struct name name = {};
    bpf_get_current_comm(name.text, sizeof name.text);
    if (!names.lookup(&name))
        return 0;
    u64 *birth = births.ringbuf_reserve(sizeof(u64));
    if (!birth)
        return 0;
    *birth = bpf_get_current_pid_tgid();
    births.ringbuf_submit(birth, 0);
    return 0;
}

/* Raw tracepoint sched_process_exec: another program, with none of the sessions. */
int on_exec(struct bpf_raw_tracepoint_args *ctx)
{
    end_process();
    return tell_birth();
}

/* Raw tracepoint sched_process_fork, in the parent. */
int on_fork(struct bpf_raw_tracepoint_args *ctx)
{
    return tell_birth();
}
