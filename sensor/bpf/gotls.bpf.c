/* Go's crypto/tls from 1.17 on (arguments in registers, cmd/compile/abi-internal.md), on x86-64.
 *
 * A goroutine's stack moves when it grows, and a return address replaced by a uretprobe would be
 * taken for damage: each RET of a function has a probe of its own. A call is named by its goroutine
 * and its distance from the top of that stack, which moving leaves alone.
 */
#ifdef __x86_64__

#define STACK_TOP_AT 8 /* of runtime.g: stack{lo, hi} is its first field */
#define CONN_AT 8      /* of tls.Conn: conn net.Conn is the first field, its data the second word */
#define IS_CLIENT_AT 16 /* of tls.Conn: isClient bool follows */
#define SYSTEM_FD_AT 16 /* of net.netFD: pfd poll.FD{fdmu fdMutex; Sysfd int} is the first field */

INLINE u64 user_word(u64 address)
{
    u64 value = 0;
    if (bpf_probe_read_user(&value, sizeof value, (void *)address))
        return 0;
    return value;
}

INLINE struct call_key key_of_routine(struct pt_regs *ctx)
{
    struct call_key key = {.routine = ctx->r14, .pid = process_id()};
    key.stack = user_word(ctx->r14 + STACK_TOP_AT) - ctx->sp;
    return key;
}

/* What stays as it is while the connection lives: told by its memory, no system call needed. */
INLINE void read_connection(u64 connection, struct session *session)
{
    u8 is_client = 0;
    if (session->role != TAP_ROLE_UNKNOWN)
        return;
    if (bpf_probe_read_user(&is_client, 1, (void *)(connection + IS_CLIENT_AT)) == 0)
        session->role = is_client ? TAP_ROLE_CLIENT : TAP_ROLE_SERVER;
    /* A *net.TCPConn points to its netFD. Anything else rarely has a small number there. */
    u64 descriptor = user_word(user_word(connection + CONN_AT));
    u64 fd = descriptor ? user_word(descriptor + SYSTEM_FD_AT) : 0;
    if (fd > 2 && fd < FD_MAX)
        session->fd = fd;
}

INLINE int enter_go(struct pt_regs *ctx, u32 direction)
{
    struct call_key key = key_of_routine(ctx);
    struct call call = {.time_ns = bpf_ktime_get_ns(), .session = ctx->ax, .buffer = ctx->bx,
                        .direction = direction};
    calls.update(&key, &call);
    return 0;
}

/* At each RET of both: the count is in the first register, whatever the error says. */
INLINE int return_from_go(struct pt_regs *ctx, u32 tap)
{
    struct call_key key = key_of_routine(ctx);
    struct call *found = calls.lookup(&key);
    s64 size = ctx->ax;
    if (!found) {
        if (size > 0)
            lose(tap, LOST_CALL, size);
        return 0;
    }
    struct call call = *found;
    calls.delete(&key);
    if (size <= 0)
        return 0;
    struct session *session = session_of(key.pid, call.session, tap);
    if (session)
        read_connection(call.session, session);
    moved(tap, key.pid, &call, size);
    return 0;
}

int go_function(struct pt_regs *ctx)
{
    struct cookie cookie = cookie_of(ctx);
    if (!is_wanted(&cookie))
        return 0;
    switch (cookie.function) {
    case READS:
        return enter_go(ctx, TAP_READ);
    case WRITES:
        return enter_go(ctx, TAP_WRITTEN);
    case RETURNS:
        return return_from_go(ctx, cookie.tap);
    case ENDS: /* or begins anew, in memory of one that was dropped */
        end_session(process_id(), ctx->ax, cookie.tap);
        return 0;
    }
    return 0;
}

/* (*Config).writeKeyLog(label string, clientRandom, secret []byte). */
int go_secret(struct pt_regs *ctx)
{
    struct cookie cookie = cookie_of(ctx);
    if (!is_wanted(&cookie))
        return 0;
    struct secret secret = {.session = ctx->ax, .label = ctx->bx, .label_size = ctx->cx,
                            .random = ctx->di, .value = ctx->r9, .size = ctx->r10};
    return tell_secret(cookie.tap, &secret);
}

#endif
