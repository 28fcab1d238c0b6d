/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_FAULTS_H
#define COAT_TESTS_FAULTS_H

/**
 * Faults of the disk. Definitions here stand before those of the C library, for LMDB as well.
 * Include in one file of a program.
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FAULT_API __attribute__((visibility("default")))

static _Atomic int fault_fdatasync; /* errno that fdatasync fails with; 0: none */
static _Atomic int fault_fallocate;
static _Atomic int fdatasync_calls;

/** A gate that a test may close: whoever reaches fdatasync waits there. */
static pthread_mutex_t gate_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_change = PTHREAD_COND_INITIALIZER;
static bool gate_closed, gate_waiting;

FAULT_API int fdatasync(int fd);
FAULT_API int fallocate(int fd, int mode, off_t offset, off_t len);

int
fdatasync(int fd)
{
    int fault = atomic_load(&fault_fdatasync);

    atomic_fetch_add(&fdatasync_calls, 1);
    pthread_mutex_lock(&gate_mutex);
    while (gate_closed) {
        gate_waiting = true;
        pthread_cond_broadcast(&gate_change);
        pthread_cond_wait(&gate_change, &gate_mutex);
    }
    gate_waiting = false;
    pthread_mutex_unlock(&gate_mutex);
    if (fault != 0) {
        errno = fault;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

int
fallocate(int fd, int mode, off_t offset, off_t len)
{
    int fault = atomic_load(&fault_fallocate);

    if (fault != 0) {
        errno = fault;
        return -1;
    }
    return (int)syscall(SYS_fallocate, fd, mode, offset, len);
}

static inline void
gate_set(bool closed)
{
    pthread_mutex_lock(&gate_mutex);
    gate_closed = closed;
    pthread_cond_broadcast(&gate_change);
    pthread_mutex_unlock(&gate_mutex);
}

/** Until somebody waits at the closed gate. */
static inline void
gate_await(void)
{
    pthread_mutex_lock(&gate_mutex);
    while (!gate_waiting)
        pthread_cond_wait(&gate_change, &gate_mutex);
    pthread_mutex_unlock(&gate_mutex);
}

#endif
