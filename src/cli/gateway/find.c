/* SPDX-License-Identifier: Apache-2.0 */
/* Where nginx, its module and the system's certificates are on this machine. */
#include "cli/gateway/gateway.h"

#include "core/chars.h"

#include <stdlib.h>
#include <unistd.h>

#define MODULE "ngx_http_coatcheck_module.so"

/* Where this release is installed, then where Debian and Red Hat keep modules. */
static const char *const module_dirs[] = {COAT_NGINX_MODULE_DIR, "/usr/lib/nginx/modules",
                                          "/usr/lib64/nginx/modules"};
static const char *const ca_files[] = {"/etc/ssl/certs/ca-certificates.crt",
                                       "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"};

static bool
join(char out[COAT_GATEWAY_FILE_MAX], const char *dir, const char *name)
{
    int n = snprintf(out, COAT_GATEWAY_FILE_MAX, "%s/%s", dir, name);

    return n > 0 && n < COAT_GATEWAY_FILE_MAX;
}

static bool
copy(char out[COAT_GATEWAY_FILE_MAX], const char *text)
{
    int n = snprintf(out, COAT_GATEWAY_FILE_MAX, "%s", text);

    return n > 0 && n < COAT_GATEWAY_FILE_MAX;
}

/* PATH, and where it lies for root alone. */
static bool
find_nginx(char out[COAT_GATEWAY_FILE_MAX])
{
    const char *path = getenv("PATH");
    coat_span rest = coat_span_of(path != NULL ? path : ""), dir;

    while (coat_span_split(&rest, ':', &dir)) {
        char text[COAT_GATEWAY_FILE_MAX];

        if (dir.len == 0 || dir.ptr[0] != '/' || dir.len >= sizeof text)
            continue;
        (void)snprintf(text, sizeof text, "%.*s", (int)dir.len, dir.ptr);
        if (join(out, text, "nginx") && access(out, X_OK) == 0)
            return true;
    }
    return copy(out, "/usr/sbin/nginx") && access(out, X_OK) == 0;
}

/* "nginx version: nginx/1.22.1": 1022001. */
static unsigned
version_of(const char *text)
{
    unsigned parts[3] = {0};
    const char *at = strstr(text, "nginx/");

    if (at == NULL)
        return 0;
    at += strlen("nginx/");
    for (size_t i = 0; i < 3; i++) {
        while (coat_char_is_digit((uint8_t)*at) && parts[i] < 1000)
            parts[i] = parts[i] * 10 + (unsigned)(*at++ - '0');
        if (*at == '.')
            at++;
    }
    return parts[0] < 1000 && parts[1] < 1000 && parts[2] < 1000
               ? (parts[0] * 1000 + parts[1]) * 1000 + parts[2]
               : 0;
}

void
coat_gateway_nginx_parse(const char *text, coat_gateway_nginx *out)
{
    static const char option[] = "--modules-path=";
    const char *at = strstr(text, option);

    out->version = version_of(text);
    out->module_dir[0] = '\0';
    if (at == NULL)
        return;
    at += strlen(option);
    if (at[0] == '/' && strcspn(at, " \n") < sizeof out->module_dir)
        (void)snprintf(out->module_dir, sizeof out->module_dir, "%.*s", (int)strcspn(at, " \n"),
                       at);
}

/* BUILD/src/cli/coatcheck is beside BUILD/nginx. */
static bool
beside_us(char out[COAT_GATEWAY_FILE_MAX])
{
    static const char tail[] = "/src/cli/coatcheck";
    char self[COAT_GATEWAY_FILE_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    size_t len = n > 0 ? (size_t)n : 0;

    if (len <= strlen(tail) || memcmp(self + len - strlen(tail), tail, strlen(tail)) != 0)
        return false;
    self[len - strlen(tail)] = '\0';
    return join(out, self, "nginx/" MODULE) && access(out, R_OK) == 0;
}

static bool
find_module(const coat_gateway_options *options, coat_gateway_nginx *out)
{
    if (options->module[0] != '\0')
        return copy(out->module, options->module) && access(out->module, R_OK) == 0;
    if (beside_us(out->module))
        return true;
    for (size_t i = 0; i < sizeof module_dirs / sizeof module_dirs[0]; i++)
        if (join(out->module, module_dirs[i], MODULE) && access(out->module, R_OK) == 0)
            return true;
    if (out->module_dir[0] != '\0' && join(out->module, out->module_dir, MODULE) &&
        access(out->module, R_OK) == 0)
        return true;
    /* Where it ought to be, for the message and for --print. */
    if (!join(out->module, out->module_dir[0] != '\0' ? out->module_dir : module_dirs[0],
              MODULE))
        out->module[0] = '\0';
    return false;
}

static coat_err
missing(char *message, const char *path, const char *text)
{
    (void)snprintf(message, COAT_GATEWAY_MESSAGE_MAX, "%s: %s", path, text);
    return COAT_NOT_FOUND;
}

static coat_err
find_ca(const coat_gateway_options *options, bool needed, coat_gateway_nginx *out,
        char *message)
{
    if (!options->upstream.tls)
        return COAT_OK;
    (void)copy(out->ca_file,
               options->upstream_ca[0] != '\0' ? options->upstream_ca : ca_files[0]);
    for (size_t i = 0;
         options->upstream_ca[0] == '\0' && i < sizeof ca_files / sizeof ca_files[0]; i++)
        if (access(ca_files[i], R_OK) == 0 && copy(out->ca_file, ca_files[i]))
            return COAT_OK;
    if (!needed || access(out->ca_file, R_OK) == 0)
        return COAT_OK;
    return missing(
        message, out->ca_file,
        "no certificates to check the upstream's by; apt-get install ca-certificates, "
        "or name a file with --upstream-ca");
}

coat_err
coat_gateway_find(const coat_gateway_options *options, bool needed, coat_gateway_nginx *out,
                  char *message)
{
    char said[8192];
    bool found;

    *out = (coat_gateway_nginx){.version = 0};
    found = options->nginx[0] != '\0'
                ? copy(out->path, options->nginx) && access(out->path, X_OK) == 0
                : find_nginx(out->path);
    if (!found && needed)
        return missing(message, out->path,
                       "there is no nginx; apt-get install nginx, or say where it is with "
                       "--nginx=FILE");
    if (found) {
        const char *argv[] = {out->path, "-V", NULL};

        if (coat_gateway_run(argv, coat_gateway_env(false), said, sizeof said) != 0 && needed)
            return missing(message, out->path, "it is no nginx: -V fails");
        coat_gateway_nginx_parse(said, out);
    }
    if (!find_module(options, out) && needed)
        return missing(
            message, out->module,
            "nginx's module is not there; `make install` installs it where nginx-dev "
            "was there when coatcheck was built, or say where it is with "
            "--module=FILE");
    return find_ca(options, needed, out, message);
}
