/* links: tls*.c */
/* Records corrupted, forged, replayed and lost; streams that begin in the middle, go back to
 * clear, or hold two handshakes. What is handed up is always a part of what was said, and what
 * is missing is told. */
#include "tls.h"

#include "check.h"
#include "tls_conversation.h"

enum { RECORDS_MAX = 600 };

/* A conversation record by record. */
static struct conversation talk;
static struct piece record[RECORDS_MAX];
static uint32_t records;

static const struct {
    int version;
    const char *suite;
    bool encrypt_then_mac;
} rows[] = {
    {TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", true},
    {TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256", true},
    {TLS1_3_VERSION, "TLS_AES_128_CCM_8_SHA256", true},
    {TLS1_2_VERSION, "ECDHE-RSA-AES256-GCM-SHA384", true},
    {TLS1_2_VERSION, "ECDHE-RSA-CHACHA20-POLY1305", true},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES128-CCM", true},
    {TLS1_2_VERSION, "ECDHE-RSA-AES128-SHA256", true},
    {TLS1_2_VERSION, "ECDHE-RSA-AES128-SHA256", false},
    {TLS1_1_VERSION, "AES256-SHA", true},
    {TLS1_VERSION, "AES128-SHA", false},
};

static void split_records(void)
{
    records = 0;
    for (uint32_t i = 0; i < talk.pieces; i++) {
        struct piece rest = talk.piece[i];
        while (rest.bytes) {
            uint32_t bytes = 5u + (uint32_t)(rest.data[3] << 8 | rest.data[4]);
            if (records == RECORDS_MAX || bytes > rest.bytes)
                abort();
            record[records] = rest;
            record[records++].bytes = bytes;
            rest.data += bytes;
            rest.bytes -= bytes;
        }
    }
}

static void make_talk(size_t row)
{
    SSL_CTX *client = context_of(false, rows[row].version);
    SSL_CTX *server = context_of(true, rows[row].version);
    if (rows[row].version == TLS1_3_VERSION) {
        SSL_CTX_set_ciphersuites(client, rows[row].suite);
        SSL_CTX_set_ciphersuites(server, rows[row].suite);
    } else {
        SSL_CTX_set_cipher_list(client, rows[row].suite);
        SSL_CTX_set_cipher_list(server, rows[row].suite);
    }
    if (!rows[row].encrypt_then_mac)
        SSL_CTX_set_options(client, SSL_OP_NO_ENCRYPT_THEN_MAC);
    struct pair pair;
    conversation_clear(&talk);
    pair_open(&pair, &talk, client, server);
    CHECK(shake_hands(&pair));
    for (int turn = 0; turn < 8; turn++) {
        say(&pair, TO_SERVER, 100 + 50 * (uint32_t)turn);
        say(&pair, TO_CLIENT, turn == 3 ? 40000 : 900);
    }
    if (rows[row].version == TLS1_3_VERSION)
        SSL_key_update(pair.side[TO_CLIENT].ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
    say(&pair, TO_CLIENT, 2000);
    say(&pair, TO_SERVER, 2000);
    say_goodbye(&pair);
    pair_close(&pair);
    SSL_CTX_free(client);
    SSL_CTX_free(server);
    split_records();
}

static struct listener *kept; /* one store for many flows: opening one costs a millisecond */

static struct listener *ready_listener(void)
{
    if (!kept)
        kept = listener_open();
    memset(&kept->counters, 0, sizeof kept->counters);
    tell_lines(kept, &talk);
    listener_begin(kept);
    return kept;
}

static void done(struct listener *listener)
{
    if (listener->tls)
        listener_end(listener, UINT64_MAX);
    CHECK(tls_secrets_held_bytes(listener->secrets) == 0);
}

static void end_both(struct listener *listener)
{
    tls_end(listener->tls, TO_SERVER, UINT64_MAX);
    tls_end(listener->tls, TO_CLIENT, UINT64_MAX);
}

/* Everything heard stands in what was said, in order; one hole at most. */
static bool is_part(const struct listener *listener, int direction)
{
    uint32_t heard = listener->heard_bytes[direction], said = talk.said_bytes[direction];
    const uint8_t *a = listener->heard[direction], *b = talk.said[direction];
    if (heard > said)
        return false;
    uint32_t front = 0, back = 0;
    while (front < heard && a[front] == b[front])
        front++;
    while (back < heard && a[heard - 1 - back] == b[said - 1 - back])
        back++;
    return front + back >= heard;
}

static bool is_sealed(const struct piece *piece)
{
    return piece->data[0] == 23;
}

static uint64_t counted(const struct listener *listener, enum tls_counter counter)
{
    return listener->counters.value[counter];
}

/* One bit wrong anywhere in a record: nothing of it or after it in this direction is handed up. */
static void corrupt(uint32_t which, uint32_t at, uint8_t mask)
{
    struct listener *listener = ready_listener();
    const struct piece *bad = &record[which];
    for (uint32_t i = 0; i < records; i++) {
        uint8_t copy[20000];
        struct piece piece = record[i];
        memcpy(copy, piece.data, piece.bytes);
        if (i == which)
            copy[at] ^= mask;
        piece.data = copy;
        feed_piece(listener, &piece, FEED_WHOLE);
    }
    end_both(listener);
    CHECK(listener->heard_bytes[bad->direction] < talk.said_bytes[bad->direction]);
    CHECK(memcmp(listener->heard[bad->direction], talk.said[bad->direction],
                 listener->heard_bytes[bad->direction]) == 0);
    CHECK(listener->heard_bytes[!bad->direction] == talk.said_bytes[!bad->direction]);
    CHECK(counted(listener, COUNT_tls_authentication_failed) == 1);
    CHECK(listener->gaps[bad->direction] >= 1);
    CHECK(listener->clear_bytes[0] + listener->clear_bytes[1] == 0);
    done(listener);
}

static void corrupt_records(void)
{
    for (uint32_t i = 0; i + 4 < records; i++) {
        if (!is_sealed(&record[i]) || record[i].time_ns < talk.piece[6].time_ns || i % 2)
            continue;
        corrupt(i, 4, 1); /* the length: what follows is cut wrong, and still not in clear */
        corrupt(i, 5, 1);
        corrupt(i, record[i].bytes - 1, 0x80);
        corrupt(i, 5 + (record[i].bytes - 5) / 2, 0x10);
    }
}

/* The same record twice, and two in the wrong order: the second is not in its place. */
static void replay(uint32_t which, bool swap)
{
    struct listener *listener = ready_listener();
    for (uint32_t i = 0; i < records; i++) {
        uint32_t now = i;
        if (swap && i == which)
            now = which + 1;
        else if (swap && i == which + 1)
            now = which;
        feed_piece(listener, &record[now], FEED_WHOLE);
        if (!swap && i == which)
            feed_piece(listener, &record[which], FEED_WHOLE);
    }
    end_both(listener);
    CHECK(is_part(listener, 0) && is_part(listener, 1));
    CHECK(counted(listener, COUNT_tls_authentication_failed) == 1);
    done(listener);
}

static void replay_records(void)
{
    for (uint32_t i = records / 2; i + 6 < records; i++) {
        if (is_sealed(&record[i]))
            replay(i, false);
        if (is_sealed(&record[i]) && record[i + 1].direction == record[i].direction)
            replay(i, true);
    }
}

/* `bytes` of the stream of one direction are lost, from byte `from` of record `which` on. */
static struct listener *lose(uint32_t which, uint32_t from, uint32_t bytes, enum feeding feeding)
{
    struct listener *listener = ready_listener();
    uint8_t direction = record[which].direction;
    uint32_t lost = 0;
    for (uint32_t i = 0; i < records; i++) {
        struct piece piece = record[i];
        if (i >= which && piece.direction == direction && lost < bytes) {
            uint32_t keep = i == which ? from : 0;
            struct piece front = piece;
            front.bytes = keep;
            feed_piece(listener, &front, feeding);
            uint32_t gone = piece.bytes - keep < bytes - lost ? piece.bytes - keep : bytes - lost;
            lost += gone;
            piece.data += keep + gone;
            piece.bytes -= keep + gone;
            if (lost == bytes)
                tls_gap(listener->tls, (enum direction)direction, lost, piece.time_ns);
        }
        feed_piece(listener, &piece, feeding);
    }
    end_both(listener);
    CHECK(is_part(listener, 0) && is_part(listener, 1));
    CHECK(listener->clear_bytes[0] + listener->clear_bytes[1] == 0);
    CHECK(listener->disorders == 0);
    return listener;
}

/* Sequence numbers, and the key of the other epoch, are found again: all but the lost records is
 * heard. */
static void gaps_found_again(size_t row)
{
    bool chained = rows[row].version == TLS1_VERSION;
    for (uint32_t i = records / 3; i + 8 < records; i++) {
        for (int feeding = 0; feeding < FEEDINGS; feeding += 2) {
            uint32_t bytes = record[i].bytes + 3;
            struct listener *listener = lose(i, 0, bytes, (enum feeding)feeding);
            uint8_t direction = record[i].direction;
            CHECK(listener->heard_bytes[!direction] == talk.said_bytes[!direction]);
            CHECK(listener->gaps[direction] >= 1);
            if (!chained) {
                CHECK(counted(listener, COUNT_tls_gaps_resynchronised) == 1);
                CHECK(counted(listener, COUNT_tls_sessions_failed) == 0);
                CHECK(listener->info.trouble == TLS_UNTROUBLED);
            }
            done(listener);
        }
    }
}

/* Ciphertext has what looks like the header of a record every 13 MB or so. Here it stands in the
 * rest of the record whose beginning is lost: it is neither believed nor waited for. */
static void lost_before_false_header(size_t row, uint32_t which, uint8_t content, uint32_t bytes)
{
    uint8_t minor = rows[row].version == TLS1_3_VERSION ? 3 : (uint8_t)(rows[row].version & 0xff);
    uint8_t header[] = {content, 3, minor, (uint8_t)(bytes >> 8), (uint8_t)bytes, 1};
    uint8_t *front = record[which].data, was[sizeof header];
    for (int feeding = 0; feeding < FEEDINGS; feeding++) {
        memcpy(was, front + 20, sizeof was);
        memcpy(front + 20, header, sizeof header);
        struct listener *listener = lose(which, 0, 20, (enum feeding)feeding);
        memcpy(front + 20, was, sizeof was);
        uint32_t heard = 0, direction = record[which].direction;
        for (uint32_t i = 0; i < 2; i++)
            heard += listener->heard_bytes[i];
        CHECK(heard < talk.said_bytes[0] + talk.said_bytes[1]);
        CHECK(heard + record[which].bytes >= talk.said_bytes[0] + talk.said_bytes[1]);
        CHECK(listener->gap_bytes[direction] == record[which].bytes);
        CHECK(counted(listener, COUNT_tls_gaps_resynchronised) == 1);
        CHECK(listener->info.trouble == TLS_UNTROUBLED);
        done(listener);
    }
}

static void false_headers(size_t row)
{
    static const uint32_t bytes[] = {1, 2, 600, 16384 + 256}; /* 1: ChangeCipherSpec */
    if (rows[row].version == TLS1_VERSION)
        return; /* chained: after a gap nothing is opened */
    uint32_t which = records - 5;
    while (record[which].bytes < 800)
        which--;
    for (uint8_t content = 20; content <= 24; content++)
        for (uint32_t each = 0; each < 4; each++)
            lost_before_false_header(row, which, content, bytes[each]);
}

static void gaps_anywhere(void)
{
    for (uint32_t i = 0; i < records; i++) {
        uint32_t step = record[i].bytes > 3000 ? 4001 : 301;
        for (uint32_t from = 0; from < record[i].bytes; from += step) {
            done(lose(i, from, 1, FEED_WHOLE));
            done(lose(i, from, 1460, FEED_RANDOM));
        }
    }
}

/* While one direction looks for its place after a gap, the other turns out not to be TLS as we
 * know it. */
static void lost_while_seeking(void)
{
    static const uint8_t nonsense[] = {22, 3, 3, 0, 6, 2, 0, 0, 2, 3, 3};
    struct listener *listener = ready_listener();
    struct piece odd = {(uint8_t *)(uintptr_t)nonsense, sizeof nonsense, TO_SERVER, 9};
    struct piece part = record[1];
    feed_piece(listener, &record[0], FEED_WHOLE);
    feed_piece(listener, &record[1], FEED_WHOLE);
    tls_gap(listener->tls, TO_CLIENT, 100, 5);
    part.bytes = 40;
    feed_piece(listener, &part, FEED_WHOLE);
    feed_piece(listener, &odd, FEED_WHOLE);
    feed_piece(listener, &part, FEED_WHOLE);
    CHECK(listener->heard_bytes[0] + listener->heard_bytes[1] == 0);
    for (uint32_t i = 0; i < records; i++) /* a new handshake is found in both */
        feed_piece(listener, &record[i], FEED_RANDOM);
    end_both(listener);
    CHECK(heard_all(listener, &talk));
    done(listener);
}

/* Server certificates lost in a gap (up to TLS 1.2 in clear): the rest is still decrypted. */
static void gap_in_handshake(size_t row)
{
    for (uint32_t i = 2; i < records && record[i].time_ns <= talk.piece[1].time_ns; i++) {
        if (record[i].bytes < 200 || record[i].direction != TO_CLIENT)
            continue;
        struct listener *listener = lose(i, 60, 100, FEED_WHOLE);
        if (rows[row].version != TLS1_VERSION) {
            CHECK(listener->heard_bytes[TO_CLIENT] == talk.said_bytes[TO_CLIENT]);
            CHECK(listener->heard_bytes[TO_SERVER] == talk.said_bytes[TO_SERVER]);
        }
        done(listener);
    }
}

/* The capture begins after the handshake: metadata, nothing guessed. */
static void begins_in_the_middle(void)
{
    for (uint32_t from = 1; from < records; from++) {
        struct listener *listener = ready_listener();
        for (uint32_t i = from; i < records; i++)
            feed_piece(listener, &record[i], FEED_WHOLE);
        end_both(listener);
        CHECK(listener->heard_bytes[0] + listener->heard_bytes[1] == 0);
        CHECK(listener->clear_bytes[0] + listener->clear_bytes[1] == 0);
        listener_end(listener, UINT64_MAX);
        CHECK(counted(listener, COUNT_tls_sessions_unseen) == 1);
        CHECK(counted(listener, COUNT_tls_sessions_decrypted) == 0);
        done(listener);
    }
}

static void cut_anywhere(void)
{
    for (uint32_t last = 0; last < records; last++) {
        struct listener *listener = ready_listener();
        for (uint32_t i = 0; i < last; i++)
            feed_piece(listener, &record[i], FEED_WHOLE);
        struct piece front = record[last];
        front.bytes -= 1;
        feed_piece(listener, &front, FEED_WHOLE);
        end_both(listener);
        CHECK(is_part(listener, 0) && is_part(listener, 1));
        CHECK(listener->ends[0] <= 1 && listener->ends[1] <= 1);
        CHECK(listener->gaps[0] + listener->gaps[1] == 0); /* nothing was missed */
        done(listener);
    }
}

/* The same after a gap: what was lost is told once, what was never sent is not. */
static void cut_after_a_gap(size_t row)
{
    uint32_t last = records - 3, lost = records / 2;
    if (rows[row].version == TLS1_VERSION)
        return; /* chained: after a gap nothing is opened */
    struct listener *listener = ready_listener();
    for (uint32_t i = 0; i < last; i++) {
        if (i == lost)
            tls_gap(listener->tls, (enum direction)record[i].direction, record[i].bytes,
                    record[i].time_ns);
        else
            feed_piece(listener, &record[i], FEED_WHOLE);
    }
    uint64_t missed = listener->gap_bytes[0] + listener->gap_bytes[1];
    CHECK(missed >= record[lost].bytes);
    struct piece front = record[last];
    front.bytes -= 1;
    feed_piece(listener, &front, FEED_WHOLE);
    end_both(listener);
    CHECK(listener->gap_bytes[0] + listener->gap_bytes[1] == missed);
    done(listener);
}

static void feed_clear(struct listener *listener, enum direction direction, const char *text,
                       enum feeding feeding, uint64_t time_ns)
{
    struct piece piece = {(uint8_t *)(uintptr_t)text, (uint32_t)strlen(text), (uint8_t)direction,
                          time_ns};
    feed_piece(listener, &piece, feeding);
}

/* TLS without close_notify, clear bytes, and a second TLS on the same connection, as TCP 902 has
 * it; or the second handshake at once after the first; and all of it with late keys. */
static void twice(enum feeding feeding, bool dialog, bool late)
{
    static const char request[] = "PROXY nfc\x16\x03\r\n", answer[] = "200 Connect\r\n";
    uint64_t later = 1ull << 40;
    struct listener *listener = listener_open();
    listener_begin(listener);
    if (!late)
        tell_lines(listener, &talk);
    for (uint64_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i + 2 < talk.pieces; i++) { /* the last two say goodbye */
            struct piece piece = talk.piece[i];
            piece.time_ns += round * later;
            feed_piece(listener, &piece, feeding);
        }
        if (round == 0 && dialog) {
            feed_clear(listener, TO_SERVER, request, feeding, later);
            feed_clear(listener, TO_CLIENT, answer, feeding, later);
        }
    }
    if (late) {
        tell_lines(listener, &talk);
        tls_wake(listener->secrets, 1);
    }
    end_both(listener);
    for (int i = 0; i < 2; i++) {
        uint32_t said = talk.said_bytes[i];
        CHECK(listener->heard_bytes[i] == 2 * said);
        CHECK(memcmp(listener->heard[i], talk.said[i], said) == 0);
        CHECK(memcmp(listener->heard[i] + said, talk.said[i], said) == 0);
        CHECK(listener->ends[i] == (dialog ? 2u : 1u));
    }
    CHECK(listener->info.session == 2);
    CHECK(listener->disorders == 0);
    CHECK(listener->clear_bytes[TO_SERVER] == (dialog ? sizeof request - 1 : 0));
    CHECK(listener->clear_bytes[TO_CLIENT] == (dialog ? sizeof answer - 1 : 0));
    if (dialog)
        CHECK(memcmp(listener->clear[TO_SERVER], request, sizeof request - 1) == 0);
    listener_end(listener, UINT64_MAX);
    CHECK(counted(listener, COUNT_tls_sessions_decrypted) == 2);
    listener_close(listener);
}

/* A server that answers a ClientHello in clear: plain HTTP on the port. */
static void answered_in_clear(enum feeding feeding)
{
    struct listener *listener = ready_listener();
    feed_piece(listener, &record[0], feeding);
    feed_clear(listener, TO_CLIENT, "HTTP/1.1 400 Bad Request\r\n\r\n", feeding, 1);
    end_both(listener);
    CHECK(listener->clear_bytes[TO_CLIENT] == 28);
    CHECK(memcmp(listener->clear[TO_CLIENT], "HTTP/1.1 400 Bad Request\r\n\r\n", 28) == 0);
    listener_end(listener, 1);
    CHECK(counted(listener, COUNT_tls_sessions_unfinished) == 1);
    done(listener);
}

/* The clear part of the handshake in records of any size; several messages in one record too. */
static void reframed(uint32_t size)
{
    struct listener *listener = ready_listener();
    for (uint32_t i = 0; i < records; i++) {
        bool whole = record[i].data[0] != 22 || record[i].time_ns > talk.piece[1].time_ns;
        for (uint32_t at = 5; at < record[i].bytes; at += size) {
            uint8_t copy[20000];
            uint32_t bytes = record[i].bytes - at < size || whole ? record[i].bytes - at : size;
            memcpy(copy, record[i].data, 3);
            copy[3] = (uint8_t)(bytes >> 8);
            copy[4] = (uint8_t)bytes;
            memcpy(copy + 5, record[i].data + at, bytes);
            struct piece piece = {copy, bytes + 5, record[i].direction, record[i].time_ns};
            feed_piece(listener, &piece, FEED_RANDOM);
            if (whole)
                break;
        }
    }
    end_both(listener);
    CHECK(heard_all(listener, &talk));
    CHECK(strcmp(listener->info.subject, "CN=server.example,O=Hoptap") == 0);
    done(listener);
}

int main(void)
{
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        make_talk(row);
        corrupt_records();
        replay_records();
        gaps_found_again(row);
        false_headers(row);
        lost_while_seeking();
        gap_in_handshake(row);
        begins_in_the_middle();
        cut_anywhere();
        cut_after_a_gap(row);
        if (row % 3 == 0)
            gaps_anywhere();
        for (int feeding = 0; feeding < FEEDINGS; feeding++) {
            answered_in_clear((enum feeding)feeding);
            for (int dialog = 0; dialog < 2; dialog++)
                for (int late = 0; late < 2; late++)
                    twice((enum feeding)feeding, dialog, late);
        }
        for (uint32_t size = 1; size < 200; size += 33)
            reframed(size);
    }
    listener_close(kept);
    conversation_clear(&talk);
    EVP_PKEY_free(key_of(true));
    EVP_PKEY_free(key_of(false));
    return checks_report("tls_damage");
}
