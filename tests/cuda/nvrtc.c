/* A stand-in for NVIDIA's compiler of kernels, libnvrtc.so: it writes each source into the folder $KERNELS, and its options beside it.
   compile.py compiles them with the true one, in a process without the stand-in of the driver. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OK 0
#define INTERNAL_ERROR 11
#define API(name, ...) int name(__VA_ARGS__)

struct program {
  char *source;
};

API(nvrtcVersion, int *major, int *minor) { *major = 13; *minor = 0; return OK; }
const char *nvrtcGetErrorString(int error) { return error ? "the stand-in of NVRTC could not write a file" : "success"; }

API(nvrtcCreateProgram, struct program **program, const char *source, const char *name, int headers, const char *const *texts,
    const char *const *names) {
  (void)name; (void)headers; (void)texts; (void)names;
  *program = malloc(sizeof **program);
  (*program)->source = strdup(source);
  return OK;
}
API(nvrtcDestroyProgram, struct program **program) {
  free((*program)->source);
  free(*program);
  *program = NULL;
  return OK;
}

/* FNV-1a. Equal sources have one file. */
static uint64_t digest(const char *text, uint64_t sum) {
  for (; *text; text++) sum = (sum ^ (unsigned char)*text) * 1099511628211u;
  return sum;
}

API(nvrtcCompileProgram, struct program *program, int n, const char *const *options) {
  uint64_t sum = digest(program->source, 14695981039346656037u);
  for (int i = 0; i < n; i++) sum = digest(options[i], sum);
  const char *folder = getenv("KERNELS");
  char path[4096];
  snprintf(path, sizeof path, "%s/%016llx.cu", folder ? folder : ".", (unsigned long long)sum);
  FILE *file = fopen(path, "w");
  if (!file) return INTERNAL_ERROR;
  fputs(program->source, file);
  if (fclose(file)) return INTERNAL_ERROR;
  strcpy(path + strlen(path) - 2, "options");
  file = fopen(path, "w");
  if (!file) return INTERNAL_ERROR;
  for (int i = 0; i < n; i++) fprintf(file, "%s\n", options[i]);
  return fclose(file) ? INTERNAL_ERROR : OK;
}

API(nvrtcGetProgramLogSize, struct program *program, size_t *size) { (void)program; *size = 1; return OK; }
API(nvrtcGetProgramLog, struct program *program, char *log) { (void)program; *log = 0; return OK; }
API(nvrtcGetPTXSize, struct program *program, size_t *size) { (void)program; *size = 2; return OK; }
API(nvrtcGetPTX, struct program *program, char *ptx) { (void)program; strcpy(ptx, "/"); return OK; }
API(nvrtcGetCUBINSize, struct program *program, size_t *size) { return nvrtcGetPTXSize(program, size); }
API(nvrtcGetCUBIN, struct program *program, char *cubin) { return nvrtcGetPTX(program, cubin); }
