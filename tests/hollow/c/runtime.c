// libcudart without a device, loaded before the real one (LD_PRELOAD): memory is address space that nobody fills,
// kernels return at once, streams have nothing to wait for, and events tell the host's clock. What is not defined
// here is libcudart's own. Prototypes: cuda_runtime_api.h of CUDA 13.
#define _GNU_SOURCE
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "table.h"

#define GRAIN (2ULL << 20)     // the driver hands memory out in pages of 2 MiB
#define KEPT (4ULL << 20)      // larger copies to the device are forgotten: weights would fill the host
#define BLOCKS (1 << 16)

typedef cudaError_t E;
typedef cudaStream_t S;

static cudaError_t pending;
static E fail(E error) { return pending = error; }
E cudaGetLastError(void) { E error = pending; pending = cudaSuccess; return error; }
E cudaPeekAtLastError(void) { return pending; }

// Memory

typedef struct { char *at; size_t size; } Block;
static Block blocks[BLOCKS];
static int count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *space(size_t size) {
    void *at = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

static E take(void **at, size_t size) {
    size = (size + GRAIN - 1) / GRAIN * GRAIN;
    pthread_mutex_lock(&lock);
    *at = RESERVED + in_use() + size > CAPACITY || count == BLOCKS ? NULL : space(size);
    if (*at) {
        own()->bytes += size;
        blocks[count++] = (Block){*at, size};
    }
    pthread_mutex_unlock(&lock);
    return *at ? cudaSuccess : fail(cudaErrorMemoryAllocation);
}

E cudaFree(void *at) {
    pthread_mutex_lock(&lock);
    for (int i = 0; at && i < count; i++)
        if (blocks[i].at == at) {
            munmap(at, blocks[i].size);
            own()->bytes -= blocks[i].size;
            blocks[i] = blocks[--count];
            break;
        }
    pthread_mutex_unlock(&lock);
    return cudaSuccess;
}

static int on_device(const void *at) {
    int found = 0;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < count && !found; i++)
        found = (char *)at >= blocks[i].at && (char *)at < blocks[i].at + blocks[i].size;
    pthread_mutex_unlock(&lock);
    return found;
}

E cudaMalloc(void **at, size_t size) { return take(at, size); }
E cudaMallocAsync(void **at, size_t size, S s) { return take(at, size); }
E cudaFreeAsync(void *at, S s) { return cudaFree(at); }
E cudaMallocManaged(void **at, size_t size, unsigned flags) { return (*at = space(size)) ? cudaSuccess : fail(cudaErrorMemoryAllocation); }
E cudaMemPrefetchAsync(const void *at, size_t size, struct cudaMemLocation l, unsigned flags, S s) { return cudaSuccess; }
E cudaHostAlloc(void **at, size_t size, unsigned flags) {
    return posix_memalign(at, 4096, size) ? fail(cudaErrorMemoryAllocation) : cudaSuccess;
}
E cudaMallocHost(void **at, size_t size) { return cudaHostAlloc(at, size, 0); }
E cudaFreeHost(void *at) { free(at); return cudaSuccess; }
E cudaHostRegister(void *at, size_t size, unsigned flags) { return cudaSuccess; }
E cudaHostUnregister(void *at) { return cudaSuccess; }
E cudaMemGetInfo(size_t *left, size_t *total) { *total = CAPACITY; *left = CAPACITY - RESERVED - in_use(); return cudaSuccess; }
E cudaPointerGetAttributes(struct cudaPointerAttributes *found, const void *at) {
    memset(found, 0, sizeof *found);
    found->type = on_device(at) ? cudaMemoryTypeDevice : cudaMemoryTypeUnregistered;
    found->devicePointer = (void *)at;
    return cudaSuccess;
}

static E copy(void *to, const void *from, size_t size) {
    if (size <= KEPT || !on_device(to)) memmove(to, from, size);
    return cudaSuccess;
}
E cudaMemcpy(void *to, const void *from, size_t size, enum cudaMemcpyKind kind) { return copy(to, from, size); }
E cudaMemcpyAsync(void *to, const void *from, size_t size, enum cudaMemcpyKind kind, S s) { return copy(to, from, size); }
E cudaMemcpyPeerAsync(void *to, int a, const void *from, int b, size_t size, S s) { return copy(to, from, size); }
E cudaMemcpy2DAsync(void *to, size_t a, const void *from, size_t b, size_t w, size_t h, enum cudaMemcpyKind k, S s) { return cudaSuccess; }
E cudaMemcpyToSymbol(const void *to, const void *from, size_t size, size_t offset, enum cudaMemcpyKind kind) { return cudaSuccess; }
E cudaMemset(void *at, int value, size_t size) { return cudaSuccess; }
E cudaMemsetAsync(void *at, int value, size_t size, S s) { return cudaSuccess; }

// The device: one H200

E cudaGetDeviceCount(int *found) {
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    *found = !(visible && (!*visible || *visible == '-'));
    return *found ? cudaSuccess : fail(cudaErrorNoDevice);
}
E cudaGetDevice(int *device) { *device = 0; return cudaSuccess; }
E cudaSetDevice(int device) { return device ? fail(cudaErrorInvalidDevice) : cudaSuccess; }
E cudaDeviceSynchronize(void) { return cudaSuccess; }
E cudaDriverGetVersion(int *version) { *version = 13000; return cudaSuccess; }
E cudaRuntimeGetVersion(int *version) { *version = 13000; return cudaSuccess; }
E cudaDeviceGetPCIBusId(char *id, int size, int device) { snprintf(id, size, "0000:1B:00.0"); return cudaSuccess; }
E cudaDeviceGetStreamPriorityRange(int *least, int *greatest) { *least = 0; *greatest = -5; return cudaSuccess; }
E cudaDeviceCanAccessPeer(int *can, int a, int b) { *can = 0; return cudaSuccess; }
E cudaGetDeviceProperties(struct cudaDeviceProp *it, int device) {
    memset(it, 0, sizeof *it);
    strcpy(it->name, "NVIDIA H200");
    memcpy(it->uuid.bytes, "\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef", 16);
    it->totalGlobalMem = CAPACITY;
    it->major = 9;
    it->multiProcessorCount = 132;
    it->warpSize = 32;
    it->maxThreadsPerBlock = it->maxThreadsDim[0] = it->maxThreadsDim[1] = 1024;
    it->maxThreadsDim[2] = 64;
    it->maxGridSize[0] = 2147483647;
    it->maxGridSize[1] = it->maxGridSize[2] = 65535;
    it->maxThreadsPerMultiProcessor = 2048;
    it->maxBlocksPerMultiProcessor = 32;
    it->regsPerBlock = it->regsPerMultiprocessor = 65536;
    it->sharedMemPerBlock = 49152;
    it->sharedMemPerBlockOptin = 232448;
    it->sharedMemPerMultiprocessor = 233472;
    it->totalConstMem = 65536;
    it->l2CacheSize = 62914560;
    it->memoryBusWidth = 6144;
    it->textureAlignment = 512;
    it->pciBusID = 0x1b;
    it->asyncEngineCount = 3;
    it->ECCEnabled = it->concurrentKernels = it->managedMemory = it->concurrentManagedAccess = it->unifiedAddressing = 1;
    return cudaSuccess;
}
E cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr which, int device) {
    struct cudaDeviceProp it;
    cudaGetDeviceProperties(&it, device);
    switch (which) {
        case cudaDevAttrMultiProcessorCount: *value = it.multiProcessorCount; break;
        case cudaDevAttrComputeCapabilityMajor: *value = it.major; break;
        case cudaDevAttrMaxThreadsPerBlock: *value = it.maxThreadsPerBlock; break;
        case cudaDevAttrWarpSize: *value = it.warpSize; break;
        case cudaDevAttrMaxSharedMemoryPerBlock: *value = it.sharedMemPerBlock; break;
        case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = it.sharedMemPerBlockOptin; break;
        case cudaDevAttrMaxThreadsPerMultiProcessor: *value = it.maxThreadsPerMultiProcessor; break;
        case cudaDevAttrMaxBlocksPerMultiprocessor: *value = it.maxBlocksPerMultiProcessor; break;
        case cudaDevAttrMaxGridDimX: *value = it.maxGridSize[0]; break;
        case cudaDevAttrMaxGridDimY: case cudaDevAttrMaxGridDimZ: *value = it.maxGridSize[1]; break;
        case cudaDevAttrL2CacheSize: *value = it.l2CacheSize; break;
        case cudaDevAttrConcurrentManagedAccess: *value = 1; break;
        case cudaDevAttrClockRate: *value = 1980000; break;
        default: *value = 0;
    }
    return cudaSuccess;
}

// Kernels

E cudaLaunchKernel(const void *f, dim3 grid, dim3 block, void **args, size_t shared, S s) { return cudaSuccess; }
E cudaLaunchKernelExC(const cudaLaunchConfig_t *config, const void *f, void **args) { return cudaSuccess; }
E __cudaLaunchKernel(void *f, dim3 grid, dim3 block, void **args, size_t shared, S s) { return cudaSuccess; }
E __cudaGetKernel(void **kernel, const void *f) { *kernel = (void *)f; return cudaSuccess; }
E cudaFuncSetAttribute(const void *f, enum cudaFuncAttribute which, int value) { return cudaSuccess; }
E cudaFuncGetAttributes(struct cudaFuncAttributes *it, const void *f) {
    memset(it, 0, sizeof *it);
    it->maxThreadsPerBlock = 1024;
    it->numRegs = 32;
    it->binaryVersion = it->ptxVersion = 90;
    it->maxDynamicSharedSizeBytes = 232448;
    return cudaSuccess;
}
E cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *found, const void *f, int block, size_t shared, unsigned flags) {
    *found = block > 0 && block < 2048 ? 2048 / block : 1;
    return cudaSuccess;
}
E cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *found, const void *f, int block, size_t shared) {
    return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(found, f, block, shared, 0);
}
E cudaLaunchHostFunc(S s, cudaHostFn_t f, void *data) { f(data); return cudaSuccess; }
E cudaStreamAddCallback(S s, cudaStreamCallback_t f, void *data, unsigned flags) { f(s, cudaSuccess, data); return cudaSuccess; }

// Streams and events

static S next_stream(void) { static uintptr_t last = 0x1000; return (S)(last += 16); }
E cudaStreamCreate(S *s) { *s = next_stream(); return cudaSuccess; }
E cudaStreamCreateWithFlags(S *s, unsigned flags) { *s = next_stream(); return cudaSuccess; }
E cudaStreamCreateWithPriority(S *s, unsigned flags, int priority) { *s = next_stream(); return cudaSuccess; }
E cudaStreamDestroy(S s) { return cudaSuccess; }
E cudaStreamQuery(S s) { return cudaSuccess; }
E cudaStreamSynchronize(S s) { return cudaSuccess; }
E cudaStreamGetPriority(S s, int *priority) { *priority = 0; return cudaSuccess; }
E cudaStreamWaitEvent(S s, cudaEvent_t event, unsigned flags) { return cudaSuccess; }
E cudaStreamIsCapturing(S s, enum cudaStreamCaptureStatus *status) { *status = cudaStreamCaptureStatusNone; return cudaSuccess; }
E cudaStreamGetCaptureInfo(S s, enum cudaStreamCaptureStatus *status, unsigned long long *id, cudaGraph_t *graph,
                           const cudaGraphNode_t **nodes, const cudaGraphEdgeData **edges, size_t *found) {
    *status = cudaStreamCaptureStatusNone;
    return cudaSuccess;
}
E cudaThreadExchangeStreamCaptureMode(enum cudaStreamCaptureMode *mode) { return cudaSuccess; }

typedef struct { double ms; } Mark;
E cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) { *event = calloc(1, sizeof(Mark)); return cudaSuccess; }
E cudaEventCreate(cudaEvent_t *event) { return cudaEventCreateWithFlags(event, 0); }
E cudaEventDestroy(cudaEvent_t event) { free(event); return cudaSuccess; }
E cudaEventQuery(cudaEvent_t event) { return cudaSuccess; }
E cudaEventSynchronize(cudaEvent_t event) { return cudaSuccess; }
E cudaEventRecordWithFlags(cudaEvent_t event, S s, unsigned flags) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    ((Mark *)event)->ms = now.tv_sec * 1e3 + now.tv_nsec / 1e6;
    return cudaSuccess;
}
E cudaEventRecord(cudaEvent_t event, S s) { return cudaEventRecordWithFlags(event, s, 0); }
E cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to) { *ms = ((Mark *)to)->ms - ((Mark *)from)->ms; return cudaSuccess; }

// Functions of the driver that libraries ask the runtime for, as `cuMemCreate` or under the name of their second version.
E cudaGetDriverEntryPointByVersion(const char *name, void **found, unsigned version, unsigned long long flags,
                                   enum cudaDriverEntryPointQueryResult *result) {
    char second[128];
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);
    snprintf(second, sizeof second, "%s_v2", name);
    *found = driver ? dlsym(driver, name) : NULL;
    if (driver && !*found) *found = dlsym(driver, second);
    if (!*found) fprintf(stderr, "the hollow driver has no %s\n", name);
    if (result) *result = *found ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
    return cudaSuccess;
}
