/* links: tls*.c */
/* Secrets that come late, in part, wrong, or never; and what is let go for lack of room or time. */
#include "tls.h"

#include <time.h>

#include "check.h"
#include "tls_conversation.h"

static struct conversation talks[2]; /* TLS 1.3 and 1.2 */

static void make_talks(void)
{
    static const int versions[2] = {TLS1_3_VERSION, TLS1_2_VERSION};
    for (int i = 0; i < 2; i++) {
        SSL_CTX *client = context_of(false, versions[i]), *server = context_of(true, versions[i]);
        struct pair pair;
        pair_open(&pair, &talks[i], client, server);
        CHECK(shake_hands(&pair));
        for (int turn = 0; turn < 20; turn++) {
            say(&pair, TO_SERVER, 300);
            say(&pair, TO_CLIENT, 3000);
        }
        say_goodbye(&pair);
        pair_close(&pair);
        SSL_CTX_free(client);
        SSL_CTX_free(server);
    }
}

static uint64_t counted(const struct listener *listener, enum tls_counter counter)
{
    return listener->counters.value[counter];
}

static void feed_from(struct listener *listener, const struct conversation *talk, uint32_t from,
                      uint32_t to)
{
    for (uint32_t i = from; i < to; i++)
        feed_piece(listener, &talk->piece[i], FEED_WHOLE);
}

static void end_both(struct listener *listener, uint64_t time_ns)
{
    tls_end(listener->tls, TO_SERVER, time_ns);
    tls_end(listener->tls, TO_CLIENT, time_ns);
}

static uint64_t last_ns(const struct conversation *talk)
{
    return talk->piece[talk->pieces - 1].time_ns;
}

/* Lines whose label begins so; the rest when `others`. */
static void tell_labels(struct listener *listener, const struct conversation *talk,
                        const char *label, bool others)
{
    for (uint32_t i = 0; i < talk->lines; i++)
        if ((strncmp(talk->line[i], label, strlen(label)) == 0) != others)
            tls_secrets_line(listener->secrets, TLS_KEY_LOG, talk->line[i],
                             strlen(talk->line[i]));
}

/* The key at every point of the conversation. */
static void key_at_any_time(const struct conversation *talk)
{
    for (uint32_t at = 0; at <= talk->pieces; at++) {
        struct listener *listener = listener_open();
        listener_begin(listener);
        feed_from(listener, talk, 0, at);
        tell_lines(listener, talk);
        tls_wake(listener->secrets, at * 1000000ull);
        feed_from(listener, talk, at, talk->pieces);
        end_both(listener, last_ns(talk));
        CHECK(heard_all(listener, talk));
        CHECK(listener->disorders == 0);
        CHECK(listener->ends[0] == 1 && listener->ends[1] == 1);
        CHECK(tls_secrets_held_bytes(listener->secrets) == 0);
        listener_close(listener);
    }
}

/* Without tls_wake() in between, the close looks a last time. */
static void key_just_before_close(const struct conversation *talk)
{
    struct listener *listener = listener_open();
    listener_begin(listener);
    feed_from(listener, talk, 0, talk->pieces);
    end_both(listener, last_ns(talk));
    CHECK(listener->heard_bytes[0] == 0);
    tell_lines(listener, talk);
    listener_end(listener, last_ns(talk));
    CHECK(heard_all(listener, talk));
    CHECK(counted(listener, COUNT_tls_sessions_decrypted) == 1);
    listener_close(listener);
}

static void no_key(const struct conversation *talk)
{
    struct listener *listener = listener_open();
    size_t used = listener->budget.used_bytes;
    listener_begin(listener);
    feed_from(listener, talk, 0, talk->pieces);
    end_both(listener, last_ns(talk));
    CHECK(tls_secrets_held_bytes(listener->secrets) > 60000);
    CHECK(listener->infos == 1 && listener->info.visibility == TLS_METADATA);
    listener_end(listener, last_ns(talk));
    CHECK(listener->info.trouble == TLS_NO_KEY);
    CHECK(listener->heard_bytes[0] + listener->heard_bytes[1] == 0);
    CHECK(listener->gaps[0] + listener->gaps[1] == 0);
    CHECK(listener->ends[0] == 1 && listener->ends[1] == 1);
    CHECK(counted(listener, COUNT_tls_sessions_no_key) == 1);
    CHECK(counted(listener, COUNT_tls_sessions_decrypted) == 0);
    CHECK(counted(listener, COUNT_tls_authentication_failed) == 0);
    CHECK(tls_secrets_held_bytes(listener->secrets) == 0);
    CHECK(listener->budget.used_bytes - used < 64 * 20000); /* spare buffers */
    listener_close(listener);
}

/* Where nothing may be held, nothing is copied and the clear part still tells. */
static void never_hold(const struct conversation *talk)
{
    struct listener *listener = listener_open();
    listener->limits.tls_held_bytes_max = 0;
    listener_begin(listener);
    feed_from(listener, talk, 0, talk->pieces);
    CHECK(tls_secrets_held_bytes(listener->secrets) == 0);
    CHECK(counted(listener, COUNT_tls_held_bytes) == 0);
    CHECK(listener->info.trouble == TLS_NO_KEY);
    CHECK(strcmp(listener->info.sni, "vc.example") == 0);
    listener_close(listener);
}

/* After the time is over the flow goes on without; the key then decrypts what still comes. */
static void too_late(const struct conversation *talk, uint32_t at)
{
    struct listener *listener = listener_open();
    listener->limits.tls_held_timeout_ms = 1;
    listener_begin(listener);
    feed_from(listener, talk, 0, at);
    tls_wake(listener->secrets, at * 1000000ull + 2000000);
    CHECK(tls_secrets_held_bytes(listener->secrets) == 0);
    CHECK(counted(listener, COUNT_tls_held_expired_bytes) > 0);
    tell_lines(listener, talk);
    tls_wake(listener->secrets, at * 1000000ull + 3000000);
    feed_from(listener, talk, at, talk->pieces);
    end_both(listener, last_ns(talk));
    CHECK(listener->info.trouble == TLS_LATE_KEY);
    for (int i = 0; i < 2; i++) {
        uint32_t heard = listener->heard_bytes[i];
        CHECK(heard > 0 && heard < talk->said_bytes[i]);
        CHECK(memcmp(listener->heard[i], talk->said[i] + talk->said_bytes[i] - heard, heard) == 0);
        CHECK(listener->gaps[i] == 1);
        CHECK(listener->gap_bytes[i] >= talk->said_bytes[i] - heard);
    }
    CHECK(listener->disorders == 0);
    CHECK(counted(listener, COUNT_tls_authentication_failed) == 0);
    listener_end(listener, last_ns(talk));
    CHECK(counted(listener, COUNT_tls_sessions_late_key) == 1);
    CHECK(counted(listener, COUNT_tls_sessions_decrypted) == 0);
    listener_close(listener);
}

/* A flow that holds its share goes on without its key; another flow is not touched. */
static void no_room(const struct conversation *talk)
{
    struct listener *listener = listener_open();
    listener->limits.tls_held_bytes_max = 20000;
    listener_begin(listener);
    struct tls *other = tls_open(&listener->shared, listener);
    for (uint32_t i = 0; i < 8; i++)
        tls_data(other, (enum direction)talk->piece[i].direction, talk->piece[i].data,
                 talk->piece[i].bytes, talk->piece[i].time_ns);
    size_t before = tls_secrets_held_bytes(listener->secrets);
    CHECK(before > 0);
    feed_from(listener, talk, 0, talk->pieces);
    CHECK(counted(listener, COUNT_tls_held_shed_bytes) > 0);
    CHECK(tls_secrets_held_bytes(listener->secrets) <= before + 20000);
    CHECK(listener->heard_bytes[0] == 0);
    tell_lines(listener, talk);
    tls_wake(listener->secrets, last_ns(talk));
    tls_close(other, last_ns(talk));
    listener_end(listener, last_ns(talk));
    CHECK(counted(listener, COUNT_tls_sessions_decrypted) == 1); /* the other */
    listener_close(listener);
}

/* With no room left over all flows, the one that waits longest gives way. */
static void longest_gives_way(const struct conversation *talk)
{
    struct listener *listener = listener_open();
    listener->limits.tls_held_total_bytes_max = 100000;
    listener_begin(listener);
    feed_from(listener, talk, 0, talk->pieces);
    struct listener *second = listener_open();
    second->shared.secrets = listener->secrets;
    second->shared.budget = &listener->budget;
    second->shared.limits = &listener->limits;
    listener_begin(second);
    feed_from(second, talk, 0, talk->pieces);
    CHECK(counted(listener, COUNT_tls_held_shed_bytes) +
              counted(second, COUNT_tls_held_shed_bytes) > 0);
    CHECK(tls_secrets_held_bytes(listener->secrets) <= 100000);
    tell_lines(listener, talk);
    tls_wake(listener->secrets, last_ns(talk));
    CHECK(heard_all(second, talk));
    CHECK(!heard_all(listener, talk));
    tls_close(second->tls, 0);
    second->tls = NULL;
    listener_close(second);
    listener_close(listener);
}

/* The shared budget may be used up by others at any time. */
static void short_budget(const struct conversation *talk, size_t bytes)
{
    struct listener *listener = listener_open();
    listener->budget.limit_bytes = listener->budget.used_bytes + bytes;
    listener_begin(listener);
    if (listener->tls) {
        feed_from(listener, talk, 0, talk->pieces);
        CHECK(listener->budget.used_bytes <= listener->budget.limit_bytes);
        end_both(listener, last_ns(talk));
        listener_end(listener, last_ns(talk));
    }
    CHECK(listener->heard_bytes[0] + listener->heard_bytes[1] == 0);
    listener_close(listener);
}

/* Only one direction's secrets: the other is passed by, this one is whole. */
static void one_direction(const struct conversation *talk)
{
    struct listener *listener = listener_open();
    listener->limits.tls_held_timeout_ms = 1;
    listener_begin(listener);
    tell_labels(listener, talk, "SERVER", false);
    for (uint32_t i = 0; i < talk->pieces; i++) {
        feed_piece(listener, &talk->piece[i], FEED_WHOLE);
        tls_wake(listener->secrets, talk->piece[i].time_ns + 5000000);
    }
    end_both(listener, last_ns(talk));
    CHECK(listener->heard_bytes[TO_SERVER] == 0);
    CHECK(listener->heard_bytes[TO_CLIENT] == talk->said_bytes[TO_CLIENT]);
    CHECK(memcmp(listener->heard[TO_CLIENT], talk->said[TO_CLIENT],
                 talk->said_bytes[TO_CLIENT]) == 0);
    CHECK(listener->gaps[TO_CLIENT] == 0 && listener->gaps[TO_SERVER] > 0);
    CHECK(listener->info.trouble == TLS_NO_KEY);
    listener_close(listener);
}

/* A log that leaves out the handshake secrets. */
static void traffic_secrets_only(const struct conversation *talk, bool late)
{
    struct listener *listener = listener_open();
    listener_begin(listener);
    if (late)
        feed_from(listener, talk, 0, talk->pieces / 2);
    tell_labels(listener, talk, "CLIENT_TRAFFIC", false);
    tell_labels(listener, talk, "SERVER_TRAFFIC", false);
    tls_wake(listener->secrets, 0);
    feed_from(listener, talk, late ? talk->pieces / 2 : 0, talk->pieces);
    end_both(listener, last_ns(talk));
    CHECK(heard_all(listener, talk));
    CHECK(listener->gaps[0] + listener->gaps[1] == 0);
    CHECK(counted(listener, COUNT_tls_authentication_failed) == 0);
    listener_close(listener);
}

/* A wrong secret: refused at the first record, counted, nothing handed up. */
static void wrong_key(const struct conversation *talk)
{
    struct listener *listener = listener_open();
    listener_begin(listener);
    for (uint32_t i = 0; i < talk->lines; i++) {
        char line[LINE_CHARS];
        snprintf(line, sizeof line, "%s", talk->line[i]);
        char *last = line + strlen(line) - 1;
        *last = *last == '0' ? '1' : '0';
        tls_secrets_line(listener->secrets, TLS_KEY_LOG, line, strlen(line));
    }
    feed_from(listener, talk, 0, talk->pieces);
    end_both(listener, last_ns(talk));
    CHECK(listener->heard_bytes[0] + listener->heard_bytes[1] == 0);
    CHECK(listener->info.trouble == TLS_FAILED);
    CHECK(listener->info.visibility == TLS_METADATA);
    CHECK(counted(listener, COUNT_tls_authentication_failed) == 2);
    listener_end(listener, last_ns(talk));
    CHECK(counted(listener, COUNT_tls_sessions_failed) == 1);
    listener_close(listener);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void foreign_lines(struct listener *listener, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        char line[LINE_CHARS];
        int bytes = snprintf(line, sizeof line,
                             "CLIENT_RANDOM %08x%056x %096x\n", i * 2654435761u, 7, i);
        tls_secrets_line(listener->secrets, TLS_KEY_LOG, line, (size_t)bytes);
    }
}

/* A million lines of other hosts, with flows waiting: the last tenth costs no more than the
 * first, and the flow's own line still finds it. */
static void a_million_foreign_lines(const struct conversation *talk)
{
    struct listener *listener = listener_open();
    listener->limits.tls_secrets_max = 1 << 18;
    tls_secrets_close(listener->secrets);
    listener->secrets =
        tls_secrets_open(&listener->limits, &listener->budget, &listener->counters);
    listener->shared.secrets = listener->secrets;
    listener_begin(listener);
    feed_from(listener, talk, 0, talk->pieces);
    double start = seconds();
    foreign_lines(listener, 0, 100000);
    double first = seconds() - start;
    foreign_lines(listener, 100000, 900000);
    start = seconds();
    foreign_lines(listener, 900000, 1000000);
    double last = seconds() - start;
    CHECK(last < first * 5 + 0.2);
    CHECK(counted(listener, COUNT_tls_secrets_taken) == 1000000);
    CHECK(counted(listener, COUNT_tls_secrets_forgotten) == 1000000 - (1 << 18));
    CHECK(listener->heard_bytes[0] == 0);
    tell_lines(listener, talk);
    tls_wake(listener->secrets, last_ns(talk));
    CHECK(heard_all(listener, talk));
    listener_close(listener);
}

int main(void)
{
    make_talks();
    for (int i = 0; i < 2; i++) {
        const struct conversation *talk = &talks[i];
        key_at_any_time(talk);
        key_just_before_close(talk);
        no_key(talk);
        never_hold(talk);
        for (uint32_t at = 6; at < talk->pieces - 4; at++)
            too_late(talk, at);
        no_room(talk);
        longest_gives_way(talk);
        for (size_t bytes = 0; bytes < 120000; bytes += 1531)
            short_budget(talk, bytes);
        wrong_key(talk);
    }
    one_direction(&talks[0]);
    traffic_secrets_only(&talks[0], false);
    traffic_secrets_only(&talks[0], true);
    a_million_foreign_lines(&talks[1]);
    conversation_clear(&talks[0]);
    conversation_clear(&talks[1]);
    EVP_PKEY_free(key_of(true));
    EVP_PKEY_free(key_of(false));
    return checks_report("tls_late");
}
