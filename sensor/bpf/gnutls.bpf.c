/* GnuTLS: what sessions send and receive. gnutls_record_send ends in gnutls_record_send2. */

/* gnutls_init(&session, flags): the session is known when it has returned. */
INLINE int begin(struct pt_regs *ctx)
{
    struct call_key key = key_of_call(ctx, 0);
    struct call call = {.buffer = PT_REGS_PARM1(ctx), .direction = PT_REGS_PARM2(ctx)};
    calls.update(&key, &call);
    return 0;
}

INLINE int begun(u32 tap, u32 pid, const struct call *call)
{
    u64 address = 0;
    if (bpf_probe_read_user(&address, sizeof address, (void *)call->buffer))
        return 0;
    struct session *session = session_of(pid, address, tap);
    if (session) /* GNUTLS_SERVER is 1, GNUTLS_CLIENT 2 */
        session->role = call->direction & 1 ? TAP_ROLE_SERVER : TAP_ROLE_CLIENT;
    return 0;
}

int gnutls_enter(struct pt_regs *ctx)
{
    struct cookie cookie = cookie_of(ctx);
    if (!is_wanted(&cookie))
        return 0;
    switch (cookie.function) {
    case READS:
        return enter_call(ctx, cookie.tap, PT_REGS_PARM2(ctx), 0, TAP_READ);
    case WRITES:
        return enter_call(ctx, cookie.tap, PT_REGS_PARM2(ctx), 0, TAP_WRITTEN);
    case SETS_SOCKET: /* or a pointer, which is no small number */
        return learn_socket(ctx, cookie.tap, PT_REGS_PARM2(ctx));
    case BEGINS:
        return begin(ctx);
    case ENDS:
        end_session(process_id(), PT_REGS_PARM1(ctx), cookie.tap);
        return 0;
    }
    return 0;
}

int gnutls_return(struct pt_regs *ctx)
{
    struct cookie cookie = cookie_of(ctx);
    if (!is_wanted(&cookie))
        return 0;
    struct call_key key;
    struct call call;
    s64 result = PT_REGS_RC(ctx);
    bool found = leave(ctx, &key, &call);
    if (cookie.function == BEGINS)
        return found && (s32)result == 0 ? begun(cookie.tap, key.pid, &call) : 0;
    if (result <= 0)
        return 0;
    /* Without a buffer it ends what an interrupted call began: those bytes cannot be had. */
    if (found)
        moved(cookie.tap, key.pid, &call, result);
    else
        lose(cookie.tap, LOST_CALL, result);
    return 0;
}
