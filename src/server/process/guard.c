/* SPDX-License-Identifier: Apache-2.0 */
#include "server/process/process.h"

#include "engine/mend.h"

#include <signal.h>
#include <stdatomic.h>

/* What a signal handler can know, it knows from here. */
static _Atomic(coat_engine *) guarded;

static void
on_bus_error(int number, siginfo_t *info, void *context)
{
    coat_engine *engine = atomic_load(&guarded);

    (void)context;
    if (info->si_code == BUS_ADRERR && engine != NULL &&
        coat_engine_mend(engine, info->si_addr))
        return; /* and the access is made again */
    (void)signal(number, SIG_DFL);
    (void)raise(number); /* it may have been sent, and then no access comes again */
}

void
coat_guard_table(coat_engine *engine)
{
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};

    if (engine == NULL)
        action = (struct sigaction){.sa_handler = SIG_DFL};
    atomic_store(&guarded, engine);
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGBUS, &action, NULL);
}
