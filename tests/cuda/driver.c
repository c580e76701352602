/* A stand-in for NVIDIA's driver, libcuda.so.1: one device, whose memory is the host's and whose kernels do nothing. With it, burn-cuda
   writes out the kernels of a study on a machine without a GPU (kernels.sh). The declarations are those of the CUDA driver API. */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OK 0
#define NOT_SUPPORTED 801
#define API(name, ...) int name(__VA_ARGS__)

/* Anything that is not null. */
static char something[1 << 16];

/* Whether kernels were launched since the last wait. */
static int is_busy;

/* burn measures how fast a device is before it tunes kernels: it makes a launch longer until a wait for it takes 20 ms. */
static int waited(void) {
  struct timespec pause = {0, is_busy ? 25000000 : 0};
  is_busy = 0;
  nanosleep(&pause, NULL);
  return OK;
}

API(cuInit, unsigned flags) { (void)flags; return OK; }
API(cuDriverGetVersion, int *version) { *version = 13000; return OK; }
API(cuGetErrorName, int error, const char **name) { (void)error; *name = "an error of the stand-in"; return OK; }
API(cuGetErrorString, int error, const char **text) { (void)error; *text = "an error of the stand-in"; return OK; }

API(cuDeviceGetCount, int *count) { *count = 1; return OK; }
API(cuDeviceGet, int *device, int ordinal) { *device = ordinal; return OK; }
API(cuDeviceGetName, char *name, int length, int device) {
  (void)device;
  strncpy(name, "a stand-in for an H100", (size_t)length);
  return OK;
}
API(cuDeviceGetUuid_v2, void *uuid, int device) { (void)device; memset(uuid, 1, 16); return OK; }
API(cuDeviceGetLuid, void *luid, unsigned *mask, int device) {
  (void)luid; (void)mask; (void)device;
  return NOT_SUPPORTED;
}
API(cuDeviceGetPCIBusId, char *address, int length, int device) {
  (void)device;
  strncpy(address, "0000:01:00.0", (size_t)length);
  return OK;
}
API(cuDeviceTotalMem_v2, size_t *bytes, int device) { (void)device; *bytes = (size_t)4 << 30; return OK; }

/* What an H100 says, as far as anyone asks. */
API(cuDeviceGetAttribute, int *value, int attribute, int device) {
  (void)device;
  switch (attribute) {
  case 1: *value = 1024; break;           /* threads of a block */
  case 2: case 3: *value = 1024; break;   /* dimensions of a block */
  case 4: *value = 64; break;
  case 5: *value = 2147483647; break;     /* dimensions of a grid */
  case 6: case 7: *value = 65535; break;
  case 8: *value = 49152; break;          /* shared memory of a block */
  case 10: *value = 32; break;            /* threads of a warp */
  case 12: *value = 65536; break;         /* registers of a block */
  case 14: *value = 512; break;           /* alignment of textures */
  case 16: *value = 132; break;           /* multiprocessors */
  case 38: *value = 50 << 20; break;      /* second-level cache */
  case 39: *value = 2048; break;          /* threads of a multiprocessor */
  case 75: *value = 9; break;             /* compute capability */
  case 76: *value = 0; break;
  case 81: *value = 233472; break;        /* shared memory of a multiprocessor */
  case 97: *value = 232448; break;        /* shared memory of a block, if asked for */
  default: *value = 1; break;
  }
  return OK;
}

API(cuDevicePrimaryCtxRetain, void **context, int device) { (void)device; *context = something; return OK; }
API(cuDevicePrimaryCtxRelease_v2, int device) { (void)device; return OK; }
API(cuCtxSetCurrent, void *context) { (void)context; return OK; }
API(cuCtxGetCurrent, void **context) { *context = something; return OK; }
API(cuCtxSynchronize, void) { return OK; }
API(cuCtxGetStreamPriorityRange, int *least, int *greatest) { *least = 0; *greatest = -5; return OK; }

API(cuStreamCreate, void **stream, unsigned flags) { (void)flags; *stream = something; return OK; }
API(cuStreamCreateWithPriority, void **stream, unsigned flags, int priority) {
  (void)flags; (void)priority;
  *stream = something;
  return OK;
}
API(cuStreamDestroy_v2, void *stream) { (void)stream; return OK; }
API(cuStreamSynchronize, void *stream) { (void)stream; return waited(); }
API(cuStreamQuery, void *stream) { (void)stream; return OK; }
API(cuStreamWaitEvent, void *stream, void *event, unsigned flags) { (void)stream; (void)event; (void)flags; return OK; }
API(cuStreamIsCapturing, void *stream, int *status) { (void)stream; *status = 0; return OK; }

API(cuEventCreate, void **event, unsigned flags) { (void)flags; *event = something; return OK; }
API(cuEventRecord, void *event, void *stream) { (void)event; (void)stream; return OK; }
API(cuEventSynchronize, void *event) { (void)event; return waited(); }
API(cuEventQuery, void *event) { (void)event; return OK; }
API(cuEventDestroy_v2, void *event) { (void)event; return OK; }
API(cuEventElapsedTime, float *ms, void *start, void *end) { (void)start; (void)end; *ms = 20; return OK; }
API(cuEventElapsedTime_v2, float *ms, void *start, void *end) { (void)start; (void)end; *ms = 20; return OK; }

static int allocated(uint64_t *memory, size_t bytes) {
  void *found = NULL;
  if (posix_memalign(&found, 512, bytes ? bytes : 1)) return 2;
  *memory = (uint64_t)(uintptr_t)found;
  return OK;
}
API(cuMemAlloc_v2, uint64_t *memory, size_t bytes) { return allocated(memory, bytes); }
API(cuMemAllocAsync, uint64_t *memory, size_t bytes, void *stream) { (void)stream; return allocated(memory, bytes); }
API(cuMemFree_v2, uint64_t memory) { free((void *)(uintptr_t)memory); return OK; }
API(cuMemFreeAsync, uint64_t memory, void *stream) { (void)stream; free((void *)(uintptr_t)memory); return OK; }
API(cuMemAllocHost_v2, void **memory, size_t bytes) { *memory = calloc(1, bytes ? bytes : 1); return OK; }
API(cuMemHostAlloc, void **memory, size_t bytes, unsigned flags) { (void)flags; return cuMemAllocHost_v2(memory, bytes); }
API(cuMemFreeHost, void *memory) { free(memory); return OK; }
API(cuMemGetInfo_v2, size_t *unused, size_t *all) { *unused = *all = (size_t)4 << 30; return OK; }

API(cuMemcpyHtoDAsync_v2, uint64_t to, const void *from, size_t bytes, void *stream) {
  (void)stream;
  memcpy((void *)(uintptr_t)to, from, bytes);
  return OK;
}
/* Nothing was computed, so everything that is read is 1. With zeros, a training would count as diverged after a step. */
API(cuMemcpyDtoHAsync_v2, void *to, uint64_t from, size_t bytes, void *stream) {
  (void)from; (void)stream;
  for (size_t i = 0; i < bytes / sizeof(float); i++) ((float *)to)[i] = 1;
  return OK;
}
API(cuMemcpyDtoDAsync_v2, uint64_t to, uint64_t from, size_t bytes, void *stream) {
  (void)stream;
  memmove((void *)(uintptr_t)to, (void *)(uintptr_t)from, bytes);
  return OK;
}
/* Only copies of padded tensors are two-dimensional. Their numbers do not matter here. */
API(cuMemcpy2DAsync_v2, const void *copy, void *stream) { (void)copy; (void)stream; return OK; }
API(cuMemsetD8Async, uint64_t to, unsigned char value, size_t n, void *stream) {
  (void)stream;
  memset((void *)(uintptr_t)to, value, n);
  return OK;
}

API(cuModuleLoadData, void **module, const void *image) { (void)image; *module = something; return OK; }
API(cuModuleUnload, void *module) { (void)module; return OK; }
API(cuModuleGetFunction, void **function, void *module, const char *name) {
  (void)module; (void)name;
  *function = something;
  return OK;
}
API(cuFuncSetAttribute, void *function, int attribute, int value) { (void)function; (void)attribute; (void)value; return OK; }
API(cuFuncGetAttribute, int *value, int attribute, void *function) { (void)attribute; (void)function; *value = 0; return OK; }

API(cuLaunchKernel, void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
    void *stream, void **arguments, void **extra) {
  (void)function; (void)gx; (void)gy; (void)gz; (void)bx; (void)by; (void)bz; (void)shared; (void)stream; (void)arguments; (void)extra;
  is_busy = 1;
  return OK;
}
API(cuLaunchKernelEx, const void *config, void *function, void **arguments, void **extra) {
  (void)config; (void)function; (void)arguments; (void)extra;
  is_busy = 1;
  return OK;
}
API(cuTensorMapEncodeTiled, void *map, int type, unsigned rank, void *address, const uint64_t *dims, const uint64_t *strides,
    const uint32_t *box, const uint32_t *steps, int interleave, int swizzle, int promotion, int fill) {
  (void)map; (void)type; (void)rank; (void)address; (void)dims; (void)strides; (void)box; (void)steps; (void)interleave; (void)swizzle;
  (void)promotion; (void)fill;
  return OK;
}
API(cuTensorMapEncodeIm2col, void *map, int type, unsigned rank, void *address, const uint64_t *dims, const uint64_t *strides,
    const int *lower, const int *upper, uint32_t channels, uint32_t pixels, const uint32_t *steps, int interleave, int swizzle,
    int promotion, int fill) {
  (void)map; (void)type; (void)rank; (void)address; (void)dims; (void)strides; (void)lower; (void)upper; (void)channels; (void)pixels;
  (void)steps; (void)interleave; (void)swizzle; (void)promotion; (void)fill;
  return OK;
}
