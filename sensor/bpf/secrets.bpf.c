/* Where a library would log a session's secrets, asked to or not: lines of RFC 9850. */

#define RANDOM_BYTES 32
#define SECRET_BYTES_MAX 64 /* SHA-512; SHA-384 is the longest in use */
#define LABEL_BYTES_MAX 48  /* CLIENT_HANDSHAKE_TRAFFIC_SECRET has 31 */
#define LINE_BYTES 256      /* a power of two, for the verifier; the longest line has 242 */

struct secret_line {
    struct tap_event event;
    u8 text[LINE_BYTES];
};

struct secret {
    u64 session;
    u64 label;
    u64 label_size; /* 0: ends with a zero byte */
    u64 random;
    u64 value;
    u64 size;
};

INLINE u8 digit(u8 nibble)
{
    return nibble < 10 ? '0' + nibble : 'a' + nibble - 10;
}

/* Appends bytes of the process in hexadecimal; where the line ends then, 0 if it cannot be read. */
INLINE u32 append(struct secret_line *line, u32 at, u64 address, u64 size)
{
    u8 bytes[SECRET_BYTES_MAX] = {};
    asm volatile("" : "+r"(size));
    if (size == 0 || size > SECRET_BYTES_MAX)
        return 0;
    if (bpf_probe_read_user(bytes, size, (void *)address))
        return 0;
    line->text[at++ & (LINE_BYTES - 1)] = ' ';
#pragma clang loop unroll(disable)
    for (u32 n = 0; n < SECRET_BYTES_MAX && n < size; n++) {
        line->text[at++ & (LINE_BYTES - 1)] = digit(bytes[n] >> 4);
        line->text[at++ & (LINE_BYTES - 1)] = digit(bytes[n] & 15);
    }
    return at;
}

/* Bytes of the label, which are then in the line; 0 if it cannot be read. */
INLINE u32 write_label(struct secret_line *line, const struct secret *secret)
{
    u64 size = secret->label_size;
    if (size == 0) {
        long with_zero = bpf_probe_read_user_str(line->text, LABEL_BYTES_MAX,
                                                 (void *)secret->label);
        return with_zero > 1 ? with_zero - 1 : 0;
    }
    asm volatile("" : "+r"(size));
    if (size == 0 || size > LABEL_BYTES_MAX)
        return 0;
    return bpf_probe_read_user(line->text, size, (void *)secret->label) ? 0 : size;
}

INLINE int tell_secret(u32 tap, const struct secret *secret)
{
    struct secret_line *line = ring.ringbuf_reserve(sizeof(struct secret_line));
    if (!line) {
        lose(tap, LOST_RING, 0);
        return 0;
    }
    u32 at = write_label(line, secret);
    if (at)
        at = append(line, at, secret->random, RANDOM_BYTES);
    if (at)
        at = append(line, at, secret->value, secret->size);
    if (!at) {
        lose(tap, LOST_UNREADABLE, 0);
        ring.ringbuf_discard(line, 0);
        return 0;
    }
    struct tap_event event = {.time_ns = bpf_ktime_get_ns(), .session = secret->session,
                              .pid = process_id(), .size = at, .fd = -1, .tap = tap,
                              .kind = TAP_SECRET};
    line->event = event;
    ring.ringbuf_submit(line, 0);
    return 0;
}

/* (session, label, secret, its size): ssl_log_secret, _gnutls_call_keylog_func. */
int library_secret(struct pt_regs *ctx)
{
    struct cookie cookie = cookie_of(ctx);
    if (!is_wanted(&cookie))
        return 0;
    struct secret secret = {.session = PT_REGS_PARM1(ctx), .label = PT_REGS_PARM2(ctx),
                            .value = PT_REGS_PARM3(ctx), .size = (u32)PT_REGS_PARM4(ctx)};
    u64 state = secret.session;
    if (cookie.state_at &&
        bpf_probe_read_user(&state, sizeof state, (void *)(secret.session + cookie.state_at))) {
        lose(cookie.tap, LOST_UNREADABLE, 0);
        return 0;
    }
    secret.random = state + cookie.random_at;
    return tell_secret(cookie.tap, &secret);
}
