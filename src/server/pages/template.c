/* SPDX-License-Identifier: Apache-2.0 */
#include "server/pages/template.h"

#include "core/bytes.h"

#include <stdio.h>
#include <stdlib.h>

typedef enum tag_kind {
    TAG_END,
    TAG_VALUE,
    TAG_OPEN,
    TAG_INVERTED,
    TAG_CLOSE,
    TAG_PARTIAL
} tag_kind;

/** One step through a template: the text before the next tag, and that tag. */
typedef struct tag {
    tag_kind kind;
    coat_span text; /* before the tag */
    coat_span name;
    size_t start, next; /* offsets of the tag and behind it */
} tag;

typedef struct page {
    char *text;
    size_t len, cap;
    coat_err err;
} page;

typedef struct render {
    coat_template_find_fn find;
    const void *find_ctx;
    json_t *stack[2 * COAT_TEMPLATE_DEPTH];
    unsigned stack_len;
    page out;
} render;

static bool
name_ok(coat_span name)
{
    if (name.len == 0 || name.len > COAT_TEMPLATE_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];

        if (!(c == '_' || c == '.' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z')))
            return false;
    }
    return true;
}

/* A section or partial tag alone on its line: leave out the line's white space and end. */
static void
trim_standalone(coat_span source, size_t start, tag *t)
{
    size_t before = t->start, after = t->next;

    while (before > start && (source.ptr[before - 1] == ' ' || source.ptr[before - 1] == '\t'))
        before--;
    if (before > 0 && source.ptr[before - 1] != '\n')
        return;
    while (after < source.len &&
           (source.ptr[after] == ' ' || source.ptr[after] == '\t' || source.ptr[after] == '\r'))
        after++;
    if (after < source.len && source.ptr[after] != '\n')
        return;
    t->text.len = before > start ? before - start : 0;
    t->next = after < source.len ? after + 1 : after;
}

/** Find the next tag from offset `at`. @return false on a fault, at t->start */
static bool
next_tag(coat_span source, size_t at, tag *t)
{
    const uint8_t *open = NULL, *close;
    size_t i = at;

    memset(t, 0, sizeof *t);
    for (; i + 1 < source.len; i++)
        if (source.ptr[i] == '{' && source.ptr[i + 1] == '{') {
            open = source.ptr + i;
            break;
        }
    t->text = (coat_span){source.ptr + at, (open != NULL ? i : source.len) - at};
    t->start = open != NULL ? i : source.len;
    t->next = source.len;
    if (open == NULL)
        return true;
    close = memmem(open + 2, source.len - i - 2, "}}", 2);
    if (close == NULL)
        return false;
    t->next = (size_t)(close + 2 - source.ptr);
    t->name = (coat_span){open + 2, (size_t)(close - open - 2)};
    t->kind = TAG_VALUE;
    if (t->name.len > 0) {
        uint8_t c = t->name.ptr[0];

        t->kind = c == '#'   ? TAG_OPEN
                  : c == '^' ? TAG_INVERTED
                  : c == '/' ? TAG_CLOSE
                  : c == '>' ? TAG_PARTIAL
                             : TAG_VALUE;
        if (t->kind != TAG_VALUE) {
            t->name.ptr++;
            t->name.len--;
            trim_standalone(source, at, t);
        }
    }
    return name_ok(t->name);
}

static void
put(page *out, const void *bytes, size_t len)
{
    if (out->err != COAT_OK)
        return;
    if (len > COAT_PAGE_MAX - out->len) {
        out->err = COAT_TOO_LARGE;
        return;
    }
    if (out->len + len + 1 > out->cap) {
        size_t cap = out->cap;
        char *grown;

        while (cap < out->len + len + 1)
            cap = cap == 0 ? 8192 : 2 * cap;
        grown = realloc(out->text, cap);
        if (grown == NULL) {
            out->err = COAT_NO_MEMORY;
            return;
        }
        out->text = grown;
        out->cap = cap;
    }
    if (len > 0)
        memcpy(out->text + out->len, bytes, len);
    out->len += len;
    out->text[out->len] = '\0';
}

/* Escapes for text and for quoted attribute values alike. Control bytes are left out. */
static void
put_escaped(page *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        const char *entity = NULL;

        switch (text[i]) {
        case '&':
            entity = "&amp;";
            break;
        case '<':
            entity = "&lt;";
            break;
        case '>':
            entity = "&gt;";
            break;
        case '"':
            entity = "&quot;";
            break;
        case '\'':
            entity = "&#39;";
            break;
        default:
            break;
        }
        if (entity != NULL)
            put(out, entity, strlen(entity));
        else if ((uint8_t)text[i] >= 0x20 || text[i] == '\n' || text[i] == '\t')
            put(out, text + i, 1);
    }
}

/* A dotted name: its first part is looked up from the innermost object outward. */
static json_t *
look_up(const render *r, coat_span name)
{
    json_t *value = NULL;
    size_t from = 0;

    while (from <= name.len) {
        size_t to = from;
        char part[COAT_TEMPLATE_NAME_MAX + 1];

        while (to < name.len && name.ptr[to] != '.')
            to++;
        memcpy(part, name.ptr + from, to - from);
        part[to - from] = '\0';
        if (from > 0)
            value = json_object_get(value, part);
        else
            for (unsigned i = r->stack_len; value == NULL && i > 0; i--)
                value = json_object_get(r->stack[i - 1], part);
        if (value == NULL)
            return NULL;
        from = to + 1;
    }
    return value;
}

static bool
is_true(json_t *value)
{
    switch (value != NULL ? json_typeof(value) : JSON_NULL) {
    case JSON_OBJECT:
    case JSON_TRUE:
        return true;
    case JSON_ARRAY:
        return json_array_size(value) > 0;
    case JSON_STRING:
        return json_string_length(value) > 0;
    case JSON_INTEGER:
        return json_integer_value(value) != 0;
    case JSON_REAL:
        return true;
    case JSON_FALSE:
    case JSON_NULL:
        break;
    }
    return false;
}

static void
put_value(render *r, json_t *value)
{
    char number[32];

    if (json_is_string(value)) {
        put_escaped(&r->out, json_string_value(value), json_string_length(value));
    } else if (json_is_integer(value)) {
        int n =
            snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));

        put(&r->out, number, (size_t)n);
    }
}

/** Offset of the tag that closes the section opened before `at`; its end in *behind. */
static bool
find_close(coat_span source, size_t at, coat_span name, size_t *inner_end, size_t *behind)
{
    unsigned depth = 1;
    tag t;

    while (next_tag(source, at, &t) && t.kind != TAG_END) {
        if (t.kind == TAG_OPEN || t.kind == TAG_INVERTED)
            depth++;
        else if (t.kind == TAG_CLOSE && --depth == 0) {
            *inner_end = (size_t)(t.text.ptr - source.ptr) + t.text.len;
            *behind = t.next;
            return coat_span_is(t.name, name);
        }
        at = t.next;
    }
    return false;
}

static void render_span(render *r, coat_span source, unsigned depth);

static void
push_and_render(render *r, coat_span inner, json_t *value, unsigned depth)
{
    bool pushed = json_is_object(value) && r->stack_len < sizeof r->stack / sizeof r->stack[0];

    if (pushed)
        r->stack[r->stack_len++] = value;
    render_span(r, inner, depth + 1);
    if (pushed)
        r->stack_len--;
}

static void
render_section(render *r, coat_span inner, const tag *t, unsigned depth)
{
    json_t *value = look_up(r, t->name);

    if (t->kind == TAG_INVERTED) {
        if (!is_true(value))
            render_span(r, inner, depth + 1);
        return;
    }
    if (!is_true(value))
        return;
    if (!json_is_array(value)) {
        push_and_render(r, inner, value, depth);
        return;
    }
    for (size_t i = 0; i < json_array_size(value) && r->out.err == COAT_OK; i++)
        push_and_render(r, inner, json_array_get(value, i), depth);
}

static void
render_span(render *r, coat_span source, unsigned depth)
{
    size_t at = 0;
    tag t;

    if (depth > COAT_TEMPLATE_DEPTH) {
        r->out.err = COAT_MALFORMED;
        return;
    }
    while (r->out.err == COAT_OK) {
        size_t inner_end = 0, behind = 0;

        if (!next_tag(source, at, &t) && t.start < source.len) {
            r->out.err = COAT_MALFORMED;
            return;
        }
        put(&r->out, t.text.ptr, t.text.len);
        if (t.kind == TAG_END)
            return;
        at = t.next;
        if (t.kind == TAG_VALUE) {
            put_value(r, look_up(r, t.name));
        } else if (t.kind == TAG_PARTIAL) {
            coat_span part = r->find(r->find_ctx, t.name);

            if (part.ptr == NULL)
                r->out.err = COAT_MALFORMED;
            else
                render_span(r, part, depth + 1);
        } else if (t.kind == TAG_CLOSE ||
                   !find_close(source, at, t.name, &inner_end, &behind)) {
            r->out.err = COAT_MALFORMED;
        } else {
            render_section(r, (coat_span){source.ptr + at, inner_end - at}, &t, depth);
            at = behind;
        }
    }
}

coat_err
coat_template_render(coat_span source, coat_template_find_fn find, const void *ctx,
                     json_t *data, char **out, size_t *len)
{
    render r = {.find = find, .find_ctx = ctx, .stack = {data}, .stack_len = 1};

    put(&r.out, "", 0);
    render_span(&r, source, 0);
    if (r.out.err != COAT_OK) {
        free(r.out.text);
        return r.out.err;
    }
    *out = r.out.text;
    *len = r.out.len;
    return COAT_OK;
}

static unsigned
line_of(coat_span source, size_t at)
{
    unsigned line = 1;

    for (size_t i = 0; i < at && i < source.len; i++)
        line += source.ptr[i] == '\n';
    return line;
}

/** Names of the sections that are open at a point of a template. */
typedef struct open_sections {
    coat_span name[COAT_TEMPLATE_DEPTH];
    unsigned depth;
    unsigned looked_at; /* tags of included templates */
} open_sections;

/**
 * Is what is included at this depth, and what that includes, within the depth that is rendered?
 * Templates have no cycles then. What else is wrong in them is found when they are checked.
 */
static bool
fits(coat_span source, unsigned depth, open_sections *open, coat_template_find_fn find,
     const void *ctx)
{
    size_t at = 0;
    tag t;

    while (depth <= COAT_TEMPLATE_DEPTH && ++open->looked_at <= COAT_TEMPLATE_TAGS_MAX) {
        if (!next_tag(source, at, &t) || t.kind == TAG_END)
            return true;
        if (t.kind == TAG_PARTIAL && !fits(find(ctx, t.name), depth + 1, open, find, ctx))
            return false;
        depth += t.kind == TAG_OPEN || t.kind == TAG_INVERTED;
        depth -= t.kind == TAG_CLOSE && depth > 0;
        at = t.next;
    }
    return false;
}

static const char *
partial_fault(const tag *t, open_sections *open, coat_template_find_fn find, const void *ctx)
{
    coat_span part = find(ctx, t->name);

    if (part.ptr == NULL)
        return "there is no template of this name to include";
    if (!fits(part, open->depth + 1, open, find, ctx))
        return "what this includes is more than 8 sections and templates inside one another, "
               "or too much";
    return NULL;
}

/** What is wrong with a tag, or NULL. */
static const char *
tag_fault(const tag *t, open_sections *open, coat_template_find_fn find, const void *ctx)
{
    switch (t->kind) {
    case TAG_PARTIAL:
        return partial_fault(t, open, find, ctx);
    case TAG_OPEN:
    case TAG_INVERTED:
        if (open->depth == COAT_TEMPLATE_DEPTH)
            return "more than 8 sections inside one another";
        open->name[open->depth++] = t->name;
        return NULL;
    case TAG_CLOSE:
        if (open->depth == 0 || !coat_span_is(open->name[--open->depth], t->name))
            return "this closes a section that was not the last one opened";
        return NULL;
    case TAG_END:
    case TAG_VALUE:
        break;
    }
    return NULL;
}

coat_err
coat_template_check(coat_span source, coat_template_find_fn find, const void *ctx,
                    unsigned *line, char *message, size_t cap)
{
    const char *fault = source.len > COAT_TEMPLATE_MAX ? "the template is over 64 KiB" : NULL;
    open_sections open = {.depth = 0};
    size_t at = 0;
    tag t = {0};

    while (fault == NULL) {
        if (!next_tag(source, at, &t) && t.start < source.len)
            fault = "a tag is not closed, or its name has other characters than a-z 0-9 _ .";
        else if (t.kind == TAG_END)
            break;
        else
            fault = tag_fault(&t, &open, find, ctx);
        at = t.next;
    }
    if (fault == NULL && open.depth > 0) {
        fault = "a section is not closed";
        t.start = (size_t)(open.name[open.depth - 1].ptr - source.ptr);
    }
    if (fault == NULL)
        return COAT_OK;
    *line = line_of(source, t.start);
    (void)snprintf(message, cap, "%s", fault);
    return COAT_MALFORMED;
}
