/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration file: a small, closed part of YAML. Sections are mappings, lists are
 * sequences; anchors, aliases, tags, directives and further documents are refused, and so is
 * what nests deeper than the table of keys does.
 */
#include "core/out.h"
#include "server/config/internal.h"

#include <yaml.h>

enum { DEPTH_MAX = 4, PATH_MAX_CHARS = 128, SECTIONS_MAX = 32, LISTENER_TEXT_MAX = 1000 };

typedef struct reader {
    yaml_parser_t parser;
    yaml_event_t event;
    bool has_event;
    coat_builder *builder;
    const char *name;
    coat_place here;                             /* of the last refusal */
    char sections[SECTIONS_MAX][PATH_MAX_CHARS]; /* met so far, to refuse a second one */
    unsigned section_lines[SECTIONS_MAX];
    size_t section_count;
} reader;

static coat_place
place_of(const reader *r, yaml_mark_t mark)
{
    return (coat_place){COAT_SOURCE_FILE, r->name, (unsigned)mark.line + 1,
                        (unsigned)mark.column + 1};
}

static coat_place
place_here(const reader *r)
{
    return place_of(r, r->event.start_mark);
}

#define REFUSE(r, index, ...)                                                                  \
    ((r)->here = place_here(r),                                                                \
     coat_config_fail((r)->builder, (index), &(r)->here, __VA_ARGS__))

/* What libyaml tells of an event's node: none of it is for a configuration. */
static coat_err
check_event(reader *r)
{
    const yaml_event_t *e = &r->event;
    const yaml_char_t *anchor = NULL, *tag = NULL;

    if (e->type == YAML_ALIAS_EVENT)
        return REFUSE(r, COAT_KEYS_COUNT, "aliases (*name) are not allowed; write it out");
    if (e->type == YAML_SCALAR_EVENT) {
        anchor = e->data.scalar.anchor;
        tag = e->data.scalar.tag;
    } else if (e->type == YAML_SEQUENCE_START_EVENT) {
        anchor = e->data.sequence_start.anchor;
        tag = e->data.sequence_start.tag;
    } else if (e->type == YAML_MAPPING_START_EVENT) {
        anchor = e->data.mapping_start.anchor;
        tag = e->data.mapping_start.tag;
    }
    if (anchor != NULL)
        return REFUSE(r, COAT_KEYS_COUNT, "anchors (&name) are not allowed; write it out");
    if (tag != NULL)
        return REFUSE(r, COAT_KEYS_COUNT, "tags (!name) are not allowed");
    if (e->type == YAML_SCALAR_EVENT &&
        strlen((const char *)e->data.scalar.value) != e->data.scalar.length)
        return REFUSE(r, COAT_KEYS_COUNT, "a NUL character is not allowed");
    return COAT_OK;
}

static coat_err
next(reader *r)
{
    if (r->has_event)
        yaml_event_delete(&r->event);
    r->has_event = false;
    if (yaml_parser_parse(&r->parser, &r->event) == 0) {
        coat_place place = place_of(r, r->parser.problem_mark);

        if (r->parser.error == YAML_MEMORY_ERROR)
            return COAT_NO_MEMORY;
        return coat_config_fail(r->builder, COAT_KEYS_COUNT, &place,
                                "is not valid YAML: %.120s",
                                r->parser.problem != NULL ? r->parser.problem : "unreadable");
    }
    r->has_event = true;
    return check_event(r);
}

static const char *
scalar(const reader *r)
{
    return (const char *)r->event.data.scalar.value;
}

/* "key:" with nothing behind it, or null. */
static bool
is_null(const reader *r)
{
    return r->event.type == YAML_SCALAR_EVENT &&
           r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (scalar(r)[0] == '\0' || strcmp(scalar(r), "null") == 0 ||
            strcmp(scalar(r), "~") == 0);
}

static coat_err
unknown_key(reader *r, const char *path)
{
    const char *nearest = coat_key_nearest(path);

    if (nearest != NULL)
        return REFUSE(r, COAT_KEYS_COUNT, "there is no key \"%.100s\"; did you mean %s?", path,
                      nearest);
    return REFUSE(r, COAT_KEYS_COUNT, "there is no key \"%.100s\"", path);
}

/* One field of a listener written as a mapping, added to its short form. */
static coat_err
listener_field(reader *r, coat_out *out, const char *name, unsigned *seen)
{
    int which = coat_word_index("address|dialect|trusted|mode|group", name);

    if (which < 0)
        return REFUSE(
            r, COAT_INDEX_listeners,
            "\"%.60s\" is unknown; a listener has address, dialect, trusted, mode and "
            "group",
            name);
    if ((*seen & 1U << which) != 0)
        return REFUSE(r, COAT_INDEX_listeners, "%s is set a second time", name);
    *seen |= 1U << which;
    coat_out_char(out, ';');
    if (which != 0) {
        coat_out_str(out, name);
        coat_out_char(out, '=');
    }
    return COAT_OK;
}

static coat_err
listener_scalar(reader *r, coat_out *out)
{
    if (r->event.type != YAML_SCALAR_EVENT || is_null(r))
        return REFUSE(r, COAT_INDEX_listeners, "a text is needed here");
    if (strpbrk(scalar(r), ";,") != NULL)
        return REFUSE(r, COAT_INDEX_listeners, "\"%.60s\" must not contain ; or ,", scalar(r));
    coat_out_str(out, scalar(r));
    return COAT_OK;
}

static coat_err
listener_value(reader *r, coat_out *out, bool is_list)
{
    coat_err err;

    if (!is_list || r->event.type != YAML_SEQUENCE_START_EVENT)
        return listener_scalar(r, out);
    err = next(r);
    while (err == COAT_OK && r->event.type != YAML_SEQUENCE_END_EVENT) {
        err = listener_scalar(r, out);
        coat_out_char(out, ' ');
        if (err == COAT_OK)
            err = next(r);
    }
    return err;
}

/* {address: ..., dialect: ...} to its short form, so that there is one parser of listeners. */
static coat_err
read_listener(reader *r, const char **text)
{
    char address[LISTENER_TEXT_MAX], options[LISTENER_TEXT_MAX];
    coat_out head = coat_out_init(address, sizeof address);
    coat_out tail = coat_out_init(options, sizeof options);
    unsigned seen = 0;
    coat_err err = next(r);

    while (err == COAT_OK && r->event.type != YAML_MAPPING_END_EVENT) {
        bool is_address, is_trusted;

        if (r->event.type != YAML_SCALAR_EVENT)
            return REFUSE(r, COAT_INDEX_listeners, "a name is needed here");
        is_address = strcmp(scalar(r), "address") == 0;
        is_trusted = strcmp(scalar(r), "trusted") == 0;
        err = listener_field(r, is_address ? &head : &tail, scalar(r), &seen);
        if (err == COAT_OK)
            err = next(r);
        if (err == COAT_OK)
            err = listener_value(r, is_address ? &head : &tail, is_trusted);
        if (err == COAT_OK)
            err = next(r);
    }
    if (err != COAT_OK)
        return err;
    if ((seen & 1U) == 0)
        return REFUSE(r, COAT_INDEX_listeners, "a listener needs an address");
    coat_out_bytes(&head, options, tail.len);
    if (head.over || tail.over)
        return REFUSE(r, COAT_INDEX_listeners, "is too long");
    *text = coat_config_copy(r->builder->config, address + 1, head.len - 1); /* no first ';' */
    return *text != NULL ? COAT_OK : COAT_NO_MEMORY;
}

static coat_err
read_list(reader *r, size_t index)
{
    coat_place place = place_here(r);
    coat_text texts[COAT_CONFIG_LIST_MAX];
    size_t count = 0;
    coat_err err = next(r);

    while (err == COAT_OK && r->event.type != YAML_SEQUENCE_END_EVENT) {
        coat_place at = place_here(r);

        if (count == COAT_CONFIG_LIST_MAX)
            return REFUSE(r, index, "has more than %d entries", COAT_CONFIG_LIST_MAX);
        texts[count] = (coat_text){NULL, at.line, at.column};
        if (r->event.type == YAML_MAPPING_START_EVENT && index == COAT_INDEX_listeners)
            err = read_listener(r, &texts[count].text);
        else if (r->event.type == YAML_SCALAR_EVENT && !is_null(r))
            texts[count].text =
                coat_config_copy(r->builder->config, scalar(r), strlen(scalar(r)));
        else
            return REFUSE(r, index, "has an entry that is no text");
        if (err == COAT_OK && texts[count].text == NULL)
            err = COAT_NO_MEMORY;
        count++;
        if (err == COAT_OK)
            err = next(r);
    }
    return err != COAT_OK ? err : coat_config_assign(r->builder, index, &place, texts, count);
}

static coat_err
read_value(reader *r, size_t index)
{
    const coat_key *key = coat_key_at(index);
    coat_place place = place_here(r);

    if (r->event.type == YAML_SEQUENCE_START_EVENT && coat_key_is_list(key))
        return read_list(r, index);
    if (r->event.type != YAML_SCALAR_EVENT)
        return REFUSE(r, index, "must be %s", coat_key_type_text(key));
    if (is_null(r))
        return REFUSE(r, index, "has no value; leave the key out for its default (%s)",
                      key->initial[0] != '\0' ? key->initial : "empty");
    return coat_config_assign_short(r->builder, index, &place, scalar(r));
}

/* A second "session:" would be merged by some parsers and overwritten by others. */
static coat_err
enter_section(reader *r, const char *path)
{
    for (size_t i = 0; i < r->section_count; i++)
        if (strcmp(r->sections[i], path) == 0)
            return REFUSE(r, COAT_KEYS_COUNT,
                          "section %s is opened a second time; first in line "
                          "%u",
                          path, r->section_lines[i]);
    if (r->section_count == SECTIONS_MAX)
        return REFUSE(r, COAT_KEYS_COUNT, "too many sections");
    (void)snprintf(r->sections[r->section_count], PATH_MAX_CHARS, "%s", path);
    r->section_lines[r->section_count++] = place_here(r).line;
    return COAT_OK;
}

static coat_err read_mapping(reader *r, const char *prefix, int depth);

static coat_err
read_section(reader *r, const char *path, int depth)
{
    if (is_null(r))
        return COAT_OK;
    if (r->event.type != YAML_MAPPING_START_EVENT)
        return REFUSE(r, COAT_KEYS_COUNT, "%s is a section: keys belong below it", path);
    if (depth == DEPTH_MAX)
        return REFUSE(r, COAT_KEYS_COUNT, "nests too deep");
    return read_mapping(r, path, depth + 1);
}

static coat_err
read_pair(reader *r, const char *prefix, int depth)
{
    char path[PATH_MAX_CHARS];
    coat_out out = coat_out_init(path, sizeof path);
    size_t index;
    coat_err err;

    if (r->event.type != YAML_SCALAR_EVENT)
        return REFUSE(r, COAT_KEYS_COUNT, "the name of a key is needed here");
    coat_out_str(&out, prefix);
    if (prefix[0] != '\0')
        coat_out_char(&out, '.');
    coat_out_str(&out, scalar(r));
    if (!coat_out_end(&out))
        return REFUSE(r, COAT_KEYS_COUNT, "the name of this key is too long");
    /* One spelling only, or duplicates could hide. */
    if (strchr(scalar(r), '.') != NULL)
        return REFUSE(r, COAT_KEYS_COUNT,
                      "\"%.60s\": write sections one below the other, "
                      "without dots",
                      scalar(r));
    index = coat_key_find(coat_span_of(path));
    if (index == COAT_KEYS_COUNT && !coat_key_is_section(coat_span_of(path)))
        return unknown_key(r, path);
    err = index == COAT_KEYS_COUNT ? enter_section(r, path) : COAT_OK;
    if (err == COAT_OK)
        err = next(r);
    if (err != COAT_OK)
        return err;
    return index == COAT_KEYS_COUNT ? read_section(r, path, depth) : read_value(r, index);
}

static coat_err
read_mapping(reader *r, const char *prefix, int depth)
{
    coat_err err = next(r);

    while (err == COAT_OK && r->event.type != YAML_MAPPING_END_EVENT) {
        err = read_pair(r, prefix, depth);
        if (err == COAT_OK)
            err = next(r);
    }
    return err;
}

static coat_err
read_document(reader *r)
{
    coat_err err = next(r); /* start of the stream */

    if (err == COAT_OK)
        err = next(r);
    if (err != COAT_OK || r->event.type == YAML_STREAM_END_EVENT)
        return err;
    if (r->event.data.document_start.tag_directives.start !=
        r->event.data.document_start.tag_directives.end)
        return REFUSE(r, COAT_KEYS_COUNT, "directives are not allowed");
    err = next(r);
    if (err == COAT_OK && r->event.type == YAML_MAPPING_START_EVENT)
        err = read_mapping(r, "", 1);
    else if (err == COAT_OK && !is_null(r))
        err = REFUSE(r, COAT_KEYS_COUNT, "keys are needed here, such as \"session:\"");
    if (err == COAT_OK)
        err = next(r); /* end of the document */
    if (err == COAT_OK)
        err = next(r);
    if (err == COAT_OK && r->event.type != YAML_STREAM_END_EVENT)
        err = REFUSE(r, COAT_KEYS_COUNT, "a second document is not allowed");
    return err;
}

coat_err
coat_config_yaml(coat_builder *builder, coat_span text, const char *name)
{
    reader r = {.builder = builder, .name = name};
    coat_place whole = {COAT_SOURCE_FILE, name, 0, 0};
    coat_err err;

    if (text.len > COAT_CONFIG_FILE_MAX)
        return coat_config_fail(builder, COAT_KEYS_COUNT, &whole, "is larger than %d KiB",
                                COAT_CONFIG_FILE_MAX / 1024);
    if (yaml_parser_initialize(&r.parser) == 0)
        return COAT_NO_MEMORY;
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, text.ptr != NULL ? text.ptr : (const uint8_t *)"",
                                 text.len);
    err = read_document(&r);
    if (r.has_event)
        yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    return err;
}
