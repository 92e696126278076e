// libnvidia-ml.so.1 without a device. Memory and processes are what the hollow runtimes of this machine hold; power and
// clocks are two made-up states, idle and busy. nvidia-ml-py and torch call it as they call the real one.
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "table.h"

#define OK return 0
#define NOT_SUPPORTED 3
#define TOO_SMALL 7
#define DEVICE ((void *)0x99)
#define UUID "GPU-01234567-89ab-cdef-0123-456789abcdef"

typedef unsigned long long Wide;

int nvmlInit(void) { OK; }
int nvmlInit_v2(void) { OK; }
int nvmlInitWithFlags(unsigned flags) { OK; }
int nvmlShutdown(void) { OK; }
const char *nvmlErrorString(int error) { return error == NOT_SUPPORTED ? "Not Supported" : "Error"; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) { snprintf(text, size, "580.82.07"); OK; }
int nvmlSystemGetNVMLVersion(char *text, unsigned size) { snprintf(text, size, "13.580.82.07"); OK; }
int nvmlSystemGetCudaDriverVersion(int *version) { *version = 13000; OK; }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = 13000; OK; }

int nvmlDeviceGetCount(unsigned *found) { *found = 1; OK; }
int nvmlDeviceGetCount_v2(unsigned *found) { *found = 1; OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) { *device = DEVICE; return index ? 2 : 0; }
int nvmlDeviceGetHandleByPciBusId_v2(const char *id, void **device) { *device = DEVICE; OK; }
int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) { *device = DEVICE; return strcmp(uuid, UUID) ? 6 : 0; }
int nvmlDeviceGetUUID(void *device, char *text, unsigned size) { snprintf(text, size, UUID); OK; }
int nvmlDeviceGetName(void *device, char *text, unsigned size) { snprintf(text, size, "NVIDIA H200"); OK; }
int nvmlDeviceGetVbiosVersion(void *device, char *text, unsigned size) { snprintf(text, size, "00.00.00.00.00"); OK; }

int nvmlDeviceGetMemoryInfo(void *device, Wide *info) {  // total, free, used
    info[0] = CAPACITY;
    info[2] = RESERVED + in_use();
    info[1] = info[0] - info[2];
    OK;
}
int nvmlDeviceGetUtilizationRates(void *device, unsigned *rates) { rates[0] = in_use() ? 90 : 0; rates[1] = in_use() ? 40 : 0; OK; }
int nvmlDeviceGetPowerUsage(void *device, unsigned *mw) { *mw = in_use() ? 500000 : 80000; OK; }
int nvmlDeviceGetTotalEnergyConsumption(void *device, Wide *mj) {  // 500 W, told every 50 ms as the hardware does
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    *mj = (Wide)((now.tv_sec + now.tv_nsec / 1e9) * 20) * 25000ULL;
    OK;
}
int nvmlDeviceGetClockInfo(void *device, int which, unsigned *mhz) { *mhz = which == 1 ? 1980 : 3201; OK; }
int nvmlDeviceGetMaxClockInfo(void *device, int which, unsigned *mhz) { *mhz = which == 1 ? 1980 : 3201; OK; }
int nvmlDeviceGetTemperature(void *device, int which, unsigned *celsius) { *celsius = 50; OK; }
int nvmlDeviceGetTemperatureV(void *device, void *asked) { return NOT_SUPPORTED; }
int nvmlDeviceGetCurrentClocksEventReasons(void *device, Wide *reasons) { *reasons = in_use() ? 4 : 1; OK; }
int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, Wide *reasons) { *reasons = in_use() ? 4 : 1; OK; }
int nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned *mw) { *mw = 700000; OK; }
int nvmlDeviceGetPowerManagementDefaultLimit(void *device, unsigned *mw) { *mw = 700000; OK; }
int nvmlDeviceGetCurrPcieLinkGeneration(void *device, unsigned *value) { *value = 5; OK; }
int nvmlDeviceGetCurrPcieLinkWidth(void *device, unsigned *value) { *value = 16; OK; }
int nvmlDeviceGetMaxPcieLinkGeneration(void *device, unsigned *value) { *value = 5; OK; }
int nvmlDeviceGetMaxPcieLinkWidth(void *device, unsigned *value) { *value = 16; OK; }
int nvmlDeviceGetMigMode(void *device, unsigned *now, unsigned *then) { *now = *then = 0; OK; }
int nvmlDeviceGetMaxMigDeviceCount(void *device, unsigned *found) { *found = 7; OK; }
int nvmlDeviceGetComputeMode(void *device, int *mode) { *mode = 0; OK; }
int nvmlDeviceGetPersistenceMode(void *device, int *mode) { *mode = 1; OK; }
int nvmlDeviceGetEccMode(void *device, int *now, int *then) { *now = *then = 1; OK; }
int nvmlDeviceGetNvLinkState(void *device, unsigned link, int *state) { return NOT_SUPPORTED; }
int nvmlDeviceGetNvLinkRemoteDeviceType(void *device, unsigned link, int *type) { return NOT_SUPPORTED; }
int nvmlDeviceGetNvLinkRemotePciInfo_v2(void *device, unsigned link, void *info) { return NOT_SUPPORTED; }
int nvmlDeviceGetGpuFabricInfoV(void *device, void *info) { return NOT_SUPPORTED; }

typedef struct {
    unsigned pid;
    Wide used;
    unsigned gpu_instance, compute_instance;
} Process;
int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *room, Process *found) {
    unsigned seen = 0, space = found ? *room : 0;
    for (int i = 0; i < ROWS; i++) {
        Row row = table()[i];
        if (!row.bytes || !is_alive(&row)) continue;
        if (seen < space) found[seen] = (Process){row.pid, row.bytes, ~0u, ~0u};
        seen++;
    }
    *room = seen;
    return seen > space ? TOO_SMALL : 0;
}
int nvmlDeviceGetComputeRunningProcesses(void *device, unsigned *room, Process *found) {
    return nvmlDeviceGetComputeRunningProcesses_v3(device, room, found);
}
