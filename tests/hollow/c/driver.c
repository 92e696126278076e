// libcuda.so.1 without a device: what Triton and torch ask of the driver itself. Modules load, kernels return at once.
// What no training needs (memory that is mapped by hand, multicast, graphs) is not supported, and says so.
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define OK return 0
#define CONTEXT ((void *)0x55)

int cuInit(unsigned flags) { OK; }
int cuDriverGetVersion(int *version) { *version = 13000; OK; }
int cuGetErrorString(int error, const char **text) { *text = "the hollow driver does not do that"; OK; }
int cuGetErrorName(int error, const char **text) { *text = "HOLLOW"; OK; }
int cuLogsRegisterCallback(void) { OK; }
int cuLogsUnregisterCallback(void) { OK; }

int cuDeviceGet(int *device, int ordinal) { *device = 0; OK; }
int cuDeviceGetCount(int *found) { *found = 1; OK; }
int cuDeviceGetName(char *name, int size, int device) { snprintf(name, size, "NVIDIA H200"); OK; }
int cuDeviceGetUuid(char *uuid, int device) {
    memcpy(uuid, "\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef", 16);
    OK;
}
int cuDeviceGetAttribute(int *value, int which, int device) {  // by number, as cuda.h has them
    switch (which) {
        case 1: *value = 1024; break;      // threads of a block
        case 8: *value = 49152; break;     // shared memory of a block
        case 10: *value = 32; break;       // warp
        case 12: case 82: *value = 65536; break;  // registers
        case 13: *value = 1980000; break;  // clock, kHz
        case 16: *value = 132; break;      // multiprocessors
        case 36: *value = 3201000; break;  // memory's clock, kHz
        case 37: *value = 6144; break;     // memory's bus
        case 39: *value = 2048; break;     // threads of a multiprocessor
        case 75: *value = 9; break;        // capability
        case 81: *value = 233472; break;   // shared memory of a multiprocessor
        case 97: *value = 232448; break;   // and of a block that opts in
        default: *value = 0;
    }
    OK;
}

int cuCtxGetCurrent(void **context) { *context = CONTEXT; OK; }
int cuCtxSetCurrent(void *context) { OK; }
int cuCtxPushCurrent_v2(void *context) { OK; }
int cuCtxPopCurrent_v2(void **context) { *context = CONTEXT; OK; }
int cuCtxGetDevice(int *device) { *device = 0; OK; }
int cuCtxSynchronize(void) { OK; }
int cuCtxGetLimit(size_t *value, int which) { *value = 1 << 20; OK; }
int cuCtxSetLimit(int which, size_t value) { OK; }
int cuDevicePrimaryCtxRetain(void **context, int device) { *context = CONTEXT; OK; }
int cuDevicePrimaryCtxRelease_v2(int device) { OK; }
int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) { *flags = 0; *active = 1; OK; }

int cuModuleLoad(void **module, const char *path) { *module = (void *)0x66; OK; }
int cuModuleLoadData(void **module, const void *image) { *module = (void *)0x66; OK; }
int cuModuleLoadDataEx(void **module, const void *image, unsigned n, void *options, void *values) { *module = (void *)0x66; OK; }
int cuModuleUnload(void *module) { OK; }
int cuModuleGetFunction(void **f, void *module, const char *name) { *f = (void *)0x77; OK; }
int cuFuncGetAttribute(int *value, int which, void *f) { *value = which == 0 ? 1024 : which == 4 ? 32 : 0; OK; }
int cuFuncSetAttribute(void *f, int which, int value) { OK; }
int cuFuncSetCacheConfig(void *f, int config) { OK; }
int cuLaunchKernel(void) { OK; }
int cuLaunchKernelEx(void) { OK; }
int cuLaunchCooperativeKernel(void) { OK; }
int cuOccupancyMaxActiveBlocksPerMultiprocessor(int *found, void *f, int block, size_t shared) { *found = 2; OK; }
int cuOccupancyMaxActiveClusters(int *found, void *f, void *config) { *found = 16; OK; }
int cuStreamGetCtx(void *stream, void **context) { *context = CONTEXT; OK; }
int cuStreamIsCapturing(void *stream, int *status) { *status = 0; OK; }
int cuStreamSynchronize(void *stream) { OK; }
int cuPointerGetAttribute(void *value, int which, uint64_t at) { memcpy(value, &at, 8); OK; }
int cuMemGetAddressRange_v2(uint64_t *base, size_t *size, uint64_t at) { *base = at; *size = 0; OK; }
int cuTensorMapEncodeTiled(void) { OK; }

#define REFUSED(name) int name(void) { return 801; }  // CUDA_ERROR_NOT_SUPPORTED
REFUSED(cuMemAddressReserve) REFUSED(cuMemAddressFree) REFUSED(cuMemCreate) REFUSED(cuMemRelease) REFUSED(cuMemMap)
REFUSED(cuMemUnmap) REFUSED(cuMemSetAccess) REFUSED(cuMemExportToShareableHandle) REFUSED(cuMemImportFromShareableHandle)
REFUSED(cuMemGetAllocationGranularity) REFUSED(cuMemGetAllocationPropertiesFromHandle) REFUSED(cuMemRetainAllocationHandle)
REFUSED(cuMemsetD32Async) REFUSED(cuStreamWriteValue32_v2) REFUSED(cuMulticastAddDevice) REFUSED(cuMulticastBindMem)
REFUSED(cuMulticastCreate) REFUSED(cuMulticastUnbind) REFUSED(cuMulticastGetGranularity) REFUSED(cuCtxFromGreenCtx)
REFUSED(cuDevResourceGenerateDesc) REFUSED(cuDevSmResourceSplitByCount) REFUSED(cuDeviceGetDevResource)
REFUSED(cuGreenCtxCreate) REFUSED(cuGreenCtxDestroy) REFUSED(cuGreenCtxStreamCreate) REFUSED(cuLinkAddData_v2)
REFUSED(cuModuleGetGlobal_v2)
