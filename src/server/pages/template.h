/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SERVER_PAGES_TEMPLATE_H
#define COAT_SERVER_PAGES_TEMPLATE_H

/**
 * Page templates: the small, logic-free part of Mustache (mustache(5)) that pages need.
 *
 *   {{name}} {{a.b}}          a value, always HTML-escaped: there is no unescaped form
 *   {{#name}} ... {{/name}}   once for a true value, an object or a text; for each of an array
 *   {{^name}} ... {{/name}}   if the value is absent, false, empty
 *   {{>name}}                 another template
 *
 * A tag that stands alone on its line takes the line with it.
 */

#include <coatcheck/base.h>
#include <jansson.h>

#define COAT_TEMPLATE_MAX (64 * 1024) /* bytes of one template */
#define COAT_TEMPLATE_DEPTH 8         /* sections and partials inside one another */
#define COAT_TEMPLATE_TAGS_MAX 10000  /* of all that a template includes */
#define COAT_TEMPLATE_NAME_MAX 64
#define COAT_PAGE_MAX (256 * 1024) /* bytes of a rendered page */

/** Source of a template by name; {NULL, 0} if there is none. */
typedef coat_span (*coat_template_find_fn)(const void *ctx, coat_span name);

/**
 * Check a template without rendering it: every tag closed, sections nested, partials known,
 * and no more inside one another than is rendered.
 * @param line  line of the first fault  @param message  what is wrong, at least 120 bytes
 */
coat_err coat_template_check(coat_span source, coat_template_find_fn find, const void *ctx,
                             unsigned *line, char *message, size_t cap) COAT_MUST_USE;

/**
 * Render. @param out  allocated text, NUL-terminated, the caller frees it
 * @retval COAT_MALFORMED  the template has a fault; COAT_TOO_LARGE; COAT_NO_MEMORY
 */
coat_err coat_template_render(coat_span source, coat_template_find_fn find, const void *ctx,
                              json_t *data, char **out, size_t *len) COAT_MUST_USE;

#endif
