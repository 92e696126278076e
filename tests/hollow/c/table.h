// What every process holds of the hollow device, in memory that all of them share: NVML tells the sum.
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#define ROWS 64

typedef struct {
    pid_t pid;
    unsigned long long started;  // a pid is given out again, and what a killed process held would be its namesake's
    unsigned long long bytes;
} Row;

static const unsigned long long CAPACITY = 150754820096ULL;  // an H200's, as its driver tells it
static const unsigned long long RESERVED = 600ULL << 20;     // what a driver keeps for itself

// When the process began, in ticks since the machine did; 0 for none. See proc(5), field 22 of stat.
static unsigned long long start_of(pid_t pid) {
    char path[32], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int file = pid ? open(path, O_RDONLY) : -1;
    if (file < 0) return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    text[length > 0 ? length : 0] = 0;
    char *at = strrchr(text, ')');  // the name before it may hold anything
    for (int field = 2; at && field < 22; field++) at = strchr(at + 1, ' ');
    return at ? strtoull(at, 0, 10) : 0;
}

static int is_alive(const Row *row) { return row->pid && row->started && start_of(row->pid) == row->started; }

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
        if (is_alive(table() + i)) sum += table()[i].bytes;
    return sum;
}

// The row of this process; a fork gets one of its own. Rows of the dead are taken over.
static Row *own(void) {
    static Row *row;
    if (row && row->pid == getpid()) return row;
    for (int i = 0; i < ROWS; i++)
        if (!is_alive(table() + i)) {
            table()[i] = (Row){.pid = getpid(), .started = start_of(getpid())};
            return row = table() + i;
        }
    abort();
}
