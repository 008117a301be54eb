/* links: protocol*.c framing.c libvirt.c authd.c nfc*.c vix*.c tls*.c http*.c choice.c pending.c interest.c interest_match.c needles.c objects.c operations.c soap.c body.c block.c tokens.c kept.c */
/* NFC behind authd: classic messages and their texts, AIO frames, contents that are counted. */
#include "conversation.h"

enum { MESSAGE_BYTES = 264, ROOM_BYTES = 1 << 18, TEXT_BYTES = 1 << 17 };

/* Pieces built one after another in one buffer, and what is to come of them. */
struct talk {
    struct row row;
    uint32_t pieces;
    uint32_t used;
    char room[ROOM_BYTES];
    char expected[TEXT_BYTES];
    size_t expected_bytes;
};

static struct talk talk;

static void expect(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int added = vsnprintf(talk.expected + talk.expected_bytes,
                          sizeof talk.expected - talk.expected_bytes, format, arguments);
    va_end(arguments);
    talk.expected_bytes += (size_t)added;
}

static uint32_t piece(enum direction direction, uint32_t bytes)
{
    talk.row.pieces[talk.pieces++] =
        (struct piece){PIECE_DATA, direction, talk.room + talk.used, bytes};
    talk.used += bytes;
    return talk.pieces;
}

static char *room(void)
{
    return talk.room + talk.used;
}

static uint32_t say(enum direction direction, const char *text)
{
    memcpy(room(), text, strlen(text));
    return piece(direction, (uint32_t)strlen(text));
}

static void gap(enum direction direction, uint32_t bytes)
{
    talk.row.pieces[talk.pieces++] = (struct piece){PIECE_GAP, direction, NULL, bytes};
}

/* authd has let a service through. */
static void begin(const char *name)
{
    memset(&talk, 0, sizeof talk);
    talk.row.name = name;
    talk.row.open_ended = true;
    talk.row.expected = talk.expected;
    say(TO_CLIENT, "220 VMware Authentication Daemon Version 1.0\r\n");
    say(TO_SERVER, "PROXY ha-nfc\r\n");
    say(TO_CLIENT, "200 Connect ha-nfc\r\n");
    expect("authd< 220 VMware Authentication Daemon Version 1.0 @1\nauthd> PROXY ha-nfc @2\n"
           "authd< 200 Connect ha-nfc @3\n");
}

static void put32(char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (char)(value >> 8 * i);
}

/* A classic message of a type, two numbers after it, and text behind; returns the piece's number. */
static uint32_t classic(enum direction direction, uint32_t type, uint32_t first, uint32_t second,
                        const char *text, uint32_t text_bytes)
{
    char *at = room();
    memset(at, 0, MESSAGE_BYTES);
    put32(at, type);
    put32(at + 4, first);
    put32(at + 8, second);
    if (text_bytes)
        memcpy(at + MESSAGE_BYTES, text, text_bytes);
    return piece(direction, MESSAGE_BYTES + text_bytes);
}

/* An AIO frame with `more` bytes of filling behind it. */
static uint32_t aio(enum direction direction, uint32_t type, uint32_t operation,
                    const char *payload, uint32_t payload_bytes, uint32_t more)
{
    char *at = room();
    put32(at, 0xa100da7a);
    put32(at + 4, type);
    put32(at + 8, payload_bytes);
    put32(at + 12, operation);
    memcpy(at + 16, payload, payload_bytes);
    memset(at + 16 + payload_bytes, 0x7a, more);
    return piece(direction, 16 + payload_bytes + more);
}

static uint32_t io(enum direction direction, uint32_t operation, uint32_t code, uint32_t more)
{
    char payload[44] = {0};
    put32(payload + 8, code);
    put32(payload + 24, more);
    put32(payload + 36, more);
    bool carries = code == (direction == TO_SERVER ? 0 : 1);
    return aio(direction, 7, operation, payload, sizeof payload, carries ? more : 0);
}

static void open_file(uint32_t operation, uint32_t path_bytes, const char *path)
{
    char payload[60] = {0};
    put32(payload, path_bytes);
    put32(payload + 16, 2);
    put32(payload + 20, 0x1e);
    aio(TO_SERVER, 4, operation, payload, sizeof payload, 0);
    memcpy(room(), path, path_bytes);
    talk.row.pieces[talk.pieces - 1].bytes += path_bytes;
    talk.used += path_bytes;
}

static void check_classic(const struct settings *settings)
{
    begin("classic messages");
    classic(TO_SERVER, 43, 0x69616c50, 0x6574, "", 0);
    expect("nfc> +\\00\\00\\00Plaite 0*254 @4\n");
    classic(TO_SERVER, 33, 0, 0, "", 0);
    expect("nfc> ! 0*263 @5\n");
    classic(TO_CLIENT, 36, 0, 0, "", 0);
    expect("nfc< $ 0*263 @6\n");
    classic(TO_SERVER, 54, 4, 7, "vddknbdmode", 11);
    expect("nfc> 6\\00\\00\\00\\04\\00\\00\\00\\07");
    for (int i = 0; i < MESSAGE_BYTES - 9; i++)
        expect("\\00");
    expect("vddknbdmode @7\n");
    classic(TO_SERVER, 31, 5, 1, "a\0b\0", 5);
    expect("nfc> \\1f\\00\\00\\00\\05\\00\\00\\00\\01");
    for (int i = 0; i < MESSAGE_BYTES - 9; i++)
        expect("\\00");
    expect("a\\00b 0*2 @8\n");
    classic(TO_CLIENT, 20, 0, 0, "no\0", 3);
    put32((char *)talk.row.pieces[8].data + 12, 3);
    expect("nfc< \\14\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\03");
    for (int i = 0; i < MESSAGE_BYTES - 13; i++)
        expect("\\00");
    expect("no 0*1 @9\n");
    classic(TO_SERVER, 4, 0, 0, "", 0);
    expect("nfc> \\04 0*263 @10\n");
    check_row(settings, &talk.row);
}

/* FILE_PUT is packed: a byte stands before the last length; the flag adds a grain size. */
static void check_put(const struct settings *settings)
{
    static char text[256];
    memset(text, 'p', sizeof text);
    begin("a file with all its texts, and its data");
    classic(TO_SERVER, 1, 0, 1 << 14, text, 4 + 3 + 2 + 1 + 32);
    char *at = (char *)talk.row.pieces[3].data;
    put32(at + 12, 4);
    put32(at + 32, 3);
    put32(at + 36, 2);
    put32(at + 41, 1);
    expect("nfc> \\01\\00\\00\\00\\00\\00\\00\\00\\00@\\00\\00\\04");
    for (int i = 0; i < 19; i++)
        expect("\\00");
    expect("\\03\\00\\00\\00\\02\\00\\00\\00\\00\\01");
    for (int i = 42; i < MESSAGE_BYTES; i++)
        expect("\\00");
    expect("%.42s @4\n", text);
    for (uint32_t bytes = 1000; bytes != UINT32_MAX; bytes = bytes ? 0 : UINT32_MAX) {
        classic(TO_SERVER, 7, 0, 0, "", 0);
        put32(room(), 0xabcdefab);
        put32(room() + 4, bytes);
        memset(room() + 8, 4, bytes);
        talk.row.pieces[talk.pieces - 1].bytes += 8 + bytes;
        talk.used += 8 + bytes;
    }
    classic(TO_CLIENT, 27, 0, 0, "", 0);
    expect("nfc< \\1b 0*263 @7\n");
    classic(TO_SERVER, 4, 0, 0, "", 0);
    expect("nfc>  1544 BULK @5\nnfc> \\04 0*263 @8\n");
    check_row(settings, &talk.row);
}

static void check_aio(const struct settings *settings)
{
    begin("a disk is read and written");
    classic(TO_SERVER, 52, 0, 0, "", 0);
    expect("nfc> 4 0*263 @4\n");
    classic(TO_CLIENT, 52, 0, 0, "", 0);
    expect("nfc< 4 0*263 @5\n");
    open_file(1, 9, "[d] a/a.v");
    expect("aio> z\\da\\00\\a1\\04\\00\\00\\00<\\00\\00\\00\\01\\00\\00\\00\\09");
    for (int i = 0; i < 15; i++)
        expect("\\00");
    expect("\\02\\00\\00\\00\\1e");
    for (int i = 21; i < 60; i++)
        expect("\\00");
    expect("[d] a/a.v @6\n");
    io(TO_SERVER, 2, 1, 3000); /* read */
    io(TO_CLIENT, 2, 1, 2000);
    io(TO_CLIENT, 2, 1, 1000);
    io(TO_SERVER, 3, 0, 700); /* write */
    io(TO_CLIENT, 3, 0, 700);
    aio(TO_SERVER, 5, 4, "\1\0\0\0\0\0\0\0", 8, 0);
    expect("aio>  820 BULK @7\n");
    expect("aio> z\\da\\00\\a1\\05\\00\\00\\00\\08\\00\\00\\00\\04\\00\\00\\00\\01 0*7 @12\n");
    classic(TO_SERVER, 4, 0, 0, "", 0);
    expect("nfc> \\04 0*263 @13\naio<  3180 BULK @8\n");
    /* told at the end, as NFC */
    memcpy(strstr(talk.expected, "aio<  3180"), "nfc<", 4);
    check_row(settings, &talk.row);
}

/* A key has no length that we know of, an IO of another kind neither, and contents may look like
 * frames: the next one is found by all that is known of it. */
static void check_seek(const struct settings *settings)
{
    static const char like[] = "\x7a\xda\0\xa1\x05\0\0\0\x09\0\0\0\x05\0\0\0"
                               "\x7a\xda\0\xa1\x05\0\0\0\x08\0\0\0\xff\xff\xff\x7f\x7a\xda";
    begin("frames among what is not known");
    aio(TO_SERVER, 11, 5, "0123456789abcdef", 16, 0);
    expect("aio> z\\da\\00\\a1\\0b\\00\\00\\00\\10\\00\\00\\00\\05\\00\\00\\000123456789abcdef @4\n");
    memcpy(room(), like, sizeof like - 1);
    piece(TO_SERVER, sizeof like - 1);
    aio(TO_SERVER, 3, 6, "\1\1\1\1", 4, 0);
    expect("aio>  %u BULK @5\n", (unsigned)sizeof like - 1);
    expect("aio> z\\da\\00\\a1\\03\\00\\00\\00\\04\\00\\00\\00\\06\\00\\00\\00\\01\\01\\01\\01 @6\n");
    gap(TO_SERVER, 100);
    expect("gap> 100\n");
    say(TO_SERVER, "contents");
    aio(TO_SERVER, 3, 60, "\1\1\1\1", 4, 0);
    expect("aio>  8 BULK @8\n");
    expect("aio> z\\da\\00\\a1\\03\\00\\00\\00\\04\\00\\00\\00<\\00\\00\\00\\01\\01\\01\\01 @9\n");
    say(TO_SERVER, "no frame");
    expect("nfc>  8 BULK @10\nlost 2\nagain 2\n");
    check_row(settings, &talk.row);
}

static void check_lost(const struct settings *settings)
{
    begin("a gap in classic messages");
    classic(TO_SERVER, 43, 0, 0, "", 0);
    expect("nfc> + 0*263 @4\n");
    classic(TO_SERVER, 33, 0, 0, "", 0);
    talk.row.pieces[4].bytes = 100;
    gap(TO_SERVER, 164);
    expect("gap> 164\n");
    classic(TO_SERVER, 4, 0, 0, "", 0);
    classic(TO_CLIENT, 36, 0, 0, "", 0);
    expect("nfc< $ 0*263 @8\nnfc>  364 BULK @5\nlost 1\n");
    check_row(settings, &talk.row);

    begin("a gap before the first AIO frame");
    classic(TO_SERVER, 43, 0, 0, "", 0);
    expect("nfc> + 0*263 @4\n");
    gap(TO_SERVER, 9);
    expect("gap> 9\n");
    say(TO_SERVER, "the end of something");
    aio(TO_SERVER, 3, 6, "\1\1\1\1", 4, 0);
    expect("aio>  20 BULK @6\n");
    expect("aio> z\\da\\00\\a1\\03\\00\\00\\00\\04\\00\\00\\00\\06\\00\\00\\00\\01\\01\\01\\01 @7\n");
    expect("lost 1\nagain 1\n");
    check_row(settings, &talk.row);

    begin("a message that cannot be one");
    classic(TO_SERVER, 43, 0, 0, "", 0);
    expect("nfc> + 0*263 @4\n");
    classic(TO_SERVER, 2, 0, 0xffffffff, "", 0);
    say(TO_SERVER, "what follows");
    expect("nfc>  276 BULK @5\nlost 1\n");
    check_row(settings, &talk.row);

    begin("what follows FSSRVR_MULTIIO is not known");
    classic(TO_SERVER, 39, 0, 0, "", 0);
    expect("nfc> ' 0*263 @4\n");
    classic(TO_SERVER, 4, 0, 0, "", 0);
    expect("nfc>  264 BULK @5\nlost 1\n");
    check_row(settings, &talk.row);
}

static void check_fssrvr(const struct settings *settings)
{
    begin("a write through FSSRVR_IO");
    classic(TO_SERVER, 21, 3, 0x0a, "a.v", 3);
    expect("nfc> \\15\\00\\00\\00\\03\\00\\00\\00\\0a");
    for (int i = 9; i < MESSAGE_BYTES; i++)
        expect("\\00");
    expect("a.v @4\n");
    classic(TO_SERVER, 23, 1, 0, "contents", 8);
    put32((char *)talk.row.pieces[4].data + 16, 8);
    classic(TO_CLIENT, 23, 0, 0, "", 0);
    classic(TO_SERVER, 24, 0, 0, "", 0);
    expect("nfc>  272 BULK @5\nnfc> \\18 0*263 @7\n");
    classic(TO_CLIENT, 24, 0, 0, "", 0);
    expect("nfc<  264 BULK @6\nnfc< \\18 0*263 @8\n");
    check_row(settings, &talk.row);
}

/* A frame without a payload is told at once, not with the bytes behind it. */
static void check_empty(const struct settings *settings)
{
    begin("a frame that is its header");
    aio(TO_CLIENT, 1, 5, "", 0, 0);
    expect("aio< z\\da\\00\\a1\\01\\00\\00\\00\\00\\00\\00\\00\\05 0*3 @4\n");
    check_row(settings, &talk.row);
}

/* Texts longer than 64 KiB are cut, at the same byte however they come; the message behind them is
 * found. */
static void check_cut(const struct settings *settings)
{
    enum { PATH_BYTES = 70000, KEPT_BYTES = (64 << 10) - MESSAGE_BYTES };
    static char path[PATH_BYTES];
    static struct result result;
    struct counters counters;
    memset(path, 'p', sizeof path);
    memset(path + KEPT_BYTES, 'q', sizeof path - KEPT_BYTES);
    begin("a long path");
    classic(TO_SERVER, 2, 0, PATH_BYTES, path, PATH_BYTES);
    classic(TO_SERVER, 4, 0, 0, "", 0);
    for (int feeding = FEED_WHOLE; feeding <= FEED_RANDOM; feeding++) {
        converse(settings, talk.row.pieces, NULL, (enum feeding)feeding, 7, &result, &counters);
        CHECK(counters.value[COUNT_framed_cut] == 1 && counters.value[COUNT_framed_nfc] == 2);
        CHECK(counters.value[COUNT_framed_lost] == 0);
        CHECK(memchr(result.text, 'p', result.bytes) && !memchr(result.text, 'q', result.bytes));
    }
}

int main(void)
{
    struct interest *interest = interest_open();
    struct settings settings = {interest, test_limits(), 1 << 20, 902};
    check_classic(&settings);
    check_put(&settings);
    check_aio(&settings);
    check_seek(&settings);
    check_lost(&settings);
    check_fssrvr(&settings);
    check_empty(&settings);
    check_cut(&settings);
    interest_close(interest);
    return checks_report("nfc");
}
