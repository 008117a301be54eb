#include "objects.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif
#include <string.h>

#include "hash64.h"
#include "interest_match.h"

/* What has been read on the way to a value: obj, then the name of a property, then val. */
struct reading {
    const struct interest *interest;
    struct changes *changes;
    uint64_t server;
    uint64_t object;   /* hash of the last obj; 0: none yet */
    uint64_t property; /* hash of the last name, when it is a property of interest; else 0 */
    bool news;
};

/* The next `byte`, or end. Eight bytes a step, inline: texts here are a few bytes long, and a call for each
 * would cost more than the search. */
static inline const uint8_t *find(const uint8_t *at, const uint8_t *end, uint8_t byte)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    for (; end - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        word ^= ones * byte;
        if ((word - ones) & ~word & highs)
            break;
    }
    while (at < end && *at != byte)
        at++;
    return at;
}

/* A value that holds elements of its own stands for all of them. */
static struct slice whole_value(struct slice text, const uint8_t *end)
{
    static const char close[] = "</val>";
    size_t left = (size_t)(end - text.data);
    const uint8_t *found = memmem(text.data, left, close, sizeof close - 1);
    return (struct slice){text.data, (uint32_t)((found ? found : end) - text.data)};
}

static void read_value(struct reading *reading, struct slice text, const uint8_t *end)
{
    if (!text.bytes)
        text = whole_value(text, end);
    reading->news |=
        changes_is_new(reading->changes, hash64(reading->property, text.data, text.bytes));
    reading->property = 0;
}

static void read_name(struct reading *reading, struct slice text)
{
    bool known = interest_is_object_property(reading->interest, text.data, text.bytes);
    reading->property =
        known && reading->object ? hash64(reading->object, text.data, text.bytes) : 0;
}

enum {
    TAG_BYTES = 6, /* that tag_at reads */
    BLOCK_BYTES = 64,
};

/* Bit n: a tag that may be ours, by its first letter, begins at block[n]; reads one byte more. A
 * property read is one tag after the other, and most are not ours. */
static inline uint64_t tags_in(const uint8_t block[BLOCK_BYTES + 1])
{
    uint64_t tags = 0;
#ifdef __SSE2__
    const __m128i bracket = _mm_set1_epi8('<');
    const __m128i o = _mm_set1_epi8('o'), v = _mm_set1_epi8('v'), n = _mm_set1_epi8('n');
    for (int i = 0; i < BLOCK_BYTES; i += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(block + i));
        __m128i next = _mm_loadu_si128((const __m128i *)(const void *)(block + i + 1));
        __m128i letter = _mm_or_si128(_mm_cmpeq_epi8(next, v), _mm_cmpeq_epi8(next, n));
        letter = _mm_or_si128(letter, _mm_cmpeq_epi8(next, o));
        letter = _mm_and_si128(letter, _mm_cmpeq_epi8(bytes, bracket));
        tags |= (uint64_t)(uint32_t)_mm_movemask_epi8(letter) << i;
    }
#else
    for (int i = 0; i < BLOCK_BYTES; i++) {
        uint8_t next = block[i + 1];
        bool ours = block[i] == '<' && (next == 'o' || next == 'v' || next == 'n');
        tags |= (uint64_t)ours << i;
    }
#endif
    return tags;
}

enum tag { TAG_OTHER, TAG_OBJECT, TAG_NAME, TAG_VALUE };

/* Servers write these elements without a prefix. `at` stands on '<', with TAG_BYTES to read. */
static enum tag tag_at(const uint8_t *at)
{
    bool closes = at[4] == '>' || at[4] == ' ';
    if (memcmp(at, "<obj", 4) == 0)
        return closes ? TAG_OBJECT : TAG_OTHER;
    if (memcmp(at, "<val", 4) == 0)
        return closes ? TAG_VALUE : TAG_OTHER;
    return memcmp(at, "<name>", 6) == 0 ? TAG_NAME : TAG_OTHER;
}

/* What the tag at `at` says, if it is one of ours; returns where the search for tags goes on. */
static const uint8_t *read_tag(struct reading *reading, const uint8_t *at, const uint8_t *end)
{
    enum tag tag = end - at >= TAG_BYTES ? tag_at(at) : TAG_OTHER;
    if (tag == TAG_OTHER || (tag == TAG_VALUE && !reading->property))
        return at + 1;
    const uint8_t *close = find(at, end, '>');
    if (close == end)
        return end;
    const uint8_t *next = find(close, end, '<');
    struct slice text = {close + 1, (uint32_t)(next - close - 1)};
    if (tag == TAG_OBJECT)
        reading->object = hash64(reading->server, text.data, text.bytes);
    else if (tag == TAG_NAME)
        read_name(reading, text);
    else
        read_value(reading, text, end);
    return next;
}

bool objects_are_new(const struct interest *interest, struct changes *changes,
                     const uint8_t server[ADDRESS_BYTES], struct slice body)
{
    struct reading reading = {
        .interest = interest,
        .changes = changes,
        .server = hash64(0, server, ADDRESS_BYTES),
    };
    const uint8_t *at = body.data, *end = body.data + body.bytes, *block = body.data;
    for (; end - block > BLOCK_BYTES; block += BLOCK_BYTES) {
        for (uint64_t tags = tags_in(block); tags; tags &= tags - 1) {
            const uint8_t *tag = block + __builtin_ctzll(tags);
            if (tag >= at)
                at = read_tag(&reading, tag, end);
        }
    }
    at = at > block ? at : block;
    while ((at = find(at, end, '<')) != end)
        at = read_tag(&reading, at, end);
    return reading.news;
}
