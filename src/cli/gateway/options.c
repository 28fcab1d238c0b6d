/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of `coatcheck gateway`, judged by itself. */
#include "cli/gateway/gateway.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

enum { MAX_BODY_DEFAULT = 16 * 1024 * 1024 };

/* An option that may be given once. */
static coat_err
once(const coat_args *args, const char *name, const char **out, char *message)
{
    if (coat_args_nth(args, name, 1) != NULL)
        return coat_gateway_refuse(message, "%s is given twice", name);
    *out = coat_args_option(args, name);
    if (*out != NULL && (*out)[0] == '\0')
        return coat_gateway_refuse(message, "%s needs a value", name);
    return COAT_OK;
}

/* nginx takes relative paths from a directory of its own. */
static coat_err
file_option(const coat_args *args, const char *name, char path[COAT_GATEWAY_FILE_MAX],
            char *message)
{
    char here[PATH_MAX] = "";
    const char *text = NULL;
    coat_err err = once(args, name, &text, message);
    int n;

    path[0] = '\0';
    if (err != COAT_OK || text == NULL)
        return err;
    if (text[0] != '/' && getcwd(here, sizeof here) == NULL)
        return coat_gateway_refuse(message, "%s %.200s: the current directory is not known",
                                   name, text);
    n = snprintf(path, COAT_GATEWAY_FILE_MAX, "%s%s%s", here, here[0] != '\0' ? "/" : "", text);
    return n < COAT_GATEWAY_FILE_MAX
               ? COAT_OK
               : coat_gateway_refuse(message, "%s: the path is too long", name);
}

static coat_err
read_files(const coat_args *args, coat_gateway_options *out, char *message)
{
    const struct {
        const char *name;
        char *path;
    } files[] = {
        {"--tls-cert", out->tls_cert},       {"--tls-key", out->tls_key},
        {"--upstream-ca", out->upstream_ca}, {"--nginx", out->nginx},
        {"--module", out->module},           {"--access-log", out->access_log},
    };
    coat_err err = COAT_OK;

    for (size_t i = 0; i < sizeof files / sizeof files[0] && err == COAT_OK; i++)
        err = file_option(args, files[i].name, files[i].path, message);
    return err;
}

static coat_err
read_listens(const coat_args *args, coat_gateway_options *out, char *message)
{
    const struct {
        const char *name;
        coat_gateway_listen *list;
        size_t *count;
    } kinds[] = {
        {"--listen", out->listens, &out->listen_count},
        {"--redirect", out->redirects, &out->redirect_count},
    };
    coat_err err = COAT_OK;
    const char *text;

    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; (text = coat_args_nth(args, kinds[k].name, i)) != NULL; i++) {
            if (i == COAT_GATEWAY_LISTENS_MAX)
                return coat_gateway_refuse(message, "%s: at most %d addresses", kinds[k].name,
                                           COAT_GATEWAY_LISTENS_MAX);
            err = coat_gateway_listen_parse(text, &kinds[k].list[i], message);
            if (err != COAT_OK)
                return err;
            *kinds[k].count = i + 1;
        }
    if (out->listen_count == 0)
        err = coat_gateway_listen_parse(out->tls_cert[0] != '\0' ? "0.0.0.0:443"
                                                                 : "127.0.0.1:8080",
                                        &out->listens[out->listen_count++], message);
    return err;
}

static bool
listens_twice(const coat_gateway_options *o, const char **which)
{
    size_t count = o->listen_count + o->redirect_count;

    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++) {
            const coat_gateway_listen *a = i < o->listen_count
                                               ? &o->listens[i]
                                               : &o->redirects[i - o->listen_count],
                                      *b = j < o->listen_count
                                               ? &o->listens[j]
                                               : &o->redirects[j - o->listen_count];

            *which = a->text;
            if (strcmp(a->text, b->text) == 0)
                return true;
        }
    return false;
}

static coat_err
check_tls(const coat_gateway_options *o, char *message)
{
    bool tls = o->tls_cert[0] != '\0';
    const char *twice;

    if (tls != (o->tls_key[0] != '\0'))
        return coat_gateway_refuse(message,
                                   "--tls-cert and --tls-key belong together; %s is missing",
                                   tls ? "--tls-key" : "--tls-cert");
    for (size_t i = 0; !tls && i < o->listen_count; i++)
        if (!o->listens[i].loopback)
            return coat_gateway_refuse(
                message,
                "--listen %s: without TLS anybody on the way could read the cookie, so "
                "only this machine may come in; add --tls-cert FILE and --tls-key FILE, "
                "or listen on 127.0.0.1 or [::1]",
                o->listens[i].text);
    if (!tls && o->redirect_count > 0)
        return coat_gateway_refuse(
            message, "--redirect leads from http to https: it needs --tls-cert and "
                     "--tls-key");
    if (listens_twice(o, &twice))
        return coat_gateway_refuse(message, "%s is listened on twice", twice);
    if (o->upstream_ca[0] != '\0' && !o->upstream.tls)
        return coat_gateway_refuse(message, "--upstream-ca is for an upstream with https://");
    return COAT_OK;
}

static int
longer_first(const void *a, const void *b)
{
    const coat_gateway_rule *x = a, *y = b;
    size_t m = strlen(x->path), n = strlen(y->path);

    return m != n ? (m < n ? 1 : -1) : strcasecmp(x->path, y->path);
}

static coat_err
read_rules(const coat_args *args, coat_gateway_options *out, char *message)
{
    const char *text;

    for (size_t i = 0; (text = coat_args_nth(args, "--protect", i)) != NULL; i++) {
        coat_err err;

        if (i == COAT_GATEWAY_RULES_MAX)
            return coat_gateway_refuse(message, "--protect: at most %d paths",
                                       COAT_GATEWAY_RULES_MAX);
        err = coat_gateway_rule_parse(text, &out->rules[i], message);
        if (err != COAT_OK)
            return err;
        out->rule_count = i + 1;
    }
    /* nginx takes the first that fits: so that is the one that says most. */
    qsort(out->rules, out->rule_count, sizeof out->rules[0], longer_first);
    for (size_t i = 1; i < out->rule_count; i++)
        if (strcasecmp(out->rules[i - 1].path, out->rules[i].path) == 0)
            return coat_gateway_refuse(message, "--protect: %s is given twice",
                                       out->rules[i].path);
    return COAT_OK;
}

static coat_err
read_words(const coat_args *args, coat_gateway_options *out, char *message)
{
    const char *size = NULL, *url = NULL;
    coat_err err = once(args, "--upstream", &url, message);

    out->max_body = MAX_BODY_DEFAULT;
    out->optional = coat_args_option(args, "--optional") != NULL;
    out->no_csrf = coat_args_option(args, "--no-csrf") != NULL;
    out->assertion = coat_args_option(args, "--assertion") != NULL;
    out->print = coat_args_option(args, "--print") != NULL;
    if (err == COAT_OK)
        err = once(args, "--user", &out->user, message);
    if (err == COAT_OK)
        err = once(args, "--max-body", &size, message);
    if (err != COAT_OK)
        return err;
    if (size != NULL &&
        (coat_size_parse(coat_span_of(size), &out->max_body) != COAT_OK || out->max_body < 1))
        return coat_gateway_refuse(message, "--max-body %.60s: write a size, as in 16MiB",
                                   size);
    if (url == NULL)
        return coat_gateway_refuse(
            message, "--upstream is missing: the address of the application, as in "
                     "--upstream http://127.0.0.1:3000");
    return coat_gateway_upstream_parse(url, &out->upstream, message);
}

coat_err
coat_gateway_options_read(const coat_args *args, coat_gateway_options *out, char *message)
{
    coat_err err;

    memset(out, 0, sizeof *out);
    err = read_words(args, out, message);
    if (err == COAT_OK)
        err = read_files(args, out, message);
    if (err == COAT_OK)
        err = read_listens(args, out, message);
    if (err == COAT_OK)
        err = check_tls(out, message);
    return err == COAT_OK ? read_rules(args, out, message) : err;
}
