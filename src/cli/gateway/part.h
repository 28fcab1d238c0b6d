/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_CLI_GATEWAY_PART_H
#define COAT_CLI_GATEWAY_PART_H

/** One of the two processes that a gateway keeps: the daemon, or nginx's master. */

#include "cli/gateway/gateway.h"

typedef struct coat_gateway_part coat_gateway_part;

struct coat_gateway_part {
    const char *name;
    pid_t (*start)(coat_gateway *gateway);
    bool (*answers)(const coat_gateway *gateway, pid_t pid);
    pid_t pid;        /* 0: does not run */
    pid_t group;      /* its process group, which may outlive it; 0: never ran */
    bool ready;       /* it answers */
    bool proven;      /* it did, once */
    int64_t since_ms; /* when it was started */
    int64_t due_ms;   /* when it is to be started again */
    unsigned early;   /* ends in a row that came soon after a start */
    int sent;         /* the last signal to all of it */
};

/* Back-off of a part that keeps ending: 0.1 s, doubled each time. */
enum {
    COAT_GATEWAY_AGAIN_MS = 100,
    COAT_GATEWAY_AGAIN_MAX_MS = 30000,
    COAT_GATEWAY_STEADY_MS = 60000, /* ran that long: the count begins anew */
    COAT_GATEWAY_ORPHANS_MS = 2000, /* for workers without a master, then they are killed */
    COAT_GATEWAY_START_MS = 120000  /* it must answer within this time the first time */
};

extern const coat_gateway_part coat_gateway_daemon, coat_gateway_nginx_part;

/** Does anything of it still run? */
bool coat_gateway_part_lives(coat_gateway_part *part);
/** Start it, if it is time. @return false: it cannot be started at all (printed) */
bool coat_gateway_part_start(coat_gateway_part *part, coat_gateway *gateway);
/** Has it begun to answer just now? */
bool coat_gateway_part_arrives(coat_gateway_part *part, const coat_gateway *gateway);
/**
 * It has ended. Sets when it is started again.
 * @param status  of waitpid
 * @param now_ms  coat_gateway_now_ms()
 * @param how     at least 64 bytes: "exit code 3", "signal 9"
 */
void coat_gateway_part_ended(coat_gateway_part *part, int status, int64_t now_ms, char *how);
/** Send a signal to it. */
void coat_gateway_part_signal(const coat_gateway_part *part, int number);
/** To it and all that it started; once. */
void coat_gateway_part_signal_all(coat_gateway_part *part, int number);

#endif
