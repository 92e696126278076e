// What every process holds of the hollow device, in memory that all of them share: NVML tells the sum.
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#define ROWS 64

typedef struct {
    pid_t pid;
    unsigned long long bytes;
} Row;

static const unsigned long long CAPACITY = 150754820096ULL;  // an H200's, as its driver tells it
static const unsigned long long RESERVED = 600ULL << 20;     // what a driver keeps for itself

static int is_alive(pid_t pid) { return pid && (kill(pid, 0) == 0 || errno == EPERM); }

static Row *table(void) {
    static Row *rows;
    if (rows) return rows;
    const char *path = getenv("HOLLOW_TABLE");
    int file = open(path ? path : "/dev/shm/hollow", O_RDWR | O_CREAT, 0600);
    if (file < 0 || ftruncate(file, ROWS * sizeof(Row))) abort();
    rows = mmap(0, ROWS * sizeof(Row), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (rows == MAP_FAILED) abort();
    close(file);
    return rows;
}

static unsigned long long in_use(void) {
    unsigned long long sum = 0;
    for (int i = 0; i < ROWS; i++)
        if (is_alive(table()[i].pid)) sum += table()[i].bytes;
    return sum;
}

// The row of this process; a fork gets one of its own. Rows of the dead are taken over.
static Row *own(void) {
    static Row *row;
    if (row && row->pid == getpid()) return row;
    for (int i = 0; i < ROWS; i++)
        if (!is_alive(table()[i].pid)) {
            table()[i].pid = getpid();
            table()[i].bytes = 0;
            return row = table() + i;
        }
    abort();
}
