/* OpenSSL 1.1 and 3, and libraries that kept its functions: what SSL objects read and write. */

/* Where its beginning was not seen, the object itself says which side it is. */
INLINE void read_role(const struct cookie *cookie, u32 pid, u64 address)
{
    struct session *session = session_of(pid, address, cookie->tap);
    s32 server = 0;
    if (!session || session->role != TAP_ROLE_UNKNOWN)
        return;
    session->late = 1;
    if (!cookie->server_at)
        return;
    if (bpf_probe_read_user(&server, sizeof server, (void *)(address + cookie->server_at)) == 0)
        session->role = server ? TAP_ROLE_SERVER : TAP_ROLE_CLIENT;
}

/* Of what reads and writes. */
int openssl_return(struct pt_regs *ctx)
{
    struct cookie cookie = cookie_of(ctx);
    if (!is_wanted(&cookie))
        return 0;
    struct call_key key;
    struct call call;
    s32 result = PT_REGS_RC(ctx);
    bool found = leave(ctx, &key, &call);
    if (result <= 0)
        return 0;
    u64 size = result;
    if (!found) {
        lose(cookie.tap, LOST_CALL, 0);
        return 0;
    }
    if (call.count_at && bpf_probe_read_user(&size, sizeof size, (void *)call.count_at)) {
        lose(cookie.tap, LOST_UNREADABLE, 0);
        return 0;
    }
    if (size == 0)
        return 0;
    read_role(&cookie, key.pid, call.session);
    moved(cookie.tap, key.pid, &call, size);
    return 0;
}

/* The object is to serve another connection. OpenSSL calls it before each handshake as well. */
INLINE int clear(struct pt_regs *ctx, u32 tap)
{
    struct session_key key = {.address = PT_REGS_PARM1(ctx), .pid = process_id()};
    struct session *session = sessions.lookup(&key);
    if (session && (session->bytes[TAP_READ] || session->bytes[TAP_WRITTEN]))
        end_session(key.pid, key.address, tap);
    return 0;
}

int openssl_enter(struct pt_regs *ctx)
{
    struct cookie cookie = cookie_of(ctx);
    if (!is_wanted(&cookie))
        return 0;
    switch (cookie.function) {
    case READS:
        return enter_call(ctx, cookie.tap, PT_REGS_PARM2(ctx), 0, TAP_READ);
    case READS_INTO:
        return enter_call(ctx, cookie.tap, PT_REGS_PARM2(ctx), PT_REGS_PARM4(ctx), TAP_READ);
    case WRITES:
        return enter_call(ctx, cookie.tap, PT_REGS_PARM2(ctx), 0, TAP_WRITTEN);
    case WRITES_INTO:
        return enter_call(ctx, cookie.tap, PT_REGS_PARM2(ctx), PT_REGS_PARM4(ctx), TAP_WRITTEN);
    case WRITES_WITH:
        return enter_call(ctx, cookie.tap, PT_REGS_PARM2(ctx), PT_REGS_PARM5(ctx), TAP_WRITTEN);
    case SENDS_FILE:
        return enter_call(ctx, cookie.tap, 0, 0, TAP_WRITTEN);
    case CONNECTS:
        return learn_role(ctx, cookie.tap, TAP_ROLE_CLIENT);
    case ACCEPTS:
        return learn_role(ctx, cookie.tap, TAP_ROLE_SERVER);
    case SETS_SOCKET:
        return learn_socket(ctx, cookie.tap, (u32)PT_REGS_PARM2(ctx));
    case CLEARS:
        return clear(ctx, cookie.tap);
    case ENDS:
        end_session(process_id(), PT_REGS_PARM1(ctx), cookie.tap);
        return 0;
    }
    return 0;
}
