/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/parser.h"

/*
 * The chunked coding (RFC 9112 7.1), byte by byte, data in runs. Everything there is gets
 * consumed, and the decoded body moves to the front, so that framing takes no room.
 */

enum {
    SIZE = 0,
    EXT,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER_START,
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    END_LF,
    END,
};

static bool
fail(coat_parser *parser, uint16_t status)
{
    parser->status = status;
    return false;
}

static bool
go(coat_parser *parser, bool valid, uint8_t state)
{
    parser->chunk_state = state;
    return valid || fail(parser, 400);
}

static bool
take_size(coat_parser *parser, uint8_t c)
{
    int digit = coat_char_hex(c);

    if (digit >= 0) {
        if (++parser->chunk_digits > 16) /* does not fit 64 bits: an overflow elsewhere */
            return fail(parser, 400);
        if (parser->chunk_left <= COAT_HTTP_BODY_MAX)
            parser->chunk_left = parser->chunk_left << 4 | (uint32_t)digit;
        return true;
    }
    if (parser->chunk_digits == 0 || (c != ';' && c != '\r'))
        return fail(parser, 400);
    if (parser->chunk_left > COAT_HTTP_BODY_MAX - parser->body_len)
        return fail(parser, 413);
    return go(parser, true, c == ';' ? EXT : SIZE_LF);
}

static bool
take_ext(coat_parser *parser, uint8_t c)
{
    if (c == '\r')
        return go(parser, true, SIZE_LF);
    if (++parser->ext_bytes > COAT_PARSER_EXT_MAX)
        return fail(parser, 400);
    return c < 0x80 && (coat_byte_class[c] & COAT_BYTE_VALUE) != 0 ? true : fail(parser, 400);
}

/* Trailers are fields like others in form; what they say is dropped (RFC 9110 6.5.1). */
static bool
take_trailer(coat_parser *parser, uint8_t c)
{
    uint8_t class = coat_byte_class[c];

    if (parser->chunk_state == TRAILER_START && c == '\r')
        return go(parser, true, END_LF);
    if (++parser->trailer_bytes > COAT_PARSER_TRAILER_MAX)
        return fail(parser, 431);
    switch (parser->chunk_state) {
    case TRAILER_START:
        return go(parser, (class & COAT_BYTE_TOKEN) != 0, TRAILER_NAME);
    case TRAILER_NAME:
        if (c == ':')
            return go(parser, true, TRAILER_VALUE);
        return (class & COAT_BYTE_TOKEN) != 0 || fail(parser, 400);
    case TRAILER_VALUE:
        if (c == '\r')
            return go(parser, true, TRAILER_LF);
        return (class & COAT_BYTE_VALUE) != 0 || fail(parser, 400);
    default: /* TRAILER_LF */
        return go(parser, c == '\n', TRAILER_START);
    }
}

static bool
take_byte(coat_parser *parser, uint8_t c)
{
    switch (parser->chunk_state) {
    case SIZE:
        return take_size(parser, c);
    case EXT:
        return take_ext(parser, c);
    case SIZE_LF:
        parser->chunk_digits = 0;
        return go(parser, c == '\n', parser->chunk_left > 0 ? DATA : TRAILER_START);
    case DATA_CR:
        return go(parser, c == '\r', DATA_LF);
    case DATA_LF:
        return go(parser, c == '\n', SIZE);
    case END_LF:
        return go(parser, c == '\n', END);
    default:
        return take_trailer(parser, c);
    }
}

bool
coat_parser_chunks(coat_parser *parser, uint8_t *buf, size_t *len)
{
    while (parser->pos < *len && parser->chunk_state != END) {
        size_t run = *len - parser->pos;

        if (parser->chunk_state != DATA) {
            if (!take_byte(parser, buf[parser->pos++]))
                return false;
            continue;
        }
        run = run < parser->chunk_left ? run : parser->chunk_left;
        memmove(buf + parser->body + parser->body_len, buf + parser->pos, run);
        parser->body_len += (uint32_t)run;
        parser->pos += (uint32_t)run;
        parser->chunk_left -= (uint32_t)run;
        if (parser->chunk_left == 0)
            parser->chunk_state = DATA_CR;
    }
    if (parser->chunk_state == END) {
        parser->state = COAT_PARSER_DONE;
    } else {
        parser->pos = parser->body + parser->body_len;
        *len = parser->pos;
    }
    return true;
}
