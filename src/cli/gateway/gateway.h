/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_CLI_GATEWAY_GATEWAY_H
#define COAT_CLI_GATEWAY_GATEWAY_H

/**
 * `coatcheck gateway`: nginx with the module, and the daemon, as one service.
 *
 *   options.c, values.c  what the command line says
 *   plan.c, flags.c      what that means for the daemon
 *   worker.c             who nginx's workers are
 *   conf.c, servers.c    settings to the text of an nginx configuration (pure)
 *   syntax.c             ... in which nothing leaves its place
 *   find.c, files.c      nginx and the module on this machine; where nginx's own files lie
 *   prepare.c            a configuration that nginx has judged; addresses that are free
 *   child.c, part.c      processes: started, asked, waited for
 *   supervise.c          both of them, from start to stop
 */

#include "cli/cli.h"
#include "core/out.h"

#include <signal.h>
#include <sys/types.h>

enum {
    COAT_GATEWAY_LISTENS_MAX = 16,
    COAT_GATEWAY_RULES_MAX = 16,
    COAT_GATEWAY_ROLES_MAX = 8,
    COAT_GATEWAY_PATH_MAX = 256,        /* bytes of a rule's path */
    COAT_GATEWAY_FILE_MAX = 1024,       /* bytes of a file's path, with the NUL */
    COAT_GATEWAY_TEXT_MAX = 256 * 1024, /* bytes of a whole nginx configuration */
    COAT_GATEWAY_MESSAGE_MAX = 1600
};

/** "127.0.0.1:8080", "[::1]:8080": as nginx takes it. */
typedef struct coat_gateway_listen {
    const char *text;
    uint16_t port;
    bool loopback;
} coat_gateway_listen;

typedef struct coat_gateway_upstream {
    const char *url; /* as it was given */
    bool tls;
    char server[300]; /* "127.0.0.1:3000", "[::1]:3000", "app:3000", "unix:/path" */
    char host[256];   /* the name that its certificate must have, if tls */
} coat_gateway_upstream;

/** What a part of the application asks for besides a session. */
typedef struct coat_gateway_rule {
    char path[COAT_GATEWAY_PATH_MAX + 1];
    coat_span roles[COAT_GATEWAY_ROLES_MAX];
    size_t role_count;
    int64_t max_age_s; /* 0: any */
} coat_gateway_rule;

/** The command line, judged by itself. Texts are borrowed from the arguments. */
typedef struct coat_gateway_options {
    coat_gateway_upstream upstream;
    coat_gateway_listen listens[COAT_GATEWAY_LISTENS_MAX];
    size_t listen_count;
    coat_gateway_listen redirects[COAT_GATEWAY_LISTENS_MAX];
    size_t redirect_count;
    coat_gateway_rule rules[COAT_GATEWAY_RULES_MAX]; /* the longest path first */
    size_t rule_count;
    /* Absolute paths, empty if not said. */
    char tls_cert[COAT_GATEWAY_FILE_MAX], tls_key[COAT_GATEWAY_FILE_MAX];
    char upstream_ca[COAT_GATEWAY_FILE_MAX], access_log[COAT_GATEWAY_FILE_MAX];
    char nginx[COAT_GATEWAY_FILE_MAX], module[COAT_GATEWAY_FILE_MAX];
    const char *user; /* NULL: not said */
    int64_t max_body;
    bool optional, no_csrf, assertion, print;
} coat_gateway_options;

/**
 * Read the options of the command.
 * @param message  COAT_GATEWAY_MESSAGE_MAX bytes: what is wrong and what would be right
 * @retval COAT_INVALID
 */
coat_err coat_gateway_options_read(const coat_args *args, coat_gateway_options *out,
                                   char *message) COAT_MUST_USE;
/* Its parts, in values.c. message as above. */
coat_err coat_gateway_listen_parse(const char *text, coat_gateway_listen *out,
                                   char *message) COAT_MUST_USE;
coat_err coat_gateway_upstream_parse(const char *url, coat_gateway_upstream *out,
                                     char *message) COAT_MUST_USE;
coat_err coat_gateway_rule_parse(const char *text, coat_gateway_rule *out,
                                 char *message) COAT_MUST_USE;
/** Fills the message. @return COAT_INVALID */
coat_err coat_gateway_refuse(char *message, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** Everything that the nginx configuration is written from. */
typedef struct coat_gateway_conf {
    const coat_gateway_options *options;
    const coat_config *config; /* the daemon's: cookie, paths, origins, header names */
    const char *module;        /* file of the nginx module */
    const char *dir;           /* of nginx's own files */
    const char *user, *group;  /* of the workers; NULL: the same as the master's */
    const char *ca_file;       /* for an upstream with TLS */
    const char *pages_address; /* "unix:/path", the daemon's listener with dialect nginx */
    const char *gate_address;  /* and the one with dialect module */
    bool http2_directive;      /* nginx 1.25.1 and newer */
} coat_gateway_conf;

/**
 * Write the configuration, NUL-terminated. Pure; whatever the settings hold stays inside its
 * directive.
 * @retval COAT_INVALID    a text that cannot stand in an nginx configuration; message says
 * which
 * @retval COAT_TOO_LARGE
 */
coat_err coat_gateway_write(const coat_gateway_conf *conf, coat_out *out,
                            char *message) COAT_MUST_USE;
/** The lines of a location for coatcheck's own pages; packaging/nginx/pages.conf has them too.
 */
void coat_gateway_write_pages(coat_out *out, const char *indent, const char *proxy_pass);

/** Who nginx's workers are. */
typedef struct coat_gateway_worker {
    char user[64], group[64]; /* empty: as we are; only root can choose */
    bool share;    /* they are nobody of the daemon: what they need is given to the group */
    bool separate; /* the daemon gives up root: nginx's files must not lie in its directory */
} coat_gateway_worker;

/** @return an exit code; what is wrong was printed */
int coat_gateway_worker_pick(const coat_gateway_options *options, const coat_config *config,
                             coat_gateway_worker *out);
/** Can they reach the runtime directory? Asked by a process that becomes one of them. */
bool coat_gateway_worker_enters(const coat_gateway_worker *worker, const char *dir);

enum { COAT_GATEWAY_MADE_MAX = 8 };

/** What the command line means for the daemon. */
typedef struct coat_gateway_plan {
    coat_config *config;     /* as the daemon was started with */
    coat_config *current;    /* after the last reload; the same at first */
    coat_config_input asked; /* without us */
    coat_config_input input; /* with our flags */
    const char *flags[sizeof((coat_args *)0)->flags / sizeof(char *) + COAT_GATEWAY_MADE_MAX];
    char *made[COAT_GATEWAY_MADE_MAX]; /* flags that were added */
    size_t made_count;
    const char *pages_address, *gate_address; /* of config */
    coat_gateway_worker worker;
    bool plaintext; /* cookies without the Secure attribute, on loopback */
} coat_gateway_plan;

/**
 * Load the configuration and add what a gateway needs: listeners, origins, for loopback without
 * TLS a cookie that works there, a group for nginx's workers.
 * @return an exit code; what is wrong was printed
 */
int coat_gateway_plan_make(const coat_args *args, const coat_gateway_options *options,
                           coat_gateway_plan *out);
/** Load it again as a running daemon will see it: what needs a restart stays as it is.
 * @param out  to be used or freed @return false: printed */
bool coat_gateway_plan_reload(coat_gateway_plan *plan, const coat_gateway_options *options,
                              coat_config **out);
/** From now on this one is in force. */
void coat_gateway_plan_use(coat_gateway_plan *plan, coat_config *config);
/** Load it again for a daemon that is started anew. @return false: printed, nothing changed */
bool coat_gateway_plan_restart(coat_gateway_plan *plan, const coat_gateway_options *options);
void coat_gateway_plan_free(coat_gateway_plan *plan);

/** What nginx there is. */
typedef struct coat_gateway_nginx {
    char path[COAT_GATEWAY_FILE_MAX], module[COAT_GATEWAY_FILE_MAX];
    char module_dir[COAT_GATEWAY_FILE_MAX], ca_file[COAT_GATEWAY_FILE_MAX];
    unsigned version; /* 1022001 for 1.22.1; 0: not known */
} coat_gateway_nginx;

/**
 * Find nginx, the module, and the certificates to check the upstream's by.
 * @param needed  false: to print a configuration, assume what is usual
 * @retval COAT_NOT_FOUND  message says which package or option
 */
coat_err coat_gateway_find(const coat_gateway_options *options, bool needed,
                           coat_gateway_nginx *out, char *message) COAT_MUST_USE;
/** Version and module_dir from the output of nginx -V. */
void coat_gateway_nginx_parse(const char *text, coat_gateway_nginx *out);

/** The directory of nginx's files, and the lock on it. */
typedef struct coat_gateway_files {
    char dir[COAT_GATEWAY_FILE_MAX], conf[COAT_GATEWAY_FILE_MAX];
    char candidate[COAT_GATEWAY_FILE_MAX], pid[COAT_GATEWAY_FILE_MAX];
    int lock; /* -1: not open */
} coat_gateway_files;

/** Where they lie; nothing is opened. */
coat_err coat_gateway_files_name(const coat_gateway_plan *plan, coat_gateway_files *out,
                                 char *message) COAT_MUST_USE;
/** Make the directory and lock it. */
coat_err coat_gateway_files_open(const coat_gateway_plan *plan, coat_gateway_files *files,
                                 char *message) COAT_MUST_USE;
/** Write the candidate, which coat_gateway_files_accept makes the configuration. */
coat_err coat_gateway_files_write(const coat_gateway_files *files, coat_span text,
                                  char *message) COAT_MUST_USE;
coat_err coat_gateway_files_accept(const coat_gateway_files *files,
                                   char *message) COAT_MUST_USE;
/** The process that nginx's pid file names, 0 if there is none. */
pid_t coat_gateway_files_pid(const coat_gateway_files *files);
/** Remove all of it. */
void coat_gateway_files_close(coat_gateway_files *files);

/* ---- processes ---- */

/**
 * Start a program in a process group of its own, that ends with this process.
 * @param become  configuration whose server.user it becomes first; NULL: stays who we are
 * @return its id, -1: not started (printed)
 */
pid_t coat_gateway_spawn(const char *const *argv, const char *const *env,
                         const coat_config *become);
/**
 * Run a program to its end and take what it says on both outputs.
 * @return its exit status, -1 if it did not start or did not end in time
 */
int coat_gateway_run(const char *const *argv, const char *const *env, char *said, size_t cap);
/** The environment without what is meant for this process alone; kept until exit.
 * @param keys  leave the daemon's own variables in it */
const char *const *coat_gateway_env(bool keys);

/** Monotonic. */
int64_t coat_gateway_now_ms(void);

/** Everything that the parts of a running gateway share. */
typedef struct coat_gateway {
    const coat_args *args;
    coat_gateway_options options;
    coat_gateway_plan plan;
    coat_gateway_nginx nginx;
    coat_gateway_files files;
} coat_gateway;

/** The nginx configuration by one of the daemon's. @return allocated; NULL: message says why */
char *coat_gateway_text(const coat_gateway *gateway, const coat_config *config, char *message);
/** Write the candidate and let nginx judge it. @return false: printed, and there is none */
bool coat_gateway_prepare(const coat_gateway *gateway, const coat_config *config);
/** Are the addresses free? @return false: printed */
bool coat_gateway_ports_free(const coat_gateway_options *options);
/** Block the signals that coat_gateway_supervise takes: before there is anything to clean up.
 */
void coat_gateway_signals(sigset_t *set);
/** Start both, keep them, stop them. @return an exit code */
int coat_gateway_supervise(coat_gateway *gateway);

#endif
